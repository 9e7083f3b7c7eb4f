//! The relay's one object: two ends, each attached by at most one device, and the boxes that wait at each.
//!
//! A channel decides; it does no I/O and asks for no time. Every method takes the moment and the relay's rules in a
//! [`Context`], and leaves in it what is to be done, in order ([`Effect`]). Whoever calls holds the channel alone, and
//! carries the effects out before letting go of it, so that deliveries and changes leave in the order decided.
//!
//! Here: who is attached, and what travels. What changes the channel's row (opening, claiming and rekeying, closing,
//! expiry) is in [`rows`].

mod rows;

use tacit_proto::frame::{Answer, Attached, ClosedWhy, Event, Refusal, Window};
use tacit_proto::{ChannelId, End, EndOf, EndPublic, NotABox, SealedBox, SizeClass};

use crate::backlog::{Backlog, Next, Quota, Sender};
use crate::effect::{Asker, Attachment, Effect};
use crate::proven::{DummyKeys, Keys, Proven};
use crate::spool::{BoxKey, ChannelRow, EndRow, Phase, SpoolError};
use crate::time::Now;
use rows::RowWork;

/// Most attachments under one invite's key: more are of no use to a rightful device.
const MAX_CLAIMANTS: usize = 16;

/// What a relay promises and allows, as far as channels are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Seconds that a box is kept, and that a tombstone stays.
    pub(crate) hold: u32,
    /// Milliseconds that a box for an attached end is kept off the disk.
    pub(crate) grace: u64,
    /// The relay's own bound of what is under way to an end.
    pub(crate) window: Window,
    /// How much may wait at an end.
    pub(crate) quota: Quota,
}

/// What a decision is made with, and what it leads to.
pub(crate) struct Context<'a, C> {
    pub(crate) now: Now,
    pub(crate) rules: &'a Rules,
    pub(crate) fx: &'a mut Vec<Effect<C>>,
}

/// A device did what no device does: its connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device acked what it was never sent")]
pub(crate) struct ProtocolError;

/// An end that a device holds now.
#[derive(Debug)]
struct Live<C> {
    at: Attachment<C>,
    window: Window,
    /// The only number that a `Send` is taken with.
    next_n: u64,
    /// The highest seq handed to this attachment.
    delivered: u64,
    /// It was told to pull, and did not yet.
    called: bool,
    told_drained: bool,
    told_tried: bool,
    told_closed: bool,
    /// It was refused with `Full`.
    wants_room: bool,
}

#[derive(Debug)]
struct EndState<C> {
    key: EndPublic,
    spent_invite: Option<EndPublic>,
    backlog: Backlog<C>,
    live: Option<Box<Live<C>>>,
}

/// Attached under the invite's key: it may rekey, and nothing else.
#[derive(Debug)]
struct Claimant<C> {
    at: Attachment<C>,
    window: Window,
}

/// What pulling gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// Boxes handed over.
    pub(crate) boxes: u64,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// The budget is used up and there is more: pull again.
    pub(crate) more: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel<C> {
    id: ChannelId,
    a: EndState<C>,
    b: EndState<C>,
    phase: Phase,
    invite_tried: bool,
    claimants: Vec<Claimant<C>>,
    rows: RowWork<C>,
}

impl<C> EndState<C> {
    const fn new(key: EndPublic, spent_invite: Option<EndPublic>) -> Self
    where
        C: Clone,
    {
        Self { key, spent_invite, backlog: Backlog::new(), live: None }
    }
}

impl<C: Clone + PartialEq> Channel<C> {
    /// A channel as it was found at start-up.
    pub(crate) fn recover(id: ChannelId, row: ChannelRow) -> Self {
        let ChannelRow { a, b, phase, invite_tried } = row;
        Self {
            id,
            a: EndState::new(a.key, a.spent_invite),
            b: EndState::new(b.key, b.spent_invite),
            phase,
            invite_tried,
            claimants: Vec::new(),
            rows: RowWork::recovered(invite_tried),
        }
    }

    /// A waiting box as it was found at start-up.
    pub(crate) fn recover_box(&mut self, end: End, key: BoxKey, class: SizeClass) {
        self.end_mut(end).backlog.recover(key, class);
    }

