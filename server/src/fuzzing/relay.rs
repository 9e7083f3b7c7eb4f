//! The relay, with devices that keep to no rule. Its threads and tasks are steps here: the script says what happens when.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tacit_proto::frame::{
    Answer, AttachItem, Event, FromRelay, Handle, Open, Refusal, Request, RequestId, ToRelay, Window,
};
use tacit_proto::limits::MAX_FRAME;
use tacit_proto::{ChannelId, Command, End, EndKey, EndOf, EnrolCode, Permit, Proof, SealedBox, SizeClass};
use tempfile::TempDir;

use super::model::{Attached, Model};
use super::script::Script;
use crate::backlog::Quota;
use crate::channel::Rules;
use crate::committer::Batch;
use crate::counters::Counter;
use crate::enrolment::Enrolments;
use crate::hub::{Hub, Scratch};
use crate::limits::{Guest, Limits};
use crate::pressure::Pressure;
use crate::reader::{LoadQueue, Loads};
use crate::session::{Session, WRITE_BUDGET};
use crate::spool::{Spool, SpoolError};
use crate::testing::MemorySpool;
use crate::{Clock, Config};

const HOLD: u32 = 24 * 3_600;
const QUOTA: Quota = Quota { boxes: 12, bytes: 12 * SizeClass::Small.box_len() as u64 };
const WINDOW_BOXES: u32 = 5;
const IN_FLIGHT: u32 = 8;
const CHANNELS: u8 = 2;
const CONNECTIONS: usize = 3;

/// The same for all: its tables are large, and it counts nobody here.
static LIMITS: LazyLock<Arc<Limits>> = LazyLock::new(|| {
    let mut abuse = Config::new("").abuse;
    // Nobody waits for a clock here.
    abuse.proofs_per_second = u32::MAX;
    Arc::new(Limits::new(abuse))
});

/// Long enough to go anywhere, and over soon enough.
const MOST_STEPS: usize = 160;

pub(super) fn check(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(World::new().run(&mut Script(bytes)));
}

fn channel(number: u8) -> ChannelId {
    ChannelId::from_bytes([number % CHANNELS + 1; 16])
}

/// Each end's keys: that which it was opened with, and those that it may get.
fn key(of: EndOf, number: u8) -> EndKey {
    let mut secret = [number % 3 + 1; 32];
    secret[0] = of.channel.as_bytes()[0];
    secret[1] = of.end.number();
    EndKey::from_secret_bytes(secret)
}

fn permit(number: u8) -> Permit {
    Permit::from_bytes([number % 5; 32])
}

fn code() -> EnrolCode {
    EnrolCode::from_bytes([77; 32])
}

/// What an answer is awaited for.
enum Asked {
    Attach(Vec<(EndOf, u8)>, Window),
    Rekey(Handle, u8),
    Send { to: EndOf, number: u32, handle: Handle, n: u64 },
    Close,
    Ping,
    Other,
}

/// A device's connection.
struct Conn {
    session: Session,
    asked: BTreeMap<RequestId, Asked>,
    attached: BTreeMap<Handle, Attached>,
    request: u32,
}

struct World {
    spool: Arc<MemorySpool>,
    enrolments: Enrolments,
    _data: TempDir,
    wall: Arc<AtomicU64>,
    limits: Arc<Limits>,
    hub: Arc<Hub>,
    loads: Loads,
    batch: Batch,
    scratch: Scratch,
    conns: Vec<Conn>,
    model: Model,
    /// Channels that somebody asked to close, or that may have run out.
    ending: BTreeSet<ChannelId>,
}

