//! What an idle connection costs a relay: the resident memory of the real process over many connections, each with a
//! channel attached, without and with TLS.
//!
//! `cargo bench -p tacit-tests --bench idle [-- --quick] [-- --json FILE]`

mod support;

use std::time::Duration;

use support::device::{NO_LIMITS, Way, source, source_of};
use support::{Arguments, Figures};
use tacit_proto::End;
use tacit_tests::Relay;
use tokio::task::JoinSet;

/// Handshakes under way at once.
const AT_ONCE: usize = 64;

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

/// KiB a connection, over so many.
async fn measure(config: &str, count: usize) -> f64 {
    let mut relay = Relay::start_with(&format!("{NO_LIMITS}\n{config}"));
    let pairs = Way::to(&relay).channels(&relay, count).await;
    // A new process: what opening the channels took, and gave back, must not hide what connections take.
    relay.restart();
    let way = Way::to(&relay);
    drop(way.connect(source(0)).await);
    let before = settled_kib(&relay).await;
    let (mut connecting, mut open) = (JoinSet::new(), Vec::with_capacity(count));
    for (number, pair) in pairs.into_iter().enumerate() {
        if connecting.len() == AT_ONCE {
            open.push(connecting.join_next().await.unwrap().unwrap());
        }
        let way = way.clone();
        connecting.spawn(async move {
            let mut device = way.connect(source_of(number)).await;
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
