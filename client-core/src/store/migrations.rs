//! The schema, as numbered steps. The number of those applied is the store's version, kept in `user_version`.
//!
//! To add one: put its SQL into `migrations/NAME.sql`, append it to [`STEPS`], and, if the version before it was released,
//! keep two homes of that one (`tests/tests/formats.rs` says how) for the test in `store/formats.rs`. Never edit a step
//! that was released. A step runs without foreign keys, so that it may rebuild a table that others refer to; they are
//! checked before it is committed.

use rusqlite::{Connection, TransactionBehavior};

use super::open_error;
use crate::error::OpenError;

/// Step 1 is the schema of version 1, and so on.
const STEPS: [&str; 12] = [
    include_str!("schema.sql"),
    include_str!("migrations/delivery.sql"),
    include_str!("migrations/care.sql"),
    include_str!("migrations/history.sql"),
    include_str!("migrations/resets.sql"),
    include_str!("migrations/retention.sql"),
    include_str!("migrations/restore.sql"),
    include_str!("migrations/life_cycle.sql"),
    include_str!("migrations/network.sql"),
    include_str!("migrations/edits.sql"),
    include_str!("migrations/attachments.sql"),
    include_str!("migrations/versions.sql"),
];

/// The version that this code reads and writes.
pub(super) const VERSION: u32 = STEPS.len() as u32;

/// The version of an open store; 0 if it is new.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Brings a store to [`VERSION`], one transaction a step: a crash leaves a store of some whole version, and the next
/// opening goes on. Several processes may try at once; each step looks at the version again under the write lock.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    up_to(connection, VERSION)
}

/// The same, to an earlier version.
pub(super) fn up_to(connection: &mut Connection, wanted: u32) -> Result<(), OpenError> {
    loop {
        let now = version(connection).map_err(open_error)?;
        if now > VERSION {
            return Err(OpenError::NewerFormat);
        }
        match STEPS.get(now as usize) {
            Some(sql) if now < wanted => apply(connection, now, sql)?,
            _ => return Ok(()),
        }
    }
}

/// Takes one step, unless another process did.
pub(super) fn apply(connection: &mut Connection, from: u32, sql: &str) -> Result<(), OpenError> {
    connection.pragma_update(None, "foreign_keys", false).map_err(open_error)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(open_error)?;
    if version(&transaction).map_err(open_error)? != from {
        return Ok(());
    }
    transaction.execute_batch(sql).map_err(open_error)?;
    let dangling = transaction.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
    if dangling.map_err(open_error)? {
        return Err(OpenError::Damaged);
    }
    transaction.pragma_update(None, "user_version", from + 1).map_err(open_error)?;
    transaction.commit().map_err(open_error)
}
