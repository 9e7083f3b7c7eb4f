//! A new session for a channel whose ratchet is lost, damaged or no longer trusted: one side asks, the other answers.
//!
//! Both go to keys that never change, so that a device which lost everything else can still ask. They carry fresh
//! public keys and no text. Whoever answers seals in the new session from then on, and goes on reading the old one until
//! the other side is seen to use the answer; whoever asked does so with the answer in hand. New identity keys make new
//! safety words: nothing else tells a lost device from somebody who claims to be one.

use rand_core::CryptoRng;
use tacit_proto::{End, EndKey, SealedBox};
use zeroize::Zeroizing;

use crate::content::{Envelope, Had, ResetContent, ResetStep};
use crate::crypto::psk::Psk;
use crate::crypto::ratchet::Account;
use crate::crypto::reset::{ResetRandom, SessionSecrets, transcript};
use crate::crypto::seal::{Context, Purpose, SealingKey, SealingPublic, open, seal};
use crate::error::{ResetError, StoreError};
use crate::pairing::draw_id;
use crate::store::{AskedReset, Changed, ContactRow, Kind, NewSession, POSITIONS, State, Tx};
use crate::types::Timestamp;

/// Most resets that one side begins, or that the other accepts of it, within a day: somebody who had both sides renew
/// their safety words again and again would have people stop looking.
pub(crate) const MOST_A_DAY: u64 = 5;

pub(crate) const DAY_MS: u64 = 24 * 3600 * 1_000;

/// What a box of the other side did to a session.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    /// There is a new session, and with it new safety words: the other side asked for it, or we.
    pub(crate) by_peer: Option<bool>,
    /// Messages of ours whose outcome changed.
    pub(crate) changed: Vec<Changed>,
}

/// A person, or a gap that the ratchet cannot jump, asks for a new session. One that was asked for and not answered yet
/// is asked for again.
pub(crate) fn begin(tx: &Tx<'_>, row: &ContactRow, now: Timestamp, rng: &mut dyn CryptoRng) -> Result<(), ResetError> {
    // Before the other side was heard of, it may lack the accept: that goes before the request, and again with it.
    if !row.state.can_send() {
        return Err(ResetError::WrongState);
    }
    if let Some(asked) = tx.asked_reset(&row.key)? {
        return Ok(repeat(tx, row, &asked)?);
    }
    if tx.resets_within(&row.key, true, now, DAY_MS)? >= MOST_A_DAY {
        return Err(ResetError::TooOften);
    }
    Ok(ask(tx, row, now, rng)?)
}

/// After a restore, for each contact whose pairing was complete on this side ([`State::Joined`] or [`State::Paired`]):
/// there is no session, and the end is in the hands of a lost device. Draws the end's next key, which the engine hands to
/// the relay before anything is sent and which locks the lost device out; then a new session is asked for.
///
/// Of the contact's row it needs `end_key`, `psk_reset`, `reset_secret` and `peer_reset`; it clears whatever there is of
/// ratchet state, message secrets and sealed boxes. Call it in the transaction that restores the contact. No limit holds.
pub(crate) fn restore(
    tx: &Tx<'_>,
    row: &ContactRow,
    now: Timestamp,
    mut rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    tx.forget_session(row)?;
    // One that was being handed over when the backup was made is known to the lost device too.
    tx.set_last_end_key(&row.key, &EndKey::draw(&mut rng))?;
    tx.start_stream_anew(&row.key)?;
    ask(tx, row, now, rng)
}

/// Draws a request and all that its answer is taken with.
fn ask(tx: &Tx<'_>, row: &ContactRow, now: Timestamp, mut rng: &mut dyn CryptoRng) -> Result<(), StoreError> {
    let Some((to, psk)) = tx.reset_outward(&row.key)? else { return Err(StoreError::Damaged) };
    let (account, sealing) = (Account::new(), SealingKey::draw(&mut rng));
    let (had, highest) = had(tx, row)?;
    let content = ResetContent {
        id: draw_id(rng),
        fresh: ResetRandom::draw(&mut rng),
        sealing_key: sealing.public(),
        olm_identity: account.identity_key(),
        step: ResetStep::Request { olm_one_time: account.one_time_key().ok_or(StoreError::Damaged)? },
        had,
        highest,
    };
    let request = content.encode();
    let asked = AskedReset {
        id: content.id,
        sealed: seal_reset(row, &to, &psk, &request, rng)?,
        request,
        account: account.pickle().map_err(|_| StoreError::Damaged)?,
        sealing,
        sent_at: None,
        crossed: 0,
    };
    tx.ask_reset(&row.key, &asked, &EndKey::draw(&mut rng), now)
}

