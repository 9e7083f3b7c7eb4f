//! Hours of a week in a time zone, with exceptions, as intervals of time.
//!
//! A time of day means the first moment at which the clock on the wall shows it. One that the clock skips means the
//! moment of the skip; so an interval never runs backwards, and one that lies in the gap is empty.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp as Instant, ToSpan};

use crate::types::Timestamp;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// How far ahead an opening is looked for.
const HORIZON_DAYS: i32 = 400;

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weekday {
    /// The first day, as ISO 8601 counts.
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The seventh.
    Sunday,
}

impl Weekday {
    /// All of them, in order.
    pub const ALL: [Self; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    /// 1 for Monday to 7 for Sunday.
    pub(crate) const fn number(self) -> u32 {
        self as u32 + 1
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.number() == number)
    }

    fn of(date: Date) -> Option<Self> {
        u32::try_from(date.weekday().to_monday_one_offset()).ok().and_then(Self::from_number)
    }
}

/// A day of the calendar, without a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

/// Text that is not a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day of the calendar; write it as 2026-12-24")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        // Exactly this form: jiff would also take a date with a time.
        let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        text.parse().ok().filter(|_| is_plain).map(Self).ok_or(NotADay)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Day {
    /// As a number that grows from day to day: 20261224.
    pub(crate) fn number(self) -> u32 {
        let Self(date) = self;
        let (year, month, day) = (date.year(), date.month(), date.day());
        u32::try_from(i32::from(year) * 10_000 + i32::from(month) * 100 + i32::from(day)).unwrap_or(0)
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
        let date = Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()?;
        (year > 0).then_some(Self(date))
    }
}

/// A part of a day, in minutes after midnight. It may reach into the next day, and belongs to the day on which it
/// begins: 22:00 to 02:00 is 1,320 to 1,560.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayHours {
    /// The first minute, below 1,440.
    pub from: u16,
    /// The minute after the last: later than `from`, and at most 24 hours later.
    pub until: u16,
}

impl DayHours {
    /// Whether the two make sense.
    pub(crate) const fn is_valid(self) -> bool {
        self.from < DAY && self.from < self.until && self.until - self.from <= DAY
    }
}

/// Hours that come back every week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeekHours {
    /// The day on which they begin.
    pub day: Weekday,
    /// The part of that day.
    pub hours: DayHours,
}

/// Days on which other hours hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoursException {
    /// The first day.
    pub first: Day,
    /// The last day, included.
    pub last: Day,
    /// The hours on each of these days. None: closed.
    pub hours: Vec<DayHours>,
    /// Why, to be shown; may be empty.
    pub note: String,
    /// Who covers in that time; empty for whoever always does.
    pub cover: String,
}

impl HoursException {
    fn holds_on(&self, date: Date) -> bool {
        (self.first.0..=self.last.0).contains(&date)
    }
}

/// Time from one moment to another, the second not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// A name that this version's time zone database does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such time zone")]
pub(crate) struct UnknownZone;

/// Hours of a week in their time zone.
pub(crate) struct Schedule<'a> {
    zone: TimeZone,
    week: &'a [WeekHours],
    exceptions: &'a [HoursException],
}

/// The database inside this version, on every device the same: what a system has may be older, newer or absent.
fn zones() -> &'static TimeZoneDatabase {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}

/// Times that no calendar has are as far ahead as a calendar goes.
pub(crate) fn instant(at: Timestamp) -> Instant {
    i64::try_from(at).ok().and_then(|at| Instant::from_millisecond(at).ok()).unwrap_or(Instant::MAX)
}

fn timestamp(at: Instant) -> Timestamp {
    at.as_millisecond().try_into().unwrap_or(0)
}

impl<'a> Schedule<'a> {
    pub(crate) fn new(
        zone: &str,
        week: &'a [WeekHours],
        exceptions: &'a [HoursException],
    ) -> Result<Self, UnknownZone> {
        let zone = zones().get(zone).map_err(|_| UnknownZone)?;
        Ok(Self { zone, week, exceptions })
    }

