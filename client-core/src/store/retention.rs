//! Deleting, by hand and by rule, so that nothing is left: neither in the tables nor in the search nor on freed pages.

use super::contacts::ContactKey;
use super::edits::WITHDRAWAL;
use super::messages::MessageKey;
use super::{Stage, Store, Tx, fixed};
use crate::content::{Body, PauseBody};
use crate::error::StoreError;
use crate::note::HIDDEN;
use crate::retention::{Keep, Retention, TrustedClock};
use crate::types::Timestamp;

/// A deleted message of ours that may have to leave yet.
const DELETED: i64 = 31;

const NOTED_EVERY_MS: u64 = 3600 * 1000;

/// Messages that are deleted in one transaction, so that nobody else waits for long.
const BATCH: u32 = 500;

/// The largest store that is written anew. With more than that in files, what was deleted may linger in unused parts of pages,
/// under the store's key: a peer must not be able to send so much that the app ends each time it opens.
const MOST_REWRITTEN: u64 = if cfg!(test) { 4 << 20 } else { 128 << 20 };

impl Tx<'_> {
    /// A side's rule, if it was ever said.
    pub(crate) fn retention(&self, contact: &ContactKey, ours: bool) -> Result<Option<Retention>, StoreError> {
        let sql = "SELECT keep, amount, legal_hold FROM retention WHERE contact = ?1 AND ours = ?2";
        self.row(sql, (contact, ours), |row| {
            let amount = row.get(1)?;
            let keep = match row.get(0)? {
                0 => Keep::Always,
                1 => Keep::ForYears { years: amount },
                2 => Keep::ForDays { days: amount },
                _ => return Err(rusqlite::Error::InvalidQuery),
            };
            Ok(Retention { keep, legal_hold: row.get(2)? })
        })
    }

    /// Keeps a side's rule, unless one that was said later is here.
    pub(crate) fn set_retention(
        &self,
        contact: &ContactKey,
        ours: bool,
        retention: Retention,
        said_at: Timestamp,
    ) -> Result<(), StoreError> {
        let (keep, amount) = match retention.keep {
            Keep::Always => (0, 0),
            Keep::ForYears { years } => (1, years),
            Keep::ForDays { days } => (2, days),
        };
        self.execute(
            "INSERT INTO retention (contact, ours, keep, amount, legal_hold, said_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (contact, ours) DO UPDATE SET keep = ?3, amount = ?4, legal_hold = ?5, said_at = ?6
                 WHERE ours OR said_at <= ?6",
            (contact, ours, keep, amount, retention.legal_hold, said_at),
        )?;
        Ok(())
    }

    /// Of which conversation a message is, and when it was stored.
    pub(crate) fn message_age(&self, key: MessageKey) -> Result<Option<(ContactKey, Timestamp)>, StoreError> {
        self.row("SELECT contact, stored_at FROM messages WHERE id = ?1", [key], |row| {
            Ok((fixed(row.get_ref(0)?.as_blob()?)?, row.get(1)?))
        })
    }

    /// When the newest message of a contact was stored.
    pub(crate) fn newest_message(&self, contact: &ContactKey) -> Result<Option<Timestamp>, StoreError> {
        let newest = self.row("SELECT max(stored_at) FROM messages WHERE contact = ?1", [contact], |row| row.get(0))?;
        Ok(newest.flatten())
    }

    /// Deletes up to so many messages that were stored before a time; returns how many.
    pub(crate) fn delete_before(
        &self,
        contact: &ContactKey,
        before: Timestamp,
        most: u32,
    ) -> Result<usize, StoreError> {
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let keys = self.rows(
            "SELECT id FROM messages WHERE contact = ?1 AND stored_at < ?2 AND kind != 31
                 AND NOT (direction = 2 AND kind = 40)
                 AND NOT (direction = 2 AND kind = 61 AND outcome IN (1, 2, 5)) ORDER BY stored_at LIMIT ?3",
            (contact, before, most),
            |row| row.get(0),
        )?;
        keys.iter().try_for_each(|key| self.delete_message(*key))?;
        Ok(keys.len())
    }

    /// Deletes a message. One of ours that may have to leave yet stays as a row that says nothing; that one of theirs
    /// came is known without its row. A note of ours is shown no more: what it told is no text, but for the words of a pause,
    /// and may have to be told yet, or again to a device that was restored.
    pub(crate) fn delete_message(&self, key: MessageKey) -> Result<(), StoreError> {
        self.delete_file(key)?;
        let hidden = self.execute(
            "UPDATE messages SET kind = ?2, text = '' WHERE id = ?1 AND direction = 2 AND kind NOT IN (0, 1, 31, 60, 61, 70)",
            (key, HIDDEN),
        )?;
        if hidden > 0 {
            self.delete_words(key)?;
            return self.set_purge_due();
        }
        for about in self.about(key)? {
            self.erase_message(about)?;
        }
        self.erase_message(key)
    }

    /// A pause of ours goes on without its words.
    fn delete_words(&self, key: MessageKey) -> Result<(), StoreError> {
        if let Some(Body::Pause(pause)) = self.message_body(key)?
            && !pause.words.is_empty()
        {
            self.keep_body(key, &Body::Pause(PauseBody { words: String::new(), ..pause }))?;
            // Sealed anew, should it have to leave yet: the box that was made holds them.
            self.execute("UPDATE outbox SET box = NULL WHERE message = ?1", [key])?;
        }
        Ok(())
    }

    /// The same of one row, whatever it is. What takes a message back on the other side too still leaves, as it is.
    pub(super) fn erase_message(&self, key: MessageKey) -> Result<(), StoreError> {
        let sql = "SELECT kind = ?2, position IS NOT NULL FROM messages
            WHERE id = ?1 AND direction = 2 AND outcome IN (1, 2, 5)";
        let on_its_way: Option<(bool, bool)> =
            self.row(sql, (key, WITHDRAWAL), |row| Ok((row.get(0)?, row.get(1)?)))?;
        if let Some((true, _)) = on_its_way {
            return Ok(());
        }
        self.execute("DELETE FROM earlier_texts WHERE message = ?1", [key])?;
        self.execute("DELETE FROM message_bodies WHERE message = ?1", [key])?;
        if let Some((_, true)) = on_its_way {
            self.execute("UPDATE messages SET kind = ?2, text = '' WHERE id = ?1", (key, DELETED))?;
            // Sealed anew, should it have to leave yet: the box that was made holds the text.
            self.execute("UPDATE outbox SET box = NULL WHERE message = ?1", [key])?;
            self.keep_body(key, &Body::Deleted)?;
        } else {
            self.execute("DELETE FROM outbox WHERE message = ?1", [key])?;
            self.execute("DELETE FROM messages WHERE id = ?1", [key])?;
        }
        self.set_purge_due()
    }

    /// Deletes the file that a message announces. If it is under way, the other side is told. One of theirs stays known
    /// by its id: its sender may have missed how it ended, and ask.
    fn delete_file(&self, key: MessageKey) -> Result<(), StoreError> {
        let Some(file) = self.transfer_announced(key)? else { return Ok(()) };
        if file.stage == Stage::UnderWay {
            self.owe_status(&file.conversation, file.ours, &file.transfer, false)?;
        }
        if file.ours { self.drop_transfer(file.key) } else { self.strip_transfer(file.key) }
    }

    pub(super) fn set_purge_due(&self) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO tidying (one, trusted, purge_due) VALUES (1, 0, 1) ON CONFLICT (one) DO UPDATE SET purge_due = 1",
            [],
        )?;
        Ok(())
    }

    /// Removes deleted messages that need not leave any more.
    fn drop_deleted(&self) -> Result<(), StoreError> {
        let done = self.rows(
            "SELECT id FROM messages INDEXED BY messages_deleted WHERE kind = 31 AND outcome NOT IN (1, 2, 5)
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = messages.id)",
            [],
            |row| row.get::<_, MessageKey>(0),
        )?;
        done.iter().try_for_each(|key| self.execute("DELETE FROM messages WHERE id = ?1", [key]).map(drop))
    }

    /// Removes a contact whose pairing ended, with everything about it.
    pub(crate) fn forget_contact(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM transfers WHERE conversation = ?1", [contact])?;
        for table in [
            "statuses_due",
            "outbox",
            "message_bodies",
            "earlier_texts",
            "messages",
            "received",
            "sealing_keys",
            "offer_parts",
        ] {
            let of = if table == "message_bodies" || table == "earlier_texts" {
                "message IN (SELECT id FROM messages WHERE contact = ?1)"
            } else {
                "contact = ?1"
            };
            self.execute(&format!("DELETE FROM {table} WHERE {of}"), [contact])?;
        }
        self.forget_resets(contact)?;
        self.execute("DELETE FROM contacts WHERE id = ?1", [contact])?;
        self.set_purge_due()
    }

    /// The last time that deleting trusted; in a store that was just restored, when the backup was made.
    pub(crate) fn trusted_time(&self) -> Result<Timestamp, StoreError> {
        Ok(self.row("SELECT trusted FROM tidying", [], |row| row.get(0))?.unwrap_or(0))
    }

    /// Looks at the clock, and returns the time that deleting goes by.
    fn see_clock(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let before = self.row("SELECT trusted, doubted FROM tidying WHERE trusted > 0", [], |row| {
            Ok(TrustedClock { trusted: row.get(0)?, doubted: row.get(1)? })
        })?;
        let clock = TrustedClock::see(before, now);
        // Every opening looks at the clock: not every one writes it down.
        let is_news = |before: TrustedClock| {
            before.doubted != clock.doubted || before.trusted.abs_diff(clock.trusted) >= NOTED_EVERY_MS
        };
        if before.is_none_or(is_news) {
            self.execute(
                "INSERT INTO tidying (one, trusted, doubted, purge_due) VALUES (1, ?1, ?2, 0)
                 ON CONFLICT (one) DO UPDATE SET trusted = ?1, doubted = ?2",
                (clock.trusted, clock.doubted),
            )?;
        }
        // Behind the trusted time, a clock deletes less: that is what it may do.
        Ok(clock.trusted.min(now))
    }

    /// Deletes a batch of what the rules say; true if there may be more.
    fn tidy_some(&self, now: Timestamp, changed: &mut Vec<ContactKey>) -> Result<bool, StoreError> {
        let now = self.see_clock(now)?;
        let contacts =
            self.rows("SELECT contact FROM retention WHERE ours", [], |row| fixed::<16>(row.get_ref(0)?.as_blob()?))?;
        let mut left = BATCH;
        for contact in contacts {
            let before = self.retention(&contact, true)?.and_then(|rule| rule.deletes_before(now));
            let Some(before) = before else { continue };
            let deleted = self.delete_before(&contact, before, left)?;
            if deleted > 0 && !changed.contains(&contact) {
                changed.push(contact);
            }
            left = left.saturating_sub(u32::try_from(deleted).unwrap_or(u32::MAX));
            if left == 0 {
                return Ok(true);
            }
        }
        self.drop_deleted()?;
        Ok(false)
    }

    fn purge_is_due(&self) -> Result<bool, StoreError> {
        Ok(self.row("SELECT purge_due FROM tidying", [], |row| row.get(0))?.unwrap_or(false))
    }
}

