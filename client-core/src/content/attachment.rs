//! Files: the message that announces one, its chunks, and what the devices tell each other of a transfer.

use super::{BadContent, Range, Receipt, array, pb, ranges};
use crate::crypto::ratchet::MAX_PREKEY_OVERHEAD;
use crate::crypto::seal::MAX_LARGE_PAYLOAD;

/// Names a transfer: 16 random bytes.
pub(crate) type TransferId = [u8; 16];

/// Bytes of a file in one box. Only the last chunk is shorter.
pub(crate) const CHUNK: usize = 14 * 1024;

/// What an envelope with a chunk is longer than the chunk: ids, a length, and a receipt with all its ranges.
const CHUNK_OVERHEAD: usize = 500;

const _: () = assert!(CHUNK + CHUNK_OVERHEAD + MAX_PREKEY_OVERHEAD <= MAX_LARGE_PAYLOAD);

/// Longest name of an attachment, in bytes of UTF-8.
pub const MAX_ATTACHMENT_NAME: usize = 255;

/// Longest thumbnail in bytes.
pub const MAX_THUMBNAIL: usize = 12_000;

/// Longest media type in bytes.
const MAX_MEDIA_TYPE: usize = 127;

/// No size beyond this is one of a file that anybody sends in pieces of 14 KiB.
const MAX_SIZE: u64 = 1 << 40;

/// Longest voice note: a day.
pub(crate) const MAX_DURATION_MS: u32 = 24 * 3600 * 1_000;

/// What announces a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttachmentContent {
    pub(crate) transfer: TransferId,
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) size: u64,
    /// SHA-256 of all of it.
    pub(crate) digest: [u8; 32],
    pub(crate) thumbnail: Option<Vec<u8>>,
    /// Of a voice note.
    pub(crate) duration_ms: Option<u32>,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) transfer: TransferId,
    /// From 1.
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// How a transfer stands, as one device tells the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransferStatus {
    /// Of a file that comes: what is here.
    UnderWay {
        transfer: TransferId,
        up_to: u64,
        beyond: Vec<Range>,
        /// Nothing came for long.
        stalled: bool,
    },
    /// Of a file that came, or will not.
    Over { transfer: TransferId, end: TransferEnd },
    /// The sender sends no more of it.
    Withdrawn { transfer: TransferId },
}

/// How a transfer ended on the recipient's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferEnd {
    Whole,
    Cancelled,
    TooLarge,
    NoRoom,
    Damaged,
}

impl TransferEnd {
    const ALL: [Self; 5] = [Self::Whole, Self::Cancelled, Self::TooLarge, Self::NoRoom, Self::Damaged];

    const fn number(self) -> u32 {
        self as u32 + 1
    }
}

/// Whether this can be the name of a file, and of nothing but one: no path, and nothing that makes it look like another.
pub(crate) fn is_name(name: &str) -> bool {
    let deceives = |c: char| {
        let bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || matches!(c, '/' | '\\' | '\u{2028}' | '\u{2029}') || bidi
    };
    (1..=MAX_ATTACHMENT_NAME).contains(&name.len()) && name != "." && name != ".." && !name.contains(deceives)
}

/// Whether this has the form of a media type.
pub(crate) fn is_media_type(media_type: &str) -> bool {
    media_type.len() <= MAX_MEDIA_TYPE
        && media_type.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && media_type.split_once('/').is_some_and(|(kind, of)| !kind.is_empty() && !of.is_empty())
}

impl AttachmentContent {
    pub(super) fn to_pb(&self) -> pb::Attachment {
        pb::Attachment {
            transfer: self.transfer.to_vec(),
            name: self.name.clone(),
            media_type: self.media_type.clone(),
            size: self.size,
            digest: self.digest.to_vec(),
            thumbnail: self.thumbnail.clone().unwrap_or_default(),
            duration_ms: self.duration_ms.unwrap_or(0),
        }
    }

