//! A device that follows the protocol, on a connection without bytes: frames go straight to its session and back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use shuttle::future::block_on;
use shuttle::thread;
use tacit_proto::frame::{Answer, AttachItem, Event, FromRelay, Handle, Refusal, Request, RequestId, ToRelay, Window};
use tacit_proto::{Command, End, SizeClass};

use super::world::{BOXES, World, key, of};
use crate::session::Session;
use crate::testing::{number_of, numbered};

/// The handle that the first attachment of a connection gets.
const HANDLE: Handle = Handle(1);

/// Why a device reads no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It has every box.
    Complete,
    /// It had enough, and did not ack the last that came.
    Left,
    Superseded,
    Closed,
}

/// Boxes that await their answers: their places and numbers.
pub(super) type Sent = BTreeMap<RequestId, (u64, u32)>;

pub(super) struct Device {
    world: World,
    session: Session,
    requests: u32,
    heard: VecDeque<FromRelay>,
    /// What was acked before this attachment began.
    gone: BTreeSet<u32>,
    seq: u64,
    /// What came on this attachment.
    came: BTreeSet<u32>,
}

impl Device {
    /// Attaches an end, under the key with that number.
    pub(super) fn attach(world: &World, end: End, number: u8) -> Result<Self, Refusal> {
        let session = world.session();
        let (world, gone) = (world.clone(), world.known().acked.clone());
        let mut device =
            Self { world, session, requests: 0, heard: VecDeque::new(), gone, seq: 0, came: BTreeSet::new() };
        let proof = key(number).prove(device.session.challenge(), &of(end), &Command::Attach).unwrap();
        let window = Window { boxes: NonZeroU32::MAX, bytes: u32::MAX };
        let asked = device.ask(Request::Attach { items: vec![AttachItem { of: of(end), proof }], window });
        match device.next() {
            FromRelay::Answer(request, Answer::Attach(results)) if request == asked => {
                assert_eq!(results.len(), 1);
                results[0].map(|attached| assert_eq!(attached.handle, HANDLE)).map(|()| device)
            }
            other => panic!("{other:?} came before the answer"),
        }
    }

    pub(super) fn ask(&mut self, request: Request) -> RequestId {
        self.requests += 1;
        let id = NonZeroU32::new(self.requests).unwrap();
        self.take(ToRelay::Request(id, request));
        id
    }

    fn take(&mut self, frame: ToRelay) {
        assert!(self.session.may_take(&frame));
        block_on(self.session.take(frame)).unwrap();
    }

    /// The next frame, as the connection's task gets it: it waits only when there is nothing.
    pub(super) fn next(&mut self) -> FromRelay {
        loop {
            if let Some(frame) = self.heard.pop_front() {
                return frame;
            }
            let mut frames = Vec::new();
            let more = self.session.collect(&mut frames);
            self.heard.extend(frames);
            if self.heard.is_empty() && !more {
                block_on(self.session.has_post());
            }
        }
    }

    pub(super) fn answer_to(&mut self, asked: RequestId) -> Answer {
        loop {
            if let FromRelay::Answer(request, answer) = self.next() {
                assert_eq!(request, asked);
                return answer;
            }
        }
    }

    // Sending.

    /// Sends boxes, and waits for nothing. A box has its number's place, on the one attachment of the sender.
    pub(super) fn send(&mut self, numbers: RangeInclusive<u32>) -> Sent {
        numbers.map(|number| self.send_at(number.into(), number)).collect()
    }

    fn send_at(&mut self, n: u64, number: u32) -> (RequestId, (u64, u32)) {
        let payload = numbered(number, SizeClass::Small).into_bytes();
        (self.ask(Request::Send { handle: HANDLE, n, payload }), (n, number))
    }

