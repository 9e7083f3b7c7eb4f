//! The golden vectors of what devices do: what `proto/vectors/*.json` says is what this crate does.
//!
//! `TACIT_WRITE_VECTORS=1 cargo test -p tacit-client-core vectors` writes the files anew. A change of them is a change
//! of the protocol.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

mod boxes;
mod hours;
mod pairings;
mod ratchet;
mod resets;
mod statements;

/// Compares a file with what the code makes of it, or writes it if that was asked for.
pub(crate) fn check(file: &str, made: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proto/vectors").join(file);
    if std::env::var_os("TACIT_WRITE_VECTORS").is_some() {
        fs::write(&path, format!("{made:#}\n")).unwrap();
    }
    let kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(kept == *made, "{file} is not what the code makes");
}

/// Bytes that differ from each other, so that a field in the wrong place shows.
pub(crate) fn bytes<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first.wrapping_add(at as u8))
}
