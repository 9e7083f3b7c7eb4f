//! Makes the homes and the backups of which every later version must be able to open a copy (`client-core/fixtures/`).
//!
//! Before a migration is added, in the folder of the workspace, with N for the version of the store:
//! `TACIT_KEEP=client-core/fixtures/store-N cargo test -p tacit-tests --test formats -- --ignored homes`
//! `TACIT_KEEP=client-core/fixtures/backup-N cargo test -p tacit-tests --test formats -- --ignored backup`

#![allow(missing_docs, reason = "tests")]

use std::path::{Path, PathBuf};

use tacit_tests::core::{BackupSecret, ContactState, Outcome};
use tacit_tests::{Device, PATIENCE_MS, Relay};

/// What the kept backups are opened with. It guards nothing.
const WORDS: &str = "abandon amount liar amount expire adjust cage candy arch gather drum bullet absurd math era live bid \
                     rhythm alien crouch range attend journey unaware";

fn folder() -> PathBuf {
    let folder = std::env::var("TACIT_KEEP").expect("TACIT_KEEP names a folder for what is kept");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A therapist and a client who wrote to each other, with some of everything; both are offline.
fn conversation() -> (Device, Device) {
    let relay = Relay::start();
    let (therapist, client) = (Device::new(), Device::new());
    therapist.enrol(&relay.enrolment(5));
    therapist.online();
    client.online();
    let (c, link) = therapist.invite("C");
    let t = client.join(&link);
    therapist.wait_state(&c, ContactState::Paired);
    for number in 1..=3 {
        therapist.client().send(c.clone(), format!("from the therapist {number}")).unwrap();
        client.client().send(t.clone(), format!("from the client {number} \u{2713}")).unwrap();
    }
    therapist.wait_all_delivered(&c);
    client.wait_all_delivered(&t);
    client.client().mark_read(t).unwrap();
    let contact = client.client().contacts().unwrap()[0].id.clone();
    client.client().verify(contact.clone(), client.client().safety_words(contact).unwrap()).unwrap();
    let _ = therapist.invite("open invite");
    let (ended, _) = therapist.invite("ended");
    therapist.client().end(ended).unwrap();
    therapist.settle();
    client.settle();
    client.offline();
    let accepted = therapist.client().send(c.clone(), "accepted, not delivered".to_owned()).unwrap();
    let outcome = therapist.client().wait_outcome(accepted, false, PATIENCE_MS).unwrap();
    assert!(matches!(outcome, Outcome::Accepted { .. }));
    therapist.offline();
    for number in 1..=2 {
        therapist.client().send(c.clone(), format!("queued {number}")).unwrap();
    }
    (therapist, client)
}

#[test]
#[ignore = "writes a file that is kept"]
fn keeps_a_backup_of_the_present_version() {
    let (therapist, _client) = conversation();
    let file = folder().join("therapist.backup");
    therapist.client().backup(file.to_str().unwrap().to_owned(), BackupSecret::Words(WORDS.to_owned())).unwrap();
}

#[test]
#[ignore = "writes files that are kept"]
fn keeps_two_homes_of_the_present_version() {
    let (mut therapist, mut client) = conversation();
    let folder = folder();
    // The last one that has it open writes the log back, so that one file is the whole store.
    for (name, device) in [("therapist", &mut therapist), ("client", &mut client)] {
        let home = device.close();
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for file in ["key", "tacit.db"] {
            std::fs::copy(home.join(file), folder.join(name).join(file)).unwrap();
        }
    }
}
