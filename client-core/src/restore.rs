//! What a restored device begins with: ends that a lost device still holds, and no session.

use rand_core::CryptoRng;
use tacit_proto::EndKey;

use crate::error::StoreError;
use crate::store::{ContactRow, State, Tx};
use crate::types::EndedWhy;

/// Every complete pairing is to be rekeyed and then reset; one that was not complete is over. In the transaction after
/// which the store is used.
pub(crate) fn begin(tx: &Tx<'_>, rng: &mut dyn CryptoRng) -> Result<(), StoreError> {
    for key in tx.contact_keys()? {
        let Some(row) = tx.contact(&key)? else { continue };
        match row.state {
            State::Ended(_) => {}
            State::Joined => {
                // First: the other side may never have seen it, and cannot open what follows without.
                tx.resend_accept(&key)?;
                renew(tx, &row, rng)?;
            }
            State::Paired => renew(tx, &row, rng)?,
            // What could complete it is not in a backup. The relay is told, so that the invite does not look open.
            _ => {
                let close_due = tx.end_key(&key)?.is_some() || tx.next_end_key(&key)?.is_some();
                tx.end_contact(&key, EndedWhy::NotRestored, close_due)?;
            }
        }
    }
    Ok(())
}

/// The end gets another key, kept before the relay is asked.
fn renew(tx: &Tx<'_>, row: &ContactRow, mut rng: &mut dyn CryptoRng) -> Result<(), StoreError> {
    tx.set_blob(&row.key, "next_end_key", Some(&*EndKey::draw(&mut rng).secret_bytes()))
}
