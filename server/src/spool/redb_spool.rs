//! The embedded spool: one redb file, and the file of epoch keys beside it.
//!
//! `rows` says what is on the disk and why no crash loses it, `chain` and `wrap` how boxes are wrapped, `epoch` where the
//! keys to that are kept and destroyed, `transaction` how a failed write is taken back, `migration` what becomes of older formats.

use std::collections::HashSet;
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Database, ReadableDatabase};
use tacit_proto::{EndOf, SealedBox};

use super::batch::{Appending, apply, oldest};
use super::chain::{BacklogRow, Chains, Suspects, follow};
use super::epoch::{self, EpochId, EpochKey, Keyring, SlotFile};
use super::fault::{Fault, guarded};
use super::opening::{Opened, drop_guarded, open_database, open_to_read};
use super::recovery::{mostly_dead, recover};
use super::rows::{
    BACKLOGS, BOXES, DUE, MAX_SEQ, box_from_key, box_key, due_from_row, due_until, end_from_key, end_key,
};
use super::storage::{DataDir, Storage};
use super::transaction::{Failed, Tables, Undo, transact};
use super::wrap::unwrap_box;
use super::{Change, Due, DueAt, Hour, KeptRow, Recovered, Spool, SpoolError};

/// No file that nothing was ever committed to is longer: redb makes it 72 KiB.
const UNFOUNDED_LEN: u64 = 128 << 10;

/// A spool in a folder of one machine.
///
/// One thread writes at a time, and any number read beside it. After an I/O error whoever comes next opens the database
/// anew: nothing needs to be restarted once the disk is well again.
///
/// Locks are taken in the order of the fields.
pub struct RedbSpool {
    pub(super) writer: Mutex<Writer>,
    appending: Mutex<Appending>,
    state: RwLock<State>,
    pub(super) chains: Mutex<Chains>,
    storage: Box<dyn Storage>,
}

/// What only the writer touches.
pub(super) struct Writer {
    slots: SlotFile,
    /// The key of an epoch that could not begin yet. Rows may be wrapped under it if the failure came late, so it is
    /// tried again and not replaced.
    next_epoch: Option<(EpochId, EpochKey)>,
    /// The number of the last transaction.
    commits: u64,
    /// A transaction that was reported as failed and may have landed.
    doubtful: Option<Box<Undo>>,
}

/// What readers share with the writer.
pub(super) struct State {
    /// `None` after an error, until it was opened again.
    pub(super) db: Option<Database>,
    /// Whether `db` is the file, and not what shows of it while it cannot be written.
    writable: bool,
    /// Counts the openings, so that an error is not held against a later one.
    opening: u64,
    pub(super) keys: Keyring,
}

/// Why something could not be read.
struct ReadFault {
    fault: Fault,
    /// The opening whose handle is to be closed, if redb and not the row's content is at fault.
    handle: Option<u64>,
}

impl RedbSpool {
    /// Opens the spool in a folder, or makes it there.
    ///
    /// It begins a new epoch, so that restarting often does not keep deleted boxes openable, and compacts the file if
    /// more than half of it is dead. A disk that cannot be written stops neither: the relay can at least deliver.
    ///
    /// # Errors
    /// Any [`SpoolError`]; the folder is as it was.
    pub fn open(dir: &Path) -> Result<(Self, Recovered), SpoolError> {
        Self::open_on(DataDir::open(dir)?)
    }

