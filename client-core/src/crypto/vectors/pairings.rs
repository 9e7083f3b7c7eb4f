//! What an invite derives, and what a pairing ends in.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tacit_proto::link::InviteSecret;
use tacit_proto::{ChannelId, End};

use super::{bytes, check};
use crate::crypto::invite::InviteKeys;
use crate::crypto::pairing::{AcceptRandom, ChannelSecrets, Transcript};
use crate::pairing::offer_payloads;

fn invite_case(comment: &str, channel: [u8; 16], secret: [u8; 32]) -> Value {
    let keys = InviteKeys::derive(&ChannelId::from_bytes(channel), &InviteSecret::from_bytes(secret));
    json!({
        "comment": comment,
        "channel": hex::encode(channel),
        "invite_secret": hex::encode(secret),
        "end_secret": hex::encode(keys.end_key.secret_bytes()),
        "end_public": hex::encode(keys.end_key.public().as_bytes()),
        "offer_seed": hex::encode(*keys.offer_key.secret_bytes()),
        "offer_public": hex::encode(keys.offer_key.public().to_bytes()),
        "offer_psk": hex::encode(keys.offer_psk.secret_bytes()),
        "accept_psk": hex::encode(keys.accept_psk.secret_bytes()),
    })
}

#[test]
fn invites_are_as_their_vectors_say() {
    let made = json!({
        "comment": "What both ends derive from an invite: HKDF-SHA256(salt = channel, ikm = invite_secret), and the \
                    public keys of the derived secrets.",
        "cases": [
            invite_case("an invite", bytes(0x10), bytes(0x40)),
            invite_case("the same secret on another channel", bytes(0x11), bytes(0x40)),
            invite_case("another secret on the first channel", bytes(0x10), bytes(0x41)),
        ],
    });
    check("invites.json", &made);
}

fn pairing_case(comment: &str, offer: &[u8], accept: &[u8]) -> Value {
    let (channel, invite, random) = (bytes(0x10), bytes(0x40), bytes(0x80));
    let transcript = Transcript::new(&ChannelId::from_bytes(channel), offer, accept);
    let random_bytes = AcceptRandom::from_bytes(random);
    let secrets = ChannelSecrets::derive(&transcript, &InviteSecret::from_bytes(invite), &random_bytes);
    json!({
        "comment": comment,
        "channel": hex::encode(channel),
        "offer": hex::encode(offer),
        "accept": hex::encode(accept),
        "invite_secret": hex::encode(invite),
        "accept_random": hex::encode(random),
        "transcript": hex::encode(transcript.as_bytes()),
        "psk_a_to_b": hex::encode(secrets.sent_by(End::A).secret_bytes()),
        "psk_b_to_a": hex::encode(secrets.sent_by(End::B).secret_bytes()),
        "psk_reset": hex::encode(secrets.reset.secret_bytes()),
        "safety_words": transcript.safety_words().join(" "),
    })
}

/// Byte n of the offer is n modulo 251.
fn parts_case(comment: &str, length: usize) -> Value {
    let offer: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let part = |payload: &Vec<u8>| {
        json!({
            "header": hex::encode(&payload[..2]),
            "length": payload.len(),
            "sha256": hex::encode(Sha256::digest(payload)),
        })
    };
    let payloads = offer_payloads(&offer).map(|payloads| payloads.iter().map(part).collect::<Vec<_>>());
    json!({ "comment": comment, "length": length, "payloads": payloads })
}

#[test]
fn pairings_are_as_their_vectors_say() {
    let long: Vec<u8> = (0..1_000_u32).map(|at| at as u8).collect();
    let made = json!({
        "comment": "What a pairing ends in. Offer and accept are payloads of boxes; what is in them does not matter here.",
        "cases": [
            pairing_case("short payloads", b"offer", b"accept"),
            pairing_case("the same bytes in a row, cut elsewhere", b"offera", b"ccept"),
            pairing_case("a longer offer", &long, b"accept"),
            pairing_case("empty payloads", b"", b""),
        ],
        "offers": [
            parts_case("one part", 1_000),
            parts_case("as much as one part holds", 15_178),
            parts_case("one byte more", 15_179),
            parts_case("as much as eight parts hold", 8 * 15_178),
            parts_case("one byte more: it cannot be sent", 8 * 15_178 + 1),
        ],
    });
    check("pairings.json", &made);
}