    /// Sends boxes until all are accepted: those that were refused again, in order.
    pub(super) fn send_until_accepted(&mut self, numbers: RangeInclusive<u32>) {
        let (mut sent, mut refused) = (self.send(numbers), BTreeMap::new());
        while !sent.is_empty() {
            let FromRelay::Answer(request, answer) = self.next() else { continue };
            let (place, number) = sent.remove(&request).expect("every request is answered once");
            match answer {
                Answer::Accepted { n, .. } if n == place => self.world.accepted(number),
                Answer::Refused(Refusal::Busy | Refusal::OutOfTurn) => drop(refused.insert(place, number)),
                other => panic!("{other:?}"),
            }
            if sent.is_empty() {
                thread::yield_now();
                sent = std::mem::take(&mut refused).into_iter().map(|(n, number)| self.send_at(n, number)).collect();
            }
        }
    }

    /// Closes the channel and waits until it is, and for the answers about what was sent before.
    pub(super) fn close(&mut self, mut sent: Sent) {
        let close = self.ask(Request::Close { handle: HANDLE });
        let mut is_closed = false;
        while !(is_closed && sent.is_empty()) {
            match self.next() {
                FromRelay::Answer(request, Answer::Done) => {
                    assert_eq!(request, close);
                    is_closed = true;
                }
                FromRelay::Answer(request, answer) => {
                    let (_, number) = sent.remove(&request).expect("every request is answered once");
                    match answer {
                        Answer::Accepted { .. } => self.world.accepted(number),
                        // It was too late.
                        Answer::Refused(Refusal::Gone) => {}
                        other => panic!("{other:?}"),
                    }
                }
                FromRelay::Event(_) => {}
            }
        }
    }

    // Receiving.

    fn ack(&mut self, number: u32) {
        self.world.known().safe.insert(number);
        self.take(ToRelay::Ack { handle: HANDLE, up_to: self.seq });
        // An ack of an attachment that was superseded before counts for nothing.
        if self.world.hub.is_attached(of(End::B), &self.session.attachment(HANDLE)) {
            self.world.known().acked.insert(number);
        }
    }

    fn has_all(&self) -> bool {
        self.world.known().safe.len() as u32 == BOXES
    }

    /// A box came, with this seq.
    fn delivered(&mut self, seq: u64, payload: &[u8]) -> u32 {
        let number = number_of(payload);
        assert!(seq > self.seq, "seqs grow within an attachment");
        assert!(!self.gone.contains(&number), "what was acked comes to nobody");
        let known = self.world.known();
        let missing = (1..).find(|number| !(known.safe.contains(number) || self.came.contains(number))).unwrap();
        assert!(number <= missing, "{number} came before {missing}");
        drop(known);
        self.seq = seq;
        self.came.insert(number);
        number
    }

    /// Reads and acks box by box, until it has all, leaves at one of them, or is told that it is over.
    pub(super) fn receive(&mut self, leave_at: usize) -> Over {
        while !self.has_all() {
            match self.next() {
                FromRelay::Event(Event::Deliver { seq, payload, .. }) => {
                    let number = self.delivered(seq, &payload);
                    if self.came.len() >= leave_at {
                        return Over::Left;
                    }
                    self.ack(number);
                }
                FromRelay::Event(Event::Superseded(_)) => return Over::Superseded,
                FromRelay::Event(Event::Closed(..)) => {
                    let known = self.world.known();
                    assert!(known.accepted.is_subset(&known.safe), "what was accepted comes before the end: {known:?}");
                    return Over::Closed;
                }
                FromRelay::Event(Event::Drained(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        Over::Complete
    }

    /// Reads and acks until it is told that nothing waits.
    pub(super) fn drain(&mut self) {
        loop {
            match self.next() {
                FromRelay::Event(Event::Deliver { seq, payload, last, .. }) => {
                    let number = self.delivered(seq, &payload);
                    self.ack(number);
                    if last {
                        return;
                    }
                }
                FromRelay::Event(Event::Drained(_)) => return,
                other => panic!("{other:?}"),
            }
        }
    }

    // Claiming.

    /// Gives the end another key: those with these numbers.
    pub(super) fn rekey(&mut self, old: u8, new: u8) -> Answer {
        let new_key = key(new).public();
        let proof = key(old).prove(self.session.challenge(), &of(End::B), &Command::Rekey(&new_key)).unwrap();
        let asked = self.ask(Request::Rekey { handle: HANDLE, new_key, proof });
        self.answer_to(asked)
    }
}
