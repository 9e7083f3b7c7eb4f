//! Searching what was written.

use crate::client::{Client, id};
use crate::error::ContactError;
use crate::types::{ContactId, Found, MessageId};

impl Client {
    /// Finds up to `limit` messages by their words, the newest first: of one contact, or of all; those that came before
    /// the message `before`, if one is given, which pages on.
    ///
    /// `text` is what a person typed, whatever it is: every word in it must be in a message, or, if it has two letters or
    /// more, begin a word there, in small letters or capitals, with diacritics or without. Words in double quotes must follow each other. A text
    /// without any word finds nothing. Writing without spaces between words is found by how a run of it begins.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`], or [`ContactError::NoSuchMessage`] for `before`.
    ///
    /// # Example
    /// ```no_run
    /// # use tacit_client_core::{Client, StoreKey};
    /// # let client = Client::open("/path/to/home".to_owned(), StoreKey::Passphrase("correct horse".to_owned()))?;
    /// for found in client.search("thursd \"half past\"".to_owned(), None, None, 50)? {
    ///     for piece in found.excerpt {
    ///         print!("{}", if piece.matched { piece.text.to_uppercase() } else { piece.text });
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn search(
        &self,
        text: String,
        contact: Option<ContactId>,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<Found>, ContactError> {
        let contact = contact.map(|contact| id(&contact).ok_or(ContactError::NoSuchContact)).transpose()?;
        let before = before.map(|before| id(&before).ok_or(ContactError::NoSuchMessage)).transpose()?;
        self.read(|tx| {
            if let Some(contact) = &contact {
                tx.contact(contact)?.ok_or(ContactError::NoSuchContact)?;
            }
            let before = match &before {
                Some(before) => Some(tx.message_key(before)?.ok_or(ContactError::NoSuchMessage)?),
                None => None,
            };
            Ok(tx.search(&text, contact.as_ref(), before, limit)?)
        })
    }
}
