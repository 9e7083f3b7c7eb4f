//! The practice card: who the practice is, when it answers, and what follows from that at a given time.

use prost::Message as _;

use super::hours::{Day, DayHours, HoursException, Schedule, UnknownZone, WeekHours, Weekday};
use super::statement::Body;
use crate::content::{BadContent, MAX_NAME, MAX_NUMBER, pb};
use crate::crypto::signing::StatementKind;
use crate::error::CardError;
use crate::types::Timestamp;

/// Longest card, as it is signed: with the longest terms and crisis card it fits an offer.
pub(crate) const MAX_CARD: usize = 30_000;

const MAX_ZONE: usize = 64;
const MAX_HOURS: usize = 64;
const MAX_EXCEPTIONS: usize = 100;
const MAX_HOURS_OF_A_DAY: usize = 8;
const MAX_NOTE: usize = 500;
const MAX_COVER: usize = 1_000;
const MAX_POLICY: usize = 4_000;

/// A year: whoever promises less precisely promises nothing.
const MAX_MINUTES: u32 = 366 * 24 * 60;
const MAX_DAYS: u32 = 366;

const MINUTE_MS: u64 = 60_000;

/// What a practice says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PracticeCard {
    /// Its name, 1 to 200 bytes.
    pub practice: String,
    /// The time zone of its hours, by its IANA name: `Europe/Zurich`.
    pub zone: String,
    /// Its hours; at most 64.
    pub hours: Vec<WeekHours>,
    /// Days on which other hours hold, or none; at most 100. Where two hold on one day, the first does.
    pub exceptions: Vec<HoursException>,
    /// How soon it usually answers.
    pub response: Option<ResponseTime>,
    /// Who covers when it is away; may be empty, at most 1,000 bytes.
    pub cover: String,
    /// What messages are for, and what they are not for; may be empty, at most 4,000 bytes.
    pub policy: String,
}

/// How soon a practice usually answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseTime {
    /// So many minutes after the message, by night and on weekends too; while an exception closes the practice, they
    /// begin when it opens again.
    Elapsed {
        /// How many: 1 minute to a year.
        minutes: u32,
    },
    /// So many minutes of its hours after the message.
    OpenTime {
        /// How many: 1 minute to a year.
        minutes: u32,
    },
    /// At the end of a working day: 0 is the day on which the message comes, if it comes before that day's hours end,
    /// else the next one with any.
    WorkingDays {
        /// How many days after that: up to a year.
        days: u32,
    },
}

/// A practice card as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPracticeCard {
    /// Grows with every change.
    pub version: u64,
    /// When it was signed, by the clock of the practice's device.
    pub signed_at: Timestamp,
    /// What it says.
    pub card: PracticeCard,
}

/// Whether a practice can be expected to read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It did not say, or in words that this version cannot work with.
    Unknown,
    /// Within its hours.
    Open {
        /// Until when; none if no end is in sight.
        until: Option<Timestamp>,
    },
    /// Outside of its hours.
    Closed {
        /// When its hours begin again; none if they do not within a year.
        opens: Option<Timestamp>,
        /// Why, if this is an exception.
        away: Option<Away>,
    },
}

/// An exception because of which a practice is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Away {
    /// The last day of it.
    pub last: Day,
    /// Why; may be empty.
    pub note: String,
    /// Who covers; may be empty.
    pub cover: String,
}

/// What a person who writes now is to be told, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Whether the practice can be expected to read now.
    pub availability: Availability,
    /// By when an answer can be expected, if the practice said; usual, and no promise.
    pub answer_by: Option<Timestamp>,
    /// What messages are for, in the practice's words; may be empty.
    pub policy: String,
    /// Who covers while the practice is closed; may be empty. Whoever covers while it is away stands in [`Away::cover`].
    pub cover: String,
}

