//! What travels: boxes sent, stored or not, delivered, acked.

use tacit_proto::frame::{Answer, Event, Refusal};
use tacit_proto::{End, NotABox, SealedBox};

use super::{Channel, Context, ProtocolError, Pulled, closed_why};
use crate::backlog::{Next, Sender};
use crate::effect::{Asker, Attachment, Effect};
use crate::spool::{Phase, SpoolError};

/// Least milliseconds until boxes that could not be read back are asked for again.
const LOAD_AGAIN: u64 = 1_000;

impl<C: Clone + PartialEq> Channel<C> {
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
        // A load may have failed, and is tried again now.
        if backlog.has_undelivered() {
            self.call(cx, end);
        }
    }

    pub(super) fn append_all(&mut self, cx: &mut Context<'_, C>, end: End) {
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
    pub(super) fn call(&mut self, cx: &mut Context<'_, C>, end: End) {
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
                    let last = !state.backlog.has_undelivered();
                    live.told_drained = last;
                    out.push(Event::Deliver { handle: at.handle, seq, payload: sealed.into_bytes(), last });
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
            // The disk may recover: ask again later, and not all the time, whatever the grace.
            Err(_) => {
                backlog.loaded(Vec::new());
                cx.fx.push(Effect::Grace { of, at: cx.now.millis + cx.rules.grace.max(LOAD_AGAIN) });
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

    /// Removes what was held for its time, at most so many boxes of it. Returns how many boxes that were.
    pub(crate) fn expire(&mut self, cx: &mut Context<'_, C>, end: End, most: usize) -> usize {
        let of = self.of(end);
        let expired = self.end_mut(end).backlog.expire(of, cx.now, cx.rules.hold, most, cx.fx);
        if expired > 0 {
            self.shrunk(cx, end);
        }
        expired
    }
}
