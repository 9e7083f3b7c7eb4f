//! What the binary says when it cannot do what was asked: to scripts in codes, to people in sentences, and without
//! having changed anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tacit_proto::link::{EnrolmentLink, InviteLink, InviteSecret, RelayPlace};
use tacit_proto::{ChannelId, EnrolCode};
use tempfile::TempDir;

struct Device {
    folder: TempDir,
}

impl Device {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tacit"));
        command.env_remove("TACIT_HOME").env("TACIT_PASSPHRASE", "correct horse");
        command.arg("--home").arg(self.home()).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Every file of the home, and what is in it.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.home()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// A relay that is down: a port of this machine on which nobody listens.
fn nowhere() -> RelayPlace {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    RelayPlace { address: format!("ws://127.0.0.1:{port}").parse().unwrap(), pin: None }
}

fn enrolment() -> String {
    EnrolmentLink { relay: nowhere(), code: EnrolCode::from_bytes([7; 32]), permits: 5 }.to_uri()
}

fn invite() -> String {
    let (channel, secret) = (ChannelId::from_bytes([7; 16]), InviteSecret::from_bytes([7; 32]));
    InviteLink { relay: nowhere(), channel, secret, remote: false }.to_uri()
}

/// The one JSON object on stderr, with nothing on stdout.
fn error(output: &Output) -> Value {
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

fn refused(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), error(output)["error"].as_str().unwrap().to_owned())
}

/// A home with an enrolment and an invite that wait for a relay that is down.
fn waiting() -> Device {
    let device = Device::new();
    let enrolled = device.run(&["--json", "enrol", &enrolment(), "--timeout", "1s"]);
    assert_eq!(refused(&enrolled), (Some(1), "enrolment_pending".into()));
    device
}

#[test]
fn a_usage_error_is_exit_code_2() {
    let device = Device::new();
    for line in [&["bogus"][..], &["send", "Anna"], &["sync", "--for", "soon"], &["words", "A", "--wrong"], &[]] {
        assert_eq!(device.run(line).status.code(), Some(2), "{line:?}");
        let mut with_json = vec!["--json"];
        with_json.extend(line);
        assert_eq!(refused(&device.run(&with_json)), (Some(2), "usage".into()), "{line:?}");
    }
    assert!(!device.home().exists());
}

