//! The committer: one thread, one transaction at a time, as many changes in each as there are.
//!
//! A lone change is committed at once; while a transaction is written, the next batch gathers. Nobody ever waits for a
//! timer. While the disk cannot be written, what was asked for is refused and what must happen is kept, in order.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tacit_proto::EndOf;
use tokio::sync::Notify;

use crate::effect::OnFailure;
use crate::spool::{Change, Spool};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, MODELLED, Mutex, lock};

/// Most weight of one transaction, unless a single change has more. A sync costs about the same however much it syncs, so that
/// few large transactions carry more (`benches/peers.rs`: more than twice as many boxes as with a quarter of this); but the
/// first change waits for the last.
pub(crate) const MAX_BATCH: usize = if MODELLED { 2 } else { 1_024 };

/// Changes in the queue from which on connections are read no further. Each may still add what its current frame asks
/// for, so the queue is bounded by this and one frame a connection.
const CROWDED: usize = if MODELLED { 1 } else { 2 * MAX_BATCH };

/// How often what must happen is tried again while nothing new comes.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// A transaction that takes so long is a disk that hangs. A slow one takes some hundred milliseconds.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// Changes that await their transaction. A leaf lock: whoever holds it takes no other.
#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<(Change, OnFailure)>,
    /// How many changes were ever pushed.
    pushed: u64,
    /// Since when a batch was taken that is not reported yet.
    committing: Option<Instant>,
    turn_epoch: bool,
    closed: bool,
}

impl Waiting {
    fn push(&mut self, change: (Change, OnFailure)) {
        self.changes.push_back(change);
        self.pushed += 1;
    }

    /// How many changes left the queue.
    fn left(&self) -> u64 {
        self.pushed - self.changes.len() as u64
    }

    fn is_idle(&self) -> bool {
        self.changes.is_empty() && self.committing.is_none()
    }
}

/// The way to the committer.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    waiting: Mutex<Waiting>,
    more: Condvar,
    taken: Notify,
    idle: Notify,
    /// The last transaction failed.
    failing: AtomicBool,
    epoch: Epoch,
}

/// When the epoch began, as far as this process knows.
#[derive(Debug)]
struct Epoch(Mutex<Instant>);

impl Default for Epoch {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl CommitQueue {
    /// Adds changes, in order and with nothing in between. Never blocks: see [`CommitQueue::has_room`].
    pub(crate) fn push(&self, changes: impl IntoIterator<Item = (Change, OnFailure)>) {
        let mut waiting = lock(&self.waiting);
        changes.into_iter().for_each(|change| waiting.push(change));
        drop(waiting);
        self.more.notify_one();
    }

    /// Takes appends back that are not in a transaction yet.
    pub(crate) fn withdraw(&self, end: EndOf, from: u64) {
        lock(&self.waiting)
            .changes
            .retain(|(change, _)| !matches!(change, Change::Append { to, key, .. } if *to == end && key.seq >= from));
    }

    /// Returns when the queue is short enough to ask for more.
    pub(crate) async fn has_room(&self) {
        self.until(|waiting| waiting.changes.len() < CROWDED).await;
    }

    /// Returns when everything that was pushed before is in a transaction: whoever has much to do in the background does
    /// not keep others waiting for longer than that.
    pub(crate) async fn is_taken(&self) {
        let pushed = lock(&self.waiting).pushed;
        self.until(|waiting| waiting.left() >= pushed).await;
    }

    /// Returns when a batch was taken after which something holds.
    async fn until(&self, holds: impl Fn(&Waiting) -> bool) {
        while !holds(&lock(&self.waiting)) {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            // It may have come to hold before this was heard of.
            if holds(&lock(&self.waiting)) {
                return;
            }
            taken.await;
        }
    }

    /// Returns when everything that was pushed before was committed, or could not be: then it was refused, or is kept.
    pub(crate) async fn is_flushed(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if lock(&self.waiting).is_idle() {
                return;
            }
            idle.await;
        }
    }

