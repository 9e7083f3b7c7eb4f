//! What forwarding costs: messages a second, the time from a message until its answer, and the processor time that the
//! relay's process takes for it, beside a bare forwarder in the same process layout that passes frames of the same number
//! and length on, in turns, in the same run.
//!
//! `cargo bench -p tacit-tests --bench relay [-- --only small_64_1] [-- --quick] [-- --json FILE]`
//!
//! A part is named by size class, connections and window: how many messages a sender has under way. Half of the
//! connections send to the other half. A message is four frames: it goes to the relay and on to its recipient, whose ack
//! comes back for all that came at once; the relay answers each message by itself. The forwarder does as much: an ack says
//! how many messages it is for, and becomes that many answers. What it does not do is look at anything else.

mod support;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use support::device::{Device, PLACES, Socket, Way, no_limits, source_of};
use support::{Arguments, Figures, median, process_time, quantile};
use tacit_proto::frame::{Answer, Event, FromRelay, Handle, Request, ToRelay};
use tacit_proto::{End, HEADER_LEN, SizeClass};
use tacit_tests::Relay;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config, client_async_with_config};

/// Frames that are taken before what they led to is written, as in the relay.
const BURST: usize = 32;

/// Starts the forwarder's process.
const FORWARDER: &str = "--be-a-forwarder";

fn main() {
    if std::env::args().any(|argument| argument == FORWARDER) {
        return tokio::runtime::Runtime::new().unwrap().block_on(forward());
    }
    tokio::runtime::Runtime::new().unwrap().block_on(bench());
}

