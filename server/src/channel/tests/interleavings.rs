//! Two devices that follow the protocol, a relay that may die at any moment, a disk that may fail: whatever happens in
//! whatever order, nothing accepted is lost, nothing comes out of order, and nobody acks what was not delivered.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tacit_proto::frame::{Answer, Event, FromRelay, Refusal, RequestId};
use tacit_proto::{End, EndOf};

use super::rig::{CHANNEL, GRACE, Rig};
use crate::channel::ProtocolError;
use crate::committer::Batch;
use crate::testing::number_of;

#[derive(Clone, Copy, Debug)]
enum Step {
    Attach(End),
    Leave(End),
    Send(End),
    Pull(End),
    Ack(End, usize),
    AckTooMuch(End),
    ReadBack,
    TakeBatch,
    FinishBatch { durable: bool },
    Elapse(u64),
    Crash,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::A), Just(End::B)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => end().prop_map(Step::Attach),
        2 => end().prop_map(Step::Leave),
        16 => end().prop_map(Step::Send),
        10 => end().prop_map(Step::Pull),
        8 => (end(), 1..4usize).prop_map(|(end, most)| Step::Ack(end, most)),
        1 => end().prop_map(Step::AckTooMuch),
        6 => Just(Step::ReadBack),
        8 => Just(Step::TakeBatch),
        8 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(|durable| Step::FinishBatch { durable }),
        5 => prop_oneof![Just(1), Just(GRACE / 2), Just(GRACE)].prop_map(Step::Elapse),
        1 => Just(Step::Crash),
    ]
}

/// A device: what it has on its own disk, and its present attachment.
struct Device {
    key: u8,
    conn: Option<u32>,
    /// Messages 1 to this were written.
    written: u32,
    /// Messages 1 to this were accepted by the relay.
    accepted: u32,
    /// On this attachment: numbers sent and unanswered, and those to be sent again first.
    unanswered: BTreeMap<RequestId, (u64, u32)>,
    retries: BTreeMap<u64, u32>,
    next: (u64, u32),
    /// On this attachment: delivered and unacked, in the order of delivery.
    delivered: Vec<(u32, u64)>,
    last_seq: u64,
    /// Safe on this device.
    inbox: BTreeSet<u32>,
}

impl Device {
    fn new(key: u8) -> Self {
        Self {
            key,
            conn: None,
            written: 0,
            accepted: 0,
            unanswered: BTreeMap::new(),
            retries: BTreeMap::new(),
            next: (1, 1),
            delivered: Vec::new(),
            last_seq: 0,
            inbox: BTreeSet::new(),
        }
    }

    fn leave(&mut self) -> Option<u32> {
        self.unanswered.clear();
        self.retries.clear();
        self.delivered.clear();
        self.last_seq = 0;
        self.conn.take()
    }
}

struct World {
    rig: Rig,
    batch: Batch,
    taken: bool,
    a: Device,
    b: Device,
    conns: u32,
}

impl World {
    fn new() -> Self {
        Self {
            rig: Rig::claimed(),
            batch: Batch::default(),
            taken: false,
            a: Device::new(1),
            b: Device::new(3),
            conns: 100,
        }
    }

    fn device(&mut self, end: End) -> &mut Device {
        match end {
            End::A => &mut self.a,
            End::B => &mut self.b,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Attach(end) => self.attach(end),
            Step::Leave(end) => {
                if let Some(conn) = self.device(end).leave() {
                    self.rig.detach(end, conn);
                }
            }
            Step::Send(end) => self.send(end),
            Step::Pull(end) => {
                if let Some(conn) = self.device(end).conn {
                    self.rig.pull(end, conn, 4_000);
                }
            }
            Step::Ack(end, most) => self.ack(end, most),
            Step::AckTooMuch(end) => {
                let device = self.device(end);
                if let Some(conn) = device.conn {
                    let beyond = device.last_seq + 1;
                    assert_eq!(self.rig.ack(end, conn, beyond), Err(ProtocolError));
                }
            }
            Step::ReadBack => self.rig.load_all(),
            Step::TakeBatch => {
                if !self.taken {
                    self.taken = true;
                    self.rig.take_batch(&mut self.batch);
                }
            }
            Step::FinishBatch { durable } => {
                if self.taken {
                    self.taken = false;
                    self.rig.spool.fail(!durable);
                    self.rig.finish_batch(&mut self.batch);
                    self.rig.spool.fail(false);
                }
            }
            Step::Elapse(millis) => self.rig.elapse(millis),
            Step::Crash => {
                self.batch = Batch::default();
                self.taken = false;
                self.a.leave();
                self.b.leave();
                self.rig.crash().unwrap();
                self.rig.forget_said();
            }
        }
        self.hear(End::A);
        self.hear(End::B);
    }

