//! How numbers that people cause are shown: once an hour, and rounded to a multiple of a step, up or down by chance.
//!
//! The chance of *up* is how far the number is on its way to the next multiple. So what is shown is right on average, over
//! hours or over relays; and one event more or less changes what an hour shows with a chance of 1 in [`STEP`], whatever
//! else happened in that hour and however well the onlooker knows it: whoever makes 49 events himself, to see the fiftieth,
//! sees no more than anybody. (It is differential privacy, with ε = 0 and δ = 1/50 for each number and hour.)
//!
//! A counter is rounded in what it grew by in the hour, so that errors do not last. A number of what is there now is
//! rounded anew each hour: the mean of many hours comes near the truth, of how many there are and not of when.

use std::time::Duration;

use crate::counters::COUNTERS;
use crate::tally::Tally;

/// Step of everything that is counted by one.
pub(super) const STEP: u64 = 50;

/// Step of bytes: to it, a large box is what one event is to [`STEP`].
pub(super) const BYTES_STEP: u64 = 1 << 20;

/// What people cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// Sums since the relay started.
    pub(super) counted: [u64; COUNTERS],
    /// Connections there are now.
    pub(super) connections: u64,
    /// What the relay holds now.
    pub(super) holds: Tally,
}

/// Numbers of what is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gauges {
    pub(super) connections: u64,
    pub(super) holds: Tally,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) counted: [u64; COUNTERS],
    /// `None` in the first hour, which is not over.
    pub(super) gauges: Option<Gauges>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Blur {
    every: u64,
    since: u64,
    counted: [u64; COUNTERS],
    shown: Shown,
}

impl Blur {
    /// Begins the first hour. Time is in milliseconds.
    pub(super) fn new(now: u64, every: Duration) -> Self {
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self { every, since: now, counted: [0; COUNTERS], shown: Shown { counted: [0; COUNTERS], gauges: None } }
    }

    /// What may be shown now. `draw` gives a random number below its argument.
    pub(super) fn show(&mut self, now: u64, exact: &Crowd, draw: &mut impl FnMut(u64) -> u64) -> &Shown {
        if now.saturating_sub(self.since) >= self.every {
            self.since = now;
            for ((shown, before), sum) in self.shown.counted.iter_mut().zip(&mut self.counted).zip(exact.counted) {
                *shown += rounded(sum.saturating_sub(*before), STEP, draw);
                *before = sum;
            }
            let mut number = |exact| rounded(exact, STEP, draw);
            let Tally { channels, attached, boxes, bytes } = exact.holds;
            let connections = number(exact.connections);
            let (channels, attached, boxes) = (number(channels), number(attached), number(boxes));
            let bytes = rounded(bytes, BYTES_STEP, draw);
            self.shown.gauges = Some(Gauges { connections, holds: Tally { channels, attached, boxes, bytes } });
        }
        &self.shown
    }
}

fn rounded(exact: u64, step: u64, draw: &mut impl FnMut(u64) -> u64) -> u64 {
    let over = exact % step;
    exact - over + if draw(step) < over { step } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What a number may be shown as, and by how many of all equally likely draws.
    fn shown_as(exact: u64) -> BTreeMap<u64, u64> {
        let mut all = BTreeMap::new();
        for drawn in 0..STEP {
            *all.entry(rounded(exact, STEP, &mut |_| drawn)).or_default() += 1;
        }
        all
    }

    #[test]
    fn one_event_changes_what_is_shown_with_a_chance_of_one_in_fifty() {
        for exact in 0..4 * STEP {
            let (without, with) = (shown_as(exact), shown_as(exact + 1));
            let all = without.keys().chain(with.keys());
            let more: u64 = all
                .map(|shown| (shown, without.get(shown).unwrap_or(&0), with.get(shown).unwrap_or(&0)))
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .map(|(_, without, with)| with.saturating_sub(*without))
                .sum();
            assert_eq!(more, 1, "{exact}: of {STEP} draws, one shows that there was one event more");
        }
    }

    #[test]
    fn what_is_shown_is_a_multiple_of_the_step_and_right_on_average() {
        for exact in 0..4 * STEP {
            let all = shown_as(exact);
            assert!(all.keys().all(|shown| shown % STEP == 0 && shown.abs_diff(exact) < STEP), "{exact}: {all:?}");
            assert_eq!(all.iter().map(|(shown, draws)| shown * draws).sum::<u64>(), exact * STEP);
        }
    }

    fn crowd(number: u64) -> Crowd {
        let holds = Tally { channels: number, attached: number, boxes: number, bytes: number * 2_048 };
        Crowd { counted: [number; COUNTERS], connections: number, holds }
    }

    const HOUR: u64 = 3_600_000;

    #[test]
    fn nothing_moves_within_the_hour_whatever_happens() {
        let mut blur = Blur::new(5, Duration::from_millis(HOUR));
        let mut draw = |_| 0;
        let first = *blur.show(5 + HOUR - 1, &crowd(1_000), &mut draw);
        assert_eq!(first, Shown { counted: [0; COUNTERS], gauges: None });
        let second = *blur.show(5 + HOUR, &crowd(1_001), &mut draw);
        assert_eq!(second.counted, [1_050; COUNTERS]);
        assert_eq!(second.gauges.map(|gauges| gauges.connections), Some(1_050));
        for later in [1, HOUR / 2, HOUR - 1] {
            assert_eq!(*blur.show(5 + HOUR + later, &crowd(9_999), &mut draw), second);
        }
        assert_ne!(*blur.show(5 + 2 * HOUR, &crowd(9_999), &mut draw), second);
    }

    #[test]
    fn a_counter_never_goes_back_and_its_errors_do_not_add_up() {
        let mut blur = Blur::new(0, Duration::from_millis(HOUR));
        let (mut sum, mut last) = (0, 0);
        for hour in 1..=1_000_u64 {
            sum += hour % 7;
            let mut draw = |bound| (hour * 37) % bound;
            let shown = blur.show(hour * HOUR, &crowd(sum), &mut draw).counted[0];
            assert!(shown >= last && shown - last <= STEP);
            last = shown;
        }
        assert!(last.abs_diff(sum) < sum / 10, "{last} is near {sum}");
    }
}
