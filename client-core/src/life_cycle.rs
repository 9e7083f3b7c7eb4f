//! The life of a pairing: who may write, pauses, and how it ends.

use rand_core::CryptoRng;
use tacit_proto::End;

use crate::care::farewell::{FarewellBody, Manner};
use crate::care::statement::{Body as _, Signed};
use crate::content::{Body, PauseBody};
use crate::crypto::signing::StatementKind;
use crate::error::{ContactError, SendError, StoreError};
use crate::note::Note;
use crate::pairing::draw_id;
use crate::statements::{self, Received};
use crate::store::{CareRow, ContactKey, ContactRow, State, Tx, Whose};
use crate::types::{EndedWhy, Timestamp};

/// Whether the owner of this device may write to a contact now. Everything that is sent by a person asks here.
///
/// While changed terms wait for consent, nothing may be sent: whoever writes must know under which terms it is read.
/// What was queued before was written under terms that were agreed to, and goes out. The same holds for a pause.
pub(crate) fn may_write(tx: &Tx<'_>, row: &ContactRow) -> Result<(), SendError> {
    match row.state {
        State::Ended(_) | State::Leaving(_) => Err(SendError::Ended),
        state if !state.can_send() => Err(SendError::NotPaired),
        _ if tx.pauses(&row.key)?.is_paused() => Err(SendError::Paused),
        _ if statements::terms_wait(tx, row)? => Err(SendError::TermsChanged),
        _ => Ok(()),
    }
}

/// Pauses a conversation from this side, or resumes it. Doing it again changes nothing.
pub(crate) fn set_paused(
    tx: &Tx<'_>,
    row: &ContactRow,
    is_paused: bool,
    words: &str,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), ContactError> {
    if !row.state.can_send() || tx.care(&row.key)?.is_none() {
        return Err(ContactError::WrongState);
    }
    if tx.pauses(&row.key)?.by_us.is_some() == is_paused {
        return Ok(());
    }
    let note = if is_paused { Note::Paused { words: words.to_owned() } } else { Note::Resumed };
    Ok(say_pause(tx, row, (is_paused.then_some(now), words), Some(&note), now, rng)?)
}

fn say_pause(
    tx: &Tx<'_>,
    row: &ContactRow,
    (since, words): (Option<Timestamp>, &str),
    note: Option<&Note>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    let sequence = tx.set_paused_by_us(&row.key, since, now)?;
    let body = Body::Pause(PauseBody { sequence, is_paused: since.is_some(), words: words.to_owned() });
    tx.queue_note(&row.key, &draw_id(rng), note, &body, now)
}

/// Says once more whether this side pauses: the device before a restored one may have said something else since.
pub(crate) fn restate_pause(
    tx: &Tx<'_>,
    row: &ContactRow,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    if tx.care(&row.key)?.is_none() {
        return Ok(());
    }
    let since = tx.pauses(&row.key)?.by_us;
    say_pause(tx, row, (since, ""), None, now, rng)
}

/// Takes a pause of theirs, or its end, unless a newer one came before it.
pub(crate) fn receive_pause(
    tx: &Tx<'_>,
    row: &ContactRow,
    pause: &PauseBody,
    now: Timestamp,
) -> Result<Received, StoreError> {
    if tx.care(&row.key)?.is_none() {
        return Ok(Received::Bad);
    }
    if !tx.set_paused_by_them(&row.key, pause.sequence, pause.is_paused.then_some(now))? {
        return Ok(Received::Silent);
    }
    let note = if pause.is_paused { Note::Paused { words: pause.words.clone() } } else { Note::Resumed };
    Ok(Received::Note(note))
}

/// Ends a pairing with a signed farewell. A discharge lets what was written before it arrive, both ways, and keeps the
/// channel until all of it is delivered or its hold passed; whoever unpairs takes nothing more, and waits only until the
/// relay has the farewell.
pub(crate) fn leave(
    tx: &Tx<'_>,
    row: &ContactRow,
    manner: Manner,
    words: &str,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    let care = tx.care(&row.key)?.ok_or(StoreError::Damaged)?;
    let key = match row.of.end {
        End::A => tx.practice_key()?,
        End::B => care.signing_key,
    };
    let body = FarewellBody { pairing: care.pairing, manner, words: words.to_owned(), said_at: now };
    let farewell = Signed::sign(&key.ok_or(StoreError::Damaged)?, body);
    if manner == Manner::Unpair {
        tx.drop_unsealed(&row.key)?;
    }
    keep(tx, &row.key, Whose::Ours, &farewell, now)?;
    let note = note(&farewell.body);
    statements::send(tx, &row.key, &farewell.statement, &note, now, rng)?;
    tx.end_own_transfers(&row.key)?;
    tx.set_state(&row.key, State::Leaving(why(manner, Whose::Ours)))
}

