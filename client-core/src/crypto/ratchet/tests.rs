//! What the ratchet takes, what it refuses, and what it costs.

use super::*;

/// Two sessions: the one who started, and the one who received its first message.
fn pair() -> (Session, Session) {
    let (alice, mut bob) = (Account::new(), Account::new());
    let mut started = alice.start(&bob.identity_key(), &bob.one_time_key().unwrap()).unwrap();
    let first = started.encrypt(b"first").unwrap();
    let (received, plaintext) = bob.receive(&alice.identity_key(), &first).unwrap();
    assert_eq!(plaintext.as_slice(), b"first");
    (started, received)
}

#[test]
fn both_sides_talk_over_pickles() {
    let (mut alice, mut bob) = pair();
    for round in 0..20_u8 {
        let message = bob.encrypt(&[round; 30]).unwrap();
        alice = Session::from_pickle(&alice.pickle().unwrap()).unwrap();
        assert_eq!(alice.decrypt(&message).unwrap().as_slice(), [round; 30]);
        let message = alice.encrypt(&[round; 40]).unwrap();
        bob = Session::from_pickle(&bob.pickle().unwrap()).unwrap();
        assert_eq!(bob.decrypt(&message).unwrap().as_slice(), [round; 40]);
    }
}

#[test]
fn a_first_message_starts_one_session_only_and_for_its_own_peer_only() {
    let (alice, mut bob, stranger) = (Account::new(), Account::new(), Account::new());
    let mut started = alice.start(&bob.identity_key(), &bob.one_time_key().unwrap()).unwrap();
    let first = started.encrypt(b"first").unwrap();
    assert!(matches!(bob.receive(&stranger.identity_key(), &first), Err(ReceiveError::OtherIdentity)));
    let mut bob_again = Account::from_pickle(&bob.pickle().unwrap()).unwrap();
    assert!(bob.receive(&alice.identity_key(), &first).is_ok());
    assert_eq!(bob.one_time_key(), None);
    assert!(matches!(bob.receive(&alice.identity_key(), &first), Err(ReceiveError::NoSuchKey)));
    // The same account from the store, as if the transaction had not happened.
    assert!(bob_again.receive(&alice.identity_key(), &first).is_ok());
    assert!(matches!(Account::new().receive(&alice.identity_key(), &first), Err(ReceiveError::NoSuchKey)));
}

#[test]
fn a_message_is_prekey_until_the_peer_was_heard() {
    let (mut alice, mut bob) = pair();
    let second = alice.encrypt(b"second").unwrap();
    assert_eq!(second[0], PREKEY);
    assert_eq!(bob.decrypt(&second).unwrap().as_slice(), b"second");
    let answer = bob.encrypt(b"answer").unwrap();
    assert_eq!(answer[0], NORMAL);
    alice.decrypt(&answer).unwrap();
    assert_eq!(alice.encrypt(b"third").unwrap()[0], NORMAL);
}

#[test]
fn a_message_is_read_once_in_any_order() {
    let (mut alice, mut bob) = pair();
    let messages: Vec<_> = (0..10_u8).map(|n| alice.encrypt(&[n]).unwrap()).collect();
    for (n, message) in messages.iter().enumerate().rev() {
        assert_eq!(bob.decrypt(message).unwrap().as_slice(), [n as u8]);
        assert_eq!(bob.decrypt(message), Err(DecryptError::MissingKey));
    }
}

#[test]
fn forty_skipped_keys_are_kept_and_a_gap_alone_loses_nothing_more() {
    let (mut alice, mut bob) = pair();
    let messages: Vec<_> = (0..60_u8).map(|n| alice.encrypt(&[n]).unwrap()).collect();
    bob.decrypt(&messages[59]).unwrap();
    assert_eq!(bob.decrypt(&messages[18]), Err(DecryptError::MissingKey));
    for (kept, message) in messages.iter().enumerate().take(59).skip(19) {
        assert_eq!(bob.decrypt(message).unwrap().as_slice(), [kept as u8]);
    }
}

#[test]
fn two_thousand_lost_messages_are_jumped_and_one_more_is_told() {
    let (mut alice, mut bob) = pair();
    for _ in 0..2_000 {
        alice.encrypt(b"lost").unwrap();
    }
    assert_eq!(bob.decrypt(&alice.encrypt(b"here").unwrap()).unwrap().as_slice(), b"here");
    for _ in 0..2_001 {
        alice.encrypt(b"lost").unwrap();
    }
    assert_eq!(bob.decrypt(&alice.encrypt(b"too far").unwrap()), Err(DecryptError::GapTooBig));
}

