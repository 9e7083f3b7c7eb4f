//! Every request, refusal and event of the protocol, over a real WebSocket and the real spool.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use std::num::NonZeroU32;
use support::{Client, Pair, TestRelay, WINDOW, accepted, enrol, patiently, rng, sealed};
use tacit_proto::frame::{Answer, Attached, ClosedWhy, Event, Handle, Refusal, Request};
use tacit_proto::{ChannelId, Command, End, EndKey, EndOf, EnrolCode, Permit, PermitHash};
use tacit_server::{Clock, Config, Counter};

fn refused(why: Refusal) -> Answer {
    Answer::Refused(why)
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

// Welcome.

#[tokio::test]
async fn welcome_states_the_limits_and_asks_for_fresh_proofs() {
    let relay = TestRelay::start_with(|config| config.notice = "Closed on Sundays".to_owned()).await;
    let (first, second) = (relay.connect().await.welcome, relay.connect().await.welcome);
    assert_eq!(first.limits, Config::new("").limits);
    assert_eq!(first.notice, "Closed on Sundays");
    assert_eq!(first.incarnation, second.incarnation);
    assert_ne!(first.challenge.nonce, second.challenge.nonce);
    assert_ne!(first.challenge.session_public, second.challenge.session_public);
}

#[tokio::test]
async fn the_incarnation_outlives_a_restart() {
    let relay = TestRelay::start().await;
    let before = relay.connect().await.welcome.incarnation;
    let relay = TestRelay::start_on(relay.end().await, |_| ()).await;
    assert_eq!(relay.connect().await.welcome.incarnation, before);
}

// Enrol.

fn hashes(number: u8) -> Vec<PermitHash> {
    (0..number).map(|number| Permit::from_bytes([number; 32]).hash()).collect()
}

#[tokio::test]
async fn an_enrolment_is_good_once_and_the_same_request_again_is_done_again() {
    let relay = TestRelay::start().await;
    let code = relay.offer(3, u64::MAX);
    let ask = |permits| Request::Enrol { code: code.clone(), permit_hashes: hashes(permits) };
    let mut client = relay.connect().await;
    assert_eq!(client.ask(ask(4)).await, refused(Refusal::TooLarge));
    assert_eq!(client.ask(ask(3)).await, Answer::Done);
    assert_eq!(client.ask(ask(3)).await, Answer::Done);
    assert_eq!(client.ask(ask(2)).await, refused(Refusal::NoPermit));
    let relay = TestRelay::start_on(relay.end().await, |_| ()).await;
    assert_eq!(relay.connect().await.ask(ask(3)).await, Answer::Done);
}

#[tokio::test]
async fn an_unknown_or_expired_code_enrols_nobody() {
    let relay = TestRelay::start().await;
    let mut client = relay.connect().await;
    for code in [EnrolCode::draw(&mut rng()), relay.offer(3, unix())] {
        let asked = client.ask(Request::Enrol { code, permit_hashes: hashes(1) }).await;
        assert_eq!(asked, refused(Refusal::NoPermit));
    }
}

#[tokio::test]
async fn of_two_devices_with_one_code_one_enrols() {
    let relay = TestRelay::start().await;
    let code = relay.offer(3, u64::MAX);
    let (mut first, mut second) = (relay.connect().await, relay.connect().await);
    let ask = |permits: std::ops::Range<u8>| Request::Enrol {
        code: code.clone(),
        permit_hashes: permits.map(|number| Permit::from_bytes([number; 32]).hash()).collect(),
    };
    let (first_id, second_id) = (first.request(ask(0..3)).await, second.request(ask(10..13)).await);
    let answers = [first.answer(first_id).await, second.answer(second_id).await];
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Done).count(), 1, "{answers:?}");
}

// Open.

