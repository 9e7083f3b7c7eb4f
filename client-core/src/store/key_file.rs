//! The file that holds the store's key, wrapped under what the owner of the device knows or the platform keeps.
//!
//! The store's key is random. Wrapping it makes a wrong passphrase tell itself apart from a damaged file, and lets a
//! passphrase be changed without rewriting the store.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::erase::{overwrite, sync_folder};
use super::{io_error, restrict};
use crate::error::OpenError;

/// Its name in a home.
pub(super) const FILE: &str = "key";
/// The same while it is written.
pub(super) const DRAFT: &str = "key.new";
/// Locked while the key file is read (shared) or replaced (exclusively).
pub(super) const LOCK: &str = "lock";
const VERSION: u32 = 1;
const AAD: &[u8] = b"tacit v1 store key";

/// Argon2id (RFC 9106): 64 MiB and 3 passes, the RFC's second recommended choice.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// A damaged or hostile file must not make opening take all memory or forever.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;

/// How the store of a home is opened.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub enum StoreKey {
    /// What the owner of the device types. Stretched with Argon2id.
    Passphrase(String),
    /// 32 random bytes that the platform's keystore keeps.
    Raw(Vec<u8>),
}

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

/// The key of the SQLCipher file.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    wrapped_under: WrappedUnder,
    /// ChaCha20-Poly1305: nonce, then the wrapped key with its tag. Hexadecimal.
    nonce: String,
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WrappedUnder {
    Argon2id { memory_kib: u32, passes: u32, lanes: u32, salt: String },
    Raw,
}

/// Whether there is a home at this path.
pub(crate) fn home_exists(home: &Path) -> bool {
    home.join(FILE).exists()
}

impl Key {
    /// Unwraps the key of a home, or draws one if the home is new. Safe against another process doing the same.
    pub(crate) fn open(home: &Path, key: &StoreKey, rng: &mut impl CryptoRng) -> Result<Self, OpenError> {
        check(key)?;
        fs::create_dir_all(home).map_err(io_error)?;
        let path = home.join(FILE);
        if !path.exists() {
            restrict(home)?;
            let _lock = lock(home)?;
            if !path.exists() {
                // A store without its key file is a damaged home, not a new one.
                if home.join(super::FILE).exists() {
                    return Err(OpenError::Damaged);
                }
                let mut store_key = Self([0; 32]);
                rng.fill_bytes(&mut store_key.0);
                replace(home, &store_key.wrap(key, rng)?)?;
                return Ok(store_key);
            }
        }
        let lock = File::create(home.join(LOCK)).map_err(io_error)?;
        lock.lock_shared().map_err(io_error)?;
        Self::unwrap(&fs::read(&path).map_err(io_error)?, key)
    }

