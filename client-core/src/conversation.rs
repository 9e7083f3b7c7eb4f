//! Messages of a paired channel: from the outbox into sealed boxes, and from boxes into the store.
//!
//! Ratchet state is read and written inside the transaction of the message it belongs to, never cached across it: a
//! crash at any point leaves both the message and the ratchet as they were, or both moved on.

use rand_core::CryptoRng;
use tacit_proto::SealedBox;
use zeroize::Zeroizing;

use crate::content::{Announced, Body, Chunk, Envelope, Numbered};
use crate::crypto::psk::Psk;
use crate::crypto::ratchet::{DecryptError, Session};
use crate::crypto::seal::{Context, Purpose, SealingPublic, open, seal};
use crate::edits;
use crate::error::{ResetError, StoreError};
use crate::reset;
use crate::rotation::{self, MAX_BOXES};
use crate::store::{Changed, ContactRow, Kind, MessageKey, OutboxKey, Outgoing, SessionRow, State, TransferRow, Tx};
use crate::transfers::{self, Moved};
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
    rng: &mut dyn CryptoRng,
) -> Result<Sealing, StoreError> {
    let Some(outward) = Outward::read(tx, row)? else { return Ok(Sealing::NotYet) };
    let mut envelope = Envelope { stream: tx.out_stream(&row.key)?, ..Envelope::default() };
    match (outgoing.kind, outgoing.message) {
        (Kind::Message, Some(message)) => {
            let Some(message) = tx.message_to_seal(message)? else { return Ok(Sealing::Nothing) };
            if let (Body::Attachment(attachment), Some(_)) = (&message.body, message.position) {
                transfers::announced_again(tx, row, &attachment.transfer)?;
            }
            let (number, position) = tx.number(&row.key, &message)?;
            let (message_id, sent_at) = (message.message_id, message.sent_at);
            envelope.numbered = Some(Numbered { number, position, message_id, sent_at, body: message.body });
        }
        (Kind::Receipt, None) => {}
        (Kind::Status, None) => {
            envelope.transfer = transfers::next_status(tx, row)?;
            if envelope.transfer.is_none() {
                return Ok(Sealing::Nothing);
            }
        }
        (Kind::SealingKey, None) => {
            let newest = tx.newest_sealing_key(&row.key, row.session)?.filter(|newest| newest.number > 0);
            let Some(newest) = newest else { return Ok(Sealing::Nothing) };
            envelope.sealing_key = Some(Announced { number: newest.number, key: newest.key.public() });
        }
        _ => return Ok(Sealing::Nothing),
    }
    let sealed = outward.seal(tx, row, envelope, rng)?;
    tx.set_box(outgoing.key, &sealed)?;
    Ok(Sealing::Sealed(sealed))
}

