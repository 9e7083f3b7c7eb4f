//! HKDF-SHA256 (RFC 5869) with one label per output.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// A secret from which labelled secrets are expanded. Erased from memory when dropped.
pub(crate) struct Derivation(Hkdf<Sha256>);

impl Derivation {
    /// HKDF-Extract.
    pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> Self {
        Self(Hkdf::new(Some(salt), secret))
    }

    /// HKDF-Expand to 32 bytes, with the label as `info`.
    pub(crate) fn expand(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        let expanded = self.0.expand(label, &mut *secret);
        debug_assert!(expanded.is_ok(), "32 bytes are within HKDF-SHA256's reach");
        secret
    }
}
