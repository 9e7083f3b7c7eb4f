//! "Is it you?": a word that two people agreed on, asked for and compared without being sent.
//!
//! The answer is an HMAC under a key that Argon2id makes of the word. That keeps the word from anyone who merely reads
//! the conversation, and makes each answer good for one question. It does not keep a short word from the *asking* device:
//! whoever holds that can try words against an answer, at the price of one Argon2id each.

use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tacit_proto::End;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::consent::PairingName;
use crate::error::WordError;
use crate::types::Timestamp;

const LABEL: &[u8] = b"tacit v1 agreed word";

/// Second choice of RFC 9106: what a phone can afford.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// Shorter words are guessed too easily.
const LEAST_CHARACTERS: usize = 4;
const MOST_BYTES: usize = 100;

/// So many wrong answers, or answers given, within [`WINDOW_MS`] are enough.
pub(crate) const MOST_WRONG: u64 = 3;
pub(crate) const MOST_ANSWERS: u64 = 5;
pub(crate) const WINDOW_MS: u64 = 24 * 3600 * 1000;

/// What names a question, and makes its answer good for nothing else.
pub(crate) type Nonce = [u8; 32];

/// The key that a word makes in one pairing. Erased from memory when dropped.
#[derive(ZeroizeOnDrop)]
pub(crate) struct WordKey([u8; 32]);

impl WordKey {
    /// Takes some 100 ms and 64 MiB.
    pub(crate) fn derive(word: &str, pairing: &PairingName) -> Result<Self, WordError> {
        let word = plain(word);
        if word.chars().count() < LEAST_CHARACTERS || word.len() > MOST_BYTES {
            return Err(WordError::BadLength);
        }
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(|_| WordError::NoMemory)?;
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(word.as_bytes(), pairing, &mut key)
            .map_err(|_| WordError::NoMemory)?;
        Ok(Self(key))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The answer to a question of one end.
    pub(crate) fn answer(&self, asker: End, question: &Nonce, nonce: &Nonce) -> [u8; 32] {
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            // HMAC takes keys of any length.
            Err(_) => return [0; 32],
        };
        for part in [LABEL, &[asker.number()], question, nonce] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether an answer to a question of one end was made with this word.
    pub(crate) fn is_right(&self, asker: End, question: &Nonce, nonce: &Nonce, answer: &[u8; 32]) -> bool {
        self.answer(asker, question, nonce).ct_eq(answer).into()
    }
}

/// A word as it is compared: case and spaces do not matter.
fn plain(word: &str) -> Zeroizing<String> {
    let words: Vec<_> = word.split_whitespace().collect();
    Zeroizing::new(words.join(" ").to_lowercase())
}

pub(crate) fn draw_nonce(rng: &mut dyn CryptoRng) -> Nonce {
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    nonce
}

/// The agreed word of a conversation, and what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgreedWord {
    /// Whether there is one on this device.
    pub is_set: bool,
    /// Whether they asked for it and wait for an answer.
    pub is_asked_for: bool,
    /// What became of our newest question.
    pub asked: Option<Asked>,
    /// What we did about their newest question that does not wait any more.
    pub given: Option<Given>,
}

/// A question of ours for the agreed word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When we asked.
    pub at: Timestamp,
    /// What they answered.
    pub answer: WordAnswer,
}

/// What we did about a question of theirs. Whether a word was right, only their device knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// When we did.
    pub at: Timestamp,
    /// Whether we declined; if not, we answered with a word.
    pub declined: bool,
}

/// What was answered to a question for the agreed word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordAnswer {
    /// Nothing yet.
    None,
    /// The word.
    Right,
    /// Another word.
    Wrong,
    /// They did not want to.
    Declined,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRING: PairingName = [7; 32];

    #[test]
    fn the_same_word_is_the_same_however_it_is_spaced_and_cased() {
        let key = |word: &str| *WordKey::derive(word, &PAIRING).unwrap().secret_bytes();
        let word = key("blue heron");
        assert_eq!(key("  Blue\t HERON \n"), word);
        assert_ne!(key("blueheron"), word);
        assert_ne!(*WordKey::derive("blue heron", &[8; 32]).unwrap().secret_bytes(), word);
    }

    #[test]
    fn an_answer_is_good_for_one_question_of_one_end() {
        let (key, other) = (WordKey::from_bytes([1; 32]), WordKey::from_bytes([2; 32]));
        let (question, nonce) = ([3; 32], [4; 32]);
        let answer = key.answer(End::A, &question, &nonce);
        assert!(key.is_right(End::A, &question, &nonce, &answer));
        assert!(!key.is_right(End::B, &question, &nonce, &answer));
        assert!(!key.is_right(End::A, &nonce, &question, &answer));
        assert!(!key.is_right(End::A, &[5; 32], &nonce, &answer));
        assert!(!other.is_right(End::A, &question, &nonce, &answer));
    }

    #[test]
    fn words_that_are_too_short_or_too_long_are_refused() {
        for word in ["", "   ", "abc", " a b ", &"x".repeat(101)] {
            assert!(matches!(WordKey::derive(word, &PAIRING), Err(WordError::BadLength)), "{word}");
        }
        assert!(WordKey::derive("abcd", &PAIRING).is_ok());
    }
}
