//! Permits and enrolment codes are known by their SHA-256.

use serde_json::json;
use tacit_proto::{EnrolCode, Permit};

use crate::{bytes, check};

#[test]
fn permits_are_as_their_vectors_say() {
    let permit = |comment: &str, secret: [u8; 32]| {
        let hash = hex::encode(Permit::from_bytes(secret).hash().as_bytes());
        json!({ "comment": comment, "secret": hex::encode(secret), "hash": hash })
    };
    let code = bytes(0x20);
    let code_hash = hex::encode(EnrolCode::from_bytes(code).hash().as_bytes());
    let made = json!({
        "comment": "A relay keeps SHA-256 of a permit and of an enrolment code, never the 32 bytes themselves.",
        "cases": [
            permit("a permit of zeros", [0; 32]),
            permit("a permit", bytes(1)),
            { "comment": "an enrolment code", "secret": hex::encode(code), "hash": code_hash },
        ],
    });
    check("permits.json", &made);
}
