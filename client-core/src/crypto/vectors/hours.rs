//! When practices are open and answer, in zones of all kinds.

use serde_json::{Value, json};

use super::check;
use crate::care::hours::{DayHours, HoursException, WeekHours, Weekday};
use crate::care::practice_card::tests::card;
use crate::care::practice_card::{Availability, PracticeCard, ResponseTime, availability, expected_answer_by};

fn at(text: &str) -> u64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond().try_into().unwrap()
}

fn card_json(card: &PracticeCard) -> Value {
    let hours = |hours: &DayHours| json!([hours.from, hours.until]);
    json!({
        "zone": card.zone,
        "hours": card.hours.iter().map(|week| json!([week.day.number(), week.hours.from, week.hours.until])).collect::<Vec<_>>(),
        "exceptions": card.exceptions.iter().map(|exception| json!({
            "first": exception.first.number(),
            "last": exception.last.number(),
            "hours": exception.hours.iter().map(hours).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "response": card.response.map(|response| match response {
            ResponseTime::Elapsed { minutes } => json!([1, minutes]),
            ResponseTime::OpenTime { minutes } => json!([2, minutes]),
            ResponseTime::WorkingDays { days } => json!([3, days]),
        }),
    })
}

/// What the card means every so many minutes, from one moment on.
fn case(comment: &str, card: &PracticeCard, from: &str, step_minutes: u64, count: u64) -> Value {
    let from = at(from);
    let moments = (0..count).map(|n| {
        let at = from + n * step_minutes * 60_000;
        let (is_open, changes) = match availability(card, at) {
            Availability::Unknown => (None, None),
            Availability::Open { until } => (Some(true), until),
            Availability::Closed { opens, .. } => (Some(false), opens),
        };
        json!({ "at": at, "open": is_open, "changes": changes, "answer_by": expected_answer_by(card, at) })
    });
    json!({ "comment": comment, "card": card_json(card), "moments": moments.collect::<Vec<_>>() })
}

fn every_day(zone: &str, spans: &[(u16, u16)], response: ResponseTime) -> PracticeCard {
    let hours =
        |day| spans.iter().map(move |(from, until)| WeekHours { day, hours: DayHours { from: *from, until: *until } });
    PracticeCard {
        zone: zone.into(),
        hours: Weekday::ALL.into_iter().flat_map(hours).collect(),
        exceptions: vec![],
        response: Some(response),
        ..card()
    }
}

#[test]
fn hours_are_as_their_vectors_say() {
    let (elapsed, open, days) = (
        ResponseTime::Elapsed { minutes: 1_440 },
        ResponseTime::OpenTime { minutes: 150 },
        ResponseTime::WorkingDays { days: 1 },
    );
    // Nights, and spans that begin, end and lie inside of the hour that is skipped or repeated.
    let night: &[(u16, u16)] = &[(30, 80), (90, 110), (100, 150), (170, 200), (1_380, 1_540)];
    let leap = PracticeCard {
        exceptions: vec![HoursException {
            first: "2028-02-29".parse().unwrap(),
            last: "2028-02-29".parse().unwrap(),
            hours: vec![],
            note: String::new(),
            cover: String::new(),
        }],
        ..card()
    };
    let away = |response| PracticeCard { response: Some(response), ..card() };
    let made = json!({
        "comment": "What practice cards mean: whether the practice is open, when that changes next, and by when an answer \
                    can be expected, all in milliseconds since the Unix epoch. Hours are [day, from, until].",
        "cases": [
            case("Zurich: the clock goes forward", &every_day("Europe/Zurich", night, open), "2026-03-28T22:00:00Z", 7, 60),
            case("Zurich: the clock goes back", &every_day("Europe/Zurich", night, open), "2026-10-24T21:00:00Z", 7, 70),
            case("New York: the clock goes forward", &every_day("America/New_York", night, days), "2026-03-08T03:00:00Z", 11, 50),
            case("New York: the clock goes back", &every_day("America/New_York", night, days), "2026-11-01T02:00:00Z", 11, 60),
            case("Lord Howe: half an hour forward", &every_day("Australia/Lord_Howe", night, open), "2026-10-03T12:00:00Z", 7, 60),
            case("Lord Howe: half an hour back", &every_day("Australia/Lord_Howe", night, open), "2026-04-04T12:00:00Z", 7, 60),
            case("Santiago: midnight is skipped", &every_day("America/Santiago", night, days), "2026-09-06T01:00:00Z", 11, 50),
            case("Santiago: the hour before midnight comes twice", &every_day("America/Santiago", night, days), "2026-04-05T00:00:00Z", 11, 60),
            case("Adelaide: half-hour zone, southern", &every_day("Australia/Adelaide", night, elapsed), "2026-04-04T12:00:00Z", 11, 50),
            case("St. John's: negative half-hour zone", &every_day("America/St_Johns", night, open), "2026-03-08T02:00:00Z", 11, 50),
            case("Kathmandu: quarter-hour zone", &every_day("Asia/Kathmandu", night, open), "2026-06-01T12:00:00Z", 37, 40),
            case("leave, and a short day: working days", &away(days), "2026-07-31T06:00:00Z", 557, 60),
            case("leave, and a short day: elapsed", &away(elapsed), "2026-07-31T06:00:00Z", 557, 60),
            case("leave, and a short day: open time", &away(open), "2026-12-22T06:00:00Z", 157, 60),
            case("closed on a leap day", &leap, "2028-02-28T06:00:00Z", 157, 40),
            case("no hours", &PracticeCard { hours: vec![], exceptions: vec![], ..card() }, "2026-06-01T06:00:00Z", 600, 3),
        ],
    });
    check("hours.json", &made);
}
