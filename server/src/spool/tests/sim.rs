//! A disk in memory that can be cut off, fail and fill up. It keeps a log, from which the state after a power cut at any
//! write is made: synced writes are there, later ones may be there, in whole, in part, or not at all.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use crate::spool::Storage;

/// Both files of a spool: the database, and the epoch keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Database,
    Keys,
}

/// Something done to the disk.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Write(Which, u64, Vec<u8>),
    SetLen(Which, u64),
    Sync(Which),
    /// A sync that failed: no later one proves anything about the writes before it.
    SyncFailed(Which),
}

/// How the disk misbehaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Changes with these numbers fail.
    pub(super) failing: Range<usize>,
    /// Reads fail as long as changes do, and count as such.
    pub(super) reads_too: bool,
    /// No room for blocks that were never written.
    pub(super) full: bool,
    /// Not one change is possible.
    pub(super) read_only: bool,
}

#[derive(Debug, Default)]
struct Inner {
    files: [Vec<u8>; 2],
    written: [HashSet<u64>; 2],
    log: Vec<Op>,
    /// Changes that were tried.
    changes: usize,
    faults: Faults,
}

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct SimDisk(Arc<Mutex<Inner>>);

impl SimDisk {
    pub(super) fn with(files: [Vec<u8>; 2]) -> Self {
        Self(Arc::new(Mutex::new(Inner { files, ..Inner::default() })))
    }

    pub(super) fn log(&self) -> Vec<Op> {
        self.0.lock().unwrap().log.clone()
    }

    pub(super) fn changes(&self) -> usize {
        self.0.lock().unwrap().changes
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.0.lock().unwrap().faults = faults;
    }

    pub(super) fn files(&self) -> [Vec<u8>; 2] {
        self.0.lock().unwrap().files.clone()
    }
}

impl Storage for SimDisk {
    fn database(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(SimFile { disk: self.clone(), which: Which::Database }))
    }

    fn database_to_read(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.database()
    }

    fn database_len(&self) -> io::Result<u64> {
        SimFile { disk: self.clone(), which: Which::Database }.len()
    }

    fn discard_database(&self) -> io::Result<()> {
        SimFile { disk: self.clone(), which: Which::Database }.set_len(0)
    }

    fn epoch_keys(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(SimFile { disk: self.clone(), which: Which::Keys }))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    which: Which,
}

impl SimFile {
    fn change(&self, op: Op) -> io::Result<()> {
        let mut disk = self.disk.0.lock().unwrap();
        let disk = &mut *disk;
        let number = disk.changes;
        disk.changes += 1;
        if disk.faults.failing.contains(&number) || disk.faults.read_only {
            if matches!(op, Op::Sync(_)) {
                disk.log.push(Op::SyncFailed(self.which));
            }
            return Err(io::Error::other("the disk failed on purpose"));
        }
        let written = &mut disk.written[self.which as usize];
        if let Op::Write(_, offset, data) = &op {
            let blocks = offset / 4096..(offset + data.len() as u64).div_ceil(4096);
            if disk.faults.full && !blocks.clone().all(|block| written.contains(&block)) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written.extend(blocks);
        }
        execute(&mut disk.files[self.which as usize], &op);
        disk.log.push(op);
        Ok(())
    }
}

impl StorageBackend for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().unwrap().files[self.which as usize].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.disk.0.lock().unwrap();
        if disk.faults.reads_too && disk.faults.failing.contains(&disk.changes) {
            disk.changes += 1;
            return Err(io::Error::other("the disk failed on purpose"));
        }
        let offset = usize::try_from(offset).unwrap();
        let bytes = disk.files[self.which as usize].get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Op::SetLen(self.which, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Op::Sync(self.which))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Op::Write(self.which, offset, data.to_vec()))
    }
}

fn execute(file: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(_, offset, data) => {
            let offset = usize::try_from(*offset).unwrap();
            if file.len() < offset + data.len() {
                file.resize(offset + data.len(), 0);
            }
            file[offset..offset + data.len()].copy_from_slice(data);
        }
        Op::SetLen(_, len) => file.resize(usize::try_from(*len).unwrap(), 0),
        Op::Sync(_) | Op::SyncFailed(_) => {}
    }
}

/// What becomes of writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unsynced {
    /// All are lost.
    Lost,
    /// All are there, but of the last one only a part.
    TornLast,
    /// Each is lost, there, or torn, as the dice fall.
    Dice(u64),
}

/// What a disk would be after a power cut. It follows the log step by step, so that not every cut has to begin at the
/// beginning.
#[derive(Clone, Default)]
pub(super) struct Survivor {
    files: [Vec<u8>; 2],
    pending: [Vec<Op>; 2],
}

impl Survivor {
    /// Begins with files that are all synced.
    pub(super) fn of(files: [Vec<u8>; 2]) -> Self {
        Self { files, ..Self::default() }
    }

    /// Adds what was done next.
    pub(super) fn push(&mut self, op: &Op) {
        let which = which(op) as usize;
        match op {
            Op::Sync(_) => {
                for op in self.pending[which].drain(..) {
                    execute(&mut self.files[which], &op);
                }
            }
            // The system takes the pages for clean from now on: half of them never reach the disk.
            Op::SyncFailed(_) => {
                let mut keep = false;
                self.pending[which].retain(|op| {
                    keep = !keep;
                    keep || matches!(op, Op::SetLen(..))
                });
            }
            op => self.pending[which].push(op.clone()),
        }
    }

    /// Cuts the power now.
    pub(super) fn cut(&self, unsynced: Unsynced) -> SimDisk {
        let mut files = self.files.clone();
        let mut dice = match unsynced {
            Unsynced::Dice(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            _ => 1,
        };
        let mut roll = |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            (dice >> 16) % sides
        };
        for (file, pending) in files.iter_mut().zip(&self.pending) {
            for (at, op) in pending.iter().enumerate() {
                let fate = match unsynced {
                    Unsynced::Lost => 0,
                    Unsynced::TornLast => 1 + u64::from(at + 1 == pending.len()),
                    Unsynced::Dice(_) => roll(3),
                };
                match (fate, op) {
                    (0, _) => {}
                    (2, Op::Write(which, offset, data)) => {
                        let torn = usize::try_from(roll(data.len() as u64)).unwrap();
                        execute(file, &Op::Write(*which, *offset, data[..torn].to_vec()));
                    }
                    (_, op) => execute(file, op),
                }
            }
        }
        SimDisk::with(files)
    }
}

fn which(op: &Op) -> Which {
    match op {
        Op::Write(which, ..) | Op::SetLen(which, _) | Op::Sync(which) | Op::SyncFailed(which) => *which,
    }
}
