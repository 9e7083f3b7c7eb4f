//! Many boxes whose hold passes at once: they go in bounded transactions, and whoever sends meanwhile does not wait for
//! them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use support::{Client, patiently, rng, sealed};
use tacit_proto::frame::{Answer, Event};
use tacit_proto::{ChannelId, End, EndKey, EndOf, SealedBox};
use tacit_server::spool::{
    BoxKey, Change, ChannelRow, Due, DueAt, EndRow, Hour, KeptRow, Phase, RedbSpool, Spool, SpoolError,
};
use tacit_server::{Clock, Config, Counter, Enrolments, Relay};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Most rows of one transaction.
const BOUND: usize = 1_024;

const CHANNELS: u64 = 50;
const BOXES_EACH: u64 = 400;

/// The hour in which all of them expire.
const EXPIRES: u32 = 500_000;

/// The real spool, which notes what each transaction holds and stops before the first removal until it is told to go on.
struct Noting {
    spool: RedbSpool,
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Of each transaction: boxes appended, and boxes removed.
    transactions: Mutex<Vec<(usize, usize)>>,
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Default)]
struct Gate {
    reached: bool,
    open: bool,
}

impl Notes {
    fn pass(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.reached = true;
        drop(self.changed.wait_while(gate, |gate| !gate.open).unwrap());
    }

