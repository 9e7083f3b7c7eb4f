//! Every frame, and what is not one.

use std::num::NonZeroU32;

use bytes::Bytes;
use serde_json::{Value, json};
use tacit_proto::frame::{
    Answer, AttachItem, Attached, ClosedWhy, Event, FromRelay, Handle, Limits, Open, Refusal, Request, ToRelay,
    Welcome, Window,
};
use tacit_proto::limits::{MAX_ATTACH, MAX_FRAME, MAX_HOLD, MAX_NOTICE, MAX_PERMITS};
use tacit_proto::{
    Challenge, ChannelId, End, EndOf, EndPublic, EnrolCode, Incarnation, Nonce, Permit, PermitHash, Proof,
    RelaySessionPublic,
};

use crate::protobuf::{block, number};
use crate::{bytes, check};

fn id(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn hexed<const N: usize>(first: u8) -> String {
    hex::encode(bytes::<N>(first))
}

fn small_box() -> Bytes {
    let mut sealed = vec![0x5a; 1_984];
    sealed[..2].copy_from_slice(&[1, 1]);
    sealed.into()
}

fn item(first: u8, end: End) -> AttachItem {
    let of = EndOf { channel: ChannelId::from_bytes(bytes(first)), end };
    AttachItem { of, proof: Proof::from_bytes(bytes(first + 0x10)) }
}

fn item_fields(first: u8, end: u32) -> Value {
    json!({ "channel": hexed::<16>(first), "end": end, "proof": hexed::<32>(first + 0x10) })
}

fn request(comment: &str, number: u32, request: Request, fields: Value) -> Value {
    to_relay(comment, ToRelay::Request(id(number), request), json!({ "request": number }), fields)
}

fn to_relay(comment: &str, frame: ToRelay, head: Value, fields: Value) -> Value {
    let encoded = frame.clone().encode();
    assert_eq!(ToRelay::decode(encoded.clone()), Ok(frame));
    json!({ "comment": comment, "frame": merged(head, fields), "bytes": hex::encode(encoded) })
}

fn answer(comment: &str, number: u32, answer: Answer, fields: Value) -> Value {
    from_relay(comment, FromRelay::Answer(id(number), answer), json!({ "request": number }), fields)
}

fn event(comment: &str, event: Event, fields: Value) -> Value {
    from_relay(comment, FromRelay::Event(event), json!({}), fields)
}

fn from_relay(comment: &str, frame: FromRelay, head: Value, fields: Value) -> Value {
    let encoded = frame.clone().encode();
    assert_eq!(FromRelay::decode(encoded.clone()), Ok(frame));
    json!({ "comment": comment, "frame": merged(head, fields), "bytes": hex::encode(encoded) })
}

fn merged(mut head: Value, fields: Value) -> Value {
    head.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    head
}

fn requests() -> Vec<Value> {
    let window = Window { boxes: id(16), bytes: 65_536 };
    let hash = |first| PermitHash::from_bytes(bytes(first));
    let open = Open {
        channel: ChannelId::from_bytes(bytes(0x10)),
        permit: Permit::from_bytes(bytes(0x20)),
        key_a: EndPublic::from_bytes(bytes(0x40)),
        key_b: EndPublic::from_bytes(bytes(0x60)),
        join_by: id(604_800),
    };
    vec![
        request(
            "Enrol with two permit hashes",
            1,
            Request::Enrol { code: EnrolCode::from_bytes(bytes(1)), permit_hashes: vec![hash(2), hash(3)] },
            json!({ "enrol": { "code": hexed::<32>(1), "permit_hashes": [hexed::<32>(2), hexed::<32>(3)] } }),
        ),
        request(
            "Open, to be claimed within 7 days",
            2,
            Request::Open(Box::new(open)),
            json!({ "open": {
                "channel": hexed::<16>(0x10), "permit": hexed::<32>(0x20), "key_a": hexed::<32>(0x40),
                "key_b": hexed::<32>(0x60), "join_by": 604_800,
            } }),
        ),
        request(
            "Attach two ends",
            3,
            Request::Attach { items: vec![item(0x10, End::A), item(0x30, End::B)], window },
            json!({ "attach": {
                "items": [item_fields(0x10, 1), item_fields(0x30, 2)], "window_boxes": 16, "window_bytes": 65_536,
            } }),
        ),
        request(
            "Attach with the narrowest window",
            4,
            Request::Attach { items: vec![item(0x10, End::B)], window: Window { boxes: id(1), bytes: 0 } },
            json!({ "attach": { "items": [item_fields(0x10, 2)], "window_boxes": 1 } }),
        ),
        request(
            "Rekey",
            5,
            Request::Rekey {
                handle: Handle(7),
                new_key: EndPublic::from_bytes(bytes(0x40)),
                proof: Proof::from_bytes(bytes(0x60)),
            },
            json!({ "rekey": { "handle": 7, "new_key": hexed::<32>(0x40), "proof": hexed::<32>(0x60) } }),
        ),
        request(
            "Send a small box",
            6,
            Request::Send { handle: Handle(7), n: 1, payload: small_box() },
            json!({ "send": { "handle": 7, "n": 1, "box": hex::encode(small_box()) } }),
        ),
        request(
            "Send what is not a box: a frame all the same, refused with NOT_A_BOX",
            u32::MAX,
            Request::Send { handle: Handle(u32::MAX), n: u64::MAX, payload: Bytes::from_static(&[9]) },
            json!({ "request": u32::MAX, "send": { "handle": u32::MAX, "n": u64::MAX, "box": "09" } }),
        ),
        to_relay(
            "Ack, which has no request id",
            ToRelay::Ack { handle: Handle(7), up_to: 300 },
            json!({}),
            json!({ "ack": { "handle": 7, "up_to": 300 } }),
        ),
        request("Close", 8, Request::Close { handle: Handle(7) }, json!({ "close": { "handle": 7 } })),
        request("Ping", 9, Request::Ping, json!({ "ping": {} })),
    ]
}

fn welcome(notice: &str) -> Welcome {
    Welcome {
        challenge: Challenge {
            nonce: Nonce::from_bytes(bytes(0x10)),
            session_public: RelaySessionPublic::from_bytes(bytes(0x30)),
        },
        incarnation: Incarnation::from_bytes(bytes(0x50)),
        limits: Limits {
            hold: 1_814_400,
            in_flight: 64,
            window_boxes: 16,
            window_bytes: 65_536,
            backlog_boxes: 1_000,
            backlog_bytes: 4_194_304,
        },
        notice: notice.to_owned(),
    }
}

fn welcome_fields() -> Value {
    json!({ "welcome": {
        "nonce": hexed::<32>(0x10), "session_public": hexed::<32>(0x30), "relay_incarnation": hexed::<16>(0x50),
        "limits": {
            "hold": 1_814_400, "in_flight": 64, "window_boxes": 16, "window_bytes": 65_536, "backlog_boxes": 1_000,
            "backlog_bytes": 4_194_304,
        },
    } })
}

fn answers_and_events() -> Vec<Value> {
    let mut noticed = welcome_fields();
    noticed["welcome"]["notice"] = "Closed from 24 to 26 December — write as usual.".into();
    let mut made = vec![
        event("Welcome without a notice", Event::Welcome(Box::new(welcome(""))), welcome_fields()),
        event(
            "Welcome with a notice",
            Event::Welcome(Box::new(welcome("Closed from 24 to 26 December — write as usual."))),
            noticed,
        ),
        answer("Done", 1, Answer::Done, json!({ "done": {} })),
    ];
    made.extend(Refusal::ALL.into_iter().map(|why| {
        let fields = json!({ "refused": { "why": why as i32 } });
        answer(&format!("Refused: {why:?}"), 2, Answer::Refused(why), fields)
    }));
    let attached = |handle, waiting, must_rekey| Ok(Attached { handle: Handle(handle), waiting, must_rekey });
    made.extend([
        answer(
            "Attached, with 3 boxes waiting; attached under an invite's key; not allowed; used",
            3,
            Answer::Attach(vec![
                attached(7, 3, false),
                attached(8, 0, true),
                Err(Refusal::NotAllowed),
                Err(Refusal::Used),
            ]),
            json!({ "attach_results": { "results": [
                { "attached": { "handle": 7, "waiting": 3 } }, { "attached": { "handle": 8, "must_rekey": true } },
                { "refused": { "why": 1 } }, { "refused": { "why": 2 } },
            ] } }),
        ),
        answer(
            "Accepted, and kept for 21 days",
            6,
            Answer::Accepted { handle: Handle(7), n: 1, hold: 1_814_400 },
            json!({ "accepted": { "handle": 7, "n": 1, "hold": 1_814_400 } }),
        ),
        answer(
            "Pong with two live handles (a packed field)",
            9,
            Answer::Pong(vec![Handle(7), Handle(300)]),
            json!({ "pong": { "handles": [7, 300] } }),
        ),
        answer("Pong with none", 9, Answer::Pong(Vec::new()), json!({ "pong": {} })),
        event(
            "Deliver a small box",
            Event::Deliver { handle: Handle(7), seq: 5, payload: small_box(), last: true },
            json!({ "deliver": { "handle": 7, "seq": 5, "box": hex::encode(small_box()), "last": true } }),
        ),
        event("Drained", Event::Drained(Handle(7)), json!({ "drained": { "handle": 7 } })),
        event("Room", Event::Room(Handle(7)), json!({ "room": { "handle": 7 } })),
        event("Superseded", Event::Superseded(Handle(7)), json!({ "superseded": { "handle": 7 } })),
        event(
            "Closed by the other end",
            Event::Closed(Handle(7), ClosedWhy::ByPeer),
            json!({ "closed": { "handle": 7, "why": 1 } }),
        ),
        event(
            "Closed because nobody claimed the invite",
            Event::Closed(Handle(7), ClosedWhy::Unclaimed),
            json!({ "closed": { "handle": 7, "why": 2 } }),
        ),
        event("InviteTried", Event::InviteTried(Handle(7)), json!({ "invite_tried": { "handle": 7 } })),
        event("Restarting", Event::Restarting { reconnect_in: 2 }, json!({ "restarting": { "reconnect_in": 2 } })),
    ]);
    made
}

fn not_to_relay(comment: &str, bytes: &[u8]) -> Value {
    let expected = match ToRelay::decode(Bytes::copy_from_slice(bytes)) {
        Ok(ToRelay::Request(_, Request::Unknown)) => "answer UNSUPPORTED".to_owned(),
        Ok(frame) => panic!("{comment}: {frame:?}"),
        Err(e) => format!("{e:?}"),
    };
    json!({ "comment": comment, "bytes": hex::encode(bytes), "expected": expected })
}

fn not_from_relay(comment: &str, bytes: &[u8]) -> Value {
    let error = FromRelay::decode(Bytes::copy_from_slice(bytes)).unwrap_err();
    json!({ "comment": comment, "bytes": hex::encode(bytes), "expected": format!("{error:?}") })
}

fn refused_requests() -> Vec<Value> {
    let with_id = |field, body: &[u8]| [number(1, 1), block(field, body)].concat();
    let key = bytes::<32>(0x40);
    let enrol = |code: &[u8], hashes: usize| with_id(2, &[block(1, code), block(2, &key).repeat(hashes)].concat());
    let open = |channel: &[u8], key_b: &[u8], join_by| {
        let keys = [block(2, &key), block(3, &key), block(4, key_b)].concat();
        with_id(3, &[block(1, channel), keys, number(5, join_by)].concat())
    };
    let attach = |items: usize, end, proof: &[u8], window_boxes| {
        let item = [block(1, &[7; 16]), number(2, end), block(3, proof)].concat();
        with_id(4, &[block(1, &item).repeat(items), number(2, window_boxes), number(3, 65_536)].concat())
    };
    vec![
        not_to_relay("nothing", &[]),
        not_to_relay("a request without a request id", &block(9, &[])),
        not_to_relay("a request id alone: a request of a later version", &number(1, 1)),
        not_to_relay("field 29: a request of a later version", &with_id(29, &[])),
        not_to_relay("field 29 without a request id, which cannot be answered", &block(29, &[])),
        not_to_relay("an ack with a request id", &with_id(7, &number(1, 7))),
        not_to_relay("a length beyond the end", &[0x08, 0x01, 0x4a, 0x05]),
        not_to_relay("a varint that does not end", &[0x08, 0xff]),
        not_to_relay("wire type 7", &[0x0f]),
        not_to_relay("a request id that is not a varint", &block(1, &[1])),
        not_to_relay("Enrol with a code of 31 bytes", &enrol(&key[..31], 1)),
        not_to_relay("Enrol without hashes", &enrol(&key, 0)),
        not_to_relay("Enrol with 257 hashes", &enrol(&key, MAX_PERMITS + 1)),
        not_to_relay("Open with a channel id of 15 bytes", &open(&[7; 15], &key, 60)),
        not_to_relay("Open without a key for end B", &open(&[7; 16], &[], 60)),
        not_to_relay("Open to be joined within 0 seconds", &open(&[7; 16], &key, 0)),
        not_to_relay("Attach without items", &attach(0, 1, &key, 1)),
        not_to_relay("Attach of 65 ends", &attach(MAX_ATTACH + 1, 1, &key, 1)),
        not_to_relay("Attach of end 0", &attach(1, 0, &key, 1)),
        not_to_relay("Attach of end 3", &attach(1, 3, &key, 1)),
        not_to_relay("Attach with a proof of 33 bytes", &attach(1, 1, &bytes::<33>(0), 1)),
        not_to_relay("Attach with a window of no boxes", &attach(1, 1, &key, 0)),
        not_to_relay("Rekey without a proof", &with_id(5, &[number(1, 7), block(2, &key)].concat())),
    ]
}

fn refused_answers() -> Vec<Value> {
    let with_id = |field, body: &[u8]| [number(1, 1), block(field, body)].concat();
    let key = bytes::<32>(0x40);
    let limits = |hold: u64, in_flight| block(4, &[number(1, hold), number(2, in_flight)].concat());
    let welcome = |nonce: &[u8], limits: &[u8], notice: &[u8]| {
        let keys = [block(1, nonce), block(2, &key), block(3, &[5; 16])].concat();
        block(2, &[&keys[..], limits, &block(5, notice)].concat())
    };
    let good = limits(1_814_400, 64);
    let too_long = "a".repeat(MAX_NOTICE + 1);
    let refused = block(2, &block(1, &number(1, 1)));
    vec![
        not_from_relay("nothing", &[]),
        not_from_relay("field 29: this version knows no such frame", &block(29, &[])),
        not_from_relay("an event with a request id", &with_id(9, &number(1, 7))),
        not_from_relay("an answer without a request id", &block(3, &[])),
        not_from_relay("refused for no reason", &with_id(4, &[])),
        not_from_relay("refused for a reason of a later version", &with_id(4, &number(1, 12))),
        not_from_relay("no attach results", &with_id(5, &[])),
        not_from_relay("an attach result of neither kind", &with_id(5, &block(1, &[]))),
        not_from_relay("65 attach results", &with_id(5, &refused.repeat(MAX_ATTACH + 1))),
        not_from_relay("closed for no reason", &block(12, &number(1, 7))),
        not_from_relay("closed for a reason of a later version", &block(12, &[number(1, 7), number(2, 3)].concat())),
        not_from_relay("Welcome with a nonce of 31 bytes", &welcome(&key[..31], &good, b"")),
        not_from_relay("Welcome without limits", &welcome(&key, &[], b"")),
        not_from_relay("Welcome that holds nothing", &welcome(&key, &limits(0, 64), b"")),
        not_from_relay("Welcome with a hold beyond 90 days", &welcome(&key, &limits(u64::from(MAX_HOLD) + 1, 64), b"")),
        not_from_relay("Welcome that lets nothing be in flight", &welcome(&key, &limits(60, 0), b"")),
        not_from_relay("Welcome with a notice of 1,001 bytes", &welcome(&key, &good, too_long.as_bytes())),
        not_from_relay("Welcome with a notice that is not UTF-8", &welcome(&key, &good, &[0xff])),
    ]
}

#[test]
fn frames_are_as_their_vectors_say() {
    assert!(ToRelay::decode(vec![0; MAX_FRAME + 1].into()).is_err());
    let made = json!({
        "comment": "Frames: the fields as in tacit.proto (bytes in hex, fields with default values left out), and the \
                    bytes of the WebSocket message. `refused` are bytes that are not frames of this version.",
        "max_frame": MAX_FRAME,
        "to_relay": requests(),
        "from_relay": answers_and_events(),
        "refused": { "to_relay": refused_requests(), "from_relay": refused_answers() },
    });
    check("frames.json", &made);
}
