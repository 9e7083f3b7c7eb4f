//! Where a device's store is when nobody says so.

use std::env;
use std::path::PathBuf;

/// The platform's data folder for this program; `None` if the environment names none.
pub(crate) fn default_home() -> Option<PathBuf> {
    if cfg!(target_os = "windows") {
        absolute("LOCALAPPDATA").map(|data| data.join("tacit"))
    } else if cfg!(target_os = "macos") {
        env::home_dir().map(|home| home.join("Library/Application Support/tacit"))
    } else {
        // XDG: a relative path is invalid and to be ignored.
        absolute("XDG_DATA_HOME")
            .or_else(|| env::home_dir().map(|home| home.join(".local/share")))
            .map(|data| data.join("tacit"))
    }
}

fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
