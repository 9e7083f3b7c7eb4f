//! The rights to open a channel. Who draws and who checks them is known here only, because blind-signed ones, which a
//! relay cannot tell apart, are to come behind the same face.

use std::collections::{HashMap, HashSet};

use tacit_proto::{EnrolCodeHash, PermitHash};

use crate::effect::Asker;
use crate::spool::{EnrolmentId, Hour, SpentCode};

/// Permits and enrolments, as the relay decides on them. A leaf lock guards it: whoever holds it takes no other.
#[derive(Debug)]
pub(crate) struct Permits<C> {
    unspent: HashMap<PermitHash, EnrolmentId>,
    /// Spent or revoked here, and not known to be off the disk yet.
    leaving: HashMap<PermitHash, EnrolmentId>,
    spent_codes: HashMap<EnrolCodeHash, SpentCode>,
    enrolling: HashMap<EnrolCodeHash, Enrolling<C>>,
    /// Revoked since this relay started: nothing that comes back of them is good again. What was revoked before is not
    /// on the disk any more.
    revoked: HashSet<EnrolmentId>,
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
    /// Spent for others, or revoked.
    Spent,
    /// Being spent.
    UnderWay,
}

/// What is known of an enrolment whose code was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enrolled {
    /// Its name.
    pub(crate) id: EnrolmentId,
    /// How many of its permits are unspent.
    pub(crate) unspent: usize,
    /// How many it gave. `None` once the code is forgotten, a month after it was spent.
    pub(crate) given: Option<u16>,
}

/// Permits of this enrolment are being made durable at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EnrolmentUnderWay;

impl<C> Permits<C> {
    pub(crate) fn recover(
        unspent: impl IntoIterator<Item = (PermitHash, EnrolmentId)>,
        spent_codes: impl IntoIterator<Item = (EnrolCodeHash, SpentCode)>,
    ) -> Self {
        Self {
            unspent: unspent.into_iter().collect(),
            leaving: HashMap::new(),
            spent_codes: spent_codes.into_iter().collect(),
            enrolling: HashMap::new(),
            revoked: HashSet::new(),
        }
    }

    // Spending.

    pub(crate) fn has_unspent(&self) -> bool {
        !self.unspent.is_empty()
    }

    /// Whether the permit is good.
    pub(crate) fn is_good(&self, permit: &PermitHash) -> bool {
        self.unspent.contains_key(permit)
    }

    /// Spends a permit, in memory: whoever calls makes it durable, then calls [`Permits::left_the_disk`], or
    /// [`Permits::unspend`] if it could not be.
    pub(crate) fn spend(&mut self, permit: &PermitHash) -> bool {
        let Some(id) = self.unspent.remove(permit) else { return false };
        self.leaving.insert(*permit, id);
        true
    }

    /// A spent or revoked permit is off the disk.
    pub(crate) fn left_the_disk(&mut self, permit: &PermitHash) {
        self.leaving.remove(permit);
    }

    /// What a permit was spent for did not come about. It is good again, unless its enrolment was revoked meanwhile:
    /// then `true` is returned, and it must be taken off the disk.
    #[must_use]
    pub(crate) fn unspend(&mut self, permit: PermitHash) -> bool {
        let Some(id) = self.leaving.get(&permit).copied() else { return false };
        if self.revoked.contains(&id) {
            return true;
        }
        self.leaving.remove(&permit);
        self.unspent.insert(permit, id);
        false
    }

    // Enrolling.

    pub(crate) fn code_state(&self, code: &EnrolCodeHash, permits: &[PermitHash]) -> CodeState {
        match self.spent_codes.get(code) {
            Some(spent) if spent.gave(permits) => CodeState::SpentForThese,
            Some(_) => CodeState::Spent,
            None if self.enrolling.contains_key(code) => CodeState::UnderWay,
            None if self.revoked.contains(&EnrolmentId::of(code)) => CodeState::Spent,
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
            self.spent_codes.insert(*code, SpentCode::of(&permits, forget));
            self.unspent.extend(permits.into_iter().map(|permit| (permit, EnrolmentId::of(code))));
        }
        Some(asker)
    }

    pub(crate) fn is_spent(&self, code: &EnrolCodeHash) -> bool {
        self.spent_codes.contains_key(code)
    }

    /// Forgets the codes whose time has come, and returns them.
    pub(crate) fn forget_codes(&mut self, hour: Hour) -> Vec<EnrolCodeHash> {
        self.spent_codes.extract_if(|_, spent| spent.forget <= hour).map(|(code, _)| code).collect()
    }

    // For the operator.

