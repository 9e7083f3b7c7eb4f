//! Stores in memory, for tests and fuzzing.

#![allow(clippy::unwrap_used, reason = "not part of what is shipped")]

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Store, Tx, migrations};
use crate::error::StoreError;

impl Store {
    /// Another store with the same in it, in memory too.
    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("copy.db");
        let attach = "ATTACH ?1 AS source KEY ''";
        self.connection.execute(attach, [file.to_str().unwrap()]).unwrap();
        self.connection.execute_batch("SELECT sqlcipher_export('source'); DETACH source").unwrap();
        let copy = Self::in_memory();
        copy.connection.execute(attach, [file.to_str().unwrap()]).unwrap();
        let tables: Vec<String> = copy
            .connection
            .prepare("SELECT name FROM source.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        copy.connection.pragma_update(None, "foreign_keys", false).unwrap();
        for table in tables {
            let sql = format!("DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM source.{table}");
            copy.connection.execute_batch(&sql).unwrap();
        }
        copy.connection.pragma_update(None, "foreign_keys", true).unwrap();
        copy.connection.execute_batch("DETACH source").unwrap();
        copy
    }

    /// A store that is gone with its connection. Everything but the file and its encryption is the real thing.
    pub(crate) fn in_memory() -> Self {
        let mut connection = Connection::open_in_memory().unwrap();
        migrations::migrate(&mut connection).unwrap();
        connection.pragma_update(None, "foreign_keys", true).unwrap();
        connection.set_prepared_statement_cache_capacity(128);
        // Any file that is there: no key was erased.
        Self { connection, key_file: Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml") }
    }

    /// Plays something through and takes all of it back, whatever became of it.
    pub(crate) fn rehearse<T>(&mut self, play: impl FnOnce(&Tx<'_>) -> T) -> T {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        play(&Tx { transaction })
    }
}

impl Tx<'_> {
    /// As [`Store::change`], within a [rehearsal](Store::rehearse).
    pub(crate) fn attempt<T, E>(&self, change: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        self.transaction.execute_batch("SAVEPOINT attempt").unwrap();
        let done = change(self);
        let end = if done.is_ok() { "RELEASE attempt" } else { "ROLLBACK TO attempt; RELEASE attempt" };
        self.transaction.execute_batch(end).unwrap();
        done
    }

    /// Whether every row that another names is there.
    pub(crate) fn is_sound(&self) -> Result<bool, StoreError> {
        Ok(!self.transaction.prepare_cached("PRAGMA foreign_key_check")?.exists([])?)
    }
}