#[tokio::test]
async fn a_permit_opens_one_channel_and_an_open_may_be_repeated() {
    let relay = TestRelay::start().await;
    let permits = relay.permits(2).await;
    let mut client = relay.connect().await;
    let (pair, other) = (Pair::draw(), Pair::draw());
    let hold = client.welcome.limits.hold;
    assert_eq!(client.ask(pair.open_request(&permits[0], hold + 1)).await, refused(Refusal::TooLarge));
    assert_eq!(client.ask(pair.open_request(&permits[0], hold)).await, Answer::Done);
    assert_eq!(client.ask(pair.open_request(&permits[0], hold)).await, Answer::Done);
    assert_eq!(client.ask(other.open_request(&permits[0], hold)).await, refused(Refusal::NoPermit));
    let stolen = Pair { channel: pair.channel, ..other.clone() };
    assert_eq!(client.ask(stolen.open_request(&permits[1], hold)).await, refused(Refusal::NotAllowed));
    let unknown = Permit::draw(&mut rng());
    assert_eq!(client.ask(stolen.open_request(&unknown, hold)).await, refused(Refusal::NoPermit));
    assert_eq!(client.ask(other.open_request(&permits[1], hold)).await, Answer::Done, "it was not spent");
}

// Attach.

#[tokio::test]
async fn up_to_64_ends_attach_at_once_each_with_its_own_result() {
    let relay = TestRelay::start().await;
    let permits = relay.permits(63).await;
    let mut client = relay.connect().await;
    let mut pairs = Vec::new();
    for permit in &permits {
        pairs.push(Pair::open(&mut client, permit).await);
    }
    let mut items: Vec<_> = pairs.iter().map(|pair| client.attach_item(pair.of(End::A), &pair.a)).collect();
    items.insert(5, client.attach_item(pairs[0].of(End::A), &pairs[1].a));
    let Answer::Attach(results) = client.ask(Request::Attach { items, window: WINDOW }).await else { panic!() };
    assert_eq!(results.len(), 64);
    assert_eq!(results[5], Err(Refusal::NotAllowed));
    let handles: Vec<Handle> = results.iter().flatten().map(|attached| attached.handle).collect();
    assert_eq!(handles.len(), 63);
    assert_eq!(client.pong().await, handles);
}

#[tokio::test]
async fn wrong_channel_wrong_end_and_wrong_proof_look_the_same() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let mut client = relay.connect().await;
    let stranger = EndKey::draw(&mut rng());
    let nowhere = EndOf { channel: ChannelId::draw(&mut rng()), end: End::A };
    let for_rekey = client.prove(pair.of(End::A), &pair.a, &Command::Rekey(&pair.a.public()));
    let mut other_connection = client.attach_item(pair.of(End::A), &pair.a);
    other_connection.proof = relay.connect().await.attach_item(pair.of(End::A), &pair.a).proof;
    let items = [
        client.attach_item(nowhere, &stranger),
        client.attach_item(nowhere, &pair.a),
        client.attach_item(pair.of(End::A), &stranger),
        client.attach_item(pair.of(End::A), &pair.b),
        client.attach_item(pair.of(End::B), &pair.a),
        tacit_proto::frame::AttachItem { proof: for_rekey, ..client.attach_item(pair.of(End::A), &pair.a) },
        other_connection,
    ];
    let mut answers = Vec::new();
    for item in items {
        answers.push(client.ask(Request::Attach { items: vec![item], window: WINDOW }).await);
    }
    let id = NonZeroU32::new(1).unwrap();
    let bytes = answers.into_iter().map(|answer| tacit_proto::frame::FromRelay::Answer(id, answer).encode());
    let bytes: std::collections::HashSet<_> = bytes.collect();
    assert_eq!(bytes.len(), 1, "byte for byte");
    assert_eq!(client.attach(pair.of(End::A), &stranger).await, Err(Refusal::NotAllowed));
}

#[tokio::test]
async fn a_newer_attachment_supersedes_and_is_given_what_was_unacked() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut old, old_handle) = pair.attach_drained(&relay, End::B).await;
    let sent = a.send(a_handle, 1, sealed(1)).await;
    assert_eq!(old.delivery().await, (1, 1));
    let (mut new, new_handle) = pair.attach(&relay, End::B).await;
    assert_eq!(old.event().await, Event::Superseded(old_handle));
    assert_eq!(old.pong().await, []);
    old.ack(old_handle, 1).await;
    let ignored = old.send(old_handle, 1, sealed(9)).await;
    assert_eq!(old.answer(ignored).await, refused(Refusal::NotAllowed));
    assert_eq!(new.delivery().await, (1, 1), "the old one's ack was ignored");
    assert!(new.was_last);
    new.ack(new_handle, 1).await;
    assert!(matches!(a.answer(sent).await, Answer::Accepted { n: 1, .. }));
}

