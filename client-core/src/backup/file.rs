//! The backup file: a header, and a stream of sealed chunks in which a missing, moved or altered one shows.
//!
//! STREAM (Hoang, Reyhanitabar, Rogaway, Vizár) over ChaCha20-Poly1305, as the `aead-stream` crate has it: the nonce of
//! each chunk counts, and says of the last that it is the last. FORMATS.md has every byte.

use std::io::{self, ErrorKind, Read, Write};

use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::ChaCha20Poly1305;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::secret::{BackupSecret, BackupSecretKind, Stretch};
use crate::crypto::derive::Derivation;
use crate::error::BackupError;

const MAGIC: &[u8; 12] = b"tacit backup";
const VERSION: u8 = 1;

/// Magic, version, kind, three parameters, salt.
const HEADER: usize = 12 + 1 + 1 + 12 + 32;

/// Tells a wrong secret from a damaged file.
const CHECK: usize = 32;

/// Plaintext of each chunk but the last, which is shorter, or just as long.
pub(super) const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

/// The key is of this file alone, so the part of the nonce that does not count may be zero.
const NONCE: [u8; 7] = [0; 7];

pub(super) struct Header {
    bytes: [u8; HEADER],
    kind: BackupSecretKind,
    stretch: Stretch,
    salt: [u8; 32],
}

impl Header {
    fn new(secret: &BackupSecret, rng: &mut dyn CryptoRng) -> Self {
        let (kind, stretch) = (secret.kind(), secret.stretch());
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let kind_number = match kind {
            BackupSecretKind::Passphrase => 1,
            BackupSecretKind::Words => 2,
        };
        let mut bytes = [0; HEADER];
        let parameters = [stretch.memory_kib, stretch.passes, stretch.lanes].map(u32::to_be_bytes).concat();
        let whole = [&MAGIC[..], &[VERSION, kind_number], &parameters, &salt].concat();
        bytes.copy_from_slice(&whole);
        Self { bytes, kind, stretch, salt }
    }

    pub(super) fn read(source: &mut dyn Read) -> Result<Self, BackupError> {
        let mut bytes = [0; HEADER];
        let (mut begin, mut rest) = ([0; 14], [0; HEADER - 14]);
        read_exactly(source, &mut begin, BackupError::NotABackup)?;
        let [magic @ .., version, kind] = begin;
        if magic != *MAGIC || version == 0 {
            return Err(BackupError::NotABackup);
        }
        if version > VERSION {
            return Err(BackupError::NewerFormat);
        }
        read_exactly(source, &mut rest, BackupError::Truncated)?;
        let (parameters, salt) = rest.split_at(12);
        let parameter = |at: usize| {
            let bytes = parameters.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes).ok_or(BackupError::Damaged)
        };
        bytes[..14].copy_from_slice(&begin);
        bytes[14..].copy_from_slice(&rest);
        Ok(Self {
            bytes,
            kind: match kind {
                1 => BackupSecretKind::Passphrase,
                2 => BackupSecretKind::Words,
                _ => return Err(BackupError::Damaged),
            },
            stretch: Stretch { memory_kib: parameter(0)?, passes: parameter(4)?, lanes: parameter(8)? },
            salt: salt.try_into().map_err(|_| BackupError::Damaged)?,
        })
    }

    /// What is checked, and the key of the stream. Both hang on every byte of the header.
    #[allow(clippy::type_complexity, reason = "two secrets")]
    pub(super) fn keys(
        &self,
        secret: &BackupSecret,
    ) -> Result<(Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>), BackupError> {
        let derivation = Derivation::extract(&self.salt, &*secret.strong(&self.salt, self.stretch)?);
        let expand = |label: &[u8]| derivation.expand(&[label, &self.bytes].concat());
        Ok((expand(b"tacit backup v1 check"), expand(b"tacit backup v1 stream")))
    }
}

/// Which kind of secret a backup asks for.
pub(super) fn secret_kind(source: &mut dyn Read) -> Result<BackupSecretKind, BackupError> {
    Header::read(source).map(|header| header.kind)
}

/// Seals a backup, chunk by chunk.
pub(super) struct Sealer<'a> {
    sink: &'a mut dyn Write,
    stream: EncryptorBE32<ChaCha20Poly1305>,
    /// Not sealed yet: whether it is the last chunk is not known.
    chunk: Zeroizing<Vec<u8>>,
}

