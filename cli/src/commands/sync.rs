//! `tacit sync`: connects, exchanges all that waits, and prints what came and was not printed before.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tacit_client_core::{Client, ContactId, Direction, Message, MessageId, Outcome, WaitError};

use super::history;
use crate::args;
use crate::describe;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::quote;
use crate::record::MessageLine;
use crate::session::{Session, millis};

/// While files move, both devices are there: it goes on until they did not for so long.
const STILL: Duration = Duration::from_secs(3);

/// How long to wait before what came so far is printed.
const SLICE: Duration = Duration::from_millis(250);

pub(super) fn run(session: &Session, args: &args::Sync, output: Output) -> Result<(), Failure> {
    let changes = session.start()?;
    let mut moved_at: Option<Instant> = None;
    let begun = Instant::now();
    let mut printed = HashSet::new();
    let settled = loop {
        let left = args.within.saturating_sub(begun.elapsed());
        let settled = session.client().wait_settled(millis(left.min(SLICE)));
        print_new(session, output, &mut printed)?;
        for transfer in changes.moved() {
            moved_at = Some(Instant::now());
            output.note(&describe::transfer_words(transfer));
        }
        match settled {
            Err(WaitError::TimedOut { .. }) if !left.is_zero() => {}
            Ok(()) if !left.is_zero() && moved_at.is_some_and(|at| at.elapsed() < STILL) => std::thread::sleep(SLICE),
            settled => break settled,
        }
    };
    for contact in session.client().contacts()? {
        for warning in describe::warnings(&contact) {
            output.note(&format!("{}: {warning}", escape::line(&contact.label)));
        }
    }
    Ok(settled?)
}

/// Prints what is unread, and only then marks it as read: after a crash in between it is printed again, never lost.
fn print_new(session: &Session, output: Output, printed: &mut HashSet<MessageId>) -> Result<(), Failure> {
    let client = session.client();
    for contact in client.contacts()? {
        let count = contact.unread + contact.care.unread_notes;
        if count == 0 {
            continue;
        }
        let unread = unread(client, &contact.id, count)?;
        let first = unread.first().map(|message| message.id.clone());
        print(session, output, &contact.label, unread, printed)?;
        client.mark_read(contact.id.clone())?;
        // Marking takes along what came since the look: it is read now, and was not printed.
        let since = all_since(client, &contact.id, first.as_ref())?;
        print(session, output, &contact.label, since, printed)?;
    }
    Ok(())
}

fn print(
    session: &Session,
    output: Output,
    label: &str,
    messages: Vec<Message>,
    printed: &mut HashSet<MessageId>,
) -> Result<(), Failure> {
    for message in messages {
        if printed.insert(message.id.clone()) {
            let answers = quote::of(session.client(), &message, label)?;
            let plain = history::plain(&message, label, answers.as_deref(), &session.clock);
            output.answer(&MessageLine::with_contact(message), || plain)?;
        }
    }
    Ok(())
}

/// The unread messages of a contact, oldest first. There are `count` of them somewhere.
fn unread(client: &Client, contact: &ContactId, count: u64) -> Result<Vec<Message>, Failure> {
    let is_unread = |message: &Message| message.direction == Direction::In && message.outcome != Outcome::Read;
    let mut found = Vec::new();
    for page in history::Pages::new(client, contact) {
        found.extend(page?.into_iter().rev().filter(is_unread));
        if found.len() as u64 >= count {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

/// What came from a contact since `first`, that one included, oldest first.
fn all_since(client: &Client, contact: &ContactId, first: Option<&MessageId>) -> Result<Vec<Message>, Failure> {
    let mut found = Vec::new();
    'pages: for page in history::Pages::new(client, contact) {
        for message in page?.into_iter().rev() {
            let is_first = Some(&message.id) == first;
            if message.direction == Direction::In {
                found.push(message);
            }
            if is_first {
                break 'pages;
            }
        }
        if first.is_none() {
            break;
        }
    }
    found.reverse();
    Ok(found)
}
