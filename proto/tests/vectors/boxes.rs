//! What has the form of a sealed box, as a relay checks it.

use bytes::Bytes;
use serde_json::{Value, json};
use tacit_proto::SealedBox;

use crate::check;

#[test]
fn box_forms_are_as_their_vectors_say() {
    let form = |comment: &str, header: &[u8], length: usize| -> Value {
        let mut bytes = vec![0x5a; length];
        bytes[..header.len()].copy_from_slice(header);
        let class = match SealedBox::check(Bytes::from(bytes)) {
            Ok(sealed) => format!("{:?}", sealed.class()).to_lowercase(),
            Err(e) => format!("{e:?}"),
        };
        json!({ "comment": comment, "header": hex::encode(header), "length": length, "expected": class })
    };
    let made = json!({
        "comment": "A box is its header, then `length` - 2 more bytes (any). `expected` is its class, or NotABox.",
        "cases": [
            form("a small box", &[1, 1], 1_984),
            form("a large box", &[1, 2], 16_320),
            form("one byte short", &[1, 1], 1_983),
            form("one byte long", &[1, 1], 1_985),
            form("one byte short", &[1, 2], 16_319),
            form("one byte long", &[1, 2], 16_321),
            form("the length of the other class", &[1, 1], 16_320),
            form("the length of the other class", &[1, 2], 1_984),
            form("version 0", &[0, 1], 1_984),
            form("version 2", &[2, 1], 1_984),
            form("class 0", &[1, 0], 1_984),
            form("class 3", &[1, 3], 16_320),
            form("a header alone", &[1, 1], 2),
            form("half a header", &[1], 1),
            form("nothing", &[], 0),
        ],
    });
    check("box-forms.json", &made);
}
