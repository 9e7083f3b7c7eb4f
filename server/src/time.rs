//! Time, as the relay's decisions see it: given in, never asked for.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::spool::Hour;

const HOUR: u64 = 3600;

/// A box is accepted a moment after its expiry was written; the promise is kept from then.
const SETTLING: u64 = 600;

/// One moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Seconds since the Unix epoch, for what is stored.
    pub(crate) unix: u64,
    /// Milliseconds since this relay started, for what is not.
    pub(crate) millis: u64,
}

impl Now {
    /// The hour that it is.
    pub(crate) fn hour(self) -> Hour {
        Hour(u32::try_from(self.unix / HOUR).unwrap_or(u32::MAX))
    }

    /// An hour at whose beginning at least `seconds` have passed.
    pub(crate) fn hour_after(self, seconds: u32) -> Hour {
        let end = self.unix.saturating_add(SETTLING).saturating_add(seconds.into());
        Hour(u32::try_from(end.div_ceil(HOUR)).unwrap_or(u32::MAX))
    }
}

/// Where a relay's time comes from. A test may move the wall clock; the grace runs on the monotonic one.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    start: Instant,
}

impl Clock {
    /// A clock whose wall time is what `wall` says.
    pub fn with_wall(wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { wall: Arc::new(wall), start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let unix = (self.wall)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { unix, millis }
    }

    /// How long it is until `millis`.
    pub(crate) fn until(&self, millis: u64) -> Duration {
        Duration::from_millis(millis).saturating_sub(self.start.elapsed())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::with_wall(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_hour_is_never_shorter_than_promised() {
        for unix in [0, 1, 3_599, 3_600, 1_800_000_123] {
            for hold in [1, 3_600, 3_601, 21 * 24 * 3_600] {
                let now = Now { unix, millis: 0 };
                let kept = u64::from(now.hour_after(hold).0) * HOUR - unix;
                assert!(kept >= u64::from(hold) + SETTLING && kept < u64::from(hold) + SETTLING + HOUR, "{kept}");
            }
        }
    }
}
