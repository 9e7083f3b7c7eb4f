//! The libraries against published vectors: X25519 and ChaCha20-Poly1305 from Wycheproof, X-Wing from its draft, HPKE
//! from RFC 9180 and, with X-Wing, from another implementation.
//!
//! No vectors are published for X-Wing in `mode_psk` with HKDF-SHA256; the pieces are checked here each by itself, and
//! the whole by `proto/vectors/check.py`, which shares no code with this crate.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::{Deserializable, OpModeR, OpModeS, PskBundle, Serializable};
use hpke::{single_shot_open, single_shot_seal_with_rng};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wycheproof::TestResult;

use super::fixed::FixedRng;
use super::seal::SealingKey;

#[derive(Deserialize)]
struct File<T> {
    cases: Vec<T>,
}

fn cases<T: DeserializeOwned>(json: &str) -> Vec<T> {
    serde_json::from_str::<File<T>>(json).unwrap().cases
}

#[derive(Deserialize)]
struct XWingCase {
    #[serde(with = "hex::serde")]
    seed: [u8; 32],
    #[serde(with = "hex::serde")]
    eseed: [u8; 64],
    #[serde(with = "hex::serde")]
    pk: Vec<u8>,
    #[serde(with = "hex::serde")]
    ct: Vec<u8>,
    #[serde(with = "hex::serde")]
    ss: [u8; 32],
}

#[derive(Deserialize)]
struct HpkeCase {
    comment: String,
    mode: u8,
    kem_id: u16,
    #[serde(with = "hex::serde")]
    sk_recipient: Vec<u8>,
    #[serde(with = "hex::serde")]
    pk_recipient: Vec<u8>,
    #[serde(with = "hex::serde")]
    encap_randomness: Vec<u8>,
    #[serde(with = "hex::serde")]
    info: Vec<u8>,
    #[serde(with = "hex::serde")]
    psk: Vec<u8>,
    #[serde(with = "hex::serde")]
    psk_id: Vec<u8>,
    #[serde(with = "hex::serde")]
    enc: Vec<u8>,
    #[serde(with = "hex::serde")]
    aad: Vec<u8>,
    #[serde(with = "hex::serde")]
    plaintext: Vec<u8>,
    #[serde(with = "hex::serde")]
    ciphertext: Vec<u8>,
}

#[test]
fn x_wing_is_as_its_draft_has_it() {
    let cases: Vec<XWingCase> = cases(include_str!("../../../proto/vectors/external/x-wing.json"));
    assert_eq!(cases.len(), 3);
    for case in cases {
        let key = SealingKey::from_bytes(&case.seed);
        assert_eq!(key.public().to_bytes().as_slice(), case.pk);
        let public = <XWing as Kem>::PublicKey::from_bytes(&case.pk).unwrap();
        let (secret, enc) = XWing::encap_with_rng(&public, None, &mut FixedRng::new(case.eseed)).unwrap();
        assert_eq!(enc.to_bytes().as_slice(), case.ct);
        assert_eq!(secret.0.as_slice(), case.ss);
        let own = <XWing as Kem>::PrivateKey::from_bytes(&case.seed).unwrap();
        assert_eq!(XWing::decap(&own, None, &enc).unwrap().0.as_slice(), case.ss);
    }
}

fn check_hpke<K: Kem>(case: &HpkeCase) {
    let psk = PskBundle::new(&case.psk, &case.psk_id).unwrap();
    let (sender, recipient) = match case.mode {
        0 => (OpModeS::Base, OpModeR::Base),
        1 => (OpModeS::Psk(psk), OpModeR::Psk(psk)),
        mode => panic!("mode {mode} is not used here"),
    };
    let secret = K::PrivateKey::from_bytes(&case.sk_recipient).unwrap();
    let public = K::PublicKey::from_bytes(&case.pk_recipient).unwrap();
    assert!(K::sk_to_pk(&secret) == public, "{}", case.comment);
    let (enc, ciphertext) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, K>(
        &sender,
        &public,
        &case.info,
        &case.plaintext,
        &case.aad,
        &mut FixedRng::new(case.encap_randomness.clone()),
    )
    .unwrap();
    assert_eq!(enc.to_bytes().as_slice(), case.enc, "{}", case.comment);
    assert_eq!(ciphertext, case.ciphertext, "{}", case.comment);
    let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, K>(
        &recipient,
        &secret,
        &enc,
        &case.info,
        &case.ciphertext,
        &case.aad,
    );
    assert_eq!(opened.unwrap(), case.plaintext, "{}", case.comment);
}

