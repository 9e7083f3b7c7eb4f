//! What changes a channel's row: opening, claiming and rekeying, closing, expiry, forgetting.
//!
//! One change at a time: each is decided on the row that the one before it left, and takes effect when it is durable.
//! Those that come meanwhile wait in turn, so the first durable `Rekey` wins whatever the order of the commits' answers.

use std::collections::VecDeque;

use tacit_proto::frame::{Answer, Event, Open, Refusal};
use tacit_proto::{End, EndPublic, PermitHash};

use super::{Channel, Context, EndState, closed_why};
use crate::effect::{Asker, Attachment, Effect, OnFailure};
use crate::proven::Proven;
use crate::spool::{Change, ChannelRow, Phase};

/// One change to a row, asked for or due.
#[derive(Debug)]
enum RowChange<C> {
    Open {
        permit: PermitHash,
        askers: Vec<Asker<C>>,
    },
    Rekey {
        end: End,
        at: Attachment<C>,
        old_key: EndPublic,
        new_key: EndPublic,
        asker: Asker<C>,
    },
    Close {
        end: End,
        at: Attachment<C>,
        asker: Asker<C>,
    },
    NoteTried,
    Expire,
    /// `handed_over` once both backlogs are off the disk.
    Forget {
        asker: Option<Asker<C>>,
        handed_over: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    Opening,
    Exists,
    Forgotten,
}

/// The changes of one channel's row that are under way.
#[derive(Debug)]
pub(super) struct RowWork<C> {
    existence: Existence,
    in_flight: Option<Box<RowChange<C>>>,
    waiting: VecDeque<RowChange<C>>,
    /// `invite_tried` is on disk.
    tried_is_stored: bool,
    /// Connections whose `Used` waits for that.
    tried_by: Vec<C>,
}

impl<C> RowWork<C> {
    pub(super) const fn recovered(tried_is_stored: bool) -> Self {
        Self {
            existence: Existence::Exists,
            in_flight: None,
            waiting: VecDeque::new(),
            tried_is_stored,
            tried_by: Vec::new(),
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.existence == Existence::Exists
    }

    pub(super) fn is_rekeying(&self, end: End) -> bool {
        let rekeys = |change: &RowChange<C>| matches!(change, RowChange::Rekey { end: of, .. } if *of == end);
        self.in_flight.as_deref().is_some_and(rekeys) || self.waiting.iter().any(rekeys)
    }
}

impl<C: Clone + PartialEq> Channel<C> {
    /// A new channel. It exists once its row and the spent permit are durable.
    pub(crate) fn open(cx: &mut Context<'_, C>, open: &Open, asker: Asker<C>) -> Self {
        let permit = open.permit.hash();
        let mut channel = Self {
            id: open.channel,
            a: EndState::new(open.key_a, None),
            b: EndState::new(open.key_b, None),
            phase: Phase::Unclaimed { join_by: cx.now.hour_after(open.join_by.get()) },
            invite_tried: false,
            claimants: Vec::new(),
            rows: RowWork { existence: Existence::Opening, ..RowWork::recovered(false) },
        };
        cx.fx.push(Effect::Commit(Change::SpendPermit(permit), OnFailure::WithNext));
        let row = channel.row();
        channel.put(cx, row, RowChange::Open { permit, askers: vec![asker] });
        channel
    }

    /// Whether an `Open` is the repeated one that made this channel.
    pub(crate) fn was_opened_with(&self, key_a: &EndPublic) -> bool {
        self.a.key == *key_a
    }

    /// The same `Open` again.
    pub(crate) fn open_again(&mut self, cx: &mut Context<'_, C>, asker: Asker<C>) {
        match self.rows.in_flight.as_deref_mut() {
            Some(RowChange::Open { askers, .. }) => askers.push(asker),
            _ => answer(cx, asker, Answer::Done),
        }
    }

    /// The channel is not, or no more.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.rows.existence == Existence::Forgotten
    }

    /// Gives an end a new key.
    pub(crate) fn rekey(
        &mut self,
        cx: &mut Context<'_, C>,
        proven: &Proven,
        at: Attachment<C>,
        new_key: EndPublic,
        asker: Asker<C>,
    ) {
        let (end, old_key) = (proven.of().end, *proven.key());
        self.enqueue(cx, RowChange::Rekey { end, at, old_key, new_key, asker });
    }

    /// Closes the channel; at a tombstone, forgets it.
    pub(crate) fn close(&mut self, cx: &mut Context<'_, C>, end: End, at: Attachment<C>, asker: Asker<C>) {
        self.enqueue(cx, RowChange::Close { end, at, asker });
    }

    /// Somebody proved to hold the spent invite. End A is told now if it is attached, and at each attachment to come.
    pub(super) fn invite_was_tried(&mut self, cx: &mut Context<'_, C>, conn: C) {
        if self.rows.tried_is_stored || matches!(self.phase, Phase::Closed { by: Some(End::A), .. }) {
            cx.fx.push(Effect::TriedNoted(conn));
            return;
        }
        let is_first = self.rows.tried_by.is_empty();
        self.rows.tried_by.push(conn);
        self.invite_tried = true;
        self.call(cx, End::A);
        if is_first {
            self.enqueue(cx, RowChange::NoteTried);
        }
    }

