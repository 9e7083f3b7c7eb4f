//! Consent: that a person was shown terms and agreed to them, signed by that person's device.

use prost::Message as _;
use sha2::{Digest, Sha256};
use tacit_proto::ChannelId;

use super::statement::Body;
use super::terms::Terms;
use crate::content::{BadContent, MAX_NAME, MAX_NUMBER, array, bounded, pb};
use crate::crypto::signing::{SigningPublic, StatementKind};
use crate::types::Timestamp;

/// Names a pairing to both of its sides, and tells nothing to others: SHA-256 over the channel and the whole offer.
pub(crate) type PairingName = [u8; 32];

/// The name of the pairing that an offer begins.
pub(crate) fn pairing_name(channel: &ChannelId, offer: &[u8]) -> PairingName {
    Sha256::new_with_prefix(b"tacit v1 pairing")
        .chain_update(channel.as_bytes())
        // At most eight boxes.
        .chain_update((offer.len() as u32).to_be_bytes())
        .chain_update(offer)
        .finalize()
        .into()
}

/// What was agreed to, by whom and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsentBody {
    pub(crate) pairing: PairingName,
    pub(crate) practice_key: [u8; 32],
    pub(crate) terms_version: u64,
    pub(crate) text_hash: [u8; 32],
    pub(crate) from: String,
    pub(crate) agreed_at: Timestamp,
}

impl ConsentBody {
    pub(crate) fn new(
        pairing: PairingName,
        practice_key: SigningPublic,
        from: &str,
        terms: &Terms,
        now: Timestamp,
    ) -> Self {
        Self {
            pairing,
            practice_key: practice_key.to_bytes(),
            terms_version: terms.version,
            text_hash: text_hash(&terms.text),
            from: from.to_owned(),
            agreed_at: now,
        }
    }

    /// Whether it is consent to these terms, of this practice.
    pub(crate) fn is_to(&self, practice_key: SigningPublic, terms: &Terms) -> bool {
        self.practice_key == practice_key.to_bytes()
            && self.terms_version == terms.version
            && self.text_hash == text_hash(&terms.text)
    }
}

/// SHA-256 of exactly what was shown.
pub(crate) fn text_hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl Body for ConsentBody {
    const KIND: StatementKind = StatementKind::Consent;

    fn version(&self) -> u64 {
        self.terms_version
    }

    fn encode(&self) -> Vec<u8> {
        pb::Consent {
            pairing: self.pairing.to_vec(),
            practice_key: self.practice_key.to_vec(),
            terms_version: self.terms_version,
            text_hash: self.text_hash.to_vec(),
            from: self.from.clone(),
            agreed_at: self.agreed_at,
        }
        .encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, BadContent> {
        let read = pb::Consent::decode(body).map_err(|_| BadContent)?;
        if !(1..=MAX_NUMBER).contains(&read.terms_version) {
            return Err(BadContent);
        }
        Ok(Self {
            pairing: array(&read.pairing)?,
            practice_key: array(&read.practice_key)?,
            terms_version: read.terms_version,
            text_hash: array(&read.text_hash)?,
            from: bounded(read.from, MAX_NAME)?,
            agreed_at: read.agreed_at.min(MAX_NUMBER),
        })
    }
}
