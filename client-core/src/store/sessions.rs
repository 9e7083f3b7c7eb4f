//! Sessions of a channel: the present one, those before it that may still bring something, and resets.

use tacit_proto::EndKey;
use zeroize::Zeroizing;

use super::contacts::{ContactKey, ContactRow};
use super::{Kind, Tx, fixed};
use crate::content::ResetId;
use crate::crypto::pairing::Transcript;
use crate::crypto::psk::Psk;
use crate::crypto::reset::SessionSecrets;
use crate::crypto::seal::{SealingKey, SealingPublic};
use crate::error::StoreError;
use crate::types::Timestamp;

/// Sessions that are kept for what may still come under them. More resets than these, none of them used, are of no use.
const MOST_OLD: i64 = 4;

/// What an Olm session and its boxes are opened with.
pub(crate) struct SessionRow {
    pub(crate) session: i64,
    pub(crate) pickle: Zeroizing<Vec<u8>>,
    pub(crate) psk_in: Psk,
}

/// What a reset ends in.
pub(crate) struct NewSession<'a> {
    pub(crate) secrets: &'a SessionSecrets,
    pub(crate) transcript: &'a Transcript,
    pub(crate) pickle: &'a [u8],
    pub(crate) sealing: &'a SealingKey,
    pub(crate) peer_sealing: &'a SealingPublic,
    pub(crate) out_stream: [u8; 16],
    pub(crate) by_peer: bool,
}

/// A reset that we asked for.
pub(crate) struct AskedReset {
    pub(crate) id: ResetId,
    /// The exact payload that was sealed.
    pub(crate) request: Zeroizing<Vec<u8>>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) account: Zeroizing<Vec<u8>>,
    pub(crate) sealing: SealingKey,
    /// When the relay took it.
    pub(crate) sent_at: Option<Timestamp>,
    /// How often it crossed one of the other side.
    pub(crate) crossed: u64,
}

