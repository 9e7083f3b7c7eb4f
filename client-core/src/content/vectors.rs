//! Golden vectors of what devices say to each other inside boxes.

use serde_json::{Value, json};
use tacit_proto::ChannelId;

use super::*;
use crate::care::consent::pairing_name;
use crate::crypto::reset::ResetRandom;
use crate::crypto::seal::SealingKey;
use crate::crypto::signing::SigningKey;
use crate::crypto::vectors::{bytes, check};

fn key() -> SealingPublic {
    SealingKey::from_bytes(&bytes(0x01)).public()
}

fn numbered(number: u64, position: u64) -> Numbered {
    let body = Body::Text("See you on Thursday.".to_owned());
    Numbered { number, position, message_id: bytes(0x30), sent_at: 1_800_000_000_000, body }
}

fn receipt() -> Receipt {
    let beyond = vec![Range { first: 10, last: 12 }, Range { first: 14, last: 14 }];
    Receipt { stream: bytes(0x60), up_to: 7, beyond }
}

fn receipt_fields() -> Value {
    json!({
        "stream": hex::encode(bytes::<16>(0x60)),
        "up_to": 7,
        "beyond": [{"first": 10, "last": 12}, {"first": 14, "last": 14}],
    })
}

fn envelope(comment: &str, envelope: &Envelope, fields: Value) -> Value {
    let encoded = envelope.encode();
    assert_eq!(Envelope::decode(&encoded).as_ref(), Ok(envelope));
    json!({"comment": comment, "fields": fields, "bytes": hex::encode(&*encoded)})
}

fn reset(step: ResetStep) -> ResetContent {
    ResetContent {
        id: bytes(0x70),
        fresh: ResetRandom::from_bytes(bytes(0x50)),
        sealing_key: key(),
        olm_identity: OlmPublic::from_bytes(bytes(0x20)),
        step,
        had: Had { up_to: 7, beyond: vec![Range { first: 10, last: 12 }] },
        highest: 12,
    }
}

fn reset_case(comment: &str, content: &ResetContent, own: Value) -> Value {
    let encoded = content.encode();
    assert_eq!(ResetContent::decode(&encoded).map(|read| read.encode()), Ok(encoded.clone()));
    let mut fields = json!({
        "id": hex::encode(bytes::<16>(0x70)),
        "box_versions": [1],
        "fresh": hex::encode(bytes::<32>(0x50)),
        "sealing_key": hex::encode(key().to_bytes()),
        "olm_identity": hex::encode(bytes::<32>(0x20)),
        "had": {"up_to": 7, "beyond": [{"first": 10, "last": 12}]},
        "highest": 12,
    });
    if let (Some(fields), Value::Object(own)) = (fields.as_object_mut(), own) {
        fields.extend(own);
    }
    json!({"comment": comment, "fields": fields, "bytes": hex::encode(&*encoded)})
}

fn envelopes() -> Vec<Value> {
    let stream = hex::encode(bytes::<16>(0x10));
    let text = json!({"text": "See you on Thursday."});
    let (message_id, sent_at) = (hex::encode(bytes::<16>(0x30)), 1_800_000_000_000_u64);
    vec![
        envelope(
            "the first message of a channel",
            &Envelope { stream: bytes(0x10), numbered: Some(numbered(1, 1)), ..Envelope::default() },
            json!({"stream": stream, "number": 1, "message_id": message_id, "sent_at": sent_at, "text": text}),
        ),
        envelope(
            "a message after a reset, with a receipt",
            &Envelope {
                stream: bytes(0x10),
                receipt: Some(receipt()),
                numbered: Some(numbered(2, 300)),
                ..Envelope::default()
            },
            json!({
                "stream": stream, "number": 2, "message_id": message_id, "sent_at": sent_at, "receipt": receipt_fields(),
                "text": text, "position": 300,
            }),
        ),
        envelope(
            "nothing but a receipt, from a device that tells what was read",
            &Envelope {
                stream: bytes(0x10),
                receipt: Some(receipt()),
                tells_reads: true,
                seen_up_to: 6,
                ..Envelope::default()
            },
            json!({"stream": stream, "receipt": receipt_fields(), "tells_reads": true, "seen_up_to": 6}),
        ),
        envelope(
            "a new sealing key",
            &Envelope {
                stream: bytes(0x10),
                sealing_key: Some(Announced { number: 3, key: key() }),
                ..Envelope::default()
            },
            json!({
                "stream": stream,
                "sealing_key": {"number": 3, "key": hex::encode(key().to_bytes()), "box_versions": [1]},
            }),
        ),
    ]
}

