use super::*;
use crate::care::hours::Weekday;

fn at(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond().try_into().unwrap()
}

fn span(from: (u16, u16), until: (u16, u16)) -> DayHours {
    DayHours { from: from.0 * 60 + from.1, until: until.0 * 60 + until.1 }
}

pub(crate) fn card() -> PracticeCard {
    use Weekday::{Friday, Monday, Thursday, Tuesday, Wednesday};
    let hours = [Monday, Tuesday, Wednesday, Thursday, Friday]
        .into_iter()
        .map(|day| WeekHours { day, hours: span((9, 0), (17, 0)) })
        .collect();
    PracticeCard {
        practice: "Practice at the Lake".into(),
        zone: "Europe/Zurich".into(),
        hours,
        exceptions: vec![
            HoursException {
                first: "2026-08-03".parse().unwrap(),
                last: "2026-08-21".parse().unwrap(),
                hours: vec![],
                note: "Summer leave".into(),
                cover: "Dr. Other, +41 44 000 00 00".into(),
            },
            HoursException {
                first: "2026-12-24".parse().unwrap(),
                last: "2026-12-24".parse().unwrap(),
                hours: vec![span((9, 0), (12, 0))],
                note: "Christmas Eve".into(),
                cover: String::new(),
            },
        ],
        response: Some(ResponseTime::WorkingDays { days: 1 }),
        cover: "The clinic's desk".into(),
        policy: "For appointments and short notes.".into(),
    }
}

fn open(until: &str) -> Availability {
    Availability::Open { until: Some(at(until)) }
}

fn closed(opens: &str, away: Option<(&str, &str, &str)>) -> Availability {
    let away =
        away.map(|(last, note, cover)| Away { last: last.parse().unwrap(), note: note.into(), cover: cover.into() });
    Availability::Closed { opens: Some(at(opens)), away }
}

#[test]
fn whether_a_practice_is_open_follows_from_its_card_and_the_time() {
    let leave = Some(("2026-08-21", "Summer leave", "Dr. Other, +41 44 000 00 00"));
    let eve = Some(("2026-12-24", "Christmas Eve", "The clinic's desk"));
    for (now, expected) in [
        ("2026-06-01T06:59:59Z", closed("2026-06-01T07:00:00Z", None)),
        ("2026-06-01T07:00:00Z", open("2026-06-01T15:00:00Z")),
        ("2026-06-01T14:59:59Z", open("2026-06-01T15:00:00Z")),
        ("2026-06-01T15:00:00Z", closed("2026-06-02T07:00:00Z", None)),
        // Over a weekend on which the clock goes forward, and one on which it goes back.
        ("2026-03-27T16:00:00Z", closed("2026-03-30T07:00:00Z", None)),
        ("2026-10-23T15:00:00Z", closed("2026-10-26T08:00:00Z", None)),
        // Away: from the first minute of the first day to the last of the last.
        ("2026-08-02T21:59:59Z", closed("2026-08-24T07:00:00Z", None)),
        ("2026-08-02T22:00:00Z", closed("2026-08-24T07:00:00Z", leave)),
        ("2026-08-21T21:59:59Z", closed("2026-08-24T07:00:00Z", leave)),
        ("2026-08-21T22:00:00Z", closed("2026-08-24T07:00:00Z", None)),
        // A shorter day.
        ("2026-12-24T10:59:59Z", open("2026-12-24T11:00:00Z")),
        ("2026-12-24T11:00:00Z", closed("2026-12-25T08:00:00Z", eve)),
    ] {
        assert_eq!(availability(&card(), at(now)), expected, "{now}");
    }
}

