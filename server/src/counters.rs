//! What a relay counts: sums over all channels, since it started. Nothing here tells one channel from another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tacit_proto::frame::Refusal;

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
    /// Connections served.
    Connections,
    /// Connections that came to nothing: they ended, took too long, or asked for something else.
    HandshakesFailed,
    /// Pages shown to browsers.
    Pages,
    /// Requests refused, ends refused in an `Attach` included.
    Refused(Refusal),
}

const SINGLE: [Counter; 8] = [
    Counter::Accepted,
    Counter::Spooled,
    Counter::Delivered,
    Counter::Acked,
    Counter::Expired,
    Counter::Connections,
    Counter::HandshakesFailed,
    Counter::Pages,
];

pub(crate) const COUNTERS: usize = SINGLE.len() + Refusal::ALL.len();

impl Counter {
    /// All of them.
    pub const ALL: [Self; COUNTERS] = {
        let mut all = [Self::Accepted; COUNTERS];
        let mut at = 0;
        while at < COUNTERS {
            all[at] = if at < SINGLE.len() { SINGLE[at] } else { Self::Refused(Refusal::ALL[at - SINGLE.len()]) };
            at += 1;
        }
        all
    };

    /// What it is called where numbers are shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Spooled => "spooled",
            Self::Delivered => "delivered",
            Self::Acked => "acked",
            Self::Expired => "expired",
            Self::Connections => "connections",
            Self::HandshakesFailed => "handshakes_failed",
            Self::Pages => "pages",
            Self::Refused(why) => match why {
                Refusal::NotAllowed => "refused_not_allowed",
                Refusal::Used => "refused_used",
                Refusal::Gone => "refused_gone",
                Refusal::Full => "refused_full",
                Refusal::TooLarge => "refused_too_large",
                Refusal::NotABox => "refused_not_a_box",
                Refusal::NoPermit => "refused_no_permit",
                Refusal::TooFast => "refused_too_fast",
                Refusal::OutOfTurn => "refused_out_of_turn",
                Refusal::Busy => "refused_busy",
                Refusal::Unsupported => "refused_unsupported",
            },
        }
    }

    /// Its place in [`Counter::ALL`].
    const fn place(self) -> usize {
        match self {
            Self::Accepted => 0,
            Self::Spooled => 1,
            Self::Delivered => 2,
            Self::Acked => 3,
            Self::Expired => 4,
            Self::Connections => 5,
            Self::HandshakesFailed => 6,
            Self::Pages => 7,
            // They are numbered from 1 on.
            Self::Refused(why) => SINGLE.len() - 1 + why as usize,
        }
    }
}

/// All counters. Reading is exact for each, and not a snapshot of all.
#[derive(Debug, Default)]
pub struct Counters {
    sums: [AtomicU64; COUNTERS],
    ended: AtomicU64,
}

/// A connection that is served. It counts as long as this lives.
#[derive(Debug)]
pub(crate) struct Served(Arc<Counters>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// The sum so far.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.sums[counter.place()].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, counter: Counter, by: u64) {
        self.sums[counter.place()].fetch_add(by, Ordering::Relaxed);
    }

    /// A connection begins.
    pub(crate) fn serve(self: &Arc<Self>) -> Served {
        self.add(Counter::Connections, 1);
        Served(Arc::clone(self))
    }

    /// How many connections are served now.
    #[must_use]
    pub fn served_now(&self) -> u64 {
        // In this order: what ends in between must not make it less than nothing.
        let ended = self.ended.load(Ordering::Relaxed);
        self.get(Counter::Connections).saturating_sub(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_has_a_place_and_a_name_of_its_own() {
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter.place(), place, "{counter:?}");
        }
        assert_eq!(Counter::ALL.map(Counter::name).into_iter().collect::<BTreeSet<_>>().len(), COUNTERS);
    }

    #[test]
    fn a_connection_counts_for_as_long_as_it_is_served() {
        let counters = Arc::new(Counters::default());
        let (one, two) = (counters.serve(), counters.serve());
        assert_eq!(counters.served_now(), 2);
        drop(one);
        assert_eq!(counters.served_now(), 1);
        drop(two);
        assert_eq!((counters.served_now(), counters.get(Counter::Connections)), (0, 2));
    }
}
