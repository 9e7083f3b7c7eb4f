//! RabbitMQ: AMQP 0-9-1, durable queues, persistent messages, publisher confirms.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::contest::Server;
use crate::line::{Heard, Line, Wire, payload_len, write_payload};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xce;
const FRAME_MAX: u32 = 128 * 1024;

/// Messages on their way to a receiver: RabbitMQ's guide finds most between 100 and 300.
const PREFETCH: u16 = 200;

/// Class and method.
type Method = (u16, u16);

const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CLOSE: Method = (10, 50);
const CLOSE_OK: Method = (10, 51);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const QUEUE_DECLARE: Method = (50, 10);
const QUEUE_DECLARE_OK: Method = (50, 11);
const QOS: Method = (60, 10);
const QOS_OK: Method = (60, 11);
const CONSUME: Method = (60, 20);
const CONSUME_OK: Method = (60, 21);
const PUBLISH: Method = (60, 40);
const DELIVER: Method = (60, 60);
const ACK: Method = (60, 80);
const CONFIRM: Method = (85, 10);
const CONFIRM_OK: Method = (85, 11);

#[derive(Clone, Copy)]
pub enum Queues {
    Quorum,
    Classic,
}

pub struct RabbitMq {
    port: u16,
    queues: Queues,
}

impl RabbitMq {
    pub async fn new(port: u16, queues: Queues, pairs: usize) -> Self {
        let server = Self { port, queues };
        let mut line = server.line(0).await;
        for pair in 0..pairs {
            let queue = server.queue(pair);
            let queue_type: &[u8] = match queues {
                Queues::Quorum => b"quorum",
                Queues::Classic => b"classic",
            };
            line.ask(1, QUEUE_DECLARE, QUEUE_DECLARE_OK, |out| {
                out.put_u16(0);
                put_short(out, &queue);
                out.put_u8(0b10); // durable
                out.put_u32(1 + 12 + 1 + 4 + queue_type.len() as u32);
                put_short(out, "x-queue-type");
                out.put_u8(b'S');
                put_long(out, queue_type);
            })
            .await;
        }
        line.leave().await;
        server
    }

    fn queue(&self, pair: usize) -> String {
        match self.queues {
            Queues::Quorum => format!("quorum-{pair}"),
            Queues::Classic => format!("classic-{pair}"),
        }
    }

    async fn line(&self, pair: usize) -> Client {
        let wire = Wire::tcp(self.port).await;
        let unacked = BTreeSet::new();
        let mut line = Client { wire, queue: self.queue(pair), published: 0, unacked, delivered: 0, coming: false };
        line.wire.output.put_slice(b"AMQP\0\0\x09\x01");
        line.wire.flush().await;
        line.answer(START).await;
        line.ask(0, START_OK, TUNE, |out| {
            out.put_u32(0);
            put_short(out, "PLAIN");
            put_long(out, b"\0guest\0guest");
            put_short(out, "en_US");
        })
        .await;
        put_method(&mut line.wire.output, 0, TUNE_OK, |out| {
            out.put_u16(1);
            out.put_u32(FRAME_MAX);
            out.put_u16(0);
        });
        line.ask(0, OPEN, OPEN_OK, |out| out.put_slice(b"\x01/\0\0")).await;
        line.ask(1, CHANNEL_OPEN, CHANNEL_OPEN_OK, |out| out.put_u8(0)).await;
        line
    }
}

impl Server for RabbitMq {
    type Line = Client;

    async fn sender(&self, pair: usize) -> Client {
        let mut line = self.line(pair).await;
        line.ask(1, CONFIRM, CONFIRM_OK, |out| out.put_u8(0)).await;
        line
    }

    async fn receiver(&self, pair: usize) -> Client {
        let mut line = self.line(pair).await;
        line.ask(1, QOS, QOS_OK, |out| {
            out.put_u32(0);
            out.put_u16(PREFETCH);
            out.put_u8(0);
        })
        .await;
        let queue = line.queue.clone();
        line.ask(1, CONSUME, CONSUME_OK, |out| {
            out.put_u16(0);
            put_short(out, &queue);
            put_short(out, "");
            out.put_u8(0);
            out.put_u32(0);
        })
        .await;
        line
    }
}

pub struct Client {
    wire: Wire,
    queue: String,
    published: u64,
    /// Messages that were published and not confirmed.
    unacked: BTreeSet<u64>,
    delivered: u64,
    /// A delivery was announced; its body comes.
    coming: bool,
}

