//! Homes that earlier versions wrote are opened, read and gone on with, for ever.

use std::path::Path;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tacit_proto::SealedBox;

use super::*;
use crate::conversation;
use crate::types::{Contact, ContactState, Content, Direction, EndedWhy, EnrolmentState, Message, Outcome};

/// Every released version's homes, oldest first: `fixtures/store-N`, made by the test in `tests/tests/formats.rs`.
const KEPT: [u32; 1] = [1];

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A copy of a kept home.
fn home(version: u32, name: &str) -> tempfile::TempDir {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/store-{version}")).join(name);
    let home = tempfile::tempdir().unwrap();
    for file in ["key", "tacit.db"] {
        fs::copy(kept.join(file), home.path().join(file)).unwrap();
    }
    home
}

fn key(home: &Path) -> Key {
    Key::open(home, &StoreKey::Raw(vec![7; 32]), &mut rng()).unwrap()
}

fn contacts(store: &mut Store) -> Vec<Contact> {
    store.read::<_, StoreError>(|tx| tx.contacts()).unwrap()
}

fn history(store: &mut Store, contact: &ContactKey) -> Vec<Message> {
    store.read::<_, StoreError>(|tx| tx.history(contact, None, 100)).unwrap().unwrap()
}

fn of_label(store: &mut Store, label: &str) -> ContactRow {
    let contact = contacts(store).into_iter().find(|contact| contact.label == label).unwrap();
    let key: ContactKey = hex::decode(contact.id).unwrap().try_into().unwrap();
    store.read::<_, StoreError>(|tx| tx.contact(&key)).unwrap().unwrap()
}

fn texts(messages: &[Message], direction: Direction) -> Vec<&str> {
    let of = messages.iter().filter(|message| message.direction == direction);
    of.map(|message| match &message.content {
        Content::Text(text) => text.as_str(),
        Content::Attachment(_) | Content::Note(_) | Content::Unknown => panic!("only texts were kept"),
    })
    .collect()
}

