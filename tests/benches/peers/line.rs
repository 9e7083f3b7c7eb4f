//! Senders and receivers, the same for every server: what differs is how a connection says what it has to say.
//!
//! No client library: what one costs would be taken from the processors that its server runs on. Every connection here
//! reads what is there, answers it, and writes once.

use std::future::Future;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tacit_proto::{HEADER_LEN, SizeClass};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::support::device::websocket;

/// Messages that a sender has under way.
pub const WINDOW: u64 = 16;

/// What came.
#[derive(Default)]
pub struct Heard {
    /// So many messages of ours were acked.
    pub accepted: u64,
    pub messages: Vec<Bytes>,
}

impl Heard {
    pub fn is_empty(&self) -> bool {
        self.accepted == 0 && self.messages.is_empty()
    }
}

/// A connection.
pub trait Line: Send + 'static {
    /// Adds a message to what `flush` writes.
    fn put(&mut self, number: u64);
    /// Adds what acks every message heard so far.
    fn put_ack(&mut self);
    fn flush(&mut self) -> impl Future<Output = ()> + Send;
    /// Waits for an ack or a message, and takes along what else is there.
    fn hear(&mut self) -> impl Future<Output = Heard> + Send;
    /// Leaves in good order, so that what was acked is acked.
    fn leave(self) -> impl Future<Output = ()> + Send;
}

/// Sends messages with these numbers, and returns when all of them are acked.
pub async fn send<L: Line>(line: &mut L, numbers: Range<u64>) {
    let (mut next, mut acked) = (numbers.start, numbers.start);
    while acked < numbers.end {
        while next < numbers.end && next - acked < WINDOW {
            line.put(next);
            next += 1;
        }
        line.flush().await;
        acked += line.hear().await.accepted;
        assert!(acked <= next, "more is acked than was sent");
    }
}

/// Takes messages until all with these numbers are here, each of them once, whole and in order.
pub async fn take<L: Line>(line: &mut L, numbers: Range<u64>) {
    let mut next = numbers.start;
    while next < numbers.end {
        for message in line.hear().await.messages {
            let number = u64::from_be_bytes(message[HEADER_LEN..][..8].try_into().unwrap());
            assert!(message == payload(next), "message {number} came, and not {next}, or not whole");
            next += 1;
        }
        line.put_ack();
        line.flush().await;
    }
    assert_eq!(next, numbers.end);
}

/// A small box with a number in it.
pub fn payload(number: u64) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(BOX.len());
    write_payload(&mut bytes, number);
    bytes
}

/// The same, at the end of something.
pub fn write_payload(to: &mut BytesMut, number: u64) {
    let start = to.len();
    to.extend_from_slice(&BOX);
    to[start + HEADER_LEN..][..8].copy_from_slice(&number.to_be_bytes());
}

static BOX: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let class = SizeClass::Small;
    let mut bytes = vec![7; class.box_len()];
    bytes[..HEADER_LEN].copy_from_slice(&class.header());
    bytes
});

pub fn payload_len() -> usize {
    BOX.len()
}

enum Way {
    Tcp(TcpStream),
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

/// A stream of bytes: what came and was not understood yet, and what is to be written.
pub struct Wire {
    way: Way,
    pub input: BytesMut,
    pub output: BytesMut,
}

impl Wire {
    pub async fn tcp(port: u16) -> Self {
        Self::new(Way::Tcp(connect(port).await))
    }

    /// Over a WebSocket with a subprotocol. What is written at once is one message.
    pub async fn websocket(port: u16, path: &str, subprotocol: &'static str) -> Self {
        let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(subprotocol));
        let (socket, _) = client_async_with_config(request, connect(port).await, Some(websocket())).await.unwrap();
        Self::new(Way::WebSocket(Box::new(socket)))
    }

    fn new(way: Way) -> Self {
        Self { way, input: BytesMut::new(), output: BytesMut::new() }
    }

    /// Waits until more has come.
    pub async fn more(&mut self) {
        match &mut self.way {
            Way::Tcp(stream) => {
                self.input.reserve(64 * 1024);
                assert!(stream.read_buf(&mut self.input).await.unwrap() > 0, "the server left");
            }
            Way::WebSocket(socket) => {
                let mut next = Some(socket.next().await);
                while let Some(message) = next {
                    self.input.extend_from_slice(&message.expect("the server left").unwrap().into_data());
                    next = if self.input.len() < 64 * 1024 { socket.next().now_or_never() } else { None };
                }
            }
        }
    }

    pub async fn flush(&mut self) {
        if self.output.is_empty() {
            return;
        }
        match &mut self.way {
            Way::Tcp(stream) => {
                stream.write_all(&self.output).await.unwrap();
                self.output.clear();
            }
            Way::WebSocket(socket) => socket.send(Message::Binary(self.output.split().freeze())).await.unwrap(),
        }
    }

    /// Says that nothing more comes, and waits until the other side has read it all.
    pub async fn end(mut self) {
        self.flush().await;
        match &mut self.way {
            Way::Tcp(stream) => {
                // One that is gone already has read it all.
                drop(stream.shutdown().await);
                while stream.read_buf(&mut self.input).await.is_ok_and(|read| read > 0) {
                    self.input.clear();
                }
            }
            Way::WebSocket(socket) => {
                drop(socket.close(None).await);
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
    }
}

async fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
