//! All channels of a relay, and the way from a decision to what is done about it.
//!
//! Channels live in shards, by a hash of their id. A shard's lock is held for one decision and its effects, never across
//! an await, and never together with another shard's. The effects take *leaf* locks, one at a time, under the shard's:
//! a connection's mailbox, the committer's queue, the graces, the permits. So frames and changes leave in the order
//! decided, and no two locks are ever taken in both orders. Connections take shard locks (each frame), and so do the
//! committer's thread (each result), the reader's thread (each load), the grace task and the sweep.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::Arc;

use tacit_proto::frame::{Answer, Attached, Event, FromRelay, Open, Refusal, Window};
use tacit_proto::{Challenge, ChannelId, EndOf, EndPublic, Incarnation, NotABox, SealedBox};
use tokio::sync::Notify;

use crate::channel::{Channel, Context, ProtocolError, Pulled, Rules};
use crate::committer::{CommitQueue, MAX_BATCH};
use crate::counters::{Counter, Counters};
use crate::effect::{Asker, Attachment, Effect, OnFailure};
use crate::enrolment::Enrolments;
use crate::grace::Graces;
use crate::mailbox::Conn;
use crate::permits::Permits;
use crate::pressure::{Pressure, PressureGauge, RulesUnder};
use crate::proven::{DummyKeys, Keys, Proven};
use crate::reader::{Load, LoadQueue};
use crate::spool::{Change, Due, Recovered, Spool, SpoolError};
use crate::sync::atomic::AtomicBool;
use crate::sync::{MODELLED, Mutex, lock};
use crate::tally::{Tallies, Tally};
use crate::time::{Clock, Now};

/// Enough that 64 workers rarely meet; a shard that is never touched costs 32 bytes.
const SHARDS: usize = if MODELLED { 2 } else { 256 };

/// Channels that are looked at under one lock when all are.
const STEP: usize = 128;

type Shard = BTreeMap<ChannelId, Box<Channel<Conn>>>;

/// Memory for effects, kept from one decision to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    fx: Vec<Effect<Conn>>,
    changes: Vec<(Change, OnFailure)>,
    events: Vec<Event>,
}

/// See the module.
pub(crate) struct Hub {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    rules: RulesUnder,
    pressure: PressureGauge,
    tallies: Tallies,
    clock: Clock,
    dummies: DummyKeys,
    incarnation: Incarnation,
    pub(crate) permits: Mutex<Permits<Conn>>,
    pub(crate) permit_left: Notify,
    pub(crate) enrolments: Enrolments,
    pub(crate) queue: Arc<CommitQueue>,
    pub(crate) graces: Graces,
    loads: LoadQueue,
    pub(crate) counters: Arc<Counters>,
    /// While the relay is drained: what people are told.
    pub(crate) maintenance: Mutex<Option<String>>,
    /// Whether the wall clock jumped, and nothing is to be thrown away by it.
    pub(crate) doubts_clock: AtomicBool,
}

