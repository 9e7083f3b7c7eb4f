//! `tacit-server compact` and `migrate`: what is done to a data folder while no relay runs on it.

use std::io::Write;

use tacit_server::spool::RedbSpool;

use crate::Failure;
use crate::args::Place;
use crate::control_commands::bytes;

pub(crate) fn compact(place: &Place) -> Result<(), Failure> {
    let done = RedbSpool::compact(&place.settings()?.data())?;
    writeln!(std::io::stdout(), "The spool took {}, and takes {} now.", bytes(done.before), bytes(done.after))?;
    Ok(())
}

pub(crate) fn migrate(place: &Place) -> Result<(), Failure> {
    let done = RedbSpool::migrate(&place.settings()?.data())?;
    let mut out = std::io::stdout().lock();
    match done.happened() {
        true => writeln!(out, "Migrated from format {} to {}.", done.from, done.to)?,
        false => writeln!(out, "The data folder has this version's format, {}. Nothing was to do.", done.to)?,
    }
    Ok(())
}