    const fn end(&self, end: End) -> &EndState<C> {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    const fn end_mut(&mut self, end: End) -> &mut EndState<C> {
        match end {
            End::A => &mut self.a,
            End::B => &mut self.b,
        }
    }

    const fn of(&self, end: End) -> EndOf {
        EndOf { channel: self.id, end }
    }

    fn row(&self) -> ChannelRow {
        let end = |end: &EndState<C>| EndRow { key: end.key, spent_invite: end.spent_invite };
        ChannelRow { a: end(&self.a), b: end(&self.b), phase: self.phase, invite_tried: self.invite_tried }
    }

    const fn was_claimed(&self) -> bool {
        self.b.spent_invite.is_some()
    }

    fn live(&self, end: End, at: &Attachment<C>) -> Option<&Live<C>> {
        self.end(end).live.as_deref().filter(|live| live.at == *at)
    }

    fn live_mut(&mut self, end: End, at: &Attachment<C>) -> Option<&mut Live<C>> {
        self.end_mut(end).live.as_deref_mut().filter(|live| live.at == *at)
    }

    fn is_claimant(&self, end: End, at: &Attachment<C>) -> bool {
        end == End::B && self.claimants.iter().any(|claimant| claimant.at == *at)
    }

    /// Whether this attachment is one, now.
    pub(crate) fn is_attached(&self, end: End, at: &Attachment<C>) -> bool {
        self.live(end, at).is_some() || self.is_claimant(end, at)
    }

    // Attaching.

    /// The keys that a proof for an end is tried against.
    pub(crate) fn keys(&self, end: End, dummies: &DummyKeys) -> Keys {
        if !self.rows.exists() {
            return dummies.fill(None, None);
        }
        let state = self.end(end);
        dummies.fill(Some(state.key), state.spent_invite)
    }

    /// Attaches an end. `Used` may be told to the device once [`Effect::TriedNoted`] came for its connection.
    pub(crate) fn attach(
        &mut self,
        cx: &mut Context<'_, C>,
        proven: &Proven,
        at: Attachment<C>,
        window: Window,
    ) -> Result<Attached, Refusal> {
        let end = proven.of().end;
        let state = self.end(end);
        if !self.rows.exists() || proven.of().channel != self.id {
            return Err(Refusal::NotAllowed);
        }
        if *proven.key() != state.key {
            if state.spent_invite != Some(*proven.key()) {
                return Err(Refusal::NotAllowed);
            }
            self.invite_was_tried(cx, at.conn);
            return Err(Refusal::Used);
        }
        match self.phase {
            Phase::Closed { by, .. } if by == Some(end) => return Err(Refusal::Gone),
            // A closed invite admits nobody.
            Phase::Closed { .. } if end == End::B && !self.was_claimed() => return Err(Refusal::Gone),
            _ => {}
        }
        // Whoever is about to be locked out by a new key must not slip in before it.
        if self.rows.is_rekeying(end) {
            return Err(Refusal::Busy);
        }
        let handle = at.handle;
        if end == End::B && !self.was_claimed() {
            if self.claimants.len() == MAX_CLAIMANTS {
                let oldest = self.claimants.remove(0).at;
                cx.fx.push(Effect::Event(oldest.conn, Event::Superseded(oldest.handle)));
            }
            self.claimants.push(Claimant { at, window });
            return Ok(Attached { handle, waiting: 0, must_rekey: true });
        }
        let waiting = state.backlog.len() as u64;
        self.go_live(cx, end, at, window);
        Ok(Attached { handle, waiting, must_rekey: false })
    }

    fn go_live(&mut self, cx: &mut Context<'_, C>, end: End, at: Attachment<C>, window: Window) {
        let bound = cx.rules.window;
        let window = Window { boxes: window.boxes.min(bound.boxes), bytes: window.bytes.min(bound.bytes) };
        let state = self.end_mut(end);
        if let Some(older) = state.live.take() {
            cx.fx.push(Effect::Event(older.at.conn, Event::Superseded(older.at.handle)));
        }
        state.backlog.rewind();
        state.live = Some(Box::new(Live {
            at,
            window,
            next_n: 1,
            delivered: 0,
            called: false,
            told_drained: false,
            told_tried: false,
            told_closed: false,
            wants_room: false,
        }));
        self.call(cx, end);
    }

    /// The connection of an attachment ended. What it had not acked goes to disk now.
    pub(crate) fn detach(&mut self, cx: &mut Context<'_, C>, end: End, at: &Attachment<C>) {
        if end == End::B {
            self.claimants.retain(|claimant| claimant.at != *at);
        }
        if self.live(end, at).is_some() {
            self.drop_live(end);
            self.append_all(cx, end);
        }
    }

    fn drop_live(&mut self, end: End) -> Option<Box<Live<C>>> {
        let state = self.end_mut(end);
        state.backlog.rewind();
        state.backlog.drop_loaded();
        state.live.take()
    }

    // Sending.

    /// Takes the next box of an attachment for the other end, or says why not.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context<'_, C>,
        end: End,
        at: &Attachment<C>,
        n: u64,
        asker: Asker<C>,
        sealed: Result<SealedBox, NotABox>,
    ) {
        match self.admit(cx, end, at, n, sealed) {
            Ok(sealed) => {
                let due = cx.now.millis + cx.rules.grace;
                let to = end.other();
                let of = self.of(to);
                let state = self.end_mut(to);
                state.backlog.push(sealed, Sender { asker, handle: at.handle, n }, due);
                if let Some(live) = state.live.as_deref_mut() {
                    live.told_drained = false;
                    let may_deliver = state.backlog.may_deliver(live.window);
                    state.backlog.run_grace(of, cx.fx);
                    if may_deliver {
                        self.call(cx, to);
                    }
                } else {
                    self.append_all(cx, to);
                }
            }
            Err(why) => cx.fx.push(Effect::Answer(asker, Answer::Refused(why))),
        }
    }

