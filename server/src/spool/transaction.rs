//! A write transaction that can be taken back even after it was committed.

use redb::{Database, ReadableTable, Table, WriteTransaction};

use super::fault::{Fault, guarded};
use super::rows::{BACKLOGS, BOXES, CHANNELS, DUE, Def, ENROLMENTS, META, META_COMMITS, PERMITS};

/// A table that remembers what it changed. It is opened when it is used: most transactions use few.
pub(super) struct Logged<'txn, const K: usize> {
    txn: &'txn WriteTransaction,
    def: Def<K>,
    table: Option<Opened<'txn, K>>,
    old: Old<K>,
}

type Opened<'txn, const K: usize> = Table<'txn, &'static [u8; K], &'static [u8]>;

/// What keys held before they were changed, in the order of the changes.
type Old<const K: usize> = Vec<([u8; K], Option<Vec<u8>>)>;

/// Keys and values.
pub(super) type Rows<const K: usize> = Vec<([u8; K], Vec<u8>)>;

impl<'txn, const K: usize> Logged<'txn, K> {
    const fn of(txn: &'txn WriteTransaction, def: Def<K>) -> Self {
        Self { txn, def, table: None, old: Vec::new() }
    }

    fn table(&mut self) -> Result<&mut Opened<'txn, K>, Fault> {
        match &mut self.table {
            Some(table) => Ok(table),
            closed => Ok(closed.insert(self.txn.open_table(self.def)?)),
        }
    }

    pub(super) fn get(&mut self, key: &[u8; K]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.table()?.get(key)?.map(|value| value.value().to_vec()))
    }

    /// Puts a value, and says which one was there.
    pub(super) fn put(&mut self, key: [u8; K], value: &[u8]) -> Result<Option<&[u8]>, Fault> {
        let old = self.table()?.insert(&key, value)?.map(|old| old.value().to_vec());
        Ok(self.remember(key, old))
    }

    /// Removes a value, and says which one was there.
    pub(super) fn remove(&mut self, key: [u8; K]) -> Result<Option<&[u8]>, Fault> {
        let Some(old) = self.table()?.remove(&key)?.map(|old| old.value().to_vec()) else { return Ok(None) };
        Ok(self.remember(key, Some(old)))
    }

    fn remember(&mut self, key: [u8; K], old: Option<Vec<u8>>) -> Option<&[u8]> {
        self.old.push((key, old));
        self.old.last().and_then(|(_, old)| old.as_deref())
    }

    /// The lowest key within two bounds, inclusive.
    pub(super) fn first_within(&mut self, low: &[u8; K], high: &[u8; K]) -> Result<Option<[u8; K]>, Fault> {
        let first = self.table()?.range::<&[u8; K]>(low..=high)?.next().transpose()?;
        Ok(first.map(|(key, _)| *key.value()))
    }

    /// All rows. For tables that are small.
    pub(super) fn all(&mut self) -> Result<Rows<K>, Fault> {
        let mut rows = Vec::new();
        for row in self.table()?.iter()? {
            let (key, value) = row?;
            rows.push((*key.value(), value.value().to_vec()));
        }
        Ok(rows)
    }

    fn restore(&mut self, old: &Old<K>) -> Result<(), Fault> {
        for (key, value) in old.iter().rev() {
            match value {
                Some(value) => drop(self.table()?.insert(key, value.as_slice())?),
                None => drop(self.table()?.remove(key)?),
            }
        }
        Ok(())
    }
}

/// All tables of a write transaction.
pub(super) struct Tables<'txn> {
    pub(super) meta: Logged<'txn, 8>,
    pub(super) channels: Logged<'txn, 16>,
    pub(super) permits: Logged<'txn, 32>,
    pub(super) enrolments: Logged<'txn, 32>,
    pub(super) backlogs: Logged<'txn, 17>,
    pub(super) boxes: Logged<'txn, 24>,
    pub(super) due: Logged<'txn, 16>,
}

/// What it takes to take a transaction back, should it have landed although it was reported as failed.
pub(super) struct Undo {
    /// The number of that transaction.
    pub(super) commit: u64,
    meta: Old<8>,
    channels: Old<16>,
    permits: Old<32>,
    enrolments: Old<32>,
    backlogs: Old<17>,
    boxes: Old<24>,
    due: Old<16>,
}

impl<'txn> Tables<'txn> {
    const fn of(txn: &'txn WriteTransaction) -> Self {
        Self {
            meta: Logged::of(txn, META),
            channels: Logged::of(txn, CHANNELS),
            permits: Logged::of(txn, PERMITS),
            enrolments: Logged::of(txn, ENROLMENTS),
            backlogs: Logged::of(txn, BACKLOGS),
            boxes: Logged::of(txn, BOXES),
            due: Logged::of(txn, DUE),
        }
    }

    /// Makes the tables that are not there yet: readers expect all of them.
    pub(super) fn make(&mut self) -> Result<(), Fault> {
        self.meta.table()?;
        self.channels.table()?;
        self.permits.table()?;
        self.enrolments.table()?;
        self.backlogs.table()?;
        self.boxes.table()?;
        self.due.table()?;
        Ok(())
    }

    fn into_undo(self, commit: u64) -> Undo {
        Undo {
            commit,
            meta: self.meta.old,
            channels: self.channels.old,
            permits: self.permits.old,
            enrolments: self.enrolments.old,
            backlogs: self.backlogs.old,
            boxes: self.boxes.old,
            due: self.due.old,
        }
    }

    /// Puts everything back as it was before the transaction that `undo` is of.
    pub(super) fn take_back(&mut self, undo: &Undo) -> Result<(), Fault> {
        self.meta.restore(&undo.meta)?;
        self.channels.restore(&undo.channels)?;
        self.permits.restore(&undo.permits)?;
        self.enrolments.restore(&undo.enrolments)?;
        self.backlogs.restore(&undo.backlogs)?;
        self.boxes.restore(&undo.boxes)?;
        self.due.restore(&undo.due)
    }
}

/// A transaction that failed.
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// Present if the transaction may have landed all the same.
    pub(super) landed: Option<Box<Undo>>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, landed: None }
    }
}

/// Runs one transaction, numbered `commit`, and makes it durable. The database must be opened again after a failure.
pub(super) fn transact<T>(
    db: &Database,
    commit: u64,
    work: impl FnOnce(&mut Tables<'_>) -> Result<T, Fault>,
) -> Result<T, Failed> {
    let (txn, done, undo) = guarded(|| {
        let mut txn = db.begin_write()?;
        // Implies two phases, so that no attacker-chosen bytes can pass for a commit, and a quick start after a crash.
        txn.set_quick_repair(true);
        let mut tables = Tables::of(&txn);
        let done = work(&mut tables)?;
        tables.meta.put(META_COMMITS, &commit.to_be_bytes())?;
        let undo = tables.into_undo(commit);
        Ok((txn, done, undo))
    })?;
    match guarded(|| Ok(txn.commit()?)) {
        Ok(()) => Ok(done),
        Err(fault) => Err(Failed { fault, landed: Some(Box::new(undo)) }),
    }
}
