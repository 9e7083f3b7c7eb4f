//! Olm of session config version 2, from given secrets: vodozemac draws its own, so the sessions here are laid down as
//! pickles whose keys were worked out apart from it. That both sides then read each other is the proof of the working.

use hkdf::Hkdf;
use serde_json::{Value, from_slice, json, to_vec};
use sha2::Sha256;
use vodozemac::olm::{OlmMessage, SessionConfig};
use x25519_dalek::{PublicKey, StaticSecret};

use super::{bytes, check};
use crate::crypto::ratchet::{Account, OlmPublic, ReceiveError, Session};

fn public(secret: [u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(secret)).to_bytes()
}

fn dh(secret: [u8; 32], with: [u8; 32]) -> [u8; 32] {
    StaticSecret::from(secret).diffie_hellman(&PublicKey::from(with)).to_bytes()
}

/// HKDF-SHA256 to two keys.
fn two_keys(salt: &[u8], secret: &[u8], info: &[u8]) -> ([u8; 32], [u8; 32]) {
    let (mut first, mut second, mut both) = ([0; 32], [0; 32], [0; 64]);
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut both).unwrap();
    first.copy_from_slice(&both[..32]);
    second.copy_from_slice(&both[32..]);
    (first, second)
}

const A_IDENTITY: [u8; 32] = [0x11; 32];
const A_BASE: [u8; 32] = [0x22; 32];
const A_RATCHET: [u8; 32] = [0x33; 32];
const B_IDENTITY: [u8; 32] = [0x44; 32];
const B_ONE_TIME: [u8; 32] = [0x55; 32];
const B_RATCHET: [u8; 32] = [0x66; 32];

fn active(root: [u8; 32], ratchet: [u8; 32], chain: [u8; 32]) -> Value {
    json!({
        "type": "active",
        "parent_ratchet_key": null,
        "ratchet_count": { "Known": 0 },
        "active_ratchet": { "root_key": root, "ratchet_key": ratchet },
        "symmetric_key_ratchet": { "key": chain, "index": 0 },
    })
}

fn a_session(root: [u8; 32], chain: [u8; 32], version: &str) -> Vec<u8> {
    let keys = json!({
        "identity_key": public(A_IDENTITY), "base_key": public(A_BASE), "one_time_key": public(B_ONE_TIME),
    });
    let pickle = json!({
        "session_keys": keys,
        "sending_ratchet": active(root, A_RATCHET, chain),
        "receiving_chains": { "inner": [] },
        "config": { "version": version },
    });
    to_vec(&pickle).unwrap()
}

fn b_account() -> Account {
    let pickle = json!({
        "signing_key": { "Normal": bytes::<32>(0xa0) },
        "diffie_hellman_key": B_IDENTITY,
        "one_time_keys": {
            "next_key_id": 1, "public_keys": { "0": public(B_ONE_TIME) }, "private_keys": { "0": B_ONE_TIME },
        },
        "fallback_keys": { "key_id": 0, "fallback_key": null, "previous_fallback_key": null },
    });
    Account::from_pickle(&to_vec(&pickle).unwrap()).unwrap()
}

fn message(comment: &str, from: &str, plaintext: &[u8], message: &[u8]) -> Value {
    json!({
        "comment": comment, "from": from, "plaintext": hex::encode(plaintext), "message": hex::encode(message),
    })
}

#[test]
fn the_ratchet_is_as_its_vectors_say() {
    let shared =
        [dh(A_IDENTITY, public(B_ONE_TIME)), dh(A_BASE, public(B_IDENTITY)), dh(A_BASE, public(B_ONE_TIME))].concat();
    let (root, chain) = two_keys(&[0], &shared, b"OLM_ROOT");
    let mut a = Session::from_pickle(&a_session(root, chain, "V2")).unwrap();
    let texts = [&b"first"[..], b"second, before any answer", b"answer", b"third, after the answer"];
    let first = a.encrypt(texts[0]).unwrap();
    let second = a.encrypt(texts[1]).unwrap();

    let identity = OlmPublic::from_bytes(public(A_IDENTITY));
    let (b, plaintext) = b_account().receive(&identity, &first).unwrap();
    assert_eq!(plaintext.as_slice(), texts[0]);
    let (root_2, chain_2) = two_keys(&root, &dh(B_RATCHET, public(A_RATCHET)), b"OLM_RATCHET");
    let mut pickle: Value = from_slice(&b.pickle().unwrap()).unwrap();
    pickle["sending_ratchet"] = active(root_2, B_RATCHET, chain_2);
    let mut b = Session::from_pickle(&to_vec(&pickle).unwrap()).unwrap();
    assert_eq!(b.decrypt(&second).unwrap().as_slice(), texts[1]);
    let answer = b.encrypt(texts[2]).unwrap();
    assert_eq!(a.decrypt(&answer).unwrap().as_slice(), texts[2]);

    // From here on A draws a new ratchet key, unless one is laid down for it.
    let a_ratchet_2 = [0x77; 32];
    let (root_3, chain_3) = two_keys(&root_2, &dh(a_ratchet_2, public(B_RATCHET)), b"OLM_RATCHET");
    let mut pickle: Value = from_slice(&a.pickle().unwrap()).unwrap();
    pickle["sending_ratchet"] = active(root_3, a_ratchet_2, chain_3);
    let mut a = Session::from_pickle(&to_vec(&pickle).unwrap()).unwrap();
    let third = a.encrypt(texts[3]).unwrap();
    assert_eq!(b.decrypt(&third).unwrap().as_slice(), texts[3]);

    let mut v1 = vodozemac::olm::Session::from_pickle(from_slice(&a_session(root, chain, "V1")).unwrap());
    assert_eq!(v1.session_config(), SessionConfig::version_1());
    let OlmMessage::PreKey(old) = v1.encrypt(texts[0]).unwrap() else { panic!("nobody was heard") };
    let old = [&[0], old.to_bytes().as_slice()].concat();
    assert!(matches!(b_account().receive(&identity, &old), Err(ReceiveError::Malformed)));

    let pair = |secret: [u8; 32]| json!({ "secret": hex::encode(secret), "public": hex::encode(public(secret)) });
    let made = json!({
        "comment": "Olm, session config version 2. A starts; each message is type (0 prekey, 1 normal) and Olm's bytes.",
        "a_identity": pair(A_IDENTITY),
        "a_base": pair(A_BASE),
        "a_ratchet": [pair(A_RATCHET), pair(a_ratchet_2)],
        "b_identity": pair(B_IDENTITY),
        "b_one_time": pair(B_ONE_TIME),
        "b_ratchet": [pair(B_RATCHET)],
        "shared_3dh": hex::encode(&shared),
        "root_keys": [hex::encode(root), hex::encode(root_2), hex::encode(root_3)],
        "chain_keys": [hex::encode(chain), hex::encode(chain_2), hex::encode(chain_3)],
        "messages": [
            message("chain 1, index 0", "a", texts[0], &first),
            message("chain 1, index 1: still prekey, since A heard nothing", "a", texts[1], &second),
            message("chain 2, index 0", "b", texts[2], &answer),
            message("chain 3, index 0", "a", texts[3], &third),
        ],
        "refused": [
            message("the first message of session config version 1, with its MAC of 8 bytes", "a", texts[0], &old),
        ],
    });
    check("ratchet.json", &made);
}