#[tokio::test]
async fn attaching_again_on_one_connection_supersedes_too_and_never_reuses_a_handle() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut client, first) = pair.attach_drained(&relay, End::A).await;
    let second = client.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    assert_ne!(first, second);
    assert_eq!(client.event().await, Event::Superseded(first));
    assert_eq!(client.event().await, Event::Drained(second));
    assert_eq!(client.pong().await, [second]);
}

// Claiming and rekeying.

#[tokio::test]
async fn under_the_invite_nothing_but_rekey_is_allowed_and_then_the_offer_comes() {
    let relay = TestRelay::start().await;
    let permit = relay.permits(1).await.remove(0);
    let mut a = relay.connect().await;
    let pair = Pair::open(&mut a, &permit).await;
    let a_handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    accepted(&mut a, a_handle, 1, 7).await;
    let mut b = relay.connect().await;
    let attached = b.attach(pair.of(End::B), &pair.invite).await.unwrap();
    assert_eq!(attached, Attached { waiting: 0, must_rekey: true, ..attached });
    let sent = b.send(attached.handle, 1, sealed(1)).await;
    assert_eq!(b.answer(sent).await, refused(Refusal::NotAllowed));
    assert_eq!(b.ask(Request::Close { handle: attached.handle }).await, refused(Refusal::NotAllowed));
    assert_eq!(b.pong().await, [attached.handle]);
    let key = EndKey::draw(&mut rng());
    let unproven = b.rekey_request(attached.handle, pair.of(End::B), &key, &key);
    assert_eq!(b.ask(unproven).await, refused(Refusal::NotAllowed));
    let rekey = b.rekey_request(attached.handle, pair.of(End::B), &pair.invite, &key);
    assert_eq!(b.ask(rekey).await, Answer::Done);
    assert_eq!(b.delivery().await, (1, 7));
}

#[tokio::test]
async fn the_first_to_rekey_has_the_invite_and_a_later_one_is_told_that_it_was_used() {
    let relay = TestRelay::start().await;
    let permit = relay.permits(1).await.remove(0);
    let mut a = relay.connect().await;
    let pair = Pair::open(&mut a, &permit).await;
    let a_handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    assert_eq!(a.event().await, Event::Drained(a_handle));
    let mut thief = relay.connect().await;
    let thiefs = thief.attach(pair.of(End::B), &pair.invite).await.unwrap().handle;
    let pair = pair.claimed(&mut relay.connect().await).await;
    assert_eq!(thief.event().await, Event::Superseded(thiefs));
    let rekey = thief.rekey_request(thiefs, pair.of(End::B), &pair.invite, &EndKey::draw(&mut rng()));
    assert_eq!(thief.ask(rekey).await, refused(Refusal::NotAllowed));
    assert_eq!(thief.attach(pair.of(End::B), &pair.invite).await, Err(Refusal::Used));
    assert_eq!(a.event().await, Event::InviteTried(a_handle));

    let relay = TestRelay::start_on(relay.end().await, |_| ()).await;
    let (mut a, a_handle) = pair.attach(&relay, End::A).await;
    assert_eq!(a.event().await, Event::InviteTried(a_handle), "also after a restart");
}

#[tokio::test]
async fn either_end_rekeys_and_its_old_key_opens_nothing_any_more() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    for end in [End::A, End::B] {
        let (mut client, handle) = pair.attach_drained(&relay, end).await;
        let key = EndKey::draw(&mut rng());
        let rekey = client.rekey_request(handle, pair.of(end), pair.key(end), &key);
        assert_eq!(client.ask(rekey).await, Answer::Done);
        assert_eq!(client.pong().await, [handle]);
        let mut late = relay.connect().await;
        assert_eq!(late.attach(pair.of(end), pair.key(end)).await, Err(Refusal::NotAllowed));
        assert!(late.attach(pair.of(end), &key).await.is_ok());
    }
}

// Close.