    /// Opens the spool on another storage than a folder: a disk that fails on purpose, say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(storage: impl Storage) -> Result<(Self, Recovered), SpoolError> {
        let (spool, recovered) = Self::start(Box::new(storage)).map_err(Fault::on_write)?;
        match spool.turn_epoch() {
            Ok(()) => {}
            Err(SpoolError::Write(why)) => tracing::warn!(why, "the epoch goes on: the spool cannot be written"),
            Err(other) => return Err(other),
        }
        Ok((spool, recovered))
    }

    fn start(storage: Box<dyn Storage>) -> Result<(Self, Recovered), Fault> {
        let (slots, found) = SlotFile::open(storage.epoch_keys()?)?;
        let (Opened { db, commits, .. }, writable) = match open_database(&*storage) {
            Ok(opened) => (opened, true),
            // redb marks a new file as its own last of all. Cut before that, it opens no more; but nothing was ever
            // committed to it without an epoch key, and there never was one.
            Err(Fault::Damaged(_)) if found.is_empty() && storage.database_len()? <= UNFOUNDED_LEN => {
                storage.discard_database()?;
                (open_database(&*storage)?, true)
            }
            Err(Fault::Io(why)) => (open_to_read(&*storage).map_err(|_| Fault::Io(why))?, false),
            Err(other) => return Err(other),
        };
        let (recovered, epochs) = guarded(|| recover(&db))?;
        let mut keys = Keyring::default();
        for (id, key) in found.into_iter().filter(|(id, _)| epochs.contains(id)) {
            keys.add(id, key);
            // Whichever it is: a new epoch is about to begin, and if it cannot, one that is on the disk must do.
            keys.set_current(id);
        }
        if epochs.iter().any(|id| keys.get(id).is_none()) {
            return Err(Fault::Damaged("an epoch key that backlogs are wrapped under"));
        }
        let db = if writable { compact_if_mostly_dead(&*storage, db, &recovered) } else { Some(db) };
        let writer = Writer { slots, next_epoch: None, commits, doubtful: None };
        let state = State { db, writable, opening: 0, keys };
        let (writer, state) = (Mutex::new(writer), RwLock::new(state));
        Ok((Self { writer, appending: Mutex::default(), state, chains: Mutex::default(), storage }, recovered))
    }

    /// Runs one transaction of the writer. After an error nothing of it was made, or will be seen to have been.
    pub(super) fn write<T>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&mut Tables<'_>, &Keyring) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if let Err(fault) = self.ensure_writable(writer) {
            let _ = self.ensure_readable(writer);
            return Err(fault);
        }
        let commit = writer.commits + 1;
        let state = self.read();
        let db = state.db.as_ref().ok_or_else(closed)?;
        let done = transact(db, commit, |tables| work(tables, &state.keys));
        drop(state);
        match done {
            Ok(done) => {
                writer.commits = commit;
                Ok(done)
            }
            Err(Failed { fault, landed }) => {
                self.close();
                writer.doubtful = landed;
                // Better now than later: readers should not see what was not made. If not now, then later.
                let _ = self.ensure_readable(writer);
                Err(fault)
            }
        }
    }

    /// Opens the database again if an error closed it, and takes back what should not have landed.
    fn ensure_writable(&self, writer: &mut Writer) -> Result<(), Fault> {
        {
            let state = self.read();
            if state.db.is_some() && state.writable {
                return Ok(());
            }
        }
        self.close();
        let Opened { db, commits, .. } = open_database(&*self.storage)?;
        writer.commits = commits;
        if let Some(undo) = writer.doubtful.take_if(|undo| undo.commit == commits) {
            // Should this fail and land nevertheless, the number on the disk will not be that of `undo` any more.
            if let Err(failed) = transact(&db, commits + 1, |tables| tables.take_back(&undo)) {
                writer.doubtful = Some(undo);
                drop_guarded(db);
                return Err(failed.fault);
            }
            writer.commits = commits + 1;
        }
        writer.doubtful = None;
        self.opened(db, true);
        Ok(())
    }

    /// Opens the database again if an error closed it, if need be without the means to write to it.
    pub(super) fn ensure_readable(&self, writer: &mut Writer) -> Result<(), Fault> {
        if self.read().db.is_some() {
            return Ok(());
        }
        match self.ensure_writable(writer) {
            Err(Fault::Io(_)) => {}
            result => return result,
        }
        let Opened { db, commits, .. } = open_to_read(&*self.storage)?;
        if let Some(undo) = writer.doubtful.as_ref().filter(|undo| undo.commit == commits) {
            transact(&db, commits + 1, |tables| tables.take_back(undo)).map_err(|failed| failed.fault)?;
        }
        self.opened(db, false);
        Ok(())
    }

    fn opened(&self, db: Database, writable: bool) {
        let mut state = self.write_state();
        state.db = Some(db);
        state.writable = writable;
        state.opening += 1;
    }

    fn close(&self) {
        let db = self.write_state().db.take();
        if let Some(db) = db {
            drop_guarded(db);
        }
    }

    /// Wraps all live backlogs' keys under a new epoch's key, then destroys every other epoch key.
    fn turn(&self, writer: &mut Writer) -> Result<(), Fault> {
        // What a database shows that was just opened may come from the system's cache alone, and be gone after a cut.
        // Only what a commit built on is known to be durable, so this is a commit too.
        let mut keep: HashSet<EpochId> = self.write(writer, |tables, _| epochs_in_use(tables))?;
        keep.extend(self.read().keys.current().map(|(id, _)| id));
        keep.extend(writer.next_epoch.as_ref().map(|(id, _)| *id));
        writer.slots.destroy_all_but(&keep)?;

        let (id, key) = match writer.next_epoch.take() {
            Some(next) => next,
            None => epoch::draw()?,
        };
        writer.next_epoch = Some((id, key.clone()));
        writer.slots.put(id, &key)?;
        self.write_state().keys.add(id, key.clone());
        {
            let mut appending = lock(&self.appending);
            // Rows that were damaged have a new chain then.
            appending.begin_anew();
            self.write(writer, |tables, keys| rewrap(tables, keys, (id, &key), &mut appending.suspects))?;
        }

        writer.next_epoch = None;
        let mut state = self.write_state();
        state.keys.set_current(id);
        state.keys.keep_only(id);
        drop(state);
        lock(&self.chains).clear();
        writer.slots.destroy_all_but(&HashSet::from([id]))
    }

    fn load_once(&self, of: &EndOf, from: u64, most: usize) -> Result<Vec<(u64, SealedBox)>, ReadFault> {
        // Held to the end: an epoch key that a row of this snapshot needs is not forgotten before.
        let state = self.read();
        let handle = |fault| ReadFault { fault, handle: Some(state.opening) };
        let row = |fault| ReadFault { fault, handle: None };
        let db = state.db.as_ref().ok_or_else(|| handle(closed()))?;
        let Some((backlog, wrapped)) = guarded(|| read_rows(db, of, from, most)).map_err(handle)? else {
            return Ok(Vec::new());
        };
        let mut boxes = Vec::with_capacity(wrapped.len());
        for (seq, wrapped) in wrapped {
            let key = lock(&self.chains).box_key(of, &backlog, &state.keys, seq).map_err(row)?;
            boxes.push((seq, unwrap_box(&key, of, seq, wrapped).map_err(row)?));
        }
        Ok(boxes)
    }

    fn due_once(&self, hour: Hour, after: Option<DueAt>, most: usize) -> Result<Vec<Due>, ReadFault> {
        let state = self.read();
        let handle = |fault| ReadFault { fault, handle: Some(state.opening) };
        let db = state.db.as_ref().ok_or_else(|| handle(closed()))?;
        guarded(|| read_due(db, hour, after, most)).map_err(handle)
    }

    /// Reads, and once more on a database that was opened anew, should redb and not a row's content be at fault.
    fn read_again<T>(&self, once: impl Fn() -> Result<T, ReadFault>) -> Result<T, SpoolError> {
        let mut last = None;
        for _ in 0..2 {
            let ReadFault { fault, handle } = match once() {
                Ok(read) => return Ok(read),
                Err(fault) => fault,
            };
            let Some(opening) = handle else { return Err(fault.on_read()) };
            let mut writer = lock(&self.writer);
            if self.read().opening == opening {
                self.close();
            }
            self.ensure_readable(&mut writer).map_err(Fault::on_read)?;
            last = Some(fault);
        }
        Err(last.unwrap_or_else(closed).on_read())
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool for RedbSpool {
    fn commit(&self, batch: &[Change]) -> Result<(), SpoolError> {
        let mut writer = lock(&self.writer);
        if self.read().keys.current().is_none() {
            // The disk could not be written at the start.
            self.turn(&mut writer).map_err(Fault::on_write)?;
        }
        let mut appending = lock(&self.appending);
        let drained = |of: &EndOf| lock(&self.chains).forget(of);
        let done = self.write(&mut writer, |tables, keys| apply(tables, batch, keys, &mut appending, drained));
        if done.is_err() {
            appending.begin_anew();
        }
        done.map_err(Fault::on_write)
    }

    fn load(&self, of: EndOf, from: u64, most: usize) -> Result<Vec<(u64, SealedBox)>, SpoolError> {
        self.read_again(|| self.load_once(&of, from, most))
    }

    fn due(&self, hour: Hour, after: Option<DueAt>, most: usize) -> Result<Vec<Due>, SpoolError> {
        self.read_again(|| self.due_once(hour, after, most))
    }

    fn snapshot(&self, take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>) -> Result<(), SpoolError> {
        self.read_snapshot(take)
    }

    fn turn_epoch(&self) -> Result<(), SpoolError> {
        self.turn(&mut lock(&self.writer)).map_err(Fault::on_write)
    }
}

impl fmt::Debug for RedbSpool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbSpool(..)")
    }
}