    fn admit(
        &mut self,
        cx: &Context<'_, C>,
        end: End,
        at: &Attachment<C>,
        n: u64,
        sealed: Result<SealedBox, NotABox>,
    ) -> Result<SealedBox, Refusal> {
        let live = self.live(end, at).ok_or(Refusal::NotAllowed)?;
        if let Phase::Closed { .. } = self.phase {
            return Err(Refusal::Gone);
        }
        if n != live.next_n {
            return Err(Refusal::OutOfTurn);
        }
        let sealed = sealed.map_err(|NotABox| Refusal::NotABox)?;
        let has_room = self.end(end.other()).backlog.has_room(sealed.class(), cx.rules.quota);
        let live = self.live_mut(end, at).ok_or(Refusal::NotAllowed)?;
        if !has_room {
            live.wants_room = true;
            return Err(Refusal::Full);
        }
        live.next_n += 1;
        Ok(sealed)
    }

    /// The grace of the oldest unstored box is over.
    pub(crate) fn grace_over(&mut self, cx: &mut Context<'_, C>, end: End) {
        let of = self.of(end);
        let backlog = &mut self.end_mut(end).backlog;
        backlog.grace_ran_out();
        backlog.append(of, cx.now, cx.rules.hold, false, cx.fx);
        backlog.run_grace(of, cx.fx);
        // A load that failed is tried again after the same time.
        if backlog.has_undelivered() {
            self.call(cx, end);
        }
    }

    fn append_all(&mut self, cx: &mut Context<'_, C>, end: End) {
        let of = self.of(end);
        self.end_mut(end).backlog.append(of, cx.now, cx.rules.hold, true, cx.fx);
    }

