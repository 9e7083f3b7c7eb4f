//! Proofs of an end, with every value on the way to them, worked out a second time from the primitives.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tacit_proto::{
    Challenge, ChannelId, Command, End, EndKey, EndOf, EndPublic, Nonce, NotContributory, Proof, RelaySessionKey,
    RelaySessionPublic,
};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{bytes, check};

struct Setting {
    end_secret: [u8; 32],
    session_secret: [u8; 32],
    nonce: [u8; 32],
    channel: [u8; 16],
}

fn proof_case(comment: &str, setting: &Setting, end: End, new_key: Option<EndPublic>) -> Value {
    let Setting { end_secret, session_secret, nonce, channel } = setting;
    let key = EndKey::from_secret_bytes(*end_secret);
    let relay = RelaySessionKey::from_parts(*session_secret, Nonce::from_bytes(*nonce));
    let of = EndOf { channel: ChannelId::from_bytes(*channel), end };
    let command = new_key.as_ref().map_or(Command::Attach, Command::Rekey);
    let proof = key.prove(relay.challenge(), &of, &command).unwrap();
    assert!(relay.verify(&key.public(), &of, &command, &proof));

    let session_public = PublicKey::from(&StaticSecret::from(*session_secret)).to_bytes();
    let shared = StaticSecret::from(*end_secret).diffie_hellman(&PublicKey::from(session_public)).to_bytes();
    let info = [&b"tacit v1 proof key"[..], key.public().as_bytes(), &session_public].concat();
    let mut proof_key = [0; 32];
    Hkdf::<Sha256>::new(Some(nonce), &shared).expand(&info, &mut proof_key).unwrap();
    let arguments = new_key.map_or(Vec::new(), |key| key.as_bytes().to_vec());
    let number = if new_key.is_some() { 2 } else { 1 };
    let message =
        [&b"tacit v1 proof"[..], nonce, channel, &[end.number(), number], &Sha256::digest(&arguments)].concat();
    let again = <Hmac<Sha256> as KeyInit>::new_from_slice(&proof_key).unwrap().chain_update(&message).finalize();
    assert_eq!(proof.as_bytes()[..], again.into_bytes()[..]);

    json!({
        "comment": comment,
        "end_secret": hex::encode(end_secret),
        "end_public": hex::encode(key.public().as_bytes()),
        "session_secret": hex::encode(session_secret),
        "session_public": hex::encode(session_public),
        "nonce": hex::encode(nonce),
        "channel": hex::encode(channel),
        "end": end.number(),
        "command": number,
        "arguments": hex::encode(arguments),
        "shared": hex::encode(shared),
        "proof_key": hex::encode(proof_key),
        "message": hex::encode(message),
        "proof": hex::encode(proof.as_bytes()),
    })
}

/// Points of small order on Curve25519, as RFC 7748 §7 and Wycheproof have them: X25519 with any of them is zero.
const DEGENERATE: [&str; 5] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn degenerate_case(setting: &Setting, public: &str) -> Value {
    let of = EndOf { channel: ChannelId::from_bytes(setting.channel), end: End::A };
    let point: [u8; 32] = hex::decode(public).unwrap().try_into().unwrap();
    let hostile =
        Challenge { nonce: Nonce::from_bytes(setting.nonce), session_public: RelaySessionPublic::from_bytes(point) };
    let key = EndKey::from_secret_bytes(setting.end_secret);
    assert_eq!(key.prove(&hostile, &of, &Command::Attach), Err(NotContributory));

    // What anyone can compute who set an end's key to this point: X25519 is zero whatever the session secret.
    let relay = RelaySessionKey::from_parts(setting.session_secret, Nonce::from_bytes(setting.nonce));
    let session_public = relay.challenge().session_public;
    let info = [&b"tacit v1 proof key"[..], &point, session_public.as_bytes()].concat();
    let mut proof_key = [0; 32];
    Hkdf::<Sha256>::new(Some(&setting.nonce), &[0; 32]).expand(&info, &mut proof_key).unwrap();
    let message = [&b"tacit v1 proof"[..], &setting.nonce, &setting.channel, &[1, 1], &Sha256::digest([])].concat();
    let forged: [u8; 32] = <Hmac<Sha256> as KeyInit>::new_from_slice(&proof_key)
        .unwrap()
        .chain_update(&message)
        .finalize()
        .into_bytes()
        .into();
    assert!(!relay.verify(&EndPublic::from_bytes(point), &of, &Command::Attach, &Proof::from_bytes(forged)));
    json!({ "comment": "a point of small order", "public": public, "forged_proof": hex::encode(forged) })
}

#[test]
fn proofs_are_as_their_vectors_say() {
    let setting = |first| Setting {
        end_secret: bytes(first),
        session_secret: bytes(first + 0x20),
        nonce: bytes(first + 0x40),
        channel: bytes(first + 0x60),
    };
    let new_key = EndKey::from_secret_bytes(bytes(0x90)).public();
    let degenerate: Vec<_> = DEGENERATE.iter().map(|public| degenerate_case(&setting(1), public)).collect();
    let made = json!({
        "comment": "Proofs of an end. All values on the way are given; only `proof` goes on the wire.",
        "cases": [
            proof_case("end A attaches", &setting(1), End::A, None),
            proof_case("end B attaches on the same connection", &setting(1), End::B, None),
            proof_case("end B rekeys", &setting(1), End::B, Some(new_key)),
            proof_case("end A rekeys, on another channel and connection", &setting(2), End::A, Some(new_key)),
        ],
        "degenerate": {
            "comment": "A device must not prove against such a session key. A relay must refuse proofs of an end with \
                        such a key: `forged_proof` is what anyone could make for command 1 of end 1 of the first case.",
            "cases": degenerate,
        },
    });
    check("proofs.json", &made);
}
