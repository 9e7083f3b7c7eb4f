//! Files, from the command line and from an app: each command is a process of its own, the relay a real one.

#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tacit_client_core::{AttachmentError, Content, NewAttachment, SendError, TransferState};
use tacit_tests::{Cli, Device, PATIENCE_MS, Relay};
use tempfile::TempDir;

struct Pair {
    _relay: Relay,
    files: TempDir,
    therapist: Cli,
    client: Cli,
}

impl Pair {
    fn new() -> Self {
        let (relay, therapist, client) = (Relay::start(), Cli::new(), Cli::new());
        therapist.ok(&["enrol", &relay.enrolment(3), "--name", "Dr. Example"]);
        let invite = therapist.ok(&["invite", "--label", "C"]);
        client.ok(&["join", invite[0]["link"].as_str().unwrap(), "--accept-terms", "--label", "T"]);
        therapist.ok(&["sync"]);
        client.ok(&["sync"]);
        Self { _relay: relay, files: tempfile::tempdir().unwrap(), therapist, client }
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Both connect in turns until the file is so on this device.
    fn until(&self, device: &Cli, contact: &str, state: &str) -> Value {
        for _ in 0..20 {
            let history = device.ok(&["history", contact]);
            if let Some(message) = history.into_iter().rfind(|message| message["file"]["state"] == state) {
                return message;
            }
            for device in [&self.therapist, &self.client] {
                device.ok(&["sync", "--for", "5s"]);
            }
        }
        panic!("no file is {state}: {:?}", device.ok(&["history", contact]));
    }
}

fn error(device: &Cli, arguments: &[&str]) -> String {
    let output = device.run(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    error["error"].as_str().unwrap().to_owned()
}

fn id(message: &Value) -> String {
    message["id"].as_str().unwrap().to_owned()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn a_file_is_attached_saved_and_never_written_over_another() {
    let pair = Pair::new();
    let content = bytes(40_000);
    let sent = pair.therapist.ok(&["attach", "C", &pair.file("plan.pdf", &content), "--queue"]);
    let file = json!({
        "name": "plan.pdf", "media_type": "application/pdf", "size": 40_000, "thumbnail": false,
        "state": "under_way", "done": 0,
    });
    assert_eq!((&sent[0]["file"], &sent[0]["outcome"], &sent[0]["text"]), (&file, &json!("queued"), &Value::Null));
    // The sender can read it at once, the recipient when it is whole.
    pair.therapist.ok(&["save", &id(&sent[0]), &pair.path("own")]);
    assert_eq!(fs::read(pair.path("own")).unwrap(), content);
    let came = pair.until(&pair.client, "T", "whole");
    assert_eq!(id(&came), id(&sent[0]));
    assert_eq!(pair.client.ok(&["save", &id(&came), &pair.path("saved")])[0]["file"]["state"], "whole");
    assert_eq!(fs::read(pair.path("saved")).unwrap(), content);

    let other = pair.file("other", b"mine");
    assert_eq!(error(&pair.client, &["save", &id(&came), &other]), "file_exists");
    assert_eq!(fs::read(other).unwrap(), b"mine");
    assert_eq!(error(&pair.client, &["save", &id(&came), &pair.path("no/such/folder")]), "file_unwritable");
    assert_eq!(error(&pair.client, &["save", &"0".repeat(32), &pair.path("x")]), "no_such_message");
    let text = pair.client.ok(&["send", "T", "a text"]);
    assert_eq!(error(&pair.client, &["save", &id(&text[0]), &pair.path("x")]), "not_a_file");
    assert_eq!(error(&pair.client, &["attach", "T", &pair.path("not there")]), "file_unreadable");
    assert!(!Path::new(&pair.path("x")).exists());
}

#[test]
fn a_file_is_cancelled_by_its_sender_and_the_other_side_sees_it() {
    let pair = Pair::new();
    // More than may wait at the relay: it stays under way while the recipient is away.
    let sent = pair.therapist.ok(&["attach", "C", &pair.file("long.bin", &bytes(2_000_000)), "--timeout", "3s"]);
    assert_eq!(sent[0]["file"]["state"], "under_way");
    let cancelled = pair.therapist.ok(&["cancel", &id(&sent[0])]);
    assert_eq!(cancelled[0]["file"]["state"], "cancelled_by_us");
    assert_eq!(error(&pair.therapist, &["cancel", &id(&sent[0])]), "over");
    let seen = pair.until(&pair.client, "T", "cancelled_by_peer");
    assert_eq!(error(&pair.client, &["save", &id(&seen), &pair.path("x")]), "not_here");
    assert!(!Path::new(&pair.path("x")).exists());
}

#[test]
fn a_message_that_is_deleted_while_its_file_is_under_way_takes_the_file_along() {
    let pair = Pair::new();
    let sent = pair.therapist.ok(&["attach", "C", &pair.file("long.bin", &bytes(2_000_000)), "--timeout", "3s"]);
    assert_eq!(sent[0]["file"]["state"], "under_way");
    pair.therapist.ok(&["delete", "C", "--message", &id(&sent[0]), "--yes"]);
    assert!(pair.therapist.ok(&["history", "C"]).is_empty());
    pair.until(&pair.client, "T", "cancelled_by_peer");
    // And what is written afterwards arrives.
    pair.therapist.ok(&["send", "C", "after it", "--wait", "accepted"]);
    let printed = pair.client.ok(&["sync"]);
    assert!(printed.iter().any(|message| message["text"] == "after it"), "{printed:?}");
}

#[test]
fn a_restored_device_has_the_files_that_its_backup_held() {
    let pair = Pair::new();
    let content = bytes(100_000);
    pair.client.ok(&["attach", "T", &pair.file("diary.txt", &content), "--queue"]);
    let came = pair.until(&pair.therapist, "C", "whole");
    let backup = pair.path("backup");
    let secret = pair.file("secret", b"a backup passphrase\n");
    pair.therapist.ok(&["backup", &backup, "--secret-file", &secret]);

    let new = Cli::new();
    new.ok(&["restore", &backup, "--secret-file", &secret]);
    let history = new.ok(&["history", "C"]);
    assert_eq!((id(&history[0]), &history[0]["file"]["state"]), (id(&came), &json!("whole")));
    new.ok(&["save", &id(&came), &pair.path("restored")]);
    assert!(fs::read(pair.path("restored")).unwrap() == content, "what was restored is not what was backed up");
}

#[test]
fn a_reply_says_what_it_answers_for_people_and_for_scripts() {
    let pair = Pair::new();
    let asked = pair.therapist.ok(&["send", "C", "How was your week?", "--wait", "accepted"]);
    pair.client.ok(&["sync"]);
    pair.client.ok(&["send", "T", "Better.", "--reply-to", &id(&asked[0]), "--wait", "accepted"]);
    let came = pair.therapist.ok(&["sync"]);
    assert_eq!(came.last().unwrap()["reply_to"], asked[0]["id"]);
    let screen = pair.therapist.screen(&["history", "C"]);
    assert!(screen.contains("(answers me: How was your week?)"), "{screen}");
    assert!(pair.client.screen(&["history", "T"]).contains("(answers T: How was your week?)"));
    pair.therapist.ok(&["invite", "--label", "Another"]);
    let of_another = ["delete", "Another", "--message", &id(&asked[0]), "--yes"];
    assert_eq!(error(&pair.therapist, &of_another), "no_such_message");
    pair.therapist.ok(&["delete", "C", "--message", &id(&asked[0]), "--yes"]);
    let screen = pair.therapist.screen(&["history", "C"]);
    assert!(screen.contains("(answers a message that is not here any more)"), "{screen}");
}

/// Two devices in this process, paired: how each calls the other.
fn devices(relay: &Relay) -> (Device, String, Device, String) {
    let (therapist, client) = (Device::new(), Device::new());
    therapist.online();
    client.online();
    therapist.enrol(&relay.enrolment(1));
    let (of_client, link) = therapist.invite("C");
    let of_therapist = client.join(&link);
    therapist.wait_state(&of_client, tacit_client_core::ContactState::Paired);
    (therapist, of_client, client, of_therapist)
}

fn voice_note() -> NewAttachment {
    NewAttachment {
        name: "note.ogg".into(),
        media_type: "audio/ogg".into(),
        duration_ms: Some(1_500),
        ..NewAttachment::default()
    }
}

#[test]
fn a_voice_note_is_appended_to_piece_by_piece_and_sent_when_it_is_finished() {
    let relay = Relay::start();
    let (therapist, of_client, client, of_therapist) = devices(&relay);
    let content = bytes(50_000);
    let sender = therapist.client();
    let transfer = sender.begin_attachment(of_client.clone(), voice_note()).unwrap();
    // Pieces of every kind: empty, within a chunk, over its edge, several at once.
    let mut rest = content.as_slice();
    for length in [0, 1, 14_335, 1, 14_336, 20_000].into_iter().chain([usize::MAX]) {
        let (piece, later) = rest.split_at(length.min(rest.len()));
        sender.append_attachment(of_client.clone(), transfer.clone(), piece.to_vec()).unwrap();
        rest = later;
    }
    assert!(
        sender.history(of_client.clone(), None, 10).unwrap().is_empty(),
        "nothing is announced before it is finished"
    );
    let message = sender.finish_attachment(of_client.clone(), transfer.clone()).unwrap();
    let late = sender.append_attachment(of_client.clone(), transfer.clone(), vec![0]);
    assert!(matches!(late, Err(AttachmentError::GivenUp)), "{late:?}");
    assert!(sender.finish_attachment(of_client.clone(), transfer).is_err());
    assert_eq!(sender.wait_transfer(message.clone(), PATIENCE_MS).unwrap(), TransferState::Whole);
    assert_eq!(client.client().read_attachment(message.clone(), 0, 1 << 20).unwrap(), content);
    let Content::Attachment(came) = client.client().message(message).unwrap().content else { panic!("a file came") };
    assert_eq!((came.size, came.duration_ms), (50_000, Some(1_500)));

    let given_up = sender.begin_attachment(of_client.clone(), voice_note()).unwrap();
    sender.append_attachment(of_client.clone(), given_up.clone(), vec![1; 20_000]).unwrap();
    sender.abandon_attachment(of_client.clone(), given_up.clone()).unwrap();
    assert!(matches!(sender.finish_attachment(of_client, given_up), Err(AttachmentError::GivenUp)));
    assert_eq!(client.client().history(of_therapist, None, 10).unwrap().len(), 1);
}

#[test]
fn a_file_queued_before_a_pause_goes_out_as_a_text_does_and_no_new_one_is_begun() {
    let relay = Relay::start();
    let (therapist, of_client, client, of_therapist) = devices(&relay);
    client.offline();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diary.bin");
    fs::write(&path, bytes(100_000)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let begun = client.client().begin_attachment(of_therapist.clone(), voice_note()).unwrap();
    let message = client.client().send_attachment(of_therapist.clone(), path.clone(), voice_note()).unwrap();
    therapist.client().pause(of_client.clone(), String::new()).unwrap();
    therapist.settle();
    client.online();
    assert_eq!(client.client().wait_transfer(message.clone(), PATIENCE_MS).unwrap(), TransferState::Whole);
    let is_paused = |error| matches!(error, Err(AttachmentError::Send(SendError::Paused)));
    assert!(client.client().contact(of_therapist.clone()).unwrap().care.paused_by_them.is_some());
    assert!(is_paused(client.client().send_attachment(of_therapist.clone(), path, voice_note())));
    // One that was begun before waits for the end of the pause, and is kept.
    assert!(is_paused(client.client().finish_attachment(of_therapist.clone(), begun.clone())));
    therapist.client().resume(of_client).unwrap();
    therapist.settle();
    client.settle();
    client.client().finish_attachment(of_therapist, begun).unwrap();
}