    /// All enrolments that have unspent permits, or whose code is remembered.
    pub(crate) fn enrolments(&self) -> Vec<Enrolled> {
        let mut all: HashMap<EnrolmentId, Enrolled> = HashMap::new();
        let blank = |id| Enrolled { id, unspent: 0, given: None };
        for (code, spent) in &self.spent_codes {
            let id = EnrolmentId::of(code);
            all.entry(id).or_insert_with(|| blank(id)).given = Some(spent.given);
        }
        for id in self.unspent.values() {
            all.entry(*id).or_insert_with(|| blank(*id)).unspent += 1;
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_unstable_by_key(|enrolled| enrolled.id);
        all
    }

    /// Revokes an enrolment, in memory, and returns its unspent permits: whoever calls takes them off the disk, whatever
    /// it takes, and then calls [`Permits::left_the_disk`]. A code that was not spent yet is worth nothing any more.
    ///
    /// A permit that is being spent at this moment is not among them: if that fails, [`Permits::unspend`] says so.
    pub(crate) fn revoke(&mut self, id: EnrolmentId) -> Result<Vec<PermitHash>, EnrolmentUnderWay> {
        if self.enrolling.keys().any(|code| EnrolmentId::of(code) == id) {
            return Err(EnrolmentUnderWay);
        }
        self.revoked.insert(id);
        let permits: Vec<_> = self.unspent.extract_if(|_, of| *of == id).map(|(permit, _)| permit).collect();
        self.leaving.extend(permits.iter().map(|permit| (*permit, id)));
        Ok(permits)
    }

    /// Whether permits of an enrolment may still be on the disk though they are not good any more.
    pub(crate) fn is_leaving(&self, id: EnrolmentId) -> bool {
        self.leaving.values().any(|of| *of == id)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tacit_proto::{EnrolCode, Permit};

    use super::*;

    fn permits() -> Vec<PermitHash> {
        (0..3).map(|number| Permit::from_bytes([number; 32]).hash()).collect()
    }

    fn begun() -> (Permits<u32>, EnrolCodeHash) {
        let mut all = Permits::recover(Vec::new(), Vec::new());
        let code = EnrolCode::from_bytes([9; 32]).hash();
        assert_eq!(all.code_state(&code, &permits()), CodeState::Unknown);
        all.begin(code, permits(), Hour(30), Asker { conn: 1, request: NonZeroU32::MIN });
        assert_eq!(all.code_state(&code, &permits()), CodeState::UnderWay);
        assert!(!all.has_unspent(), "not before it is durable");
        (all, code)
    }

    fn enrolled(durable: bool) -> (Permits<u32>, EnrolCodeHash) {
        let (mut all, code) = begun();
        assert!(all.finish(&code, durable).is_some());
        (all, code)
    }

    #[test]
    fn a_permit_is_good_once() {
        let (mut all, _) = enrolled(true);
        assert!(all.is_good(&permits()[0]));
        assert!(all.spend(&permits()[0]));
        assert!(!all.spend(&permits()[0]));
        assert!(!all.unspend(permits()[0]));
        assert!(all.spend(&permits()[0]));
        all.left_the_disk(&permits()[0]);
        assert!(!all.is_good(&permits()[0]));
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

    #[test]
    fn an_enrolment_is_listed_with_what_it_gave_and_what_is_left_of_it() {
        let (mut all, code) = enrolled(true);
        let id = EnrolmentId::of(&code);
        assert!(all.spend(&permits()[1]));
        assert_eq!(all.enrolments(), [Enrolled { id, unspent: 2, given: Some(3) }]);
        all.forget_codes(Hour(30));
        assert_eq!(all.enrolments(), [Enrolled { id, unspent: 2, given: None }], "its permits outlive the code");
    }

    #[test]
    fn revoking_takes_the_unspent_permits_of_one_enrolment_and_no_others() {
        let (mut all, code) = enrolled(true);
        let (other, id) = (PermitHash::from_bytes([7; 32]), EnrolmentId::of(&code));
        all.unspent.insert(other, EnrolmentId::BEFORE_FORMAT_2);
        assert!(all.spend(&permits()[0]));
        let mut revoked = all.revoke(id).unwrap();
        revoked.sort();
        let mut unspent = permits()[1..].to_vec();
        unspent.sort();
        assert_eq!(revoked, unspent);
        assert!(permits().iter().all(|permit| !all.is_good(permit)) && all.is_good(&other));
        assert!(all.is_leaving(id));
        permits().iter().for_each(|permit| all.left_the_disk(permit));
        assert!(!all.is_leaving(id));
        assert_eq!(all.revoke(id), Ok(Vec::new()));
    }

    #[test]
    fn a_permit_that_comes_back_after_its_enrolment_was_revoked_is_not_good_again() {
        let (mut all, code) = enrolled(true);
        let permit = permits()[0];
        assert!(all.spend(&permit));
        assert!(!all.revoke(EnrolmentId::of(&code)).unwrap().contains(&permit), "whoever spends it decides");
        assert!(all.unspend(permit), "it must be taken off the disk");
        assert!(!all.is_good(&permit) && all.is_leaving(EnrolmentId::of(&code)));
        all.left_the_disk(&permit);
        assert!(!all.spend(&permit));
    }

    #[test]
    fn a_code_that_was_revoked_before_it_was_spent_enrols_nobody() {
        let mut all = Permits::<u32>::recover(Vec::new(), Vec::new());
        let code = EnrolCode::from_bytes([9; 32]).hash();
        assert_eq!(all.revoke(EnrolmentId::of(&code)), Ok(Vec::new()));
        assert_eq!(all.code_state(&code, &permits()), CodeState::Spent);
    }

    #[test]
    fn an_enrolment_under_way_is_revoked_when_it_is_done() {
        let (mut all, code) = begun();
        assert_eq!(all.revoke(EnrolmentId::of(&code)), Err(EnrolmentUnderWay));
        all.finish(&code, true);
        assert_eq!(all.revoke(EnrolmentId::of(&code)).unwrap().len(), 3);
        assert!(!all.has_unspent());
    }
}
