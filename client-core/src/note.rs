//! Notes: what happened to a conversation besides texts, shown between them.

use crate::retention::{Keep, Retention};

/// Something that happened to a conversation. [`Message::direction`](crate::Message::direction) says which side did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A side said how long it keeps this conversation.
    Retention {
        /// From now on.
        retention: Retention,
    },
    /// The sender deleted a message before it arrived.
    Deleted,
    /// The sender withdrew a message, and it was deleted on both sides.
    Withdrawn,
    /// The practice changed its card.
    PracticeCardChanged,
    /// The practice changed its crisis card.
    CrisisCardChanged,
    /// The practice changed its terms: they are to be agreed to before more is sent.
    TermsChanged {
        /// The version of the terms.
        version: u64,
    },
    /// The client agreed to terms.
    Agreed {
        /// The version of the terms.
        version: u64,
    },
    /// The conversation was paused: nothing can be written until that side resumes it.
    Paused {
        /// Why, in that side's words; may be empty.
        words: String,
    },
    /// That side's pause ended.
    Resumed,
    /// A farewell: the pairing ends, and what was written before arrives.
    Discharged {
        /// That side's words; may be empty.
        words: String,
    },
    /// A farewell: the pairing ended at once.
    Unpaired {
        /// That side's words; may be empty.
        words: String,
    },
    /// That side asked for the agreed word.
    WordAsked,
    /// That side said a word; whether it was right, only the other device knows.
    WordGiven,
    /// That side said the agreed word.
    WordRight,
    /// That side said another word.
    WordWrong,
    /// That side did not want to say the agreed word.
    WordDeclined,
}

/// The stored kind of a message that shows nothing. Notes have those from 30 on, except 31 and this.
pub(crate) const HIDDEN: i64 = 40;

/// The stored kind of a message that was withdrawn.
pub(crate) const WITHDRAWN: i64 = 33;

impl Note {
    /// The stored kind, and the text that goes with it.
    pub(crate) fn to_stored(&self) -> (i64, String) {
        match self {
            Self::Retention { retention } => {
                let (keep, amount) = match retention.keep {
                    Keep::Always => ("always", 0),
                    Keep::ForYears { years } => ("years", years),
                    Keep::ForDays { days } => ("days", days),
                };
                (30, format!("{keep} {amount} {}", retention.legal_hold))
            }
            Self::Deleted => (32, String::new()),
            Self::Withdrawn => (WITHDRAWN, String::new()),
            Self::PracticeCardChanged => (41, String::new()),
            Self::CrisisCardChanged => (42, String::new()),
            Self::TermsChanged { version } => (43, version.to_string()),
            Self::Agreed { version } => (44, version.to_string()),
            Self::Paused { words } => (45, words.clone()),
            Self::Resumed => (46, String::new()),
            Self::Discharged { words } => (47, words.clone()),
            Self::Unpaired { words } => (48, words.clone()),
            Self::WordAsked => (49, String::new()),
            Self::WordGiven => (50, String::new()),
            Self::WordRight => (51, String::new()),
            Self::WordWrong => (52, String::new()),
            Self::WordDeclined => (53, String::new()),
        }
    }

    /// None: no note of this version.
    pub(crate) fn from_stored(kind: i64, text: &str) -> Option<Self> {
        let number = || text.parse().ok();
        Some(match kind {
            30 => {
                let mut words = text.split(' ');
                let (keep, amount) = (words.next()?, words.next()?.parse().ok()?);
                let keep = match keep {
                    "years" => Keep::ForYears { years: amount },
                    "days" => Keep::ForDays { days: amount },
                    _ => Keep::Always,
                };
                Self::Retention { retention: Retention { keep, legal_hold: words.next()? == "true" } }
            }
            32 => Self::Deleted,
            WITHDRAWN => Self::Withdrawn,
            41 => Self::PracticeCardChanged,
            42 => Self::CrisisCardChanged,
            43 => Self::TermsChanged { version: number()? },
            44 => Self::Agreed { version: number()? },
            45 => Self::Paused { words: text.to_owned() },
            46 => Self::Resumed,
            47 => Self::Discharged { words: text.to_owned() },
            48 => Self::Unpaired { words: text.to_owned() },
            49 => Self::WordAsked,
            50 => Self::WordGiven,
            51 => Self::WordRight,
            52 => Self::WordWrong,
            53 => Self::WordDeclined,
            _ => return None,
        })
    }
}
