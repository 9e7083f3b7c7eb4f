//! `tacit edit` and `tacit withdraw`

use serde::Serialize;

use crate::args;
use crate::ask;
use crate::failure::Failure;
use crate::given;
use crate::output::Output;
use crate::session::{Session, millis};

/// Answer of `edit` and `withdraw`.
#[derive(Serialize)]
struct Changed<'a> {
    id: &'a str,
    /// Whether the relay has it; if not, it leaves with the next connection.
    sent: bool,
}

pub(super) fn edit(session: &Session, args: &args::Edit, output: Output) -> Result<(), Failure> {
    session.client().edit(args.message.clone(), given::message(&args.text)?)?;
    let sent = is_sent(session, &args.patience)?;
    output.answer(&Changed { id: &args.message, sent }, || say("Changed", sent))
}

pub(super) fn withdraw(session: &Session, args: &args::Withdraw, output: Output) -> Result<(), Failure> {
    if !args.yes {
        let question = "Take this message back? It is deleted on both sides, unless they said that they keep what is \
                        written. They may have read it.";
        if output.is_json() || !ask::is_anyone_there() || !ask::yes(question).map_err(Failure::Terminal)? {
            return Err(Failure::NotConfirmed);
        }
    }
    session.client().withdraw(args.message.clone())?;
    let sent = is_sent(session, &args.patience)?;
    output.answer(&Changed { id: &args.message, sent }, || say("Withdrawn", sent))
}

fn is_sent(session: &Session, patience: &args::Patience) -> Result<bool, Failure> {
    let _changes = session.start()?;
    Ok(session.client().wait_settled(millis(patience.timeout)).is_ok())
}

fn say(what: &str, sent: bool) -> String {
    if sent {
        format!("{what} here; their device does the same when it comes for it.")
    } else {
        format!("{what} on this device. It leaves with the next connection.")
    }
}
