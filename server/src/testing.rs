//! What the tests of the deterministic parts share: boxes with numbers, and a spool in memory. It checks what every spool may rely on.

#![allow(clippy::unwrap_used, reason = "not part of what is shipped")]

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tacit_proto::{ChannelId, EndOf, Incarnation, PermitHash, SealedBox, SizeClass};

use crate::spool::{
    BoxKey, Change, ChannelRow, Due, DueAt, EnrolmentId, Hour, KeptRow, Recovered, Spool, SpoolError, Waiting,
};
use crate::sync::{Mutex, lock};

/// What a relay takes for a sealed box, with a number by which a test knows it again.
pub(crate) fn numbered(number: u32, class: SizeClass) -> SealedBox {
    let mut bytes = vec![0; class.box_len()];
    bytes[..2].copy_from_slice(&class.header());
    bytes[2..6].copy_from_slice(&number.to_be_bytes());
    SealedBox::check(bytes.into()).unwrap()
}

/// The number of such a box.
pub(crate) fn number_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[2..6].try_into().unwrap())
}

/// Sets a flag when it goes, also by a panic: whoever waits for a thread that failed waits no longer.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone, Debug, Default)]
struct Rows {
    boxes: BTreeMap<(EndOf, u64), (BoxKey, SealedBox)>,
    channels: HashMap<ChannelId, ChannelRow>,
    permits: BTreeMap<PermitHash, EnrolmentId>,
}

#[derive(Debug, Default)]
pub(crate) struct MemorySpool {
    rows: Mutex<Rows>,
    pub(crate) fails: AtomicBool,
    pub(crate) appends: AtomicU64,
    longest: AtomicUsize,
}

impl MemorySpool {
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    pub(crate) fn appends(&self) -> u64 {
        self.appends.load(Ordering::SeqCst)
    }

    /// The weight of the heaviest transaction so far.
    pub(crate) fn longest(&self) -> usize {
        self.longest.load(Ordering::SeqCst)
    }

    pub(crate) fn boxes_at(&self, end: EndOf) -> Vec<SealedBox> {
        lock(&self.rows).boxes.range((end, 0)..=(end, u64::MAX)).map(|(_, (_, sealed))| sealed.clone()).collect()
    }

    pub(crate) fn row(&self, channel: ChannelId) -> Option<ChannelRow> {
        lock(&self.rows).channels.get(&channel).cloned()
    }

    pub(crate) fn add_permit(&self, permit: PermitHash) {
        lock(&self.rows).permits.insert(permit, EnrolmentId::BEFORE_FORMAT_2);
    }

    pub(crate) fn has_permit(&self, permit: PermitHash) -> bool {
        lock(&self.rows).permits.contains_key(&permit)
    }

    pub(crate) fn recovered(&self) -> Recovered {
        let rows = lock(&self.rows);
        Recovered {
            incarnation: Incarnation::from_bytes([0; 16]),
            channels: rows.channels.clone().into_iter().collect(),
            waiting: rows
                .boxes
                .iter()
                .map(|((of, _), (key, sealed))| Waiting { of: *of, key: *key, class: sealed.class() })
                .collect(),
            permits: rows.permits.clone().into_iter().collect(),
            enrolments: Vec::new(),
        }
    }
}

impl Rows {
    fn make(&mut self, change: &Change) {
        match change {
            Change::Append { to, key, sealed } => {
                let last = self.boxes.range((*to, 0)..=(*to, u64::MAX)).next_back().map(|((_, seq), _)| *seq);
                assert!(last.is_none_or(|last| last < key.seq), "seqs at one end grow");
                assert!(self.channels.contains_key(&to.channel), "a box needs a channel");
                self.boxes.insert((*to, key.seq), (*key, sealed.clone()));
            }
            Change::Remove { of, keys } => {
                for key in keys {
                    let removed = self.boxes.remove(&(*of, key.seq));
                    assert_eq!(removed.map(|(stored, _)| stored), Some(*key), "only what waits is removed");
                }
            }
            Change::PutChannel(id, row) => {
                self.channels.insert(*id, row.clone());
            }
            Change::ForgetChannel(id) => {
                assert!(!self.boxes.keys().any(|(of, _)| of.channel == *id), "backlogs are removed before");
                assert!(self.channels.remove(id).is_some(), "only what exists is forgotten");
            }
            Change::SpendPermit(permit) => {
                assert!(self.permits.remove(permit).is_some(), "only an unspent permit is spent");
            }
            Change::Enrol { code, permits, .. } => {
                self.permits.extend(permits.iter().map(|permit| (*permit, EnrolmentId::of(code))));
            }
            Change::ForgetEnrolment(_) => {}
        }
    }
}

impl Spool for MemorySpool {
    fn commit(&self, batch: &[Change]) -> Result<(), SpoolError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(SpoolError::Write("the disk is full".to_owned()));
        }
        self.longest.fetch_max(batch.iter().map(Change::weight).sum(), Ordering::SeqCst);
        let mut rows = lock(&self.rows);
        for change in batch {
            rows.make(change);
            if let Change::Append { .. } = change {
                self.appends.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    fn load(&self, of: EndOf, from: u64, most: usize) -> Result<Vec<(u64, SealedBox)>, SpoolError> {
        let rows = lock(&self.rows);
        let boxes = rows.boxes.range((of, from)..=(of, u64::MAX)).take(most);
        Ok(boxes.map(|((_, seq), (_, sealed))| (*seq, sealed.clone())).collect())
    }

    fn due(&self, hour: Hour, after: Option<DueAt>, most: usize) -> Result<Vec<Due>, SpoolError> {
        let at = |of: &EndOf, seq: u64| {
            let mut at = *of.channel.as_bytes();
            at[0] = of.end.number();
            at[8..].copy_from_slice(&seq.to_be_bytes());
            DueAt(at)
        };
        let rows = lock(&self.rows);
        let due = rows.boxes.iter().filter(|(_, (key, _))| key.expires <= hour);
        let mut due: Vec<_> = due.map(|((of, seq), _)| Due { at: at(of, *seq), of: *of }).collect();
        due.sort_by_key(|due| due.at);
        Ok(due.into_iter().filter(|due| after.is_none_or(|after| due.at > after)).take(most).collect())
    }

    fn snapshot(&self, take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>) -> Result<(), SpoolError> {
        let rows = lock(&self.rows);
        let channels = rows.channels.iter().map(|(id, row)| KeptRow::Channel(*id, row.clone()));
        let permits = rows.permits.iter().map(|(permit, id)| KeptRow::Permit(*permit, *id));
        let _ = channels.chain(permits).try_for_each(take);
        Ok(())
    }

    fn turn_epoch(&self) -> Result<(), SpoolError> {
        self.commit(&[])
    }
}