    fn attach(&mut self, end: End) {
        self.conns += 1;
        let conn = self.conns;
        let device = self.device(end);
        // A newer connection of the same device: the older one is dead and does not know it.
        device.leave();
        device.conn = Some(conn);
        device.next = (1, device.accepted + 1);
        let key = device.key;
        self.rig.attach(end, key, conn).unwrap();
    }

    fn send(&mut self, end: End) {
        let device = self.device(end);
        let Some(conn) = device.conn else { return };
        let (n, number) = device.retries.pop_first().unwrap_or_else(|| {
            let next = device.next;
            device.next = (next.0 + 1, next.1 + 1);
            next
        });
        device.written = device.written.max(number);
        let request = self.rig.send(end, conn, n, number);
        self.device(end).unanswered.insert(request, (n, number));
    }

    fn ack(&mut self, end: End, most: usize) {
        let device = self.device(end);
        let Some(conn) = device.conn else { return };
        let some = most.min(device.delivered.len());
        let Some(&(_, up_to)) = device.delivered[..some].last() else { return };
        let numbers: Vec<u32> = device.delivered.drain(..some).map(|(number, _)| number).collect();
        // Safe first, then acked.
        device.inbox.extend(numbers);
        self.rig.ack(end, conn, up_to).unwrap();
    }

    fn hear(&mut self, end: End) {
        let Some(conn) = self.device(end).conn else { return };
        for frame in self.rig.said(conn) {
            match frame {
                FromRelay::Event(Event::Deliver { seq, payload, .. }) => self.delivered(end, number_of(&payload), seq),
                FromRelay::Answer(request, Answer::Accepted { n, .. }) => self.accepted(end, request, n),
                FromRelay::Answer(request, Answer::Refused(why)) => {
                    assert!(matches!(why, Refusal::Busy | Refusal::OutOfTurn | Refusal::Full), "{why:?}");
                    let device = self.device(end);
                    let (n, number) = device.unanswered.remove(&request).expect("answered once");
                    device.retries.insert(n, number);
                }
                FromRelay::Event(Event::Drained(_) | Event::Room(_)) => {}
                FromRelay::Event(Event::Superseded(_)) => panic!("only older connections are superseded"),
                other => panic!("{other:?}"),
            }
        }
    }

    fn delivered(&mut self, end: End, number: u32, seq: u64) {
        let device = self.device(end);
        assert!(seq > device.last_seq, "seqs grow within an attachment");
        let first_missing = (1..).find(|number| !device.inbox.contains(number)).unwrap();
        let expected = device.delivered.iter().map(|(number, _)| number + 1).fold(first_missing, u32::max);
        assert!(number <= expected, "{number} came before {expected}");
        device.last_seq = seq;
        device.delivered.push((number, seq));
    }

    fn accepted(&mut self, end: End, request: RequestId, n: u64) {
        let device = self.device(end);
        let (sent_n, number) = device.unanswered.remove(&request).expect("answered once");
        assert_eq!(sent_n, n);
        assert_eq!(number, device.accepted + 1, "accepted in order");
        device.accepted = number;
        let to = EndOf { channel: CHANNEL, end: end.other() };
        let on_disk = self.rig.spool.boxes_at(to).iter().any(|sealed| number_of(sealed.bytes()) == number);
        let acked = self.device(end.other()).inbox.contains(&number);
        assert!(on_disk || acked, "accepted means durable or acked");
    }

    /// Peace: the disk works, both devices are there, and everything written is sent until it is accepted.
    fn settle(&mut self) {
        if self.taken {
            self.take(Step::FinishBatch { durable: true });
        }
        self.take(Step::Attach(End::A));
        self.take(Step::Attach(End::B));
        for _ in 0..10_000 {
            for end in [End::A, End::B] {
                let device = self.device(end);
                if !device.retries.is_empty() || device.next.1 <= device.written {
                    self.take(Step::Send(end));
                }
                self.take(Step::ReadBack);
                self.take(Step::Pull(end));
                self.take(Step::Ack(end, usize::MAX));
            }
            self.take(Step::TakeBatch);
            self.take(Step::FinishBatch { durable: true });
            self.take(Step::Elapse(GRACE));
            if self.is_settled(End::A) && self.is_settled(End::B) {
                return;
            }
        }
        panic!("never settles");
    }

    fn is_settled(&mut self, end: End) -> bool {
        let arrived: Vec<u32> = self.device(end.other()).inbox.iter().copied().collect();
        let device = self.device(end);
        let all: Vec<u32> = (1..=device.written).collect();
        device.accepted == device.written && arrived == all && self.rig.channel.end(end).backlog.is_settled()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_accepted_is_lost_and_everything_comes_in_order(steps in proptest::collection::vec(step(), 1..160)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
        world.take(Step::TakeBatch);
        world.take(Step::FinishBatch { durable: true });
        for end in [End::A, End::B] {
            let left = world.rig.spool.boxes_at(EndOf { channel: CHANNEL, end });
            prop_assert!(left.is_empty(), "what was acked is not on disk");
        }
    }
}