    pub(super) fn from_pb(attachment: pb::Attachment) -> Result<Self, BadContent> {
        if !is_name(&attachment.name)
            || !is_media_type(&attachment.media_type)
            || attachment.size > MAX_SIZE
            || attachment.thumbnail.len() > MAX_THUMBNAIL
            || attachment.duration_ms > MAX_DURATION_MS
        {
            return Err(BadContent);
        }
        Ok(Self {
            transfer: array(&attachment.transfer)?,
            name: attachment.name,
            media_type: attachment.media_type,
            size: attachment.size,
            digest: array(&attachment.digest)?,
            thumbnail: Some(attachment.thumbnail).filter(|thumbnail| !thumbnail.is_empty()),
            duration_ms: Some(attachment.duration_ms).filter(|duration| *duration > 0),
        })
    }
}

impl Chunk {
    pub(super) fn to_pb(&self) -> pb::Chunk {
        // A size of at most 2^40 makes fewer than 2^27 chunks.
        let number = u32::try_from(self.number).unwrap_or(u32::MAX);
        pb::Chunk { transfer: self.transfer.to_vec(), number, bytes: self.bytes.clone() }
    }

    pub(super) fn from_pb(chunk: pb::Chunk) -> Result<Self, BadContent> {
        if chunk.number == 0 || chunk.bytes.is_empty() || chunk.bytes.len() > CHUNK {
            return Err(BadContent);
        }
        Ok(Self { transfer: array(&chunk.transfer)?, number: chunk.number.into(), bytes: chunk.bytes })
    }
}

impl TransferStatus {
    pub(super) fn to_pb(&self) -> pb::TransferStatus {
        let none = pb::TransferStatus::default();
        match self {
            Self::UnderWay { transfer, up_to, beyond, stalled } => pb::TransferStatus {
                transfer: transfer.to_vec(),
                up_to: *up_to,
                beyond: beyond.iter().map(|range| pb::Range { first: range.first, last: range.last }).collect(),
                stalled: *stalled,
                ..none
            },
            Self::Over { transfer, end } => {
                pb::TransferStatus { transfer: transfer.to_vec(), state: end.number(), ..none }
            }
            Self::Withdrawn { transfer } => pb::TransferStatus {
                transfer: transfer.to_vec(),
                state: TransferEnd::Cancelled.number(),
                own: true,
                ..none
            },
        }
    }

    pub(super) fn from_pb(status: pb::TransferStatus) -> Result<Self, BadContent> {
        let transfer = array(&status.transfer)?;
        if status.state == 0 && !status.own {
            let beyond = ranges(status.up_to, status.beyond)?;
            return Ok(Self::UnderWay { transfer, up_to: status.up_to, beyond, stalled: status.stalled });
        }
        if status.up_to > 0 || !status.beyond.is_empty() || status.stalled {
            return Err(BadContent);
        }
        let end = TransferEnd::ALL.into_iter().find(|end| end.number() == status.state).ok_or(BadContent)?;
        match (end, status.own) {
            (end, false) => Ok(Self::Over { transfer, end }),
            (TransferEnd::Cancelled, true) => Ok(Self::Withdrawn { transfer }),
            (_, true) => Err(BadContent),
        }
    }
}

