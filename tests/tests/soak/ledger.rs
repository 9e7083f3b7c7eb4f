//! What became of each box on its way to one end, as the devices know it, and what must therefore hold.
//!
//! A box is sent once, under a number that grows: the relay admits boxes of one end in the order of their numbers, and so
//! must everything be that it does with them.

use std::collections::VecDeque;

use bytes::Bytes;
use tacit_proto::frame::{Attached, Window};
use tacit_proto::{End, SizeClass};

use super::world::World;

/// When an ack is known to have reached the relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    pub(crate) life: u32,
    pub(crate) at_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    answer: Option<Answered>,
    deliveries: u32,
    /// Its end acked it; whether the relay heard of that is open until it is confirmed.
    acked: bool,
    confirmed: Option<Confirmed>,
    /// Seconds since the Unix epoch, from which on the relay need not keep it.
    kept_until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Accepted,
    Refused,
    /// The connection ended first.
    Never,
}

impl Fate {
    /// Its end must still get it.
    fn is_due(&self, wall: u64) -> bool {
        self.answer == Some(Answered::Accepted) && !self.acked && wall < self.kept_until
    }
}

/// The boxes to one end.
#[derive(Debug)]
pub(crate) struct Ledger {
    channel: u16,
    to: End,
    fates: Vec<Fate>,
    /// Nothing up to this number will be due any more.
    settled: usize,
    accepted: u32,
    is_purged: bool,
}

/// An attachment of the end that gets the boxes.
#[derive(Debug)]
pub(crate) struct Inbox {
    life: u32,
    window: Window,
    /// The newest box that was accepted before the end was attached.
    accepted_before: u32,
    seq: u64,
    last: u32,
    /// Their seqs, numbers and lengths.
    unacked: VecDeque<(u64, u32, usize)>,
    /// Acked after this request: the answer to a later one confirms it.
    unconfirmed: VecDeque<(u32, u32)>,
    /// This attachment must have ended at the relay before this request came to it.
    ends_before: Option<u32>,
}

impl Inbox {
    /// About to attach. `life` is that of the relay that the connection leads to.
    pub(crate) fn new(ledger: &Ledger, life: u32, window: Window) -> Self {
        Self {
            life,
            window,
            accepted_before: ledger.accepted,
            seq: 0,
            last: 0,
            unacked: VecDeque::new(),
            unconfirmed: VecDeque::new(),
            ends_before: None,
        }
    }

    /// How many boxes were delivered and not acked.
    pub(crate) fn unacked(&self) -> usize {
        self.unacked.len()
    }
}

/// How it all ended, for one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    /// Accepted, delivered and acked.
    pub(crate) delivered: u64,
    /// Accepted, and gone with its hold over, or with the channel that its recipient closed.
    pub(crate) expired: u64,
    /// Accepted, and still due.
    pub(crate) held: u64,
    pub(crate) refused: u64,
    /// Of those, delivered before they were, on an attachment that had ended.
    pub(crate) refused_delivered: u64,
    /// Their connection ended before the answer.
    pub(crate) unanswered: u64,
    /// Of those, delivered nevertheless.
    pub(crate) unanswered_delivered: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.sent += more.sent;
        self.accepted += more.accepted;
        self.delivered += more.delivered;
        self.expired += more.expired;
        self.held += more.held;
        self.refused += more.refused;
        self.refused_delivered += more.refused_delivered;
        self.unanswered += more.unanswered;
        self.unanswered_delivered += more.unanswered_delivered;
    }
}

impl Ledger {
    pub(crate) fn new(channel: u16, to: End) -> Self {
        Self { channel, to, fates: Vec::new(), settled: 0, accepted: 0, is_purged: false }
    }

    fn fate(&mut self, number: u32) -> &mut Fate {
        &mut self.fates[number as usize - 1]
    }

