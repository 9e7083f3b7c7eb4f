//! The life of a channel: opening, claiming, rekeying, closing, expiry.

use tacit_proto::frame::{Answer, Attached, ClosedWhy, Event, FromRelay, Handle, Refusal, RequestId};
use tacit_proto::{ChannelId, EndOf};

use super::rig::{CHANNEL, HOLD, Rig, at, key, open_request, permit, request, small, window};
use super::{B, accepted, drained, refused};
use crate::channel::ProtocolError;
use crate::proven::{DummyKeys, Proven};
use crate::spool::Phase;
use tacit_proto::End;

fn done(request: RequestId) -> FromRelay {
    FromRelay::Answer(request, Answer::Done)
}

fn superseded(conn: u32) -> FromRelay {
    FromRelay::Event(Event::Superseded(Handle(conn)))
}

fn closed(conn: u32, why: ClosedWhy) -> FromRelay {
    FromRelay::Event(Event::Closed(Handle(conn), why))
}

fn tried(conn: u32) -> FromRelay {
    FromRelay::Event(Event::InviteTried(Handle(conn)))
}

// Opening.

#[test]
fn a_channel_is_open_when_it_and_the_spent_permit_are_durable() {
    let mut rig = Rig::opening();
    assert_eq!(rig.said(1), []);
    assert_eq!(rig.attach(End::A, 1, 10), Err(Refusal::NotAllowed), "not before");
    rig.commit();
    assert_eq!(rig.said(1), [done(request(1))]);
    assert!(!rig.spool.has_permit(permit().hash()));
    assert!(rig.spool.row(CHANNEL).is_some());
    assert!(rig.attach(End::A, 1, 10).is_ok());
}

#[test]
fn a_channel_that_cannot_be_stored_leaves_its_permit_unspent() {
    let mut rig = Rig::opening();
    rig.spool.fail(true);
    rig.commit();
    assert_eq!(rig.said(1), [refused(request(1), Refusal::Busy)]);
    assert_eq!(rig.unspent, 1);
    assert!(rig.channel.is_forgotten());
    rig.spool.fail(false);
    rig.commit_all();
    assert!(rig.spool.has_permit(permit().hash()));
    assert!(rig.spool.row(CHANNEL).is_none());
}

#[test]
fn a_repeated_open_is_done_when_the_first_is() {
    let mut rig = Rig::opening();
    assert!(rig.channel.was_opened_with(&open_request().key_a));
    assert!(!rig.channel.was_opened_with(&key(9)));
    let again = rig.asker(5);
    let again_request = again.request;
    rig.with(|channel, cx| channel.open_again(cx, again));
    assert_eq!(rig.said(5), []);
    rig.commit();
    assert_eq!(rig.said(5), [done(again_request)]);
    let later = rig.asker(5);
    let later_request = later.request;
    rig.with(|channel, cx| channel.open_again(cx, later));
    assert_eq!(rig.said(5), [done(later_request)]);
}

#[test]
fn a_proof_is_always_tried_against_two_keys_and_unknown_ends_have_dummies() {
    let dummies = DummyKeys::draw(&mut rand_core::UnwrapErr(getrandom::SysRng));
    let nobody = dummies.fill(None, None);
    assert_ne!(nobody.current, nobody.other);
    let rig = Rig::opening();
    assert_eq!(rig.channel.keys(End::A, &dummies).current, nobody.current, "not yet durable");
    let rig = Rig::claimed();
    let a = rig.channel.keys(End::A, &dummies);
    assert_eq!((a.current, a.other), (key(1), nobody.other));
    let b = rig.channel.keys(End::B, &dummies);
    assert_eq!((b.current, b.other), (key(3), key(2)));
}

