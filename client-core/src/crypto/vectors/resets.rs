//! What a reset ends in.

use serde_json::{Value, json};
use tacit_proto::{ChannelId, End};

use super::{bytes, check};
use crate::crypto::psk::Psk;
use crate::crypto::reset::{ResetRandom, SessionSecrets, transcript};

fn case(comment: &str, asker: End, request: &[u8], answer: &[u8]) -> Value {
    let (channel, reset, asked, answered) = (bytes(0x10), bytes(0x20), bytes(0x50), bytes(0x90));
    let transcript = transcript(&ChannelId::from_bytes(channel), asker, request, answer);
    let randoms = (ResetRandom::from_bytes(asked), ResetRandom::from_bytes(answered));
    let secrets = SessionSecrets::derive(&transcript, &Psk::from_bytes(reset), &randoms.0, &randoms.1);
    json!({
        "comment": comment,
        "channel": hex::encode(channel),
        "asker": asker.number(),
        "request": hex::encode(request),
        "answer": hex::encode(answer),
        "psk_reset": hex::encode(reset),
        "request_random": hex::encode(asked),
        "answer_random": hex::encode(answered),
        "transcript": hex::encode(transcript.as_bytes()),
        "psk_a_to_b": hex::encode(secrets.sent_by(End::A).secret_bytes()),
        "psk_b_to_a": hex::encode(secrets.sent_by(End::B).secret_bytes()),
        "safety_words": transcript.safety_words().join(" "),
    })
}

#[test]
fn resets_are_as_their_vectors_say() {
    let long: Vec<u8> = (0..1_000_u32).map(|at| at as u8).collect();
    let made = json!({
        "comment": "What a reset ends in. Request and answer are payloads of boxes; what is in them does not matter here.",
        "cases": [
            case("A asked", End::A, b"request", b"answer"),
            case("B asked", End::B, b"request", b"answer"),
            case("the same bytes in a row, cut elsewhere", End::A, b"requesta", b"nswer"),
            case("a longer request", End::A, &long, b"answer"),
        ],
    });
    check("resets.json", &made);
}
