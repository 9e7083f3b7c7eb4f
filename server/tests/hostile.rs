//! What no device does: each is met with a clear end of the connection, and costs nobody else anything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use support::{TestRelay, patiently, sealed, sealed_of};
use tacit_proto::frame::{Answer, Handle, Request, ToRelay};
use tacit_proto::limits::MAX_FRAME;
use tacit_proto::{End, SizeClass};
use tacit_server::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

async fn end_after(relay: &TestRelay, message: Message) -> Option<u16> {
    let mut client = relay.connect().await;
    patiently(client.socket.send(message)).await.unwrap();
    client.close_code().await
}

#[tokio::test]
async fn a_malformed_frame_ends_the_connection_with_1002() {
    let relay = TestRelay::start().await;
    for bytes in [&b""[..], b"\xff\xff\xff", b"\x08\x00", b"\x08\x01\x1a\x02\x0a\x00"] {
        assert_eq!(end_after(&relay, Message::Binary(Bytes::copy_from_slice(bytes))).await, Some(1002), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_frame_cut_anywhere_ends_the_connection_or_is_an_unknown_request() {
    let relay = TestRelay::start().await;
    let whole = ToRelay::Ack { handle: Handle(300), up_to: 70_000 }.encode();
    for cut in 0..whole.len() {
        assert_eq!(end_after(&relay, Message::Binary(whole.slice(..cut))).await, Some(1002), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_connection_with_1009() {
    let relay = TestRelay::start().await;
    for len in [MAX_FRAME + 1, 100_000] {
        assert_eq!(end_after(&relay, Message::Binary(vec![0; len].into())).await, Some(1009));
    }
}

#[tokio::test]
async fn text_ends_the_connection_with_1003() {
    let relay = TestRelay::start().await;
    assert_eq!(end_after(&relay, Message::Text("hello".into())).await, Some(1003));
}

#[tokio::test]
async fn an_ack_of_what_was_never_sent_ends_the_connection_with_1002() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut client, handle) = pair.attach(&relay, End::A).await;
    client.ack(handle, 1).await;
    assert_eq!(client.close_code().await, Some(1002));
    let mut stranger = relay.connect().await;
    stranger.ack(Handle(1), 0).await;
    assert_eq!(stranger.close_code().await, Some(1002));
    assert!(pair.attach(&relay, End::A).await.0.pong().await.len() == 1, "the end is free again");
}

#[tokio::test]
async fn who_proves_no_end_in_time_is_sent_away_and_who_does_stays() {
    let relay = TestRelay::start_with(|config| config.unproven_timeout = Duration::from_millis(300)).await;
    let pair = relay.pair().await;
    let mut idle = relay.connect().await;
    let (mut proven, handle) = pair.attach(&relay, End::A).await;
    assert_eq!(idle.close_code().await, Some(1008));
    assert_eq!(proven.pong().await, [handle]);
}

#[tokio::test]
async fn a_dead_device_is_found_out_and_a_living_one_is_not() {
    let relay = TestRelay::start_with(|config| config.keep_alive = Duration::from_millis(100)).await;
    let pair = relay.pair().await;
    let (mut living, handle) = pair.attach_drained(&relay, End::A).await;
    let (dead, _) = pair.attach_drained(&relay, End::B).await;
    // Answering to the relay's pings is all that the living one does meanwhile.
    let read = tokio::spawn(async move {
        for _ in 0..5 {
            assert!(matches!(patiently(living.socket.next()).await, Some(Ok(Message::Ping(_)))));
        }
        living
    });
    let mut living = patiently(read).await.unwrap();
    assert_eq!(living.pong().await, [handle]);
    let mut stream = dead.socket.into_inner();
    let mut rest = Vec::new();
    patiently(stream.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn a_device_that_does_not_read_is_closed_and_loses_nothing() {
    let relay = TestRelay::start_with(|config| {
        config.write_timeout = Duration::from_millis(500);
        config.limits.window_boxes = 1_000;
        config.limits.window_bytes = u32::MAX;
    })
    .await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (stuck, _) = pair.attach_drained(&relay, End::B).await;
    let count = 600;
    for n in 1..=count {
        let sent = a.send(a_handle, n, sealed_of(SizeClass::Large, n as u32)).await;
        if n % 32 == 0 {
            assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
        }
    }
    let mut b = relay.connect().await;
    let attached = b.attach(pair.of(End::B), &pair.b).await.unwrap();
    for n in 1..=count {
        assert_eq!(b.delivery().await, (n, n as u32));
        b.ack(attached.handle, n).await;
    }
    assert!(b.was_last);
    drop(stuck);
}

#[tokio::test]
async fn a_device_that_vanishes_leaves_its_boxes_to_its_next_connection() {
    let relay = TestRelay::start_with(|config| config.grace = Duration::from_secs(3_600)).await;
    let pair = relay.pair().await;
    let (mut a, a_handle) = pair.attach_drained(&relay, End::A).await;
    let (mut b, _) = pair.attach_drained(&relay, End::B).await;
    let sent = a.send(a_handle, 1, sealed(1)).await;
    assert_eq!(b.delivery().await, (1, 1));
    drop(b);
    assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }), "it went to disk when the device left");
    let (mut b, _) = pair.attach(&relay, End::B).await;
    assert_eq!(b.delivery().await, (1, 1));
}

// The HTTP request.

async fn http(relay: &TestRelay, request: &str) -> String {
    let mut stream = TcpStream::connect(relay.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    patiently(stream.read_to_end(&mut response)).await.unwrap();
    String::from_utf8(response).unwrap()
}

const UPGRADE: &str = "Host: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_request_for_anything_else_is_answered_with_a_line_that_helps() {
    let relay = TestRelay::start().await;
    for (request, status, line) in [
        (format!("GET / HTTP/1.1\r\n{UPGRADE}\r\n"), "404", "at /v1"),
        (format!("GET /v2 HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Protocol: tacit.v1\r\n\r\n"), "404", "at /v1"),
        (format!("GET /v1 HTTP/1.1\r\n{UPGRADE}\r\n"), "400", "tacit.v1"),
        (format!("GET /v1 HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Protocol: tacit.v2, other\r\n\r\n"), "400", "tacit.v1"),
        ("GET /v1 HTTP/1.1\r\nHost: r\r\n\r\n".to_owned(), "400", "WebSocket"),
        (format!("POST /v1 HTTP/1.1\r\n{UPGRADE}\r\n"), "405", "GET"),
        ("\x16\x03\x01\x02\x00\r\n\r\n".to_owned(), "400", "WebSocket"),
        (format!("GET /v1 HTTP/1.1\r\nX: {}", "x".repeat(8_192)), "431", "too long"),
    ] {
        let response = http(&relay, &request).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.40} got {response}");
        assert!(response.ends_with('\n') && response.contains(line), "{request:.40} got {response}");
    }
}

#[tokio::test]
async fn a_browser_gets_its_page_and_head_gets_the_header_alone() {
    let relay = TestRelay::start().await;
    for path in ["/", "/i"] {
        let page = http(&relay, &format!("GET {path} HTTP/1.1\r\nHost: r\r\nAccept: text/html\r\n\r\n")).await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("</html>\n"), "{page}");
        let head = http(&relay, &format!("HEAD {path} HTTP/1.1\r\nHost: r\r\n\r\n")).await;
        assert_eq!(head, page.split_inclusive("\r\n\r\n").next().unwrap());
    }
    assert_eq!(relay.counters.get(Counter::Connections), 0, "a page is no connection of a device");
}

#[tokio::test]
async fn what_a_refused_request_still_sends_does_not_destroy_the_answer() {
    let relay = TestRelay::start().await;
    let body = "x".repeat(60_000);
    let request = format!("POST / HTTP/1.1\r\nHost: r\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let response = http(&relay, &request).await;
    assert!(response.starts_with("HTTP/1.1 405 ") && response.contains("Allow: GET, HEAD\r\n"), "{response}");
    assert!(response.ends_with("Use GET.\n"), "{response}");
}

#[tokio::test]
async fn the_subprotocol_may_be_one_of_several() {
    let relay = TestRelay::start().await;
    let mut stream = TcpStream::connect(relay.addr).await.unwrap();
    let request = format!("GET /v1 HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Protocol: tacit.v9, tacit.v1\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = [0; 12];
    patiently(stream.read_exact(&mut response)).await.unwrap();
    assert_eq!(&response, b"HTTP/1.1 101");
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let relay = TestRelay::start_with(|config| config.handshake_timeout = Duration::from_millis(100)).await;
    assert_eq!(http(&relay, "GET /v1 HT").await, "");
}

#[tokio::test]
async fn a_request_in_flight_when_the_connection_ends_does_no_harm() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    for _ in 0..50 {
        let (mut a, a_handle) = pair.attach(&relay, End::A).await;
        a.send(a_handle, 1, sealed(1)).await;
        a.request(Request::Ping).await;
        drop(a);
    }
    let (mut a, handle) = pair.attach(&relay, End::A).await;
    assert_eq!(a.pong().await, [handle]);
}
