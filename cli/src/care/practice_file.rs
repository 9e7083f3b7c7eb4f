//! The practice card as a file that a person writes.

use serde::{Deserialize, Serialize};
use tacit_client_core::{HoursException, PracticeCard};

use super::hours_text::{day_hours, day_hours_text, response, response_text, week_hours, week_hours_text};
use crate::failure::Failure;

/// The file, and the answer of `practice show`.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PracticeFile {
    practice: String,
    zone: String,
    #[serde(default)]
    hours: Vec<String>,
    #[serde(default)]
    exceptions: Vec<ExceptionFile>,
    #[serde(default)]
    response: Option<String>,
    #[serde(default)]
    cover: String,
    #[serde(default)]
    policy: String,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
struct ExceptionFile {
    from: String,
    /// The same day, if it is left out.
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    hours: Vec<String>,
    #[serde(default)]
    note: String,
    #[serde(default)]
    cover: String,
}

/// Reads the file.
pub(super) fn parse(text: &str) -> Result<PracticeCard, Failure> {
    let bad = |why: &dyn std::fmt::Display| Failure::BadFile(why.to_string());
    let file: PracticeFile = serde_json::from_str(text).map_err(|error| bad(&error))?;
    let hours =
        file.hours.iter().map(|row| week_hours(row)).collect::<Result<Vec<_>, _>>().map_err(|error| bad(&error))?;
    let exceptions = file.exceptions.into_iter().map(|exception| {
        let first = exception.from.parse().map_err(|error| bad(&error))?;
        let last = exception.to.map_or(Ok(first), |to| to.parse().map_err(|error| bad(&error)))?;
        let hours = exception.hours.iter().map(|hours| day_hours(hours)).collect::<Result<_, _>>();
        let hours = hours.map_err(|error| bad(&error))?;
        Ok(HoursException { first, last, hours, note: exception.note, cover: exception.cover })
    });
    Ok(PracticeCard {
        practice: file.practice,
        zone: file.zone,
        hours: hours.concat(),
        exceptions: exceptions.collect::<Result<_, Failure>>()?,
        response: file.response.map(|text| response(&text)).transpose().map_err(|error| bad(&error))?,
        cover: file.cover,
        policy: file.policy,
    })
}

impl From<&PracticeCard> for PracticeFile {
    fn from(card: &PracticeCard) -> Self {
        Self {
            practice: card.practice.clone(),
            zone: card.zone.clone(),
            hours: week_hours_text(&card.hours),
            exceptions: card
                .exceptions
                .iter()
                .map(|exception| ExceptionFile {
                    from: exception.first.to_string(),
                    to: Some(exception.last.to_string()),
                    hours: exception.hours.iter().map(|hours| day_hours_text(*hours)).collect(),
                    note: exception.note.clone(),
                    cover: exception.cover.clone(),
                })
                .collect(),
            response: card.response.map(response_text),
            cover: card.cover.clone(),
            policy: card.policy.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "practice": "Practice at the Lake",
        "zone": "Europe/Zurich",
        "hours": ["mon-fri 09:00-12:00", "mon 13:30-17:00"],
        "exceptions": [
            {"from": "2026-12-24", "hours": ["09:00-12:00"], "note": "Christmas Eve"},
            {"from": "2026-12-25", "to": "2027-01-02", "cover": "Dr. Other"}
        ],
        "response": "1 working day",
        "policy": "For appointments."
    }"#;

    #[test]
    fn a_file_is_written_as_it_is_read() {
        let card = parse(FILE).unwrap();
        assert_eq!((card.hours.len(), card.exceptions.len()), (6, 2));
        assert_eq!(card.exceptions[0].last, card.exceptions[0].first);
        let written = serde_json::to_string(&PracticeFile::from(&card)).unwrap();
        assert_eq!(parse(&written).unwrap().exceptions, card.exceptions);
        assert_eq!(PracticeFile::from(&parse(&written).unwrap()), PracticeFile::from(&card));
    }

    #[test]
    fn a_mistake_is_named_where_it_is() {
        for (from, to, named) in [
            ("mon-fri 09:00", "mon-fri nine", "write them as 09:00-17:00"),
            ("1 working day", "soon", "response time: soon"),
            ("2027-01-02", "2. Januar", "write it as 2026-12-24"),
            ("\"policy\"", "\"polcy\"", "polcy"),
            ("\"zone\": \"Europe/Zurich\",", "", "zone"),
        ] {
            let Err(Failure::BadFile(why)) = parse(&FILE.replacen(from, to, 1)) else { panic!("{to}") };
            assert!(why.contains(named), "{why}");
        }
    }
}
