use super::*;

fn at(text: &str) -> Timestamp {
    timestamp(text.parse().unwrap())
}

fn hours(day: Weekday, from: (u16, u16), until: (u16, u16)) -> WeekHours {
    WeekHours { day, hours: span(from, until) }
}

fn span(from: (u16, u16), until: (u16, u16)) -> DayHours {
    DayHours { from: from.0 * 60 + from.1, until: until.0 * 60 + until.1 }
}

fn every_day(from: (u16, u16), until: (u16, u16)) -> Vec<WeekHours> {
    Weekday::ALL.into_iter().map(|day| hours(day, from, until)).collect()
}

fn except(first: &str, last: &str, hours: Vec<DayHours>) -> HoursException {
    let (first, last) = (first.parse().unwrap(), last.parse().unwrap());
    HoursException { first, last, hours, note: String::new(), cover: String::new() }
}

/// The openings of a schedule from one moment to another, as text.
fn openings(zone: &str, week: &[WeekHours], exceptions: &[HoursException], from: &str, until: &str) -> Vec<String> {
    let schedule = Schedule::new(zone, week, exceptions).unwrap();
    schedule
        .openings(at(from))
        .take_while(|interval| interval.from < at(until))
        .map(|interval| format!("{} {}", instant(interval.from), instant(interval.until)))
        .collect()
}

struct Case {
    what: &'static str,
    zone: &'static str,
    week: Vec<WeekHours>,
    exceptions: Vec<HoursException>,
    from: &'static str,
    until: &'static str,
    open: &'static [&'static str],
}

use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};

fn check(cases: Vec<Case>) {
    for case in cases {
        let open = openings(case.zone, &case.week, &case.exceptions, case.from, case.until);
        assert_eq!(open, case.open, "{}", case.what);
    }
}

#[test]
fn office_hours_follow_the_clock_on_the_wall_through_changes_of_the_clock() {
    check(vec![
        Case {
            what: "an ordinary week: a lunch break, and nothing at the weekend",
            zone: "Europe/Zurich",
            week: vec![
                hours(Thursday, (9, 0), (12, 0)),
                hours(Thursday, (13, 30), (17, 0)),
                hours(Friday, (9, 0), (12, 0)),
                hours(Monday, (9, 0), (12, 0)),
            ],
            exceptions: vec![],
            from: "2026-01-15T06:00:00Z",
            until: "2026-01-20T00:00:00Z",
            open: &[
                "2026-01-15T08:00:00Z 2026-01-15T11:00:00Z",
                "2026-01-15T12:30:00Z 2026-01-15T16:00:00Z",
                "2026-01-16T08:00:00Z 2026-01-16T11:00:00Z",
                "2026-01-19T08:00:00Z 2026-01-19T11:00:00Z",
            ],
        },
        Case {
            what: "9 o'clock before and after the clock goes forward",
            zone: "Europe/Zurich",
            week: every_day((9, 0), (10, 0)),
            exceptions: vec![],
            from: "2026-03-28T00:00:00Z",
            until: "2026-03-31T00:00:00Z",
            open: &[
                "2026-03-28T08:00:00Z 2026-03-28T09:00:00Z",
                "2026-03-29T07:00:00Z 2026-03-29T08:00:00Z",
                "2026-03-30T07:00:00Z 2026-03-30T08:00:00Z",
            ],
        },
        Case {
            what: "hours across the skipped hour are an hour shorter",
            zone: "Europe/Zurich",
            week: vec![hours(Sunday, (1, 0), (5, 0))],
            exceptions: vec![],
            from: "2026-03-28T12:00:00Z",
            until: "2026-03-30T00:00:00Z",
            open: &["2026-03-29T00:00:00Z 2026-03-29T03:00:00Z"],
        },
        Case {
            what: "hours that begin inside the skipped hour begin at the change",
            zone: "Europe/Zurich",
            week: vec![hours(Sunday, (2, 30), (3, 15))],
            exceptions: vec![],
            from: "2026-03-28T12:00:00Z",
            until: "2026-03-30T00:00:00Z",
            open: &["2026-03-29T01:00:00Z 2026-03-29T01:15:00Z"],
        },
        Case {
            what: "hours that lie inside the skipped hour do not exist that day",
            zone: "America/New_York",
            week: vec![hours(Sunday, (2, 10), (2, 50))],
            exceptions: vec![],
            from: "2026-03-02T12:00:00Z",
            until: "2026-03-16T00:00:00Z",
            open: &["2026-03-15T06:10:00Z 2026-03-15T06:50:00Z"],
        },
        Case {
            what: "hours across the repeated hour are an hour longer",
            zone: "Europe/Zurich",
            week: vec![hours(Sunday, (1, 0), (5, 0))],
            exceptions: vec![],
            from: "2026-10-24T12:00:00Z",
            until: "2026-10-26T00:00:00Z",
            open: &["2026-10-24T23:00:00Z 2026-10-25T04:00:00Z"],
        },
        Case {
            what: "hours inside the repeated hour are kept once, the first time",
            zone: "America/New_York",
            week: vec![hours(Sunday, (1, 15), (1, 45))],
            exceptions: vec![],
            from: "2026-10-31T12:00:00Z",
            until: "2026-11-02T00:00:00Z",
            open: &["2026-11-01T05:15:00Z 2026-11-01T05:45:00Z"],
        },
        Case {
            what: "hours that end inside the repeated hour end the first time",
            zone: "America/New_York",
            week: vec![hours(Saturday, (22, 0), (25, 30))],
            exceptions: vec![],
            from: "2026-10-31T12:00:00Z",
            until: "2026-11-02T00:00:00Z",
            open: &["2026-11-01T02:00:00Z 2026-11-01T05:30:00Z"],
        },
    ]);
}