#[test]
fn a_proof_for_another_key_or_channel_attaches_nothing() {
    let mut rig = Rig::claimed();
    assert_eq!(rig.attach(End::A, 9, 10), Err(Refusal::NotAllowed));
    let elsewhere = EndOf { channel: ChannelId::from_bytes([9; 16]), end: End::A };
    let proven = Proven::for_test(elsewhere, key(1));
    let result = rig.with(|channel, cx| channel.attach(cx, &proven, at(10), window(1)));
    assert_eq!(result, Err(Refusal::NotAllowed));
}

// Claiming.

#[test]
fn under_the_invites_key_nothing_but_rekey_is_allowed() {
    let mut rig = Rig::opened();
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.commit_all();
    rig.forget_said();
    let attached = rig.attach(End::B, 2, 20);
    assert_eq!(attached, Ok(Attached { handle: Handle(20), waiting: 0, must_rekey: true }));
    rig.pull_all();
    let sent = rig.send(End::B, 20, 1, 2);
    let close = rig.close(End::B, 20);
    assert_eq!(rig.ack(End::B, 20, 1), Err(ProtocolError));
    rig.pull_all();
    assert_eq!(rig.said(20), [refused(sent, Refusal::NotAllowed), refused(close, Refusal::NotAllowed)]);
    let rekeyed = rig.rekey(End::B, 2, 20, 3);
    assert_eq!(rig.said(20), [], "not before it is durable");
    rig.commit();
    rig.pull_all();
    let said = rig.said(20);
    assert_eq!(said[0], done(rekeyed));
    assert!(matches!(said[1], FromRelay::Event(Event::Deliver { seq: 1, .. })));
}

#[test]
fn the_first_durable_rekey_wins_the_invite() {
    let mut rig = Rig::opened();
    for conn in [20, 21, 22] {
        assert!(rig.attach(End::B, 2, conn).unwrap().must_rekey);
    }
    let first = rig.rekey(End::B, 2, 21, 4);
    let second = rig.rekey(End::B, 2, 20, 5);
    assert_eq!(rig.attach(End::B, 2, 23), Err(Refusal::Busy), "not while it is being claimed");
    rig.commit_all();
    rig.pull_all();
    assert_eq!(rig.said(21), [done(first), drained(21)]);
    assert_eq!(rig.said(20), [superseded(20), refused(second, Refusal::NotAllowed)]);
    assert_eq!(rig.said(22), [superseded(22)]);
    assert_eq!(rig.spool.row(CHANNEL).map(|row| (row.b.key, row.phase)), Some((key(4), Phase::Claimed)));
    assert!(rig.attach(End::B, 4, 24).is_ok());
}

#[test]
fn a_rekey_that_cannot_be_stored_changes_nothing_and_lets_the_next_try() {
    let mut rig = Rig::opened();
    rig.attach(End::B, 2, 20).unwrap();
    rig.spool.fail(true);
    let failed = rig.rekey(End::B, 2, 20, 3);
    rig.commit();
    assert_eq!(rig.said(20), [refused(failed, Refusal::Busy)]);
    rig.spool.fail(false);
    let retried = rig.rekey(End::B, 2, 20, 3);
    rig.commit();
    assert_eq!(rig.said(20), [done(retried)]);
}

#[test]
fn the_invites_own_key_does_not_claim_it() {
    let mut rig = Rig::opened();
    rig.attach(End::B, 2, 20).unwrap();
    let same = rig.rekey(End::B, 2, 20, 2);
    rig.commit();
    assert_eq!(rig.said(20), [refused(same, Refusal::NotAllowed)]);
}

#[test]
fn a_used_invite_says_so_and_the_opener_is_told_at_once() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.pull_all();
    rig.forget_said();
    assert_eq!(rig.attach(End::B, 2, 30), Err(Refusal::Used));
    assert_eq!(rig.attach(End::B, 2, 31), Err(Refusal::Used));
    rig.pull_all();
    assert_eq!(rig.said(10), [tried(10)], "coalesced");
    assert!(rig.noted.is_empty(), "the refusal waits until the note is durable");
    rig.commit();
    assert_eq!(rig.noted, [30, 31]);
    assert_eq!(rig.attach(End::B, 2, 32), Err(Refusal::Used));
    assert_eq!(rig.noted, [30, 31, 32]);
}