/// Whether the practice can be expected to read at a moment.
#[must_use]
pub fn availability(card: &PracticeCard, now: Timestamp) -> Availability {
    let Ok(schedule) = card.schedule() else { return Availability::Unknown };
    if card.hours.is_empty() && card.exceptions.is_empty() {
        return Availability::Unknown;
    }
    if let Some(open) = schedule.open_at(now) {
        let until = Some(open.until).filter(|until| !schedule.is_beyond(now, *until));
        return Availability::Open { until };
    }
    let away = schedule.exception(now).map(|exception| Away {
        last: exception.last,
        note: exception.note.clone(),
        cover: if exception.cover.is_empty() { card.cover.clone() } else { exception.cover.clone() },
    });
    Availability::Closed { opens: schedule.opens_after(now), away }
}

/// By when an answer can be expected to a message of this moment, if the practice said. It is what the practice says is
/// usual, and no promise.
#[must_use]
pub fn expected_answer_by(card: &PracticeCard, sent_at: Timestamp) -> Option<Timestamp> {
    let response = card.response?;
    let schedule = card.schedule().ok();
    match response {
        ResponseTime::Elapsed { minutes } => {
            let wait = u64::from(minutes) * MINUTE_MS;
            let is_away = schedule.as_ref().is_some_and(|schedule| {
                schedule.exception(sent_at).is_some_and(|exception| exception.hours.is_empty())
                    && schedule.open_at(sent_at).is_none()
            });
            if is_away { Some(schedule?.opens_after(sent_at)? + wait) } else { Some(sent_at.saturating_add(wait)) }
        }
        ResponseTime::OpenTime { minutes } => schedule?.after_open_time(sent_at, u64::from(minutes) * MINUTE_MS),
        ResponseTime::WorkingDays { days } => schedule?.after_working_days(sent_at, days),
    }
}

/// What a person who writes at a moment is to be told.
#[must_use]
pub fn expectation(card: &PracticeCard, now: Timestamp) -> Expectation {
    Expectation {
        availability: availability(card, now),
        answer_by: expected_answer_by(card, now),
        policy: card.policy.clone(),
        cover: card.cover.clone(),
    }
}

impl PracticeCard {
    fn schedule(&self) -> Result<Schedule<'_>, UnknownZone> {
        Schedule::new(&self.zone, &self.hours, &self.exceptions)
    }

    /// Whether this device would sign it: what [`PracticeCard::check`] asks, and a time zone that it knows.
    pub(crate) fn check_own(&self) -> Result<(), CardError> {
        self.check()?;
        self.schedule().map(|_| ()).map_err(|UnknownZone| CardError::UnknownZone)
    }

    /// The rules that a card must keep wherever it comes from.
    fn check(&self) -> Result<(), CardError> {
        let is_short = |text: &str, most: usize| text.len() <= most;
        if self.practice.is_empty() || !is_short(&self.practice, MAX_NAME) {
            return Err(CardError::BadName);
        }
        let is_zone = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
        if self.zone.is_empty() || !is_short(&self.zone, MAX_ZONE) || !self.zone.bytes().all(is_zone) {
            return Err(CardError::UnknownZone);
        }
        if self.hours.len() > MAX_HOURS || !self.hours.iter().all(|week| week.hours.is_valid()) {
            return Err(CardError::BadHours);
        }
        let is_valid = |exception: &HoursException| {
            exception.first <= exception.last
                && exception.hours.len() <= MAX_HOURS_OF_A_DAY
                && exception.hours.iter().all(|hours| hours.is_valid())
        };
        if self.exceptions.len() > MAX_EXCEPTIONS || !self.exceptions.iter().all(is_valid) {
            return Err(CardError::BadException);
        }
        let is_valid = match self.response {
            None => true,
            Some(ResponseTime::Elapsed { minutes } | ResponseTime::OpenTime { minutes }) => {
                (1..=MAX_MINUTES).contains(&minutes)
            }
            Some(ResponseTime::WorkingDays { days }) => days <= MAX_DAYS,
        };
        if !is_valid {
            return Err(CardError::BadResponseTime);
        }
        let are_short = self.exceptions.iter().all(|e| is_short(&e.note, MAX_NOTE) && is_short(&e.cover, MAX_COVER));
        if !are_short || !is_short(&self.cover, MAX_COVER) || !is_short(&self.policy, MAX_POLICY) {
            return Err(CardError::TooLong);
        }
        Ok(())
    }
}

