//! When a connection is asked for a sign of life, and when the next one is tried. Time goes in: nothing here waits.

use std::time::Duration;

use rand_core::Rng;

/// A relay is asked for a sign of life this often: below the half minute after which home routers forget idle flows.
const PING_MS: u64 = 25_000;

/// A relay that says nothing for so long after a ping is gone.
pub(crate) const PONG_MS: u64 = 15_000;

/// Connection attempts are this far apart, doubling, with jitter.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_secs(1);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Tells a quiet connection from a dead one. Times are milliseconds on a steady clock.
#[derive(Debug)]
pub(crate) struct Pulse {
    heard_at: u64,
    pinged: bool,
}

/// What a quiet connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// Nothing, before this time.
    Until(u64),
    /// A ping, now.
    Ping,
    /// The relay is gone.
    Dead,
}

impl Pulse {
    pub(crate) const fn new(now: u64) -> Self {
        Self { heard_at: now, pinged: false }
    }

    /// Something came.
    pub(crate) const fn heard(&mut self, now: u64) {
        self.heard_at = now;
        self.pinged = false;
    }

    /// What to do now. Whoever is told to ping does so.
    pub(crate) const fn check(&mut self, now: u64) -> Quiet {
        let quiet = now.saturating_sub(self.heard_at);
        match self.pinged {
            false if quiet < PING_MS => Quiet::Until(self.heard_at + PING_MS),
            false => {
                self.pinged = true;
                Quiet::Ping
            }
            true if quiet < PING_MS + PONG_MS => Quiet::Until(self.heard_at + PING_MS + PONG_MS),
            true => Quiet::Dead,
        }
    }
}

/// How long to wait before connecting again.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self(BACKOFF_MIN)
    }

    /// A relay answered: the next failure starts over.
    pub(crate) const fn reset(&mut self) {
        self.0 = BACKOFF_MIN;
    }

    /// The pause before the next attempt, twice as long as the one before.
    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(BACKOFF_MAX);
        jittered(pause, rng)
    }
}

/// Between half and one and a half times as long: devices that lost a relay together do not come back together.
pub(crate) fn jittered(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(0.5 + f64::from(rng.next_u32()) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    use super::*;

    #[test]
    fn a_quiet_relay_is_pinged_once_and_given_up_when_it_does_not_answer() {
        let mut pulse = Pulse::new(1_000);
        assert_eq!(pulse.check(1_000), Quiet::Until(26_000));
        assert_eq!(pulse.check(26_000), Quiet::Ping);
        assert_eq!(pulse.check(26_000), Quiet::Until(41_000));
        pulse.heard(40_999);
        assert_eq!(pulse.check(41_000), Quiet::Until(65_999));
        assert_eq!(pulse.check(66_000), Quiet::Ping);
        assert_eq!(pulse.check(81_000), Quiet::Dead);
    }

    #[test]
    fn attempts_are_a_second_to_a_minute_apart_and_never_in_step() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..12).map(|_| backoff.next(&mut UnwrapErr(SysRng)).as_secs_f64()).collect();
        for (attempt, pause) in pauses.iter().enumerate() {
            let middle = (1_u64 << attempt).min(60) as f64;
            assert!((middle * 0.5..=middle * 1.5).contains(pause), "{attempt}: {pause}");
        }
        backoff.reset();
        assert!(backoff.next(&mut UnwrapErr(SysRng)) <= Duration::from_millis(1_500));
    }
}
