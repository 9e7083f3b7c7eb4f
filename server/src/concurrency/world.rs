//! A relay whose threads and tasks go on in an order that shuttle decides, and what must hold of its boxes.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
// What is known of the boxes belongs to no thread of the relay: to look at it is no place to stop.
use std::sync::{Arc, Mutex, MutexGuard};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use tacit_proto::frame::{Refusal, Window};
use tacit_proto::{ChannelId, End, EndKey, EndOf};

use super::device::Device;
use crate::backlog::Quota;
use crate::channel::Rules;
use crate::committer::Committer;
use crate::enrolment::Enrolments;
use crate::hub::{Hub, Scratch};
use crate::limits::{Guest, Limits};
use crate::reader::{LoadQueue, Reader};
use crate::session::Session;
use crate::spool::{Change, ChannelRow, EndRow, Hour, Phase, Spool};
use crate::tally::Tally;
use crate::testing::{MemorySpool, number_of};
use crate::{Clock, Config};

const CHANNEL: ChannelId = ChannelId::from_bytes([1; 16]);

/// A sends B the boxes 1 to this: more than a window holds, or a transaction.
pub(super) const BOXES: u32 = 4;
const WINDOW_BOXES: u32 = 2;
const IN_FLIGHT: u32 = 16;

/// Numbers of the keys that the ends have.
pub(super) const A: u8 = 10;
pub(super) const B: u8 = 11;
/// End B's before it is claimed.
pub(super) const INVITE: u8 = 12;

pub(super) const fn of(end: End) -> EndOf {
    EndOf { channel: CHANNEL, end }
}

pub(super) fn key(number: u8) -> EndKey {
    EndKey::from_secret_bytes([number; 32])
}

fn row(key_b: u8, spent_invite: Option<u8>, phase: Phase) -> ChannelRow {
    let end = |number: u8, spent: Option<u8>| EndRow {
        key: key(number).public(),
        spent_invite: spent.map(|number| key(number).public()),
    };
    ChannelRow { a: end(A, None), b: end(key_b, spent_invite), phase, invite_tried: false }
}

/// A channel whose ends both belong to devices.
pub(super) fn claimed() -> ChannelRow {
    row(B, Some(INVITE), Phase::Claimed)
}

/// A channel whose invite nobody has used.
pub(super) fn invited() -> ChannelRow {
    row(INVITE, None, Phase::Unclaimed { join_by: Hour(u32::MAX) })
}

/// What the devices know of the boxes.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The sender was told so.
    pub(super) accepted: BTreeSet<u32>,
    /// The receiver has it for good, and is about to ack.
    pub(super) safe: BTreeSet<u32>,
    /// Its ack was taken.
    pub(super) acked: BTreeSet<u32>,
    /// The receiver wants none of them any more.
    pub(super) unwanted: bool,
}

/// See the module. Clones are of the same.
#[derive(Clone)]
pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    pub(super) spool: Arc<MemorySpool>,
    limits: Arc<Limits>,
    known: Arc<Mutex<Known>>,
}

/// Tries a scenario in many orders: at random, and with few changes between threads that run on otherwise. At the end of
/// each, no box is left, here or on disk.
pub(super) fn explore(row: fn() -> ChannelRow, scenario: impl Fn(&World) + Clone + Send + Sync + 'static) {
    let schedules = std::env::var("TACIT_SCHEDULES").map_or(400, |number| number.parse().expect("a number"));
    let data = tempfile::tempdir().unwrap();
    let enrolments = Enrolments::open(data.path()).unwrap();
    let once = move || World::run(row(), enrolments.clone(), &scenario);
    let mut config = shuttle::Config::new();
    // Unoptimised cryptography takes more than the 32 KiB that threads get.
    config.stack_size = 512 << 10;
    shuttle::Runner::new(RandomScheduler::new(schedules), config.clone()).run(once.clone());
    shuttle::Runner::new(PctScheduler::new(3, schedules), config).run(once);
}

