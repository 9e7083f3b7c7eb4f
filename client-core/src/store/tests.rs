use getrandom::SysRng;
use rand_core::UnwrapErr;

use super::*;
use crate::content::{Body, Numbered, Range, Receipt};
use crate::pairing;
use crate::types::{Content, Direction, Outcome};
use tacit_proto::link::{EnrolmentLink, RelayPlace};
use tacit_proto::{EnrolCode, Permit};

pub(super) const CONTACT_STREAM: [u8; 16] = [9; 16];

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

pub(super) fn open(home: &Path) -> Store {
    let key = Key::open(home, &StoreKey::Raw(vec![7; 32]), &mut rng()).unwrap();
    Store::open(home, &key).unwrap()
}

pub(super) fn with_contact() -> (tempfile::TempDir, Store, ContactKey) {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path());
    let link = EnrolmentLink {
        relay: RelayPlace { address: "ws://127.0.0.1:7443".parse().unwrap(), pin: None },
        code: EnrolCode::draw(&mut rng()),
        permits: 9,
    };
    let key = store
        .change(|tx| {
            tx.add_enrolment(&link, &std::array::from_fn::<_, 9, _>(|_| Permit::draw(&mut rng())))?;
            tx.set_profile("Dr. Example", 1, "terms")?;
            let (key, _) = pairing::invite(tx, 1, &mut rng(), "somebody", 60).unwrap();
            Ok::<_, StoreError>(key)
        })
        .unwrap();
    (home, store, key)
}

pub(super) fn add_contact(store: &mut Store, label: &str) -> ContactKey {
    store.change(|tx| Ok::<_, StoreError>(pairing::invite(tx, 1, &mut rng(), label, 60).unwrap().0)).unwrap()
}

pub(super) fn numbered(number: u64) -> Numbered {
    let mut message_id = [0; 16];
    message_id[..8].copy_from_slice(&number.to_be_bytes());
    Numbered { number, position: number, message_id, sent_at: number, body: Body::Text(format!("text {number}")) }
}

fn keep(store: &mut Store, contact: &ContactKey, number: u64) -> bool {
    let numbered = numbered(number);
    store.change::<_, StoreError>(|tx| tx.keep_incoming(contact, 0, &CONTACT_STREAM, &numbered, 5)).unwrap().is_some()
}

pub(super) fn texts(store: &mut Store, contact: &ContactKey) -> Vec<(String, bool)> {
    let history = store.read::<_, StoreError>(|tx| tx.history(contact, None, 100)).unwrap().unwrap();
    history
        .into_iter()
        .map(|message| match message.content {
            Content::Text(text) => (text, message.gap_before),
            Content::Attachment(_) | Content::Note(_) | Content::Unknown => panic!("only texts were kept"),
        })
        .collect()
}

#[test]
fn a_wrong_passphrase_is_told_apart_from_a_damaged_store_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let right = StoreKey::Passphrase("right".to_owned());
    let key = Key::open(home.path(), &right, &mut rng()).unwrap();
    drop(Store::open(home.path(), &key).unwrap());
    let before = fs::read(home.path().join("key")).unwrap();

    let wrong = StoreKey::Passphrase("wrong".to_owned());
    assert!(matches!(Key::open(home.path(), &wrong, &mut rng()), Err(OpenError::WrongPassphrase)));
    let empty = StoreKey::Passphrase(String::new());
    assert!(matches!(Key::open(home.path(), &empty, &mut rng()), Err(OpenError::EmptyPassphrase)));
    let raw = StoreKey::Raw(vec![1; 32]);
    assert!(matches!(Key::open(home.path(), &raw, &mut rng()), Err(OpenError::WrongKeyKind)));
    assert_eq!(fs::read(home.path().join("key")).unwrap(), before);

    let again = Key::open(home.path(), &right, &mut rng()).unwrap();
    assert_eq!(again.bytes(), key.bytes());

    let db = home.path().join("tacit.db");
    let mut bytes = fs::read(&db).unwrap();
    bytes[..64].fill(0x55);
    fs::write(&db, bytes).unwrap();
    assert!(matches!(Store::open(home.path(), &key), Err(OpenError::Damaged)));
}

