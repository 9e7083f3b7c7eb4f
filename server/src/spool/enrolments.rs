//! What the spool keeps of enrolments: a name for each, and what a spent code gave.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use tacit_proto::{EnrolCodeHash, PermitHash};

use super::Hour;

/// Names an enrolment: to the operator, and at each unspent permit that it gave. The first 8 bytes of its code's hash.
///
/// It outlives the code, which is forgotten a month after it was spent. `Debug` hides it: no log tells who was enrolled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnrolmentId([u8; Self::LEN]);

/// A text that is not the name of an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an enrolment is named by 16 hexadecimal digits, as `tacit-server enrolments` lists them")]
pub struct NotAnEnrolmentId;

impl EnrolmentId {
    /// Length in bytes.
    pub const LEN: usize = 8;

    /// Stands for all enrolments that were made before format 2 and forgotten before the spool was migrated: nobody can
    /// tell any more which of them gave a permit.
    pub const BEFORE_FORMAT_2: Self = Self([0; Self::LEN]);

    /// The name of the enrolment under a code.
    #[must_use]
    pub fn of(code: &EnrolCodeHash) -> Self {
        let mut id = [0; Self::LEN];
        id.copy_from_slice(&code.as_bytes()[..Self::LEN]);
        Self(id)
    }

    /// Takes the bytes as they are stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes as they are stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// As the operator sees it.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for EnrolmentId {
    type Err = NotAnEnrolmentId;

    fn from_str(text: &str) -> Result<Self, NotAnEnrolmentId> {
        let mut id = [0; Self::LEN];
        hex::decode_to_slice(text, &mut id).map(|()| Self(id)).map_err(|_| NotAnEnrolmentId)
    }
}

impl fmt::Debug for EnrolmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentId(..)")
    }
}

/// What is kept of a spent code: enough to answer the same request again, and too little to tell which of the permits
/// were spent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpentCode {
    /// How many permits it gave.
    pub given: u16,
    /// SHA-256 over their hashes, in the order given.
    pub digest: [u8; 32],
    /// When it may be forgotten.
    pub forget: Hour,
}

impl SpentCode {
    /// A code that was spent for these permits.
    #[must_use]
    pub fn of(permits: &[PermitHash], forget: Hour) -> Self {
        let given = u16::try_from(permits.len()).unwrap_or(u16::MAX);
        Self { given, digest: digest(permits), forget }
    }

    /// Whether it was spent for exactly these permits.
    #[must_use]
    pub fn gave(&self, permits: &[PermitHash]) -> bool {
        self.digest == digest(permits)
    }
}

impl fmt::Debug for SpentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpentCode").field("given", &self.given).field("forget", &self.forget).finish_non_exhaustive()
    }
}

fn digest(permits: &[PermitHash]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for permit in permits {
        hasher.update(permit.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enrolment_is_named_by_16_digits_and_never_shows_in_debug() {
        let id = EnrolmentId::of(&EnrolCodeHash::from_bytes([0xab; 32]));
        assert_eq!(id.to_hex(), "abababababababab");
        assert_eq!(id.to_hex().parse(), Ok(id));
        for wrong in ["", "ab", "abababababababababab", "ababababababab-1"] {
            assert_eq!(wrong.parse::<EnrolmentId>(), Err(NotAnEnrolmentId), "{wrong}");
        }
        assert_eq!(format!("{id:?}"), "EnrolmentId(..)");
    }

    #[test]
    fn a_spent_code_knows_its_permits_by_a_digest_that_debug_hides() {
        let permits: Vec<_> = (0..3).map(|n| PermitHash::from_bytes([n; 32])).collect();
        let spent = SpentCode::of(&permits, Hour(7));
        assert!(spent.gave(&permits));
        let reversed: Vec<_> = permits.iter().rev().copied().collect();
        assert!(!spent.gave(&reversed) && !spent.gave(&permits[..2]));
        assert_eq!(format!("{spent:?}"), "SpentCode { given: 3, forget: Hour(7), .. }");
    }
}
