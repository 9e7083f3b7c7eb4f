//! What travels inside a sealed box: offers, accepts, and the envelopes inside the ratchet.
//!
//! Bytes become these types in `decode` and nowhere else; what does not fit is refused there.

mod attachment;
mod reset;
#[cfg(test)]
mod vectors;

use prost::Message;
use tacit_proto::BOX_VERSION;
use zeroize::Zeroizing;

use crate::care::agreed_word::Nonce;
use crate::care::consent::ConsentBody;
use crate::care::crisis_card::SignedCrisisCard;
use crate::care::practice_card::SignedPracticeCard;
use crate::care::statement::{Body as StatementBody, Signed};
use crate::care::terms::Terms;
use crate::crypto::pairing::AcceptRandom;
use crate::crypto::ratchet::{MAX_PREKEY_OVERHEAD, OlmPublic};
use crate::crypto::seal::{MAX_LARGE_PAYLOAD, SealingPublic};
use crate::crypto::signing::{MAX_BODY, SigningPublic, StatementKind};
use crate::retention::{Keep, Retention};
use crate::types::Timestamp;

pub(crate) use attachment::{
    AttachmentContent, CHUNK, Chunk, MAX_DURATION_MS, MOST_RANGES, TransferEnd, TransferId, TransferStatus,
    is_media_type, is_name,
};
pub use attachment::{MAX_ATTACHMENT_NAME, MAX_THUMBNAIL};
pub(crate) use reset::{Had, ResetContent, ResetId, ResetStep};

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(crate) mod pb {
    include!(concat!(env!("OUT_DIR"), "/tacit.content.v1.rs"));
}

/// Longest text in bytes of UTF-8: with everything around it, it fits a large box.
pub const MAX_TEXT: usize = 14_000;

/// Longest text that names another message, in bytes of UTF-8: with the name it is no longer than a text.
pub const MAX_REPLY: usize = 13_900;

/// What an envelope is longer than its text, at most: four numbers and ids, and a receipt with all its ranges.
const ENVELOPE_OVERHEAD: usize = 600;

const _: () = assert!(MAX_TEXT + ENVELOPE_OVERHEAD + MAX_PREKEY_OVERHEAD <= MAX_LARGE_PAYLOAD);

/// Longest name of an inviting side, in bytes of UTF-8.
pub(crate) const MAX_NAME: usize = 200;

/// Longest terms, in bytes of UTF-8.
pub(crate) const MAX_TERMS: usize = 40_000;

/// Most boxes that an offer is cut into.
pub(crate) const MAX_OFFER_PARTS: usize = 8;

/// Bytes that a peer sealed for us, and that make no sense to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content makes no sense to this version of Tacit")]
pub(crate) struct BadContent;

/// What end A offers to whoever holds the invite.
#[derive(Clone, Debug)]
pub(crate) struct OfferContent {
    pub(crate) sealing_key: SealingPublic,
    pub(crate) reset_key: SealingPublic,
    pub(crate) olm_identity: OlmPublic,
    pub(crate) olm_one_time: OlmPublic,
    pub(crate) from: String,
    pub(crate) practice_key: SigningPublic,
    pub(crate) terms: Signed<Terms>,
    pub(crate) practice_card: Option<Signed<SignedPracticeCard>>,
    pub(crate) crisis_card: Option<Signed<SignedCrisisCard>>,
}

/// What end B answers.
pub(crate) struct AcceptContent {
    pub(crate) fresh: AcceptRandom,
    pub(crate) sealing_key: SealingPublic,
    pub(crate) reset_key: SealingPublic,
    pub(crate) olm_identity: OlmPublic,
    pub(crate) olm_message: Vec<u8>,
    pub(crate) consent_key: SigningPublic,
    pub(crate) consent: Signed<ConsentBody>,
}

/// The plaintext of an Olm message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) stream: [u8; 16],
    pub(crate) receipt: Option<Receipt>,
    /// None: it carries no message.
    pub(crate) numbered: Option<Numbered>,
    /// The sender's newest sealing key.
    pub(crate) sealing_key: Option<Announced>,
    /// Whether the sender tells what was read, if we do too.
    pub(crate) tells_reads: bool,
    /// The person has seen every message up to this position; 0 if that is not told.
    pub(crate) seen_up_to: u64,
    /// A piece of a file. Only without a message.
    pub(crate) chunk: Option<Chunk>,
    /// How a transfer stands. Only without a message.
    pub(crate) transfer: Option<TransferStatus>,
}

