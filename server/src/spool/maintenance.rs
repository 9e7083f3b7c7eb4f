//! What an operator does to the spool of a relay that does not run.

use std::path::Path;

use super::fault::{Fault, guarded};
use super::migration::Migration;
use super::opening::open_database;
use super::storage::{DataDir, Storage};
use super::{RedbSpool, SpoolError};

/// What compacting a spool did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Length of its file before, in bytes.
    pub before: u64,
    /// And after.
    pub after: u64,
}

impl RedbSpool {
    /// Brings the spool in a folder to the format of this version, as [`open`](Self::open) does too.
    ///
    /// # Errors
    /// Any [`SpoolError`]; the spool is as it was.
    pub fn migrate(dir: &Path) -> Result<Migration, SpoolError> {
        let storage = DataDir::open_existing(dir)?;
        Ok(open_database(&storage).map_err(Fault::on_write)?.migration)
    }

    /// Gives the room of deleted rows back to the file system. [`open`](Self::open) does it only when that pays.
    ///
    /// # Errors
    /// Any [`SpoolError`]; nothing that waits was lost.
    pub fn compact(dir: &Path) -> Result<Compaction, SpoolError> {
        let storage = DataDir::open_existing(dir)?;
        let compact = || {
            let before = storage.database_len()?;
            let mut db = open_database(&storage)?.db;
            guarded(|| Ok(db.compact()?))?;
            drop(db);
            Ok(Compaction { before, after: storage.database_len()? })
        };
        compact().map_err(Fault::on_write)
    }
}
