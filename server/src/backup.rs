//! A relay's backup: its channels, unspent permits, enrolments and configuration, in one file. No boxes, and no keys to
//! boxes.
//!
//! # The file
//! JSON, one object a line, so that an operator can read what is in it and what is not. The first line names the format
//! and its version, the last the number of lines before it and SHA-256 over their bytes:
//!
//! ```text
//! {"tacit_backup":{"version":1}}
//! {"configuration":"hold = \"21d\"\n"}
//! {"file":{"name":"relay.key","text":"-----BEGIN …"}}
//! {"offer":{"code":"…","permits":50,"expires":1790000000}}
//! {"channel":{"id":"…","a":{"key":"…"},"b":{"key":"…","spent_invite":"…"},"phase":"claimed","invite_tried":false}}
//! {"permit":{"hash":"…","enrolment":"…"}}
//! {"spent_code":{"code":"…","given":50,"digest":"…","forget":500000}}
//! {"end":{"lines":7,"sha256":"…"}}
//! ```
//!
//! `phase` is `"claimed"`, `{"unclaimed":{"join_by":HOUR}}` or `{"closed":{"by":"a","forget":HOUR}}`, where `by` is
//! missing if nobody claimed the invite in time. Hours are counted since the Unix epoch, `expires` is in seconds.
//!
//! The digest finds what went wrong on the way. It proves nothing against somebody who may write the file.

mod lines;
mod restore;
#[cfg(test)]
mod tests;
mod write;

pub use restore::{RestoreError, Restored, check, restore};
pub use write::{BackupError, Backups, Extras};

use crate::spool::KeptRow;

/// Names of the files that a backup keeps.
const KEPT: [&str; 1] = ["relay.key"];

/// How many of each a backup has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Channels.
    pub channels: usize,
    /// Unspent permits.
    pub permits: usize,
    /// Enrolment codes that were spent and are not forgotten.
    pub spent_codes: usize,
    /// Enrolment codes that were not spent yet.
    pub offers: usize,
}

impl Contents {
    const fn count(&mut self, row: &KeptRow) {
        match row {
            KeptRow::Channel(..) => self.channels += 1,
            KeptRow::Permit(..) => self.permits += 1,
            KeptRow::SpentCode(..) => self.spent_codes += 1,
        }
    }
}

/// A text file of the data folder that a relay cannot do without, and that is no part of its spool: a key by which
/// devices know it, say.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptFile {
    name: String,
    text: String,
}

/// The files of a data folder that a backup keeps: the key that links pin, if there is one. Without it, no device would
/// know the restored relay again.
///
/// # Errors
/// [`BackupError::Kept`]: one may be there, and cannot be read.
pub fn kept_files(data: &std::path::Path) -> Result<Vec<KeptFile>, BackupError> {
    let mut files = Vec::new();
    for name in KEPT {
        match std::fs::read_to_string(data.join(name)) {
            Ok(text) => files.push(KeptFile { name: name.to_owned(), text }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(BackupError::Kept { name, source }),
        }
    }
    Ok(files)
}

/// A name that no kept file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kept file lies in the data folder itself, and is not a part of the spool")]
pub struct NotAKeptFile;

impl KeptFile {
    /// Takes a file that lies in the data folder itself.
    ///
    /// # Errors
    /// [`NotAKeptFile`]: the name leads elsewhere, or is one that the relay uses for something else.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Result<Self, NotAKeptFile> {
        let (name, text) = (name.into(), text.into());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_plain = !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(plain);
        let is_taken = ["spool.redb", "restoring.redb", "epoch.keys", "enrolments"].contains(&name.as_str());
        if is_plain && !is_taken { Ok(Self { name, text }) } else { Err(NotAKeptFile) }
    }

    /// Its name in the data folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is in it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for KeptFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptFile").field("name", &self.name).finish_non_exhaustive()
    }
}
