//! A channel with everything around it that it needs, and nothing that runs by itself: each test says what happens.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use tacit_proto::frame::{Answer, Attached, Event, FromRelay, Handle, Open, Refusal, RequestId, Window};
use tacit_proto::{ChannelId, End, EndOf, EndPublic, Permit, SealedBox, SizeClass};

use crate::backlog::Quota;
use crate::channel::{Channel, Context, ProtocolError, Pulled, Rules};
use crate::committer::{Batch, CommitQueue};
use crate::effect::{Asker, Attachment, Effect};
use crate::proven::Proven;
use crate::spool::{Change, Hour, Spool};
use crate::testing::{MemorySpool, number_of, numbered};
use crate::time::Now;

pub(super) const CHANNEL: ChannelId = ChannelId::from_bytes([1; 16]);
pub(super) const GRACE: u64 = 250;
pub(super) const HOLD: u32 = 24 * 3_600;

pub(super) fn key(number: u8) -> EndPublic {
    EndPublic::from_bytes([number; 32])
}

pub(super) fn small(number: u32) -> SealedBox {
    numbered(number, SizeClass::Small)
}

pub(super) fn window(boxes: u32) -> Window {
    Window { boxes: NonZeroU32::new(boxes).unwrap(), bytes: u32::MAX }
}

pub(super) fn request(number: u32) -> RequestId {
    NonZeroU32::new(number).unwrap()
}

/// Connection number and handle number are the same in these tests.
pub(super) fn at(conn: u32) -> Attachment<u32> {
    Attachment { conn, handle: Handle(conn) }
}

pub(super) struct Rig {
    pub(super) channel: Channel<u32>,
    pub(super) spool: Arc<MemorySpool>,
    pub(super) rules: Rules,
    pub(super) now: Now,
    queue: CommitQueue,
    batch: Batch,
    said: BTreeMap<u32, Vec<FromRelay>>,
    pub(super) ready: VecDeque<(Attachment<u32>, EndOf)>,
    graces: VecDeque<(EndOf, u64)>,
    pub(super) loads: VecDeque<(EndOf, u64, usize)>,
    pub(super) noted: Vec<u32>,
    pub(super) unspent: usize,
    requests: u32,
}

pub(super) fn permit() -> Permit {
    Permit::from_bytes([7; 32])
}

pub(super) fn open_request() -> Open {
    Open { channel: CHANNEL, permit: permit(), key_a: key(1), key_b: key(2), join_by: NonZeroU32::new(3_600).unwrap() }
}

impl Rig {
    /// Asked to open, and not yet durable.
    pub(super) fn opening() -> Self {
        let rules = Rules {
            hold: HOLD,
            grace: GRACE,
            window: window(4),
            quota: Quota { boxes: 8, bytes: 8 * SizeClass::Small.box_len() as u64 },
        };
        let now = Now { unix: 1_800_000_000, millis: 0 };
        let spool = Arc::new(MemorySpool::default());
        spool.add_permit(permit().hash());
        let mut fx = Vec::new();
        let asker = Asker { conn: 1, request: request(1) };
        let channel = Channel::open(&mut Context { now, rules: &rules, fx: &mut fx }, &open_request(), asker);
        let mut rig = Self {
            channel,
            spool,
            rules,
            now,
            queue: CommitQueue::default(),
            batch: Batch::default(),
            said: BTreeMap::new(),
            ready: VecDeque::new(),
            graces: VecDeque::new(),
            loads: VecDeque::new(),
            noted: Vec::new(),
            unspent: 0,
            requests: 1,
        };
        rig.carry_out(fx);
        rig
    }

    /// Opened, and unclaimed.
    pub(super) fn opened() -> Self {
        let mut rig = Self::opening();
        rig.commit();
        assert_eq!(rig.said(1), [FromRelay::Answer(request(1), Answer::Done)]);
        rig
    }

    /// Both ends claimed under keys 1 and 3; nobody attached.
    pub(super) fn claimed() -> Self {
        let mut rig = Self::opened();
        assert!(rig.attach(End::B, 2, 2).unwrap().must_rekey);
        rig.rekey(End::B, 2, 2, 3);
        rig.commit();
        rig.detach(End::B, 2);
        rig.forget_said();
        rig
    }

