//! `tacit contacts` and `tacit rename`

use tacit_client_core::{Contact, ContactState};

use crate::args;
use crate::care::words;
use crate::clock;
use crate::describe;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::ContactLine;
use crate::session::Session;

pub(super) fn list(session: &Session, output: Output) -> Result<(), Failure> {
    let contacts = session.client().contacts()?;
    if contacts.is_empty() {
        output.note("No contacts yet: `tacit invite` to make a link, or `tacit join LINK` to use one.");
    }
    for contact in contacts {
        let is_end_said = describe::is_end_said(session.client(), &contact)?;
        output.answer(&ContactLine::from(contact.clone()), || plain(&contact, is_end_said))?;
    }
    Ok(())
}

pub(super) fn rename(session: &Session, args: &args::Rename, output: Output) -> Result<(), Failure> {
    if args.label.trim().is_empty() {
        return Err(Failure::EmptyLabel);
    }
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    client.rename(contact.id.clone(), args.label.clone())?;
    let contact = client.contact(contact.id)?;
    let is_end_said = describe::is_end_said(client, &contact)?;
    output.answer(&ContactLine::from(contact.clone()), || plain(&contact, is_end_said))
}

fn plain(contact: &Contact, is_end_said: bool) -> String {
    let mut line = format!(
        "{}  {}  {}",
        contact.id.get(..8).unwrap_or(&contact.id),
        escape::line(&contact.label),
        describe::state_word(contact.state)
    );
    if matches!(contact.state, ContactState::Joined | ContactState::Paired) {
        line.push_str(if contact.verified { ", verified" } else { ", unverified" });
    }
    if contact.unread > 0 {
        line.push_str(&format!(", {} unread", contact.unread));
    }
    let ageing = words::ageing(&contact.care, clock::now());
    if !ageing.is_empty() {
        line.push_str(&format!(", {ageing}"));
    }
    let sentence = describe::state_sentence(contact.state, is_end_said);
    let more = describe::warnings(contact);
    let more = more.iter().map(String::as_str).chain((!sentence.is_empty()).then_some(sentence));
    for sentence in more {
        line.push_str("\n          ");
        line.push_str(sentence);
    }
    line
}

#[cfg(test)]
mod tests {
    use tacit_client_core::EndedWhy;

    use super::*;

    fn contact() -> Contact {
        Contact {
            id: "a1b2c3d4".repeat(4),
            label: "Anna\u{1b}[2J".into(),
            state: ContactState::Paired,
            verified: false,
            remote_invite: false,
            invite_tried: true,
            locked_out: false,
            unread: 2,
            missing: 0,
            unopened: 0,
            last_activity: 0,
            care: tacit_client_core::CareState::default(),
            session: tacit_client_core::SessionState::default(),
            read_receipts: tacit_client_core::ReadReceipts::default(),
        }
    }

    #[test]
    fn a_person_reads_what_is_urgent() {
        let text = plain(&contact(), false);
        assert!(text.starts_with("a1b2c3d4  Anna␛[2J  paired, unverified, 2 unread"), "{text}");
        assert!(text.contains("it may have been stolen: compare the safety words"), "{text}");
    }

    #[test]
    fn an_ended_contact_says_why_and_not_unverified() {
        let ended = Contact { state: ContactState::Ended(EndedWhy::ByPeer), invite_tried: false, ..contact() };
        for (is_end_said, why) in [(false, "The relay says that the other side ended"), (true, "The other side ended")]
        {
            let text = plain(&ended, is_end_said);
            assert!(text.contains(why) && !text.contains("nverified"), "{text}");
        }
    }
}
