//! `tacit join`: claims the invite, shows what it offers, and pairs once the person agreed. Run again, it goes on where
//! it stopped.

use std::time::{Duration, Instant};

use tacit_client_core::{Contact, ContactId, ContactState, Offer, WaitError};

use crate::args;
use crate::ask;
use crate::care::words;
use crate::clock::Clock;
use crate::escape;
use crate::failure::Failure;
use crate::given;
use crate::output::Output;
use crate::record::ContactLine;
use crate::session::{Changes, Session, millis};

pub(super) fn run(session: &Session, args: &args::Join, output: Output) -> Result<(), Failure> {
    if args.label.as_ref().is_some_and(|label| label.trim().is_empty()) {
        return Err(Failure::EmptyLabel);
    }
    let client = session.client();
    let id = client.join(given::link(&args.link)?, args.label.clone())?;
    let changes = session.start()?;
    let begun = Instant::now();
    let within = args.patience.timeout;
    if claimed(session, &changes, &id, within)? == ContactState::Consenting {
        let offer = client.offer(id.clone())?;
        if !args.accept_terms && !agrees(&offer, &session.clock, output)? {
            return Err(Failure::TermsNotAccepted(Box::new(offer)));
        }
        client.consent(id.clone())?;
    }
    // Thinking about the terms is not waiting for the relay.
    let left = if args.accept_terms { within.saturating_sub(begun.elapsed()) } else { within };
    let contact = joined(session, &changes, &id, left)?;
    output.answer(&ContactLine::from(contact.clone()), || {
        format!(
            "You joined {}, and can write to them. Compare the safety words with them: tacit words {}",
            escape::line(&contact.label),
            escape::quoted(&contact.label)
        )
    })
}

/// Waits until the invite is ours, and what it offers is known.
fn claimed(session: &Session, changes: &Changes, id: &ContactId, within: Duration) -> Result<ContactState, Failure> {
    let state = changes.wait(within, || match session.client().contact(id.clone())?.state {
        ContactState::Joining => Ok(None),
        state => Ok(Some(state)),
    })?;
    match state {
        None => Err(Failure::JoinPending { problem: session.problem() }),
        Some(ContactState::Ended(why)) => Err(Failure::PairingEnded(why)),
        Some(ContactState::Opening | ContactState::Invited) => Err(Failure::InviteGone),
        Some(state) => Ok(state),
    }
}

/// Waits until the other device can find our answer at the relay.
fn joined(session: &Session, changes: &Changes, id: &ContactId, within: Duration) -> Result<Contact, Failure> {
    let client = session.client();
    let pending = || Failure::JoinPending { problem: session.problem() };
    let begun = Instant::now();
    let contact = changes.wait(within, || {
        let contact = client.contact(id.clone())?;
        match contact.state {
            ContactState::Joined | ContactState::Paired => Ok(Some(contact)),
            ContactState::Ended(why) => Err(Failure::PairingEnded(why)),
            _ => Ok(None),
        }
    })?;
    let contact = contact.ok_or_else(pending)?;
    match client.wait_settled(millis(within.saturating_sub(begun.elapsed()))) {
        Ok(()) => Ok(client.contact(contact.id)?),
        Err(WaitError::TimedOut { .. }) => Err(pending()),
        Err(error) => Err(error.into()),
    }
}

fn agrees(offer: &Offer, clock: &Clock, output: Output) -> Result<bool, Failure> {
    if output.is_json() {
        return Ok(false);
    }
    let card = words::offered(offer, clock);
    let card = if card.is_empty() { card } else { format!("\n\n{card}") };
    output.note(&format!("{} invites you.{card}\n\n{}\n", escape::line(&offer.from), escape::block(&offer.terms)));
    if !ask::is_anyone_there() {
        return Ok(false);
    }
    ask::yes("Do you agree?").map_err(Failure::Terminal)
}