impl<'a> Sealer<'a> {
    /// Writes the header.
    pub(super) fn begin(
        sink: &'a mut dyn Write,
        secret: &BackupSecret,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, BackupError> {
        let header = Header::new(secret, rng);
        let (check, key) = header.keys(secret)?;
        sink.write_all(&header.bytes).and_then(|()| sink.write_all(&*check)).map_err(io_error)?;
        let stream = EncryptorBE32::new((&*key).into(), &NONCE.into());
        Ok(Self { sink, stream, chunk: Zeroizing::new(Vec::with_capacity(CHUNK)) })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK {
                let sealed = self.stream.encrypt_next(self.chunk.as_slice()).map_err(|_| BackupError::TooLong)?;
                self.sink.write_all(&sealed).map_err(io_error)?;
                self.chunk.clear();
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Seals the last chunk as the last.
    pub(super) fn finish(self) -> Result<(), BackupError> {
        let sealed = self.stream.encrypt_last(self.chunk.as_slice()).map_err(|_| BackupError::TooLong)?;
        self.sink.write_all(&sealed).and_then(|()| self.sink.flush()).map_err(io_error)
    }
}

/// Opens a backup, chunk by chunk. Nothing of a chunk is returned that was not checked.
pub(super) struct Opener<'a> {
    source: &'a mut dyn Read,
    /// None after the last chunk.
    stream: Option<DecryptorBE32<ChaCha20Poly1305>>,
    /// The next chunk as it is in the file: whether it is the last shows when nothing follows.
    ahead: Vec<u8>,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
}

impl<'a> Opener<'a> {
    /// Reads the header.
    pub(super) fn begin(source: &'a mut dyn Read, secret: &BackupSecret) -> Result<Self, BackupError> {
        let header = Header::read(source)?;
        if header.kind != secret.kind() {
            return Err(BackupError::WrongSecretKind);
        }
        let mut check = [0; CHECK];
        read_exactly(source, &mut check, BackupError::Truncated)?;
        let (expected, key) = header.keys(secret)?;
        if !bool::from(expected.ct_eq(&check)) {
            return Err(BackupError::WrongSecret);
        }
        let ahead = read_chunk(source)?;
        let stream = Some(DecryptorBE32::new((&*key).into(), &NONCE.into()));
        Ok(Self { source, stream, ahead, chunk: Zeroizing::default(), at: 0 })
    }

    fn next_chunk(&mut self) -> Result<(), BackupError> {
        let after = read_chunk(self.source)?;
        let sealed = std::mem::replace(&mut self.ahead, after);
        let Some(mut stream) = self.stream.take() else { return Err(BackupError::Truncated) };
        let opened = if self.ahead.is_empty() {
            // A file that was cut off at a chunk's end fails here as an altered one does.
            stream.decrypt_last(sealed.as_slice()).map_err(|_| BackupError::Damaged)?
        } else {
            let opened = stream.decrypt_next(sealed.as_slice()).map_err(|_| BackupError::Damaged)?;
            self.stream = Some(stream);
            opened
        };
        self.chunk = Zeroizing::new(opened);
        self.at = 0;
        Ok(())
    }

    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        let mut filled = 0;
        while let Some(wanted) = bytes.get_mut(filled..).filter(|wanted| !wanted.is_empty()) {
            let here = self.chunk.get(self.at..).unwrap_or_default();
            if here.is_empty() {
                self.next_chunk()?;
                continue;
            }
            let count = here.len().min(wanted.len());
            wanted[..count].copy_from_slice(&here[..count]);
            (filled, self.at) = (filled + count, self.at + count);
        }
        Ok(())
    }

    /// All that is left, which is not more than `most`.
    #[cfg(any(test, fuzzing))]
    pub(super) fn read_to_end(mut self, most: usize) -> Result<Vec<u8>, BackupError> {
        let mut all = Vec::new();
        while self.at < self.chunk.len() || self.stream.is_some() {
            all.extend_from_slice(self.chunk.get(self.at..).unwrap_or_default());
            self.at = self.chunk.len();
            assert!(all.len() <= most, "a file holds less than it is long");
            if self.stream.is_some() {
                self.next_chunk()?;
            }
        }
        Ok(all)
    }

    /// Nothing may follow.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        if self.at < self.chunk.len() {
            return Err(BackupError::Damaged);
        }
        if self.stream.is_some() {
            // What was sealed fills whole chunks, and the last one is empty.
            self.next_chunk()?;
            if self.stream.is_some() || !self.chunk.is_empty() {
                return Err(BackupError::Damaged);
            }
        }
        Ok(())
    }
}

/// Up to a whole sealed chunk; empty at the end of the file.
fn read_chunk(source: &mut dyn Read) -> Result<Vec<u8>, BackupError> {
    let mut chunk = Vec::with_capacity(CHUNK + TAG);
    source.take((CHUNK + TAG) as u64).read_to_end(&mut chunk).map_err(io_error)?;
    Ok(chunk)
}

fn read_exactly(source: &mut dyn Read, bytes: &mut [u8], short: BackupError) -> Result<(), BackupError> {
    source.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => short,
        _ => io_error(error),
    })
}

/// What the operating system says of a file, without its path.
pub(super) fn io_error(error: io::Error) -> BackupError {
    BackupError::Io(error.kind().to_string())
}
