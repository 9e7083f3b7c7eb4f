//! Statements, and the agreed word.

use prost::Message;
use serde_json::{Value, json};
use tacit_proto::{ChannelId, End};

use super::{bytes, check};
use crate::care::agreed_word::WordKey;
use crate::care::consent::{ConsentBody, pairing_name, text_hash};
use crate::care::consent_file;
use crate::care::crisis_card::{CrisisCall, CrisisCard, CrisisText, SignedCrisisCard};
use crate::care::farewell::{FarewellBody, Manner};
use crate::care::practice_card::SignedPracticeCard;
use crate::care::practice_card::tests::card;
use crate::care::statement::{Body, Signed};
use crate::care::terms::Terms;
use crate::content::{BadContent, MAX_NUMBER, pb};
use crate::crypto::signing::{NotSigned, SigningKey, SigningPublic, StatementKind};

const AT: u64 = 1_780_300_800_000;

/// The order of the curve's group, little-endian: a signature with this added to its second half must be refused.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn case<B: Body>(comment: &str, key: &SigningKey, body: B, fields: Value) -> Value {
    let encoded = hex::encode(body.encode());
    let signed = Signed::sign(key, body);
    assert!(Signed::<B>::check(&key.public(), signed.statement.bytes()).is_ok());
    json!({
        "comment": comment,
        "kind": B::KIND.number(),
        "secret": hex::encode(*key.secret_bytes()),
        "public": hex::encode(key.public().to_bytes()),
        "fields": fields,
        "body": encoded,
        "statement": hex::encode(signed.statement.bytes()),
        "digest": hex::encode(signed.statement.digest()),
    })
}

fn refused(comment: &str, kind: StatementKind, public: [u8; 32], statement: &[u8]) -> Value {
    let held = SigningPublic::from_bytes(&public).and_then(|key| key.check(kind, statement.to_vec()));
    assert_eq!(held, Err(NotSigned), "{comment}");
    json!({
        "comment": comment,
        "kind": kind.number(),
        "public": hex::encode(public),
        "statement": hex::encode(statement),
    })
}

/// A body that means nothing, whoever signs it: a good one, after a change.
fn unreadable<B: Body, M: Message + Default>(comment: &str, good: &B, change: impl FnOnce(&mut M)) -> Value {
    let mut message = M::decode(good.encode().as_slice()).unwrap();
    change(&mut message);
    let body = message.encode_to_vec();
    assert_eq!(B::decode(&body).err(), Some(BadContent), "{comment}");
    json!({"comment": comment, "kind": B::KIND.number(), "body": hex::encode(body)})
}

fn plus_order(statement: &[u8]) -> Vec<u8> {
    let mut changed = statement.to_vec();
    let mut carry = 0;
    for (byte, order) in changed[32..64].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    changed
}

fn practice_card_fields() -> Value {
    let week = |day: u8| json!({"day": day, "hours": {"from": 540, "until": 1_020}});
    json!({
        "version": 3,
        "signed_at": AT,
        "practice": "Practice at the Lake",
        "zone": "Europe/Zurich",
        "hours": [week(1), week(2), week(3), week(4), week(5)],
        "exceptions": [
            {
                "first": 20_260_803,
                "last": 20_260_821,
                "note": "Summer leave",
                "cover": "Dr. Other, +41 44 000 00 00",
            },
            {
                "first": 20_261_224,
                "last": 20_261_224,
                "hours": [{"from": 540, "until": 720}],
                "note": "Christmas Eve",
            },
        ],
        "response": {"unit": 3, "amount": 1},
        "cover": "The clinic's desk",
        "policy": "For appointments and short notes.",
    })
}

fn crisis_card_fields() -> Value {
    json!({
        "version": 1,
        "signed_at": AT,
        "texts": [
            {"locale": "en", "advice": "Call for help.", "calls": [{"who": "The line", "where": "143"}]},
            {"locale": "de-CH", "advice": "Hilfe rufen."},
        ],
    })
}

