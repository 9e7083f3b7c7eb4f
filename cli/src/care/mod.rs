//! What therapy needs, in the terminal: files that people write, words that people read, records for scripts, and the
//! commands.

pub(crate) mod args;
mod consent;
mod crisis;
mod crisis_file;
mod hours;
mod hours_text;
mod life;
mod notifications;
mod practice;
mod practice_file;
mod record;
mod terms;
mod word;
pub(crate) mod words;

use std::fs;
use std::path::Path;

use crate::args::{Command, Patience};
use crate::failure::Failure;
use crate::given;
use crate::output::Output;
use crate::session::{Session, millis};

pub(crate) use self::record::Expected;

/// Carries out a command of this module; the others are not its business.
pub(crate) fn run(session: &Session, command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Practice(practice) => practice::run(session, practice, output),
        Command::Hours(hours) => hours::run(session, hours, output),
        Command::Crisis(crisis) => crisis::run(session, crisis, output),
        Command::Terms(terms) => terms::run(session, terms, output),
        Command::Consent(consent) => consent::run(session, consent, output),
        Command::Pause(pause) => life::pause(session, pause, output),
        Command::Resume(resume) => life::resume(session, resume, output),
        Command::Discharge(discharge) => life::discharge(session, discharge, output),
        Command::Word(word) => word::run(session, word, output),
        Command::Notifications(notifications) => notifications::run(session, notifications, output),
        _ => Ok(()),
    }
}

pub(crate) use self::consent::check as check_consent;

/// Hands over what was queued; whether that worked in the time given.
fn exchange(session: &Session, patience: Patience) -> Result<bool, Failure> {
    let _changes = session.start()?;
    Ok(session.client().wait_settled(millis(patience.timeout)).is_ok())
}

/// What a file says; `-` is stdin.
fn read(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        return given::text("-");
    }
    fs::read_to_string(path).map_err(Failure::File)
}
