//! What a pairing ends in: the channel's secrets, and the words by which two people see that nobody sits in between.
//!
//! Both hang on the *transcript*, a hash of everything the two devices told each other: whoever changed one byte of the
//! offer or the accept on the way makes the ends disagree.

use std::fmt;

use bip39::Language;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use tacit_proto::link::InviteSecret;
use tacit_proto::{ChannelId, End};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::derive::Derivation;
use super::psk::Psk;

const TRANSCRIPT: &[u8] = b"tacit v1 transcript";
const SAFETY_WORDS: &[u8] = b"tacit v1 safety words";
const PSK_A_TO_B: &[u8] = b"tacit v1 psk a to b";
const PSK_B_TO_A: &[u8] = b"tacit v1 psk b to a";
const PSK_RESET: &[u8] = b"tacit v1 psk reset";

/// How many safety words there are: 12 of 11 bits, 132 bits.
pub(crate) const WORDS: usize = 12;

/// SHA-256 over the channel, the whole offer and the whole accept, each with its length before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transcript([u8; 32]);

impl Transcript {
    /// Hashes the exact payload bytes that were sealed: the offer put together from its parts, and the accept.
    pub(crate) fn new(channel: &ChannelId, offer: &[u8], accept: &[u8]) -> Self {
        let mut hash = Sha256::new_with_prefix(TRANSCRIPT);
        hash.update(channel.as_bytes());
        for part in [offer, accept] {
            // Both travel in at most eight boxes, far below u32::MAX bytes.
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Takes a hash back from the store.
    pub(crate) const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The words that both screens show: the first 132 bits of a hash over the transcript, as 12 words of the BIP-39
    /// English list.
    pub(crate) fn safety_words(&self) -> [&'static str; WORDS] {
        let hash = Sha256::new_with_prefix(SAFETY_WORDS).chain_update(self.0).finalize();
        let list = Language::English.word_list();
        std::array::from_fn(|word| {
            let index = (word * 11..word * 11 + 11)
                .fold(0, |index, bit| index << 1 | usize::from(hash[bit / 8] >> (7 - bit % 8) & 1));
            list[index]
        })
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript(..)")
    }
}

/// 32 random bytes in the accept, which the invite's carrier never sees. Erased from memory when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct AcceptRandom([u8; 32]);

impl AcceptRandom {
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

impl fmt::Debug for AcceptRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcceptRandom(..)")
    }
}

/// The secrets of a paired channel: HKDF-SHA256(salt = transcript, ikm = invite secret ‖ accept random), one label each.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ChannelSecrets {
    /// Under which end A seals messages.
    pub(crate) a_to_b: Psk,
    /// Under which end B seals messages.
    pub(crate) b_to_a: Psk,
    /// Under which either end seals a reset.
    pub(crate) reset: Psk,
}

impl ChannelSecrets {
    /// Derives them. The invite's secret is to be erased by both sides afterwards.
    pub(crate) fn derive(transcript: &Transcript, invite: &InviteSecret, random: &AcceptRandom) -> Self {
        let mut secret = Zeroizing::new([0; 64]);
        secret[..32].copy_from_slice(invite.secret_bytes());
        secret[32..].copy_from_slice(random.secret_bytes());
        let from = Derivation::extract(&transcript.0, &*secret);
        Self {
            a_to_b: Psk::from_bytes(*from.expand(PSK_A_TO_B)),
            b_to_a: Psk::from_bytes(*from.expand(PSK_B_TO_A)),
            reset: Psk::from_bytes(*from.expand(PSK_RESET)),
        }
    }

    /// The secret under which `sender` seals messages.
    pub(crate) const fn sent_by(&self, sender: End) -> &Psk {
        match sender {
            End::A => &self.a_to_b,
            End::B => &self.b_to_a,
        }
    }
}

impl fmt::Debug for ChannelSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSecrets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixed::system_rng;

    fn channel() -> ChannelId {
        ChannelId::from_bytes([1; 16])
    }

    #[test]
    fn any_change_of_offer_or_accept_changes_transcript_words_and_secrets() {
        let transcript = Transcript::new(&channel(), b"offer", b"accept");
        let invite = InviteSecret::from_bytes([2; 32]);
        let random = AcceptRandom::draw(&mut system_rng());
        let secrets = ChannelSecrets::derive(&transcript, &invite, &random);
        assert_eq!(ChannelSecrets::derive(&Transcript::from_bytes(*transcript.as_bytes()), &invite, &random), secrets);
        for other in [
            Transcript::new(&channel(), b"offes", b"accept"),
            Transcript::new(&channel(), b"offer", b"accepu"),
            // The same bytes in a row, cut elsewhere.
            Transcript::new(&channel(), b"offera", b"ccept"),
            Transcript::new(&ChannelId::from_bytes([2; 16]), b"offer", b"accept"),
        ] {
            assert_ne!(other, transcript);
            assert_ne!(other.safety_words(), transcript.safety_words());
            let other = ChannelSecrets::derive(&other, &invite, &random);
            assert_ne!(other.a_to_b, secrets.a_to_b);
            assert_ne!(other.b_to_a, secrets.b_to_a);
            assert_ne!(other.reset, secrets.reset);
        }
    }

    #[test]
    fn the_invite_alone_does_not_give_the_secrets() {
        let transcript = Transcript::new(&channel(), b"offer", b"accept");
        let invite = InviteSecret::from_bytes([2; 32]);
        let one = ChannelSecrets::derive(&transcript, &invite, &AcceptRandom::draw(&mut system_rng()));
        let two = ChannelSecrets::derive(&transcript, &invite, &AcceptRandom::draw(&mut system_rng()));
        assert_ne!(one, two);
        assert_ne!(one.sent_by(End::A), one.sent_by(End::B));
        assert_ne!(one.sent_by(End::A), &one.reset);
        assert_eq!(format!("{one:?} {transcript:?}"), "ChannelSecrets(..) Transcript(..)");
    }

    /// Worked out apart from this code, from the SHA-256 alone.
    #[test]
    fn the_safety_words_of_a_given_transcript_never_change() {
        let words = Transcript::from_bytes([7; 32]).safety_words();
        assert_eq!(words.join(" "), "tenant awful pledge sense grant sleep exit say blossom park throw apart");
        // Two words of one transcript may be equal; all of them come from the list.
        assert!(words.iter().all(|word| Language::English.word_list().contains(word)));
    }
}
