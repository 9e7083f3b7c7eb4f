//! What an operator asks of a running relay.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::path::PathBuf;

use support::{Pair, TestRelay, accepted, enrol};
use tacit_proto::End;
use tacit_proto::frame::{Answer, Event, Refusal, Request};
use tacit_server::control::{Ask, AskError, Reply, ask};
use tacit_server::{Pressure, Revoked, Status};

async fn asked(relay: &TestRelay, what: Ask) -> Reply {
    let data: PathBuf = relay.data.path().to_owned();
    tokio::task::spawn_blocking(move || ask(&data, &what)).await.unwrap().unwrap()
}

async fn status(relay: &TestRelay) -> Status {
    match asked(relay, Ask::Status).await {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn status_tells_how_the_relay_is() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut client, handle) = pair.attach(&relay, End::A).await;
    accepted(&mut client, handle, 1, 1).await;
    let status = status(&relay).await;
    assert_eq!((status.holds.channels, status.holds.attached, status.holds.boxes), (1, 1, 1));
    assert_eq!(status.holds.bytes, support::sealed(1).len() as u64);
    assert_eq!(status.counted["accepted"], 1);
    assert_eq!((status.pressure, status.spool_writable, status.drained), (Pressure::Calm, true, None));
    assert!(status.usage.spool_file > 0 && status.usage.disk_free > 0);
}

#[tokio::test]
async fn a_drained_relay_sends_everybody_away_with_a_notice_and_loses_nothing() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    let (mut client, handle) = pair.attach(&relay, End::A).await;
    accepted(&mut client, handle, 1, 7).await;
    assert_eq!(asked(&relay, Ask::Drain { notice: "Back at noon.".to_owned() }).await, Reply::Done);
    loop {
        match client.event().await {
            Event::Restarting { reconnect_in } => break assert!((30..=60).contains(&reconnect_in)),
            Event::Drained(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.close_code().await, Some(1012));

    let mut newcomer = relay.connect().await;
    assert_eq!(newcomer.welcome.notice, "Back at noon.");
    assert!(matches!(newcomer.event().await, Event::Restarting { .. }));
    assert_eq!(newcomer.close_code().await, Some(1012));
    assert_eq!(status(&relay).await.drained.as_deref(), Some("Back at noon."));

    assert_eq!(asked(&relay, Ask::Resume).await, Reply::Done);
    let (mut reader, _) = pair.attach(&relay, End::B).await;
    assert_eq!(reader.welcome.notice, "");
    assert_eq!(reader.delivery().await.1, 7);
}

#[tokio::test]
async fn a_drained_relay_ends_well_and_serves_after_its_restart() {
    let relay = TestRelay::start().await;
    let pair = relay.pair().await;
    assert_eq!(asked(&relay, Ask::Drain { notice: String::new() }).await, Reply::Done);
    let relay = TestRelay::start_on(relay.end().await, |_| ()).await;
    assert_eq!(pair.attach(&relay, End::A).await.0.pong().await.len(), 1);
}

#[tokio::test]
async fn enrolments_are_listed_and_revoked_while_channels_of_theirs_go_on() {
    let relay = TestRelay::start().await;
    let Reply::Enrolments(none) = asked(&relay, Ask::Enrolments).await else { panic!() };
    assert_eq!(none, []);
    let (unused, used) = (relay.offer(5, u64::MAX), relay.offer(3, u64::MAX));
    let permits = enrol(&mut relay.connect().await, &used, 3).await;
    let pair = Pair::open(&mut relay.connect().await, &permits[0]).await;
    let Reply::Enrolments(all) = asked(&relay, Ask::Enrolments).await else { panic!() };
    let told: Vec<_> = all.iter().map(|one| (one.channels_left, one.channels_given, one.link_until)).collect();
    assert_eq!(told, [(5, Some(5), Some(u64::MAX)), (2, Some(3), None)]);

    for (enrolment, permits, unused_code) in [(&all[0].enrolment, 0, true), (&all[1].enrolment, 2, false)] {
        let revoked = Revoked { permits, unused_code, durable: true };
        assert_eq!(asked(&relay, Ask::Revoke { enrolment: enrolment.clone() }).await, Reply::Revoked(revoked));
        let again = asked(&relay, Ask::Revoke { enrolment: enrolment.clone() }).await;
        assert!(matches!(again, Reply::Refused(why) if why.contains("nothing") || why.contains("anything left")));
    }
    let client = &mut relay.connect().await;
    let refused = Answer::Refused(Refusal::NoPermit);
    assert_eq!(client.ask(Pair::draw().open_request(&permits[1], 3_600)).await, refused);
    assert_eq!(client.ask(Request::Enrol { code: unused, permit_hashes: vec![support::permit_hash()] }).await, refused);
    assert!(client.attach(pair.of(End::A), &pair.a).await.is_ok());
}

#[tokio::test]
async fn a_notice_that_no_welcome_can_carry_is_refused() {
    let relay = TestRelay::start().await;
    let long = asked(&relay, Ask::Drain { notice: "x".repeat(1_001) }).await;
    assert!(matches!(long, Reply::Refused(why) if why.contains("1000")));
    assert_eq!(status(&relay).await.drained, None);
}

#[test]
fn without_a_relay_the_operator_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    assert!(matches!(ask(data.path(), &Ask::Status), Err(AskError::NotRunning)));
}
