//! Tacit's relay: the real binary, with its limits against floods raised.

use std::future::Future;
use std::num::NonZeroU32;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tacit_proto::End;
use tacit_proto::frame::{Answer, Event, FromRelay, Handle, Request, ToRelay};
use tacit_tests::Relay;
use tokio_tungstenite::tungstenite::Message;

use crate::contest::Server;
use crate::line::{Heard, Line, payload};
use crate::support::device::{PLACES, Pair, Socket, Way, no_limits, source_of};

/// Frames that are taken before what they led to is written, as in the relay.
const BURST: usize = 32;

pub struct Tacit {
    way: Way,
    pairs: Vec<Pair>,
}

impl Tacit {
    pub async fn new(relay: &Relay, pairs: usize) -> Self {
        let way = Way::to(relay);
        let mut all = way.channels(relay, pairs).await;
        for (number, pair) in all.iter_mut().enumerate() {
            way.connect(source_of(number)).await.claim(pair).await;
        }
        Self { way, pairs: all }
    }

    /// A relay for it.
    pub fn relay() -> Relay {
        Relay::start_with(&no_limits(PLACES))
    }

    async fn line(&self, pair: usize, end: End) -> AtRelay {
        let (device, handle) = self.way.attach(&self.pairs[pair], end, pair).await;
        AtRelay { socket: device.into_socket(), handle, sent: 0, seq: 0, out: Vec::new() }
    }
}

impl Server for Tacit {
    type Line = AtRelay;

    fn sender(&self, pair: usize) -> impl Future<Output = AtRelay> + Send {
        self.line(pair, End::A)
    }

    fn receiver(&self, pair: usize) -> impl Future<Output = AtRelay> + Send {
        self.line(pair, End::B)
    }
}

pub struct AtRelay {
    socket: Socket,
    handle: Handle,
    sent: u32,
    seq: u64,
    out: Vec<Bytes>,
}

impl Line for AtRelay {
    fn put(&mut self, number: u64) {
        self.sent += 1;
        let id = NonZeroU32::new(1_000_000 + self.sent).unwrap();
        let request = Request::Send { handle: self.handle, n: self.sent.into(), payload: payload(number).freeze() };
        self.out.push(ToRelay::Request(id, request).encode());
    }

    fn put_ack(&mut self) {
        self.out.push(ToRelay::Ack { handle: self.handle, up_to: self.seq }.encode());
    }

    async fn flush(&mut self) {
        for frame in self.out.drain(..) {
            self.socket.feed(Message::Binary(frame)).await.unwrap();
        }
        self.socket.flush().await.unwrap();
    }

    async fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        let mut frames = 0;
        while heard.is_empty() {
            let mut next = Some(self.socket.next().await);
            while let Some(message) = next {
                let frame = message.expect("the relay left").unwrap().into_data();
                match FromRelay::decode(frame).unwrap() {
                    FromRelay::Answer(_, Answer::Accepted { .. }) => heard.accepted += 1,
                    FromRelay::Answer(_, other) => panic!("{other:?}"),
                    FromRelay::Event(Event::Deliver { seq, payload, .. }) => {
                        self.seq = seq;
                        heard.messages.push(payload);
                    }
                    FromRelay::Event(_) => {}
                }
                frames += 1;
                next = if frames < BURST { self.socket.next().now_or_never() } else { None };
            }
        }
        heard
    }

    async fn leave(mut self) {
        drop(self.socket.close(None).await);
        while let Some(Ok(_)) = self.socket.next().await {}
    }
}
