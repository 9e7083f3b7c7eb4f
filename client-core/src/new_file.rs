//! A file that appears at its path whole, or not at all, and never in the place of another.
//!
//! Where the system can (Linux), it has no name before it is whole: after a crash nothing of it is left. Elsewhere it has
//! a hidden name beside its path until then, which a crash leaves behind.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::client::rng;
use crate::pairing::draw_id;

/// A file that is being written.
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
    /// The name that it has before it is whole.
    draft: Option<PathBuf>,
}

impl NewFile {
    /// Begins one, in the folder of its path, readable by its owner alone.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        #[cfg(target_os = "linux")]
        if let Ok(file) = nameless::create(folder(path)) {
            return Ok(Self { file, path: path.to_owned(), draft: None });
        }
        Self::begin_named(path)
    }

    fn begin_named(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", hex::encode(draw_id(&mut rng()))));
        let draft = path.with_file_name(hidden);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { file: options.open(&draft)?, path: path.to_owned(), draft: Some(draft) })
    }

    /// What is written into.
    pub(crate) const fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes it durable, and lets it appear at its path.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        match &self.draft {
            #[cfg(target_os = "linux")]
            None => nameless::name(&self.file, &self.path)?,
            #[cfg(not(target_os = "linux"))]
            None => return Err(io::ErrorKind::Unsupported.into()),
            // Unlike a rename, a link replaces nothing. Some file systems have none.
            Some(draft) => match fs::hard_link(draft, &self.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists && self.path.symlink_metadata().is_err() => {
                    fs::rename(draft, &self.path)?;
                }
                linked => linked?,
            },
        }
        // Its name is to be durable too; where a folder cannot be opened, it is so without this.
        if let Ok(folder) = File::open(folder(&self.path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            let _ = fs::remove_file(draft);
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(target_os = "linux")]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

    /// A file without a name in this folder.
    pub(super) fn create(folder: &Path) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        Ok(open(folder, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Gives it a name that nothing has.
    pub(super) fn name(file: &File, path: &Path) -> io::Result<()> {
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    type Begin = fn(&Path) -> io::Result<NewFile>;
    const BOTH: [Begin; 2] = [NewFile::begin, NewFile::begin_named];

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_whole_and_nothing_of_one_that_was_given_up() {
        for begin in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let mut given_up = begin(&path).unwrap();
            given_up.file().write_all(b"half").unwrap();
            assert!(!path.exists());
            drop(given_up);
            assert!(names(folder.path()).is_empty());
            let mut whole = begin(&path).unwrap();
            whole.file().write_all(b"whole").unwrap();
            whole.finish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"whole");
            assert_eq!(names(folder.path()), ["file"]);
            #[cfg(unix)]
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777, 0o600);
        }
    }

    #[test]
    fn what_came_to_be_at_the_path_meanwhile_is_not_replaced() {
        for begin in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let mut late = begin(&path).unwrap();
            late.file().write_all(b"late").unwrap();
            fs::write(&path, "first").unwrap();
            assert_eq!(late.finish().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&path).unwrap(), b"first");
            assert_eq!(names(folder.path()), ["file"]);
        }
    }

    #[test]
    fn a_crash_leaves_nothing_at_the_path_and_on_linux_nothing_at_all() {
        for begin in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let mut half = begin(&path).unwrap();
            half.file().write_all(b"half").unwrap();
            let is_nameless = half.draft.is_none();
            // A process that dies runs no destructor.
            std::mem::forget(half);
            assert!(!path.exists());
            assert!(!is_nameless || names(folder.path()).is_empty());
        }
        #[cfg(target_os = "linux")]
        {
            let folder = tempfile::tempdir().unwrap();
            assert!(NewFile::begin(&folder.path().join("file")).unwrap().draft.is_none());
        }
    }
}
