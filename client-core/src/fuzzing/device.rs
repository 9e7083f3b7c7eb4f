//! A device's engine and store, and a relay that says whatever it likes, with real boxes of the other side at hand.
//!
//! The store is laid down once and every play is taken back, so that each begins with the same. The boxes cannot be made up
//! even without the ratchet's MACs: HPKE has checked them first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use bytes::Bytes;
use tacit_proto::frame::{
    Answer, Attached, ClosedWhy, Event, FromRelay, Handle, Limits, Refusal, Request, RequestId, ToRelay, Welcome,
};
use tacit_proto::limits::{MAX_FRAME, MAX_HOLD};
use tacit_proto::{Challenge, Incarnation, Nonce, RelaySessionPublic, SealedBox, SizeClass};

use super::script::Script;
use crate::engine::{Engine, Now, Scope, TurnError};
use crate::error::StoreError;
use crate::pairing;
use crate::reset;
use crate::rotation;
use crate::store::{ContactKey, Holder, Kind, RelayId, State, Store, Tx};
use crate::testing::{NOW, Pair, Side, practice, rng};
use crate::types::{Content, Direction, Outcome};

const HOLDER: Holder = Holder([3; 16]);
const HOLD: u32 = 21 * 24 * 3_600;
const WEEK_MS: u64 = 8 * 24 * 3_600 * 1_000;

/// Long enough to go anywhere, and over soon enough.
const MOST_STEPS: usize = 96;

/// What a play begins with.
struct Scene {
    store: Store,
    contact: ContactKey,
    /// Of the other side, in the order in which it sealed them.
    boxes: Vec<Bytes>,
    /// What it wrote in them, in order.
    texts: Vec<String>,
}

thread_local! {
    static SCENES: RefCell<Vec<Scene>> = RefCell::new(scenes());
}

pub(super) fn check(bytes: &[u8]) {
    SCENES.with_borrow_mut(|scenes| {
        let mut script = Script(bytes);
        let which = usize::from(script.byte()) % scenes.len();
        let Scene { store, contact, boxes, texts } = &mut scenes[which];
        store.rehearse(|tx| Play::begin(tx, *contact, boxes, texts).run(&mut script));
    });
}

fn scenes() -> Vec<Scene> {
    let [invites, joins] = strangers();
    vec![paired(true), paired(false), invites, joins]
}

/// The relay took everything that a side has to send.
fn hand_over(side: &mut Side) -> Vec<Vec<u8>> {
    side.change(|tx, row| {
        for message in tx.outgoing(&row.key, 0, 1_000)?.into_iter().filter_map(|outgoing| outgoing.message) {
            tx.set_accepted(message, NOW + u64::from(HOLD) * 1_000)?;
        }
        Ok(())
    });
    side.seal_all()
}

fn say(side: &mut Side, number: u8, text: &str) {
    side.change(|tx, row| tx.queue_text(&row.key, &[number; 16], text, NOW));
}

/// A conversation in which the other side has written, changed its sealing key and asked for a reset, and none of it came.
fn paired(of_practice: bool) -> Scene {
    let Pair { practice, client } = {
        let mut pair = Pair::new();
        pair.exchange();
        pair
    };
    let (mut own, mut other) = if of_practice { (practice, client) } else { (client, practice) };
    (1..=2).for_each(|number| say(&mut own, number, "ours"));
    let boxes = hand_over(&mut own);
    // Which end heard of the other first depends on who it is.
    let back = hand_over(&mut other);
    other.open_all(boxes, NOW);
    own.open_all(back, NOW);
    let (mut boxes, mut texts) = (Vec::new(), Vec::new());
    for number in 0..8_u8 {
        let text = format!("theirs {number} {}", "x".repeat(if number == 3 { 3_000 } else { 0 }));
        say(&mut other, 100 + number, &text);
        texts.push(text);
        if number == 5 {
            other.change(|tx, row| rotation::tend(tx, row, NOW + WEEK_MS, &mut rng()));
        }
        boxes.extend(hand_over(&mut other));
    }
    other.change(|tx, row| {
        reset::begin(tx, row, NOW, &mut rng()).unwrap();
        Ok(())
    });
    boxes.extend(hand_over(&mut other));
    // A relay can bring a box back to where it came from.
    say(&mut own, 3, "ours, sent");
    boxes.extend(hand_over(&mut own));
    say(&mut own, 4, "ours, waiting");
    let boxes = boxes.into_iter().map(Bytes::from).collect();
    Scene { store: own.store.copy(), contact: own.contact, boxes, texts }
}