#[tokio::test]
async fn a_closed_channel_delivers_what_was_accepted_then_says_so_then_is_gone() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    accepted(&mut a, a_handle, 1, 1).await;
    assert_eq!(a.ask(Request::Close { handle: a_handle }).await, Answer::Done);
    assert_eq!(a.pong().await, []);
    assert_eq!(a.attach(pair.of(End::A), &pair.a).await, Err(Refusal::Gone));
    let (mut b, b_handle) = pair.attach(&relay, End::B).await;
    assert_eq!(b.delivery().await, (1, 1));
    let sent = b.send(b_handle, 1, sealed(2)).await;
    assert_eq!(b.answer(sent).await, refused(Refusal::Gone));
    b.ack(b_handle, 1).await;
    assert_eq!(b.event().await, Event::Closed(b_handle, ClosedWhy::ByPeer));
    assert_eq!(b.ask(Request::Close { handle: b_handle }).await, Answer::Done);
    assert_eq!(b.attach(pair.of(End::B), &pair.b).await, Err(Refusal::NotAllowed), "nothing is known of it");
    assert_eq!(a.attach(pair.of(End::A), &pair.a).await, Err(Refusal::NotAllowed));
}

#[tokio::test]
async fn an_attached_end_is_told_at_once_that_the_other_closed() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, b_handle) = pair.attach_drained(&relay, End::B).await;
    assert_eq!(a.ask(Request::Close { handle: a_handle }).await, Answer::Done);
    assert_eq!(b.event().await, Event::Closed(b_handle, ClosedWhy::ByPeer));
}

// Time.

#[tokio::test]
async fn an_unclaimed_invite_expires_and_so_do_boxes() {
    let hours = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let passed = std::sync::Arc::clone(&hours);
    let clock = Clock::with_wall(move || {
        let hours = passed.load(std::sync::atomic::Ordering::SeqCst);
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + hours * 3_600)
    });
    let relay = TestRelay::start_with(|config| {
        config.clock = clock;
        config.sweep_every = Duration::from_millis(10);
        config.limits.hold = 10 * 3_600;
    })
    .await;
    let permits = relay.permits(2).await;
    let mut a = relay.connect().await;
    let unclaimed = Pair::open(&mut a, &permits[0]).await;
    let pair = Pair::open(&mut a, &permits[1]).await.claimed(&mut relay.connect().await).await;
    let first = a.attach(unclaimed.of(End::A), &unclaimed.a).await.unwrap().handle;
    assert_eq!(a.event().await, Event::Drained(first));
    hours.store(3, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(a.event().await, Event::Closed(first, ClosedWhy::Unclaimed));
    let mut late = relay.connect().await;
    assert_eq!(late.attach(unclaimed.of(End::B), &unclaimed.invite).await, Err(Refusal::Gone));

    let second = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    accepted(&mut a, second, 1, 1).await;
    hours.store(15, std::sync::atomic::Ordering::SeqCst);
    patiently(async {
        while relay.counters.get(Counter::Expired) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (mut b, b_handle) = pair.attach(&relay, End::B).await;
    assert_eq!(b.event().await, Event::Drained(b_handle));
}

// The connection itself.

#[tokio::test]
async fn an_unknown_request_is_unsupported_and_the_connection_goes_on() {
    let relay = TestRelay::start().await;
    let mut client = relay.connect().await;
    assert_eq!(client.ask(Request::Unknown).await, refused(Refusal::Unsupported));
    assert_eq!(client.pong().await, []);
}

#[tokio::test]
async fn a_handle_that_was_never_given_allows_nothing() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let mut client = relay.connect().await;
    let handle = Handle(1);
    let sent = client.send(handle, 1, sealed(1)).await;
    assert_eq!(client.answer(sent).await, refused(Refusal::NotAllowed));
    assert_eq!(client.ask(Request::Close { handle }).await, refused(Refusal::NotAllowed));
    let rekey = client.rekey_request(handle, pair.of(End::A), &pair.a, &pair.a);
    assert_eq!(client.ask(rekey).await, refused(Refusal::NotAllowed));
}

#[tokio::test]
async fn a_pipe_in_memory_serves_as_well_as_tcp() {
    let data = tempfile::tempdir().unwrap();
    let relay = tacit_server::Relay::open(Config::new(data.path())).unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    let served = tokio::spawn(relay.serve_connection(theirs));
    let mut client = Client::on(ours).await;
    assert_eq!(client.pong().await, []);
    drop(client);
    patiently(served).await.unwrap();
}

#[tokio::test]
async fn a_permit_of_one_connection_is_good_on_another() {
    let relay = TestRelay::start().await;
    let code = relay.offer(1, u64::MAX);
    let permit = enrol(&mut relay.connect().await, &code, 1).await.remove(0);
    Pair::open(&mut relay.connect().await, &permit).await;
}
