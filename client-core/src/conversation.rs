//! Messages of a paired channel: from the outbox into sealed boxes, and from boxes into the store.
//!
//! Ratchet state is read and written inside the transaction of the message it belongs to, never cached across it: a
//! crash at any point leaves both the message and the ratchet as they were, or both moved on.

use rand_core::CryptoRng;
use tacit_proto::SealedBox;

use crate::content::{Announced, Body, Envelope, Numbered};
use crate::crypto::ratchet::{DecryptError, Session};
use crate::crypto::seal::{Context, Purpose, open, seal};
use crate::error::StoreError;
use crate::pairing::keep_session;
use crate::rotation::{self, MAX_BOXES};
use crate::store::{Changed, ContactRow, Kind, Outgoing, State, Tx};
use crate::types::Timestamp;
use crate::{agreed_word, life_cycle, statements};

/// What became of a row of the outbox that was to be sealed.
#[derive(Debug)]
pub(crate) enum Sealing {
    /// Its bytes are fixed from now on.
    Sealed(Vec<u8>),
    /// There is nothing to seal it with yet.
    NotYet,
    /// There is nothing left to say.
    Nothing,
}

/// Seals what waits in a row of the outbox.
pub(crate) fn seal_outgoing(
    tx: &Tx<'_>,
    row: &ContactRow,
    outgoing: &Outgoing,
    mut rng: &mut dyn CryptoRng,
) -> Result<Sealing, StoreError> {
    let (Some(pickle), Some((to, psk))) = (tx.blob(&row.key, "session")?, tx.outward(&row.key)?) else {
        return Ok(Sealing::NotYet);
    };
    let mut envelope = Envelope { stream: tx.out_stream(&row.key)?, ..Envelope::default() };
    match (outgoing.kind, outgoing.message) {
        (Kind::Message, Some(message)) => {
            let Some(message) = tx.message_to_seal(message)? else { return Ok(Sealing::Nothing) };
            let (number, position) = tx.number(&row.key, &message)?;
            let (message_id, sent_at) = (message.message_id, message.sent_at);
            envelope.numbered = Some(Numbered { number, position, message_id, sent_at, body: message.body });
        }
        (Kind::Receipt, None) => {}
        (Kind::SealingKey, None) => {
            let newest = tx.newest_sealing_key(&row.key, row.session)?.filter(|newest| newest.number > 0);
            let Some(newest) = newest else { return Ok(Sealing::Nothing) };
            envelope.sealing_key = Some(Announced { number: newest.number, key: newest.key.public() });
        }
        _ => return Ok(Sealing::Nothing),
    }
    envelope.receipt = tx.receipt(&row.key)?;
    // The receipt in this box is as safe as the outbox is: nothing more is owed.
    tx.set_receipt_due(&row.key, false)?;
    let mut session = Session::from_pickle(&pickle).map_err(|_| StoreError::Damaged)?;
    let message = session.encrypt(&envelope.encode()).map_err(|_| StoreError::Damaged)?;
    keep_session(tx, &row.key, &session.pickle().map_err(|_| StoreError::Damaged)?)?;
    let context = Context { channel: row.of.channel, sender: row.of.end, purpose: Purpose::Message };
    let sealed = seal(&to, &psk, &context, &message, &mut rng).map_err(|_| StoreError::Damaged)?;
    tx.set_box(outgoing.key, sealed.bytes())?;
    Ok(Sealing::Sealed(sealed.bytes().to_vec()))
}

/// What a box of the other side brought.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// A message that was not here before.
    pub(crate) message: Option<[u8; 16]>,
    /// Messages of ours that the other device now has.
    pub(crate) changed: Vec<Changed>,
    /// The contact changed.
    pub(crate) contact_changed: bool,
}

/// Opens a box of a paired channel and keeps what is in it. What cannot be opened is recorded, and blocks nothing.
pub(crate) fn receive(
    tx: &Tx<'_>,
    row: &ContactRow,
    sealed: &SealedBox,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Received, StoreError> {
    let unopened = || {
        tx.note_unopened(&row.key)?;
        Ok(Received { contact_changed: true, ..Received::default() })
    };
    let (Some(psk), Some(pickle)) = (tx.psk_in(&row.key)?, tx.blob(&row.key, "session")?) else { return unopened() };
    let context = Context { channel: row.of.channel, sender: row.of.end.other(), purpose: Purpose::Message };
    let keys = tx.sealing_keys(&row.key, row.session)?;
    let opened = keys.iter().find_map(|own| Some((own.id, open(&own.key, &psk, &context, sealed).ok()?)));
    let Some((key, message)) = opened else {
        return unopened();
    };
    if tx.note_sealing_key_used(key, now)? >= MAX_BOXES {
        rotation::tend(tx, row, now, rng)?;
    }
    let mut session = Session::from_pickle(&pickle).map_err(|_| StoreError::Damaged)?;
    let plaintext = match session.decrypt(&message) {
        Ok(plaintext) => plaintext,
        // Read before: our ack was lost, so the receipt may have been as well.
        Err(DecryptError::MissingKey) => {
            tx.set_receipt_due(&row.key, true)?;
            return Ok(Received::default());
        }
        Err(_) => return unopened(),
    };
    keep_session(tx, &row.key, &session.pickle().map_err(|_| StoreError::Damaged)?)?;
    let Ok(envelope) = Envelope::decode(&plaintext) else { return unopened() };
    let mut received = Received::default();
    if row.state == State::Joined {
        answered(tx, row)?;
        received.contact_changed = true;
    }
    if let Some(receipt) = &envelope.receipt {
        received.changed = tx.apply_receipt(&row.key, receipt, now)?;
    }
    if let Some(numbered) = &envelope.numbered
        && let Some(message) = tx.keep_incoming(&row.key, row.session, &envelope.stream, numbered, now)?
    {
        match &numbered.body {
            Body::Text(_) | Body::Unknown => received.message = Some(numbered.message_id),
            body => {
                received.contact_changed = true;
                match receive_care(tx, row, body, now)? {
                    statements::Received::Silent => {}
                    statements::Received::Note(note) => tx.set_note(message, &note)?,
                    statements::Received::Bad => tx.note_unopened(&row.key)?,
                }
            }
        }
    }
    if let Some(announced) = &envelope.sealing_key {
        tx.set_peer_sealing(&row.key, announced.number, &announced.key)?;
        // Sealed to it, the receipt shows that the announcement came.
        tx.set_receipt_due(&row.key, true)?;
    }
    Ok(received)
}

/// Takes what is no text.
fn receive_care(
    tx: &Tx<'_>,
    row: &ContactRow,
    body: &Body,
    now: Timestamp,
) -> Result<statements::Received, StoreError> {
    match body {
        Body::Statement(part) => statements::receive(tx, row, part, now),
        Body::Pause(pause) => life_cycle::receive_pause(tx, row, pause, now),
        Body::WordQuestion(question) => agreed_word::receive_question(tx, row, question, now),
        Body::WordReply(reply) => agreed_word::receive_reply(tx, row, reply, now),
        Body::Text(_) | Body::Unknown => Ok(statements::Received::Silent),
    }
}

/// End B heard of end A for the first time: the pairing is complete.
fn answered(tx: &Tx<'_>, row: &ContactRow) -> Result<(), StoreError> {
    tx.set_state(&row.key, State::Paired)?;
    tx.set_blob(&row.key, "accept_box", None)?;
    // What was sent before an accept that had to be repeated could not be opened over there.
    if tx.accept_was_resent(&row.key)? {
        tx.resend_unreceipted(&row.key)?;
    }
    Ok(())
}
