//! What a backup is opened with.

use argon2::{Algorithm, Argon2, Params, Version};
use bip39::{Language, Mnemonic};
use rand_core::Rng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::BackupError;

/// Argon2id as for the key of a home: RFC 9106's second recommended choice.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// A damaged or hostile file must not make opening take all memory or forever.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;
const MOST_LANES: u32 = 64;

/// Words of a new secret: 256 bits.
const WORDS: usize = 24;

/// What a backup is opened with.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub enum BackupSecret {
    /// What a person chose. Stretched with Argon2id.
    Passphrase(String),
    /// 24 words, as [`recovery_words`](crate::recovery_words) draws them, with white space or commas between.
    Words(String),
}

impl std::fmt::Debug for BackupSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackupSecret(..)")
    }
}

/// Which kind of secret a backup asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupSecretKind {
    /// A passphrase.
    Passphrase,
    /// Recovery words.
    Words,
}

/// Draws 24 recovery words for backups, to be written down on paper: nothing else opens what is sealed with them.
#[must_use]
pub fn recovery_words() -> Vec<String> {
    let mut entropy = Zeroizing::new([0; 32]);
    crate::client::rng().fill_bytes(&mut *entropy);
    let words = Mnemonic::from_entropy_in(Language::English, &*entropy);
    words.map(|words| words.words().map(str::to_owned).collect()).unwrap_or_default()
}

/// How a passphrase is stretched; all zero for words, which need none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl BackupSecret {
    pub(super) const fn kind(&self) -> BackupSecretKind {
        match self {
            Self::Passphrase(_) => BackupSecretKind::Passphrase,
            Self::Words(_) => BackupSecretKind::Words,
        }
    }

    pub(super) const fn stretch(&self) -> Stretch {
        match self {
            Self::Passphrase(_) => Stretch { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES },
            Self::Words(_) => Stretch { memory_kib: 0, passes: 0, lanes: 0 },
        }
    }

    /// 32 bytes that are as hard to guess as the secret.
    pub(super) fn strong(&self, salt: &[u8; 32], stretch: Stretch) -> Result<Zeroizing<[u8; 32]>, BackupError> {
        let mut strong = Zeroizing::new([0; 32]);
        match self {
            Self::Passphrase(passphrase) if passphrase.is_empty() => return Err(BackupError::EmptyPassphrase),
            Self::Passphrase(passphrase) => {
                let Stretch { memory_kib, passes, lanes } = stretch;
                if memory_kib > MOST_MEMORY_KIB || passes > MOST_PASSES || lanes > MOST_LANES {
                    return Err(BackupError::Damaged);
                }
                let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| BackupError::Damaged)?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(passphrase.as_bytes(), salt, &mut *strong)
                    .map_err(|_| BackupError::Damaged)?;
            }
            Self::Words(words) => {
                let small = Zeroizing::new(words.to_lowercase());
                let words: Vec<_> =
                    small.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).collect();
                if words.len() != WORDS {
                    return Err(BackupError::BadWords);
                }
                let words = Zeroizing::new(words.join(" "));
                let mnemonic = Mnemonic::parse_in_normalized(Language::English, &words);
                let (entropy, length) = mnemonic.map_err(|_| BackupError::BadWords)?.to_entropy_array();
                let entropy = Zeroizing::new(entropy);
                strong.copy_from_slice(entropy.get(..length).ok_or(BackupError::BadWords)?);
            }
        }
        Ok(strong)
    }
}
