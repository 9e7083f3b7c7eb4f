//! What a box opens for, and what it does not.

use proptest::prelude::*;

use super::*;
use crate::crypto::fixed::{FixedRng, system_rng};

struct Setting {
    keys: SealingKey,
    psk: Psk,
    context: Context,
}

fn setting() -> Setting {
    Setting {
        keys: SealingKey::from_bytes(&[1; 32]),
        psk: Psk::from_bytes([2; 32]),
        context: Context { channel: ChannelId::from_bytes([3; 16]), sender: End::A, purpose: Purpose::Message },
    }
}

impl Setting {
    fn seal(&self, payload: &[u8]) -> SealedBox {
        seal(&self.keys.public(), &self.psk, &self.context, payload, &mut system_rng()).unwrap()
    }

    fn open(&self, sealed: &SealedBox) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        open(&self.keys, &self.psk, &self.context, sealed)
    }

    /// A box whose plaintext is laid down as it is.
    fn seal_plaintext(&self, class: SizeClass, plaintext: &[u8]) -> SealedBox {
        let to = self.keys.public();
        super::seal_plaintext(&to, &self.psk, &self.context, class, plaintext, &mut system_rng()).unwrap()
    }
}

#[test]
fn a_payload_comes_back_from_the_smallest_class_that_holds_it() {
    let setting = setting();
    for (len, class) in [
        (0, SizeClass::Small),
        (1, SizeClass::Small),
        (MAX_SMALL_PAYLOAD, SizeClass::Small),
        (MAX_SMALL_PAYLOAD + 1, SizeClass::Large),
        (MAX_LARGE_PAYLOAD, SizeClass::Large),
    ] {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let sealed = setting.seal(&payload);
        assert_eq!(sealed.class(), class, "{len}");
        assert_eq!(sealed.bytes().len(), class.box_len());
        assert_eq!(setting.open(&sealed).unwrap().as_slice(), payload);
    }
    let too_long = vec![0; MAX_LARGE_PAYLOAD + 1];
    let sealed = seal(&setting.keys.public(), &setting.psk, &setting.context, &too_long, &mut system_rng());
    assert_eq!(sealed, Err(SealError::TooLong));
    assert_eq!((MAX_SMALL_PAYLOAD, MAX_LARGE_PAYLOAD), (844, 15_180));
}

#[test]
fn a_small_box_altered_in_any_byte_is_refused() {
    let setting = setting();
    let sealed = setting.seal(b"text");
    for at in 0..sealed.bytes().len() {
        let mut bytes = sealed.bytes().to_vec();
        bytes[at] ^= 0x01;
        // In the header it is no box at all.
        match SealedBox::check(bytes.into()) {
            Ok(altered) => assert_eq!(setting.open(&altered), Err(DoesNotOpen), "byte {at}"),
            Err(_) => assert!(at < HEADER_LEN, "byte {at}"),
        }
    }
    assert!(setting.open(&sealed).is_ok());
}

#[test]
fn a_large_box_altered_anywhere_is_refused() {
    let setting = setting();
    let sealed = setting.seal(&[9; 9_000]);
    let len = sealed.bytes().len();
    let sample = (HEADER_LEN..len).step_by(97).chain([HEADER_LEN + ENC_LEN - 1, HEADER_LEN + ENC_LEN, len - 1]);
    for (at, bit) in sample.zip((0..8).cycle()) {
        let mut bytes = sealed.bytes().to_vec();
        bytes[at] ^= 1 << bit;
        assert_eq!(setting.open(&SealedBox::check(bytes.into()).unwrap()), Err(DoesNotOpen), "byte {at}");
    }
    assert!(setting.open(&sealed).is_ok());
}

#[test]
fn a_box_opens_for_its_own_keys_channel_direction_and_purpose_only() {
    let right = setting();
    let sealed = right.seal(b"text");
    let context = right.context;
    let other_contexts = [
        Context { channel: ChannelId::from_bytes([4; 16]), ..context },
        Context { sender: End::B, ..context },
        Context { purpose: Purpose::Offer, ..context },
        Context { purpose: Purpose::Accept, ..context },
        Context { purpose: Purpose::Reset, ..context },
    ];
    for context in other_contexts {
        assert_eq!(open(&right.keys, &right.psk, &context, &sealed), Err(DoesNotOpen), "{context:?}");
    }
    let other_psk = Psk::from_bytes([5; 32]);
    assert_eq!(open(&right.keys, &other_psk, &context, &sealed), Err(DoesNotOpen));
    let other_keys = SealingKey::draw(&mut system_rng());
    assert_eq!(open(&other_keys, &right.psk, &context, &sealed), Err(DoesNotOpen));
    assert_eq!(right.open(&sealed).unwrap().as_slice(), b"text");
}

/// Sealed as `seal` does, but with whatever `info` and `aad` a test wants.
fn seal_with(setting: &Setting, info: &[u8], aad: &[u8]) -> SealedBox {
    let plaintext = pad(b"text", SizeClass::Small).unwrap();
    let psk = PskBundle::new(setting.psk.secret_bytes(), PSK_ID).unwrap();
    let (enc, text) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Psk(psk),
        &setting.keys.public().0,
        info,
        &plaintext,
        aad,
        &mut system_rng(),
    )
    .unwrap();
    SealedBox::check([&SizeClass::Small.header()[..], &enc.to_bytes(), &text].concat().into()).unwrap()
}

