//! The crisis card: this device's own, and what is to be shown of a contact's.

use tacit_proto::End;

use super::{Client, id, rng};
use crate::care::crisis_card::{
    CrisisCard, CrisisReason, CrisisText, MAX_CRISIS_CARD, SignedCrisisCard, crisis_reason, crisis_text,
    default_crisis_text,
};
use crate::care::practice_card::{Availability, SignedPracticeCard, availability, expected_answer_by};
use crate::care::statement::{Body as _, Signed};
use crate::driver::wall_clock;
use crate::error::{CardError, ContactError, StoreError};
use crate::note::Note;
use crate::statements;
use crate::types::{ContactId, Timestamp};

/// What to show for a crisis, and whether it must be shown now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crisis {
    /// Why it must be shown now; none if it need not be.
    pub reason: Option<CrisisReason>,
    /// What to show.
    pub text: CrisisText,
    /// Whether the practice signed it; if not, the practice has no card, and this is what Tacit says instead.
    pub is_from_practice: bool,
}

impl Client {
    /// Signs a crisis card for this device's practice, in the place of the one before, and hands it to everybody who
    /// joined an invite of this device. Returns its version.
    ///
    /// # Errors
    /// [`CardError`]. Nothing was changed.
    pub fn set_crisis_card(&self, card: CrisisCard) -> Result<u64, CardError> {
        card.check()?;
        let (now, mut rng) = (wall_clock(), rng());
        self.change(|tx| {
            let own = statements::own(tx, now, &mut rng)?.ok_or(CardError::NotEnrolled)?;
            let before = own.crisis_card.as_ref().map(|before| &before.body);
            if let Some(before) = before.filter(|before| before.card == card && own.is_newest(before.version)) {
                return Ok(before.version);
            }
            let version = own.next_version(before.map(|before| before.version));
            let body = SignedCrisisCard { version, signed_at: now, card };
            if body.encode().len() > MAX_CRISIS_CARD {
                return Err(CardError::TooLong);
            }
            statements::publish(tx, &Signed::sign(&own.key, body), &Note::CrisisCardChanged, now, &mut rng)?;
            Ok(version)
        })
    }

    /// The crisis card of this device's practice.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn crisis_card(&self) -> Result<Option<SignedCrisisCard>, StoreError> {
        self.read(statements::own_newest)
    }

    /// What to show for a crisis in a conversation, in the language of a locale, and whether it must be shown now:
    /// because the person asked for it, because the practice is closed, or because an answer is overdue. It needs no
    /// connection, works for conversations that ended, and looks at nobody's words.
    ///
    /// A contact who joined our invite is no practice to us: then this is our own card, and nothing but a request shows
    /// it.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn crisis(
        &self,
        contact: ContactId,
        locale: String,
        is_asked_for: bool,
        now: Timestamp,
    ) -> Result<Crisis, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            let row = tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            let is_practice = row.of.end == End::B;
            let card: Option<SignedCrisisCard> =
                if is_practice { statements::their_newest(tx, &key)? } else { statements::own_newest(tx)? };
            let practice: Option<SignedPracticeCard> =
                if is_practice { statements::their_newest(tx, &key)? } else { None };
            let open = practice.as_ref().map_or(Availability::Unknown, |signed| availability(&signed.card, now));
            let waiting = tx.waiting_since(&key)?;
            let answer_by = practice.zip(waiting).and_then(|(signed, since)| expected_answer_by(&signed.card, since));
            let text = card.and_then(|signed| crisis_text(&signed.card, &locale).cloned());
            Ok(Crisis {
                reason: crisis_reason(&open, answer_by, is_asked_for, now),
                is_from_practice: text.is_some(),
                text: text.unwrap_or_else(default_crisis_text),
            })
        })
    }
}
