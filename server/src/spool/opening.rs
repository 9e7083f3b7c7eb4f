//! Opening the database: founding a new one, bringing an older one to this format, and reading one that cannot be
//! written.

use redb::{Builder, Database, StorageBackend};

use super::fault::{Fault, guarded};
use super::migration::{Migration, migrate};
use super::overlay::{Overlay, Plain};
use super::recovery::{found, last_commit};
use super::rows::FORMAT;
use super::storage::Storage;
use super::transaction::transact;

/// Most memory that redb uses for pages. A large batch is 4 MiB. In tests little: what they load, they read from the disk.
const CACHE: usize = if cfg!(test) { 1 << 20 } else { 32 << 20 };

/// A database in the format of this version.
pub(super) struct Opened {
    pub(super) db: Database,
    /// The number of the last transaction.
    pub(super) commits: u64,
    pub(super) migration: Migration,
}

/// Opens the database, or founds it.
pub(super) fn open_database(storage: &dyn Storage) -> Result<Opened, Fault> {
    let opened = open(Plain(storage.database()?), |db| match guarded(|| last_commit(db))? {
        Some(last) => Ok((last.commits, migrate(db, last.format)?)),
        None => {
            transact(db, 1, found).map_err(|failed| failed.fault)?;
            Ok((1, Migration { from: FORMAT, to: FORMAT }))
        }
    })?;
    let Migration { from, to } = opened.migration;
    if opened.migration.happened() {
        tracing::info!(from, to, "the spool was brought to the format of this version");
    }
    Ok(opened)
}

/// Opens a view of the database that can be read only. An older format becomes this one in the view alone.
pub(super) fn open_to_read(storage: &dyn Storage) -> Result<Opened, Fault> {
    open(Overlay::new(storage.database_to_read()?)?, |db| {
        let last = guarded(|| last_commit(db))?.ok_or(Fault::Io("nothing was ever written".to_owned()))?;
        Ok((last.commits, migrate(db, last.format)?))
    })
}

fn open(
    file: impl StorageBackend,
    prepare: impl FnOnce(&Database) -> Result<(u64, Migration), Fault>,
) -> Result<Opened, Fault> {
    let db = guarded(|| Ok(Builder::new().set_cache_size(CACHE).create_with_backend(file)?))?;
    match prepare(&db) {
        Ok((commits, migration)) => Ok(Opened { db, commits, migration }),
        Err(fault) => {
            drop_guarded(db);
            Err(fault)
        }
    }
}

/// Closes a database that met an error.
pub(super) fn drop_guarded(db: Database) {
    // A poisoned handle may panic once more. What was committed does not depend on how it is closed.
    let _ = guarded(|| {
        drop(db);
        Ok(())
    });
}
