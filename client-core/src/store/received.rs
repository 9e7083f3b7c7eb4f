//! Which numbers came, as ranges: what receipts say, and what gaps are.

use super::contacts::ContactKey;
use super::{Tx, fixed};
use crate::content::{Range, Receipt};
use crate::error::StoreError;

/// In place of a stream: positions, which outlive every stream.
pub(crate) const POSITIONS: &[u8] = &[];

impl Tx<'_> {
    /// Notes that a number came; false if it was noted before.
    pub(crate) fn note_received(&self, contact: &ContactKey, stream: &[u8], number: u64) -> Result<bool, StoreError> {
        let before = self.row(
            "SELECT first, last FROM received WHERE contact = ?1 AND stream = ?2 AND first <= ?3
             ORDER BY first DESC LIMIT 1",
            (contact, stream, number),
            |row| Ok(Range { first: row.get(0)?, last: row.get(1)? }),
        )?;
        if before.is_some_and(|before| before.last >= number) {
            return Ok(false);
        }
        let after = self.row(
            "DELETE FROM received WHERE contact = ?1 AND stream = ?2 AND first = ?3 + 1 RETURNING last",
            (contact, stream, number),
            |row| row.get::<_, u64>(0),
        )?;
        let last = after.unwrap_or(number);
        match before {
            Some(before) if before.last + 1 == number => self.execute(
                "UPDATE received SET last = ?4 WHERE contact = ?1 AND stream = ?2 AND first = ?3",
                (contact, stream, before.first, last),
            )?,
            _ => self.execute(
                "INSERT INTO received (contact, stream, first, last) VALUES (?1, ?2, ?3, ?4)",
                (contact, stream, number, last),
            )?,
        };
        Ok(true)
    }

    /// What this device has safe of a stream of the other side.
    pub(crate) fn receipt_of(&self, contact: &ContactKey, stream: [u8; 16]) -> Result<Receipt, StoreError> {
        let (up_to, beyond) = self.received(contact, &stream)?;
        Ok(Receipt { stream, up_to, beyond })
    }

    /// What came without a gap, and what came beyond, as far as one receipt names it.
    pub(crate) fn received(&self, contact: &ContactKey, stream: &[u8]) -> Result<(u64, Vec<Range>), StoreError> {
        let mut ranges = self.rows(
            "SELECT first, last FROM received WHERE contact = ?1 AND stream = ?2 ORDER BY first LIMIT ?3",
            (contact, stream, Receipt::MOST_RANGES + 1),
            |row| Ok(Range { first: row.get(0)?, last: row.get(1)? }),
        )?;
        let up_to = match ranges.first() {
            Some(range) if range.first == 1 => ranges.remove(0).last,
            _ => 0,
        };
        ranges.truncate(Receipt::MOST_RANGES);
        Ok((up_to, ranges))
    }

    /// The highest position of the other side's that ever came.
    pub(crate) fn highest_received(&self, contact: &ContactKey) -> Result<u64, StoreError> {
        let highest = self.row(
            "SELECT max(last) FROM received WHERE contact = ?1 AND stream = ?2",
            (contact, POSITIONS),
            |row| row.get::<_, Option<u64>>(0),
        )?;
        Ok(highest.flatten().unwrap_or(0))
    }

    /// What this device has safe of the other side's newest stream.
    pub(crate) fn receipt(&self, contact: &ContactKey) -> Result<Option<Receipt>, StoreError> {
        let stream = self
            .row("SELECT in_stream FROM contacts WHERE id = ?1", [contact], |row| {
                row.get_ref(0)?.as_blob_or_null()?.map(fixed).transpose()
            })?
            .flatten();
        stream.map(|stream| self.receipt_of(contact, stream)).transpose()
    }

    /// Receipts speak of this stream from here on, unless they speak of one of a newer session.
    pub(crate) fn set_in_stream(
        &self,
        contact: &ContactKey,
        stream: &[u8; 16],
        session: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE contacts SET in_stream = ?2, in_session = ?3 WHERE id = ?1 AND in_session <= ?3
                 AND (in_stream IS NOT ?2 OR in_session != ?3)",
            (contact, stream, session),
        )?;
        Ok(())
    }
}