    /// Whether the last transaction could be made, and the disk does not hang in the next one.
    pub(crate) fn is_writable(&self) -> bool {
        let hangs = |since: Instant| since.elapsed() >= HANGS_AFTER;
        !self.failing.load(Ordering::Relaxed) && !lock(&self.waiting).committing.is_some_and(hangs)
    }

    /// How long the epoch has lasted. What was deleted in the one before it is unreadable.
    pub(crate) fn epoch_age(&self) -> Duration {
        lock(&self.epoch.0).elapsed()
    }

    /// How many changes await their transaction.
    pub(crate) fn len(&self) -> usize {
        lock(&self.waiting).changes.len()
    }

    /// Has the spool's epoch turned between two transactions.
    pub(crate) fn turn_epoch(&self) {
        lock(&self.waiting).turn_epoch = true;
        self.more.notify_one();
    }

    fn close(&self) {
        lock(&self.waiting).closed = true;
        self.more.notify_one();
    }

    /// Moves the next batch out, without parting changes that share a fate.
    pub(crate) fn take(&self, batch: &mut Batch) {
        let mut waiting = lock(&self.waiting);
        batch.take(&mut waiting.changes);
        waiting.committing = Some(Instant::now());
        drop(waiting);
        self.taken.notify_waiters();
    }

    pub(crate) fn reported(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.committing = None;
        if waiting.changes.is_empty() {
            self.idle.notify_waiters();
        }
    }

    fn wait(&self, retry: bool) -> Wake {
        let idle = |waiting: &mut Waiting| waiting.changes.is_empty() && !waiting.closed && !waiting.turn_epoch;
        let waiting = lock(&self.waiting);
        let mut waiting = if retry {
            self.more.wait_timeout_while(waiting, RETRY_EVERY, idle).unwrap_or_else(PoisonError::into_inner).0
        } else {
            self.more.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner)
        };
        let turn_epoch = std::mem::take(&mut waiting.turn_epoch);
        Wake { turn_epoch, ends: waiting.closed && waiting.changes.is_empty() }
    }
}

struct Wake {
    turn_epoch: bool,
    ends: bool,
}

/// Changes on their way into one transaction, and those that an earlier one could not make but must be made.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    changes: Vec<Change>,
    fates: Vec<OnFailure>,
    retries: Vec<Change>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.retries.is_empty()
    }

    fn take(&mut self, from: &mut VecDeque<(Change, OnFailure)>) {
        let mut weight = 0;
        while let Some(shared) = shared_fate(from) {
            let more: usize = from.iter().take(shared).map(|(change, _)| change.weight()).sum();
            if weight > 0 && weight + more > MAX_BATCH {
                return;
            }
            weight += more;
            for (change, fate) in from.drain(..shared) {
                self.changes.push(change);
                self.fates.push(fate);
            }
        }
    }

    /// Commits what was kept, then the batch, and tells what became of each change: of those that are kept, once they are
    /// made, and of the appends to one end that failed together, the first.
    ///
    /// Nothing goes before what was kept: a channel that could not be forgotten yet must not be opened anew first.
    pub(crate) fn commit(&mut self, spool: &dyn Spool, mut tell: impl FnMut(&Change, bool)) -> bool {
        let durable = self.commit_retries(spool, &mut tell) && self.commit_changes(spool);
        if durable {
            self.fates.clear();
            self.changes.drain(..).for_each(|change| tell(&change, true));
            return true;
        }
        // From the back, a change that shares its fate meets the fate first.
        for at in (0..self.fates.len()).rev() {
            if self.fates[at] == OnFailure::WithNext {
                self.fates[at] = self.fates.get(at + 1).copied().unwrap_or(OnFailure::Tell);
            }
        }
        // An append that fails takes the later ones of its end with it. Told of each, a channel would take it for the
        // failure of one that it asked for anew meanwhile.
        let mut failed = HashSet::new();
        for (change, fate) in self.changes.drain(..).zip(self.fates.drain(..)) {
            match (&change, fate) {
                (_, OnFailure::Retry) => self.retries.push(change),
                (Change::Append { to, .. }, _) if !failed.insert(*to) => {}
                _ => tell(&change, false),
            }
        }
        false
    }

    fn commit_retries(&mut self, spool: &dyn Spool, tell: &mut impl FnMut(&Change, bool)) -> bool {
        while !self.retries.is_empty() {
            let mut weight = 0;
            let fits = self.retries.iter().take_while(|change| {
                weight += change.weight();
                weight <= MAX_BATCH
            });
            let some = fits.count().max(1);
            if let Err(error) = spool.commit(&self.retries[..some]) {
                tracing::debug!(%error, "the spool cannot be written yet");
                return false;
            }
            self.retries.drain(..some).for_each(|change| tell(&change, true));
        }
        true
    }

    fn commit_changes(&self, spool: &dyn Spool) -> bool {
        match self.changes.is_empty() {
            true => true,
            false => spool.commit(&self.changes).inspect_err(|error| tracing::debug!(%error, "a batch failed")).is_ok(),
        }
    }
}

