//! A relay of `proto/README.md`, sections 3 to 5, in memory and without I/O. Written from that page alone, so that a
//! device is tested against what is promised and not against our relay's code. It checks the device: whatever section
//! 3 calls a protocol error is a failed test.

mod channel;

use std::collections::{BTreeMap, BTreeSet};

use tacit_proto::frame::{
    Answer, AttachItem, Attached, Event, FromRelay, Handle, Limits, Open, Refusal, Request, RequestId, ToRelay,
    Welcome, Window,
};
use tacit_proto::{ChannelId, Command, End, EndOf, EnrolCode, Incarnation, Nonce, PermitHash, Proof, RelaySessionKey};

use super::dice::Dice;
use channel::{At, Channel};

/// Names a connection.
pub(super) type ConnId = u64;

/// How a relay behaves within what it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    pub(super) limits: Limits,
    /// How long a box takes to be durable.
    pub(super) commit_ms: u64,
    /// How often in a thousand a request is refused with `Busy` or `TooFast`.
    pub(super) refuses: u64,
    /// How often in a thousand a box that should become durable does not.
    pub(super) fails_to_store: u64,
}

struct Connection {
    session: RelaySessionKey,
    next_handle: u32,
    ends: BTreeMap<Handle, EndOf>,
}

/// See the module.
pub(super) struct Relay {
    pub(super) manners: Manners,
    incarnation: Incarnation,
    codes: Vec<(EnrolCode, u16, Option<Vec<PermitHash>>)>,
    permits: BTreeSet<PermitHash>,
    channels: BTreeMap<ChannelId, Channel>,
    connections: BTreeMap<ConnId, Connection>,
    next_connection: ConnId,
    dice: Dice,
    out: Vec<(ConnId, FromRelay)>,
}

impl Relay {
    pub(super) fn new(manners: Manners, mut dice: Dice) -> Self {
        Self {
            manners,
            incarnation: draw_incarnation(&mut dice),
            codes: Vec::new(),
            permits: BTreeSet::new(),
            channels: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            dice,
            out: Vec::new(),
        }
    }

    /// The operator enrols somebody.
    pub(super) fn enrol(&mut self, permits: u16) -> EnrolCode {
        let code = EnrolCode::draw(&mut self.dice);
        self.codes.push((code.clone(), permits, None));
        code
    }

    /// A device connects: its connection, and the first frame.
    pub(super) fn connect(&mut self) -> (ConnId, FromRelay) {
        let id = self.next_connection;
        self.next_connection += 1;
        let mut nonce = [0; Nonce::LEN];
        rand_core::Rng::fill_bytes(&mut self.dice, &mut nonce);
        let mut secret = [0; 32];
        rand_core::Rng::fill_bytes(&mut self.dice, &mut secret);
        let session = RelaySessionKey::from_parts(secret, Nonce::from_bytes(nonce));
        let welcome = Welcome {
            challenge: *session.challenge(),
            incarnation: self.incarnation,
            limits: self.manners.limits,
            notice: String::new(),
        };
        // Handles of one connection mean nothing on another; let a mix-up show.
        let next_handle = 100 * u32::try_from(id % 1_000_000).unwrap();
        self.connections.insert(id, Connection { session, next_handle, ends: BTreeMap::new() });
        (id, FromRelay::Event(Event::Welcome(Box::new(welcome))))
    }

    /// A connection ended, or the relay noticed that it had.
    pub(super) fn disconnect(&mut self, conn: ConnId) {
        if self.connections.remove(&conn).is_some() {
            self.channels.values_mut().for_each(|channel| channel.detach(conn));
        }
    }

    pub(super) fn connections(&self) -> Vec<ConnId> {
        self.connections.keys().copied().collect()
    }

    /// Its process dies, and another one starts: what was not durable is gone, and so is every connection.
    pub(super) fn crash(&mut self, now: u64) {
        self.connections.clear();
        for channel in self.channels.values_mut() {
            channel.crash(now, &mut self.dice);
        }
    }

