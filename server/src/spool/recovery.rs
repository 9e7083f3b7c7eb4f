//! What a start-up reads: everything but the boxes.

use std::collections::{HashMap, HashSet};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use tacit_proto::{ChannelId, EndOf, EnrolCodeHash, Incarnation, PermitHash, SizeClass};

use super::chain::BacklogRow;
use super::epoch::EpochId;
use super::fault::Fault;
use super::rows::{
    BACKLOGS, CHANNELS, DUE, Def, ENROLMENTS, FORMAT, META, META_COMMITS, META_FORMAT, META_INCARNATION, PERMITS,
    channel_from_bytes, due_from_row, end_from_key, number_from_bytes, permit_from_bytes, spent_code_from_bytes,
};
use super::transaction::Tables;
use super::wrap::BOX_OVERHEAD;
use super::{Recovered, Waiting};

/// Where a database stands.
pub(super) struct Last {
    pub(super) format: u32,
    /// The number of the last transaction.
    pub(super) commits: u64,
}

/// Where the database stands, or nothing if this is a new file.
pub(super) fn last_commit(db: &Database) -> Result<Option<Last>, Fault> {
    let txn = db.begin_read()?;
    if txn.list_tables()?.next().is_none() {
        return Ok(None);
    }
    let meta = txn.open_table(META)?;
    let format = meta.get(&META_FORMAT)?.ok_or(Fault::Damaged("the format is not told"))?;
    let format = match u32::from_be_bytes(format.value().try_into().map_err(|_| Fault::Damaged("the format's number"))?)
    {
        0 => return Err(Fault::Damaged("the format's number")),
        known if known <= FORMAT => known,
        _ => return Err(Fault::NewerFormat),
    };
    let commits = meta.get(&META_COMMITS)?.ok_or(Fault::Damaged("a number of the spool itself"))?;
    Ok(Some(Last { format, commits: number_from_bytes(commits.value())? }))
}

/// The first rows of a new file.
pub(super) fn found(tables: &mut Tables<'_>) -> Result<(), Fault> {
    tables.make()?;
    let mut incarnation = [0; Incarnation::LEN];
    getrandom::fill(&mut incarnation)?;
    tables.meta.put(META_FORMAT, &FORMAT.to_be_bytes())?;
    tables.meta.put(META_INCARNATION, &incarnation)?;
    Ok(())
}

/// Reads what the relay must know, and which epochs the backlogs' keys are wrapped under.
pub(super) fn recover(db: &Database) -> Result<(Recovered, HashSet<EpochId>), Fault> {
    let txn = db.begin_read()?;
    let incarnation = {
        let meta = txn.open_table(META)?;
        let life = meta.get(&META_INCARNATION)?;
        let life = life.and_then(|life| life.value().try_into().ok());
        Incarnation::from_bytes(life.ok_or(Fault::Damaged("the incarnation"))?)
    };
    let channels = all(&txn, CHANNELS, |channel, row| Ok((ChannelId::from_bytes(*channel), channel_from_bytes(row)?)))?;
    let permits = all(&txn, PERMITS, |hash, row| Ok((PermitHash::from_bytes(*hash), permit_from_bytes(row)?)))?;
    let enrolments =
        all(&txn, ENROLMENTS, |code, row| Ok((EnrolCodeHash::from_bytes(*code), spent_code_from_bytes(row)?)))?;
    let mut waiting = all(&txn, DUE, due_from_row)?;
    waiting.sort_unstable_by_key(|waiting| (waiting.of, waiting.key.seq));
    let backlogs = all(&txn, BACKLOGS, |end, row| Ok((end_from_key(end)?, BacklogRow::from_bytes(row)?)))?;
    let epochs = check_backlogs(&waiting, &backlogs)?;
    Ok((Recovered { incarnation, channels, waiting, permits, enrolments }, epochs))
}

/// Every backlog has a row, and begins at or after the row's seq; no row is without a backlog.
fn check_backlogs(waiting: &[Waiting], rows: &[(EndOf, BacklogRow)]) -> Result<HashSet<EpochId>, Fault> {
    let ends = waiting.chunk_by(|one, next| one.of == next.of);
    let oldest: HashMap<EndOf, u64> =
        ends.filter_map(|boxes| boxes.first()).map(|oldest| (oldest.of, oldest.key.seq)).collect();
    let whole = oldest.len() == rows.len()
        && rows.iter().all(|(of, row)| oldest.get(of).is_some_and(|oldest| row.base <= *oldest));
    if whole { Ok(rows.iter().map(|(_, row)| row.epoch).collect()) } else { Err(Fault::Damaged("a backlog's row")) }
}

fn all<const K: usize, T>(
    txn: &ReadTransaction,
    def: Def<K>,
    parse: impl Fn(&[u8; K], &[u8]) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let table = txn.open_table(def)?;
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        rows.push(parse(key.value(), value.value())?);
    }
    Ok(rows)
}

/// A new file is 72 KiB, and doubles as it grows: below this, compacting gives nothing back that matters.
const SMALLEST: u64 = 1 << 20;

