//! The farewell: that a pairing ends, signed by the side that ends it.

use prost::Message as _;

use super::consent::PairingName;
use super::statement::Body;
use crate::content::{BadContent, MAX_NUMBER, array, pb};
use crate::crypto::signing::StatementKind;
use crate::types::Timestamp;

/// Longest words of a farewell, in bytes of UTF-8.
pub(crate) const MAX_WORDS: usize = 4_000;

/// How a pairing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The work is done, or goes on elsewhere: what was written before still arrives, both ways.
    Discharge,
    /// At once.
    Unpair,
}

/// What a farewell says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FarewellBody {
    pub(crate) pairing: PairingName,
    pub(crate) manner: Manner,
    pub(crate) words: String,
    pub(crate) said_at: Timestamp,
}

impl Body for FarewellBody {
    const KIND: StatementKind = StatementKind::Farewell;

    /// There is one.
    fn version(&self) -> u64 {
        1
    }

    fn encode(&self) -> Vec<u8> {
        pb::Farewell {
            pairing: self.pairing.to_vec(),
            manner: match self.manner {
                Manner::Discharge => 1,
                Manner::Unpair => 2,
            },
            words: self.words.clone(),
            said_at: self.said_at,
        }
        .encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, BadContent> {
        let read = pb::Farewell::decode(body).map_err(|_| BadContent)?;
        if read.words.len() > MAX_WORDS {
            return Err(BadContent);
        }
        Ok(Self {
            pairing: array(&read.pairing)?,
            manner: match read.manner {
                1 => Manner::Discharge,
                2 => Manner::Unpair,
                _ => return Err(BadContent),
            },
            words: read.words,
            said_at: read.said_at.min(MAX_NUMBER),
        })
    }
}
