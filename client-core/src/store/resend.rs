//! Sending again what the other side does not have. A message that is to be sent again is queued, and says so.

use super::contacts::ContactKey;
use super::messages::{Changed, MessageKey};
use super::{Kind, RelayId, Tx, fixed};
use crate::content::{Had, Range, Receipt};
use crate::error::StoreError;
use crate::types::{Outcome, Timestamp};

/// A message that a receipt calls missing is resent at most this often: receipts overtake resends under way.
const RESEND_PAUSE_MS: u64 = 30_000;

impl Tx<'_> {
    /// Queues messages of ours once more, in the order in which they were written.
    pub(crate) fn resend(&self, contact: &ContactKey, mut keys: Vec<MessageKey>) -> Result<Vec<Changed>, StoreError> {
        keys.sort_unstable();
        let mut changed = Vec::with_capacity(keys.len());
        for key in keys {
            self.enqueue(contact, Kind::Message, Some(key), None)?;
            changed.extend(self.row(
                "UPDATE messages SET outcome = 1, refused_why = NULL WHERE id = ?1 AND outcome != 1
                 RETURNING message_id",
                [key],
                queued,
            )?);
        }
        Ok(changed)
    }

    /// The other device says what lies in the gaps of what it has: that is sent again, not too often.
    pub(super) fn resend_gaps(
        &self,
        contact: &ContactKey,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Result<Vec<Changed>, StoreError> {
        let mut changed = Vec::new();
        let mut missing_from = receipt.up_to + 1;
        for range in &receipt.beyond {
            let missing = self.rows(
                "UPDATE messages INDEXED BY messages_open SET resent_at = ?5
                 WHERE contact = ?1 AND direction = 2 AND stream = ?2 AND number >= ?3 AND number < ?4
                     AND outcome IN (1, 2, 5) AND outcome != 1 AND coalesce(resent_at, 0) NOT BETWEEN ?6 AND ?5
                     AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = messages.id)
                 RETURNING id",
                (contact, receipt.stream, missing_from, range.first, now, now.saturating_sub(RESEND_PAUSE_MS)),
                |row| row.get(0),
            )?;
            changed.extend(self.resend(contact, missing)?);
            missing_from = range.last + 1;
        }
        Ok(changed)
    }

    /// Resends, as new boxes, whatever of this conversation was accepted and nobody receipted.
    pub(crate) fn resend_unreceipted(&self, contact: &ContactKey) -> Result<Vec<Changed>, StoreError> {
        let keys = self.rows(
            "SELECT id FROM messages INDEXED BY messages_open
             WHERE contact = ?1 AND direction = 2 AND outcome IN (1, 2, 5) AND outcome != 1
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = messages.id)",
            [contact],
            |row| row.get(0),
        )?;
        self.resend(contact, keys)
    }

    /// Resends what expired, and what the relay did not carry.
    pub(crate) fn resend_failed(&self, contact: &ContactKey) -> Result<Vec<Changed>, StoreError> {
        let keys = self.rows(
            "SELECT id FROM messages WHERE contact = ?1 AND direction = 2
                 AND (outcome = 5 OR outcome = 6 AND refused_why = 2)
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = messages.id)",
            [contact],
            |row| row.get(0),
        )?;
        self.resend(contact, keys)
    }

    /// The relay lost its backlog: everything that it accepted and nobody receipted goes out again.
    pub(crate) fn resend_all(&self, relay: RelayId) -> Result<Vec<(ContactKey, Vec<Changed>)>, StoreError> {
        let mut all = Vec::new();
        for contact in self.live_contacts(relay)? {
            if contact.state.can_send() {
                all.push((contact.key, self.resend_unreceipted(&contact.key)?));
                // Receipts were lost with the backlog too.
                self.set_receipt_due(&contact.key, true)?;
            }
        }
        Ok(all)
    }

    /// Begins our next stream: what was not receipted is numbered anew and sent in it, in the order in which it was
    /// written. Nothing that was sealed before is sent any more.
    pub(crate) fn start_stream_anew(&self, contact: &ContactKey) -> Result<Vec<Changed>, StoreError> {
        let changed = self.rows(
            "UPDATE messages SET outcome = 1 WHERE contact = ?1 AND direction = 2 AND outcome IN (2, 5)
             RETURNING message_id",
            [contact],
            queued,
        )?;
        self.execute(
            "UPDATE messages SET stream = NULL, number = NULL WHERE contact = ?1 AND direction = 2 AND outcome = 1",
            [contact],
        )?;
        for kind in [Kind::Message, Kind::Receipt, Kind::SealingKey] {
            self.remove_outgoing_of(contact, kind)?;
        }
        self.restart_transfers(contact)?;
        let waiting = self.rows(
            "SELECT id FROM messages WHERE contact = ?1 AND direction = 2 AND outcome = 1 ORDER BY id",
            [contact],
            |row| row.get(0),
        )?;
        waiting.into_iter().try_for_each(|key| self.enqueue(contact, Kind::Message, Some(key), None))?;
        Ok(changed)
    }

    /// The other device says, at a reset, which positions it has. What it does not have any more, because it was
    /// restored from a backup, is queued again.
    pub(crate) fn apply_had(&self, contact: &ContactKey, had: &Had) -> Result<Vec<Changed>, StoreError> {
        let mut changed = Vec::new();
        let mut gap_from = had.up_to + 1;
        let here = std::iter::once(Range { first: 1, last: had.up_to }).chain(had.beyond.iter().copied());
        for range in here {
            changed.extend(self.rows(
                "UPDATE messages SET outcome = 3
                 WHERE contact = ?1 AND direction = 2 AND position BETWEEN ?2 AND ?3 AND outcome IN (1, 2, 5)
                 RETURNING message_id",
                (contact, range.first, range.last),
                |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Delivered)),
            )?);
        }
        // What lies beyond the last of so many ranges was not spoken of.
        let told_all = had.beyond.len() < Receipt::MOST_RANGES;
        let end = told_all.then_some(Range { first: i64::MAX as u64, last: i64::MAX as u64 });
        for range in had.beyond.iter().copied().chain(end) {
            changed.extend(self.rows(
                "UPDATE messages SET outcome = 1
                 WHERE contact = ?1 AND direction = 2 AND position >= ?2 AND position < ?3 AND outcome IN (3, 4)
                 RETURNING message_id",
                (contact, gap_from, range.first),
                queued,
            )?);
            gap_from = range.last + 1;
        }
        Ok(changed)
    }
}

fn queued(row: &rusqlite::Row<'_>) -> rusqlite::Result<Changed> {
    Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Queued))
}
