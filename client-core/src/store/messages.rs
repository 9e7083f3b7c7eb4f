//! Messages, their outcomes, and how far each stream has come.

use rusqlite::Row;

use super::contacts::ContactKey;
use super::{Kind, RelayId, Tx, fixed};
use crate::content::{Body, Envelope, Numbered, Range, Receipt};
use crate::error::StoreError;
use crate::types::{Content, Direction, Message, Outcome, RefusedWhy, Timestamp};

const IN: i64 = 1;
const OUT: i64 = 2;

const UNKNOWN: i64 = 0;
const TEXT: i64 = 1;

const QUEUED: i64 = 1;
const ACCEPTED: i64 = 2;
const DELIVERED: i64 = 3;
const READ: i64 = 4;
const EXPIRED: i64 = 5;
const REFUSED: i64 = 6;

/// A message that a receipt calls missing is resent at most this often: receipts overtake resends under way.
const RESEND_PAUSE_MS: u64 = 30_000;

/// Names a message in the store.
pub(crate) type MessageKey = i64;

/// A message of ours, as it is sealed.
pub(crate) struct MessageRow {
    pub(crate) key: MessageKey,
    pub(crate) message_id: [u8; 16],
    pub(crate) text: String,
    pub(crate) sent_at: Timestamp,
    /// Its stream and number, if it was sealed before.
    pub(crate) numbered: Option<([u8; 16], u64)>,
}

/// A message of ours whose outcome changed.
pub(crate) type Changed = ([u8; 16], Outcome);

fn outcome(row: &Row<'_>, at: usize) -> rusqlite::Result<Outcome> {
    Ok(match row.get::<_, i64>(at)? {
        QUEUED => Outcome::Queued,
        ACCEPTED => Outcome::Accepted { until: row.get(at + 1)? },
        DELIVERED => Outcome::Delivered,
        READ => Outcome::Read,
        EXPIRED => Outcome::Expired,
        REFUSED => Outcome::Refused(match row.get::<_, i64>(at + 2)? {
            1 => RefusedWhy::Ended,
            _ => RefusedWhy::NotCarried,
        }),
        _ => return Err(rusqlite::Error::InvalidQuery),
    })
}

const PUBLIC: &str = "SELECT message_id, contact, direction, kind, text, sent_at, stored_at,
    direction = 1 AND number > 1 AND NOT EXISTS (SELECT 1 FROM messages AS earlier
        WHERE earlier.contact = messages.contact AND earlier.direction = 1
        AND earlier.stream = messages.stream AND earlier.number = messages.number - 1),
    outcome, accepted_until, refused_why
    FROM messages";

fn public(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: hex::encode(row.get_ref(0)?.as_blob()?),
        contact: hex::encode(row.get_ref(1)?.as_blob()?),
        direction: if row.get::<_, i64>(2)? == IN { Direction::In } else { Direction::Out },
        content: if row.get::<_, i64>(3)? == TEXT { Content::Text(row.get(4)?) } else { Content::Unknown },
        sent_at: row.get(5)?,
        stored_at: row.get(6)?,
        gap_before: row.get::<_, Option<bool>>(7)?.unwrap_or(false),
        outcome: outcome(row, 8)?,
    })
}

