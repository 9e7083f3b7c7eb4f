//! A batch of changes becomes one transaction.

use std::collections::{HashMap, HashSet};

use tacit_proto::{EndOf, SealedBox};

use super::chain::{BacklogRow, Link, Suspects, follow, should_follow};
use super::epoch::{EpochId, EpochKey, Keyring};
use super::fault::Fault;
use super::rows::{MAX_SEQ, box_from_key, box_key, channel_to_bytes, due_key, due_row, end_key, spent_code_to_bytes};
use super::transaction::Tables;
use super::wrap::{Nonces, wrap_box};
use super::{BoxKey, Change, EnrolmentId, SpentCode};

/// What appending goes on from, batch by batch.
///
/// The links are those of backlogs that are on the disk as of the last transaction: after one that failed, all of this is
/// dropped and begun anew.
#[derive(Default)]
pub(super) struct Appending {
    links: HashMap<EndOf, Link>,
    row: Vec<u8>,
    pub(super) suspects: Suspects,
}

impl Appending {
    /// Forgets what it goes on from.
    pub(super) fn begin_anew(&mut self) {
        self.links.clear();
    }
}

/// A box that is to be stored.
struct Append<'a> {
    name: [u8; 24],
    to: EndOf,
    key: BoxKey,
    sealed: &'a SealedBox,
}