/// A sealing key, with its number in the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) number: u32,
    pub(crate) key: SealingPublic,
}

/// A message in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    /// Where it stands among all that its sender ever sent on the channel. The number in the first stream.
    pub(crate) position: u64,
    pub(crate) message_id: [u8; 16],
    pub(crate) sent_at: Timestamp,
    pub(crate) body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Text(String),
    /// A statement, or a part of one.
    Statement(StatementPart),
    /// Announces a file.
    Attachment(AttachmentContent),
    /// How long the sender keeps the conversation.
    Retention(Retention),
    /// The sender deleted it before it arrived.
    Deleted,
    /// A text that answers a message of either side.
    Reply {
        to: [u8; 16],
        text: String,
    },
    /// Another text in place of that of an earlier message of the sender's.
    Edit {
        message: [u8; 16],
        text: String,
    },
    /// An earlier message of the sender's is to be deleted on both sides.
    Withdrawal {
        message: [u8; 16],
    },
    /// A pause, or its end.
    Pause(PauseBody),
    /// A question for the agreed word.
    WordQuestion(Nonce),
    /// What is answered to it.
    WordReply(WordReply),
    /// A newer version of Tacit knows.
    Unknown,
}

/// A pause of the sender's, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PauseBody {
    /// A newer one has a higher number.
    pub(crate) sequence: u64,
    pub(crate) is_paused: bool,
    pub(crate) words: String,
}

/// Longest words of a pause, in bytes of UTF-8.
pub(crate) const MAX_PAUSE_WORDS: usize = 500;

/// What is answered to a question for the agreed word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordReply {
    pub(crate) question: Nonce,
    pub(crate) nonce: Nonce,
    /// None: they do not want to say it.
    pub(crate) tag: Option<[u8; 32]>,
}

/// A statement on its way, in as many parts as it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatementPart {
    pub(crate) kind: StatementKind,
    /// Names the whole statement.
    pub(crate) digest: [u8; 32],
    pub(crate) part: u8,
    pub(crate) count: u8,
    pub(crate) bytes: Vec<u8>,
}

impl StatementPart {
    /// Most bytes of a statement in one envelope: with what stands around them they are no longer than a text.
    pub(crate) const MAX_BYTES: usize = 13_900;

    /// Most parts that a statement is cut into.
    pub(crate) const MAX_COUNT: usize = (MAX_BODY + 64).div_ceil(Self::MAX_BYTES);
}

/// What the sender has safe of one of our streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) stream: [u8; 16],
    /// Everything up to this number.
    pub(crate) up_to: u64,
    /// And these, ascending, none touching the one before.
    pub(crate) beyond: Vec<Range>,
}

impl Receipt {
    /// Most ranges that one receipt names. What lies beyond the last is named by a later one.
    pub(crate) const MOST_RANGES: usize = 16;
}

/// Numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Numbers beyond this would not fit a signed column; no device sends that many.
pub(crate) const MAX_NUMBER: u64 = i64::MAX as u64 - 1;

pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BadContent> {
    bytes.try_into().map_err(|_| BadContent)
}

fn sealing_key(bytes: &[u8]) -> Result<SealingPublic, BadContent> {
    SealingPublic::from_bytes(bytes).map_err(|_| BadContent)
}

pub(crate) fn bounded(text: String, most: usize) -> Result<String, BadContent> {
    if text.is_empty() || text.len() > most { Err(BadContent) } else { Ok(text) }
}

fn signing_key(bytes: &[u8]) -> Result<SigningPublic, BadContent> {
    SigningPublic::from_bytes(&array(bytes)?).map_err(|_| BadContent)
}

fn if_there<B: StatementBody>(key: &SigningPublic, bytes: &[u8]) -> Result<Option<Signed<B>>, BadContent> {
    if bytes.is_empty() { Ok(None) } else { Signed::check(key, bytes).map(Some) }
}

/// A peer must open boxes of our version, or nothing of ours reaches it.
fn check_versions(versions: &[u32]) -> Result<(), BadContent> {
    if versions.contains(&BOX_VERSION.into()) { Ok(()) } else { Err(BadContent) }
}

