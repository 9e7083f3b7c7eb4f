//! NATS JetStream: streams with a file store, which keep a message until it is acked, and a durable consumer for each
//! receiver. One stream for all, or one for each receiver: neither is better at everything.

use std::fmt::Write;

use bytes::{Buf, Bytes};
use serde_json::{Value, json};

use crate::contest::Server;
use crate::line::{Heard, Line, Wire, payload_len, write_payload};

#[derive(Clone, Copy)]
pub enum Streams {
    One,
    Each,
}

pub struct JetStream {
    port: u16,
    streams: Streams,
}

impl JetStream {
    pub async fn new(port: u16, streams: Streams, pairs: usize) -> Self {
        let server = Self { port, streams };
        let mut line = Client::connect(port, "setup", String::new()).await;
        for pair in 0..pairs {
            let (stream, subjects) = match streams {
                Streams::One => ("ALL".to_owned(), "all.*".to_owned()),
                Streams::Each => (format!("EACH{pair}"), server.subject(pair)),
            };
            if pair == 0 || matches!(streams, Streams::Each) {
                let stream_config =
                    json!({ "name": stream, "subjects": [subjects], "retention": "workqueue", "storage": "file" });
                line.ask(&format!("STREAM.CREATE.{stream}"), &stream_config).await;
            }
            let consumer = json!({ "stream_name": stream, "config": {
                "durable_name": format!("receiver{pair}"), "deliver_subject": server.deliver(pair),
                "filter_subject": server.subject(pair), "ack_policy": "explicit",
            }});
            line.ask(&format!("CONSUMER.DURABLE.CREATE.{stream}.receiver{pair}"), &consumer).await;
        }
        line.leave().await;
        server
    }

    fn subject(&self, pair: usize) -> String {
        match self.streams {
            Streams::One => format!("all.{pair}"),
            Streams::Each => format!("each.{pair}"),
        }
    }

    fn deliver(&self, pair: usize) -> String {
        format!("deliver.{}", self.subject(pair))
    }
}

impl Server for JetStream {
    type Line = Client;

    async fn sender(&self, pair: usize) -> Client {
        Client::connect(self.port, &format!("acks.{}", self.subject(pair)), self.subject(pair)).await
    }

    async fn receiver(&self, pair: usize) -> Client {
        Client::connect(self.port, &self.deliver(pair), self.subject(pair)).await
    }
}

pub struct Client {
    wire: Wire,
    /// The subject that this connection listens to.
    inbox: String,
    /// Where it sends to.
    subject: String,
    /// Where to ack what came.
    got: Vec<String>,
}

/// A line, and what belongs to it.
enum Said {
    Message { reply: Option<String>, body: Bytes },
    Pong,
    Other,
}

impl Client {
    async fn connect(port: u16, inbox: &str, subject: String) -> Self {
        let mut client = Self { wire: Wire::tcp(port).await, inbox: inbox.to_owned(), subject, got: Vec::new() };
        let hello = json!({ "verbose": false, "pedantic": false, "lang": "rust", "version": "0", "protocol": 1 });
        write!(client.wire.output, "CONNECT {hello}\r\n").unwrap();
        client.in_step().await;
        // What waits comes from here on.
        write!(client.wire.output, "SUB {inbox} 1\r\n").unwrap();
        client.wire.flush().await;
        client
    }

    /// Returns when the server has taken all that was said before.
    async fn in_step(&mut self) {
        self.wire.output.extend_from_slice(b"PING\r\n");
        self.wire.flush().await;
        while !matches!(self.next().await, Said::Pong) {}
    }

    async fn ask(&mut self, what: &str, body: &Value) {
        let body = body.to_string();
        write!(self.wire.output, "PUB $JS.API.{what} {} {}\r\n{body}\r\n", self.inbox, body.len()).unwrap();
        self.wire.flush().await;
        loop {
            if let Said::Message { body, .. } = self.next().await {
                let answer: Value = serde_json::from_slice(&body).unwrap();
                assert!(answer["error"].is_null(), "{what}: {answer}");
                return;
            }
        }
    }

    async fn next(&mut self) -> Said {
        loop {
            match self.here() {
                Some(said) => return said,
                None => self.wire.more().await,
            }
        }
    }

    /// The next line that is here whole, with its message.
    fn here(&mut self) -> Option<Said> {
        let input = &mut self.wire.input;
        let end = input.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&input[..end]).unwrap();
        let mut words = line.split_ascii_whitespace();
        let said = match words.next().unwrap() {
            "MSG" => {
                let words: Vec<&str> = words.collect();
                let len: usize = words[words.len() - 1].parse().unwrap();
                if input.len() < end + 2 + len + 2 {
                    return None;
                }
                let reply = (words.len() == 4).then(|| words[2].to_owned());
                input.advance(end + 2);
                let body = input.split_to(len).freeze();
                input.advance(2);
                return Some(Said::Message { reply, body });
            }
            "PING" => {
                self.wire.output.extend_from_slice(b"PONG\r\n");
                Said::Other
            }
            "PONG" => Said::Pong,
            "INFO" | "+OK" => Said::Other,
            _ => panic!("{line}"),
        };
        input.advance(end + 2);
        Some(said)
    }
}

impl Line for Client {
    fn put(&mut self, number: u64) {
        write!(self.wire.output, "PUB {} {} {}\r\n", self.subject, self.inbox, payload_len()).unwrap();
        write_payload(&mut self.wire.output, number);
        self.wire.output.extend_from_slice(b"\r\n");
    }

    fn put_ack(&mut self) {
        for reply in self.got.drain(..) {
            write!(self.wire.output, "PUB {reply} 0\r\n\r\n").unwrap();
        }
    }

    async fn flush(&mut self) {
        self.wire.flush().await;
    }

    async fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        loop {
            while let Some(said) = self.here() {
                let Said::Message { reply, body } = said else { continue };
                match reply {
                    Some(reply) => {
                        self.got.push(reply);
                        heard.messages.push(body);
                    }
                    None => {
                        assert!(body.starts_with(br#"{"stream":"#), "{body:?}");
                        heard.accepted += 1;
                    }
                }
            }
            if !heard.is_empty() {
                return heard;
            }
            self.wire.more().await;
        }
    }

    async fn leave(mut self) {
        self.in_step().await;
        self.wire.end().await;
    }
}
