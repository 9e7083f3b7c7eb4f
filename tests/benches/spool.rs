//! What the spool costs beside raw redb: the same record size, batch, keys and durability, in turns, in the same run; by
//! itself, and behind the network.
//!
//! `cargo bench -p tacit-tests --bench spool [-- --json FILE] [--heavy]`. With `--heavy` the spool that is opened after a
//! kill holds 1 GB instead of 64 MB.

#![allow(missing_docs, reason = "a benchmark")]

#[path = "spool/senders.rs"]
mod senders;
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use redb::{Builder, Database, TableDefinition};
use support::{Arguments, Figures, median, processor_time, quantile};
use tacit_proto::{ChannelId, End, EndOf, HEADER_LEN, SealedBox, SizeClass};
use tacit_server::spool::{BoxKey, Change, Hour, RedbSpool, Spool};
use tempfile::TempDir;

/// Ends that boxes come for in turn.
const ENDS: usize = 500;

/// Bytes of boxes in a spool that is filled, if no heavy one is asked for.
const HELD: usize = 64_000_000;

/// Starts the process that is killed.
const FILL: &str = "--fill-and-wait";

/// Rounds, each with ours and the reference in turns.
const ROUNDS: usize = 31;

/// Boxes in the queue that stays as long as it is.
const STEADY_QUEUE: usize = 20_480;

/// What the spool's rows add to a box: expiry hour, nonce, tag.
const OVERHEAD: usize = 32;

const RAW: TableDefinition<'static, &'static [u8; 24], &'static [u8]> = TableDefinition::new("raw");

/// redb alone, used as the spool uses it.
struct Raw {
    db: Database,
    _dir: TempDir,
}

impl Raw {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Builder::new().set_cache_size(32 << 20).create(dir.path().join("raw.redb")).unwrap();
        Self { db, _dir: dir }
    }

    #[inline(never)]
    fn commit(&self, appends: &[(EndOf, u64)], removals: &[(EndOf, u64)], value: &[u8]) {
        let mut txn = self.db.begin_write().unwrap();
        txn.set_quick_repair(true);
        {
            let mut table = txn.open_table(RAW).unwrap();
            for (to, seq) in appends {
                table.insert(&key(to, *seq), value).unwrap();
            }
            for (of, seq) in removals {
                table.remove(&key(of, *seq)).unwrap();
            }
        }
        txn.commit().unwrap();
    }
}

/// The spool's own keys: channel, then seq, with the ends apart.
fn key(of: &EndOf, seq: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(of.channel.as_bytes());
    key[16..].copy_from_slice(&(seq | u64::from(of.end == End::B) << 63).to_be_bytes());
    key
}

struct Ours {
    spool: RedbSpool,
    dir: TempDir,
}

impl Ours {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { spool: RedbSpool::open(dir.path()).unwrap().0, dir }
    }

    #[inline(never)]
    fn commit(&self, appends: &[(EndOf, u64)], removals: &[(EndOf, u64)], sealed: &SealedBox) {
        let append = |(to, seq): &(EndOf, u64)| Change::Append { to: *to, key: name(*seq), sealed: sealed.clone() };
        let remove = |(of, seq): &(EndOf, u64)| Change::Remove { of: *of, keys: vec![name(*seq)] };
        let batch: Vec<Change> = appends.iter().map(append).chain(removals.iter().map(remove)).collect();
        self.spool.commit(&batch).unwrap();
    }
}

fn name(seq: u64) -> BoxKey {
    BoxKey { seq, expires: Hour(500_000) }
}

fn a_box(class: SizeClass) -> SealedBox {
    let mut bytes = vec![0; class.box_len()];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    bytes[..HEADER_LEN].copy_from_slice(&class.header());
    SealedBox::check(bytes.into()).unwrap()
}

/// Boxes that come for many ends in turn, in the order of a shuffled deck.
struct Arrivals {
    ends: Vec<EndOf>,
    next: u64,
    oldest: u64,
}

impl Arrivals {
    fn new() -> Self {
        let channel = || ChannelId::draw(&mut UnwrapErr(SysRng));
        let ends = (0..ENDS).map(|n| EndOf { channel: channel(), end: if n % 2 == 0 { End::A } else { End::B } });
        Self { ends: ends.collect(), next: 0, oldest: 0 }
    }

    fn at(&self, number: u64) -> (EndOf, u64) {
        (self.ends[(number % ENDS as u64) as usize], number / ENDS as u64 + 1)
    }

    fn take(&mut self, boxes: usize) -> Vec<(EndOf, u64)> {
        let first = self.next;
        self.next += boxes as u64;
        (first..self.next).map(|number| self.at(number)).collect()
    }

    /// The next ones to go.
    fn oldest(&mut self, boxes: usize) -> Vec<(EndOf, u64)> {
        let first = self.oldest;
        self.oldest += boxes as u64;
        (first..self.oldest).map(|number| self.at(number)).collect()
    }
}

