//! Replies, and messages that are edited or withdrawn after they were sent.
//!
//! Both take effect on the other side for a day after the message was sent, by the sender's clock. What the other side's
//! own retention keeps, it keeps: an edited text with what it said before, a withdrawn one marked as such. That rule was
//! disclosed; nobody is promised that what was read is forgotten.

use crate::client::{Client, id, rng};
use crate::content::{Body, MAX_REPLY};
use crate::driver::wall_clock;
use crate::error::{ContactError, DeleteError, EditError, SendError, StoreError};
use crate::life_cycle;
use crate::pairing::draw_id;
use crate::store::{ContactRow, TextRow, Tx};
use crate::types::{ContactId, MessageId, Timestamp};

/// How long after it was sent a message can be edited or withdrawn.
pub(crate) const WINDOW_MS: u64 = 24 * 3600 * 1000;

/// Does what came about a message of theirs, if that is here. True if it changed.
pub(crate) fn apply(tx: &Tx<'_>, row: &ContactRow, message: &[u8; 16], now: Timestamp) -> Result<bool, StoreError> {
    tx.drop_older_edits(&row.key, message)?;
    let Some(target) = tx.their_text(&row.key, message)? else {
        if tx.has_message(&row.key, message)? {
            // It was withdrawn, or never was a text.
            tx.drop_texts_about(&row.key, message)?;
        }
        return Ok(false);
    };
    let mut changed = false;
    for about in tx.to_be_applied(&row.key, message)? {
        if about.sent_at.saturating_sub(target.sent_at) > WINDOW_MS {
            tx.drop_about_text(&about)?;
            continue;
        }
        let must_stay = must_stay(tx, &target, now)?;
        if about.text.is_some() {
            tx.apply_edit(&target, &about, must_stay.is_err())?;
        } else if must_stay.is_err() {
            tx.keep_withdrawn(target.key)?;
        } else {
            // With everything about it.
            return tx.withdraw_text(target.key).map(|()| true);
        }
        changed = true;
    }
    Ok(changed)
}

/// Whether our own rule lets a message go.
fn must_stay(tx: &Tx<'_>, text: &TextRow, now: Timestamp) -> Result<Result<(), DeleteError>, StoreError> {
    let retention = tx.retention(&text.contact, true)?.unwrap_or_default();
    Ok(retention.may_delete(text.stored_at, now).map_err(DeleteError::from))
}

/// A text of ours that may still be changed.
fn changeable(tx: &Tx<'_>, message: &[u8; 16], now: Timestamp) -> Result<TextRow, EditError> {
    let text = tx.own_text(message)?.ok_or(EditError::NoSuchMessage)?;
    if now.saturating_sub(text.sent_at) > WINDOW_MS {
        return Err(EditError::TooLate);
    }
    Ok(text)
}

fn edit(tx: &Tx<'_>, message: &[u8; 16], text: &str, now: Timestamp) -> Result<(), EditError> {
    let target = changeable(tx, message, now)?;
    let row = tx.contact(&target.contact)?.ok_or(EditError::NoSuchMessage)?;
    life_cycle::may_write(tx, &row)?;
    tx.edit_own(&target, text, must_stay(tx, &target, now)?.is_err())?;
    if target.was_sealed {
        let body = Body::Edit { message: *message, text: text.to_owned() };
        tx.queue_about(&row.key, &draw_id(&mut rng()), &body, now)?;
    }
    Ok(())
}

fn withdraw(tx: &Tx<'_>, message: &[u8; 16], now: Timestamp) -> Result<(), EditError> {
    let target = changeable(tx, message, now)?;
    must_stay(tx, &target, now)??;
    let row = tx.contact(&target.contact)?.ok_or(EditError::NoSuchMessage)?;
    if !target.was_sealed {
        return Ok(tx.delete_message(target.key)?);
    }
    if !row.state.can_send() {
        return Err(SendError::Ended.into());
    }
    tx.withdraw_text(target.key)?;
    Ok(tx.queue_about(&row.key, &draw_id(&mut rng()), &Body::Withdrawal { message: *message }, now)?)
}

impl Client {
    /// Queues a text of 1 to [`MAX_REPLY`] bytes that answers a message of either side.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::NoSuchMessage`] if there is none to answer. Nothing was queued.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn reply(&self, contact: ContactId, to: MessageId, text: String) -> Result<MessageId, SendError> {
        if text.is_empty() {
            return Err(SendError::Empty);
        }
        if text.len() > MAX_REPLY {
            return Err(SendError::TooLong);
        }
        let key = id(&contact).ok_or(SendError::NoSuchContact)?;
        let to = id(&to).ok_or(SendError::NoSuchMessage)?;
        let message = draw_id(&mut rng());
        self.change(|tx| {
            let row = tx.contact(&key)?.ok_or(SendError::NoSuchContact)?;
            life_cycle::may_write(tx, &row)?;
            if !tx.has_message(&key, &to)? {
                return Err(SendError::NoSuchMessage);
            }
            Ok::<_, SendError>(tx.queue_reply(&key, &message, &to, &text, wall_clock())?)
        })?;
        Ok(hex::encode(message))
    }

    /// Gives a text of ours another text, on both sides, for a day after it was sent. It is shown as edited. What it said
    /// before is gone, except where the retention of a side keeps it: see [`Client::earlier_texts`]. Over there it is unread
    /// and notified of once more, and its outcome here is that of the edit.
    ///
    /// # Errors
    /// [`EditError`]. Nothing was changed.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn edit(&self, message: MessageId, text: String) -> Result<(), EditError> {
        if text.is_empty() || text.len() > MAX_REPLY {
            return Err(EditError::BadLength);
        }
        let message = id(&message).ok_or(EditError::NoSuchMessage)?;
        self.change(|tx| edit(tx, &message, &text, wall_clock()))?;
        self.purge();
        Ok(())
    }

    /// Deletes a text of ours on both sides, for a day after it was sent. Both see that something was withdrawn; one that
    /// never left disappears. The other side keeps it, marked as withdrawn, if its own retention says so: that was
    /// disclosed ([`Client::retention`]). Nobody can be made to forget what they have read.
    ///
    /// # Errors
    /// [`EditError`]; [`EditError::Delete`] if our own retention keeps it. Nothing was changed.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn withdraw(&self, message: MessageId) -> Result<(), EditError> {
        let message = id(&message).ok_or(EditError::NoSuchMessage)?;
        self.change(|tx| withdraw(tx, &message, wall_clock()))?;
        self.purge();
        Ok(())
    }

    /// What a message said before it was edited, oldest first, as far as our own retention kept it.
    ///
    /// # Errors
    /// [`ContactError::NoSuchMessage`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn earlier_texts(&self, message: MessageId) -> Result<Vec<String>, ContactError> {
        let message = id(&message).ok_or(ContactError::NoSuchMessage)?;
        self.read(|tx| {
            tx.message(&message)?.ok_or(ContactError::NoSuchMessage)?;
            Ok(tx.earlier_texts(&message)?)
        })
    }
}

#[cfg(test)]
mod tests;