#[test]
fn the_southern_hemisphere_and_odd_offsets_are_as_their_clocks_show() {
    check(vec![
        Case {
            what: "half-hour zone, southern: the clock goes back in April",
            zone: "Australia/Adelaide",
            week: every_day((9, 0), (17, 0)),
            exceptions: vec![],
            from: "2026-04-03T12:00:00Z",
            until: "2026-04-06T00:00:00Z",
            open: &[
                "2026-04-03T22:30:00Z 2026-04-04T06:30:00Z",
                "2026-04-04T23:30:00Z 2026-04-05T07:30:00Z",
                "2026-04-05T23:30:00Z 2026-04-06T07:30:00Z",
            ],
        },
        Case {
            what: "half-hour zone, southern: the clock goes forward in October",
            zone: "Australia/Adelaide",
            week: every_day((9, 0), (17, 0)),
            exceptions: vec![],
            from: "2026-10-02T12:00:00Z",
            until: "2026-10-04T12:00:00Z",
            open: &["2026-10-02T23:30:00Z 2026-10-03T07:30:00Z", "2026-10-03T22:30:00Z 2026-10-04T06:30:00Z"],
        },
        Case {
            what: "a change of half an hour: 2 o'clock comes at half past one",
            zone: "Australia/Lord_Howe",
            week: every_day((1, 45), (2, 15)),
            exceptions: vec![],
            from: "2026-10-03T12:00:00Z",
            until: "2026-10-04T12:00:00Z",
            // 01:45 +10:30 is 15:15Z; the clock goes from 02:00 to 02:30 at 15:30Z, so 02:15 is skipped.
            open: &["2026-10-03T15:15:00Z 2026-10-03T15:30:00Z"],
        },
        Case {
            what: "a change of half an hour back: the first 01:45 counts",
            zone: "Australia/Lord_Howe",
            week: every_day((1, 45), (2, 15)),
            exceptions: vec![],
            from: "2026-04-04T12:00:00Z",
            until: "2026-04-05T12:00:00Z",
            open: &["2026-04-04T14:45:00Z 2026-04-04T15:45:00Z"],
        },
        Case {
            what: "negative half-hour zone with summer time",
            zone: "America/St_Johns",
            week: every_day((8, 0), (9, 0)),
            exceptions: vec![],
            from: "2026-03-07T00:00:00Z",
            until: "2026-03-09T00:00:00Z",
            open: &["2026-03-07T11:30:00Z 2026-03-07T12:30:00Z", "2026-03-08T10:30:00Z 2026-03-08T11:30:00Z"],
        },
        Case {
            what: "quarter-hour zone without summer time",
            zone: "Asia/Kathmandu",
            week: vec![hours(Wednesday, (10, 0), (16, 0))],
            exceptions: vec![],
            from: "2026-07-01T00:00:00Z",
            until: "2026-07-02T00:00:00Z",
            open: &["2026-07-01T04:15:00Z 2026-07-01T10:15:00Z"],
        },
        Case {
            what: "midnight itself is skipped: the day begins at one",
            zone: "America/Santiago",
            week: vec![hours(Sunday, (0, 0), (2, 0)), hours(Saturday, (23, 0), (24, 0))],
            exceptions: vec![],
            from: "2026-09-05T12:00:00Z",
            until: "2026-09-07T00:00:00Z",
            // Saturday ends at 04:00Z, and Sunday 01:00 is the same moment: the two touch.
            open: &["2026-09-06T03:00:00Z 2026-09-06T05:00:00Z"],
        },
        Case {
            what: "the last hour of a day comes twice",
            zone: "America/Santiago",
            week: vec![hours(Saturday, (22, 0), (24, 0))],
            exceptions: vec![],
            from: "2026-04-04T12:00:00Z",
            until: "2026-04-06T00:00:00Z",
            open: &["2026-04-05T01:00:00Z 2026-04-05T04:00:00Z"],
        },
        Case {
            what: "a whole day that a zone left out",
            zone: "Pacific/Apia",
            week: every_day((9, 0), (10, 0)),
            exceptions: vec![],
            from: "2011-12-29T12:00:00Z",
            until: "2011-12-31T12:00:00Z",
            open: &["2011-12-29T19:00:00Z 2011-12-29T20:00:00Z", "2011-12-30T19:00:00Z 2011-12-30T20:00:00Z"],
        },
    ]);
}

