//! A relay in all weathers at once: killed and ended at random moments, its disk full, hours passing, flooded, read
//! slowly or not at all, its devices superseding themselves, strangers at its door. Whatever happens: **what was accepted
//! was delivered, is held, or outlived its hold; in order, and after an ack is on the disk never again.**
//!
//! `cargo test -p tacit-tests --test soak -- --nocapture` lasts until it has seen enough of everything.
//! `TACIT_SOAK=30m` makes it last so long, `TACIT_SEED=n` draws the same weather again.
//!
//! The relay is the `tacit-server` binary at first, and then `tacit-server-ahead`: the same library under a clock that can
//! be turned.

#![allow(missing_docs, reason = "tests")]
#![cfg(target_os = "linux")]

#[path = "soak/conn.rs"]
mod conn;
#[path = "soak/end.rs"]
mod end;
#[path = "soak/ledger.rs"]
mod ledger;
#[path = "soak/manner.rs"]
mod manner;
#[path = "soak/passing.rs"]
mod passing;
#[path = "soak/process.rs"]
mod process;
#[path = "soak/strangers.rs"]
mod strangers;
#[path = "soak/world.rs"]
mod world;

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use end::Device;
use ledger::Ledger;
use manner::WIDE;
use passing::Passer;
use process::Process;
use rand_core::UnwrapErr;
use strangers::Stranger;
use tacit_proto::frame::{Answer, Limits, Open, Request};
use tacit_proto::{ChannelId, End, EndKey, EndOf, EnrolCode, Permit};
use tacit_server::settings::Span;
use tacit_server::spool::RedbSpool;
use tacit_server::{Enrolments, Offer};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;
use world::{Dice, World, address};

const CHANNELS: u16 = 12;
const STRANGERS: u16 = 3;
/// How many channels come and go at once.
const PASSERS: u16 = 2;
/// A machine under load must not fail this; a hang must.
const GIVE_UP: Duration = Duration::from_secs(300);
/// Far more than a relay with some dozen devices takes.
const MOST_MIB: u64 = 192;

const LIMITS: Limits = Limits {
    hold: 3_600,
    in_flight: 64,
    window_boxes: 64,
    window_bytes: 256 * 1_024,
    backlog_boxes: 300,
    backlog_bytes: 1_024 * 1_024,
};

fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

fn config() -> String {
    let Limits { backlog_boxes, backlog_bytes, .. } = LIMITS;
    format!(
        "hold = \"1h\"\nbacklog_boxes = {backlog_boxes}\nbacklog_bytes = {backlog_bytes}\nconnects_per_minute = 100000\n"
    )
}

/// Opens the channels, and claims them. Nothing is killed yet.
async fn channels(world: &Arc<World>, process: &Process) -> Vec<Device> {
    let code = EnrolCode::draw(&mut rng());
    // One more, for whoever measures what is on the disk.
    let count = CHANNELS + 1;
    let offer = Offer { permits: NonZeroU16::new(count).unwrap(), expires: u64::MAX };
    Enrolments::open(&process.data()).unwrap().add(&code.hash(), offer).unwrap();
    let mut conn = conn::Conn::open(world, address(0)).await.unwrap();
    let permits: Vec<Permit> = (0..count).map(|_| Permit::draw(&mut rng())).collect();
    let permit_hashes = permits.iter().map(Permit::hash).collect();
    let none = &mut Vec::new();
    assert_eq!(conn.ask(Request::Enrol { code, permit_hashes }, none).await.unwrap(), Answer::Done);
    let mut devices = Vec::new();
    for (number, permit) in (0..).zip(permits) {
        let (channel, a, invite) = (ChannelId::draw(&mut rng()), EndKey::draw(&mut rng()), EndKey::draw(&mut rng()));
        let join_by = NonZeroU32::new(3_600).unwrap();
        let open = Open { channel, permit, key_a: a.public(), key_b: invite.public(), join_by };
        assert_eq!(conn.ask(Request::Open(Box::new(open)), none).await.unwrap(), Answer::Done);
        let of = |end| EndOf { channel, end };
        let attached = conn.attach(of(End::B), &invite, WIDE).await.unwrap().unwrap();
        let b = EndKey::draw(&mut rng());
        let rekey = conn.rekey(&attached, of(End::B), &invite, &b);
        assert_eq!(conn.ask(rekey, none).await.unwrap(), Answer::Done);
        let ledger = |to| Arc::new(Mutex::new(Ledger::new(number, to)));
        let (to_a, to_b) = (ledger(End::A), ledger(End::B));
        for (end, key, here, there) in [(End::A, a, &to_a, &to_b), (End::B, b, &to_b, &to_a)] {
            let place = 2 * number + end as u16;
            devices.push(Device {
                world: Arc::clone(world),
                of: of(end),
                key,
                next_key: None,
                from: address(place),
                dice: Dice::new(world.seed, place.into()),
                here: Arc::clone(here),
                there: Arc::clone(there),
                closing: None,
                gone: None,
            });
        }
    }
    devices
}

