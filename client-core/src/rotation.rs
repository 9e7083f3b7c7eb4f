//! Our sealing keys wear out: a fresh one is announced inside the ratchet, and the old one is erased once the other side
//! is seen to use the new one and nothing sealed to the old one can be on its way any more.
//!
//! As long as the other side does not come back, the old key stays, and no further one is drawn.

use rand_core::CryptoRng;

use crate::crypto::seal::SealingKey;
use crate::error::StoreError;
use crate::store::{ContactRow, Kind, OwnSealingKey, State, Tx};
use crate::types::Timestamp;

/// A key is replaced after this long.
const MAX_AGE_MS: u64 = 7 * 24 * 3600 * 1_000;

/// Or after so many boxes, whichever comes first.
pub(crate) const MAX_BOXES: u64 = 1_000;

/// A relay may keep a box for longer than its hold: it rounds up to a full hour, and sweeps at its leisure.
pub(crate) const HOLD_MARGIN_MS: u64 = 2 * 3600 * 1_000;

fn is_worn_out(key: &OwnSealingKey, now: Timestamp) -> bool {
    key.boxes >= MAX_BOXES || now.abs_diff(key.made_at) >= MAX_AGE_MS
}

/// Does what is due to the sealing keys of a contact.
pub(crate) fn tend(
    tx: &Tx<'_>,
    row: &ContactRow,
    now: Timestamp,
    mut rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    if row.state != State::Paired {
        return Ok(());
    }
    let hold_ms = tx.longest_hold_ms(row.relay)? + HOLD_MARGIN_MS;
    tx.erase_sealing_keys(&row.key, now, hold_ms)?;
    let Some(newest) = tx.newest_sealing_key(&row.key, row.session)? else { return Ok(()) };
    if newest.number > 0 && newest.used_at.is_none() {
        // The relay has dropped an announcement that nobody came for.
        let is_lost = newest.announced_at.is_none_or(|at| now.abs_diff(at) > hold_ms);
        return if is_lost { announce(tx, row) } else { Ok(()) };
    }
    if is_worn_out(&newest, now) {
        tx.add_sealing_key(&row.key, row.session, newest.number + 1, &SealingKey::draw(&mut rng), now)?;
        announce(tx, row)?;
    }
    Ok(())
}

fn announce(tx: &Tx<'_>, row: &ContactRow) -> Result<(), StoreError> {
    if tx.is_outgoing(&row.key, Kind::SealingKey)? {
        return Ok(());
    }
    tx.enqueue(&row.key, Kind::SealingKey, None, None)
}
