//! A batch of changes becomes one transaction.

use std::collections::HashSet;
use std::sync::Mutex;

use tacit_proto::{EndOf, SealedBox};

use super::chain::{BacklogRow, Chains, Link, Nonces, Place, expiry, wrap_box};
use super::epoch::Keyring;
use super::fault::Fault;
use super::redb_spool::lock;
use super::rows::{MAX_SEQ, box_key, channel_to_bytes, end_key, expiry_key, spent_code_to_bytes};
use super::transaction::Tables;
use super::{BoxKey, Change, EnrolmentId, SpentCode};

/// What wraps the boxes of a batch.
pub(super) struct Wrapping<'a> {
    pub(super) keys: &'a Keyring,
    pub(super) chains: &'a Mutex<Chains>,
}

/// Makes all changes, in order.
pub(super) fn apply(tables: &mut Tables<'_>, batch: &[Change], wrapping: &Wrapping<'_>) -> Result<(), Fault> {
    let passing = passing(batch);
    let mut nonces = Nonces::draw()?;
    for (at, change) in batch.iter().enumerate() {
        match change {
            Change::Append { to, key, sealed } => {
                if !passing.contains(&(at, 0)) {
                    append(tables, wrapping, &mut nonces, to, *key, sealed)?;
                }
            }
            Change::Remove { of, keys } => {
                let stored = keys.iter().enumerate().filter(|(item, _)| !passing.contains(&(at, *item)));
                remove(tables, wrapping, of, stored.map(|(_, key)| key))?;
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
    Ok(())
}

/// The boxes that come and go within the batch, which the disk need never see: the places of their appends and of their
/// removals, as (change, item).
fn passing(batch: &[Change]) -> HashSet<(usize, usize)> {
    let mut appended = std::collections::HashMap::new();
    let mut passing = HashSet::new();
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

fn append(
    tables: &mut Tables<'_>,
    wrapping: &Wrapping<'_>,
    nonces: &mut Nonces,
    to: &EndOf,
    key: BoxKey,
    sealed: &SealedBox,
) -> Result<(), Fault> {
    let BoxKey { seq, expires } = key;
    if seq > MAX_SEQ {
        return Err(Fault::Damaged("a seq beyond the highest one"));
    }
    let mut chains = lock(wrapping.chains);
    let row = match tables.backlogs.get(&end_key(to))? {
        Some(bytes) => BacklogRow::from_bytes(&bytes)?,
        None => {
            let base = Link::draw(seq)?;
            let (epoch, epoch_key) = wrapping.keys.current().ok_or(Fault::Io("no epoch key yet".to_owned()))?;
            let row = BacklogRow::wrap(to, &base, epoch, epoch_key)?;
            tables.backlogs.put(end_key(to), &row.to_bytes())?;
            chains.begin(to, row.clone(), base);
            row
        }
    };
    let box_secret = chains.link(to, &row, wrapping.keys, Place::Append, seq)?.box_key();
    drop(chains);
    let wrapped = wrap_box(&box_secret, nonces, to, key, sealed)?;
    let name = box_key(to, seq);
    if let Some(replaced) = tables.boxes.put(name, &wrapped)? {
        tables.expiry.remove(expiry_key(expiry(replaced)?, &name))?;
    }
    tables.expiry.put(expiry_key(expires, &name), &[sealed.class().number()])?;
    Ok(())
}

/// What is no longer there is not missed: a removal may be repeated.
fn remove<'a>(
    tables: &mut Tables<'_>,
    wrapping: &Wrapping<'_>,
    of: &EndOf,
    keys: impl Iterator<Item = &'a BoxKey>,
) -> Result<(), Fault> {
    let mut removed = false;
    for key in keys.filter(|key| key.seq <= MAX_SEQ) {
        let name = box_key(of, key.seq);
        if let Some(old) = tables.boxes.remove(name)? {
            tables.expiry.remove(expiry_key(expiry(old)?, &name))?;
            removed = true;
        }
    }
    if removed && tables.boxes.first_within(&box_key(of, 0), &box_key(of, MAX_SEQ))?.is_none() {
        tables.backlogs.remove(end_key(of))?;
        lock(wrapping.chains).forget(of);
    }
    Ok(())
}
