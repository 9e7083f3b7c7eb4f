//! Pause, resume, discharge, and the farewell.

use super::{Client, id, rng};
use crate::care::farewell::{MAX_WORDS, Manner};
use crate::content::MAX_PAUSE_WORDS;
use crate::driver::wall_clock;
use crate::error::ContactError;
use crate::life_cycle;
use crate::types::{ContactId, Farewell};

impl Client {
    /// Pauses a conversation: neither side can write until [`Client::resume`]. `words`, at most 500 bytes, tell the
    /// other side why, or until when. What was on its way still arrives.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] unless messages can be sent; [`ContactError::TooLong`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn pause(&self, contact: ContactId, words: String) -> Result<(), ContactError> {
        if words.len() > MAX_PAUSE_WORDS {
            return Err(ContactError::TooLong);
        }
        let (now, mut rng) = (wall_clock(), rng());
        self.change_contact(&contact, |tx, row| life_cycle::set_paused(tx, row, true, words.trim(), now, &mut rng))
    }

    /// Ends this side's pause. If the other side pauses too, its pause goes on.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] if the pairing ended.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn resume(&self, contact: ContactId) -> Result<(), ContactError> {
        let (now, mut rng) = (wall_clock(), rng());
        self.change_contact(&contact, |tx, row| life_cycle::set_paused(tx, row, false, "", now, &mut rng))
    }

    /// Ends a pairing with a signed farewell: nothing more can be written, what was written before still arrives, both
    /// ways, and history stays on both sides. `words`, at most 4,000 bytes, may say whom to turn to. The channel is
    /// closed once the other device has the farewell, or the relay's hold has passed.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] unless messages can be sent, and while the session cannot go on: reset it first, or
    /// [end](Client::end) the pairing without a farewell; [`ContactError::TooLong`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn discharge(&self, contact: ContactId, words: String) -> Result<(), ContactError> {
        if words.len() > MAX_WORDS {
            return Err(ContactError::TooLong);
        }
        let (now, mut rng) = (wall_clock(), rng());
        self.change_contact(&contact, |tx, row| {
            if !life_cycle::can_say_farewell(tx, row)? {
                return Err(ContactError::WrongState);
            }
            Ok(life_cycle::leave(tx, row, Manner::Discharge, words.trim(), now, &mut rng)?)
        })
    }

    /// The farewell with which a pairing ended, its signature checked: theirs if they said one, else ours. None if it
    /// did not end, or ended without: then only the relay says that the other side left.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn farewell(&self, contact: ContactId) -> Result<Option<Farewell>, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            let row = tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            Ok(life_cycle::farewell(tx, &row)?.map(|(is_ours, farewell)| Farewell {
                is_ours,
                is_discharge: farewell.manner == Manner::Discharge,
                words: farewell.words,
                said_at: farewell.said_at,
            }))
        })
    }
}
