//! One channel of the model relay.

use std::collections::VecDeque;

use bytes::Bytes;
use tacit_proto::frame::{Answer, Attached, ClosedWhy, Event, FromRelay, Handle, Refusal, RequestId, Window};
use tacit_proto::{End, EndPublic, SealedBox};

use super::{ConnId, Manners};
use crate::simulation::dice::Dice;

/// An attachment: a handle of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) conn: ConnId,
    pub(super) handle: Handle,
}

type Out = Vec<(ConnId, FromRelay)>;

/// A box that waits at an end.
struct Waiting {
    seq: u64,
    payload: Bytes,
    expires: u64,
    /// Not yet: when it will be durable, and who is to be told.
    storing: Option<(u64, At, RequestId, u64)>,
}

struct Live {
    at: At,
    window: Window,
    next_n: u64,
    delivered: u64,
    told_drained: bool,
    told_closed: bool,
    wants_room: bool,
}

struct EndState {
    key: EndPublic,
    backlog: VecDeque<Waiting>,
    /// Acked a moment ago: a crash may bring them back.
    acked: Vec<(u64, Waiting)>,
    next_seq: u64,
    live: Option<Live>,
}

struct Closed {
    by: Option<End>,
    forget_at: u64,
}

/// See the module.
pub(super) struct Channel {
    a: EndState,
    b: EndState,
    /// Until B is claimed: when the invite runs out.
    join_by: Option<u64>,
    spent_invite: Option<EndPublic>,
    invite_tried: bool,
    claimants: Vec<(At, Window)>,
    closed: Option<Closed>,
    forgotten: bool,
}

/// How long an ack takes to be durable.
const ACK_MS: u64 = 50;

impl EndState {
    const fn new(key: EndPublic) -> Self {
        Self { key, backlog: VecDeque::new(), acked: Vec::new(), next_seq: 1, live: None }
    }

    fn bytes(&self) -> u64 {
        self.backlog.iter().map(|waiting| waiting.payload.len() as u64).sum()
    }

    /// Hands over what the window lets through, and says when there is nothing left.
    fn flow(&mut self, why: Option<ClosedWhy>, manners: &Manners, out: &mut Out) {
        let Some(live) = &mut self.live else { return };
        let boxes = live.window.boxes.get().min(manners.limits.window_boxes) as usize;
        let bytes = u64::from(live.window.bytes.min(manners.limits.window_bytes));
        let (mut under_way, mut bytes_under_way) = (0, 0);
        for (at, waiting) in self.backlog.iter().enumerate() {
            under_way += 1;
            bytes_under_way += waiting.payload.len() as u64;
            if waiting.seq <= live.delivered {
                continue;
            }
            if under_way > 1 && (under_way > boxes || bytes_under_way > bytes) {
                break;
            }
            live.delivered = waiting.seq;
            let last = at + 1 == self.backlog.len();
            live.told_drained = last;
            let (handle, seq, payload) = (live.at.handle, waiting.seq, waiting.payload.clone());
            out.push((live.at.conn, FromRelay::Event(Event::Deliver { handle, seq, payload, last })));
        }
        if self.backlog.is_empty() && !live.told_drained {
            live.told_drained = true;
            out.push((live.at.conn, FromRelay::Event(Event::Drained(live.at.handle))));
        }
        if let Some(why) = why
            && self.backlog.is_empty()
            && !live.told_closed
        {
            live.told_closed = true;
            out.push((live.at.conn, FromRelay::Event(Event::Closed(live.at.handle, why))));
        }
    }
}

/// Whoever was not told yet that a box is safe is told that it never will be.
fn purge(backlog: &mut VecDeque<Waiting>, out: &mut Out) {
    for (_, sender, request, _) in backlog.drain(..).filter_map(|waiting| waiting.storing) {
        out.push((sender.conn, FromRelay::Answer(request, Answer::Refused(Refusal::Gone))));
    }
}

impl Channel {
    pub(super) const fn new(key_a: EndPublic, key_b: EndPublic, join_by: u64) -> Self {
        Self {
            a: EndState::new(key_a),
            b: EndState::new(key_b),
            join_by: Some(join_by),
            spent_invite: None,
            invite_tried: false,
            claimants: Vec::new(),
            closed: None,
            forgotten: false,
        }
    }

