//! Golden bytes beside the codec, properties below them.

use getrandom::SysRng;
use proptest::prelude::*;
use rand_core::UnwrapErr;

use super::*;
use crate::{BOX_VERSION, SizeClass};

fn id(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn window() -> Window {
    Window { boxes: id(16), bytes: 65_536 }
}

fn attach_item() -> AttachItem {
    let of = EndOf { channel: ChannelId::from_bytes([1; 16]), end: End::B };
    AttachItem { of, proof: Proof::from_bytes([2; 32]) }
}

fn to_relay_frames() -> Vec<(ToRelay, String)> {
    let twos = "02".repeat(32);
    let channel = "01".repeat(16);
    vec![
        (
            ToRelay::Request(
                id(1),
                Request::Enrol {
                    code: EnrolCode::from_bytes([2; 32]),
                    permit_hashes: vec![PermitHash::from_bytes([2; 32])],
                },
            ),
            format!("080112440a20{twos}1220{twos}"),
        ),
        (
            ToRelay::Request(
                id(2),
                Request::Open(Box::new(Open {
                    channel: ChannelId::from_bytes([1; 16]),
                    permit: Permit::from_bytes([2; 32]),
                    key_a: EndPublic::from_bytes([2; 32]),
                    key_b: EndPublic::from_bytes([2; 32]),
                    join_by: id(300),
                })),
            ),
            format!("08021a7b0a10{channel}1220{twos}1a20{twos}2220{twos}28ac02"),
        ),
        (
            ToRelay::Request(id(3), Request::Attach { items: vec![attach_item()], window: window() }),
            format!("0803223e0a360a10{channel}10021a20{twos}101018808004"),
        ),
        (
            ToRelay::Request(
                id(4),
                Request::Rekey {
                    handle: Handle(7),
                    new_key: EndPublic::from_bytes([2; 32]),
                    proof: Proof::from_bytes([2; 32]),
                },
            ),
            format!("08042a4608071220{twos}1a20{twos}"),
        ),
        (
            ToRelay::Request(id(5), Request::Send { handle: Handle(7), n: 1, payload: Bytes::from_static(&[1, 1, 9]) }),
            "08053209080710011a03010109".to_owned(),
        ),
        (ToRelay::Ack { handle: Handle(7), up_to: 300 }, "3a05080710ac02".to_owned()),
        (ToRelay::Request(id(6), Request::Close { handle: Handle(7) }), "080642020807".to_owned()),
        (ToRelay::Request(id(7), Request::Ping), "08074a00".to_owned()),
    ]
}

fn from_relay_frames() -> Vec<(FromRelay, String)> {
    let event = FromRelay::Event;
    let answer = |number, answer| FromRelay::Answer(id(number), answer);
    let welcome = Welcome {
        challenge: Challenge {
            nonce: Nonce::from_bytes([2; 32]),
            session_public: RelaySessionPublic::from_bytes([2; 32]),
        },
        incarnation: Incarnation::from_bytes([1; 16]),
        limits: Limits {
            hold: 1_814_400,
            in_flight: 64,
            window_boxes: 16,
            window_bytes: 65_536,
            backlog_boxes: 1_000,
            backlog_bytes: 4_194_304,
        },
        notice: "hi".to_owned(),
    };
    let (ones, twos) = ("01".repeat(16), "02".repeat(32));
    vec![
        (
            event(Event::Welcome(Box::new(welcome))),
            format!("12700a20{twos}1220{twos}1a10{ones}22140880df6e104018102080800428e80730808080022a026869"),
        ),
        (answer(1, Answer::Done), "08011a00".to_owned()),
        (answer(1, Answer::Refused(Refusal::Busy)), "08012202080a".to_owned()),
        (
            answer(
                1,
                Answer::Attach(vec![
                    Ok(Attached { handle: Handle(7), waiting: 3, must_rekey: true }),
                    Err(Refusal::NotAllowed),
                ]),
            ),
            "08012a100a080a060807100318010a0412020801".to_owned(),
        ),
        (
            answer(1, Answer::Accepted { handle: Handle(7), n: 2, hold: 1_814_400 }),
            "08013208080710021880df6e".to_owned(),
        ),
        (answer(1, Answer::Pong(vec![Handle(7), Handle(8)])), "08013a040a020708".to_owned()),
        (
            event(Event::Deliver { handle: Handle(7), seq: 5, payload: Bytes::from_static(&[1, 1, 9]), last: true }),
            "420b080710051a030101092001".to_owned(),
        ),
        (event(Event::Drained(Handle(7))), "4a020807".to_owned()),
        (event(Event::Room(Handle(7))), "52020807".to_owned()),
        (event(Event::Superseded(Handle(7))), "5a020807".to_owned()),
        (event(Event::Closed(Handle(7), ClosedWhy::ByPeer)), "620408071001".to_owned()),
        (event(Event::InviteTried(Handle(7))), "6a020807".to_owned()),
        (event(Event::Restarting { reconnect_in: 2 }), "72020802".to_owned()),
    ]
}

#[test]
fn frames_to_the_relay_have_their_golden_bytes() {
    for (frame, golden) in to_relay_frames() {
        let bytes = frame.clone().encode();
        assert_eq!(hex::encode(&bytes), golden, "{frame:?}");
        assert_eq!(ToRelay::decode(bytes), Ok(frame));
    }
}

#[test]
fn frames_from_the_relay_have_their_golden_bytes() {
    for (frame, golden) in from_relay_frames() {
        let bytes = frame.clone().encode();
        assert_eq!(hex::encode(&bytes), golden, "{frame:?}");
        assert_eq!(FromRelay::decode(bytes), Ok(frame));
    }
}

#[test]
fn every_refusal_survives_the_wire() {
    for why in Refusal::ALL {
        let frame = FromRelay::Answer(id(1), Answer::Refused(why));
        assert_eq!(FromRelay::decode(frame.clone().encode()), Ok(frame));
    }
}

#[test]
fn a_request_that_this_version_does_not_know_can_be_answered() {
    for unknown in ["0801", "0801ea0100", "08013a0408071001"] {
        let bytes = hex::decode(unknown).unwrap().into();
        assert_eq!(ToRelay::decode(bytes), Ok(ToRelay::Request(id(1), Request::Unknown)), "{unknown}");
    }
}

#[test]
fn what_cannot_be_answered_is_not_a_frame() {
    for wrong in ["", "4a00", "ea0100"] {
        assert_eq!(ToRelay::decode(hex::decode(wrong).unwrap().into()), Err(FrameError::WrongValue), "{wrong}");
    }
    assert_eq!(FromRelay::decode(Bytes::new()), Err(FrameError::WrongValue));
}

#[test]
fn the_largest_frame_fits_and_a_longer_one_does_not() {
    let mut payload = vec![0; SizeClass::Large.box_len()];
    payload[..2].copy_from_slice(&[BOX_VERSION, 2]);
    let send = Request::Send { handle: Handle(u32::MAX), n: u64::MAX, payload: payload.into() };
    assert!(ToRelay::Request(id(u32::MAX), send).encode().len() <= MAX_FRAME);

    let hashes = vec![PermitHash::from_bytes([9; 32]); MAX_PERMITS];
    let mut rng = UnwrapErr(SysRng);
    let enrol = Request::Enrol { code: EnrolCode::draw(&mut rng), permit_hashes: hashes };
    assert!(ToRelay::Request(id(u32::MAX), enrol).encode().len() <= MAX_FRAME);
    let attach = Request::Attach { items: vec![attach_item(); MAX_ATTACH], window: window() };
    assert!(ToRelay::Request(id(u32::MAX), attach).encode().len() <= MAX_FRAME);

    let send = |payload: usize| {
        let payload = vec![0; payload].into();
        ToRelay::Request(id(1), Request::Send { handle: Handle(7), n: 1, payload }).encode()
    };
    let fields = send(16_384).len() - 16_384;
    let (longest, longer) = (send(MAX_FRAME - fields), send(MAX_FRAME - fields + 1));
    assert_eq!((longest.len(), longer.len()), (MAX_FRAME, MAX_FRAME + 1));
    assert!(ToRelay::decode(longest).is_ok());
    assert_eq!(ToRelay::decode(longer), Err(FrameError::TooLong));
}

#[test]
fn a_relay_may_promise_90_days_and_say_1000_bytes_and_no_more() {
    let welcome = |hold, in_flight, notice: usize| {
        let FromRelay::Event(Event::Welcome(mut welcome)) = from_relay_frames().swap_remove(0).0 else {
            unreachable!()
        };
        welcome.limits = Limits { hold, in_flight, ..welcome.limits };
        welcome.notice = "n".repeat(notice);
        let frame = FromRelay::Event(Event::Welcome(welcome));
        FromRelay::decode(frame.clone().encode()).map(|decoded| assert_eq!(decoded, frame))
    };
    let days_90 = 90 * 24 * 3600;
    assert_eq!(welcome(days_90, 1, 1_000), Ok(()));
    assert_eq!(welcome(1, 1, 0), Ok(()));
    assert_eq!(welcome(days_90 + 1, 1, 0), Err(FrameError::WrongValue));
    assert_eq!(welcome(0, 1, 0), Err(FrameError::WrongValue));
    assert_eq!(welcome(1, 0, 0), Err(FrameError::WrongValue));
    assert_eq!(welcome(1, 1, 1_001), Err(FrameError::WrongLength));
}

#[test]
fn lists_have_their_limits() {
    let attach = |count| {
        ToRelay::Request(id(1), Request::Attach { items: vec![attach_item(); count], window: window() }).encode()
    };
    assert_eq!(ToRelay::decode(attach(0)), Err(FrameError::WrongLength));
    assert!(ToRelay::decode(attach(MAX_ATTACH)).is_ok());
    assert_eq!(ToRelay::decode(attach(MAX_ATTACH + 1)), Err(FrameError::WrongLength));
}

#[test]
fn a_frame_cut_anywhere_is_no_frame_of_another_meaning() {
    for (frame, _) in to_relay_frames() {
        let bytes = frame.clone().encode();
        for cut in 0..bytes.len() {
            assert_ne!(ToRelay::decode(bytes.slice(..cut)), Ok(frame.clone()));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_a_clear_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let bytes = Bytes::from(bytes);
        if let Ok(frame) = ToRelay::decode(bytes.clone()) {
            prop_assert_eq!(ToRelay::decode(frame.clone().encode()), Ok(frame));
        }
        if let Ok(frame) = FromRelay::decode(bytes) {
            prop_assert_eq!(FromRelay::decode(frame.clone().encode()), Ok(frame));
        }
    }

    #[test]
    fn a_frame_changed_anywhere_never_panics(which in 0_usize..8, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = to_relay_frames().swap_remove(which).0.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = ToRelay::decode(bytes.into());
    }
}