/// A panic under a lock leaves nothing half-done that is not checked again: see `guarded` and `Chains`.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn closed() -> Fault {
    Fault::Io("it is closed after an error".to_owned())
}

/// Compaction needs room and may fail; then the database is opened anew, at the latest by whoever needs it.
fn compact_if_mostly_dead(storage: &dyn Storage, mut db: Database, recovered: &Recovered) -> Option<Database> {
    let compacted = guarded(|| {
        if mostly_dead(&db, recovered, storage.database_len()?)? {
            db.compact()?;
        }
        Ok(())
    });
    if let Err(why) = compacted {
        tracing::warn!(?why, "the spool was not compacted");
        drop_guarded(db);
        return None;
    }
    Some(db)
}

fn epochs_in_use(tables: &mut Tables<'_>) -> Result<HashSet<EpochId>, Fault> {
    tables.backlogs.all()?.iter().map(|(_, row)| Ok(BacklogRow::from_bytes(row)?.epoch)).collect()
}

/// Turns every chain forward to its oldest waiting box, and wraps it under the new key.
fn rewrap(
    tables: &mut Tables<'_>,
    keys: &Keyring,
    epoch: (EpochId, &EpochKey),
    suspects: &mut Suspects,
) -> Result<(), Fault> {
    for (end, row) in tables.backlogs.all()? {
        let of = end_from_key(&end)?;
        let oldest = oldest(tables, &of)?.ok_or(Fault::Damaged("a backlog without a box"))?;
        tables.backlogs.put(end, &follow(&row, &of, oldest, keys, epoch, suspects)?.to_bytes())?;
    }
    Ok(())
}

