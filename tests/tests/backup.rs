//! A device is lost, and another is restored from its backup: the real relay, the real binary, two homes and a lost one.

#![allow(missing_docs, reason = "tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tacit_tests::{Cli, PATIENCE_MS, Relay};

const LOCKED_OUT: &str = "The relay no longer lets this device into the conversation: another device took it over, or the \
                          relay lost it. What was written is kept here. Pair again with a new invite.";

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

/// A therapist and a client who verified each other, and wrote one message each.
fn talk(relay: &Relay) -> (Cli, Cli) {
    let (therapist, client) = (Cli::new(), Cli::new());
    therapist.ok(&["enrol", &relay.enrolment(3), "--name", "Dr. Example"]);
    let link = therapist.ok(&["invite", "--label", "C"])[0]["link"].as_str().unwrap().to_owned();
    client.ok(&["join", &link, "--accept-terms", "--label", "T"]);
    therapist.ok(&["sync"]);
    therapist.ok(&["send", "C", "before the backup", "--wait", "accepted"]);
    client.ok(&["sync"]);
    client.ok(&["send", "T", "an answer", "--wait", "accepted"]);
    therapist.ok(&["sync"]);
    therapist.ok(&["words", "C", "--verified", &client.words("T")]);
    client.ok(&["words", "T", "--verified", &therapist.words("C")]);
    (therapist, client)
}

/// The 24 words of a new backup.
fn back_up(device: &Cli, file: &Path) -> String {
    let words = device.ok(&["backup", file.to_str().unwrap(), "--new-words"])[0]["words"].clone();
    let words: Vec<_> = words.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words.len(), 24);
    words.join(" ")
}

/// Restores, or says which error there was; then there is no home.
fn restore(home: &Cli, file: &Path, secret: &str) -> Result<Value, String> {
    let mut command = home.command(&["restore", file.to_str().unwrap()]);
    let output = command.env("TACIT_BACKUP_SECRET", secret).output().unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    assert!(output.stdout.is_empty() && !home.home().exists());
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    Err(error["error"].as_str().unwrap().to_owned())
}