    /// Wraps the key of a home under another secret. The store itself stays as it is, and open where it is open.
    ///
    /// Whatever is interrupted when, the key file is the old one or the new one, whole. The old one is overwritten, so
    /// that the old secret opens nothing that is left here.
    pub(crate) fn change(
        home: &Path,
        old: &StoreKey,
        new: &StoreKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(), OpenError> {
        check(old)?;
        check(new)?;
        if !home_exists(home) {
            return Err(OpenError::Erased);
        }
        let _lock = lock(home)?;
        let key = Self::unwrap(&fs::read(home.join(FILE)).map_err(io_error)?, old)?;
        replace(home, &key.wrap(new, rng)?)
    }

    fn wrap(&self, key: &StoreKey, rng: &mut impl CryptoRng) -> Result<Vec<u8>, OpenError> {
        let mut nonce = [0; 12];
        rng.fill_bytes(&mut nonce);
        let wrapped_under = match key {
            StoreKey::Raw(_) => WrappedUnder::Raw,
            StoreKey::Passphrase(_) => {
                let mut salt = [0; 16];
                rng.fill_bytes(&mut salt);
                let salt = hex::encode(salt);
                WrappedUnder::Argon2id { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt }
            }
        };
        let wrapping = wrapping_key(key, &wrapped_under)?;
        let wrapped = ChaCha20Poly1305::new((&*wrapping).into())
            .encrypt(&Nonce::from(nonce), Payload { msg: &self.0, aad: AAD })
            .map_err(|_| OpenError::Io("the store's key could not be wrapped".to_owned()))?;
        let file =
            KeyFile { version: VERSION, wrapped_under, nonce: hex::encode(nonce), wrapped: hex::encode(wrapped) };
        serde_json::to_vec_pretty(&file).map_err(|_| OpenError::Damaged)
    }

    fn unwrap(text: &[u8], key: &StoreKey) -> Result<Self, OpenError> {
        // What erasing a home leaves first of all.
        if text.is_empty() {
            return Err(OpenError::Erased);
        }
        let version = serde_json::from_slice::<serde_json::Value>(text)
            .ok()
            .and_then(|value| value.get("version")?.as_u64())
            .ok_or(OpenError::Damaged)?;
        if version > u64::from(VERSION) {
            return Err(OpenError::NewerFormat);
        }
        let file: KeyFile = serde_json::from_slice(text).map_err(|_| OpenError::Damaged)?;
        let wrapping = wrapping_key(key, &file.wrapped_under)?;
        let nonce: [u8; 12] = unhex(&file.nonce)?;
        let wrapped: [u8; 48] = unhex(&file.wrapped)?;
        let opened = ChaCha20Poly1305::new((&*wrapping).into())
            .decrypt(&Nonce::from(nonce), Payload { msg: &wrapped, aad: AAD })
            .map(Zeroizing::new)
            .map_err(|_| OpenError::WrongPassphrase)?;
        Ok(Self(opened.as_slice().try_into().map_err(|_| OpenError::Damaged)?))
    }
}

fn check(key: &StoreKey) -> Result<(), OpenError> {
    match key {
        StoreKey::Passphrase(passphrase) if passphrase.is_empty() => Err(OpenError::EmptyPassphrase),
        StoreKey::Raw(raw) if raw.len() != 32 => Err(OpenError::WrongKeyKind),
        _ => Ok(()),
    }
}

/// Nobody else reads or writes the key file until this is dropped.
pub(super) fn lock(home: &Path) -> Result<File, OpenError> {
    let lock = File::create(home.join(LOCK)).map_err(io_error)?;
    lock.lock().map_err(io_error)?;
    Ok(lock)
}

/// Puts a key file in the place of the one before it, if there is one.
fn replace(home: &Path, text: &[u8]) -> Result<(), OpenError> {
    let (path, draft) = (home.join(FILE), home.join(DRAFT));
    let mut out = File::create(&draft).map_err(io_error)?;
    restrict(&draft)?;
    out.write_all(text).and_then(|()| out.sync_all()).map_err(io_error)?;
    // Held across the rename, so that what it held can be overwritten afterwards.
    let before = OpenOptions::new().write(true).open(&path).ok();
    fs::rename(&draft, &path).map_err(io_error)?;
    // The name must be as durable as what it names, before anything is written under the key.
    sync_folder(home)?;
    if let Some(before) = before {
        overwrite(before).map_err(io_error)?;
    }
    Ok(())
}

fn unhex<const N: usize>(text: &str) -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| OpenError::Damaged)?;
    Ok(bytes)
}

fn wrapping_key(key: &StoreKey, under: &WrappedUnder) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let mut wrapping = Zeroizing::new([0; 32]);
    match (key, under) {
        (StoreKey::Raw(raw), WrappedUnder::Raw) => {
            *wrapping = raw.as_slice().try_into().map_err(|_| OpenError::WrongKeyKind)?;
        }
        (StoreKey::Passphrase(passphrase), WrappedUnder::Argon2id { memory_kib, passes, lanes, salt }) => {
            if *memory_kib > MOST_MEMORY_KIB || *passes > MOST_PASSES {
                return Err(OpenError::Damaged);
            }
            let salt: [u8; 16] = unhex(salt)?;
            let params = Params::new(*memory_kib, *passes, *lanes, Some(32)).map_err(|_| OpenError::Damaged)?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(passphrase.as_bytes(), &salt, &mut *wrapping)
                .map_err(|_| OpenError::Damaged)?;
        }
        _ => return Err(OpenError::WrongKeyKind),
    }
    Ok(wrapping)
}
