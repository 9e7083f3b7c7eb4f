use std::fs;
use std::path::Path;

use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};

use super::super::tests::{CONTACT_STREAM, numbered, open, texts, with_contact};
use super::super::{ContactKey, Key, State, StoreKey};
use super::*;
use crate::content::{Numbered, Receipt};
use crate::retention;
use crate::types::{Content, EndedWhy, Outcome};

const DAY: u64 = 24 * 3600 * 1000;
const NOW: u64 = 20_000 * DAY;
const PAGE: usize = 4096;
/// IV and MAC at the end of each page.
const RESERVED: usize = 80;

/// Every page of the store and of its log, decrypted with the known key, whether anything refers to it or not.
fn decrypted(home: &Path) -> Vec<u8> {
    let key = Key::open(home, &StoreKey::Raw(vec![7; 32]), &mut getrandom_rng()).unwrap();
    let mut plain = Vec::new();
    let mut decrypt = |page: &[u8], first: bool| {
        let begins = if first { 16 } else { 0 };
        let iv: [u8; 16] = page[PAGE - RESERVED..][..16].try_into().unwrap();
        let mut blocks: Vec<_> = page[begins..PAGE - RESERVED]
            .chunks_exact(16)
            .map(|block| <[u8; 16]>::try_from(block).unwrap().into())
            .collect();
        cbc::Decryptor::<Aes256>::new(key.bytes().into(), &iv.into()).decrypt_blocks(&mut blocks);
        plain.extend(blocks.into_iter().flatten());
    };
    for (number, page) in fs::read(home.join("tacit.db")).unwrap().chunks_exact(PAGE).enumerate() {
        decrypt(page, number == 0);
    }
    let log = fs::read(home.join("tacit.db-wal")).unwrap_or_default();
    // A header, and one before each page, which says its number first.
    for frame in log.get(32..).unwrap_or_default().chunks_exact(24 + PAGE) {
        decrypt(&frame[24..], frame[..4] == [0, 0, 0, 1]);
    }
    plain
}

fn getrandom_rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn count(haystack: &[u8], needle: &str) -> usize {
    haystack.windows(needle.len()).filter(|window| window.eq_ignore_ascii_case(needle.as_bytes())).count()
}

fn keep(store: &mut Store, contact: &ContactKey, number: u64, text: &str, now: u64) {
    let numbered = Numbered { body: Body::Text(text.to_owned()), ..numbered(number) };
    store.change::<_, StoreError>(|tx| tx.keep_incoming(contact, 0, &CONTACT_STREAM, &numbered, now)).unwrap();
}

fn say(store: &mut Store, contact: &ContactKey, id: u8, text: &str, now: u64) {
    store.change::<_, StoreError>(|tx| tx.queue_text(contact, &[id; 16], text, now)).unwrap();
}

fn set(store: &mut Store, contact: &ContactKey, keep: Keep, legal_hold: bool) {
    let rule = Retention { keep, legal_hold };
    store.change::<_, StoreError>(|tx| tx.set_retention(contact, true, rule, NOW)).unwrap();
}

fn found(store: &mut Store, typed: &str) -> usize {
    store.read::<_, StoreError>(|tx| tx.search(typed, None, None, 1000)).unwrap().len()
}

