//! `tacit end`

use tacit_client_core::ContactState;

use crate::args;
use crate::ask;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::Ended;
use crate::session::{Session, millis};

pub(super) fn run(session: &Session, args: &args::End, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    if !args.yes {
        let question = format!(
            "End the pairing with {}? Neither side can write any more. What was written stays on this device.",
            escape::line(&contact.label)
        );
        if output.is_json() || !ask::is_anyone_there() || !ask::yes(&question).map_err(Failure::Terminal)? {
            return Err(Failure::NotConfirmed);
        }
    }
    match contact.state {
        ContactState::Consenting => client.decline(contact.id.clone())?,
        ContactState::Ended(_) => {}
        _ => client.end(contact.id.clone())?,
    }
    let _changes = session.start()?;
    let told = client.wait_settled(millis(args.patience.timeout)).is_ok();
    output.answer(&Ended { contact: contact.id, state: "ended", told }, || {
        if told { "Ended." } else { "Ended here; the relay is told at the next connection." }.into()
    })
}