/// Makes all changes. Boxes are appended last, ordered by their keys: the rows next to each other are put one after the
/// other. No other change of the batch can tell, since what is appended and removed within it is left out.
pub(super) fn apply(
    tables: &mut Tables<'_>,
    batch: &[Change],
    keys: &Keyring,
    appending: &mut Appending,
    mut drained: impl FnMut(&EndOf),
) -> Result<(), Fault> {
    let passing = passing(batch);
    let appends = appends(batch, &passing)?;
    // Where boxes go, and the oldest that does.
    let mut shrunk = HashMap::new();
    for (at, change) in batch.iter().enumerate() {
        match change {
            Change::Append { .. } => {}
            Change::Remove { of, keys } => {
                let stored = keys.iter().enumerate().filter(|(item, _)| !passing.contains(&(at, *item)));
                if let Some(seq) = remove(tables, of, stored.map(|(_, key)| key))? {
                    shrunk.entry(*of).and_modify(|oldest: &mut u64| *oldest = seq.min(*oldest)).or_insert(seq);
                }
            }
            Change::PutChannel(channel, row) => {
                tables.channels.put(*channel.as_bytes(), &channel_to_bytes(row))?;
            }
            Change::ForgetChannel(channel) => {
                tables.channels.remove(*channel.as_bytes())?;
            }
            Change::Enrol { code, permits, forget } => {
                let spent = SpentCode::of(permits, *forget);
                tables.enrolments.put(*code.as_bytes(), &spent_code_to_bytes(&spent))?;
                for permit in permits {
                    tables.permits.put(*permit.as_bytes(), EnrolmentId::of(code).as_bytes())?;
                }
            }
            Change::SpendPermit(permit) => {
                tables.permits.remove(*permit.as_bytes())?;
            }
            Change::ForgetEnrolment(code) => {
                tables.enrolments.remove(*code.as_bytes())?;
            }
        }
    }
    append(tables, keys, appending, &appends)?;
    for (of, was) in shrunk {
        // No box that waits is younger than one that was just appended: then there is nothing to look for.
        let appended = appends.binary_search_by_key(&end_key(&of), |append| end_key(&append.to));
        if appended.is_ok_and(|at| appends.get(at).is_some_and(|append| !should_follow(was, append.key.seq))) {
            continue;
        }
        match oldest(tables, &of)? {
            None => {
                tables.backlogs.remove(end_key(&of))?;
                appending.links.remove(&of);
                drained(&of);
            }
            Some(oldest) if should_follow(was, oldest) => {
                appending.links.remove(&of);
                move_base(tables, keys, &mut appending.suspects, &of, oldest)?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The boxes that come and go within the batch, which the disk need never see: the places of their appends and of their
/// removals, as (change, item).
fn passing(batch: &[Change]) -> HashSet<(usize, usize)> {
    let mut passing = HashSet::new();
    if !batch.iter().any(|change| matches!(change, Change::Remove { .. })) {
        return passing;
    }
    let mut appended = HashMap::new();
    for (at, change) in batch.iter().enumerate() {
        match change {
            Change::Append { to, key, .. } => {
                appended.insert((*to, key.seq), at);
            }
            Change::Remove { of, keys } => {
                for (item, key) in keys.iter().enumerate() {
                    if let Some(append) = appended.remove(&(*of, key.seq)) {
                        passing.extend([(append, 0), (at, item)]);
                    }
                }
            }
            _ => {}
        }
    }
    passing
}

/// The boxes that are to be stored, ordered by their keys.
fn appends<'a>(batch: &'a [Change], passing: &HashSet<(usize, usize)>) -> Result<Vec<Append<'a>>, Fault> {
    let mut appends = Vec::with_capacity(batch.len());
    for (at, change) in batch.iter().enumerate() {
        if let Change::Append { to, key, sealed } = change
            && !passing.contains(&(at, 0))
        {
            if key.seq > MAX_SEQ {
                return Err(Fault::Damaged("a seq beyond the highest one"));
            }
            appends.push(Append { name: box_key(to, key.seq), to: *to, key: *key, sealed });
        }
    }
    appends.sort_unstable_by_key(|append| append.name);
    Ok(appends)
}

fn append(
    tables: &mut Tables<'_>,
    keys: &Keyring,
    appending: &mut Appending,
    appends: &[Append<'_>],
) -> Result<(), Fault> {
    let mut nonces = Nonces::draw()?;
    let Appending { links, row, suspects } = appending;
    for boxes in appends.chunk_by(|one, next| one.to == next.to) {
        let Some(first) = boxes.first() else { continue };
        let mut link = link(tables, keys, (&mut *links, &mut *suspects), &first.to, first.key.seq)?;
        for Append { name, to, key, sealed } in boxes {
            wrap_box(row, &mut link, &mut nonces, to, *key, sealed)?;
            if let Some(replaced) = tables.boxes.put(*name, row)? {
                tables.due.remove(due_key(replaced)?)?;
            }
            tables.due.put(due_key(row)?, &due_row(name, sealed.class()))?;
        }
        links.insert(first.to, link);
    }
    Ok(())
}

/// A link of an end's chain at or before a seq, and the backlog with it if there was none.
fn link(
    tables: &mut Tables<'_>,
    keys: &Keyring,
    (links, suspects): (&mut HashMap<EndOf, Link>, &mut Suspects),
    to: &EndOf,
    seq: u64,
) -> Result<Link, Fault> {
    if let Some(link) = links.remove(to).filter(|link| link.seq() <= seq) {
        return Ok(link);
    }
    let Some(row) = tables.backlogs.get(&end_key(to))? else {
        let link = Link::draw(seq)?;
        let (epoch, epoch_key) = current(keys)?;
        tables.backlogs.put(end_key(to), &BacklogRow::wrap(to, &link, epoch, epoch_key)?.to_bytes())?;
        return Ok(link);
    };
    if let Some(link) = suspects.judge(to, BacklogRow::from_bytes(&row)?.unwrap(to, keys))? {
        return Ok(link);
    }
    let oldest = oldest(tables, to)?.unwrap_or(seq);
    move_base(tables, keys, suspects, to, oldest)?.unwrap(to, keys)
}

/// Has the row of a backlog follow its oldest box.
fn move_base(
    tables: &mut Tables<'_>,
    keys: &Keyring,
    suspects: &mut Suspects,
    of: &EndOf,
    oldest: u64,
) -> Result<BacklogRow, Fault> {
    let row = tables.backlogs.get(&end_key(of))?.ok_or(Fault::Damaged("a backlog without a row"))?;
    let row = follow(&row, of, oldest, keys, current(keys)?, suspects)?;
    tables.backlogs.put(end_key(of), &row.to_bytes())?;
    Ok(row)
}

fn current(keys: &Keyring) -> Result<(EpochId, &EpochKey), Fault> {
    keys.current().ok_or(Fault::Io("no epoch key yet".to_owned()))
}

/// What is no longer there is not missed: a removal may be repeated. Returns the lowest seq that was there.
fn remove<'a>(
    tables: &mut Tables<'_>,
    of: &EndOf,
    keys: impl Iterator<Item = &'a BoxKey>,
) -> Result<Option<u64>, Fault> {
    let mut lowest = None;
    for key in keys.filter(|key| key.seq <= MAX_SEQ) {
        if let Some(old) = tables.boxes.remove(box_key(of, key.seq))? {
            tables.due.remove(due_key(old)?)?;
            lowest = Some(lowest.map_or(key.seq, |lowest: u64| lowest.min(key.seq)));
        }
    }
    Ok(lowest)
}

/// The oldest box of a backlog.
pub(super) fn oldest(tables: &mut Tables<'_>, of: &EndOf) -> Result<Option<u64>, Fault> {
    let first = tables.boxes.first_within(&box_key(of, 0), &box_key(of, MAX_SEQ))?;
    Ok(first.map(|key| box_from_key(&key).1))
}
