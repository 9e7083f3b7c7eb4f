//! How large the programs are, stripped. `tacit` holds the whole client core: a library of it for phones, which there is
//! once something calls it, is no larger.
//!
//! `cargo build --release --bins && cargo bench -p tacit-tests --bench size [-- --json FILE]`

mod support;

use std::process::Command;

use support::{Arguments, Figures};
use tacit_tests::binary;

fn main() {
    let mut figures = Figures::new(&Arguments::read());
    let folder = tempfile::tempdir().unwrap();
    for program in ["tacit", "tacit-server"] {
        let stripped = folder.path().join(program);
        let done = Command::new("strip").arg("-o").arg(&stripped).arg(binary(program)).status();
        assert!(done.expect("binutils are there").success());
        let bytes = std::fs::metadata(&stripped).unwrap().len();
        figures.add(&format!("size_{program}"), bytes as f64 / f64::from(1 << 20), "MiB");
    }
}