impl Store {
    /// Deletes what the rules say, and then for good.
    #[cfg(test)]
    pub(crate) fn tidy(&mut self, now: Timestamp) -> Result<Vec<ContactKey>, StoreError> {
        let changed = self.tidy_rows(now)?;
        self.purge_if_due()?;
        Ok(changed)
    }

    /// Deletes what the rules say. Returns the contacts whose messages became fewer. It takes neither long nor much memory:
    /// what is deleted may be read in the file until it is purged.
    pub(crate) fn tidy_rows(&mut self, now: Timestamp) -> Result<Vec<ContactKey>, StoreError> {
        let mut changed = Vec::new();
        while self.change(|tx| tx.tidy_some(now, &mut changed))? {}
        Ok(changed)
    }

    pub(crate) fn purge_if_due(&mut self) -> Result<(), StoreError> {
        if self.read(|tx| tx.purge_is_due())? { self.purge() } else { Ok(()) }
    }

    /// Writes the store anew, and empties the log: until then, both hold what was deleted. `secure_delete` overwrites a
    /// deleted row and a freed page, but not the copies that were left in the unused part of a page when its rows were
    /// moved to others. It takes as much memory as the store is large: while that is more than
    /// [`MOST_REWRITTEN`], and if a reader is in the way, it stays due.
    pub(crate) fn purge(&mut self) -> Result<(), StoreError> {
        if self.live_bytes()? > MOST_REWRITTEN {
            // Each step of it frees one page.
            let mut freed = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut steps = freed.query([])?;
            while steps.next()?.is_some() {}
            return Ok(());
        }
        self.connection.execute_batch("VACUUM")?;
        if self.checkpoint()? {
            self.change(|tx| tx.execute("UPDATE tidying SET purge_due = 0", []).map(drop))?;
            self.checkpoint()?;
        }
        Ok(())
    }

    /// What is in use of the file.
    fn live_bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT (page_count - freelist_count) * page_size
                   FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        Ok(self.connection.query_row(sql, [], |row| row.get(0))?)
    }

    /// Moves the log into the store and empties it; false if another process is in the way.
    pub(crate) fn checkpoint(&self) -> Result<bool, StoreError> {
        let busy: bool = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(!busy)
    }
}

#[cfg(test)]
mod tests;
