//! What monitoring sees, over HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{TestRelay, accepted, patiently};
use tacit_proto::End;
use tacit_server::control::{Ask, Reply, ask as ask_relay};
use tacit_server::{Acme, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn monitored(every: Duration) -> TestRelay {
    TestRelay::start_with(|config| {
        config.metrics = Some("127.0.0.1:0".parse().unwrap());
        config.metrics_every = every;
    })
    .await
}

async fn ask(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    patiently(stream.read_to_string(&mut response)).await.unwrap();
    response
}

async fn get(relay: &TestRelay, path: &str) -> String {
    ask(relay.metrics.unwrap(), &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

async fn metrics(relay: &TestRelay) -> String {
    let response = get(relay, "/metrics").await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    body.to_owned()
}

fn value(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// What people cause, of all that is shown.
fn blurred(metrics: &str) -> Vec<&str> {
    let names: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("# HELP") && line.contains("(blurred"))
        .map(|line| line.split(' ').nth(2).unwrap())
        .collect();
    let is_one = |line: &&str| names.contains(&line.split(['{', ' ']).next().unwrap());
    metrics.lines().filter(is_one).collect()
}

#[tokio::test]
async fn nothing_that_people_do_shows_within_the_hour() {
    let relay = monitored(Duration::from_secs(3_600)).await;
    let before = metrics(&relay).await;
    let pair = relay.pair().await;
    let (mut a, handle) = pair.attach_drained(&relay, End::A).await;
    for n in 1..=200 {
        accepted(&mut a, handle, n, 1).await;
    }
    let after = metrics(&relay).await;
    assert_eq!(blurred(&before), blurred(&after));
    assert_eq!(value(&after, "tacit_boxes_accepted_total"), Some(0));
    assert_eq!(value(&after, "tacit_channels"), None, "not before the hour is over");
    assert!(blurred(&after).len() > 15, "{:?}", blurred(&after));
}

#[tokio::test]
async fn an_hour_later_it_shows_in_steps() {
    let relay = monitored(Duration::ZERO).await;
    let pair = relay.pair().await;
    let (mut a, handle) = pair.attach_drained(&relay, End::A).await;
    for n in 1..=230 {
        accepted(&mut a, handle, n, 1).await;
    }
    let metrics = metrics(&relay).await;
    assert!(matches!(value(&metrics, "tacit_boxes_accepted_total"), Some(200 | 250)), "{metrics}");
    assert!(matches!(value(&metrics, "tacit_boxes_spooled_total"), Some(200 | 250)), "{metrics}");
    assert!(matches!(value(&metrics, "tacit_waiting_boxes"), Some(200 | 250)), "{metrics}");
    for name in ["tacit_channels", "tacit_attached_ends", "tacit_connections"] {
        assert!(matches!(value(&metrics, name), Some(0 | 50)), "{name}: {metrics}");
    }
    assert!(matches!(value(&metrics, "tacit_waiting_bytes"), Some(0 | 1_048_576)), "{metrics}");
}

#[tokio::test]
async fn the_machine_shows_as_it_is() {
    let relay = monitored(Duration::from_secs(3_600)).await;
    let metrics = metrics(&relay).await;
    let is = |name| value(&metrics, name).unwrap_or_else(|| panic!("{name}: {metrics}"));
    assert_eq!((is("tacit_spool_writable"), is("tacit_away"), is("tacit_pressure")), (1, 0, 0));
    assert_eq!(is("tacit_connections_limit"), 10_000);
    assert!(is("tacit_disk_free_bytes") > 0 && is("tacit_memory_bytes") > 1 << 20, "{metrics}");
    assert!(is("tacit_epoch_age_seconds") < 3_600, "{metrics}");
    for line in
        metrics.lines().filter(|line| line.contains("_bytes ") && !line.starts_with('#') && !line.contains("share"))
    {
        let bytes: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
        let grain = if line.contains("memory") { 8 << 20 } else { 64 << 20 };
        assert_eq!(bytes % grain, 0, "{line}");
    }
}

#[tokio::test]
async fn health_is_told_and_a_drained_relay_is_alive_and_not_ready() {
    let relay = monitored(Duration::from_secs(3_600)).await;
    let operator = |what: Ask| {
        let data = relay.data.path().to_owned();
        tokio::task::spawn_blocking(move || assert_eq!(ask_relay(&data, &what).unwrap(), Reply::Done))
    };
    for path in ["/healthz", "/readyz"] {
        let response = get(&relay, path).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nok\n"), "{response}");
    }
    operator(Ask::Drain { notice: String::new() }).await.unwrap();
    let response = get(&relay, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("drained for maintenance"), "{response}");
    assert!(get(&relay, "/healthz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(value(&metrics(&relay).await, "tacit_away"), Some(1));
    operator(Ask::Resume).await.unwrap();
    assert!(get(&relay, "/readyz").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn only_this_machine_is_answered_and_only_what_there_is() {
    let relay = monitored(Duration::from_secs(3_600)).await;
    let addr = relay.metrics.unwrap();
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "421"),
        ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", "200"),
        ("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "200"),
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n", "404"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let response = ask(addr, request).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {response}");
    }
}

#[tokio::test]
async fn a_relay_without_a_certificate_is_not_ready() {
    let relay = TestRelay::start_with(|config| {
        config.metrics = Some("127.0.0.1:0".parse().unwrap());
        config.url = Some("wss://relay.example".parse().unwrap());
        // Nobody is there.
        let (domain, directory) = ("relay.example".to_owned(), "https://127.0.0.1:9/".to_owned());
        config.transport = Transport::Acme(Acme { domain, directory, contact: None, root: None });
    })
    .await;
    let ready = get(&relay, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("no certificate"), "{ready}");
    assert_eq!(value(&metrics(&relay).await, "tacit_certificate_left_seconds"), Some(0));
    let without = monitored(Duration::from_secs(3_600)).await;
    assert_eq!(value(&metrics(&without).await, "tacit_certificate_left_seconds"), None, "it needs none");
}

#[tokio::test]
async fn many_who_hang_on_do_not_keep_others_out_for_long() {
    let relay = monitored(Duration::from_secs(3_600)).await;
    let mut hanging = Vec::new();
    for _ in 0..10 {
        hanging.push(TcpStream::connect(relay.metrics.unwrap()).await.unwrap());
    }
    assert!(get(&relay, "/healthz").await.starts_with("HTTP/1.1 200 OK\r\n"));
    drop(hanging);
}

#[tokio::test]
async fn prometheus_own_tool_finds_no_fault_with_the_metrics() {
    for every in [Duration::ZERO, Duration::from_secs(3_600)] {
        let relay = monitored(every).await;
        let metrics = metrics(&relay).await;
        let mut check = Command::new("promtool");
        let Ok(mut check) = check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()
        else {
            return eprintln!("NOT TESTED: there is no promtool on this machine");
        };
        std::io::Write::write_all(&mut check.stdin.take().unwrap(), metrics.as_bytes()).unwrap();
        let checked = check.wait_with_output().unwrap();
        let says = String::from_utf8(checked.stderr).unwrap();
        assert!(checked.status.success() && says.is_empty(), "{says}");
    }
}

/// What is shipped with the relay for monitoring.
fn shipped(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/monitoring");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_only_metrics_that_exist() {
    let relay = monitored(Duration::ZERO).await;
    let metrics = metrics(&relay).await;
    let exist: Vec<&str> = metrics.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    let dashboard: serde_json::Value = serde_json::from_str(&shipped("grafana.json")).unwrap();
    for text in [dashboard["panels"].to_string(), shipped("alerts.yml")] {
        let named: Vec<&str> = text
            .split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
            .filter(|word| word.starts_with("tacit_"))
            .collect();
        assert!(named.len() > 5, "{named:?}");
        for name in named {
            assert!(exist.contains(&name), "{name}");
        }
    }
    // And what exists is on the dashboard.
    let panels = dashboard["panels"].to_string();
    for name in exist {
        assert!(panels.contains(name), "{name} is nowhere on the dashboard");
    }
}

#[test]
fn prometheus_own_tool_finds_no_fault_with_the_alerts() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/monitoring/alerts.yml");
    match Command::new("promtool").args(["check", "rules", file]).output() {
        Ok(checked) => assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr)),
        Err(_) => eprintln!("NOT TESTED: there is no promtool on this machine"),
    }
}
