//! The exchange by which an invite becomes a channel whose ends trust each other.
//!
//! Every step is a function of the store, the time and randomness: how the invite travelled is none of its business, so
//! the same steps serve an introduction.

use rand_core::CryptoRng;
use tacit_proto::link::{InviteLink, InviteSecret};
use tacit_proto::{ChannelId, End, EndKey, EndOf, SealedBox};
use zeroize::Zeroizing;

use crate::care::consent::{ConsentBody, pairing_name};
use crate::care::statement::Signed;
use crate::content::{AcceptContent, Envelope, MAX_OFFER_PARTS, OfferContent};
use crate::crypto::invite::{InviteKeys, draw_secret};
use crate::crypto::pairing::{AcceptRandom, ChannelSecrets, Transcript};
use crate::crypto::psk::Psk;
use crate::crypto::ratchet::Account;
use crate::crypto::seal::{Context, MAX_LARGE_PAYLOAD, Purpose, SealingKey, open, seal};
use crate::crypto::signing::SigningKey;
use crate::error::{ContactError, InviteError, JoinError, StoreError};
use crate::statements;
use crate::store::{CareRow, ContactKey, ContactRow, Kind, NewContact, State, Tx, Whose};
use crate::types::{EndedWhy, Timestamp};

/// Part number and part count, before every part of an offer.
const PART_HEADER: usize = 2;

/// An accept that was not answered is sent again after this long, or after the relay's hold if that is shorter: until then
/// the relay still has the first.
pub(crate) const RESEND_ACCEPT_MS: u64 = 24 * 3600 * 1000;

/// Draws 16 random bytes: an id that means nothing.
pub(crate) fn draw_id(rng: &mut dyn CryptoRng) -> [u8; 16] {
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    id
}

/// End A: draws everything of a new channel, and keeps the request to open it and the offer, to be carried out later.
pub(crate) fn invite(
    tx: &Tx<'_>,
    now: Timestamp,
    mut rng: &mut dyn CryptoRng,
    label: &str,
    join_within: u32,
) -> Result<(ContactKey, InviteLink), InviteError> {
    let (name, ..) = tx.profile()?.ok_or(InviteError::NotEnrolled)?;
    let practice = statements::own(tx, now, rng)?.ok_or(InviteError::NotEnrolled)?;
    let (relay, permit) = tx.take_permit()?.ok_or(InviteError::NoPermitsLeft)?;
    let of = EndOf { channel: ChannelId::draw(&mut rng), end: End::A };
    let secret = draw_secret(&mut rng);
    let (sealing, reset, account) = (SealingKey::draw(&mut rng), SealingKey::draw(&mut rng), Account::new());
    let offer = OfferContent {
        sealing_key: sealing.public(),
        reset_key: reset.public(),
        olm_identity: account.identity_key(),
        olm_one_time: account.one_time_key().ok_or(StoreError::Damaged)?,
        from: name,
        practice_key: practice.key.public(),
        terms: practice.terms,
        practice_card: practice.practice_card,
        crisis_card: practice.crisis_card,
    };
    let key = draw_id(rng);
    tx.add_contact(&NewContact {
        key,
        relay,
        of,
        label,
        state: State::Opening,
        remote_invite: false,
        now,
        end_key: Some(&EndKey::draw(&mut rng)),
        next_end_key: None,
        permit: Some(&permit),
        join_within: Some(join_within),
        invite_secret: &secret,
        out_stream: draw_id(rng),
    })?;
    tx.add_sealing_key(&key, 0, 0, &sealing, now)?;
    tx.set_blob(&key, "reset_secret", Some(&*reset.secret_bytes()))?;
    tx.set_blob(&key, "account", Some(&account.pickle().map_err(|_| StoreError::Damaged)?))?;
    tx.set_blob(&key, "offer", Some(&offer.encode()))?;
    enqueue_offer(tx, &key, &of, &secret, rng)?;
    Ok((key, InviteLink { relay: tx.relay_place(relay)?, channel: of.channel, secret, remote: false }))
}

