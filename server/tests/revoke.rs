//! Revoking an enrolment: what is left of it is worth nothing any more, whatever was under way and whatever the disk did.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex};

use support::{Client, Pair, enrol, patiently, rng};
use tacit_proto::frame::{Answer, Refusal, Request};
use tacit_proto::{EndOf, EnrolCode, Permit, PermitHash, SealedBox};
use tacit_server::spool::{Change, Due, DueAt, EnrolmentId, Hour, KeptRow, RedbSpool, Spool, SpoolError};
use tacit_server::{Config, Enrolments, Listed, Offer, Relay, RevokeError, Revoked};
use tempfile::TempDir;
use tokio::io::DuplexStream;

/// The real spool, whose transactions wait for the test when it says so.
struct Gated {
    spool: RedbSpool,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    shut: bool,
    waiting: usize,
    /// How the transactions that wait are to end: written, or not.
    fates: VecDeque<bool>,
}

impl Gate {
    fn shut(&self) {
        self.state.lock().unwrap().shut = true;
    }

    /// Opens for good.
    fn open(&self) {
        self.state.lock().unwrap().shut = false;
        self.changed.notify_all();
    }

    /// Lets one transaction through, to succeed or to fail.
    fn let_one(&self, succeeds: bool) {
        self.state.lock().unwrap().fates.push_back(succeeds);
        self.changed.notify_all();
    }