fn unreadable_bodies(
    card: &SignedPracticeCard,
    crisis: &SignedCrisisCard,
    terms: &Terms,
    consent: &ConsentBody,
    farewell: &FarewellBody,
) -> Vec<Value> {
    let practice = |comment: &str, change: fn(&mut pb::PracticeCard)| unreadable(comment, card, change);
    let crisis = |comment: &str, change: fn(&mut pb::CrisisCard)| unreadable(comment, crisis, change);
    let terms = |comment: &str, change: fn(&mut pb::Terms)| unreadable(comment, terms, change);
    let consent = |comment: &str, change: fn(&mut pb::Consent)| unreadable(comment, consent, change);
    let farewell = |comment: &str, change: fn(&mut pb::Farewell)| unreadable(comment, farewell, change);
    vec![
        practice("a card of version 0", |card| card.version = 0),
        practice("a version above 2^63 - 2", |card| card.version = MAX_NUMBER + 1),
        practice("a practice without a name", |card| card.practice.clear()),
        practice("a name of 201 bytes", |card| card.practice = "x".repeat(201)),
        practice("no zone", |card| card.zone.clear()),
        practice("a zone with another letter", |card| card.zone = "Europe/Zürich".into()),
        practice("a day 0", |card| card.hours[0].day = 0),
        practice("a day 8", |card| card.hours[0].day = 8),
        practice("a day without hours", |card| card.hours[0].hours = None),
        practice("hours that end as they begin", |card| card.hours[0].hours.as_mut().unwrap().until = 540),
        practice("hours of more than a day", |card| card.hours[0].hours.as_mut().unwrap().until = 540 + 1_441),
        practice("hours that begin after a day", |card| card.hours[0].hours.as_mut().unwrap().from = 1_440),
        practice("65 hours of a week", |card| card.hours = vec![card.hours[0]; 65]),
        practice("the 29th of February of no leap year", |card| card.exceptions[0].first = 20_260_229),
        practice("an exception that ends before it begins", |card| card.exceptions[0].last = 20_260_802),
        practice("101 exceptions", |card| card.exceptions = vec![card.exceptions[1].clone(); 101]),
        practice("9 hours of an exception", |card| {
            card.exceptions[0].hours = vec![pb::DayHours { from: 540, until: 600 }; 9];
        }),
        practice("a note of 501 bytes", |card| card.exceptions[0].note = "x".repeat(501)),
        practice("an answer within 0 minutes", |card| card.response = Some(pb::ResponseTime { unit: 1, amount: 0 })),
        practice("an answer within more than a year of hours", |card| {
            card.response = Some(pb::ResponseTime { unit: 2, amount: 527_041 });
        }),
        practice("an answer after 367 days", |card| card.response = Some(pb::ResponseTime { unit: 3, amount: 367 })),
        practice("a cover of 1,001 bytes", |card| card.cover = "x".repeat(1_001)),
        practice("a policy of 4,001 bytes", |card| card.policy = "x".repeat(4_001)),
        crisis("no text", |card| card.texts.clear()),
        crisis("31 texts", |card| {
            let text = card.texts[0].clone();
            card.texts = (10..41).map(|n| pb::CrisisText { locale: format!("en-x{n}"), ..text.clone() }).collect();
        }),
        crisis("a locale twice, written otherwise", |card| card.texts[1].locale = "EN".into()),
        crisis("a locale of one letter", |card| card.texts[0].locale = "e".into()),
        crisis("a locale with a part of nine letters", |card| card.texts[0].locale = "en-abcdefghi".into()),
        crisis("a locale with an empty part", |card| card.texts[0].locale = "en--GB".into()),
        crisis("a locale as systems write it", |card| card.texts[0].locale = "en_GB".into()),
        crisis("no advice", |card| card.texts[0].advice.clear()),
        crisis("advice of 4,001 bytes", |card| card.texts[0].advice = "x".repeat(4_001)),
        crisis("a call to nobody", |card| card.texts[0].calls[0].who.clear()),
        crisis("a call to 201 bytes", |card| card.texts[0].calls[0].r#where = "1".repeat(201)),
        crisis("21 calls", |card| card.texts[0].calls = vec![card.texts[0].calls[0].clone(); 21]),
        terms("terms of version 0", |terms| terms.version = 0),
        terms("empty terms", |terms| terms.text.clear()),
        terms("terms of 40,001 bytes", |terms| terms.text = "x".repeat(40_001)),
        consent("consent in a pairing of 31 bytes", |consent| consent.pairing.truncate(31)),
        consent("consent to terms of version 0", |consent| consent.terms_version = 0),
        consent("consent to a hash of 33 bytes", |consent| consent.text_hash.push(0)),
        consent("consent to a practice without a name", |consent| consent.from.clear()),
        farewell("a farewell in a pairing of 33 bytes", |farewell| farewell.pairing.push(0)),
        farewell("a farewell of no manner", |farewell| farewell.manner = 0),
        farewell("a farewell of manner 3", |farewell| farewell.manner = 3),
        farewell("words of 4,001 bytes", |farewell| farewell.words = "x".repeat(4_001)),
    ]
}

#[test]
fn statements_are_as_their_vectors_say() {
    let (practice, client) = (SigningKey::from_bytes(&bytes(0x20)), SigningKey::from_bytes(&bytes(0x60)));
    let (channel, offer) = (bytes(0x10), b"any offer");
    let pairing = pairing_name(&ChannelId::from_bytes(channel), offer);
    let terms = Terms { version: 2, signed_at: AT, text: "Be kind.\nNot for emergencies.".into() };
    let crisis = CrisisCard {
        texts: vec![
            CrisisText {
                locale: "en".into(),
                advice: "Call for help.".into(),
                calls: vec![CrisisCall { who: "The line".into(), at: "143".into() }],
            },
            CrisisText { locale: "de-CH".into(), advice: "Hilfe rufen.".into(), calls: vec![] },
        ],
    };
    let consent = ConsentBody::new(pairing, practice.public(), "Dr. Example", &terms, AT + 1);
    let farewell = |manner, words: &str| FarewellBody { pairing, manner, words: words.into(), said_at: AT + 2 };
    let discharge = farewell(Manner::Discharge, "Go well.");
    let practice_card = SignedPracticeCard { version: 3, signed_at: AT, card: card() };
    let crisis_card = SignedCrisisCard { version: 1, signed_at: AT, card: crisis };
    let consent_fields = json!({
        "pairing": hex::encode(pairing),
        "practice_key": hex::encode(practice.public().to_bytes()),
        "terms_version": 2,
        "text_hash": hex::encode(text_hash(&terms.text)),
        "from": "Dr. Example",
        "agreed_at": AT + 1,
    });
    let signed = practice.sign(StatementKind::Terms, &terms.encode());
    let good = signed.bytes();
    let mut flipped = good.to_vec();
    flipped[64] ^= 1;
    let mut neutral = [0; 32];
    neutral[0] = 1;
    // R the neutral element and S zero: holds for every text, under a key of small order.
    let anything = [&neutral[..], &[0; 32], b"anything"].concat();
    let consented = Signed::sign(&client, consent.clone());
    let shown = Signed::sign(&practice, terms.clone());
    let file = consent_file::write(practice.public(), client.public(), &shown, &consented);
    let made = json!({
        "comment": "Statements of each kind. `secret` is RFC 8032's private key; `statement` is signature(64) and body, \
                    which has the `fields` as named in content.proto. `unreadable` bodies are refused, whoever signed \
                    them. `pairing` is the name of the pairing that `channel` and `offer` begin.",
        "channel": hex::encode(channel),
        "offer": hex::encode(offer),
        "pairing": hex::encode(pairing),
        "consent_file": file,
        "unreadable": unreadable_bodies(&practice_card, &crisis_card, &terms, &consent, &discharge),
        "cases": [
            case("a practice card", &practice, practice_card, practice_card_fields()),
            case("a crisis card", &practice, crisis_card, crisis_card_fields()),
            case(
                "terms",
                &practice,
                terms,
                json!({"version": 2, "signed_at": AT, "text": "Be kind.\nNot for emergencies."}),
            ),
            case("consent to these terms, in this pairing", &client, consent, consent_fields),
            case(
                "a discharge by the practice",
                &practice,
                discharge,
                json!({"pairing": hex::encode(pairing), "manner": 1, "words": "Go well.", "said_at": AT + 2}),
            ),
            case(
                "a client that unpairs",
                &client,
                farewell(Manner::Unpair, ""),
                json!({"pairing": hex::encode(pairing), "manner": 2, "said_at": AT + 2}),
            ),
        ],
        "refused": [
            refused("another kind", StatementKind::Consent, practice.public().to_bytes(), good),
            refused("another key", StatementKind::Terms, client.public().to_bytes(), good),
            refused("a bit of the body", StatementKind::Terms, practice.public().to_bytes(), &flipped),
            refused("an S that is not reduced", StatementKind::Terms, practice.public().to_bytes(), &plus_order(good)),
            refused("shorter than a signature", StatementKind::Terms, practice.public().to_bytes(), &good[..63]),
            refused("a key of small order", StatementKind::Terms, neutral, &anything),
        ],
    });
    check("statements.json", &made);
}

#[test]
fn the_agreed_word_is_as_its_vectors_say() {
    let (pairing, question, nonce) = (bytes(0x30), bytes(0x50), bytes(0x70));
    let case = |comment: &str, word: &str| {
        let key = WordKey::derive(word, &pairing).unwrap();
        json!({
            "comment": comment,
            "word": word,
            "pairing": hex::encode(pairing),
            "question": hex::encode(question),
            "nonce": hex::encode(nonce),
            "word_key": hex::encode(key.secret_bytes()),
            "tag_for_a": hex::encode(key.answer(End::A, &question, &nonce)),
            "tag_for_b": hex::encode(key.answer(End::B, &question, &nonce)),
        })
    };
    let made = json!({
        "comment": "What is answered to a question for the agreed word. `tag_for_a` answers a question of end A.",
        "cases": [
            case("two words", "blue heron"),
            case("the same, written otherwise", "  Blue\t HERON "),
            case("beyond ASCII", "Grüße 你好"),
        ],
    });
    check("agreed-word.json", &made);
}
