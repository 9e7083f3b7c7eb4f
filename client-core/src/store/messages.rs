//! Messages, their outcomes, and how far each stream has come.

use rusqlite::Row;

use super::contacts::ContactKey;
use super::edits::{EDIT, WITHDRAWAL};
use super::received::POSITIONS;
use super::{Kind, Tx, fixed};
use crate::content::{Body, Numbered, Range, Receipt};
use crate::error::StoreError;
use crate::note::{HIDDEN, Note};
use crate::types::{Content, Direction, Message, Outcome, RefusedWhy, Timestamp};

pub(super) const IN: i64 = 1;
pub(super) const OUT: i64 = 2;

const UNKNOWN: i64 = 0;
pub(super) const TEXT: i64 = 1;
/// Announces a file: what is shown of it stands in `transfers`.
const ATTACHMENT: i64 = 70;

const QUEUED: i64 = 1;
const ACCEPTED: i64 = 2;
const DELIVERED: i64 = 3;
const READ: i64 = 4;
const EXPIRED: i64 = 5;
const REFUSED: i64 = 6;

/// Names a message in the store.
pub(crate) type MessageKey = i64;

/// A message of ours, as it is sealed.
pub(crate) struct MessageRow {
    pub(crate) key: MessageKey,
    pub(crate) message_id: [u8; 16],
    pub(crate) body: Body,
    pub(crate) sent_at: Timestamp,
    /// Its number in the present stream, if it was sealed in it before.
    pub(crate) number: Option<u64>,
    /// Its position, if it was ever sealed before.
    pub(crate) position: Option<u64>,
}

/// A message of ours whose outcome changed.
pub(crate) type Changed = ([u8; 16], Outcome);

pub(super) fn outcome(row: &Row<'_>, at: usize) -> rusqlite::Result<Outcome> {
    Ok(match row.get::<_, i64>(at)? {
        QUEUED => Outcome::Queued,
        ACCEPTED => Outcome::Accepted { until: row.get(at + 1)? },
        DELIVERED => Outcome::Delivered,
        READ => Outcome::Read,
        EXPIRED => Outcome::Expired,
        REFUSED => Outcome::Refused(match row.get::<_, i64>(at + 2)? {
            1 => RefusedWhy::Ended,
            3 => RefusedWhy::Cancelled,
            _ => RefusedWhy::NotCarried,
        }),
        _ => return Err(rusqlite::Error::InvalidQuery),
    })
}

pub(super) const PUBLIC: &str = "SELECT message_id, contact, direction, kind, text, sent_at, stored_at,
    CASE direction WHEN 1 THEN number END, outcome, accepted_until, refused_why, reply_to, edited IS NOT NULL, withdrawn,
    id
    FROM messages";

/// The message that an id names. What came under the id of another one is hidden; an earlier version showed it, and then
/// ours is meant, or what came first.
pub(super) const NAMED: &str =
    "SELECT id FROM messages WHERE message_id = ?1 AND kind != 31 ORDER BY kind = 40, direction DESC, id LIMIT 1";

/// A message as it is shown, but for what stands in other tables.
pub(super) struct Shown {
    message: Message,
    /// Of one that came.
    position: Option<i64>,
    key: MessageKey,
    announces_file: bool,
}

/// An id as apps see it. Twice a message: into a buffer, it takes a tenth of the time that a page may take.
fn id_text(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    let mut text = [0; 32];
    hex::encode_to_slice(row.get_ref(at)?.as_blob()?, &mut text).map_err(|_| rusqlite::Error::InvalidQuery)?;
    String::from_utf8(text.to_vec()).map_err(|_| rusqlite::Error::InvalidQuery)
}