    fn open(&self) {
        self.gate.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        patiently(async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn removed(&self) -> usize {
        self.transactions.lock().unwrap().iter().map(|(_, removed)| removed).sum()
    }
}

impl Spool for Noting {
    fn commit(&self, batch: &[Change]) -> Result<(), SpoolError> {
        let (mut appended, mut removed) = (0, 0);
        for change in batch {
            match change {
                Change::Append { .. } => appended += 1,
                Change::Remove { keys, .. } => removed += keys.len(),
                _ => {}
            }
        }
        if removed > 0 {
            self.notes.pass();
        }
        self.spool.commit(batch)?;
        self.notes.transactions.lock().unwrap().push((appended, removed));
        Ok(())
    }

    fn load(&self, of: EndOf, from: u64, most: usize) -> Result<Vec<(u64, SealedBox)>, SpoolError> {
        self.spool.load(of, from, most)
    }

    fn due(&self, hour: Hour, after: Option<DueAt>, most: usize) -> Result<Vec<Due>, SpoolError> {
        assert!(most <= BOUND);
        self.spool.due(hour, after, most)
    }

    fn snapshot(&self, take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>) -> Result<(), SpoolError> {
        self.spool.snapshot(take)
    }

    fn turn_epoch(&self) -> Result<(), SpoolError> {
        self.spool.turn_epoch()
    }
}

fn channel(n: u64) -> ChannelId {
    let mut id = [n as u8; 16];
    id[0] = 0xcc;
    ChannelId::from_bytes(id)
}

fn claimed(a: &EndKey, b: &EndKey) -> ChannelRow {
    let spent_invite = Some(EndKey::draw(&mut rng()).public());
    ChannelRow {
        a: EndRow { key: a.public(), spent_invite: None },
        b: EndRow { key: b.public(), spent_invite },
        phase: Phase::Claimed,
        invite_tried: false,
    }
}

fn a_box(number: u32) -> SealedBox {
    SealedBox::check(sealed(number)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_deletes_nothing_until_it_was_believed() {
    let data = tempfile::tempdir().unwrap();
    let (a, b) = (EndKey::draw(&mut rng()), EndKey::draw(&mut rng()));
    let to = EndOf { channel: channel(1), end: End::A };
    {
        let (spool, _) = RedbSpool::open(data.path()).unwrap();
        let key = BoxKey { seq: 1, expires: Hour(EXPIRES) };
        let append = Change::Append { to, key, sealed: a_box(1) };
        spool.commit(&[Change::PutChannel(channel(1), claimed(&a, &b)), append]).unwrap();
    }
    let now = Arc::new(AtomicU64::new(u64::from(EXPIRES) * 3_600 - 7_200));
    let mut config = Config::new(data.path());
    config.sweep_every = Duration::from_millis(5);
    let wall = Arc::clone(&now);
    let clock = Clock::with_wall(move || UNIX_EPOCH + Duration::from_secs(wall.load(Ordering::SeqCst)));
    config.clock = clock.with_patience(Duration::from_secs(2));
    let relay = Relay::open(config).unwrap();
    let counters = relay.counters();
    let keeping = tokio::spawn(relay.keep_time());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let epoch_keys = || std::fs::read(data.path().join("epoch.keys")).unwrap();
    let before = epoch_keys();
    now.fetch_add(30 * 24 * 3_600, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(counters.get(Counter::Expired), 0, "it may be wrong");
    assert!(before != epoch_keys(), "what was deleted becomes unreadable all the same");
    patiently(async {
        while counters.get(Counter::Expired) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    keeping.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_boxes_expire_in_bounded_transactions_and_a_lone_box_does_not_wait_for_them() {
    let data = tempfile::tempdir().unwrap();
    let (a, b) = (EndKey::draw(&mut rng()), EndKey::draw(&mut rng()));
    {
        let (spool, _) = RedbSpool::open(data.path()).unwrap();
        for n in 0..CHANNELS {
            let mut batch = vec![Change::PutChannel(channel(n), claimed(&a, &b))];
            let to = EndOf { channel: channel(n), end: End::A };
            let key = |seq| BoxKey { seq, expires: Hour(EXPIRES) };
            batch.extend((1..=BOXES_EACH).map(|seq| Change::Append { to, key: key(seq), sealed: a_box(seq as u32) }));
            spool.commit(&batch).unwrap();
        }
        spool.commit(&[Change::PutChannel(channel(99), claimed(&a, &b))]).unwrap();
    }
    let (spool, recovered) = RedbSpool::open(data.path()).unwrap();
    assert_eq!(recovered.waiting.len() as u64, CHANNELS * BOXES_EACH);
    let notes = Arc::new(Notes::default());
    let spool = Arc::new(Noting { spool, notes: Arc::clone(&notes) });

    let now = Arc::new(AtomicU64::new(u64::from(EXPIRES) * 3_600 - 1));
    let mut config = Config::new(data.path());
    config.sweep_every = Duration::from_millis(5);
    config.clock = Clock::with_wall({
        let now = Arc::clone(&now);
        move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst))
    });
    let enrolments = Enrolments::open(data.path()).unwrap();
    let relay = Relay::with_spool(config, enrolments, spool, recovered).unwrap();
    let counters = relay.counters();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(relay.serve(listener, async { drop(stopped.await) }));

    let mut sender = Client::connect(addr).await;
    let of = EndOf { channel: channel(99), end: End::A };
    let handle = sender.attach(of, &a).await.unwrap().handle;
    assert_eq!(sender.event().await, Event::Drained(handle));
    assert_eq!(notes.removed(), 0, "nothing goes before its hour");

    // The hour comes. When the first removals are on their way to the disk, a box is sent.
    now.fetch_add(1, Ordering::SeqCst);
    notes.until(|notes| notes.gate.lock().unwrap().reached).await;
    let before = notes.transactions.lock().unwrap().len();
    let sent = sender.send(handle, 1, sealed(1)).await;
    // Frames are served in order: with the answer to this one, the box is in the committer's queue.
    sender.pong().await;
    notes.open();
    assert!(matches!(sender.answer(sent).await, Answer::Accepted { .. }));
    notes.until(|notes| notes.removed() as u64 == CHANNELS * BOXES_EACH).await;

    let transactions = notes.transactions.lock().unwrap()[before..].to_vec();
    let lone = transactions.iter().position(|(appended, _)| *appended > 0).unwrap();
    assert!(lone <= 2, "it waited for {lone} transactions of {}", transactions.len());
    assert!(transactions.len() as u64 > CHANNELS * BOXES_EACH / BOUND as u64);
    let longest = transactions.iter().map(|(appended, removed)| appended + removed).max().unwrap();
    assert!(longest <= BOUND, "{longest} rows in one transaction");

    stop.send(()).unwrap();
    patiently(served).await.unwrap().unwrap();
    assert_eq!(counters.get(Counter::Expired), CHANNELS * BOXES_EACH);
    let (spool, recovered) = RedbSpool::open(data.path()).unwrap();
    let [waiting] = &recovered.waiting[..] else { panic!("{} boxes wait", recovered.waiting.len()) };
    assert_eq!(spool.load(waiting.of, 0, 9).unwrap(), [(1, a_box(1))], "the lone box");
}