impl Tx<'_> {
    /// Keeps a text of ours, and puts it into the outbox.
    pub(crate) fn queue_text(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
        text: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO messages (contact, message_id, direction, kind, text, sent_at, stored_at, outcome, place)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, 0)",
            (contact, message_id, OUT, TEXT, text, now, QUEUED),
        )?;
        let key = self.transaction.last_insert_rowid();
        self.execute("UPDATE messages SET place = id WHERE id = ?1", [key])?;
        self.enqueue(contact, Kind::Message, Some(key), None)
    }

    /// A message of ours, to be sealed.
    pub(crate) fn message_to_seal(&self, key: MessageKey) -> Result<Option<MessageRow>, StoreError> {
        self.row("SELECT message_id, text, sent_at, stream, number FROM messages WHERE id = ?1", [key], |row| {
            let stream = row.get_ref(3)?.as_blob_or_null()?.map(fixed).transpose()?;
            Ok(MessageRow {
                key,
                message_id: fixed(row.get_ref(0)?.as_blob()?)?,
                text: row.get(1)?,
                sent_at: row.get(2)?,
                numbered: stream.zip(row.get(4)?),
            })
        })
    }

    pub(crate) fn set_number(&self, key: MessageKey, stream: &[u8; 16], number: u64) -> Result<(), StoreError> {
        self.execute("UPDATE messages SET stream = ?2, number = ?3 WHERE id = ?1", (key, stream, number))?;
        Ok(())
    }

    /// The relay has the box. What the other device already receipted stays delivered.
    pub(crate) fn set_accepted(&self, key: MessageKey, until: Timestamp) -> Result<Option<Changed>, StoreError> {
        let changed = self.execute(
            "UPDATE messages SET outcome = ?2, accepted_until = ?3 WHERE id = ?1 AND outcome IN (?4, ?5, ?2)",
            (key, ACCEPTED, until, QUEUED, EXPIRED),
        )?;
        if changed == 0 {
            return Ok(None);
        }
        self.row("SELECT message_id FROM messages WHERE id = ?1", [key], |row| {
            Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Accepted { until }))
        })
    }

    pub(crate) fn set_not_carried(&self, key: MessageKey) -> Result<Option<Changed>, StoreError> {
        self.row(
            "UPDATE messages SET outcome = ?2, refused_why = 2 WHERE id = ?1 AND outcome IN (?3, ?4)
             RETURNING message_id",
            (key, REFUSED, QUEUED, ACCEPTED),
            |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Refused(RefusedWhy::NotCarried))),
        )
    }

    /// The pairing ended: what was never handed over will not be.
    pub(crate) fn refuse_unsent(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute(
            "UPDATE messages SET outcome = ?2, refused_why = 1 WHERE contact = ?1 AND direction = ?3 AND outcome = ?4",
            (contact, REFUSED, OUT, QUEUED),
        )?;
        Ok(())
    }

    /// What the relay kept as long as it promised, and nobody came for.
    pub(crate) fn expire(&self, contact: &ContactKey, now: Timestamp) -> Result<Vec<Changed>, StoreError> {
        self.rows(
            "UPDATE messages SET outcome = ?4
             WHERE contact = ?1 AND direction = ?2 AND outcome = ?3 AND accepted_until < ?5 RETURNING message_id",
            (contact, OUT, ACCEPTED, EXPIRED, now),
            |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Expired)),
        )
    }

    /// The other device says what it has: marks it delivered, and resends what it lacks.
    pub(crate) fn apply_receipt(
        &self,
        contact: &ContactKey,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Result<Vec<Changed>, StoreError> {
        let mut changed = Vec::new();
        let mut missing_from = receipt.up_to + 1;
        let safe = std::iter::once(Range { first: 1, last: receipt.up_to }).chain(receipt.beyond.iter().copied());
        for range in safe {
            changed.extend(self.rows(
                "UPDATE messages SET outcome = ?5
                 WHERE contact = ?1 AND direction = 2 AND stream = ?2 AND number BETWEEN ?3 AND ?4
                     AND outcome IN (1, 2, 5)
                 RETURNING message_id",
                (contact, receipt.stream, range.first, range.last, DELIVERED),
                |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Delivered)),
            )?);
            self.execute(
                "DELETE FROM outbox WHERE contact = ?1 AND message IN (SELECT id FROM messages
                     WHERE contact = ?1 AND direction = 2 AND stream = ?2 AND number BETWEEN ?3 AND ?4)",
                (contact, receipt.stream, range.first, range.last),
            )?;
        }
        for range in &receipt.beyond {
            let missing = self.rows(
                "UPDATE messages SET resent_at = ?5
                 WHERE contact = ?1 AND direction = 2 AND stream = ?2 AND number >= ?3 AND number < ?4
                     AND outcome IN (2, 5) AND coalesce(resent_at, 0) NOT BETWEEN ?6 AND ?5
                     AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = messages.id)
                 RETURNING id",
                (contact, receipt.stream, missing_from, range.first, now, now.saturating_sub(RESEND_PAUSE_MS)),
                |row| row.get(0),
            )?;
            self.resend(contact, missing)?;
            missing_from = range.last + 1;
        }
        Ok(changed)
    }

    fn resend(&self, contact: &ContactKey, mut keys: Vec<MessageKey>) -> Result<(), StoreError> {
        keys.sort_unstable();
        keys.into_iter().try_for_each(|key| self.enqueue(contact, Kind::Message, Some(key), None))
    }

    /// Resends, as new boxes, whatever the relay accepted from this contact's conversation and nobody receipted.
    pub(crate) fn resend_unreceipted(&self, contact: &ContactKey) -> Result<(), StoreError> {
        let keys = self.rows(
            "SELECT id FROM messages WHERE contact = ?1 AND direction = ?2 AND outcome IN (?3, ?4)
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = messages.id)",
            (contact, OUT, ACCEPTED, EXPIRED),
            |row| row.get(0),
        )?;
        self.resend(contact, keys)
    }

    /// The relay lost its backlog: everything that it accepted and nobody receipted goes out again, pairings included.
    pub(crate) fn resend_all(&self, relay: RelayId) -> Result<(), StoreError> {
        for contact in self.live_contacts(relay)? {
            if contact.state.can_send() {
                self.resend_unreceipted(&contact.key)?;
                // Receipts were lost with the backlog too.
                self.set_receipt_due(&contact.key, true)?;
            }
        }
        Ok(())
    }

    /// Keeps what came; false if it came before. Either way the sender is owed a receipt.
    pub(crate) fn keep_incoming(
        &self,
        contact: &ContactKey,
        envelope: &Envelope,
        numbered: &Numbered,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (kind, text) = match &numbered.body {
            Body::Text(text) => (TEXT, text.as_str()),
            Body::Unknown => (UNKNOWN, ""),
        };
        self.execute("UPDATE contacts SET receipt_due = 1, in_stream = ?2 WHERE id = ?1", (contact, envelope.stream))?;
        let inserted = self.execute(
            "INSERT INTO messages (contact, message_id, direction, kind, text, sent_at, stored_at, stream, number,
                 outcome, place)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0) ON CONFLICT DO NOTHING",
            rusqlite::params![
                contact,
                numbered.message_id,
                IN,
                kind,
                text,
                numbered.sent_at,
                now,
                envelope.stream,
                numbered.number,
                DELIVERED,
            ],
        )?;
        if inserted == 0 {
            return Ok(false);
        }
        let key = self.transaction.last_insert_rowid();
        // Just before the next one of its stream that is here, else at the end. Several fillings of one gap share a
        // place, and stand by number.
        let next: Option<f64> = self.row(
            "SELECT place FROM messages WHERE contact = ?1 AND direction = 1 AND stream = ?2 AND number > ?3
             ORDER BY number LIMIT 1",
            (contact, envelope.stream, numbered.number),
            |row| row.get(0),
        )?;
        let place = match next {
            None => key as f64,
            Some(next) if next.fract() == 0.0 => next - 0.5,
            Some(next) => next,
        };
        self.execute("UPDATE messages SET place = ?2 WHERE id = ?1", (key, place))?;
        self.advance(contact, &envelope.stream)?;
        Ok(true)
    }

    /// Moves a stream's mark over everything that is here without a gap.
    fn advance(&self, contact: &ContactKey, stream: &[u8; 16]) -> Result<(), StoreError> {
        let before = self.up_to(contact, stream)?;
        // The first number from here on whose successor is not here.
        let up_to: Option<u64> = self
            .row(
                "SELECT min(number) FROM messages AS last
                 WHERE contact = ?1 AND direction = 1 AND stream = ?2 AND number > ?3
                     AND NOT EXISTS (SELECT 1 FROM messages WHERE contact = ?1 AND direction = 1 AND stream = ?2
                         AND number = last.number + 1)",
                (contact, stream, before),
                |row| row.get(0),
            )?
            .flatten();
        let next_is_here =
            "SELECT 1 FROM messages WHERE contact = ?1 AND direction = 1 AND stream = ?2 AND number = ?3";
        if let Some(up_to) = up_to
            && self.row(next_is_here, (contact, stream, before + 1), |_| Ok(()))?.is_some()
        {
            self.execute(
                "INSERT INTO in_streams (contact, stream, up_to) VALUES (?1, ?2, ?3)
                 ON CONFLICT (contact, stream) DO UPDATE SET up_to = ?3",
                (contact, stream, up_to),
            )?;
        }
        Ok(())
    }

    fn up_to(&self, contact: &ContactKey, stream: &[u8; 16]) -> Result<u64, StoreError> {
        let read = |row: &Row<'_>| row.get(0);
        let sql = "SELECT up_to FROM in_streams WHERE contact = ?1 AND stream = ?2";
        Ok(self.row(sql, (contact, stream), read)?.unwrap_or(0))
    }

    /// What this device has safe of the other side's newest stream.
    pub(crate) fn receipt(&self, contact: &ContactKey) -> Result<Option<Receipt>, StoreError> {
        let stream = self
            .row("SELECT in_stream FROM contacts WHERE id = ?1", [contact], |row| {
                row.get_ref(0)?.as_blob_or_null()?.map(fixed).transpose()
            })?
            .flatten();
        let Some(stream) = stream else { return Ok(None) };
        let up_to = self.up_to(contact, &stream)?;
        let numbers = self.rows(
            "SELECT number FROM messages WHERE contact = ?1 AND direction = 1 AND stream = ?2 AND number > ?3
             ORDER BY number LIMIT 10000",
            (contact, stream, up_to),
            |row| row.get::<_, u64>(0),
        )?;
        let mut beyond: Vec<Range> = Vec::new();
        for number in numbers {
            let ranges = beyond.len();
            match beyond.last_mut() {
                Some(range) if range.last + 1 == number => range.last = number,
                _ if ranges == Receipt::MOST_RANGES => break,
                _ => beyond.push(Range { first: number, last: number }),
            }
        }
        Ok(Some(Receipt { stream, up_to, beyond }))
    }

    /// A message by its id; one of ours, if both sides have one of that id.
    pub(crate) fn message(&self, message_id: &[u8; 16]) -> Result<Option<Message>, StoreError> {
        self.row(&format!("{PUBLIC} WHERE message_id = ?1 ORDER BY direction DESC LIMIT 1"), [message_id], public)
    }

    /// Up to `limit` messages, oldest first: the newest, or those just before another.
    pub(crate) fn history(
        &self,
        contact: &ContactKey,
        before: Option<&[u8; 16]>,
        limit: u32,
    ) -> Result<Option<Vec<Message>>, StoreError> {
        let from = match before {
            None => (f64::INFINITY, 0),
            Some(id) => {
                let at = self.row(
                    "SELECT place, coalesce(number, 0) FROM messages WHERE contact = ?1 AND message_id = ?2",
                    (contact, id),
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                let Some(at) = at else { return Ok(None) };
                at
            }
        };
        let mut page = self.rows(
            &format!(
                "{PUBLIC} WHERE contact = ?1 AND (place, coalesce(number, 0)) < (?2, ?3)
                 ORDER BY place DESC, number DESC LIMIT ?4"
            ),
            (contact, from.0, from.1, limit),
            public,
        )?;
        page.reverse();
        Ok(Some(page))
    }

    /// Marks what came as seen on this device.
    pub(crate) fn mark_read(&self, contact: &ContactKey) -> Result<(), StoreError> {
        self.execute(
            "UPDATE messages SET outcome = ?2 WHERE contact = ?1 AND direction = ?3 AND outcome = ?4",
            (contact, READ, IN, DELIVERED),
        )?;
        Ok(())
    }
}
