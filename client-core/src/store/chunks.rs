//! The pieces of files. Deleted rows are overwritten, by `secure_delete`.

use sha2::{Digest, Sha256};

use super::contacts::ContactKey;
use super::outbox::OutboxKey;
use super::transfers::{Stage, TransferKey, TransferRow};
use super::{RelayId, Tx};
use crate::content::{CHUNK, MOST_RANGES, Range, TransferId};
use crate::error::StoreError;
use crate::types::Timestamp;

impl Tx<'_> {
    /// Keeps a chunk; false if it was here.
    pub(crate) fn keep_chunk(&self, key: TransferKey, number: u64, bytes: &[u8]) -> Result<bool, StoreError> {
        let sql = "INSERT INTO chunks (file, number, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        Ok(self.execute(sql, (key, number, bytes))? > 0)
    }

    pub(crate) fn chunk(&self, key: TransferKey, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.row("SELECT bytes FROM chunks WHERE file = ?1 AND number = ?2", (key, number), |row| row.get(0))
    }

    /// Whether all of a file is here.
    pub(crate) fn has_all_chunks(&self, transfer: &TransferRow) -> Result<bool, StoreError> {
        let count = self.row("SELECT count(*) FROM chunks WHERE file = ?1", [transfer.key], |row| row.get::<_, u64>(0));
        Ok(count? == Some(transfer.chunks()))
    }

    /// Which chunks are here: up to which one without a gap, and beyond that, as far as one status names it. Reads the
    /// index alone.
    pub(crate) fn chunks_here(&self, key: TransferKey) -> Result<(u64, Vec<Range>), StoreError> {
        let mut here = self.rows(
            "SELECT min(number), max(number) FROM
                 (SELECT number, number - row_number() OVER (ORDER BY number) AS island FROM chunks WHERE file = ?1)
             GROUP BY island ORDER BY 1 LIMIT ?2",
            (key, MOST_RANGES + 1),
            |row| Ok(Range { first: row.get(0)?, last: row.get(1)? }),
        )?;
        let up_to = match here.first() {
            Some(range) if range.first == 1 => here.remove(0).last,
            _ => 0,
        };
        here.truncate(MOST_RANGES);
        Ok((up_to, here))
    }

    /// Appends to a file of ours that is being copied in; false if it is not any more.
    pub(crate) fn append(
        &self,
        contact: &ContactKey,
        transfer: &TransferId,
        mut bytes: &[u8],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(row) = self.transfer(contact, true, transfer)?.filter(|row| row.stage == Stage::Staging) else {
            return Ok(false);
        };
        let (mut size, total) = (row.size, row.size + bytes.len() as u64);
        while !bytes.is_empty() {
            let number = size / CHUNK as u64 + 1;
            let begun = (size % CHUNK as u64) as usize;
            let (now_in, rest) = bytes.split_at(bytes.len().min(CHUNK - begun));
            if begun == 0 {
                self.keep_chunk(row.key, number, now_in)?;
            } else {
                let sql = "UPDATE chunks SET bytes = CAST(bytes || ?3 AS BLOB) WHERE file = ?1 AND number = ?2";
                self.execute(sql, (row.key, number, now_in))?;
            }
            size += now_in.len() as u64;
            bytes = rest;
        }
        self.execute("UPDATE transfers SET size = ?2, moved_at = ?3 WHERE key = ?1", (row.key, total, now))?;
        Ok(true)
    }

    /// The SHA-256 of a file that is here, read piece by piece. None: a piece is missing.
    pub(crate) fn digest_of(&self, transfer: &TransferRow) -> Result<Option<[u8; 32]>, StoreError> {
        let mut digest = Sha256::new();
        for number in 1..=transfer.chunks() {
            match self.chunk(transfer.key, number)? {
                Some(bytes) => digest.update(bytes),
                None => return Ok(None),
            }
        }
        Ok(Some(digest.finalize().into()))
    }

    /// Erases a file's bytes, and whatever of it is on its way; its thumbnail too, unless our own rule keeps messages.
    pub(crate) fn drop_chunks(&self, key: TransferKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM outbox WHERE id IN (SELECT outbox FROM chunks_under_way WHERE file = ?1)", [key])?;
        self.execute("DELETE FROM chunks_under_way WHERE file = ?1", [key])?;
        self.execute("DELETE FROM chunks WHERE file = ?1", [key])?;
        self.execute(
            "DELETE FROM thumbnails WHERE file = ?1 AND NOT EXISTS (SELECT 1 FROM transfers
                 JOIN retention ON retention.contact = conversation AND retention.ours
                 WHERE key = ?1 AND (legal_hold OR keep = 1))",
            [key],
        )?;
        Ok(())
    }

    /// Erases a transfer with everything of it.
    pub(crate) fn drop_transfer(&self, key: TransferKey) -> Result<(), StoreError> {
        self.drop_chunks(key)?;
        self.execute("DELETE FROM transfers WHERE key = ?1", [key])?;
        Ok(())
    }

    /// Erases everything of a transfer of theirs but its id, and how it ended.
    pub(super) fn strip_transfer(&self, key: TransferKey) -> Result<(), StoreError> {
        self.drop_chunks(key)?;
        self.execute("DELETE FROM thumbnails WHERE file = ?1", [key])?;
        self.execute(
            "UPDATE transfers SET message = NULL, state = iif(state = ?2, ?3, state), name = '', media_type = '', size = 0,
                 digest = zeroblob(32), duration_ms = NULL, done = 0, here = 0, told = 0, moved_at = 0, stalls = 0
             WHERE key = ?1",
            (key, Stage::UnderWay.number(), Stage::CancelledHere.number()),
        )?;
        Ok(())
    }

    /// Erases what was being copied in by somebody who went away before it was.
    pub(crate) fn drop_stale_copies(&self, now: Timestamp, after_ms: u64) -> Result<(), StoreError> {
        let stale: Vec<TransferKey> = self.rows(
            "SELECT key FROM transfers WHERE ours = 1 AND state = 0 AND abs(?1 - moved_at) > ?2",
            (now, after_ms),
            |row| row.get(0),
        )?;
        stale.into_iter().try_for_each(|key| self.drop_transfer(key))
    }

    /// How many chunks to a contact are sealed, and not told of.
    pub(crate) fn count_under_way(&self, contact: &ContactKey) -> Result<usize, StoreError> {
        let count = self.row(
            "SELECT count(*) FROM transfers JOIN chunks_under_way ON file = key
             WHERE conversation = ?1 AND ours = 1 AND state = 1",
            [contact],
            |row| row.get(0),
        )?;
        Ok(count.unwrap_or(0))
    }

    /// The chunks of a file that are sealed, and not told of.
    pub(crate) fn under_way(&self, key: TransferKey) -> Result<Vec<u64>, StoreError> {
        self.rows("SELECT number FROM chunks_under_way WHERE file = ?1 ORDER BY number", [key], |row| row.get(0))
    }

    pub(crate) fn set_under_way(
        &self,
        key: TransferKey,
        number: u64,
        outbox: OutboxKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO chunks_under_way (file, number, outbox, sealed_at) VALUES (?1, ?2, ?3, ?4)",
            (key, number, outbox, now),
        )?;
        Ok(())
    }

    /// The recipient has these. What the relay took before one of them, and is not among them, was lost on its way.
    pub(crate) fn arrived(&self, key: TransferKey, ranges: &[Range]) -> Result<(), StoreError> {
        let mut last: Option<i64> = None;
        for range in ranges {
            let arrived = self.rows(
                "DELETE FROM chunks_under_way WHERE file = ?1 AND number BETWEEN ?2 AND ?3 RETURNING id, outbox",
                (key, range.first, range.last),
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, OutboxKey>(1)?)),
            )?;
            for (id, outbox) in arrived {
                last = last.max(Some(id));
                // The relay took it, and its answer was lost.
                self.remove_outgoing(outbox)?;
            }
        }
        self.execute(
            "DELETE FROM chunks_under_way WHERE file = ?1 AND id < ?2
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE id = chunks_under_way.outbox)",
            (key, last.unwrap_or(0)),
        )?;
        Ok(())
    }

    /// Nothing of a file that the relay took is to be relied on, if it was sealed long ago.
    pub(crate) fn give_up_under_way(&self, key: TransferKey, now: Timestamp, after_ms: u64) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM chunks_under_way WHERE file = ?1 AND abs(?2 - sealed_at) >= ?3
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE id = chunks_under_way.outbox)",
            (key, now, after_ms),
        )?;
        Ok(())
    }

    /// One chunk of a file goes again: the answer says how things stand.
    pub(crate) fn give_up_one(&self, key: TransferKey) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM chunks_under_way WHERE id = (SELECT min(id) FROM chunks_under_way WHERE file = ?1
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE id = chunks_under_way.outbox))",
            [key],
        )?;
        Ok(())
    }

    /// The relay lost its backlog: the chunks in it go again, and so does what was said of the others.
    pub(crate) fn restart_lost(&self, relay: RelayId) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM chunks_under_way
             WHERE file IN (SELECT key FROM transfers JOIN contacts ON contacts.id = conversation WHERE relay = ?1)
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE id = chunks_under_way.outbox)",
            [relay],
        )?;
        for contact in self.live_contacts(relay)? {
            self.owe_all(&contact.key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Tx<'_> {
    /// How many chunks and thumbnails there are, of all files.
    pub(crate) fn count_pieces(&self) -> Result<u64, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM chunks) + (SELECT count(*) FROM thumbnails)";
        Ok(self.row(sql, [], |row| row.get(0))?.unwrap_or(0))
    }
}
