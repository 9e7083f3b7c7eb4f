//! The one-use rights that a relay's operator gives out: enrolment codes, and the permits drawn under them.

use std::fmt;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::id::opaque_bytes;

/// Declares a 32-byte bearer secret, and the hash by which the relay knows it.
macro_rules! bearer_secret {
    ($(#[$meta:meta])* $name:ident, $(#[$hash_meta:meta])* $hash:ident) => {
        $(#[$meta])*
        #[derive(Clone, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Draws a new one.
            pub fn draw(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; 32];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }

            /// Takes the 32 bytes as they are on the wire.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 secret bytes.
            #[must_use]
            pub const fn secret_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// What the relay stores instead: SHA-256 of the bytes. They are uniformly random, so no salt is needed.
            #[must_use]
            pub fn hash(&self) -> $hash {
                $hash::from_bytes(Sha256::digest(self.0).into())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        opaque_bytes! {
            $(#[$hash_meta])*
            $hash, 32
        }
    };
}

bearer_secret! {
    /// The right to open one channel, drawn by a therapist's device.
    Permit,
    /// SHA-256 of a [`Permit`]: all that the relay keeps of it until it is spent.
    PermitHash
}

bearer_secret! {
    /// The right to hand a relay permit hashes once, printed by the operator in an enrolment link.
    EnrolCode,
    /// SHA-256 of an [`EnrolCode`]: all that the relay keeps of it.
    EnrolCodeHash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_known_by_its_sha_256() {
        let hash = Permit::from_bytes([0; 32]).hash();
        assert_eq!(hex::encode(hash.as_bytes()), "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
        assert_eq!(format!("{:?}", EnrolCode::from_bytes([1; 32])), "EnrolCode(..)");
    }
}