#[test]
fn that_a_used_invite_was_tried_is_told_at_each_later_attachment_even_after_a_crash() {
    let mut rig = Rig::claimed();
    assert_eq!(rig.attach(End::B, 2, 30), Err(Refusal::Used));
    rig.commit();
    rig.crash().unwrap();
    for conn in [10, 11] {
        rig.attach(End::A, 1, conn).unwrap();
        rig.pull_all();
        assert_eq!(rig.said(conn), [tried(conn), drained(conn)]);
    }
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull_all();
    assert_eq!(rig.said(20), [drained(20)], "the other end is not told");
}

#[test]
fn a_note_that_could_not_be_stored_is_stored_later() {
    let mut rig = Rig::claimed();
    rig.spool.fail(true);
    assert_eq!(rig.attach(End::B, 2, 30), Err(Refusal::Used));
    rig.commit();
    assert_eq!(rig.noted, [30], "the refusal does not wait for a broken disk");
    rig.spool.fail(false);
    rig.hours_pass(1);
    rig.commit();
    assert!(rig.spool.row(CHANNEL).unwrap().invite_tried);
}

#[test]
fn a_flood_of_claimants_keeps_the_newest() {
    let mut rig = Rig::opened();
    for conn in 100..120 {
        assert!(rig.attach(End::B, 2, conn).unwrap().must_rekey);
    }
    assert_eq!(rig.said(100), [superseded(100)]);
    assert!(!rig.channel.is_attached(End::B, &at(103)));
    assert!(rig.channel.is_attached(End::B, &at(119)));
}

// Rekeying.

#[test]
fn either_end_rekeys_at_any_time_and_the_old_key_is_worth_nothing_then() {
    let mut rig = Rig::attached();
    for (end, old, conn, new) in [(End::A, 1, 10, 5), (End::B, 3, 20, 6)] {
        let rekeyed = rig.rekey(end, old, conn, new);
        assert_eq!(rig.attach(end, old, 40), Err(Refusal::Busy), "nobody slips in under the old key");
        rig.commit();
        assert_eq!(rig.said(conn), [done(rekeyed)]);
        assert!(rig.channel.is_attached(end, &at(conn)));
        assert_eq!(rig.attach(end, old, 40), Err(Refusal::NotAllowed));
    }
    rig.send(End::A, 10, 1, 1);
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(1, 1)], "the attachments go on");
    assert!(rig.attach(End::A, 5, 41).is_ok());
}

#[test]
fn no_end_is_ever_rekeyed_to_the_invites_key() {
    let mut rig = Rig::opened();
    rig.attach(End::A, 1, 10).unwrap();
    rig.attach(End::B, 2, 20).unwrap();
    let before_the_claim = rig.rekey(End::A, 1, 10, 2);
    rig.rekey(End::B, 2, 20, 3);
    rig.commit();
    let later = [rig.rekey(End::A, 1, 10, 2), rig.rekey(End::B, 3, 20, 2)];
    rig.commit();
    assert!(rig.said(10).ends_with(&[before_the_claim, later[0]].map(|asked| refused(asked, Refusal::NotAllowed))));
    assert!(rig.said(20).contains(&refused(later[1], Refusal::NotAllowed)));
    assert_eq!(rig.attach(End::B, 2, 30), Err(Refusal::Used));
}

#[test]
fn a_rekey_survives_the_connection_that_asked_for_it() {
    let mut rig = Rig::attached();
    rig.rekey(End::A, 1, 10, 5);
    rig.detach(End::A, 10);
    rig.commit();
    rig.crash().unwrap();
    assert_eq!(rig.attach(End::A, 1, 11), Err(Refusal::NotAllowed));
    assert!(rig.attach(End::A, 5, 11).is_ok());
}

