//! Transfers: files on their way, and how far each is.

use prost::Message as _;
use rusqlite::Row;

use super::contacts::{ContactKey, ContactRow};
use super::messages::{MessageKey, NAMED};
use super::outbox::Kind;
use super::{RelayId, Tx, fixed};
use crate::content::{AttachmentContent, CHUNK, Range, TransferId, pb};
use crate::error::StoreError;
use crate::types::{Attachment, Timestamp, TransferState};

/// Names a transfer in the store.
pub(crate) type TransferKey = i64;

/// The largest file that a device takes, unless it was told otherwise: 100 MB.
const DEFAULT_LIMIT: u64 = 100_000_000;

/// How a transfer stands, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Being copied in.
    Staging,
    UnderWay,
    Whole,
    CancelledHere,
    CancelledThere,
    TooLarge,
    NoRoom,
    Damaged,
    Ended,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Staging,
        Self::UnderWay,
        Self::Whole,
        Self::CancelledHere,
        Self::CancelledThere,
        Self::TooLarge,
        Self::NoRoom,
        Self::Damaged,
        Self::Ended,
    ];

    pub(super) const fn number(self) -> i64 {
        self as i64
    }

    fn from_number(number: i64) -> rusqlite::Result<Self> {
        Self::ALL.into_iter().find(|stage| stage.number() == number).ok_or(rusqlite::Error::InvalidQuery)
    }
}

/// A transfer.
#[derive(Clone, Debug)]
pub(crate) struct TransferRow {
    pub(crate) key: TransferKey,
    pub(crate) conversation: ContactKey,
    pub(crate) ours: bool,
    pub(crate) transfer: TransferId,
    pub(crate) message: Option<MessageKey>,
    pub(crate) stage: Stage,
    pub(crate) size: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) here: u64,
    pub(crate) told: u64,
}

impl TransferRow {
    /// How many chunks it is cut into.
    pub(crate) const fn chunks(&self) -> u64 {
        self.size.div_ceil(CHUNK as u64)
    }

    /// How long one of its chunks is; 0 if there is no such chunk.
    pub(crate) fn length_of(&self, number: u64) -> usize {
        let from = (number - 1).saturating_mul(CHUNK as u64);
        usize::try_from(self.size.saturating_sub(from)).unwrap_or(usize::MAX).min(CHUNK)
    }
}

const ROW: &str = "SELECT key, conversation, ours, transfer, message, state, size, digest, here, told FROM transfers";

fn transfer_row(row: &Row<'_>) -> rusqlite::Result<TransferRow> {
    Ok(TransferRow {
        key: row.get(0)?,
        conversation: fixed(row.get_ref(1)?.as_blob()?)?,
        ours: row.get(2)?,
        transfer: fixed(row.get_ref(3)?.as_blob()?)?,
        message: row.get(4)?,
        stage: Stage::from_number(row.get(5)?)?,
        size: row.get(6)?,
        digest: fixed(row.get_ref(7)?.as_blob()?)?,
        here: row.get(8)?,
        told: row.get(9)?,
    })
}

fn public(row: &Row<'_>) -> rusqlite::Result<Attachment> {
    let size = row.get(3)?;
    Ok(Attachment {
        name: row.get(1)?,
        media_type: row.get(2)?,
        size,
        duration_ms: row.get(4)?,
        has_thumbnail: row.get(6)?,
        transfer: match Stage::from_number(row.get(0)?)? {
            Stage::Staging | Stage::UnderWay => TransferState::UnderWay { done: row.get(5)?, of: size },
            Stage::Whole => TransferState::Whole,
            Stage::CancelledHere => TransferState::CancelledByUs,
            Stage::CancelledThere => TransferState::CancelledByPeer,
            Stage::TooLarge => TransferState::TooLarge,
            Stage::NoRoom => TransferState::NoRoom,
            Stage::Damaged => TransferState::Damaged,
            Stage::Ended => TransferState::Ended,
        },
    })
}

