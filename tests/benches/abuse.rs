//! What devices notice of an attack: the time from sending a box until it is acked and accepted, of 100 devices that
//! exchange boxes at a steady pace over TLS; in quiet rounds, and in rounds under 2,000 slow-loris connections and a
//! flood of connects from other addresses.
//!
//! `cargo bench -p tacit-tests --bench abuse [-- --quick] [-- --json FILE]`
//!
//! The attackers run in a process of their own, at a lower priority: on this machine they would take from the relay what
//! real ones, elsewhere, do not.

mod support;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::device::{Device, Way, source, tcp};
use support::{Arguments, Figures, median, quantile};
use tacit_proto::frame::{Answer, Event, FromRelay, Handle, Request, ToRelay};
use tacit_proto::{End, SizeClass};
use tacit_tests::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

const PAIRS: usize = 50;

/// Each device sends a box this often.
const PACE: Duration = Duration::from_millis(500);

const LORIS: usize = 2_000;
/// With the limits as they come, an address may have some 50 connections that last for 5 s each.
const LORIS_ADDRESSES: usize = 100;

/// Connects a second, from so many addresses.
const FLOOD: u32 = 1_000;
const FLOOD_ADDRESSES: usize = 20;

/// Beyond the devices' own addresses.
const ATTACKERS: usize = 10_000;

fn main() {
    if let Some(target) = std::env::var_os("TACIT_BENCH_ATTACKS") {
        return attack(&target.into_string().unwrap());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(bench());
}

async fn bench() {
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    let (rounds, length) = if arguments.has("--quick") { (3, 4) } else { (7, 10) };
    let relay = Relay::start_with("tls = \"pinned\"");
    let (taken, mut times) = mpsc::unbounded_channel();
    converse(&relay, &taken).await;
    let (mut quiet, mut attacked, mut turned_away) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        sleep(Duration::from_secs(2)).await;
        quiet.push(p99(&mut times, length).await);
        let attackers = Attackers::start(&relay);
        // Until all of them are there.
        sleep(Duration::from_secs(8)).await;
        attacked.push(p99(&mut times, length).await);
        turned_away.push(attackers.stop());
    }
    let mut ratios: Vec<f64> = attacked.iter().zip(&quiet).map(|(attacked, quiet)| attacked / quiet).collect();
    let (ratio, quiet) = (median(&mut ratios), median(&mut quiet));
    figures.compare_rounds("abuse_attacked_p99", median(&mut attacked), "ms", ("quiet", quiet), ratio);
    figures.add("abuse_loris_held", median(&mut turned_away.iter().map(|(held, _)| *held).collect::<Vec<_>>()), "");
    figures.add("abuse_connects", median(&mut turned_away.iter().map(|(_, rate)| *rate).collect::<Vec<_>>()), "1/s");
}

/// Of what comes from now on, in milliseconds.
async fn p99(times: &mut mpsc::UnboundedReceiver<f64>, seconds: u64) -> f64 {
    while times.try_recv().is_ok() {}
    sleep(Duration::from_secs(seconds)).await;
    let mut round = Vec::new();
    while let Ok(time) = times.try_recv() {
        round.push(time);
    }
    quantile(&mut round, 0.99)
}

// The devices.

async fn converse(relay: &Relay, taken: &mpsc::UnboundedSender<f64>) {
    let way = Way::to(relay);
    for (number, mut pair) in way.channels(relay, PAIRS).await.into_iter().enumerate() {
        let (mut a, mut b) = (way.connect(source(1)).await, way.connect(source(1)).await);
        let to_b = a.attach(pair.of(End::A), &pair.a).await;
        let to_a = b.claim(&mut pair).await;
        let at = PACE.mul_f64(number as f64 / PAIRS as f64);
        tokio::spawn(exchange(a, to_b, at, taken.clone()));
        tokio::spawn(exchange(b, to_a, at + PACE / 2, taken.clone()));
    }
}

/// Sends at a steady pace, and acks what comes.
async fn exchange(mut device: Device, handle: Handle, at: Duration, taken: mpsc::UnboundedSender<f64>) {
    let mut payload = vec![7; SizeClass::Small.box_len()];
    payload[..2].copy_from_slice(&SizeClass::Small.header());
    let payload = Bytes::from(payload);
    sleep(at).await;
    let (mut ticks, mut sent, mut n) = (interval(PACE), std::collections::VecDeque::new(), 0);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                n += 1;
                sent.push_back(Instant::now());
                device.request(Request::Send { handle, n, payload: payload.clone() }).await;
            }
            frame = device.read() => match frame {
                FromRelay::Event(Event::Deliver { handle, seq, .. }) => {
                    device.write(ToRelay::Ack { handle, up_to: seq }).await;
                }
                FromRelay::Answer(_, Answer::Accepted { .. }) => {
                    let time = sent.pop_front().unwrap().elapsed();
                    taken.send(time.as_secs_f64() * 1_000.0).unwrap();
                }
                FromRelay::Answer(_, answer) => panic!("{answer:?}"),
                FromRelay::Event(_) => {}
            },
        }
    }
}

// The attackers.

struct Attackers(Child);

impl Attackers {
    fn start(relay: &Relay) -> Self {
        let child = Command::new("nice")
            .args(["-n", "10"])
            .arg(std::env::current_exe().unwrap())
            .env("TACIT_BENCH_ATTACKS", relay.address())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// How many slow-loris connections it held at the end, and how many connects a second the flood made.
    fn stop(mut self) -> (f64, f64) {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        self.0.wait().unwrap();
        let mut numbers = said.split_whitespace().map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }
}

/// Until its standard input ends.
#[tokio::main(flavor = "current_thread")]
async fn attack(target: &str) {
    let target = target.parse().unwrap();
    let (stop, stopped) = watch::channel(());
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        drop(stop);
    });
    let (held, connects) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut crowd = JoinSet::new();
    for number in 0..LORIS {
        let held = Arc::clone(&held);
        crowd.spawn(async move {
            // They come one after the other, and come back when they are sent away.
            sleep(Duration::from_millis(number as u64 * 2)).await;
            loop {
                let from = source(ATTACKERS + number % LORIS_ADDRESSES);
                if let Ok(mut stream) = tcp(from, target).await {
                    held.fetch_add(1, Ordering::Relaxed);
                    // The beginning of a handshake, a byte at a time.
                    for byte in [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00] {
                        if stream.write_all(&[byte]).await.is_err() {
                            break;
                        }
                        let mut answer = [0; 16];
                        if timeout(Duration::from_millis(900), stream.read(&mut answer)).await.is_ok() {
                            break;
                        }
                    }
                    held.fetch_sub(1, Ordering::Relaxed);
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
    }
    let counted = Arc::clone(&connects);
    crowd.spawn(async move {
        let mut ticks = interval(Duration::from_secs(1) / FLOOD);
        for number in 0.. {
            ticks.tick().await;
            // Neither written to nor read from: the relay's answer, if there is one, is nobody's.
            drop(tcp(source(ATTACKERS + LORIS_ADDRESSES + number % FLOOD_ADDRESSES), target).await);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let started = Instant::now();
    let mut stopped = stopped;
    while stopped.changed().await.is_ok() {}
    let rate = connects.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    println!("{} {rate}", held.load(Ordering::Relaxed));
    std::process::exit(0);
}