    /// It is restored from a backup, which holds channels and no boxes.
    pub(super) fn lose_backlog(&mut self) {
        self.incarnation = draw_incarnation(&mut self.dice);
        self.channels.values_mut().for_each(Channel::lose_backlog);
    }

    /// When time alone will do something.
    pub(super) fn wake_at(&self) -> Option<u64> {
        self.channels.values().filter_map(Channel::wake_at).min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: u64) {
        for channel in self.channels.values_mut() {
            channel.tick(now, &self.manners, &mut self.dice, &mut self.out);
        }
        self.channels.retain(|_, channel| !channel.is_forgotten());
    }

    /// What there is to be sent, in order.
    pub(super) fn take_out(&mut self) -> Vec<(ConnId, FromRelay)> {
        std::mem::take(&mut self.out)
    }

    /// Whether anything waits anywhere.
    pub(super) fn waiting(&self) -> usize {
        self.channels.values().map(Channel::waiting).sum()
    }

    pub(super) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Takes a frame.
    pub(super) fn receive(&mut self, now: u64, conn: ConnId, frame: ToRelay) {
        if !self.connections.contains_key(&conn) {
            return;
        }
        match frame {
            ToRelay::Ack { handle, up_to } => {
                let known = &self.connections[&conn];
                assert!(handle.0 < known.next_handle, "an ack for a handle that this connection never had");
                let Some(of) = known.ends.get(&handle).copied() else { return };
                if let Some(channel) = self.channels.get_mut(&of.channel) {
                    channel.ack(now, of.end, At { conn, handle }, up_to, self.manners.limits.hold, &mut self.out);
                }
            }
            ToRelay::Request(id, request) => {
                let refused = !matches!(request, Request::Ping) && self.dice.per_mille(self.manners.refuses);
                if refused {
                    let why = if self.dice.per_mille(500) { Refusal::Busy } else { Refusal::TooFast };
                    self.answer(conn, id, Answer::Refused(why));
                } else {
                    self.request(now, conn, id, request);
                }
            }
        }
        self.tick(now);
    }

    fn answer(&mut self, conn: ConnId, id: RequestId, answer: Answer) {
        self.out.push((conn, FromRelay::Answer(id, answer)));
    }

    fn request(&mut self, now: u64, conn: ConnId, id: RequestId, request: Request) {
        match request {
            Request::Enrol { code, permit_hashes } => {
                let answer = self.spend_code(&code, permit_hashes);
                self.answer(conn, id, answer);
            }
            Request::Open(open) => {
                let answer = self.open(now, *open);
                self.answer(conn, id, answer);
            }
            Request::Attach { items, window } => {
                // Events that name a handle come after the answer that creates it.
                let before = self.out.len();
                let results = items.into_iter().map(|item| self.attach(now, conn, item, window)).collect();
                let events = self.out.split_off(before);
                self.answer(conn, id, Answer::Attach(results));
                self.out.extend(events);
            }
            Request::Rekey { handle, new_key, proof } => {
                // What waits at a claimed end is delivered after the answer.
                let before = self.out.len();
                let answer = self.rekey(conn, handle, new_key, &proof);
                let events = self.out.split_off(before);
                self.answer(conn, id, answer);
                self.out.extend(events);
            }
            Request::Send { handle, n, payload } => match self.channel_of(conn, handle) {
                Some((end, channel)) => {
                    let manners = channel.1;
                    channel.0.send(now, end, At { conn, handle }, n, id, payload, &manners, channel.2);
                }
                None => self.answer(conn, id, Answer::Refused(Refusal::NotAllowed)),
            },
            Request::Close { handle } => {
                let hold = u64::from(self.manners.limits.hold) * 1_000;
                let answer = match self.channel_of(conn, handle) {
                    Some((end, channel)) => channel.0.close(now, end, At { conn, handle }, hold, channel.2),
                    None => Answer::Refused(Refusal::NotAllowed),
                };
                self.answer(conn, id, answer);
            }
            Request::Ping => {
                let live = |(handle, of): (&Handle, &EndOf)| {
                    let attached = self.channels.get(&of.channel)?.is_attached(of.end, At { conn, handle: *handle });
                    attached.then_some(*handle)
                };
                let handles = self.connections[&conn].ends.iter().filter_map(live).collect();
                self.answer(conn, id, Answer::Pong(handles));
            }
            Request::Unknown => self.answer(conn, id, Answer::Refused(Refusal::Unsupported)),
        }
    }

