//! Sealed boxes, with all that went into them, and boxes that must not open.

use bytes::Bytes;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, XWing};
use hpke::{Deserializable, OpModeS, PskBundle, Serializable, single_shot_seal_with_rng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tacit_proto::{ChannelId, End, SealedBox};

use super::{bytes, check};
use crate::crypto::fixed::FixedRng;
use crate::crypto::psk::Psk;
use crate::crypto::seal::{
    Context, DoesNotOpen, MAX_LARGE_PAYLOAD, MAX_SMALL_PAYLOAD, Purpose, SealingKey, open, seal,
};

/// All that one box was made of.
#[derive(Clone)]
struct Recipe {
    seed: [u8; 32],
    psk: [u8; 32],
    channel: [u8; 16],
    sender: End,
    purpose: Purpose,
    randomness: [u8; 64],
}

impl Recipe {
    fn new() -> Self {
        Self {
            seed: bytes(0x01),
            psk: bytes(0x30),
            channel: bytes(0x10),
            sender: End::A,
            purpose: Purpose::Message,
            randomness: bytes(0x80),
        }
    }

    fn context(&self) -> Context {
        Context { channel: ChannelId::from_bytes(self.channel), sender: self.sender, purpose: self.purpose }
    }

    fn open(&self, sealed: &SealedBox) -> Result<Vec<u8>, DoesNotOpen> {
        open(&SealingKey::from_bytes(&self.seed), &Psk::from_bytes(self.psk), &self.context(), sealed)
            .map(|payload| payload.to_vec())
    }

    fn seal(&self, payload: &[u8]) -> SealedBox {
        let to = SealingKey::from_bytes(&self.seed).public();
        let rng = &mut FixedRng::new(self.randomness);
        seal(&to, &Psk::from_bytes(self.psk), &self.context(), payload, rng).unwrap()
    }

    /// The `info` that the specification asks for, written out once more.
    fn info(&self) -> Vec<u8> {
        let number = match self.purpose {
            Purpose::Offer => 1,
            Purpose::Accept => 2,
            Purpose::Message => 3,
            Purpose::Reset => 4,
        };
        [b"tacit v1 box\x01", &self.channel[..], &[self.sender.number(), number]].concat()
    }

    /// A small box around any plaintext, made with the library alone.
    fn craft(&self, plaintext: &[u8], info: &[u8], aad: &[u8], psk_id: Option<&[u8]>) -> SealedBox {
        let mode = match psk_id {
            Some(id) => OpModeS::Psk(PskBundle::new(&self.psk, id).unwrap()),
            None => OpModeS::Base,
        };
        let to = SealingKey::from_bytes(&self.seed).public().to_bytes();
        let to = <XWing as Kem>::PublicKey::from_bytes(&to).unwrap();
        let rng = &mut FixedRng::new(self.randomness);
        let (enc, text) =
            single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(&mode, &to, info, plaintext, aad, rng)
                .unwrap();
        SealedBox::check([&[1, 1][..], &enc.to_bytes(), &text].concat().into()).unwrap()
    }

    fn fields(&self, comment: &str) -> Value {
        json!({
            "comment": comment,
            "sealing_seed": hex::encode(self.seed),
            "psk": hex::encode(self.psk),
            "channel": hex::encode(self.channel),
            "sender": self.sender.number(),
            "purpose": self.purpose as u8,
            "info": hex::encode(self.info()),
            "randomness": hex::encode(self.randomness),
        })
    }
}

fn case(comment: &str, recipe: &Recipe, payload: &[u8]) -> Value {
    let sealed = recipe.seal(payload);
    assert_eq!(recipe.open(&sealed).as_deref(), Ok(payload));
    let to = SealingKey::from_bytes(&recipe.seed).public().to_bytes();
    let library_key = <XWing as Kem>::PublicKey::from_bytes(&to).unwrap();
    let (shared, _) = XWing::encap_with_rng(&library_key, None, &mut FixedRng::new(recipe.randomness)).unwrap();
    let mut case = recipe.fields(comment);
    case["sealing_public"] = hex::encode(to).into();
    case["shared_secret"] = hex::encode(shared.0).into();
    if payload.len() <= MAX_SMALL_PAYLOAD {
        case["payload"] = hex::encode(payload).into();
        case["box"] = hex::encode(sealed.bytes()).into();
    } else {
        case["payload_length"] = payload.len().into();
        case["payload_rule"] = "byte i is i mod 251".into();
        case["enc"] = hex::encode(&sealed.bytes()[2..1_122]).into();
        case["box_sha256"] = hex::encode(Sha256::digest(sealed.bytes())).into();
    }
    case
}

fn refused(comment: &str, recipe: &Recipe, sealed: &SealedBox) -> Value {
    assert_eq!(recipe.open(sealed), Err(DoesNotOpen), "{comment}");
    let mut case = recipe.fields(comment);
    case["box"] = hex::encode(sealed.bytes()).into();
    case
}

fn plaintext(length: u16, set: Option<usize>) -> Vec<u8> {
    let mut plaintext = vec![0; 846];
    plaintext[..2].copy_from_slice(&length.to_be_bytes());
    plaintext[2..7].copy_from_slice(b"hello");
    if let Some(at) = set {
        plaintext[at] = 1;
    }
    plaintext
}

fn refusals() -> Vec<Value> {
    let right = Recipe::new();
    let sealed = right.seal(b"hello");
    let info = right.info();
    let id = Some(&b"tacit v1"[..]);
    assert_eq!(right.craft(&plaintext(5, None), &info, &[1, 1], id), sealed, "the library alone makes the same box");
    let altered = |at: usize| {
        let mut bytes = sealed.bytes().to_vec();
        bytes[at] ^= 1;
        SealedBox::check(Bytes::from(bytes)).unwrap()
    };
    let mut other_version = info.clone();
    other_version[12] = 2;
    vec![
        refused("another channel", &Recipe { channel: bytes(0x11), ..right.clone() }, &sealed),
        refused("another sender", &Recipe { sender: End::B, ..right.clone() }, &sealed),
        refused("another purpose", &Recipe { purpose: Purpose::Reset, ..right.clone() }, &sealed),
        refused("another psk", &Recipe { psk: bytes(0x31), ..right.clone() }, &sealed),
        refused("another sealing key", &Recipe { seed: bytes(0x02), ..right.clone() }, &sealed),
        refused("the first byte of enc altered", &right, &altered(2)),
        refused("the last byte of enc altered", &right, &altered(1_121)),
        refused("the first byte of the ciphertext altered", &right, &altered(1_122)),
        refused("the last byte of the tag altered", &right, &altered(1_983)),
        refused("sealed for box version 2", &right, &right.craft(&plaintext(5, None), &other_version, &[1, 1], id)),
        refused("sealed with the header of a large box", &right, &right.craft(&plaintext(5, None), &info, &[1, 2], id)),
        refused("another psk_id", &right, &right.craft(&plaintext(5, None), &info, &[1, 1], Some(b"tacit v2"))),
        refused("sealed in mode_base", &right, &right.craft(&plaintext(5, None), &info, &[1, 1], None)),
        refused("a length one beyond the plaintext", &right, &right.craft(&plaintext(845, None), &info, &[1, 1], id)),
        refused("a length of 65535", &right, &right.craft(&plaintext(u16::MAX, None), &info, &[1, 1], id)),
        refused(
            "a length that leaves text in the padding",
            &right,
            &right.craft(&plaintext(4, None), &info, &[1, 1], id),
        ),
        refused("the last byte of padding is 1", &right, &right.craft(&plaintext(5, Some(845)), &info, &[1, 1], id)),
    ]
}

#[test]
fn sealed_boxes_are_as_their_vectors_say() {
    let right = Recipe::new();
    let pattern = |len: usize| (0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>();
    let made = json!({
        "comment": "Sealed boxes. `randomness` is the 64 bytes that X-Wing's encapsulation draws (32 for ML-KEM, then \
                    32 for X25519). Large boxes are given by \
                    `enc` and their SHA-256.",
        "cases": [
            case("a message from A", &right, b"hello"),
            case("an empty payload", &right, b""),
            case("a message from B, with all else another", &Recipe {
                seed: bytes(0x02),
                psk: bytes(0x31),
                channel: bytes(0x11),
                sender: End::B,
                purpose: Purpose::Message,
                randomness: bytes(0x81),
            }, b"hello"),
            case("the longest payload of a small box", &right, &pattern(MAX_SMALL_PAYLOAD)),
            case("the shortest payload that takes a large box", &right, &pattern(MAX_SMALL_PAYLOAD + 1)),
            case("the longest payload", &right, &pattern(MAX_LARGE_PAYLOAD)),
            case("an offer", &Recipe { purpose: Purpose::Offer, ..right.clone() }, &pattern(9_000)),
            case("an accept", &Recipe { purpose: Purpose::Accept, sender: End::B, ..right.clone() }, &pattern(3_000)),
            case("a reset from B", &Recipe { purpose: Purpose::Reset, sender: End::B, ..right.clone() }, b"hello"),
        ],
        "refused": {
            "comment": "None of these opens, and a device treats them all alike. The first nine are the first case's \
                        box, opened otherwise or altered; the others were sealed as their comment says.",
            "cases": refusals(),
        },
    });
    check("sealed-boxes.json", &made);
}