    /// The exception that holds at this moment.
    pub(crate) fn exception(&self, at: Timestamp) -> Option<&'a HoursException> {
        self.exception_on(self.date(at))
    }

    /// The first one in the list, where several do.
    fn exception_on(&self, date: Date) -> Option<&'a HoursException> {
        self.exceptions.iter().find(|exception| exception.holds_on(date))
    }

    fn date(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(instant(at)).date()
    }

    /// The hours that begin on a day, in order, none of them empty.
    fn on(&self, date: Date) -> Vec<Interval> {
        let mut hours: Vec<DayHours> = match self.exception_on(date) {
            Some(exception) => exception.hours.clone(),
            None => {
                self.week.iter().filter(|week| Some(week.day) == Weekday::of(date)).map(|week| week.hours).collect()
            }
        };
        hours.sort_unstable();
        let interval = |hours: DayHours| {
            let (from, until) = (self.moment(date, hours.from)?, self.moment(date, hours.until)?);
            (from < until).then_some(Interval { from: timestamp(from), until: timestamp(until) })
        };
        hours.into_iter().filter_map(interval).collect()
    }

    /// The first moment at which the clock shows so many minutes after midnight of a date, or has gone past it.
    fn moment(&self, date: Date, minutes: u16) -> Option<Instant> {
        let midnight: DateTime = date.at(0, 0, 0, 0);
        let ambiguous = self.zone.to_ambiguous_timestamp(midnight.checked_add(i64::from(minutes).minutes()).ok()?);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(ambiguous.datetime()).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(ambiguous.datetime()).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                // By the offset before the gap this lies after the change, by as much as it lies inside.
                let after = before.to_timestamp(ambiguous.datetime()).ok()?;
                let change = self.zone.preceding(after.checked_add(1.nanosecond()).ok()?).next()?;
                Some(change.timestamp())
            }
        }
    }

    /// The days from the day before a moment on, each with its hours: of earlier days none reaches that far.
    fn days(&self, from: Timestamp) -> impl Iterator<Item = Vec<Interval>> {
        // Two days earlier, where a zone once left out a whole day.
        let first = self.date(from).checked_sub(2.days()).ok();
        let mut next = first;
        let dates = std::iter::from_fn(move || {
            let date = next?;
            next = date.tomorrow().ok();
            Some(date)
        });
        dates.take(HORIZON_DAYS as usize).map(|date| self.on(date))
    }

    /// The hours that end after a moment, in order, those that touch put together. They are looked for a year ahead.
    pub(crate) fn openings(&self, from: Timestamp) -> impl Iterator<Item = Interval> {
        let mut hours = self.days(from).flatten().filter(move |interval| interval.until > from).peekable();
        std::iter::from_fn(move || {
            let mut interval = hours.next()?;
            while let Some(next) = hours.next_if(|next| next.from <= interval.until) {
                interval.until = interval.until.max(next.until);
            }
            Some(interval)
        })
    }

    /// The hours at this moment, if it lies inside of some.
    pub(crate) fn open_at(&self, at: Timestamp) -> Option<Interval> {
        self.openings(at).next().filter(|interval| interval.from <= at)
    }

    /// When the next hours begin that do not contain this moment.
    pub(crate) fn opens_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.openings(at).find(|interval| interval.from > at).map(|interval| interval.from)
    }

    /// Whether hours that end then end because nothing further was looked at.
    pub(crate) fn is_beyond(&self, from: Timestamp, until: Timestamp) -> bool {
        let last = self.date(from).checked_add((HORIZON_DAYS - 4).days()).ok();
        last.is_none_or(|last| self.date(until) >= last)
    }

    /// When so many milliseconds of hours have passed since a moment.
    pub(crate) fn after_open_time(&self, from: Timestamp, mut wait: u64) -> Option<Timestamp> {
        for interval in self.openings(from) {
            let begin = interval.from.max(from);
            let length = interval.until - begin;
            if wait <= length {
                return Some(begin + wait);
            }
            wait -= length;
        }
        None
    }

    /// When the hours of a working day end: 0 for the first day whose hours end after this moment, 1 for the next day
    /// that has any.
    pub(crate) fn after_working_days(&self, from: Timestamp, days: u32) -> Option<Timestamp> {
        let last_of_day = |hours: Vec<Interval>| hours.into_iter().map(|interval| interval.until).max();
        self.days(from).filter_map(last_of_day).filter(|until| *until > from).nth(days as usize)
    }
}

#[cfg(test)]
mod tests;