#[test]
fn a_damaged_or_newer_key_file_is_refused_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()));
    let raw = StoreKey::Raw(vec![7; 32]);
    let file = home.path().join("key");
    for (text, newer) in [(" ", false), ("{}", false), (r#"{"version":1}"#, false), (r#"{"version":2}"#, true)] {
        fs::write(&file, text).unwrap();
        match Key::open(home.path(), &raw, &mut rng()) {
            Err(OpenError::NewerFormat) => assert!(newer),
            Err(OpenError::Damaged) => assert!(!newer),
            _ => panic!("a key came out of {text:?}"),
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    // A store whose key file is gone is no new home.
    fs::remove_file(&file).unwrap();
    assert!(matches!(Key::open(home.path(), &raw, &mut rng()), Err(OpenError::Damaged)));
}

#[test]
fn what_is_stored_is_durable_and_what_is_deleted_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let pragma = |name: &str| {
        let value =
            store.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0));
        match value.unwrap() {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => panic!("{other:?}"),
        }
    };
    for (name, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("fullfsync", "1"),
        ("checkpoint_fullfsync", "1"),
        ("secure_delete", "1"),
        ("foreign_keys", "1"),
        ("temp_store", "2"),
        ("cipher_page_size", "4096"),
        ("cipher_use_hmac", "1"),
        ("cipher_hmac_algorithm", "HMAC_SHA512"),
        ("cipher_plaintext_header_size", "0"),
    ] {
        assert_eq!(pragma(name), value, "{name}");
    }
    assert!(pragma("cipher_version").starts_with("4."));
}

#[test]
fn the_file_holds_no_plaintext() {
    let (home, mut store, contact) = with_contact();
    store.change::<_, StoreError>(|tx| tx.queue_text(&contact, &[1; 16], "a very private sentence", 2)).unwrap();
    drop(store);
    for entry in fs::read_dir(home.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for private in ["private sentence", "somebody", "Dr. Example", "CREATE TABLE", "127.0.0.1"] {
            assert!(!bytes.windows(private.len()).any(|window| window == private.as_bytes()), "{private}");
        }
    }
}

#[test]
fn a_full_disk_refuses_the_change_and_loses_nothing() {
    let (_home, mut store, contact) = with_contact();
    // SQLite's own limit ends in the same SQLITE_FULL as the file system's.
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.connection.pragma_update(None, "max_page_count", pages + 8).unwrap();
    let mut kept = 0;
    let full = loop {
        let mut id = [0; 16];
        id[0] = kept;
        match store.change::<_, StoreError>(|tx| tx.queue_text(&contact, &id, &"x".repeat(2_000), 1)) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::DiskFull), "{full}");
    assert!(kept > 0);
    let count = |store: &mut Store| texts(store, &contact).len();
    assert_eq!(count(&mut store), usize::from(kept));
    store.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    store.change::<_, StoreError>(|tx| tx.queue_text(&contact, &[0xff; 16], "room again", 1)).unwrap();
    assert_eq!(count(&mut store), usize::from(kept) + 1);
}

#[test]
fn what_comes_twice_is_kept_once() {
    let (_home, mut store, contact) = with_contact();
    assert!(keep(&mut store, &contact, 1));
    assert!(!keep(&mut store, &contact, 1));
    assert_eq!(texts(&mut store, &contact), [("text 1".to_owned(), false)]);
}

#[test]
fn a_gap_shows_and_what_fills_it_stands_in_its_place() {
    let (_home, mut store, contact) = with_contact();
    for number in [1, 2, 6, 7] {
        assert!(keep(&mut store, &contact, number));
    }
    let receipt = store.read::<_, StoreError>(|tx| tx.receipt(&contact)).unwrap().unwrap();
    assert_eq!(receipt, Receipt { stream: CONTACT_STREAM, up_to: 2, beyond: vec![Range { first: 6, last: 7 }] });
    let missing =
        |store: &mut Store| store.read::<_, StoreError>(|tx| tx.public_contact(&contact)).unwrap().unwrap().missing;
    assert_eq!(missing(&mut store), 3);
    let shown = texts(&mut store, &contact);
    assert_eq!(shown.iter().map(|(_, gap)| *gap).collect::<Vec<_>>(), [false, false, true, false]);

    for number in [5, 3, 4] {
        assert!(keep(&mut store, &contact, number));
    }
    let expected: Vec<_> = (1..=7).map(|number| (format!("text {number}"), false)).collect();
    assert_eq!(texts(&mut store, &contact), expected);
    assert_eq!(missing(&mut store), 0);
    let receipt = store.read::<_, StoreError>(|tx| tx.receipt(&contact)).unwrap().unwrap();
    assert_eq!((receipt.up_to, receipt.beyond), (7, Vec::new()));
}