impl Body for SignedPracticeCard {
    const KIND: StatementKind = StatementKind::PracticeCard;

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Vec<u8> {
        let card = &self.card;
        let day_hours = |hours: &DayHours| pb::DayHours { from: hours.from.into(), until: hours.until.into() };
        pb::PracticeCard {
            version: self.version,
            signed_at: self.signed_at,
            practice: card.practice.clone(),
            zone: card.zone.clone(),
            hours: card
                .hours
                .iter()
                .map(|week| pb::WeekHours { day: week.day.number(), hours: Some(day_hours(&week.hours)) })
                .collect(),
            exceptions: card
                .exceptions
                .iter()
                .map(|exception| pb::HoursException {
                    first: exception.first.number(),
                    last: exception.last.number(),
                    hours: exception.hours.iter().map(day_hours).collect(),
                    note: exception.note.clone(),
                    cover: exception.cover.clone(),
                })
                .collect(),
            response: card.response.map(|response| {
                let (unit, amount) = match response {
                    ResponseTime::Elapsed { minutes } => (1, minutes),
                    ResponseTime::OpenTime { minutes } => (2, minutes),
                    ResponseTime::WorkingDays { days } => (3, days),
                };
                pb::ResponseTime { unit, amount }
            }),
            cover: card.cover.clone(),
            policy: card.policy.clone(),
        }
        .encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, BadContent> {
        if body.len() > MAX_CARD {
            return Err(BadContent);
        }
        let read = pb::PracticeCard::decode(body).map_err(|_| BadContent)?;
        if !(1..=MAX_NUMBER).contains(&read.version) {
            return Err(BadContent);
        }
        let card = PracticeCard {
            practice: read.practice,
            zone: read.zone,
            hours: read
                .hours
                .into_iter()
                .map(|week| {
                    Ok(WeekHours {
                        day: Weekday::from_number(week.day).ok_or(BadContent)?,
                        hours: day_hours(week.hours.ok_or(BadContent)?)?,
                    })
                })
                .collect::<Result<_, _>>()?,
            exceptions: read
                .exceptions
                .into_iter()
                .map(|exception| {
                    Ok(HoursException {
                        first: Day::from_number(exception.first).ok_or(BadContent)?,
                        last: Day::from_number(exception.last).ok_or(BadContent)?,
                        hours: exception.hours.into_iter().map(day_hours).collect::<Result<_, _>>()?,
                        note: exception.note,
                        cover: exception.cover,
                    })
                })
                .collect::<Result<_, _>>()?,
            // A unit of a newer version is as good as none.
            response: read.response.and_then(|response| match (response.unit, response.amount) {
                (1, minutes) => Some(ResponseTime::Elapsed { minutes }),
                (2, minutes) => Some(ResponseTime::OpenTime { minutes }),
                (3, days) => Some(ResponseTime::WorkingDays { days }),
                _ => None,
            }),
            cover: read.cover,
            policy: read.policy,
        };
        card.check().map_err(|_| BadContent)?;
        Ok(Self { version: read.version, signed_at: read.signed_at.min(MAX_NUMBER), card })
    }
}

fn day_hours(hours: pb::DayHours) -> Result<DayHours, BadContent> {
    let minutes = |minutes: u32| u16::try_from(minutes).map_err(|_| BadContent);
    Ok(DayHours { from: minutes(hours.from)?, until: minutes(hours.until)? })
}

#[cfg(test)]
pub(crate) mod tests;