/// Seals everything that waits at one side, and opens it at the other.
fn hand_over(from: &mut Store, sender: &ContactRow, to: &mut Store, recipient: &ContactRow) {
    let boxes: Vec<Vec<u8>> = from
        .change::<_, StoreError>(|tx| {
            let waiting = tx.outgoing(&sender.key, 0, 100)?;
            waiting
                .iter()
                .map(|outgoing| {
                    let sealing = conversation::seal_outgoing(tx, sender, outgoing, &mut rng())?;
                    tx.remove_outgoing(outgoing.key)?;
                    let conversation::Sealing::Sealed(sealed) = sealing else { panic!("it cannot be sealed") };
                    Ok(sealed)
                })
                .collect()
        })
        .unwrap();
    to.change::<_, StoreError>(|tx| {
        for sealed in boxes {
            let sealed = SealedBox::check(sealed.into()).unwrap();
            assert!(conversation::receive(tx, recipient, &sealed, 2_000_000_000_000, &mut rng())?.message.is_some());
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn homes_of_every_earlier_version_open_with_all_that_was_in_them() {
    for version in KEPT {
        let (therapist, client) = (home(version, "therapist"), home(version, "client"));
        let mut therapist = Store::open(therapist.path(), &key(therapist.path())).unwrap();
        let mut client = Store::open(client.path(), &key(client.path())).unwrap();
        for store in [&therapist, &client] {
            assert_eq!(migrations::version(&store.connection).unwrap(), migrations::VERSION);
            let check = |pragma| store.connection.query_row(pragma, [], |row| row.get::<_, String>(0));
            assert_eq!(check("PRAGMA integrity_check").unwrap(), "ok");
            // SQLCipher names the pages that are not as they were written; none is no row.
            assert!(check("PRAGMA cipher_integrity_check").is_err());
        }

        let states = |store: &mut Store| {
            let mut states: Vec<_> = contacts(store).into_iter().map(|it| (it.label, it.state)).collect();
            states.sort_by(|one, two| one.0.cmp(&two.0));
            states
        };
        assert_eq!(
            states(&mut therapist),
            [
                ("C".to_owned(), ContactState::Paired),
                ("ended".to_owned(), ContactState::Ended(EndedWhy::ByUs)),
                ("open invite".to_owned(), ContactState::Invited),
            ]
        );
        assert_eq!(states(&mut client), [("Dr. Example".to_owned(), ContactState::Paired)]);
        assert!(contacts(&mut client)[0].verified);
        let enrolments = therapist.read::<_, StoreError>(|tx| tx.enrolments()).unwrap();
        assert_eq!((enrolments[0].state, enrolments[0].permits_left), (EnrolmentState::Enrolled, 2));

        let (c, t) = (of_label(&mut therapist, "C"), of_label(&mut client, "Dr. Example"));
        let written = history(&mut therapist, &c.key);
        assert_eq!(
            texts(&written, Direction::In),
            ["from the client 1 \u{2713}", "from the client 2 \u{2713}", "from the client 3 \u{2713}"]
        );
        let sent = [
            "from the therapist 1",
            "from the therapist 2",
            "from the therapist 3",
            "accepted, not delivered",
            "queued 1",
            "queued 2",
        ];
        assert_eq!(texts(&written, Direction::Out), sent);
        let outcomes: Vec<_> = written
            .iter()
            .filter(|message| message.direction == Direction::Out)
            .map(|message| message.outcome)
            .collect();
        assert!(matches!(
            outcomes[..],
            [
                Outcome::Delivered,
                Outcome::Delivered,
                Outcome::Delivered,
                Outcome::Accepted { .. },
                Outcome::Queued,
                Outcome::Queued
            ]
        ));
        assert_eq!(texts(&history(&mut client, &t.key), Direction::In), sent[..3]);
        let transcript = |store: &mut Store, of: &ContactRow| {
            let transcript = store.read::<_, StoreError>(|tx| tx.transcript(&of.key)).unwrap().unwrap();
            transcript.safety_words().map(str::to_owned)
        };
        assert_eq!(transcript(&mut therapist, &c), transcript(&mut client, &t));

        // Keys and ratchets go on where they were: what waited is opened on the other side, both ways.
        hand_over(&mut therapist, &c, &mut client, &t);
        assert_eq!(texts(&history(&mut client, &t.key), Direction::In), [&sent[..3], &sent[4..]].concat());
        client.change::<_, StoreError>(|tx| tx.queue_text(&t.key, &[5; 16], "an answer", 9)).unwrap();
        hand_over(&mut client, &t, &mut therapist, &c);
        // Its receipt named the gap: what was under way when the homes were kept goes out again.
        hand_over(&mut therapist, &c, &mut client, &t);
        assert_eq!(texts(&history(&mut client, &t.key), Direction::In), sent);
    }
}

#[test]
fn many_openings_at_once_migrate_an_old_store_once() {
    let home = home(1, "therapist");
    let key = key(home.path());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut store = Store::open(home.path(), &key).unwrap();
                assert_eq!(contacts(&mut store).len(), 3);
            });
        }
    });
}

#[test]
fn a_step_that_fails_in_the_middle_leaves_the_version_before_it() {
    let home = home(1, "therapist");
    let key = key(home.path());
    let mut store = Store::open(home.path(), &key).unwrap();
    let dangling = "INSERT INTO sealing_keys (contact, secret, created_at) VALUES (x'00', x'00', 1)";
    for last in ["CREATE TABLE contacts (id INTEGER)", dangling] {
        let sql = format!("CREATE TABLE half (id INTEGER); DELETE FROM messages; {last};");
        assert!(migrations::apply(&mut store.connection, migrations::VERSION, &sql).is_err());
        assert_eq!(migrations::version(&store.connection).unwrap(), migrations::VERSION);
        assert!(store.connection.prepare("SELECT * FROM half").is_err());
        let c = of_label(&mut store, "C");
        assert_eq!(history(&mut store, &c.key).len(), 9);
    }
}

#[test]
fn a_store_of_a_newer_version_is_refused_even_while_it_is_open() {
    let home = home(1, "client");
    let key = key(home.path());
    let mut before = Store::open(home.path(), &key).unwrap();
    let newer = Store::open(home.path(), &key).unwrap();
    newer.connection.pragma_update(None, "user_version", migrations::VERSION + 1).unwrap();
    assert!(matches!(Store::open(home.path(), &key), Err(OpenError::NewerFormat)));
    let refused = before.change::<(), StoreError>(|_| Ok(()));
    assert!(matches!(refused, Err(StoreError::NewerFormat)));
    assert_eq!(contacts(&mut before).len(), 1);
}