    /// Does what the time asks for, but for boxes: see [`Channel::expire`].
    pub(crate) fn sweep(&mut self, cx: &mut Context<'_, C>) {
        if self.rows.exists() && self.rows.in_flight.is_none() {
            let hour = cx.now.hour();
            match self.phase {
                Phase::Unclaimed { join_by } if join_by <= hour => self.enqueue(cx, RowChange::Expire),
                Phase::Closed { forget, .. } if forget <= hour => {
                    self.enqueue(cx, RowChange::Forget { asker: None, handed_over: false });
                }
                _ if self.invite_tried && !self.rows.tried_is_stored => self.enqueue(cx, RowChange::NoteTried),
                _ => {}
            }
        }
    }

    /// After a crash between a tombstone and the purge that follows it.
    pub(crate) fn purge_what_was_closed(&mut self, cx: &mut Context<'_, C>) {
        if let Phase::Closed { by, .. } = self.phase {
            for end in [End::A, End::B] {
                if by == Some(end) || !self.was_claimed() {
                    self.purge(cx, end);
                }
            }
        }
    }

    fn purge(&mut self, cx: &mut Context<'_, C>, end: End) {
        let of = self.of(end);
        self.end_mut(end).backlog.purge(of, cx.fx);
    }

    // One change at a time.

    fn enqueue(&mut self, cx: &mut Context<'_, C>, change: RowChange<C>) {
        if self.rows.in_flight.is_some() {
            self.rows.waiting.push_back(change);
        } else {
            self.start(cx, change);
        }
    }

    fn put(&mut self, cx: &mut Context<'_, C>, row: ChannelRow, change: RowChange<C>) {
        cx.fx.push(Effect::Commit(Change::PutChannel(self.id, row), OnFailure::Tell));
        self.rows.in_flight = Some(Box::new(change));
    }

    /// A tombstone stays for one hold, and for as long as a box behind it: that may have been accepted while the
    /// operator's hold was longer.
    fn tombstone(&self, cx: &Context<'_, C>, by: Option<End>) -> Phase {
        let kept = by.filter(|_| self.was_claimed()).map(End::other);
        let held = kept.and_then(|end| self.end(end).backlog.held_until());
        let hold = cx.now.hour_after(cx.rules.hold);
        Phase::Closed { by, forget: held.map_or(hold, |held| held.max(hold)) }
    }

    /// Hands a change to the committer, or answers at once why not.
    fn start(&mut self, cx: &mut Context<'_, C>, change: RowChange<C>) {
        let mut row = self.row();
        match change {
            RowChange::Rekey { end, ref at, old_key, new_key, ref asker } => {
                let claims = self.is_claimant(end, at);
                let stale = !self.is_attached(end, at) || self.end(end).key != old_key;
                // An invite's key that stayed in force, or came to be again, would let everybody in who saw the invite.
                let invite_key = row.b.spent_invite.unwrap_or(row.b.key);
                if stale || new_key == invite_key {
                    return answer(cx, asker.clone(), Answer::Refused(Refusal::NotAllowed));
                }
                let end_row = match end {
                    End::A => &mut row.a,
                    End::B => &mut row.b,
                };
                end_row.key = new_key;
                if claims {
                    end_row.spent_invite = Some(old_key);
                    row.phase = Phase::Claimed;
                }
            }
            RowChange::Close { end, ref at, ref asker } => {
                if self.live(end, at).is_none() {
                    return answer(cx, asker.clone(), Answer::Refused(Refusal::NotAllowed));
                }
                if let Phase::Closed { .. } = self.phase {
                    return self.start(cx, RowChange::Forget { asker: Some(asker.clone()), handed_over: false });
                }
                row.phase = self.tombstone(cx, Some(end));
            }
            RowChange::Expire => {
                if !matches!(self.phase, Phase::Unclaimed { .. }) {
                    return;
                }
                row.phase = self.tombstone(cx, None);
            }
            RowChange::Forget { .. } => {
                self.purge(cx, End::A);
                self.purge(cx, End::B);
                self.rows.in_flight = Some(Box::new(change));
                return self.settled(cx);
            }
            RowChange::Open { .. } | RowChange::NoteTried => {}
        }
        self.put(cx, row, change);
    }

    /// A backlog may now be off the disk: a channel that waited for it can be forgotten.
    pub(super) fn settled(&mut self, cx: &mut Context<'_, C>) {
        if let Some(RowChange::Forget { handed_over, .. }) = self.rows.in_flight.as_deref_mut()
            && !*handed_over
            && self.a.backlog.is_settled()
            && self.b.backlog.is_settled()
        {
            *handed_over = true;
            cx.fx.push(Effect::Commit(Change::ForgetChannel(self.id), OnFailure::Tell));
        }
    }

