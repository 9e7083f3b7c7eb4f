//! What strangers, and devices gone wrong, may use of a relay; and that nobody else is the worse for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use support::{Client, Pair, TestRelay, accepted, enrol, patiently, sealed};
use tacit_proto::frame::{Answer, Event, Handle, Refusal, Request};
use tacit_proto::{End, EnrolCode, Permit};
use tacit_server::{Config, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// A connection from an address of this machine.
async fn from(last: u8, relay: &TestRelay) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))).unwrap();
    patiently(socket.connect(relay.addr)).await.unwrap()
}

/// Everything that comes until the relay closes.
async fn all(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // Closed at once, a connection may look broken instead.
    let _ = patiently(stream.read_to_end(&mut all)).await;
    all
}

async fn is_turned_away(stream: TcpStream) -> bool {
    let answer = all(stream).await;
    answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 ")
}

async fn is_closed(client: &mut Client<TcpStream>) -> bool {
    matches!(patiently(client.socket.next()).await, None | Some(Err(_) | Ok(Message::Close(_))))
}

// Places.

#[tokio::test]
async fn a_newcomer_takes_the_place_of_the_stranger_that_is_longest_here_and_no_devices() {
    let relay = TestRelay::start_with(|config| config.abuse.connections = 3).await;
    let pair = relay.pair().await;
    let (mut device, handle) = pair.attach_drained(&relay, End::A).await;
    // Asked something, so that the relay has looked whether it is a stranger.
    assert_eq!(device.pong().await, [handle]);
    let (mut first, mut second) = (relay.connect().await, relay.connect().await);
    let mut third = relay.connect().await;
    assert!(is_closed(&mut first).await);
    assert_eq!(second.pong().await, []);
    assert_eq!(third.pong().await, []);
    assert_eq!(device.pong().await, [handle]);
}

#[tokio::test]
async fn when_devices_have_all_places_a_newcomer_is_told_so_at_once() {
    let relay = TestRelay::start_with(|config| config.abuse.connections = 2).await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, b_handle) = pair.attach_drained(&relay, End::B).await;
    assert_eq!((a.pong().await, b.pong().await), (vec![a_handle], vec![b_handle]));
    let told = all(from(1, &relay).await).await;
    assert!(told.starts_with(b"HTTP/1.1 503 ") && told.ends_with(b"Try later"), "{}", String::from_utf8_lossy(&told));
    drop(b);
    // Its place is free as soon as the relay has noticed.
    while is_turned_away_now(&relay).await {}
    assert_eq!(a.pong().await, [a_handle]);
}

async fn is_turned_away_now(relay: &TestRelay) -> bool {
    let mut stream = from(1, relay).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.is_err() || is_turned_away(stream).await
}

#[tokio::test]
async fn an_address_has_so_many_places_and_another_one_has_its_own() {
    let relay = TestRelay::start_with(|config| config.abuse.connections_per_address = 3).await;
    let mut here = Vec::new();
    for _ in 0..3 {
        here.push(Client::on(from(2, &relay).await).await);
    }
    assert!(is_turned_away(from(2, &relay).await).await);
    assert_eq!(Client::on(from(3, &relay).await).await.pong().await, []);
    drop(here);
    while is_turned_away_from(2, &relay).await {}
}

async fn is_turned_away_from(last: u8, relay: &TestRelay) -> bool {
    let mut stream = from(last, relay).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.is_err() || is_turned_away(stream).await
}

#[tokio::test]
async fn an_address_that_connects_too_fast_is_turned_away_before_any_tls() {
    let relay = TestRelay::start_with(|config| {
        config.transport = Transport::Pinned;
        config.abuse.connects_per_minute = 5;
    })
    .await;
    let mut waits = Vec::new();
    for _ in 0..5 {
        waits.push(from(2, &relay).await);
    }
    assert_eq!(all(from(2, &relay).await).await, b"", "closed, without an alert");
    let mut other = from(3, &relay).await;
    other.write_all(b"not TLS").await.unwrap();
    assert_eq!(all(other).await.first(), Some(&21), "an alert: it was listened to");
}

