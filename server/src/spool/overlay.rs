//! The database's file, and a way to read it while it cannot be written.
//!
//! redb marks a file as in use when it opens one, and does not open what it cannot mark. A relay whose disk is full or
//! read-only must go on delivering, so for as long as that lasts redb writes to memory what it would have written to the
//! file: the mark, and what puts a crashed or doubtful state in order. Nothing is ever committed to that view.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Mutex;

use redb::{BackendError, StorageBackend};

use super::redb_spool::lock;

const BLOCK: u64 = 4096;

/// A file as it is: redb takes only backends of a known type.
#[derive(Debug)]
pub(super) struct Plain(pub(super) Box<dyn StorageBackend>);

type Locked = Result<bool, BackendError>;

impl StorageBackend for Plain {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked {
        self.0.query_lock_range(start, end)
    }
}

/// A file that is only read, under what would have been written to it. It takes no locks: it changes nothing.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Box<dyn StorageBackend>,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    len: u64,
    /// How much of the file still shows: what was cut off does not come back.
    file_len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, over: Mutex::new(Over { len, file_len: len, blocks: BTreeMap::new() }) })
    }

    /// One block as it shows.
    fn block(&self, over: &Over, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = over.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK as usize];
        let start = number * BLOCK;
        let there = over.file_len.saturating_sub(start).min(BLOCK);
        if there > 0 {
            self.file.read(start, &mut block[..there as usize])?;
        }
        Ok(block)
    }

    /// The blocks that some bytes lie in: their numbers, and which part of each.
    fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
        let end = offset + len as u64;
        (offset / BLOCK..end.div_ceil(BLOCK)).map(move |number| {
            let start = number * BLOCK;
            (number, (offset.max(start) - start) as usize..(end.min(start + BLOCK) - start) as usize)
        })
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.over).len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let over = lock(&self.over);
        if offset + out.len() as u64 > over.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, part) in Self::parts(offset, out.len()) {
            let (now, rest) = out.split_at_mut(part.len());
            now.copy_from_slice(&self.block(&over, number)?[part]);
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = lock(&self.over);
        let over = &mut *over;
        over.len = len;
        over.file_len = over.file_len.min(len);
        over.blocks.split_off(&len.div_ceil(BLOCK));
        if let Some(last) = over.blocks.get_mut(&(len / BLOCK)) {
            last[(len % BLOCK) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let mut over = lock(&self.over);
        for (number, part) in Self::parts(offset, data.len()) {
            let (now, rest) = data.split_at(part.len());
            let mut block = self.block(&over, number)?;
            block[part].copy_from_slice(now);
            over.blocks.insert(number, block);
            data = rest;
        }
        over.len = over.len.max(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::{FileBackend, InMemoryBackend};

    use super::*;

    #[test]
    fn a_lock_on_a_plain_file_is_one_on_the_file_until_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [0; 64]).unwrap();
        let open = || {
            let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            FileBackend::new(file).unwrap()
        };
        let (plain, other) = (Plain(Box::new(open())), open());
        let (low, high) = (Bound::Included(1), Bound::Excluded(2));
        let kept_out = || other.query_lock_range(low, high).unwrap();

        plain.lock_range(low, high).unwrap();
        assert!(kept_out());
        plain.unlock_range(low, high).unwrap();
        assert!(!kept_out());
        plain.lock_shared_range(low, high).unwrap();
        assert!(kept_out() && other.try_lock_shared_range(low, high).unwrap());
        plain.close().unwrap();
        assert!(!kept_out(), "its own shared lock does not keep it out");
        assert!(plain.query_lock_range(low, high).unwrap());
    }

    proptest! {
        #[test]
        fn an_overlay_is_what_the_file_would_be(
            file in 0..4 * BLOCK as usize,
            changes in prop::collection::vec((any::<bool>(), 0..5 * BLOCK, 0..2 * BLOCK as usize), 1..8),
        ) {
            let before: Vec<u8> = (0..file).map(|at| (at % 251) as u8 + 1).collect();
            let backend = InMemoryBackend::new();
            backend.set_len(file as u64).unwrap();
            backend.write(0, &before).unwrap();
            let overlay = Overlay::new(Box::new(backend)).unwrap();
            let mut model = before.clone();
            for (n, (write, at, len)) in (0xf0..).zip(changes) {
                if write {
                    overlay.write(at, &vec![n; len]).unwrap();
                    let end = at as usize + len;
                    model.resize(model.len().max(end), 0);
                    model[at as usize..end].fill(n);
                } else {
                    overlay.set_len(at).unwrap();
                    model.resize(at as usize, 0);
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                let mut seen = vec![0xee; model.len()];
                overlay.read(0, &mut seen).unwrap();
                prop_assert!(seen == model);
                let (from, part) = (model.len() / 3, model.len() / 2);
                overlay.read(from as u64, &mut seen[..part]).unwrap();
                prop_assert!(seen[..part] == model[from..from + part]);
                prop_assert!(overlay.read(1, &mut seen).is_err(), "nothing is behind the end");
            }
            let mut after = vec![0; file];
            overlay.file.read(0, &mut after).unwrap();
            prop_assert!(after == before && overlay.file.len().unwrap() == file as u64);
        }
    }

    #[test]
    fn an_overlay_shows_what_was_written_and_the_file_keeps_what_it_had() {
        let file = InMemoryBackend::new();
        file.set_len(3 * BLOCK).unwrap();
        file.write(0, &[1; 3 * BLOCK as usize]).unwrap();
        let overlay = Overlay::new(Box::new(file)).unwrap();

        overlay.write(BLOCK - 2, &[2; 4]).unwrap();
        let mut seen = [0; 6];
        overlay.read(BLOCK - 3, &mut seen).unwrap();
        assert_eq!(seen, [1, 2, 2, 2, 2, 1]);

        overlay.set_len(BLOCK + 1).unwrap();
        overlay.set_len(4 * BLOCK).unwrap();
        overlay.read(BLOCK - 1, &mut seen).unwrap();
        assert_eq!(seen, [2, 2, 0, 0, 0, 0], "what was cut off does not come back");
        assert!(overlay.read(4 * BLOCK - 1, &mut seen).is_err());

        assert_eq!(overlay.file.len().unwrap(), 3 * BLOCK);
        overlay.file.read(BLOCK - 3, &mut seen).unwrap();
        assert_eq!(seen, [1; 6]);
    }
}
