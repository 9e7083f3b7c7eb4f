//! Enrolling: a therapist's device hands over the hashes of its permits, under an operator's code; and revoking them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tacit_proto::frame::{Answer, Refusal};
use tacit_proto::{EnrolCode, EnrolCodeHash, PermitHash};
use tokio::time::timeout;

use crate::effect::{Asker, OnFailure};
use crate::hub::Hub;
use crate::mailbox::Conn;
use crate::permits::{CodeState, Enrolled, EnrolmentUnderWay};
use crate::pressure::Pressure;
use crate::spool::{Change, EnrolmentId};
use crate::sync::atomic::Ordering;
use crate::sync::lock;

/// How long a spent code is remembered, so that a device that missed the answer may ask again.
const REMEMBERED: u32 = 30 * 24 * 3600;

/// How long revoking waits for the disk before it says that it could not wait.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// An enrolment that has something left, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name: 16 hexadecimal digits.
    pub enrolment: String,
    /// Its link was not used yet, and can be until then: seconds since the Unix epoch.
    pub link_until: Option<u64>,
    /// Channels that its device may still open.
    pub channels_left: usize,
    /// How many it could open at first. Not known any more a month after its link was used.
    pub channels_given: Option<u16>,
}

/// What revoking an enrolment did. From this moment on, none of its permits is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Unspent permits that it had.
    pub permits: usize,
    /// Its code was not spent yet, and is worth nothing any more.
    pub unused_code: bool,
    /// All of this is on the disk. Otherwise the relay goes on trying; until it can, only a restart would undo it.
    pub durable: bool,
}

/// Why an enrolment was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// There is none of this name, or nothing is left of it.
    #[error("no enrolment of this name has anything left to revoke; `tacit-server enrolments` lists those that have")]
    NothingLeft,
    /// A device is using its link at this moment.
    #[error("a device is enrolling with it at this moment; try again")]
    UnderWay,
    /// Its unused code is a file that could not be removed. Its permits, if it had any, are revoked.
    #[error("its unused link could not be withdrawn: {0}; try again")]
    NotWithdrawn(#[from] io::Error),
}