/// Some of a backlog's boxes, still wrapped, by seq.
type Wrapped = Vec<(u64, Vec<u8>)>;

/// A backlog's row and some of its boxes; `None` if nothing waits there.
fn read_rows(db: &Database, of: &EndOf, from: u64, most: usize) -> Result<Option<(BacklogRow, Wrapped)>, Fault> {
    let txn = db.begin_read()?;
    let backlogs = txn.open_table(BACKLOGS)?;
    let Some(row) = backlogs.get(&end_key(of))? else { return Ok(None) };
    let row = BacklogRow::from_bytes(row.value())?;
    let table = txn.open_table(BOXES)?;
    let mut boxes = Vec::new();
    if from <= MAX_SEQ {
        for entry in table.range::<&[u8; 24]>(&box_key(of, from)..=&box_key(of, MAX_SEQ))?.take(most) {
            let (name, wrapped) = entry?;
            boxes.push((box_from_key(name.value()).1, wrapped.value().to_vec()));
        }
    }
    Ok(Some((row, boxes)))
}

fn read_due(db: &Database, hour: Hour, after: Option<DueAt>, most: usize) -> Result<Vec<Due>, Fault> {
    let table = db.begin_read()?.open_table(DUE)?;
    let (after, until) = (after.map(|at| at.0), due_until(hour));
    let after = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut due = Vec::new();
    for entry in table.range::<&[u8; 16]>((after, Bound::Included(&until)))?.take(most) {
        let (at, row) = entry?;
        due.push(Due { at: DueAt(*at.value()), of: due_from_row(at.value(), row.value())?.of });
    }
    Ok(due)
}
