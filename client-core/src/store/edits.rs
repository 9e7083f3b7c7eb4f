//! What a reply answers, and what edits and withdrawals make of the messages that they are about.

use super::contacts::ContactKey;
use super::messages::{Changed, IN, MessageKey, NAMED, OUT, TEXT, outcome};
use super::received::POSITIONS;
use super::{Tx, fixed};
use crate::content::Body;
use crate::error::StoreError;
use crate::note::WITHDRAWN;
use crate::types::{Outcome, Timestamp};

pub(super) const EDIT: i64 = 60;
pub(super) const WITHDRAWAL: i64 = 61;

/// A text, and what is needed to know whether it may be changed.
pub(crate) struct TextRow {
    pub(crate) key: MessageKey,
    pub(crate) contact: ContactKey,
    pub(crate) sent_at: Timestamp,
    pub(crate) stored_at: Timestamp,
    /// Of ours: it was sealed, and may have left.
    pub(crate) was_sealed: bool,
    /// The position of the edit that the text is of; 0 if there was none.
    edited: u64,
}

/// An edit or a withdrawal that came.
pub(crate) struct AboutRow {
    key: MessageKey,
    position: u64,
    pub(crate) sent_at: Timestamp,
    /// None: a withdrawal.
    pub(crate) text: Option<String>,
}

fn text_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<TextRow> {
    Ok(TextRow {
        key: row.get(0)?,
        contact: fixed(row.get_ref(1)?.as_blob()?)?,
        sent_at: row.get(2)?,
        stored_at: row.get(3)?,
        was_sealed: row.get(4)?,
        edited: row.get(5)?,
    })
}

const TEXT_ROW: &str =
    "SELECT id, contact, sent_at, stored_at, position IS NOT NULL, coalesce(edited, 0) FROM messages";

