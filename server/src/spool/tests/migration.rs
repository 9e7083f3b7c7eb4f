//! A folder that format 1 left, as a killed relay leaves it, becomes this format: all of it or nothing.

use std::path::Path;

use tacit_proto::{End, EnrolCodeHash, PermitHash, SizeClass};
use tempfile::TempDir;

use super::sim::{Faults, Op, SimDisk, Survivor, Unsynced};
use super::{Model, append, channel, channel_row, end, remove, sealed, small};
use crate::spool::opening::open_database;
use crate::spool::rows::{FORMAT, META, META_FORMAT};
use crate::spool::{Change, EnrolmentId, Hour, Migration, Phase, RedbSpool, Spool, SpoolError};

/// `spool.redb` and `epoch.keys`, written by the last version that wrote format 1. Runs of one byte are shortened.
const DATABASE: &[u8] = include_bytes!("format_1/spool.redb.runs");
const KEYS: &[u8] = include_bytes!("format_1/epoch.keys.runs");

/// Length and bytes, length and byte of the run that follows, and so on.
fn lengthen(mut runs: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = |runs: &mut &[u8]| {
        let (length, rest) = runs.split_first_chunk().unwrap();
        *runs = rest;
        u32::from_be_bytes(*length) as usize
    };
    while !runs.is_empty() {
        let literal = length(&mut runs);
        bytes.extend_from_slice(&runs[..literal]);
        runs = &runs[literal..];
        let run = length(&mut runs);
        bytes.resize(bytes.len() + run, runs[0]);
        runs = &runs[1..];
    }
    bytes
}

