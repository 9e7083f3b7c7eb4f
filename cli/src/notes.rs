//! Notes of a conversation, in words for people and in codes for scripts.

use tacit_client_core::{Direction, Keep, Note, Retention};

/// A note, for scripts.
pub(crate) const fn code(note: &Note) -> &'static str {
    match note {
        Note::Retention { .. } => "retention",
        Note::Deleted => "deleted",
        Note::Withdrawn => "withdrawn",
        Note::PracticeCardChanged => "practice_card_changed",
        Note::CrisisCardChanged => "crisis_card_changed",
        Note::TermsChanged { .. } => "terms_changed",
        Note::Agreed { .. } => "agreed",
        Note::Paused { .. } => "paused",
        Note::Resumed => "resumed",
        Note::Discharged { .. } => "discharged",
        Note::Unpaired { .. } => "unpaired",
        Note::WordAsked => "word_asked",
        Note::WordGiven => "word_given",
        Note::WordRight => "word_right",
        Note::WordWrong => "word_wrong",
        Note::WordDeclined => "word_declined",
    }
}

/// A note in words, with those that came with it.
pub(crate) fn words(note: &Note, direction: Direction) -> String {
    let what = what(note, direction);
    match own_words(note) {
        Some(words) => format!("{what}: {words}"),
        None => what,
    }
}

/// What happened, in Tacit's own words alone.
pub(crate) fn what(note: &Note, direction: Direction) -> String {
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
        Note::Paused { .. } => format!("{who} paused the conversation"),
        Note::Withdrawn => format!("{who} withdrew a message"),
        Note::Resumed => format!("{who} resumed the conversation"),
        Note::Discharged { .. } => format!("{who} said farewell"),
        Note::Unpaired { .. } => format!("{who} ended the conversation"),
        Note::WordAsked => format!("{who} asked for the agreed word"),
        Note::WordGiven => format!("{who} answered with a word"),
        Note::WordRight => format!("{who} said the agreed word"),
        Note::WordWrong => format!("{who} did NOT say the agreed word"),
        Note::WordDeclined => format!("{who} did not want to say the agreed word"),
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

/// The words of whoever did it.
pub(crate) fn own_words(note: &Note) -> Option<&str> {
    match note {
        Note::Paused { words } | Note::Discharged { words } | Note::Unpaired { words } => {
            Some(words.as_str()).filter(|words| !words.is_empty())
        }
        _ => None,
    }
}
