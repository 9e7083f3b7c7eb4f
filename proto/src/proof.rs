//! How a device proves to a relay, and to nobody else, that it holds an end.
//!
//! A proof is an HMAC under a key that only the holder of the end's secret and the relay's session secret can compute,
//! so the relay could have made it itself: it convinces no third party. Session key and nonce are fresh per
//! connection, so a proof is worth nothing on another one.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::id::opaque_bytes;
use crate::{EndKey, EndOf, EndPublic};

const KEY_LABEL: &[u8] = b"tacit v1 proof key";
const PROOF_LABEL: &[u8] = b"tacit v1 proof";

opaque_bytes! {
    /// A relay's X25519 public key for one connection, from its `Welcome`.
    RelaySessionPublic, 32
}

opaque_bytes! {
    /// 32 random bytes of a relay for one connection, from its `Welcome`.
    Nonce, 32
}

opaque_bytes! {
    /// HMAC-SHA256 over the command, in the name of one end. Compare only with [`RelaySessionKey::verify`].
    Proof, 32
}

/// What a device proves against: the relay's half of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The relay's nonce.
    pub nonce: Nonce,
    /// The relay's session public key.
    pub session_public: RelaySessionPublic,
}

/// What a proof is for. Its arguments are covered by the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `Attach`: no arguments.
    Attach,
    /// `Rekey`: the new key of the end.
    Rekey(&'a EndPublic),
}

impl Command<'_> {
    const fn number(&self) -> u8 {
        match self {
            Self::Attach => 1,
            Self::Rekey(_) => 2,
        }
    }

    fn arguments(&self) -> &[u8] {
        match self {
            Self::Attach => &[],
            Self::Rekey(new_key) => new_key.as_bytes(),
        }
    }
}

/// A public key with which X25519 yields zero (RFC 7748 §6.1): whoever sent it is broken or hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the relay's session key is not a usable X25519 key; the relay is broken or hostile")]
pub struct NotContributory;

/// HKDF-SHA256(salt = nonce, ikm = X25519, info = label ‖ end public ‖ session public), then HMAC-SHA256 over
/// label ‖ nonce ‖ channel ‖ end ‖ command ‖ SHA-256(arguments): all fixed lengths.
fn proof(shared: &[u8; 32], challenge: &Challenge, end_public: &EndPublic, of: &EndOf, command: &Command<'_>) -> Proof {
    // HMAC pads a 32-byte key with zeros to one block of its hash (RFC 2104 §2).
    let mut key = Zeroizing::new([0; 64]);
    let expanded = Hkdf::<Sha256>::new(Some(challenge.nonce.as_bytes()), shared)
        .expand_multi_info(&[KEY_LABEL, end_public.as_bytes(), challenge.session_public.as_bytes()], &mut key[..32]);
    debug_assert!(expanded.is_ok(), "32 bytes are within HKDF-SHA256's reach");
    let mac = <Hmac<Sha256> as KeyInit>::new(&(*key).into())
        .chain_update(PROOF_LABEL)
        .chain_update(challenge.nonce.as_bytes())
        .chain_update(of.channel.as_bytes())
        .chain_update([of.end.number(), command.number()])
        .chain_update(Sha256::digest(command.arguments()));
    Proof::from_bytes(mac.finalize().into_bytes().into())
}

impl EndKey {
    /// Proves to the relay behind `challenge` that this key is the key of `of`, for one command.
    ///
    /// # Errors
    /// [`NotContributory`] if the relay's session key is degenerate: end the connection.
    pub fn prove(&self, challenge: &Challenge, of: &EndOf, command: &Command<'_>) -> Result<Proof, NotContributory> {
        let shared = self.secret().diffie_hellman(&PublicKey::from(*challenge.session_public.as_bytes()));
        if !shared.was_contributory() {
            return Err(NotContributory);
        }
        Ok(proof(shared.as_bytes(), challenge, &self.public(), of, command))
    }
}

/// A relay's half of a connection: a fresh X25519 key pair and nonce, against which devices prove ends.
pub struct RelaySessionKey {
    secret: StaticSecret,
    challenge: Challenge,
}

