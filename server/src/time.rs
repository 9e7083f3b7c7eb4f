//! Time, as the relay's decisions see it: given in, never asked for.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::spool::Hour;

const HOUR: u64 = 3600;

/// How long a wall clock that jumped ahead is not believed where it would delete.
const PATIENCE: Duration = Duration::from_hours(24);

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
    patience: Duration,
}

impl Clock {
    /// A clock whose wall time is what `wall` says. It is believed wherever it jumps, unless it is given a
    /// [patience](Self::with_patience).
    pub fn with_wall(wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { wall: Arc::new(wall), start: Instant::now(), patience: Duration::ZERO }
    }

    /// For so long after the wall time went ahead of the monotonic one by more than an hour, nothing is deleted by it.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn now(&self) -> Now {
        let unix = (self.wall)().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { unix, millis }
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// How long it is until `millis`.
    pub(crate) fn until(&self, millis: u64) -> Duration {
        Duration::from_millis(millis).saturating_sub(self.start.elapsed())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::with_wall(SystemTime::now).with_patience(PATIENCE)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

/// Whether the wall clock may be believed where it deletes. One that is set to a wrong day would have everything expire that
/// waits, in a minute; one that was wrong and is set right, what came before that.
pub(crate) struct Jumps {
    patience: u64,
    /// Seconds by which the wall clock is ahead of the monotonic one.
    ahead: Option<u64>,
    believed_from: u64,
}

impl Jumps {
    pub(crate) fn after(patience: Duration) -> Self {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        Self { patience, ahead: None, believed_from: 0 }
    }

    /// Call it often: what a clock is ahead since the last time is a jump.
    pub(crate) fn may_delete(&mut self, now: Now) -> bool {
        let ahead = now.unix.saturating_sub(now.millis / 1_000);
        let before = self.ahead.replace(ahead).unwrap_or(ahead);
        if ahead > before + HOUR && self.patience > 0 {
            tracing::error!(
                "the clock went ahead by more than an hour: nothing expires for a day; set it right if it is wrong"
            );
            self.believed_from = now.millis.saturating_add(self.patience);
        }
        now.millis >= self.believed_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_jump_ahead_nothing_is_deleted_for_a_day() {
        let at = |seconds: u64, ahead: u64| Now { unix: 1_800_000_000 + seconds + ahead, millis: seconds * 1_000 };
        let mut jumps = Jumps::after(PATIENCE);
        assert!(jumps.may_delete(at(0, 0)) && jumps.may_delete(at(60, 0)));
        // Adjusted by an hour, turned back, and an hour ahead again.
        assert!(jumps.may_delete(at(120, 3_600)) && jumps.may_delete(at(180, 0)) && jumps.may_delete(at(240, 3_600)));
        let year = 365 * 24 * HOUR;
        assert!(!jumps.may_delete(at(300, year)));
        assert!(!jumps.may_delete(at(300 + 24 * HOUR - 1, year)));
        assert!(jumps.may_delete(at(300 + 24 * HOUR, year)));
        // Set right in time: what it said meanwhile does no harm, and waiting costs little.
        let later = 400 * 24 * HOUR;
        assert!(!jumps.may_delete(at(later, 3 * year)) && !jumps.may_delete(at(later + 60, 0)));
        assert!(jumps.may_delete(at(later + 24 * HOUR, 0)));
        // A clock that was made to jump is believed.
        let mut none = Jumps::after(Duration::ZERO);
        assert!(none.may_delete(at(0, 0)) && none.may_delete(at(1, year)));
    }

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
