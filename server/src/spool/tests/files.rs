//! Real files: who may read them, who may open them, what they cost, and what becomes of damaged ones.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use redb::Database;
use tacit_proto::{End, SizeClass};

use super::sim::{Faults, SimDisk};
use super::{Model, append, channel, channel_row, end, remove, sealed, small};
use crate::spool::epoch::SLOT_LEN;
use crate::spool::rows::{BACKLOGS, BOXES, CHANNELS, DUE, Def, ENROLMENTS, META, PERMITS, end_key};
use crate::spool::{Change, Phase, RedbSpool, Spool, SpoolError};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_folder_is_its_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made").join("here");
    let (_spool, recovered) = RedbSpool::open(&dir).unwrap();
    assert!(recovered.channels.is_empty() && recovered.waiting.is_empty());
    assert_eq!((mode(&dir), mode(&dir.join("spool.redb")), mode(&dir.join("epoch.keys"))), (0o700, 0o600, 0o600));
}

#[test]
fn what_root_makes_in_the_relays_folder_is_the_relays() {
    use std::os::unix::fs::{MetadataExt, chown};
    let dir = tempfile::tempdir().unwrap();
    if chown(dir.path(), Some(12_345), Some(12_346)).is_err() {
        println!("only root can show this");
        return;
    }
    drop(RedbSpool::open(dir.path()).unwrap());
    for file in ["spool.redb", "epoch.keys"] {
        let file = fs::metadata(dir.path().join(file)).unwrap();
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (12_345, 12_346, 0o600));
    }
}

#[test]
fn a_folder_is_opened_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    assert!(matches!(RedbSpool::open(dir.path()), Err(SpoolError::InUse)));
    spool.commit(&[append(end(1, End::A), 1, small(1))]).unwrap();
    drop(spool);
    assert_eq!(RedbSpool::open(dir.path()).unwrap().1.waiting.len(), 1);
}

#[test]
fn a_database_that_something_else_holds_open_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    drop(RedbSpool::open(dir.path()).unwrap());
    let _other = Database::open(dir.path().join("spool.redb")).unwrap();
    assert!(matches!(RedbSpool::open(dir.path()), Err(SpoolError::InUse)));
}

#[test]
fn a_folder_that_cannot_be_made_is_a_clear_error() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, b"in the way").unwrap();
    assert!(matches!(RedbSpool::open(&file.join("data")), Err(SpoolError::Write(_))));
}

/// Changes rows behind the spool's back.
fn tamper<const K: usize>(dir: &Path, def: Def<K>, change: impl Fn(&mut Vec<u8>)) {
    tamper_where(dir, def, |_| true, change);
}

/// Changes some rows behind the spool's back.
fn tamper_where<const K: usize>(
    dir: &Path,
    def: Def<K>,
    which: impl Fn(&[u8; K]) -> bool,
    change: impl Fn(&mut Vec<u8>),
) {
    use redb::ReadableTable;
    let db = Database::open(dir.join("spool.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut table = txn.open_table(def).unwrap();
        let rows: Vec<([u8; K], Vec<u8>)> =
            table.iter().unwrap().map(|row| row.unwrap()).map(|(k, v)| (*k.value(), v.value().to_vec())).collect();
        assert!(!rows.is_empty());
        for (key, mut value) in rows.into_iter().filter(|(key, _)| which(key)) {
            change(&mut value);
            table.insert(&key, value.as_slice()).unwrap();
        }
    }
    txn.commit().unwrap();
}

/// The values of a table.
fn values<const K: usize>(dir: &Path, def: Def<K>) -> Vec<Vec<u8>> {
    use redb::{ReadableDatabase, ReadableTable};
    let db = Database::open(dir.join("spool.redb")).unwrap();
    let table = db.begin_read().unwrap().open_table(def).unwrap();
    table.iter().unwrap().map(|row| row.unwrap().1.value().to_vec()).collect()
}

fn used() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let enrol = Change::Enrol {
        code: tacit_proto::EnrolCodeHash::from_bytes([1; 32]),
        permits: vec![tacit_proto::PermitHash::from_bytes([2; 32])],
        forget: crate::spool::Hour(3),
    };
    let mut batch = vec![Change::PutChannel(channel(1), channel_row(1, Phase::Claimed)), enrol];
    batch.extend((1..=8).map(|seq| append(end(1, End::A), seq, small(seq))));
    batch.push(append(end(1, End::B), 1, sealed(SizeClass::Large, 100)));
    spool.commit(&batch).unwrap();
    dir
}

