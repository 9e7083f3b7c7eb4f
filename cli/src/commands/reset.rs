//! `tacit reset`, `tacit resend` and `tacit receipts`: what becomes of messages, and how.

use crate::args;
use crate::ask;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::{Receipts, Resent, Reset};
use crate::session::{Session, millis};

pub(super) fn reset(session: &Session, args: &args::Reset, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    if !args.yes {
        let question = format!(
            "Begin anew with {}? Both of you get new safety words, to be compared again. Nothing that was written is lost.",
            escape::line(&contact.label)
        );
        if output.is_json() || !ask::is_anyone_there() || !ask::yes(&question).map_err(Failure::Terminal)? {
            return Err(Failure::NotConfirmed);
        }
    }
    client.reset(contact.id.clone())?;
    let changes = session.start()?;
    let answered = changes.wait(args.patience.timeout, || {
        let is_answered = !client.contact(contact.id.clone())?.session.resetting;
        Ok(is_answered.then_some(()))
    })?;
    // What the new session is told first must not wait for the next command.
    if answered.is_some() {
        drop(client.wait_settled(millis(args.patience.timeout)));
    }
    let answered = answered.is_some();
    output.answer(&Reset { contact: contact.id, answered }, || {
        if answered {
            "Done: the safety words are new. Compare them before you write anything that matters.".into()
        } else {
            "Asked for. The other device answers when it is online; what you write is kept until then.".into()
        }
    })
}

pub(super) fn resend(session: &Session, args: &args::Resend, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    let messages = client.resend(contact.id.clone())?;
    let _changes = session.start()?;
    let sent = client.wait_settled(millis(args.patience.timeout)).is_ok();
    output.answer(&Resent { contact: contact.id, messages, sent }, || match (messages, sent) {
        (0, _) => "Nothing is to be sent again.".into(),
        (_, true) => format!("{} sent again.", crate::describe::messages(messages)),
        (_, false) => {
            format!("{} queued; sent again with the next connection.", crate::describe::messages(messages))
        }
    })
}

pub(super) fn receipts(session: &Session, args: &args::Receipts, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    if args.on || args.off {
        client.set_read_receipts(contact.id.clone(), args.on)?;
        let _changes = session.start()?;
        // They are told when the relay can be reached.
        drop(client.wait_settled(millis(args.patience.timeout)));
    }
    let reads = client.contact(contact.id.clone())?.read_receipts;
    output.answer(&Receipts { contact: contact.id, ours: reads.ours, theirs: reads.theirs }, || {
        let says = |tells: bool| if tells { "tell" } else { "do not tell" };
        let both = if reads.ours && reads.theirs { "So both see it." } else { "So neither sees it." };
        format!("You {} what you have read; they {}. {both}", says(reads.ours), says(reads.theirs))
    })
}
