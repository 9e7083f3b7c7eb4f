//! What was read, told only if both sides agreed to tell.

use super::contacts::ContactKey;
use super::messages::Changed;
use super::received::POSITIONS;
use super::{Tx, fixed};
use crate::error::StoreError;
use crate::types::Outcome;

impl Tx<'_> {
    /// Whether we tell, and whether the other side does.
    pub(crate) fn tells_reads(&self, contact: &ContactKey) -> Result<(bool, bool), StoreError> {
        let tells = self.row("SELECT tells_reads, peer_tells_reads FROM contacts WHERE id = ?1", [contact], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(tells.unwrap_or_default())
    }

    /// Whether we tell from now on. The other side is told that, one way or the other.
    pub(crate) fn set_tells_reads(&self, contact: &ContactKey, tells: bool) -> Result<(), StoreError> {
        self.execute(
            "UPDATE contacts SET tells_reads = ?2, receipt_due = 1 WHERE id = ?1 AND tells_reads != ?2",
            (contact, tells),
        )?;
        Ok(())
    }

    /// The other side says whether it tells; true if that is new.
    pub(crate) fn set_peer_tells_reads(&self, contact: &ContactKey, tells: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE contacts SET peer_tells_reads = ?2 WHERE id = ?1 AND peer_tells_reads != ?2";
        Ok(self.execute(sql, (contact, tells))? > 0)
    }

    /// The position up to which everything that came was seen; 0 if that is not to be told.
    pub(crate) fn seen_up_to(&self, contact: &ContactKey) -> Result<u64, StoreError> {
        if self.tells_reads(contact)? != (true, true) {
            return Ok(0);
        }
        let unseen: Option<u64> = self
            .row(
                "SELECT min(number) FROM messages WHERE contact = ?1 AND direction = 1 AND outcome = 3",
                [contact],
                |row| row.get(0),
            )?
            .flatten();
        let (up_to, _) = self.received(contact, POSITIONS)?;
        Ok(unseen.map_or(up_to, |unseen| up_to.min(unseen.saturating_sub(1))))
    }

    /// The other person has seen everything up to a position.
    pub(crate) fn apply_seen(&self, contact: &ContactKey, up_to: u64) -> Result<Vec<Changed>, StoreError> {
        if up_to == 0 || self.tells_reads(contact)? != (true, true) {
            return Ok(Vec::new());
        }
        self.rows(
            "UPDATE messages SET outcome = 4
             WHERE contact = ?1 AND direction = 2 AND outcome = 3 AND position <= ?2 RETURNING message_id",
            (contact, up_to),
            |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Read)),
        )
    }
}