#[test]
fn a_superseded_attachment_cannot_rekey() {
    let mut rig = Rig::attached();
    rig.attach(End::A, 1, 11).unwrap();
    rig.forget_said();
    let asked = rig.rekey(End::A, 1, 10, 5);
    assert_eq!(rig.said(10), [refused(asked, Refusal::NotAllowed)]);
}

// Closing.

#[test]
fn closing_delivers_what_was_accepted_then_tells_then_forgets() {
    let mut rig = Rig::attached();
    rig.send(End::A, 10, 1, 1);
    rig.elapse(1_000);
    rig.commit_all();
    rig.pull_all();
    rig.forget_said();
    let close = rig.close(End::A, 10);
    assert_eq!(rig.said(10), []);
    rig.commit();
    assert_eq!(rig.said(10), [done(close)]);
    rig.pull_all();
    assert_eq!(rig.said(20), [], "its backlog first");
    let sent = rig.send(End::B, 20, 1, 7);
    assert_eq!(rig.said(20), [refused(sent, Refusal::Gone)]);
    assert_eq!(rig.attach(End::A, 1, 11), Err(Refusal::Gone));
    rig.ack(End::B, 20, 1).unwrap();
    rig.pull_all();
    assert_eq!(rig.said(20), [closed(20, ClosedWhy::ByPeer)]);
    let answered = rig.close(End::B, 20);
    rig.commit_all();
    assert_eq!(rig.said(20), [done(answered)]);
    assert!(rig.channel.is_forgotten());
    assert!(rig.spool.row(CHANNEL).is_none());
}

#[test]
fn closing_purges_the_closers_own_backlog_even_after_a_crash() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.commit_all();
    rig.attach(End::B, 3, 20).unwrap();
    rig.close(End::B, 20);
    let mut batch = crate::committer::Batch::default();
    rig.take_batch(&mut batch);
    rig.finish_batch(&mut batch);
    assert_eq!(rig.spool.boxes_at(B), [small(1)], "the tombstone is durable, the purge not yet");
    rig.crash().unwrap();
    rig.commit();
    assert_eq!(rig.spool.boxes_at(B), []);
    rig.attach(End::A, 1, 11).unwrap();
    rig.pull_all();
    assert_eq!(rig.said(11), [drained(11), closed(11, ClosedWhy::ByPeer)]);
}

#[test]
fn a_box_on_its_way_to_the_closer_is_refused() {
    let mut rig = Rig::attached();
    rig.close(End::B, 20);
    let sent = rig.send(End::A, 10, 1, 1);
    rig.commit_all();
    assert!(rig.said(10).contains(&refused(sent, Refusal::Gone)));
    assert_eq!(rig.spool.boxes_at(B), []);
}

#[test]
fn both_ends_closing_at_once_forget_the_channel() {
    let mut rig = Rig::attached();
    let a = rig.close(End::A, 10);
    let b = rig.close(End::B, 20);
    rig.commit_all();
    assert_eq!(rig.said(10), [done(a)]);
    assert_eq!(rig.said(20), [done(b)]);
    assert!(rig.channel.is_forgotten());
}

#[test]
fn a_close_that_cannot_be_stored_is_busy_and_the_channel_goes_on() {
    let mut rig = Rig::attached();
    rig.spool.fail(true);
    let close = rig.close(End::A, 10);
    rig.commit();
    assert_eq!(rig.said(10), [refused(close, Refusal::Busy)]);
    rig.send(End::A, 10, 1, 1);
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(1, 1)]);
}

#[test]
fn forgetting_waits_for_an_append_that_is_under_way() {
    let mut rig = Rig::attached();
    rig.send(End::A, 10, 1, 1);
    rig.close(End::A, 10);
    rig.commit();
    rig.elapse(1_000);
    rig.close(End::B, 20);
    assert!(!rig.channel.is_forgotten());
    rig.commit_all();
    assert!(rig.channel.is_forgotten(), "the strict spool saw append, removal, forgetting, in this order");
    assert!(rig.spool.row(CHANNEL).is_none());
}

