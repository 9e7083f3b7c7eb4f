//! Signatures that are meant to be shown to others: on cards, terms, consent and farewells, and on nothing else.
//!
//! Everything else between two devices convinces the other end alone. A *statement* is the exception: its bytes are
//! signed, carried and kept as they are, and never encoded anew.

use std::fmt;

use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer as _, VerifyingKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What is stated. Its label stands before the signed bytes, so that no statement can pass for one of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StatementKind {
    /// Who the practice is, and when it answers.
    PracticeCard,
    /// What to do, and whom to call, in a crisis.
    CrisisCard,
    /// What is to be agreed to.
    Terms,
    /// That it was agreed to.
    Consent,
    /// That a pairing ends.
    Farewell,
}

impl StatementKind {
    pub(crate) const ALL: [Self; 5] =
        [Self::PracticeCard, Self::CrisisCard, Self::Terms, Self::Consent, Self::Farewell];

    /// None of them begins with another.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::PracticeCard => b"tacit v1 practice card",
            Self::CrisisCard => b"tacit v1 crisis card",
            Self::Terms => b"tacit v1 terms",
            Self::Consent => b"tacit v1 consent",
            Self::Farewell => b"tacit v1 farewell",
        }
    }

    /// As it is written in content and in the store.
    pub(crate) const fn number(self) -> u8 {
        self as u8 + 1
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u32::from(kind.number()) == number)
    }
}

/// Longest body of a statement.
pub(crate) const MAX_BODY: usize = 60_000;

/// An Ed25519 secret key that signs statements and nothing else. Erased from memory when dropped.
pub(crate) struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Draws one.
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_bytes(&seed)
    }

    /// Takes the 32 secret bytes: RFC 8032's private key.
    pub(crate) fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The 32 secret bytes, to be kept in an encrypted store.
    pub(crate) fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(crate) fn public(&self) -> SigningPublic {
        SigningPublic(self.0.verifying_key())
    }

    /// States something.
    pub(crate) fn sign(&self, kind: StatementKind, body: &[u8]) -> Statement {
        let signature = self.0.sign(&[kind.label(), body].concat());
        Statement { kind, bytes: [&signature.to_bytes()[..], body].concat() }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// The public half of a [`SigningKey`]: it checks statements, and cannot make any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SigningPublic(VerifyingKey);

/// Bytes that are not a statement of this kind by this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not right")]
pub(crate) struct NotSigned;

impl SigningPublic {
    /// Takes the 32 bytes. A key of small order is refused: signatures of it prove nothing.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, NotSigned> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| NotSigned)?;
        if key.is_weak() { Err(NotSigned) } else { Ok(Self(key)) }
    }

    pub(crate) fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Checks a statement as it was carried. Strict: for one key, kind and signature there is one body, and nothing of
    /// it can be changed so that it still holds.
    pub(crate) fn check(&self, kind: StatementKind, bytes: Vec<u8>) -> Result<Statement, NotSigned> {
        let (signature, body) = bytes.split_first_chunk::<SIGNATURE_LENGTH>().ok_or(NotSigned)?;
        if body.len() > MAX_BODY {
            return Err(NotSigned);
        }
        let message = [kind.label(), body].concat();
        self.0.verify_strict(&message, &Signature::from_bytes(signature)).map_err(|_| NotSigned)?;
        Ok(Statement { kind, bytes })
    }
}

impl fmt::Debug for SigningPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningPublic(..)")
    }
}

/// Something signed, whose signature holds: there is no other way to have one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    kind: StatementKind,
    /// signature(64) ‖ body
    bytes: Vec<u8>,
}

impl Statement {
    pub(crate) const fn kind(&self) -> StatementKind {
        self.kind
    }

    /// signature(64) ‖ body, as it is carried and kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was signed, without its label.
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(SIGNATURE_LENGTH..).unwrap_or_default()
    }

    /// Names the statement.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({:?}, ..)", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixed::system_rng;

    #[test]
    fn a_statement_holds_for_its_key_its_kind_and_its_bytes_alone() {
        let (key, other) = (SigningKey::draw(&mut system_rng()), SigningKey::draw(&mut system_rng()));
        let statement = key.sign(StatementKind::Terms, b"be kind");
        let bytes = statement.bytes().to_vec();
        assert_eq!(key.public().check(StatementKind::Terms, bytes.clone()).as_ref(), Ok(&statement));
        assert_eq!(statement.body(), b"be kind");
        assert_eq!(other.public().check(StatementKind::Terms, bytes.clone()), Err(NotSigned));
        for kind in StatementKind::ALL.into_iter().filter(|kind| *kind != StatementKind::Terms) {
            assert_eq!(key.public().check(kind, bytes.clone()), Err(NotSigned));
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(key.public().check(StatementKind::Terms, changed), Err(NotSigned), "{at}");
        }
        for length in 0..bytes.len() {
            assert_eq!(key.public().check(StatementKind::Terms, bytes[..length].to_vec()), Err(NotSigned));
        }
    }

    #[test]
    fn no_label_begins_with_another() {
        for one in StatementKind::ALL {
            assert_eq!(StatementKind::from_number(one.number().into()), Some(one));
            for two in StatementKind::ALL.into_iter().filter(|two| *two != one) {
                assert!(!one.label().starts_with(two.label()));
            }
        }
        assert_eq!(StatementKind::from_number(0), None);
        assert_eq!(StatementKind::from_number(6), None);
    }

    #[test]
    fn keys_under_which_anything_would_hold_are_refused() {
        // The neutral element: its signatures hold for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(SigningPublic::from_bytes(&neutral), Err(NotSigned));
        assert_eq!(SigningPublic::from_bytes(&[0; 32]), Err(NotSigned));
        // No point of the curve.
        assert_eq!(SigningPublic::from_bytes(&[2; 32]), Err(NotSigned));
    }

    #[test]
    fn a_body_that_is_too_long_is_refused() {
        let key = SigningKey::draw(&mut system_rng());
        let longest = key.sign(StatementKind::Terms, &vec![b'x'; MAX_BODY]);
        assert!(key.public().check(StatementKind::Terms, longest.bytes().to_vec()).is_ok());
        let longer = key.sign(StatementKind::Terms, &vec![b'x'; MAX_BODY + 1]);
        assert_eq!(key.public().check(StatementKind::Terms, longer.bytes().to_vec()), Err(NotSigned));
    }

    #[test]
    fn nothing_of_a_key_or_a_statement_shows_in_debug_output() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let shown = format!("{key:?} {:?} {:?}", key.public(), key.sign(StatementKind::Consent, b"x"));
        assert_eq!(shown, "SigningKey(..) SigningPublic(..) Statement(Consent, ..)");
    }
}
