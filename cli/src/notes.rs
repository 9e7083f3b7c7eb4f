//! Notes of a conversation, in words for people and in codes for scripts.

use tacit_client_core::{Direction, Note};

/// A note, for scripts.
pub(crate) const fn code(note: &Note) -> &'static str {
    match note {
        Note::PracticeCardChanged => "practice_card_changed",
        Note::CrisisCardChanged => "crisis_card_changed",
        Note::TermsChanged { .. } => "terms_changed",
        Note::Agreed { .. } => "agreed",
    }
}

/// A note, in words.
pub(crate) fn words(note: &Note, direction: Direction) -> String {
    let who = match direction {
        Direction::In => "They",
        Direction::Out => "You",
    };
    match note {
        Note::PracticeCardChanged => format!("{who} changed the practice card"),
        Note::CrisisCardChanged => format!("{who} changed the crisis card"),
        Note::TermsChanged { version } => format!("{who} changed the terms (version {version})"),
        Note::Agreed { version } => format!("{who} agreed to the terms (version {version})"),
    }
}
