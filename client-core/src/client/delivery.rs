//! Calls about what becomes of messages: sending again, a new session, and what was read.

use super::{Client, rng};
use crate::driver::wall_clock;
use crate::error::{ContactError, ResetError};
use crate::reset;
use crate::types::ContactId;

impl Client {
    /// Sends again whatever expired in a conversation, or was not carried by the relay, and returns how many messages
    /// that are. They are queued, under the same ids: what the other device has after all is not shown there twice.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] unless messages can be sent.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn resend(&self, contact: ContactId) -> Result<u64, ContactError> {
        self.change_contact(&contact, |tx, row| {
            if !row.state.can_send() {
                return Err(ContactError::WrongState);
            }
            Ok(tx.resend_failed(&row.key)?.len() as u64)
        })
    }

    /// Asks the other device for a new session: when this one is [wedged](crate::Contact::wedged), or when somebody may
    /// have had a device in their hands.
    ///
    /// It is answered when the other device is there; until then, `resetting` is true. Then both sides have new safety
    /// words, and are unverified until those were compared. What was not delivered is sent in the new session. Asked for
    /// twice, it is asked for once.
    ///
    /// # Errors
    /// [`ResetError::TooOften`] for a sixth one within a day.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn reset(&self, contact: ContactId) -> Result<(), ResetError> {
        let key = super::id(&contact).ok_or(ResetError::NoSuchContact)?;
        self.change(|tx| {
            let row = tx.contact(&key)?.ok_or(ResetError::NoSuchContact)?;
            reset::begin(tx, &row, wall_clock(), &mut rng())
        })
    }

    /// Says whether a contact may see which of their messages were read. They do if they say the same of ours; they are
    /// told that this was switched on or off.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] unless messages can be sent.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn set_read_receipts(&self, contact: ContactId, on: bool) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| {
            if !row.state.can_send() {
                return Err(ContactError::WrongState);
            }
            Ok(tx.set_tells_reads(&row.key, on)?)
        })
    }
}