fn set_format(dir: &Path, format: u32) {
    tamper(dir, META, |value| {
        if value.len() == 4 {
            value.copy_from_slice(&format.to_be_bytes());
        }
    });
}

#[test]
fn a_format_before_the_first_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(RedbSpool::open(dir.path()).unwrap());
    set_format(dir.path(), 0);
    assert!(matches!(RedbSpool::migrate(dir.path()), Err(SpoolError::Damaged(_))));
    assert!(matches!(RedbSpool::open(dir.path()), Err(SpoolError::Damaged(_))));
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let dir = used();
    set_format(dir.path(), 3);
    let before = fs::read(dir.path().join("epoch.keys")).unwrap();
    assert!(matches!(RedbSpool::open(dir.path()), Err(SpoolError::NewerFormat)));
    assert!(matches!(RedbSpool::migrate(dir.path()), Err(SpoolError::NewerFormat)));
    assert!(matches!(RedbSpool::compact(dir.path()), Err(SpoolError::NewerFormat)));
    assert_eq!(fs::read(dir.path().join("epoch.keys")).unwrap(), before);
    let told = values(dir.path(), META);
    assert!(told.contains(&3u32.to_be_bytes().to_vec()), "nor was the database given another format");
}

#[test]
fn damaged_rows_are_errors_and_not_panics() {
    let flips: [fn(&mut Vec<u8>); 4] =
        [|value| value[0] ^= 0x80, |value| *value.last_mut().unwrap() ^= 1, |value| value.push(0), Vec::clear];
    for flip in flips {
        for table in ["meta", "channels", "permits", "enrolments", "backlogs", "boxes", "due"] {
            let dir = used();
            match table {
                "meta" => tamper(dir.path(), META, flip),
                "channels" => tamper(dir.path(), CHANNELS, flip),
                "permits" => tamper(dir.path(), PERMITS, flip),
                "enrolments" => tamper(dir.path(), ENROLMENTS, flip),
                "backlogs" => tamper(dir.path(), BACKLOGS, flip),
                "boxes" => tamper(dir.path(), BOXES, flip),
                _ => tamper(dir.path(), DUE, flip),
            }
            match RedbSpool::open(dir.path()) {
                Err(SpoolError::Damaged(_) | SpoolError::NewerFormat) => assert_ne!(table, "boxes"),
                Err(other) => panic!("{table}: {other}"),
                Ok((spool, recovered)) => match table {
                    "boxes" => {
                        for of in [end(1, End::A), end(1, End::B)] {
                            assert!(matches!(spool.load(of, 0, 9), Err(SpoolError::Damaged(_))), "{table}");
                        }
                    }
                    // A bit of a name, a hash, an hour or a key: nothing can tell.
                    "permits" | "enrolments" | "channels" => assert_eq!(recovered.waiting.len(), 9),
                    // Of the right form, and yet no key: see the test below.
                    "backlogs" => assert!(matches!(spool.load(end(1, End::A), 0, 9), Err(SpoolError::Damaged(_)))),
                    other => panic!("damage in {other} was not seen"),
                },
            }
        }
    }
}

/// Spoils the row of one backlog of two.
fn spoil_a(dir: &Path) {
    let of_a = end_key(&end(1, End::A));
    tamper_where(dir, BACKLOGS, |key| *key == of_a, |value| value[40] ^= 1);
}

