//! The encrypted store: one SQLCipher file that a device keeps everything in.
//!
//! Several processes may have it open. Every change is one `BEGIN IMMEDIATE` transaction that reads what it needs inside
//! itself, so that nothing which another process may have changed is ever relied on.

mod agreed_word;
mod backup;
mod care;
mod chunks;
mod contacts;
mod edits;
mod erase;
#[cfg(test)]
pub(crate) mod faults;
#[cfg(any(test, fuzzing))]
mod in_memory;
mod key_file;
mod lease;
mod messages;
mod migrations;
mod network;
mod notifying;
mod outbox;
mod reads;
mod received;
mod relays;
mod resend;
mod retention;
mod sealing_keys;
mod search;
mod sessions;
mod transfers;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use zeroize::Zeroizing;

pub(crate) use backup::{Kept, Restoring, VERSION as STORE_VERSION, move_home};
pub(crate) use care::{CareRow, Whose};
pub(crate) use contacts::{ContactKey, ContactRow, NewContact, State};
pub(crate) use edits::TextRow;
pub(crate) use erase::{erase, sync_folder};
pub use key_file::StoreKey;
pub(crate) use key_file::{Key, home_exists};
pub(crate) use lease::{Holder, RENEW_MS};
pub(crate) use messages::{Changed, MessageKey};
pub(crate) use outbox::{Kind, OutboxKey, Outgoing};
pub(crate) use received::POSITIONS;
pub(crate) use relays::{RelayId, RelayRow};
pub(crate) use sealing_keys::OwnSealingKey;
pub(crate) use sessions::{AskedReset, NewSession, SessionRow};
pub(crate) use transfers::{Stage, TransferRow};

use crate::error::{OpenError, StoreError};

const FILE: &str = "tacit.db";

/// How long a change waits for another process's change: far longer than any of ours takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// SQLite calls itself ready before SQLCipher has set itself up: another thread that opens a store in between is told that
/// its key cannot be used. So one connection, of one thread, comes before all others.
static SQLCIPHER: LazyLock<rusqlite::Result<()>> = LazyLock::new(|| Connection::open_in_memory().map(drop));

/// One connection to the store. Owned by one thread at a time.
pub(crate) struct Store {
    connection: Connection,
    key_file: PathBuf,
}

impl Store {
    /// Opens the store of a home, and makes it if the home is new.
    pub(crate) fn open(home: &Path, key: &Key) -> Result<Self, OpenError> {
        let mut connection = Self::connect(home, key)?;
        migrations::migrate(&mut connection)?;
        give_pages_back(&connection)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(open_error)?;
        Ok(Self { connection, key_file: home.join(key_file::FILE) })
    }