#[tokio::test]
async fn devices_are_served_while_strangers_dawdle_and_a_flood_is_turned_away() {
    let relay = TestRelay::start_with(|config| {
        config.abuse.connections = 200;
        config.abuse.connections_per_address = 100;
        config.abuse.connects_per_minute = 120;
        config.handshake_timeout = Duration::from_secs(3_600);
    })
    .await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, b_handle) = pair.attach_drained(&relay, End::B).await;
    let mut dawdlers = Vec::new();
    let mut turned_away = 0;
    for n in 1..=300_u64 {
        let mut dawdler = from(10 + (n % 3) as u8, &relay).await;
        // Turned away ones may be gone already.
        let _ = dawdler.write_all(b"GET /v1 HT").await;
        dawdlers.push(dawdler);
        turned_away += usize::from(is_turned_away_from(20, &relay).await);
        if n % 3 == 0 {
            let box_number = n / 3;
            let sent = a.send(a_handle, box_number, sealed(box_number as u32)).await;
            assert_eq!(b.next_delivery().await, (box_number, box_number as u32));
            b.ack(b_handle, box_number).await;
            assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
        }
    }
    assert!(turned_away >= 300 - 120 - 10, "{turned_away} of the flood were turned away");
    assert!(pair.attach(&relay, End::A).await.0.pong().await.len() == 1, "devices at other addresses get in");
}

// Before a proof.

#[tokio::test]
async fn who_sends_no_first_frame_is_sent_away_and_who_does_has_longer() {
    let relay = TestRelay::start_with(|config| config.handshake_timeout = Duration::from_millis(500)).await;
    let (mut silent, mut asks) = (relay.connect().await, relay.connect().await);
    assert_eq!(asks.pong().await, []);
    assert_eq!(silent.close_code().await, Some(1008));
    assert_eq!(asks.pong().await, []);
}

#[tokio::test]
async fn who_sends_too_much_before_a_proof_is_sent_away() {
    let relay = TestRelay::start_with(|config| config.unproven_timeout = Duration::from_secs(3_600)).await;
    let pair = relay.pair().await;
    let (mut device, handle) = pair.attach_drained(&relay, End::A).await;
    let mut stranger = relay.connect().await;
    for client in [&mut stranger, &mut device] {
        for _ in 0..6 {
            let much = Message::Ping(Bytes::from_static(&[0; 125]));
            client.socket.feed(much).await.unwrap();
            for n in 1..=6 {
                client.send(Handle(9), n, sealed(1)).await;
            }
        }
    }
    assert_eq!(stranger.close_code().await, Some(1008));
    assert_eq!(device.pong().await, [handle]);
}

// Guesses.

#[tokio::test]
async fn guesses_run_out_and_then_right_and_wrong_are_refused_alike() {
    let relay = TestRelay::start_with(|config| config.abuse.guesses_per_hour = 8).await;
    let (code, pair) = (relay.offer(2, u64::MAX), relay.pair().await);
    let permits = relay.permits(2).await;
    let (mut device, _) = pair.attach(&relay, End::B).await;
    let mut guesser = relay.connect().await;
    for _ in 0..8 {
        let wrong = Pair::draw().open_request(&Permit::draw(&mut support::rng()), 60);
        assert_eq!(guesser.ask(wrong).await, Answer::Refused(Refusal::NoPermit));
    }
    let too_fast = Answer::Refused(Refusal::TooFast);
    for permit in [&permits[0], &Permit::draw(&mut support::rng())] {
        assert_eq!(guesser.ask(Pair::draw().open_request(permit, 60)).await, too_fast);
    }
    for code in [&code, &EnrolCode::draw(&mut support::rng())] {
        let permit_hashes = vec![support::permit_hash()];
        assert_eq!(guesser.ask(Request::Enrol { code: code.clone(), permit_hashes }).await, too_fast);
    }
    for key in [&pair.a, &pair.b] {
        let items = vec![guesser.attach_item(pair.of(End::A), key)];
        assert_eq!(guesser.ask(Request::Attach { items, window: support::WINDOW }).await, too_fast);
    }
    assert!(device.attach(pair.of(End::A), &pair.a).await.is_ok(), "a device that holds an end is no guesser");
    let mut elsewhere = Client::on(from(2, &relay).await).await;
    enrol(&mut elsewhere, &code, 1).await;
    Pair::open(&mut elsewhere, &permits[0]).await;
    assert!(elsewhere.attach(pair.of(End::A), &pair.a).await.is_ok());
}

