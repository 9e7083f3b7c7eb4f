//! What both ends derive from an invite, before either knows a key of the other.
//!
//! Whoever carries the link can derive all of this too. It serves to find the channel and to begin; the channel's own
//! secrets ([`ChannelSecrets`](super::pairing::ChannelSecrets)) also take fresh randomness from both sides.

use std::fmt;

use rand_core::CryptoRng;
use tacit_proto::link::InviteSecret;
use tacit_proto::{ChannelId, EndKey};
use zeroize::Zeroizing;

use super::derive::Derivation;
use super::psk::Psk;
use super::seal::SealingKey;

const END_KEY: &[u8] = b"tacit v1 invite end key";
const OFFER_SEED: &[u8] = b"tacit v1 invite offer seed";
const OFFER_PSK: &[u8] = b"tacit v1 invite offer psk";
const ACCEPT_PSK: &[u8] = b"tacit v1 invite accept psk";

/// Draws the secret of a new invite.
pub(crate) fn draw_secret(rng: &mut impl CryptoRng) -> InviteSecret {
    let mut bytes = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *bytes);
    InviteSecret::from_bytes(*bytes)
}

/// The keys in an invite: HKDF-SHA256(salt = channel id, ikm = invite secret), one label each.
pub(crate) struct InviteKeys {
    /// End B's first key. All that it may do is hand the end over to a fresh one.
    pub(crate) end_key: EndKey,
    /// What the offer is sealed to.
    pub(crate) offer_key: SealingKey,
    /// Under which the offer is sealed.
    pub(crate) offer_psk: Psk,
    /// Under which the accept is sealed.
    pub(crate) accept_psk: Psk,
}

impl InviteKeys {
    /// Derives them.
    pub(crate) fn derive(channel: &ChannelId, secret: &InviteSecret) -> Self {
        let from = Derivation::extract(channel.as_bytes(), secret.secret_bytes());
        Self {
            end_key: EndKey::from_secret_bytes(*from.expand(END_KEY)),
            offer_key: SealingKey::from_bytes(&from.expand(OFFER_SEED)),
            offer_psk: Psk::from_bytes(*from.expand(OFFER_PSK)),
            accept_psk: Psk::from_bytes(*from.expand(ACCEPT_PSK)),
        }
    }
}

impl fmt::Debug for InviteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixed::system_rng;

    #[test]
    fn another_channel_or_secret_derives_other_keys() {
        let channel = ChannelId::from_bytes([1; 16]);
        let secret = InviteSecret::from_bytes([2; 32]);
        let keys = InviteKeys::derive(&channel, &secret);
        let all = |keys: &InviteKeys| {
            [
                *keys.end_key.secret_bytes(),
                *keys.offer_key.secret_bytes(),
                *keys.offer_psk.secret_bytes(),
                *keys.accept_psk.secret_bytes(),
            ]
        };
        let same = InviteKeys::derive(&channel, &secret);
        let other_channel = InviteKeys::derive(&ChannelId::from_bytes([3; 16]), &secret);
        let other_secret = InviteKeys::derive(&channel, &draw_secret(&mut system_rng()));
        assert_eq!(all(&keys), all(&same));
        let mut seen: Vec<_> = [&keys, &other_channel, &other_secret].into_iter().flat_map(all).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 12, "every derived secret is its own");
    }

    #[test]
    fn invite_keys_never_show_in_debug() {
        let keys = InviteKeys::derive(&ChannelId::from_bytes([1; 16]), &InviteSecret::from_bytes([2; 32]));
        assert_eq!(format!("{keys:?} {:?}", keys.offer_psk), "InviteKeys(..) Psk(..)");
        assert_eq!(format!("{:?} {:?}", keys.offer_key, keys.offer_key.public()), "SealingKey(..) SealingPublic(..)");
    }
}
