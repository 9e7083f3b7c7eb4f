//! What a stolen folder tells: nothing of a box's bytes, and of deleted boxes nothing at all once the epoch has turned.

use std::fs;
use std::path::Path;

use redb::{Database, ReadableDatabase};
use tacit_proto::{End, EndOf, SizeClass};
use tempfile::TempDir;

use super::{append, end, remove, sealed, small};
use crate::spool::chain::{BacklogRow, Chains};
use crate::spool::epoch::{Keyring, SlotFile};
use crate::spool::redb_spool::lock;
use crate::spool::rows::{BACKLOGS, BOXES, box_key, end_key};
use crate::spool::wrap::unwrap_box;
use crate::spool::{DataDir, RedbSpool, Spool, SpoolError, Storage};

/// Copies a folder while the spool has it open, as a thief with a snapshot does.
fn steal(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["spool.redb", "epoch.keys"] {
        fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// Puts the database of one folder beside the keys of another.
fn mix(database: &Path, keys: &Path) -> TempDir {
    let mixed = tempfile::tempdir().unwrap();
    fs::copy(database.join("spool.redb"), mixed.path().join("spool.redb")).unwrap();
    fs::copy(keys.join("epoch.keys"), mixed.path().join("epoch.keys")).unwrap();
    mixed
}

/// What somebody who knows the format and holds a folder gets at without the relay's code.
struct Thief {
    database: Database,
    keys: Keyring,
}

impl Thief {
    fn with(dir: &Path) -> Self {
        let storage = DataDir::open(dir).unwrap();
        let (_, found) = SlotFile::open(storage.epoch_keys().unwrap()).unwrap();
        let mut keys = Keyring::default();
        for (id, key) in found {
            keys.add(id, key);
        }
        Self { database: Database::open(dir.join("spool.redb")).unwrap(), keys }
    }

    fn backlog(&self, of: EndOf) -> Option<BacklogRow> {
        let table = self.database.begin_read().unwrap().open_table(BACKLOGS).unwrap();
        table.get(&end_key(&of)).unwrap().map(|row| BacklogRow::from_bytes(row.value()).unwrap())
    }

    fn wrapped(&self, of: EndOf, seq: u64) -> Vec<u8> {
        let table = self.database.begin_read().unwrap().open_table(BOXES).unwrap();
        table.get(&box_key(&of, seq)).unwrap().unwrap().value().to_vec()
    }

    /// Tries to open a wrapped box with a backlog's row and the epoch keys of this folder.
    fn opens(&self, row: &BacklogRow, of: EndOf, seq: u64, wrapped: Vec<u8>) -> bool {
        let Ok(key) = Chains::default().box_key(&of, row, &self.keys, seq) else { return false };
        unwrap_box(&key, &of, seq, wrapped).is_ok()
    }
}

fn holds(dir: &Path, needle: &[u8]) -> bool {
    let first = needle[0];
    fs::read_dir(dir).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window[0] == first && window == needle)
    })
}

#[test]
fn no_bytes_of_a_box_are_found_in_the_files_waiting_or_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    let boxes = [small(1), sealed(SizeClass::Large, 2), small(3)];
    let seen = |spool: &RedbSpool| {
        // So that what the database holds in memory is in the file.
        spool.commit(&[]).unwrap();
        boxes.iter().any(|sealed| sealed.bytes()[2..].chunks_exact(24).step_by(16).any(|part| holds(dir.path(), part)))
    };
    spool.commit(&(1..).zip(&boxes).map(|(seq, sealed)| append(a, seq, sealed.clone())).collect::<Vec<_>>()).unwrap();
    assert!(!seen(&spool), "waiting");
    spool.commit(&[remove(a, [1, 2])]).unwrap();
    assert!(!seen(&spool), "some deleted");
    spool.commit(&[remove(a, [3])]).unwrap();
    spool.turn_epoch().unwrap();
    assert!(!seen(&spool), "all deleted");

    // The search would find them: the wrapped form of a box is there, even of a deleted one.
    spool.commit(&[append(a, 9, small(9))]).unwrap();
    let stolen = steal(dir.path());
    let wrapped = Thief::with(stolen.path()).wrapped(a, 9);
    spool.commit(&[remove(a, [9])]).unwrap();
    assert!(holds(dir.path(), &wrapped), "redb keeps deleted rows, which is why they are wrapped");
}