#[test]
fn hours_past_midnight_belong_to_the_day_on_which_they_begin() {
    check(vec![
        Case {
            what: "Friday night",
            zone: "Europe/Zurich",
            week: vec![hours(Friday, (22, 0), (26, 0))],
            exceptions: vec![],
            from: "2026-01-16T12:00:00Z",
            until: "2026-01-18T00:00:00Z",
            open: &["2026-01-16T21:00:00Z 2026-01-17T01:00:00Z"],
        },
        Case {
            what: "Friday night goes on into a Saturday that is a holiday",
            zone: "Europe/Zurich",
            week: vec![hours(Friday, (22, 0), (26, 0)), hours(Saturday, (9, 0), (10, 0))],
            exceptions: vec![except("2026-01-17", "2026-01-17", vec![])],
            from: "2026-01-16T12:00:00Z",
            until: "2026-01-19T00:00:00Z",
            open: &["2026-01-16T21:00:00Z 2026-01-17T01:00:00Z"],
        },
        Case {
            what: "a night into the day on which the clock goes forward is an hour shorter",
            zone: "Europe/Zurich",
            week: vec![hours(Saturday, (22, 0), (30, 0))],
            exceptions: vec![],
            from: "2026-03-28T12:00:00Z",
            until: "2026-03-30T00:00:00Z",
            open: &["2026-03-28T21:00:00Z 2026-03-29T04:00:00Z"],
        },
        Case {
            what: "hours that touch or overlap are one, across midnight too",
            zone: "UTC",
            week: vec![
                hours(Tuesday, (20, 0), (24, 0)),
                hours(Wednesday, (0, 0), (6, 0)),
                hours(Wednesday, (5, 0), (7, 0)),
                hours(Wednesday, (7, 1), (8, 0)),
            ],
            exceptions: vec![],
            from: "2026-06-02T12:00:00Z",
            until: "2026-06-04T00:00:00Z",
            open: &["2026-06-02T20:00:00Z 2026-06-03T07:00:00Z", "2026-06-03T07:01:00Z 2026-06-03T08:00:00Z"],
        },
    ]);
}

#[test]
fn exceptions_replace_the_hours_of_their_days() {
    check(vec![
        Case {
            what: "closed from the day before the clock goes forward to that day, other hours the day after",
            zone: "Europe/Zurich",
            week: every_day((9, 0), (17, 0)),
            exceptions: vec![
                except("2026-03-28", "2026-03-29", vec![]),
                except("2026-03-30", "2026-03-30", vec![span((13, 0), (14, 0)), span((10, 0), (11, 0))]),
            ],
            from: "2026-03-27T18:00:00Z",
            until: "2026-04-01T00:00:00Z",
            open: &[
                "2026-03-30T08:00:00Z 2026-03-30T09:00:00Z",
                "2026-03-30T11:00:00Z 2026-03-30T12:00:00Z",
                "2026-03-31T07:00:00Z 2026-03-31T15:00:00Z",
            ],
        },
        Case {
            what: "special hours inside the repeated hour",
            zone: "America/New_York",
            week: vec![],
            exceptions: vec![except("2026-11-01", "2026-11-01", vec![span((0, 30), (2, 0))])],
            from: "2026-10-30T00:00:00Z",
            until: "2026-11-03T00:00:00Z",
            open: &["2026-11-01T04:30:00Z 2026-11-01T07:00:00Z"],
        },
        Case {
            what: "a leap day is a day like any other",
            zone: "Europe/Zurich",
            week: vec![hours(Tuesday, (9, 0), (10, 0)), hours(Wednesday, (9, 0), (10, 0))],
            exceptions: vec![except("2028-03-01", "2028-03-01", vec![])],
            from: "2028-02-28T12:00:00Z",
            until: "2028-03-02T00:00:00Z",
            open: &["2028-02-29T08:00:00Z 2028-02-29T09:00:00Z"],
        },
        Case {
            what: "closed on a leap day",
            zone: "Europe/Zurich",
            week: every_day((9, 0), (10, 0)),
            exceptions: vec![except("2028-02-29", "2028-02-29", vec![])],
            from: "2028-02-28T12:00:00Z",
            until: "2028-03-02T00:00:00Z",
            open: &["2028-03-01T08:00:00Z 2028-03-01T09:00:00Z"],
        },
        Case {
            what: "of two exceptions on one day the first in the list holds",
            zone: "UTC",
            week: every_day((9, 0), (17, 0)),
            exceptions: vec![
                except("2026-12-24", "2026-12-24", vec![span((9, 0), (12, 0))]),
                except("2026-12-20", "2027-01-02", vec![]),
            ],
            from: "2026-12-19T18:00:00Z",
            until: "2027-01-04T00:00:00Z",
            open: &["2026-12-24T09:00:00Z 2026-12-24T12:00:00Z", "2027-01-03T09:00:00Z 2027-01-03T17:00:00Z"],
        },
    ]);
}