/// Whether this side can say farewell: the other one must be able to read it. Without a session, whoever leaves takes no
/// answer that could begin one.
pub(crate) fn can_say_farewell(tx: &Tx<'_>, row: &ContactRow) -> Result<bool, StoreError> {
    let has_session = tx.blob(&row.key, "session")?.is_some();
    Ok(row.state.can_send() && tx.care(&row.key)?.is_some() && has_session && !tx.is_wedged(&row.key)?)
}

/// Takes a farewell of theirs. After a discharge, what was written here before still goes out; after the other kind,
/// nobody would read it, and this side only says that the farewell came.
pub(crate) fn receive_farewell(
    tx: &Tx<'_>,
    row: &ContactRow,
    care: &CareRow,
    bytes: &[u8],
    now: Timestamp,
) -> Result<Received, StoreError> {
    let Ok(farewell) = Signed::<FarewellBody>::check(&care.peer_key, bytes) else { return Ok(Received::Bad) };
    if farewell.body.pairing != care.pairing {
        return Ok(Received::Bad);
    }
    keep(tx, &row.key, Whose::Theirs, &farewell, now)?;
    // If we said farewell as well, we are leaving already.
    if row.state.can_send() {
        if farewell.body.manner == Manner::Unpair {
            tx.drop_unsealed(&row.key)?;
        }
        tx.end_own_transfers(&row.key)?;
        tx.set_state(&row.key, State::Leaving(why(farewell.body.manner, Whose::Theirs)))?;
    }
    Ok(Received::Note(note(&farewell.body)))
}

/// Whether nothing keeps this side at the channel any more.
pub(crate) fn may_go(tx: &Tx<'_>, row: &ContactRow, why: EndedWhy, now: Timestamp) -> Result<bool, StoreError> {
    if row.receipt_due || !tx.nothing_is_outgoing(&row.key)? {
        return Ok(false);
    }
    Ok(match why {
        EndedWhy::Discharged | EndedWhy::DischargedByPeer => !tx.is_awaited(&row.key, now)?,
        _ => true,
    })
}

/// The farewell of a pairing: theirs, or else ours.
pub(crate) fn farewell(tx: &Tx<'_>, row: &ContactRow) -> Result<Option<(bool, FarewellBody)>, StoreError> {
    let Some(care) = tx.care(&row.key)? else { return Ok(None) };
    if let Some(bytes) = tx.statement(&row.key, Whose::Theirs, StatementKind::Farewell)? {
        let signed = Signed::check(&care.peer_key, &bytes).map_err(|_| StoreError::Damaged)?;
        return Ok(Some((false, signed.body)));
    }
    let key = match row.of.end {
        End::A => tx.practice_key()?,
        End::B => care.signing_key,
    };
    let bytes = tx.statement(&row.key, Whose::Ours, StatementKind::Farewell)?;
    let Some((key, bytes)) = key.zip(bytes) else { return Ok(None) };
    let signed = Signed::check(&key.public(), &bytes).map_err(|_| StoreError::Damaged)?;
    Ok(Some((true, signed.body)))
}

fn keep(
    tx: &Tx<'_>,
    contact: &ContactKey,
    whose: Whose,
    farewell: &Signed<FarewellBody>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let version = farewell.body.version();
    tx.keep_statement(contact, whose, StatementKind::Farewell, version, farewell.statement.bytes(), now)
}

fn note(farewell: &FarewellBody) -> Note {
    let words = farewell.words.clone();
    match farewell.manner {
        Manner::Discharge => Note::Discharged { words },
        Manner::Unpair => Note::Unpaired { words },
    }
}

const fn why(manner: Manner, whose: Whose) -> EndedWhy {
    match (manner, whose) {
        (Manner::Discharge, Whose::Ours) => EndedWhy::Discharged,
        (Manner::Discharge, Whose::Theirs) => EndedWhy::DischargedByPeer,
        (Manner::Unpair, Whose::Ours) => EndedWhy::ByUs,
        (Manner::Unpair, Whose::Theirs) => EndedWhy::ByPeer,
    }
}

#[cfg(test)]
mod tests;
