use proptest::prelude::*;

use super::*;

const DAYS: u64 = DAY_MS;
const NOW: u64 = 20_000 * DAYS;

fn rule(keep: Keep) -> Retention {
    Retention { keep, legal_hold: false }
}

#[test]
fn what_goes_by_itself_and_what_may_go_by_hand() {
    let days = rule(Keep::ForDays { days: 30 });
    let years = rule(Keep::ForYears { years: 10 });
    let held = |rule: Retention| Retention { legal_hold: true, ..rule };
    let ten_years = 3_660 * DAYS;
    // Rule; deletes before; by hand of a message stored now, and of one stored ten years and a day ago.
    let table = [
        (Retention::default(), None, Ok(()), Ok(())),
        (days, Some(NOW - 30 * DAYS), Ok(()), Ok(())),
        (years, Some(NOW - ten_years), Err(MustStay::Until(NOW + ten_years)), Ok(())),
        (held(Retention::default()), None, Err(MustStay::LegalHold), Err(MustStay::LegalHold)),
        (held(days), None, Err(MustStay::LegalHold), Err(MustStay::LegalHold)),
        (held(years), None, Err(MustStay::LegalHold), Err(MustStay::LegalHold)),
    ];
    for (rule, before, new, old) in table {
        assert_eq!(rule.deletes_before(NOW), before, "{rule:?}");
        assert_eq!(rule.may_delete(NOW, NOW), new, "{rule:?}");
        assert_eq!(rule.may_delete(NOW - ten_years - DAYS, NOW), old, "{rule:?}");
    }
    // Before there was that much time, nothing is that old.
    assert_eq!(years.deletes_before(DAYS), None);
    for keep in [Keep::ForYears { years: 0 }, Keep::ForYears { years: 101 }, Keep::ForDays { days: 0 }] {
        assert!(!rule(keep).is_valid());
    }
}

/// What is trusted after the clock showed these days, one after the other.
fn trusted(days: &[u64]) -> u64 {
    let see = |clock: Option<TrustedClock>, day: &u64| Some(TrustedClock::see(clock, day * DAYS));
    days.iter().fold(None, see).unwrap().trusted / DAYS
}

#[test]
fn a_clock_that_jumps_far_ahead_deletes_nothing_before_it_is_seen_again_a_day_later() {
    let table: &[(&[u64], u64)] = &[
        (&[100], 100),
        (&[100, 107], 107),
        (&[100, 3_000], 100),
        (&[100, 3_000, 3_000, 3_000], 100),
        (&[100, 3_000, 101], 101),
        // It stays there: a month away, and not a mistake.
        (&[100, 130, 131], 131),
        (&[100, 130, 160], 130),
        (&[100, 130, 160, 161], 161),
        // Seen once a year, it is a year behind.
        (&[100, 465, 830, 1_195], 830),
        // Back from a jump, and another one.
        (&[100, 3_000, 100, 3_001], 100),
        (&[100, 5_000, 3_000], 100),
        // Set back is believed.
        (&[100, 90], 90),
    ];
    for (days, expected) in table {
        assert_eq!(trusted(days), *expected, "{days:?}");
    }
}

proptest! {
    #[test]
    fn the_trusted_time_is_one_that_the_clock_showed_and_never_ahead_of_a_first_jump(
        days in proptest::collection::vec(1_u64..10_000, 1..20)
    ) {
        let last = trusted(&days);
        prop_assert!(days.contains(&last));
        if let [first, .., jump] = days[..] && days.len() == 2 && jump > first + 7 {
            prop_assert_eq!(last, first);
        }
    }
}