/// Whether more than half of a file of `file_len` bytes is dead, and compacting it would pay.
///
/// redb counts this by walking its trees; over a large file that is mostly alive it would delay the start, so a
/// reckoning from the index comes first, and redb is asked only about a file that seems mostly dead.
pub(super) fn mostly_dead(db: &Database, recovered: &Recovered, file_len: u64) -> Result<bool, Fault> {
    if file_len <= SMALLEST || reckoned(recovered) > file_len / 2 {
        return Ok(false);
    }
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.allocated_pages() * (stats.page_size() as u64) < file_len / 2)
}

/// About how many bytes of the file are alive.
fn reckoned(recovered: &Recovered) -> u64 {
    // Small boxes fill their pages by two thirds or so when they come for many ends in turn.
    let room = |class: SizeClass| (class.box_len() + BOX_OVERHEAD + 32) as u64 * 3 / 2;
    let boxes: u64 = recovered.waiting.iter().map(|waiting| room(waiting.class)).sum();
    boxes + 512 * (recovered.channels.len() + recovered.permits.len() + recovered.enrolments.len()) as u64
}

#[cfg(test)]
mod tests {
    use tacit_proto::{End, EndPublic};

    use super::*;
    use crate::spool::{BoxKey, ChannelRow, EndRow, EnrolmentId, Hour, Phase, SpentCode};

    const OF: EndOf = EndOf { channel: ChannelId::from_bytes([1; 16]), end: End::A };

    fn with(classes: &[SizeClass], rows: u8) -> Recovered {
        let end = EndRow { key: EndPublic::from_bytes([1; 32]), spent_invite: None };
        let row = ChannelRow { a: end.clone(), b: end, phase: Phase::Claimed, invite_tried: false };
        let waiting = |(seq, class): (u64, &SizeClass)| {
            let key = BoxKey { seq, expires: Hour(1) };
            Waiting { of: OF, key, class: *class }
        };
        Recovered {
            incarnation: Incarnation::from_bytes([1; 16]),
            channels: (0..rows).map(|n| (ChannelId::from_bytes([n; 16]), row.clone())).collect(),
            waiting: (1..).zip(classes).map(waiting).collect(),
            permits: (0..rows).map(|n| (PermitHash::from_bytes([n; 32]), EnrolmentId::BEFORE_FORMAT_2)).collect(),
            enrolments: (0..rows).map(|n| (EnrolCodeHash::from_bytes([n; 32]), SpentCode::of(&[], Hour(1)))).collect(),
        }
    }

    #[test]
    fn what_is_alive_is_reckoned_with_half_as_much_again() {
        assert_eq!(reckoned(&with(&[SizeClass::Small, SizeClass::Small], 0)), 2 * 3 * 4096 / 4);
        assert_eq!(reckoned(&with(&[SizeClass::Large], 0)), 16_384 * 3 / 2);
        assert_eq!(reckoned(&with(&[SizeClass::Small], 2)), 3 * 4096 / 4 + 6 * 512);
    }

    #[test]
    fn only_a_file_of_some_size_of_which_more_than_half_is_dead_is_mostly_dead() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::create(dir.path().join("file")).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(CHANNELS).unwrap().insert(&[1; 16], vec![7; 2 << 20].as_slice()).unwrap();
        txn.commit().unwrap();
        let txn = db.begin_write().unwrap();
        let alive = txn.stats().unwrap().allocated_pages() * 4096;
        txn.abort().unwrap();
        let dead = |recovered: &Recovered, len| mostly_dead(&db, recovered, len).unwrap();

        assert!(dead(&with(&[], 0), 2 * alive + 2));
        assert!(!dead(&with(&[], 0), 2 * alive + 1), "just half of it is dead");
        // By the reckoning alone: three rows of 512 bytes more.
        let long = 2 * alive + 4096;
        let boxes = vec![SizeClass::Small; usize::try_from(long / 2 / 3072).unwrap()];
        assert!(dead(&with(&boxes, 0), long) && !dead(&with(&boxes, 3), long));
    }

    #[test]
    fn a_small_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::create(dir.path().join("file")).unwrap();
        let dead = |recovered: &Recovered, len| mostly_dead(&db, recovered, len).unwrap();
        assert!(!dead(&with(&[], 0), 1 << 20) && dead(&with(&[], 0), (1 << 20) + 1));
        // 170 boxes and four rows are 512 KiB, to the byte; one more row is more than half.
        let boxes = [SizeClass::Small; 170];
        let mut half = with(&boxes, 1);
        half.channels.push((ChannelId::from_bytes([9; 16]), half.channels[0].1.clone()));
        assert_eq!(reckoned(&half), 512 << 10);
        assert!(dead(&half, (1 << 20) + 1));
        half.permits.push((PermitHash::from_bytes([9; 32]), EnrolmentId::BEFORE_FORMAT_2));
        assert!(!dead(&half, (1 << 20) + 1));
    }
}