/// The link of an invite that nobody used yet.
pub(crate) fn invite_link(tx: &Tx<'_>, key: &ContactKey) -> Result<InviteLink, ContactError> {
    let row = tx.contact(key)?.ok_or(ContactError::NoSuchContact)?;
    if !matches!(row.state, State::Opening | State::Offering | State::Invited) {
        return Err(ContactError::WrongState);
    }
    let secret = tx.invite_secret(key)?.ok_or(ContactError::WrongState)?;
    Ok(InviteLink { relay: tx.relay_place(row.relay)?, channel: row.of.channel, secret, remote: false })
}

/// Seals the offer, in parts, and puts it into the outbox.
pub(crate) fn enqueue_offer(
    tx: &Tx<'_>,
    key: &ContactKey,
    of: &EndOf,
    secret: &InviteSecret,
    mut rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    let Some(offer) = tx.blob(key, "offer")? else { return Ok(()) };
    let keys = InviteKeys::derive(&of.channel, secret);
    let context = Context { channel: of.channel, sender: End::A, purpose: Purpose::Offer };
    for payload in offer_payloads(&offer).ok_or(StoreError::Damaged)? {
        let sealed = seal(&keys.offer_key.public(), &keys.offer_psk, &context, &payload, &mut rng)
            .map_err(|_| StoreError::Damaged)?;
        tx.enqueue(key, Kind::Offer, None, Some(sealed.bytes()))?;
    }
    Ok(())
}

/// An offer, cut into the payloads of its boxes. `None` if it is too long.
pub(crate) fn offer_payloads(offer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let parts: Vec<_> = offer.chunks(MAX_LARGE_PAYLOAD - PART_HEADER).collect();
    let count = u8::try_from(parts.len()).ok().filter(|count| usize::from(*count) <= MAX_OFFER_PARTS)?;
    Some((1..=count).zip(parts).map(|(number, part)| [&[number, count], part].concat()).collect())
}

/// End B: keeps the invite and a fresh end key, before the relay is asked. The same invite again is the same contact.
pub(crate) fn join(
    tx: &Tx<'_>,
    now: Timestamp,
    mut rng: &mut dyn CryptoRng,
    link: &InviteLink,
    label: &str,
) -> Result<ContactKey, JoinError> {
    if let Some(known) = tx.contact_at(&link.channel)? {
        return match known.of.end {
            End::A => Err(JoinError::OwnInvite),
            End::B => Ok(known.key),
        };
    }
    let key = draw_id(rng);
    tx.add_contact(&NewContact {
        key,
        relay: tx.relay(&link.relay)?,
        of: EndOf { channel: link.channel, end: End::B },
        label,
        state: State::Claiming,
        remote_invite: link.remote,
        now,
        end_key: None,
        next_end_key: Some(&EndKey::draw(&mut rng)),
        permit: None,
        join_within: None,
        invite_secret: &link.secret,
        out_stream: draw_id(rng),
    })?;
    Ok(key)
}

/// What a box of the other side did to a pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The pairing went on: the contact changed.
    Forward,
    /// More is to come, or it came before.
    Nothing,
    /// It does not open.
    Unopened,
}