pub(super) fn public(row: &Row<'_>) -> rusqlite::Result<Shown> {
    let message = Message {
        id: id_text(row, 0)?,
        contact: id_text(row, 1)?,
        direction: if row.get::<_, i64>(2)? == IN { Direction::In } else { Direction::Out },
        content: match row.get(3)? {
            TEXT => Content::Text(row.get(4)?),
            ATTACHMENT => Content::Unknown,
            kind => Note::from_stored(kind, row.get_ref(4)?.as_str()?).map_or(Content::Unknown, Content::Note),
        },
        sent_at: row.get(5)?,
        stored_at: row.get(6)?,
        gap_before: false,
        outcome: outcome(row, 8)?,
        reply_to: row.get_ref(11)?.as_blob_or_null()?.map(hex::encode),
        edited: row.get(12)?,
        withdrawn: row.get(13)?,
    };
    let announces_file = row.get::<_, i64>(3)? == ATTACHMENT;
    Ok(Shown { message, position: row.get(7)?, key: row.get(14)?, announces_file })
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
        let key = self.add_outgoing(contact, message_id, TEXT, text, now)?;
        self.enqueue(contact, Kind::Message, Some(key), None)
    }

    /// Keeps something of ours that is no text, shown as a note or not at all, and puts it into the outbox.
    pub(crate) fn queue_note(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
        note: Option<&Note>,
        body: &Body,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (kind, text) = note.map_or((HIDDEN, String::new()), Note::to_stored);
        let key = self.add_outgoing(contact, message_id, kind, &text, now)?;
        self.queue_body(contact, key, body)
    }

    /// Keeps the announcement of a file of ours, and puts it into the outbox.
    pub(crate) fn queue_attachment(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
        now: Timestamp,
    ) -> Result<MessageKey, StoreError> {
        let key = self.add_outgoing(contact, message_id, ATTACHMENT, "", now)?;
        self.enqueue(contact, Kind::Message, Some(key), None)?;
        Ok(key)
    }

    /// A message that was never sealed is not to be any more; false if it was sealed.
    pub(crate) fn withdraw(&self, key: MessageKey) -> Result<bool, StoreError> {
        let withdrawn = self.execute(
            "UPDATE messages SET outcome = ?2, refused_why = 3 WHERE id = ?1 AND position IS NULL AND outcome = ?3",
            (key, REFUSED, QUEUED),
        )?;
        if withdrawn > 0 {
            self.execute("DELETE FROM outbox WHERE message = ?1", [key])?;
        }
        Ok(withdrawn > 0)
    }

    /// Whether the other device has a message.
    pub(crate) fn is_delivered(&self, key: Option<MessageKey>) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM messages WHERE id = ?1 AND outcome IN (?2, ?3)";
        Ok(self.row(sql, (key, DELIVERED, READ), |_| Ok(()))?.is_some())
    }

    /// What came cannot be shown.
    pub(crate) fn set_unknown(&self, key: MessageKey) -> Result<(), StoreError> {
        self.execute("UPDATE messages SET kind = ?2 WHERE id = ?1", (key, UNKNOWN))?;
        Ok(())
    }

    /// Whether a message that came has the id of one of ours, or of another contact's.
    pub(crate) fn names_another(&self, key: MessageKey) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM messages JOIN messages AS other
            ON other.message_id = messages.message_id AND other.id != messages.id WHERE messages.id = ?1 LIMIT 1";
        Ok(self.row(sql, [key], |_| Ok(()))?.is_some())
    }

    /// What came shows nothing.
    pub(crate) fn hide(&self, key: MessageKey) -> Result<(), StoreError> {
        self.execute(
            "UPDATE messages SET kind = ?2, text = '', reply_to = NULL, about = NULL WHERE id = ?1",
            (key, HIDDEN),
        )?;
        Ok(())
    }

    /// A message's name on both devices.
    pub(crate) fn message_id(&self, key: MessageKey) -> Result<Option<[u8; 16]>, StoreError> {
        self.row("SELECT message_id FROM messages WHERE id = ?1", [key], |row| fixed(row.get_ref(0)?.as_blob()?))
    }

    pub(super) fn add_outgoing(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
        kind: i64,
        text: &str,
        now: Timestamp,
    ) -> Result<MessageKey, StoreError> {
        self.execute(
            "INSERT INTO messages (contact, message_id, direction, kind, text, sent_at, stored_at, outcome, place)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, 0)",
            (contact, message_id, OUT, kind, text, now, QUEUED),
        )?;
        let key = self.transaction.last_insert_rowid();
        self.execute("UPDATE messages SET place = id WHERE id = ?1", [key])?;
        Ok(key)
    }

    /// What came is shown as this note.
    pub(crate) fn set_note(&self, key: MessageKey, note: &Note) -> Result<(), StoreError> {
        let (kind, text) = note.to_stored();
        self.execute("UPDATE messages SET kind = ?2, text = ?3 WHERE id = ?1", (key, kind, text))?;
        Ok(())
    }

    /// A message of ours, to be sealed.
    pub(crate) fn message_to_seal(&self, key: MessageKey) -> Result<Option<MessageRow>, StoreError> {
        let body = match self.announced(key)? {
            Some(attachment) => Some(Body::Attachment(attachment)),
            None => self.message_body(key)?,
        };
        self.row("SELECT message_id, text, sent_at, number, position, kind FROM messages WHERE id = ?1", [key], |row| {
            Ok(MessageRow {
                key,
                message_id: fixed(row.get_ref(0)?.as_blob()?)?,
                body: match (body, row.get(5)?) {
                    (Some(body), _) => body,
                    (None, TEXT) => Body::Text(row.get(1)?),
                    // Of a version that did not keep it after it was delivered.
                    (None, _) => Body::Deleted,
                },
                sent_at: row.get(2)?,
                number: row.get(3)?,
                position: row.get(4)?,
            })
        })
    }

    /// Counts a message of ours: its number in our present stream, and its position, unless it has them.
    pub(crate) fn number(&self, contact: &ContactKey, message: &MessageRow) -> Result<(u64, u64), StoreError> {
        let number = match message.number {
            Some(number) => number,
            None => {
                let (stream, number) = self.next_number(contact)?;
                self.execute(
                    "UPDATE messages SET stream = ?2, number = ?3 WHERE id = ?1",
                    (message.key, stream, number),
                )?;
                number
            }
        };
        let position = match message.position {
            Some(position) => position,
            None => {
                let position = self.next_position(contact)?;
                self.execute("UPDATE messages SET position = ?2 WHERE id = ?1", (message.key, position))?;
                position
            }
        };
        Ok((number, position))
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
            "UPDATE messages INDEXED BY messages_open SET outcome = ?2, refused_why = 1
             WHERE contact = ?1 AND direction = 2 AND outcome IN (1, 2, 5) AND outcome = ?3
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE message = messages.id)",
            (contact, REFUSED, QUEUED),
        )?;
        Ok(())
    }

    /// Whether something of ours is still to be handed over, or waits at the relay for the other device.
    pub(crate) fn is_awaited(&self, contact: &ContactKey, now: Timestamp) -> Result<bool, StoreError> {
        let awaited = self.row(
            "SELECT 1 FROM messages WHERE contact = ?1 AND direction = ?2
                 AND (outcome = ?3 OR outcome = ?4 AND accepted_until >= ?5) LIMIT 1",
            (contact, OUT, QUEUED, ACCEPTED, now),
            |_| Ok(()),
        )?;
        Ok(awaited.is_some())
    }

    /// The other side ended it, and had said before what it has: the rest will not reach it.
    pub(crate) fn refuse_undelivered(&self, contact: &ContactKey) -> Result<Vec<Changed>, StoreError> {
        self.rows(
            "UPDATE messages SET outcome = ?2, refused_why = 1
             WHERE contact = ?1 AND direction = ?3 AND outcome IN (?4, ?5) RETURNING message_id",
            (contact, REFUSED, OUT, QUEUED, ACCEPTED),
            |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Refused(RefusedWhy::Ended))),
        )
    }

    /// What the relay still kept for the other side of a pairing that we ended: no receipt of it can come.
    pub(crate) fn expire_ended(&self, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE messages SET outcome = ?1 WHERE direction = ?2 AND outcome = ?3 AND accepted_until < ?4
                 AND contact IN (SELECT id FROM contacts WHERE state = 8)",
            (EXPIRED, OUT, ACCEPTED, now),
        )?;
        Ok(())
    }

    /// What the relay kept as long as it promised, and nobody came for.
    pub(crate) fn expire(&self, contact: &ContactKey, now: Timestamp) -> Result<Vec<Changed>, StoreError> {
        self.rows(
            "UPDATE messages INDEXED BY messages_open SET outcome = ?3
             WHERE contact = ?1 AND direction = 2 AND outcome IN (1, 2, 5) AND outcome = ?2 AND accepted_until < ?4
             RETURNING message_id",
            (contact, ACCEPTED, EXPIRED, now),
            |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Expired)),
        )
    }

    /// A promise that ends later than the relay can have meant was noted by a clock that was ahead.
    pub(crate) fn bound_promises(
        &self,
        contact: &ContactKey,
        now: Timestamp,
        longest_ms: u64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE messages INDEXED BY messages_open SET accepted_until = ?3
             WHERE contact = ?1 AND direction = 2 AND outcome IN (1, 2, 5) AND outcome = ?2 AND accepted_until > ?3",
            (contact, ACCEPTED, now.saturating_add(longest_ms)),
        )?;
        Ok(())
    }

    /// The other device says what it has: marks it delivered, and resends what it lacks.
    pub(crate) fn apply_receipt(
        &self,
        contact: &ContactKey,
        receipt: &Receipt,
        now: Timestamp,
    ) -> Result<Vec<Changed>, StoreError> {
        let mut changed = Vec::new();
        let safe = std::iter::once(Range { first: 1, last: receipt.up_to }).chain(receipt.beyond.iter().copied());
        for range in safe {
            changed.extend(self.rows(
                "UPDATE messages INDEXED BY messages_open SET outcome = ?5
                 WHERE contact = ?1 AND direction = 2 AND stream = ?2 AND number BETWEEN ?3 AND ?4
                     AND outcome IN (1, 2, 5)
                 RETURNING message_id",
                (contact, receipt.stream, range.first, range.last, DELIVERED),
                |row| Ok((fixed(row.get_ref(0)?.as_blob()?)?, Outcome::Delivered)),
            )?);
            self.execute(
                "DELETE FROM outbox WHERE contact = ?1 AND EXISTS (SELECT 1 FROM messages
                     WHERE messages.id = outbox.message AND stream = ?2 AND number BETWEEN ?3 AND ?4)",
                (contact, receipt.stream, range.first, range.last),
            )?;
        }
        changed.extend(self.resend_gaps(contact, receipt, now)?);
        Ok(changed)
    }

    /// Keeps what came; none if it came before. Either way the sender is owed a receipt.
    pub(crate) fn keep_incoming(
        &self,
        contact: &ContactKey,
        session: i64,
        stream: &[u8; 16],
        numbered: &Numbered,
        now: Timestamp,
    ) -> Result<Option<MessageKey>, StoreError> {
        let (kind, text) = match &numbered.body {
            Body::Text(text) | Body::Reply { text, .. } => (TEXT, text.clone()),
            Body::Edit { text, .. } => (EDIT, text.clone()),
            Body::Withdrawal { .. } => (WITHDRAWAL, String::new()),
            Body::Retention(retention) => Note::Retention { retention: *retention }.to_stored(),
            Body::Deleted => Note::Deleted.to_stored(),
            Body::Statement(_) | Body::Pause(_) | Body::WordQuestion(_) | Body::WordReply(_) => (HIDDEN, String::new()),
            Body::Attachment(_) => (ATTACHMENT, String::new()),
            Body::Unknown => (UNKNOWN, String::new()),
        };
        self.set_receipt_due(contact, true)?;
        self.set_in_stream(contact, stream, session)?;
        self.note_received(contact, stream, numbered.number)?;
        let is_new = self.note_received(contact, POSITIONS, numbered.position)?;
        if !is_new && !self.is_another_at(contact, numbered)? {
            return Ok(None);
        }
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
                POSITIONS,
                numbered.position,
                DELIVERED,
            ],
        )?;
        if inserted == 0 {
            return Ok(None);
        }
        let key = self.transaction.last_insert_rowid();
        self.relate(key, &numbered.body)?;
        // Just before the next one that is here, else at the end. Several fillings of one gap share a place, and stand
        // by position.
        let next: Option<f64> = self.row(
            "SELECT place FROM messages WHERE contact = ?1 AND direction = 1 AND stream = ?2 AND number > ?3
             ORDER BY number LIMIT 1",
            (contact, POSITIONS, numbered.position),
            |row| row.get(0),
        )?;
        let place = match next {
            None => key as f64,
            Some(next) if next.fract() == 0.0 => next - 0.5,
            Some(next) => next,
        };
        self.execute("UPDATE messages SET place = ?2 WHERE id = ?1", (key, place))?;
        Ok(Some(key))
    }

    /// Whether another message stands at the position of one that came: a device that was restored from an old backup
    /// may give a position twice, and both messages count.
    fn is_another_at(&self, contact: &ContactKey, numbered: &Numbered) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) > 0 AND sum(message_id = ?4) = 0 FROM messages
            WHERE contact = ?1 AND direction = ?2 AND stream = x'' AND number = ?3";
        let is_another = self.row(sql, (contact, IN, numbered.position, numbered.message_id), |row| row.get(0))?;
        Ok(is_another.unwrap_or(false))
    }

    /// A message by its id.
    pub(crate) fn message(&self, message_id: &[u8; 16]) -> Result<Option<Message>, StoreError> {
        let shown = self.row(&format!("{PUBLIC} WHERE id = ({NAMED})"), [message_id], public)?;
        shown.map(|shown| self.completed(shown)).transpose()
    }

    /// The same with what stands in other tables.
    pub(super) fn completed(&self, shown: Shown) -> Result<Message, StoreError> {
        let contact = hex::decode(&shown.message.contact).map_err(|_| StoreError::Damaged)?;
        let [message] = self.all_completed(&contact, vec![shown])?.try_into().map_err(|_| StoreError::Damaged)?;
        Ok(message)
    }

    /// Adds files and outcomes of edits, and marks where something of theirs is missing just before a message. What came is
    /// looked up once for a page, and not for each message: it is one range, but for gaps.
    fn all_completed(&self, contact: &[u8], page: Vec<Shown>) -> Result<Vec<Message>, StoreError> {
        let positions = || page.iter().filter_map(|shown| shown.position);
        let came: Vec<(i64, i64)> = match (positions().min(), positions().max()) {
            (Some(lowest), Some(highest)) => self.rows(
                "SELECT first, last FROM received WHERE contact = ?1 AND stream = x'' AND first < ?3 AND last >= ?2 - 1",
                (contact, lowest, highest),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?,
            _ => Vec::new(),
        };
        let is_here = |position| came.iter().any(|(first, last)| (first..=last).contains(&&position));
        page.into_iter()
            .map(|Shown { mut message, position, key, announces_file }| {
                message.gap_before = position.is_some_and(|position| position > 1 && !is_here(position - 1));
                if announces_file && let Some(attachment) = self.attachment(key)? {
                    message.content = Content::Attachment(attachment);
                }
                let is_there = matches!(message.outcome, Outcome::Delivered | Outcome::Read);
                if message.direction == Direction::Out && message.edited && is_there {
                    message.outcome = self.outcome_of_edit(key)?.unwrap_or(message.outcome);
                }
                Ok(message)
            })
            .collect()
    }

    /// The message of a conversation that an id names.
    fn named_in(&self, contact: &ContactKey, message_id: &[u8; 16]) -> Result<Option<MessageKey>, StoreError> {
        // With the plus, the index of the contact is none: that of the id finds one row and not thousands.
        let sql = "SELECT id FROM messages WHERE +contact = ?1 AND message_id = ?2
            ORDER BY kind = 40, direction DESC LIMIT 1";
        self.row(sql, (contact, message_id), |row| row.get(0))
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
                let Some(key) = self.named_in(contact, id)? else { return Ok(None) };
                let sql = "SELECT place, coalesce(number, 0) FROM messages WHERE id = ?1";
                self.row(sql, [key], |row| Ok((row.get(0)?, row.get(1)?)))?.ok_or(StoreError::Damaged)?
            }
        };
        let mut page = self.rows(
            // The first comparison of places is one that the index answers. A list of kinds would be a table to be made first.
            &format!(
                "{PUBLIC} WHERE contact = ?1 AND place <= ?2 AND (place, coalesce(number, 0)) < (?2, ?3)
                     AND kind != 31 AND kind != 40 AND kind != 60 AND kind != 61
                 ORDER BY place DESC, number DESC LIMIT ?4"
            ),
            (contact, from.0, from.1, limit),
            public,
        )?;
        page.reverse();
        Ok(Some(self.all_completed(contact, page)?))
    }

    /// When the oldest text of ours was sent that was neither answered nor, as far as we know, read.
    pub(crate) fn waiting_since(&self, contact: &ContactKey) -> Result<Option<Timestamp>, StoreError> {
        let oldest = self.row(
            "SELECT min(sent_at) FROM messages WHERE contact = ?1 AND direction = ?2 AND outcome NOT IN (?3, ?4)
                 AND kind NOT BETWEEN 30 AND 69
                 AND place > coalesce((SELECT max(place) FROM messages
                     WHERE contact = ?1 AND direction = ?5 AND kind NOT BETWEEN 30 AND 69), 0)",
            (contact, OUT, READ, REFUSED, IN),
            |row| row.get(0),
        )?;
        Ok(oldest.flatten())
    }

    /// What came says something that was not seen yet.
    pub(super) fn set_unread(&self, key: MessageKey) -> Result<(), StoreError> {
        self.execute("UPDATE messages SET outcome = ?2 WHERE id = ?1", (key, DELIVERED))?;
        Ok(())
    }

    /// Marks what came as seen on this device. The other side is owed the news, if both agreed to tell.
    pub(crate) fn mark_read(&self, contact: &ContactKey) -> Result<(), StoreError> {
        let marked = self.execute(
            "UPDATE messages INDEXED BY messages_unread SET outcome = ?2
             WHERE contact = ?1 AND direction = 1 AND outcome = 3",
            (contact, READ),
        )?;
        self.owe_reads(contact, marked)
    }

    /// The same of what came before a message, and of that one as it is now. An earlier one that was edited since stays
    /// unread. False if there is no such message.
    pub(crate) fn mark_read_up_to(&self, contact: &ContactKey, message_id: &[u8; 16]) -> Result<bool, StoreError> {
        let Some(named) = self.named_in(contact, message_id)? else { return Ok(false) };
        let marked = self.execute(
            "UPDATE messages INDEXED BY messages_unread SET outcome = ?2
             WHERE contact = ?1 AND direction = 1 AND outcome = 3 AND (id <= ?3 OR kind = ?5 AND about = ?4)
                 AND NOT EXISTS (SELECT 1 FROM messages AS edit WHERE edit.contact = ?1 AND edit.direction = 1
                     AND edit.about = messages.message_id AND edit.about IS NOT NULL AND edit.about != ?4
                     AND edit.kind = ?5 AND edit.outcome = 3 AND edit.id > ?3)",
            (contact, READ, named, message_id, EDIT),
        )?;
        self.owe_reads(contact, marked)?;
        Ok(true)
    }

    fn owe_reads(&self, contact: &ContactKey, marked: usize) -> Result<(), StoreError> {
        if marked > 0 && self.tells_reads(contact)? == (true, true) {
            self.set_receipt_due(contact, true)?;
        }
        Ok(())
    }
}
