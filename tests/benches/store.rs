//! What a long history costs beside raw SQL on the same file, in turns, in the same run.
//!
//! `cargo bench -p tacit-tests --bench store [-- --json FILE] [--messages N]`; 100,000 messages unless said otherwise.

#![allow(missing_docs, reason = "a benchmark")]

mod support;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rusqlite::{Connection, params};
use support::{Arguments, Figures, median, quantile};
use tacit_proto::EnrolCode;
use tacit_proto::link::{EnrolmentLink, RelayPlace};
use tacit_tests::core::{Client, StoreKey};

const ROUNDS: usize = 51;
const PAGE: u32 = 50;
const RAW_KEY: [u8; 32] = [7; 32];

/// How often a word is in the texts: the n-th of this list in every n-th-power-of-two message or so.
const WORDS: [&str; 16] = [
    "and",
    "session",
    "thursday",
    "feeling",
    "better",
    "morning",
    "practice",
    "breathing",
    "appointment",
    "remember",
    "difficult",
    "grateful",
    "medication",
    "lighthouse",
    "umbrella",
    "zeppelin",
];

fn open(home: &Path) -> Client {
    Client::open(home.to_str().unwrap().to_owned(), StoreKey::Raw(RAW_KEY.to_vec())).unwrap()
}

/// The store's key, as FORMATS.md says that it is kept.
fn unwrap_key(home: &Path) -> Vec<u8> {
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(home.join("key")).unwrap()).unwrap();
    let field = |name: &str| hex::decode(file[name].as_str().unwrap()).unwrap();
    let nonce: [u8; 12] = field("nonce").try_into().unwrap();
    ChaCha20Poly1305::new(&RAW_KEY.into())
        .decrypt(&Nonce::from(nonce), Payload { msg: &field("wrapped"), aad: b"tacit v1 store key" })
        .unwrap()
}

/// SQLCipher alone.
fn raw(home: &Path) -> Connection {
    let connection = Connection::open(home.join("tacit.db")).unwrap();
    connection.execute_batch(&format!("PRAGMA key = \"x'{}'\"", hex::encode(unwrap_key(home)))).unwrap();
    connection
}