/// What some work took, on the wall and of the processors.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    processor: Duration,
}

fn timed(work: impl FnOnce()) -> Took {
    let (started, before) = (Instant::now(), processor_time());
    work();
    Took { wall: started.elapsed(), processor: processor_time().saturating_sub(before) }
}

/// Does both in turns, and gives the medians over all rounds: what each does in a second, and the ratio of the rounds.
fn compare(
    figures: &mut Figures,
    name: &str,
    done: usize,
    mut raw: impl FnMut() -> Took,
    mut ours: impl FnMut() -> Took,
) {
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let took = if round % 2 == 0 {
            let raw = raw();
            (raw, ours())
        } else {
            let ours = ours();
            (raw(), ours)
        };
        // The first round warms up.
        if round > 0 {
            rounds.push(took);
        }
    }
    let middle = |value: &dyn Fn(&(Took, Took)) -> f64| median(&mut rounds.iter().map(value).collect::<Vec<_>>());
    let rate = |took: &Took| done as f64 / took.wall.as_secs_f64();
    let cost = |took: &Took| took.processor.as_secs_f64() * 1e6 / done as f64;
    let (mine, reference) = (middle(&|(_, ours)| rate(ours)), middle(&|(raw, _)| rate(raw)));
    let ratio = middle(&|(raw, ours)| rate(ours) / rate(raw));
    figures.compare_rounds(name, mine, "boxes/s", ("raw_redb", reference), ratio);
    let (mine, reference) = (middle(&|(_, ours)| cost(ours)), middle(&|(raw, _)| cost(raw)));
    figures.compare(&format!("{name}_cpu"), mine, "us/box", ("raw_redb", reference));
}

fn accepts(figures: &mut Figures, name: &str, class: SizeClass, batch: usize) {
    let (raw, ours, sealed) = (Raw::new(), Ours::new(), a_box(class));
    let value = vec![7; class.box_len() + OVERHEAD];
    let (mut for_raw, mut for_ours) = (Arrivals::new(), Arrivals::new());
    for_ours.ends.clone_from(&for_raw.ends);
    let commits = (1024 / batch).clamp(4, 200);
    let batches = |arrivals: &mut Arrivals| (0..commits).map(|_| arrivals.take(batch)).collect::<Vec<_>>();
    compare(
        figures,
        name,
        commits * batch,
        || {
            let batches = batches(&mut for_raw);
            timed(|| batches.iter().for_each(|batch| raw.commit(batch, &[], &value)))
        },
        || {
            let batches = batches(&mut for_ours);
            timed(|| batches.iter().for_each(|batch| ours.commit(batch, &[], &sealed)))
        },
    );
}

/// A queue that stays as long as it is: each batch appends as many boxes as it removes, the oldest.
fn steady(figures: &mut Figures, name: &str, batch: usize) {
    let (raw, ours, sealed) = (Raw::new(), Ours::new(), a_box(SizeClass::Small));
    let value = vec![7; SizeClass::Small.box_len() + OVERHEAD];
    let (mut for_raw, mut for_ours) = (Arrivals::new(), Arrivals::new());
    for_ours.ends.clone_from(&for_raw.ends);
    for _ in 0..STEADY_QUEUE / batch {
        raw.commit(&for_raw.take(batch), &[], &value);
        ours.commit(&for_ours.take(batch), &[], &sealed);
    }
    let commits = 1024 / batch;
    let batches = |arrivals: &mut Arrivals| {
        let both = |_| (arrivals.take(batch / 2), arrivals.oldest(batch / 2));
        (0..commits).map(both).collect::<Vec<_>>()
    };
    compare(
        figures,
        name,
        commits * batch,
        || {
            let batches = batches(&mut for_raw);
            timed(|| batches.iter().for_each(|(new, old)| raw.commit(new, old, &value)))
        },
        || {
            let batches = batches(&mut for_ours);
            timed(|| batches.iter().for_each(|(new, old)| ours.commit(new, old, &sealed)))
        },
    );
}

/// A message that comes alone waits for one commit, and for nothing else.
fn lone(figures: &mut Figures, name: &str) {
    let (raw, ours, sealed) = (Raw::new(), Ours::new(), a_box(SizeClass::Small));
    let value = vec![7; SizeClass::Small.box_len() + OVERHEAD];
    let mut arrivals = Arrivals::new();
    let (mut raws, mut mine) = (Vec::new(), Vec::new());
    for round in 0..300 {
        let next = arrivals.take(1);
        let took = (timed(|| raw.commit(&next, &[], &value)), timed(|| ours.commit(&next, &[], &sealed)));
        if round >= 20 {
            raws.push(took.0.wall.as_secs_f64() * 1e3);
            mine.push(took.1.wall.as_secs_f64() * 1e3);
        }
    }
    for (share, called) in [(0.5, "p50"), (0.99, "p99")] {
        let (mine, reference) = (quantile(&mut mine, share), quantile(&mut raws, share));
        figures.compare(&format!("{name}_{called}"), mine, "ms", ("raw_redb", reference));
    }
}