#[test]
fn hpke_is_as_published_with_a_psk_and_with_x_wing() {
    let cases: Vec<HpkeCase> = cases(include_str!("../../../proto/vectors/external/hpke.json"));
    assert_eq!(cases.iter().map(|case| (case.mode, case.kem_id)).collect::<Vec<_>>(), [(1, 0x0020), (0, 0x647a)]);
    for case in cases {
        match case.kem_id {
            0x0020 => check_hpke::<X25519HkdfSha256>(&case),
            _ => check_hpke::<XWing>(&case),
        }
    }
}

#[test]
fn x25519_is_as_wycheproof_has_it() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut checked = 0;
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        let secret = x25519_dalek::StaticSecret::from(<[u8; 32]>::try_from(case.private_key.as_ref()).unwrap());
        let public = x25519_dalek::PublicKey::from(<[u8; 32]>::try_from(case.public_key.as_ref()).unwrap());
        let shared = secret.diffie_hellman(&public);
        let zero = case.shared_secret.iter().all(|byte| *byte == 0);
        assert!(case.result != TestResult::Invalid);
        assert_eq!(shared.as_bytes().as_slice(), case.shared_secret.as_ref(), "{}", case.tc_id);
        assert_eq!(shared.was_contributory(), !zero, "{}", case.tc_id);
        checked += 1;
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn chacha20_poly1305_is_as_wycheproof_has_it() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::ChaCha20Poly1305).unwrap();
    let (mut right, mut wrong) = (0, 0);
    for group in &set.test_groups {
        for case in &group.tests {
            let Ok(nonce) = <[u8; 12]>::try_from(case.nonce.as_ref()) else {
                assert!(case.result.must_fail());
                continue;
            };
            let cipher = chacha20poly1305::ChaCha20Poly1305::new_from_slice(&case.key).unwrap();
            let sealed = [case.ct.as_ref(), case.tag.as_ref()].concat();
            let opened = cipher.decrypt(&nonce.into(), Payload { msg: &sealed, aad: &case.aad });
            if case.result.must_fail() {
                assert!(opened.is_err(), "{}", case.tc_id);
                wrong += 1;
            } else {
                assert_eq!(opened.unwrap(), case.pt.as_ref(), "{}", case.tc_id);
                let again = cipher.encrypt(&nonce.into(), Payload { msg: &case.pt, aad: &case.aad }).unwrap();
                assert_eq!(again, sealed, "{}", case.tc_id);
                right += 1;
            }
        }
    }
    assert!(right > 200 && wrong > 50, "{right} {wrong}");
}

#[test]
fn ed25519_is_as_wycheproof_has_it() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut right, mut wrong) = (0, 0);
    for group in &set.test_groups {
        let Ok(public) = <[u8; 32]>::try_from(group.key.pk.as_ref()) else { panic!("a key of another length") };
        let public = ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap();
        for case in &group.tests {
            let signature =
                <[u8; 64]>::try_from(case.sig.as_ref()).map(|sig| ed25519_dalek::Signature::from_bytes(&sig));
            let holds = signature.is_ok_and(|signature| public.verify_strict(&case.msg, &signature).is_ok());
            assert_eq!(holds, case.result == TestResult::Valid, "{}", case.tc_id);
            *if holds { &mut right } else { &mut wrong } += 1;
        }
    }
    assert!(right > 60 && wrong > 50, "{right} {wrong}");
}