#[test]
fn help_and_version_are_answers() {
    let device = Device::new();
    for line in ["--help", "--version"] {
        let output = device.run(&[line]);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[test]
fn a_mistyped_home_is_not_made() {
    let device = Device::new();
    for line in [
        &["contacts"][..],
        &["sync"],
        &["send", "Anna", "hi"],
        &["invite"],
        &["check"],
        &["erase", "--yes"],
        &["passphrase"],
    ] {
        let mut with_json = vec!["--json"];
        with_json.extend(line);
        assert_eq!(refused(&device.run(&with_json)), (Some(1), "no_home".into()), "{line:?}");
    }
    assert!(!device.home().exists());
}

#[test]
fn a_malformed_link_is_told_apart_from_the_wrong_kind() {
    let device = Device::new();
    let cut = &invite()[..40];
    for line in [["join", "hello"], ["join", cut], ["join", &enrolment()], ["enrol", &invite()], ["enrol", "tacit:"]] {
        let output = device.run(&["--json", line[0], line[1]]);
        assert_eq!(refused(&output), (Some(1), "bad_link".into()), "{line:?}");
    }
    let wrong_kind = error(&device.run(&["--json", "join", &enrolment()]));
    assert!(wrong_kind["message"].as_str().unwrap().contains("for therapists"), "{wrong_kind}");
    let contacts = device.run(&["--json", "contacts"]);
    assert!(contacts.status.success() && contacts.stdout.is_empty());
}

#[test]
fn a_wrong_passphrase_is_told_and_changes_nothing() {
    let device = waiting();
    let before = device.files();
    for line in [&["contacts"][..], &["invite", "--label", "Anna"], &["sync"]] {
        let output = device.command(&["--json"]).args(line).env("TACIT_PASSPHRASE", "wrong").output().unwrap();
        assert_eq!(refused(&output), (Some(1), "wrong_passphrase".into()));
    }
    let empty = device.command(&["--json", "contacts"]).env("TACIT_PASSPHRASE", "").output().unwrap();
    assert_eq!(refused(&empty), (Some(1), "empty_passphrase".into()));
    assert_eq!(device.files(), before);
    assert!(device.run(&["--json", "contacts"]).status.success());
}

#[test]
fn a_damaged_store_is_told_and_left_as_it_is() {
    let device = waiting();
    let store = device.home().join("tacit.db");
    let mut bytes = fs::read(&store).unwrap();
    bytes[..512].fill(0x5a);
    fs::write(&store, &bytes).unwrap();
    assert_eq!(refused(&device.run(&["--json", "contacts"])), (Some(1), "store_damaged".into()));
    assert_eq!(fs::read(&store).unwrap(), bytes);
}

#[test]
fn without_a_passphrase_and_a_terminal_nothing_is_made() {
    let device = Device::new();
    let output = device.command(&["--json", "enrol", &enrolment()]).env_remove("TACIT_PASSPHRASE").output().unwrap();
    assert_eq!(refused(&output), (Some(1), "passphrase_needed".into()));
    assert!(!device.home().exists());
}

#[test]
fn a_passphrase_file_opens_what_the_variable_made() {
    let device = waiting();
    let file = device.folder.path().join("passphrase");
    fs::File::create(&file).unwrap().write_all(b"correct horse\n").unwrap();
    let contacts = |file: &Path| {
        let mut command = device.command(&["--json", "contacts", "--passphrase-file"]);
        command.arg(file).env("TACIT_PASSPHRASE", "wrong").output().unwrap()
    };
    assert!(contacts(&file).status.success());
    assert_eq!(refused(&contacts(Path::new("/nonexistent"))), (Some(1), "passphrase_file".into()));
}

/// Runs a command with this on stdin.
fn with_stdin(device: &Device, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(stdin).unwrap();
    file.rewind().unwrap();
    device.command(arguments).stdin(file).output().unwrap()
}

#[test]
fn what_a_command_line_must_not_show_is_read_from_stdin() {
    let device = Device::new();
    let enrolled = with_stdin(&device, &["--json", "enrol", "-", "--timeout", "1s"], enrolment().as_bytes());
    assert_eq!(refused(&enrolled), (Some(1), "enrolment_pending".into()));
    // As a mail breaks it.
    let (link, joining) = (invite(), &["--json", "join", "-", "--label", "Dr. Weiss", "--timeout", "1s"]);
    let broken = format!("{}\n{}\n", &link[..40], &link[40..]);
    assert_eq!(refused(&with_stdin(&device, joining, broken.as_bytes())), (Some(1), "join_pending".into()));
    let contacts = device.run(&["--json", "contacts"]);
    assert!(String::from_utf8(contacts.stdout).unwrap().contains("Dr. Weiss"));

    // What is no text is not taken, so it was read.
    let no_message = "0".repeat(32);
    for line in [
        &["edit", &no_message, "-"][..],
        &["send", "Dr. Weiss", "-", "--reply-to", &no_message],
        &["pause", "Dr. Weiss", "--words", "-"],
        &["discharge", "Dr. Weiss", "--yes", "--words", "-"],
    ] {
        let mut with_json = vec!["--json"];
        with_json.extend(line);
        assert_eq!(refused(&with_stdin(&device, &with_json, &[0xff])), (Some(1), "stdin".into()), "{line:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_backup_does_not_write_through_a_link_that_somebody_planted() {
    let device = waiting();
    let folder = device.folder.path();
    let (file, planted, victim) = (folder.join("backup"), folder.join("backup.part"), folder.join("victim"));
    fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, &planted).unwrap();
    let mut command = device.command(&["--json", "backup"]);
    let backup = command.arg(&file).env("TACIT_BACKUP_SECRET", "a backup passphrase").output().unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert!(file.symlink_metadata().unwrap().is_file() && planted.symlink_metadata().is_err());
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions()) & 0o777, 0o600);
}

#[test]
fn a_relay_that_is_down_costs_nothing_but_time() {
    let device = waiting();
    let again = device.run(&["--json", "enrol", &enrolment(), "--timeout", "0s"]);
    assert_eq!(refused(&again), (Some(1), "enrolment_pending".into()));
    let invited = device.run(&["--json", "invite", "--label", "Anna", "--timeout", "1s"]);
    assert_eq!(refused(&invited), (Some(1), "invite_not_open".into()));
    let shown = device.run(&["--json", "invite", "--show", "Anna", "--timeout", "1s"]);
    assert_eq!(refused(&shown), (Some(1), "invite_not_open".into()));
    assert_eq!(refused(&device.run(&["--json", "sync", "--for", "1s"])), (Some(1), "timed_out".into()));

    let contacts = device.run(&["--json", "contacts"]);
    let contact: Value = serde_json::from_slice(&contacts.stdout).unwrap();
    assert_eq!((&contact["label"], &contact["state"]), (&"Anna".into(), &"opening".into()));
    assert_eq!(refused(&device.run(&["--json", "send", "Anna", "hi"])), (Some(1), "not_paired".into()));
}

#[test]
fn a_join_without_a_relay_is_kept_and_goes_on_as_the_same_contact() {
    let device = Device::new();
    let link = invite();
    for _ in 0..2 {
        let joined = device.run(&["--json", "join", &link, "--label", "Dr. Weiss", "--timeout", "1s"]);
        assert_eq!(refused(&joined), (Some(1), "join_pending".into()));
    }
    let contacts = device.run(&["--json", "contacts"]);
    let contact: Value = serde_json::from_slice(&contacts.stdout).unwrap();
    assert_eq!((&contact["label"], &contact["state"]), (&"Dr. Weiss".into(), &"joining".into()));
}

#[test]
fn errors_name_nobody() {
    let device = waiting();
    drop(device.run(&["--json", "invite", "--label", "Anna Petrov", "--timeout", "0s"]));
    drop(device.run(&["--json", "invite", "--label", "Anna Petrov", "--timeout", "0s"]));
    let lines = [
        &["send", "Anna Petrov", "a secret"][..],
        &["send", "Nobody Else", "a secret"],
        &["send", "Nobody Else", "a", "secret"],
        &["words", "Anna Petrov"],
        &["end", "Anna Petrov"],
    ];
    for line in lines {
        let mut with_json = vec!["--json"];
        with_json.extend(line);
        let text = error(&device.run(&with_json)).to_string();
        for secret in ["Anna", "Petrov", "Nobody", "secret"] {
            assert!(!text.contains(secret), "{line:?}: {text}");
        }
    }
    let (_, code) = refused(&device.run(&["--json", "words", "Anna Petrov"]));
    assert_eq!(code, "ambiguous_contact");
}

#[test]
fn a_chat_needs_a_terminal() {
    let device = waiting();
    for line in [&["chat"][..], &["demo"]] {
        let output = device.run(line);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("needs a terminal"));
        assert!(output.stdout.is_empty());
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_command_ends_with_130_and_keeps_what_it_did() {
    let device = waiting();
    let label = |n: usize| format!("killed {n}");
    let mut child = device
        .command(&["--json", "invite", "--label", &label(1)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It is in the store before it waits for the relay, which is down.
    while device.run(&["--json", "contacts"]).stdout.is_empty() {}
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let contacts = device.run(&["--json", "contacts"]);
    assert!(String::from_utf8(contacts.stdout).unwrap().contains(&label(1)));
}

#[test]
fn a_passphrase_is_changed_only_by_who_knows_it() {
    let device = waiting();
    let changed = |old: &str, new: &str| {
        let mut command = device.command(&["--json", "passphrase"]);
        command.env("TACIT_PASSPHRASE", old).env("TACIT_NEW_PASSPHRASE", new).output().unwrap()
    };
    assert_eq!(refused(&changed("wrong", "another")), (Some(1), "wrong_passphrase".into()));
    assert_eq!(refused(&changed("correct horse", "")), (Some(1), "empty_passphrase".into()));
    assert!(changed("correct horse", "another").status.success());
    assert_eq!(refused(&device.run(&["--json", "check"])), (Some(1), "wrong_passphrase".into()));
    let check = device.command(&["--json", "check"]).env("TACIT_PASSPHRASE", "another").output().unwrap();
    assert_eq!(String::from_utf8(check.stdout).unwrap(), "{\"whole\":true}\n");
}

#[test]
fn erasing_needs_a_yes_and_no_passphrase() {
    let device = waiting();
    let before = device.files();
    let erase = |arguments: &[&str]| device.command(arguments).env_remove("TACIT_PASSPHRASE").output().unwrap();
    assert_eq!(refused(&erase(&["--json", "erase"])), (Some(1), "not_confirmed".into()));
    assert_eq!(device.files(), before);
    assert!(erase(&["--json", "erase", "--yes"]).status.success());
    assert!(!device.home().exists());
    assert_eq!(refused(&device.run(&["--json", "contacts"])), (Some(1), "no_home".into()));
}