    /// The committer made the change in flight durable, or could not.
    pub(crate) fn row_committed(&mut self, cx: &mut Context<'_, C>, durable: bool) {
        if let Some(change) = self.rows.in_flight.take() {
            if durable {
                self.made(cx, *change);
            } else {
                self.not_made(cx, *change);
            }
        }
        while self.rows.in_flight.is_none()
            && let Some(next) = self.rows.waiting.pop_front()
        {
            self.start(cx, next);
        }
    }

    fn made(&mut self, cx: &mut Context<'_, C>, change: RowChange<C>) {
        match change {
            RowChange::Open { askers, .. } => {
                self.rows.existence = Existence::Exists;
                askers.into_iter().for_each(|asker| answer(cx, asker, Answer::Done));
            }
            RowChange::Rekey { end, at, old_key, new_key, asker } => {
                self.end_mut(end).key = new_key;
                answer(cx, asker, Answer::Done);
                if end == End::B && !self.was_claimed() {
                    self.b.spent_invite = Some(old_key);
                    self.phase = Phase::Claimed;
                    self.seat_claimant(cx, &at);
                }
            }
            RowChange::Close { end, asker, .. } => {
                self.phase = self.tombstone(cx, Some(end));
                answer(cx, asker, Answer::Done);
                self.drop_live(end);
                self.purge_what_was_closed(cx);
                self.dismiss_claimants(cx);
                self.call(cx, end.other());
            }
            RowChange::Expire => {
                self.phase = self.tombstone(cx, None);
                self.purge_what_was_closed(cx);
                self.dismiss_claimants(cx);
                self.call(cx, End::A);
            }
            RowChange::NoteTried => self.tried_noted(cx, true),
            RowChange::Forget { asker, .. } => self.forgotten(cx, asker),
        }
    }

    fn not_made(&mut self, cx: &mut Context<'_, C>, change: RowChange<C>) {
        match change {
            RowChange::Open { permit, askers } => {
                self.rows.existence = Existence::Forgotten;
                cx.fx.push(Effect::PermitUnspent(permit));
                askers.into_iter().for_each(|asker| answer(cx, asker, Answer::Refused(Refusal::Busy)));
            }
            RowChange::Rekey { asker, .. }
            | RowChange::Close { asker, .. }
            | RowChange::Forget { asker: Some(asker), .. } => {
                answer(cx, asker, Answer::Refused(Refusal::Busy));
            }
            RowChange::NoteTried => self.tried_noted(cx, false),
            // The next sweep tries again.
            RowChange::Expire | RowChange::Forget { asker: None, .. } => {}
        }
    }

    /// The winner of an invite becomes the attachment of its end; everybody else who held the invite loses theirs.
    fn seat_claimant(&mut self, cx: &mut Context<'_, C>, winner: &Attachment<C>) {
        for claimant in std::mem::take(&mut self.claimants) {
            if claimant.at == *winner {
                self.go_live(cx, End::B, claimant.at, claimant.window);
            } else {
                cx.fx.push(Effect::Event(claimant.at.conn, Event::Superseded(claimant.at.handle)));
            }
        }
    }

    fn dismiss_claimants(&mut self, cx: &mut Context<'_, C>) {
        if let Phase::Closed { by, .. } = self.phase {
            for Attachment { conn, handle } in self.claimants.drain(..).map(|claimant| claimant.at) {
                cx.fx.push(Effect::Event(conn, Event::Closed(handle, closed_why(by))));
            }
        }
    }

    fn tried_noted(&mut self, cx: &mut Context<'_, C>, durable: bool) {
        self.rows.tried_is_stored = durable;
        cx.fx.extend(self.rows.tried_by.drain(..).map(Effect::TriedNoted));
    }

    fn forgotten(&mut self, cx: &mut Context<'_, C>, asker: Option<Asker<C>>) {
        self.rows.existence = Existence::Forgotten;
        let by_device = asker.is_some();
        if let Some(asker) = asker {
            answer(cx, asker, Answer::Done);
        }
        for end in [End::A, End::B] {
            if let Some(live) = self.drop_live(end)
                && let Phase::Closed { by, .. } = self.phase
                && !(by_device || live.told_closed)
            {
                cx.fx.push(Effect::Event(live.at.conn, Event::Closed(live.at.handle, closed_why(by))));
            }
        }
        for change in std::mem::take(&mut self.rows.waiting) {
            match change {
                RowChange::Close { asker, .. } => answer(cx, asker, Answer::Done),
                RowChange::Rekey { asker, .. } => answer(cx, asker, Answer::Refused(Refusal::NotAllowed)),
                RowChange::Open { .. } | RowChange::NoteTried | RowChange::Expire | RowChange::Forget { .. } => {}
            }
        }
        cx.fx.extend(self.rows.tried_by.drain(..).map(Effect::TriedNoted));
    }
}

fn answer<C>(cx: &mut Context<'_, C>, asker: Asker<C>, answer: Answer) {
    cx.fx.push(Effect::Answer(asker, answer));
}
