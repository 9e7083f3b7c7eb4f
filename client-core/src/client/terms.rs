//! Terms and consent: this device's own terms, and who agreed to what.

use tacit_proto::End;

use super::{Client, id, rng};
use crate::care::consent_file;
use crate::care::statement::Signed;
use crate::care::terms::Terms;
use crate::content::MAX_TERMS;
use crate::driver::wall_clock;
use crate::error::{CardError, ContactError};
use crate::note::Note;
use crate::statements::{self, KeptConsent};
use crate::store::ContactRow;
use crate::types::{ContactId, Timestamp};

/// That a client agreed to terms, as both sides keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The version of the terms.
    pub terms_version: u64,
    /// How the practice called itself.
    pub from: String,
    /// When it was agreed to, by the clock of the client's device.
    pub agreed_at: Timestamp,
    /// When it was kept here, by the clock of this device.
    pub kept_at: Timestamp,
    /// Whether this device agreed; if not, the other one did.
    pub is_ours: bool,
    /// The key that signed it, in hexadecimal digits: it signs nothing but this pairing's statements.
    pub consent_key: String,
    /// The key of the practice that signed the terms, in hexadecimal digits.
    pub practice_key: String,
}

impl Client {
    /// Signs terms for this device's practice, in the place of those before, and hands them to everybody who joined an
    /// invite of this device: each of them is asked again. Returns their version.
    ///
    /// # Errors
    /// [`CardError`]. Nothing was changed.
    pub fn set_terms(&self, text: String) -> Result<u64, CardError> {
        if text.trim().is_empty() {
            return Err(CardError::Empty);
        }
        if text.len() > MAX_TERMS {
            return Err(CardError::TooLong);
        }
        let (now, mut rng) = (wall_clock(), rng());
        self.change(|tx| {
            let own = statements::own(tx, now, &mut rng)?.ok_or(CardError::NotEnrolled)?;
            let version = own.next_version(Some(own.terms.body.version));
            let terms = Signed::sign(&own.key, Terms { version, signed_at: now, text });
            statements::publish(tx, &terms, &Note::TermsChanged { version }, now, &mut rng)?;
            Ok(version)
        })
    }

    /// The terms of this device's practice: the text that comes with Tacit, unless [`Client::set_terms`] replaced it.
    ///
    /// # Errors
    /// [`CardError::NotEnrolled`].
    pub fn terms(&self) -> Result<Terms, CardError> {
        let (now, mut rng) = (wall_clock(), rng());
        self.change(|tx| Ok(statements::own(tx, now, &mut rng)?.ok_or(CardError::NotEnrolled)?.terms.body))
    }

    /// The newest terms between us and a contact: theirs if we joined their invite, ours if they joined ours. Whether
    /// they are agreed to shows in [`CareState::terms_waiting`](crate::CareState::terms_waiting).
    ///
    /// # Errors
    /// [`ContactError::WrongState`] if there are none yet.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn contact_terms(&self, contact: ContactId) -> Result<Terms, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            let row = tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            let terms = match row.of.end {
                End::A => statements::own_newest(tx)?,
                End::B => statements::their_newest(tx, &key)?,
            };
            terms.ok_or(ContactError::WrongState)
        })
    }

    /// Agrees to terms that a practice changed. `version` is the one that the person was shown.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] if nothing waits to be agreed to; [`ContactError::OtherTerms`] if these are not the
    /// newest.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn agree(&self, contact: ContactId, version: u64) -> Result<(), ContactError> {
        let (now, mut rng) = (wall_clock(), rng());
        self.change_contact(&contact, |tx, row| {
            if !statements::terms_wait(tx, row)? || !row.state.can_send() {
                return Err(ContactError::WrongState);
            }
            let terms: Terms = statements::their_newest(tx, &row.key)?.ok_or(ContactError::WrongState)?;
            if terms.version != version {
                return Err(ContactError::OtherTerms);
            }
            Ok(statements::agree(tx, &row.key, &terms, now, &mut rng)?)
        })
    }

    /// Every consent of a pairing, the oldest first. Both sides keep the same.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn consents(&self, contact: ContactId) -> Result<Vec<Consent>, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            let row = tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            let kept = statements::consents(tx, &row)?;
            Ok(kept.into_iter().map(|kept| consent(&row, kept)).collect())
        })
    }

    /// A consent as a file that anyone can [check](crate::check_consent), with the terms in it.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] if there is no consent to terms of this version.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn export_consent(&self, contact: ContactId, terms_version: u64) -> Result<String, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            let row = tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            let kept = statements::consents(tx, &row)?.into_iter();
            let kept = kept.into_iter().find(|kept| kept.consent.body.terms_version == terms_version);
            let kept = kept.ok_or(ContactError::WrongState)?;
            let terms = statements::terms_of(tx, &row, terms_version)?.ok_or(ContactError::WrongState)?;
            Ok(consent_file::write(kept.practice_key, kept.consent_key, &terms, &kept.consent))
        })
    }
}

fn consent(row: &ContactRow, kept: KeptConsent) -> Consent {
    let KeptConsent { kept_at, consent_key, practice_key, consent } = kept;
    Consent {
        terms_version: consent.body.terms_version,
        from: consent.body.from,
        agreed_at: consent.body.agreed_at,
        kept_at,
        is_ours: row.of.end == End::B,
        consent_key: hex::encode(consent_key.to_bytes()),
        practice_key: hex::encode(practice_key.to_bytes()),
    }
}
