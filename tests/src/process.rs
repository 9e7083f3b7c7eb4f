//! Binaries of this workspace, and what is done to their processes.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};

/// The path of a binary of this workspace, built as the tests were.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        // target/PROFILE/deps/TEST
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().unwrap().parent().unwrap().to_path_buf();
        // `cargo test` for the whole workspace has built them; for this package alone it has not.
        if !["tacit", "tacit-server"].iter().all(|name| folder.join(name).exists()) {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--workspace", "--bins", "--locked", "--target-dir"]).arg(folder.parent().unwrap());
            if folder.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success(), "the binaries cannot be built");
        }
        folder
    });
    folder.join(name)
}

/// Ends a process as a power cut would: SIGKILL, no good-bye.
pub fn kill(child: &mut Child) {
    // One that ended by itself in the meantime is as good.
    let _ = child.kill();
    let _ = child.wait();
}

/// A random number below `bound`.
#[must_use]
pub fn random_below(bound: u64) -> u64 {
    UnwrapErr(SysRng).next_u64() % bound.max(1)
}
