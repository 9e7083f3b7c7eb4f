//! What goes in comes out.

use std::sync::atomic::{AtomicBool, Ordering};

use tacit_proto::{End, EndOf, EnrolCodeHash, PermitHash, SizeClass};

use super::{Model, append, channel, channel_row, end, key, remove, sealed, small};
use crate::spool::rows::MAX_SEQ;
use crate::spool::{BoxKey, Change, Hour, Phase, RedbSpool, Spool, SpoolError, Waiting};
use crate::testing::SetOnDrop;

#[test]
fn boxes_come_back_in_order_and_only_those_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let (a, b) = (end(1, End::A), end(1, End::B));
    spool.commit(&(1..=9).map(|seq| append(a, seq, small(seq))).collect::<Vec<_>>()).unwrap();
    spool.commit(&[append(b, 1, sealed(SizeClass::Large, 100))]).unwrap();

    let seqs = |from, most| spool.load(a, from, most).unwrap().iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
    assert_eq!(seqs(0, 100), (1..=9).collect::<Vec<_>>());
    assert_eq!(seqs(4, 2), [4, 5]);
    assert_eq!(seqs(2, 1), [2], "loading again from an earlier place works too");
    assert!(seqs(10, 5).is_empty() && seqs(u64::MAX, 5).is_empty() && seqs(1, 0).is_empty());
    assert_eq!(spool.load(a, 7, 1).unwrap(), [(7, small(7))]);
    assert_eq!(spool.load(b, 0, 5).unwrap(), [(1, sealed(SizeClass::Large, 100))]);
    assert!(spool.load(end(2, End::A), 0, 5).unwrap().is_empty(), "an end without a backlog has no boxes");
}

#[test]
fn the_highest_seq_is_kept_and_one_beyond_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let (a, b) = (end(1, End::A), end(1, End::B));
    spool.commit(&[append(a, MAX_SEQ, small(1)), append(b, MAX_SEQ, small(2))]).unwrap();
    let refused = spool.commit(&[append(a, MAX_SEQ + 1, small(3))]).unwrap_err();
    assert!(matches!(&refused, SpoolError::Damaged(what) if what.contains("seq")), "{refused}");
    // Were the top bit of a seq taken for one of the key, this would be end B's box.
    spool.commit(&[remove(a, [MAX_SEQ + 1, u64::MAX])]).unwrap();
    assert_eq!(spool.load(a, MAX_SEQ, 9).unwrap(), [(MAX_SEQ, small(1))]);
    assert_eq!(spool.load(b, MAX_SEQ, 9).unwrap(), [(MAX_SEQ, small(2))]);
}

#[test]
fn removed_and_expired_boxes_are_gone_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    spool.commit(&(1..=4).map(|seq| append(a, seq, small(seq))).collect::<Vec<_>>()).unwrap();
    spool.commit(&[remove(a, [1, 2])]).unwrap();
    assert_eq!(spool.load(a, 0, 9).unwrap(), [(3, small(3)), (4, small(4))]);
    spool.commit(&[remove(a, [1, 2])]).unwrap();
    assert_eq!(spool.load(a, 0, 9).unwrap().len(), 2, "removing what is gone removes nothing else");
    spool.commit(&[remove(a, [3, 4])]).unwrap();
    assert!(spool.load(a, 0, 9).unwrap().is_empty());
    spool.commit(&[append(a, 5, small(5))]).unwrap();
    assert_eq!(spool.load(a, 0, 9).unwrap(), [(5, small(5))], "a backlog begins again after it drained");
}

