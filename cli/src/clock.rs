//! Times as a person reads them, in the time zone of this device.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tacit_client_core::{Direction, Message};

/// Turns the core's timestamps into words.
#[derive(Clone, Debug)]
pub(crate) struct Clock(TimeZone);

impl Clock {
    /// In the time zone of this device.
    pub(crate) fn local() -> Self {
        Self(TimeZone::system())
    }

    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    fn zoned(&self, at: u64) -> jiff::Zoned {
        // A peer's clock may say anything: beyond what a calendar has, it says nothing.
        let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        at.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.0.clone())
    }

    /// The day, to tell whether two times are on the same one.
    pub(crate) fn date(&self, at: u64) -> Date {
        self.zoned(at).date()
    }

    /// `Monday, 3 March 2025`
    pub(crate) fn day(&self, at: u64) -> String {
        self.zoned(at).strftime("%A, %-d %B %Y").to_string()
    }

    /// `3 March`
    pub(crate) fn short_day(&self, at: u64) -> String {
        self.zoned(at).strftime("%-d %B").to_string()
    }

    /// `10:42`
    pub(crate) fn time(&self, at: u64) -> String {
        self.zoned(at).strftime("%H:%M").to_string()
    }

    /// `Monday, 3 March, 10:42`
    pub(crate) fn moment(&self, at: u64) -> String {
        self.zoned(at).strftime("%A, %-d %B, %H:%M").to_string()
    }

    /// Whose times these are.
    pub(crate) fn whose(&self) -> String {
        match self.0.iana_name() {
            Some(zone) => format!("(Times in the time zone of this device, {zone}.)"),
            None => "(Times in the time zone of this device.)".into(),
        }
    }

    /// The day that it is here, as `2025-03-03`.
    pub(crate) fn today(&self) -> String {
        self.zoned(now()).date().to_string()
    }

    /// `2025-03-03 10:42`
    pub(crate) fn date_time(&self, at: u64) -> String {
        self.zoned(at).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// The time, as the core counts it.
pub(crate) fn now() -> u64 {
    Timestamp::now().as_millisecond().try_into().unwrap_or(0)
}

/// A time as a person writes it, with its offset: `2026-06-05T18:00:00+02:00`.
pub(crate) fn parse(text: &str) -> Option<u64> {
    text.parse::<Timestamp>().ok()?.as_millisecond().try_into().ok()
}

/// The name of the time zone of this device, if it is known.
pub(crate) fn zone_name() -> Option<String> {
    TimeZone::system().iana_name().map(str::to_owned)
}

/// The language that this terminal is set to; English if it does not say.
pub(crate) fn locale() -> String {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    set.into_iter()
        .find(|locale| !locale.is_empty() && locale != "C" && locale != "POSIX")
        .unwrap_or_else(|| "en".into())
}

/// When a message was sent, as far as it can be known: a sender's clock cannot place it after its arrival.
pub(crate) fn shown_time(message: &Message) -> u64 {
    match message.direction {
        Direction::In => message.sent_at.min(message.stored_at),
        Direction::Out => message.sent_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        let clock = Clock::utc();
        let at = 1_741_000_920_000;
        assert_eq!(clock.day(at), "Monday, 3 March 2025");
        assert_eq!(clock.time(at), "11:22");
        assert_eq!(clock.date_time(at), "2025-03-03 11:22");
    }

    #[test]
    fn an_impossible_time_is_no_panic() {
        assert_eq!(Clock::utc().date_time(u64::MAX), "1970-01-01 00:00");
        assert_eq!(Clock::local().time(u64::MAX).len(), 5);
    }
}
