//! Statements between devices: our own are made and handed to whom they concern; theirs are put together, checked, and
//! kept as the bytes that came.

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use tacit_proto::End;

use crate::care::consent::{ConsentBody, text_hash};
use crate::care::crisis_card::SignedCrisisCard;
use crate::care::hours::instant;
use crate::care::practice_card::SignedPracticeCard;
use crate::care::statement::{Body as StatementBody, Signed};
use crate::care::terms::Terms;
use crate::content::{BadContent, Body, OfferContent, StatementPart};
use crate::crypto::signing::{SigningKey, SigningPublic, Statement, StatementKind};
use crate::error::StoreError;
use crate::life_cycle;
use crate::note::Note;
use crate::pairing::draw_id;
use crate::store::{CareRow, ContactKey, ContactRow, Tx, Whose};
use crate::types::Timestamp;

/// What this device states as a practice.
pub(crate) struct Own {
    pub(crate) key: SigningKey,
    pub(crate) terms: Signed<Terms>,
    pub(crate) practice_card: Option<Signed<SignedPracticeCard>>,
    pub(crate) crisis_card: Option<Signed<SignedCrisisCard>>,
    versions_from: u64,
}

impl Own {
    /// Whether what is kept is the newest that this practice ever made, as far as this device can know.
    pub(crate) const fn is_newest(&self, version: u64) -> bool {
        version >= self.versions_from
    }

    /// The version of a statement in the place of one of another version, or of none.
    pub(crate) fn next_version(&self, before: Option<u64>) -> u64 {
        before.map_or(1, |before| before + 1).max(self.versions_from)
    }
}

/// The version of what a device that is restored at some time makes first: `YYYYMMDDhhmm`, in UTC. The lost device may have
/// made any number of others since the backup, and another one that was restored from it too.
pub(crate) fn version_at(restored: Timestamp) -> u64 {
    instant(restored).strftime("%Y%m%d%H%M").to_string().parse().unwrap_or(0)
}

/// What this device states as a practice; the key is drawn and the terms are signed when they are first needed. None:
/// it never enrolled.
pub(crate) fn own(tx: &Tx<'_>, now: Timestamp, mut rng: &mut dyn CryptoRng) -> Result<Option<Own>, StoreError> {
    let Some((_, version, text)) = tx.profile()? else { return Ok(None) };
    let key = match tx.practice_key()? {
        Some(key) => key,
        None => {
            let key = SigningKey::draw(&mut rng);
            tx.set_practice_key(&key)?;
            key
        }
    };
    let terms = match own_of::<Terms>(tx, &key)? {
        Some(terms) => terms,
        None => {
            let terms = Signed::sign(&key, Terms { version: u64::from(version).max(1), signed_at: now, text });
            tx.add_own_statement(StatementKind::Terms, terms.body.version, terms.statement.bytes())?;
            terms
        }
    };
    let (practice_card, crisis_card) = (own_of(tx, &key)?, own_of(tx, &key)?);
    Ok(Some(Own { key, terms, practice_card, crisis_card, versions_from: tx.versions_from()? }))
}

fn own_of<B: StatementBody>(tx: &Tx<'_>, key: &SigningKey) -> Result<Option<Signed<B>>, StoreError> {
    let bytes = tx.own_statement(B::KIND)?;
    let check = |bytes: Vec<u8>| Signed::check(&key.public(), &bytes).map_err(|BadContent| StoreError::Damaged);
    bytes.map(check).transpose()
}

/// What the newest own statement of a kind says.
pub(crate) fn own_newest<B: StatementBody>(tx: &Tx<'_>) -> Result<Option<B>, StoreError> {
    let Some(key) = tx.practice_key()? else { return Ok(None) };
    Ok(own_of(tx, &key)?.map(|signed: Signed<B>| signed.body))
}

/// What the newest statement of theirs of a kind says.
pub(crate) fn their_newest<B: StatementBody>(tx: &Tx<'_>, contact: &ContactKey) -> Result<Option<B>, StoreError> {
    let (Some(care), Some(bytes)) = (tx.care(contact)?, tx.statement(contact, Whose::Theirs, B::KIND)?) else {
        return Ok(None);
    };
    let signed = Signed::<B>::check(&care.peer_key, &bytes).map_err(|BadContent| StoreError::Damaged)?;
    Ok(Some(signed.body))
}

/// Keeps an own statement, and hands it to everybody whose practice this is.
pub(crate) fn publish<B: StatementBody>(
    tx: &Tx<'_>,
    signed: &Signed<B>,
    note: &Note,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    tx.add_own_statement(B::KIND, signed.body.version(), signed.statement.bytes())?;
    for contact in tx.clients()? {
        send(tx, &contact, &signed.statement, note, now, rng)?;
    }
    Ok(())
}

