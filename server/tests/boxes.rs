//! Send, Deliver and Ack, over a real WebSocket and the real spool.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use support::{Pair, TestRelay, accepted, sealed, sealed_of};
use tacit_proto::frame::{Answer, Event, Refusal, Request, Window};
use tacit_proto::{End, SizeClass};
use tacit_server::settings::Share;
use tacit_server::{Config, Counter};

const GRACELESS: fn(&mut Config) = |config| config.grace = Duration::ZERO;

/// So long that only an ack can bring an answer.
const ALL_GRACE: fn(&mut Config) = |config| config.grace = Duration::from_secs(24 * 3_600);

fn refused(why: Refusal) -> Answer {
    Answer::Refused(why)
}

#[tokio::test]
async fn a_box_acked_before_the_grace_never_touches_disk() {
    let relay = TestRelay::start_with(ALL_GRACE).await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, b_handle) = pair.attach_drained(&relay, End::B).await;
    for n in 1..=100 {
        let sent = a.send(a_handle, n, sealed(n as u32)).await;
        assert_eq!(b.delivery().await, (n, n as u32));
        b.ack(b_handle, n).await;
        assert!(b.was_last, "that says that it is drained");
        assert!(matches!(a.answer(sent).await, Answer::Accepted { n: accepted, .. } if accepted == n));
    }
    let counted = [Counter::Accepted, Counter::Delivered, Counter::Acked, Counter::Spooled];
    assert_eq!(counted.map(|counter| relay.counters.get(counter)), [100, 100, 100, 0]);
}

#[tokio::test]
async fn a_box_not_acked_in_time_is_accepted_from_disk_and_survives_a_restart() {
    let relay = TestRelay::start_with(GRACELESS).await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, _) = pair.attach_drained(&relay, End::B).await;
    accepted(&mut a, a_handle, 1, 1).await;
    assert_eq!(b.delivery().await, (1, 1));
    assert_eq!(relay.counters.get(Counter::Spooled), 1);
    let relay = TestRelay::start_on(relay.end().await, |_| ()).await;
    let (mut b, _) = pair.attach(&relay, End::B).await;
    assert_eq!(b.delivery().await.1, 1);
}

#[tokio::test]
async fn a_thousand_boxes_for_an_absent_end_come_in_order_when_it_attaches() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let mut sent = std::collections::VecDeque::new();
    for n in 1..=1_000_u64 {
        if sent.len() == 64 {
            let id = sent.pop_front().unwrap();
            assert!(matches!(a.answer(id).await, Answer::Accepted { .. }));
        }
        sent.push_back(a.send(a_handle, n, sealed(n as u32)).await);
    }
    for id in sent {
        assert!(matches!(a.answer(id).await, Answer::Accepted { .. }));
    }
    let mut b = relay.connect().await;
    let attached = b.attach(pair.of(End::B), &pair.b).await.unwrap();
    assert_eq!(attached.waiting, 1_000);
    for n in 1..=1_000 {
        assert_eq!(b.delivery().await, (n, n as u32));
        assert_eq!(b.was_last, n == 1_000);
        b.ack(attached.handle, n).await;
    }
}

#[tokio::test]
async fn both_sizes_pass_and_nothing_else_is_a_box() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let good = sealed_of(SizeClass::Large, 1);
    for bad in [good.slice(..good.len() - 1), good.slice(1..), sealed(1).slice(..100), bytes::Bytes::new()] {
        let sent = a.send(a_handle, 1, bad).await;
        assert_eq!(a.answer(sent).await, refused(Refusal::NotABox));
    }
    let early = a.send(a_handle, 2, sealed(2)).await;
    assert_eq!(a.answer(early).await, refused(Refusal::OutOfTurn));
    let sent = a.send(a_handle, 1, good.clone()).await;
    assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
    let (mut b, b_handle) = pair.attach(&relay, End::B).await;
    assert_eq!(b.event().await, Event::Deliver { handle: b_handle, seq: 1, payload: good, last: true });
}

#[tokio::test]
async fn a_full_backlog_refuses_and_tells_when_there_is_room() {
    let relay = TestRelay::start_with(|config| config.limits.backlog_boxes = 4).await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    for n in 1..=4 {
        accepted(&mut a, a_handle, n, n as u32).await;
    }
    let fifth = a.send(a_handle, 5, sealed(5)).await;
    assert_eq!(a.answer(fifth).await, refused(Refusal::Full));
    let (mut b, b_handle) = pair.attach(&relay, End::B).await;
    for seq in 1..=2 {
        assert_eq!(b.delivery().await.0, seq);
    }
    b.ack(b_handle, 2).await;
    assert_eq!(a.event().await, Event::Room(a_handle));
    let fifth = a.send(a_handle, 5, sealed(5)).await;
    for seq in 3..=5 {
        assert_eq!(b.delivery().await.0, seq);
    }
    b.ack(b_handle, 5).await;
    assert!(matches!(a.answer(fifth).await, Answer::Accepted { .. }));
}