    #[allow(clippy::type_complexity, reason = "parts of one borrow")]
    fn channel_of(
        &mut self,
        conn: ConnId,
        handle: Handle,
    ) -> Option<(End, (&mut Channel, Manners, &mut Vec<(ConnId, FromRelay)>))> {
        let of = *self.connections.get(&conn)?.ends.get(&handle)?;
        let channel = self.channels.get_mut(&of.channel)?;
        Some((of.end, (channel, self.manners, &mut self.out)))
    }

    fn spend_code(&mut self, code: &EnrolCode, hashes: Vec<PermitHash>) -> Answer {
        let Some((_, most, spent)) = self.codes.iter_mut().find(|(known, ..)| known == code) else {
            return Answer::Refused(Refusal::NoPermit);
        };
        match spent {
            Some(before) if *before == hashes => Answer::Done,
            Some(_) => Answer::Refused(Refusal::NoPermit),
            None if hashes.len() > usize::from(*most) => Answer::Refused(Refusal::TooLarge),
            None => {
                self.permits.extend(&hashes);
                *spent = Some(hashes);
                Answer::Done
            }
        }
    }

    fn open(&mut self, now: u64, open: Open) -> Answer {
        if let Some(channel) = self.channels.get(&open.channel) {
            return if channel.key(End::A) == open.key_a { Answer::Done } else { Answer::Refused(Refusal::NotAllowed) };
        }
        if open.join_by.get() > self.manners.limits.hold {
            return Answer::Refused(Refusal::TooLarge);
        }
        if !self.permits.remove(&open.permit.hash()) {
            return Answer::Refused(Refusal::NoPermit);
        }
        let join_by = now + u64::from(open.join_by.get()) * 1_000;
        self.channels.insert(open.channel, Channel::new(open.key_a, open.key_b, join_by));
        Answer::Done
    }

    fn attach(&mut self, now: u64, conn: ConnId, item: AttachItem, window: Window) -> Result<Attached, Refusal> {
        let connection = self.connections.get_mut(&conn).unwrap();
        let channel = self.channels.get_mut(&item.of.channel).ok_or(Refusal::NotAllowed)?;
        let proven = |key| connection.session.verify(&key, &item.of, &Command::Attach, &item.proof);
        let at = At { conn, handle: Handle(connection.next_handle) };
        let attached = if proven(channel.key(item.of.end)) {
            channel.attach(now, item.of.end, at, window, &self.manners, &mut self.out)?
        } else if item.of.end == End::B && channel.spent_invite().is_some_and(proven) {
            channel.invite_was_tried(&mut self.out);
            return Err(Refusal::Used);
        } else {
            return Err(Refusal::NotAllowed);
        };
        connection.next_handle += 1;
        connection.ends.insert(at.handle, item.of);
        Ok(attached)
    }

    fn rekey(&mut self, conn: ConnId, handle: Handle, new_key: tacit_proto::EndPublic, proof: &Proof) -> Answer {
        let connection = &self.connections[&conn];
        let Some(of) = connection.ends.get(&handle).copied() else { return Answer::Refused(Refusal::NotAllowed) };
        let Some(channel) = self.channels.get_mut(&of.channel) else {
            return Answer::Refused(Refusal::NotAllowed);
        };
        if !connection.session.verify(&channel.key(of.end), &of, &Command::Rekey(&new_key), proof) {
            return Answer::Refused(Refusal::NotAllowed);
        }
        channel.rekey(of.end, At { conn, handle }, new_key, &self.manners, &mut self.out)
    }
}

fn draw_incarnation(dice: &mut Dice) -> Incarnation {
    let mut bytes = [0; 16];
    rand_core::Rng::fill_bytes(dice, &mut bytes);
    Incarnation::from_bytes(bytes)
}