/// Queues a statement for a contact, in as many parts as it takes. The note stands for all of them.
pub(crate) fn send(
    tx: &Tx<'_>,
    contact: &ContactKey,
    statement: &Statement,
    note: &Note,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    let parts: Vec<_> = statement.bytes().chunks(StatementPart::MAX_BYTES).collect();
    let count = u8::try_from(parts.len()).map_err(|_| StoreError::Damaged)?;
    for (part, bytes) in (1..=count).zip(parts) {
        let (kind, digest) = (statement.kind(), statement.digest());
        let body = Body::Statement(StatementPart { kind, digest, part, count, bytes: bytes.to_vec() });
        let note = (part == count).then_some(note);
        tx.queue_note(contact, &draw_id(rng), note, &body, now)?;
    }
    Ok(())
}

/// End A, just paired: whatever changed since the offer was made.
pub(crate) fn send_newer(
    tx: &Tx<'_>,
    contact: &ContactKey,
    offer: &OfferContent,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    let Some(own) = own(tx, now, rng)? else { return Ok(()) };
    let version = |card: Option<u64>| card.unwrap_or(0);
    if let Some(card) = &own.practice_card
        && card.body.version > version(offer.practice_card.as_ref().map(|card| card.body.version))
    {
        send(tx, contact, &card.statement, &Note::PracticeCardChanged, now, rng)?;
    }
    if let Some(card) = &own.crisis_card
        && card.body.version > version(offer.crisis_card.as_ref().map(|card| card.body.version))
    {
        send(tx, contact, &card.statement, &Note::CrisisCardChanged, now, rng)?;
    }
    if own.terms.body.version > offer.terms.body.version {
        let note = Note::TermsChanged { version: own.terms.body.version };
        send(tx, contact, &own.terms.statement, &note, now, rng)?;
    }
    Ok(())
}

/// End B: keeps what an offer states.
pub(crate) fn keep_offered(
    tx: &Tx<'_>,
    contact: &ContactKey,
    offer: &OfferContent,
    now: Timestamp,
) -> Result<(), StoreError> {
    keep(tx, contact, &offer.terms, now)?;
    if let Some(card) = &offer.practice_card {
        keep(tx, contact, card, now)?;
    }
    if let Some(card) = &offer.crisis_card {
        keep(tx, contact, card, now)?;
    }
    Ok(())
}

fn keep<B: StatementBody>(
    tx: &Tx<'_>,
    contact: &ContactKey,
    signed: &Signed<B>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.keep_statement(contact, Whose::Theirs, B::KIND, signed.body.version(), signed.statement.bytes(), now)
}

/// Keeps a consent that was checked, or that we gave.
pub(crate) fn keep_consent(
    tx: &Tx<'_>,
    contact: &ContactKey,
    whose: Whose,
    consent: &Signed<ConsentBody>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (version, bytes) = (consent.body.terms_version, consent.statement.bytes());
    tx.keep_statement(contact, whose, StatementKind::Consent, version, bytes, now)
}

/// A consent as it was kept, with the keys on both sides of it.
pub(crate) struct KeptConsent {
    pub(crate) kept_at: Timestamp,
    pub(crate) consent_key: SigningPublic,
    pub(crate) practice_key: SigningPublic,
    pub(crate) consent: Signed<ConsentBody>,
}

/// Every consent of a pairing, the oldest first.
pub(crate) fn consents(tx: &Tx<'_>, row: &ContactRow) -> Result<Vec<KeptConsent>, StoreError> {
    let Some(care) = tx.care(&row.key)? else { return Ok(Vec::new()) };
    let (whose, consent_key, practice_key) = match row.of.end {
        End::A => (Whose::Theirs, Some(care.peer_key), tx.practice_key()?.map(|key| key.public())),
        End::B => (Whose::Ours, care.signing_key.map(|key| key.public()), Some(care.peer_key)),
    };
    let (consent_key, practice_key) = consent_key.zip(practice_key).ok_or(StoreError::Damaged)?;
    let kept = tx.statements(&row.key, whose, StatementKind::Consent)?.into_iter();
    kept.map(|(kept_at, bytes)| {
        let consent = Signed::check(&consent_key, &bytes).map_err(|BadContent| StoreError::Damaged)?;
        Ok(KeptConsent { kept_at, consent_key, practice_key, consent })
    })
    .collect()
}

/// Terms of a version between us and a contact, as the practice signed them.
pub(crate) fn terms_of(tx: &Tx<'_>, row: &ContactRow, version: u64) -> Result<Option<Signed<Terms>>, StoreError> {
    let (key, bytes) = match row.of.end {
        End::A => (tx.practice_key()?.map(|key| key.public()), tx.own_statement_of(StatementKind::Terms, version)?),
        End::B => (
            tx.care(&row.key)?.map(|care| care.peer_key),
            tx.statement_of(&row.key, Whose::Theirs, StatementKind::Terms, version)?,
        ),
    };
    let check = |(key, bytes): (SigningPublic, Vec<u8>)| Signed::check(&key, &bytes).map_err(|_| StoreError::Damaged);
    key.zip(bytes).map(check).transpose()
}

