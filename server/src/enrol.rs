//! Enrolling: a therapist's device hands over the hashes of its permits, under an operator's code.

use std::sync::Arc;

use tacit_proto::frame::{Answer, Refusal};
use tacit_proto::{EnrolCode, EnrolCodeHash, PermitHash};

use crate::effect::{Asker, OnFailure};
use crate::hub::Hub;
use crate::lock;
use crate::mailbox::Conn;
use crate::permits::CodeState;
use crate::spool::Change;

/// How long a spent code is remembered, so that a device that missed the answer may ask again.
const REMEMBERED: u32 = 30 * 24 * 3600;

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
        let offer = tokio::task::spawn_blocking(move || hub.enrolments.find(&code)).await.ok().flatten();
        match offer.filter(|offer| offer.expires > self.now().unix) {
            None => {
                self.refuse(&asker, Refusal::NoPermit);
                return false;
            }
            Some(offer) if permits.len() > usize::from(offer.permits.get()) => {
                self.refuse(&asker, Refusal::TooLarge);
            }
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
}
