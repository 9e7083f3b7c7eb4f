//! `tacit crisis`

use super::args::Crisis;
use super::record::CrisisLine;
use super::words;
use crate::clock;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Crisis, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    let locale = args.locale.clone().unwrap_or_else(clock::locale);
    let crisis = session.client().crisis(contact.id, locale, !args.if_due, clock::now())?;
    let is_due = crisis.reason.is_some();
    let text = if is_due { words::crisis(&crisis) } else { "It need not be shown now.".into() };
    output.answer(&CrisisLine::from(crisis), || text)
}