/// Whether we joined a practice that changed its terms since we agreed.
pub(crate) fn terms_wait(tx: &Tx<'_>, row: &ContactRow) -> Result<bool, StoreError> {
    if row.of.end == End::A {
        return Ok(false);
    }
    let newest = tx.newest_version(&row.key, Whose::Theirs, StatementKind::Terms)?;
    Ok(newest > tx.newest_version(&row.key, Whose::Ours, StatementKind::Consent)?)
}

/// End B: agrees to terms, keeps that, and tells the practice.
pub(crate) fn agree(
    tx: &Tx<'_>,
    contact: &ContactKey,
    terms: &Terms,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    let care = tx.care(contact)?.ok_or(StoreError::Damaged)?;
    let key = care.signing_key.ok_or(StoreError::Damaged)?;
    // The name is the one that came with the offer: nobody can say another one later.
    let from = tx.statements(contact, Whose::Ours, StatementKind::Consent)?.pop().ok_or(StoreError::Damaged)?.1;
    let before = Signed::<ConsentBody>::check(&key.public(), &from).map_err(|BadContent| StoreError::Damaged)?;
    let consent = ConsentBody::new(care.pairing, care.peer_key, &before.body.from, terms, now);
    let consent = Signed::sign(&key, consent);
    keep_consent(tx, contact, Whose::Ours, &consent, now)?;
    send(tx, contact, &consent.statement, &Note::Agreed { version: terms.version }, now, rng)
}

/// What a part of a statement came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Kept, or known; nothing to be shown.
    Silent,
    /// A statement is complete, and new.
    Note(Note),
    /// It makes no sense.
    Bad,
}

/// Takes a part of a statement. With the last one, the statement is checked and kept.
pub(crate) fn receive(
    tx: &Tx<'_>,
    row: &ContactRow,
    part: &StatementPart,
    now: Timestamp,
) -> Result<Received, StoreError> {
    let Some(care) = tx.care(&row.key)? else { return Ok(Received::Bad) };
    let Some(bytes) = tx.add_statement_part(&row.key, part)? else { return Ok(Received::Silent) };
    if <[u8; 32]>::from(Sha256::digest(&bytes)) != part.digest {
        return Ok(Received::Bad);
    }
    Ok(match (part.kind, row.of.end) {
        (StatementKind::PracticeCard, End::B) => {
            newest::<SignedPracticeCard>(tx, row, &care, &bytes, now, |_| Note::PracticeCardChanged)?
        }
        (StatementKind::CrisisCard, End::B) => {
            newest::<SignedCrisisCard>(tx, row, &care, &bytes, now, |_| Note::CrisisCardChanged)?
        }
        (StatementKind::Terms, End::B) => {
            newest::<Terms>(tx, row, &care, &bytes, now, |terms| Note::TermsChanged { version: terms.version })?
        }
        (StatementKind::Consent, End::A) => consent(tx, row, &care, &bytes, now)?,
        (StatementKind::Farewell, _) => life_cycle::receive_farewell(tx, row, &care, &bytes, now)?,
        // Cards and terms are a practice's to state, and consent is a client's.
        _ => Received::Bad,
    })
}

/// Keeps a card or terms, if they are newer than what is here.
fn newest<B: StatementBody>(
    tx: &Tx<'_>,
    row: &ContactRow,
    care: &CareRow,
    bytes: &[u8],
    now: Timestamp,
    note: impl FnOnce(&B) -> Note,
) -> Result<Received, StoreError> {
    let Ok(signed) = Signed::<B>::check(&care.peer_key, bytes) else { return Ok(Received::Bad) };
    if signed.body.version() <= tx.newest_version(&row.key, Whose::Theirs, B::KIND)? {
        return Ok(Received::Silent);
    }
    keep(tx, &row.key, &signed, now)?;
    Ok(Received::Note(note(&signed.body)))
}

/// Keeps a client's consent, if it is to terms that this practice signed, in this pairing.
fn consent(
    tx: &Tx<'_>,
    row: &ContactRow,
    care: &CareRow,
    bytes: &[u8],
    now: Timestamp,
) -> Result<Received, StoreError> {
    let Ok(signed) = Signed::<ConsentBody>::check(&care.peer_key, bytes) else { return Ok(Received::Bad) };
    let consent = &signed.body;
    if consent.pairing != care.pairing || !is_to_own_terms(tx, consent)? {
        return Ok(Received::Bad);
    }
    keep(tx, &row.key, &signed, now)?;
    Ok(Received::Note(Note::Agreed { version: consent.terms_version }))
}

/// Whether consent names terms that this practice signed.
fn is_to_own_terms(tx: &Tx<'_>, consent: &ConsentBody) -> Result<bool, StoreError> {
    let (Some(key), Some(terms)) =
        (tx.practice_key()?, tx.own_statement_of(StatementKind::Terms, consent.terms_version)?)
    else {
        return Ok(false);
    };
    let terms = Signed::<Terms>::check(&key.public(), &terms).map_err(|BadContent| StoreError::Damaged)?;
    Ok(consent.practice_key == key.public().to_bytes() && consent.text_hash == text_hash(&terms.body.text))
}

#[cfg(test)]
mod tests;
