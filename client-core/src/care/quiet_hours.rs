//! Quiet hours: when the owner of a device wants no notifications.

use super::hours::{Schedule, WeekHours};
use super::practice_card::{Availability, PracticeCard, availability};
use crate::types::Timestamp;

/// When notifications are held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QuietHours {
    /// Never.
    #[default]
    Off,
    /// While this device's own practice is closed, exceptions included. As long as its card does not say when that is,
    /// nothing is held.
    OutsideOfficeHours,
    /// Outside of hours of the owner's own.
    Outside {
        /// The time zone of these hours, by its IANA name.
        zone: String,
        /// When notifications may come; 1 to 64 of them.
        hours: Vec<WeekHours>,
    },
}

/// Until when notifications are held; none if they are not. What would have to wait for longer than a year is not held.
#[must_use]
pub fn quiet_until(quiet: &QuietHours, card: Option<&PracticeCard>, now: Timestamp) -> Option<Timestamp> {
    match quiet {
        QuietHours::Off => None,
        QuietHours::OutsideOfficeHours => match availability(card?, now) {
            Availability::Closed { opens, .. } => opens,
            Availability::Open { .. } | Availability::Unknown => None,
        },
        QuietHours::Outside { zone, hours } => {
            let schedule = Schedule::new(zone, hours, &[]).ok()?;
            if schedule.open_at(now).is_some() { None } else { schedule.opens_after(now) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::care::hours::{DayHours, Weekday};
    use crate::care::practice_card::tests::card;

    fn at(text: &str) -> Timestamp {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond().try_into().unwrap()
    }

    #[test]
    fn notifications_are_held_until_hours_begin() {
        let daytime = |zone: &str| QuietHours::Outside {
            zone: zone.into(),
            hours: Weekday::ALL.map(|day| WeekHours { day, hours: DayHours { from: 8 * 60, until: 20 * 60 } }).to_vec(),
        };
        let office = QuietHours::OutsideOfficeHours;
        for (quiet, now, until) in [
            (QuietHours::Off, "2026-06-01T02:00:00Z", None),
            (daytime("Europe/Zurich"), "2026-06-01T05:59:59Z", Some("2026-06-01T06:00:00Z")),
            (daytime("Europe/Zurich"), "2026-06-01T06:00:00Z", None),
            (daytime("Europe/Zurich"), "2026-06-01T18:00:00Z", Some("2026-06-02T06:00:00Z")),
            // The night on which the clock goes forward, and the one on which it goes back.
            (daytime("Europe/Zurich"), "2026-03-28T20:00:00Z", Some("2026-03-29T06:00:00Z")),
            (daytime("Europe/Zurich"), "2026-10-24T20:00:00Z", Some("2026-10-25T07:00:00Z")),
            (daytime("Asia/Kathmandu"), "2026-06-01T15:00:00Z", Some("2026-06-02T02:15:00Z")),
            // The practice's own hours, its leave included.
            (office.clone(), "2026-06-05T16:00:00Z", Some("2026-06-08T07:00:00Z")),
            (office.clone(), "2026-06-05T12:00:00Z", None),
            (office.clone(), "2026-08-04T09:00:00Z", Some("2026-08-24T07:00:00Z")),
            // What cannot be worked out holds nothing back.
            (daytime("Mars/Olympus"), "2026-06-01T02:00:00Z", None),
            (QuietHours::Outside { zone: "UTC".into(), hours: vec![] }, "2026-06-01T02:00:00Z", None),
        ] {
            assert_eq!(quiet_until(&quiet, Some(&card()), at(now)), until.map(at), "{quiet:?} {now}");
        }
        let silent = PracticeCard { hours: vec![], exceptions: vec![], ..card() };
        for card in [None, Some(&silent)] {
            assert_eq!(quiet_until(&office, card, at("2026-06-01T02:00:00Z")), None);
        }
    }
}
