//! Terms: the text that a client agrees to, in versions.

use prost::Message as _;

use super::statement::Body;
use crate::content::{BadContent, MAX_NUMBER, MAX_TERMS, bounded, pb};
use crate::crypto::signing::StatementKind;
use crate::types::Timestamp;

/// The terms that a practice offers unless it has its own.
pub(crate) const DEFAULT_TERMS: &str = include_str!("terms.txt");

/// Terms as a practice signed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Grows with every change.
    pub version: u64,
    /// When they were signed, by the clock of the practice's device.
    pub signed_at: Timestamp,
    /// What they say.
    pub text: String,
}

impl Body for Terms {
    const KIND: StatementKind = StatementKind::Terms;

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Vec<u8> {
        pb::Terms { version: self.version, signed_at: self.signed_at, text: self.text.clone() }.encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, BadContent> {
        let read = pb::Terms::decode(body).map_err(|_| BadContent)?;
        if !(1..=MAX_NUMBER).contains(&read.version) {
            return Err(BadContent);
        }
        let text = bounded(read.text, MAX_TERMS)?;
        Ok(Self { version: read.version, signed_at: read.signed_at.min(MAX_NUMBER), text })
    }
}