fn files() -> [Vec<u8>; 2] {
    [lengthen(DATABASE), lengthen(KEYS)]
}

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in ["spool.redb", "epoch.keys"].into_iter().zip(files()) {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// What that version was told, and so what must be found.
fn expected() -> Model {
    let (a, b, c) = (end(1, End::A), end(1, End::B), end(2, End::A));
    let permit = |n| PermitHash::from_bytes([n; 32]);
    let enrol = |code, permits: std::ops::RangeInclusive<u8>, forget| Change::Enrol {
        code: EnrolCodeHash::from_bytes([code; 32]),
        permits: permits.map(permit).collect(),
        forget: Hour(forget),
    };
    let mut model = Model::default();
    model.apply(&[
        enrol(0xa1, 1..=5, 5000),
        enrol(0xa2, 11..=12, 5001),
        enrol(0xa3, 21..=23, 5002),
        Change::SpendPermit(permit(2)),
        Change::PutChannel(channel(1), channel_row(1, Phase::Claimed)),
        append(b, 1, small(1)),
        Change::SpendPermit(permit(11)),
        Change::PutChannel(channel(2), channel_row(2, Phase::Unclaimed { join_by: Hour(77) })),
        Change::SpendPermit(permit(12)),
        Change::PutChannel(channel(3), channel_row(3, Phase::Closed { by: Some(End::B), forget: Hour(99) })),
        append(a, 1, small(2)),
        append(a, 2, small(3)),
        append(a, 3, sealed(SizeClass::Large, 4)),
        append(c, 5, small(5)),
        Change::ForgetEnrolment(EnrolCodeHash::from_bytes([0xa3; 32])),
        Change::SpendPermit(permit(22)),
        remove(a, [1]),
        remove(b, [1]),
        append(b, 4, small(6)),
    ]);
    // Format 1 did not tell whose they were, and the code that did is forgotten.
    for n in [21, 23] {
        model.permits.insert(permit(n), EnrolmentId::BEFORE_FORMAT_2);
    }
    model
}

fn open(dir: &Path) -> Model {
    let (spool, recovered) = RedbSpool::open(dir).unwrap();
    Model::found(&spool, &recovered)
}

#[test]
fn a_folder_of_format_1_opens_with_all_that_it_had() {
    let dir = folder();
    let found = open(dir.path());
    assert_eq!(found, expected());
    let of = |n: u8| found.permits[&PermitHash::from_bytes([n; 32])];
    assert_eq!(of(1), EnrolmentId::of(&EnrolCodeHash::from_bytes([0xa1; 32])));
    assert_eq!(of(21), EnrolmentId::BEFORE_FORMAT_2);
    assert_eq!(open(dir.path()), expected(), "and again");
}

#[test]
fn migrating_says_what_it_did_and_does_it_once() {
    let dir = folder();
    assert_eq!(RedbSpool::migrate(dir.path()).unwrap(), Migration { from: 1, to: FORMAT });
    let again = RedbSpool::migrate(dir.path()).unwrap();
    assert_eq!(again, Migration { from: FORMAT, to: FORMAT });
    assert!(!again.happened());
    assert_eq!(open(dir.path()), expected());
}

/// The format that a disk is in, without opening the spool on it.
fn format(disk: &SimDisk) -> u32 {
    use redb::{Builder, ReadableDatabase};

    use crate::spool::Storage;
    use crate::spool::overlay::Overlay;
    let db = Builder::new().create_with_backend(Overlay::new(disk.database_to_read().unwrap()).unwrap()).unwrap();
    let meta = db.begin_read().unwrap().open_table(META).unwrap();
    let format = meta.get(&META_FORMAT).unwrap().unwrap();
    u32::from_be_bytes(format.value().try_into().unwrap())
}

#[test]
fn a_power_cut_at_any_write_of_a_migration_leaves_one_format_whole() {
    let disk = SimDisk::with(files());
    drop(open_database(&disk).unwrap());
    let mut survivor = Survivor::of(files());
    let mut seen = [0; 3];
    for (done, op) in disk.log().iter().enumerate() {
        let mut under_way = survivor.clone();
        if !matches!(op, Op::Sync(_)) {
            under_way.push(op);
        }
        for unsynced in [Unsynced::Lost, Unsynced::TornLast, Unsynced::Dice(done as u64)] {
            let cut = under_way.cut(unsynced);
            seen[format(&cut) as usize] += 1;
            let (spool, recovered) = RedbSpool::open_on(cut).unwrap_or_else(|error| panic!("cut at {done}: {error}"));
            assert_eq!(Model::found(&spool, &recovered), expected(), "cut at change {done}, unsynced {unsynced:?}");
        }
        survivor.push(op);
    }
    assert_eq!(format(&survivor.cut(Unsynced::Lost)), 2, "at the end it is durable");
    assert!(seen[1] > 3 && seen[2] > 3, "cuts fell before and after the migration: {seen:?}");
}

#[test]
fn a_migration_that_fails_at_any_change_of_the_disk_is_made_up_for() {
    let quiet = SimDisk::with(files());
    drop(RedbSpool::open_on(quiet.clone()).unwrap());
    for from in 0..quiet.changes() {
        let disk = SimDisk::with(files());
        disk.set_faults(Faults { failing: from..from + 3, ..Faults::default() });
        let opened = (0..10).find_map(|_| match RedbSpool::open_on(disk.clone()) {
            Ok(opened) => Some(opened),
            Err(SpoolError::Write(_)) => None,
            Err(other) => panic!("change {from}: {other}"),
        });
        let (spool, recovered) = opened.unwrap();
        assert_eq!(Model::found(&spool, &recovered), expected(), "change {from}");
        let turned = (0..10).any(|_| spool.turn_epoch().is_ok());
        assert!(turned, "the outage ended");
        drop(spool);
        assert_eq!(format(&disk), 2, "change {from}");
    }
}

#[test]
fn a_relay_on_a_read_only_disk_delivers_what_format_1_left_and_migrates_when_it_can_write() {
    let disk = SimDisk::with(files());
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    let (spool, recovered) = RedbSpool::open_on(disk.clone()).unwrap();
    assert_eq!(Model::found(&spool, &recovered), expected());
    assert_eq!(format(&disk), 1);
    let change = Change::SpendPermit(PermitHash::from_bytes([1; 32]));
    assert!(matches!(spool.commit(std::slice::from_ref(&change)), Err(SpoolError::Write(_))));
    disk.set_faults(Faults::default());
    spool.commit(std::slice::from_ref(&change)).unwrap();
    drop(spool);
    assert_eq!(format(&disk), 2);
    let mut model = expected();
    model.apply(&[change]);
    let (spool, recovered) = RedbSpool::open_on(disk).unwrap();
    assert_eq!(Model::found(&spool, &recovered), model);
}