impl RelaySessionKey {
    /// Draws the key and nonce of a new connection.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut nonce = [0; Nonce::LEN];
        rng.fill_bytes(&mut nonce);
        Self::from_parts(StaticSecret::random_from_rng(rng).to_bytes(), Nonce::from_bytes(nonce))
    }

    /// Takes given parts, so that golden vectors can be checked. A relay calls [`RelaySessionKey::draw`].
    #[must_use]
    pub fn from_parts(secret: [u8; 32], nonce: Nonce) -> Self {
        let secret = StaticSecret::from(secret);
        let session_public = RelaySessionPublic::from_bytes(PublicKey::from(&secret).to_bytes());
        Self { secret, challenge: Challenge { nonce, session_public } }
    }

    /// What the device is shown of it, in `Welcome`.
    #[must_use]
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Whether `proof` was made with the secret of `end_public`, on this connection, for exactly this command.
    ///
    /// Constant time in the proof. The caller must call it for a channel that does not exist as well, with any key, so
    /// that a missing channel takes the time of a wrong proof.
    #[must_use]
    pub fn verify(&self, end_public: &EndPublic, of: &EndOf, command: &Command<'_>, given: &Proof) -> bool {
        let shared = self.secret.diffie_hellman(&PublicKey::from(*end_public.as_bytes()));
        let wanted = proof(shared.as_bytes(), &self.challenge, end_public, of, command);
        let equal: bool = wanted.as_bytes().ct_eq(given.as_bytes()).into();
        equal & shared.was_contributory()
    }
}

impl fmt::Debug for RelaySessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelaySessionKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelId, End};

    fn setting() -> (RelaySessionKey, EndKey, EndOf) {
        let relay = RelaySessionKey::from_parts([3; 32], Nonce::from_bytes([9; 32]));
        let of = EndOf { channel: ChannelId::from_bytes([1; 16]), end: End::A };
        (relay, EndKey::from_secret_bytes([5; 32]), of)
    }

    #[test]
    fn a_proof_holds_for_its_own_end_command_and_connection_only() {
        let (relay, key, of) = setting();
        let new_key = EndKey::from_secret_bytes([6; 32]).public();
        let given = key.prove(relay.challenge(), &of, &Command::Rekey(&new_key)).unwrap();
        assert!(relay.verify(&key.public(), &of, &Command::Rekey(&new_key), &given));

        let other_key = EndKey::from_secret_bytes([7; 32]).public();
        let other_channel = EndOf { channel: ChannelId::from_bytes([2; 16]), end: End::A };
        let other_nonce = RelaySessionKey::from_parts([3; 32], Nonce::from_bytes([8; 32]));
        let other_session = RelaySessionKey::from_parts([4; 32], Nonce::from_bytes([9; 32]));
        assert!(!relay.verify(&key.public(), &of, &Command::Attach, &given));
        assert!(!relay.verify(&key.public(), &of, &Command::Rekey(&other_key), &given));
        assert!(!relay.verify(&key.public(), &of.other(), &Command::Rekey(&new_key), &given));
        assert!(!relay.verify(&key.public(), &other_channel, &Command::Rekey(&new_key), &given));
        assert!(!relay.verify(&other_key, &of, &Command::Rekey(&new_key), &given));
        assert!(!other_nonce.verify(&key.public(), &of, &Command::Rekey(&new_key), &given));
        assert!(!other_session.verify(&key.public(), &of, &Command::Rekey(&new_key), &given));
    }

    #[test]
    fn a_proof_altered_in_any_bit_is_refused() {
        let (relay, key, of) = setting();
        let given = key.prove(relay.challenge(), &of, &Command::Attach).unwrap();
        // An interpreter takes half a minute for ten.
        for bit in (0..Proof::LEN * 8).step_by(if cfg!(miri) { 61 } else { 1 }) {
            let mut bytes = *given.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!relay.verify(&key.public(), &of, &Command::Attach, &Proof::from_bytes(bytes)));
        }
    }

    #[test]
    fn a_relays_session_never_shows_in_debug() {
        let (relay, ..) = setting();
        assert_eq!(format!("{relay:?}"), "RelaySessionKey(..)");
    }

    #[test]
    fn degenerate_keys_are_refused_on_both_sides() {
        let (relay, key, of) = setting();
        let hostile = Challenge { session_public: RelaySessionPublic::from_bytes([0; 32]), ..*relay.challenge() };
        assert_eq!(key.prove(&hostile, &of, &Command::Attach), Err(NotContributory));

        // Whoever sets an end's key to zero could compute its proofs without any secret.
        let zero = EndPublic::from_bytes([0; 32]);
        let forged = proof(&[0; 32], relay.challenge(), &zero, &of, &Command::Attach);
        assert!(!relay.verify(&zero, &of, &Command::Attach, &forged));
    }
}