#[test]
fn what_is_deleted_is_on_no_page_of_the_file_that_the_key_opens() {
    let (home, mut store, contact) = with_contact();
    let secret = "rhododendron";
    // Long ones go to pages of their own; short ones share pages with what stays.
    for number in 1..=400_u64 {
        let filler = "and what stays is here ".repeat(if number % 50 == 0 { 300 } else { 3 });
        let text = if number % 2 == 0 { format!("{filler} {secret} {filler}") } else { filler };
        let old = if number % 2 == 0 { NOW - 40 * DAY } else { NOW };
        keep(&mut store, &contact, number, &text, old);
    }
    for id in 1..=20 {
        say(&mut store, &contact, id, &format!("of ours {secret} {id}"), NOW - 40 * DAY);
    }
    assert_eq!(found(&mut store, secret), 220);
    assert!(count(&decrypted(home.path()), secret) >= 220, "the pages are read rightly");
    let size = fs::metadata(home.path().join("tacit.db")).unwrap().len();

    set(&mut store, &contact, Keep::ForDays { days: 30 }, false);
    assert_eq!(store.tidy(NOW).unwrap(), [contact]);
    assert_eq!(found(&mut store, secret), 0);
    let left = decrypted(home.path());
    assert_eq!(count(&left, secret), 0);
    assert!(count(&left, "what stays") > 200);
    assert!(fs::metadata(home.path().join("tacit.db")).unwrap().len() < size, "freed pages were given back");
    store.check().unwrap();
    store.connection.execute("INSERT INTO search (search) VALUES ('integrity-check')", []).unwrap();
    assert!(store.tidy(NOW).unwrap().is_empty());
}

#[test]
fn a_legal_hold_keeps_everything_and_lifting_it_goes_back_to_the_rule() {
    let (_home, mut store, contact) = with_contact();
    keep(&mut store, &contact, 1, "old", NOW - 100 * DAY);
    set(&mut store, &contact, Keep::ForDays { days: 30 }, true);
    assert!(store.tidy(NOW).unwrap().is_empty());
    assert_eq!(texts(&mut store, &contact).len(), 1);
    set(&mut store, &contact, Keep::ForDays { days: 30 }, false);
    store.tidy(NOW).unwrap();
    assert!(texts(&mut store, &contact).is_empty());
}

#[test]
fn a_clock_that_is_years_ahead_deletes_nothing_at_once() {
    let (_home, mut store, contact) = with_contact();
    store.tidy(NOW).unwrap();
    keep(&mut store, &contact, 1, "new", NOW);
    set(&mut store, &contact, Keep::ForDays { days: 30 }, false);
    assert!(store.tidy(NOW + 5_000 * DAY).unwrap().is_empty());
    assert!(store.tidy(NOW + 5_000 * DAY + 60_000).unwrap().is_empty());
    assert_eq!(texts(&mut store, &contact).len(), 1);
    // What comes while the clock is back in the seventies is as old as the last trusted time, and not older.
    assert!(store.tidy(NOW + DAY).unwrap().is_empty());
    keep(&mut store, &contact, 2, "stored in the seventies", DAY);
    assert!(store.tidy(NOW + 2 * DAY).unwrap().is_empty());
    assert_eq!(texts(&mut store, &contact).len(), 2);
}

#[test]
fn what_was_deleted_does_not_come_again_and_leaves_no_gap() {
    let (_home, mut store, contact) = with_contact();
    keep(&mut store, &contact, 1, "one", NOW);
    // Behind a gap: 2 is missing.
    keep(&mut store, &contact, 3, "three", NOW);
    for number in [1, 3] {
        let id = numbered(number).message_id;
        let key = store.read::<_, StoreError>(|tx| tx.message_key(&id)).unwrap().unwrap();
        store.change::<_, StoreError>(|tx| tx.delete_message(key)).unwrap();
        assert!(store.read::<_, StoreError>(|tx| tx.message(&id)).unwrap().is_none());
    }
    let public = store.read::<_, StoreError>(|tx| tx.public_contact(&contact)).unwrap().unwrap();
    assert_eq!((public.unread, public.missing), (0, 1));
    for number in [1, 3, 2, 4] {
        keep(&mut store, &contact, number, "again", NOW);
    }
    let again = || ("again".to_owned(), false);
    assert_eq!(texts(&mut store, &contact), [again(), again()]);
    // In another stream too, after a reset.
    let one = Numbered { number: 1, ..numbered(1) };
    let kept = store.change::<_, StoreError>(|tx| tx.keep_incoming(&contact, 1, &[3; 16], &one, NOW)).unwrap();
    assert!(kept.is_none());
    let receipt = store.read::<_, StoreError>(|tx| tx.receipt(&contact)).unwrap().unwrap();
    assert_eq!((receipt.stream, receipt.up_to), ([3; 16], 1));
    assert_eq!(texts(&mut store, &contact).len(), 2);
}