fn bodies() -> Vec<Value> {
    let case = |comment: &str, body: Body, name: &str, fields: Value| {
        let body = Numbered { body, ..numbered(1, 1) };
        envelope(
            comment,
            &Envelope { stream: bytes(0x10), numbered: Some(body), ..Envelope::default() },
            json!({
                "stream": hex::encode(bytes::<16>(0x10)), "number": 1, "message_id": hex::encode(bytes::<16>(0x30)),
                "sent_at": 1_800_000_000_000_u64, name: fields,
            }),
        )
    };
    let retention = |keep, legal_hold| Body::Retention(Retention { keep, legal_hold });
    vec![
        case("kept until deleted by hand", retention(Keep::Always, false), "retention", json!({})),
        case(
            "kept for ten years, and under a legal hold",
            retention(Keep::ForYears { years: 10 }, true),
            "retention",
            json!({"keep": 1, "amount": 10, "legal_hold": true}),
        ),
        case(
            "deleted after thirty days",
            retention(Keep::ForDays { days: 30 }, false),
            "retention",
            json!({"keep": 2, "amount": 30}),
        ),
        case("deleted before it arrived", Body::Deleted, "deleted", json!({})),
        case(
            "a reply",
            Body::Reply { to: bytes(0x80), text: "Yes, gladly.".to_owned() },
            "reply",
            json!({"to": hex::encode(bytes::<16>(0x80)), "text": "Yes, gladly."}),
        ),
        case(
            "another text for an earlier message",
            Body::Edit { message: bytes(0x80), text: "See you on Friday.".to_owned() },
            "edit",
            json!({"message": hex::encode(bytes::<16>(0x80)), "text": "See you on Friday."}),
        ),
        case(
            "an earlier message is withdrawn",
            Body::Withdrawal { message: bytes(0x80) },
            "withdrawal",
            json!({"message": hex::encode(bytes::<16>(0x80))}),
        ),
        case(
            "the second part of terms",
            Body::Statement(StatementPart {
                kind: StatementKind::Terms,
                digest: bytes(0x90),
                part: 2,
                count: 3,
                bytes: vec![5, 6, 7],
            }),
            "statement",
            json!({"kind": 3, "digest": hex::encode(bytes::<32>(0x90)), "part": 2, "count": 3, "bytes": "050607"}),
        ),
        case(
            "a pause",
            Body::Pause(PauseBody { sequence: 1, is_paused: true, words: "Back in May.".to_owned() }),
            "pause",
            json!({"sequence": 1, "is_paused": true, "words": "Back in May."}),
        ),
        case(
            "the end of a pause",
            Body::Pause(PauseBody { sequence: 2, is_paused: false, words: String::new() }),
            "pause",
            json!({"sequence": 2}),
        ),
        case(
            "a question for the agreed word",
            Body::WordQuestion(bytes(0xa0)),
            "word_question",
            json!({"question": hex::encode(bytes::<32>(0xa0))}),
        ),
        case(
            "an answer to it",
            Body::WordReply(WordReply { question: bytes(0xa0), nonce: bytes(0xb0), tag: Some(bytes(0xc0)) }),
            "word_reply",
            json!({
                "question": hex::encode(bytes::<32>(0xa0)), "nonce": hex::encode(bytes::<32>(0xb0)),
                "tag": hex::encode(bytes::<32>(0xc0)),
            }),
        ),
        case(
            "no answer to it",
            Body::WordReply(WordReply { question: bytes(0xa0), nonce: bytes(0xb0), tag: None }),
            "word_reply",
            json!({"question": hex::encode(bytes::<32>(0xa0)), "nonce": hex::encode(bytes::<32>(0xb0))}),
        ),
        case(
            "a voice note with a thumbnail",
            Body::Attachment(file()),
            "attachment",
            json!({
                "transfer": hex::encode(bytes::<16>(0x80)), "name": "note 3.ogg", "media_type": "audio/ogg",
                "size": 30_000, "digest": hex::encode(bytes::<32>(0x90)), "thumbnail": "0102", "duration_ms": 9_500,
            }),
        ),
    ]
}

