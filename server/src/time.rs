//! Time, as the relay's decisions see it: given in, never asked for.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::spool::Hour;

const HOUR: u64 = 3600;

/// How long a wall clock that jumped ahead is not believed where it would delete. Less than a machine runs that is turned
/// off every night.
const PATIENCE: Duration = Duration::from_secs(6 * HOUR);

/// A relay that was away for longer takes the clock for one that jumped. It notes the time every hour.
const AWAY: u64 = 3 * HOUR;

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

    /// For so long after the wall time went ahead of the machine's own by more than an hour, nothing is deleted by it.
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

    /// Seconds that the machine has been on, asleep or not.
    pub(crate) fn machine(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec.try_into().unwrap_or(0);
        #[cfg(not(target_os = "linux"))]
        self.start.elapsed().as_secs()
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
    /// Seconds.
    patience: u64,
    /// When the clock was last believed, as it said itself, by this process or the one before.
    believed: Option<u64>,
    /// Seconds by which the wall clock is ahead of the machine's own.
    ahead: Option<u64>,
    doubted_until: u64,
}

impl Jumps {
    /// `believed` is what was noted when the clock was last believed.
    pub(crate) const fn after(patience: Duration, believed: Option<u64>) -> Self {
        Self { patience: patience.as_secs(), believed, ahead: None, doubted_until: 0 }
    }

    /// Call it often: what the wall clock (seconds since the Unix epoch) is ahead of the machine's own (seconds since it
    /// was started) since the last time is a jump.
    pub(crate) fn may_delete(&mut self, wall: u64, machine: u64) -> bool {
        let ahead = wall.saturating_sub(machine);
        let jumped = match self.ahead.replace(ahead) {
            Some(before) => ahead > before + HOUR,
            None => self.believed.is_some_and(|believed| wall > believed + AWAY),
        };
        if jumped && self.patience > 0 {
            tracing::error!(
                "the clock went ahead, or the relay was away for long: nothing expires for six hours; see that the clock is right"
            );
            self.doubted_until = machine.saturating_add(self.patience);
        }
        machine >= self.doubted_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000;
    const YEAR: u64 = 365 * 24 * HOUR;

    #[test]
    fn after_a_jump_ahead_nothing_is_deleted_for_six_hours() {
        let mut jumps = Jumps::after(PATIENCE, None);
        let mut may_delete = |machine: u64, ahead: u64| jumps.may_delete(START + machine + ahead, machine);
        assert!(may_delete(0, 0) && may_delete(60, 0));
        // Adjusted by an hour, turned back, and an hour ahead again.
        assert!(may_delete(120, 3_600) && may_delete(180, 0) && may_delete(240, 3_600));
        assert!(!may_delete(300, YEAR));
        assert!(!may_delete(300 + 6 * HOUR - 1, YEAR));
        assert!(may_delete(300 + 6 * HOUR, YEAR));
        // Set right in time: what it said meanwhile does no harm, and waiting costs little.
        let later = 400 * 24 * HOUR;
        assert!(!may_delete(later, 3 * YEAR) && !may_delete(later + 60, 0));
        assert!(may_delete(later + 6 * HOUR, 0));
        // A clock that was made to jump is believed.
        let mut none = Jumps::after(Duration::ZERO, Some(START));
        assert!(none.may_delete(START + YEAR, 0) && none.may_delete(START + 2 * YEAR, 1));
    }

    #[test]
    fn a_restart_forgets_no_jump() {
        assert!(Jumps::after(PATIENCE, Some(START)).may_delete(START + AWAY, 7));
        let mut away = Jumps::after(PATIENCE, Some(START));
        assert!(!away.may_delete(START + AWAY + 1, 7));
        assert!(away.may_delete(START + AWAY + 1 + 6 * HOUR, 7 + 6 * HOUR));
        // One that was ahead and is right again, or behind, deletes nothing that it should not.
        assert!(Jumps::after(PATIENCE, Some(START + YEAR)).may_delete(START, 7));
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
