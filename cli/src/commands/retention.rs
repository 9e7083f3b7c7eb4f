//! `tacit retention` and `tacit delete`

use serde::Serialize;
use tacit_client_core::{Contact, ContactError, ContactState, Keep, Message, Retention};

use crate::args;
use crate::ask;
use crate::escape;
use crate::failure::Failure;
use crate::notes::retention_words;
use crate::output::Output;
use crate::session::Session;

/// Answer of `retention`.
#[derive(Serialize)]
struct Both {
    contact: String,
    ours: Rule,
    /// `null` if they never said.
    theirs: Option<Rule>,
}

#[derive(Serialize)]
struct Rule {
    keep: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    years: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
    legal_hold: bool,
}

impl From<Retention> for Rule {
    fn from(rule: Retention) -> Self {
        let (keep, years, days) = match rule.keep {
            Keep::Always => ("always", None, None),
            Keep::ForYears { years } => ("years", Some(years), None),
            Keep::ForDays { days } => ("days", None, Some(days)),
        };
        Self { keep, years, days, legal_hold: rule.legal_hold }
    }
}

/// Answer of `delete`.
#[derive(Serialize)]
struct Deleted {
    contact: String,
    deleted: bool,
}

pub(super) fn run(session: &Session, args: &args::Retention, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    let before = client.retention(contact.id.clone())?.ours;
    let keep = match (args.always, args.years, args.days) {
        (true, ..) => Keep::Always,
        (_, Some(years), _) => Keep::ForYears { years },
        (_, _, Some(days)) => Keep::ForDays { days },
        _ => before.keep,
    };
    let wanted = Retention { keep, legal_hold: (before.legal_hold || args.hold) && !args.no_hold };
    let is_new = wanted != before;
    if is_new {
        client.set_retention(contact.id.clone(), wanted)?;
    }
    let now = client.retention(contact.id.clone())?;
    let both = Both { contact: contact.id, ours: now.ours.into(), theirs: now.theirs.map(Rule::from) };
    output.answer(&both, || {
        let theirs = now.theirs.map_or("did not say how long they keep it".to_owned(), |rule| {
            format!("keep it {}", retention_words(rule))
        });
        let told = if is_new && !matches!(contact.state, ContactState::Ended(_)) {
            " They are told when this device next connects."
        } else {
            ""
        };
        format!("You keep this conversation {}. They {theirs}.{told}", retention_words(now.ours))
    })
}

pub(super) fn delete(session: &Session, args: &args::Delete, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    if let Some(message) = &args.message {
        check_is_of(&contact, &client.message(message.clone())?)?;
    }
    if !args.yes {
        let what = if args.message.is_some() { "this message" } else { "the whole conversation" };
        let label = escape::line(&contact.label);
        let question = format!("Delete {what} with {label} on this device for good? The other side keeps theirs.");
        if output.is_json() || !ask::is_anyone_there() || !ask::yes(&question).map_err(Failure::Terminal)? {
            return Err(Failure::NotConfirmed);
        }
    }
    match &args.message {
        Some(message) => client.delete_message(message.clone())?,
        None => client.delete_conversation(contact.id.clone())?,
    }
    output.answer(&Deleted { contact: contact.id, deleted: true }, || "Deleted on this device.".into())
}

/// The question before it names the contact: what is deleted must be of that one.
fn check_is_of(contact: &Contact, message: &Message) -> Result<(), ContactError> {
    if message.contact == contact.id { Ok(()) } else { Err(ContactError::NoSuchMessage) }
}

#[cfg(test)]
mod tests {
    use tacit_client_core::{Content, Direction};

    use super::*;
    use crate::pick::tests::contact;
    use crate::quote::tests::message;

    #[test]
    fn a_message_of_another_contact_is_not_deleted() {
        let (anna, ben) = (contact("a1b2", "Anna", ContactState::Paired), contact("c4d5", "Ben", ContactState::Paired));
        let message = Message { contact: ben.id.clone(), ..message(Direction::In, Content::Text("hello".into())) };
        assert!(check_is_of(&ben, &message).is_ok());
        assert!(matches!(check_is_of(&anna, &message), Err(ContactError::NoSuchMessage)));
    }
}
