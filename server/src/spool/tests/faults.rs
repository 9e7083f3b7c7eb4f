//! A disk that fails for a while: nothing is made that was said not to be, and all goes on without a restart.

use tacit_proto::{End, SizeClass};

use super::sim::{Faults, Op, SimDisk, Survivor, Unsynced};
use super::{Model, Step, append, end, remove, script, sealed, small};
use crate::spool::{Recovered, RedbSpool, Spool, SpoolError};

fn open_again_and_again(disk: &SimDisk) -> (RedbSpool, Recovered) {
    for _ in 0..100 {
        match RedbSpool::open_on(disk.clone()) {
            Ok(opened) => return opened,
            Err(SpoolError::Write(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    panic!("it never opened again");
}

/// Runs the script on a disk that fails from change `from` on for `outage` changes. What is refused is not repeated.
fn run(disk: &SimDisk, from: usize, outage: usize) -> (RedbSpool, Model, usize) {
    disk.set_faults(Faults { failing: from..from + outage, reads_too: outage.is_multiple_of(2), ..Faults::default() });
    let (mut spool, _) = open_again_and_again(disk);
    let mut model = Model::default();
    let mut refused = 0;
    for step in script() {
        match step {
            Step::Commit(batch) => match spool.commit(&batch) {
                Ok(()) => model.apply(&batch),
                Err(SpoolError::Write(_)) => refused += 1,
                Err(other) => panic!("change {from}: {other}"),
            },
            Step::Turn => match spool.turn_epoch() {
                Ok(()) => {}
                Err(SpoolError::Write(_)) => refused += 1,
                Err(other) => panic!("change {from}: {other}"),
            },
            Step::Reopen => {
                settle(&spool);
                drop(spool);
                spool = open_again_and_again(disk).0;
            }
        }
    }
    settle(&spool);
    (spool, model, refused)
}

/// Waits until the disk is well. A process that ends before it could take a refused batch back may find it there again.
fn settle(spool: &RedbSpool) {
    let turned = (0..100).any(|_| spool.turn_epoch().is_ok());
    assert!(turned, "the outage never ended");
}

#[test]
fn a_refused_batch_leaves_nothing_behind_whichever_change_of_the_disk_failed() {
    let quiet = SimDisk::default();
    run(&quiet, usize::MAX / 2, 1);
    let (mut outages, mut refusals) = (0, 0);
    for from in 0..quiet.changes() {
        // One change, a few, and all until three further batches were refused.
        let outage = [1, 2, 40][from % 3];
        let disk = SimDisk::default();
        let (spool, model, refused) = run(&disk, from, outage);
        (outages, refusals) = (outages + 1, refusals + refused);
        for (of, seq) in model.boxes.keys() {
            let (_, expected) = &model.boxes[&(*of, *seq)];
            let loaded = spool.load(*of, *seq, 1).unwrap_or_else(|error| panic!("change {from}: {error}"));
            assert_eq!(loaded, [(*seq, expected.clone())], "change {from}");
        }
        drop(spool);
        let (again, recovered) = open_again_and_again(&disk);
        assert_eq!(Model::found(&again, &recovered), model, "change {from}: what was refused is there, or the reverse");

        // And if the power goes now, no sync that failed was taken for one that did not.
        let mut survivor = Survivor::default();
        disk.log().iter().for_each(|op| survivor.push(op));
        let (after, recovered) = RedbSpool::open_on(survivor.cut(Unsynced::Lost)).unwrap();
        assert_eq!(Model::found(&after, &recovered), model, "change {from}, then a power cut");
    }
    assert!(refusals > outages / 4, "the faults were felt: {refusals} refusals in {outages} outages");
}

#[test]
fn a_full_disk_refuses_batches_and_goes_on_delivering_and_recovers_by_itself() {
    let disk = SimDisk::default();
    let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
    let a = end(1, End::A);
    spool.commit(&[append(a, 97, small(97)), append(a, 98, small(98))]).unwrap();
    disk.set_faults(Faults { full: true, ..Faults::default() });
    let many = |seq| (0..64u64).map(|n| append(a, seq + n, sealed(SizeClass::Large, seq + n))).collect::<Vec<_>>();
    for _ in 0..3 {
        let refused = spool.commit(&many(99)).unwrap_err();
        assert!(matches!(refused, SpoolError::Write(_)), "{refused}");
        assert_eq!(spool.load(a, 0, 9).unwrap(), [(97, small(97)), (98, small(98))]);
    }
    disk.set_faults(Faults::default());
    spool.commit(&[remove(a, [97])]).unwrap();
    spool.commit(&many(200)).unwrap();
    assert_eq!(spool.load(a, 0, 99).unwrap().len(), 65);
}

#[test]
fn a_batch_that_never_landed_costs_nothing_to_take_back() {
    let disk = SimDisk::default();
    let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
    let a = end(1, End::A);
    let boxes: Vec<_> = (1..=40).map(|seq| (seq, sealed(SizeClass::Large, seq))).collect();
    spool.commit(&boxes.iter().map(|(seq, sealed)| append(a, *seq, sealed.clone())).collect::<Vec<_>>()).unwrap();
    let done = disk.log().len();
    disk.set_faults(Faults { failing: disk.changes()..disk.changes() + 1, ..Faults::default() });
    assert!(matches!(spool.commit(&[remove(a, 1..=40)]), Err(SpoolError::Write(_))));
    assert_eq!(spool.load(a, 0, 99).unwrap(), boxes);
    spool.commit(&[append(a, 41, small(41))]).unwrap();
    // A full disk has no room to put back what is there.
    let log = disk.log();
    let written = log[done..].iter().map(|op| if let Op::Write(_, _, data) = op { data.len() } else { 0 });
    assert!(written.sum::<usize>() < 20 * SizeClass::Large.box_len());
}

#[test]
fn what_was_refused_is_not_seen_while_the_disk_cannot_be_written_wherever_it_stopped() {
    let a = end(1, End::A);
    let opened = || {
        let disk = SimDisk::default();
        let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
        spool.commit(&[append(a, 1, small(1)), append(a, 2, small(2))]).unwrap();
        let changes = disk.changes();
        (disk, spool, changes)
    };
    let batch = [append(a, 3, small(3)), remove(a, [1])];
    let (disk, spool, before) = opened();
    spool.commit(&batch).unwrap();
    // The last of them are those that the batch landed by, though the disk did not say so.
    for change in 0..disk.changes() - before {
        let (disk, spool, before) = opened();
        disk.set_faults(Faults { failing: before + change..usize::MAX, ..Faults::default() });
        assert!(matches!(spool.commit(&batch), Err(SpoolError::Write(_))), "change {change}");
        assert_eq!(spool.load(a, 0, 9).unwrap(), [(1, small(1)), (2, small(2))], "change {change}");
        disk.set_faults(Faults::default());
        spool.commit(&[append(a, 4, small(4))]).unwrap();
        assert_eq!(spool.load(a, 2, 9).unwrap(), [(2, small(2)), (4, small(4))], "change {change}");
    }
}

#[test]
fn a_read_that_failed_once_is_answered_all_the_same() {
    let disk = SimDisk::default();
    let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
    let a = end(1, End::A);
    let boxes: Vec<_> = (1..=120).map(|seq| (seq, sealed(SizeClass::Large, seq))).collect();
    spool.commit(&boxes.iter().map(|(seq, sealed)| append(a, *seq, sealed.clone())).collect::<Vec<_>>()).unwrap();
    let before = disk.changes();
    disk.set_faults(Faults { failing: before..before + 1, reads_too: true, ..Faults::default() });
    assert_eq!(spool.load(a, 0, 199).unwrap(), boxes);
    assert!(disk.changes() > before, "it did fail");
    spool.commit(&[remove(a, 1..=120)]).unwrap();
}

#[test]
fn a_disk_that_turned_read_only_refuses_batches_and_goes_on_delivering() {
    let disk = SimDisk::default();
    let (spool, _) = RedbSpool::open_on(disk.clone()).unwrap();
    let a = end(1, End::A);
    spool.commit(&[append(a, 1, small(1)), append(a, 2, small(2))]).unwrap();
    disk.set_faults(Faults { read_only: true, ..Faults::default() });
    for _ in 0..2 {
        let refused = spool.commit(&[append(a, 3, small(3)), remove(a, [1])]).unwrap_err();
        assert!(matches!(refused, SpoolError::Write(_)), "{refused}");
        assert!(matches!(spool.turn_epoch(), Err(SpoolError::Write(_))));
        assert_eq!(spool.load(a, 0, 9).unwrap(), [(1, small(1)), (2, small(2))]);
    }
    // Even a relay that starts only now delivers, and writes as soon as it can.
    drop(spool);
    let (spool, recovered) = RedbSpool::open_on(disk.clone()).unwrap();
    assert_eq!(recovered.waiting.len(), 2);
    assert_eq!(spool.load(a, 2, 9).unwrap(), [(2, small(2))]);
    assert!(matches!(spool.commit(&[remove(a, [1])]), Err(SpoolError::Write(_))));
    disk.set_faults(Faults::default());
    spool.commit(&[append(a, 3, small(3)), remove(a, [1])]).unwrap();
    assert_eq!(spool.load(a, 0, 9).unwrap(), [(2, small(2)), (3, small(3))]);
}
