//! What a relay counts: sums over all channels, since it started. Nothing here tells one channel from another.

use std::sync::atomic::{AtomicU64, Ordering};

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Boxes accepted from senders.
    Accepted,
    /// Boxes handed to the committer, because nobody acked them in time.
    Spooled,
    /// Boxes handed to devices; one that is delivered again counts again.
    Delivered,
    /// Boxes acked by devices.
    Acked,
    /// Boxes that nobody fetched within the hold.
    Expired,
    /// Requests refused.
    Refused,
    /// Connections served.
    Connections,
}

const COUNTERS: usize = Counter::Connections as usize + 1;

impl Counter {
    /// All of them.
    pub const ALL: [Self; COUNTERS] =
        [Self::Accepted, Self::Spooled, Self::Delivered, Self::Acked, Self::Expired, Self::Refused, Self::Connections];

    /// What it is called where numbers are shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Spooled => "spooled",
            Self::Delivered => "delivered",
            Self::Acked => "acked",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Connections => "connections",
        }
    }
}

/// All counters. Reading is exact for each, and not a snapshot of all.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; COUNTERS]);

impl Counters {
    /// The sum so far.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, counter: Counter, by: u64) {
        self.0[counter as usize].fetch_add(by, Ordering::Relaxed);
    }
}
