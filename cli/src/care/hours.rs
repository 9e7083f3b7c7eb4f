//! `tacit hours`: when a practice reads, and by when it answers.

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
    let expectation = session.client().expectation(contact.id, at)?;
    let mut text = words::expectation(&expectation, &session.clock);
    if text.is_empty() {
        text = "They did not say when they read messages.".into();
    }
    if !expectation.policy.is_empty() {
        text.push('\n');
        text.push_str(&escape::block(&expectation.policy));
    }
    output.answer(&Expected::from(expectation), || text)
}
