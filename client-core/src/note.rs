//! Notes: what happened to a conversation besides texts, shown between them.

/// Something that happened to a conversation. [`Message::direction`](crate::Message::direction) says which side did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
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

/// The stored kind of a message that shows nothing. Notes have those from 41 to 69.
pub(crate) const HIDDEN: i64 = 40;

impl Note {
    /// The stored kind, and the text that goes with it.
    pub(crate) fn to_stored(&self) -> (i64, String) {
        match self {
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
            41 => Self::PracticeCardChanged,
            42 => Self::CrisisCardChanged,
            43 => Self::TermsChanged { version: number()? },
            44 => Self::Agreed { version: number()? },
            _ => return None,
        })
    }
}
