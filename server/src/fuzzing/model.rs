//! What devices know of the boxes that they sent and got, and what must therefore hold.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tacit_proto::frame::Window;
use tacit_proto::{EndOf, SizeClass};

use crate::testing::{number_of, numbered};

/// What became of a box.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    accepted: bool,
    /// Its ack was counted: it comes to nobody any more.
    acked: bool,
    /// Its end acked it and may have been too late, its hold may be over, or its channel closed.
    may_be_gone: bool,
}

/// An attachment, as its device knows it.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) of: EndOf,
    pub(super) window: Window,
    pub(super) must_rekey: bool,
    pub(super) next_n: u64,
    /// Delivered and not acked: seq and number.
    unacked: Vec<(u64, u32)>,
    pub(super) seq: u64,
    last: u32,
    /// The relay said that nothing waits beyond what it sent.
    pub(super) told_empty: bool,
}

impl Attached {
    pub(super) const fn new(of: EndOf, window: Window, must_rekey: bool) -> Self {
        Self { of, window, must_rekey, next_n: 1, unacked: Vec::new(), seq: 0, last: 0, told_empty: false }
    }

    /// What was delivered and not acked.
    pub(super) fn numbers(&self) -> BTreeSet<u32> {
        self.unacked.iter().map(|(_, number)| *number).collect()
    }
}

#[derive(Debug, Default)]
pub(super) struct Model {
    boxes: BTreeMap<EndOf, BTreeMap<u32, Fate>>,
    last: u32,
}

impl Model {
    /// A box is on its way to an end.
    pub(super) fn sent(&mut self, to: EndOf, class: SizeClass) -> (u32, Bytes) {
        self.last += 1;
        self.boxes.entry(to).or_default().insert(self.last, Fate::default());
        (self.last, numbered(self.last, class).into_bytes())
    }

    pub(super) fn accepted(&mut self, to: EndOf, number: u32) {
        let fate = self.boxes.get_mut(&to).unwrap().get_mut(&number).unwrap();
        assert!(!fate.accepted, "a box is accepted once");
        fate.accepted = true;
    }

    pub(super) fn delivered(&mut self, at: &mut Attached, seq: u64, payload: &[u8]) {
        assert!(!at.must_rekey, "nothing is delivered under an invite's key");
        assert!(seq > at.seq, "seqs grow within an attachment");
        let number = number_of(payload);
        assert!(number > at.last, "boxes come in the order in which they were sent");
        let fate = self.boxes.get(&at.of).and_then(|boxes| boxes.get(&number));
        let fate = fate.expect("a box comes to the end that it was sent to");
        assert!(!fate.acked, "what was acked is gone");
        (at.seq, at.last) = (seq, number);
        at.unacked.push((seq, number));
        // One whose hold passed while it was under way counts no more.
        let counts = |(_, number): &&(u64, u32)| !self.boxes[&at.of][number].may_be_gone;
        let under_way = at.unacked.iter().filter(counts).count();
        let bytes = under_way * SizeClass::Small.box_len();
        let fits = under_way <= at.window.boxes.get() as usize && bytes <= at.window.bytes as usize;
        assert!(under_way <= 1 || fits, "no more is under way than the device asked for");
    }

    /// An end acked; the relay counted so many boxes.
    pub(super) fn acked(&mut self, at: &mut Attached, up_to: u64, counted: u64) {
        let split = at.unacked.partition_point(|(seq, _)| *seq <= up_to);
        let acked: Vec<_> = at.unacked.drain(..split).collect();
        let boxes = self.boxes.entry(at.of).or_default();
        // Those whose hold passed while they were under way were gone already.
        let held = acked.iter().filter(|(_, number)| !boxes[number].may_be_gone).count();
        let counts = held..=acked.len();
        assert!(
            counted == 0 || counts.contains(&(counted as usize)),
            "what is acked is what was delivered and not acked"
        );
        for (_, number) in acked {
            let fate = boxes.get_mut(&number).unwrap();
            fate.may_be_gone = true;
            fate.acked |= counted > 0;
        }
    }

    /// A restart forgets acks that were not on the disk.
    pub(super) fn restarted(&mut self) {
        self.boxes.values_mut().flat_map(BTreeMap::values_mut).for_each(|fate| fate.acked = false);
    }

    /// The hold passed for all that was sent, or a channel was closed.
    pub(super) fn may_be_gone(&mut self, concerns: impl Fn(&EndOf) -> bool) {
        let boxes = self.boxes.iter_mut().filter(|(of, _)| concerns(of));
        boxes.flat_map(|(_, boxes)| boxes.values_mut()).for_each(|fate| fate.may_be_gone = true);
    }

    /// Nothing waits at an end but these boxes: what was accepted and not acked is among them.
    pub(super) fn nothing_waits_but(&self, of: EndOf, came: &BTreeSet<u32>) {
        for (number, fate) in self.boxes.get(&of).into_iter().flatten() {
            let is_held = fate.accepted && !fate.may_be_gone;
            assert!(!is_held || came.contains(number), "box {number} was accepted and is lost");
        }
    }
}
