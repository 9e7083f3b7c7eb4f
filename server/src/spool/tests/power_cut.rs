//! Nothing that was committed is lost, wherever the power is cut.

use super::sim::{Op, SimDisk, Survivor, Unsynced};
use super::{Model, Step, script};
use crate::spool::{Recovered, RedbSpool, Spool};

/// A script that was run, what should be there after each of its steps, and how much the disk had done by then.
struct Run {
    log: Vec<Op>,
    states: Vec<(usize, Model)>,
    incarnation: tacit_proto::Incarnation,
    opened: usize,
}

fn run(disk: &SimDisk, steps: &[Step]) -> Run {
    let (mut spool, Recovered { incarnation, .. }) = RedbSpool::open_on(disk.clone()).unwrap();
    let opened = disk.log().len();
    let mut model = Model::default();
    let mut states = vec![(opened, model.clone())];
    for step in steps {
        match step {
            Step::Commit(batch) => {
                spool.commit(batch).unwrap();
                model.apply(batch);
            }
            Step::Turn => spool.turn_epoch().unwrap(),
            Step::Reopen => {
                drop(spool);
                spool = RedbSpool::open_on(disk.clone()).unwrap().0;
            }
        }
        states.push((disk.log().len(), model.clone()));
    }
    Run { log: disk.log(), states, incarnation, opened }
}

impl Run {
    /// What may be found after a cut when `done` changes had been made: what was acknowledged by then, or what was under
    /// way.
    fn allowed(&self, done: usize) -> impl Iterator<Item = &Model> {
        let acknowledged = self.states.iter().rposition(|(at, _)| *at <= done).unwrap_or(0);
        self.states[acknowledged..].iter().take(2).map(|(_, model)| model)
    }

    fn check(&self, disk: &SimDisk, done: usize, what: &str) {
        let (spool, recovered) = RedbSpool::open_on(disk.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = Model::found(&spool, &recovered);
        assert!(self.allowed(done).any(|model| *model == found), "{what}: neither the state before nor after");
        if done >= self.opened {
            assert_eq!(recovered.incarnation, self.incarnation, "{what}");
        }
    }
}

#[test]
fn nothing_committed_is_lost_when_the_power_is_cut_at_any_write() {
    let run = run(&SimDisk::default(), &script());
    let mut survivor = Survivor::default();
    for (done, op) in run.log.iter().enumerate() {
        // This change is under way when the power goes: it is not counted as done, but may have left its traces.
        let mut under_way = survivor.clone();
        if !matches!(op, Op::Sync(_)) {
            under_way.push(op);
        }
        for unsynced in [Unsynced::Lost, Unsynced::TornLast, Unsynced::Dice(done as u64)] {
            run.check(&under_way.cut(unsynced), done, &format!("cut at change {done}, unsynced {unsynced:?}"));
        }
        survivor.push(op);
    }
    run.check(&survivor.cut(Unsynced::Lost), run.log.len(), "cut at the end");
    assert_eq!(run.allowed(run.log.len()).count(), 1, "at the end only one state is right");
}

#[test]
fn nothing_committed_is_lost_when_the_power_is_cut_while_it_recovers_from_a_cut() {
    let first = run(&SimDisk::default(), &script());
    let mut survivor = Survivor::default();
    for (done, op) in first.log.iter().enumerate() {
        survivor.push(op);
        if done % 7 != 3 {
            continue;
        }
        // Start up after the first cut, and cut that at each of its own changes.
        let after = survivor.cut(Unsynced::Dice(done as u64));
        let files = after.files();
        drop(RedbSpool::open_on(after.clone()).unwrap());
        let mut again = Survivor::of(files);
        for (at, op) in after.log().iter().enumerate() {
            let seed = (done * 1000 + at) as u64;
            first.check(&again.cut(Unsynced::Dice(seed)), done + 1, &format!("cut at {done} and again at {at}"));
            again.push(op);
        }
    }
}
