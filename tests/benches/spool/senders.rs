//! The spool behind the network: devices that each send one box after the other to somebody who is absent, and those who
//! come for what waits. The real relay; the reference is raw redb that commits as many records at once as there are senders.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use tacit_proto::frame::{Answer, Event, FromRelay, Handle, Request, ToRelay};
use tacit_proto::{End, SizeClass};
use tacit_tests::Relay;
use tokio::task::JoinSet;

use super::{Arrivals, OVERHEAD, Raw, a_box, timed};
use crate::support::device::{Device, PLACES, Pair, Way, no_limits, source_of};
use crate::support::{Figures, median, quantile};

const ROUNDS: usize = 5;

/// Boxes of all senders in one round, about.
const BOXES: usize = 20_000;

/// Boxes that a receiver takes before it acks them.
const ACKED_AT_ONCE: usize = 16;

/// What many did, together.
struct Did {
    rate: f64,
    /// Milliseconds until each box was accepted.
    waited: Vec<f64>,
}

struct Sender {
    device: Device,
    handle: Handle,
}

/// Each sends its boxes one after the other.
async fn send(senders: Vec<Sender>, numbers: Range<u64>, payload: &Bytes) -> (Vec<Sender>, Did) {
    let (started, boxes) = (Instant::now(), senders.len() * (numbers.end - numbers.start) as usize);
    let mut sending = JoinSet::new();
    for mut sender in senders {
        let (numbers, payload) = (numbers.clone(), payload.clone());
        sending.spawn(async move {
            let mut waited = Vec::new();
            for n in numbers {
                let sent = Instant::now();
                let Sender { device, handle } = &mut sender;
                device.request(Request::Send { handle: *handle, n, payload: payload.clone() }).await;
                assert!(matches!(device.answer().await, Answer::Accepted { .. }));
                waited.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            (sender, waited)
        });
    }
    let (senders, waited): (Vec<_>, Vec<_>) = sending.join_all().await.into_iter().unzip();
    let rate = boxes as f64 / started.elapsed().as_secs_f64();
    (senders, Did { rate, waited: waited.concat() })
}

/// Each comes, takes what waits, and leaves. Returns boxes a second.
async fn drain(way: &Way, pairs: Vec<Pair>, each: usize) -> (Vec<Pair>, f64) {
    let (started, boxes) = (Instant::now(), pairs.len() * each);
    let mut coming = JoinSet::new();
    for (number, pair) in pairs.into_iter().enumerate() {
        let way = way.clone();
        coming.spawn(async move {
            let (mut device, handle) = way.attach(&pair, End::B, number).await;
            let mut came = 0;
            while came < each {
                let FromRelay::Event(Event::Deliver { seq, .. }) = device.read().await else { continue };
                came += 1;
                if came % ACKED_AT_ONCE == 0 || came == each {
                    device.write(ToRelay::Ack { handle, up_to: seq }).await;
                }
            }
            // The answer comes when the acks were taken.
            device.request(Request::Ping).await;
            device.answer().await;
            pair
        });
    }
    (coming.join_all().await, boxes as f64 / started.elapsed().as_secs_f64())
}

/// The same records, as many in each commit as there are senders.
fn raw(senders: usize, each: usize) -> Did {
    let (raw, mut arrivals) = (Raw::new(), Arrivals::new());
    let value = vec![7; SizeClass::Small.box_len() + OVERHEAD];
    let mut waited = Vec::new();
    let took = timed(|| {
        for _ in 0..each {
            let batch = arrivals.take(senders);
            waited.push(timed(|| raw.commit(&batch, &[], &value)).wall.as_secs_f64() * 1e3);
        }
    });
    Did { rate: (senders * each) as f64 / took.wall.as_secs_f64(), waited }
}

pub(super) async fn measure(figures: &mut Figures, name: &str, senders: usize) {
    let each = (BOXES / senders).clamp(20, 400);
    let relay = Relay::start_with(&no_limits(PLACES));
    let way = Way::to(&relay);
    let mut pairs = way.channels(&relay, senders).await;
    let mut all = Vec::new();
    for (number, pair) in pairs.iter_mut().enumerate() {
        way.connect(source_of(number)).await.claim(pair).await;
        let (device, handle) = way.attach(pair, End::A, number).await;
        all.push(Sender { device, handle });
    }
    let payload = a_box(SizeClass::Small).into_bytes();
    let (mut ours, mut reference, mut drained) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS as u64 {
        let first = 1 + round * each as u64;
        let did;
        (all, did) = send(all, first..first + each as u64, &payload).await;
        let rate;
        (pairs, rate) = drain(&way, pairs, each).await;
        let beside = raw(senders, each);
        // The first round warms up.
        if round > 0 {
            ours.push(did);
            reference.push(beside);
            drained.push(rate);
        }
    }
    let rates = |all: &[Did]| all.iter().map(|did| did.rate).collect::<Vec<_>>();
    let ratio = median(&mut ours.iter().zip(&reference).map(|(ours, raw)| ours.rate / raw.rate).collect::<Vec<_>>());
    let (rate, of) = (median(&mut rates(&ours)), median(&mut rates(&reference)));
    figures.compare_rounds(name, rate, "boxes/s", ("raw_redb", of), ratio);
    let mut waited = |share: f64, called: &str| {
        let all = |did: &[Did]| did.iter().flat_map(|did| did.waited.clone()).collect::<Vec<_>>();
        let (mine, of) = (quantile(&mut all(&ours), share), quantile(&mut all(&reference), share));
        figures.compare(&format!("{name}_{called}"), mine, "ms", ("raw_commit", of));
    };
    waited(0.5, "p50");
    waited(0.99, "p99");
    figures.add(&format!("{name}_drained"), median(&mut drained), "boxes/s");
}