fn file() -> AttachmentContent {
    AttachmentContent {
        transfer: bytes(0x80),
        name: "note 3.ogg".to_owned(),
        media_type: "audio/ogg".to_owned(),
        size: 30_000,
        digest: bytes(0x90),
        thumbnail: Some(vec![1, 2]),
        duration_ms: Some(9_500),
    }
}

fn files() -> Vec<Value> {
    let (stream, transfer) = (hex::encode(bytes::<16>(0x10)), hex::encode(bytes::<16>(0x80)));
    let plain = || Envelope { stream: bytes(0x10), ..Envelope::default() };
    let status = |comment: &str, status: TransferStatus, fields: Value| {
        envelope(
            comment,
            &Envelope { transfer: Some(status), ..plain() },
            json!({"stream": stream, "transfer": fields}),
        )
    };
    let beyond = vec![Range { first: 10, last: 12 }];
    vec![
        envelope(
            "a chunk",
            &Envelope { chunk: Some(Chunk { transfer: bytes(0x80), number: 3, bytes: vec![5, 6, 7] }), ..plain() },
            json!({"stream": stream, "chunk": {"transfer": transfer, "number": 3, "bytes": "050607"}}),
        ),
        status(
            "what came of a file that does not move",
            TransferStatus::UnderWay { transfer: bytes(0x80), up_to: 7, beyond, stalled: true },
            json!({"transfer": transfer, "up_to": 7, "beyond": [{"first": 10, "last": 12}], "stalled": true}),
        ),
        status(
            "a file is too large",
            TransferStatus::Over { transfer: bytes(0x80), end: TransferEnd::TooLarge },
            json!({"transfer": transfer, "state": 3}),
        ),
        status(
            "its sender cancelled it",
            TransferStatus::Withdrawn { transfer: bytes(0x80) },
            json!({"transfer": transfer, "state": 2, "own": true}),
        ),
    ]
}

fn refused_files() -> Vec<Value> {
    let refused = |comment: &str, change: fn(&mut pb::Envelope)| {
        let plain = Envelope { stream: bytes(0x10), ..Envelope::default() };
        let mut envelope = pb::Envelope::decode(&plain.encode()[..]).unwrap();
        change(&mut envelope);
        let encoded = envelope.encode_to_vec();
        assert_eq!(Envelope::decode(&encoded), Err(BadContent), "{comment}");
        json!({"comment": comment, "bytes": hex::encode(encoded)})
    };
    let named = |comment: &str, change: fn(&mut pb::Attachment)| {
        let mut attachment = file().to_pb();
        change(&mut attachment);
        let body = Some(pb::envelope::Body::Attachment(attachment));
        let numbered = Numbered { body: Body::Unknown, ..numbered(1, 1) };
        let plain = Envelope { stream: bytes(0x10), numbered: Some(numbered), ..Envelope::default() };
        let plain = pb::Envelope::decode(&plain.encode()[..]).unwrap();
        let encoded = pb::Envelope { body, ..plain }.encode_to_vec();
        assert_eq!(Envelope::decode(&encoded), Err(BadContent), "{comment}");
        json!({"comment": comment, "bytes": hex::encode(encoded)})
    };
    vec![
        named("a name that is a path", |file| file.name = "../note.ogg".to_owned()),
        named("a name that turns around", |file| file.name = "note\u{202e}ggo.exe".to_owned()),
        named("a name that is none", |file| file.name = "..".to_owned()),
        named("a media type without a slash", |file| file.media_type = "audio".to_owned()),
        named("a file beyond 2^40 bytes", |file| file.size = (1 << 40) + 1),
        named("a thumbnail of 12,001 bytes", |file| file.thumbnail = vec![0; 12_001]),
        named("a digest of 31 bytes", |file| file.digest.truncate(31)),
        refused("a chunk without a number", |envelope| {
            envelope.chunk = Some(pb::Chunk { transfer: vec![8; 16], number: 0, bytes: vec![5] });
        }),
        refused("a chunk of 14,337 bytes", |envelope| {
            envelope.chunk = Some(pb::Chunk { transfer: vec![8; 16], number: 1, bytes: vec![5; 14_337] });
        }),
        refused("a state that there is not", |envelope| {
            envelope.transfer = Some(pb::TransferStatus { transfer: vec![8; 16], state: 6, ..Default::default() });
        }),
        refused("an own file that is whole", |envelope| {
            let own = pb::TransferStatus { transfer: vec![8; 16], state: 1, own: true, ..Default::default() };
            envelope.transfer = Some(own);
        }),
    ]
}