#[test]
fn a_message_altered_in_any_byte_is_refused_and_the_session_goes_on() {
    let (mut alice, mut bob) = pair();
    bob.decrypt(&alice.encrypt(b"0").unwrap()).unwrap();
    alice.decrypt(&bob.encrypt(b"1").unwrap()).unwrap();
    let good = alice.encrypt(b"a message to be altered").unwrap();
    for at in 0..good.len() {
        for flip in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            assert!(bob.decrypt(&bad).is_err(), "byte {at}");
        }
    }
    for cut in 0..good.len() {
        assert!(bob.decrypt(&good[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(bob.decrypt(&good).unwrap().as_slice(), b"a message to be altered");
}

#[test]
fn a_message_of_another_session_is_not_ours() {
    let (mut alice, mut bob) = pair();
    let (mut other, mut other_bob) = pair();
    let message = other.encrypt(b"not for bob").unwrap();
    assert_eq!(bob.decrypt(&message), Err(DecryptError::NotOurs));
    assert_eq!(other_bob.decrypt(&message).unwrap().as_slice(), b"not for bob");
    // A prekey message's inner message in the envelope of another session.
    let mut ours = alice.encrypt(b"for bob").unwrap();
    let theirs = other.encrypt(b"for bob").unwrap();
    let envelope = 1 + 1 + 3 * 34;
    ours[..envelope].copy_from_slice(&theirs[..envelope]);
    assert_eq!(bob.decrypt(&ours), Err(DecryptError::NotOurs));
}

#[test]
fn version_1_is_refused_everywhere() {
    let old = vodozemac::olm::Account::new();
    let mut bob = Account::new();
    let (identity, one_time) = (bob.identity_key().0, bob.one_time_key().unwrap().0);
    let mut v1 = old.create_outbound_session(SessionConfig::version_1(), identity, one_time).unwrap();
    let OlmMessage::PreKey(first) = v1.encrypt("first").unwrap() else { panic!("a first message is prekey") };
    let first = [&[PREKEY], first.to_bytes().as_slice()].concat();
    assert!(matches!(bob.receive(&OlmPublic(old.curve25519_key()), &first), Err(ReceiveError::Malformed)));

    let pickle = serde_json::to_vec(&v1.pickle()).unwrap();
    assert_eq!(Session::from_pickle(&pickle).unwrap_err(), DamagedPickle);

    let (_, mut received) = pair();
    assert_eq!(received.decrypt(&first), Err(DecryptError::NotOurs));
    // The same keys on both sides, and yet: what a version 1 peer of this very session would send.
    let mut v2 = old.create_outbound_session(SessionConfig::version_2(), identity, one_time).unwrap();
    let OlmMessage::PreKey(message) = v2.encrypt("first").unwrap() else { panic!("a first message is prekey") };
    let first = [&[PREKEY], message.to_bytes().as_slice()].concat();
    let (mut session, _) = bob.receive(&OlmPublic(old.curve25519_key()), &first).unwrap();
    let mut downgraded = serde_json::to_value(v2.pickle()).unwrap();
    downgraded["config"]["version"] = "V1".into();
    let mut v1 = vodozemac::olm::Session::from_pickle(serde_json::from_value(downgraded).unwrap());
    let OlmMessage::PreKey(message) = v1.encrypt("downgraded").unwrap() else { panic!("nobody was heard") };
    assert_eq!(message.message().version(), 3);
    let second = [&[PREKEY], message.to_bytes().as_slice()].concat();
    assert_eq!(session.decrypt(&second), Err(DecryptError::Malformed));
}

#[test]
fn degenerate_keys_start_no_session() {
    let (alice, bob) = (Account::new(), Account::new());
    let zero = OlmPublic::from_bytes([0; 32]);
    assert_eq!(alice.start(&zero, &bob.one_time_key().unwrap()).unwrap_err(), UnusableKey);
    assert_eq!(alice.start(&bob.identity_key(), &zero).unwrap_err(), UnusableKey);
    let identity = OlmPublic::from_bytes(bob.identity_key().to_bytes());
    assert!(alice.start(&identity, &bob.one_time_key().unwrap()).is_ok());
}

#[test]
fn the_overhead_is_what_the_documentation_says() {
    let (mut alice, mut bob) = pair();
    let seen = |session: &mut Session, lengths: std::ops::Range<usize>| {
        let over = lengths.map(|len| session.encrypt(&vec![7; len]).unwrap().len() - len);
        over.fold((usize::MAX, 0), |(least, most), over| (least.min(over), most.max(over)))
    };
    let prekey = seen(&mut alice, 0..100);
    alice.decrypt(&bob.encrypt(b"heard").unwrap()).unwrap();
    let normal = seen(&mut alice, 0..100);
    let long = seen(&mut alice, 15_000..15_040);
    assert_eq!((prekey, normal, long), ((178, 194), (73, 88), (74, 89)));
    assert!(prekey.1 <= MAX_PREKEY_OVERHEAD && normal.1 <= MAX_OVERHEAD && long.1 <= MAX_OVERHEAD);
}

#[test]
fn damaged_pickles_are_told() {
    let (alice, _) = pair();
    let pickle = alice.pickle().unwrap();
    for cut in [0, 1, pickle.len() / 2, pickle.len() - 1] {
        assert_eq!(Session::from_pickle(&pickle[..cut]).unwrap_err(), DamagedPickle);
        assert_eq!(Account::from_pickle(&pickle[..cut]).unwrap_err(), DamagedPickle);
    }
}

#[test]
fn ratchet_state_never_shows_in_debug() {
    let (session, _) = pair();
    let account = Account::new();
    assert_eq!(
        format!("{account:?} {session:?} {:?}", account.identity_key()),
        "Account(..) Session(..) OlmPublic(..)"
    );
}
