//! Older formats become this one when they are opened, in one transaction: after a cut at any write the file is whole, in
//! the old format or in the new one. A newer format is left as it is.
//!
//! # Format 1
//! Two tables held something else:
//!
//! | table | value |
//! |---|---|
//! | `permits` | nothing |
//! | `enrolments` | hour to forget it, 4 bytes; then the hashes of its permits, 32 bytes each |
//!
//! So a permit told nothing of its enrolment, and an enrolment told which of its permits were spent. (What it told may
//! linger in free pages of the file, as all deleted rows may.)

use std::collections::HashMap;

use redb::Database;
use tacit_proto::{EnrolCodeHash, PermitHash};

use super::fault::Fault;
use super::recovery::Last;
use super::rows::{FORMAT, META_FORMAT, Take, spent_code_to_bytes};
use super::transaction::{Tables, transact};
use super::{EnrolmentId, Hour, SpentCode};

/// What opening a data folder did to its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The format that was found.
    pub from: u32,
    /// The format that it has now.
    pub to: u32,
}

impl Migration {
    /// Whether anything was changed.
    #[must_use]
    pub const fn happened(&self) -> bool {
        self.from != self.to
    }
}

/// Gives the database the format of this version. Returns the number of the last transaction as well.
pub(super) fn migrate(db: &Database, last: Last) -> Result<(u64, Migration), Fault> {
    let Last { format, commits } = last;
    let migration = Migration { from: format, to: FORMAT };
    if !migration.happened() {
        return Ok((commits, migration));
    }
    transact(db, commits + 1, from_format_1).map_err(|failed| failed.fault)?;
    Ok((commits + 1, migration))
}

fn from_format_1(tables: &mut Tables<'_>) -> Result<(), Fault> {
    let mut given_by = HashMap::new();
    for (code, row) in tables.enrolments.all()? {
        let (permits, forget) = enrolment_from_format_1(&row)?;
        let id = EnrolmentId::of(&EnrolCodeHash::from_bytes(code));
        given_by.extend(permits.iter().map(|permit| (*permit.as_bytes(), id)));
        tables.enrolments.put(code, &spent_code_to_bytes(&SpentCode::of(&permits, forget)))?;
    }
    for (permit, _) in tables.permits.all()? {
        let id = given_by.get(&permit).unwrap_or(&EnrolmentId::BEFORE_FORMAT_2);
        tables.permits.put(permit, id.as_bytes())?;
    }
    tables.meta.put(META_FORMAT, &FORMAT.to_be_bytes())?;
    Ok(())
}

fn enrolment_from_format_1(bytes: &[u8]) -> Result<(Vec<PermitHash>, Hour), Fault> {
    let damaged = Fault::Damaged("an enrolment's row");
    let mut from = Take(bytes);
    let Some(hour) = from.take() else { return Err(damaged) };
    let (permits, []) = from.0.as_chunks::<32>() else { return Err(damaged) };
    Ok((permits.iter().map(|hash| PermitHash::from_bytes(*hash)).collect(), Hour(u32::from_be_bytes(hour))))
}