/// Both sides of a pairing, before the relay was ever reached.
fn strangers() -> [Scene; 2] {
    let (_home, mut inviting) = practice();
    let (contact, link) =
        inviting.change(|tx| Ok::<_, StoreError>(pairing::invite(tx, NOW, &mut rng(), "C", 3_600).unwrap())).unwrap();
    let offer: Vec<_> = inviting
        .read::<_, StoreError>(|tx| tx.outgoing(&contact, 0, 100))
        .unwrap()
        .into_iter()
        .map(|part| Bytes::from(part.sealed.unwrap()))
        .collect();
    let invites = inviting.copy();
    let mut joining = Store::in_memory();
    let joined =
        joining.change(|tx| Ok::<_, StoreError>(pairing::join(tx, NOW, &mut rng(), &link, "").unwrap())).unwrap();
    let joins = joining.copy();
    let accept = joining
        .change::<_, StoreError>(|tx| {
            tx.set_state(&joined, State::AwaitingOffer)?;
            let row = tx.contact(&joined)?.unwrap();
            for part in &offer {
                pairing::receive_offer_part(tx, &row, &SealedBox::check(part.clone()).unwrap())?;
            }
            let row = tx.contact(&joined)?.unwrap();
            pairing::consent(tx, &row, NOW, &mut rng()).unwrap();
            Ok(tx.outgoing(&joined, 0, 1)?.remove(0).sealed.unwrap())
        })
        .unwrap();
    [
        Scene { store: invites, contact, boxes: vec![accept.into()], texts: Vec::new() },
        Scene { store: joins, contact: joined, boxes: offer, texts: Vec::new() },
    ]
}

/// A handle as the relay gave it out.
#[derive(Default)]
struct Given {
    /// The highest seq that came with it.
    seq: u64,
    acked: u64,
    /// The highest number that was sent with it.
    n: u64,
}

struct Play<'a> {
    tx: &'a Tx<'a>,
    contact: ContactKey,
    boxes: &'a [Bytes],
    texts: &'a [String],
    relay: RelayId,
    now: Now,
    engine: Option<Engine>,
    /// Sealed by the device in this play: they cannot come from the other side.
    unanswered: BTreeMap<RequestId, Request>,
    given: BTreeMap<Handle, Given>,
    next_handle: u32,
    /// To be taken by the next turn.
    frames: Vec<FromRelay>,
    /// A box of the other side came whole: it may carry receipts.
    may_know: bool,
    said: u8,
}

impl<'a> Play<'a> {
    fn begin(tx: &'a Tx<'a>, contact: ContactKey, boxes: &'a [Bytes], texts: &'a [String]) -> Self {
        assert!(tx.take_lease(HOLDER, NOW, false, true).unwrap());
        let relay = tx.relays_in_use().unwrap()[0].id;
        Self {
            tx,
            contact,
            boxes,
            texts,
            relay,
            now: Now { wall: NOW, steady: 1 },
            engine: None,
            unanswered: BTreeMap::new(),
            given: BTreeMap::new(),
            next_handle: 1,
            frames: Vec::new(),
            may_know: false,
            said: 0,
        }
    }