// After a proof.

#[tokio::test]
async fn who_sends_fast_is_read_more_slowly_and_nothing_is_refused() {
    let relay = TestRelay::start_with(|config| {
        config.abuse.frames_per_second = 200;
        config.abuse.bytes_per_second = 500_000;
    })
    .await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, b_handle) = pair.attach_drained(&relay, End::B).await;
    let count = 1_200;
    let (mut reader, mut asked) = (0, Vec::new());
    for n in 1..=count {
        asked.push(a.send(a_handle, n, sealed(n as u32)).await);
        if n % 16 == 0 {
            for request in asked.drain(..) {
                while reader < n {
                    assert_eq!(b.next_delivery().await, (reader + 1, reader as u32 + 1));
                    reader += 1;
                }
                b.ack(b_handle, reader).await;
                assert!(matches!(a.answer(request).await, Answer::Accepted { .. }));
            }
        }
    }
}

// Behind a proxy.

async fn through_proxy(relay: &TestRelay, last: u8, header: &str) -> String {
    let mut stream = from(last, relay).await;
    let upgrade = "Host: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tacit.v1\r\n";
    stream.write_all(format!("GET /v1 HTTP/1.1\r\n{upgrade}{header}\r\n").as_bytes()).await.unwrap();
    let mut status = [0; 12];
    patiently(stream.read_exact(&mut status)).await.unwrap();
    // It stays for as long as this process.
    std::mem::forget(stream);
    String::from_utf8(status[9..].to_vec()).unwrap()
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_is_and_nobody_else_does() {
    let relay = TestRelay::start_with(|config: &mut Config| {
        config.transport = Transport::Plain { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()] };
        config.abuse.connections_per_address = 2;
    })
    .await;
    for expected in ["101", "101", "429"] {
        assert_eq!(through_proxy(&relay, 1, "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n").await, expected);
    }
    assert_eq!(through_proxy(&relay, 1, "Forwarded: for=192.0.2.1\r\n").await, "429");
    assert_eq!(through_proxy(&relay, 1, "X-Forwarded-For: 192.0.2.2\r\n").await, "101");
    for expected in ["101", "101", "429"] {
        assert_eq!(through_proxy(&relay, 1, "").await, expected, "it does not say: they count for the proxy itself");
    }
    for number in 3..5 {
        let header = format!("X-Forwarded-For: 192.0.2.{number}\r\n");
        assert_eq!(through_proxy(&relay, 2, &header).await, "101");
    }
    assert!(is_turned_away(from(2, &relay).await).await, "this one is no proxy, whatever it writes");
}

#[tokio::test]
async fn a_box_sent_before_the_limits_bite_is_kept() {
    let relay = TestRelay::start_with(|config| config.abuse.connections_per_address = 2).await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    accepted(&mut a, a_handle, 1, 1).await;
    let _other = relay.connect().await;
    assert!(is_turned_away(from(1, &relay).await).await);
    drop(a);
    let mut b = Client::on(from(2, &relay).await).await;
    b.attach(pair.of(End::B), &pair.b).await.unwrap();
    assert_eq!(b.event().await, Event::Deliver { handle: Handle(1), seq: 1, payload: sealed(1), last: true });
}