/// Texts of 5 to 40 words, of which some are rare. The same in every run.
fn text(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let count = 5 + next() % 36;
    (0..count)
        .map(|_| {
            let random = next();
            let common = WORDS[(random.trailing_zeros() as usize).min(WORDS.len() - 1)];
            if random >> 62 == 0 { common.to_owned() } else { format!("w{:x}", (random >> 20) % 20_000) }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Two conversations, the second with a hundredth of all messages; both long and with both directions.
fn fill(home: &Path, messages: u64) -> (Client, [String; 2]) {
    let client = open(home);
    let place = RelayPlace { address: "ws://127.0.0.1:9".parse().unwrap(), pin: None };
    let link = EnrolmentLink { relay: place, code: EnrolCode::from_bytes([1; 32]), permits: 2 };
    client.enrol(link.to_uri(), "Dr. Example".to_owned()).unwrap();
    let contacts = ["long", "short"].map(|label| client.invite(label.to_owned(), 60).unwrap().contact);
    let keys = contacts.each_ref().map(|contact| hex::decode(contact).unwrap());
    let mut connection = raw(home);
    let transaction = connection.transaction().unwrap();
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO messages (contact, message_id, direction, kind, text, sent_at, stored_at, stream, number,
                     outcome, place)
                 VALUES (?1, ?2, ?3, 1, ?4, ?5, ?5, ?6, ?7, ?8, ?9)",
            )
            .unwrap();
        for number in 1..=messages {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let direction = 1 + number % 2;
            // What came was read, but for the newest; what was sent is delivered.
            let outcome = if direction == 1 && number < messages - 20 { 4 } else { 3 };
            let key = &keys[usize::from(number % 100 == 0)];
            let stream = [direction as u8; 16];
            insert
                .execute(params![key, id, direction, text(number), number, stream, number, outcome, number as f64])
                .unwrap();
        }
    }
    transaction.commit().unwrap();
    (client, contacts)
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64() * 1_000.0
}

/// Measures two things in turns: the medians, and the median of the ratios.
fn in_turns(mut ours: impl FnMut(), mut reference: impl FnMut()) -> (f64, f64, f64) {
    let (mut our_times, mut reference_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (mine, other) = if round % 2 == 0 {
            let mine = milliseconds(&mut ours);
            (mine, milliseconds(&mut reference))
        } else {
            let other = milliseconds(&mut reference);
            (milliseconds(&mut ours), other)
        };
        our_times.push(mine);
        reference_times.push(other);
        ratios.push(mine / other);
    }
    (median(&mut our_times), median(&mut reference_times), median(&mut ratios))
}

fn pages(figures: &mut Figures, client: &Client, contact: &str, raw: &Connection) {
    let key = hex::decode(contact).unwrap();
    let mut statement = raw
        .prepare(
            "SELECT message_id, contact, direction, kind, text, sent_at, stored_at, outcome, accepted_until, refused_why
             FROM messages WHERE contact = ?1 AND place < ?2 ORDER BY place DESC, number DESC LIMIT ?3",
        )
        .unwrap();
    let mut read = |before: f64| {
        let mut rows = statement.query(params![key, before, PAGE]).unwrap();
        let mut page = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let id: Vec<u8> = row.get(0).unwrap();
            let text: String = row.get(4).unwrap();
            let numbers: [i64; 5] = [2, 3, 5, 6, 7].map(|column| row.get(column).unwrap());
            page.push((id, text, numbers));
        }
        assert_eq!(page.len(), PAGE as usize);
        black_box(page);
    };
    let history = |before: Option<&String>| {
        let page = client.history(contact.to_owned(), before.cloned(), PAGE).unwrap();
        assert_eq!(page.len(), PAGE as usize);
        page
    };
    let newest = in_turns(|| drop(black_box(history(None))), || read(f64::INFINITY));
    figures.compare_rounds("history-newest-page", newest.0, "ms", ("raw-page", newest.1), newest.2);
    // The middle of the history, found the same way by both.
    let middle: (i64, Vec<u8>) = raw
        .query_row(
            "SELECT id, message_id FROM messages WHERE contact = ?1 AND id > (SELECT max(id) / 2 FROM messages) LIMIT 1",
            [&key],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let id = hex::encode(middle.1);
    let older = in_turns(|| drop(black_box(history(Some(&id)))), || read(middle.0 as f64));
    figures.compare_rounds("history-middle-page", older.0, "ms", ("raw-page", older.1), older.2);
}

fn searches(figures: &mut Figures, client: &Client, contacts: &[String; 2]) {
    let cases = [
        ("common-word", "and", None),
        ("rare-word", "zeppelin", None),
        ("no-such-word", "nowhere", None),
        ("beginning", "w1", None),
        ("one-letter", "w", None),
        ("phrase", "\"and session\"", None),
        ("three-words", "and sess thurs", None),
        ("common-word-in-long", "and", Some(&contacts[0])),
        ("common-word-in-short", "and", Some(&contacts[1])),
        ("one-letter-in-short", "w", Some(&contacts[1])),
    ];
    let mut worst: f64 = 0.0;
    for (name, typed, contact) in cases {
        let mut times: Vec<_> = (0..ROUNDS)
            .map(|_| {
                milliseconds(|| drop(black_box(client.search(typed.to_owned(), contact.cloned(), None, PAGE).unwrap())))
            })
            .collect();
        figures.add(&format!("search-{name}"), median(&mut times), "ms");
        worst = worst.max(quantile(&mut times, 0.99));
    }
    figures.add("search-p99-of-the-slowest", worst, "ms");
}

fn main() {
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    let messages = arguments.value("--messages").map_or(100_000, |number| number.parse().expect("--messages N"));
    let home = tempfile::tempdir().unwrap();
    let (client, contacts) = fill(home.path(), messages);
    client.lock();
    let raw = raw(home.path());

    let key = StoreKey::Raw(RAW_KEY.to_vec());
    let opening = in_turns(
        || {
            client.lock();
            client.unlock(key.clone()).unwrap();
        },
        || {
            let connection = self::raw(home.path());
            let one: i64 = connection.query_row("SELECT count(*) FROM contacts", [], |row| row.get(0)).unwrap();
            black_box(one);
        },
    );
    figures.compare_rounds("opening", opening.0, "ms", ("raw-opening", opening.1), opening.2);
    let mut listing: Vec<_> =
        (0..ROUNDS).map(|_| milliseconds(|| drop(black_box(client.contacts().unwrap())))).collect();
    figures.add("contacts", median(&mut listing), "ms");
    pages(&mut figures, &client, &contacts[0], &raw);
    searches(&mut figures, &client, &contacts);
    let size = std::fs::metadata(home.path().join("tacit.db")).unwrap().len();
    figures.add("file", size as f64 / 1e6, "MB");
    // The whole store is written anew, so that no page keeps what was deleted.
    let mut deleting: Vec<_> = client
        .history(contacts[0].clone(), None, 5)
        .unwrap()
        .into_iter()
        .map(|message| milliseconds(|| client.delete_message(message.id).unwrap()))
        .collect();
    figures.add("delete-one-message", median(&mut deleting), "ms");
}