/// What was behind the row of end A is lost, and nothing else is.
fn goes_on_without_what_a_had(spool: &RedbSpool) {
    let (a, b) = (end(1, End::A), end(1, End::B));
    assert!(matches!(spool.load(a, 3, 1), Err(SpoolError::Damaged(_))));
    // Met twice, since it may have been read wrongly. What was refused can be made then.
    let batch = [append(a, 9, small(9)), append(b, 2, small(10)), remove(a, 1..=3)];
    if let Err(refused) = spool.commit(&batch) {
        assert!(matches!(refused, SpoolError::Write(_)), "{refused}");
        spool.commit(&batch).unwrap();
    }
    spool.turn_epoch().unwrap();
    assert!(matches!(spool.load(a, 8, 1), Err(SpoolError::Damaged(_))));
    assert_eq!(spool.load(a, 9, 1).unwrap(), [(9, small(9))]);
    assert_eq!(spool.load(b, 1, 9).unwrap(), [(1, sealed(SizeClass::Large, 100)), (2, small(10))]);
}

#[test]
fn a_damaged_row_of_a_backlog_costs_what_waits_there_and_stops_nothing_else() {
    let dir = used();
    spoil_a(dir.path());
    let (spool, recovered) = RedbSpool::open(dir.path()).unwrap();
    assert_eq!(recovered.waiting.len(), 9);
    goes_on_without_what_a_had(&spool);
}

#[test]
fn a_box_is_never_accepted_under_a_key_that_nothing_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    spool.commit(&[append(a, 4_095, small(1)), append(a, 4_096, small(2))]).unwrap();
    drop(spool);
    spoil_a(dir.path());
    let disk = SimDisk::with(["spool.redb", "epoch.keys"].map(|name| fs::read(dir.path().join(name)).unwrap()));
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
    disk.set_faults(Faults::default());
    // The box comes in the very transaction by which the row is to follow.
    let batch = [append(a, 4_097, small(3)), remove(a, [4_095])];
    assert!(matches!(spool.commit(&batch), Err(SpoolError::Write(_))));
    spool.commit(&batch).unwrap();
    assert_eq!(spool.load(a, 4_097, 1).unwrap(), [(4_097, small(3))]);
}

#[test]
fn nor_does_one_that_is_met_by_a_transaction() {
    let dir = used();
    spoil_a(dir.path());
    let disk = SimDisk::with(["spool.redb", "epoch.keys"].map(|name| fs::read(dir.path().join(name)).unwrap()));
    // The epoch cannot turn, or it would have met the row first.
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
    disk.set_faults(Faults::default());
    goes_on_without_what_a_had(&spool);
}

#[test]
fn a_file_damaged_anywhere_is_an_error_or_still_right_and_never_a_panic() {
    let dir = used();
    let (whole, keys) = (fs::read(dir.path().join("spool.redb")).unwrap(), dir.path().join("epoch.keys"));
    let expected = {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("spool.redb"), &whole).unwrap();
        fs::copy(&keys, copy.path().join("epoch.keys")).unwrap();
        let (spool, recovered) = RedbSpool::open(copy.path()).unwrap();
        Model::found(&spool, &recovered)
    };
    let mut seen = 0;
    // Each page: its first bytes smashed, or its middle, or all of it.
    for page in 0..whole.len() / 4096 {
        for damage in [0..32, 2000..2064, 0..4096] {
            let copy = tempfile::tempdir().unwrap();
            let mut bytes = whole.clone();
            bytes[page * 4096..][damage].iter_mut().for_each(|byte| *byte ^= 0xa5);
            fs::write(copy.path().join("spool.redb"), bytes).unwrap();
            fs::copy(&keys, copy.path().join("epoch.keys")).unwrap();
            match RedbSpool::open(copy.path()) {
                Err(_) => seen += 1,
                Ok((spool, recovered)) => {
                    let loads = [end(1, End::A), end(1, End::B)].map(|of| spool.load(of, 0, 99));
                    match loads {
                        [Ok(a), Ok(b)] if recovered.waiting.len() == 9 => {
                            assert_eq!((a, b), (expected.at(end(1, End::A)), expected.at(end(1, End::B))));
                        }
                        _ => seen += 1,
                    }
                }
            }
        }
    }
    assert!(seen > 10, "most of the file matters: {seen}");
}