#[test]
fn closing_an_unclaimed_channel_revokes_its_invite() {
    let mut rig = Rig::opened();
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.attach(End::B, 2, 20).unwrap();
    rig.commit_all();
    rig.close(End::A, 10);
    rig.commit_all();
    assert_eq!(rig.said(20), [closed(20, ClosedWhy::ByPeer)]);
    assert_eq!(rig.attach(End::B, 2, 21), Err(Refusal::Gone));
    assert_eq!(rig.spool.boxes_at(B), []);
}

// Time.

#[test]
fn an_invite_nobody_claims_in_time_is_purged_and_the_opener_told() {
    let mut rig = Rig::opened();
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.attach(End::B, 2, 20).unwrap();
    rig.pull_all();
    rig.commit_all();
    rig.forget_said();
    rig.now.unix += 3_599;
    rig.with(crate::channel::Channel::sweep);
    rig.commit_all();
    assert_eq!(rig.said(10), [], "not a moment too early");
    rig.hours_pass(2);
    rig.commit_all();
    rig.pull_all();
    assert_eq!(rig.said(10), [closed(10, ClosedWhy::Unclaimed)]);
    assert_eq!(rig.said(20), [closed(20, ClosedWhy::Unclaimed)]);
    assert_eq!(rig.spool.boxes_at(B), []);
    assert_eq!(rig.attach(End::B, 2, 21), Err(Refusal::Gone));
    let answered = rig.close(End::A, 10);
    rig.commit_all();
    assert_eq!(rig.said(10), [done(answered)]);
    assert!(rig.channel.is_forgotten());
}

#[test]
fn an_opener_who_was_away_learns_at_the_next_attachment_that_nobody_came() {
    let mut rig = Rig::opened();
    rig.hours_pass(3);
    rig.commit_all();
    rig.crash().unwrap();
    rig.attach(End::A, 1, 10).unwrap();
    rig.pull_all();
    assert_eq!(rig.said(10), [drained(10), closed(10, ClosedWhy::Unclaimed)]);
}

#[test]
fn a_box_is_held_as_long_as_promised_and_no_longer_than_two_hours_more() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    let sent = rig.send(End::A, 10, 1, 1);
    rig.commit();
    assert_eq!(rig.said(10), [accepted(sent, 10, 1)]);
    rig.hours_pass(24);
    rig.commit_all();
    assert_eq!(rig.spool.boxes_at(B), [small(1)]);
    rig.hours_pass(2);
    rig.commit_all();
    assert_eq!(rig.spool.boxes_at(B), []);
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull_all();
    assert_eq!(rig.said(20), [drained(20)]);
}

#[test]
fn a_tombstone_is_forgotten_after_one_hold_with_all_that_was_left() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.commit_all();
    rig.close(End::A, 10);
    rig.commit_all();
    rig.hours_pass(23);
    rig.commit_all();
    assert!(!rig.channel.is_forgotten());
    rig.hours_pass(3);
    rig.commit_all();
    assert!(rig.channel.is_forgotten());
    assert!(rig.spool.row(CHANNEL).is_none());
}

#[test]
fn a_box_behind_a_tombstone_keeps_the_hold_that_it_was_accepted_under() {
    let mut rig = Rig::claimed();
    rig.rules.hold = 10 * HOLD;
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.commit_all();
    rig.rules.hold = HOLD;
    rig.close(End::A, 10);
    rig.commit_all();
    for _ in 0..2 {
        rig.hours_pass(4 * 24);
        rig.commit_all();
        assert_eq!(rig.spool.boxes_at(B), [small(1)]);
        rig.crash().unwrap();
    }
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(1, 1)]);
    rig.hours_pass(2 * 24 + 2);
    rig.commit_all();
    assert!(rig.channel.is_forgotten());
}
