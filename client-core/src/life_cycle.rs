//! The life of a pairing: who may write, pauses, and how it ends.

use crate::error::SendError;
use crate::statements;
use crate::store::{ContactRow, State, Tx};

/// Whether the owner of this device may write to a contact now. Everything that is sent by a person asks here.
///
/// While changed terms wait for consent, nothing may be sent: whoever writes must know under which terms it is read.
/// What was queued before was written under terms that were agreed to, and goes out.
pub(crate) fn may_write(tx: &Tx<'_>, row: &ContactRow) -> Result<(), SendError> {
    match row.state {
        State::Ended(_) => Err(SendError::Ended),
        state if !state.can_send() => Err(SendError::NotPaired),
        _ if statements::terms_wait(tx, row)? => Err(SendError::TermsChanged),
        _ => Ok(()),
    }
}
