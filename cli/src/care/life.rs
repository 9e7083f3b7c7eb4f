//! `tacit pause`, `resume` and `discharge`

use super::args::{Discharge, Pause, Resume};
use super::exchange;
use super::record::Told;
use crate::args::Patience;
use crate::ask;
use crate::escape;
use crate::failure::Failure;
use crate::given;
use crate::output::Output;
use crate::session::Session;

pub(super) fn pause(session: &Session, args: &Pause, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    session.client().pause(contact.id.clone(), given::message(&args.words)?)?;
    tell(session, contact.id, "paused", args.patience, output)
}

pub(super) fn resume(session: &Session, args: &Resume, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    session.client().resume(contact.id.clone())?;
    let still = session.client().contact(contact.id.clone())?.care.paused_by_them.is_some();
    let state = if still { "paused_by_them" } else { "resumed" };
    tell(session, contact.id, state, args.patience, output)
}

pub(super) fn discharge(session: &Session, args: &Discharge, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    if !args.yes {
        let question = format!(
            "Say farewell to {}? Nothing more can be written. What was written before still arrives, and stays on both \
             devices.",
            escape::line(&contact.label)
        );
        if output.is_json() || !ask::is_anyone_there() || !ask::yes(&question).map_err(Failure::Terminal)? {
            return Err(Failure::NotConfirmed);
        }
    }
    session.client().discharge(contact.id.clone(), given::message(&args.words)?)?;
    tell(session, contact.id, "discharged", args.patience, output)
}

fn tell(
    session: &Session,
    contact: String,
    state: &'static str,
    patience: Patience,
    output: Output,
) -> Result<(), Failure> {
    let told = exchange(session, patience)?;
    output.answer(&Told { contact, state, told }, || {
        let what = match state {
            "paused" => "Paused.",
            "resumed" => "Resumed.",
            "paused_by_them" => "Resumed here; they pause it as well, so it stays paused.",
            _ => "Farewell said.",
        };
        if told { what.into() } else { format!("{what} They are told once the relay was reached.") }
    })
}