/// How many changes at the front share one fate. `None` if there are none.
fn shared_fate(changes: &VecDeque<(Change, OnFailure)>) -> Option<usize> {
    let with_next = changes.iter().take_while(|(_, fate)| *fate == OnFailure::WithNext).count();
    if changes.is_empty() { None } else { Some((with_next + 1).min(changes.len())) }
}

/// The thread. Dropping it lets it commit what is queued, and ends it.
pub(crate) struct Committer {
    queue: Arc<CommitQueue>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread. `tell` is called on it, after each transaction, for each change that somebody waits for.
    pub(crate) fn start(
        queue: Arc<CommitQueue>,
        spool: Arc<dyn Spool>,
        tell: impl FnMut(&Change, bool) + Send + 'static,
    ) -> std::io::Result<Self> {
        let thread = thread::Builder::new().name("committer".to_owned()).spawn({
            let queue = Arc::clone(&queue);
            move || run(&queue, &*spool, tell)
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer failed; what it had not committed was not accepted");
        }
    }
}

fn run(queue: &CommitQueue, spool: &dyn Spool, mut tell: impl FnMut(&Change, bool)) {
    let mut batch = Batch::default();
    let mut healthy = true;
    let mut epoch_is_due = false;
    loop {
        let wake = queue.wait(!healthy || epoch_is_due || !batch.retries.is_empty());
        queue.take(&mut batch);
        let mut durable = match batch.is_empty() && !healthy {
            // While nobody asks for anything, only trying shows whether the disk is well again.
            true => spool.commit(&[]).is_ok(),
            false => batch.commit(spool, &mut tell),
        };
        queue.reported();
        epoch_is_due |= wake.turn_epoch;
        if epoch_is_due {
            match spool.turn_epoch() {
                Ok(()) => {
                    epoch_is_due = false;
                    *lock(&queue.epoch.0) = Instant::now();
                }
                Err(error) => {
                    durable = false;
                    tracing::debug!(%error, "the epoch goes on; trying again");
                }
            }
        }
        if durable != healthy {
            healthy = durable;
            queue.failing.store(!healthy, Ordering::Relaxed);
            match healthy {
                true => tracing::info!("the spool can be written again"),
                false => tracing::error!("the spool cannot be written: refusing new boxes, delivering what waits"),
            }
        }
        if wake.ends {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tacit_proto::{ChannelId, End, EndPublic, EnrolCode, Permit, SizeClass};

    use super::*;
    use crate::spool::{BoxKey, ChannelRow, EndRow, Hour, Phase};
    use crate::testing::{MemorySpool, numbered};

    const CHANNEL: ChannelId = ChannelId::from_bytes([1; 16]);
    const TO: EndOf = EndOf { channel: CHANNEL, end: End::A };

    fn row(key: u8) -> ChannelRow {
        let end = EndRow { key: EndPublic::from_bytes([key; 32]), spent_invite: None };
        ChannelRow { a: end.clone(), b: end, phase: Phase::Claimed, invite_tried: false }
    }

    fn append(seq: u64) -> (Change, OnFailure) {
        append_of(SizeClass::Small, seq)
    }

    fn append_of(class: SizeClass, seq: u64) -> (Change, OnFailure) {
        let sealed = numbered(0, class);
        (Change::Append { to: TO, key: BoxKey { seq, expires: Hour(1) }, sealed }, OnFailure::Tell)
    }

    fn commit(queue: &CommitQueue, batch: &mut Batch, spool: &MemorySpool) -> Vec<bool> {
        queue.take(batch);
        let mut told = Vec::new();
        batch.commit(spool, |_, durable| told.push(durable));
        told
    }

    #[test]
    fn what_must_happen_happens_before_anything_newer() {
        let (queue, mut batch, spool) = (CommitQueue::default(), Batch::default(), MemorySpool::default());
        queue.push([(Change::PutChannel(CHANNEL, row(1)), OnFailure::Tell)]);
        assert_eq!(commit(&queue, &mut batch, &spool), [true]);
        spool.fail(true);
        queue.push([(Change::ForgetChannel(CHANNEL), OnFailure::Retry)]);
        assert!(commit(&queue, &mut batch, &spool).is_empty());
        spool.fail(false);
        queue.push([(Change::PutChannel(CHANNEL, row(2)), OnFailure::Tell)]);
        assert_eq!(commit(&queue, &mut batch, &spool), [true, true], "what was kept is told when it is made");
        assert_eq!(spool.row(CHANNEL), Some(row(2)));
    }

    #[test]
    fn changes_that_share_a_fate_are_never_parted() {
        let (queue, mut batch, spool) = (CommitQueue::default(), Batch::default(), MemorySpool::default());
        let permit = Permit::from_bytes([1; 32]).hash();
        spool.add_permit(permit);
        queue.push([(Change::PutChannel(CHANNEL, row(1)), OnFailure::Tell)]);
        queue.push((1..MAX_BATCH as u64 - 1).map(append));
        let pair = [
            (Change::SpendPermit(permit), OnFailure::WithNext),
            (Change::PutChannel(CHANNEL, row(2)), OnFailure::Tell),
        ];
        queue.push(pair);
        assert_eq!(commit(&queue, &mut batch, &spool).len(), MAX_BATCH - 1, "the pair would be one too many");
        assert!(spool.has_permit(permit) && spool.row(CHANNEL) == Some(row(1)));
        assert_eq!(commit(&queue, &mut batch, &spool).len(), 2);
        assert!(!spool.has_permit(permit));
        assert_eq!(spool.row(CHANNEL), Some(row(2)));
    }

    #[test]
    fn a_transaction_is_measured_by_its_weight_and_not_its_changes() {
        let (queue, mut batch, spool) = (CommitQueue::default(), Batch::default(), MemorySpool::default());
        queue.push([(Change::PutChannel(CHANNEL, row(1)), OnFailure::Tell)]);
        queue.push((1..=2_400).map(append));
        for left in [1_377, 353, 0] {
            commit(&queue, &mut batch, &spool);
            assert_eq!(queue.len(), left);
        }
        let remove = |seqs: std::ops::RangeInclusive<u64>| {
            let keys = seqs.map(|seq| BoxKey { seq, expires: Hour(1) }).collect();
            (Change::Remove { of: TO, keys }, OnFailure::Retry)
        };
        queue.push([remove(1..=800), remove(801..=1_024), remove(1_025..=1_025), remove(1_026..=2_400)]);
        for left in [2, 1, 0] {
            assert!(queue.len() > left);
            // What is kept for later is measured the same way.
            spool.fail(left == 2);
            commit(&queue, &mut batch, &spool);
            assert_eq!(queue.len(), left);
        }
        assert_eq!(spool.boxes_at(TO).len(), 0);
        assert_eq!(spool.longest(), 1_375, "only a single change is longer than the bound");
    }

    #[test]
    fn of_appends_to_one_end_that_fail_together_the_first_is_told() {
        let (queue, mut batch, spool) = (CommitQueue::default(), Batch::default(), MemorySpool::default());
        spool.fail(true);
        let other = EndOf { end: End::B, ..TO };
        let elsewhere = |seq| match append(seq) {
            (Change::Append { key, sealed, .. }, fate) => (Change::Append { to: other, key, sealed }, fate),
            other => other,
        };
        queue.push([append(1), elsewhere(1), append(2), elsewhere(2)]);
        queue.take(&mut batch);
        let mut told = Vec::new();
        batch.commit(&spool, |change, durable| match change {
            Change::Append { to, key, .. } => told.push((*to, key.seq, durable)),
            _ => panic!("nothing else was asked for"),
        });
        assert_eq!(told, [(TO, 1, false), (other, 1, false)]);
    }

    #[test]
    fn large_boxes_and_enrolments_weigh_what_they_write() {
        let (queue, mut batch, spool) = (CommitQueue::default(), Batch::default(), MemorySpool::default());
        queue.push([(Change::PutChannel(CHANNEL, row(1)), OnFailure::Tell)]);
        commit(&queue, &mut batch, &spool);
        queue.push((1..=129).map(|seq| append_of(SizeClass::Large, seq)));
        assert_eq!(commit(&queue, &mut batch, &spool).len(), 128, "as much as 1,024 small boxes");
        commit(&queue, &mut batch, &spool);
        let enrol = |n| {
            let permits = (0..=255).map(|permit| Permit::from_bytes([permit; 32]).hash()).collect();
            let code = EnrolCode::from_bytes([n; 32]).hash();
            (Change::Enrol { code, permits, forget: Hour(1) }, OnFailure::Tell)
        };
        queue.push((1..=4).map(enrol));
        assert_eq!(commit(&queue, &mut batch, &spool).len(), 3, "a code, and each permit that it gave");
        assert_eq!(spool.longest(), MAX_BATCH);
    }

    #[test]
    fn a_withdrawn_append_is_never_committed() {
        let (queue, mut batch, spool) = (CommitQueue::default(), Batch::default(), MemorySpool::default());
        queue.push([(Change::PutChannel(CHANNEL, row(1)), OnFailure::Tell)]);
        queue.push((1..=4).map(append));
        queue.withdraw(TO, 3);
        commit(&queue, &mut batch, &spool);
        assert_eq!(spool.boxes_at(TO).len(), 2);
    }

    #[test]
    fn that_the_disk_is_well_again_is_noticed_though_nobody_asks_for_anything() {
        let spool = Arc::new(MemorySpool::default());
        let queue = Arc::new(CommitQueue::default());
        let same_spool: Arc<dyn Spool> = spool.clone();
        let committer = Committer::start(Arc::clone(&queue), same_spool, |_, _| ()).unwrap();
        assert!(queue.is_writable());
        spool.fail(true);
        queue.push([append(1)]);
        let until = |writable: bool| {
            while queue.is_writable() != writable {
                std::thread::yield_now();
            }
        };
        until(false);
        spool.fail(false);
        until(true);
        // A turn of the epoch that fails is noticed as well, and made up for.
        spool.fail(true);
        queue.turn_epoch();
        until(false);
        spool.fail(false);
        until(true);
        drop(committer);
    }

    #[test]
    fn dropping_the_committer_commits_what_is_queued() {
        let spool = Arc::new(MemorySpool::default());
        let queue = Arc::new(CommitQueue::default());
        queue.push([(Change::PutChannel(CHANNEL, row(1)), OnFailure::Tell)]);
        queue.push((1..=1_000).map(append));
        let (tell, told) = std::sync::mpsc::channel();
        let same_spool: Arc<dyn Spool> = spool.clone();
        let committer = Committer::start(queue, same_spool, move |_, durable| tell.send(durable).unwrap()).unwrap();
        drop(committer);
        assert_eq!(told.iter().filter(|durable| *durable).count(), 1_001);
        assert_eq!(spool.boxes_at(TO).len(), 1_000);
    }
}
