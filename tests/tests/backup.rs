//! A device is lost, and another is restored from its backup: the real relay, the real binary, two homes and a lost one.

#![allow(missing_docs, reason = "tests")]

use std::time::{Duration, Instant};

use serde_json::Value;
use tacit_tests::{Cli, PATIENCE_MS, Relay};

fn texts(device: &Cli, contact: &str, direction: &str) -> Vec<String> {
    let history = device.ok(&["history", contact, "--limit", "1000"]);
    let of = history.iter().filter(|message| message["direction"] == direction);
    of.filter_map(|message| Some(message["text"].as_str()?.to_owned())).collect()
}

fn contact(device: &Cli) -> Value {
    device.ok(&["contacts"]).remove(0)
}

/// Lets both connect in turns until something is true.
fn until(devices: [&Cli; 2], what: &str, is_true: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < Duration::from_millis(3 * PATIENCE_MS), "{what}");
        for device in devices {
            let _ = device.run(&["sync", "--for", "5s"]);
        }
    }
}

#[test]
fn a_restored_device_takes_over_and_the_lost_one_is_locked_out() {
    let relay = Relay::start();
    let (lost, client) = (Cli::new(), Cli::new());
    lost.ok(&["enrol", &relay.enrolment(3), "--name", "Dr. Example"]);
    let link = lost.ok(&["invite", "--label", "C"])[0]["link"].as_str().unwrap().to_owned();
    client.ok(&["join", &link, "--accept-terms", "--label", "T"]);
    lost.ok(&["sync"]);
    lost.ok(&["send", "C", "before the backup", "--wait", "accepted"]);
    client.ok(&["sync"]);
    client.ok(&["send", "T", "an answer", "--wait", "accepted"]);
    lost.ok(&["sync"]);
    for device in [&lost, &client] {
        let name = contact(device)["contact"].as_str().unwrap().to_owned();
        device.ok(&["words", &name, "--verified"]);
    }
    // Accepted and not delivered, and queued, when the backup is made.
    lost.ok(&["send", "C", "under way", "--wait", "accepted"]);
    lost.ok(&["send", "C", "queued", "--wait", "none"]);
    let words_before = lost.ok(&["words", "C"])[0]["words"].clone();
    let file = lost.home().with_file_name("backup");
    let file = file.to_str().unwrap();
    let secret: Vec<_> = lost.ok(&["backup", file, "--new-words"])[0]["words"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    // The lost device goes on for a while: the queued message leaves, and comes twice.
    lost.ok(&["sync"]);
    client.ok(&["sync"]);
    client.ok(&["send", "T", "to the lost device", "--wait", "none"]);

    let new = Cli::new();
    let restored = new.command(&["restore", file]).env("TACIT_BACKUP_SECRET", secret.join(" ")).output().unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(texts(&new, "C", "out"), ["before the backup", "under way", "queued"]);
    assert_eq!(texts(&new, "C", "in"), ["an answer"]);
    assert_eq!(contact(&new)["verified"], false);
    new.ok(&["send", "C", "from the new device", "--wait", "none"]);
    let sent = ["before the backup", "under way", "queued", "from the new device"];
    until([&new, &client], "everything arrives once, in order", || texts(&client, "T", "in") == sent);
    until([&client, &new], "what was queued for the lost device comes to the new one", || {
        texts(&new, "C", "in") == ["an answer", "to the lost device"]
    });

    // Both are told, and see new words that nobody has compared yet.
    let (words, other_words) = (new.ok(&["words", "C"]), client.ok(&["words", "T"]));
    assert_eq!(words[0]["words"], other_words[0]["words"]);
    assert_ne!(words[0]["words"], words_before);
    for device in [&new, &client] {
        assert_eq!(contact(device)["verified"], false);
    }
    new.ok(&["check"]);

    // The lost device returns.
    let _ = lost.run(&["sync", "--for", "5s"]);
    assert_eq!(contact(&lost)["locked_out"], true);
    assert_eq!(contact(&new)["locked_out"], false);
    lost.ok(&["send", "C", "from the lost device", "--wait", "none"]);
    let _ = lost.run(&["sync", "--for", "5s"]);
    client.ok(&["sync"]);
    assert_eq!(texts(&client, "T", "in"), sent);
}
