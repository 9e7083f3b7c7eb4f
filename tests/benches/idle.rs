//! What an idle connection costs a relay: the resident memory of the real process over many connections, each with a
//! channel attached, without and with TLS. With `--fill`, as many as the machine holds, or `--most N`, while one in a
//! hundred talks: as root, or with as many open files as that takes.
//!
//! `cargo bench -p tacit-tests --bench idle [-- --quick] [--fill [--most N]] [--json FILE]`

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::device::{Device, PLACES, Pair, Stream, Way, no_limits, source, source_of};
use support::{Arguments, Figures, quantile};
use tacit_proto::frame::{Event, FromRelay, Handle, Request, ToRelay};
use tacit_proto::{End, SizeClass};
use tacit_tests::Relay;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

/// Handshakes under way at once.
const AT_ONCE: usize = 64;

/// A field of a file of the kernel's, which counts in KiB.
fn kib(file: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn resident_kib(relay: &Relay) -> f64 {
    kib(&format!("/proc/{}/status", relay.pid()), "VmRSS:") as f64
}

/// Once it has not changed for a while.
async fn settled_kib(relay: &Relay) -> f64 {
    let mut last = resident_kib(relay);
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = resident_kib(relay);
        if now == last {
            return now;
        }
        last = now;
    }
}

/// Connects and attaches end A of each, until all have or there is not enough memory for more.
async fn attach(way: &Way, pairs: impl Iterator<Item = Pair>, first: usize) -> Vec<Box<dyn Stream>> {
    let (mut connecting, mut open) = (JoinSet::new(), Vec::new());
    for (number, pair) in pairs.enumerate() {
        if connecting.len() == AT_ONCE {
            open.push(connecting.join_next().await.unwrap().unwrap());
        }
        if number % 1_000 == 0 && kib("/proc/meminfo", "MemAvailable:") < LEFT_KIB {
            break;
        }
        let way = way.clone();
        connecting.spawn(async move { way.attach(&pair, End::A, first + number).await.0.into_stream() });
    }
    open.extend(connecting.join_all().await);
    open
}

/// KiB a connection, over so many.
async fn measure(config: &str, count: usize) -> f64 {
    let mut relay = Relay::start_with(&(no_limits(PLACES) + config));
    let pairs = Way::to(&relay).channels(&relay, count).await;
    // A new process: what opening the channels took, and gave back, must not hide what connections take.
    relay.restart();
    let way = Way::to(&relay);
    drop(way.connect(source(0)).await);
    let before = settled_kib(&relay).await;
    let open = attach(&way, pairs.into_iter(), 0).await;
    let after = settled_kib(&relay).await;
    assert_eq!(open.len(), count);
    (after - before) / count as f64
}

// As many as there can be.

/// Memory that is left to the machine, and to the benchmark's devices.
const LEFT_KIB: u64 = 1_500_000;

/// What else has files open, on either side.
const OTHER_FILES: usize = 500;

/// How long pairs talk: a message a second each.
const TALK: Duration = Duration::from_secs(20);

/// Raises the number of files that this process and its relay may have open, if it may. Returns what it is then.
fn raise_file_limit() -> usize {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap();
    let (pid, most) = (std::process::id().to_string(), most.trim());
    drop(Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={most}:{most}")]).status());
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Two devices that talk.
struct Talk {
    a: (Device, Handle),
    b: (Device, Handle),
    n: u64,
}

impl Talk {
    async fn begin(way: &Way, mut pair: Pair, number: usize) -> Self {
        let mut b = way.connect(source_of(2 * number)).await;
        let at_b = b.claim(&mut pair).await;
        let a = way.attach(&pair, End::A, 2 * number + 1).await;
        Self { a, b: (b, at_b), n: 1 }
    }

    /// One message to B, and the relay's answer to A. Returns the milliseconds until it was there.
    async fn message(&mut self, payload: Bytes) -> f64 {
        let (a, handle) = (&mut self.a.0, self.a.1);
        let sent = Instant::now();
        a.request(Request::Send { handle, n: self.n, payload }).await;
        self.n += 1;
        let (b, handle) = (&mut self.b.0, self.b.1);
        let up_to = loop {
            if let FromRelay::Event(Event::Deliver { seq, .. }) = b.read().await {
                break seq;
            }
        };
        let took = sent.elapsed();
        b.write(ToRelay::Ack { handle, up_to }).await;
        a.answer().await;
        took.as_secs_f64() * 1_000.0
    }
}

/// Lets all talk for a while. Returns them, and how long each message took, in milliseconds.
async fn talk(talks: Vec<Talk>) -> (Vec<Talk>, Vec<f64>) {
    let mut payload = vec![0; SizeClass::Small.box_len()];
    payload[..2].copy_from_slice(&SizeClass::Small.header());
    let (payload, mut talking) = (Bytes::from(payload), JoinSet::new());
    let count = u32::try_from(talks.len()).unwrap();
    for (mut talk, number) in talks.into_iter().zip(0..) {
        let payload = payload.clone();
        talking.spawn(async move {
            // Spread over the second.
            sleep(Duration::from_secs(1) * number / count).await;
            let (mut ticks, mut took) = (interval(Duration::from_secs(1)), Vec::new());
            for _ in 0..TALK.as_secs() {
                ticks.tick().await;
                took.push(talk.message(payload.clone()).await);
            }
            (talk, took)
        });
    }
    let all = talking.join_all().await;
    let (talks, took): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    (talks, took.concat())
}

async fn fill(arguments: &Arguments, figures: &mut Figures) {
    let places = raise_file_limit() - OTHER_FILES;
    let most =
        arguments.value("--most").map_or(places, |most| most.parse::<usize>().expect("--most NUMBER")).min(places);
    let mut relay = Relay::start_with(&no_limits(places));
    let mut pairs = Way::to(&relay).channels(&relay, most).await.into_iter();
    relay.restart();
    let way = Way::to(&relay);
    let mut talks = Vec::new();
    // One connection in a hundred.
    for (pair, number) in pairs.by_ref().take(most.div_ceil(200)).zip(0..) {
        talks.push(Talk::begin(&way, pair, number).await);
    }
    let (talks, mut alone) = talk(talks).await;
    let before = settled_kib(&relay).await;
    let first = 2 * talks.len();
    let begun = Instant::now();
    let idle = attach(&way, pairs.take(most - first), first).await;
    let rate = idle.len() as f64 / begun.elapsed().as_secs_f64();
    let after = settled_kib(&relay).await;
    let (talks, mut among) = talk(talks).await;
    figures.add("fill_connections", (idle.len() + 2 * talks.len()) as f64, "connections");
    figures.add("fill_attached", rate, "connections/s");
    figures.compare("fill_memory", (after - before) / idle.len() as f64, "KiB/connection", ("goal", 8.0));
    for (name, share) in [("fill_p50", 0.5), ("fill_p99", 0.99)] {
        figures.compare(name, quantile(&mut among, share), "ms", ("without_the_idle", quantile(&mut alone, share)));
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    if arguments.has("--fill") {
        return fill(&arguments, &mut figures).await;
    }
    let count = if arguments.has("--quick") { 2_000 } else { 10_000 };
    let plain = measure("", count).await;
    figures.compare("idle_plain", plain, "KiB/connection", ("goal", 8.0));
    let tls = measure("tls = \"pinned\"", count).await;
    figures.compare("idle_tls", tls, "KiB/connection", ("goal", 16.0));
}