#[test]
fn an_answer_can_be_expected_by_what_the_practice_says() {
    let with = |response| PracticeCard { response: Some(response), ..card() };
    let day = with(ResponseTime::WorkingDays { days: 1 });
    let hours = with(ResponseTime::OpenTime { minutes: 240 });
    let elapsed = with(ResponseTime::Elapsed { minutes: 24 * 60 });
    for (card, sent, answer) in [
        (&day, "2026-06-01T08:00:00Z", "2026-06-02T15:00:00Z"),
        (&day, "2026-06-05T15:00:00Z", "2026-06-09T15:00:00Z"),
        (&day, "2026-07-31T08:00:00Z", "2026-08-24T15:00:00Z"),
        (&day, "2026-12-23T18:00:00Z", "2026-12-25T16:00:00Z"),
        (&hours, "2026-06-01T08:00:00Z", "2026-06-01T12:00:00Z"),
        (&hours, "2026-06-05T14:00:00Z", "2026-06-08T10:00:00Z"),
        (&hours, "2026-03-27T15:00:00Z", "2026-03-30T10:00:00Z"),
        (&hours, "2026-08-10T15:00:00Z", "2026-08-24T11:00:00Z"),
        (&elapsed, "2026-06-06T08:00:00Z", "2026-06-07T08:00:00Z"),
        // A day is 24 hours, whatever the clock on the wall does.
        (&elapsed, "2026-03-28T08:00:00Z", "2026-03-29T08:00:00Z"),
        // Nobody answers within a day of a message that comes on leave.
        (&elapsed, "2026-08-10T08:00:00Z", "2026-08-25T07:00:00Z"),
        // On a short day somebody was there.
        (&elapsed, "2026-12-24T15:00:00Z", "2026-12-25T15:00:00Z"),
    ] {
        assert_eq!(expected_answer_by(card, at(sent)), Some(at(answer)), "{:?} {sent}", card.response);
    }
    assert_eq!(expected_answer_by(&PracticeCard { response: None, ..card() }, at("2026-06-01T08:00:00Z")), None);
}

#[test]
fn the_same_card_means_the_same_moment_in_every_zone_it_is_read_in() {
    // 9 o'clock in the practice's zone; the reader's zone is no argument at all.
    for (zone, now, until) in [
        ("Pacific/Kiritimati", "2026-05-31T19:00:00Z", "2026-06-01T03:00:00Z"),
        ("Asia/Kathmandu", "2026-06-01T03:15:00Z", "2026-06-01T11:15:00Z"),
        ("Asia/Kolkata", "2026-06-01T03:30:00Z", "2026-06-01T11:30:00Z"),
        ("Europe/London", "2026-06-01T08:00:00Z", "2026-06-01T16:00:00Z"),
        ("America/New_York", "2026-06-01T13:00:00Z", "2026-06-01T21:00:00Z"),
        ("America/Los_Angeles", "2026-06-01T16:00:00Z", "2026-06-02T00:00:00Z"),
        ("Pacific/Pago_Pago", "2026-06-01T20:00:00Z", "2026-06-02T04:00:00Z"),
        ("Australia/Adelaide", "2026-05-31T23:30:00Z", "2026-06-01T07:30:00Z"),
        ("America/Sao_Paulo", "2026-06-01T12:00:00Z", "2026-06-01T20:00:00Z"),
    ] {
        let card = PracticeCard { zone: zone.into(), ..card() };
        assert_eq!(availability(&card, at(now)), open(until), "{zone}");
        assert!(matches!(availability(&card, at(now) - 1), Availability::Closed { .. }), "{zone}");
    }
}

#[test]
fn what_is_not_known_is_not_made_up() {
    let now = at("2026-06-01T08:00:00Z");
    let silent = PracticeCard { hours: vec![], exceptions: vec![], ..card() };
    assert_eq!(availability(&silent, now), Availability::Unknown);
    assert_eq!(expected_answer_by(&silent, now), None);
    let elapsed = PracticeCard { response: Some(ResponseTime::Elapsed { minutes: 60 }), ..silent };
    assert_eq!(expected_answer_by(&elapsed, now), Some(now + 3_600_000));
    let elsewhere = PracticeCard { zone: "Mars/Olympus".into(), ..card() };
    assert_eq!(availability(&elsewhere, now), Availability::Unknown);
    assert_eq!(expected_answer_by(&elsewhere, now), None);
    let only_away = PracticeCard { hours: vec![], ..card() };
    assert!(matches!(
        availability(&only_away, at("2026-08-10T08:00:00Z")),
        Availability::Closed { away: Some(_), opens: Some(_) }
    ));
    let always = PracticeCard {
        hours: Weekday::ALL.map(|day| WeekHours { day, hours: span((0, 0), (24, 0)) }).to_vec(),
        exceptions: vec![],
        ..card()
    };
    assert_eq!(availability(&always, now), Availability::Open { until: None });
}