    fn payload(&self, class: SizeClass, number: u32) -> Bytes {
        let mut bytes = vec![number as u8; class.box_len()];
        bytes[..2].copy_from_slice(&class.header());
        bytes[2..6].copy_from_slice(&number.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.channel.to_be_bytes());
        bytes[8] = self.to as u8;
        bytes.into()
    }

    // What the sender does and hears.

    /// The next box is about to be sent.
    pub(crate) fn send(&mut self, class: SizeClass, world: &World) -> (u32, Bytes) {
        let kept_until = if self.is_purged { 0 } else { world.wall_at_least() + world.hold() };
        self.fates.push(Fate { kept_until, ..Fate::default() });
        let number = self.fates.len() as u32;
        (number, self.payload(class, number))
    }

    fn answered(&mut self, number: u32, answer: Answered) {
        let before = self.fate(number).answer.replace(answer);
        assert_eq!(before, None, "box {number} to {:?} of channel {} is answered twice", self.to, self.channel);
    }

    pub(crate) fn accepted(&mut self, number: u32) {
        self.answered(number, Answered::Accepted);
        self.accepted = number;
    }

    pub(crate) fn refused(&mut self, number: u32) {
        self.answered(number, Answered::Refused);
    }

    pub(crate) fn never_answered(&mut self, number: u32) {
        self.answered(number, Answered::Never);
    }

    // What the recipient hears and does.

    /// The end is attached.
    pub(crate) fn attached(&self, inbox: &Inbox, attached: &Attached, wall: u64) {
        let known = &self.fates[self.settled..(inbox.accepted_before as usize).max(self.settled)];
        let due = known.iter().filter(|fate| fate.is_due(wall)).count() as u64;
        assert!(attached.waiting >= due, "{self}: {} wait, and {due} are due", attached.waiting);
    }

    /// A box came.
    pub(crate) fn delivered(&mut self, inbox: &mut Inbox, seq: u64, payload: &Bytes, world: &World) {
        assert!(payload.len() > 8, "{self}: a box of {} bytes", payload.len());
        let number = u32::from_be_bytes(payload[2..6].try_into().unwrap());
        let class = if payload.len() == SizeClass::Small.box_len() { SizeClass::Small } else { SizeClass::Large };
        assert!(number > 0 && number as usize <= self.fates.len(), "{self}: box {number} was never sent");
        assert!(*payload == self.payload(class, number), "{self}: box {number} is not as it was sent, or not for here");
        assert!(seq > inbox.seq, "{self}: seq {seq} after {}", inbox.seq);
        assert!(number > inbox.last, "{self}: box {number} after box {}", inbox.last);

        let wall = world.wall_at_most();
        let fate = *self.fate(number);
        if let Some(confirmed) = fate.confirmed {
            let may_come_again = confirmed.life < inbox.life && !world.is_on_disk(confirmed);
            assert!(may_come_again, "{self}: box {number} comes again in life {}: {fate:?}", inbox.life);
        }
        let after = (inbox.last as usize).max(self.settled);
        for (at, skipped) in self.fates[..number as usize - 1].iter().enumerate().skip(after) {
            assert!(!skipped.is_due(wall), "{self}: box {number} comes before box {}: {skipped:?}", at + 1);
        }

        let first = fate.deliveries == 0;
        world.counts.delivered.one_if(first);
        world.counts.again.one_if(!first);
        self.fate(number).deliveries += 1;
        (inbox.seq, inbox.last) = (seq, number);
        inbox.unacked.push_back((seq, number, payload.len()));
        // What outlived its hold while it was under way does not count any more.
        let under_way =
            inbox.unacked.iter().filter(|(_, number, _)| wall < self.fates[*number as usize - 1].kept_until);
        let (boxes, bytes) = under_way.fold((0, 0), |(boxes, bytes), (_, _, len)| (boxes + 1, bytes + len));
        let window = world.limits.window(inbox.window);
        let fits = boxes <= window.boxes.get() as usize && bytes <= window.bytes as usize;
        assert!(fits || boxes == 1, "{self}: {boxes} boxes are under way");
        self.settle(wall);
    }

