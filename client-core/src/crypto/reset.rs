//! What a reset ends in: secrets of a new session, and new safety words.
//!
//! A reset goes to keys that never change, under a psk that never changes: all that a device keeps through the loss of
//! everything else. So no text ever travels in one, and the new session takes fresh randomness and fresh keys from both
//! sides, all of which stand in the transcript.

use std::fmt;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use tacit_proto::{ChannelId, End};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::derive::Derivation;
use super::pairing::Transcript;
use super::psk::Psk;

const TRANSCRIPT: &[u8] = b"tacit v1 reset transcript";
const PSK_A_TO_B: &[u8] = b"tacit v1 reset psk a to b";
const PSK_B_TO_A: &[u8] = b"tacit v1 reset psk b to a";

/// SHA-256 over the channel, the end that asked, the request and the answer, each of the two with its length before it.
pub(crate) fn transcript(channel: &ChannelId, asker: End, request: &[u8], answer: &[u8]) -> Transcript {
    let mut hash = Sha256::new_with_prefix(TRANSCRIPT);
    hash.update(channel.as_bytes());
    hash.update([asker.number()]);
    for part in [request, answer] {
        // Both travel in one box, far below u32::MAX bytes.
        hash.update((part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    Transcript::from_bytes(hash.finalize().into())
}

/// 32 random bytes in a request, and 32 in its answer. Erased from memory when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct ResetRandom([u8; 32]);

impl ResetRandom {
    /// Draws them.
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Takes the 32 bytes.
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 secret bytes.
    pub(crate) const fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ResetRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetRandom(..)")
    }
}

/// The secrets of a new session: HKDF-SHA256(salt = transcript, ikm = reset psk ‖ random of the request ‖ random of the
/// answer), one label each. The reset psk itself stays as it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionSecrets {
    a_to_b: Psk,
    b_to_a: Psk,
}

impl SessionSecrets {
    /// Derives them.
    pub(crate) fn derive(transcript: &Transcript, reset: &Psk, asked: &ResetRandom, answered: &ResetRandom) -> Self {
        let mut secret = Zeroizing::new([0; 96]);
        secret[..32].copy_from_slice(reset.secret_bytes());
        secret[32..64].copy_from_slice(asked.secret_bytes());
        secret[64..].copy_from_slice(answered.secret_bytes());
        let from = Derivation::extract(transcript.as_bytes(), &*secret);
        Self { a_to_b: Psk::from_bytes(*from.expand(PSK_A_TO_B)), b_to_a: Psk::from_bytes(*from.expand(PSK_B_TO_A)) }
    }

    /// The secret under which `sender` seals messages.
    pub(crate) const fn sent_by(&self, sender: End) -> &Psk {
        match sender {
            End::A => &self.a_to_b,
            End::B => &self.b_to_a,
        }
    }
}

impl fmt::Debug for SessionSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecrets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> ChannelId {
        ChannelId::from_bytes([1; 16])
    }

    #[test]
    fn any_change_of_request_answer_or_asker_changes_the_words_and_the_secrets() {
        let (reset, one, two) =
            (Psk::from_bytes([3; 32]), ResetRandom::from_bytes([4; 32]), ResetRandom::from_bytes([5; 32]));
        let first = transcript(&channel(), End::A, b"request", b"answer");
        let secrets = SessionSecrets::derive(&first, &reset, &one, &two);
        for other in [
            transcript(&channel(), End::B, b"request", b"answer"),
            transcript(&channel(), End::A, b"requesu", b"answer"),
            transcript(&channel(), End::A, b"request", b"answes"),
            transcript(&channel(), End::A, b"requesta", b"nswer"),
            transcript(&ChannelId::from_bytes([2; 16]), End::A, b"request", b"answer"),
            Transcript::new(&channel(), b"request", b"answer"),
        ] {
            assert_ne!(other.safety_words(), first.safety_words());
            let other = SessionSecrets::derive(&other, &reset, &one, &two);
            assert_ne!(other.sent_by(End::A), secrets.sent_by(End::A));
            assert_ne!(other.sent_by(End::B), secrets.sent_by(End::B));
        }
        for (reset, one, two) in [
            (Psk::from_bytes([6; 32]), one.clone(), two.clone()),
            (reset.clone(), ResetRandom::from_bytes([6; 32]), two.clone()),
            (reset.clone(), one.clone(), ResetRandom::from_bytes([6; 32])),
            (reset, two, one),
        ] {
            assert_ne!(SessionSecrets::derive(&first, &reset, &one, &two), secrets);
        }
        assert_ne!(secrets.sent_by(End::A), secrets.sent_by(End::B));
    }

    #[test]
    fn reset_secrets_never_show_in_debug() {
        let random = ResetRandom::from_bytes([4; 32]);
        let transcript = transcript(&channel(), End::A, b"", b"");
        let secrets = SessionSecrets::derive(&transcript, &Psk::from_bytes([3; 32]), &random, &random);
        assert_eq!(format!("{random:?} {secrets:?}"), "ResetRandom(..) SessionSecrets(..)");
    }
}
