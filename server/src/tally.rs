//! How much there is at the relay now: sums over all channels, kept up as channels change. Nothing here tells one channel
//! from another.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What one channel holds, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Channels, tombstones included.
    pub channels: u64,
    /// Ends that a device has attached.
    pub attached: u64,
    /// Boxes that wait or are on their way.
    pub boxes: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The sums. Each is exact; reading takes no snapshot of all.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    channels: AtomicU64,
    attached: AtomicU64,
    boxes: AtomicU64,
    bytes: AtomicU64,
}

impl Tallies {
    /// A channel changed. Whoever calls holds the channel, so its changes are counted in turn.
    pub(crate) fn changed(&self, before: Tally, after: Tally) {
        let sums = [
            (&self.channels, before.channels, after.channels),
            (&self.attached, before.attached, after.attached),
            (&self.boxes, before.boxes, after.boxes),
            (&self.bytes, before.bytes, after.bytes),
        ];
        for (sum, before, after) in sums {
            if before != after {
                // Adding the difference, which may be negative, wraps to what is meant.
                sum.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn now(&self) -> Tally {
        let read = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        Tally {
            channels: read(&self.channels),
            attached: read(&self.attached),
            boxes: read(&self.boxes),
            bytes: read(&self.bytes),
        }
    }
}