impl Client {
    /// The next frame that is here whole: its kind and what is in it.
    fn here(&mut self) -> Option<(u8, Bytes)> {
        let input = &mut self.wire.input;
        let len = u32::from_be_bytes(input.get(3..7)?.try_into().unwrap()) as usize;
        if input.len() < 7 + len + 1 {
            return None;
        }
        let kind = input[0];
        input.advance(7);
        let frame = input.split_to(len).freeze();
        assert_eq!(input.get_u8(), FRAME_END);
        Some((kind, frame))
    }

    /// Says something, and waits for its answer.
    async fn ask(&mut self, channel: u16, method: Method, answer: Method, arguments: impl FnOnce(&mut BytesMut)) {
        put_method(&mut self.wire.output, channel, method, arguments);
        self.wire.flush().await;
        self.answer(answer).await;
    }

    async fn answer(&mut self, method: Method) {
        loop {
            match self.here() {
                Some((METHOD, mut frame)) => {
                    let got = (frame.get_u16(), frame.get_u16());
                    if got == method {
                        return;
                    }
                    assert!(method == CLOSE_OK, "{got:?} and not {method:?}: {:?}", String::from_utf8_lossy(&frame));
                }
                Some(_) => assert_eq!(method, CLOSE_OK, "a message, and not {method:?}"),
                None => self.wire.more().await,
            }
        }
    }
}

impl Line for Client {
    fn put(&mut self, number: u64) {
        self.published += 1;
        self.unacked.insert(self.published);
        let out = &mut self.wire.output;
        put_method(out, 1, PUBLISH, |out| {
            out.put_u16(0);
            put_short(out, "");
            put_short(out, &self.queue);
            out.put_u8(0);
        });
        put_frame(out, HEADER, 1, |out| {
            out.put_u16(PUBLISH.0);
            out.put_u16(0);
            out.put_u64(payload_len() as u64);
            // One property, the delivery mode: persistent.
            out.put_u16(1 << 12);
            out.put_u8(2);
        });
        put_frame(out, BODY, 1, |out| write_payload(out, number));
    }

    fn put_ack(&mut self) {
        put_method(&mut self.wire.output, 1, ACK, |out| {
            out.put_u64(self.delivered);
            out.put_u8(1); // and all before
        });
    }

    async fn flush(&mut self) {
        self.wire.flush().await;
    }

    async fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        loop {
            while let Some((kind, mut frame)) = self.here() {
                match kind {
                    METHOD => match (frame.get_u16(), frame.get_u16()) {
                        ACK => {
                            let tag = frame.get_u64();
                            let before = self.unacked.len();
                            if frame.get_u8() & 1 == 1 {
                                self.unacked = self.unacked.split_off(&(tag + 1));
                            } else {
                                self.unacked.remove(&tag);
                            }
                            heard.accepted += (before - self.unacked.len()) as u64;
                        }
                        DELIVER => {
                            let tag = usize::from(frame.get_u8());
                            frame.advance(tag);
                            self.delivered = frame.get_u64();
                            self.coming = true;
                        }
                        other => panic!("{other:?}: {:?}", String::from_utf8_lossy(&frame)),
                    },
                    BODY => {
                        assert!(std::mem::take(&mut self.coming), "a body without a delivery");
                        heard.messages.push(frame);
                    }
                    // Of a delivery, or a heartbeat.
                    _ => {}
                }
            }
            // A delivery that is acked before its body came is lost.
            if !heard.is_empty() && !self.coming {
                return heard;
            }
            self.wire.more().await;
        }
    }

    async fn leave(mut self) {
        self.ask(0, CLOSE, CLOSE_OK, |out| {
            out.put_u16(200);
            put_short(out, "");
            out.put_u32(0);
        })
        .await;
        self.wire.end().await;
    }
}

fn put_frame(out: &mut BytesMut, kind: u8, channel: u16, content: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    out.put_u16(channel);
    let len_at = out.len();
    out.put_u32(0);
    content(out);
    let len = (out.len() - len_at - 4) as u32;
    out[len_at..len_at + 4].copy_from_slice(&len.to_be_bytes());
    out.put_u8(FRAME_END);
}

fn put_method(out: &mut BytesMut, channel: u16, (class, method): Method, arguments: impl FnOnce(&mut BytesMut)) {
    put_frame(out, METHOD, channel, |out| {
        out.put_u16(class);
        out.put_u16(method);
        arguments(out);
    });
}

fn put_short(out: &mut BytesMut, text: &str) {
    out.put_u8(text.len() as u8);
    out.put_slice(text.as_bytes());
}

fn put_long(out: &mut BytesMut, text: &[u8]) {
    out.put_u32(text.len() as u32);
    out.put_slice(text);
}