    fn connect(home: &Path, key: &Key) -> Result<Connection, OpenError> {
        if SQLCIPHER.is_err() {
            return Err(OpenError::Io("SQLCipher cannot start".to_owned()));
        }
        let path = home.join(FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(open_error)?;
        restrict(&path)?;
        let mut pragma = Zeroizing::new(String::with_capacity(128));
        // SQLCipher would write what goes wrong to stderr by itself; our errors say it.
        pragma.push_str("PRAGMA cipher_log_level = NONE; PRAGMA key = \"x'");
        for byte in key.bytes() {
            pragma.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            pragma.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        pragma.push_str("'\"");
        connection.execute_batch(&pragma).map_err(open_error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(open_error)?;
        // The key fits (the key file said so): if this cannot be read, the file is damaged.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())).map_err(open_error)?;
        connection
            .execute_batch(
                // Before the first table, or it takes a VACUUM.
                "PRAGMA auto_vacuum = INCREMENTAL;
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA fullfsync = ON;
                 PRAGMA checkpoint_fullfsync = ON;
                 PRAGMA secure_delete = ON;
                 PRAGMA temp_store = MEMORY;",
            )
            .map_err(open_error)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// Makes one change: all of it, durably, or none of it.
    pub(crate) fn change<T, E: From<StoreError>>(
        &mut self,
        change: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.check_not_erased()?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let tx = Tx { transaction };
        // A newer program may have been installed, and have moved the store on, while this one runs.
        if migrations::version(&tx.transaction).map_err(StoreError::from)? != migrations::VERSION {
            return Err(StoreError::NewerFormat.into());
        }
        let value = change(&tx)?;
        #[cfg(test)]
        faults::strike("COMMIT")?;
        tx.transaction.commit().map_err(StoreError::from)?;
        Ok(value)
    }

    /// Reads one consistent state.
    pub(crate) fn read<T, E: From<StoreError>>(&mut self, read: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.check_not_erased()?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Deferred).map_err(StoreError::from)?;
        read(&Tx { transaction })
    }

    /// Files that another process erased can still be written by whoever has them open: to no avail.
    pub(crate) fn check_not_erased(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.key_file) {
            Ok(file) if file.len() > 0 => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::Io(error.kind().to_string())),
            _ => Err(StoreError::Erased),
        }
    }

    /// Whether every page is as it was written, and all of them fit together.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.check_not_erased()?;
        let one = |pragma| self.connection.query_row(pragma, [], |row| row.get::<_, String>(0)).optional();
        // SQLCipher names pages whose MAC is wrong; SQLite says "ok".
        if one("PRAGMA cipher_integrity_check")?.is_some()
            || one("PRAGMA integrity_check")?.as_deref() != Some("ok")
            || self.connection.prepare("PRAGMA foreign_key_check")?.exists([])?
        {
            return Err(StoreError::Damaged);
        }
        Ok(())
    }

    /// A number that differs from the last one if another connection, of any process, changed the store since.
    pub(crate) fn data_version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }
}

/// What can be read and changed in one transaction. The methods stand in the files of their tables.
pub(crate) struct Tx<'a> {
    transaction: Transaction<'a>,
}

impl Tx<'_> {
    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize, StoreError> {
        #[cfg(test)]
        faults::strike(sql)?;
        Ok(self.transaction.prepare_cached(sql)?.execute(parameters)?)
    }

    fn rows<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        #[cfg(test)]
        faults::strike(sql)?;
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn row<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        #[cfg(test)]
        faults::strike(sql)?;
        Ok(self.transaction.prepare_cached(sql)?.query_row(parameters, read).optional()?)
    }
}

/// Stores of version 1 were made such that freed pages stay in the file. Another process that is in the way puts this off
/// until the next opening.
fn give_pages_back(connection: &Connection) -> Result<(), OpenError> {
    let mode: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).map_err(open_error)?;
    if mode != 2 {
        match connection.execute_batch("VACUUM").map_err(StoreError::from) {
            Ok(()) | Err(StoreError::Busy | StoreError::DiskFull) => {}
            Err(error) => return Err(OpenError::Io(error.to_string())),
        }
    }
    Ok(())
}

/// Nobody but the owner of the device reads these files, encrypted as they are.
pub(crate) fn restrict(path: &Path) -> Result<(), OpenError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_error)?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// What the operating system says of a file, without its path.
pub(crate) fn io_error(error: std::io::Error) -> OpenError {
    OpenError::Io(error.kind().to_string())
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            // The code alone: a message of SQLite's may quote what it was given.
            Some(code) => Self::Io(format!("{code:?}")),
            None => Self::Damaged,
        }
    }
}

fn open_error(error: rusqlite::Error) -> OpenError {
    match StoreError::from(error) {
        StoreError::Damaged => OpenError::Damaged,
        other => OpenError::Io(other.to_string()),
    }
}

/// A column of a fixed length, or a sign of damage.
fn fixed<const N: usize>(bytes: &[u8]) -> rusqlite::Result<[u8; N]> {
    bytes.try_into().map_err(|_| rusqlite::Error::InvalidQuery)
}

#[cfg(test)]
mod formats;
#[cfg(test)]
mod tests;