impl OfferContent {
    pub(crate) fn encode(&self) -> Vec<u8> {
        pb::Offer {
            box_versions: vec![BOX_VERSION.into()],
            sealing_key: self.sealing_key.to_bytes().to_vec(),
            reset_key: self.reset_key.to_bytes().to_vec(),
            olm_identity: self.olm_identity.to_bytes().to_vec(),
            olm_one_time: self.olm_one_time.to_bytes().to_vec(),
            from: self.from.clone(),
            practice_key: self.practice_key.to_bytes().to_vec(),
            terms: self.terms.statement.bytes().to_vec(),
            practice_card: self.practice_card.as_ref().map(|card| card.statement.bytes().to_vec()).unwrap_or_default(),
            crisis_card: self.crisis_card.as_ref().map(|card| card.statement.bytes().to_vec()).unwrap_or_default(),
        }
        .encode_to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadContent> {
        let offer = pb::Offer::decode(bytes).map_err(|_| BadContent)?;
        check_versions(&offer.box_versions)?;
        let practice_key = signing_key(&offer.practice_key)?;
        Ok(Self {
            sealing_key: sealing_key(&offer.sealing_key)?,
            reset_key: sealing_key(&offer.reset_key)?,
            olm_identity: OlmPublic::from_bytes(array(&offer.olm_identity)?),
            olm_one_time: OlmPublic::from_bytes(array(&offer.olm_one_time)?),
            from: bounded(offer.from, MAX_NAME)?,
            terms: Signed::check(&practice_key, &offer.terms)?,
            practice_card: if_there(&practice_key, &offer.practice_card)?,
            crisis_card: if_there(&practice_key, &offer.crisis_card)?,
            practice_key,
        })
    }
}

impl AcceptContent {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let accept = pb::Accept {
            box_versions: vec![BOX_VERSION.into()],
            fresh: self.fresh.secret_bytes().to_vec(),
            sealing_key: self.sealing_key.to_bytes().to_vec(),
            reset_key: self.reset_key.to_bytes().to_vec(),
            olm_identity: self.olm_identity.to_bytes().to_vec(),
            olm_message: self.olm_message.clone(),
            consent_key: self.consent_key.to_bytes().to_vec(),
            consent: self.consent.statement.bytes().to_vec(),
        };
        Zeroizing::new(accept.encode_to_vec())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadContent> {
        let accept = pb::Accept::decode(bytes).map_err(|_| BadContent)?;
        check_versions(&accept.box_versions)?;
        let consent_key = signing_key(&accept.consent_key)?;
        Ok(Self {
            fresh: AcceptRandom::from_bytes(array(&accept.fresh)?),
            sealing_key: sealing_key(&accept.sealing_key)?,
            reset_key: sealing_key(&accept.reset_key)?,
            olm_identity: OlmPublic::from_bytes(array(&accept.olm_identity)?),
            olm_message: accept.olm_message,
            consent: Signed::check(&consent_key, &accept.consent)?,
            consent_key,
        })
    }
}

impl Envelope {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut envelope = pb::Envelope {
            stream: self.stream.to_vec(),
            receipt: self.receipt.as_ref().map(Receipt::to_pb),
            sealing_key: self.sealing_key.as_ref().map(Announced::to_pb),
            tells_reads: self.tells_reads,
            seen_up_to: self.seen_up_to,
            chunk: self.chunk.as_ref().map(Chunk::to_pb),
            transfer: self.transfer.as_ref().map(TransferStatus::to_pb),
            ..pb::Envelope::default()
        };
        if let Some(numbered) = &self.numbered {
            envelope.number = numbered.number;
            envelope.position = if numbered.position == numbered.number { 0 } else { numbered.position };
            envelope.message_id = numbered.message_id.to_vec();
            envelope.sent_at = numbered.sent_at;
            envelope.body = numbered.body.to_pb();
        }
        Zeroizing::new(envelope.encode_to_vec())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadContent> {
        let envelope = pb::Envelope::decode(bytes).map_err(|_| BadContent)?;
        if envelope.number > 0 && (envelope.chunk.is_some() || envelope.transfer.is_some()) {
            return Err(BadContent);
        }
        let numbered = match envelope.number {
            0 => None,
            number if number > MAX_NUMBER || envelope.position > MAX_NUMBER => return Err(BadContent),
            number => Some(Numbered {
                number,
                position: if envelope.position == 0 { number } else { envelope.position },
                message_id: array(&envelope.message_id)?,
                sent_at: envelope.sent_at.min(MAX_NUMBER),
                body: Body::from_pb(envelope.body)?,
            }),
        };
        Ok(Self {
            stream: array(&envelope.stream)?,
            receipt: envelope.receipt.map(Receipt::from_pb).transpose()?,
            numbered,
            sealing_key: envelope.sealing_key.as_ref().map(Announced::from_pb).transpose()?,
            tells_reads: envelope.tells_reads,
            seen_up_to: envelope.seen_up_to.min(MAX_NUMBER),
            chunk: envelope.chunk.map(Chunk::from_pb).transpose()?,
            transfer: envelope.transfer.map(TransferStatus::from_pb).transpose()?,
        })
    }
}

impl Announced {
    fn to_pb(&self) -> pb::SealingKey {
        let box_versions = vec![BOX_VERSION.into()];
        pb::SealingKey { number: self.number, key: self.key.to_bytes().to_vec(), box_versions }
    }