impl Tx<'_> {
    /// What a message that announces a file shows of it.
    pub(super) fn attachment(&self, message: MessageKey) -> Result<Option<Attachment>, StoreError> {
        self.row(
            "SELECT state, name, media_type, size, duration_ms, done, EXISTS (SELECT 1 FROM thumbnails WHERE file = key)
             FROM transfers WHERE message = ?1",
            [message],
            public,
        )
    }

    /// A transfer begins: one of ours is copied in first, one of theirs is under way.
    pub(crate) fn add_transfer(
        &self,
        contact: &ContactKey,
        ours: bool,
        message: Option<MessageKey>,
        stage: Stage,
        attachment: &AttachmentContent,
        now: Timestamp,
    ) -> Result<Option<TransferKey>, StoreError> {
        let inserted = self.execute(
            "INSERT INTO transfers (conversation, ours, transfer, message, state, name, media_type, size, digest,
                 duration_ms, moved_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
            rusqlite::params![
                contact,
                ours,
                attachment.transfer,
                message,
                stage.number(),
                attachment.name,
                attachment.media_type,
                attachment.size,
                attachment.digest,
                attachment.duration_ms,
                now,
            ],
        )?;
        if inserted == 0 {
            return Ok(None);
        }
        let key = self.transaction.last_insert_rowid();
        if let Some(thumbnail) = &attachment.thumbnail {
            self.execute("INSERT INTO thumbnails (file, bytes) VALUES (?1, ?2)", (key, thumbnail))?;
        }
        Ok(Some(key))
    }

    pub(crate) fn transfer(
        &self,
        contact: &ContactKey,
        ours: bool,
        transfer: &TransferId,
    ) -> Result<Option<TransferRow>, StoreError> {
        let sql = format!("{ROW} WHERE conversation = ?1 AND ours = ?2 AND transfer = ?3");
        self.row(&sql, (contact, ours, transfer), transfer_row)
    }

    /// The transfer of a message of ours or theirs.
    pub(crate) fn transfer_of(&self, message_id: &[u8; 16]) -> Result<Option<TransferRow>, StoreError> {
        self.row(&format!("{ROW} WHERE message = ({NAMED})"), [message_id], transfer_row)
    }

    /// The transfer that a message announces.
    pub(super) fn transfer_announced(&self, message: MessageKey) -> Result<Option<TransferRow>, StoreError> {
        self.row(&format!("{ROW} WHERE message = ?1"), [message], transfer_row)
    }

    /// The transfers of a conversation that are under way, the oldest first.
    pub(crate) fn transfers_under_way(&self, contact: &ContactKey, ours: bool) -> Result<Vec<TransferRow>, StoreError> {
        let sql = format!("{ROW} WHERE conversation = ?1 AND ours = ?2 AND state = 1 ORDER BY key");
        self.rows(&sql, (contact, ours), transfer_row)
    }

    /// What is announced, to be sealed.
    pub(super) fn announced(&self, message: MessageKey) -> Result<Option<AttachmentContent>, StoreError> {
        self.row(
            "SELECT transfer, name, media_type, size, digest, duration_ms,
                 (SELECT bytes FROM thumbnails WHERE file = transfers.key)
             FROM transfers WHERE message = ?1",
            [message],
            |row| {
                Ok(AttachmentContent {
                    transfer: fixed(row.get_ref(0)?.as_blob()?)?,
                    name: row.get(1)?,
                    media_type: row.get(2)?,
                    size: row.get(3)?,
                    digest: fixed(row.get_ref(4)?.as_blob()?)?,
                    duration_ms: row.get(5)?,
                    thumbnail: row.get(6)?,
                })
            },
        )
    }

    pub(crate) fn thumbnail(&self, key: TransferKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.row("SELECT bytes FROM thumbnails WHERE file = ?1", [key], |row| row.get(0))
    }

    /// What was copied in becomes a message.
    pub(crate) fn announce(
        &self,
        key: TransferKey,
        message: MessageKey,
        digest: &[u8; 32],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE transfers SET message = ?2, digest = ?3, state = ?4, moved_at = ?5 WHERE key = ?1",
            (key, message, digest, Stage::UnderWay.number(), now),
        )?;
        Ok(())
    }

    pub(crate) fn set_stage(&self, key: TransferKey, stage: Stage) -> Result<(), StoreError> {
        self.execute("UPDATE transfers SET state = ?2 WHERE key = ?1", (key, stage.number()))?;
        if stage == Stage::Whole {
            self.execute("UPDATE transfers SET done = size WHERE key = ?1", [key])?;
        }
        Ok(())
    }

    /// Of ours: what the recipient has now. `stalled`: it is not to be taken for progress.
    pub(crate) fn set_there(
        &self,
        transfer: &TransferRow,
        up_to: u64,
        beyond: &[Range],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ranges = beyond.iter().map(|range| pb::Range { first: range.first, last: range.last }).collect();
        let there = pb::Positions { up_to, beyond: ranges }.encode_to_vec();
        let chunks = up_to + beyond.iter().map(|range| range.last - range.first + 1).sum::<u64>();
        let done = chunks.saturating_mul(CHUNK as u64).min(transfer.size);
        self.execute(
            "UPDATE transfers SET there = ?2, done = ?3, state = ?4, moved_at = ?5, stalls = 0 WHERE key = ?1",
            (transfer.key, there, done, Stage::UnderWay.number(), now),
        )?;
        Ok(())
    }

    /// Of ours: what the recipient has, as far as it told.
    pub(crate) fn there(&self, key: TransferKey) -> Result<Vec<Range>, StoreError> {
        let there: Option<Vec<u8>> =
            self.row("SELECT there FROM transfers WHERE key = ?1", [key], |row| row.get(0))?.flatten();
        let there = pb::Positions::decode(&there.unwrap_or_default()[..]).map_err(|_| StoreError::Damaged)?;
        let first = std::iter::once(Range { first: 1, last: there.up_to });
        Ok(first.chain(there.beyond.iter().map(|range| Range { first: range.first, last: range.last })).collect())
    }

    /// Of theirs: one more chunk is here.
    pub(crate) fn note_chunk(&self, transfer: &TransferRow, bytes: usize, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE transfers SET here = here + 1, done = done + ?2, moved_at = ?3, stalls = 0 WHERE key = ?1",
            (transfer.key, bytes, now),
        )?;
        Ok(())
    }

    /// Of theirs: the sender is told of what is here.
    pub(crate) fn note_told(&self, key: TransferKey) -> Result<(), StoreError> {
        self.execute("UPDATE transfers SET told = here WHERE key = ?1", [key])?;
        Ok(())
    }

    /// Of theirs: the sender seems not to know what it was told.
    pub(crate) fn tell_again(&self, key: TransferKey) -> Result<(), StoreError> {
        self.execute("UPDATE transfers SET told = 0 WHERE key = ?1", [key])?;
        Ok(())
    }

    /// The other side is to be told how a transfer stands.
    pub(crate) fn owe_status(
        &self,
        contact: &ContactKey,
        ours: bool,
        transfer: &TransferId,
        stalled: bool,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO statuses_due (contact, transfer, ours, stalled) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET stalled = max(stalled, ?4)",
            (contact, transfer, ours, stalled),
        )?;
        Ok(())
    }

    /// Takes one of the statuses that a contact is owed: the transfer, whether it is ours, and whether it stalled.
    pub(crate) fn take_status(&self, contact: &ContactKey) -> Result<Option<(TransferId, bool, bool)>, StoreError> {
        self.row(
            "DELETE FROM statuses_due WHERE (contact, transfer, ours) IN
                 (SELECT contact, transfer, ours FROM statuses_due WHERE contact = ?1 LIMIT 1)
             RETURNING transfer, ours, stalled",
            [contact],
            |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, row.get(1)?, row.get(2)?)),
        )
    }

    /// Puts a status into the outbox of every contact of a relay that is owed one.
    pub(crate) fn enqueue_statuses(&self, relay: RelayId) -> Result<(), StoreError> {
        let owed: Vec<ContactKey> = self.rows(
            "SELECT DISTINCT contact FROM statuses_due JOIN contacts ON contacts.id = contact
             WHERE relay = ?1 AND contacts.state IN (6, 7)",
            [relay],
            |row| fixed(row.get_ref(0)?.as_blob()?),
        )?;
        for contact in owed {
            if !self.is_outgoing(&contact, Kind::Status)? {
                self.enqueue(&contact, Kind::Status, None, None)?;
            }
        }
        Ok(())
    }

    /// Owes a status of everything that came since the senders of a relay were last told.
    pub(crate) fn owe_news(&self, relay: RelayId) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO statuses_due (contact, transfer, ours)
                 SELECT conversation, transfer, 0 FROM transfers JOIN contacts ON contacts.id = conversation
                 WHERE relay = ?1 AND NOT ours AND transfers.state = 1 AND here > told
             ON CONFLICT DO NOTHING",
            [relay],
        )?;
        Ok(())
    }

    /// Of ours that was cancelled: whether the recipient is still to say that it knows.
    pub(crate) fn set_unconfirmed(&self, key: TransferKey, unconfirmed: bool) -> Result<(), StoreError> {
        self.execute("UPDATE transfers SET unconfirmed = ?2 WHERE key = ?1", (key, unconfirmed))?;
        Ok(())
    }

    /// Transfers of a contact that are not over, and did not move for this long, or for twice as long after each time that they were
    /// found here. They count as found.
    pub(crate) fn stalled(
        &self,
        contact: &ContactKey,
        now: Timestamp,
        after_ms: u64,
    ) -> Result<Vec<TransferRow>, StoreError> {
        let sql = format!(
            "{ROW} WHERE conversation = ?1 AND (state = 1 OR unconfirmed = 1)
                 AND abs(?2 - moved_at) > ?3 << min(stalls, 8)"
        );
        let stalled = self.rows(&sql, (contact, now, after_ms), transfer_row)?;
        for transfer in &stalled {
            let sql = "UPDATE transfers SET stalls = stalls + 1, moved_at = ?2 WHERE key = ?1";
            self.execute(sql, (transfer.key, now))?;
        }
        Ok(stalled)
    }

    /// Whether anything of this relay is under way.
    pub(crate) fn any_transfer(&self, relay: RelayId) -> Result<bool, StoreError> {
        let found = self.row(
            "SELECT 1 FROM contacts WHERE relay = ?1 AND EXISTS
                 (SELECT 1 FROM transfers WHERE conversation = contacts.id
                     AND (transfers.state = 1 OR unconfirmed = 1)) LIMIT 1",
            [relay],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    /// The contacts of a relay to which files are under way.
    pub(crate) fn contacts_with_transfers(&self, relay: RelayId) -> Result<Vec<ContactRow>, StoreError> {
        let rows = self.live_contacts(relay)?.into_iter().filter(|row| row.state.can_send());
        let mut with = Vec::new();
        for row in rows {
            let sql = "SELECT 1 FROM transfers WHERE conversation = ?1 AND ours = 1 AND state = 1 LIMIT 1";
            if self.row(sql, [row.key], |_| Ok(()))?.is_some() {
                with.push(row);
            }
        }
        Ok(with)
    }

    /// Bytes that are still to come from a contact.
    pub(crate) fn bytes_to_come(&self, contact: &ContactKey) -> Result<u64, StoreError> {
        let sum = self.row(
            "SELECT sum(size - done) FROM transfers WHERE conversation = ?1 AND ours = 0 AND state = 1",
            [contact],
            |row| row.get::<_, Option<u64>>(0),
        )?;
        Ok(sum.flatten().unwrap_or(0))
    }

    /// A session was lost, and with it what was sealed in it: chunks go again, and the other side is told of its own.
    pub(crate) fn restart_transfers(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.remove_outgoing_of(contact, Kind::Chunk)?;
        self.remove_outgoing_of(contact, Kind::Status)?;
        self.execute(
            "DELETE FROM chunks_under_way WHERE file IN (SELECT key FROM transfers WHERE conversation = ?1 AND ours = 1)",
            [contact],
        )?;
        self.owe_all(contact)
    }

    /// The other side may have missed what it was told.
    pub(crate) fn owe_all(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO statuses_due (contact, transfer, ours)
                 SELECT conversation, transfer, ours FROM transfers
                 WHERE conversation = ?1 AND (ours = 0 AND state = 1 OR unconfirmed = 1)
             ON CONFLICT DO NOTHING",
            [contact],
        )?;
        Ok(())
    }

    /// The pairing ended: what is not whole will not be.
    pub(super) fn end_transfers(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM statuses_due WHERE contact = ?1", [contact])?;
        self.execute("UPDATE transfers SET unconfirmed = 0 WHERE conversation = ?1 AND unconfirmed = 1", [contact])?;
        self.end_transfers_of(contact, false)?;
        self.end_transfers_of(contact, true)
    }

    /// No chunk is sent any more: what of our files is not there will not be, and waits for nothing.
    pub(crate) fn end_own_transfers(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.end_transfers_of(contact, true)?;
        self.remove_outgoing_of(contact, Kind::Chunk)
    }

    fn end_transfers_of(&self, contact: &ContactKey, ours: bool) -> Result<(), StoreError> {
        for transfer in self.transfers_under_way(contact, ours)? {
            self.drop_chunks(transfer.key)?;
            self.set_stage(transfer.key, Stage::Ended)?;
        }
        Ok(())
    }

    /// The largest file that this device takes.
    pub(crate) fn attachment_limit(&self) -> Result<u64, StoreError> {
        Ok(self.row("SELECT bytes FROM attachment_limit", [], |row| row.get(0))?.unwrap_or(DEFAULT_LIMIT))
    }

    pub(crate) fn set_attachment_limit(&self, bytes: u64) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO attachment_limit (one, bytes) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET bytes = ?1",
            [bytes],
        )?;
        Ok(())
    }
}
