//! Notes of a conversation, in words for people and in codes for scripts.

use tacit_client_core::{Direction, Keep, Note, Retention};

/// A note, for scripts.
pub(crate) const fn code(note: &Note) -> &'static str {
    match note {
        Note::Retention { .. } => "retention",
        Note::Deleted => "deleted",
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
        Note::Retention { retention } => format!("{who} keep this conversation {}", retention_words(*retention)),
        Note::Deleted => format!("{who} deleted a message before it arrived"),
        Note::PracticeCardChanged => format!("{who} changed the practice card"),
        Note::CrisisCardChanged => format!("{who} changed the crisis card"),
        Note::TermsChanged { version } => format!("{who} changed the terms (version {version})"),
        Note::Agreed { version } => format!("{who} agreed to the terms (version {version})"),
    }
}

/// How long a conversation is kept, in words.
pub(crate) fn retention_words(retention: Retention) -> String {
    let keep = match retention.keep {
        Keep::Always => "until it is deleted by hand".to_owned(),
        Keep::ForYears { years } => format!("for {years} years, then delete it"),
        Keep::ForDays { days } => format!("for {days} days, then delete it"),
    };
    if retention.legal_hold { format!("under a legal hold; without it, {keep}") } else { keep }
}
