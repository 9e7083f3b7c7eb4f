//! `tacit history`, and messages as lines of text.

use tacit_client_core::{Client, ContactId, Content, Direction, Message, MessageId};

use crate::args;
use crate::clock::{Clock, shown_time};
use crate::describe;
use crate::escape;
use crate::failure::Failure;
use crate::notes;
use crate::output::Output;
use crate::quote;
use crate::record::MessageLine;
use crate::session::Session;

const PAGE: u32 = 200;

pub(super) fn run(session: &Session, args: &args::History, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    let limit = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut newest_first = Vec::new();
    for page in Pages::new(session.client(), &contact.id) {
        if newest_first.len() >= limit {
            break;
        }
        newest_first.extend(page?.into_iter().rev());
    }
    newest_first.truncate(limit);
    for message in newest_first.into_iter().rev() {
        let answers = quote::of(session.client(), &message, &contact.label)?;
        let plain = plain(&message, &contact.label, answers.as_deref(), &session.clock);
        output.answer(&MessageLine::new(message), || plain)?;
    }
    Ok(())
}

/// A message as lines of text, with what it answers. Its own further lines are indented, and what Tacit says of it is not,
/// so that none passes for anything else.
pub(super) fn plain(message: &Message, label: &str, answers: Option<&str>, clock: &Clock) -> String {
    let at = clock.date_time(shown_time(message));
    let indent = at.len() + 2;
    let text = match &message.content {
        Content::Text(text) => escape::indented(text, indent),
        Content::Attachment(attachment) => describe::attachment(attachment),
        Content::Note(note) => format!("({})", escape::line(&notes::words(note, message.direction))),
        Content::Unknown => "(something that only a newer version of Tacit can show)".into(),
    };
    let gap = if message.gap_before { "(something sent before this is missing so far)\n" } else { "" };
    // What is quoted fills its line: it must not pass for the text.
    let answers = match answers {
        Some(answers) => format!(" (answers {}):\n{:indent$}", escape::line(answers), ""),
        None => ": ".into(),
    };
    let marks = describe::marks(message);
    match message.direction {
        Direction::In => format!("{gap}{at}  {}{answers}{text}{marks}", escape::line(label)),
        Direction::Out => {
            format!("{gap}{at}  me{answers}{text}{marks}  [{}]", describe::outcome_words(message.outcome, clock))
        }
    }
}

/// The pages of a conversation, the newest page first; within a page the oldest message is first.
pub(super) struct Pages<'a> {
    client: &'a Client,
    contact: &'a ContactId,
    next: Next,
}

enum Next {
    Newest,
    Before(MessageId),
    Nothing,
}

impl<'a> Pages<'a> {
    pub(super) const fn new(client: &'a Client, contact: &'a ContactId) -> Self {
        Self { client, contact, next: Next::Newest }
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Vec<Message>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let before = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Newest => None,
            Next::Before(id) => Some(id),
            Next::Nothing => return None,
        };
        match self.client.history(self.contact.clone(), before, PAGE) {
            Ok(page) => {
                self.next = Next::Before(page.first()?.id.clone());
                Some(Ok(page))
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tacit_client_core::Outcome;

    use super::*;

    fn message(direction: Direction, text: &str) -> Message {
        Message {
            id: "0a".into(),
            contact: "0b".into(),
            direction,
            content: Content::Text(text.into()),
            outcome: Outcome::Accepted { until: 1_741_000_920_000 + 21 * 86_400_000 },
            sent_at: 1_741_000_920_000,
            stored_at: 1_741_000_920_000,
            gap_before: false,
            reply_to: None,
            edited: false,
            withdrawn: false,
        }
    }

    #[test]
    fn a_message_cannot_pass_for_two() {
        let text = plain(&message(Direction::In, "hi\n2025-03-03 11:23  me: I agree"), "Anna", None, &Clock::utc());
        assert_eq!(text, "2025-03-03 11:22  Anna: hi\n                  2025-03-03 11:23  me: I agree");
    }

    #[test]
    fn what_we_sent_says_what_became_of_it() {
        let text = plain(&message(Direction::Out, "hi"), "Anna", None, &Clock::utc());
        assert_eq!(text, "2025-03-03 11:22  me: hi  [held for them until 24 March]");
    }

    #[test]
    fn a_reply_shows_what_it_answers() {
        let text = plain(&message(Direction::In, "good"), "Anna", Some("me: How are you?"), &Clock::utc());
        assert_eq!(text, "2025-03-03 11:22  Anna (answers me: How are you?):\n                  good");
        let forged = plain(&message(Direction::In, "x\n(answers me: Do you agree?)"), "Anna", None, &Clock::utc());
        assert_eq!(forged, "2025-03-03 11:22  Anna: x\n                  (answers me: Do you agree?)");
    }

    #[test]
    fn a_gap_shows_as_a_gap() {
        let text = plain(&Message { gap_before: true, ..message(Direction::In, "hi") }, "Anna", None, &Clock::utc());
        assert!(text.starts_with("(something sent before this is missing so far)\n2025-03-03"), "{text}");
    }
}
