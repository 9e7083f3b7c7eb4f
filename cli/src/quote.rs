//! What a reply answers, in a few words.

use tacit_client_core::{Client, ContactError, Content, Direction, Message};

use crate::chat::shorten;
use crate::escape;
use crate::failure::Failure;
use crate::notes;

/// As much of the answered message as is shown.
const COLUMNS: usize = 60;

/// The message that this one answers, if it is still here and of the same conversation.
pub(crate) fn answered(client: &Client, message: &Message) -> Result<Option<Message>, Failure> {
    let Some(answered) = &message.reply_to else { return Ok(None) };
    match client.message(answered.clone()) {
        // Whoever answers cannot make this device show another conversation.
        Ok(found) => Ok(Some(found).filter(|found| found.contact == message.contact)),
        Err(ContactError::NoSuchMessage) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a message answers, for whoever prints it; none if it is no reply.
pub(crate) fn of(client: &Client, message: &Message, label: &str) -> Result<Option<String>, Failure> {
    if message.reply_to.is_none() {
        return Ok(None);
    }
    Ok(Some(words(answered(client, message)?.as_ref(), label)))
}

/// Whose message it is, and how it begins.
pub(crate) fn words(answered: Option<&Message>, label: &str) -> String {
    let Some(message) = answered else { return "a message that is not here any more".into() };
    let who = match message.direction {
        Direction::In => escape::line(label),
        Direction::Out => "me".into(),
    };
    match &message.content {
        Content::Text(text) => format!("{who}: {}", beginning(text)),
        Content::Attachment(attachment) => format!("{who}: file {}", beginning(&attachment.name)),
        Content::Note(note) => format!("({})", escape::line(&notes::words(note, message.direction))),
        Content::Unknown => format!("{who}: something that only a newer version of Tacit can show"),
    }
}

fn beginning(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shorten(&escape::line(&words), COLUMNS)
}

#[cfg(test)]
pub(crate) mod tests {
    use tacit_client_core::{Note, Outcome};

    use super::*;

    pub(crate) fn message(direction: Direction, content: Content) -> Message {
        Message {
            id: "0a".into(),
            contact: "0b".into(),
            direction,
            content,
            outcome: Outcome::Delivered,
            sent_at: 0,
            stored_at: 0,
            gap_before: false,
            reply_to: None,
            edited: false,
            withdrawn: false,
        }
    }

    #[test]
    fn a_reply_names_whose_words_it_answers_and_how_they_begin() {
        let said = message(Direction::In, Content::Text("How was\n  your week?".into()));
        assert_eq!(words(Some(&said), "Anna"), "Anna: How was your week?");
        let long = message(Direction::Out, Content::Text("word ".repeat(50)));
        let quote = words(Some(&long), "Anna");
        assert!(quote.starts_with("me: word word") && quote.ends_with('…') && quote.len() < 80, "{quote}");
        assert_eq!(words(None, "Anna"), "a message that is not here any more");
        let withdrawn = message(Direction::In, Content::Note(Note::Withdrawn));
        assert_eq!(words(Some(&withdrawn), "Anna"), "(They withdrew a message)");
    }

    #[test]
    fn what_is_quoted_cannot_drive_the_terminal() {
        let evil = message(Direction::In, Content::Text("a\u{1b}[2Jb".into()));
        assert!(!words(Some(&evil), "x\u{1b}").contains('\u{1b}'));
    }
}
