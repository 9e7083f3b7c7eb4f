//! mosquitto: MQTT 3.1.1, QoS 1, persistent sessions, over a WebSocket or over TCP.

use bytes::{Buf, BufMut, BytesMut};

use crate::contest::Server;
use crate::line::{Heard, Line, Wire, payload_len, write_payload};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_QOS_1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const DISCONNECT: u8 = 0xe0;

#[derive(Clone, Copy)]
pub enum Over {
    Tcp,
    WebSocket,
}

pub struct Mosquitto {
    port: u16,
    over: Over,
}

impl Mosquitto {
    /// Every receiver has been here once, and left its subscription.
    pub async fn new(port: u16, over: Over, pairs: usize) -> Self {
        let server = Self { port, over };
        for pair in 0..pairs {
            let mut line = server.receiver(pair).await;
            line.wire.output.put_u8(SUBSCRIBE);
            let topic = line.topic.clone();
            put_len(&mut line.wire.output, 2 + 2 + topic.len() + 1);
            line.wire.output.put_u16(1);
            put_text(&mut line.wire.output, &topic);
            line.wire.output.put_u8(1);
            line.wire.flush().await;
            let (kind, granted) = line.packet().await;
            assert_eq!((kind, &granted[2..]), (SUBACK, &[1][..]), "no subscription");
            line.leave().await;
        }
        server
    }

    async fn line(&self, client: String, pair: usize) -> Client {
        let wire = match self.over {
            Over::Tcp => Wire::tcp(self.port).await,
            Over::WebSocket => Wire::websocket(self.port, "/mqtt", "mqtt").await,
        };
        let mut client_line = Client { wire, topic: self.name("box", pair), id: 0, got: Vec::new() };
        let out = &mut client_line.wire.output;
        out.put_u8(CONNECT);
        put_len(out, 10 + 2 + client.len());
        put_text(out, "MQTT");
        // Version 3.1.1; the session stays; no keep-alive.
        out.put_slice(&[4, 0, 0, 0]);
        put_text(out, &client);
        client_line.wire.flush().await;
        let (kind, answer) = client_line.packet().await;
        assert_eq!((kind, answer[1]), (CONNACK, 0), "not let in");
        client_line
    }

    /// One process serves both ways: names of one are not those of the other.
    fn name(&self, what: &str, pair: usize) -> String {
        let over = match self.over {
            Over::Tcp => "tcp",
            Over::WebSocket => "ws",
        };
        format!("{what}-{over}-{pair}")
    }
}

impl Server for Mosquitto {
    type Line = Client;

    async fn sender(&self, pair: usize) -> Client {
        self.line(self.name("sender", pair), pair).await
    }

    async fn receiver(&self, pair: usize) -> Client {
        self.line(self.name("receiver", pair), pair).await
    }
}

pub struct Client {
    wire: Wire,
    topic: String,
    id: u16,
    /// Messages to ack.
    got: Vec<u16>,
}

impl Client {
    /// The next packet that is here whole.
    fn here(&mut self) -> Option<(u8, BytesMut)> {
        let input = &mut self.wire.input;
        let (mut len, mut header) = (0, 1);
        loop {
            let byte = *input.get(header)?;
            len |= usize::from(byte & 0x7f) << (7 * (header - 1));
            header += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if input.len() < header + len {
            return None;
        }
        let kind = input[0];
        input.advance(header);
        Some((kind, input.split_to(len)))
    }

    async fn packet(&mut self) -> (u8, BytesMut) {
        loop {
            match self.here() {
                Some(packet) => return packet,
                None => self.wire.more().await,
            }
        }
    }
}

impl Line for Client {
    fn put(&mut self, number: u64) {
        self.id = self.id.checked_add(1).unwrap_or(1);
        let out = &mut self.wire.output;
        out.put_u8(PUBLISH_QOS_1);
        put_len(out, 2 + self.topic.len() + 2 + payload_len());
        put_text(out, &self.topic);
        out.put_u16(self.id);
        write_payload(out, number);
    }

    fn put_ack(&mut self) {
        for id in self.got.drain(..) {
            self.wire.output.put_slice(&[PUBACK, 2]);
            self.wire.output.put_u16(id);
        }
    }

    async fn flush(&mut self) {
        self.wire.flush().await;
    }

    async fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        loop {
            while let Some((kind, mut packet)) = self.here() {
                match kind {
                    PUBACK => heard.accepted += 1,
                    PUBLISH_QOS_1 => {
                        let topic = packet.get_u16();
                        packet.advance(topic.into());
                        self.got.push(packet.get_u16());
                        heard.messages.push(packet.freeze());
                    }
                    _ => panic!("packet {kind:#x}"),
                }
            }
            if !heard.is_empty() {
                return heard;
            }
            self.wire.more().await;
        }
    }

    async fn leave(mut self) {
        self.wire.output.put_slice(&[DISCONNECT, 0]);
        self.wire.end().await;
    }
}

fn put_len(out: &mut BytesMut, mut len: usize) {
    while len >= 0x80 {
        out.put_u8(len as u8 | 0x80);
        len >>= 7;
    }
    out.put_u8(len as u8);
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}
