//! How long a side keeps a conversation: rules, evaluated with the clock given in, and what they allow to be deleted.
//!
//! Each side has its own rule and tells the other, who can neither change it nor hold it to it: it is a disclosure.

use crate::client::{Client, id, rng};
use crate::content::Body;
use crate::driver::wall_clock;
use crate::error::{ContactError, DeleteError, RetentionError};
use crate::note::Note;
use crate::pairing::draw_id;
use crate::store::{State, Tx};
use crate::types::{ContactId, MessageId, Timestamp};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Never shorter than a year of the calendar.
const YEAR_MS: u64 = 366 * DAY_MS;

/// Longest periods. A longer one is [`Keep::Always`].
pub(crate) const MOST_YEARS: u32 = 100;
pub(crate) const MOST_DAYS: u32 = 36_500;

/// How long messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Until somebody deletes them.
    #[default]
    Always,
    /// For so many years, 1 to 100: until then they cannot be deleted by hand, and then they are. A year counts as 366
    /// days.
    ForYears {
        /// How many.
        years: u32,
    },
    /// Deleted after so many days, 1 to 36,500, or earlier by hand.
    ForDays {
        /// How many.
        days: u32,
    },
}

/// A side's rule for one conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long messages are kept.
    pub keep: Keep,
    /// Nothing is deleted for as long as this is set, whatever `keep` says.
    pub legal_hold: bool,
}

/// Both sides' rules for one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retentions {
    /// Ours.
    pub ours: Retention,
    /// Theirs, if they said.
    pub theirs: Option<Retention>,
}

/// Why a message must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MustStay {
    LegalHold,
    Until(Timestamp),
}

impl Retention {
    pub(crate) const fn is_valid(self) -> bool {
        match self.keep {
            Keep::Always => true,
            Keep::ForYears { years } => years >= 1 && years <= MOST_YEARS,
            Keep::ForDays { days } => days >= 1 && days <= MOST_DAYS,
        }
    }

    /// Everything stored before this time is to be deleted by itself.
    pub(crate) fn deletes_before(self, now: Timestamp) -> Option<Timestamp> {
        if self.legal_hold {
            return None;
        }
        match self.keep {
            Keep::Always => None,
            Keep::ForYears { years } => now.checked_sub(u64::from(years) * YEAR_MS),
            Keep::ForDays { days } => now.checked_sub(u64::from(days) * DAY_MS),
        }
    }

    /// Whether a message may be deleted by hand.
    pub(crate) fn may_delete(self, stored_at: Timestamp, now: Timestamp) -> Result<(), MustStay> {
        if self.legal_hold {
            return Err(MustStay::LegalHold);
        }
        match self.keep {
            Keep::ForYears { years } => {
                let until = stored_at.saturating_add(u64::from(years) * YEAR_MS);
                if now < until { Err(MustStay::Until(until)) } else { Ok(()) }
            }
            Keep::Always | Keep::ForDays { .. } => Ok(()),
        }
    }
}

/// The clock, as far as deleting trusts it. A clock that is years ahead by mistake must not cost a conversation: a jump
/// of more than a week counts only once a time at least a day later was seen, and then only as far as was seen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrustedClock {
    pub(crate) trusted: Timestamp,
    pub(crate) doubted: Option<Timestamp>,
}

impl TrustedClock {
    pub(crate) fn see(before: Option<Self>, now: Timestamp) -> Self {
        let Some(Self { trusted, doubted }) = before else { return Self { trusted: now, doubted: None } };
        let near = |from: Timestamp| now <= from.saturating_add(7 * DAY_MS);
        match doubted {
            // A clock that was set back is believed at once: it deletes less.
            _ if near(trusted) => Self { trusted: now, doubted: None },
            Some(first) if now >= first.saturating_add(DAY_MS) && near(first) => Self { trusted: now, doubted: None },
            Some(first) if now >= first.saturating_add(DAY_MS) => Self { trusted: first, doubted: Some(now) },
            Some(first) if now >= first => Self { trusted, doubted },
            _ => Self { trusted, doubted: Some(now) },
        }
    }
}