#[test]
fn a_deleted_box_opens_no_more_after_two_turns_while_a_waiting_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let (drained, partly) = (end(1, End::A), end(2, End::B));
    spool.commit(&[append(drained, 1, small(1)), append(drained, 2, small(2))]).unwrap();
    spool.commit(&(1..=4).map(|seq| append(partly, seq, small(10 + seq))).collect::<Vec<_>>()).unwrap();

    let before = steal(dir.path());
    let earlier = Thief::with(before.path());
    let rows = [drained, partly].map(|of| earlier.backlog(of).unwrap());
    let wrapped = |of, seq| earlier.wrapped(of, seq);
    for (of, row, seq) in [(drained, &rows[0], 1), (drained, &rows[0], 2), (partly, &rows[1], 1), (partly, &rows[1], 4)]
    {
        assert!(earlier.opens(row, of, seq, wrapped(of, seq)), "with its own keys the copied folder opens");
    }

    spool.commit(&[remove(drained, [1, 2]), remove(partly, [1, 2])]).unwrap();
    spool.turn_epoch().unwrap();
    spool.turn_epoch().unwrap();
    let after = steal(dir.path());
    let later = Thief::with(after.path());

    assert!(later.backlog(drained).is_none(), "a drained backlog has no row");
    let row = later.backlog(partly).unwrap();
    assert_eq!(row.base, 3, "the chain stands at the oldest waiting box");
    for seq in [1, 2] {
        assert!(!later.opens(&rows[0], drained, seq, wrapped(drained, seq)), "the old row, the later keys");
        assert!(!later.opens(&rows[1], partly, seq, wrapped(partly, seq)), "the old row, the later keys");
        assert!(!later.opens(&row, partly, seq, wrapped(partly, seq)), "the later row does not lead back");
        // Nor does any key that follows from the later row, whatever seq it is taken for.
        let mut chains = Chains::default();
        for other in 3..40 {
            let key = chains.box_key(&partly, &row, &later.keys, other).unwrap();
            assert!(unwrap_box(&key, &partly, seq, wrapped(partly, seq)).is_err());
        }
    }
    for seq in [3, 4] {
        assert!(later.opens(&row, partly, seq, wrapped(partly, seq)), "what waits opens, even from the earlier copy");
    }
    assert_eq!(spool.load(partly, 0, 9).unwrap(), [(3, small(13)), (4, small(14))]);

    // The relay itself, given the earlier database and the later keys, opens nothing either.
    let mixed = mix(before.path(), after.path());
    assert!(matches!(RedbSpool::open(mixed.path()), Err(SpoolError::Damaged(_))));
}

#[test]
fn what_opens_deleted_boxes_leaves_memory_too() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let (drained, partly) = (end(1, End::A), end(2, End::B));
    spool.commit(&[append(drained, 1, small(1)), append(partly, 1, small(2)), append(partly, 2, small(3))]).unwrap();
    for of in [drained, partly] {
        spool.load(of, 0, 9).unwrap();
    }
    let chains = || [drained, partly].map(|of| lock(&spool.chains).holds(&of));
    assert_eq!(chains(), [true, true]);
    spool.commit(&[remove(drained, [1]), remove(partly, [1])]).unwrap();
    assert_eq!(chains(), [false, true], "a backlog that drained");
    let epoch = spool.read().keys.current().map(|(id, _)| id).unwrap();
    spool.turn_epoch().unwrap();
    assert_eq!(chains(), [false, false], "chains that stood before the oldest waiting box");
    assert!(spool.read().keys.get(&epoch).is_none(), "the key of the epoch before");
    assert_eq!(spool.load(partly, 0, 9).unwrap(), [(2, small(3))]);
}