    const fn end(&self, end: End) -> &EndState {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    const fn end_mut(&mut self, end: End) -> &mut EndState {
        match end {
            End::A => &mut self.a,
            End::B => &mut self.b,
        }
    }

    fn both(&mut self) -> [&mut EndState; 2] {
        [&mut self.a, &mut self.b]
    }

    pub(super) const fn key(&self, end: End) -> EndPublic {
        self.end(end).key
    }

    pub(super) const fn spent_invite(&self) -> Option<EndPublic> {
        self.spent_invite
    }

    pub(super) const fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    pub(super) fn waiting(&self) -> usize {
        self.a.backlog.len() + self.b.backlog.len()
    }

    fn live(&mut self, end: End, at: At) -> Option<&mut Live> {
        self.end_mut(end).live.as_mut().filter(|live| live.at == at)
    }

    pub(super) fn is_attached(&self, end: End, at: At) -> bool {
        let claims = |claimants: &[(At, Window)]| claimants.iter().any(|(claimant, _)| *claimant == at);
        self.end(end).live.as_ref().is_some_and(|live| live.at == at) || end == End::B && claims(&self.claimants)
    }

    /// Why it is closed for this end, if it is and the end is to be told.
    fn closed_for(&self, end: End) -> Option<ClosedWhy> {
        match self.closed.as_ref()?.by {
            Some(by) if by == end => None,
            Some(_) => Some(ClosedWhy::ByPeer),
            None => Some(ClosedWhy::Unclaimed),
        }
    }

    fn flow(&mut self, end: End, manners: &Manners, out: &mut Out) {
        let why = self.closed_for(end);
        self.end_mut(end).flow(why, manners, out);
    }

    pub(super) fn detach(&mut self, conn: ConnId) {
        self.claimants.retain(|(at, _)| at.conn != conn);
        for state in self.both() {
            if state.live.as_ref().is_some_and(|live| live.at.conn == conn) {
                state.live = None;
            }
        }
    }

    pub(super) fn crash(&mut self, now: u64, dice: &mut Dice) {
        self.claimants.clear();
        for state in self.both() {
            state.live = None;
            // What was acked just before may not be gone yet.
            let mut back: Vec<_> = std::mem::take(&mut state.acked)
                .into_iter()
                .filter(|(at, waiting)| at + ACK_MS > now && waiting.storing.is_none())
                .map(|(_, waiting)| waiting)
                .collect();
            let gone = dice.below(back.len() as u64 + 1) as usize;
            back.drain(..gone);
            back.into_iter().rev().for_each(|waiting| state.backlog.push_front(waiting));
            state.backlog.retain(|waiting| waiting.storing.is_none());
            for (seq, waiting) in (1..).zip(&mut state.backlog) {
                waiting.seq = seq;
            }
            state.next_seq = state.backlog.len() as u64 + 1;
        }
    }

    pub(super) fn lose_backlog(&mut self) {
        self.claimants.clear();
        for state in self.both() {
            state.live = None;
            state.backlog.clear();
            state.acked.clear();
            state.next_seq = 1;
        }
    }

    pub(super) fn wake_at(&self) -> Option<u64> {
        let storing = |state: &EndState| {
            let storing = state.backlog.iter().filter_map(|waiting| waiting.storing.as_ref().map(|(at, ..)| *at));
            storing.chain(state.backlog.iter().map(|waiting| waiting.expires)).min()
        };
        let closed = self.closed.as_ref().map(|closed| closed.forget_at);
        [storing(&self.a), storing(&self.b), self.join_by, closed].into_iter().flatten().min()
    }

    pub(super) fn tick(&mut self, now: u64, manners: &Manners, dice: &mut Dice, out: &mut Out) {
        for end in [End::A, End::B] {
            self.store(now, end, manners, dice, out);
            let state = self.end_mut(end);
            state.backlog.retain(|waiting| waiting.expires > now);
            state.acked.retain(|(at, _)| at + ACK_MS > now);
            self.flow(end, manners, out);
            self.give_room(end, manners, out);
        }
        if self.join_by.is_some_and(|at| at <= now) {
            self.end_unclaimed(now, None, manners, out);
        }
        if self.closed.as_ref().is_some_and(|closed| closed.forget_at <= now) {
            self.forgotten = true;
        }
    }

    /// Boxes become durable, in order; or the first of an attachment is refused, and with it all after it.
    fn store(&mut self, now: u64, end: End, manners: &Manners, dice: &mut Dice, out: &mut Out) {
        let state = self.end_mut(end);
        let mut at = 0;
        let mut failed = None;
        while let Some(waiting) = state.backlog.get_mut(at) {
            match &waiting.storing {
                Some((due, ..)) if *due > now => break,
                Some((_, sender, request, n)) => {
                    let (sender, request, n) = (*sender, *request, *n);
                    let under_way = state.live.as_ref().is_some_and(|live| live.delivered >= waiting.seq);
                    if !under_way && dice.per_mille(manners.fails_to_store) {
                        failed = Some(at);
                        break;
                    }
                    waiting.storing = None;
                    waiting.expires = now + u64::from(manners.limits.hold) * 1_000;
                    let accepted = Answer::Accepted { handle: sender.handle, n, hold: manners.limits.hold };
                    out.push((sender.conn, FromRelay::Answer(request, accepted)));
                }
                None => {}
            }
            at += 1;
        }
        let Some(failed) = failed else { return };
        let taken_back: Vec<_> = state.backlog.drain(failed..).filter_map(|waiting| waiting.storing).collect();
        let mut told = Vec::new();
        for (_, sender, request, n) in taken_back {
            let first = !told.contains(&sender);
            if first {
                told.push(sender);
                if let Some(live) = self.live(end.other(), sender) {
                    live.next_n = live.next_n.min(n);
                }
            }
            let why = if first { Refusal::Busy } else { Refusal::OutOfTurn };
            out.push((sender.conn, FromRelay::Answer(request, Answer::Refused(why))));
        }
    }

    /// Tells the other end that there is room at this one.
    fn give_room(&mut self, end: End, manners: &Manners, out: &mut Out) {
        let state = self.end(end);
        let half = state.backlog.len() * 2 <= manners.limits.backlog_boxes as usize
            && state.bytes() * 2 <= manners.limits.backlog_bytes;
        if let Some(live) = &mut self.end_mut(end.other()).live
            && live.wants_room
            && half
        {
            live.wants_room = false;
            out.push((live.at.conn, FromRelay::Event(Event::Room(live.at.handle))));
        }
    }

    pub(super) fn attach(
        &mut self,
        now: u64,
        end: End,
        at: At,
        window: Window,
        manners: &Manners,
        out: &mut Out,
    ) -> Result<Attached, Refusal> {
        if let Some(closed) = &self.closed
            && (closed.by == Some(end) || end == End::B && self.spent_invite.is_none())
        {
            return Err(Refusal::Gone);
        }
        if end == End::B && self.spent_invite.is_none() {
            assert!(self.join_by.is_none_or(|at| at > now), "an unclaimed channel that ran out is closed");
            self.claimants.push((at, window));
            return Ok(Attached { handle: at.handle, waiting: 0, must_rekey: true });
        }
        let waiting = self.end(end).backlog.len() as u64;
        self.go_live(end, at, window, manners, out);
        Ok(Attached { handle: at.handle, waiting, must_rekey: false })
    }

    fn go_live(&mut self, end: End, at: At, window: Window, manners: &Manners, out: &mut Out) {
        let live =
            Live { at, window, next_n: 1, delivered: 0, told_drained: false, told_closed: false, wants_room: false };
        if let Some(older) = self.end_mut(end).live.replace(live) {
            out.push((older.at.conn, FromRelay::Event(Event::Superseded(older.at.handle))));
        }
        if end == End::A && self.invite_tried {
            out.push((at.conn, FromRelay::Event(Event::InviteTried(at.handle))));
        }
        self.flow(end, manners, out);
    }

    pub(super) fn invite_was_tried(&mut self, out: &mut Out) {
        self.invite_tried = true;
        if let Some(live) = &self.a.live {
            out.push((live.at.conn, FromRelay::Event(Event::InviteTried(live.at.handle))));
        }
    }

    pub(super) fn rekey(&mut self, end: End, at: At, new_key: EndPublic, manners: &Manners, out: &mut Out) -> Answer {
        let claims = self.claimants.iter().position(|(claimant, _)| *claimant == at);
        match claims {
            Some(claimant) if end == End::B && self.spent_invite.is_none() => {
                if new_key == self.b.key {
                    return Answer::Refused(Refusal::NotAllowed);
                }
                let (_, window) = self.claimants.remove(claimant);
                for (other, _) in std::mem::take(&mut self.claimants) {
                    out.push((other.conn, FromRelay::Event(Event::Superseded(other.handle))));
                }
                self.spent_invite = Some(self.b.key);
                self.join_by = None;
                self.b.key = new_key;
                self.go_live(End::B, at, window, manners, out);
                Answer::Done
            }
            _ if self.live(end, at).is_some() => {
                self.end_mut(end).key = new_key;
                Answer::Done
            }
            _ => Answer::Refused(Refusal::NotAllowed),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "what a Send carries")]
    pub(super) fn send(
        &mut self,
        now: u64,
        end: End,
        at: At,
        n: u64,
        request: RequestId,
        payload: Bytes,
        manners: &Manners,
        out: &mut Out,
    ) {
        match self.admit(end, at, n, &payload, manners) {
            Err(why) => out.push((at.conn, FromRelay::Answer(request, Answer::Refused(why)))),
            Ok(()) => {
                let to = self.end_mut(end.other());
                let last = to.backlog.iter().filter_map(|waiting| waiting.storing.as_ref().map(|(due, ..)| *due)).max();
                let due = (now + manners.commit_ms).max(last.unwrap_or(0));
                let expires = now + u64::from(manners.limits.hold) * 1_000 + manners.commit_ms;
                let storing = Some((due, at, request, n));
                to.backlog.push_back(Waiting { seq: to.next_seq, payload, expires, storing });
                to.next_seq += 1;
                self.flow(end.other(), manners, out);
            }
        }
    }

    fn admit(&mut self, end: End, at: At, n: u64, payload: &Bytes, manners: &Manners) -> Result<(), Refusal> {
        let closed = self.closed.is_some();
        let to = self.end(end.other());
        let full = to.backlog.len() + 1 > manners.limits.backlog_boxes as usize
            || to.bytes() + payload.len() as u64 > manners.limits.backlog_bytes;
        let live = self.live(end, at).ok_or(Refusal::NotAllowed)?;
        if closed {
            return Err(Refusal::Gone);
        }
        if n != live.next_n {
            return Err(Refusal::OutOfTurn);
        }
        SealedBox::check(payload.clone()).map_err(|_| Refusal::NotABox)?;
        if full {
            live.wants_room = true;
            return Err(Refusal::Full);
        }
        live.next_n += 1;
        Ok(())
    }

    pub(super) fn ack(&mut self, now: u64, end: End, at: At, up_to: u64, hold: u32, out: &mut Out) {
        if self.claimants.iter().any(|(claimant, _)| *claimant == at) {
            assert_eq!(up_to, 0, "an ack under an invite's key");
        }
        let Some(live) = self.live(end, at) else { return };
        assert!(up_to <= live.delivered, "an ack beyond what was delivered");
        let state = self.end_mut(end);
        while state.backlog.front().is_some_and(|waiting| waiting.seq <= up_to) {
            let Some(mut waiting) = state.backlog.pop_front() else { return };
            if let Some((_, sender, request, n)) = waiting.storing.take() {
                let accepted = Answer::Accepted { handle: sender.handle, n, hold };
                out.push((sender.conn, FromRelay::Answer(request, accepted)));
            } else {
                state.acked.push((now, waiting));
            }
        }
    }

    fn end_unclaimed(&mut self, now: u64, by: Option<End>, manners: &Manners, out: &mut Out) {
        let why = if by.is_some() { ClosedWhy::ByPeer } else { ClosedWhy::Unclaimed };
        for (claimant, _) in std::mem::take(&mut self.claimants) {
            out.push((claimant.conn, FromRelay::Event(Event::Closed(claimant.handle, why))));
        }
        for state in self.both() {
            purge(&mut state.backlog, out);
        }
        self.join_by = None;
        self.closed = Some(Closed { by, forget_at: now + u64::from(manners.limits.hold) * 1_000 });
        self.flow(End::A, manners, out);
    }

    pub(super) fn close(&mut self, now: u64, end: End, at: At, hold_ms: u64, out: &mut Out) -> Answer {
        if self.live(end, at).is_none() {
            return Answer::Refused(Refusal::NotAllowed);
        }
        if self.closed.is_some() {
            // The other end was told, and says that it knows.
            self.forgotten = true;
            return Answer::Done;
        }
        let unclaimed = self.spent_invite.is_none();
        for (claimant, _) in std::mem::take(&mut self.claimants) {
            out.push((claimant.conn, FromRelay::Event(Event::Closed(claimant.handle, ClosedWhy::ByPeer))));
        }
        let state = self.end_mut(end);
        purge(&mut state.backlog, out);
        state.live = None;
        if unclaimed {
            purge(&mut self.end_mut(end.other()).backlog, out);
        }
        self.join_by = None;
        self.closed = Some(Closed { by: Some(end), forget_at: now + hold_ms });
        Answer::Done
    }
}
