//! `tacit invite`

use tacit_client_core::{Contact, ContactId, ContactState, EndedWhy};

use crate::args;
use crate::failure::Failure;
use crate::output::Output;
use crate::qr::Qr;
use crate::record::Invited;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &args::Invite, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let invited = match &args.show {
        Some(name) => {
            let contact = session.pick(name)?;
            match contact.state {
                ContactState::Opening | ContactState::Invited => {}
                _ => return Err(Failure::InviteGone),
            }
            Invited { link: client.invite_link(contact.id.clone())?, contact: contact.id, expires_in: None }
        }
        None => {
            let label = match &args.label {
                Some(label) if label.trim().is_empty() => return Err(Failure::EmptyLabel),
                Some(label) => label.clone(),
                None => free_label(&client.contacts()?),
            };
            let seconds = args.expires.as_secs();
            let invite = client.invite(label, seconds)?;
            Invited { contact: invite.contact, link: invite.link, expires_in: Some(seconds) }
        }
    };
    wait_until_open(session, args, &invited.contact)?;
    // The link last: the code may fill the screen.
    if output.is_read_by_a_person()
        && let Some(qr) = Qr::new(&invited.link)
    {
        output.note(&format!("{}\n", qr.ansi()));
    }
    output.answer(&invited, || invited.link.clone())?;
    if output.is_read_by_a_person() {
        output.note(
            "Give it to one person only, best in person: whoever uses it first is paired with you. Then compare the \
             safety words.",
        );
    }
    Ok(())
}

/// A link that does not work yet is not given out: it would be told to be expired.
fn wait_until_open(session: &Session, args: &args::Invite, contact: &ContactId) -> Result<(), Failure> {
    let client = session.client();
    if client.contact(contact.clone())?.state == ContactState::Invited {
        return Ok(());
    }
    let changes = session.start()?;
    let state = changes.wait(args.patience.timeout, || {
        let state = client.contact(contact.clone())?.state;
        Ok((state != ContactState::Opening).then_some(state))
    })?;
    match state {
        None => Err(Failure::InviteNotOpen { problem: session.problem() }),
        Some(ContactState::Ended(EndedWhy::ByUs)) => Err(Failure::InviteGone),
        Some(ContactState::Ended(why)) => Err(Failure::PairingEnded(why)),
        Some(_) => Ok(()),
    }
}

/// `Client 1`, or the next number that is free.
pub(crate) fn free_label(contacts: &[Contact]) -> String {
    let is_free = |label: &String| contacts.iter().all(|contact| contact.label != *label);
    (1_u64..).map(|n| format!("Client {n}")).find(is_free).unwrap_or_default()
}
