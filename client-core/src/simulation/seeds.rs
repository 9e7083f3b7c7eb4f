//! Thousands of seeds: a conversation under faults, then calm weather, in which everything must settle.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::dice::Dice;
use super::people::People;
use super::weather::Climate;
use super::world::{Happening, Network, World};
use crate::error::StoreError;

/// How many seeds the suite tries.
const SEEDS: u64 = 2_000;

/// How long after the last fault everything has settled. A process that waits for a lease, a full minute of backoff, a
/// connection that is dead without a sign and a minute for room come one after the other at worst.
const CALM_MS: u64 = 15 * 60_000;

/// What people and weather do.
enum Plan {
    Pair,
    Say(usize, usize),
    Attach(usize, usize, usize),
    CancelFiles(usize, usize),
    Strike,
}

/// What became of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    texts: usize,
    deaths: u64,
    trace: u64,
}

fn run(seed: u64) -> Report {
    let mut dice = Dice::new(seed);
    let climate = Climate::draw(&mut dice);
    if std::env::var_os("TACIT_SEED").is_some() {
        println!("{climate:#?}");
    }
    let network = Network { delay_ms: climate.delay_ms };
    let mut world = World::new(dice.split(), climate.manners, network, &climate.processes);
    world.dies_once_in = climate.dies_once_in;
    let mut people = People::new(climate.processes.len() - 1);
    people.dies = climate.calls_die;
    let mut plans = vec![Plan::Pair];
    world.schedule(0, Happening::Planned(0));
    for pair in 0..people.pairs.len() {
        for _ in 0..climate.texts {
            plans.push(Plan::Say(pair, dice.below(2) as usize));
            world.schedule(dice.below(climate.lasts_ms), Happening::Planned(plans.len() - 1));
        }
    }
    for _ in 0..climate.files {
        let (pair, side) = (dice.below(people.pairs.len() as u64) as usize, dice.below(2) as usize);
        let most = if dice.per_mille(100) { 40 } else { 6 };
        let size = dice.below(most * crate::content::CHUNK as u64) as usize;
        plans.push(Plan::Attach(pair, side, size));
        world.schedule(dice.below(climate.lasts_ms), Happening::Planned(plans.len() - 1));
        if dice.per_mille(200) {
            plans.push(Plan::CancelFiles(pair, dice.below(2) as usize));
            world.schedule(dice.below(climate.lasts_ms), Happening::Planned(plans.len() - 1));
        }
    }
    let mut at = dice.around(climate.every_ms);
    while at < climate.lasts_ms {
        plans.push(Plan::Strike);
        world.schedule(at, Happening::Planned(plans.len() - 1));
        at += 1 + dice.around(climate.every_ms);
    }
    while world.now < climate.lasts_ms {
        step(&mut world, &mut people, &climate, &plans);
    }
    calm(&mut world, &mut people, &climate, &plans);
    people.check_histories(&mut world);
    if climate.loses() {
        // What the relay promised to keep for less time than somebody was away is sent again.
        resend_expired(&mut world, &people);
        calm(&mut world, &mut people, &climate, &plans);
    }
    people.check_all_delivered(&mut world);
    Report { texts: people.texts(), deaths: world.deaths, trace: world.trace }
}

fn step(world: &mut World, people: &mut People, climate: &Climate, plans: &[Plan]) {
    match world.step().map(|number| (number, &plans[number])) {
        None => {}
        Some((number, Plan::Pair)) => {
            let all_paired = people.pair(world);
            let at = if all_paired { u64::MAX } else { world.now + 700 };
            world.schedule(at, Happening::Planned(number));
        }
        Some((_, Plan::Say(pair, side))) => people.say(world, *pair, *side),
        Some((_, Plan::Attach(pair, side, size))) => people.attach(world, *pair, *side, *size),
        Some((_, Plan::CancelFiles(pair, side))) => people.cancel_files(world, *pair, *side),
        Some((_, Plan::Strike)) => climate.strike(world, people),
    }
    for note in std::mem::take(&mut world.notes) {
        people.check_note(world, &note);
    }
    if world.dice.per_mille(5) {
        people.check_histories(world);
    }
}

/// No faults any more: everything settles.
fn calm(world: &mut World, people: &mut People, climate: &Climate, plans: &[Plan]) {
    Climate::clear(world);
    people.dies = 0;
    let begun = world.now;
    loop {
        let next_look = world.now + 5_000;
        while world.now < next_look {
            step(world, people, climate, plans);
        }
        people.reset_wedged(world);
        if people.pair(world) && people.is_settled(world) {
            return;
        }
        // Resets that came too often are taken the day after; and files that do not move are asked about later and later.
        if (people.is_resetting(world) || !people.files_are_over(world)) && (world.now - begun) / 5_000 % 24 == 23 {
            world.devices.iter_mut().for_each(|device| device.clock_error += 25 * 3_600_000);
            world.open_links().into_iter().for_each(|link| world.cut(link));
        }
        let hold = u64::from(world.relay.manners.limits.hold.min(3600)) * 1_000;
        assert!(world.now < begun + CALM_MS + hold, "it does not settle: {}", people.describe(world));
    }
}

fn resend_expired(world: &mut World, people: &People) {
    for pair in &people.pairs {
        for (device, contact) in pair.devices.into_iter().zip(pair.contacts) {
            let resend = |tx: &crate::store::Tx<'_>| tx.resend_unreceipted(&contact.unwrap());
            world.devices[device].store.change::<_, StoreError>(resend).unwrap();
            world.poke(device);
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_stuck_under_thousands_of_seeds() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("TACIT_SEED") {
        println!("{:?}", run(seed));
        return;
    }
    let (next, seeds) = (AtomicU64::new(1), number("TACIT_SEEDS").unwrap_or(SEEDS));
    let (texts, deaths) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > seeds {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                        Ok(report) => {
                            texts.fetch_add(report.texts as u64, Ordering::Relaxed);
                            deaths.fetch_add(report.deaths, Ordering::Relaxed);
                        }
                        Err(_) => {
                            println!("replay it: TACIT_SEED={seed} cargo test -p tacit-client-core simulation");
                            failed.lock().unwrap().push(seed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{seeds} seeds, {} texts, {} deaths", texts.into_inner(), deaths.into_inner());
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
}

#[test]
fn a_seed_replays() {
    for seed in [3, 14, 15] {
        assert_eq!(run(seed), run(seed));
    }
}