impl Tx<'_> {
    /// The sessions before the present one, the newest first.
    pub(crate) fn old_sessions(&self, contact: &ContactKey) -> Result<Vec<SessionRow>, StoreError> {
        self.rows(
            "SELECT session, pickle, psk_in FROM old_sessions WHERE contact = ?1 ORDER BY session DESC",
            [contact],
            |row| {
                Ok(SessionRow {
                    session: row.get(0)?,
                    pickle: Zeroizing::new(row.get(1)?),
                    psk_in: Psk::from_bytes(fixed(row.get_ref(2)?.as_blob()?)?),
                })
            },
        )
    }

    /// Writes the ratchet state of a session back.
    pub(crate) fn keep_session(&self, row: &ContactRow, session: i64, pickle: &[u8]) -> Result<(), StoreError> {
        if session == row.session {
            return self.set_blob(&row.key, "session", Some(pickle));
        }
        self.execute(
            "UPDATE old_sessions SET pickle = ?3 WHERE contact = ?1 AND session = ?2",
            (row.key, session, pickle),
        )?;
        Ok(())
    }

    /// Begins the next session. What the other side sealed in the one before is still read, if that one can be used.
    pub(crate) fn start_session(
        &self,
        row: &ContactRow,
        new: &NewSession<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let next = row.session + 1;
        self.execute(
            "INSERT INTO old_sessions (contact, session, pickle, psk_in)
                 SELECT id, session_number, session, psk_in FROM contacts
                 WHERE id = ?1 AND session IS NOT NULL AND psk_in IS NOT NULL",
            [row.key],
        )?;
        self.forget_sessions_before(&row.key, next - MOST_OLD)?;
        let (out, back) = (new.secrets.sent_by(row.of.end), new.secrets.sent_by(row.of.end.other()));
        self.execute(
            "UPDATE contacts SET session_number = ?2, session = ?3, psk_out = ?4, psk_in = ?5, transcript = ?6,
                 peer_sealing = ?7, peer_sealing_number = 0, out_stream = ?8, out_next = 1, verified = 0, wedged = 0,
                 reset_at = ?9, reset_by_peer = ?10
             WHERE id = ?1",
            rusqlite::params![
                row.key,
                next,
                new.pickle,
                out.secret_bytes(),
                back.secret_bytes(),
                new.transcript.as_bytes(),
                new.peer_sealing.to_bytes(),
                new.out_stream,
                now,
                new.by_peer,
            ],
        )?;
        self.add_sealing_key(&row.key, next, 0, new.sealing, now)
    }

    /// Erases the sessions before one, with all that opens what was sealed in them.
    pub(crate) fn forget_sessions_before(&self, contact: &ContactKey, session: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM old_sessions WHERE contact = ?1 AND session < ?2", (contact, session))?;
        self.execute("DELETE FROM sealing_keys WHERE contact = ?1 AND session < ?2", (contact, session))?;
        Ok(())
    }

    /// The other side uses the present session: erases the ones before it, and the answer that led to it. True if that
    /// answer was sent more than once: what was sent between may have come before it, and not have been read.
    pub(crate) fn forget_what_led_to(&self, row: &ContactRow) -> Result<bool, StoreError> {
        let answer = self.row(
            "SELECT repeated FROM reset_ids WHERE contact = ?1 AND answer IS NOT NULL",
            [row.key],
            |repeated| repeated.get::<_, bool>(0),
        )?;
        let old = self.row("SELECT 1 FROM old_sessions WHERE contact = ?1 LIMIT 1", [row.key], |_| Ok(()))?;
        if answer.is_some() || old.is_some() {
            self.forget_sessions_before(&row.key, row.session)?;
            self.forget_answers(&row.key)?;
        }
        Ok(answer.unwrap_or(false))
    }

    /// Whether the session cannot go on.
    pub(crate) fn is_wedged(&self, contact: &ContactKey) -> Result<bool, StoreError> {
        Ok(self.row("SELECT wedged FROM contacts WHERE id = ?1", [contact], |row| row.get(0))?.unwrap_or(false))
    }

    /// Marks whether the present session can be used; true if that changed.
    pub(crate) fn set_wedged(&self, contact: &ContactKey, wedged: bool) -> Result<bool, StoreError> {
        let sql = "UPDATE contacts SET wedged = ?2 WHERE id = ?1 AND wedged != ?2";
        Ok(self.execute(sql, (contact, wedged))? > 0)
    }

    pub(crate) fn reset_secret(&self, contact: &ContactKey) -> Result<Option<SealingKey>, StoreError> {
        Ok(self.secret(contact, "reset_secret")?.map(|seed| SealingKey::from_bytes(&seed)))
    }

    /// The other side's reset key, and the psk of resets.
    pub(crate) fn reset_outward(&self, contact: &ContactKey) -> Result<Option<(SealingPublic, Psk)>, StoreError> {
        let (Some(key), Some(psk)) = (self.blob(contact, "peer_reset")?, self.secret(contact, "psk_reset")?) else {
            return Ok(None);
        };
        let key = SealingPublic::from_bytes(&key).map_err(|_| StoreError::Damaged)?;
        Ok(Some((key, Psk::from_bytes(*psk))))
    }

    /// Keeps a reset that we ask for, in place of one before, and the end key that goes with it.
    pub(crate) fn ask_reset(
        &self,
        contact: &ContactKey,
        reset: &AskedReset,
        end_key: &EndKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.drop_asked_reset(contact)?;
        self.execute(
            "INSERT INTO resets (contact, id, request, box, account, sealing_secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (contact, reset.id, &*reset.request, &reset.sealed, &*reset.account, *reset.sealing.secret_bytes()),
        )?;
        self.note_reset_id(contact, &reset.id, true, None, now)?;
        // A key that is being handed over already is as fresh.
        if self.next_end_key(contact)?.is_none() {
            self.set_blob(contact, "next_end_key", Some(end_key.secret_bytes().as_slice()))?;
        }
        self.enqueue(contact, Kind::ResetRequest, None, Some(&reset.sealed))
    }

    pub(crate) fn asked_reset(&self, contact: &ContactKey) -> Result<Option<AskedReset>, StoreError> {
        self.row(
            "SELECT id, request, box, account, sealing_secret, sent_at, crossed FROM resets WHERE contact = ?1",
            [contact],
            |row| {
                let seed = Zeroizing::new(fixed(row.get_ref(4)?.as_blob()?)?);
                Ok(AskedReset {
                    id: fixed(row.get_ref(0)?.as_blob()?)?,
                    request: Zeroizing::new(row.get(1)?),
                    sealed: row.get(2)?,
                    account: Zeroizing::new(row.get(3)?),
                    sealing: SealingKey::from_bytes(&seed),
                    sent_at: row.get(5)?,
                    crossed: row.get(6)?,
                })
            },
        )
    }

    /// The relay took our request, or, without a time, lost it.
    pub(crate) fn set_reset_sent(&self, contact: &ContactKey, at: Option<Timestamp>) -> Result<(), StoreError> {
        self.execute("UPDATE resets SET sent_at = ?2 WHERE contact = ?1", (contact, at))?;
        Ok(())
    }

    pub(crate) fn note_reset_crossed(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute("UPDATE resets SET crossed = crossed + 1 WHERE contact = ?1", [contact])?;
        Ok(())
    }

    /// Our request is answered, or the other side's goes before it.
    pub(crate) fn drop_asked_reset(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM resets WHERE contact = ?1", [contact])?;
        self.remove_outgoing_of(contact, Kind::ResetRequest)
    }

    /// Notes a reset, ours or one that we accept with an answer. Answers to earlier ones are of no use any more.
    pub(crate) fn note_reset_id(
        &self,
        contact: &ContactKey,
        id: &ResetId,
        ours: bool,
        answer: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if answer.is_some() {
            self.forget_answers(contact)?;
        }
        self.execute(
            "INSERT INTO reset_ids (contact, id, ours, at, answer) VALUES (?1, ?2, ?3, ?4, ?5)",
            (contact, id, ours, now, answer),
        )?;
        Ok(())
    }

    /// Whether a reset, ours or theirs, is known.
    pub(crate) fn knows_reset(&self, contact: &ContactKey, id: &ResetId) -> Result<bool, StoreError> {
        let known = self.row("SELECT 1 FROM reset_ids WHERE contact = ?1 AND id = ?2", (contact, id), |_| Ok(()))?;
        Ok(known.is_some())
    }

    /// Sends the answer once more, if it was not used yet; to one reset, or to whichever it is.
    pub(crate) fn repeat_answer(&self, contact: &ContactKey, to: Option<&ResetId>) -> Result<(), StoreError> {
        let answer: Option<Vec<u8>> = self.row(
            "SELECT answer FROM reset_ids
             WHERE contact = ?1 AND answer IS NOT NULL AND (?2 IS NULL OR id = ?2)",
            (contact, to),
            |row| row.get(0),
        )?;
        let Some(answer) = answer else { return Ok(()) };
        if self.is_outgoing(contact, Kind::ResetAnswer)? {
            return Ok(());
        }
        self.execute("UPDATE reset_ids SET repeated = 1 WHERE contact = ?1 AND answer IS NOT NULL", [contact])?;
        self.enqueue(contact, Kind::ResetAnswer, None, Some(&answer))
    }

    /// The other side uses our answer.
    pub(crate) fn forget_answers(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute("UPDATE reset_ids SET answer = NULL WHERE contact = ?1 AND answer IS NOT NULL", [contact])?;
        self.remove_outgoing_of(contact, Kind::ResetAnswer)
    }

    /// How many resets one side had begun within a span before or after now.
    pub(crate) fn resets_within(
        &self,
        contact: &ContactKey,
        ours: bool,
        now: Timestamp,
        span_ms: u64,
    ) -> Result<u64, StoreError> {
        let count = self.row(
            "SELECT count(*) FROM reset_ids WHERE contact = ?1 AND ours = ?2 AND at BETWEEN ?3 AND ?4",
            (contact, ours, now.saturating_sub(span_ms), now.saturating_add(span_ms)),
            |row| row.get(0),
        )?;
        Ok(count.unwrap_or(0))
    }

    /// Erases what only served resets and old sessions of a pairing that ended.
    pub(crate) fn forget_resets(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute("DELETE FROM resets WHERE contact = ?1", [contact])?;
        self.execute("DELETE FROM reset_ids WHERE contact = ?1", [contact])?;
        self.execute("DELETE FROM old_sessions WHERE contact = ?1", [contact])?;
        Ok(())
    }
}