#[test]
fn one_of_ours_that_may_be_on_its_way_is_told_as_deleted_and_an_unsent_one_is_not_sent() {
    let (_home, mut store, contact) = with_contact();
    say(&mut store, &contact, 1, "sealed", NOW);
    say(&mut store, &contact, 2, "not sealed", NOW);
    store.change::<_, StoreError>(|tx| tx.set_state(&contact, State::Paired)).unwrap();
    let rows = store.read::<_, StoreError>(|tx| tx.outgoing(&contact, 0, 10)).unwrap();
    let rows: Vec<_> = rows.into_iter().filter(|row| row.message.is_some()).collect();
    let stream = store.read::<_, StoreError>(|tx| tx.out_stream(&contact)).unwrap();
    let (one, two) = (rows[0].message.unwrap(), rows[1].message.unwrap());
    store
        .change::<_, StoreError>(|tx| {
            let row = tx.message_to_seal(one)?.unwrap();
            tx.number(&contact, &row)?;
            tx.set_box(rows[0].key, b"a box with the text in it")?;
            tx.delete_message(one)?;
            tx.delete_message(two)
        })
        .unwrap();
    let left = store.read::<_, StoreError>(|tx| tx.outgoing(&contact, 0, 10)).unwrap();
    let left: Vec<_> = left.into_iter().filter(|row| row.message.is_some()).collect();
    assert_eq!((left.len(), left[0].key, left[0].sealed.is_none()), (1, rows[0].key, true));
    let body = store.read::<_, StoreError>(|tx| Ok(tx.message_to_seal(one)?.unwrap().body)).unwrap();
    assert_eq!(body, Body::Deleted);
    assert!(texts(&mut store, &contact).is_empty());
    // Once the other side has it, the row goes.
    let receipt = Receipt { stream, up_to: 1, beyond: Vec::new() };
    let changed = store.change::<_, StoreError>(|tx| tx.apply_receipt(&contact, &receipt, NOW)).unwrap();
    assert_eq!(changed, [([1; 16], Outcome::Delivered)]);
    store.tidy(NOW).unwrap();
    let rows: i64 = store.connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn an_ended_contact_is_forgotten_with_its_name() {
    let (home, mut store, contact) = with_contact();
    store.change::<_, StoreError>(|tx| tx.set_label(&contact, "a person of some name")).unwrap();
    keep(&mut store, &contact, 1, "text", NOW);
    say(&mut store, &contact, 1, "text", NOW);
    store
        .change::<_, StoreError>(|tx| {
            tx.end_contact(&contact, EndedWhy::ByUs, false)?;
            tx.forget_contact(&contact)
        })
        .unwrap();
    store.purge().unwrap();
    assert!(store.read::<_, StoreError>(|tx| tx.contacts()).unwrap().is_empty());
    assert_eq!(count(&decrypted(home.path()), "a person of some name"), 0);
    store.check().unwrap();
}

#[test]
fn nothing_of_a_forgotten_contact_stays_in_any_table() {
    let (_home, mut store, contact) = with_contact();
    say(&mut store, &contact, 1, "text", NOW);
    let names = |sql: &str| -> Vec<(String, String)> {
        let mut statement = store.connection.prepare(sql).unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let columns = |table: &str| names(&format!("SELECT name, type FROM pragma_table_info('{table}')"));
    let tables = names("SELECT name, name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%STRICT%'");
    let message: i64 = store.connection.query_row("SELECT max(id) FROM messages", [], |row| row.get(0)).unwrap();
    // A row about this contact, or about a message of theirs, in every table that can have one.
    let mut about = Vec::new();
    for (table, _) in tables {
        let columns = columns(&table);
        let Some((column, value)) = columns.iter().find_map(|(name, _)| match name.as_str() {
            "contact" | "conversation" => Some((name.as_str(), format!("x'{}'", hex::encode(contact)))),
            "message" => Some((name.as_str(), message.to_string())),
            _ => None,
        }) else {
            continue;
        };
        let values = columns.iter().map(|(name, of)| match (name.as_str(), of.as_str()) {
            ("contact" | "conversation", _) => format!("x'{}'", hex::encode(contact)),
            ("message", _) => message.to_string(),
            (_, "INTEGER") => "77".to_owned(),
            (_, "REAL") => "7.0".to_owned(),
            (_, "TEXT") => "'t'".to_owned(),
            _ => "x'77'".to_owned(),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        store.connection.execute(&format!("INSERT OR REPLACE INTO {table} VALUES ({values})"), []).unwrap();
        about.push(format!("SELECT count(*) FROM {table} WHERE {column} = {value}"));
    }
    let rows = |store: &Store| {
        about
            .iter()
            .map(|sql| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap())
            .collect::<Vec<_>>()
    };
    assert!(about.len() > 12 && rows(&store).iter().all(|count| *count > 0), "{:?}", rows(&store));
    store.change::<_, StoreError>(|tx| tx.forget_contact(&contact)).unwrap();
    assert!(rows(&store).iter().all(|count| *count == 0), "{about:?} {:?}", rows(&store));
    let contacts: i64 = store.connection.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0)).unwrap();
    assert_eq!(contacts, 0);
}

#[test]
fn a_store_that_is_too_large_to_be_written_anew_is_not_until_it_is_smaller() {
    let (home, mut store, contact) = with_contact();
    let secret = "rhododendron";
    say(&mut store, &contact, 1, secret, NOW);
    say(&mut store, &contact, 2, "what stays", NOW);
    // What a peer's files take.
    store
        .connection
        .execute_batch("CREATE TABLE large (bytes BLOB); INSERT INTO large VALUES (zeroblob(6 << 20))")
        .unwrap();
    let key = store.read::<_, StoreError>(|tx| tx.message_key(&[1; 16])).unwrap().unwrap();
    store.change::<_, StoreError>(|tx| tx.delete_message(key)).unwrap();
    store.purge().unwrap();
    assert!(store.read::<_, StoreError>(|tx| tx.purge_is_due()).unwrap(), "it is remembered");
    store.connection.execute_batch("DELETE FROM large").unwrap();
    store.purge().unwrap();
    assert!(!store.read::<_, StoreError>(|tx| tx.purge_is_due()).unwrap());
    let left = decrypted(home.path());
    assert_eq!(count(&left, secret), 0);
    assert!(count(&left, "what stays") > 0);
}

#[test]
fn a_purge_that_a_reader_is_in_the_way_of_stays_due() {
    let (home, mut store, contact) = with_contact();
    say(&mut store, &contact, 1, "text", NOW);
    let mut reader = open(home.path());
    store.connection.pragma_update(None, "busy_timeout", 1).unwrap();
    reader
        .read::<_, StoreError>(|tx| {
            tx.contacts()?;
            let key = store.read::<_, StoreError>(|tx| tx.message_key(&[1; 16]))?.unwrap();
            store.change::<_, StoreError>(|tx| tx.delete_message(key))?;
            store.purge()?;
            assert!(store.read::<_, StoreError>(|tx| tx.purge_is_due())?);
            Ok(())
        })
        .unwrap();
    store.tidy(NOW).unwrap();
    assert!(!store.read::<_, StoreError>(|tx| tx.purge_is_due()).unwrap());
    assert_eq!(fs::metadata(home.path().join("tacit.db-wal")).unwrap().len(), 0);
}

#[test]
fn a_rule_of_theirs_that_was_said_earlier_does_not_undo_a_later_one() {
    let (_home, mut store, contact) = with_contact();
    let rule = |days| Retention { keep: Keep::ForDays { days }, legal_hold: false };
    let mut theirs = |days, said_at| {
        store
            .change::<_, StoreError>(|tx| {
                tx.set_retention(&contact, false, rule(days), said_at)?;
                tx.retention(&contact, false)
            })
            .unwrap()
    };
    assert_eq!(theirs(1, 100), Some(rule(1)));
    assert_eq!(theirs(2, 200), Some(rule(2)));
    assert_eq!(theirs(1, 100), Some(rule(2)));
}

#[test]
fn a_rule_is_told_even_if_the_conversation_is_deleted_before_it_left() {
    let (_home, mut store, contact) = with_contact();
    let rule = Retention { keep: Keep::ForDays { days: 30 }, legal_hold: false };
    store.change(|tx| retention::set(tx, &contact, rule, NOW)).unwrap();
    say(&mut store, &contact, 1, "text", NOW);
    store.change::<_, StoreError>(|tx| tx.delete_before(&contact, u64::MAX, u32::MAX)).unwrap();
    assert!(store.read::<_, StoreError>(|tx| tx.history(&contact, None, 9)).unwrap().unwrap().is_empty());
    let left = store.read::<_, StoreError>(|tx| tx.outgoing(&contact, 0, 10)).unwrap();
    let left: Vec<_> = left.into_iter().filter_map(|row| row.message).collect();
    assert_eq!(left.len(), 1);
    let body = store.read::<_, StoreError>(|tx| Ok(tx.message_to_seal(left[0])?.unwrap().body)).unwrap();
    assert_eq!(body, Body::Retention(rule));
    // And it is not deleted again and again.
    assert_eq!(store.change::<_, StoreError>(|tx| tx.delete_before(&contact, u64::MAX, u32::MAX)).unwrap(), 0);
}

#[test]
fn notes_of_theirs_are_not_unread() {
    let (_home, mut store, contact) = with_contact();
    let rule = Body::Retention(Retention { keep: Keep::ForDays { days: 1 }, legal_hold: false });
    for (number, body) in [(1, rule), (2, Body::Deleted), (3, Body::Text("text".to_owned()))] {
        let numbered = Numbered { body, ..numbered(number) };
        store.change::<_, StoreError>(|tx| tx.keep_incoming(&contact, 0, &CONTACT_STREAM, &numbered, NOW)).unwrap();
    }
    assert_eq!(store.read::<_, StoreError>(|tx| tx.public_contact(&contact)).unwrap().unwrap().unread, 1);
    assert_eq!(store.read::<_, StoreError>(|tx| tx.new_messages()).unwrap()[0].count, 1);
}

#[test]
fn a_rule_is_told_to_the_other_side_once_and_shown_as_a_note() {
    let (_home, mut store, contact) = with_contact();
    let rule = Retention { keep: Keep::ForYears { years: 10 }, legal_hold: true };
    for _ in 0..2 {
        store.change(|tx| retention::set(tx, &contact, rule, NOW)).unwrap();
    }
    let history = store.read::<_, StoreError>(|tx| tx.history(&contact, None, 9)).unwrap().unwrap();
    let notes: Vec<_> = history.into_iter().map(|message| message.content).collect();
    assert_eq!(notes, [Content::Note(crate::note::Note::Retention { retention: rule })]);
    let rows = store.read::<_, StoreError>(|tx| tx.outgoing(&contact, 0, 10)).unwrap();
    let key = rows.iter().find_map(|row| row.message).unwrap();
    let body = store.read::<_, StoreError>(|tx| Ok(tx.message_to_seal(key)?.unwrap().body)).unwrap();
    assert_eq!(body, Body::Retention(rule));
    assert_eq!(Body::from_bytes(&body.to_bytes()).unwrap(), body);
}
