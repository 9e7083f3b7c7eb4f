//! The backlog: the boxes that wait at one end, oldest first, and how far each is on its way.
//!
//! One queue in memory, one seq space; the disk holds a copy of its older part. Two cursors run through it. Delivery:
//! the first `under_way` boxes were handed to the current attachment and are unacked. Storage: from the front, boxes are
//! `Durable`, then `Appending`, then `Unstored`, in this order and never mixed, because the committer works in order.

use std::collections::VecDeque;

use tacit_proto::frame::{Answer, Handle, Refusal, Window};
use tacit_proto::{EndOf, SealedBox, SizeClass};

use crate::effect::{Asker, Effect, OnFailure};
use crate::spool::{BoxKey, Change, Hour};
use crate::time::Now;

/// Boxes asked for in one load, so that a large window does not fill the memory with boxes that are not under way yet.
const LOAD_AHEAD: usize = 16;

/// Boxes that one change removes, so that no transaction grows with a backlog.
const REMOVED_AT_ONCE: usize = 256;

/// How far a box is on its way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Unstored,
    Appending,
    Durable,
}

/// The unanswered `Send` that a box came with.
#[derive(Clone, Debug)]
pub(crate) struct Sender<C> {
    pub(crate) asker: Asker<C>,
    pub(crate) handle: Handle,
    pub(crate) n: u64,
}

impl<C> Sender<C> {
    fn accepted(self, hold: u32) -> Effect<C> {
        Effect::Answer(self.asker, Answer::Accepted { handle: self.handle, n: self.n, hold })
    }

    pub(crate) fn refused(self, why: Refusal) -> Effect<C> {
        Effect::Answer(self.asker, Answer::Refused(why))
    }
}

#[derive(Debug)]
struct Entry<C> {
    key: BoxKey,
    class: SizeClass,
    /// In memory until durable; then only between a load and its delivery.
    sealed: Option<SealedBox>,
    stored: Stored,
    /// While unstored: when the grace is over.
    due: u64,
    /// Until answered.
    sender: Option<Sender<C>>,
}

/// The next step of a delivery.
#[derive(Debug)]
pub(crate) enum Next {
    /// Hand over this box.
    Deliver(u64, SealedBox),
    /// It must be read back first.
    Load { from: u64, most: usize },
    /// Nothing to hand over now.
    Nothing,
}

/// How many boxes and bytes may wait at an end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) boxes: u32,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Backlog<C> {
    queue: VecDeque<Entry<C>>,
    next_seq: u64,
    bytes: u64,
    under_way: usize,
    under_way_bytes: u64,
    /// Acked or purged while their append was being committed: removed as soon as it is.
    leaving: Vec<BoxKey>,
    loading: bool,
    grace_runs: bool,
}

