//! A secret that both ends of a channel have before a box is sealed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// A pre-shared key of 32 bytes, as HPKE's `mode_psk` takes it. Erased from memory when dropped.
///
/// It is what tells a box of the peer from a box of anyone who merely knows a sealing key.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct Psk([u8; 32]);

impl Psk {
    /// Takes the 32 bytes.
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 secret bytes, to be kept in an encrypted store.
    pub(crate) const fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Psk {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Psk {}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}
