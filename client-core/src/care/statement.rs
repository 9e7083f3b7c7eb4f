//! Statements with what they say: signed, checked, and read once.

use crate::content::BadContent;
use crate::crypto::signing::{SigningKey, SigningPublic, Statement, StatementKind};

/// What a statement of one kind says.
pub(crate) trait Body: Sized {
    /// Its kind.
    const KIND: StatementKind;

    /// Which one of its kind: a newer one has a higher version.
    fn version(&self) -> u64;

    /// The bytes that are signed.
    fn encode(&self) -> Vec<u8>;

    /// Reads what was signed, and refuses what makes no sense.
    fn decode(body: &[u8]) -> Result<Self, BadContent>;
}

/// A statement whose signature holds, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Signed<B> {
    pub(crate) statement: Statement,
    pub(crate) body: B,
}

impl<B: Body> Signed<B> {
    /// States something.
    pub(crate) fn sign(key: &SigningKey, body: B) -> Self {
        Self { statement: key.sign(B::KIND, &body.encode()), body }
    }

    /// Checks and reads a statement as it was carried.
    pub(crate) fn check(key: &SigningPublic, bytes: &[u8]) -> Result<Self, BadContent> {
        let statement = key.check(B::KIND, bytes.to_vec()).map_err(|_| BadContent)?;
        let body = B::decode(statement.body())?;
        Ok(Self { statement, body })
    }
}
