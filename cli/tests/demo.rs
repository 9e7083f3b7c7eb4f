//! `tacit demo --script`, as anybody runs it.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_script_prints_a_conversation_that_was_delivered_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tacit"))
        .args(["--json", "demo", "--script"])
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> =
        std::str::from_utf8(&output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (words, messages): (Vec<&Value>, Vec<&Value>) = lines.iter().partition(|line| line["words"].is_array());
    assert_eq!(words.len(), 2);
    assert_eq!(words[0]["words"], words[1]["words"]);
    assert_eq!(words[0]["words"].as_array().unwrap().len(), 12);
    assert!(messages.len() >= 6);
    for message in &messages {
        assert_eq!(message["outcomes"].as_array().unwrap().last().unwrap(), "delivered", "{message}");
    }
    // One was written while the other device was off: the relay held it.
    assert!(messages.iter().any(|message| message["outcomes"][0] == "accepted"));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_person_reads_the_same_conversation() {
    let output = Command::new(env!("CARGO_BIN_EXE_tacit")).args(["demo", "--script"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("Safety words on the device of").count(), 2, "{text}");
    assert!(text.matches("✓✓ delivered").count() >= 6, "{text}");
    assert!(text.contains("✓ held for them until"), "{text}");
}