#[test]
fn the_moment_hours_begin_is_inside_and_the_moment_they_end_is_not() {
    let week = every_day((9, 0), (10, 0));
    let schedule = Schedule::new("UTC", &week, &[]).unwrap();
    let (begin, end) = (at("2026-06-01T09:00:00Z"), at("2026-06-01T10:00:00Z"));
    assert_eq!(schedule.open_at(begin - 1), None);
    assert_eq!(schedule.open_at(begin), Some(Interval { from: begin, until: end }));
    assert_eq!(schedule.open_at(end - 1), Some(Interval { from: begin, until: end }));
    assert_eq!(schedule.open_at(end), None);
    assert_eq!(schedule.opens_after(begin - 1), Some(begin));
    assert_eq!(schedule.opens_after(begin), Some(at("2026-06-02T09:00:00Z")));
}

#[test]
fn open_time_runs_only_while_hours_last() {
    let week = vec![hours(Friday, (9, 0), (12, 0)), hours(Monday, (9, 0), (12, 0)), hours(Sunday, (1, 0), (4, 0))];
    let schedule = Schedule::new("Europe/Zurich", &week, &[]).unwrap();
    let minutes = |minutes: u64| minutes * 60_000;
    for (from, wait, until) in [
        // Friday, 10:00 local, winter.
        ("2026-01-16T09:00:00Z", 60, "2026-01-16T10:00:00Z"),
        ("2026-01-16T09:00:00Z", 120, "2026-01-16T11:00:00Z"),
        // One minute more falls on Sunday night.
        ("2026-01-16T09:00:00Z", 121, "2026-01-18T00:01:00Z"),
        // Outside hours it begins with the next ones.
        ("2026-01-16T11:00:00Z", 0, "2026-01-18T00:00:00Z"),
        // Sunday 01:00 to 04:00 local has only two hours on the day the clock goes forward.
        ("2026-03-28T12:00:00Z", 120, "2026-03-29T02:00:00Z"),
        ("2026-03-28T12:00:00Z", 150, "2026-03-30T07:30:00Z"),
        // And four on the day it goes back.
        ("2026-10-24T12:00:00Z", 240, "2026-10-25T03:00:00Z"),
    ] {
        assert_eq!(schedule.after_open_time(at(from), minutes(wait)), Some(at(until)), "{from} {wait}");
    }
    // More than a year of it: nothing is said.
    assert_eq!(schedule.after_open_time(at("2026-01-16T09:00:00Z"), minutes(1_000_000)), None);
}