    /// Both ends attached: A on connection 10, B on connection 20, each drained and told so.
    pub(super) fn attached() -> Self {
        let mut rig = Self::claimed();
        rig.attach(End::A, 1, 10).unwrap();
        rig.attach(End::B, 3, 20).unwrap();
        rig.pull_all();
        rig.forget_said();
        rig
    }

    pub(super) fn with<R>(&mut self, act: impl FnOnce(&mut Channel<u32>, &mut Context<'_, u32>) -> R) -> R {
        let mut fx = Vec::new();
        let result = act(&mut self.channel, &mut Context { now: self.now, rules: &self.rules, fx: &mut fx });
        self.carry_out(fx);
        result
    }

    fn carry_out(&mut self, fx: Vec<Effect<u32>>) {
        for effect in fx {
            match effect {
                Effect::Answer(asker, answer) => {
                    self.said.entry(asker.conn).or_default().push(FromRelay::Answer(asker.request, answer));
                }
                Effect::Event(conn, event) => self.said.entry(conn).or_default().push(FromRelay::Event(event)),
                Effect::Ready(at, of) => self.ready.push_back((at, of)),
                Effect::Commit(change, fate) => self.queue.push([(change, fate)]),
                Effect::Withdraw { to, from } => self.queue.withdraw(to, from),
                Effect::Grace { of, at } => self.graces.push_back((of, at)),
                Effect::Load { of, from, most } => self.loads.push_back((of, from, most)),
                Effect::TriedNoted(conn) => self.noted.push(conn),
                Effect::PermitUnspent(_) => self.unspent += 1,
            }
        }
    }

    pub(super) fn asker(&mut self, conn: u32) -> Asker<u32> {
        self.requests += 1;
        Asker { conn, request: request(self.requests) }
    }

    pub(super) fn attach(&mut self, end: End, key_number: u8, conn: u32) -> Result<Attached, Refusal> {
        self.attach_with(end, key_number, conn, window(u32::MAX))
    }

    pub(super) fn attach_with(
        &mut self,
        end: End,
        key_number: u8,
        conn: u32,
        window: Window,
    ) -> Result<Attached, Refusal> {
        let proven = Proven::for_test(EndOf { channel: CHANNEL, end }, key(key_number));
        self.with(|channel, cx| channel.attach(cx, &proven, at(conn), window))
    }

    pub(super) fn detach(&mut self, end: End, conn: u32) {
        self.with(|channel, cx| channel.detach(cx, end, &at(conn)));
    }

    pub(super) fn rekey(&mut self, end: End, old: u8, conn: u32, new: u8) -> RequestId {
        let proven = Proven::for_test(EndOf { channel: CHANNEL, end }, key(old));
        let asker = self.asker(conn);
        let request = asker.request;
        self.with(|channel, cx| channel.rekey(cx, &proven, at(conn), key(new), asker));
        request
    }

    pub(super) fn close(&mut self, end: End, conn: u32) -> RequestId {
        let asker = self.asker(conn);
        let request = asker.request;
        self.with(|channel, cx| channel.close(cx, end, at(conn), asker));
        request
    }

    pub(super) fn send(&mut self, end: End, conn: u32, n: u64, number: u32) -> RequestId {
        let asker = self.asker(conn);
        let request = asker.request;
        self.with(|channel, cx| channel.send(cx, end, &at(conn), n, asker, Ok(small(number))));
        request
    }

    pub(super) fn ack(&mut self, end: End, conn: u32, up_to: u64) -> Result<usize, ProtocolError> {
        self.with(|channel, cx| channel.ack(cx, end, &at(conn), up_to))
    }

    /// Pulls for one attachment.
    pub(super) fn pull(&mut self, end: End, conn: u32, budget: usize) -> Pulled {
        let mut out = Vec::new();
        let pulled = self.with(|channel, cx| channel.pull(cx, end, &at(conn), budget, &mut out));
        self.said.entry(conn).or_default().extend(out.into_iter().map(FromRelay::Event));
        pulled
    }

    /// Carries out one transaction of whatever waits.
    pub(super) fn commit(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        self.take_batch(&mut batch);
        let durable = self.finish_batch(&mut batch);
        self.batch = batch;
        durable
    }

    /// The committer begins a transaction …
    pub(super) fn take_batch(&mut self, batch: &mut Batch) {
        self.queue.take(batch);
    }

    /// … and ends it.
    pub(super) fn finish_batch(&mut self, batch: &mut Batch) -> bool {
        let mut told: Vec<(Change, bool)> = Vec::new();
        let durable = batch.commit(&*self.spool, |change, durable| told.push((change.clone(), durable)));
        for (change, durable) in told {
            match change {
                Change::Append { to, key, .. } => {
                    self.with(|channel, cx| channel.appended(cx, to.end, key.seq, durable));
                }
                Change::PutChannel(..) | Change::ForgetChannel(..) => {
                    self.with(|channel, cx| channel.row_committed(cx, durable));
                }
                _ => {}
            }
        }
        durable
    }

    pub(super) fn commit_all(&mut self) {
        for _ in 0..8 {
            self.commit();
        }
    }

    pub(super) fn load_all(&mut self) {
        while let Some((of, from, most)) = self.loads.pop_front() {
            let result = self.spool.load(of, from, most);
            self.with(|channel, cx| channel.loaded(cx, of.end, (from, most), result));
        }
    }

    /// Every connection that was told to pull does, and gets what must be read back.
    pub(super) fn pull_all(&mut self) {
        loop {
            self.load_all();
            let Some((at, of)) = self.ready.pop_front() else { return };
            if self.pull(of.end, at.conn, usize::MAX).more {
                self.ready.push_back((at, of));
            }
        }
    }

    /// Time passes, and graces run out.
    pub(super) fn elapse(&mut self, millis: u64) {
        self.now.millis += millis;
        let due = self.graces.iter().take_while(|(_, at)| *at <= self.now.millis).count();
        for (of, _) in self.graces.drain(..due).collect::<Vec<_>>() {
            self.with(|channel, cx| channel.grace_over(cx, of.end));
        }
    }

    pub(super) fn hours_pass(&mut self, hours: u64) -> Hour {
        self.now.unix += hours * 3_600;
        self.with(|channel, cx| {
            channel.sweep(cx);
            [End::A, End::B].map(|end| channel.expire(cx, end, usize::MAX))
        });
        self.now.hour()
    }

    /// The relay dies, and starts again on what is durable. `None` if the channel was never durable, or is forgotten.
    pub(super) fn crash(&mut self) -> Option<()> {
        let recovered = self.spool.recovered();
        self.queue = CommitQueue::default();
        self.batch = Batch::default();
        self.ready.clear();
        self.graces.clear();
        self.loads.clear();
        let (id, row) = recovered.channels.into_iter().next()?;
        let mut channel = Channel::recover(id, row);
        for waiting in recovered.waiting {
            channel.recover_box(waiting.of.end, waiting.key, waiting.class);
        }
        self.channel = channel;
        self.with(Channel::purge_what_was_closed);
        Some(())
    }

    /// What a connection was told since this was last asked.
    pub(super) fn said(&mut self, conn: u32) -> Vec<FromRelay> {
        self.said.remove(&conn).unwrap_or_default()
    }

    pub(super) fn forget_said(&mut self) {
        self.said.clear();
    }

    /// Which of the boxes that a connection was given since this was last asked said that nothing waits behind them.
    pub(super) fn lasts(&mut self, conn: u32) -> Vec<bool> {
        let delivered = |frame: FromRelay| match frame {
            FromRelay::Event(Event::Deliver { last, .. }) => Some(last),
            _ => None,
        };
        self.said(conn).into_iter().filter_map(delivered).collect()
    }

    /// The numbers and seqs of the boxes that a connection was given since this was last asked.
    pub(super) fn boxes(&mut self, conn: u32) -> Vec<(u32, u64)> {
        let delivered = |frame: FromRelay| match frame {
            FromRelay::Event(Event::Deliver { seq, payload, .. }) => Some((number_of(&payload), seq)),
            _ => None,
        };
        self.said(conn).into_iter().filter_map(delivered).collect()
    }
}
