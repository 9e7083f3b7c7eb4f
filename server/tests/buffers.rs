//! That nobody makes a relay's memory grow: the resident memory of the real process, held against what is promised of one
//! connection (`MOST_BUFFERED` in `connection.rs`).

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use support::{Client, Pair, enrol, patiently, sealed_of};
use tacit_proto::frame::{Answer, Request};
use tacit_proto::limits::MAX_FRAME;
use tacit_proto::{End, EnrolCode, SizeClass};
use tacit_server::{Enrolments, Offer};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

const MOST_BUFFERED: u64 = 256 * 1024;

/// Boxes that a backlog reads ahead of a device, at most.
const READ_AHEAD: u64 = 16 * 16_384;

struct Process {
    child: Child,
    /// Open, so that it can say what it has to.
    _out: BufReader<ChildStdout>,
    addr: SocketAddr,
    data: TempDir,
}

impl Process {
    fn start() -> Self {
        Self::start_on(tempfile::tempdir().unwrap())
    }

    fn start_on(data: TempDir) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tacit-server"))
            .env("TACIT_CONFIG", "/dev/null")
            .arg("--data")
            .arg(data.path())
            .args(["--listen", "127.0.0.1:0", "--window-bytes", "4294967295", "--window-boxes", "1000"])
            .args(["--bytes-per-second", "4294967295", "--frames-per-second", "1000000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("ready ws://").unwrap().parse().unwrap();
        Self { child, _out: out, addr, data }
    }

    /// A new process on the same data: what the old one has freed and kept must not hide what is taken anew.
    fn again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Self::start_on(std::mem::replace(&mut self.data, tempfile::tempdir().unwrap()))
    }

    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    async fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.addr).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn halves_of_messages_take_no_more_than_is_promised() {
    let relay = Process::start();
    let mut one = relay.connect().await;
    one.pong().await;
    let (before, count) = (relay.resident(), 200);
    let mut halves = Vec::new();
    for _ in 0..count {
        let mut stream = relay.connect().await.socket.into_inner();
        // A masked binary message of the longest kind, and all of it but a byte.
        let [high, low] = u16::try_from(MAX_FRAME).unwrap().to_be_bytes();
        stream.write_all(&[0x82, 0xfe, high, low, 0, 0, 0, 0]).await.unwrap();
        stream.write_all(&vec![0; MAX_FRAME - 1]).await.unwrap();
        halves.push(stream);
    }
    one.pong().await;
    let each = relay.resident().saturating_sub(before) / count;
    assert!(each <= MOST_BUFFERED, "{each} bytes a connection");
}

#[tokio::test]
async fn devices_that_do_not_read_take_no_more_than_is_promised() {
    let relay = Process::start();
    // More than the system holds for a connection.
    let (count, boxes) = (3, 300);
    let code = EnrolCode::draw(&mut support::rng());
    let offer = Offer { permits: count.try_into().unwrap(), expires: u64::MAX };
    Enrolments::open(relay.data.path()).unwrap().add(&code.hash(), offer).unwrap();
    let mut opener = relay.connect().await;
    let permits = enrol(&mut opener, &code, count).await;
    let mut pairs = Vec::new();
    for permit in &permits {
        pairs.push(Pair::open(&mut opener, permit).await.claimed(&mut relay.connect().await).await);
    }
    for pair in &pairs {
        let mut sender = relay.connect().await;
        let handle = sender.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
        let mut asked = VecDeque::new();
        for n in 1..=boxes {
            asked.push_back(sender.send(handle, n, sealed_of(SizeClass::Large, n as u32)).await);
            if asked.len() == 32 || n == boxes {
                for request in asked.drain(..) {
                    assert!(matches!(sender.answer(request).await, Answer::Accepted { .. }));
                }
            }
        }
    }
    let relay = relay.again();
    let mut other = relay.connect().await;
    other.pong().await;
    let before = relay.resident();
    let mut stuck = Vec::new();
    for pair in &pairs {
        let socket = TcpSocket::new_v4().unwrap();
        // What the two systems hold for them is not the relay's: let it be little, so that the relay has to hold more.
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut client = Client::on(patiently(socket.connect(relay.addr)).await.unwrap()).await;
        let attach = client.attach_item(pair.of(End::B), &pair.b);
        client.request(Request::Attach { items: vec![attach], window: support::WINDOW }).await;
        stuck.push(client);
    }
    for _ in 0..100 {
        other.pong().await;
    }
    let each = relay.resident().saturating_sub(before) / u64::from(count);
    assert!(each <= MOST_BUFFERED + READ_AHEAD, "{each} bytes a connection");
}