#[test]
fn another_message_at_a_position_that_came_is_kept_too_and_once() {
    let (_home, mut store, contact) = with_contact();
    (1..=3).for_each(|number| assert!(keep(&mut store, &contact, number)));
    let other = Numbered { message_id: [9; 16], body: Body::Text("after a restore".into()), ..numbered(2) };
    let mut comes =
        || store.change::<_, StoreError>(|tx| tx.keep_incoming(&contact, 0, &CONTACT_STREAM, &other, 5)).unwrap();
    assert!(comes().is_some() && comes().is_none());
    assert!(!keep(&mut store, &contact, 2));
    let shown: Vec<_> = texts(&mut store, &contact).into_iter().map(|(text, _)| text).collect();
    assert_eq!(shown, ["text 1", "text 2", "after a restore", "text 3"]);
}

#[test]
fn filling_a_gap_before_very_many_moves_the_mark_over_all_of_them() {
    let (_home, mut store, contact) = with_contact();
    for number in (2..=2_500).chain([1]) {
        let numbered = numbered(number);
        store.connection.pragma_update(None, "synchronous", "OFF").unwrap();
        store.change::<_, StoreError>(|tx| tx.keep_incoming(&contact, 0, &CONTACT_STREAM, &numbered, 5)).unwrap();
    }
    let receipt = store.read::<_, StoreError>(|tx| tx.receipt(&contact)).unwrap().unwrap();
    assert_eq!((receipt.up_to, receipt.beyond), (2_500, Vec::new()));
}

