//! The key pair by which a device proves that it holds an end.

use std::fmt;

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::id::opaque_bytes;

opaque_bytes! {
    /// The public half of an [`EndKey`]: an X25519 public key (RFC 7748), made for one end of one channel only.
    EndPublic, 32
}

/// The secret by which a device proves that it holds an end: an X25519 secret key, made for one end only.
///
/// It is erased from memory when dropped.
#[derive(Clone)]
pub struct EndKey(StaticSecret);

impl EndKey {
    /// Draws a new key.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        Self(StaticSecret::random_from_rng(rng))
    }

    /// Takes a key back from its 32 secret bytes. Any 32 bytes are a key: X25519 clamps them (RFC 7748 §5).
    #[must_use]
    pub fn from_secret_bytes(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// The 32 secret bytes, to be kept in an encrypted store.
    #[must_use]
    pub fn secret_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public half, which the relay knows this end by.
    #[must_use]
    pub fn public(&self) -> EndPublic {
        EndPublic::from_bytes(PublicKey::from(&self.0).to_bytes())
    }

    pub(crate) const fn secret(&self) -> &StaticSecret {
        &self.0
    }
}

impl fmt::Debug for EndKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_stored_is_the_same_key() {
        // Clamping is X25519's affair: what is kept is what was given.
        let key = EndKey::from_secret_bytes([7; 32]);
        assert_eq!(key.secret_bytes(), &[7; 32]);
        assert_eq!(EndKey::from_secret_bytes(*key.secret_bytes()).public(), key.public());
    }

    #[test]
    fn keys_never_show_in_debug() {
        let key = EndKey::from_secret_bytes([7; 32]);
        assert_eq!(format!("{key:?} {:?}", key.public()), "EndKey(..) EndPublic(..)");
    }
}
