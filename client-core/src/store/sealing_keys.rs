//! Our sealing keys: a box may come under any that is here.

use zeroize::Zeroizing;

use super::contacts::ContactKey;
use super::{Tx, fixed};
use crate::crypto::seal::{SealingKey, SealingPublic};
use crate::error::StoreError;
use crate::types::Timestamp;

/// One of them.
pub(crate) struct OwnSealingKey {
    pub(crate) id: i64,
    pub(crate) key: SealingKey,
    /// As it was announced; 0 for the one that the session began with.
    pub(crate) number: u32,
    pub(crate) made_at: Timestamp,
    /// When the relay took the announcement.
    pub(crate) announced_at: Option<Timestamp>,
    /// When the first box came under it.
    pub(crate) used_at: Option<Timestamp>,
    /// Boxes that came under it.
    pub(crate) boxes: u64,
}

const KEY: &str = "id, secret, number, created_at, announced_at, used_at, boxes";

fn own(row: &rusqlite::Row<'_>) -> rusqlite::Result<OwnSealingKey> {
    let seed = Zeroizing::new(fixed(row.get_ref(1)?.as_blob()?)?);
    Ok(OwnSealingKey {
        id: row.get(0)?,
        key: SealingKey::from_bytes(&seed),
        number: row.get(2)?,
        made_at: row.get(3)?,
        announced_at: row.get(4)?,
        used_at: row.get(5)?,
        boxes: row.get(6)?,
    })
}

impl Tx<'_> {
    pub(crate) fn add_sealing_key(
        &self,
        contact: &ContactKey,
        session: i64,
        number: u32,
        own: &SealingKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO sealing_keys (contact, session, number, secret, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            (contact, session, number, *own.secret_bytes(), now),
        )?;
        Ok(())
    }

    /// Our live sealing keys of a session, the newest first: it is the likeliest.
    pub(crate) fn sealing_keys(&self, contact: &ContactKey, session: i64) -> Result<Vec<OwnSealingKey>, StoreError> {
        let sql = format!("SELECT {KEY} FROM sealing_keys WHERE contact = ?1 AND session = ?2 ORDER BY id DESC");
        self.rows(&sql, (contact, session), own)
    }

    pub(crate) fn newest_sealing_key(
        &self,
        contact: &ContactKey,
        session: i64,
    ) -> Result<Option<OwnSealingKey>, StoreError> {
        let sql =
            format!("SELECT {KEY} FROM sealing_keys WHERE contact = ?1 AND session = ?2 ORDER BY id DESC LIMIT 1");
        self.row(&sql, (contact, session), own)
    }

    /// A box came under a key of ours: how many did so far.
    pub(crate) fn note_sealing_key_used(&self, id: i64, now: Timestamp) -> Result<u64, StoreError> {
        let counted = self.row(
            "UPDATE sealing_keys SET boxes = boxes + 1, used_at = coalesce(used_at, ?2) WHERE id = ?1 RETURNING boxes",
            (id, now),
            |row| row.get(0),
        )?;
        counted.ok_or(StoreError::Damaged)
    }

    /// The relay took the announcement of our newest key, or, without a time, lost it.
    pub(crate) fn set_announced(&self, contact: &ContactKey, at: Option<Timestamp>) -> Result<(), StoreError> {
        self.execute(
            "UPDATE sealing_keys SET announced_at = ?2
             WHERE id = (SELECT max(id) FROM sealing_keys WHERE contact = ?1) AND used_at IS NULL",
            (contact, at),
        )?;
        Ok(())
    }

    /// Erases the keys that are older than one under which boxes came at least so long ago.
    pub(crate) fn erase_sealing_keys(
        &self,
        contact: &ContactKey,
        now: Timestamp,
        after_ms: u64,
    ) -> Result<(), StoreError> {
        // A time from ahead was noted by a clock that has been set back since.
        self.execute("UPDATE sealing_keys SET used_at = ?2 WHERE contact = ?1 AND used_at > ?2", (contact, now))?;
        self.execute(
            "DELETE FROM sealing_keys AS older WHERE contact = ?1 AND EXISTS (SELECT 1 FROM sealing_keys AS newer
                 WHERE newer.contact = older.contact AND newer.session = older.session AND newer.id > older.id
                     AND newer.used_at <= ?2)",
            (contact, now.saturating_sub(after_ms)),
        )?;
        Ok(())
    }

    /// The other side announced a sealing key: boxes are sealed to it from here on. False if we know a newer one.
    pub(crate) fn set_peer_sealing(
        &self,
        contact: &ContactKey,
        number: u32,
        key: &SealingPublic,
    ) -> Result<bool, StoreError> {
        let changed = self.execute(
            "UPDATE contacts SET peer_sealing = ?3, peer_sealing_number = ?2
             WHERE id = ?1 AND peer_sealing_number < ?2",
            (contact, number, key.to_bytes()),
        )?;
        Ok(changed > 0)
    }
}