#[test]
fn all_that_a_relay_needs_is_found_again_at_start_up() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, first) = RedbSpool::open(dir.path()).unwrap();
    let permits: Vec<_> = (0..5).map(|n| PermitHash::from_bytes([n; 32])).collect();
    let phases = [
        Phase::Unclaimed { join_by: Hour(7) },
        Phase::Claimed,
        Phase::Closed { by: None, forget: Hour(u32::MAX) },
        Phase::Closed { by: Some(End::A), forget: Hour(0) },
        Phase::Closed { by: Some(End::B), forget: Hour(3) },
    ];
    let mut batch = vec![
        Change::Enrol { code: EnrolCodeHash::from_bytes([1; 32]), permits: permits.clone(), forget: Hour(9) },
        Change::Enrol { code: EnrolCodeHash::from_bytes([2; 32]), permits: Vec::new(), forget: Hour(8) },
        Change::SpendPermit(permits[2]),
        append(end(1, End::B), 4, sealed(SizeClass::Large, 1)),
        append(end(1, End::A), 12, small(2)),
        append(end(1, End::A), 13, small(3)),
    ];
    batch.extend((1..).zip(phases).map(|(n, phase)| Change::PutChannel(channel(n), channel_row(n, phase))));
    spool.commit(&batch).unwrap();
    drop(spool);

    let (spool, again) = RedbSpool::open(dir.path()).unwrap();
    let mut model = Model::default();
    model.apply(&batch);
    assert_eq!(Model::found(&spool, &again), model);
    assert_eq!(again.incarnation, first.incarnation);
    let waiting = |of, seq, class| Waiting { of, key: key(seq), class };
    assert_eq!(
        again.waiting,
        [
            waiting(end(1, End::A), 12, SizeClass::Small),
            waiting(end(1, End::A), 13, SizeClass::Small),
            waiting(end(1, End::B), 4, SizeClass::Large),
        ]
    );
}

#[test]
fn what_is_due_is_found_by_the_hour_in_bounded_steps() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let (a, b) = (end(1, End::A), end(2, End::B));
    let at = |to, seq, hour| Change::Append { to, key: BoxKey { seq, expires: Hour(hour) }, sealed: small(seq) };
    spool.commit(&[at(a, 1, 7), at(a, 2, 7), at(b, 1, 6), at(b, 2, 9)]).unwrap();
    spool.commit(&[at(a, 3, 8)]).unwrap();
    let found = |hour, most| -> Vec<EndOf> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let due = spool.due(Hour(hour), after, most).unwrap();
            assert!(due.len() <= most);
            let Some(last) = due.last() else { return found };
            after = Some(last.at);
            found.extend(due.iter().map(|due| due.of));
        }
    };
    assert_eq!(found(5, 2), []);
    assert_eq!(found(6, 2), [b]);
    for most in [1, 2, 3, 100] {
        assert_eq!(found(7, most), [b, a, a]);
        assert_eq!(found(u32::MAX, most), [b, a, a, a, b], "the earliest hour first");
    }
    let gone = Change::Remove { of: a, keys: vec![BoxKey { seq: 1, expires: Hour(7) }] };
    spool.commit(&[gone]).unwrap();
    assert_eq!(found(8, 100), [b, a, a], "what left is not due any more");
}

#[test]
fn two_spools_have_two_incarnations() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, one) = RedbSpool::open(one.path()).unwrap();
    let (_, other) = RedbSpool::open(other.path()).unwrap();
    assert_ne!(one.incarnation, other.incarnation);
}

#[test]
fn loading_goes_on_across_turns_of_the_epoch_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    for round in 0..6 {
        spool.commit(&[append(a, 2 * round + 1, small(round)), append(a, 2 * round + 2, small(100 + round))]).unwrap();
        spool.turn_epoch().unwrap();
        if round % 2 == 0 {
            drop(spool);
            spool = RedbSpool::open(dir.path()).unwrap().0;
        }
        spool.commit(&[remove(a, [round + 1])]).unwrap();
        let left: Vec<_> = spool.load(a, 0, 99).unwrap().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(left, (round + 2..=2 * round + 2).collect::<Vec<_>>());
    }
}

#[test]
fn loading_beside_commits_and_turns_never_sees_half_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    let a = end(1, End::A);
    spool.commit(&[append(a, 1, small(1)), append(a, 2, small(2))]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = || {
            let mut loads = 0;
            while !done.load(Ordering::Relaxed) || loads == 0 {
                let boxes = spool.load(a, 0, 9).unwrap();
                // Each commit removes the oldest box and appends one: there are always two, one after the other.
                let [(first, one), (second, two)] = &boxes[..] else { panic!("{} boxes", boxes.len()) };
                assert_eq!((*second, one, two), (first + 1, &small(*first), &small(*second)));
                loads += 1;
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        let finished = SetOnDrop(&done);
        for seq in 3..120 {
            spool.commit(&[remove(a, [seq - 2]), append(a, seq, small(seq))]).unwrap();
            // Some backlogs drain and begin again under a new key while they are being loaded.
            if seq % 3 == 0 {
                spool
                    .commit(&[
                        remove(a, [seq - 1, seq]),
                        append(a, seq - 1, small(seq - 1)),
                        append(a, seq, small(seq)),
                    ])
                    .unwrap();
            }
            if seq % 5 == 0 {
                spool.turn_epoch().unwrap();
            }
        }
        drop(finished);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}
