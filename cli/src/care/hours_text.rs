//! Hours and response times as people write them: `mon-fri 09:00-17:00`, `2 working days`.

use tacit_client_core::{DayHours, ResponseTime, WeekHours, Weekday};

const DAY: u16 = 24 * 60;

/// What cannot be read, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotHours(String);

impl std::fmt::Display for NotHours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

const fn name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}

fn day(text: &str) -> Option<Weekday> {
    let text = text.to_lowercase();
    Weekday::ALL.into_iter().find(|day| text.get(..3) == Some(name(*day)))
}

/// `mon`, `mon-fri`, `fri-mon`.
fn days(text: &str) -> Option<Vec<Weekday>> {
    let Some((first, last)) = text.split_once('-') else { return Some(vec![day(text)?]) };
    let (first, last) = (day(first)? as usize, day(last)? as usize);
    let count = (last + 7 - first) % 7 + 1;
    Some(Weekday::ALL.into_iter().cycle().skip(first).take(count).collect())
}

fn time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || minutes.len() != 2 || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY).then_some(hours * 60 + minutes)
}

/// `09:00-17:00`; one that ends before it begins ends the next day.
pub(super) fn day_hours(text: &str) -> Result<DayHours, NotHours> {
    let read = || {
        let (from, until) = text.trim().split_once('-')?;
        let (from, until) = (time(from.trim())?, time(until.trim())?);
        Some(DayHours { from, until: if until <= from { until + DAY } else { until } })
    };
    read().ok_or_else(|| NotHours(format!("these are no hours: {text}; write them as 09:00-17:00")))
}

/// `mon-fri 09:00-17:00`; several may stand in one line with commas between them.
pub(super) fn week_hours(text: &str) -> Result<Vec<WeekHours>, NotHours> {
    let mut week = Vec::new();
    for part in text.split(',') {
        let wrong = || NotHours(format!("these are no hours: {part}; write them as mon-fri 09:00-17:00"));
        let (named, hours) = part.trim().split_once(' ').ok_or_else(wrong)?;
        let hours = day_hours(hours)?;
        week.extend(days(named).ok_or_else(wrong)?.into_iter().map(|day| WeekHours { day, hours }));
    }
    Ok(week)
}

/// As it is read by [`day_hours`].
pub(super) fn day_hours_text(hours: DayHours) -> String {
    let time = |minutes: u16| match minutes {
        DAY => "24:00".to_owned(),
        minutes => format!("{:02}:{:02}", minutes % DAY / 60, minutes % 60),
    };
    format!("{}-{}", time(hours.from), time(hours.until))
}

/// As it is read by [`week_hours`], days in a row with the same hours put together.
pub(super) fn week_hours_text(week: &[WeekHours]) -> Vec<String> {
    let mut week = week.to_vec();
    week.sort_unstable_by_key(|week| (week.hours.from, week.hours.until, week.day));
    let mut rows: Vec<(Weekday, Weekday, DayHours)> = Vec::new();
    for WeekHours { day, hours } in week {
        match rows.last_mut() {
            Some((_, last, same)) if *same == hours && *last as usize + 1 == day as usize => *last = day,
            _ => rows.push((day, day, hours)),
        }
    }
    rows.sort_by_key(|(first, _, hours)| (*first, hours.from));
    rows.into_iter()
        .map(|(first, last, hours)| {
            let days = if first == last { name(first).to_owned() } else { format!("{}-{}", name(first), name(last)) };
            format!("{days} {}", day_hours_text(hours))
        })
        .collect()
}

/// `same working day`, `2 working days`, `4 open hours`, `24 hours`.
pub(super) fn response(text: &str) -> Result<ResponseTime, NotHours> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let read = || match words.as_slice() {
        ["same", "working", "day"] => Some(ResponseTime::WorkingDays { days: 0 }),
        [days, "working", "day" | "days"] => Some(ResponseTime::WorkingDays { days: days.parse().ok()? }),
        [amount, "open", unit] => Some(ResponseTime::OpenTime { minutes: minutes(amount, unit)? }),
        [amount, unit] => Some(ResponseTime::Elapsed { minutes: minutes(amount, unit)? }),
        _ => None,
    };
    read().ok_or_else(|| {
        NotHours(format!("this is no response time: {text}; write it as 2 working days, 4 open hours, or 24 hours"))
    })
}