#[test]
fn a_restored_device_takes_over_and_the_lost_one_is_locked_out() {
    let relay = Relay::start();
    let (lost, client) = talk(&relay);
    // Accepted and not delivered, and queued, when the backup is made.
    lost.ok(&["send", "C", "under way", "--wait", "accepted"]);
    lost.ok(&["send", "C", "queued", "--wait", "none"]);
    let words_before = lost.words("C");
    let file = lost.home().with_file_name("backup");
    let secret = back_up(&lost, &file);
    // The lost device goes on for a while: the queued message leaves, and comes twice.
    lost.ok(&["sync"]);
    client.ok(&["sync"]);
    client.ok(&["send", "T", "delivered to the lost device", "--wait", "accepted"]);
    lost.ok(&["send", "C", "after the backup", "--wait", "accepted"]);
    client.ok(&["sync"]);
    lost.ok(&["sync"]);
    client.ok(&["send", "T", "on its way to the lost device", "--wait", "accepted"]);

    let new = Cli::new();
    assert_eq!(restore(&new, &file, &secret), Ok(json!({"restored": true, "contacts": 1})));
    assert_eq!(texts(&new, "C", "out"), ["before the backup", "under way", "queued"]);
    assert_eq!(texts(&new, "C", "in"), ["an answer"]);
    let shown = contact(&new);
    assert_eq!((&shown["verified"], &shown["resetting"]), (&json!(false), &json!(true)));
    let screen_of_new = new.screen(&["contacts"]);
    assert!(screen_of_new.contains("C  paired, unverified\n"), "{screen_of_new}");
    assert!(
        screen_of_new.contains("A new session was asked for, and their device has not answered yet.")
            && screen_of_new
                .contains("Unverified: the safety words will be new. Compare them once their device has answered."),
        "{screen_of_new}"
    );
    assert!(new.screen(&["words", "C"]).contains("there are no safety words yet"));
    new.ok(&["send", "C", "from the new device", "--wait", "none"]);
    let sent = ["before the backup", "under way", "queued", "after the backup", "from the new device"];
    until([&new, &client], "everything arrives once, in order", || texts(&client, "T", "in") == sent);
    let came = ["an answer", "delivered to the lost device", "on its way to the lost device"];
    until([&client, &new], "what the lost device got, or was to get, comes to the new one", || {
        texts(&new, "C", "in") == came
    });

    // Both are told, and see new words that nobody has compared yet.
    assert_eq!(new.words("C"), client.words("T"));
    assert_ne!(new.words("C"), words_before);
    // Words that were compared before verify nothing now, and neither does a yes that names none.
    for (compared, code) in [(&["--verified", &words_before][..], "other_words"), (&["--verified"][..], "usage")] {
        let refused = client.run(&[&["words", "T"][..], compared].concat());
        let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
        assert_eq!(error["error"], code);
    }
    for (device, by_peer) in [(&new, false), (&client, true)] {
        let shown = contact(device);
        assert_eq!((&shown["verified"], &shown["resetting"]), (&json!(false), &json!(false)));
        assert_eq!(shown["last_reset"]["by_peer"], by_peer);
        assert_eq!((&shown["missing"], &shown["unopened"]), (&json!(0), &json!(0)));
    }
    let told = "Unverified: their device asked to begin anew, so the safety words are new. It may be another device, or \
                somebody else's: compare them.";
    assert!(client.screen(&["contacts"]).contains(told));
    assert!(
        new.screen(&["contacts"]).contains("Unverified: you began anew, so the safety words are new. Compare them.")
    );
    new.ok(&["check"]);

    // The lost device returns.
    let _ = lost.run(&["sync", "--for", "5s"]);
    assert_eq!(contact(&lost)["locked_out"], true);
    assert!(lost.screen(&["contacts"]).contains(LOCKED_OUT));
    assert!(lost.screen(&["sync", "--for", "2s"]).contains(&format!("C: {LOCKED_OUT}")));
    let refused = lost.run(&["send", "C", "from the lost device", "--timeout", "2s"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("\"locked_out\""));
    assert!(texts(&lost, "C", "out").contains(&"after the backup".to_owned()), "it keeps its history");
    client.ok(&["sync"]);
    assert_eq!(texts(&client, "T", "in"), sent);

    // And nobody else is: messages go both ways.
    for device in [&new, &client] {
        assert_eq!(contact(device)["locked_out"], false);
    }
    for number in 0..3 {
        new.ok(&["send", "C", &format!("there {number}"), "--wait", "accepted"]);
        client.ok(&["send", "T", &format!("back {number}"), "--wait", "accepted"]);
    }
    client.ok(&["sync"]);
    new.ok(&["sync"]);
    assert_eq!(texts(&client, "T", "in")[sent.len()..], ["there 0", "there 1", "there 2"]);
    assert_eq!(texts(&new, "C", "in")[came.len()..], ["back 0", "back 1", "back 2"]);
}

#[test]
fn what_a_restored_practice_states_is_newer_than_all_that_the_lost_one_stated() {
    let relay = Relay::start();
    let (lost, client) = talk(&relay);
    let file = lost.home().with_file_name("backup");
    let stated = |advice: &str| {
        let crisis = json!([{"locale": "en", "advice": advice}]);
        std::fs::write(lost.home().with_file_name("crisis"), crisis.to_string()).unwrap();
        std::fs::write(lost.home().with_file_name("terms"), advice).unwrap();
        ["crisis", "terms"].map(|name| lost.home().with_file_name(name).to_str().unwrap().to_owned())
    };
    let state = |device: &Cli, advice: &str| {
        let [crisis, terms] = stated(advice);
        let signed = [["practice", "crisis", &crisis], ["practice", "terms", &terms]].map(|words| device.ok(&words));
        signed.map(|signed| signed[0]["version"].as_u64().unwrap())
    };
    let shown = || {
        let crisis = client.ok(&["crisis", "T", "--locale", "en"]);
        let advice = |of: &Value| of.as_str().unwrap_or_default().to_owned();
        [advice(&crisis[0]["advice"]), advice(&client.ok(&["terms", "T"])[0]["terms"])]
    };
    assert_eq!(state(&lost, "the first"), [1, 2]);
    let secret = back_up(&lost, &file);
    for number in 0..3 {
        state(&lost, &format!("the lost device's {number}"));
    }
    until([&lost, &client], "the client sees what the lost device stated", || {
        shown() == ["the lost device's 2", "the lost device's 2"]
    });

    let new = Cli::new();
    restore(&new, &file, &secret).unwrap();
    // The very card that it has is no news to it, and is to the client.
    let versions = state(&new, "the first");
    assert!(versions.iter().all(|version| *version > 202_600_000_000), "the time of the restore: {versions:?}");
    until([&new, &client], "the client sees what the new device states", || shown() == ["the first", "the first"]);
    assert_eq!(state(&new, "the second"), versions.map(|version| version + 1));
    until([&new, &client], "and goes on so", || shown() == ["the second", "the second"]);
    // Nobody is told of a change that is none.
    let [crisis, _] = stated("the second");
    assert_eq!(new.ok(&["practice", "crisis", &crisis])[0]["version"], versions[0] + 1);
}

#[test]
fn a_client_who_lost_a_device_gets_the_conversation_back_and_a_backup_that_is_not_whole_makes_no_home() {
    let relay = Relay::start();
    let (therapist, lost) = talk(&relay);
    let file = lost.home().with_file_name("backup");
    let secret = back_up(&lost, &file);
    for number in 0..3 {
        therapist.ok(&["send", "C", &format!("later {number}"), "--wait", "accepted"]);
    }
    lost.ok(&["sync"]);

    let new = Cli::new();
    let other = "abandon amount liar amount expire adjust cage candy arch gather drum bullet absurd math era live bid \
                 rhythm alien crouch range attend journey unaware";
    assert_eq!(restore(&new, &file, other), Err("wrong_secret".to_owned()));
    assert_eq!(restore(&new, &file, "correct horse"), Err("bad_words".to_owned()));
    let whole = std::fs::read(&file).unwrap();
    let altered_file = file.with_file_name("altered");
    for cut in [13, 60, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&altered_file, &whole[..cut]).unwrap();
        let error = restore(&new, &altered_file, &secret).unwrap_err();
        assert!(["not_a_backup", "backup_truncated", "backup_damaged"].contains(&error.as_str()), "{cut} {error}");
    }
    for at in [100, whole.len() / 2, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        std::fs::write(&altered_file, &altered).unwrap();
        assert_eq!(restore(&new, &altered_file, &secret), Err("backup_damaged".to_owned()));
    }

    assert_eq!(restore(&new, &file, &secret), Ok(json!({"restored": true, "contacts": 1})));
    let came = ["before the backup", "later 0", "later 1", "later 2"];
    until([&new, &therapist], "what came after the backup comes again", || texts(&new, "T", "in") == came);
    new.ok(&["send", "T", "here I am", "--wait", "accepted"]);
    therapist.ok(&["sync"]);
    assert_eq!(texts(&therapist, "C", "in"), ["an answer", "here I am"]);
    assert_eq!(new.words("T"), therapist.words("C"));
    assert_eq!(contact(&therapist)["verified"], false);
    let _ = lost.run(&["sync", "--for", "5s"]);
    assert_eq!(contact(&lost)["locked_out"], true);
}
