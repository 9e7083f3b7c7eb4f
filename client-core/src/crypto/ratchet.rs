//! The ratchet inside the boxes: Olm, session config version 2 only, from `vodozemac`.
//!
//! A thin wrapper that leaves no choice: version 1, whose MAC is 8 bytes, is refused wherever it could come in, and a
//! message is one byte of type followed by Olm's own bytes. State goes out and in as a *pickle*; read and write it in
//! the transaction of the message it belongs to, and never keep it across one. vodozemac draws its own randomness from
//! the system.
//!
//! Olm jumps over up to 2,000 lost messages of a chain, keeps the last 40 skipped keys of each of the last 5 chains,
//! and so takes messages late, twice never. A gap alone is no reason to start anew; [`DecryptError::GapTooBig`] is.

use std::fmt;

use serde_json::{from_slice, to_writer};
use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{
    AccountPickle, DecryptionError, OlmMessage, PreKeyMessage, SessionConfig, SessionCreationError, SessionPickle,
};
use zeroize::Zeroizing;

/// What a message may be longer than its plaintext, at most: type 1, version 1, ratchet key 34, chain index 2 to 11,
/// ciphertext's tag and length 2 to 4, AES-CBC padding 1 to 16, MAC 32. Seen: 73 to 89
/// at chain indices below 128.
pub(crate) const MAX_OVERHEAD: usize = 99;

/// The same while the peer has not answered: 3 keys, a version and a length come around it. Seen: 178 to 194
/// for plaintexts below 100 bytes.
pub(crate) const MAX_PREKEY_OVERHEAD: usize = MAX_OVERHEAD + 107;

const PREKEY: u8 = 0;
const NORMAL: u8 = 1;

/// The first byte of an Olm message of session config version 2. Version 1 writes 3.
const OLM_VERSION_2: u8 = 4;

/// Room for most pickles, so that writing one seldom moves it and leaves a copy of keys behind in freed memory.
const PICKLE_ROOM: usize = 8_192;

/// A public key of the peer's Olm account, or of one's own: Curve25519, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct OlmPublic(Curve25519PublicKey);

impl OlmPublic {
    /// Takes the 32 bytes.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Curve25519PublicKey::from_bytes(bytes))
    }

    /// The 32 bytes.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }
}

impl fmt::Debug for OlmPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OlmPublic(..)")
    }
}

/// A pickle that cannot be read: the store is damaged, or a newer version wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored ratchet state cannot be read; it is damaged or from a newer version, and was left as it is")]
pub(crate) struct DamagedPickle;

/// A session that was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of the peer is degenerate; the peer is broken or hostile, and no session was started")]
pub(crate) struct UnusableKey;

/// A first message that started no session. The account is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// Not a prekey message of Olm version 2.
    #[error("not a first message of this version of the ratchet")]
    Malformed,
    /// It names another identity key than the peer announced.
    #[error("the first message comes from another identity than was announced")]
    OtherIdentity,
    /// The one-time key in it is not ours, or was used: there is a session already.
    #[error("the one-time key of this first message is used up or not ours")]
    NoSuchKey,
    /// It does not authenticate, or a key in it is degenerate.
    #[error("the first message is not for this device")]
    NotOurs,
}

/// A message that was not read. Go on with the session as the store has it: the one in memory may have drawn the key of its
/// next chain for a message that then did not authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecryptError {
    /// Its key is gone: it was read before, or it comes so late that its key was given up.
    #[error("the key of this message is gone; it was read before, or came too late")]
    MissingKey,
    /// More than 2,000 messages of this chain are missing before it: the session is lost, and wants a reset.
    #[error("too many messages are missing before this one; the session needs a reset")]
    GapTooBig,
    /// Not a message of Olm version 2.
    #[error("not a message of this version of the ratchet")]
    Malformed,
    /// It does not authenticate under this session. A message of a chain older than the last five ends here too.
    #[error("the message is not of this session")]
    NotOurs,
}

/// The keys of one end of one channel, from which sessions start. Never shared between channels.
pub(crate) struct Account(vodozemac::olm::Account);

impl Account {
    /// Draws an identity key and a single one-time key.
    pub(crate) fn new() -> Self {
        let mut account = vodozemac::olm::Account::new();
        account.generate_one_time_keys(1);
        Self(account)
    }

    /// The identity key, to be told to the peer.
    pub(crate) fn identity_key(&self) -> OlmPublic {
        OlmPublic(self.0.curve25519_key())
    }

    /// The one-time key, to be told to the peer, until a session was received with it.
    pub(crate) fn one_time_key(&self) -> Option<OlmPublic> {
        self.0.one_time_keys().into_values().next().map(OlmPublic)
    }

    /// Starts a session with a peer, who need not be there.
    pub(crate) fn start(&self, identity: &OlmPublic, one_time: &OlmPublic) -> Result<Session, UnusableKey> {
        self.0
            .create_outbound_session(SessionConfig::version_2(), identity.0, one_time.0)
            .map(Session)
            .map_err(|_| UnusableKey)
    }