/// Most ranges of chunks that one status names.
pub(crate) const MOST_RANGES: usize = Receipt::MOST_RANGES;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Body, ENVELOPE_OVERHEAD, Envelope, MAX_NUMBER, MAX_TEXT, Numbered};

    fn receipt() -> Receipt {
        let far = MAX_NUMBER - 100;
        let beyond = (0..Receipt::MOST_RANGES as u64).map(|i| Range { first: far + 3 * i, last: far + 3 * i + 1 });
        Receipt { stream: [2; 16], up_to: 7, beyond: beyond.collect() }
    }

    fn attachment(name: &str) -> AttachmentContent {
        AttachmentContent {
            transfer: [4; 16],
            name: name.to_owned(),
            media_type: "image/png".to_owned(),
            size: 5,
            digest: [6; 32],
            thumbnail: None,
            duration_ms: None,
        }
    }

    fn decode(attachment: AttachmentContent) -> Result<Envelope, BadContent> {
        let body = Body::Attachment(attachment);
        let numbered = Numbered { number: 1, position: 1, message_id: [3; 16], sent_at: 5, body };
        Envelope::decode(&Envelope { numbered: Some(numbered), ..Envelope::default() }.encode())
    }

    #[test]
    fn a_full_chunk_with_the_longest_receipt_fits_a_large_box() {
        let chunk = Chunk { transfer: [4; 16], number: 1 << 26, bytes: vec![5; CHUNK] };
        let fullest = Envelope {
            receipt: Some(receipt()),
            tells_reads: true,
            seen_up_to: MAX_NUMBER,
            chunk: Some(chunk),
            ..Envelope::default()
        };
        let encoded = fullest.encode();
        assert!(encoded.len() <= CHUNK + CHUNK_OVERHEAD);
        assert_eq!(Envelope::decode(&encoded), Ok(fullest));
    }

    #[test]
    fn the_longest_announcement_fits_a_large_box() {
        let longest = AttachmentContent {
            media_type: format!("image/{}", "x".repeat(MAX_MEDIA_TYPE - 6)),
            size: MAX_SIZE,
            thumbnail: Some(vec![7; MAX_THUMBNAIL]),
            duration_ms: Some(MAX_DURATION_MS),
            ..attachment(&"x".repeat(MAX_ATTACHMENT_NAME))
        };
        assert!(longest.to_pb().encode_to_vec().len() + ENVELOPE_OVERHEAD <= MAX_TEXT + ENVELOPE_OVERHEAD);
        assert!(decode(longest).is_ok());
    }

    #[test]
    fn names_that_are_paths_or_deceive_are_refused() {
        for name in ["", ".", "..", "a/b", "a\\b", "a\0", "a\nb", "a\u{202e}gpj.exe", "\u{2066}a", "a\u{7f}", "a\u{85}"]
        {
            assert_eq!(decode(attachment(name)), Err(BadContent), "{name:?}");
        }
        for name in ["a", "report 3.pdf", "Übung.txt", "...", ".hidden", "\u{5d0}.txt"] {
            assert!(decode(attachment(name)).is_ok(), "{name:?}");
        }
        assert_eq!(decode(attachment(&"x".repeat(256))), Err(BadContent));
    }

    #[test]
    fn media_types_without_their_form_are_refused() {
        for media_type in ["", "image", "/png", "image/", "image/p\u{1b}[31m"] {
            let attachment = AttachmentContent { media_type: media_type.to_owned(), ..attachment("a") };
            assert_eq!(decode(attachment), Err(BadContent), "{media_type:?}");
        }
    }

    #[test]
    fn statuses_are_what_they_say_or_refused() {
        let statuses = [
            TransferStatus::UnderWay { transfer: [4; 16], up_to: 0, beyond: Vec::new(), stalled: true },
            TransferStatus::UnderWay {
                transfer: [4; 16],
                up_to: 7,
                beyond: vec![Range { first: 9, last: 11 }],
                stalled: false,
            },
            TransferStatus::Over { transfer: [4; 16], end: TransferEnd::TooLarge },
            TransferStatus::Withdrawn { transfer: [4; 16] },
        ];
        for status in statuses {
            let envelope = Envelope { transfer: Some(status), ..Envelope::default() };
            assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
        let whole = TransferStatus::Over { transfer: [4; 16], end: TransferEnd::Whole }.to_pb();
        for broken in [
            pb::TransferStatus { state: 6, ..whole.clone() },
            pb::TransferStatus { up_to: 3, ..whole.clone() },
            pb::TransferStatus { stalled: true, ..whole.clone() },
            pb::TransferStatus { own: true, ..whole.clone() },
            pb::TransferStatus { state: 0, own: true, ..whole.clone() },
            pb::TransferStatus { transfer: vec![4; 15], ..whole.clone() },
        ] {
            assert_eq!(TransferStatus::from_pb(broken), Err(BadContent));
        }
    }

    use prost::Message;
}