impl Hub {
    /// Answers once the permits are durable. A code is good once; the same request again is answered the same. Returns
    /// whether there was no wrong code.
    pub(crate) async fn enrol(
        self: &Arc<Self>,
        code: &EnrolCode,
        permits: Vec<PermitHash>,
        asker: Asker<Conn>,
    ) -> bool {
        let code = code.hash();
        if let Err(known) = self.code_is_unknown(&code, &permits) {
            let was_good = known != Answer::Refused(Refusal::NoPermit);
            self.answer(&asker, known);
            return was_good;
        }
        let hub = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || hub.enrolments.find(&code)).await;
        let offer = match found.unwrap_or_else(|failed| Err(failed.into())) {
            Ok(offer) => offer,
            Err(error) => {
                // Not `NoPermit`: the device would throw away a link that is good.
                tracing::error!(%error, "an enrolment could not be read; its device tries again");
                self.refuse(&asker, Refusal::Busy);
                return true;
            }
        };
        match offer.filter(|offer| offer.expires > self.now().unix) {
            // By a clock that is wrong, it may have expired: the device must not throw its link away.
            None if offer.is_some() && self.doubts_clock.load(Ordering::Relaxed) => {
                self.refuse(&asker, Refusal::Busy);
            }
            None => {
                self.refuse(&asker, Refusal::NoPermit);
                return false;
            }
            Some(offer) if permits.len() > usize::from(offer.permits.get()) => {
                self.refuse(&asker, Refusal::TooLarge);
            }
            // Permits that open nothing are of no use to anybody.
            Some(_) if self.pressure() != Pressure::Calm => self.refuse(&asker, Refusal::Busy),
            Some(_) => self.begin_enrolment(code, permits, asker),
        }
        true
    }

    fn code_is_unknown(&self, code: &EnrolCodeHash, permits: &[PermitHash]) -> Result<(), Answer> {
        match lock(&self.permits).code_state(code, permits) {
            CodeState::Unknown => Ok(()),
            CodeState::SpentForThese => Err(Answer::Done),
            CodeState::Spent => Err(Answer::Refused(Refusal::NoPermit)),
            CodeState::UnderWay => Err(Answer::Refused(Refusal::Busy)),
        }
    }

    fn begin_enrolment(&self, code: EnrolCodeHash, permits: Vec<PermitHash>, asker: Asker<Conn>) {
        let forget = self.now().hour_after(REMEMBERED);
        let mut all = lock(&self.permits);
        // Another connection may have come first while the offer was read.
        let change = match all.code_state(&code, &permits) {
            CodeState::Unknown => {
                all.begin(code, permits.clone(), forget, asker);
                Change::Enrol { code, permits, forget }
            }
            CodeState::SpentForThese => return self.answer(&asker, Answer::Done),
            CodeState::Spent => return self.refuse(&asker, Refusal::NoPermit),
            CodeState::UnderWay => return self.refuse(&asker, Refusal::Busy),
        };
        drop(all);
        self.queue.push([(change, OnFailure::Tell)]);
    }

    /// The committer made an enrolment durable, or could not.
    pub(crate) fn enrolled(&self, code: &EnrolCodeHash, durable: bool) {
        let asker = lock(&self.permits).finish(code, durable);
        if durable {
            self.enrolments.remove(code);
        }
        if let Some(asker) = asker {
            self.answer(&asker, if durable { Answer::Done } else { Answer::Refused(Refusal::Busy) });
        }
    }

    /// Removes offers that expired or were spent, and forgets codes that were spent long ago.
    pub(crate) fn tidy_enrolments(&self) {
        let now = self.now();
        let old = lock(&self.permits).forget_codes(now.hour());
        self.queue.push(old.into_iter().map(|code| (Change::ForgetEnrolment(code), OnFailure::Retry)));
        if let Err(error) = self.enrolments.tidy(now.unix, |code| lock(&self.permits).is_spent(code)) {
            tracing::warn!(%error, "old enrolments could not be removed; they are worth nothing any more");
        }
    }

    /// The enrolments that have something left: first those whose link is unused. Blocks on the file system.
    pub(crate) fn list_enrolments(&self) -> io::Result<Vec<Listed>> {
        let now = self.now().unix;
        let offers = self.enrolments.open_offers()?;
        let mut all: Vec<Listed> = offers
            .into_iter()
            .filter(|(_, offer)| offer.expires > now)
            .map(|(code, offer)| Listed {
                enrolment: EnrolmentId::of(&code).to_hex(),
                link_until: Some(offer.expires),
                channels_left: offer.permits.get().into(),
                channels_given: Some(offer.permits.get()),
            })
            .collect();
        let used = lock(&self.permits).enrolments().into_iter().filter(|used| used.unspent > 0);
        all.extend(used.map(|Enrolled { id, unspent, given }| Listed {
            enrolment: id.to_hex(),
            link_until: None,
            channels_left: unspent,
            channels_given: given,
        }));
        Ok(all)
    }

    /// Revokes what is left of an enrolment, and waits until that is durable, unless the disk takes too long.
    pub(crate) async fn revoke(self: &Arc<Self>, id: EnrolmentId) -> Result<Revoked, RevokeError> {
        // First what is in memory: a device that read the offer just now finds it revoked.
        let revoked = lock(&self.permits).revoke(id);
        let permits = revoked.map_err(|EnrolmentUnderWay| RevokeError::UnderWay)?;
        let count = permits.len();
        self.queue.push(permits.into_iter().map(|permit| (Change::SpendPermit(permit), OnFailure::Retry)));
        let hub = Arc::clone(self);
        let withdrawn = tokio::task::spawn_blocking(move || hub.enrolments.withdraw(id));
        let unused_code = withdrawn.await.map_err(io::Error::other)??;
        let waited_for = lock(&self.permits).is_leaving(id);
        if count == 0 && !unused_code && !waited_for {
            return Err(RevokeError::NothingLeft);
        }
        let durable = timeout(DISK_PATIENCE, self.none_leaves(id)).await.is_ok();
        Ok(Revoked { permits: count, unused_code, durable })
    }

    /// Returns when no permit of an enrolment is on the disk that is not good any more.
    async fn none_leaves(&self, id: EnrolmentId) {
        loop {
            let left = self.permit_left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if !lock(&self.permits).is_leaving(id) {
                return;
            }
            left.await;
        }
    }

    /// The committer took a spent or revoked permit off the disk.
    pub(crate) fn permit_left_the_disk(&self, permit: &PermitHash) {
        lock(&self.permits).left_the_disk(permit);
        self.permit_left.notify_waiters();
    }
}
