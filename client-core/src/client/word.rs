//! "Is it you?": the agreed word.

use super::{Client, id, rng};
use crate::agreed_word;
use crate::care::agreed_word::{AgreedWord, WordKey};
use crate::driver::wall_clock;
use crate::error::WordError;
use crate::store::ContactKey;
use crate::types::ContactId;

impl Client {
    /// Sets the word that two people agreed on in person, 4 characters to 100 bytes; case and spaces do not matter.
    /// None forgets it. What is kept is not the word, but a key that Argon2id makes of it; this takes some 100 ms.
    ///
    /// # Errors
    /// [`WordError::BadLength`]; [`WordError::WrongState`] before the pairing.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn set_agreed_word(&self, contact: ContactId, word: Option<String>) -> Result<(), WordError> {
        let contact = id(&contact).ok_or(WordError::NoSuchContact)?;
        let key = word.map(|word| self.word_key(&contact, &word)).transpose()?;
        self.change(|tx| {
            tx.contact(&contact)?.ok_or(WordError::NoSuchContact)?;
            Ok(tx.set_word_key(&contact, key.as_ref())?)
        })
    }

    /// Asks a contact for the agreed word, for instance before a reply that only they may read. The answer shows in
    /// [`Client::agreed_word`]. After three wrong ones within a day, nothing is asked for the rest of that day.
    ///
    /// # Errors
    /// [`WordError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn ask_word(&self, contact: ContactId) -> Result<(), WordError> {
        let contact = id(&contact).ok_or(WordError::NoSuchContact)?;
        let (now, mut rng) = (wall_clock(), rng());
        self.change(|tx| {
            let row = tx.contact(&contact)?.ok_or(WordError::NoSuchContact)?;
            agreed_word::ask(tx, &row, now, &mut rng)
        })
    }

    /// Answers a contact who asked for the agreed word, with what the person at this device says it is; None declines.
    /// The word is not sent, and not compared here: the asking device says whether it was right. That device could try
    /// words against the answer, so a word that is short or easy to guess is safe only from others. A question is
    /// answered once, and five within a day. This takes some 100 ms.
    ///
    /// # Errors
    /// [`WordError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn answer_word(&self, contact: ContactId, word: Option<String>) -> Result<(), WordError> {
        let contact = id(&contact).ok_or(WordError::NoSuchContact)?;
        let (now, mut rng) = (wall_clock(), rng());
        let asked = self.read(|tx| {
            let row = tx.contact(&contact)?.ok_or(WordError::NoSuchContact)?;
            agreed_word::question(tx, &row, now)
        })?;
        let key = word.map(|word| self.word_key(&contact, &word)).transpose()?;
        self.change(|tx| {
            let row = tx.contact(&contact)?.ok_or(WordError::NoSuchContact)?;
            agreed_word::answer(tx, &row, &asked, key.as_ref(), now, &mut rng)
        })
    }

    /// Whether there is an agreed word, whether they asked for it, what became of our newest question, and what we did
    /// about their newest one.
    ///
    /// # Errors
    /// [`WordError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn agreed_word(&self, contact: ContactId) -> Result<AgreedWord, WordError> {
        let contact: ContactKey = id(&contact).ok_or(WordError::NoSuchContact)?;
        self.read(|tx| {
            tx.contact(&contact)?.ok_or(WordError::NoSuchContact)?;
            Ok(tx.agreed_word(&contact)?)
        })
    }

    /// Outside of any transaction: it takes a while.
    fn word_key(&self, contact: &ContactKey, word: &str) -> Result<WordKey, WordError> {
        let pairing = self.read(|tx| {
            tx.contact(contact)?.ok_or(WordError::NoSuchContact)?;
            Ok::<_, WordError>(tx.care(contact)?.ok_or(WordError::WrongState)?.pairing)
        })?;
        WordKey::derive(word, &pairing)
    }
}
