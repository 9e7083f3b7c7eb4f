//! Older formats become this one when they are opened, in one transaction: after a cut at any write the file is whole, in
//! the old format or in the new one. A newer format is left as it is.
//!
//! # Format 1
//! Two tables held something else, and one was another:
//!
//! | table | key | value |
//! |---|---|---|
//! | `permits` | hash, 32 bytes | nothing |
//! | `enrolments` | code's hash, 32 bytes | hour to forget it, 4 bytes; then the hashes of its permits, 32 bytes each |
//! | `expiry` instead of `due` | hour 4, then the key in `boxes`: 28 bytes | size class, 1 byte |
//!
//! So a permit told nothing of its enrolment, and an enrolment told which of its permits were spent. (What it told may
//! linger in free pages of the file, as all deleted rows may.)

use std::collections::HashMap;

use redb::{Database, ReadableTable, WriteTransaction};
use tacit_proto::{EnrolCodeHash, PermitHash};

use super::fault::{Fault, guarded};
use super::rows::{
    BOXES, DUE, Def, ENROLMENTS, FORMAT, META, META_FORMAT, PERMITS, Take, due_key, spent_code_to_bytes,
};
use super::{EnrolmentId, Hour, SpentCode};

/// Format 1 only.
const EXPIRY: Def<28> = Def::new("expiry");

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

/// Gives the database the format of this version. It has no number among the transactions: it is never taken back.
pub(super) fn migrate(db: &Database, format: u32) -> Result<Migration, Fault> {
    let migration = Migration { from: format, to: FORMAT };
    if !migration.happened() {
        return Ok(migration);
    }
    guarded(|| {
        let mut txn = db.begin_write()?;
        txn.set_quick_repair(true);
        from_format_1(&txn)?;
        txn.open_table(META)?.insert(&META_FORMAT, FORMAT.to_be_bytes().as_slice())?;
        Ok(txn.commit()?)
    })?;
    Ok(migration)
}

fn from_format_1(txn: &WriteTransaction) -> Result<(), Fault> {
    enrolments_from_format_1(txn)?;
    {
        let (expiry, boxes, mut due) = (txn.open_table(EXPIRY)?, txn.open_table(BOXES)?, txn.open_table(DUE)?);
        for row in expiry.iter()? {
            let (key, class) = row?;
            let of_box: &[u8; 24] = key.value().last_chunk().ok_or(Fault::Damaged("an expiry"))?;
            let stored = boxes.get(of_box)?.ok_or(Fault::Damaged("an expiry without a box"))?;
            due.insert(&due_key(stored.value())?, [of_box, class.value()].concat().as_slice())?;
        }
    }
    txn.delete_table(EXPIRY)?;
    Ok(())
}

fn enrolments_from_format_1(txn: &WriteTransaction) -> Result<(), Fault> {
    let (mut enrolments, mut permits) = (txn.open_table(ENROLMENTS)?, txn.open_table(PERMITS)?);
    let mut given_by = HashMap::new();
    let mut spent = Vec::new();
    for row in enrolments.iter()? {
        let (code, row) = row?;
        let code = EnrolCodeHash::from_bytes(*code.value());
        let (given, forget) = enrolment_from_format_1(row.value())?;
        given_by.extend(given.iter().map(|permit| (*permit, EnrolmentId::of(&code))));
        spent.push((code, SpentCode::of(&given, forget)));
    }
    for (code, spent) in spent {
        enrolments.insert(code.as_bytes(), spent_code_to_bytes(&spent).as_slice())?;
    }
    let mut unspent = Vec::new();
    for row in permits.iter()? {
        unspent.push(PermitHash::from_bytes(*row?.0.value()));
    }
    for permit in unspent {
        let id = given_by.get(&permit).unwrap_or(&EnrolmentId::BEFORE_FORMAT_2);
        permits.insert(permit.as_bytes(), id.as_bytes().as_slice())?;
    }
    Ok(())
}

fn enrolment_from_format_1(bytes: &[u8]) -> Result<(Vec<PermitHash>, Hour), Fault> {
    let damaged = Fault::Damaged("an enrolment's row");
    let mut from = Take(bytes);
    let Some(hour) = from.take() else { return Err(damaged) };
    let (permits, []) = from.0.as_chunks::<32>() else { return Err(damaged) };
    Ok((permits.iter().map(|hash| PermitHash::from_bytes(*hash)).collect(), Hour(u32::from_be_bytes(hour))))
}
