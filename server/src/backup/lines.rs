//! The lines of a backup, as they are written.

use std::fmt;
use std::num::NonZeroU16;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use tacit_proto::{ChannelId, End, EndPublic, EnrolCodeHash, PermitHash};

use crate::enrolment::Offer;
use crate::spool::{ChannelRow, EndRow, EnrolmentId, Hour, KeptRow, Phase, SpentCode};

/// The version of the format that is written. Older ones are read too; there are none yet.
pub(super) const VERSION: u32 = 1;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    TacitBackup(Head),
    Configuration(String),
    File(FileLine),
    Offer(OfferLine),
    Channel(ChannelLine),
    Permit(PermitLine),
    SpentCode(SpentCodeLine),
    End(Tail),
}

/// Other versions may add to it.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileLine {
    pub(super) name: String,
    pub(super) text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfferLine {
    code: Hex<32>,
    permits: NonZeroU16,
    expires: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelLine {
    id: Hex<16>,
    a: EndLine,
    b: EndLine,
    phase: PhaseLine,
    invite_tried: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    key: Hex<32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spent_invite: Option<Hex<32>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum PhaseLine {
    Unclaimed {
        join_by: u32,
    },
    Claimed,
    Closed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<EndName>,
        forget: u32,
    },
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndName {
    A,
    B,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PermitLine {
    hash: Hex<32>,
    enrolment: Hex<8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpentCodeLine {
    code: Hex<32>,
    given: u16,
    digest: Hex<32>,
    forget: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tail {
    lines: u64,
    sha256: Hex<32>,
}

impl Line {
    /// Its bytes, with the line feed.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn of_offer(code: &EnrolCodeHash, offer: Offer) -> Self {
        Self::Offer(OfferLine { code: Hex(*code.as_bytes()), permits: offer.permits, expires: offer.expires })
    }

    pub(super) fn of_row(row: &KeptRow) -> Self {
        match row {
            KeptRow::Channel(id, ChannelRow { a, b, phase, invite_tried }) => Self::Channel(ChannelLine {
                id: Hex(*id.as_bytes()),
                a: EndLine::of(a),
                b: EndLine::of(b),
                phase: PhaseLine::of(*phase),
                invite_tried: *invite_tried,
            }),
            KeptRow::Permit(permit, id) => {
                Self::Permit(PermitLine { hash: Hex(*permit.as_bytes()), enrolment: Hex(*id.as_bytes()) })
            }
            KeptRow::SpentCode(code, SpentCode { given, digest, forget }) => Self::SpentCode(SpentCodeLine {
                code: Hex(*code.as_bytes()),
                given: *given,
                digest: Hex(*digest),
                forget: forget.0,
            }),
        }
    }
}

impl OfferLine {
    pub(super) const fn offer(&self) -> (EnrolCodeHash, Offer) {
        (EnrolCodeHash::from_bytes(self.code.0), Offer { permits: self.permits, expires: self.expires })
    }
}

impl ChannelLine {
    pub(super) fn row(&self) -> KeptRow {
        let phase = match self.phase {
            PhaseLine::Unclaimed { join_by } => Phase::Unclaimed { join_by: Hour(join_by) },
            PhaseLine::Claimed => Phase::Claimed,
            PhaseLine::Closed { by, forget } => {
                let by = by.map(|by| match by {
                    EndName::A => End::A,
                    EndName::B => End::B,
                });
                Phase::Closed { by, forget: Hour(forget) }
            }
        };
        let row = ChannelRow { a: self.a.row(), b: self.b.row(), phase, invite_tried: self.invite_tried };
        KeptRow::Channel(ChannelId::from_bytes(self.id.0), row)
    }
}

impl PermitLine {
    pub(super) const fn row(&self) -> KeptRow {
        KeptRow::Permit(PermitHash::from_bytes(self.hash.0), EnrolmentId::from_bytes(self.enrolment.0))
    }
}

impl SpentCodeLine {
    pub(super) const fn row(&self) -> KeptRow {
        let spent = SpentCode { given: self.given, digest: self.digest.0, forget: Hour(self.forget) };
        KeptRow::SpentCode(EnrolCodeHash::from_bytes(self.code.0), spent)
    }
}

impl EndLine {
    fn of(end: &EndRow) -> Self {
        let hex = |key: &EndPublic| Hex(*key.as_bytes());
        Self { key: hex(&end.key), spent_invite: end.spent_invite.as_ref().map(hex) }
    }

    fn row(&self) -> EndRow {
        let key = |hex: &Hex<32>| EndPublic::from_bytes(hex.0);
        EndRow { key: key(&self.key), spent_invite: self.spent_invite.as_ref().map(key) }
    }
}

impl PhaseLine {
    fn of(phase: Phase) -> Self {
        match phase {
            Phase::Unclaimed { join_by } => Self::Unclaimed { join_by: join_by.0 },
            Phase::Claimed => Self::Claimed,
            Phase::Closed { by, forget } => {
                let by = by.map(|by| match by {
                    End::A => EndName::A,
                    End::B => EndName::B,
                });
                Self::Closed { by, forget: forget.0 }
            }
        }
    }
}

/// What the lines so far come to.
#[derive(Default)]
pub(super) struct Tally {
    lines: u64,
    hasher: Sha256,
}

impl Tally {
    pub(super) fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        self.hasher.update(line);
    }

    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }

    /// The one line that may follow.
    pub(super) fn end(self) -> serde_json::Result<Vec<u8>> {
        Line::End(Tail { lines: self.lines, sha256: Hex(self.hasher.finalize().into()) }).to_bytes()
    }
}

/// Bytes that are written in hexadecimal.
#[derive(Clone, Copy)]
struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits<const N: usize>;
        impl<const N: usize> serde::de::Visitor<'_> for Digits<N> {
            type Value = Hex<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} hexadecimal digits", 2 * N)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Hex<N>, E> {
                let mut bytes = [0; N];
                hex::decode_to_slice(text, &mut bytes).map_err(E::custom)?;
                Ok(Hex(bytes))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}
