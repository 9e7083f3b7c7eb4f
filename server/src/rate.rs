//! How often something may happen: so many in a span, and a burst of them at once (GCRA).
//!
//! Our own few lines, because what is rated here is a plain number that lives where it costs least: in a table of fixed
//! size, or in a connection. It can be looked at without being paid into, and paid into beyond what is allowed, after
//! which waiting pays the debt.

use std::time::Duration;

use tokio::time::Instant;

/// Until when everything that happened is paid for, in nanoseconds since the clock's start. 0 if nothing ever did.
pub(crate) type Paid = u64;

/// Counts from a relay's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateClock(Instant);

impl RateClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        nanos(self.0.elapsed())
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Nanoseconds that one costs.
    price: u64,
    /// Nanoseconds that may be owed.
    credit: u64,
}

impl Rate {
    /// `count` in a `span`, of which up to `burst` at once.
    pub(crate) fn new(count: u32, span: Duration, burst: u32) -> Self {
        let price = (nanos(span) / u64::from(count.max(1))).max(1);
        Self { price, credit: price.saturating_mul(u64::from(burst.max(1) - 1)) }
    }

    /// How long until one more is allowed. Zero: now.
    pub(crate) const fn wait(self, paid: Paid, now: u64) -> Duration {
        Duration::from_nanos(paid.saturating_sub(now.saturating_add(self.credit)))
    }

    /// So many happened, allowed or not.
    #[must_use]
    pub(crate) fn pay(self, paid: Paid, now: u64, count: u32) -> Paid {
        paid.max(now).saturating_add(self.price.saturating_mul(count.into()))
    }

    /// As [`pay`](Self::pay), but however many happened, no more is owed than after a full burst.
    #[must_use]
    pub(crate) fn pay_up_to_a_burst(self, paid: Paid, now: u64, count: u32) -> Paid {
        self.pay(paid, now, count).min(now.saturating_add(self.credit).saturating_add(self.price))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_allowed_and_then_as_many_as_time_brings() {
        let rate = Rate::new(10, Duration::from_secs(1), 5);
        let (mut paid, mut allowed) = (0, 0);
        for tenth in 0..100 {
            let now = 7 * SECOND + tenth * SECOND / 10;
            while rate.wait(paid, now).is_zero() {
                paid = rate.pay(paid, now, 1);
                allowed += 1;
            }
        }
        assert_eq!(allowed, 5 + 99);
    }

    #[test]
    fn a_debt_is_waited_for() {
        let rate = Rate::new(1_000, Duration::from_secs(1), 1);
        let paid = rate.pay(0, SECOND, 500);
        assert_eq!(rate.wait(paid, SECOND), Duration::from_millis(500));
        assert_eq!(rate.wait(paid, SECOND + SECOND / 2), Duration::ZERO);
    }

    #[test]
    fn a_debt_up_to_a_burst_is_paid_in_the_time_of_one() {
        let rate = Rate::new(60, Duration::from_secs(60), 5);
        let paid = rate.pay_up_to_a_burst(0, SECOND, 1_000_000);
        assert_eq!(rate.wait(paid, SECOND), Duration::from_secs(1));
        assert_eq!(paid, (0..5).fold(0, |paid, _| rate.pay(paid, SECOND, 1)), "that of a full burst");
    }

    #[test]
    fn nothing_overflows() {
        let rate = Rate::new(u32::MAX, Duration::MAX, u32::MAX);
        let paid = rate.pay(u64::MAX, u64::MAX, u32::MAX);
        assert_eq!(rate.wait(paid, 0), Duration::from_nanos(u64::MAX - rate.credit));
        assert!(Rate::new(0, Duration::ZERO, 0).wait(0, 0).is_zero());
    }
}