#[test]
fn a_box_of_another_version_is_refused_by_its_header_and_by_what_is_sealed_in() {
    let setting = setting();
    let info = setting.context.info();
    let header = SizeClass::Small.header();
    assert_eq!(setting.open(&seal_with(&setting, &info, &header)).unwrap().as_slice(), b"text");

    let mut other_version = info;
    other_version[INFO_LABEL.len()] = BOX_VERSION + 1;
    assert_eq!(setting.open(&seal_with(&setting, &other_version, &header)), Err(DoesNotOpen));
    for aad in [[BOX_VERSION + 1, 1], [BOX_VERSION, 2]] {
        assert_eq!(setting.open(&seal_with(&setting, &info, &aad)), Err(DoesNotOpen));
    }
    let mut bytes = setting.seal(b"text").into_bytes().to_vec();
    bytes[0] = BOX_VERSION + 1;
    assert!(SealedBox::check(bytes.into()).is_err());
}

#[test]
fn a_box_sealed_without_the_psk_is_refused() {
    let setting = setting();
    let plaintext = pad(b"text", SizeClass::Small).unwrap();
    let (enc, text) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &setting.keys.public().0,
        &setting.context.info(),
        &plaintext,
        &SizeClass::Small.header(),
        &mut system_rng(),
    )
    .unwrap();
    let sealed = SealedBox::check([&SizeClass::Small.header()[..], &enc.to_bytes(), &text].concat().into()).unwrap();
    assert_eq!(setting.open(&sealed), Err(DoesNotOpen));
}

#[test]
fn a_length_beyond_the_plaintext_and_padding_that_is_not_zero_are_refused() {
    let setting = setting();
    for class in SizeClass::ALL {
        let room = class.box_len() - OVERHEAD;
        let of = |length: usize, set: Option<usize>| {
            let mut plaintext = vec![0; room];
            plaintext[..2].copy_from_slice(&(length as u16).to_be_bytes());
            if let Some(at) = set {
                plaintext[at] = 1;
            }
            setting.open(&setting.seal_plaintext(class, &plaintext))
        };
        assert_eq!(of(max_payload(class), None).unwrap().len(), max_payload(class));
        assert_eq!(of(max_payload(class) + 1, None), Err(DoesNotOpen));
        assert_eq!(of(usize::from(u16::MAX), None), Err(DoesNotOpen));
        assert_eq!(of(5, Some(2 + 4)).unwrap().as_slice(), [0, 0, 0, 0, 1]);
        assert_eq!(of(5, Some(2 + 5)), Err(DoesNotOpen));
        assert_eq!(of(5, Some(room - 1)), Err(DoesNotOpen));
    }
}

#[test]
fn a_small_payload_in_a_large_box_is_still_read() {
    // Which class a sender takes is its own affair; only the padding must be right.
    let setting = setting();
    let sealed = setting.seal_plaintext(SizeClass::Large, &pad(b"text", SizeClass::Large).unwrap());
    assert_eq!(setting.open(&sealed).unwrap().as_slice(), b"text");
}

#[test]
fn sealing_keys_come_back_and_wrong_ones_are_refused() {
    let key = SealingKey::draw(&mut system_rng());
    assert_eq!(SealingKey::from_bytes(&key.secret_bytes()).public(), key.public());
    let bytes = key.public().to_bytes();
    assert_eq!(SealingPublic::from_bytes(&bytes), Ok(key.public()));
    assert_eq!(SealingPublic::from_bytes(&bytes[..SealingPublic::LEN - 1]), Err(NotASealingKey));
    assert_eq!(SealingPublic::from_bytes(&[0xff; SealingPublic::LEN]), Err(NotASealingKey), "beyond ML-KEM's modulus");
}

#[test]
fn the_same_randomness_seals_to_the_same_bytes_and_nothing_else_is_drawn() {
    let setting = setting();
    let sealed = || {
        let mut rng = FixedRng::new([6; 64]);
        let sealed = seal(&setting.keys.public(), &setting.psk, &setting.context, b"text", &mut rng).unwrap();
        assert!(rng.is_spent());
        sealed
    };
    assert_eq!(sealed(), sealed());
    assert_ne!(setting.seal(b"text"), setting.seal(b"text"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_payload_comes_back(payload in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let setting = setting();
        let opened = setting.open(&setting.seal(&payload)).unwrap();
        prop_assert_eq!(opened.as_slice(), payload);
    }

    #[test]
    fn bytes_that_nobody_sealed_never_open(noise in any::<[u8; 32]>()) {
        let setting = setting();
        let mut bytes: Vec<u8> = noise.iter().copied().cycle().take(SizeClass::Small.box_len()).collect();
        bytes[..HEADER_LEN].copy_from_slice(&SizeClass::Small.header());
        prop_assert_eq!(setting.open(&SealedBox::check(bytes.into()).unwrap()), Err(DoesNotOpen));
    }
}