impl World {
    fn run(row: ChannelRow, enrolments: Enrolments, scenario: impl Fn(&Self)) {
        let rules = Rules {
            hold: 24 * 3_600,
            grace: 0,
            window: Window { boxes: NonZeroU32::new(WINDOW_BOXES).unwrap(), bytes: u32::MAX },
            quota: Quota { boxes: 64, bytes: u64::MAX },
        };
        let spool = Arc::new(MemorySpool::default());
        spool.commit(&[Change::PutChannel(CHANNEL, row)]).unwrap();
        let (loads, wishes) = LoadQueue::new();
        let hub = Arc::new(Hub::new(rules, Clock::default(), spool.recovered(), enrolments, loads.clone()));
        let mut abuse = Config::new("").abuse;
        // Nobody waits for a clock here.
        abuse.proofs_per_second = u32::MAX;
        let limits = Arc::new(Limits::new(abuse));
        let world = Self { hub: Arc::clone(&hub), spool: Arc::clone(&spool), limits, known: Arc::default() };

        let reader = Reader::start(Arc::clone(&hub), spool.clone(), &loads, wishes).unwrap();
        let committer = Committer::start(Arc::clone(&hub.queue), spool, {
            let (hub, mut scratch) = (Arc::clone(&hub), Scratch::default());
            move |change, durable| hub.committed(&mut scratch, change, durable)
        });
        drop(shuttle::future::spawn(end_graces(hub)));
        scenario(&world);
        // As a relay ends.
        shuttle::future::block_on(world.hub.flush());
        drop(reader);
        drop(committer.unwrap());
        for end in [End::A, End::B] {
            assert!(world.spool.boxes_at(of(end)).is_empty(), "what was acked is not on disk");
        }
        let Tally { boxes, bytes, .. } = world.hub.tally();
        assert_eq!((boxes, bytes), (0, 0));
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    pub(super) fn session(&self) -> Session {
        Session::new(Arc::clone(&self.hub), IN_FLIGHT, &Guest::unlimited(Arc::clone(&self.limits)))
    }

    /// The sender heard that the relay took charge of a box.
    pub(super) fn accepted(&self, number: u32) {
        let on_disk = self.spool.boxes_at(of(End::B)).iter().any(|sealed| number_of(sealed.bytes()) == number);
        let mut known = self.known();
        assert!(on_disk || known.safe.contains(&number) || known.unwanted, "accepted means durable or acked");
        let last = known.accepted.last().copied().unwrap_or(0);
        assert_eq!(number, last + 1, "boxes are accepted once, and in order");
        known.accepted.insert(number);
    }

    /// A device of end B that comes when all is quiet reads until it hears that there is no more: then all that was
    /// accepted is safe.
    pub(super) fn accepted_arrives(&self) {
        match Device::attach(self, End::B, B) {
            Ok(mut device) => device.drain(),
            // It is closed, and its last device was told so.
            Err(why) => assert_eq!(why, Refusal::NotAllowed),
        }
        let known = self.known();
        assert!(known.accepted.is_subset(&known.safe), "{known:?}");
    }

    /// The same, where every box was sent until it was accepted.
    pub(super) fn everything_arrives(&self) {
        assert_eq!(self.known().accepted.len() as u32, BOXES);
        self.accepted_arrives();
    }

    pub(super) fn row(&self) -> Option<ChannelRow> {
        self.spool.row(CHANNEL)
    }
}

/// As the relay's task does, but that a grace may end at any moment.
async fn end_graces(hub: Arc<Hub>) {
    let mut scratch = Scratch::default();
    loop {
        hub.graces.next_end().await;
        if let Some(of) = hub.graces.pop_due(u64::MAX) {
            hub.grace_over(&mut scratch, of);
        }
        // Other graces begin while this one led to something.
        shuttle::future::yield_now().await;
    }
}
