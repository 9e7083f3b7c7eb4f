//! What a relay must not tell: refusals that come for different reasons are the same bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use bytes::Bytes;
use futures_util::StreamExt;
use support::{Client, Pair, TestRelay, WINDOW, patiently, permit_hash, sealed};
use tacit_proto::frame::{AttachItem, Handle, Request};
use tacit_proto::{ChannelId, Command, End, EndKey, EndOf, EnrolCode, Permit, Proof};
use tokio::net::TcpStream;

/// The bytes of the answer to a first request.
async fn answer(relay: &TestRelay, request: impl FnOnce(&Client<TcpStream>) -> Request) -> Bytes {
    let mut client = relay.connect().await;
    let request = request(&client);
    answer_on(&mut client, request).await
}

async fn answer_on(client: &mut Client<TcpStream>, request: Request) -> Bytes {
    client.request(request).await;
    patiently(client.socket.next()).await.unwrap().unwrap().into_data()
}

fn all_equal(answers: &[(&str, Bytes)]) {
    for (what, bytes) in answers {
        assert_eq!(*bytes, answers[0].1, "{what} can be told from {}", answers[0].0);
    }
}

#[tokio::test]
async fn no_such_channel_and_no_such_end_and_a_wrong_proof_are_the_same() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let unclaimed = Pair::open(&mut relay.connect().await, &relay.permits(1).await[0]).await;
    let stranger = EndKey::draw(&mut support::rng());
    let of = |end| pair.of(end);
    let nowhere = EndOf { channel: ChannelId::draw(&mut support::rng()), end: End::A };
    let attach = |of: EndOf, key: EndKey| {
        answer(&relay, move |client| Request::Attach { items: vec![client.attach_item(of, &key)], window: WINDOW })
    };
    let garbage = |of: EndOf| {
        answer(&relay, move |_| Request::Attach {
            items: vec![AttachItem { of, proof: Proof::from_bytes([7; 32]) }],
            window: WINDOW,
        })
    };
    let other_command = answer(&relay, |client| {
        let proof = client.prove(of(End::A), &pair.a, &Command::Rekey(&pair.a.public()));
        Request::Attach { items: vec![AttachItem { of: of(End::A), proof }], window: WINDOW }
    });
    all_equal(&[
        ("no such channel", attach(nowhere, stranger.clone()).await),
        ("no such channel, and no proof", garbage(nowhere).await),
        ("a stranger's key", attach(of(End::A), stranger.clone()).await),
        ("the other end's key", attach(of(End::A), pair.b.clone()).await),
        ("the other end, wrong key", attach(of(End::B), pair.a.clone()).await),
        ("no proof", garbage(of(End::A)).await),
        ("no proof at an invite", garbage(unclaimed.of(End::B)).await),
        ("another command's proof", other_command.await),
    ]);
}

#[tokio::test]
async fn a_handle_that_never_was_and_one_that_is_no_more_are_the_same() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let key = pair.a.clone();
    let (of, new_key) = (pair.of(End::A), EndKey::draw(&mut support::rng()));
    for kind in 0..3 {
        let ask = |client: &Client<TcpStream>, handle: Handle| match kind {
            0 => Request::Send { handle, n: 1, payload: sealed(1) },
            1 => Request::Close { handle },
            _ => client.rekey_request(handle, of, &key, &new_key),
        };
        let never = {
            let mut client = relay.connect().await;
            // So that both are second requests.
            client.pong().await;
            let request = ask(&client, Handle(1));
            answer_on(&mut client, request).await
        };
        let no_more = {
            let (mut client, handle) = pair.attach_drained(&relay, End::A).await;
            let _newer = pair.attach_drained(&relay, End::A).await;
            client.event().await;
            let request = ask(&client, handle);
            answer_on(&mut client, request).await
        };
        let wrong_proof = match kind {
            2 => {
                let (mut client, handle) = pair.attach_drained(&relay, End::A).await;
                let request = client.rekey_request(handle, of, &pair.b, &new_key);
                answer_on(&mut client, request).await
            }
            _ => never.clone(),
        };
        all_equal(&[("never was", never), ("is no more", no_more), ("a wrong proof", wrong_proof)]);
    }
}

#[tokio::test]
async fn a_permit_that_never_was_and_a_spent_one_are_the_same_whether_the_channel_exists_or_not() {
    let relay = TestRelay::start().await;
    let spent = relay.permits(1).await.remove(0);
    let existing = Pair::open(&mut relay.connect().await, &spent).await;
    let open = |channel: ChannelId, permit: &Permit| {
        let (mut pair, permit) = (Pair::draw(), permit.clone());
        pair.channel = channel;
        answer(&relay, move |_| pair.open_request(&permit, 60))
    };
    let (unknown, nowhere) = (Permit::draw(&mut support::rng()), ChannelId::draw(&mut support::rng()));
    all_equal(&[
        ("never was", open(nowhere, &unknown).await),
        ("spent", open(nowhere, &spent).await),
        ("never was, at a channel that exists", open(existing.channel, &unknown).await),
        ("spent, at a channel that exists", open(existing.channel, &spent).await),
    ]);
}

#[tokio::test]
async fn a_code_that_never_was_and_an_expired_or_spent_one_are_the_same() {
    let relay = TestRelay::start().await;
    let (expired, spent) = (relay.offer(1, 5), relay.offer(1, u64::MAX));
    support::enrol(&mut relay.connect().await, &spent, 1).await;
    let enrol = |code: EnrolCode| answer(&relay, |_| Request::Enrol { code, permit_hashes: vec![permit_hash()] });
    all_equal(&[
        ("never was", enrol(EnrolCode::draw(&mut support::rng())).await),
        ("expired", enrol(expired).await),
        ("spent", enrol(spent).await),
    ]);
}