/// End B: takes a part of the offer; with the last one, the offer can be shown.
pub(crate) fn receive_offer_part(tx: &Tx<'_>, row: &ContactRow, sealed: &SealedBox) -> Result<Step, StoreError> {
    let Some(secret) = tx.invite_secret(&row.key)? else { return Ok(Step::Unopened) };
    let keys = InviteKeys::derive(&row.of.channel, &secret);
    let context = Context { channel: row.of.channel, sender: End::A, purpose: Purpose::Offer };
    let Ok(payload) = open(&keys.offer_key, &keys.offer_psk, &context, sealed) else {
        return Ok(Step::Unopened);
    };
    let [number, count, part @ ..] = payload.as_slice() else { return Ok(Step::Unopened) };
    if *number == 0 || number > count || usize::from(*count) > MAX_OFFER_PARTS {
        return Ok(Step::Unopened);
    }
    tx.add_offer_part(&row.key, *number, part)?;
    let parts = tx.offer_parts(&row.key)?;
    if parts.len() < usize::from(*count) {
        return Ok(Step::Nothing);
    }
    let offer: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    tx.forget_offer_parts(&row.key)?;
    match OfferContent::decode(&offer) {
        Ok(content) => {
            tx.set_blob(&row.key, "offer", Some(&offer))?;
            if tx.label_is_empty(&row.key)? {
                tx.set_label(&row.key, &content.from)?;
            }
            tx.set_state(&row.key, State::Consenting)?;
        }
        Err(_) => tx.end_contact(&row.key, EndedWhy::BadOffer, true)?,
    }
    Ok(Step::Forward)
}

/// The offer that waits for consent.
pub(crate) fn offer(tx: &Tx<'_>, row: &ContactRow) -> Result<OfferContent, ContactError> {
    let offer = tx.blob(&row.key, "offer")?.ok_or(ContactError::WrongState)?;
    if row.state != State::Consenting {
        return Err(ContactError::WrongState);
    }
    OfferContent::decode(&offer).map_err(|_| StoreError::Damaged.into())
}

/// End B: agrees. Draws this side's keys, derives the channel's secrets, and queues the accept.
pub(crate) fn consent(
    tx: &Tx<'_>,
    row: &ContactRow,
    now: Timestamp,
    mut rng: &mut dyn CryptoRng,
) -> Result<(), ContactError> {
    let offer = offer(tx, row)?;
    let offer_bytes = tx.blob(&row.key, "offer")?.ok_or(ContactError::WrongState)?;
    let secret = tx.invite_secret(&row.key)?.ok_or(StoreError::Damaged)?;
    let (sealing, reset, account) = (SealingKey::draw(&mut rng), SealingKey::draw(&mut rng), Account::new());
    let Ok(mut session) = account.start(&offer.olm_identity, &offer.olm_one_time) else {
        return Ok(tx.end_contact(&row.key, EndedWhy::BadOffer, true)?);
    };
    let hello = Envelope { stream: tx.out_stream(&row.key)?, ..Envelope::default() };
    let Ok(olm_message) = session.encrypt(&hello.encode()) else {
        return Ok(tx.end_contact(&row.key, EndedWhy::BadOffer, true)?);
    };
    let fresh = AcceptRandom::draw(&mut rng);
    let consent_key = SigningKey::draw(&mut rng);
    let pairing = pairing_name(&row.of.channel, &offer_bytes);
    let consent = ConsentBody::new(pairing, offer.practice_key, &offer.from, &offer.terms.body, now);
    let consent = Signed::sign(&consent_key, consent);
    let accept = AcceptContent {
        fresh: fresh.clone(),
        sealing_key: sealing.public(),
        reset_key: reset.public(),
        olm_identity: account.identity_key(),
        olm_message,
        consent_key: consent_key.public(),
        consent: consent.clone(),
    }
    .encode();
    let transcript = Transcript::new(&row.of.channel, &offer_bytes, &accept);
    let secrets = ChannelSecrets::derive(&transcript, &secret, &fresh);
    let accept_psk = InviteKeys::derive(&row.of.channel, &secret).accept_psk;
    let context = Context { channel: row.of.channel, sender: End::B, purpose: Purpose::Accept };
    let sealed = seal(&offer.sealing_key, &accept_psk, &context, &accept, &mut rng).map_err(|_| StoreError::Damaged)?;
    tx.keep_secrets(row, &secrets, &transcript, &offer.sealing_key, &offer.reset_key)?;
    tx.set_care(&row.key, &CareRow { pairing, signing_key: Some(consent_key), peer_key: offer.practice_key })?;
    statements::keep_offered(tx, &row.key, &offer, now)?;
    statements::keep_consent(tx, &row.key, Whose::Ours, &consent, now)?;
    keep_session(tx, &row.key, &session.pickle().map_err(|_| StoreError::Damaged)?)?;
    tx.add_sealing_key(&row.key, 0, 0, &sealing, now)?;
    tx.set_blob(&row.key, "reset_secret", Some(&*reset.secret_bytes()))?;
    // The same bytes serve every resend, so the accept's secret need not outlive this.
    tx.set_blob(&row.key, "accept_box", Some(sealed.bytes()))?;
    tx.enqueue(&row.key, Kind::Accept, None, Some(sealed.bytes()))?;
    tx.set_state(&row.key, State::Joined)?;
    Ok(())
}