/// The file after each of five rounds of filling and draining it, beside its length after the first.
fn fill_and_drain(figures: &mut Figures, name: &str) {
    const BATCH: usize = 256;
    let (ours, sealed) = (Ours::new(), a_box(SizeClass::Small));
    let mut arrivals = Arrivals::new();
    let mut lens = Vec::new();
    for _ in 0..5 {
        for _ in 0..HELD / SizeClass::Small.box_len() / BATCH {
            ours.commit(&arrivals.take(BATCH), &[], &sealed);
        }
        while arrivals.oldest < arrivals.next {
            ours.commit(&[], &arrivals.oldest(BATCH), &sealed);
        }
        lens.push(megabytes(ours.dir.path()));
    }
    let (first, last) = (lens[0], lens[lens.len() - 1]);
    figures.compare(name, last, "MB", ("after_the_first_round", first));
    let Ours { spool, dir } = ours;
    drop(spool);
    drop(RedbSpool::open(dir.path()).unwrap());
    figures.add(&format!("{name}_restarted"), megabytes(dir.path()), "MB");
}

fn megabytes(dir: &Path) -> f64 {
    std::fs::metadata(dir.join("spool.redb")).unwrap().len() as f64 / 1e6
}

/// Opens a spool that a killed process left.
fn reopen(figures: &mut Figures, name: &str, bytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut filler = Command::new(std::env::current_exe().unwrap())
        .args([FILL, &bytes.to_string()])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(filler.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "full\n");
    filler.kill().unwrap();
    filler.wait().unwrap();

    let started = Instant::now();
    let (spool, recovered) = RedbSpool::open(dir.path()).unwrap();
    let opened = started.elapsed();
    let first = recovered.waiting[0];
    assert_eq!(spool.load(first.of, first.key.seq, 1).unwrap().len(), 1);
    spool.commit(&[Change::Remove { of: first.of, keys: vec![first.key] }]).unwrap();
    let served = started.elapsed();
    figures.add(&format!("{name}_file"), megabytes(dir.path()), "MB");
    figures.add(&format!("{name}_boxes"), recovered.waiting.len() as f64, "boxes");
    figures.add(&format!("{name}_opened"), opened.as_secs_f64() * 1e3, "ms");
    figures.add(&format!("{name}_served"), served.as_secs_f64() * 1e3, "ms");
}

/// The process that is killed.
fn fill(bytes: usize, dir: &Path) {
    let (spool, _) = RedbSpool::open(dir).unwrap();
    let sealed = a_box(SizeClass::Small);
    let mut arrivals = Arrivals::new();
    for _ in 0..bytes.div_ceil(1000 * sealed.bytes().len()) {
        let append = |(to, seq)| Change::Append { to, key: name(seq), sealed: sealed.clone() };
        spool.commit(&arrivals.take(1000).into_iter().map(append).collect::<Vec<_>>()).unwrap();
    }
    println!("full");
    std::thread::sleep(Duration::from_secs(600));
}

fn size(class: SizeClass) -> &'static str {
    match class {
        SizeClass::Small => "small",
        SizeClass::Large => "large",
    }
}

fn main() {
    if let [_, flag, bytes, dir] = &std::env::args().collect::<Vec<_>>()[..]
        && flag == FILL
    {
        return fill(bytes.parse().unwrap(), Path::new(dir));
    }
    let arguments = Arguments::read();
    let mut figures = Figures::new(&arguments);
    let figures = &mut figures;
    let small = [1, 64, 256].map(|batch| (SizeClass::Small, batch));
    for (class, batch) in small.into_iter().chain([(SizeClass::Large, 64)]) {
        let name = format!("accepts_{}_{batch}", size(class));
        if arguments.wants(&name) {
            accepts(figures, &name, class, batch);
        }
    }
    for batch in [64, 256] {
        let name = format!("steady_{batch}");
        if arguments.wants(&name) {
            steady(figures, &name, batch);
        }
    }
    if arguments.wants("lone_commit") {
        lone(figures, "lone_commit");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for senders in [1, 64, 1_000] {
        let name = format!("senders_{senders}");
        if arguments.wants(&name) {
            runtime.block_on(senders::measure(figures, &name, senders));
        }
    }
    if arguments.wants("fill_and_drain") {
        fill_and_drain(figures, "fill_and_drain");
    }
    if arguments.wants("killed") {
        reopen(figures, "killed", if arguments.has("--heavy") { 1_000_000_000 } else { HELD });
    }
}