    fn run(mut self, script: &mut Script<'_>) {
        self.connect(&mut Script(&[]));
        for _ in 0..MOST_STEPS {
            if script.is_over() {
                break;
            }
            self.step(script);
        }
        self.turn();
        assert!(self.tx.is_sound().unwrap(), "rows refer to rows that there are");
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0 => self.turn(),
            1 => self.wait(script),
            2 => {
                let (handle, payload) = (self.some_handle(script), script.one_of(self.boxes));
                let seq = self.given.get(&handle).map_or(0, |given| given.seq) + 1;
                self.deliver(handle, seq, payload.unwrap_or_default());
                self.turn();
            }
            3 => {
                let (handle, seq) = (Handle(script.byte().into()), script.u32().into());
                let payload = script.one_of(self.boxes).unwrap_or_default();
                self.deliver(handle, seq, payload);
            }
            4 => {
                let (handle, payload) = (self.some_handle(script), script.one_of(self.boxes).unwrap_or_default());
                let mut payload = payload.to_vec();
                let at = script.u32() as usize % payload.len().max(1);
                if let Some(byte) = payload.get_mut(at) {
                    *byte ^= script.byte();
                }
                let seq = self.given.get(&handle).map_or(0, |given| given.seq) + 1;
                self.deliver(handle, seq, payload.into());
            }
            5 => {
                let handle = self.some_handle(script);
                let mut payload = vec![0; SizeClass::Small.box_len()];
                payload[..2].copy_from_slice(&SizeClass::Small.header());
                let length = usize::from(script.byte());
                let given = script.bytes(length);
                payload[2..2 + given.len()].copy_from_slice(given);
                payload.truncate(SizeClass::Small.box_len() - usize::from(script.byte() % 2));
                let seq = self.given.get(&handle).map_or(0, |given| given.seq) + 1;
                self.deliver(handle, seq, payload.into());
            }
            6 => self.answer_next(script),
            7 => {
                let unanswered: Vec<_> = self.unanswered.keys().copied().collect();
                let (id, why) = (script.one_of(&unanswered), script.one_of(&Refusal::ALL));
                if let (Some(id), Some(why)) = (id, why) {
                    self.frames.push(FromRelay::Answer(id, Answer::Refused(why)));
                }
            }
            8 => self.answer_anything(script),
            9 => {
                let event = self.some_event(script);
                self.frames.push(FromRelay::Event(event));
            }
            10 => {
                let length = usize::from(script.byte());
                if let Ok(frame) = FromRelay::decode(Bytes::copy_from_slice(script.bytes(length))) {
                    self.frames.push(frame);
                }
            }
            11 => self.connect(script),
            12 if self.said < 16 => {
                self.said += 1;
                let row = self.tx.contact(&self.contact).unwrap().unwrap();
                if row.state.can_send() {
                    let id = [200 + self.said; 16];
                    self.tx.queue_text(&self.contact, &id, "ours, of now", self.now.wall).unwrap();
                }
            }
            13 => {
                for _ in 0..3 {
                    self.turn();
                    while !self.unanswered.is_empty() && self.frames.len() < 64 {
                        self.answer_next(script);
                    }
                }
                self.turn();
            }
            14 => {
                let row = self.tx.contact(&self.contact).unwrap().unwrap();
                if row.state == State::Consenting {
                    pairing::consent(self.tx, &row, self.now.wall, &mut rng()).unwrap();
                }
            }
            _ => {
                if let Some(engine) = &mut self.engine {
                    let ping = engine.ping();
                    self.hear(ping);
                }
            }
        }
    }

    /// Time goes by, or the wall clock is set back.
    fn wait(&mut self, script: &mut Script<'_>) {
        let by = 1_u64 << (script.byte() % 33);
        self.now.steady += by;
        let goes_back = script.byte() % 8 == 7;
        self.now.wall = if goes_back { self.now.wall.saturating_sub(by) } else { self.now.wall + by };
        self.turn();
    }

    fn connect(&mut self, script: &mut Script<'_>) {
        let hold = 1 + script.u32() % MAX_HOLD;
        let welcome = Welcome {
            challenge: Challenge {
                nonce: Nonce::from_bytes([script.byte(); 32]),
                // Zeros are no key that anything can be proven with.
                session_public: RelaySessionPublic::from_bytes([if script.byte() % 8 == 7 { 0 } else { 9 }; 32]),
            },
            incarnation: Incarnation::from_bytes([script.byte(); 16]),
            limits: Limits {
                hold: if hold == 1 { HOLD } else { hold },
                in_flight: 64 - u32::from(script.byte() % 64),
                window_boxes: 64,
                window_bytes: 256 * 1024,
                backlog_boxes: 1_000,
                backlog_bytes: 1 << 24,
            },
            notice: String::new(),
        };
        self.unanswered.clear();
        self.given.clear();
        self.frames.clear();
        self.engine = Some(Engine::new(self.relay, Scope::All, HOLDER, welcome));
    }

    fn some_handle(&self, script: &mut Script<'_>) -> Handle {
        let handles: Vec<_> = self.given.keys().copied().collect();
        script.one_of(&handles).unwrap_or(Handle(1))
    }

    fn deliver(&mut self, handle: Handle, seq: u64, payload: Bytes) {
        if let Some(given) = self.given.get_mut(&handle) {
            given.seq = given.seq.max(seq);
        }
        self.may_know |= self.boxes.contains(&payload);
        self.frames.push(FromRelay::Event(Event::Deliver { handle, seq, payload, last: seq.is_multiple_of(2) }));
    }

    fn some_event(&mut self, script: &mut Script<'_>) -> Event {
        let handle = match script.byte() {
            255 => Handle(4_000_000),
            _ => self.some_handle(script),
        };
        match script.byte() % 8 {
            0 => Event::Drained(handle),
            1 => Event::Room(handle),
            2 => Event::Superseded(handle),
            3 => Event::Closed(handle, ClosedWhy::ByPeer),
            4 => Event::Closed(handle, ClosedWhy::Unclaimed),
            5 => Event::InviteTried(handle),
            6 => Event::Restarting { reconnect_in: script.u32() },
            _ => Event::Drained(Handle(script.u32())),
        }
    }

    /// As an honest relay might.
    fn answer_next(&mut self, script: &mut Script<'_>) {
        let Some((id, request)) = self.unanswered.pop_first() else { return };
        let answer = match request {
            Request::Attach { items, .. } => {
                let result = |_| match script.byte() % 4 {
                    3 => Err(Refusal::NotAllowed),
                    how => {
                        let handle = Handle(self.next_handle);
                        self.next_handle += 1;
                        self.given.insert(handle, Given::default());
                        Ok(Attached { handle, waiting: 0, must_rekey: how == 1 })
                    }
                };
                Answer::Attach(items.iter().map(result).collect())
            }
            Request::Send { handle, n, .. } => Answer::Accepted { handle, n, hold: HOLD },
            Request::Ping => Answer::Pong(self.given.keys().copied().collect()),
            _ => Answer::Done,
        };
        self.frames.push(FromRelay::Answer(id, answer));
    }

    fn answer_anything(&mut self, script: &mut Script<'_>) {
        let unanswered: Vec<_> = self.unanswered.keys().copied().collect();
        let id = match script.byte() {
            255 => NonZeroU32::new(script.u32()),
            _ => script.one_of(&unanswered),
        };
        let Some(id) = id else { return };
        let handle = self.some_handle(script);
        let answer = match script.byte() % 5 {
            0 => Answer::Done,
            1 => Answer::Refused(script.one_of(&Refusal::ALL).unwrap_or(Refusal::Busy)),
            2 => Answer::Accepted { handle, n: script.byte().into(), hold: script.u32() },
            3 => Answer::Pong(vec![handle]),
            _ => {
                let attached =
                    Attached { handle: Handle(script.byte().into()), waiting: 0, must_rekey: script.byte() % 2 == 1 };
                self.given.entry(attached.handle).or_default();
                Answer::Attach(vec![Ok(attached); 1 + usize::from(script.byte() % 2)])
            }
        };
        self.frames.push(FromRelay::Answer(id, answer));
    }

    fn turn(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        let frames = std::mem::take(&mut self.frames);
        let now = self.now;
        match self.tx.attempt(|tx| engine.turn(tx, now, &mut rng(), frames)) {
            Ok(output) => {
                let wake = engine.wake_at();
                assert!(wake.is_none_or(|at| at > now.steady), "it would not sleep: {wake:?} at {now:?}");
                output.frames.into_iter().for_each(|frame| self.hear(frame));
            }
            // Its word for every lie. The device comes back later, with what it had before.
            Err(TurnError::Protocol) => self.connect(&mut Script(&[])),
            Err(other) => panic!("a relay cannot bring this about: {other}"),
        }
        self.check_history();
    }

    /// What a device may say, whatever it was told.
    fn hear(&mut self, frame: ToRelay) {
        let bytes = frame.clone().encode();
        assert!(bytes.len() <= MAX_FRAME);
        assert_eq!(ToRelay::decode(bytes).as_ref(), Ok(&frame));
        match frame {
            ToRelay::Ack { handle, up_to } => {
                let given = self.given.get_mut(&handle).expect("it acks where it is attached");
                assert!(up_to > given.acked && up_to <= given.seq, "it acks what came, once");
                given.acked = up_to;
            }
            ToRelay::Request(id, request) => {
                match &request {
                    Request::Send { handle, n, payload } => {
                        assert!(SealedBox::check(payload.clone()).is_ok());
                        let given = self.given.get_mut(handle).expect("it sends where it is attached");
                        assert!((1..=given.n + 1).contains(n), "it counts");
                        given.n = given.n.max(*n);
                    }
                    Request::Rekey { handle, .. } | Request::Close { handle } => {
                        assert!(self.given.contains_key(handle));
                    }
                    _ => {}
                }
                assert!(self.unanswered.insert(id, request).is_none(), "a request has a number of its own");
            }
        }
    }

    /// Each text of the other side at most once and in order, and nothing that it did not write; and what we wrote is shown
    /// as delivered only after it said so.
    fn check_history(&self) {
        let history = self.tx.history(&self.contact, None, u32::MAX).unwrap().unwrap();
        let mut last = None;
        let mut ids = BTreeSet::new();
        for message in &history {
            assert!(ids.insert(message.id.clone()), "a message is shown once");
            match (message.direction, &message.content) {
                (Direction::In, Content::Text(text)) => {
                    let at = self.texts.iter().position(|sent| sent == text);
                    assert!(at.is_some(), "nobody wrote that");
                    assert!(last < at, "texts stand in the order in which they were written");
                    last = at;
                }
                (Direction::Out, Content::Text(text)) if text != "ours" => {
                    let known = matches!(message.outcome, Outcome::Delivered | Outcome::Read);
                    assert!(!known, "the other side never had it");
                }
                (Direction::Out, Content::Text(_)) => {
                    let known = matches!(message.outcome, Outcome::Delivered | Outcome::Read);
                    assert!(!known || self.may_know, "the other side did not say so");
                }
                _ => {}
            }
        }
        let unsent = self.tx.is_outgoing(&self.contact, Kind::Message);
        assert!(unsent.is_ok());
    }
}