#[test]
fn a_spool_shows_nothing_in_debug() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(format!("{:?}", RedbSpool::open(dir.path()).unwrap().0), "RedbSpool(..)");
}

#[test]
fn a_restart_turns_the_epoch_too() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    spool.commit(&[append(a, 1, small(1)), append(a, 2, small(2))]).unwrap();
    let before = steal(dir.path());
    let earlier = Thief::with(before.path());
    spool.commit(&[remove(a, [1])]).unwrap();
    drop(spool);
    drop(RedbSpool::open(dir.path()).unwrap());
    let after = steal(dir.path());
    let later = Thief::with(after.path());
    assert!(earlier.opens(&earlier.backlog(a).unwrap(), a, 1, earlier.wrapped(a, 1)));
    assert!(!later.opens(&earlier.backlog(a).unwrap(), a, 1, earlier.wrapped(a, 1)));
}

#[test]
fn the_row_of_a_backlog_that_never_drains_follows_it_between_two_turns() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    let base = || Thief::with(steal(dir.path()).path()).backlog(a).unwrap().base;
    spool.commit(&[append(a, 1, small(0))]).unwrap();
    for at in 1..=100 {
        // By whole batches, each of which has the next box come and the older ones go, in one transaction or in two.
        let next = append(a, at * 100 + 1, small(at));
        let older = remove(a, [(at - 1) * 100 + 1]);
        match at % 2 {
            0 => spool.commit(&[next, older]).unwrap(),
            _ => [next, older].iter().for_each(|change| spool.commit(std::slice::from_ref(change)).unwrap()),
        }
        assert_eq!(spool.load(a, 0, 9).unwrap(), [(at * 100 + 1, small(at))]);
    }
    assert_eq!(base(), 8_201, "the oldest waiting one when it went beyond 8,192");
    spool.commit(&[append(a, 10_002, small(200)), append(a, 10_003, small(201))]).unwrap();
    spool.commit(&[remove(a, [10_001])]).unwrap();
    assert_eq!(base(), 8_201, "not at each removal");
    assert_eq!(spool.load(a, 10_003, 9).unwrap(), [(10_003, small(201))]);
}

#[test]
fn a_box_that_came_and_went_within_a_batch_never_touches_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    for _ in 0..20 {
        spool.commit(&[]).unwrap();
    }
    let quiet = fs::metadata(dir.path().join("spool.redb")).unwrap().len();
    for round in 0..20 {
        let appends = (1..=20).map(|n| append(a, 20 * round + n, sealed(SizeClass::Large, n)));
        let mut batch: Vec<_> = appends.collect();
        batch.push(remove(a, 20 * round + 1..=20 * round + 20));
        spool.commit(&batch).unwrap();
    }
    assert_eq!(fs::metadata(dir.path().join("spool.redb")).unwrap().len(), quiet, "400 large boxes left no trace");
    let database = steal(dir.path());
    assert!(Thief::with(database.path()).backlog(a).is_none(), "not even a key was drawn");

    spool.commit(&[append(a, 500, small(1)), append(a, 501, small(2)), remove(a, [500])]).unwrap();
    assert_eq!(spool.load(a, 0, 9).unwrap(), [(501, small(2))]);
}

#[test]
fn a_seq_that_is_used_again_after_a_failure_is_wrapped_differently() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    spool.commit(&[append(a, 1, small(1)), append(a, 2, small(2))]).unwrap();
    let first = steal(dir.path());
    spool.commit(&[append(a, 2, small(3))]).unwrap();
    let second = steal(dir.path());
    let (first, second) = (Thief::with(first.path()).wrapped(a, 2), Thief::with(second.path()).wrapped(a, 2));
    let stream = |wrapped: &[u8], seed| -> Vec<u8> {
        wrapped[16..].iter().zip(small(seed).bytes()).map(|(wrapped, byte)| wrapped ^ byte).collect()
    };
    assert_ne!(stream(&first, 2)[..64], stream(&second, 3)[..64], "two boxes never share a key stream");
    assert_eq!(spool.load(a, 2, 1).unwrap(), [(2, small(3))]);
}