#[test]
fn a_file_cut_short_or_of_another_kind_is_damaged_and_not_replaced() {
    let dir = used();
    let path = dir.path().join("spool.redb");
    let whole = fs::read(&path).unwrap();
    let mut spoilt: Vec<_> = [1, 300, 4096, 20_000, whole.len() - 4096].map(|len| whole[..len].to_vec()).into();
    spoilt.push([&[b'x'; 64], &whole[64..]].concat());
    for bytes in spoilt {
        fs::write(&path, &bytes).unwrap();
        let refused = RedbSpool::open(dir.path()).unwrap_err();
        assert!(matches!(refused, SpoolError::Damaged(_)), "{} bytes: {refused}", bytes.len());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_database_that_was_cut_while_it_was_made_is_made_anew_and_a_longer_one_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.redb");
    let long = vec![0; (128 << 10) + 1];
    fs::write(&path, &long).unwrap();
    assert!(matches!(RedbSpool::open(dir.path()), Err(SpoolError::Damaged(_))));
    assert_eq!(fs::read(&path).unwrap(), long);
    fs::write(&path, &long[1..]).unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    spool.commit(&[append(end(1, End::A), 1, small(1))]).unwrap();
}

#[test]
fn waiting_boxes_without_their_epoch_key_are_damage_and_nothing_is_overwritten() {
    let dir = used();
    let path = dir.path().join("epoch.keys");
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    for slot in 0..4 {
        let mut byte = [0];
        file.read_exact_at(&mut byte, slot * SLOT_LEN as u64 + 20).unwrap();
        file.write_all_at(&[byte[0] ^ 1], slot * SLOT_LEN as u64 + 20).unwrap();
    }
    let before = fs::read(&path).unwrap();
    assert!(matches!(RedbSpool::open(dir.path()), Err(SpoolError::Damaged(_))));
    assert_eq!(fs::read(&path).unwrap(), before, "a key that is repaired by hand still opens");
}

/// What one more box costs in the file, in the long run.
fn cost(class: SizeClass, ends: u8) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let used = |spool: RedbSpool| {
        drop(spool);
        let db = Database::open(dir.path().join("spool.redb")).unwrap();
        let txn = db.begin_write().unwrap();
        let pages = txn.stats().unwrap().allocated_pages() * 4096;
        txn.abort().unwrap();
        pages as f64
    };
    let boxes: u64 = 1200;
    for batch in 0..boxes / 60 {
        let changes: Vec<_> = (0..60)
            .map(|n| batch * 60 + n)
            .map(|n| append(end((n % u64::from(ends)) as u8, End::A), n, sealed(class, n)))
            .collect();
        spool.commit(&changes).unwrap();
    }
    used(spool) / boxes as f64
}

#[test]
fn a_small_box_costs_half_a_page_and_a_large_one_sixteen_kibibytes() {
    let (small, spread) = (cost(SizeClass::Small, 1), cost(SizeClass::Small, 200));
    let (large, large_spread) = (cost(SizeClass::Large, 1), cost(SizeClass::Large, 200));
    println!("small {small:.0} (200 ends: {spread:.0}), large {large:.0} (200 ends: {large_spread:.0}) bytes a box");
    assert!(small < 2048.0 * 1.15, "{small}");
    assert!(spread < 2048.0 * 1.6, "{spread}");
    assert!(large < 16_384.0 * 1.03 && large_spread < 16_384.0 * 1.03, "{large} {large_spread}");
}

#[test]
fn a_file_that_is_mostly_dead_is_compacted_at_start_up_and_one_that_is_not_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let len = || fs::metadata(dir.path().join("spool.redb")).unwrap().len();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    // A box that stays at either side of many that go keeps redb from simply cutting the file.
    for n in 0..20 {
        spool
            .commit(&(1..=20).map(|m| append(a, 20 * n + m, sealed(SizeClass::Large, m))).collect::<Vec<_>>())
            .unwrap();
    }
    drop(spool);
    let alive = len();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    assert!(len() > alive / 2, "a file full of boxes is not compacted away");
    spool.commit(&[remove(a, 1..=395)]).unwrap();
    drop(spool);
    let dead = len();
    let (spool, recovered) = RedbSpool::open(dir.path()).unwrap();
    println!("{alive} bytes full, {dead} after deletion, {} after the start", len());
    assert_eq!(recovered.waiting.len(), 5);
    assert!(len() < 1 << 20, "{}", len());
    assert_eq!(spool.load(a, 0, 99).unwrap().len(), 5);
}