#[test]
fn a_receipt_with_a_gap_resends_what_is_missing_and_only_that() {
    let (_home, mut store, contact) = with_contact();
    let stream = store.read::<_, StoreError>(|tx| tx.out_stream(&contact)).unwrap();
    store
        .change::<_, StoreError>(|tx| {
            for number in 1..=5_u8 {
                tx.queue_text(&contact, &[number; 16], "text", 1)?;
            }
            // As if each was sealed and accepted.
            for row in tx.outgoing(&contact, 0, 100)?.into_iter().filter(|row| row.message.is_some()) {
                tx.number(&contact, &tx.message_to_seal(row.message.unwrap())?.unwrap())?;
                tx.set_accepted(row.message.unwrap(), 1_000_000)?;
                tx.remove_outgoing(row.key)?;
            }
            Ok(())
        })
        .unwrap();
    let receipt = Receipt { stream, up_to: 1, beyond: vec![Range { first: 4, last: 4 }] };
    let changed = store.change::<_, StoreError>(|tx| tx.apply_receipt(&contact, &receipt, 100_000)).unwrap();
    let became = |wanted| changed.iter().filter(move |(_, outcome)| *outcome == wanted).map(|(id, _)| id[0]);
    assert_eq!(became(Outcome::Delivered).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(became(Outcome::Queued).collect::<Vec<_>>(), [2, 3]);
    let waiting = |store: &mut Store| {
        store
            .read::<_, StoreError>(|tx| {
                let rows = tx.outgoing(&contact, 0, 100)?;
                rows.iter()
                    .filter_map(|row| row.message)
                    .map(|key| Ok(tx.message_to_seal(key)?.unwrap().message_id[0]))
                    .collect()
            })
            .unwrap()
    };
    let resent: Vec<u8> = waiting(&mut store);
    assert_eq!(resent, [2, 3]);
    // The same receipt again, while they are under way, resends nothing more.
    store.change::<_, StoreError>(|tx| tx.apply_receipt(&contact, &receipt, 100_001)).unwrap();
    assert_eq!(waiting(&mut store), [2, 3]);
    // Once they arrived, nothing is left to send.
    let all = Receipt { stream, up_to: 5, beyond: Vec::new() };
    store.change::<_, StoreError>(|tx| tx.apply_receipt(&contact, &all, 100_002)).unwrap();
    assert!(waiting(&mut store).is_empty());
    let history = store.read::<_, StoreError>(|tx| tx.history(&contact, None, 9)).unwrap().unwrap();
    assert!(history.iter().all(|message| message.outcome == Outcome::Delivered));
}

#[test]
fn a_receipt_after_the_hold_turns_expired_into_delivered() {
    let (_home, mut store, contact) = with_contact();
    let stream = store.read::<_, StoreError>(|tx| tx.out_stream(&contact)).unwrap();
    let outcome = |store: &mut Store| store.read::<_, StoreError>(|tx| tx.message(&[1; 16])).unwrap().unwrap().outcome;
    store
        .change::<_, StoreError>(|tx| {
            tx.queue_text(&contact, &[1; 16], "text", 1)?;
            let row = tx.outgoing(&contact, 0, 9)?.into_iter().find(|row| row.message.is_some()).unwrap();
            tx.number(&contact, &tx.message_to_seal(row.message.unwrap())?.unwrap())?;
            tx.set_accepted(row.message.unwrap(), 1_000)?;
            tx.remove_outgoing(row.key)
        })
        .unwrap();
    assert_eq!(outcome(&mut store), Outcome::Accepted { until: 1_000 });
    store.change::<_, StoreError>(|tx| tx.expire(&contact, 1_000)).unwrap();
    assert_eq!(outcome(&mut store), Outcome::Accepted { until: 1_000 });
    store.change::<_, StoreError>(|tx| tx.expire(&contact, 1_001)).unwrap();
    assert_eq!(outcome(&mut store), Outcome::Expired);
    let late = Receipt { stream, up_to: 1, beyond: Vec::new() };
    store.change::<_, StoreError>(|tx| tx.apply_receipt(&contact, &late, 2_000)).unwrap();
    assert_eq!(outcome(&mut store), Outcome::Delivered);
}

#[test]
fn history_pages_backwards_without_holes_or_repeats() {
    let (_home, mut store, contact) = with_contact();
    store
        .change::<_, StoreError>(|tx| {
            for number in 1..=25_u8 {
                tx.queue_text(&contact, &[number; 16], &format!("{number}"), 1)?;
            }
            Ok(())
        })
        .unwrap();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.read::<_, StoreError>(|tx| tx.history(&contact, before.as_ref(), 10)).unwrap().unwrap();
        let Some(first) = page.first() else { break };
        before = Some(hex::decode(&first.id).unwrap().try_into().unwrap());
        assert!(page.iter().all(|message| message.direction == Direction::Out));
        seen.splice(0..0, page);
    }
    let expected: Vec<_> = (1..=25).map(|number| Content::Text(number.to_string())).collect();
    assert_eq!(seen.into_iter().map(|message| message.content).collect::<Vec<_>>(), expected);
}

#[test]
fn an_invite_made_before_the_relay_knows_the_enrolment_takes_no_permit_out_of_it() {
    let (_home, mut store, _) = with_contact();
    store
        .change::<_, StoreError>(|tx| {
            let pending = tx.pending_enrolments(1)?;
            assert_eq!((pending.len(), pending[0].permits.len()), (1, 9));
            assert_eq!(tx.enrolments()?[0].permits_left, 8);
            tx.settle_enrolment(pending[0].id, true)?;
            assert_eq!(tx.enrolments()?[0].permits_left, 8);
            Ok(())
        })
        .unwrap();
}

#[test]
fn one_holder_at_a_time_has_the_lease_unless_it_is_dead() {
    let (_home, mut store, _) = with_contact();
    let (one, two) = (Holder([1; 16]), Holder([2; 16]));
    let mut take =
        |holder, now, dead| store.change::<_, StoreError>(|tx| tx.take_lease(holder, now, false, dead)).unwrap();
    assert!(take(one, 1_000, false));
    assert!(!take(two, 2_000, false));
    assert!(take(one, 2_000, false));
    assert!(take(two, 3_000, true), "the holder is known to be dead");
    assert!(!take(one, 4_000, false));
    assert!(take(one, 4_000 + lease::LEASE_MS, false), "the lease ran out");
    // A lease from a clock that was far ahead binds nobody.
    assert!(take(two, 1_000, false));
}
