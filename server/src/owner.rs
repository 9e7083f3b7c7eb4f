//! Root's work in the relay's data folder is done as the folder's owner.
//!
//! What root writes there, the relay could not read; and whoever took the relay over may have laid links out there, by which
//! root would write elsewhere.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use crate::Failure;

/// Runs this program anew as the owner of a data folder, with the same arguments, if it is root's and the folder is not.
/// Then it does not return.
pub(crate) fn work_as_owner_of(data: &Path) -> Result<(), Failure> {
    let owner = match fs::metadata(data) {
        Ok(owner) => owner,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", data.display()).into()),
    };
    if !geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    // It lets go of root's other groups too.
    let failed = Command::new(&program).args(std::env::args_os().skip(1)).uid(owner.uid()).gid(owner.gid()).exec();
    Err(format!("{} cannot be run as the owner of {}: {failed}", program.display(), data.display()).into())
}