    /// Starts the session that the peer's first message belongs to, and reads that message. Uses up the one-time key:
    /// write the account back in the same transaction.
    pub(crate) fn receive(
        &mut self,
        identity: &OlmPublic,
        message: &[u8],
    ) -> Result<(Session, Zeroizing<Vec<u8>>), ReceiveError> {
        let Some((&PREKEY, bytes)) = message.split_first() else {
            return Err(ReceiveError::Malformed);
        };
        let message = PreKeyMessage::from_bytes(bytes).map_err(|_| ReceiveError::Malformed)?;
        let received =
            self.0.create_inbound_session(SessionConfig::version_2(), identity.0, &message).map_err(|e| match e {
                SessionCreationError::MissingOneTimeKey(_) => ReceiveError::NoSuchKey,
                SessionCreationError::MismatchedIdentityKey(..) => ReceiveError::OtherIdentity,
                SessionCreationError::MismatchedSessionConfig { .. } => ReceiveError::Malformed,
                SessionCreationError::Decryption(_) | SessionCreationError::NonContributoryKey => ReceiveError::NotOurs,
            })?;
        Ok((Session(received.session), Zeroizing::new(received.plaintext)))
    }

    /// The whole account as bytes, for the encrypted store.
    pub(crate) fn pickle(&self) -> Result<Zeroizing<Vec<u8>>, DamagedPickle> {
        to_json(&self.0.pickle())
    }

    /// Takes an account back from the store.
    pub(crate) fn from_pickle(bytes: &[u8]) -> Result<Self, DamagedPickle> {
        let pickle: AccountPickle = from_slice(bytes).map_err(|_| DamagedPickle)?;
        Ok(Self(pickle.into()))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(..)")
    }
}

/// One end of a ratchet.
pub(crate) struct Session(vodozemac::olm::Session);

impl Session {
    /// Encrypts the next message: type (0 is prekey, 1 is normal) ‖ Olm's bytes. Prekey until the peer was heard.
    ///
    /// Write the session back before the message leaves: to encrypt twice from one state would use one key twice.
    pub(crate) fn encrypt(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, UnusableKey> {
        let (kind, bytes) = match self.0.encrypt(plaintext).map_err(|_| UnusableKey)? {
            OlmMessage::PreKey(message) => (PREKEY, message.to_bytes()),
            OlmMessage::Normal(message) => (NORMAL, message.to_bytes()),
        };
        let mut encoded = Vec::with_capacity(1 + bytes.len());
        encoded.push(kind);
        encoded.extend_from_slice(&bytes);
        Ok(encoded)
    }

    /// Reads a message, once.
    pub(crate) fn decrypt(&mut self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let (kind, bytes) = message.split_first().ok_or(DecryptError::Malformed)?;
        let message = OlmMessage::from_parts((*kind).into(), bytes).map_err(|_| DecryptError::Malformed)?;
        let inner = match &message {
            // vodozemac does not look at the keys around an inner message that it has a session for.
            OlmMessage::PreKey(message) if message.session_keys() != self.0.session_keys() => {
                return Err(DecryptError::NotOurs);
            }
            OlmMessage::PreKey(message) => message.message(),
            OlmMessage::Normal(message) => message,
        };
        if inner.version() != OLM_VERSION_2 {
            return Err(DecryptError::Malformed);
        }
        self.0.decrypt(&message).map(Zeroizing::new).map_err(|e| match e {
            DecryptionError::MissingMessageKey(_) => DecryptError::MissingKey,
            DecryptionError::TooBigMessageGap(..) => DecryptError::GapTooBig,
            DecryptionError::InvalidMAC(_) | DecryptionError::NonContributoryKey => DecryptError::NotOurs,
            DecryptionError::InvalidMACLength(..) | DecryptionError::InvalidPadding(_) => DecryptError::Malformed,
        })
    }

    /// The whole session as bytes, for the encrypted store.
    pub(crate) fn pickle(&self) -> Result<Zeroizing<Vec<u8>>, DamagedPickle> {
        to_json(&self.0.pickle())
    }

    /// Takes a session back from the store.
    pub(crate) fn from_pickle(bytes: &[u8]) -> Result<Self, DamagedPickle> {
        let pickle: SessionPickle = from_slice(bytes).map_err(|_| DamagedPickle)?;
        let session = vodozemac::olm::Session::from_pickle(pickle);
        if session.session_config() == SessionConfig::version_2() { Ok(Self(session)) } else { Err(DamagedPickle) }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}

fn to_json<T: serde::Serialize>(pickle: &T) -> Result<Zeroizing<Vec<u8>>, DamagedPickle> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PICKLE_ROOM));
    to_writer(&mut *bytes, pickle).map_err(|_| DamagedPickle)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
