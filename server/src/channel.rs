//! The relay's one object: two ends, each attached by at most one device, and the boxes that wait at each.
//!
//! A channel decides; it does no I/O and asks for no time. Every method takes the moment and the relay's rules in a
//! [`Context`], and leaves in it what is to be done, in order ([`Effect`]). Whoever calls holds the channel alone, and
//! carries the effects out before letting go of it, so that deliveries and changes leave in the order decided.
//!
//! Here: who is attached. What travels is in [`traffic`], and what changes the channel's row (opening, claiming and
//! rekeying, closing, expiry) in [`rows`].

mod rows;
mod traffic;

use tacit_proto::frame::{Attached, ClosedWhy, Event, Refusal, Window};
use tacit_proto::{ChannelId, End, EndOf, EndPublic, SizeClass};

use crate::backlog::{Backlog, Quota};
use crate::effect::{Attachment, Effect};
use crate::proven::{DummyKeys, Keys, Proven};
use crate::spool::{BoxKey, ChannelRow, EndRow, Phase};
use crate::tally::Tally;
use crate::time::Now;
use rows::RowWork;

/// Most attachments under one invite's key: more are of no use to a rightful device.
const MAX_CLAIMANTS: usize = 16;

/// What a relay promises and allows, as far as channels are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Seconds that a box is kept, and that a tombstone stays at the least.
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

    /// What this channel adds to the relay's totals.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally { channels: u64::from(!self.is_forgotten()), ..Tally::default() };
        for end in [&self.a, &self.b] {
            tally.boxes += end.backlog.len() as u64;
            tally.bytes += end.backlog.bytes();
            tally.attached += u64::from(end.live.is_some());
        }
        tally
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
}

const fn closed_why(by: Option<End>) -> ClosedWhy {
    match by {
        Some(_) => ClosedWhy::ByPeer,
        None => ClosedWhy::Unclaimed,
    }
}

#[cfg(test)]
mod tests;
