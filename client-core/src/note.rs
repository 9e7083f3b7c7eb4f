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
}

/// The stored kind of a message that shows nothing. Notes have those from 30 on, except 31 and this.
pub(crate) const HIDDEN: i64 = 40;

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
            Self::PracticeCardChanged => (41, String::new()),
            Self::CrisisCardChanged => (42, String::new()),
            Self::TermsChanged { version } => (43, version.to_string()),
            Self::Agreed { version } => (44, version.to_string()),
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
            41 => Self::PracticeCardChanged,
            42 => Self::CrisisCardChanged,
            43 => Self::TermsChanged { version: number()? },
            44 => Self::Agreed { version: number()? },
            _ => return None,
        })
    }
}