#[test]
fn working_days_are_days_with_hours_and_end_when_those_end() {
    let week: Vec<_> = [Monday, Tuesday, Wednesday, Thursday, Friday]
        .into_iter()
        .flat_map(|day| [hours(day, (9, 0), (12, 0)), hours(day, (13, 0), (17, 0))])
        .collect();
    let exceptions = [except("2026-04-03", "2026-04-06", vec![])];
    let schedule = Schedule::new("Europe/Zurich", &week, &exceptions).unwrap();
    for (from, days, until) in [
        // Tuesday morning: today, tomorrow.
        ("2026-01-13T08:30:00Z", 0, "2026-01-13T16:00:00Z"),
        ("2026-01-13T08:30:00Z", 1, "2026-01-14T16:00:00Z"),
        // After hours it counts from the next working day.
        ("2026-01-13T16:00:00Z", 0, "2026-01-14T16:00:00Z"),
        ("2026-01-16T18:00:00Z", 1, "2026-01-20T16:00:00Z"),
        // Easter: Thursday afternoon, and the next working day is Tuesday, in summer time.
        ("2026-04-02T12:00:00Z", 1, "2026-04-07T15:00:00Z"),
    ] {
        assert_eq!(schedule.after_working_days(at(from), days), Some(at(until)), "{from} {days}");
    }
    let nights = [hours(Friday, (22, 0), (26, 0))];
    let schedule = Schedule::new("Europe/Zurich", &nights, &[]).unwrap();
    // Saturday, half past midnight, still is Friday's working day.
    assert_eq!(schedule.after_working_days(at("2026-01-16T23:30:00Z"), 0), Some(at("2026-01-17T01:00:00Z")));
}

#[test]
fn without_hours_nothing_opens_and_without_end_nothing_closes() {
    let schedule = Schedule::new("UTC", &[], &[]).unwrap();
    assert_eq!(schedule.opens_after(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(schedule.after_working_days(at("2026-01-01T00:00:00Z"), 0), None);
    let always = every_day((0, 0), (24, 0));
    let schedule = Schedule::new("Europe/Zurich", &always, &[]).unwrap();
    let now = at("2026-01-01T00:00:00Z");
    let open = schedule.open_at(now).unwrap();
    assert!(schedule.is_beyond(now, open.until));
    let week = every_day((9, 0), (17, 0));
    let schedule = Schedule::new("Europe/Zurich", &week, &[]).unwrap();
    assert!(!schedule.is_beyond(now, at("2026-01-01T16:00:00Z")));
}

#[test]
fn times_that_no_calendar_has_are_no_panic() {
    let week = every_day((0, 0), (24, 0));
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Africa/Casablanca"] {
        let schedule = Schedule::new(zone, &week, &[]).unwrap();
        for now in [0, 1, u64::MAX / 2, u64::MAX, 253_402_207_200_000, 253_402_300_799_999] {
            let _ = (schedule.open_at(now), schedule.opens_after(now), schedule.exception(now));
            let _ = (schedule.after_open_time(now, u64::MAX), schedule.after_working_days(now, u32::MAX));
        }
    }
}

#[test]
fn only_names_of_zones_are_zones() {
    for zone in ["Mars/Olympus", "", "Europe", "CET-1CEST", "../etc/passwd"] {
        assert!(Schedule::new(zone, &[], &[]).is_err(), "{zone}");
    }
}

#[test]
fn days_are_written_in_one_way() {
    for text in ["2026-12-24", "2028-02-29", "0001-01-01"] {
        let day: Day = text.parse().unwrap();
        assert_eq!(day.to_string(), text);
        assert_eq!(Day::from_number(day.number()), Some(day));
    }
    for text in ["2026-2-1", "2027-02-29", "24.12.2026", "2026-12-24T10:00", "+002026-12-24", ""] {
        assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
    }
    for number in [0, 20_260_229, 20_261_301, 1_231, u32::MAX] {
        assert_eq!(Day::from_number(number), None, "{number}");
    }
}

proptest::proptest! {
    /// Whatever the hours: the openings are in order, apart, not empty, and agree with what each moment says.
    #[test]
    fn openings_are_apart_and_agree_with_every_moment(
        week in proptest::collection::vec((0_u32..7, 0_u16..1_440, 1_u16..=1_440), 0..12),
        zone in proptest::sample::select(vec!["Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "America/Santiago"]),
        now in 1_700_000_000_000_u64..1_900_000_000_000,
        steps in proptest::collection::vec(0_u64..14 * 24 * 3_600_000, 8),
    ) {
        let week: Vec<_> = week.into_iter().map(|(day, from, length)| WeekHours {
            day: Weekday::from_number(day + 1).unwrap(),
            hours: DayHours { from, until: from + length },
        }).collect();
        let schedule = Schedule::new(zone, &week, &[]).unwrap();
        let open: Vec<_> = schedule.openings(now).take(60).collect();
        for pair in open.windows(2) {
            assert!(pair[0].until < pair[1].from);
        }
        assert!(open.iter().all(|interval| interval.from < interval.until));
        for step in steps {
            let at = now + step;
            let inside = open.iter().any(|interval| (interval.from..interval.until).contains(&at));
            assert_eq!(schedule.open_at(at).is_some(), inside);
        }
    }
}