fn signed() -> SignedPracticeCard {
    SignedPracticeCard { version: 3, signed_at: 1_780_000_000_000, card: card() }
}

#[test]
fn a_card_is_read_as_it_was_written() {
    assert_eq!(SignedPracticeCard::decode(&signed().encode()), Ok(signed()));
    let plain = SignedPracticeCard {
        card: PracticeCard {
            hours: vec![],
            exceptions: vec![],
            response: Some(ResponseTime::WorkingDays { days: 0 }),
            cover: String::new(),
            policy: String::new(),
            ..card()
        },
        ..signed()
    };
    assert_eq!(SignedPracticeCard::decode(&plain.encode()), Ok(plain));
}

#[test]
fn cards_that_break_a_rule_are_refused_on_both_sides() {
    let name = |length: usize| PracticeCard { practice: "x".repeat(length), ..card() };
    let hours = |from, until| PracticeCard {
        hours: vec![WeekHours { day: Weekday::Monday, hours: DayHours { from, until } }],
        ..card()
    };
    let exception = |first: &str, last: &str, count: usize, note: usize| PracticeCard {
        exceptions: vec![
            HoursException {
                first: first.parse().unwrap(),
                last: last.parse().unwrap(),
                hours: vec![],
                note: "x".repeat(note),
                cover: String::new(),
            };
            count
        ],
        ..card()
    };
    let response = |response| PracticeCard { response: Some(response), ..card() };
    for (bad, why) in [
        (name(0), CardError::BadName),
        (name(201), CardError::BadName),
        (PracticeCard { zone: String::new(), ..card() }, CardError::UnknownZone),
        (PracticeCard { zone: "Europe/Zürich".into(), ..card() }, CardError::UnknownZone),
        (hours(600, 600), CardError::BadHours),
        (hours(600, 599), CardError::BadHours),
        (hours(1_440, 1_500), CardError::BadHours),
        (hours(600, 2_041), CardError::BadHours),
        (PracticeCard { hours: vec![card().hours[0]; 65], ..card() }, CardError::BadHours),
        (exception("2026-01-02", "2026-01-01", 1, 0), CardError::BadException),
        (exception("2026-01-01", "2026-01-01", 101, 0), CardError::BadException),
        (exception("2026-01-01", "2026-01-01", 1, 501), CardError::TooLong),
        (response(ResponseTime::OpenTime { minutes: 0 }), CardError::BadResponseTime),
        (response(ResponseTime::Elapsed { minutes: MAX_MINUTES + 1 }), CardError::BadResponseTime),
        (response(ResponseTime::WorkingDays { days: MAX_DAYS + 1 }), CardError::BadResponseTime),
        (PracticeCard { cover: "x".repeat(1_001), ..card() }, CardError::TooLong),
        (PracticeCard { policy: "x".repeat(4_001), ..card() }, CardError::TooLong),
    ] {
        assert_eq!(bad.check_own().unwrap_err().to_string(), why.to_string());
        let bytes = SignedPracticeCard { card: bad, ..signed() }.encode();
        assert_eq!(SignedPracticeCard::decode(&bytes), Err(BadContent), "{why}");
    }
    assert!(hours(600, 2_040).check_own().is_ok());
    let (first, newest) =
        (SignedPracticeCard { version: 0, ..signed() }, SignedPracticeCard { version: u64::MAX, ..signed() });
    for card in [first, newest] {
        assert_eq!(SignedPracticeCard::decode(&card.encode()), Err(BadContent));
    }
}

#[test]
fn a_zone_that_this_version_does_not_know_may_come_and_may_not_be_signed() {
    let newer = PracticeCard { zone: "Europe/Newcity".into(), ..card() };
    assert!(matches!(newer.check_own(), Err(CardError::UnknownZone)));
    assert!(SignedPracticeCard::decode(&SignedPracticeCard { card: newer, ..signed() }.encode()).is_ok());
}

#[test]
fn a_response_time_of_a_newer_version_is_as_good_as_none() {
    let mut read = pb::PracticeCard::decode(signed().encode().as_slice()).unwrap();
    read.response = Some(pb::ResponseTime { unit: 9, amount: 1 });
    assert_eq!(SignedPracticeCard::decode(&read.encode_to_vec()).unwrap().card.response, None);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_card_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = SignedPracticeCard::decode(&bytes);
    }
}
