//! Replays a committed corpus through what its fuzz target does. Part of the unit tests of each crate that has targets, so
//! that what was ever found is tried in every test run, by the stable compiler.

use std::path::Path;

/// Every file of the corpus, in the order of their names.
pub(crate) fn replay(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there is no corpus of {target}");
    for file in files {
        // Shown if what follows panics.
        eprintln!("{}", file.display());
        check(&std::fs::read(&file).unwrap());
    }
}
