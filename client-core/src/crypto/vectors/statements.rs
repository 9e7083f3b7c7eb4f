//! Statements, and the agreed word.

use serde_json::{Value, json};
use tacit_proto::{ChannelId, End};

use super::{bytes, check};
use crate::care::agreed_word::WordKey;
use crate::care::consent::{ConsentBody, pairing_name};
use crate::care::consent_file;
use crate::care::crisis_card::{CrisisCall, CrisisCard, CrisisText, SignedCrisisCard};
use crate::care::farewell::{FarewellBody, Manner};
use crate::care::practice_card::SignedPracticeCard;
use crate::care::practice_card::tests::card;
use crate::care::statement::{Body, Signed};
use crate::care::terms::Terms;
use crate::crypto::signing::{NotSigned, SigningKey, SigningPublic, StatementKind};

const AT: u64 = 1_780_300_800_000;

/// The order of the curve's group, little-endian: a signature with this added to its second half must be refused.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn case<B: Body>(comment: &str, key: &SigningKey, body: B) -> Value {
    let encoded = hex::encode(body.encode());
    let signed = Signed::sign(key, body);
    assert!(Signed::<B>::check(&key.public(), signed.statement.bytes()).is_ok());
    json!({
        "comment": comment,
        "kind": B::KIND.number(),
        "secret": hex::encode(*key.secret_bytes()),
        "public": hex::encode(key.public().to_bytes()),
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
        "comment": "Statements of each kind. `secret` is RFC 8032's private key; `statement` is signature(64) and body. \
                    `pairing` is the name of the pairing that `channel` and `offer` begin.",
        "channel": hex::encode(channel),
        "offer": hex::encode(offer),
        "pairing": hex::encode(pairing),
        "terms": { "version": terms.version, "text": terms.text.clone() },
        "consent_file": file,
        "cases": [
            case(
                "a practice card",
                &practice,
                SignedPracticeCard { version: 3, signed_at: AT, card: card() },
            ),
            case("a crisis card", &practice, SignedCrisisCard { version: 1, signed_at: AT, card: crisis }),
            case("terms", &practice, terms),
            case("consent to these terms, in this pairing", &client, consent),
            case("a discharge by the practice", &practice, farewell(Manner::Discharge, "Go well.")),
            case("a client that unpairs", &client, farewell(Manner::Unpair, "")),
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
