//! What travels in a box of purpose 4: a request for a new session, or the answer to one. Never any text.

use prost::Message;
use tacit_proto::BOX_VERSION;
use zeroize::Zeroizing;

use super::{BadContent, MAX_NUMBER, Range, array, check_versions, pb, ranges, sealing_key};
use crate::crypto::ratchet::OlmPublic;
use crate::crypto::reset::ResetRandom;
use crate::crypto::seal::SealingPublic;

/// Names a reset: 16 random bytes.
pub(crate) type ResetId = [u8; 16];

/// No conversation comes this far, and whoever says that it did must not use up the positions that are left.
const MAX_HIGHEST: u64 = MAX_NUMBER / 2;

/// The payload.
#[derive(Debug)]
pub(crate) struct ResetContent {
    pub(crate) id: ResetId,
    pub(crate) fresh: ResetRandom,
    pub(crate) sealing_key: SealingPublic,
    pub(crate) olm_identity: OlmPublic,
    pub(crate) step: ResetStep,
    /// The positions of the other side's messages that this side has.
    pub(crate) had: Had,
    /// The highest of them, wherever it stands.
    pub(crate) highest: u64,
}

/// Which of the two it is.
#[derive(Debug)]
pub(crate) enum ResetStep {
    /// From who asks: what a session can be started with.
    Request { olm_one_time: OlmPublic },
    /// From who answers: the first message of the session. Its plaintext is an envelope with number 0.
    Answer { olm_message: Vec<u8> },
}

/// Positions, as a receipt tells numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Had {
    /// Everything up to this one.
    pub(crate) up_to: u64,
    /// And these, ascending, none touching the one before.
    pub(crate) beyond: Vec<Range>,
}

impl ResetContent {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (olm_one_time, olm_message) = match &self.step {
            ResetStep::Request { olm_one_time } => (olm_one_time.to_bytes().to_vec(), Vec::new()),
            ResetStep::Answer { olm_message } => (Vec::new(), olm_message.clone()),
        };
        let beyond = self.had.beyond.iter().map(|range| pb::Range { first: range.first, last: range.last });
        let reset = pb::Reset {
            id: self.id.to_vec(),
            box_versions: vec![BOX_VERSION.into()],
            fresh: self.fresh.secret_bytes().to_vec(),
            sealing_key: self.sealing_key.to_bytes().to_vec(),
            olm_identity: self.olm_identity.to_bytes().to_vec(),
            olm_one_time,
            olm_message,
            had: Some(pb::Positions { up_to: self.had.up_to, beyond: beyond.collect() }),
            highest: self.highest,
        };
        Zeroizing::new(reset.encode_to_vec())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadContent> {
        let reset = pb::Reset::decode(bytes).map_err(|_| BadContent)?;
        check_versions(&reset.box_versions)?;
        let step = match (reset.olm_one_time.is_empty(), reset.olm_message.is_empty()) {
            (false, true) => ResetStep::Request { olm_one_time: OlmPublic::from_bytes(array(&reset.olm_one_time)?) },
            (true, false) => ResetStep::Answer { olm_message: reset.olm_message },
            _ => return Err(BadContent),
        };
        if reset.highest > MAX_HIGHEST {
            return Err(BadContent);
        }
        let had = reset.had.unwrap_or_default();
        Ok(Self {
            id: array(&reset.id)?,
            fresh: ResetRandom::from_bytes(array(&reset.fresh)?),
            sealing_key: sealing_key(&reset.sealing_key)?,
            olm_identity: OlmPublic::from_bytes(array(&reset.olm_identity)?),
            step,
            had: Had { up_to: had.up_to, beyond: ranges(had.up_to, had.beyond)? },
            highest: reset.highest,
        })
    }
}