impl Hub {
    pub(crate) fn new(
        rules: Rules,
        clock: Clock,
        recovered: Recovered,
        enrolments: Enrolments,
        loads: LoadQueue,
    ) -> Self {
        let Recovered { incarnation, channels, waiting, permits, enrolments: spent } = recovered;
        let hub = Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rules: RulesUnder::new(rules),
            pressure: PressureGauge::default(),
            tallies: Tallies::default(),
            clock,
            dummies: DummyKeys::draw(&mut rand_core::UnwrapErr(getrandom::SysRng)),
            incarnation,
            permits: Mutex::new(Permits::recover(permits, spent)),
            permit_left: Notify::new(),
            enrolments,
            queue: Arc::default(),
            graces: Graces::default(),
            loads,
            counters: Arc::default(),
            maintenance: Mutex::default(),
            doubts_clock: AtomicBool::default(),
        };
        for (id, row) in channels {
            let channel = Channel::recover(id, row);
            hub.tallies.changed(Tally::default(), channel.tally());
            lock(hub.shard(&id)).insert(id, Box::new(channel));
        }
        for waiting in waiting {
            if let Some(channel) = lock(hub.shard(&waiting.of.channel)).get_mut(&waiting.of.channel) {
                let before = channel.tally();
                channel.recover_box(waiting.of.end, waiting.key, waiting.class);
                hub.tallies.changed(before, channel.tally());
            }
        }
        let scratch = &mut Scratch::default();
        for shard in 0..SHARDS {
            hub.step_through(shard, None, scratch, |channel, cx| channel.purge_what_was_closed(cx), usize::MAX);
        }
        hub
    }

    fn shard(&self, id: &ChannelId) -> &Mutex<Shard> {
        // The ids are drawn by devices: without a secret in the hash they could all be drawn into one shard.
        &self.shards[usize::try_from(self.hasher.hash_one(id)).unwrap_or(usize::MAX) % SHARDS]
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// What the relay holds now.
    pub(crate) fn tally(&self) -> Tally {
        self.tallies.now()
    }

    pub(crate) fn pressure(&self) -> Pressure {
        self.pressure.get()
    }

    /// Returns what it was before.
    pub(crate) fn set_pressure(&self, pressure: Pressure) -> Pressure {
        self.pressure.set(pressure)
    }

    fn rules(&self) -> &Rules {
        self.rules.under(self.pressure())
    }

    /// Lets one channel decide, and carries out what follows.
    fn with<R>(
        &self,
        scratch: &mut Scratch,
        id: &ChannelId,
        decide: impl FnOnce(&mut Channel<Conn>, &mut Context<'_, Conn>) -> R,
    ) -> Option<R> {
        let mut shard = lock(self.shard(id));
        let channel = shard.get_mut(id)?;
        let before = channel.tally();
        let mut cx = Context { now: self.now(), rules: self.rules(), fx: &mut scratch.fx };
        let result = decide(channel, &mut cx);
        self.tallies.changed(before, channel.tally());
        let forgotten = channel.is_forgotten();
        self.carry_out(scratch);
        if forgotten {
            shard.remove(id);
        }
        Some(result)
    }

    fn carry_out(&self, scratch: &mut Scratch) {
        for effect in scratch.fx.drain(..) {
            match effect {
                Effect::Answer(asker, answer) => self.answer(&asker, answer),
                Effect::Event(conn, event) => conn.0.frame(FromRelay::Event(event)),
                Effect::Ready(at, of) => at.conn.0.ready(of, at.handle),
                Effect::Commit(change, fate) => {
                    if let Change::Append { .. } = change {
                        self.counters.add(Counter::Spooled, 1);
                    }
                    scratch.changes.push((change, fate));
                }
                Effect::Withdraw { to, from } => self.queue.withdraw(to, from),
                Effect::Grace { of, at } => self.graces.add(of, at),
                Effect::Load { of, from, most } => self.loads.push(Load { of, from, most }),
                Effect::TriedNoted(conn) => conn.0.tried_noted(),
                Effect::PermitUnspent(permit) => {
                    if lock(&self.permits).unspend(permit) {
                        scratch.changes.push((Change::SpendPermit(permit), OnFailure::Retry));
                    }
                }
            }
        }
        if !scratch.changes.is_empty() {
            self.queue.push(scratch.changes.drain(..));
        }
    }

    pub(crate) fn answer(&self, asker: &Asker<Conn>, answer: Answer) {
        match answer {
            Answer::Accepted { .. } => self.counters.add(Counter::Accepted, 1),
            Answer::Refused(why) => self.counters.add(Counter::Refused(why), 1),
            _ => {}
        }
        asker.conn.0.frame(FromRelay::Answer(asker.request, answer));
    }

    pub(crate) fn refuse(&self, asker: &Asker<Conn>, why: Refusal) {
        self.answer(asker, Answer::Refused(why));
    }

    // What connections ask for.

    /// Opens a channel, spending a permit in the same transaction. Returns whether there was no wrong permit.
    pub(crate) fn open(&self, scratch: &mut Scratch, open: &Open, asker: Asker<Conn>) -> bool {
        let rules = self.rules();
        if open.join_by.get() > rules.hold {
            self.refuse(&asker, Refusal::TooLarge);
            return true;
        }
        let mut was_good = true;
        let permit = open.permit.hash();
        let mut shard = lock(self.shard(&open.channel));
        let mut cx = Context { now: self.now(), rules, fx: &mut scratch.fx };
        match shard.get_mut(&open.channel) {
            Some(channel) if channel.was_opened_with(&open.key_a) => channel.open_again(&mut cx, asker),
            // Without a good permit nobody learns whether a channel exists.
            Some(_) if lock(&self.permits).is_good(&permit) => self.refuse(&asker, Refusal::NotAllowed),
            // Those who talk already go first; the permit stays good.
            None if self.pressure() != Pressure::Calm && lock(&self.permits).is_good(&permit) => {
                self.refuse(&asker, Refusal::Busy);
            }
            None if lock(&self.permits).spend(&permit) => {
                let channel = Channel::open(&mut cx, open, asker);
                self.tallies.changed(Tally::default(), channel.tally());
                shard.insert(open.channel, Box::new(channel));
            }
            _ => {
                was_good = false;
                self.refuse(&asker, Refusal::NoPermit);
            }
        }
        self.carry_out(scratch);
        was_good
    }

    /// The keys that a proof for an end is tried against, whether or not the channel exists.
    pub(crate) fn keys(&self, of: EndOf) -> Keys {
        match lock(self.shard(&of.channel)).get(&of.channel) {
            Some(channel) => channel.keys(of.end, &self.dummies),
            None => self.dummies.fill(None, None),
        }
    }

    pub(crate) fn attach(
        &self,
        scratch: &mut Scratch,
        proven: &Proven,
        at: Attachment<Conn>,
        window: Window,
    ) -> Result<Attached, Refusal> {
        self.with(scratch, &proven.of().channel, |channel, cx| channel.attach(cx, proven, at, window))
            .unwrap_or(Err(Refusal::NotAllowed))
    }

    pub(crate) fn detach(&self, scratch: &mut Scratch, of: EndOf, at: &Attachment<Conn>) {
        self.with(scratch, &of.channel, |channel, cx| channel.detach(cx, of.end, at));
    }

    pub(crate) fn is_attached(&self, of: EndOf, at: &Attachment<Conn>) -> bool {
        lock(self.shard(&of.channel)).get(&of.channel).is_some_and(|channel| channel.is_attached(of.end, at))
    }

    pub(crate) fn rekey(
        &self,
        scratch: &mut Scratch,
        proven: &Proven,
        at: Attachment<Conn>,
        new_key: EndPublic,
        asker: Asker<Conn>,
    ) {
        let unknown = asker.clone();
        let id = proven.of().channel;
        if self.with(scratch, &id, |channel, cx| channel.rekey(cx, proven, at, new_key, asker)).is_none() {
            self.refuse(&unknown, Refusal::NotAllowed);
        }
    }

    pub(crate) fn close(&self, scratch: &mut Scratch, of: EndOf, at: Attachment<Conn>, asker: Asker<Conn>) {
        let unknown = asker.clone();
        if self.with(scratch, &of.channel, |channel, cx| channel.close(cx, of.end, at, asker)).is_none() {
            self.refuse(&unknown, Refusal::NotAllowed);
        }
    }

    pub(crate) fn send(
        &self,
        scratch: &mut Scratch,
        of: EndOf,
        at: &Attachment<Conn>,
        n: u64,
        asker: Asker<Conn>,
        sealed: Result<SealedBox, NotABox>,
    ) {
        let mut asker = Some(asker);
        self.with(scratch, &of.channel, |channel, cx| {
            if let Some(asker) = asker.take() {
                channel.send(cx, of.end, at, n, asker, sealed);
            }
        });
        if let Some(asker) = asker {
            self.refuse(&asker, Refusal::NotAllowed);
        }
    }

    pub(crate) fn ack(
        &self,
        scratch: &mut Scratch,
        of: EndOf,
        at: &Attachment<Conn>,
        up_to: u64,
    ) -> Result<(), ProtocolError> {
        let acked = self.with(scratch, &of.channel, |channel, cx| channel.ack(cx, of.end, at, up_to));
        self.counters.add(Counter::Acked, acked.unwrap_or(Ok(0))? as u64);
        Ok(())
    }

    /// Hands what there is for an attachment to `out`.
    pub(crate) fn pull(
        &self,
        scratch: &mut Scratch,
        of: EndOf,
        at: &Attachment<Conn>,
        budget: usize,
        out: &mut Vec<FromRelay>,
    ) -> Pulled {
        let mut events = std::mem::take(&mut scratch.events);
        let pulled = self
            .with(scratch, &of.channel, |channel, cx| channel.pull(cx, of.end, at, budget, &mut events))
            .unwrap_or_default();
        out.extend(events.drain(..).map(FromRelay::Event));
        scratch.events = events;
        self.counters.add(Counter::Delivered, pulled.boxes);
        pulled
    }

    // What threads and tasks report.

    /// The committer made a change, or could not.
    pub(crate) fn committed(&self, scratch: &mut Scratch, change: &Change, durable: bool) {
        match change {
            Change::Append { to, key, .. } => {
                self.with(scratch, &to.channel, |channel, cx| channel.appended(cx, to.end, key.seq, durable));
            }
            Change::PutChannel(id, _) | Change::ForgetChannel(id) => {
                self.with(scratch, id, |channel, cx| channel.row_committed(cx, durable));
            }
            Change::Enrol { code, .. } => self.enrolled(code, durable),
            Change::SpendPermit(permit) if durable => self.permit_left_the_disk(permit),
            Change::Remove { .. } | Change::SpendPermit(_) | Change::ForgetEnrolment(_) => {}
        }
    }

    /// The reader read boxes back, or could not.
    pub(crate) fn loaded(&self, scratch: &mut Scratch, load: Load, result: Result<Vec<(u64, SealedBox)>, SpoolError>) {
        let Load { of, from, most } = load;
        self.with(scratch, &of.channel, |channel, cx| channel.loaded(cx, of.end, (from, most), result));
    }

    pub(crate) fn grace_over(&self, scratch: &mut Scratch, of: EndOf) {
        self.with(scratch, &of.channel, |channel, cx| channel.grace_over(cx, of.end));
    }

    // All channels, a few at a time.

    /// Lets `most` channels of a shard decide, those after `after`. Returns the last, if there may be more.
    fn step_through(
        &self,
        shard: usize,
        after: Option<ChannelId>,
        scratch: &mut Scratch,
        mut decide: impl FnMut(&mut Channel<Conn>, &mut Context<'_, Conn>),
        most: usize,
    ) -> Option<ChannelId> {
        let mut shard = lock(&self.shards[shard]);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut last, mut count) = (None, 0);
        for (id, channel) in shard.range_mut((from, Bound::Unbounded)).take(most) {
            let before = channel.tally();
            let mut cx = Context { now: self.now(), rules: self.rules(), fx: &mut scratch.fx };
            decide(channel, &mut cx);
            self.tallies.changed(before, channel.tally());
            self.carry_out(scratch);
            (last, count) = (Some(*id), count + 1);
        }
        last.filter(|_| count == most)
    }

    async fn each(&self, mut decide: impl FnMut(&mut Channel<Conn>, &mut Context<'_, Conn>)) {
        let mut scratch = Scratch::default();
        for shard in 0..SHARDS {
            let mut after = None;
            loop {
                after = self.step_through(shard, after, &mut scratch, &mut decide, STEP);
                self.queue.has_room().await;
                if after.is_none() {
                    break;
                }
            }
        }
    }

    /// An hour passed: what channels do by the time, but for boxes.
    pub(crate) async fn sweep(&self) {
        self.each(|channel, cx| channel.sweep(cx)).await;
        self.tidy_enrolments();
    }

    /// Removes the boxes whose hour has come, as the disk's index tells them, a transaction's worth at a time: what is
    /// sent meanwhile waits for one of them at most.
    pub(crate) async fn expire(&self, spool: &Arc<dyn Spool>) -> Result<(), SpoolError> {
        let (hour, mut after, mut scratch) = (self.now().hour(), None, Scratch::default());
        loop {
            let spool = Arc::clone(spool);
            let due = tokio::task::spawn_blocking(move || spool.due(hour, after, MAX_BATCH)).await;
            // It only ever fails to be run when the relay ends.
            let Ok(due) = due else { return Ok(()) };
            let mut due = due?;
            let Some(last) = due.last() else { return Ok(()) };
            after = Some(last.at);
            due.sort_unstable_by_key(|due| due.of);
            let mut expired = 0;
            for boxes in due.chunk_by(|one, next| one.of == next.of) {
                let Some(Due { of, .. }) = boxes.first() else { continue };
                let of_end =
                    self.with(&mut scratch, &of.channel, |channel, cx| channel.expire(cx, of.end, boxes.len()));
                expired += of_end.unwrap_or(0);
            }
            self.counters.add(Counter::Expired, expired as u64);
            self.queue.is_taken().await;
        }
    }

    /// The relay is about to end: everything that waits for a grace goes to disk.
    pub(crate) async fn flush(&self) {
        self.each(|channel, cx| channel.flush(cx)).await;
        self.queue.is_flushed().await;
    }
}

/// What a connection shows of itself in `Welcome`.
pub(crate) fn welcome(hub: &Hub, config: &crate::Config, challenge: Challenge) -> FromRelay {
    FromRelay::Event(Event::Welcome(Box::new(tacit_proto::frame::Welcome {
        challenge,
        incarnation: hub.incarnation(),
        limits: config.limits,
        notice: lock(&hub.maintenance).as_ref().unwrap_or(&config.notice).clone(),
    })))
}