/// Whether there was enough of everything.
fn has_seen_it_all(world: &World, process: &Process) -> bool {
    let counts = &world.counts;
    let enough = [
        (counts.accepted.get(), 3_000),
        (counts.acked.get(), 2_000),
        (counts.again.get(), 20),
        (counts.full.get(), 20),
        (counts.busy.get(), 10),
        (counts.superseded.get(), 20),
        (counts.rekeyed.get(), 20),
        (counts.deaf.get(), 3),
        (counts.strangers.get(), 20),
        (counts.passed.get(), 4),
        (process.kills, 5),
        (process.ends, 1),
        (process.full_disks, 3),
        (process.hours, 4),
    ];
    enough.iter().all(|(count, least)| count >= least)
}

fn tell(world: &World, process: &Process, from: Instant) {
    let counts = &world.counts;
    println!(
        "{:>5} s: {} accepted, {} delivered and {} again, {} acked; refused: {} full, {} busy, {} out of turn; \
         {} attached, {} superseded, {} rekeyed, {} deaf, {} cut off; {} killed, {} ended, {} full disks, {} hours; \
         {} channels came and went; {} strangers; spool {} MiB, memory at most {} MiB",
        from.elapsed().as_secs(),
        counts.accepted.get(),
        counts.delivered.get(),
        counts.again.get(),
        counts.acked.get(),
        counts.full.get(),
        counts.busy.get(),
        counts.out_of_turn.get(),
        counts.attached.get(),
        counts.superseded.get(),
        counts.rekeyed.get(),
        counts.deaf.get(),
        counts.lost.get(),
        process.kills,
        process.ends,
        process.full_disks,
        process.hours,
        counts.passed.get(),
        counts.strangers.get(),
        process.spool_bytes() >> 20,
        process.peak_mib(),
    );
}

