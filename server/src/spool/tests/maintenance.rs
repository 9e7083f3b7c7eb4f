//! What an operator does while no relay runs.

use tacit_proto::{End, SizeClass};

use super::{append, end, remove, sealed};
use crate::spool::{RedbSpool, Spool, SpoolError};

#[test]
fn compacting_gives_room_back_and_keeps_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let a = end(1, End::A);
    let (spool, _) = RedbSpool::open(dir.path()).unwrap();
    for n in 0..20 {
        let batch = (1..=10).map(|m| append(a, 10 * n + m, sealed(SizeClass::Large, 10 * n + m)));
        spool.commit(&batch.collect::<Vec<_>>()).unwrap();
    }
    spool.commit(&[remove(a, 1..=120)]).unwrap();
    drop(spool);
    let compaction = RedbSpool::compact(dir.path()).unwrap();
    assert!(compaction.after < compaction.before * 3 / 4, "{compaction:?}");
    assert_eq!(std::fs::metadata(dir.path().join("spool.redb")).unwrap().len(), compaction.after);
    let (spool, recovered) = RedbSpool::open(dir.path()).unwrap();
    assert_eq!(recovered.waiting.len(), 80);
    assert_eq!(spool.load(a, 0, 1).unwrap(), [(121, sealed(SizeClass::Large, 121))]);
}

#[test]
fn a_spool_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_spool, _) = RedbSpool::open(dir.path()).unwrap();
    assert!(matches!(RedbSpool::compact(dir.path()), Err(SpoolError::InUse)));
    assert!(matches!(RedbSpool::migrate(dir.path()), Err(SpoolError::InUse)));
}

#[test]
fn a_folder_without_a_spool_stays_without_one() {
    let dir = tempfile::tempdir().unwrap();
    for missing in [dir.path().to_path_buf(), dir.path().join("nowhere")] {
        assert!(matches!(RedbSpool::compact(&missing), Err(SpoolError::NoSpool)));
        assert!(matches!(RedbSpool::migrate(&missing), Err(SpoolError::NoSpool)));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}