impl<C: Clone> Backlog<C> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            next_seq: 1,
            bytes: 0,
            under_way: 0,
            under_way_bytes: 0,
            leaving: Vec::new(),
            loading: false,
            grace_runs: false,
        }
    }

    /// Puts a box back that was found on disk at start-up.
    pub(crate) fn recover(&mut self, key: BoxKey, class: SizeClass) {
        self.next_seq = self.next_seq.max(key.seq.saturating_add(1));
        self.bytes += class.box_len() as u64;
        self.queue.push_back(Entry { key, class, sealed: None, stored: Stored::Durable, due: 0, sender: None });
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Nothing of this backlog is or may still come on disk.
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.leaving.is_empty()
    }

    /// The hour until which something is held that is on the disk, or on its way there.
    pub(crate) fn held_until(&self) -> Option<Hour> {
        let stored = self.queue.iter().filter(|entry| entry.stored != Stored::Unstored);
        stored.map(|entry| entry.key.expires).max()
    }

    pub(crate) fn has_room(&self, class: SizeClass, quota: Quota) -> bool {
        self.queue.len() < quota.boxes as usize && self.bytes + class.box_len() as u64 <= quota.bytes
    }

    pub(crate) fn is_at_most_half(&self, quota: Quota) -> bool {
        self.queue.len() <= quota.boxes as usize / 2 && self.bytes <= quota.bytes / 2
    }

    pub(crate) fn push(&mut self, sealed: SealedBox, sender: Sender<C>, due: u64) {
        let key = BoxKey { seq: self.next_seq, expires: Hour(u32::MAX) };
        self.next_seq += 1;
        let class = sealed.class();
        self.bytes += class.box_len() as u64;
        let sealed = Some(sealed);
        self.queue.push_back(Entry { key, class, sealed, stored: Stored::Unstored, due, sender: Some(sender) });
    }

    // Delivery.

    /// The attachment is gone or another one: everything unacked is to be delivered again.
    pub(crate) fn rewind(&mut self) {
        self.under_way = 0;
        self.under_way_bytes = 0;
    }

    /// Forgets boxes that were read back for an attachment that is gone.
    pub(crate) fn drop_loaded(&mut self) {
        for entry in self.queue.iter_mut().filter(|entry| entry.stored == Stored::Durable) {
            entry.sealed = None;
        }
    }

    pub(crate) fn has_undelivered(&self) -> bool {
        self.under_way < self.queue.len()
    }

    pub(crate) fn may_deliver(&self, window: Window) -> bool {
        self.queue.get(self.under_way).is_some_and(|next| self.window_admits(next.class, window))
    }

    /// At least one box is always let under way.
    fn window_admits(&self, class: SizeClass, window: Window) -> bool {
        self.under_way == 0
            || (self.under_way < window.boxes.get() as usize
                && self.under_way_bytes + class.box_len() as u64 <= u64::from(window.bytes))
    }

    pub(crate) fn next_delivery(&mut self, window: Window) -> Next {
        if !self.may_deliver(window) {
            return Next::Nothing;
        }
        let at = self.under_way;
        let next = &mut self.queue[at];
        let sealed = match next.stored {
            Stored::Durable => next.sealed.take(),
            Stored::Appending | Stored::Unstored => next.sealed.clone(),
        };
        match sealed {
            Some(sealed) => {
                self.under_way += 1;
                self.under_way_bytes += next.class.box_len() as u64;
                Next::Deliver(next.key.seq, sealed)
            }
            None if self.loading => Next::Nothing,
            None => {
                self.loading = true;
                Next::Load { from: next.key.seq, most: self.cold_run(at, window) }
            }
        }
    }

    /// How many boxes from `at` on are on disk only and fit the window.
    fn cold_run(&self, at: usize, window: Window) -> usize {
        let mut bytes = self.under_way_bytes;
        let most = (window.boxes.get() as usize).saturating_sub(at).clamp(1, LOAD_AHEAD);
        let cold = self.queue.range(at..).take(most).take_while(|entry| {
            bytes += entry.class.box_len() as u64;
            entry.stored == Stored::Durable && entry.sealed.is_none() && bytes <= u64::from(window.bytes)
        });
        cold.count().max(1)
    }

    /// Takes boxes that were read back.
    pub(crate) fn loaded(&mut self, boxes: Vec<(u64, SealedBox)>) {
        self.loading = false;
        for (seq, sealed) in boxes {
            if let Some(at) = self.find(seq)
                && at >= self.under_way
                && self.queue[at].stored == Stored::Durable
            {
                self.queue[at].sealed = Some(sealed);
            }
        }
    }

    /// A box cannot be read back. Better to go on without it than to hold up all that came after: its sender sees that
    /// it was never delivered.
    pub(crate) fn give_up(&mut self, of: EndOf, seq: u64, fx: &mut Vec<Effect<C>>) {
        if let Some(at) = self.find(seq)
            && self.queue[at].stored == Stored::Durable
            && let Some(entry) = self.queue.remove(at)
        {
            self.bytes -= entry.class.box_len() as u64;
            if at < self.under_way {
                self.under_way -= 1;
                self.under_way_bytes -= entry.class.box_len() as u64;
            }
            fx.push(Effect::Commit(Change::Remove { of, keys: vec![entry.key] }, OnFailure::Retry));
        }
    }

    fn find(&self, seq: u64) -> Option<usize> {
        self.queue.binary_search_by_key(&seq, |entry| entry.key.seq).ok()
    }

    // Leaving.

    /// Everything up to `up_to` is safe on the recipient's device.
    pub(crate) fn ack(&mut self, of: EndOf, up_to: u64, hold: u32, fx: &mut Vec<Effect<C>>) -> usize {
        self.drop_front(of, fx, usize::MAX, |entry| entry.key.seq <= up_to, |sender| sender.accepted(hold))
    }

    /// Everything goes, whoever waits for it.
    pub(crate) fn purge(&mut self, of: EndOf, fx: &mut Vec<Effect<C>>) -> usize {
        self.drop_front(of, fx, usize::MAX, |_| true, |sender| sender.refused(Refusal::Gone))
    }

    /// What was held for its time goes, at most so many boxes of it.
    pub(crate) fn expire(&mut self, of: EndOf, now: Now, hold: u32, most: usize, fx: &mut Vec<Effect<C>>) -> usize {
        let hour = now.hour();
        let expired = |entry: &Entry<C>| entry.stored == Stored::Durable && entry.key.expires <= hour;
        self.drop_front(of, fx, most, expired, |sender| sender.accepted(hold))
    }

    fn drop_front(
        &mut self,
        of: EndOf,
        fx: &mut Vec<Effect<C>>,
        most: usize,
        goes: impl Fn(&Entry<C>) -> bool,
        answer: impl Fn(Sender<C>) -> Effect<C>,
    ) -> usize {
        let mut durable = Vec::new();
        let mut count = 0;
        while count < most
            && self.queue.front().is_some_and(&goes)
            && let Some(entry) = self.queue.pop_front()
        {
            count += 1;
            let len = entry.class.box_len() as u64;
            self.bytes -= len;
            if self.under_way > 0 {
                self.under_way -= 1;
                self.under_way_bytes -= len;
            }
            match entry.stored {
                Stored::Durable => durable.push(entry.key),
                Stored::Appending => self.leaving.push(entry.key),
                Stored::Unstored => {}
            }
            fx.extend(entry.sender.map(&answer));
        }
        for keys in durable.chunks(REMOVED_AT_ONCE) {
            fx.push(Effect::Commit(Change::Remove { of, keys: keys.to_vec() }, OnFailure::Retry));
        }
        count
    }

    // Storage.

    /// Hands to the committer what is not stored: all of it, or what has outlived its grace.
    pub(crate) fn append(&mut self, of: EndOf, now: Now, hold: u32, all: bool, fx: &mut Vec<Effect<C>>) {
        let unstored = self.queue.iter().rev().take_while(|entry| entry.stored == Stored::Unstored).count();
        let start = self.queue.len() - unstored;
        for entry in self.queue.range_mut(start..) {
            if !all && entry.due > now.millis {
                break;
            }
            if let Some(sealed) = entry.sealed.clone() {
                entry.stored = Stored::Appending;
                entry.key.expires = now.hour_after(hold);
                fx.push(Effect::Commit(Change::Append { to: of, key: entry.key, sealed }, OnFailure::Tell));
            }
        }
    }

    /// Has `grace_over` called when the first unstored box is due, unless that is arranged already.
    pub(crate) fn run_grace(&mut self, of: EndOf, fx: &mut Vec<Effect<C>>) {
        if self.grace_runs {
            return;
        }
        let unstored = self.queue.iter().rev().take_while(|entry| entry.stored == Stored::Unstored);
        if let Some(first) = unstored.last() {
            self.grace_runs = true;
            fx.push(Effect::Grace { of, at: first.due });
        }
    }

    pub(crate) fn grace_ran_out(&mut self) {
        self.grace_runs = false;
    }

    /// An append is durable.
    pub(crate) fn appended(&mut self, of: EndOf, seq: u64, hold: u32, fx: &mut Vec<Effect<C>>) {
        if let Some(at) = self.find(seq)
            && self.queue[at].stored == Stored::Appending
        {
            let entry = &mut self.queue[at];
            entry.stored = Stored::Durable;
            entry.sealed = None;
            fx.extend(entry.sender.take().map(|sender| sender.accepted(hold)));
        } else if let Some(at) = self.leaving.iter().position(|key| key.seq == seq) {
            let keys = vec![self.leaving.remove(at)];
            fx.push(Effect::Commit(Change::Remove { of, keys }, OnFailure::Retry));
        }
    }

    /// An append failed, and with it every later one: those of the same transaction, and those still queued, because
    /// stored out of order they could be delivered after a crash without it. What the attachment already has stays in
    /// memory, to be acked or appended again; the rest is taken back, and its senders are returned, oldest first.
    pub(crate) fn append_failed(&mut self, of: EndOf, seq: u64, due: u64, fx: &mut Vec<Effect<C>>) -> Vec<Sender<C>> {
        self.leaving.retain(|key| key.seq < seq);
        fx.push(Effect::Withdraw { to: of, from: seq });
        let durable = self.queue.iter().take_while(|entry| entry.stored == Stored::Durable).count();
        let back_to = self.under_way.max(durable);
        let takes_back = self.queue.get(back_to).is_some_and(|entry| entry.stored == Stored::Appending);
        for entry in self.queue.range_mut(durable..).filter(|entry| entry.stored == Stored::Appending) {
            entry.stored = Stored::Unstored;
            entry.due = due;
        }
        if !takes_back {
            return Vec::new();
        }
        // Whoever comes next takes their place, or a disk that fails for long would leave a wide gap in the chain of the
        // backlog's keys. None of these was delivered on the attachment that there is.
        self.next_seq = self.queue[back_to].key.seq;
        let taken_back = self.queue.drain(back_to..).inspect(|entry| self.bytes -= entry.class.box_len() as u64);
        taken_back.filter_map(|entry| entry.sender).collect()
    }
}