/// The same bytes once more: the other side accepts them if it never saw them, and repeats its answer if it did.
fn repeat(tx: &Tx<'_>, row: &ContactRow, asked: &AskedReset) -> Result<(), StoreError> {
    if tx.is_outgoing(&row.key, Kind::ResetRequest)? {
        return Ok(());
    }
    tx.enqueue(&row.key, Kind::ResetRequest, None, Some(&asked.sealed))
}

/// What was not answered is repeated when the relay lost it, and a day after it was sent.
pub(crate) fn tend(tx: &Tx<'_>, row: &ContactRow, now: Timestamp, backlog_was_lost: bool) -> Result<(), StoreError> {
    if let Some(asked) = tx.asked_reset(&row.key)?
        && asked.sent_at.is_some_and(|sent| backlog_was_lost || now.abs_diff(sent) > DAY_MS)
    {
        repeat(tx, row, &asked)?;
    }
    if backlog_was_lost { tx.repeat_answer(&row.key, None) } else { Ok(()) }
}

/// Takes a box that is no message. None: it is no reset either.
pub(crate) fn receive(
    tx: &Tx<'_>,
    row: &ContactRow,
    sealed: &SealedBox,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Option<Renewal>, StoreError> {
    let (Some(secret), Some((to, psk))) = (tx.reset_secret(&row.key)?, tx.reset_outward(&row.key)?) else {
        return Ok(None);
    };
    let context = Context { channel: row.of.channel, sender: row.of.end.other(), purpose: Purpose::Reset };
    let Ok(payload) = open(&secret, &psk, &context, sealed) else { return Ok(None) };
    let Ok(content) = ResetContent::decode(&payload) else { return Ok(None) };
    match &content.step {
        ResetStep::Request { .. } => answer(tx, row, &content, &payload, (&to, &psk), now, rng),
        ResetStep::Answer { olm_message } => take_answer(tx, row, &content, &payload, olm_message, &psk, now, rng),
    }
}

/// The other side asks for a new session.
fn answer(
    tx: &Tx<'_>,
    row: &ContactRow,
    request: &ResetContent,
    request_bytes: &[u8],
    (to, psk): (&SealingPublic, &Psk),
    now: Timestamp,
    mut rng: &mut dyn CryptoRng,
) -> Result<Option<Renewal>, StoreError> {
    let ResetStep::Request { olm_one_time } = &request.step else { return Ok(None) };
    // Never accepted twice: whoever kept it could have us change keys whenever they like.
    if tx.knows_reset(&row.key, &request.id)? {
        tx.repeat_answer(&row.key, Some(&request.id))?;
        return Ok(Some(Renewal::default()));
    }
    if let Some(asked) = tx.asked_reset(&row.key)? {
        match row.of.end {
            // Both asked at once: ours is answered, and theirs is not.
            End::A => {
                crossed(tx, row, &asked, now, rng)?;
                return Ok(Some(Renewal::default()));
            }
            End::B => tx.drop_asked_reset(&row.key)?,
        }
    }
    if tx.resets_within(&row.key, false, now, DAY_MS)? >= MOST_A_DAY {
        return Ok(None);
    }
    let (account, sealing) = (Account::new(), SealingKey::draw(&mut rng));
    let Ok(mut session) = account.start(&request.olm_identity, olm_one_time) else { return Ok(None) };
    let out_stream = draw_id(rng);
    // The last receipt of the session before: what it does not cover comes once more.
    let hello = Envelope { stream: out_stream, receipt: tx.receipt(&row.key)?, ..Envelope::default() };
    let olm_message = session.encrypt(&hello.encode()).map_err(|_| StoreError::Damaged)?;
    let (had, highest) = had(tx, row)?;
    let content = ResetContent {
        id: request.id,
        fresh: ResetRandom::draw(&mut rng),
        sealing_key: sealing.public(),
        olm_identity: account.identity_key(),
        step: ResetStep::Answer { olm_message },
        had,
        highest,
    };
    let answer_bytes = content.encode();
    let sealed = seal_reset(row, to, psk, &answer_bytes, rng)?;
    let transcript = transcript(&row.of.channel, row.of.end.other(), request_bytes, &answer_bytes);
    let secrets = SessionSecrets::derive(&transcript, psk, &request.fresh, &content.fresh);
    tx.start_session(
        row,
        &NewSession {
            secrets: &secrets,
            transcript: &transcript,
            pickle: &session.pickle().map_err(|_| StoreError::Damaged)?,
            sealing: &sealing,
            peer_sealing: &request.sealing_key,
            out_stream,
            by_peer: true,
        },
        now,
    )?;
    tx.note_reset_id(&row.key, &request.id, false, Some(&sealed), now)?;
    // Ahead of every message of the new session.
    tx.enqueue(&row.key, Kind::ResetAnswer, None, Some(&sealed))?;
    renewed(tx, row, request, true).map(Some)
}

/// End A's request goes before the one that crossed it, as long as that one can have been sent before ours came. Seen a
/// second time, the other side lost ours, or all memory of having accepted it: it needs one that it never saw.
fn crossed(
    tx: &Tx<'_>,
    row: &ContactRow,
    asked: &AskedReset,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    match (asked.sent_at, asked.crossed) {
        // It is still on its way.
        (None, _) => Ok(()),
        (Some(_), 0) => {
            tx.note_reset_crossed(&row.key)?;
            repeat(tx, row, asked)
        }
        (Some(_), _) if tx.resets_within(&row.key, true, now, DAY_MS)? < MOST_A_DAY => ask(tx, row, now, rng),
        (Some(_), _) => repeat(tx, row, asked),
    }
}

/// The other side answers our request.
#[allow(clippy::too_many_arguments, reason = "what a box and its keys are")]
fn take_answer(
    tx: &Tx<'_>,
    row: &ContactRow,
    answer: &ResetContent,
    answer_bytes: &[u8],
    olm_message: &[u8],
    psk: &Psk,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Option<Renewal>, StoreError> {
    // One that was given up, or answered before.
    let Some(asked) = tx.asked_reset(&row.key)?.filter(|asked| asked.id == answer.id) else {
        return Ok(Some(Renewal::default()));
    };
    let request = ResetContent::decode(&asked.request).map_err(|_| StoreError::Damaged)?;
    let mut account = Account::from_pickle(&asked.account).map_err(|_| StoreError::Damaged)?;
    let Ok((session, hello)) = account.receive(&answer.olm_identity, olm_message) else { return Ok(None) };
    let Ok(hello) = Envelope::decode(&hello) else { return Ok(None) };
    let transcript = transcript(&row.of.channel, row.of.end, &asked.request, answer_bytes);
    let secrets = SessionSecrets::derive(&transcript, psk, &request.fresh, &answer.fresh);
    let mut changed = Vec::new();
    if let Some(receipt) = &hello.receipt {
        changed = tx.apply_receipt(&row.key, receipt, now)?;
    }
    tx.start_session(
        row,
        &NewSession {
            secrets: &secrets,
            transcript: &transcript,
            pickle: &session.pickle().map_err(|_| StoreError::Damaged)?,
            sealing: &asked.sealing,
            peer_sealing: &answer.sealing_key,
            out_stream: draw_id(rng),
            by_peer: false,
        },
        now,
    )?;
    // The other side sealed nothing in the old session after its answer.
    tx.forget_sessions_before(&row.key, row.session + 1)?;
    tx.drop_asked_reset(&row.key)?;
    tx.set_in_stream(&row.key, &hello.stream, row.session + 1)?;
    let mut renewal = renewed(tx, row, answer, false)?;
    renewal.changed.splice(0..0, changed);
    // It shows that the answer is used.
    tx.set_receipt_due(&row.key, true)?;
    Ok(Some(renewal))
}

/// A new stream: what the other side does not have is sent in it.
fn renewed(tx: &Tx<'_>, row: &ContactRow, theirs: &ResetContent, by_peer: bool) -> Result<Renewal, StoreError> {
    let mut changed = tx.apply_had(&row.key, &theirs.had)?;
    changed.extend(tx.start_stream_anew(&row.key)?);
    // A device that lost what it sent must not give a position twice.
    tx.skip_positions(&row.key, theirs.highest)?;
    if row.state == State::Joined {
        tx.set_state(&row.key, State::Paired)?;
        tx.set_blob(&row.key, "accept_box", None)?;
    }
    Ok(Renewal { by_peer: Some(by_peer), changed })
}

fn had(tx: &Tx<'_>, row: &ContactRow) -> Result<(Had, u64), StoreError> {
    let (up_to, beyond) = tx.received(&row.key, POSITIONS)?;
    Ok((Had { up_to, beyond }, tx.highest_received(&row.key)?))
}

fn seal_reset(
    row: &ContactRow,
    to: &SealingPublic,
    psk: &Psk,
    payload: &Zeroizing<Vec<u8>>,
    mut rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, StoreError> {
    let context = Context { channel: row.of.channel, sender: row.of.end, purpose: Purpose::Reset };
    let sealed = seal(to, psk, &context, payload, &mut rng).map_err(|_| StoreError::Damaged)?;
    Ok(sealed.bytes().to_vec())
}