async fn bench() {
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    let (rounds, lasts) = if arguments.has("--quick") { (3, 300) } else { (11, 1_000) };
    for (class, size) in [(SizeClass::Small, "small"), (SizeClass::Large, "large")] {
        for connections in [64, 1_000] {
            for window in [1, 16] {
                let name = format!("relay_{size}_{connections}_{window}");
                if arguments.wants(&name) {
                    let work = Work { class, pairs: connections / 2, window };
                    measure(&mut figures, &name, work, rounds, Duration::from_millis(lasts)).await;
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Work {
    class: SizeClass,
    pairs: usize,
    window: usize,
}

/// What one side did in one round.
struct Round {
    rate: f64,
    cost: f64,
    times: Vec<f64>,
}

async fn measure(figures: &mut Figures, name: &str, work: Work, rounds: usize, lasts: Duration) {
    let relay = Relay::start_with(&no_limits(PLACES));
    let ours = Crowd::at_relay(&relay, work).await;
    let forwarder = Forwarder::start();
    let bare = Crowd::at_forwarder(&forwarder, work).await;
    let (mut our_rounds, mut bare_rounds) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        // In turns; the first warms up.
        let (one, other) = if round % 2 == 0 {
            let bare = bare.round(forwarder.child.id(), lasts).await;
            (ours.round(relay.pid(), lasts).await, bare)
        } else {
            (ours.round(relay.pid(), lasts).await, bare.round(forwarder.child.id(), lasts).await)
        };
        if round > 0 {
            our_rounds.push(one);
            bare_rounds.push(other);
        }
    }
    let mut compare = |what: &str, unit: &str, of: &dyn Fn(&mut Round) -> f64| {
        let mut ours: Vec<f64> = our_rounds.iter_mut().map(of).collect();
        let mut bare: Vec<f64> = bare_rounds.iter_mut().map(of).collect();
        let mut ratios: Vec<f64> = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        let reference = ("bare_forwarder", median(&mut bare));
        figures.compare_rounds(&format!("{name}{what}"), median(&mut ours), unit, reference, median(&mut ratios));
    };
    compare("", "messages/s", &|round| round.rate);
    compare("_cpu", "us/message", &|round| round.cost);
    compare("_p50", "ms", &|round| quantile(&mut round.times, 0.5));
    compare("_p99", "ms", &|round| quantile(&mut round.times, 0.99));
}

// Senders and recipients, the same for both.

/// How a connection says what it has to say.
trait Talk: Send + 'static {
    /// The next message.
    fn message(&mut self) -> Bytes;
    /// Whether a frame answers a message.
    fn is_answer(&self, frame: &Bytes) -> bool;
    /// Whether a frame brings a message.
    fn takes(&mut self, frame: Bytes) -> bool;
    /// What acks so many messages, all that came.
    fn ack(&mut self, count: usize) -> Bytes;
}

/// Pairs that send when they are told to.
struct Crowd {
    go: watch::Sender<bool>,
    reports: tokio::sync::Mutex<mpsc::UnboundedReceiver<Vec<f64>>>,
    senders: usize,
    _tasks: JoinSet<()>,
}

impl Crowd {
    fn new<T: Talk>(pairs: Vec<[(Socket, T); 2]>, window: usize) -> Self {
        let (go, goes) = watch::channel(false);
        let (report, reports) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let senders = pairs.len();
        for [(sends, talk), (takes, listens)] in pairs {
            tasks.spawn(send(sends, talk, window, goes.clone(), report.clone()));
            tasks.spawn(take(takes, listens));
        }
        Self { go, reports: reports.into(), senders, _tasks: tasks }
    }

    async fn at_relay(relay: &Relay, work: Work) -> Self {
        let way = Way::to(relay);
        let mut pairs = Vec::new();
        for (number, mut pair) in way.channels(relay, work.pairs).await.into_iter().enumerate() {
            let (mut a, mut b) = (way.connect(source_of(number)).await, way.connect(source_of(number)).await);
            let of_b = b.claim(&mut pair).await;
            let of_a = a.attach(pair.of(End::A), &pair.a).await;
            pairs.push([(a, of_a), (b, of_b)].map(|(device, handle)| {
                let talk = AtRelay { handle, sent: 0, seq: 0, payload: a_box(work.class) };
                (Device::into_socket(device), talk)
            }));
        }
        Self::new(pairs, work.window)
    }

    async fn at_forwarder(forwarder: &Forwarder, work: Work) -> Self {
        let like = AtRelay { handle: Handle(1), sent: 1 << 20, seq: 1 << 20, payload: a_box(work.class) };
        let mut pairs = Vec::new();
        for _ in 0..work.pairs {
            let (a, b) = (forwarder.connect().await, forwarder.connect().await);
            pairs.push([a, b].map(|socket| (socket, AtForwarder::like(&mut like.clone()))));
        }
        Self::new(pairs, work.window)
    }

    async fn round(&self, process: u32, lasts: Duration) -> Round {
        let (started, before) = (Instant::now(), process_time(process));
        self.go.send_replace(true);
        tokio::time::sleep(lasts).await;
        self.go.send_replace(false);
        let mut times = Vec::new();
        let mut reports = self.reports.lock().await;
        for _ in 0..self.senders {
            times.append(&mut reports.recv().await.unwrap());
        }
        let cost = process_time(process).saturating_sub(before).as_secs_f64() * 1e6 / times.len() as f64;
        Round { rate: times.len() as f64 / started.elapsed().as_secs_f64(), cost, times }
    }
}

/// Keeps a window of messages under way while it is told to, then reports how long each took, in milliseconds.
async fn send<T: Talk>(
    mut socket: Socket,
    mut talk: T,
    window: usize,
    mut goes: watch::Receiver<bool>,
    report: mpsc::UnboundedSender<Vec<f64>>,
) {
    while goes.wait_for(|go| *go).await.is_ok() {
        let mut sent = std::collections::VecDeque::new();
        let mut times = Vec::new();
        loop {
            let goes_on = *goes.borrow();
            if goes_on {
                let now = Instant::now();
                while sent.len() < window {
                    socket.feed(Message::Binary(talk.message())).await.unwrap();
                    sent.push_back(now);
                }
                socket.flush().await.unwrap();
            } else if sent.is_empty() {
                break;
            }
            let answers = burst(&mut socket).await.into_iter().filter(|frame| talk.is_answer(frame)).count();
            let now = Instant::now();
            times.extend(sent.drain(..answers).map(|at: Instant| (now - at).as_secs_f64() * 1e3));
        }
        report.send(times).unwrap();
    }
}

/// Acks whatever comes, all that is there at once.
async fn take<T: Talk>(mut socket: Socket, mut talk: T) {
    loop {
        let frames = burst(&mut socket).await;
        let count = frames.into_iter().map(|frame| usize::from(talk.takes(frame))).sum();
        if count > 0 {
            socket.send(Message::Binary(talk.ack(count))).await.unwrap();
        }
    }
}

/// Waits for a frame, and takes along what else is there.
async fn burst(socket: &mut Socket) -> Vec<Bytes> {
    let mut frames = vec![socket.next().await.unwrap().unwrap().into_data()];
    while frames.len() < BURST
        && let Some(more) = socket.next().now_or_never()
    {
        frames.push(more.unwrap().unwrap().into_data());
    }
    frames
}

fn a_box(class: SizeClass) -> Bytes {
    let mut bytes = vec![7; class.box_len()];
    bytes[..HEADER_LEN].copy_from_slice(&class.header());
    bytes.into()
}

/// A device at the relay.
#[derive(Clone)]
struct AtRelay {
    handle: Handle,
    sent: u32,
    seq: u64,
    payload: Bytes,
}

impl Talk for AtRelay {
    fn message(&mut self) -> Bytes {
        self.sent += 1;
        let id = NonZeroU32::new(1_000_000 + self.sent).unwrap();
        let request = Request::Send { handle: self.handle, n: self.sent.into(), payload: self.payload.clone() };
        ToRelay::Request(id, request).encode()
    }

    fn is_answer(&self, frame: &Bytes) -> bool {
        match FromRelay::decode(frame.clone()).unwrap() {
            FromRelay::Answer(_, Answer::Accepted { .. }) => true,
            FromRelay::Answer(_, other) => panic!("{other:?}"),
            FromRelay::Event(_) => false,
        }
    }

    fn takes(&mut self, frame: Bytes) -> bool {
        let FromRelay::Event(Event::Deliver { seq, .. }) = FromRelay::decode(frame).unwrap() else { return false };
        self.seq = seq;
        true
    }

    fn ack(&mut self, _: usize) -> Bytes {
        ToRelay::Ack { handle: self.handle, up_to: self.seq }.encode()
    }
}

/// What the first byte of a frame says to the forwarder, and of its answers.
const MESSAGE: u8 = 0;
const ACK: u8 = 1;

/// Frames of the lengths that they have at the relay.
struct AtForwarder {
    message: Bytes,
    ack_len: usize,
}

impl AtForwarder {
    fn like(like: &mut AtRelay) -> Self {
        let message = vec![MESSAGE; like.message().len()];
        Self { message: message.into(), ack_len: like.ack(1).len() }
    }
}

impl Talk for AtForwarder {
    fn message(&mut self) -> Bytes {
        // Encoding a frame copies the box.
        Bytes::copy_from_slice(&self.message)
    }

    fn is_answer(&self, _: &Bytes) -> bool {
        true
    }

    fn takes(&mut self, _: Bytes) -> bool {
        true
    }

    fn ack(&mut self, count: usize) -> Bytes {
        let mut bytes = BytesMut::zeroed(self.ack_len);
        bytes[0] = ACK;
        bytes[1] = u8::try_from(count).unwrap();
        bytes.freeze()
    }
}

// The forwarder.

struct Forwarder {
    child: Child,
    port: u16,
}

impl Forwarder {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(std::env::current_exe().unwrap())
            .args([FORWARDER, &port.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// Every two connections are a pair, in the order in which they are made.
    async fn connect(&self) -> Socket {
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", self.port)).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn support::device::Stream> = Box::new(stream);
        let config = support::device::websocket();
        client_async_with_config("ws://forwarder/", stream, Some(config)).await.unwrap().0
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

type Peers = Arc<Mutex<HashMap<usize, mpsc::UnboundedSender<Bytes>>>>;

async fn forward() {
    let port: u16 = std::env::args().next_back().unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let peers = Peers::default();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        // As large as the relay's. With the library's default of 128 KiB it passed on a third as much.
        let config = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(4_096);
        let socket = accept_async_with_config(stream, Some(config)).await.unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&peers).insert(number, sender);
        tokio::spawn(pass_on(socket, receiver, number ^ 1, Arc::clone(&peers)));
    }
}

fn lock(peers: &Peers) -> std::sync::MutexGuard<'_, HashMap<usize, mpsc::UnboundedSender<Bytes>>> {
    peers.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass_on(
    mut socket: WebSocketStream<TcpStream>,
    mut mail: mpsc::UnboundedReceiver<Bytes>,
    peer: usize,
    peers: Peers,
) -> Option<()> {
    let mut to_peer = None;
    // An answer is as long as the relay's.
    let accepted = Answer::Accepted { handle: Handle(1), n: 1 << 20, hold: 21 * 24 * 3_600 };
    let answer = FromRelay::Answer(NonZeroU32::new(1_000_000).unwrap(), accepted).encode();
    loop {
        tokio::select! {
            biased;
            message = socket.next() => {
                let mut next = Some(message);
                let mut left = BURST;
                while let Some(message) = next {
                    let frame = message?.ok()?.into_data();
                    if to_peer.is_none() {
                        to_peer = lock(&peers).get(&peer).cloned();
                    }
                    let to_peer = to_peer.as_ref()?;
                    match frame.first()? {
                        &MESSAGE => to_peer.send(frame).ok()?,
                        _ => (0..frame[1]).try_for_each(|_| to_peer.send(answer.clone())).ok()?,
                    }
                    left -= 1;
                    next = if left > 0 { socket.next().now_or_never() } else { None };
                }
            }
            Some(frame) = mail.recv() => {
                socket.feed(Message::Binary(frame)).await.ok()?;
                while let Ok(frame) = mail.try_recv() {
                    socket.feed(Message::Binary(frame)).await.ok()?;
                }
                socket.flush().await.ok()?;
            }
        }
    }
}
