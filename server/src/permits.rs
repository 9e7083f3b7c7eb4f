//! The rights to open a channel. Who draws and who checks them is known here only, because blind-signed ones, which a
//! relay cannot tell apart, are to come behind the same face.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use tacit_proto::{EnrolCodeHash, PermitHash};

use crate::effect::Asker;
use crate::spool::Hour;

/// Permits and enrolments, as the relay decides on them. A leaf lock guards it: whoever holds it takes no other.
#[derive(Debug)]
pub(crate) struct Permits<C> {
    unspent: HashSet<PermitHash>,
    /// Spent codes, with a digest of the permits that each gave.
    spent_codes: HashMap<EnrolCodeHash, ([u8; 32], Hour)>,
    enrolling: HashMap<EnrolCodeHash, Enrolling<C>>,
}

/// An enrolment that is being made durable.
#[derive(Debug)]
struct Enrolling<C> {
    permits: Vec<PermitHash>,
    forget: Hour,
    asker: Asker<C>,
}

/// What is known of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeState {
    /// Nothing: look for the operator's offer.
    Unknown,
    /// Spent for exactly these permits.
    SpentForThese,
    /// Spent for others.
    Spent,
    /// Being spent.
    UnderWay,
}

impl<C> Permits<C> {
    pub(crate) fn recover(
        unspent: Vec<PermitHash>,
        enrolments: impl IntoIterator<Item = (EnrolCodeHash, Vec<PermitHash>, Hour)>,
    ) -> Self {
        let spent =
            |(code, permits, forget): (EnrolCodeHash, Vec<PermitHash>, Hour)| (code, (digest(&permits), forget));
        Self {
            unspent: unspent.into_iter().collect(),
            spent_codes: enrolments.into_iter().map(spent).collect(),
            enrolling: HashMap::new(),
        }
    }

    pub(crate) fn has_unspent(&self) -> bool {
        !self.unspent.is_empty()
    }

    /// Whether the permit is good.
    pub(crate) fn is_good(&self, permit: &PermitHash) -> bool {
        self.unspent.contains(permit)
    }

    /// Spends a permit, in memory: whoever calls makes it durable, or calls [`Permits::unspend`].
    pub(crate) fn spend(&mut self, permit: &PermitHash) -> bool {
        self.unspent.remove(permit)
    }

    /// What a permit was spent for did not come about.
    pub(crate) fn unspend(&mut self, permit: PermitHash) {
        self.unspent.insert(permit);
    }

    pub(crate) fn code_state(&self, code: &EnrolCodeHash, permits: &[PermitHash]) -> CodeState {
        match self.spent_codes.get(code) {
            Some((given, _)) if *given == digest(permits) => CodeState::SpentForThese,
            Some(_) => CodeState::Spent,
            None if self.enrolling.contains_key(code) => CodeState::UnderWay,
            None => CodeState::Unknown,
        }
    }

    /// Begins an enrolment that the committer is to make durable.
    pub(crate) fn begin(&mut self, code: EnrolCodeHash, permits: Vec<PermitHash>, forget: Hour, asker: Asker<C>) {
        self.enrolling.insert(code, Enrolling { permits, forget, asker });
    }

    /// It is durable, or could not be. Returns who awaits the answer.
    pub(crate) fn finish(&mut self, code: &EnrolCodeHash, durable: bool) -> Option<Asker<C>> {
        let Enrolling { permits, forget, asker } = self.enrolling.remove(code)?;
        if durable {
            self.spent_codes.insert(*code, (digest(&permits), forget));
            self.unspent.extend(permits);
        }
        Some(asker)
    }

    pub(crate) fn is_spent(&self, code: &EnrolCodeHash) -> bool {
        self.spent_codes.contains_key(code)
    }

    /// Forgets the codes whose time has come, and returns them.
    pub(crate) fn forget_codes(&mut self, hour: Hour) -> Vec<EnrolCodeHash> {
        self.spent_codes.extract_if(|_, (_, forget)| *forget <= hour).map(|(code, _)| code).collect()
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
    use std::num::NonZeroU32;

    use tacit_proto::{EnrolCode, Permit};

    use super::*;

    fn permits() -> Vec<PermitHash> {
        (0..3).map(|number| Permit::from_bytes([number; 32]).hash()).collect()
    }

    fn enrolled(durable: bool) -> (Permits<u32>, EnrolCodeHash) {
        let mut all = Permits::recover(Vec::new(), Vec::new());
        let code = EnrolCode::from_bytes([9; 32]).hash();
        assert_eq!(all.code_state(&code, &permits()), CodeState::Unknown);
        all.begin(code, permits(), Hour(30), Asker { conn: 1, request: NonZeroU32::MIN });
        assert_eq!(all.code_state(&code, &permits()), CodeState::UnderWay);
        assert!(!all.has_unspent(), "not before it is durable");
        assert!(all.finish(&code, durable).is_some());
        (all, code)
    }

    #[test]
    fn a_permit_is_good_once() {
        let (mut all, _) = enrolled(true);
        assert!(all.is_good(&permits()[0]));
        assert!(all.spend(&permits()[0]));
        assert!(!all.spend(&permits()[0]));
        all.unspend(permits()[0]);
        assert!(all.spend(&permits()[0]));
    }

    #[test]
    fn a_code_is_good_once_and_remembers_what_it_gave() {
        let (mut all, code) = enrolled(true);
        assert_eq!(all.code_state(&code, &permits()), CodeState::SpentForThese);
        assert_eq!(all.code_state(&code, &permits()[1..]), CodeState::Spent);
        assert_eq!(all.forget_codes(Hour(29)), []);
        assert_eq!(all.forget_codes(Hour(30)), [code]);
        assert_eq!(all.code_state(&code, &permits()), CodeState::Unknown);
    }

    #[test]
    fn an_enrolment_that_could_not_be_stored_gives_nothing() {
        let (all, code) = enrolled(false);
        assert!(!all.has_unspent());
        assert_eq!(all.code_state(&code, &permits()), CodeState::Unknown);
    }
}
