//! Statements, and the keys that sign them.

use zeroize::Zeroizing;

use super::contacts::ContactKey;
use super::messages::MessageKey;
use super::{Kind, Tx, fixed};
use crate::care::consent::PairingName;
use crate::content::{Body, StatementPart};
use crate::crypto::signing::{SigningKey, SigningPublic, StatementKind};
use crate::error::StoreError;
use crate::types::Timestamp;

/// Incomplete statements of one contact that are kept: the oldest gives way.
const MOST_INCOMPLETE: u32 = 4;

/// Whose statement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Theirs,
    Ours,
}

/// What a pairing has to do with statements.
pub(crate) struct CareRow {
    pub(crate) pairing: PairingName,
    /// End B: the key of our own statements in this pairing. End A signs with the practice's.
    pub(crate) signing_key: Option<SigningKey>,
    /// The key of theirs.
    pub(crate) peer_key: SigningPublic,
}

/// Who pauses a conversation, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    pub(crate) by_us: Option<Timestamp>,
    pub(crate) by_them: Option<Timestamp>,
}

impl Pauses {
    pub(crate) const fn is_paused(self) -> bool {
        self.by_us.is_some() || self.by_them.is_some()
    }
}

impl Tx<'_> {
    /// The key of this device's own statements, as a practice.
    pub(crate) fn practice_key(&self) -> Result<Option<SigningKey>, StoreError> {
        self.row("SELECT signing_secret FROM practice", [], |row| {
            let seed = Zeroizing::new(fixed(row.get_ref(0)?.as_blob()?)?);
            Ok(SigningKey::from_bytes(&seed))
        })
    }

    pub(crate) fn set_practice_key(&self, key: &SigningKey) -> Result<(), StoreError> {
        self.execute("INSERT INTO practice (one, signing_secret) VALUES (1, ?1)", [*key.secret_bytes()])?;
        Ok(())
    }

    /// The least version of the next own statement.
    pub(crate) fn versions_from(&self) -> Result<u64, StoreError> {
        Ok(self.row("SELECT versions_from FROM practice", [], |row| row.get(0))?.unwrap_or(0))
    }

    pub(crate) fn raise_versions_from(&self, version: u64) -> Result<(), StoreError> {
        self.execute("UPDATE practice SET versions_from = max(versions_from, ?1)", [version])?;
        Ok(())
    }

    /// The newest own statement of a kind.
    pub(crate) fn own_statement(&self, kind: StatementKind) -> Result<Option<Vec<u8>>, StoreError> {
        self.row(
            "SELECT statement FROM own_statements WHERE kind = ?1 ORDER BY version DESC LIMIT 1",
            [kind.number()],
            |row| row.get(0),
        )
    }

    /// An own statement of a kind and version.
    pub(crate) fn own_statement_of(&self, kind: StatementKind, version: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.row(
            "SELECT statement FROM own_statements WHERE kind = ?1 AND version = ?2",
            (kind.number(), version),
            |row| row.get(0),
        )
    }

    /// Keeps an own statement; of terms the earlier ones too.
    pub(crate) fn add_own_statement(
        &self,
        kind: StatementKind,
        version: u64,
        statement: &[u8],
    ) -> Result<(), StoreError> {
        if kind != StatementKind::Terms {
            self.execute("DELETE FROM own_statements WHERE kind = ?1", [kind.number()])?;
        }
        self.execute(
            "INSERT INTO own_statements (kind, version, statement) VALUES (?1, ?2, ?3)",
            (kind.number(), version, statement),
        )?;
        Ok(())
    }

    pub(crate) fn care(&self, contact: &ContactKey) -> Result<Option<CareRow>, StoreError> {
        self.row("SELECT pairing, signing_secret, peer_key FROM care WHERE contact = ?1", [contact], |row| {
            let seed = row.get_ref(1)?.as_blob_or_null()?.map(fixed).transpose()?.map(Zeroizing::new);
            let peer_key = SigningPublic::from_bytes(&fixed(row.get_ref(2)?.as_blob()?)?);
            Ok(CareRow {
                pairing: fixed(row.get_ref(0)?.as_blob()?)?,
                signing_key: seed.map(|seed| SigningKey::from_bytes(&seed)),
                peer_key: peer_key.map_err(|_| rusqlite::Error::InvalidQuery)?,
            })
        })
    }

    pub(crate) fn set_care(&self, contact: &ContactKey, care: &CareRow) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO care (contact, pairing, signing_secret, peer_key) VALUES (?1, ?2, ?3, ?4)",
            (contact, care.pairing, care.signing_key.as_ref().map(|key| *key.secret_bytes()), care.peer_key.to_bytes()),
        )?;
        Ok(())
    }

    /// Who pauses the conversation.
    pub(crate) fn pauses(&self, contact: &ContactKey) -> Result<Pauses, StoreError> {
        let sql = "SELECT paused_by_us, paused_by_them FROM care WHERE contact = ?1";
        let found = self.row(sql, [contact], |row| Ok(Pauses { by_us: row.get(0)?, by_them: row.get(1)? }))?;
        Ok(found.unwrap_or_default())
    }

    /// Pauses from this side, or not, and gives the number of that: above those that a lost device may have given.
    pub(crate) fn set_paused_by_us(
        &self,
        contact: &ContactKey,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE care SET paused_by_us = ?2, pauses_out = max(pauses_out + 1, ?3) WHERE contact = ?1
            RETURNING pauses_out";
        self.row(sql, (contact, since, now), |row| row.get(0))?.ok_or(StoreError::Damaged)
    }

    /// What the other side says of its pause; false if it said something newer before, or this already.
    pub(crate) fn set_paused_by_them(
        &self,
        contact: &ContactKey,
        number: u64,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let was_paused = self.pauses(contact)?.by_them.is_some();
        let sql = "UPDATE care SET pauses_in = ?2, paused_by_them = iif(?3 IS NULL, NULL, coalesce(paused_by_them, ?3))
            WHERE contact = ?1 AND pauses_in < ?2";
        Ok(self.execute(sql, (contact, number, since))? > 0 && was_paused != since.is_some())
    }

    /// The paired contacts of whom this device is the practice.
    pub(crate) fn clients(&self) -> Result<Vec<ContactKey>, StoreError> {
        self.rows(
            "SELECT id FROM contacts JOIN care ON contact = id WHERE end_number = 1 AND state IN (6, 7)
             ORDER BY created_at, id",
            [],
            |row| fixed(row.get_ref(0)?.as_blob()?),
        )
    }

    /// The version of the newest statement of a kind in a pairing; 0 if there is none.
    pub(crate) fn newest_version(
        &self,
        contact: &ContactKey,
        whose: Whose,
        kind: StatementKind,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(version), 0) FROM statements WHERE contact = ?1 AND ours = ?2 AND kind = ?3";
        Ok(self.row(sql, (contact, whose == Whose::Ours, kind.number()), |row| row.get(0))?.unwrap_or(0))
    }

    /// The newest statement of a kind in a pairing.
    pub(crate) fn statement(
        &self,
        contact: &ContactKey,
        whose: Whose,
        kind: StatementKind,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.statements(contact, whose, kind)?.pop().map(|(_, statement)| statement))
    }

    /// The statement of a kind and version in a pairing.
    pub(crate) fn statement_of(
        &self,
        contact: &ContactKey,
        whose: Whose,
        kind: StatementKind,
        version: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.row(
            "SELECT statement FROM statements WHERE contact = ?1 AND ours = ?2 AND kind = ?3 AND version = ?4",
            (contact, whose == Whose::Ours, kind.number(), version),
            |row| row.get(0),
        )
    }

    /// All statements of a kind in a pairing, the oldest first, each with when it was kept.
    pub(crate) fn statements(
        &self,
        contact: &ContactKey,
        whose: Whose,
        kind: StatementKind,
    ) -> Result<Vec<(Timestamp, Vec<u8>)>, StoreError> {
        self.rows(
            "SELECT kept_at, statement FROM statements WHERE contact = ?1 AND ours = ?2 AND kind = ?3 ORDER BY version",
            (contact, whose == Whose::Ours, kind.number()),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }

    /// Keeps a statement of a pairing. A card takes the place of the one before; of one version the first stays.
    pub(crate) fn keep_statement(
        &self,
        contact: &ContactKey,
        whose: Whose,
        kind: StatementKind,
        version: u64,
        statement: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if matches!(kind, StatementKind::PracticeCard | StatementKind::CrisisCard) {
            self.execute(
                "DELETE FROM statements WHERE contact = ?1 AND ours = ?2 AND kind = ?3 AND version < ?4",
                (contact, whose == Whose::Ours, kind.number(), version),
            )?;
        }
        self.execute(
            "INSERT INTO statements (contact, ours, kind, version, kept_at, statement) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO NOTHING",
            (contact, whose == Whose::Ours, kind.number(), version, now, statement),
        )?;
        Ok(())
    }

    /// Keeps a part, and gives the whole once all parts are here.
    pub(crate) fn add_statement_part(
        &self,
        contact: &ContactKey,
        part: &StatementPart,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.execute(
            "INSERT INTO statement_parts (contact, digest, part, count, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
            (contact, part.digest, part.part, part.count, &part.bytes),
        )?;
        let parts: Vec<Vec<u8>> = self.rows(
            "SELECT bytes FROM statement_parts WHERE contact = ?1 AND digest = ?2 AND count = ?3 ORDER BY part",
            (contact, part.digest, part.count),
            |row| row.get(0),
        )?;
        if parts.len() < usize::from(part.count) {
            self.execute(
                "DELETE FROM statement_parts WHERE contact = ?1 AND digest NOT IN (SELECT digest FROM statement_parts
                     WHERE contact = ?1 GROUP BY digest ORDER BY max(id) DESC LIMIT ?2)",
                (contact, MOST_INCOMPLETE),
            )?;
            return Ok(None);
        }
        self.execute("DELETE FROM statement_parts WHERE contact = ?1 AND digest = ?2", (contact, part.digest))?;
        Ok(Some(parts.concat()))
    }

    /// What a message of ours says, if that is no text.
    pub(crate) fn message_body(&self, message: MessageKey) -> Result<Option<Body>, StoreError> {
        let bytes: Option<Vec<u8>> =
            self.row("SELECT body FROM message_bodies WHERE message = ?1", [message], |row| row.get(0))?;
        bytes.map(|bytes| Body::from_bytes(&bytes).map_err(|_| StoreError::Damaged)).transpose()
    }

    /// Keeps what a message of ours says, in place of what it said.
    pub(crate) fn keep_body(&self, message: MessageKey, body: &Body) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO message_bodies (message, body) VALUES (?1, ?2)
             ON CONFLICT (message) DO UPDATE SET body = ?2",
            (message, body.to_bytes()),
        )?;
        Ok(())
    }

    /// Keeps what a message of ours says, and puts it into the outbox.
    pub(crate) fn queue_body(&self, contact: &ContactKey, message: MessageKey, body: &Body) -> Result<(), StoreError> {
        self.keep_body(message, body)?;
        self.enqueue(contact, Kind::Message, Some(message), None)
    }
}

#[cfg(test)]
impl Tx<'_> {
    pub(crate) fn incomplete_statements(&self, contact: &ContactKey) -> Result<u64, StoreError> {
        let sql = "SELECT count(DISTINCT digest) FROM statement_parts WHERE contact = ?1";
        Ok(self.row(sql, [contact], |row| row.get(0))?.unwrap_or(0))
    }
}