/// Seals a chunk, and keeps it in the outbox. None: there is nothing to seal it with yet.
pub(crate) fn seal_chunk(
    tx: &Tx<'_>,
    row: &ContactRow,
    transfer: &TransferRow,
    chunk: Chunk,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Option<(OutboxKey, Vec<u8>)>, StoreError> {
    let Some(outward) = Outward::read(tx, row)? else { return Ok(None) };
    let number = chunk.number;
    let envelope = Envelope { stream: tx.out_stream(&row.key)?, chunk: Some(chunk), ..Envelope::default() };
    let sealed = outward.seal(tx, row, envelope, rng)?;
    let key = tx.enqueue_chunk(&row.key, &sealed)?;
    tx.set_under_way(transfer.key, number, key, now)?;
    Ok(Some((key, sealed)))
}

/// What an envelope is sealed with.
struct Outward {
    session: Session,
    to: SealingPublic,
    psk: Psk,
}

impl Outward {
    fn read(tx: &Tx<'_>, row: &ContactRow) -> Result<Option<Self>, StoreError> {
        let (Some(pickle), Some((to, psk))) = (tx.blob(&row.key, "session")?, tx.outward(&row.key)?) else {
            return Ok(None);
        };
        let Ok(session) = Session::from_pickle(&pickle) else {
            tx.set_wedged(&row.key, true)?;
            return Ok(None);
        };
        Ok(Some(Self { session, to, psk }))
    }

    /// Seals an envelope, with what rides in every one.
    fn seal(
        mut self,
        tx: &Tx<'_>,
        row: &ContactRow,
        mut envelope: Envelope,
        mut rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, StoreError> {
        envelope.receipt = tx.receipt(&row.key)?;
        envelope.tells_reads = tx.tells_reads(&row.key)?.0;
        envelope.seen_up_to = tx.seen_up_to(&row.key)?;
        // The receipt in this box is as safe as the outbox is: nothing more is owed.
        tx.set_receipt_due(&row.key, false)?;
        let message = self.session.encrypt(&envelope.encode()).map_err(|_| StoreError::Damaged)?;
        tx.keep_session(row, row.session, &self.session.pickle().map_err(|_| StoreError::Damaged)?)?;
        let context = Context { channel: row.of.channel, sender: row.of.end, purpose: Purpose::Message };
        let sealed = seal(&self.to, &self.psk, &context, &message, &mut rng).map_err(|_| StoreError::Damaged)?;
        Ok(sealed.bytes().to_vec())
    }
}

/// What a box of the other side brought.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// A message that was not here before.
    pub(crate) message: Option<[u8; 16]>,
    /// A message that was here was edited or withdrawn.
    pub(crate) changed_message: Option<[u8; 16]>,
    /// Messages of ours whose outcome changed.
    pub(crate) changed: Vec<Changed>,
    /// The contact changed.
    pub(crate) contact_changed: bool,
    /// There is a new session, which the other side asked for, or we.
    pub(crate) reset_by_peer: Option<bool>,
    /// A transfer went forward.
    pub(crate) moved: Moved,
}

/// Opens a box of a paired channel and keeps what is in it. What cannot be opened is recorded, and blocks nothing.
pub(crate) fn receive(
    tx: &Tx<'_>,
    row: &ContactRow,
    sealed: &SealedBox,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Received, StoreError> {
    let Some(opened) = open_message(tx, row, sealed)? else { return receive_reset(tx, row, sealed, now, rng) };
    if tx.note_sealing_key_used(opened.key, now)? >= MAX_BOXES && opened.session.session == row.session {
        rotation::tend(tx, row, now, &mut *rng)?;
    }
    let Ok(mut session) = Session::from_pickle(&opened.session.pickle) else {
        if opened.session.session == row.session {
            tx.set_wedged(&row.key, true)?;
        }
        return unopened(tx, row);
    };
    let plaintext = match session.decrypt(&opened.message) {
        Ok(plaintext) => plaintext,
        // Read before: our ack was lost, so the receipt may have been as well.
        Err(DecryptError::MissingKey) => {
            tx.set_receipt_due(&row.key, true)?;
            return Ok(Received::default());
        }
        Err(DecryptError::GapTooBig) => return gap_too_big(tx, row, now, rng),
        Err(_) => return unopened(tx, row),
    };
    let pickle = session.pickle().map_err(|_| StoreError::Damaged)?;
    tx.keep_session(row, opened.session.session, &pickle)?;
    let Ok(envelope) = Envelope::decode(&plaintext) else { return unopened(tx, row) };
    let mut received = Received::default();
    if opened.session.session == row.session {
        // The other side is in this session: nothing comes under an earlier one any more.
        if tx.forget_what_led_to(row)? {
            received.changed = tx.resend_unreceipted(&row.key)?;
        }
    }
    if row.state == State::Joined {
        received.changed.extend(answered(tx, row)?);
        received.contact_changed = true;
    }
    if let Some(receipt) = &envelope.receipt {
        received.changed.extend(tx.apply_receipt(&row.key, receipt, now)?);
    }
    if opened.session.session == row.session {
        received.contact_changed |= tx.set_peer_tells_reads(&row.key, envelope.tells_reads)?;
    }
    received.changed.extend(tx.apply_seen(&row.key, envelope.seen_up_to)?);
    if let Some(numbered) = &envelope.numbered
        && let Some(message) = tx.keep_incoming(&row.key, opened.session.session, &envelope.stream, numbered, now)?
    {
        take_message(tx, row, numbered, message, now, &mut received)?;
        tx.drop_texts_about_nothing(&row.key, numbered.position)?;
    }
    received.moved = match (&envelope.chunk, &envelope.transfer) {
        (Some(chunk), _) => transfers::take_chunk(tx, row, chunk, now)?,
        (None, Some(status)) => transfers::take_status(tx, row, status, now)?,
        (None, None) => Moved::default(),
    };
    if received.moved.bad {
        tx.note_unopened(&row.key)?;
        received.contact_changed = true;
    }
    if let Some(announced) = &envelope.sealing_key {
        if opened.session.session == row.session {
            tx.set_peer_sealing(&row.key, announced.number, &announced.key)?;
        }
        // Sealed to it, the receipt shows that the announcement came.
        tx.set_receipt_due(&row.key, true)?;
    }
    Ok(received)
}

/// Takes a message that was not here before.
fn take_message(
    tx: &Tx<'_>,
    row: &ContactRow,
    numbered: &Numbered,
    message: MessageKey,
    now: Timestamp,
    received: &mut Received,
) -> Result<(), StoreError> {
    // Ids are drawn, so its sender chose that. Receipted like any other, it tells nothing of what else is here.
    if tx.names_another(message)? {
        received.contact_changed = true;
        tx.hide(message)?;
        return tx.note_unopened(&row.key);
    }
    match &numbered.body {
        Body::Retention(retention) => {
            received.contact_changed = true;
            tx.set_retention(&row.key, false, *retention, numbered.sent_at)?;
        }
        Body::Deleted => received.contact_changed = true,
        Body::Edit { message, .. } | Body::Withdrawal { message } => {
            received.changed_message = edits::apply(tx, row, message, now)?.then_some(*message);
        }
        Body::Text(_) | Body::Reply { .. } | Body::Unknown => received.message = Some(numbered.message_id),
        Body::Attachment(attachment) => {
            if !transfers::announced(tx, row, message, attachment, now)? {
                tx.note_unopened(&row.key)?;
            }
            received.message = Some(numbered.message_id);
        }
        body => {
            received.contact_changed = true;
            match receive_care(tx, row, body, now)? {
                statements::Received::Silent => {}
                statements::Received::Note(note) => tx.set_note(message, &note)?,
                statements::Received::Bad => tx.note_unopened(&row.key)?,
            }
        }
    }
    // What is about it may have come before it did.
    edits::apply(tx, row, &numbered.message_id, now).map(drop)
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
        Body::Text(_)
        | Body::Reply { .. }
        | Body::Edit { .. }
        | Body::Withdrawal { .. }
        | Body::Retention(_)
        | Body::Deleted
        | Body::Attachment(_)
        | Body::Unknown => Ok(statements::Received::Silent),
    }
}

/// A box that a sealing key of ours opened.
struct Opened {
    session: SessionRow,
    key: i64,
    message: Zeroizing<Vec<u8>>,
}

/// Tries the live keys of the present session, and of those before it from which something may still come.
fn open_message(tx: &Tx<'_>, row: &ContactRow, sealed: &SealedBox) -> Result<Option<Opened>, StoreError> {
    let context = Context { channel: row.of.channel, sender: row.of.end.other(), purpose: Purpose::Message };
    let present = tx.psk_in(&row.key)?.zip(tx.blob(&row.key, "session")?);
    let present = present.map(|(psk_in, pickle)| SessionRow { session: row.session, pickle, psk_in });
    for session in present.into_iter().chain(tx.old_sessions(&row.key)?) {
        for own in tx.sealing_keys(&row.key, session.session)? {
            if let Ok(message) = open(&own.key, &session.psk_in, &context, sealed) {
                return Ok(Some(Opened { session, key: own.id, message }));
            }
        }
    }
    Ok(None)
}

fn unopened(tx: &Tx<'_>, row: &ContactRow) -> Result<Received, StoreError> {
    // To a restored device, whatever came before the answer to its reset is of a session that is gone, and comes again.
    if tx.blob(&row.key, "session")?.is_none() {
        return Ok(Received::default());
    }
    tx.note_unopened(&row.key)?;
    Ok(Received { contact_changed: true, ..Received::default() })
}

/// A box that is no message is a reset, or cannot be opened.
fn receive_reset(
    tx: &Tx<'_>,
    row: &ContactRow,
    sealed: &SealedBox,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Received, StoreError> {
    let Some(renewal) = reset::receive(tx, row, sealed, now, rng)? else { return unopened(tx, row) };
    Ok(Received {
        changed: renewal.changed,
        contact_changed: renewal.by_peer.is_some(),
        reset_by_peer: renewal.by_peer,
        ..Received::default()
    })
}

/// More is missing than the ratchet can jump over. The other side sealed this box, and nobody else can have: a new
/// session is asked for, unless that was done too often.
fn gap_too_big(tx: &Tx<'_>, row: &ContactRow, now: Timestamp, rng: &mut dyn CryptoRng) -> Result<Received, StoreError> {
    tx.set_wedged(&row.key, true)?;
    match reset::begin(tx, row, now, rng) {
        Ok(()) | Err(ResetError::TooOften | ResetError::WrongState | ResetError::NoSuchContact) => unopened(tx, row),
        Err(ResetError::Store(error)) => Err(error),
    }
}

/// End B heard of end A for the first time: the pairing is complete.
fn answered(tx: &Tx<'_>, row: &ContactRow) -> Result<Vec<Changed>, StoreError> {
    tx.set_state(&row.key, State::Paired)?;
    tx.set_blob(&row.key, "accept_box", None)?;
    // What was sent before an accept that had to be repeated could not be opened over there.
    if tx.accept_was_resent(&row.key)? { tx.resend_unreceipted(&row.key) } else { Ok(Vec::new()) }
}

#[cfg(test)]
mod tests;