fn refused_bodies() -> Vec<Value> {
    let refused_body = |comment: &str, body| {
        let body = Some(body);
        let numbered = Numbered { body: Body::Unknown, ..numbered(1, 1) };
        let plain = Envelope { stream: bytes(0x10), numbered: Some(numbered), ..Envelope::default() };
        let plain = pb::Envelope::decode(&plain.encode()[..]).unwrap();
        let encoded = pb::Envelope { body, ..plain }.encode_to_vec();
        assert_eq!(Envelope::decode(&encoded), Err(BadContent), "{comment}");
        json!({"comment": comment, "bytes": hex::encode(encoded)})
    };
    let refused = |comment: &str, keep: u32, amount: u32| {
        refused_body(comment, pb::envelope::Body::Retention(pb::Retention { keep, amount, legal_hold: false }))
    };
    let edit = |length: usize, text: &str| {
        pb::envelope::Body::Edit(pb::Edit { message: vec![0x80; length], text: text.to_owned() })
    };
    let withdrawal = pb::envelope::Body::Withdrawal(pb::Withdrawal { message: vec![0x80; 17] });
    let reply = pb::envelope::Body::Reply(pb::Reply { to: Vec::new(), text: "Yes.".to_owned() });
    let part = |part, count, bytes| {
        let digest = vec![0x90; 32];
        pb::envelope::Body::Statement(pb::StatementPart { kind: 3, digest, part, count, bytes: vec![5; bytes] })
    };
    let pause = |sequence, words: usize| {
        pb::envelope::Body::Pause(pb::Pause { sequence, is_paused: true, words: "x".repeat(words) })
    };
    let tag = pb::WordReply { question: vec![0xa0; 32], nonce: vec![0xb0; 32], tag: vec![0xc0; 31] };
    vec![
        refused_body("a text that is empty", pb::envelope::Body::Text(pb::Text::default())),
        refused_body("a text of 14,001 bytes", pb::envelope::Body::Text(pb::Text { text: "x".repeat(MAX_TEXT + 1) })),
        refused_body("part 0 of a statement", part(0, 3, 3)),
        refused_body("part 4 of 3", part(4, 3, 3)),
        refused_body("a statement in six parts", part(1, 6, 3)),
        refused_body("a part with nothing in it", part(1, 3, 0)),
        refused_body("a part of 13,901 bytes", part(1, 3, StatementPart::MAX_BYTES + 1)),
        refused_body("a pause without a sequence", pause(0, 3)),
        refused_body("a pause with 501 bytes of words", pause(1, MAX_PAUSE_WORDS + 1)),
        refused_body(
            "a question of 31 bytes",
            pb::envelope::Body::WordQuestion(pb::WordQuestion { question: vec![0xa0; 31] }),
        ),
        refused_body("a tag of 31 bytes", pb::envelope::Body::WordReply(tag)),
        refused_body("an edit of no message", edit(15, "Friday.")),
        refused_body("an edit without a text", edit(16, "")),
        refused_body("an edit that is too long", edit(16, &"x".repeat(MAX_REPLY + 1))),
        refused_body("a withdrawal of 17 bytes", withdrawal),
        refused_body("a reply to nothing", reply),
        refused("kept for no years", 1, 0),
        refused("kept for 101 years", 1, 101),
        refused("kept for no days", 2, 0),
        refused("kept for 36,501 days", 2, 36_501),
    ]
}

