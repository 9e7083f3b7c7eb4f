//! Backups, and what becomes of a device that was lost.
//!
//! A backup holds history, contacts, the secrets of ends and resets, permits and signing keys; never sealing secrets or
//! ratchet state. Restored onto another device, each end gets a new key first, which locks the lost device out unless that
//! changed the key itself since (it reset the channel, or was restored), and then a new session, of which both sides are
//! told: safety words are new, and contacts unverified.

mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod rows;
mod secret;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::client::{Client, rng};
use crate::driver::wall_clock;
use crate::error::{BackupError, OpenError, StoreError};
use crate::restore;
use crate::store::{self, Key, Store, StoreKey, home_exists};
use file::io_error;
pub use secret::{BackupSecret, BackupSecretKind, recovery_words};

/// Where a home is put together before it takes its place.
const UNFINISHED: &str = "restoring";

impl Client {
    /// Writes a backup of this device to a file, which it replaces once the new one is whole and on the disk. The device
    /// can be used meanwhile: the backup holds one moment of it. Memory does not grow with what there is.
    ///
    /// What is deleted later stays in backups made before: delete those too.
    ///
    /// # Errors
    /// [`BackupError`]. A file that was there is as it was.
    ///
    /// # Example
    /// ```no_run
    /// use tacit_client_core::{BackupSecret, Client, StoreKey, recovery_words};
    ///
    /// let client = Client::open("/path/to/home".to_owned(), StoreKey::Passphrase("correct horse".to_owned()))?;
    /// let words = recovery_words(); // to be written down on paper
    /// client.backup("/media/stick/tacit.backup".to_owned(), BackupSecret::Words(words.join(" ")))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn backup(&self, path: String, secret: BackupSecret) -> Result<(), BackupError> {
        // A connection of its own, so that nobody waits for it.
        let mut store = match &*self.opened() {
            Some(opened) => Store::open(&self.home, &opened.key)?,
            None => return Err(StoreError::Locked.into()),
        };
        let path = PathBuf::from(path);
        let mut draft = path.clone().into_os_string();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let written = write_file(&mut store, &draft, &secret).and_then(|()| {
            fs::rename(&draft, &path).map_err(io_error)?;
            Ok(store::sync_folder(path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")))?)
        });
        if written.is_err() {
            // What there is of it is of no use.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Which kind of secret a backup asks for.
    ///
    /// # Errors
    /// [`BackupError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn backup_secret_kind(path: String) -> Result<BackupSecretKind, BackupError> {
        file::secret_kind(&mut File::open(path).map_err(io_error)?)
    }

    /// Makes a new home from a backup, and opens it, not connected. Connected, it takes each end over from the device that
    /// the backup is of (unless that changed its key since: see `Contact::locked_out`), and begins a new session with each
    /// contact: both sides are told, see new safety words, and are unverified until they compared them. What was queued, or
    /// accepted and not delivered, when the backup was made goes out again. What was exchanged after that is on the other
    /// side only, or on the lost device.
    ///
    /// Invites that were open when the backup was made are over.
    ///
    /// # Errors
    /// [`BackupError`]. There is no home then, as before.
    ///
    /// # Example
    /// ```no_run
    /// # use tacit_client_core::{BackupSecret, Client, StoreKey};
    /// let client = Client::restore(
    ///     "/path/to/new/home".to_owned(),
    ///     StoreKey::Passphrase("correct horse".to_owned()),
    ///     "/media/stick/tacit.backup".to_owned(),
    ///     BackupSecret::Words("twenty four words …".to_owned()),
    /// )?;
    /// client.start(None)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn restore(home: String, key: StoreKey, path: String, secret: BackupSecret) -> Result<Self, BackupError> {
        let source = File::open(path).map_err(io_error)?;
        let target = PathBuf::from(&home);
        if home_exists(&target) {
            return Err(BackupError::HomeExists);
        }
        let unfinished = target.join(UNFINISHED);
        // Of an attempt that was cut off.
        store::erase(&unfinished)?;
        let restored =
            fill(&unfinished, &key, source, &secret).and_then(|()| Ok(store::move_home(&unfinished, &target)?));
        if let Err(error) = restored {
            // What there is of it is of no use.
            let _ = store::erase(&unfinished);
            let _ = fs::remove_dir(&target);
            return Err(error);
        }
        Ok(Self::open(home, key)?)
    }
}

fn write_file(store: &mut Store, path: &Path, secret: &BackupSecret) -> Result<(), BackupError> {
    // Of an attempt that was cut off. What stands there may also be a link that somebody planted in a shared folder: it is
    // taken away, and nothing is written through it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(io_error)?;
    let mut sink = BufWriter::new(file);
    rows::write(store, &mut sink, secret, wall_clock(), &mut rng())?;
    sink.flush().and_then(|()| sink.get_ref().sync_all()).map_err(io_error)
}

/// Makes a home from a backup, whole and on the disk.
fn fill(home: &Path, key: &StoreKey, source: File, secret: &BackupSecret) -> Result<(), BackupError> {
    let key = Key::open(home, key, &mut rng())?;
    rows::read(home, &key, &mut BufReader::new(source), secret)?;
    let mut store = Store::open(home, &key)?;
    store.change::<_, BackupError>(|tx| Ok(restore::begin(tx, wall_clock(), &mut rng())?))?;
    // The file alone is the store, which then takes its place.
    Ok(store.checkpoint().map(drop)?)
}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged => Self::Damaged,
            OpenError::NewerFormat => Self::NewerFormat,
            error => Self::Open(error),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