impl Tx<'_> {
    /// A text of ours.
    pub(crate) fn own_text(&self, message_id: &[u8; 16]) -> Result<Option<TextRow>, StoreError> {
        let sql = format!("{TEXT_ROW} WHERE message_id = ?1 AND direction = ?2 AND kind = ?3");
        self.row(&sql, (message_id, OUT, TEXT), text_row)
    }

    /// A text of theirs.
    pub(crate) fn their_text(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
    ) -> Result<Option<TextRow>, StoreError> {
        let sql = format!("{TEXT_ROW} WHERE contact = ?1 AND message_id = ?2 AND direction = ?3 AND kind = ?4");
        self.row(&sql, (contact, message_id, IN, TEXT), text_row)
    }

    /// Whether a message of either side is, or was, in this conversation.
    pub(crate) fn has_message(&self, contact: &ContactKey, message_id: &[u8; 16]) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM messages WHERE +contact = ?1 AND message_id = ?2 LIMIT 1";
        Ok(self.row(sql, (contact, message_id), |_| Ok(()))?.is_some())
    }

    /// Keeps a text of ours that answers a message, and puts it into the outbox.
    pub(crate) fn queue_reply(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
        to: &[u8; 16],
        text: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let key = self.add_outgoing(contact, message_id, TEXT, text, now)?;
        let body = Body::Reply { to: *to, text: text.to_owned() };
        self.relate(key, &body)?;
        self.queue_body(contact, key, &body)
    }

    /// Puts an edit or a withdrawal of ours into the outbox.
    pub(crate) fn queue_about(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
        body: &Body,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let kind = if matches!(body, Body::Edit { .. }) { EDIT } else { WITHDRAWAL };
        let key = self.add_outgoing(contact, message_id, kind, "", now)?;
        self.relate(key, body)?;
        self.queue_body(contact, key, body)
    }

    /// Notes which message another one answers or is about.
    pub(super) fn relate(&self, key: MessageKey, body: &Body) -> Result<(), StoreError> {
        match body {
            Body::Reply { to, .. } => {
                self.execute("UPDATE messages SET reply_to = ?2 WHERE id = ?1", (key, to))?;
            }
            Body::Edit { message, .. } | Body::Withdrawal { message } => {
                self.execute("UPDATE messages SET about = ?2 WHERE id = ?1", (key, message))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The edits and withdrawals of a message.
    pub(crate) fn about(&self, key: MessageKey) -> Result<Vec<MessageKey>, StoreError> {
        self.rows(
            "SELECT about.id FROM messages JOIN messages AS about ON about.contact = messages.contact
                 AND about.direction = messages.direction AND about.about = messages.message_id
             WHERE messages.id = ?1",
            [key],
            |row| row.get(0),
        )
    }

    /// What came about a message of theirs and was not done yet, in the order in which it was sent.
    pub(crate) fn to_be_applied(
        &self,
        contact: &ContactKey,
        message_id: &[u8; 16],
    ) -> Result<Vec<AboutRow>, StoreError> {
        self.rows(
            "SELECT id, number, sent_at, kind, text FROM messages
             WHERE contact = ?1 AND direction = ?2 AND about = ?3 AND about IS NOT NULL AND (kind = ?4 OR text != '')
             ORDER BY number",
            (contact, IN, message_id, WITHDRAWAL),
            |row| {
                let text = if row.get::<_, i64>(3)? == WITHDRAWAL { None } else { Some(row.get(4)?) };
                Ok(AboutRow { key: row.get(0)?, position: row.get(1)?, sent_at: row.get(2)?, text })
            },
        )
    }

    /// Of the edits of a message of theirs the newest holds, and none of the others is kept.
    pub(crate) fn drop_older_edits(&self, contact: &ContactKey, message_id: &[u8; 16]) -> Result<(), StoreError> {
        let edits = "contact = ?1 AND direction = ?2 AND about = ?3 AND about IS NOT NULL AND kind = ?4";
        self.execute(
            &format!(
                "DELETE FROM messages WHERE {edits} AND number < (SELECT max(number) FROM messages WHERE {edits})"
            ),
            (contact, IN, message_id, EDIT),
        )?;
        Ok(())
    }

    /// A message of theirs is here, and no text: what its edits say is kept no longer.
    pub(crate) fn drop_texts_about(&self, contact: &ContactKey, message_id: &[u8; 16]) -> Result<(), StoreError> {
        let dropped = self.execute(
            "UPDATE messages SET text = '' WHERE contact = ?1 AND direction = ?2 AND about = ?3 AND about IS NOT NULL
                 AND text != ''",
            (contact, IN, message_id),
        )?;
        if dropped > 0 { self.set_purge_due() } else { Ok(()) }
    }

    /// The same of edits whose message cannot come any more, since all that was sent before them came: it was deleted
    /// here. Only what came at this position can have filled the last gap before them.
    pub(crate) fn drop_texts_about_nothing(&self, contact: &ContactKey, position: u64) -> Result<(), StoreError> {
        let (up_to, _) = self.received(contact, POSITIONS)?;
        let dropped = self.execute(
            "UPDATE messages SET text = '' WHERE contact = ?1 AND direction = ?2 AND stream = x''
                 AND number BETWEEN ?3 AND ?4 AND kind = ?5 AND text != ''",
            (contact, IN, position, up_to, EDIT),
        )?;
        if dropped > 0 { self.set_purge_due() } else { Ok(()) }
    }

    /// Gives a text of theirs the text of an edit, which nobody has read, unless a later one came before.
    pub(crate) fn apply_edit(&self, target: &TextRow, edit: &AboutRow, keeps_earlier: bool) -> Result<(), StoreError> {
        let newer = edit.position > target.edited;
        if let Some(text) = edit.text.as_deref().filter(|_| newer) {
            self.replace_text(target.key, text, edit.position, keeps_earlier)?;
            self.set_unread(target.key)?;
        }
        self.drop_about_text(edit)
    }

    /// An edit that is done with, or refused, keeps no text.
    pub(crate) fn drop_about_text(&self, edit: &AboutRow) -> Result<(), StoreError> {
        self.execute("UPDATE messages SET text = '' WHERE id = ?1", [edit.key])?;
        Ok(())
    }

    /// Gives a text of ours another text. Every edit of it says the newest one from now on.
    pub(crate) fn edit_own(&self, target: &TextRow, text: &str, keeps_earlier: bool) -> Result<(), StoreError> {
        self.replace_text(target.key, text, 1, keeps_earlier)?;
        if !target.was_sealed {
            // It never left as it was.
            self.execute("UPDATE messages SET edited = NULL WHERE id = ?1", [target.key])?;
        }
        for key in self.about(target.key)?.into_iter().chain([target.key]) {
            let body = match self.message_body(key)? {
                Some(Body::Edit { message, .. }) => Body::Edit { message, text: text.to_owned() },
                Some(Body::Reply { to, .. }) => Body::Reply { to, text: text.to_owned() },
                _ => continue,
            };
            self.keep_body(key, &body)?;
        }
        Ok(())
    }

    /// The outcome of the newest edit of a text of ours that is there: what the text says now has that one.
    pub(super) fn outcome_of_edit(&self, key: MessageKey) -> Result<Option<Outcome>, StoreError> {
        self.row(
            "SELECT edit.outcome, edit.accepted_until, edit.refused_why FROM messages
             JOIN messages AS edit ON edit.contact = messages.contact AND edit.direction = messages.direction
                 AND edit.about = messages.message_id AND edit.about IS NOT NULL AND edit.kind = ?2
             WHERE messages.id = ?1 ORDER BY edit.id DESC LIMIT 1",
            (key, EDIT),
            |row| outcome(row, 0),
        )
    }

    /// A message of ours whose outcome changed, as it is shown: an edit as what it is about.
    pub(crate) fn as_shown(&self, (id, outcome): Changed) -> Result<Changed, StoreError> {
        let sql = "SELECT about FROM messages WHERE message_id = ?1 AND direction = ?2 AND kind = ?3";
        let about = self.row(sql, (id, OUT, EDIT), |row| fixed(row.get_ref(0)?.as_blob()?))?;
        let shown = about.unwrap_or(id);
        Ok((shown, self.message(&shown)?.map_or(outcome, |message| message.outcome)))
    }

    fn replace_text(&self, key: MessageKey, text: &str, edited: u64, keeps_earlier: bool) -> Result<(), StoreError> {
        if keeps_earlier {
            self.execute(
                "INSERT INTO earlier_texts (message, text) SELECT id, text FROM messages WHERE id = ?1",
                [key],
            )?;
        } else {
            self.set_purge_due()?;
        }
        self.execute("UPDATE messages SET text = ?2, edited = ?3 WHERE id = ?1", (key, text, edited))?;
        Ok(())
    }

    /// A message that was withdrawn says so, and nothing else. One of ours that may have to leave yet leaves as deleted.
    pub(crate) fn withdraw_text(&self, key: MessageKey) -> Result<(), StoreError> {
        for about in self.about(key)? {
            self.erase_message(about)?;
        }
        self.execute("DELETE FROM earlier_texts WHERE message = ?1", [key])?;
        self.execute("DELETE FROM message_bodies WHERE message = ?1", [key])?;
        self.execute("UPDATE outbox SET box = NULL WHERE message = ?1", [key])?;
        self.execute(
            "UPDATE messages SET kind = ?2, text = '', edited = NULL, reply_to = NULL WHERE id = ?1",
            (key, WITHDRAWN),
        )?;
        self.set_purge_due()
    }

    /// A message of theirs that was withdrawn, and that our own rule keeps.
    pub(crate) fn keep_withdrawn(&self, key: MessageKey) -> Result<(), StoreError> {
        self.execute("UPDATE messages SET withdrawn = 1 WHERE id = ?1", [key])?;
        Ok(())
    }

    /// What a message said before it was edited, oldest first, as far as our own rule kept it.
    pub(crate) fn earlier_texts(&self, message_id: &[u8; 16]) -> Result<Vec<String>, StoreError> {
        let sql = format!("SELECT text FROM earlier_texts WHERE message = ({NAMED}) ORDER BY id");
        self.rows(&sql, [message_id], |row| row.get(0))
    }
}

#[cfg(test)]
impl Tx<'_> {
    /// How many values in tables with words of people have these in them.
    pub(crate) fn rows_with(&self, words: &str) -> Result<u64, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM messages WHERE instr(text, ?1))
            + (SELECT count(*) FROM message_bodies WHERE instr(body, CAST(?1 AS BLOB)))
            + (SELECT count(*) FROM earlier_texts WHERE instr(text, ?1))";
        Ok(self.row(sql, [words], |row| row.get(0))?.unwrap_or(0))
    }
}
