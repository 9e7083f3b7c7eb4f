//! A disk that cannot be written: senders are told to retry, deliveries and acks go on, and nothing needs a restart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Client, Pair, enrol, rng, sealed};
use tacit_proto::frame::{Answer, Refusal, Request};
use tacit_proto::{End, EndKey, EndOf, EnrolCode, Permit, SealedBox};
use tacit_server::spool::{Change, Due, DueAt, Hour, KeptRow, RedbSpool, Spool, SpoolError};
use tacit_server::{Config, Enrolments, Offer, Relay};
use tempfile::TempDir;
use tokio::io::DuplexStream;

/// The real spool on a disk that is full when a test says so.
struct FullAtTimes {
    spool: RedbSpool,
    full: Arc<AtomicBool>,
}

impl FullAtTimes {
    fn check(&self) -> Result<(), SpoolError> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(SpoolError::Write("no space left on device".to_owned())),
            false => Ok(()),
        }
    }
}

impl Spool for FullAtTimes {
    fn commit(&self, batch: &[Change]) -> Result<(), SpoolError> {
        self.check()?;
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
        self.check()?;
        self.spool.turn_epoch()
    }
}

struct Setting {
    relay: Arc<Relay>,
    full: Arc<AtomicBool>,
    permits: Vec<Permit>,
    _data: TempDir,
}

impl Setting {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (spool, recovered) = RedbSpool::open(data.path()).unwrap();
        let full = Arc::new(AtomicBool::new(false));
        let spool = Arc::new(FullAtTimes { spool, full: Arc::clone(&full) });
        let enrolments = Enrolments::open(data.path()).unwrap();
        let code = EnrolCode::draw(&mut rng());
        enrolments.add(&code.hash(), Offer { permits: 9.try_into().unwrap(), expires: u64::MAX }).unwrap();
        let mut config = Config::new(data.path());
        config.grace = Duration::from_millis(1);
        let relay = Arc::new(Relay::with_spool(config, enrolments, spool, recovered).unwrap());
        let mut setting = Self { relay, full, permits: Vec::new(), _data: data };
        setting.permits = enrol(&mut setting.connect().await, &code, 9).await;
        setting
    }

    async fn connect(&self) -> Client<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.relay.serve_connection(theirs));
        Client::on(ours).await
    }

    fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    async fn pair(&self) -> Pair {
        Pair::open(&mut self.connect().await, &self.permits[0]).await.claimed(&mut self.connect().await).await
    }
}

#[tokio::test]
async fn what_must_be_durable_is_refused_with_busy_and_works_when_there_is_space_again() {
    let setting = Setting::new().await;
    let pair = setting.pair().await;
    let (mut a, other) = (setting.connect().await, Pair::draw());
    let handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    let new_key = EndKey::draw(&mut rng());
    let requests = [
        other.open_request(&setting.permits[1], 60),
        Request::Send { handle, n: 1, payload: sealed(1) },
        a.rekey_request(handle, pair.of(End::A), &pair.a, &new_key),
        Request::Close { handle },
    ];
    setting.fill(true);
    for request in &requests {
        assert_eq!(a.ask(request.clone()).await, Answer::Refused(Refusal::Busy));
    }
    setting.fill(false);
    for request in requests {
        assert!(matches!(a.ask(request).await, Answer::Done | Answer::Accepted { .. }));
    }
}

#[tokio::test]
async fn devices_that_are_both_there_do_not_notice_a_full_disk() {
    let setting = Setting::new().await;
    let pair = setting.pair().await;
    let (mut a, mut b) = (setting.connect().await, setting.connect().await);
    let a_handle = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    let waiting = a.send(a_handle, 1, sealed(1)).await;
    assert!(matches!(a.answer(waiting).await, Answer::Accepted { .. }));
    setting.fill(true);
    let b_handle = b.attach(pair.of(End::B), &pair.b).await.unwrap().handle;
    for n in 1..=20 {
        let sent = if n == 1 { None } else { Some(a.send(a_handle, n, sealed(n as u32)).await) };
        assert_eq!(b.delivery().await, (n, n as u32));
        b.ack(b_handle, n).await;
        assert!(b.was_last);
        if let Some(sent) = sent {
            assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
        }
    }
    setting.fill(false);
    // A change after it: by then, what was acked meanwhile is off the disk.
    assert_eq!(b.ask(Request::Close { handle: b_handle }).await, Answer::Done);
    drop((a, b));
    let Setting { relay, _data: data, .. } = setting;
    let mut relay = relay;
    while Arc::get_mut(&mut relay).is_none() {
        tokio::task::yield_now().await;
    }
    drop(relay);
    // The last connection's task may still hold the spool for a moment.
    let recovered = loop {
        match RedbSpool::open(data.path()) {
            Ok((_, recovered)) => break recovered,
            Err(SpoolError::InUse) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(recovered.waiting.is_empty());
}
