//! Erasing a home: the key first, so that a crash at any moment leaves nothing that could be opened.
//!
//! Files are overwritten before they are removed. That reaches the blocks that the file has now; an SSD, a file system
//! that copies on write, a snapshot or a backup may keep others. Whoever kept the key file and knows its passphrase
//! opens a copy of the store that they kept too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::path::Path;

use super::{io_error, key_file};
use crate::error::OpenError;

/// Beside the store, its log, and what processes agree by.
const OTHER_FILES: [&str; 5] =
    [super::FILE, "tacit.db-wal", "tacit.db-shm", "tacit.db-journal", crate::driver::LEASE_FILE];

/// Destroys a home for good. Needs no key. May be repeated after a crash, until it says that it is done.
///
/// Processes that have the home open find out at their next call. Their maps of these files stay valid: nothing is
/// truncated but the key file, which nobody maps.
pub(crate) fn erase(home: &Path) -> Result<(), OpenError> {
    if !home.is_dir() {
        return Ok(());
    }
    let lock = key_file::lock(home)?;
    let key = home.join(key_file::FILE);
    if let Some(file) = writable(&key)? {
        overwrite(file).and_then(|file| file.set_len(0).and_then(|()| file.sync_all())).map_err(io_error)?;
    }
    for name in [key_file::DRAFT].into_iter().chain(OTHER_FILES) {
        let path = home.join(name);
        if let Some(file) = writable(&path)? {
            overwrite(file).map_err(io_error)?;
            remove(&path)?;
        }
    }
    sync_folder(home)?;
    // Last: an empty key file tells that the rest is of no use.
    remove(&key)?;
    sync_folder(home)?;
    drop(lock);
    remove(&home.join(key_file::LOCK))?;
    // A home that holds something of somebody else's stays.
    let _ = fs::remove_dir(home);
    Ok(())
}

fn writable(path: &Path) -> Result<Option<File>, OpenError> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(error)),
    }
}

fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(error)),
        _ => Ok(()),
    }
}

/// Overwrites all that a file holds, down to the disk.
pub(super) fn overwrite(mut file: File) -> io::Result<File> {
    let mut left = file.metadata()?.len();
    file.rewind()?;
    let zeros = [0; 64 * 1024];
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(zeros.get(..part).unwrap_or(&zeros))?;
        left -= part as u64;
    }
    file.sync_all()?;
    Ok(file)
}

/// Makes names in a folder as durable as what they name.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), OpenError> {
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