#[test]
fn what_is_accepted_is_delivered_held_or_expired_whatever_the_weather() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("TACIT_SEED").unwrap_or_else(|| tacit_tests::random_below(1 << 32));
    let lasts = std::env::var("TACIT_SOAK").map_or(Duration::ZERO, |text| text.parse::<Span>().expect("30m, 90s").0);
    println!("TACIT_SEED={seed}");

    let mut process = Process::start(&config());
    let world = Arc::new(World::new(seed, process.relay.address().parse().unwrap(), LIMITS));
    let runtime = Runtime::new().unwrap();
    let mut devices = runtime.block_on(channels(&world, &process));
    let ends: Vec<EndOf> = devices.iter().map(|device| device.of).collect();
    let ledgers: Vec<_> = devices.iter().map(|device| Arc::clone(&device.here)).collect();

    let mut lives = JoinSet::new();
    // Nobody is at its other end.
    let unused = devices.pop().unwrap();
    let mut gauge = devices.pop().unwrap();
    lives.spawn_on(
        async move {
            gauge.gauge().await;
            gauge
        },
        runtime.handle(),
    );
    for mut device in devices {
        lives.spawn_on(
            async move {
                device.live().await;
                device
            },
            runtime.handle(),
        );
    }
    let mut outside = JoinSet::new();
    for number in 0..STRANGERS {
        let (world, ends) = (Arc::clone(&world), ends.clone());
        let dice = Dice::new(seed, 2_000 + u64::from(number));
        let mut stranger = Stranger { world, from: address(0x8000 + number), ends, dice };
        outside.spawn_on(async move { stranger.live().await }, runtime.handle());
    }

    for place in 0..PASSERS {
        let (world, data, dice) = (Arc::clone(&world), process.data(), Dice::new(seed, 3_000 + u64::from(place)));
        let mut passer = Passer { world, data, place, dice };
        outside.spawn_on(async move { passer.live().await }, runtime.handle());
    }

    let (began, mut told) = (Instant::now(), Instant::now());
    let dice = &mut Dice::new(seed, 1_000);
    while began.elapsed() < lasts || !has_seen_it_all(&world, &process) {
        std::thread::sleep(dice.millis(20, if lasts.is_zero() { 300 } else { 1_000 }));
        // Nobody goes before the weather is over: who did has found a fault.
        if let Some(gone) = lives.try_join_next() {
            panic!("a device is gone: {:?}", gone.err());
        }
        if let Some(gone) = outside.try_join_next() {
            panic!("a stranger or a channel is gone: {gone:?}");
        }
        // In a long soak, every third minute is for whatever it takes a longer life to show.
        let spares = began.elapsed().as_secs() / 60 % 3 == 2;
        match dice.below(12) {
            0..=2 if !spares => process.kill(&world),
            3 if !spares => process.end(&world),
            0..=7 => process.toggle_disk(dice),
            _ => process.turn_clock(&world, dice),
        }
        assert!(began.elapsed() < lasts + GIVE_UP, "there was not enough of everything");
        if process.kills >= 2 && began.elapsed() >= lasts / 4 {
            process.let_hours_pass();
        }
        process.note_memory();
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            tell(&world, &process, began);
        }
    }

    // The weather is over. Everybody comes once more, and fetches what there is.
    process.clear(dice);
    world.end();
    let everything = async {
        while let Some(gone) = outside.join_next().await {
            gone.unwrap();
        }
        let mut devices = vec![unused];
        while let Some(device) = lives.join_next().await {
            devices.push(device.unwrap());
        }
        let mut attached = Vec::new();
        for mut device in devices {
            // All of them, before anybody fetches: nothing of an older connection is taken any more.
            let stay = device.arrive(WIDE).await.expect("nothing is killed any more");
            attached.push((device, stay));
        }
        let mut fetching = JoinSet::new();
        for (mut device, mut stay) in attached {
            fetching.spawn(async move {
                device.fetch(&mut stay).await;
                stay
            });
        }
        let mut stays = Vec::new();
        while let Some(stay) = fetching.join_next().await {
            stays.push(stay.unwrap());
        }
        let mut totals = world.totals();
        for ledger in &ledgers {
            let one = ledger.lock().unwrap().totals(world.wall_at_most());
            assert_eq!(one.accepted, one.delivered + one.expired + one.held, "{}: {one:?}", ledger.lock().unwrap());
            totals += one;
        }
        // While everybody is still attached.
        let status = process.status();
        assert_eq!((status.holds.channels, status.holds.attached), (u64::from(CHANNELS) + 1, ends.len() as u64));
        assert_eq!((status.holds.boxes, status.holds.bytes), (0, 0));
        assert!(status.spool_writable);
        totals
    };
    let totals =
        runtime.block_on(async { timeout(GIVE_UP, everything).await.expect("everything is fetched in the end") });
    tell(&world, &process, began);
    println!("{totals:?}");
    assert_eq!(totals.held, 0);
    assert_eq!(totals.accepted, totals.delivered + totals.expired);
    assert!(totals.expired > 0, "hours passed, and no hold with them");
    process.note_memory();
    assert!(process.peak_mib() < MOST_MIB, "{} MiB", process.peak_mib());
    let complaints = process.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");

    // The disk says the same.
    process.relay.end();
    let (_, recovered) = RedbSpool::open(&process.data()).unwrap();
    assert_eq!((recovered.channels.len(), recovered.waiting.len()), (usize::from(CHANNELS) + 1, 0));
}