    fn from_pb(announced: &pb::SealingKey) -> Result<Self, BadContent> {
        check_versions(&announced.box_versions)?;
        if announced.number == 0 {
            return Err(BadContent);
        }
        Ok(Self { number: announced.number, key: sealing_key(&announced.key)? })
    }
}

impl Body {
    fn to_pb(&self) -> Option<pb::envelope::Body> {
        Some(match self {
            Self::Text(text) => pb::envelope::Body::Text(pb::Text { text: text.clone() }),
            Self::Reply { to, text } => pb::envelope::Body::Reply(pb::Reply { to: to.to_vec(), text: text.clone() }),
            Self::Edit { message, text } => {
                pb::envelope::Body::Edit(pb::Edit { message: message.to_vec(), text: text.clone() })
            }
            Self::Withdrawal { message } => {
                pb::envelope::Body::Withdrawal(pb::Withdrawal { message: message.to_vec() })
            }
            Self::Statement(part) => pb::envelope::Body::Statement(pb::StatementPart {
                kind: part.kind.number().into(),
                digest: part.digest.to_vec(),
                part: part.part.into(),
                count: part.count.into(),
                bytes: part.bytes.clone(),
            }),
            Self::Attachment(attachment) => pb::envelope::Body::Attachment(attachment.to_pb()),
            Self::Retention(retention) => {
                let (keep, amount) = match retention.keep {
                    Keep::Always => (0, 0),
                    Keep::ForYears { years } => (1, years),
                    Keep::ForDays { days } => (2, days),
                };
                pb::envelope::Body::Retention(pb::Retention { keep, amount, legal_hold: retention.legal_hold })
            }
            Self::Deleted => pb::envelope::Body::Deleted(pb::Deleted {}),
            Self::Pause(pause) => pb::envelope::Body::Pause(pb::Pause {
                sequence: pause.sequence,
                is_paused: pause.is_paused,
                words: pause.words.clone(),
            }),
            Self::WordQuestion(question) => {
                pb::envelope::Body::WordQuestion(pb::WordQuestion { question: question.to_vec() })
            }
            Self::WordReply(reply) => pb::envelope::Body::WordReply(pb::WordReply {
                question: reply.question.to_vec(),
                nonce: reply.nonce.to_vec(),
                tag: reply.tag.map(|tag| tag.to_vec()).unwrap_or_default(),
            }),
            Self::Unknown => return None,
        })
    }