fn refused_envelopes() -> Vec<Value> {
    let refused = |comment: &str, change: fn(&mut pb::Envelope)| {
        let announcing = Envelope {
            stream: bytes(0x10),
            receipt: Some(receipt()),
            numbered: Some(numbered(2, 300)),
            sealing_key: Some(Announced { number: 3, key: key() }),
            ..Envelope::default()
        };
        let mut envelope = pb::Envelope::decode(&announcing.encode()[..]).unwrap();
        change(&mut envelope);
        let encoded = envelope.encode_to_vec();
        assert_eq!(Envelope::decode(&encoded), Err(BadContent), "{comment}");
        json!({"comment": comment, "bytes": hex::encode(encoded)})
    };
    vec![
        refused("a stream of 15 bytes", |envelope| envelope.stream.truncate(15)),
        refused("a message id of 17 bytes", |envelope| envelope.message_id.push(0)),
        refused("a number that is too high", |envelope| envelope.number = 1 << 63),
        refused("a position that is too high", |envelope| envelope.position = 1 << 63),
        refused("a sealing key without a number", |envelope| envelope.sealing_key.as_mut().unwrap().number = 0),
        refused("a sealing key with a coefficient that is ML-KEM's modulus, 3,329", |envelope| {
            let key = &mut envelope.sealing_key.as_mut().unwrap().key;
            // Twelve bits each, the lower ones first.
            key[0] = 0x01;
            key[1] = key[1] & 0xf0 | 0x0d;
        }),
        refused("a sealing key of 1,215 bytes", |envelope| {
            envelope.sealing_key.as_mut().unwrap().key.truncate(1_215);
        }),
        refused("a sealing key for box version 2 alone", |envelope| {
            envelope.sealing_key.as_mut().unwrap().box_versions = vec![2];
        }),
        refused("a receipt whose ranges touch", |envelope| {
            envelope.receipt.as_mut().unwrap().beyond[1].first = 13;
        }),
    ]
}

fn refused_resets() -> Vec<Value> {
    let refused = |comment: &str, change: fn(&mut pb::Reset)| {
        let request = reset(ResetStep::Request { olm_one_time: OlmPublic::from_bytes(bytes(0x40)) });
        let mut request = pb::Reset::decode(&request.encode()[..]).unwrap();
        change(&mut request);
        let encoded = request.encode_to_vec();
        assert!(ResetContent::decode(&encoded).is_err(), "{comment}");
        json!({"comment": comment, "bytes": hex::encode(encoded)})
    };
    vec![
        refused("neither a request nor an answer", |reset| reset.olm_one_time.clear()),
        refused("a request and an answer", |reset| reset.olm_message = vec![0]),
        refused("a one-time key of 31 bytes", |reset| reset.olm_one_time.truncate(31)),
        refused("an id of 15 bytes", |reset| reset.id.truncate(15)),
        refused("31 random bytes", |reset| reset.fresh.truncate(31)),
        refused("box version 2 alone", |reset| reset.box_versions = vec![2]),
        refused("a highest position that is too high", |reset| reset.highest = 1 << 62),
    ]
}

/// What an offer and the accept of it are made of.
fn pairing() -> (OfferContent, AcceptContent) {
    let (practice, client) = (SigningKey::from_bytes(&bytes(0x20)), SigningKey::from_bytes(&bytes(0x60)));
    let terms = Terms { version: 2, signed_at: 1_780_300_800_000, text: "Be kind.".to_owned() };
    let offer = OfferContent {
        sealing_key: key(),
        reset_key: SealingKey::from_bytes(&bytes(0x02)).public(),
        olm_identity: OlmPublic::from_bytes(bytes(0x20)),
        olm_one_time: OlmPublic::from_bytes(bytes(0x40)),
        from: "Dr. Example".to_owned(),
        practice_key: practice.public(),
        terms: Signed::sign(&practice, terms),
        practice_card: None,
        crisis_card: None,
    };
    let name = pairing_name(&ChannelId::from_bytes(bytes(0x10)), &offer.encode());
    let consent = ConsentBody::new(name, practice.public(), &offer.from, &offer.terms.body, 1_780_300_900_000);
    let accept = AcceptContent {
        fresh: AcceptRandom::from_bytes(bytes(0x80)),
        sealing_key: SealingKey::from_bytes(&bytes(0x03)).public(),
        reset_key: SealingKey::from_bytes(&bytes(0x04)).public(),
        olm_identity: OlmPublic::from_bytes(bytes(0x30)),
        olm_message: vec![0, 1, 2, 3],
        consent_key: client.public(),
        consent: Signed::sign(&client, consent),
    };
    (offer, accept)
}

fn offer_fields(offer: &OfferContent) -> Value {
    json!({
        "box_versions": [1],
        "sealing_key": hex::encode(offer.sealing_key.to_bytes()),
        "reset_key": hex::encode(offer.reset_key.to_bytes()),
        "olm_identity": hex::encode(offer.olm_identity.to_bytes()),
        "olm_one_time": hex::encode(offer.olm_one_time.to_bytes()),
        "from": offer.from,
        "practice_key": hex::encode(offer.practice_key.to_bytes()),
        "terms": hex::encode(offer.terms.statement.bytes()),
    })
}

