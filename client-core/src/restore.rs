//! What a restored device begins with: ends that a lost device still holds, and no session.

use rand_core::CryptoRng;

use crate::error::StoreError;
use crate::store::{State, Tx};
use crate::types::{EndedWhy, Timestamp};
use crate::{life_cycle, reset, statements};

/// Every complete pairing is to be rekeyed and then reset; one that was not complete is over. In the transaction after
/// which the store is used.
pub(crate) fn begin(tx: &Tx<'_>, now: Timestamp, rng: &mut dyn CryptoRng) -> Result<(), StoreError> {
    tx.bound_notified()?;
    // A clock that is behind the backup is wrong.
    tx.raise_versions_from(statements::version_at(now.max(tx.trusted_time()?)))?;
    for key in tx.contact_keys()? {
        let Some(row) = tx.contact(&key)? else { continue };
        match row.state {
            State::Ended(_) => {}
            State::Joined => {
                // First: the other side may never have seen it, and cannot open what follows without.
                tx.resend_accept(&key)?;
                reset::restore(tx, &row, now, rng)?;
            }
            State::Paired => {
                reset::restore(tx, &row, now, rng)?;
                life_cycle::restate_pause(tx, &row, now, rng)?;
            }
            // What could complete a pairing is not in a backup. The relay is told, so that an invite does not look open.
            unfinished => {
                let why = if let State::Leaving(why) = unfinished { why } else { EndedWhy::NotRestored };
                let close_due = tx.end_key(&key)?.is_some() || tx.next_end_key(&key)?.is_some();
                tx.end_contact(&key, why, close_due)?;
            }
        }
    }
    Ok(())
}