    fn from_pb(body: Option<pb::envelope::Body>) -> Result<Self, BadContent> {
        Ok(match body {
            Some(pb::envelope::Body::Text(text)) => Self::Text(bounded(text.text, MAX_TEXT)?),
            Some(pb::envelope::Body::Reply(reply)) => {
                Self::Reply { to: array(&reply.to)?, text: bounded(reply.text, MAX_REPLY)? }
            }
            Some(pb::envelope::Body::Edit(edit)) => {
                Self::Edit { message: array(&edit.message)?, text: bounded(edit.text, MAX_REPLY)? }
            }
            Some(pb::envelope::Body::Withdrawal(withdrawal)) => {
                Self::Withdrawal { message: array(&withdrawal.message)? }
            }
            Some(pb::envelope::Body::Statement(part)) => {
                // A kind of a newer version is shown as what a newer version can show.
                let Some(kind) = StatementKind::from_number(part.kind) else { return Ok(Self::Unknown) };
                Self::Statement(StatementPart::from_pb(kind, part)?)
            }
            Some(pb::envelope::Body::Attachment(attachment)) => {
                Self::Attachment(AttachmentContent::from_pb(attachment)?)
            }
            Some(pb::envelope::Body::Retention(retention)) => {
                let keep = match retention.keep {
                    0 => Keep::Always,
                    1 => Keep::ForYears { years: retention.amount },
                    2 => Keep::ForDays { days: retention.amount },
                    _ => return Ok(Self::Unknown),
                };
                let retention = Retention { keep, legal_hold: retention.legal_hold };
                if !retention.is_valid() {
                    return Err(BadContent);
                }
                Self::Retention(retention)
            }
            Some(pb::envelope::Body::Deleted(_)) => Self::Deleted,
            Some(pb::envelope::Body::Pause(pause)) => {
                if !(1..=MAX_NUMBER).contains(&pause.sequence) || pause.words.len() > MAX_PAUSE_WORDS {
                    return Err(BadContent);
                }
                Self::Pause(PauseBody { sequence: pause.sequence, is_paused: pause.is_paused, words: pause.words })
            }
            Some(pb::envelope::Body::WordQuestion(asked)) => Self::WordQuestion(array(&asked.question)?),
            Some(pb::envelope::Body::WordReply(reply)) => Self::WordReply(WordReply {
                question: array(&reply.question)?,
                nonce: array(&reply.nonce)?,
                tag: if reply.tag.is_empty() { None } else { Some(array(&reply.tag)?) },
            }),
            None => Self::Unknown,
        })
    }

    /// The body alone, as it is kept until it is sealed.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        pb::Envelope { body: self.to_pb(), ..pb::Envelope::default() }.encode_to_vec()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BadContent> {
        Self::from_pb(pb::Envelope::decode(bytes).map_err(|_| BadContent)?.body)
    }
}

impl StatementPart {
    fn from_pb(kind: StatementKind, part: pb::StatementPart) -> Result<Self, BadContent> {
        let count = u8::try_from(part.count).map_err(|_| BadContent)?;
        let number = u8::try_from(part.part).map_err(|_| BadContent)?;
        let is_one = (1..=count).contains(&number) && usize::from(count) <= Self::MAX_COUNT;
        if !is_one || part.bytes.is_empty() || part.bytes.len() > Self::MAX_BYTES {
            return Err(BadContent);
        }
        Ok(Self { kind, digest: array(&part.digest)?, part: number, count, bytes: part.bytes })
    }
}

impl Receipt {
    fn to_pb(&self) -> pb::Receipt {
        pb::Receipt {
            stream: self.stream.to_vec(),
            up_to: self.up_to,
            beyond: self.beyond.iter().map(|range| pb::Range { first: range.first, last: range.last }).collect(),
        }
    }

    fn from_pb(receipt: pb::Receipt) -> Result<Self, BadContent> {
        let beyond = ranges(receipt.up_to, receipt.beyond)?;
        Ok(Self { stream: array(&receipt.stream)?, up_to: receipt.up_to, beyond })
    }
}