#[tokio::test]
async fn no_more_boxes_are_under_way_than_the_device_asked_for() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    for n in 1..=5 {
        accepted(&mut a, a_handle, n, n as u32).await;
    }
    let mut b = relay.connect().await;
    let two = Window { boxes: NonZeroU32::new(2).unwrap(), bytes: u32::MAX };
    let handle = b.attach_with(pair.of(End::B), &pair.b, two).await.unwrap().handle;
    for expected in [1, 2] {
        assert_eq!(b.delivery().await.0, expected);
    }
    // An answer overtakes nothing: were a third box under way, it would come before this.
    assert_eq!(b.pong().await, [handle]);
    b.ack(handle, 2).await;
    for expected in [3, 4] {
        assert_eq!(b.delivery().await.0, expected);
    }
}

#[tokio::test]
async fn acks_are_heard_even_beyond_the_requests_in_flight() {
    let relay = TestRelay::start_with(|config| {
        ALL_GRACE(config);
        config.limits.in_flight = 2;
    })
    .await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, b_handle) = pair.attach_drained(&relay, End::B).await;
    let mut sent = Vec::new();
    for n in 1..=2 {
        sent.push((a.send(a_handle, n, sealed(1)).await, b.send(b_handle, n, sealed(2)).await));
    }
    for (client, handle) in [(&mut a, a_handle), (&mut b, b_handle)] {
        assert_eq!(client.delivery().await.0, 1);
        assert_eq!(client.delivery().await.0, 2);
        client.ack(handle, 2).await;
    }
    for (from_a, from_b) in sent {
        assert!(matches!(a.answer(from_a).await, Answer::Accepted { .. }));
        assert!(matches!(b.answer(from_b).await, Answer::Accepted { .. }));
    }
}

#[tokio::test]
async fn sends_beyond_those_in_flight_wait_and_are_all_answered() {
    let relay = TestRelay::start_with(|config| config.limits.in_flight = 2).await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let mut sent = Vec::new();
    for n in 1..=20 {
        sent.push(a.send(a_handle, n, sealed(1)).await);
    }
    for id in sent {
        assert!(matches!(a.answer(id).await, Answer::Accepted { .. }));
    }
}

#[tokio::test]
async fn when_the_disk_runs_short_new_channels_are_refused_first_then_floods_and_conversations_last() {
    let relay = TestRelay::start_with(|config| config.disk = Share::Bytes(2 << 20)).await;
    let permit = relay.permits(1).await.remove(0);
    let (flooded, other) = (relay.pair().await, relay.pair().await);
    let (mut flood, handle) = flooded.attach(&relay, End::A).await;
    let mut n = 0;
    // Until there is no room for the flood any more, well before its own quota.
    loop {
        let sent = flood.send(handle, n + 1, sealed(1)).await;
        match flood.answer(sent).await {
            Answer::Accepted { .. } => n += 1,
            full => break assert_eq!(full, refused(Refusal::Full)),
        }
        assert!(n < 4_000, "its own quota");
    }
    let stranger = &mut relay.connect().await;
    assert_eq!(stranger.ask(Pair::draw().open_request(&permit, 3_600)).await, refused(Refusal::Busy));
    let code = relay.offer(1, u64::MAX);
    let enrol = Request::Enrol { code, permit_hashes: vec![support::permit_hash()] };
    assert_eq!(stranger.ask(enrol).await, refused(Refusal::Busy));
    let (mut client, handle) = other.attach(&relay, End::A).await;
    for n in 1..=16 {
        accepted(&mut client, handle, n, 2).await;
    }
    // What was accepted is all there, and when it was fetched, there is room for new channels.
    let (mut reader, handle) = flooded.attach(&relay, End::B).await;
    for _ in 0..n {
        let (seq, number) = reader.delivery().await;
        assert_eq!(number, 1);
        reader.ack(handle, seq).await;
    }
    let open = Pair::draw();
    loop {
        // A connection that proved an end may ask for long.
        match client.ask(open.open_request(&permit, 3_600)).await {
            Answer::Done => break,
            busy => assert_eq!(busy, refused(Refusal::Busy)),
        }
    }
}
