//! Links that are read, and links that are refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tacit_proto::link::{EnrolmentLink, InviteLink, InviteSecret, Pin, RelayPlace};
use tacit_proto::{ChannelId, EnrolCode};

use crate::{bytes, check};

fn place(address: &str, pin: Option<[u8; 32]>) -> RelayPlace {
    RelayPlace { address: address.parse().unwrap(), pin: pin.map(Pin::from_bytes) }
}

fn invite(address: &str, pin: Option<[u8; 32]>) -> InviteLink {
    InviteLink {
        relay: place(address, pin),
        channel: ChannelId::from_bytes(bytes(0x10)),
        secret: InviteSecret::from_bytes(bytes(0x40)),
        remote: false,
    }
}

fn enrolment(address: &str, pin: Option<[u8; 32]>, permits: u16) -> EnrolmentLink {
    EnrolmentLink { relay: place(address, pin), code: EnrolCode::from_bytes(bytes(0x70)), permits }
}

fn pin_of(place: &RelayPlace) -> Value {
    place.pin.map_or(Value::Null, |pin| hex::encode(pin.as_bytes()).into())
}

fn invite_case(comment: &str, text: &str) -> Value {
    let link = InviteLink::parse(text).unwrap();
    json!({
        "comment": comment,
        "text": text,
        "address": link.relay.address.as_str(),
        "pin": pin_of(&link.relay),
        "channel": hex::encode(link.channel.as_bytes()),
        "secret": hex::encode(link.secret.secret_bytes()),
        "remote": link.remote,
    })
}

fn enrolment_case(comment: &str, text: &str) -> Value {
    let link = EnrolmentLink::parse(text).unwrap();
    json!({
        "comment": comment,
        "text": text,
        "address": link.relay.address.as_str(),
        "pin": pin_of(&link.relay),
        "code": hex::encode(link.code.secret_bytes()),
        "permits": link.permits,
    })
}

fn refused(comment: &str, text: &str) -> Value {
    json!({
        "comment": comment,
        "text": text,
        "as_invite": format!("{:?}", InviteLink::parse(text).unwrap_err()),
        "as_enrolment": format!("{:?}", EnrolmentLink::parse(text).unwrap_err()),
    })
}

/// A link around any bytes, with a right checksum.
fn with_checksum(bytes: &[u8]) -> String {
    let sum = &Sha256::digest(bytes)[..4];
    format!("tacit:{}", URL_SAFE_NO_PAD.encode([bytes, sum].concat()))
}

/// The fields of an invite, of which one is to be wrong.
fn invite_bytes(version: u8, kind: u8, flags: &[u8], address: &[u8]) -> Vec<u8> {
    [&[version, kind], &bytes::<16>(0x10)[..], &bytes::<32>(0x40), flags, address].concat()
}

fn enrolment_bytes(permits: u16) -> Vec<u8> {
    [&[1, 2], &bytes::<32>(0x70)[..], &permits.to_be_bytes(), &[0], b"wss://relay.example"].concat()
}