/// End A: takes the accept, and with it the channel's secrets.
pub(crate) fn receive_accept(
    tx: &Tx<'_>,
    row: &ContactRow,
    sealed: &SealedBox,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Step, StoreError> {
    let Some(secret) = tx.invite_secret(&row.key)? else { return Ok(Step::Unopened) };
    let accept_psk = InviteKeys::derive(&row.of.channel, &secret).accept_psk;
    let Some(payload) = open_accept(tx, row, &accept_psk, sealed)? else { return Ok(Step::Unopened) };
    let Ok(accept) = AcceptContent::decode(&payload) else { return Ok(Step::Unopened) };
    let (Some(offer), Some(account)) = (tx.blob(&row.key, "offer")?, tx.blob(&row.key, "account")?) else {
        return Err(StoreError::Damaged);
    };
    let pairing = pairing_name(&row.of.channel, &offer);
    // An offer of a version before statements was made by this device, and nobody can agree to it.
    let Ok(offered) = OfferContent::decode(&offer) else { return Ok(Step::Unopened) };
    let consent = &accept.consent.body;
    if consent.pairing != pairing || !consent.is_to(offered.practice_key, &offered.terms.body) {
        return Ok(Step::Unopened);
    }
    let mut account = Account::from_pickle(&account).map_err(|_| StoreError::Damaged)?;
    let Ok((session, hello)) = account.receive(&accept.olm_identity, &accept.olm_message) else {
        return Ok(Step::Unopened);
    };
    let Ok(hello) = Envelope::decode(&hello) else { return Ok(Step::Unopened) };
    let transcript = Transcript::new(&row.of.channel, &offer, &payload);
    let secrets = ChannelSecrets::derive(&transcript, &secret, &accept.fresh);
    tx.keep_secrets(row, &secrets, &transcript, &accept.sealing_key, &accept.reset_key)?;
    keep_session(tx, &row.key, &session.pickle().map_err(|_| StoreError::Damaged)?)?;
    tx.set_care(&row.key, &CareRow { pairing, signing_key: None, peer_key: accept.consent_key })?;
    statements::keep_consent(tx, &row.key, Whose::Theirs, &accept.consent, now)?;
    statements::send_newer(tx, &row.key, &offered, now, rng)?;
    tx.set_in_stream(&row.key, &hello.stream, row.session)?;
    // The receipt is the answer that tells end B it is paired.
    tx.set_receipt_due(&row.key, true)?;
    tx.set_state(&row.key, State::Paired)?;
    Ok(Step::Forward)
}

fn open_accept(
    tx: &Tx<'_>,
    row: &ContactRow,
    psk: &Psk,
    sealed: &SealedBox,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let context = Context { channel: row.of.channel, sender: End::B, purpose: Purpose::Accept };
    let keys = tx.sealing_keys(&row.key, row.session)?;
    Ok(keys.iter().find_map(|own| open(&own.key, psk, &context, sealed).ok()))
}

/// Writes ratchet state back, in the transaction of the message it belongs to.
pub(crate) fn keep_session(tx: &Tx<'_>, key: &ContactKey, pickle: &[u8]) -> Result<(), StoreError> {
    tx.set_blob(key, "session", Some(pickle))
}