fn minutes(amount: &str, unit: &str) -> Option<u32> {
    let amount: u32 = amount.parse().ok()?;
    amount.checked_mul(match unit {
        "minute" | "minutes" => 1,
        "hour" | "hours" => 60,
        "day" | "days" => 24 * 60,
        _ => return None,
    })
}

/// As it is read by [`response`].
pub(super) fn response_text(response: ResponseTime) -> String {
    let length = |minutes: u32, open: &str| {
        let (amount, unit) = if minutes.is_multiple_of(60) { (minutes / 60, "hour") } else { (minutes, "minute") };
        format!("{amount} {open}{unit}{}", plural(amount))
    };
    match response {
        ResponseTime::WorkingDays { days: 0 } => "same working day".into(),
        ResponseTime::WorkingDays { days } => format!("{days} working day{}", plural(days)),
        ResponseTime::OpenTime { minutes } => length(minutes, "open "),
        ResponseTime::Elapsed { minutes } => length(minutes, ""),
    }
}

const fn plural(amount: u32) -> &'static str {
    if amount == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_as_they_are_read() {
        for (text, written) in [
            ("mon-fri 09:00-17:00", vec!["mon-fri 09:00-17:00"]),
            ("Monday-Friday 9:00-12:00,mon 13:30-17:00", vec!["mon-fri 09:00-12:00", "mon 13:30-17:00"]),
            ("fri 22:00-02:00", vec!["fri 22:00-02:00"]),
            ("sat-mon 10:00-11:00", vec!["mon 10:00-11:00", "sat-sun 10:00-11:00"]),
            ("sun 00:00-24:00", vec!["sun 00:00-24:00"]),
            ("mon 09:00-09:00", vec!["mon 09:00-09:00"]),
        ] {
            let week = week_hours(text).unwrap();
            assert_eq!(week_hours_text(&week), written);
            let again: Vec<_> = written.iter().flat_map(|row| week_hours(row).unwrap()).collect();
            let sorted = |mut week: Vec<WeekHours>| {
                week.sort_unstable();
                week
            };
            assert_eq!(sorted(again), sorted(week));
        }
        assert_eq!(day_hours("22:00-02:00"), Ok(DayHours { from: 1_320, until: 1_560 }));
    }

    #[test]
    fn what_is_no_hours_says_how_they_are_written() {
        for text in ["", "mon", "mon 9-17", "mon 09:00", "foo 09:00-17:00", "mon 09:60-17:00", "mon 25:00-26:00"] {
            assert!(week_hours(text).unwrap_err().to_string().contains("write them as"), "{text}");
        }
    }

    #[test]
    fn response_times_are_written_as_they_are_read() {
        for (text, response_time) in [
            ("same working day", ResponseTime::WorkingDays { days: 0 }),
            ("1 working day", ResponseTime::WorkingDays { days: 1 }),
            ("2 working days", ResponseTime::WorkingDays { days: 2 }),
            ("4 open hours", ResponseTime::OpenTime { minutes: 240 }),
            ("90 open minutes", ResponseTime::OpenTime { minutes: 90 }),
            ("1 hour", ResponseTime::Elapsed { minutes: 60 }),
            ("48 hours", ResponseTime::Elapsed { minutes: 2_880 }),
        ] {
            assert_eq!(response(text), Ok(response_time));
            assert_eq!(response_text(response_time), text);
        }
        assert_eq!(response("2 days"), Ok(ResponseTime::Elapsed { minutes: 2_880 }));
        for text in ["", "soon", "-1 hours", "2 working", "2 weeks", "99999999999 hours"] {
            assert!(response(text).is_err(), "{text}");
        }
    }
}
