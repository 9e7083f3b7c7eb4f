//! What an idle connection costs a relay: the resident memory of the real process over many connections, each with a
//! channel attached, without and with TLS.
//!
//! `cargo bench -p tacit-tests --bench idle [-- --quick] [-- --json FILE]`

mod support;

use std::num::NonZeroU16;
use std::time::Duration;

use support::device::{Pair, Way, rng, source};
use support::{Arguments, Figures};
use tacit_proto::{End, EnrolCode};
use tacit_server::{Enrolments, Offer};
use tacit_tests::Relay;
use tokio::task::JoinSet;

/// Permits of one enrolment.
const PERMITS: u16 = 250;

/// Connections from one address.
const PER_ADDRESS: usize = 250;

/// Handshakes under way at once.
const AT_ONCE: usize = 64;

const LIMITS: &str = "connections = 19000\nconnections_per_address = 1000\nconnects_per_minute = 1000000";

fn resident_kib(relay: &Relay) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
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

fn way(relay: &Relay) -> Way {
    Way::new(relay.scheme(), relay.address().parse().unwrap())
}

async fn channels(relay: &Relay, count: usize) -> Vec<Pair> {
    let mut pairs = Vec::new();
    while pairs.len() < count {
        let code = EnrolCode::draw(&mut rng());
        let offer = Offer { permits: NonZeroU16::new(PERMITS).unwrap(), expires: u64::MAX };
        Enrolments::open(&relay.data().join("data")).unwrap().add(&code.hash(), offer).unwrap();
        let mut device = way(relay).connect(source(0)).await;
        let permits = device.permits(code, PERMITS).await;
        pairs.extend(device.open(permits).await);
    }
    pairs.truncate(count);
    pairs
}

/// KiB a connection, over so many.
async fn measure(config: &str, count: usize) -> f64 {
    let mut relay = Relay::start_with(&format!("{LIMITS}\n{config}"));
    let pairs = channels(&relay, count).await;
    // A new process: what opening the channels took, and gave back, must not hide what connections take.
    relay.restart();
    let way = way(&relay);
    drop(way.connect(source(0)).await);
    let before = settled_kib(&relay).await;
    let (mut connecting, mut open) = (JoinSet::new(), Vec::with_capacity(count));
    for (number, pair) in pairs.into_iter().enumerate() {
        if connecting.len() == AT_ONCE {
            open.push(connecting.join_next().await.unwrap().unwrap());
        }
        let way = way.clone();
        connecting.spawn(async move {
            let mut device = way.connect(source(1 + number / PER_ADDRESS)).await;
            device.attach(pair.of(End::A), &pair.a).await;
            device.into_stream()
        });
    }
    open.extend(connecting.join_all().await);
    let after = settled_kib(&relay).await;
    assert_eq!(open.len(), count);
    (after - before) / count as f64
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    let count = if arguments.has("--quick") { 2_000 } else { 10_000 };
    let plain = measure("", count).await;
    figures.compare("idle_plain", plain, "KiB/connection", ("goal", 8.0));
    let tls = measure("tls = \"pinned\"", count).await;
    figures.compare("idle_tls", tls, "KiB/connection", ("goal", 16.0));
}