    async fn has_one_waiting(&self) {
        patiently(async {
            while self.state.lock().unwrap().waiting == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn pass(&self) -> Result<(), SpoolError> {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        let mut state = self.changed.wait_while(state, |state| state.shut && state.fates.is_empty()).unwrap();
        state.waiting -= 1;
        match state.fates.pop_front() {
            Some(false) => Err(SpoolError::Write("the disk failed on purpose".to_owned())),
            Some(true) | None => Ok(()),
        }
    }
}

impl Spool for Gated {
    fn commit(&self, batch: &[Change]) -> Result<(), SpoolError> {
        self.gate.pass()?;
        self.spool.commit(batch)
    }

    fn load(&self, of: EndOf, from: u64, most: usize) -> Result<Vec<(u64, SealedBox)>, SpoolError> {
        self.spool.load(of, from, most)
    }

    fn due(&self, hour: Hour, after: Option<DueAt>, most: usize) -> Result<Vec<Due>, SpoolError> {
        self.spool.due(hour, after, most)
    }

    fn snapshot(&self, take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>) -> Result<(), SpoolError> {
        self.spool.snapshot(take)
    }

    fn turn_epoch(&self) -> Result<(), SpoolError> {
        self.spool.turn_epoch()
    }
}

struct Setting {
    relay: Arc<Relay>,
    enrolments: Enrolments,
    gate: Arc<Gate>,
    data: TempDir,
}

impl Setting {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(data: TempDir) -> Self {
        let (spool, recovered) = RedbSpool::open(data.path()).unwrap();
        let gate = Arc::new(Gate::default());
        let spool = Arc::new(Gated { spool, gate: Arc::clone(&gate) });
        let enrolments = Enrolments::open(data.path()).unwrap();
        let relay = Relay::with_spool(Config::new(data.path()), enrolments.clone(), spool, recovered).unwrap();
        Self { relay: Arc::new(relay), enrolments, gate, data }
    }

    /// The unspent permits that a crash at this moment would leave.
    fn on_disk(&self) -> Vec<PermitHash> {
        let copy = tempfile::tempdir().unwrap();
        for name in ["spool.redb", "epoch.keys"] {
            std::fs::copy(self.data.path().join(name), copy.path().join(name)).unwrap();
        }
        let (_, recovered) = RedbSpool::open(copy.path()).unwrap();
        recovered.permits.into_iter().map(|(permit, _)| permit).collect()
    }

    async fn restarted(self) -> Self {
        let Self { relay, data, .. } = self;
        patiently(async {
            while Arc::strong_count(&relay) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        drop(relay);
        // The last connection's task may still hold the spool for a moment.
        patiently(async {
            while matches!(RedbSpool::open(data.path()), Err(SpoolError::InUse)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self::on(data)
    }

    fn offer(&self, permits: u16) -> EnrolCode {
        let code = EnrolCode::draw(&mut rng());
        let offer = Offer { permits: permits.try_into().unwrap(), expires: u64::MAX };
        self.enrolments.add(&code.hash(), offer).unwrap();
        code
    }

    async fn enrolled(&self, permits: u16) -> (EnrolmentId, Vec<Permit>) {
        let code = self.offer(permits);
        let permits = enrol(&mut self.connect().await, &code, permits).await;
        (EnrolmentId::of(&code.hash()), permits)
    }

    async fn connect(&self) -> Client<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.relay.serve_connection(theirs));
        Client::on(ours).await
    }

    async fn open(&self, permit: &Permit) -> Answer {
        self.connect().await.ask(Pair::draw().open_request(permit, 60)).await
    }
}

const NO_PERMIT: Answer = Answer::Refused(Refusal::NoPermit);

#[tokio::test]
async fn unspent_permits_are_worth_nothing_any_more_and_channels_go_on() {
    let setting = Setting::new();
    let (id, permits) = setting.enrolled(3).await;
    let (other, others) = setting.enrolled(2).await;
    let pair = Pair::open(&mut setting.connect().await, &permits[0]).await;
    let used = |id: EnrolmentId, channels_left, given| Listed {
        enrolment: id.to_hex(),
        link_until: None,
        channels_left,
        channels_given: Some(given),
    };
    let mut listed = vec![used(id, 2, 3), used(other, 2, 2)];
    listed.sort_by(|one, two| one.enrolment.cmp(&two.enrolment));
    assert_eq!(setting.relay.enrolments().unwrap(), listed);

    let revoked = setting.relay.revoke(id).await.unwrap();
    assert_eq!(revoked, Revoked { permits: 2, unused_code: false, durable: true });
    for setting in [setting.restarted().await] {
        assert_eq!(setting.open(&permits[1]).await, NO_PERMIT);
        assert_eq!(setting.open(&permits[2]).await, NO_PERMIT);
        assert_eq!(setting.open(&others[0]).await, Answer::Done);
        pair.clone().claimed(&mut setting.connect().await).await;
        assert!(matches!(setting.relay.revoke(id).await, Err(RevokeError::NothingLeft)));
    }
}

#[tokio::test]
async fn a_permit_that_was_being_spent_while_it_was_revoked_does_not_come_back_when_that_fails() {
    let setting = Setting::new();
    let (id, permits) = setting.enrolled(2).await;
    let mut client = setting.connect().await;
    setting.gate.shut();
    let opening = client.request(Pair::draw().open_request(&permits[0], 60)).await;
    setting.gate.has_one_waiting().await;
    let revoking = tokio::spawn({
        let relay = Arc::clone(&setting.relay);
        async move { relay.revoke(id).await }
    });
    patiently(async {
        while !setting.relay.enrolments().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    setting.gate.let_one(false);
    assert_eq!(client.answer(opening).await, Answer::Refused(Refusal::Busy));
    assert_eq!(setting.open(&permits[0]).await, NO_PERMIT, "the device tries again");
    setting.gate.open();
    let revoked = patiently(revoking).await.unwrap().unwrap();
    assert_eq!(revoked, Revoked { permits: 1, unused_code: false, durable: true });
    assert_eq!(setting.on_disk(), [], "durable means both");
    drop(client);
    let setting = setting.restarted().await;
    assert_eq!(setting.open(&permits[0]).await, NO_PERMIT, "nor does it after a restart");
    assert_eq!(setting.open(&permits[1]).await, NO_PERMIT);
}

#[tokio::test]
async fn a_permit_that_was_being_spent_while_it_was_revoked_is_spent_when_that_succeeds() {
    let setting = Setting::new();
    let (id, permits) = setting.enrolled(1).await;
    let mut client = setting.connect().await;
    setting.gate.shut();
    let opening = client.request(Pair::draw().open_request(&permits[0], 60)).await;
    setting.gate.has_one_waiting().await;
    let revoking = tokio::spawn({
        let relay = Arc::clone(&setting.relay);
        async move { relay.revoke(id).await }
    });
    setting.gate.open();
    assert_eq!(client.answer(opening).await, Answer::Done);
    match patiently(revoking).await.unwrap() {
        Ok(revoked) => assert_eq!(revoked, Revoked { permits: 0, unused_code: false, durable: true }),
        // The channel was open before.
        Err(error) => assert!(matches!(error, RevokeError::NothingLeft), "{error}"),
    }
}

#[tokio::test]
async fn an_unused_link_is_worth_nothing_any_more() {
    let setting = Setting::new();
    let code = setting.offer(5);
    let revoked = setting.relay.revoke(EnrolmentId::of(&code.hash())).await.unwrap();
    assert_eq!(revoked, Revoked { permits: 0, unused_code: true, durable: true });
    let request = Request::Enrol { code, permit_hashes: vec![support::permit_hash()] };
    assert_eq!(setting.connect().await.ask(request.clone()).await, NO_PERMIT);
    let setting = setting.restarted().await;
    assert_eq!(setting.connect().await.ask(request).await, NO_PERMIT);
}

#[tokio::test]
async fn an_enrolment_under_way_is_to_be_revoked_again() {
    let setting = Setting::new();
    let code = setting.offer(1);
    let id = EnrolmentId::of(&code.hash());
    let mut client = setting.connect().await;
    setting.gate.shut();
    let enrolling = client.request(Request::Enrol { code, permit_hashes: vec![support::permit_hash()] }).await;
    setting.gate.has_one_waiting().await;
    assert!(matches!(setting.relay.revoke(id).await, Err(RevokeError::UnderWay)));
    setting.gate.open();
    assert_eq!(client.answer(enrolling).await, Answer::Done);
    assert_eq!(setting.relay.revoke(id).await.unwrap().permits, 1);
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_said_and_made_up_for() {
    let setting = Setting::new();
    let (id, permits) = setting.enrolled(1).await;
    setting.gate.shut();
    let revoked = setting.relay.revoke(id).await.unwrap();
    assert_eq!(revoked, Revoked { permits: 1, unused_code: false, durable: false });
    assert_eq!(setting.on_disk(), [permits[0].hash()]);
    assert_eq!(setting.open(&permits[0]).await, NO_PERMIT, "it is good for nothing all the same");
    setting.gate.let_one(false);
    setting.gate.open();
    // Asking again waits for the disk again, if it was not quicker.
    match setting.relay.revoke(id).await {
        Ok(revoked) => assert!(revoked.durable),
        Err(error) => assert!(matches!(error, RevokeError::NothingLeft), "{error}"),
    }
    assert_eq!(setting.on_disk(), []);
}