    /// The relay is about to end: nothing waits for a grace any more.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_, C>) {
        self.append_all(cx, End::A);
        self.append_all(cx, End::B);
    }

    /// The committer did or could not do an append.
    pub(crate) fn appended(&mut self, cx: &mut Context<'_, C>, end: End, seq: u64, durable: bool) {
        let of = self.of(end);
        if durable {
            self.end_mut(end).backlog.appended(of, seq, cx.rules.hold, cx.fx);
        } else {
            let due = cx.now.millis + cx.rules.grace;
            let refused = self.end_mut(end).backlog.append_failed(of, seq, due, cx.fx);
            self.refuse_taken_back(cx, end.other(), refused);
            self.end_mut(end).backlog.run_grace(of, cx.fx);
            self.shrunk(cx, end);
        }
        self.settled(cx);
    }

    /// Tells senders that their boxes were taken back: the first of each attachment may be retried, the later ones are
    /// out of turn until it was.
    fn refuse_taken_back(&mut self, cx: &mut Context<'_, C>, end: End, senders: Vec<Sender<C>>) {
        let mut last: Option<Attachment<C>> = None;
        for sender in senders {
            let at = Attachment { conn: sender.asker.conn.clone(), handle: sender.handle };
            let is_first = last.as_ref() != Some(&at);
            if is_first && let Some(live) = self.live_mut(end, &at) {
                live.next_n = live.next_n.min(sender.n);
            }
            cx.fx.push(sender.refused(if is_first { Refusal::Busy } else { Refusal::OutOfTurn }));
            last = Some(at);
        }
    }

    // Delivering.

    /// Tells the attachment of an end that there is something to pull.
    fn call(&mut self, cx: &mut Context<'_, C>, end: End) {
        let of = self.of(end);
        if let Some(live) = self.end_mut(end).live.as_deref_mut()
            && !live.called
        {
            live.called = true;
            cx.fx.push(Effect::Ready(live.at.clone(), of));
        }
    }

    /// Hands over what there is for an attachment, up to about `budget` bytes of boxes and at least one box.
    ///
    /// Pulled and not pushed, so that a device that reads slowly finds its boxes waiting here and not in a buffer.
    pub(crate) fn pull(
        &mut self,
        cx: &mut Context<'_, C>,
        end: End,
        at: &Attachment<C>,
        budget: usize,
        out: &mut Vec<Event>,
    ) -> Pulled {
        let of = self.of(end);
        let phase = self.phase;
        let invite_tried = self.invite_tried && end == End::A;
        let state = self.end_mut(end);
        let Some(live) = state.live.as_deref_mut().filter(|live| live.at == *at) else {
            return Pulled::default();
        };
        live.called = false;
        if invite_tried && !live.told_tried {
            live.told_tried = true;
            out.push(Event::InviteTried(at.handle));
        }
        let mut pulled = Pulled::default();
        loop {
            if pulled.bytes >= budget && pulled.boxes > 0 && state.backlog.may_deliver(live.window) {
                live.called = true;
                return Pulled { more: true, ..pulled };
            }
            match state.backlog.next_delivery(live.window) {
                Next::Deliver(seq, sealed) => {
                    live.delivered = seq;
                    pulled.boxes += 1;
                    pulled.bytes += sealed.bytes().len();
                    out.push(Event::Deliver { handle: at.handle, seq, payload: sealed.into_bytes() });
                }
                Next::Load { from, most } => {
                    cx.fx.push(Effect::Load { of, from, most });
                    break;
                }
                Next::Nothing => break,
            }
        }
        if state.backlog.is_empty() {
            if !live.told_drained {
                live.told_drained = true;
                out.push(Event::Drained(at.handle));
            }
            if let Phase::Closed { by, .. } = phase
                && !live.told_closed
            {
                live.told_closed = true;
                out.push(Event::Closed(at.handle, closed_why(by)));
            }
        }
        pulled
    }

    /// Boxes were read back, or could not be.
    pub(crate) fn loaded(
        &mut self,
        cx: &mut Context<'_, C>,
        end: End,
        (from, most): (u64, usize),
        result: Result<Vec<(u64, SealedBox)>, SpoolError>,
    ) {
        let of = self.of(end);
        let backlog = &mut self.end_mut(end).backlog;
        match result {
            Ok(boxes) if boxes.first().is_some_and(|(seq, _)| *seq == from) => backlog.loaded(boxes),
            // One of several is damaged: find out which, without giving up the others.
            Err(SpoolError::Damaged(_)) if most > 1 => {
                cx.fx.push(Effect::Load { of, from, most: 1 });
                return;
            }
            Ok(_) | Err(SpoolError::Damaged(_)) => {
                backlog.loaded(Vec::new());
                backlog.give_up(of, from, cx.fx);
                self.shrunk(cx, end);
            }
            // The disk may recover: ask again later.
            Err(_) => {
                backlog.loaded(Vec::new());
                cx.fx.push(Effect::Grace { of, at: cx.now.millis + cx.rules.grace });
                return;
            }
        }
        match self.end(end).live {
            Some(_) => self.call(cx, end),
            None => self.end_mut(end).backlog.drop_loaded(),
        }
    }

    /// The device has everything up to a seq. Returns how many boxes that settled.
    pub(crate) fn ack(
        &mut self,
        cx: &mut Context<'_, C>,
        end: End,
        at: &Attachment<C>,
        up_to: u64,
    ) -> Result<usize, ProtocolError> {
        if self.is_claimant(end, at) && up_to > 0 {
            return Err(ProtocolError);
        }
        let Some(live) = self.live(end, at) else {
            return Ok(0);
        };
        if up_to > live.delivered {
            return Err(ProtocolError);
        }
        let of = self.of(end);
        let acked = self.end_mut(end).backlog.ack(of, up_to, cx.rules.hold, cx.fx);
        if acked > 0 {
            self.shrunk(cx, end);
            self.settled(cx);
        }
        Ok(acked)
    }

    /// Boxes left a backlog: its device may get more, or know that it is drained; its sender may have room again.
    fn shrunk(&mut self, cx: &mut Context<'_, C>, end: End) {
        let backlog = &self.end(end).backlog;
        let has_room = backlog.is_at_most_half(cx.rules.quota);
        if backlog.has_undelivered() || backlog.is_empty() {
            self.call(cx, end);
        }
        if has_room
            && let Some(sender) = self.end_mut(end.other()).live.as_deref_mut()
            && sender.wants_room
        {
            sender.wants_room = false;
            cx.fx.push(Effect::Event(sender.at.conn.clone(), Event::Room(sender.at.handle)));
        }
    }

    /// Removes what was held for its time. Returns how many boxes that were.
    fn expire_boxes(&mut self, cx: &mut Context<'_, C>, end: End) -> usize {
        let of = self.of(end);
        let expired = self.end_mut(end).backlog.expire(of, cx.now.hour(), cx.rules.hold, cx.fx);
        if expired > 0 {
            self.shrunk(cx, end);
        }
        expired
    }
}

const fn closed_why(by: Option<End>) -> ClosedWhy {
    match by {
        Some(_) => ClosedWhy::ByPeer,
        None => ClosedWhy::Unclaimed,
    }
}

#[cfg(test)]
mod tests;
