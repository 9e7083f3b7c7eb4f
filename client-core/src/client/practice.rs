//! The practice card: this device's own, and those of contacts.

use super::{Client, id, rng};
use crate::care::practice_card::{self, Availability, Expectation, MAX_CARD, PracticeCard, SignedPracticeCard};
use crate::care::statement::{Body as _, Signed};
use crate::driver::wall_clock;
use crate::error::{CardError, ContactError, StoreError};
use crate::note::Note;
use crate::statements;
use crate::types::{ContactId, ContactState, Timestamp};

impl Client {
    /// Signs a card for this device's practice, in the place of the one before, and hands it to everybody who joined
    /// an invite of this device. Returns its version.
    ///
    /// # Errors
    /// [`CardError`]. Nothing was changed.
    pub fn set_practice_card(&self, card: PracticeCard) -> Result<u64, CardError> {
        card.check_own()?;
        let (now, mut rng) = (wall_clock(), rng());
        self.change(|tx| {
            let own = statements::own(tx, now, &mut rng)?.ok_or(CardError::NotEnrolled)?;
            let before = own.practice_card.as_ref().map(|before| &before.body);
            // Nobody is told of a change that is none.
            if let Some(before) = before.filter(|before| before.card == card && own.is_newest(before.version)) {
                return Ok(before.version);
            }
            let version = own.next_version(before.map(|before| before.version));
            let body = SignedPracticeCard { version, signed_at: now, card };
            if body.encode().len() > MAX_CARD {
                return Err(CardError::TooLong);
            }
            statements::publish(tx, &Signed::sign(&own.key, body), &Note::PracticeCardChanged, now, &mut rng)?;
            Ok(version)
        })
    }

    /// The card of this device's practice.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn practice_card(&self) -> Result<Option<SignedPracticeCard>, StoreError> {
        self.read(statements::own_newest)
    }

    /// The card of a contact's practice, as its device signed it. None if it has none, or is no practice to us.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn contact_practice_card(&self, contact: ContactId) -> Result<Option<SignedPracticeCard>, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            Ok(statements::their_newest(tx, &key)?)
        })
    }

    /// What a person who writes to a contact at a moment is to be told: before sending, with the time now; after it,
    /// with the time at which the message was sent. It needs no connection. Of a pairing that ended, nothing is expected.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    pub fn expectation(&self, contact: ContactId, at: Timestamp) -> Result<Expectation, ContactError> {
        let (policy, cover) = (String::new(), String::new());
        let unknown = Expectation { availability: Availability::Unknown, answer_by: None, policy, cover };
        let has_ended = matches!(self.contact(contact.clone())?.state, ContactState::Ended(_));
        let card = self.contact_practice_card(contact)?.filter(|_| !has_ended);
        Ok(card.map_or(unknown, |signed| practice_card::expectation(&signed.card, at)))
    }
}
