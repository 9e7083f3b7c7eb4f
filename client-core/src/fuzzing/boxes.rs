//! A box opens to what was sealed, or not at all; a message that is not read leaves its session as it was.

use bytes::Bytes;
use rand_core::UnwrapErr;
use serde_json::{json, to_vec};
use tacit_proto::{BOX_VERSION, ChannelId, End, NotABox, SealedBox, SizeClass};

use super::script::Script;
use crate::crypto::psk::Psk;
use crate::crypto::ratchet::{Account, OlmPublic, Session};
use crate::crypto::seal::{
    Context, MAX_LARGE_PAYLOAD, Purpose, SealError, SealingKey, max_payload, open, seal, seal_plaintext,
};

/// The keys of the golden vectors, so that their boxes open.
fn key() -> SealingKey {
    SealingKey::from_bytes(&std::array::from_fn(|at| at as u8 + 1))
}

fn psk() -> Psk {
    Psk::from_bytes(std::array::from_fn(|at| at as u8 + 0x30))
}

const fn context() -> Context {
    let channel = ChannelId::from_bytes(0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1f_u128.to_be_bytes());
    Context { channel, sender: End::A, purpose: Purpose::Message }
}

pub(super) fn check(bytes: &[u8]) {
    let mut script = Script(bytes);
    match script.byte() % 4 {
        0 => boxed(script.0),
        1 => payload(script.0),
        2 => plaintext(&mut script),
        _ => ratchet(&mut script),
    }
}

/// Bytes off the wire.
fn boxed(bytes: &[u8]) {
    let classes: [&[u8]; 2] = [&[BOX_VERSION, 1], &[BOX_VERSION, 2]];
    let is_box = SizeClass::ALL
        .iter()
        .zip(classes)
        .any(|(class, header)| bytes.starts_with(header) && bytes.len() == class.box_len() && class.header() == header);
    match SealedBox::check(Bytes::copy_from_slice(bytes)) {
        Ok(sealed) => {
            assert!(is_box && sealed.bytes() == bytes);
            if let Ok(payload) = open(&key(), &psk(), &context(), &sealed) {
                assert!(payload.len() <= max_payload(sealed.class()));
                let other = Context { sender: End::B, ..context() };
                assert!(open(&key(), &psk(), &other, &sealed).is_err(), "a box is of one direction");
            }
        }
        Err(NotABox) => assert!(!is_box),
    }
}

/// Whatever is sealed is what is opened, in the smallest box that holds it.
fn payload(bytes: &[u8]) {
    let mut rng = UnwrapErr(getrandom::SysRng);
    match seal(&key().public(), &psk(), &context(), bytes, &mut rng) {
        Ok(sealed) => {
            let fits_small = bytes.len() <= max_payload(SizeClass::Small);
            assert_eq!(sealed.class(), if fits_small { SizeClass::Small } else { SizeClass::Large });
            assert!(open(&key(), &psk(), &context(), &sealed).is_ok_and(|payload| *payload == bytes));
            let other = Context { purpose: Purpose::Accept, ..context() };
            assert!(open(&key(), &psk(), &other, &sealed).is_err(), "a box is of one purpose");
        }
        Err(error) => assert!(error == SealError::TooLong && bytes.len() > MAX_LARGE_PAYLOAD),
    }
}

/// A peer may pad as it likes: the length must fit, and nothing but zeros may follow.
fn plaintext(script: &mut Script<'_>) {
    let class = SizeClass::Small;
    let mut plaintext = vec![0; max_payload(class) + 2];
    let given = script.bytes(plaintext.len());
    plaintext[..given.len()].copy_from_slice(given);
    let length = usize::from(u16::from_be_bytes([plaintext[0], plaintext[1]]));
    let expected = plaintext[2..].split_at_checked(length).filter(|(_, rest)| rest.iter().all(|byte| *byte == 0));
    let mut rng = UnwrapErr(getrandom::SysRng);
    let sealed = seal_plaintext(&key().public(), &psk(), &context(), class, &plaintext, &mut rng).unwrap();
    let opened = open(&key(), &psk(), &context(), &sealed);
    assert_eq!(opened.as_ref().map(|payload| payload.as_slice()).ok(), expected.map(|(payload, _)| payload));
}

/// The account of end B of the golden vectors, so that their messages are read.
fn account() -> Account {
    let public = "38ab664bd86f77d7e66bdd9ae0792913a94fd8b33a1260027e4b46c1f4884c67";
    let public: [u8; 32] = hex::decode(public).unwrap().try_into().unwrap();
    let pickle = json!({
        "signing_key": { "Normal": vec![0xa0; 32] },
        "diffie_hellman_key": vec![0x44; 32],
        "one_time_keys": {
            "next_key_id": 1, "public_keys": { "0": public }, "private_keys": { "0": vec![0x55; 32] },
        },
        "fallback_keys": { "key_id": 0, "fallback_key": null, "previous_fallback_key": null },
    });
    Account::from_pickle(&to_vec(&pickle).unwrap()).unwrap()
}

/// A first message, and those after it. Without MACs, whoever makes them up goes deep.
fn ratchet(script: &mut Script<'_>) {
    let next = |script: &mut Script<'_>| {
        let length = usize::from(u16::from_be_bytes([script.byte(), script.byte()]));
        script.bytes(length).to_vec()
    };
    let identity = "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13";
    let identity = OlmPublic::from_bytes(hex::decode(identity).unwrap().try_into().unwrap());
    let mut account = account();
    let before = account.pickle().unwrap();
    let Ok((mut session, _)) = account.receive(&identity, &next(script)) else {
        assert_eq!(account.pickle(), Ok(before), "an account that started nothing is as it was");
        return;
    };
    assert!(account.one_time_key().is_none(), "a one-time key serves once");
    for _ in 0..8 {
        if script.is_over() {
            return;
        }
        let (message, before) = (next(script), session.pickle().unwrap());
        let kept = match session.decrypt(&message) {
            Ok(_) => {
                assert!(session.decrypt(&message).is_err(), "a message is read once");
                session.pickle().unwrap()
            }
            // As the store has it.
            Err(_) => before,
        };
        session = Session::from_pickle(&kept).unwrap();
    }
}