    /// The oldest boxes, so many, are safe on the device. Returns what to ack; `request` is the newest one.
    pub(crate) fn ack(&mut self, inbox: &mut Inbox, count: usize, request: u32, world: &World) -> Option<u64> {
        let mut up_to = None;
        for (seq, number, _) in inbox.unacked.drain(..count) {
            up_to = Some(seq);
            let fate = &mut self.fates[number as usize - 1];
            world.counts.acked.one_if(!fate.acked);
            fate.acked = true;
            inbox.unconfirmed.push_back((request, number));
        }
        up_to
    }

    /// About to ask something. The relay takes a box back only when the attachment has ended that it was delivered to; it
    /// may have told the sender before this device hears of the end, or even of the box.
    pub(crate) fn ask(&self, inbox: &mut Inbox, request: u32) {
        let delivered = inbox.unacked.iter().map(|(_, number, _)| number);
        let mut numbers = delivered.chain(inbox.unconfirmed.iter().map(|(_, number)| number));
        if numbers.any(|number| self.fates[*number as usize - 1].answer == Some(Answered::Refused)) {
            inbox.ends_before.get_or_insert(request);
        }
    }

    /// The relay answered a request: it has read the acks before it.
    pub(crate) fn confirm(&mut self, inbox: &mut Inbox, request: u32, world: &World) {
        let has_ended = inbox.ends_before.is_some_and(|ends_before| request >= ends_before);
        assert!(!has_ended, "{self}: a box was refused that is under way: {:?}", inbox.unacked);
        let confirmed = Confirmed { life: inbox.life, at_ms: world.millis() };
        let read = inbox.unconfirmed.partition_point(|(after, _)| *after < request);
        for (_, number) in inbox.unconfirmed.drain(..read) {
            self.fate(number).confirmed = Some(confirmed);
        }
    }

    /// The relay says that nothing waits.
    pub(crate) fn drained(&mut self, inbox: &Inbox, world: &World) {
        let wall = world.wall_at_most();
        self.settle(wall);
        let known = inbox.accepted_before.max(inbox.last) as usize;
        for (at, fate) in self.fates[..known].iter().enumerate().skip(self.settled) {
            assert!(!fate.is_due(wall), "{self}: drained, and box {} is due: {fate:?}", at + 1);
        }
    }

    /// The end closes the channel: what waits for it is not kept for it.
    pub(crate) fn purged(&mut self) {
        self.is_purged = true;
        self.fates.iter_mut().for_each(|fate| fate.kept_until = 0);
    }

    fn settle(&mut self, wall: u64) {
        let is_settled = |fate: &Fate| fate.answer.is_some() && !fate.is_due(wall);
        let more = self.fates[self.settled..].iter().take_while(|fate| is_settled(fate)).count();
        self.settled += more;
    }

    /// Everything was fetched: what became of it.
    pub(crate) fn totals(&self, wall: u64) -> Totals {
        let mut totals = Totals { sent: self.fates.len() as u64, ..Totals::default() };
        for (at, fate) in self.fates.iter().enumerate() {
            match fate.answer {
                Some(Answered::Accepted) => {
                    totals.accepted += 1;
                    match (fate.acked, fate.is_due(wall)) {
                        (true, _) => totals.delivered += 1,
                        (false, true) => totals.held += 1,
                        (false, false) => totals.expired += 1,
                    }
                }
                Some(Answered::Refused) => {
                    totals.refused += 1;
                    totals.refused_delivered += u64::from(fate.deliveries > 0);
                }
                Some(Answered::Never) => {
                    totals.unanswered += 1;
                    totals.unanswered_delivered += u64::from(fate.deliveries > 0);
                }
                None => panic!("{self}: box {} is unanswered on a connection that lasted", at + 1),
            }
        }
        totals
    }
}

impl std::fmt::Display for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "channel {}, to {:?}", self.channel, self.to)
    }
}