fn start(spool: &MemorySpool, wall: &Arc<AtomicU64>, enrolments: &Enrolments) -> (Arc<Hub>, Loads) {
    let rules = Rules {
        hold: HOLD,
        // The script says when a grace is over.
        grace: 0,
        window: Window { boxes: NonZeroU32::new(WINDOW_BOXES).unwrap(), bytes: 1 << 20 },
        quota: QUOTA,
    };
    let wall = Arc::clone(wall);
    let clock = Clock::with_wall(move || UNIX_EPOCH + Duration::from_secs(wall.load(Ordering::Relaxed)));
    let (queue, loads) = LoadQueue::new();
    (Arc::new(Hub::new(rules, clock, spool.recovered(), enrolments.clone(), queue)), loads)
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let enrolments = Enrolments::open(data.path()).unwrap();
        let spool = Arc::new(MemorySpool::default());
        (0..3).for_each(|number| spool.add_permit(permit(number).hash()));
        let wall = Arc::new(AtomicU64::new(1_800_000_000));
        let (hub, loads) = start(&spool, &wall, &enrolments);
        let limits = Arc::clone(&LIMITS);
        let (batch, scratch) = (Batch::default(), Scratch::default());
        let (model, ending) = (Model::default(), BTreeSet::new());
        let conns = Vec::new();
        let mut world =
            Self { spool, enrolments, _data: data, wall, limits, hub, loads, batch, scratch, conns, model, ending };
        world.conns = (0..CONNECTIONS).map(|_| world.connect()).collect();
        world
    }

    fn connect(&self) -> Conn {
        let guest = Guest::unlimited(Arc::clone(&self.limits));
        let session = Session::new(Arc::clone(&self.hub), IN_FLIGHT, &guest);
        Conn { session, asked: BTreeMap::new(), attached: BTreeMap::new(), request: 0 }
    }

    async fn run(mut self, script: &mut Script<'_>) {
        // Half of all scripts begin with two ends that talk.
        if script.byte() % 2 == 1 {
            self.pair().await;
        }
        for _ in 0..MOST_STEPS {
            if script.is_over() {
                break;
            }
            self.step(script).await;
            let tally = self.hub.tally();
            assert!(tally.boxes <= u64::from(CHANNELS) * 2 * u64::from(QUOTA.boxes), "quotas bound what waits");
        }
        self.finish().await;
    }

    /// Channel 1 is opened and claimed, and connections 0 and 1 have its ends.
    async fn pair(&mut self) {
        let (a, b) = (EndOf { channel: channel(0), end: End::A }, EndOf { channel: channel(0), end: End::B });
        self.open(0, 0, 0).await;
        self.commit();
        let window = Window { boxes: NonZeroU32::MAX, bytes: u32::MAX };
        self.attach(0, &[(a, 0)], window).await;
        self.attach(1, &[(b, 0)], window).await;
        self.collect(0);
        self.collect(1);
        self.rekey(1, Handle(1), 1).await;
        self.commit();
        self.collect(1);
        assert!(!self.conns[1].attached[&Handle(1)].must_rekey);
    }

    async fn step(&mut self, script: &mut Script<'_>) {
        let conn = usize::from(script.byte()) % CONNECTIONS;
        match script.byte() % 18 {
            0 => self.open(conn, script.byte(), script.byte()).await,
            1 => {
                let count = 1 + script.byte() % 3;
                let ends: Vec<_> = (0..count).map(|_| (some_end(script), script.byte())).collect();
                let boxes = NonZeroU32::new(u32::from(script.byte() % 8)).unwrap_or(NonZeroU32::MAX);
                let bytes = if script.byte() == 0 { u32::MAX } else { script.u32() };
                self.attach(conn, &ends, Window { boxes, bytes }).await;
            }
            2 => {
                let handle = self.some_handle(conn, script);
                self.rekey(conn, handle, script.byte()).await;
            }
            3 | 4 => {
                let handle = self.some_handle(conn, script);
                self.send(conn, handle, script.byte()).await;
            }
            5 | 6 => {
                let handle = self.some_handle(conn, script);
                self.ack(conn, handle, script.byte()).await;
            }
            7 => {
                let handle = self.some_handle(conn, script);
                self.close(conn, handle).await;
            }
            8 => match script.byte() % 3 {
                0 => self.ask(conn, Request::Ping, Asked::Ping).await,
                1 => self.ask(conn, Request::Unknown, Asked::Other).await,
                _ => {
                    let permit_hashes = (3..4 + script.byte() % 2).map(|number| permit(number).hash()).collect();
                    let code = if script.byte() % 4 == 3 { EnrolCode::from_bytes([1; 32]) } else { code() };
                    self.ask(conn, Request::Enrol { code, permit_hashes }, Asked::Other).await;
                }
            },
            9 => {
                let length = usize::from(script.byte());
                self.raw(conn, script.bytes(length)).await;
            }
            10 | 11 => self.collect(conn),
            12 => self.commit(),
            13 => self.end_graces(),
            14 => self.load(script.byte() % 4 == 3),
            15 => match script.byte() % 4 {
                0 => self.spool.fail(true),
                1 => self.spool.fail(false),
                2 => drop(self.hub.set_pressure(script.one_of(&[Pressure::Calm, Pressure::Tight]).unwrap())),
                _ => self.leave_offer(),
            },
            16 => self.conns[conn] = self.connect(),
            _ => match script.byte() % 4 {
                0 => self.pass_time(u64::from(script.byte()) * 600).await,
                1 => self.pass_time(u64::from(HOLD) + 2 * 3_600).await,
                _ => self.restart(),
            },
        }
    }

    // What devices do.

    async fn open(&mut self, conn: usize, number: u8, permit_number: u8) {
        let channel = channel(number);
        let [a, b] = [End::A, End::B].map(|end| key(EndOf { channel, end }, 0).public());
        let join_by = NonZeroU32::new(3_600).unwrap();
        let open = Open { channel, permit: permit(permit_number), key_a: a, key_b: b, join_by };
        self.ask(conn, Request::Open(Box::new(open)), Asked::Other).await;
    }

    async fn attach(&mut self, conn: usize, ends: &[(EndOf, u8)], window: Window) {
        let challenge = *self.conns[conn].session.challenge();
        let prove = |(of, number): &(EndOf, u8)| {
            let proof = match number {
                255 => Proof::from_bytes([0; 32]),
                number => key(*of, *number).prove(&challenge, of, &Command::Attach).unwrap(),
            };
            AttachItem { of: *of, proof }
        };
        let items = ends.iter().map(prove).collect();
        let asked = Asked::Attach(ends.to_vec(), window);
        self.ask(conn, Request::Attach { items, window }, asked).await;
    }

    async fn rekey(&mut self, conn: usize, handle: Handle, keys: u8) {
        let challenge = *self.conns[conn].session.challenge();
        let Some(attached) = self.conns[conn].attached.get(&handle) else { return };
        let of = attached.of;
        let (old, new) = (key(of, keys / 3), key(of, keys));
        let new_key = new.public();
        let proof = old.prove(&challenge, &of, &Command::Rekey(&new_key)).unwrap();
        self.ask(conn, Request::Rekey { handle, new_key, proof }, Asked::Rekey(handle, keys)).await;
    }

    async fn send(&mut self, conn: usize, handle: Handle, how: u8) {
        let Some(attached) = self.conns[conn].attached.get_mut(&handle) else {
            let payload = Bytes::from_static(&[1, 1]);
            return self.ask(conn, Request::Send { handle, n: 1, payload }, Asked::Other).await;
        };
        let n = match how % 8 {
            7 => attached.next_n.wrapping_add(1),
            6 => attached.next_n - 1,
            _ => attached.next_n,
        };
        let to = EndOf { end: attached.of.end.other(), ..attached.of };
        let (number, mut payload) = self.model.sent(to, SizeClass::Small);
        if how / 8 == 31 {
            payload.truncate(payload.len() - 1);
        }
        self.ask(conn, Request::Send { handle, n, payload }, Asked::Send { to, number, handle, n }).await;
        // As a device does that waits for no answer.
        if let Some(attached) = self.conns[conn].attached.get_mut(&handle)
            && n == attached.next_n
        {
            attached.next_n += 1;
        }
    }

    async fn ack(&mut self, conn: usize, handle: Handle, how: u8) {
        let seq = self.conns[conn].attached.get(&handle).map_or(0, |attached| attached.seq);
        let up_to = match how % 8 {
            7 => seq + 1 + u64::from(how / 8),
            6 => seq.saturating_sub(u64::from(how / 8)),
            _ => seq,
        };
        let before = self.hub.counters.get(Counter::Acked);
        let taken = self.take(conn, ToRelay::Ack { handle, up_to }).await;
        let counted = self.hub.counters.get(Counter::Acked) - before;
        let attached = self.conns[conn].attached.get_mut(&handle);
        match (taken, attached) {
            (true, Some(attached)) if up_to <= seq => self.model.acked(attached, up_to, counted),
            // It is dead there, and all is one to the relay.
            (true, Some(_)) => assert_eq!(counted, 0),
            (true, None) => assert_eq!(counted, 0),
            (false, attached) => {
                let is_lie = attached.is_none_or(|attached| up_to > attached.seq);
                assert!(is_lie, "an ack of what came is no breach");
                self.conns[conn] = self.connect();
            }
        }
    }

    async fn close(&mut self, conn: usize, handle: Handle) {
        match self.conns[conn].attached.get(&handle) {
            Some(attached) => drop(self.ending.insert(attached.of.channel)),
            // It may be one whose answer is on its way.
            None => self.ending.extend((0..CHANNELS).map(channel)),
        }
        self.ask(conn, Request::Close { handle }, Asked::Close).await;
    }

    /// Whatever the bytes say. What it leads to is not followed: only that it is answered.
    async fn raw(&mut self, conn: usize, bytes: &[u8]) {
        match ToRelay::decode(Bytes::copy_from_slice(bytes)) {
            Ok(ToRelay::Request(_, Request::Attach { .. } | Request::Send { .. } | Request::Rekey { .. })) | Err(_) => {
            }
            Ok(ToRelay::Request(_, Request::Close { handle })) => {
                self.close(conn, handle).await;
            }
            Ok(ToRelay::Request(_, request)) => self.ask(conn, request, Asked::Other).await,
            Ok(ToRelay::Ack { handle, up_to }) => {
                let seq = self.conns[conn].attached.get(&handle).map_or(0, |attached| attached.seq);
                if up_to > seq && !self.take(conn, ToRelay::Ack { handle, up_to }).await {
                    self.conns[conn] = self.connect();
                }
            }
        }
    }

    fn some_handle(&self, conn: usize, script: &mut Script<'_>) -> Handle {
        let handles: Vec<_> = self.conns[conn].attached.keys().copied().collect();
        match script.byte() {
            255 => Handle(script.u32()),
            which => handles.get(usize::from(which) % handles.len().max(1)).copied().unwrap_or(Handle(1)),
        }
    }

    /// Asks as the connection does: beyond what may be in flight, it is read no further until something was written.
    async fn ask(&mut self, conn: usize, request: Request, asked: Asked) {
        let id = self.conns[conn].request + 1;
        let id_number = NonZeroU32::new(id).unwrap();
        let frame = ToRelay::Request(id_number, request);
        if !self.conns[conn].session.may_take(&frame) {
            self.collect(conn);
            if !self.conns[conn].session.may_take(&frame) {
                return;
            }
        }
        // It went over the wire.
        let frame = ToRelay::decode(frame.encode()).expect("a device's frame is one");
        self.conns[conn].request = id;
        self.conns[conn].asked.insert(id_number, asked);
        assert!(self.take(conn, frame).await, "no request ends a connection");
    }

    async fn take(&mut self, conn: usize, frame: ToRelay) -> bool {
        let Self { conns, hub, spool, batch, scratch, .. } = self;
        let taking = conns[conn].session.take(frame);
        tokio::pin!(taking);
        loop {
            tokio::select! {
                biased;
                taken = &mut taking => return taken.is_ok(),
                () = tokio::task::yield_now() => commit(hub, spool, batch, scratch),
            }
        }
    }

    // What the relay says.

    fn collect(&mut self, conn: usize) {
        loop {
            let mut frames = Vec::new();
            let more = self.conns[conn].session.collect(&mut frames);
            let bytes: usize = frames
                .iter()
                .map(|frame| match frame {
                    FromRelay::Event(Event::Deliver { payload, .. }) => payload.len(),
                    _ => 0,
                })
                .sum();
            assert!(bytes <= WRITE_BUDGET + SizeClass::Large.box_len(), "what is taken at once is bounded");
            for frame in frames {
                let encoded = frame.clone().encode();
                assert!(encoded.len() <= MAX_FRAME);
                assert_eq!(FromRelay::decode(encoded).as_ref(), Ok(&frame));
                self.hear(conn, frame);
            }
            if !more {
                return;
            }
        }
    }

    fn hear(&mut self, conn: usize, frame: FromRelay) {
        let Conn { asked, attached, .. } = &mut self.conns[conn];
        match frame {
            FromRelay::Answer(id, answer) => {
                let asked = asked.remove(&id).expect("every request is answered once, and nothing else");
                self.answered(conn, asked, answer);
            }
            FromRelay::Event(Event::Deliver { handle, seq, payload, last }) => {
                assert!(SealedBox::check(payload.clone()).is_ok());
                let at = attached.get_mut(&handle).expect("what comes names a handle that was given out");
                self.model.delivered(at, seq, &payload);
                at.told_empty = last;
                if last && !self.ending.contains(&at.of.channel) {
                    self.model.nothing_waits_but(at.of, &at.numbers());
                }
            }
            FromRelay::Event(Event::Drained(handle)) => {
                let at = attached.get_mut(&handle).expect("what comes names a handle that was given out");
                at.told_empty = true;
                if !self.ending.contains(&at.of.channel) {
                    self.model.nothing_waits_but(at.of, &BTreeSet::new());
                }
            }
            FromRelay::Event(
                Event::Room(handle) | Event::Superseded(handle) | Event::Closed(handle, _) | Event::InviteTried(handle),
            ) => assert!(attached.contains_key(&handle), "what comes names a handle that was given out"),
            FromRelay::Event(Event::Welcome(_) | Event::Restarting { .. }) => panic!("a session does not say that"),
        }
    }

    fn answered(&mut self, conn: usize, asked: Asked, answer: Answer) {
        let attached = &mut self.conns[conn].attached;
        match (asked, answer) {
            (Asked::Attach(ends, window), Answer::Attach(results)) => {
                assert_eq!(ends.len(), results.len());
                for ((of, keys), result) in ends.into_iter().zip(results) {
                    let Ok(given) = result else { continue };
                    let is_invites = of.end == End::B && keys % 3 == 0;
                    assert_eq!(given.must_rekey, is_invites, "an invite's key admits to a claim and to nothing else");
                    assert!(!given.must_rekey || of.end == End::B && given.waiting == 0);
                    let new = Attached::new(of, window, given.must_rekey);
                    assert!(attached.insert(given.handle, new).is_none(), "a handle is given out once");
                }
            }
            (Asked::Rekey(handle, keys), Answer::Done) => {
                assert!(attached[&handle].of.end == End::A || keys % 3 > 0, "an invite's key is no end's own");
                attached.get_mut(&handle).unwrap().must_rekey = false;
            }
            (Asked::Send { to, number, handle, n }, Answer::Accepted { handle: at, n: accepted, hold }) => {
                assert_eq!((at, accepted), (handle, n));
                assert_eq!(hold, HOLD, "the hold is never cut");
                assert!(!attached[&handle].must_rekey);
                self.model.accepted(to, number);
            }
            (Asked::Send { handle, n, .. }, Answer::Refused(_)) => {
                let at = attached.get_mut(&handle).unwrap();
                at.next_n = at.next_n.min(n).max(1);
            }
            (Asked::Ping, Answer::Pong(handles)) => {
                assert!(handles.iter().all(|handle| attached.contains_key(handle)));
            }
            (Asked::Close | Asked::Other, Answer::Done) | (Asked::Other, Answer::Pong(_)) => {}
            (Asked::Rekey(..) | Asked::Close | Asked::Other | Asked::Attach(..), Answer::Refused(why)) => {
                assert!(why != Refusal::OutOfTurn && why != Refusal::Full, "{why:?}");
            }
            (_, answer) => panic!("not an answer to this: {answer:?}"),
        }
    }

    // What the relay's threads and tasks do.

    fn commit(&mut self) {
        commit(&self.hub, &self.spool, &mut self.batch, &mut self.scratch);
    }

    fn end_graces(&mut self) {
        while let Some(of) = self.hub.graces.pop_due(u64::MAX) {
            self.hub.grace_over(&mut self.scratch, of);
            if of.channel.as_bytes()[0] > CHANNELS {
                break;
            }
        }
    }

    fn load(&mut self, fails: bool) {
        while let Ok(Some(load)) = self.loads.try_recv() {
            let result = match fails {
                true => Err(SpoolError::Read("no".to_owned())),
                false => self.spool.load(load.of, load.from, load.most),
            };
            self.hub.loaded(&mut self.scratch, load, result);
            if fails {
                return;
            }
        }
    }

    /// What the operator's `enrol` does.
    fn leave_offer(&self) {
        let offer = crate::Offer { permits: NonZeroU16::new(2).unwrap(), expires: 4_000_000_000 };
        self.enrolments.add(&code().hash(), offer).unwrap();
    }

    async fn pass_time(&mut self, seconds: u64) {
        self.wall.fetch_add(seconds, Ordering::Relaxed);
        // Everything may have been sent long before.
        self.model.may_be_gone(|_| true);
        self.ending.extend((0..CHANNELS).map(channel));
        let Self { hub, spool, batch, scratch, .. } = self;
        let spool_too: Arc<dyn Spool> = Arc::clone(spool) as Arc<dyn Spool>;
        let chores = async {
            hub.expire(&spool_too).await.unwrap();
            hub.sweep().await;
        };
        tokio::pin!(chores);
        loop {
            tokio::select! {
                biased;
                () = &mut chores => return,
                () = tokio::task::yield_now() => commit(hub, spool, batch, scratch),
            }
        }
    }

    /// The relay is killed: what was not on the disk never was.
    fn restart(&mut self) {
        (self.hub, self.loads) = start(&self.spool, &self.wall, &self.enrolments);
        (self.batch, self.scratch) = (Batch::default(), Scratch::default());
        self.conns = (0..CONNECTIONS).map(|_| self.connect()).collect();
        self.model.restarted();
    }

    /// The disk is well, everything is done that waits, and every end is looked after once more.
    async fn finish(mut self) {
        self.spool.fail(false);
        for _ in 0..4 {
            self.quiesce();
        }
        for conn in &self.conns {
            assert!(conn.asked.is_empty(), "every request is answered");
        }
        self.conns = (0..CONNECTIONS).map(|_| self.connect()).collect();
        self.quiesce();
        let mut all_emptied = true;
        for number in 0..CHANNELS {
            for end in [End::A, End::B] {
                let of = EndOf { channel: channel(number), end };
                all_emptied &= self.fetch_all(of).await;
            }
        }
        self.quiesce();
        if all_emptied {
            assert_eq!((self.hub.tally().boxes, self.hub.tally().bytes), (0, 0), "what was acked is counted as gone");
        }
    }

    fn quiesce(&mut self) {
        for _ in 0..8 {
            self.commit();
            self.end_graces();
            self.load(false);
            (0..CONNECTIONS).for_each(|conn| self.collect(conn));
        }
    }

    /// Attaches an end under whichever key it has, and fetches and acks what waits there. False if it has none of ours, or
    /// is not claimed.
    async fn fetch_all(&mut self, of: EndOf) -> bool {
        let window = Window { boxes: NonZeroU32::MAX, bytes: u32::MAX };
        for number in 0..3 {
            let before: BTreeSet<_> = self.conns[0].attached.keys().copied().collect();
            self.attach(0, &[(of, number)], window).await;
            self.quiesce();
            let new = self.conns[0].attached.iter().find(|(handle, _)| !before.contains(handle));
            let Some((handle, attached)) = new.map(|(handle, attached)| (*handle, attached)) else { continue };
            if attached.must_rekey {
                return false;
            }
            let mut came = BTreeSet::new();
            loop {
                self.quiesce();
                let fresh = self.conns[0].attached[&handle].numbers();
                if fresh.is_empty() {
                    break;
                }
                came.extend(fresh);
                self.ack(0, handle, 0).await;
            }
            assert!(self.conns[0].attached[&handle].told_empty, "an end is told that nothing waits any more");
            if !self.ending.contains(&of.channel) {
                self.model.nothing_waits_but(of, &came);
            }
            assert!(self.spool.boxes_at(of).is_empty(), "what was acked leaves the disk");
            return true;
        }
        let exists = self.spool.row(of.channel).is_some();
        assert!(!exists || self.ending.contains(&of.channel), "an end that there is can be attached");
        false
    }
}

fn commit(hub: &Hub, spool: &MemorySpool, batch: &mut Batch, scratch: &mut Scratch) {
    hub.queue.take(batch);
    batch.commit(spool, |change, durable| hub.committed(scratch, change, durable));
    hub.queue.reported();
}

fn some_end(script: &mut Script<'_>) -> EndOf {
    let byte = script.byte();
    let end = if byte.is_multiple_of(2) { End::A } else { End::B };
    EndOf { channel: channel(byte / 2), end }
}
