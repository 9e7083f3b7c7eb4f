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

/// Whether more than half of a file of `file_len` bytes is dead, and compacting it would pay.
///
/// redb counts this by walking its trees; over a large file that is mostly alive it would delay the start, so a
/// reckoning from the index comes first, and redb is asked only about a file that seems mostly dead.
pub(super) fn mostly_dead(db: &Database, recovered: &Recovered, file_len: u64) -> Result<bool, Fault> {
    /// A new file is 72 KiB, and doubles as it grows.
    const SMALLEST: u64 = 1 << 20;
    // Small boxes fill their pages by two thirds or so when they come for many ends in turn.
    let room = |class: SizeClass| (class.box_len() + BOX_OVERHEAD + 32) as u64 * 3 / 2;
    let boxes: u64 = recovered.waiting.iter().map(|waiting| room(waiting.class)).sum();
    let rest = 512 * (recovered.channels.len() + recovered.permits.len() + recovered.enrolments.len()) as u64;
    if file_len <= SMALLEST || boxes + rest > file_len / 2 {
        return Ok(false);
    }
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.allocated_pages() * (stats.page_size() as u64) < file_len / 2)
}
