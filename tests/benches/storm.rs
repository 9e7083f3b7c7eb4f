//! How long it takes until every device has its ends back after a relay's restart, beside the X25519 operations alone
//! that the relay and the devices cannot do without, on as many threads as there are processors, in the same run.
//!
//! `cargo bench -p tacit-tests --bench storm [-- --quick] [-- --json FILE]`
//!
//! 10,000 devices of 60 ends each, or 500 with `--quick`. All of them come at once; real ones spread over some seconds.
//! Each connects, proves its ends in one `Attach`, and stays. The time runs from the start of the relay's process.

mod support;

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::device::{PLACES, Way, no_limits, rng, source_of};
use support::{Arguments, Figures, process_time, processor_time};
use tacit_proto::{ChannelId, Command, End, EndKey, EndOf, RelaySessionKey};
use tacit_server::spool::{Change, ChannelRow, EndRow, Phase, RedbSpool, Spool};
use tacit_tests::Relay;
use tokio::task::JoinSet;

/// Ends of one device.
const ENDS: usize = 60;

/// Devices that connect at the same time; the others wait for them, as they would for the kernel's queue.
const AT_ONCE: usize = 256;

/// Operations of each kind that the reference is measured on.
const SAMPLE: usize = 20_000;

type Device = Vec<(EndOf, EndKey)>;

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(bench());
}

async fn bench() {
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    let count = if arguments.has("--quick") { 500 } else { 10_000 };
    let mut relay = Relay::start_with(&no_limits(PLACES));
    relay.kill();
    let devices = devices(count, &RedbSpool::open(&relay.data().join("data")).unwrap().0);

    let threads = std::thread::available_parallelism().unwrap().get();
    let before = operations(threads);
    let (started, devices_before) = (Instant::now(), processor_time());
    relay.restart();
    let recovered = started.elapsed();
    let way = Way::to(&relay);
    let (mut coming, mut there) = (JoinSet::new(), Vec::with_capacity(count));
    for (number, device) in devices.into_iter().enumerate() {
        if coming.len() == AT_ONCE {
            there.push(coming.join_next().await.unwrap().unwrap());
        }
        let way = way.clone();
        coming.spawn(async move {
            let mut connection = way.connect(source_of(number)).await;
            connection.attach_all(&device).await;
            connection.into_stream()
        });
    }
    there.extend(coming.join_all().await);
    let all = started.elapsed();
    assert_eq!(there.len(), count);
    let after = operations(threads);

    // Two for each proof and one for each connection at the relay; for each proof two on the device, one of them with the
    // base point.
    let cost = |operations: &Operations| {
        let ends = (count * ENDS) as f64;
        let (any, base) = (3.0 * ends, ends + count as f64);
        (any * operations.any.as_secs_f64() + base * operations.base.as_secs_f64()) / threads as f64
    };
    let reference = f64::midpoint(cost(&before), cost(&after));
    figures.add("storm_devices", count as f64, "devices");
    figures.add("storm_recovered", recovered.as_secs_f64(), "s");
    figures.compare("storm_attached", all.as_secs_f64(), "s", ("x25519_alone", reference));
    figures.add("storm_relay_cpu", process_time(relay.pid()).as_secs_f64(), "s");
    figures.add("storm_devices_cpu", processor_time().saturating_sub(devices_before).as_secs_f64(), "s");
}

/// Channels between two halves of the devices, in the relay's spool. As many as half of all ends.
fn devices(count: usize, spool: &RedbSpool) -> Vec<Device> {
    let mut devices: Vec<Device> = (0..count).map(|_| Vec::with_capacity(ENDS)).collect();
    let half = count / 2;
    let threads = std::thread::available_parallelism().unwrap().get();
    let draw = |_| {
        let (a, b) = (EndKey::draw(&mut rng()), EndKey::draw(&mut rng()));
        (ChannelId::draw(&mut rng()), a.public(), a, b.public(), b)
    };
    let drawn: Vec<_> = std::thread::scope(|scope| {
        let part = |thread| move || (thread..half * ENDS).step_by(threads).map(draw).collect::<Vec<_>>();
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(part(thread))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut batch = Vec::new();
    for (number, (channel, a_public, a, b_public, b)) in drawn.into_iter().enumerate() {
        let row = |key| EndRow { key, spent_invite: None };
        let row = ChannelRow { a: row(a_public), b: row(b_public), phase: Phase::Claimed, invite_tried: false };
        batch.push(Change::PutChannel(channel, row));
        if batch.len() == 4_096 {
            spool.commit(&std::mem::take(&mut batch)).unwrap();
        }
        devices[number / ENDS].push((EndOf { channel, end: End::A }, a));
        devices[half + number % half].push((EndOf { channel, end: End::B }, b));
    }
    spool.commit(&batch).unwrap();
    devices
}

/// What one operation takes on one thread while all are busy: with any point, and with the base point.
struct Operations {
    any: Duration,
    base: Duration,
}

fn operations(threads: usize) -> Operations {
    let session = RelaySessionKey::draw(&mut rng());
    let device = EndKey::draw(&mut rng());
    let of = EndOf { channel: ChannelId::draw(&mut rng()), end: End::A };
    let proof = device.prove(session.challenge(), &of, &Command::Attach).unwrap();
    let public = device.public();
    let timed = |work: &(dyn Fn() + Sync)| {
        let done = AtomicUsize::new(0);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while done.fetch_add(1, Ordering::Relaxed) < SAMPLE {
                        work()
                    }
                });
            }
        });
        started.elapsed() * u32::try_from(threads).unwrap() / u32::try_from(SAMPLE).unwrap()
    };
    Operations {
        // With the HMAC of the proof, a hundredth of it.
        any: timed(&|| assert!(session.verify(&public, &of, &Command::Attach, &proof))),
        base: timed(&|| {
            black_box(device.public());
        }),
    }
}
