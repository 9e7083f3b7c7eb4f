//! `tacit-server compact` and `migrate`: what is done to a data folder while no relay runs on it.

use std::io::Write;

use tacit_server::spool::RedbSpool;

use crate::Failure;
use crate::args::Place;
use crate::control_commands::bytes;
use crate::owner::work_as_owner_of;

pub(crate) fn compact(place: &Place) -> Result<(), Failure> {
    let data = place.settings()?.data();
    work_as_owner_of(&data)?;
    let done = RedbSpool::compact(&data)?;
    writeln!(std::io::stdout(), "The spool took {}, and takes {} now.", bytes(done.before), bytes(done.after))?;
    Ok(())
}

pub(crate) fn migrate(place: &Place) -> Result<(), Failure> {
    let data = place.settings()?.data();
    work_as_owner_of(&data)?;
    let done = RedbSpool::migrate(&data)?;
    let mut out = std::io::stdout().lock();
    match done.happened() {
        true => writeln!(out, "Migrated from format {} to {}.", done.from, done.to)?,
        false => writeln!(out, "The data folder has this version's format, {}. Nothing was to do.", done.to)?,
    }
    Ok(())
}