fn offers() -> Value {
    let (offer, _) = pairing();
    let encoded = offer.encode();
    assert!(OfferContent::decode(&encoded).is_ok_and(|read| read.encode() == encoded));
    let refused = |comment: &str, change: fn(&mut pb::Offer)| {
        let mut broken = pb::Offer::decode(&encoded[..]).unwrap();
        change(&mut broken);
        let bytes = broken.encode_to_vec();
        assert!(OfferContent::decode(&bytes).is_err(), "{comment}");
        json!({"comment": comment, "bytes": hex::encode(bytes)})
    };
    json!({
        "cases": [{"comment": "without cards", "fields": offer_fields(&offer), "bytes": hex::encode(&encoded)}],
        "refused": [
            refused("box version 2 alone", |offer| offer.box_versions = vec![2]),
            refused("a reset key of 1,215 bytes", |offer| offer.reset_key.truncate(1_215)),
            refused("from nobody", |offer| offer.from.clear()),
            refused("a name of 201 bytes", |offer| offer.from = "x".repeat(201)),
            refused("without terms", |offer| offer.terms.clear()),
            refused("terms that were altered", |offer| *offer.terms.last_mut().unwrap() ^= 1),
            refused("a practice key of small order", |offer| offer.practice_key = vec![0; 32]),
        ],
    })
}

fn accepts() -> Value {
    let (offer, accept) = pairing();
    let encoded = accept.encode();
    assert!(AcceptContent::decode(&encoded).is_ok_and(|read| read.encode() == encoded));
    let refused = |comment: &str, change: fn(&mut pb::Accept)| {
        let mut broken = pb::Accept::decode(&encoded[..]).unwrap();
        change(&mut broken);
        let bytes = broken.encode_to_vec();
        assert!(AcceptContent::decode(&bytes).is_err(), "{comment}");
        json!({"comment": comment, "bytes": hex::encode(bytes)})
    };
    let fields = json!({
        "box_versions": [1],
        "fresh": hex::encode(accept.fresh.secret_bytes()),
        "sealing_key": hex::encode(accept.sealing_key.to_bytes()),
        "reset_key": hex::encode(accept.reset_key.to_bytes()),
        "olm_identity": hex::encode(accept.olm_identity.to_bytes()),
        "olm_message": hex::encode(&accept.olm_message),
        "consent_key": hex::encode(accept.consent_key.to_bytes()),
        "consent": hex::encode(accept.consent.statement.bytes()),
    });
    json!({
        "channel": hex::encode(bytes::<16>(0x10)),
        "offer": hex::encode(offer.encode()),
        "cases": [{"comment": "of that offer", "fields": fields, "bytes": hex::encode(&*encoded)}],
        "refused": [
            refused("box version 2 alone", |accept| accept.box_versions = vec![2]),
            refused("31 random bytes", |accept| accept.fresh.truncate(31)),
            refused("an identity of 31 bytes", |accept| accept.olm_identity.truncate(31)),
            refused("without consent", |accept| accept.consent.clear()),
            refused("consent under another key", |accept| {
                accept.consent_key = SigningKey::from_bytes(&bytes(0x61)).public().to_bytes().to_vec();
            }),
        ],
    })
}

#[test]
fn content_is_as_its_vectors_say() {
    let one_time = bytes(0x40);
    let request = reset(ResetStep::Request { olm_one_time: OlmPublic::from_bytes(one_time) });
    let answer = reset(ResetStep::Answer { olm_message: vec![0, 1, 2, 3] });
    let accepted = [envelopes(), bodies(), files()].concat();
    let refused = [refused_envelopes(), refused_bodies(), refused_files()].concat();
    let made = json!({
        "comment": "Content as protobuf, with its fields as named in content.proto (bytes in hex, defaults left out). The \
                    first Olm message in the accept and in the answer is only a stand-in.",
        "offers": offers(),
        "accepts": accepts(),
        "envelopes": {
            "cases": accepted,
            "refused": refused,
        },
        "resets": {
            "cases": [
                reset_case("a request", &request, json!({"olm_one_time": hex::encode(one_time)})),
                reset_case("an answer", &answer, json!({"olm_message": "00010203"})),
            ],
            "refused": refused_resets(),
        },
    });
    check("content.json", &made);
}