/// Keeps our rule, and tells the other side.
pub(crate) fn set(tx: &Tx<'_>, contact: &[u8; 16], retention: Retention, now: Timestamp) -> Result<(), ContactError> {
    let row = tx.contact(contact)?.ok_or(ContactError::NoSuchContact)?;
    if tx.retention(contact, true)?.unwrap_or_default() == retention {
        return Ok(());
    }
    tx.set_retention(contact, true, retention, now)?;
    if !matches!(row.state, State::Ended(_)) {
        let note = Note::Retention { retention };
        tx.queue_note(contact, &draw_id(&mut rng()), Some(&note), &Body::Retention(retention), now)?;
    }
    Ok(())
}

impl Client {
    /// How long both sides keep a conversation.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn retention(&self, contact: ContactId) -> Result<Retentions, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            let ours = tx.retention(&key, true)?.unwrap_or_default();
            Ok(Retentions { ours, theirs: tx.retention(&key, false)? })
        })
    }

    /// Says how long this side keeps a conversation, and tells the other side, which sees it as a note. Older messages
    /// are deleted within the hour while connected, and at the next opening. Works after the end of a pairing too; then
    /// the other side is not told.
    ///
    /// # Errors
    /// [`RetentionError`]. Nothing was changed.
    ///
    /// # Example
    /// ```no_run
    /// # use tacit_client_core::{Client, Keep, Retention, StoreKey};
    /// # let client = Client::open("/path/to/home".to_owned(), StoreKey::Passphrase("correct horse".to_owned()))?;
    /// # let contact = String::new();
    /// client.set_retention(contact, Retention { keep: Keep::ForYears { years: 10 }, legal_hold: false })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn set_retention(&self, contact: ContactId, retention: Retention) -> Result<(), RetentionError> {
        if !retention.is_valid() {
            return Err(RetentionError::BadPeriod);
        }
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        Ok(self.change(|tx| set(tx, &key, retention, wall_clock()))?)
    }

    /// Deletes a message on this side, for good: its text, its words in the search, and the pages they were on. The
    /// other side keeps theirs. One of ours that was not sent yet will not be; if it may be on its way, the other side
    /// is told that it was deleted, or has it.
    ///
    /// # Errors
    /// [`DeleteError`]; [`DeleteError::LegalHold`] and [`DeleteError::MustKeep`] if our own rule forbids it.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn delete_message(&self, message: MessageId) -> Result<(), DeleteError> {
        let id = id(&message).ok_or(DeleteError::NoSuchMessage)?;
        self.change(|tx| {
            let key = tx.message_key(&id)?.ok_or(DeleteError::NoSuchMessage)?;
            let (contact, stored_at) = tx.message_age(key)?.ok_or(DeleteError::NoSuchMessage)?;
            tx.retention(&contact, true)?.unwrap_or_default().may_delete(stored_at, wall_clock())?;
            Ok::<_, DeleteError>(tx.delete_message(key)?)
        })?;
        self.purge();
        Ok(())
    }

    /// Deletes everything that was written with a contact, on this side, for good. The pairing goes on; one that ended
    /// disappears altogether, or, if the relay was not told of the end yet, with another call after it was.
    ///
    /// # Errors
    /// [`DeleteError`]. Nothing was deleted if our own rule forbids it for any of the messages.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn delete_conversation(&self, contact: ContactId) -> Result<(), DeleteError> {
        let key = id(&contact).ok_or(DeleteError::NoSuchContact)?;
        self.change(|tx| {
            let row = tx.contact(&key)?.ok_or(DeleteError::NoSuchContact)?;
            let newest = tx.newest_message(&key)?;
            let retention = tx.retention(&key, true)?.unwrap_or_default();
            retention.may_delete(newest.unwrap_or(0), wall_clock())?;
            tx.delete_before(&key, Timestamp::MAX, u32::MAX)?;
            if matches!(row.state, State::Ended(_)) && !row.close_due {
                tx.forget_contact(&key)?;
            }
            Ok::<_, DeleteError>(())
        })?;
        self.purge();
        Ok(())
    }

    /// Gives freed pages back. What another process is in the way of is done with the next tidying.
    fn purge(&self) {
        if let Some(opened) = self.opened().as_mut() {
            let _ = opened.store.purge();
        }
    }
}

#[cfg(test)]
mod tests;