fn refusals() -> Vec<Value> {
    let good = invite("wss://relay.example", None).to_uri();
    let body = good.strip_prefix("tacit:").unwrap();
    let mut changed = good.clone();
    changed.replace_range(30..31, if &good[30..31] == "A" { "B" } else { "A" });
    let address =
        |comment: &str, text: &str| refused(comment, &with_checksum(&invite_bytes(1, 1, &[0], text.as_bytes())));
    vec![
        refused("no scheme", body),
        refused("another scheme", &format!("mailto:{body}")),
        refused("nothing after the scheme", "tacit:"),
        refused("the last letter lost", &good[..good.len() - 1]),
        refused("one letter changed", &changed),
        refused("padded base64", &format!("{good}=")),
        refused("not base64url", &format!("tacit:{}", "+/".repeat(40))),
        refused("a line break within", &format!("{}\n{}", &good[..40], &good[40..])),
        refused("version 2", &with_checksum(&invite_bytes(2, 1, &[0], b"wss://relay.example"))),
        refused("version 2 and nothing else", &with_checksum(&[2])),
        refused("version 1 and nothing else", &with_checksum(&[1])),
        refused("nothing but a checksum", &with_checksum(&[])),
        refused("version 0", &with_checksum(&invite_bytes(0, 1, &[0], b"wss://relay.example"))),
        refused("kind 3", &with_checksum(&invite_bytes(1, 3, &[0], b"wss://relay.example"))),
        refused("flags 2", &with_checksum(&invite_bytes(1, 1, &[2], b"wss://relay.example"))),
        refused("a pin that is too short", &with_checksum(&invite_bytes(1, 1, &[1, 2, 3], b""))),
        refused("an address that is not UTF-8", &with_checksum(&invite_bytes(1, 1, &[0], &[0xff, 0xfe]))),
        refused("no permits", &with_checksum(&enrolment_bytes(0))),
        refused("257 permits", &with_checksum(&enrolment_bytes(257))),
        refused(
            "an enrolment in https form",
            &format!("https://relay.example/i#{}", {
                enrolment("wss://relay.example", None, 1).to_uri().strip_prefix("tacit:").unwrap().to_owned()
            }),
        ),
        refused("https without a fragment", "https://relay.example/i"),
        address("no address", ""),
        address("no scheme in the address", "relay.example"),
        address("an https address", "https://relay.example"),
        address("a path", "wss://relay.example/v1"),
        address("a slash at the end", "wss://relay.example/"),
        address("a query", "wss://relay.example?x=1"),
        address("a user", "wss://me@relay.example"),
        address("a port that is no number", "wss://relay.example:https"),
        address("a port beyond 65535", "wss://relay.example:65536"),
        address("longer than 255 bytes", &format!("wss://{}", "a".repeat(250))),
        address("unencrypted on the open network", "ws://relay.example"),
        address("unencrypted on a private network", "ws://192.168.1.2:7443"),
        address("loopback in name only", "ws://127.0.0.1.example"),
    ]
}

#[test]
fn links_are_as_their_vectors_say() {
    let plain = invite("wss://relay.example", None).to_uri();
    let pinned = invite("wss://relay.example:8443", Some(bytes(0xa0))).to_uri();
    let body = plain.strip_prefix("tacit:").unwrap();
    let made = json!({
        "comment": "Links. The fields of a link are hex, its text is what people carry.",
        "invites": [
            invite_case("without a pin", &plain),
            invite_case("with a pin and a port", &pinned),
            invite_case("to this machine, unencrypted", &invite("ws://127.0.0.1:7443", None).to_uri()),
            invite_case("to an onion service, unencrypted", &invite("ws://abcdefgh.onion", None).to_uri()),
            invite_case("to an IPv6 address", &invite("wss://[2001:db8::1]:443", None).to_uri()),
            invite_case("in https form: remote", &format!("https://relay.example/i#{body}")),
            invite_case("in https form of another host, which is not believed", &format!("https://x.example/i#{body}")),
            invite_case("with white space around it and a scheme in capitals", &format!(" \tTACIT:{body}\r\n")),
            invite_case(
                "an address in capitals is read in small letters",
                &with_checksum(&invite_bytes(1, 1, &[0], b"WSS://Relay.Example")),
            ),
        ],
        "enrolments": [
            enrolment_case("50 permits", &enrolment("wss://relay.example", None, 50).to_uri()),
            enrolment_case("1 permit, with a pin", &enrolment("wss://relay.example", Some(bytes(0xa0)), 1).to_uri()),
            enrolment_case("256 permits", &enrolment("wss://relay.example:8443", None, 256).to_uri()),
        ],
        "refused": refusals(),
        "wrong_kind": {
            "invite": { "text": plain, "as_enrolment": format!("{:?}", EnrolmentLink::parse(&plain).unwrap_err()) },
            "enrolment": {
                "text": enrolment("wss://relay.example", None, 50).to_uri(),
                "as_invite": format!(
                    "{:?}",
                    InviteLink::parse(&enrolment("wss://relay.example", None, 50).to_uri()).unwrap_err()
                ),
            },
        },
    });
    check("links.json", &made);
}
