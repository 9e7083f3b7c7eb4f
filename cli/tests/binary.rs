//! The real binary, as people and scripts meet it when something is wrong.

#![allow(missing_docs, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tacit_client_core::{Client, StoreKey};

fn tacit(home: &Path, passphrase: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tacit"))
        .arg("--home")
        .arg(home)
        .args(arguments)
        .env("TACIT_PASSPHRASE", passphrase)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The error object of a command that must fail with this exit code.
fn refused(output: &Output, exit: i32) -> Value {
    assert_eq!(output.status.code(), Some(exit), "{output:?}");
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A home with nothing in it but its store.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let key = StoreKey::Passphrase("right".to_owned());
    drop(Client::open(home.path().to_str().unwrap().to_owned(), key).unwrap());
    home
}

fn files(home: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_wrong_passphrase_is_said_and_changes_nothing() {
    let home = home();
    let before = files(home.path());
    let error = refused(&tacit(home.path(), "wrong", &["--json", "contacts"]), 1);
    assert_eq!(error["error"], "wrong_passphrase");
    assert_eq!(files(home.path()), before);
    assert!(tacit(home.path(), "right", &["contacts"]).status.success());
}

#[test]
fn a_damaged_store_is_said_and_left_as_it_is() {
    let home = home();
    let store = home.path().join("tacit.db");
    let mut bytes = std::fs::read(&store).unwrap();
    bytes[..512].fill(0x5a);
    std::fs::write(&store, &bytes).unwrap();
    let error = refused(&tacit(home.path(), "right", &["--json", "contacts"]), 1);
    assert!(error["message"].as_str().unwrap().contains("damaged"), "{error}");
    assert_eq!(std::fs::read(&store).unwrap(), bytes);
}

#[test]
fn malformed_links_and_unknown_commands_are_refused_with_words_that_help() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, exit, words) in [
        (&["--json", "join", "hello"][..], 1, "tacit:"),
        (&["--json", "join", "tacit:AQESEJQ"][..], 1, "damaged"),
        (&["--json", "enrol", "tacit:AQESEJQ"][..], 1, "damaged"),
        (&["--json", "send", "nobody", "x"][..], 1, "no"),
        (&["--json", "dance"][..], 2, "help"),
    ] {
        let error = refused(&tacit(home.path(), "p", arguments), exit);
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }
}

#[test]
fn the_demo_prints_a_conversation_that_went_through_a_relay() {
    let home = tempfile::tempdir().unwrap();
    let output = tacit(home.path(), "p", &["demo", "--script"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.matches("delivered").count() >= 6, "{text}");
    assert!(text.contains("Safety words"));
}
