//! What is to be sent, in order. A row stays until the relay accepted its box.

use rusqlite::Row;

use super::contacts::ContactKey;
use super::messages::MessageKey;
use super::{RelayId, Tx};
use crate::error::StoreError;

/// Names a row of the outbox.
pub(crate) type OutboxKey = i64;

/// What a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of our offer.
    Offer,
    /// Our accept.
    Accept,
    /// A message of ours.
    Message,
    /// A receipt that no message of ours carries.
    Receipt,
    /// Our newest sealing key, to be announced.
    SealingKey,
    /// A reset that we ask for.
    ResetRequest,
    /// The answer to one of the other side's.
    ResetAnswer,
    /// A chunk of a file. It goes after everything else, however long that waited.
    Chunk,
    /// How a transfer stands.
    Status,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Offer,
        Self::Accept,
        Self::Message,
        Self::Receipt,
        Self::SealingKey,
        Self::ResetRequest,
        Self::ResetAnswer,
        Self::Chunk,
        Self::Status,
    ];

    const fn number(self) -> i64 {
        self as i64 + 1
    }
}

/// Something to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) key: OutboxKey,
    pub(crate) kind: Kind,
    pub(crate) message: Option<MessageKey>,
    /// The bytes that every retry sends; none until it is sealed.
    pub(crate) sealed: Option<Vec<u8>>,
}

fn outgoing(row: &Row<'_>) -> rusqlite::Result<Outgoing> {
    let number: i64 = row.get(1)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.number() == number).ok_or(rusqlite::Error::InvalidQuery)?;
    Ok(Outgoing { key: row.get(0)?, kind, message: row.get(2)?, sealed: row.get(3)? })
}

impl Tx<'_> {
    pub(crate) fn enqueue(
        &self,
        contact: &ContactKey,
        kind: Kind,
        message: Option<MessageKey>,
        sealed: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO outbox (contact, kind, message, box) VALUES (?1, ?2, ?3, ?4)",
            (contact, kind.number(), message, sealed),
        )?;
        Ok(())
    }

    /// The next rows after one, in order.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn outgoing(
        &self,
        contact: &ContactKey,
        after: OutboxKey,
        most: usize,
    ) -> Result<Vec<Outgoing>, StoreError> {
        self.next_outgoing(contact, after, false, most)
    }

    /// The next rows after one, in order; or only those that are sealed already. Chunks are not among them.
    pub(crate) fn next_outgoing(
        &self,
        contact: &ContactKey,
        after: OutboxKey,
        only_sealed: bool,
        most: usize,
    ) -> Result<Vec<Outgoing>, StoreError> {
        self.rows(
            "SELECT id, kind, message, box FROM outbox
             WHERE contact = ?1 AND id > ?2 AND (NOT ?3 OR box IS NOT NULL) AND kind != ?5 ORDER BY id LIMIT ?4",
            (contact, after, only_sealed, most, Kind::Chunk.number()),
            outgoing,
        )
    }

    /// The next chunks after a row, in the order in which they were sealed.
    pub(crate) fn next_chunks(
        &self,
        contact: &ContactKey,
        after: OutboxKey,
        most: usize,
    ) -> Result<Vec<Outgoing>, StoreError> {
        self.rows(
            "SELECT id, kind, message, box FROM outbox WHERE contact = ?1 AND id > ?2 AND kind = ?3 ORDER BY id LIMIT ?4",
            (contact, after, Kind::Chunk.number(), most),
            outgoing,
        )
    }

    /// Keeps a sealed chunk until the relay has it.
    pub(crate) fn enqueue_chunk(&self, contact: &ContactKey, sealed: &[u8]) -> Result<OutboxKey, StoreError> {
        self.enqueue(contact, Kind::Chunk, None, Some(sealed))?;
        Ok(self.transaction.last_insert_rowid())
    }

    pub(crate) fn one_outgoing(&self, key: OutboxKey) -> Result<Option<Outgoing>, StoreError> {
        self.row("SELECT id, kind, message, box FROM outbox WHERE id = ?1", [key], outgoing)
    }

    /// Keeps the bytes that every retry sends.
    pub(crate) fn set_box(&self, key: OutboxKey, sealed: &[u8]) -> Result<(), StoreError> {
        self.execute("UPDATE outbox SET box = ?2 WHERE id = ?1", (key, sealed))?;
        Ok(())
    }

    pub(crate) fn remove_outgoing(&self, key: OutboxKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM outbox WHERE id = ?1", [key])?;
        Ok(())
    }

    pub(crate) fn remove_outgoing_of(&self, contact: &ContactKey, kind: Kind) -> Result<(), StoreError> {
        self.execute("DELETE FROM outbox WHERE contact = ?1 AND kind = ?2", (contact, kind.number()))?;
        Ok(())
    }

    pub(crate) fn is_outgoing(&self, contact: &ContactKey, kind: Kind) -> Result<bool, StoreError> {
        let found = self.row(
            "SELECT 1 FROM outbox WHERE contact = ?1 AND kind = ?2 LIMIT 1",
            (contact, kind.number()),
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    pub(crate) fn nothing_is_outgoing(&self, contact: &ContactKey) -> Result<bool, StoreError> {
        let found = self.row("SELECT 1 FROM outbox WHERE contact = ?1 LIMIT 1", [contact], |_| Ok(()))?;
        Ok(found.is_none())
    }

    /// Refuses what was never sealed. What was may be at the relay already, and goes on.
    pub(crate) fn drop_unsealed(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM outbox WHERE contact = ?1 AND box IS NULL", [contact])?;
        self.refuse_unsent(contact)
    }

    /// Whether a relay still is to be handed something.
    pub(crate) fn outbox_is_empty(&self, relay: RelayId) -> Result<bool, StoreError> {
        let found = self.row(
            "SELECT 1 FROM outbox JOIN contacts ON contacts.id = contact WHERE relay = ?1 LIMIT 1",
            [relay],
            |_| Ok(()),
        )?;
        Ok(found.is_none())
    }
}
