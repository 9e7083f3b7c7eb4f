//! What can go wrong below the seam, before it is known whether it hit a reader or the writer.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::SpoolError;

/// A failure inside the embedded spool.
#[derive(Debug)]
pub(super) enum Fault {
    /// The disk refused; it may do better later.
    Io(String),
    /// Bytes on disk that the spool never wrote.
    Damaged(&'static str),
    /// Another process holds the files.
    InUse,
    /// Written by a newer version.
    NewerFormat,
}

impl Fault {
    pub(super) fn on_write(self) -> SpoolError {
        match self {
            Self::Io(why) => SpoolError::Write(why),
            other => other.on_read(),
        }
    }

    pub(super) fn on_read(self) -> SpoolError {
        match self {
            Self::Io(why) => SpoolError::Read(why),
            Self::Damaged(what) => SpoolError::Damaged(what.to_owned()),
            Self::InUse => SpoolError::InUse,
            Self::NewerFormat => SpoolError::NewerFormat,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<getrandom::Error> for Fault {
    fn from(error: getrandom::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        use redb::Error;
        match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => Self::InUse,
            // This is how redb says that a file is not one of its own.
            Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => Self::Damaged("not a spool file"),
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Damaged("a spool file cut short"),
            Error::Io(error) => error.into(),
            Error::Corrupted(_)
            | Error::UpgradeRequired(_)
            | Error::TableTypeMismatch { .. }
            | Error::TypeDefinitionChanged { .. }
            | Error::TableIsMultimap(_)
            | Error::TableIsNotMultimap(_)
            | Error::TableDoesNotExist(_) => Self::Damaged("the structure of the spool file"),
            other => Self::Io(other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
from_redb!(CommitError, CompactionError, DatabaseError, StorageError, TableError, TransactionError);

/// Runs something of redb's. On a file whose pages were altered redb may panic instead of returning an error (it says
/// so at `Builder::set_check_integrity_on_open`, which would read the whole file at every start).
///
/// Whatever the panic left half-done must be dropped and opened again.
///
/// Where redb panics once more while it cleans up after a panic, the process ends: one altered byte in its list of freed
/// pages is enough. What was committed is still there, as after any crash.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Fault::Damaged("a page of the spool file")))
}