/// What is safe beyond a number.
fn ranges(up_to: u64, beyond: Vec<pb::Range>) -> Result<Vec<Range>, BadContent> {
    if beyond.len() > Receipt::MOST_RANGES || up_to > MAX_NUMBER {
        return Err(BadContent);
    }
    let mut ranges = Vec::with_capacity(beyond.len());
    let mut last = up_to;
    for range in beyond {
        // Between two ranges at least one number is missing, else they were one.
        if range.first < last + 2 || range.last < range.first || range.last > MAX_NUMBER {
            return Err(BadContent);
        }
        last = range.last;
        ranges.push(Range { first: range.first, last: range.last });
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::seal::{MAX_SMALL_PAYLOAD, SealingKey};

    fn envelope(text: String, beyond: Vec<Range>) -> Envelope {
        Envelope {
            stream: [1; 16],
            receipt: Some(Receipt { stream: [2; 16], up_to: 7, beyond }),
            numbered: Some(Numbered {
                number: u64::MAX / 4,
                position: u64::MAX / 3,
                message_id: [3; 16],
                sent_at: 1_800_000_000_000,
                body: Body::Text(text),
            }),
            sealing_key: None,
            tells_reads: true,
            seen_up_to: u64::MAX / 4,
            ..Envelope::default()
        }
    }

    #[test]
    fn the_longest_text_with_the_longest_receipt_fits_a_large_box() {
        let far = MAX_NUMBER - 100;
        let beyond = (0..Receipt::MOST_RANGES as u64).map(|i| Range { first: far + 3 * i, last: far + 3 * i + 1 });
        let longest = envelope("x".repeat(MAX_TEXT), beyond.collect());
        assert!(longest.encode().len() <= MAX_TEXT + ENVELOPE_OVERHEAD);
        assert_eq!(Envelope::decode(&longest.encode()), Ok(longest));
    }

    #[test]
    fn a_text_of_500_bytes_fits_a_small_box_even_before_the_peer_answered() {
        let text = envelope("x".repeat(500), Vec::new());
        assert!(text.encode().len() + MAX_PREKEY_OVERHEAD <= MAX_SMALL_PAYLOAD);
    }

    #[test]
    fn receipts_that_contradict_themselves_are_refused() {
        for beyond in [vec![(8, 9)], vec![(7, 9)], vec![(10, 9)], vec![(10, 11), (12, 12)], vec![(10, u64::MAX)]] {
            let beyond = beyond.into_iter().map(|(first, last)| Range { first, last }).collect();
            assert_eq!(Envelope::decode(&envelope("x".to_owned(), beyond).encode()), Err(BadContent));
        }
    }

    #[test]
    fn empty_and_overlong_texts_are_refused() {
        for text in [String::new(), "x".repeat(MAX_TEXT + 1)] {
            assert_eq!(Envelope::decode(&envelope(text, Vec::new()).encode()), Err(BadContent));
        }
    }

    #[test]
    fn sealing_keys_that_are_none_or_have_no_number_are_refused() {
        let key = SealingKey::from_bytes(&[7; 32]).public();
        let mut announcing = envelope("x".to_owned(), Vec::new());
        announcing.sealing_key = Some(Announced { number: 3, key });
        let bytes = announcing.encode();
        assert_eq!(Envelope::decode(&bytes), Ok(announcing.clone()));
        let broken = |change: fn(&mut pb::SealingKey)| {
            let mut envelope = pb::Envelope::decode(&bytes[..]).unwrap();
            change(envelope.sealing_key.as_mut().unwrap());
            Envelope::decode(&envelope.encode_to_vec())
        };
        assert_eq!(broken(|announced| announced.number = 0), Err(BadContent));
        assert_eq!(broken(|announced| announced.key.truncate(1_215)), Err(BadContent));
        assert_eq!(broken(|announced| announced.key.fill(0xff)), Err(BadContent));
        assert_eq!(broken(|announced| announced.box_versions = vec![2]), Err(BadContent));
        assert!(broken(|announced| announced.box_versions = vec![2, 1]).is_ok());
    }

    #[test]
    fn a_position_that_is_the_number_takes_no_room() {
        let mut first = envelope("x".to_owned(), Vec::new());
        let Some(numbered) = &mut first.numbered else { panic!("it has a number") };
        numbered.position = numbered.number;
        assert!(first.encode().len() < envelope("x".to_owned(), Vec::new()).encode().len());
        assert_eq!(Envelope::decode(&first.encode()), Ok(first));
    }

    #[test]
    fn what_a_newer_version_says_is_kept_as_unknown() {
        let mut newer = envelope("x".to_owned(), Vec::new());
        if let Some(numbered) = &mut newer.numbered {
            numbered.body = Body::Unknown;
        }
        let mut bytes = newer.encode().to_vec();
        // Field 99, length-delimited: a body this version has no name for.
        bytes.extend_from_slice(&[0x9a, 0x06, 0x01, 0xff]);
        assert_eq!(Envelope::decode(&bytes), Ok(newer));
    }

    proptest! {
        #[test]
        fn any_bytes_are_content_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::decode(&bytes);
            let _ = OfferContent::decode(&bytes);
            let _ = AcceptContent::decode(&bytes);
            let _ = ResetContent::decode(&bytes);
        }
    }
}
