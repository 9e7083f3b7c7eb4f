//! `tacit hours`: when a practice reads, and by when it answers.

use tacit_client_core::ContactState;

use super::args::Hours;
use super::record::Expected;
use super::words;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Hours, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    let at = match &args.at {
        Some(text) => crate::clock::parse(text).ok_or(Failure::NotATime)?,
        None => crate::clock::now(),
    };
    let has_ended = matches!(contact.state, ContactState::Ended(_));
    let expectation = session.client().expectation(contact.id, at)?;
    let mut text = words::expectation_here(&expectation, &session.clock);
    if has_ended {
        text = "This conversation has ended: nobody reads it.".into();
    } else if text.is_empty() {
        text = "They did not say when they read messages.".into();
    }
    let closed_cover = words::covered_when_closed(&expectation);
    if !closed_cover.is_empty() {
        text.push('\n');
        text.push_str(&closed_cover);
    }
    if !expectation.policy.is_empty() {
        text.push('\n');
        text.push_str(&escape::block(&expectation.policy));
    }
    output.answer(&Expected::from(expectation), || text)
}
