//! Where the spool's two files live: a data folder in earnest, a simulated disk in the crash tests.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::SpoolError;
use super::fault::Fault;
use crate::enrolment::give_to_owner_of;

/// The database's file in a data folder.
pub(crate) const DATABASE: &str = "spool.redb";
const ASIDE: &str = "restoring.redb";
const EPOCH_KEYS: &str = "epoch.keys";

/// The two files of an embedded spool. It is opened again and again: after an I/O error redb wants a fresh handle.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Opens the database's file, or makes an empty one.
    ///
    /// # Errors
    /// As the disk's.
    fn database(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// Opens the database's file when it cannot be written: it will only be read.
    ///
    /// # Errors
    /// As the disk's.
    fn database_to_read(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// How long the database's file is.
    ///
    /// # Errors
    /// As the disk's.
    fn database_len(&self) -> io::Result<u64>;

    /// Empties the database's file, so that a new one is made in it.
    ///
    /// # Errors
    /// As the disk's.
    fn discard_database(&self) -> io::Result<()>;

    /// Opens the file of epoch keys, or makes an empty one. Called once.
    ///
    /// # Errors
    /// As the disk's.
    fn epoch_keys(&self) -> io::Result<Box<dyn StorageBackend>>;
}

/// A folder with `spool.redb` and `epoch.keys`, readable by its owner only.
///
/// It keeps `epoch.keys` locked for as long as it lives, because redb's own lock is gone for a moment while the
/// database is opened again.
#[derive(Debug)]
pub struct DataDir {
    database: PathBuf,
    epoch_keys: File,
}

impl DataDir {
    /// Opens the folder, or makes it with its files.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if another process has it open; [`SpoolError::Write`] if it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, SpoolError> {
        Self::locked(dir, DATABASE).map_err(Fault::on_write)
    }

    /// Opens a folder that must have a spool in it.
    ///
    /// # Errors
    /// [`SpoolError::NoSpool`] if it has none; otherwise as [`open`](Self::open).
    pub fn open_existing(dir: &Path) -> Result<Self, SpoolError> {
        // An empty file is no spool: nothing was ever written to it.
        match fs::metadata(dir.join(DATABASE)).is_ok_and(|file| file.is_file() && file.len() > 0) {
            true => Self::open(dir),
            false => Err(SpoolError::NoSpool),
        }
    }

    fn locked(dir: &Path, database: &str) -> Result<Self, Fault> {
        let epoch_keys = lock_folder(dir)?;
        let database = dir.join(database);
        open_private(&database)?;
        sync_dir(dir)?;
        Ok(Self { database, epoch_keys })
    }
}

/// A spool that is built in a folder which has none, beside where it is to be. It is in place at once or not at all.
#[derive(Debug)]
pub(crate) struct Aside {
    dir: PathBuf,
    /// The folder's lock, kept until all is done.
    _locked: File,
}

impl Aside {
    /// Begins it.
    ///
    /// # Errors
    /// [`SpoolError::HasSpool`] if the folder has one; otherwise as [`DataDir::open`].
    pub(crate) fn begin(dir: &Path) -> Result<(DataDir, Self), SpoolError> {
        let aside = Self { dir: dir.to_owned(), _locked: lock_folder(dir).map_err(Fault::on_write)? };
        // Looked at under the lock: a relay that starts now is refused. An empty file is no spool.
        if fs::metadata(dir.join(DATABASE)).is_ok_and(|file| file.len() > 0) {
            return Err(SpoolError::HasSpool);
        }
        let made = || {
            let database = dir.join(ASIDE);
            open_private(&database)?.set_len(0)?;
            Ok(DataDir { database, epoch_keys: aside._locked.try_clone()? })
        };
        let data = made().map_err(|error: io::Error| Fault::from(error).on_write())?;
        Ok((data, aside))
    }

    /// Makes what was built the folder's spool. It must be closed.
    pub(crate) fn put_in_place(self) -> io::Result<()> {
        fs::rename(self.dir.join(ASIDE), self.dir.join(DATABASE))?;
        sync_dir(&self.dir)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Gone already if it was put in place. What stays is in nobody's way: the next one empties it.
        let _ = fs::remove_file(self.dir.join(ASIDE));
    }
}

/// Makes the folder if it is missing, and takes its lock: that of the file of epoch keys.
fn lock_folder(dir: &Path) -> Result<File, Fault> {
    if !dir.is_dir() {
        make_dir(dir)?;
        sync_parent(dir)?;
    }
    let epoch_keys = open_private(&dir.join(EPOCH_KEYS))?;
    match epoch_keys.try_lock() {
        Ok(()) => Ok(epoch_keys),
        Err(TryLockError::WouldBlock) => Err(Fault::InUse),
        // Some network file systems have no locks; redb's own lock has its ways there.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(epoch_keys),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

impl Storage for DataDir {
    fn database(&self) -> io::Result<Box<dyn StorageBackend>> {
        backend(open_private(&self.database)?)
    }

    fn database_to_read(&self) -> io::Result<Box<dyn StorageBackend>> {
        backend(File::open(&self.database)?)
    }

    fn database_len(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.database)?.len())
    }

    fn discard_database(&self) -> io::Result<()> {
        open_private(&self.database)?.set_len(0)
    }

    fn epoch_keys(&self) -> io::Result<Box<dyn StorageBackend>> {
        backend(self.epoch_keys.try_clone()?)
    }
}

fn backend(file: File) -> io::Result<Box<dyn StorageBackend>> {
    Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // No link: the folder may be another user's than the one who opens it.
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let is_new = !path.try_exists()?;
    let file = options.open(path)?;
    // An operator's command may be the first to come here, as root.
    if is_new && let Some(dir) = path.parent() {
        give_to_owner_of(dir, path)?;
    }
    Ok(file)
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// A file's sync does not make its name durable: the folder's does.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    match fs::canonicalize(dir)?.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}
