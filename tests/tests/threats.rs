//! Every test that `THREATS.md` names is there.

#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_threat_model_leans_on_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("THREATS.md")).unwrap();
    let named = page.split('`').filter_map(|words| words.split_once("::")).collect::<Vec<_>>();
    assert!(named.len() > 10, "the page names its tests");
    for (file, test) in named {
        let source = fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("there is no {file}"));
        assert!(source.contains(&format!("#[test]\nfn {test}()")), "{file} has no test {test}");
    }
}
