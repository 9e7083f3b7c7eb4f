//! Each rule of the relay's protocol, on a channel alone.

mod interleavings;
mod life;
mod rig;

use tacit_proto::frame::{Answer, Event, FromRelay, Handle, Refusal};
use tacit_proto::{End, NotABox};

use crate::spool::SpoolError;

use super::*;
use crate::committer::Batch;
use rig::{CHANNEL, GRACE, HOLD, Rig, at, small, window};

fn accepted(request: tacit_proto::frame::RequestId, conn: u32, n: u64) -> FromRelay {
    FromRelay::Answer(request, Answer::Accepted { handle: Handle(conn), n, hold: HOLD })
}

fn refused(request: tacit_proto::frame::RequestId, why: Refusal) -> FromRelay {
    FromRelay::Answer(request, Answer::Refused(why))
}

fn drained(conn: u32) -> FromRelay {
    FromRelay::Event(Event::Drained(Handle(conn)))
}

const B: EndOf = EndOf { channel: CHANNEL, end: End::B };

// The fast path.

#[test]
fn a_box_acked_before_the_grace_never_touches_disk() {
    let mut rig = Rig::attached();
    let sent = rig.send(End::A, 10, 1, 100);
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(100, 1)]);
    assert_eq!(rig.said(10), []);
    assert_eq!(rig.ack(End::B, 20, 1), Ok(1));
    assert_eq!(rig.said(10), [accepted(sent, 10, 1)]);
    rig.elapse(10 * GRACE);
    rig.commit_all();
    assert_eq!(rig.spool.appends(), 0);
}

#[test]
fn a_box_not_acked_within_the_grace_goes_to_disk_and_is_accepted_then() {
    let mut rig = Rig::attached();
    let first = rig.send(End::A, 10, 1, 100);
    rig.elapse(GRACE - 1);
    let second = rig.send(End::A, 10, 2, 101);
    rig.elapse(1);
    assert_eq!(rig.said(10), []);
    rig.commit_all();
    assert_eq!(rig.said(10), [accepted(first, 10, 1)]);
    assert_eq!(rig.spool.boxes_at(B), [small(100)]);
    rig.elapse(GRACE);
    rig.commit_all();
    assert_eq!(rig.said(10), [accepted(second, 10, 2)]);
    rig.pull_all();
    assert_eq!(rig.ack(End::B, 20, 2), Ok(2));
    rig.commit_all();
    assert_eq!(rig.spool.boxes_at(B), []);
}

#[test]
fn a_box_for_an_absent_end_goes_to_disk_at_once() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    let sent = rig.send(End::A, 10, 1, 100);
    assert_eq!(rig.said(10), []);
    rig.commit();
    assert_eq!(rig.said(10), [accepted(sent, 10, 1)]);
    assert_eq!(rig.spool.boxes_at(B), [small(100)]);
}

#[test]
fn what_is_unacked_when_the_device_leaves_goes_to_disk_at_once() {
    let mut rig = Rig::attached();
    let sent = rig.send(End::A, 10, 1, 100);
    rig.pull_all();
    rig.detach(End::B, 20);
    rig.commit();
    assert_eq!(rig.said(10), [accepted(sent, 10, 1)]);
    assert_eq!(rig.spool.boxes_at(B), [small(100)]);
}

#[test]
fn an_ack_that_meets_the_append_on_its_way_leaves_nothing_on_disk() {
    let mut rig = Rig::attached();
    let sent = rig.send(End::A, 10, 1, 100);
    rig.pull_all();
    rig.elapse(GRACE);
    assert_eq!(rig.ack(End::B, 20, 1), Ok(1));
    assert_eq!(rig.said(10), [accepted(sent, 10, 1)]);
    rig.commit_all();
    assert_eq!(rig.spool.appends(), 1);
    assert_eq!(rig.spool.boxes_at(B), []);
    assert_eq!(rig.said(10), []);
}

// Order.

#[test]
fn only_the_next_number_is_taken() {
    let mut rig = Rig::attached();
    for wrong in [0, 2, u64::MAX] {
        let sent = rig.send(End::A, 10, wrong, 1);
        assert_eq!(rig.said(10), [refused(sent, Refusal::OutOfTurn)]);
    }
    rig.send(End::A, 10, 1, 1);
    let again = rig.send(End::A, 10, 1, 1);
    assert_eq!(rig.said(10), [refused(again, Refusal::OutOfTurn)]);
}

#[test]
fn after_a_refusal_later_numbers_wait_for_the_refused_one() {
    let mut rig = Rig::attached();
    let asker = rig.asker(10);
    let request = asker.request;
    rig.with(|channel, cx| channel.send(cx, End::A, &at(10), 1, asker, Err(NotABox)));
    let second = rig.send(End::A, 10, 2, 2);
    assert_eq!(rig.said(10), [refused(request, Refusal::NotABox), refused(second, Refusal::OutOfTurn)]);
    let retried = rig.send(End::A, 10, 1, 1);
    rig.pull_all();
    rig.ack(End::B, 20, 1).unwrap();
    assert_eq!(rig.said(10), [accepted(retried, 10, 1)]);
}

#[test]
fn what_waited_and_what_is_new_come_in_one_order() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    for n in 1..=3 {
        rig.send(End::A, 10, n, n as u32);
    }
    rig.commit_all();
    assert_eq!(rig.attach(End::B, 3, 20).unwrap().waiting, 3);
    rig.send(End::A, 10, 4, 4);
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(1, 1), (2, 2), (3, 3), (4, 4)]);
}

// Windows, acks, drained.

#[test]
fn no_more_is_under_way_than_the_smaller_window() {
    let mut rig = Rig::attached();
    for n in 1..=6 {
        rig.send(End::A, 10, n, n as u32);
    }
    rig.pull_all();
    assert_eq!(rig.boxes(20).len(), 4, "the relay's window");
    rig.ack(End::B, 20, 1).unwrap();
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(5, 5)]);

    rig.attach_with(End::B, 3, 21, window(2)).unwrap();
    rig.pull_all();
    assert_eq!(rig.boxes(21), [(2, 2), (3, 3)], "the device's window");
}

#[test]
fn one_box_is_always_let_through_a_window_of_too_few_bytes() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    let narrow = Window { bytes: 1, ..window(100) };
    rig.attach_with(End::B, 3, 20, narrow).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.send(End::A, 10, 2, 2);
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(1, 1)]);
    rig.ack(End::B, 20, 1).unwrap();
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(2, 2)]);
}

#[test]
fn a_slow_reader_is_given_its_budget_and_no_more() {
    let mut rig = Rig::attached();
    for n in 1..=3 {
        rig.send(End::A, 10, n, n as u32);
    }
    assert!(rig.pull(End::B, 20, 1).more);
    assert_eq!(rig.boxes(20), [(1, 1)]);
    assert!(!rig.pull(End::B, 20, usize::MAX).more);
    assert_eq!(rig.boxes(20), [(2, 2), (3, 3)]);
}

#[test]
fn an_ack_of_what_was_never_sent_is_a_protocol_error() {
    let mut rig = Rig::attached();
    assert_eq!(rig.ack(End::B, 20, 1), Err(ProtocolError));
    rig.send(End::A, 10, 1, 1);
    assert_eq!(rig.ack(End::B, 20, 1), Err(ProtocolError), "under way, but not pulled");
    rig.pull_all();
    assert_eq!(rig.ack(End::B, 20, 2), Err(ProtocolError));
    assert_eq!(rig.ack(End::B, 20, 1), Ok(1));
    assert_eq!(rig.ack(End::B, 20, 1), Ok(0));
    assert_eq!(rig.ack(End::B, 20, 0), Ok(0));
}

#[test]
fn drained_is_told_after_attaching_and_later_by_the_last_box() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull_all();
    assert_eq!(rig.said(20), [drained(20)]);
    rig.send(End::A, 10, 1, 1);
    rig.send(End::A, 10, 2, 2);
    rig.pull_all();
    assert_eq!(rig.lasts(20), [false, true]);
    rig.ack(End::B, 20, 2).unwrap();
    rig.pull_all();
    assert_eq!(rig.said(20), [], "it is known");
}

#[test]
fn drained_is_told_when_what_waited_behind_a_box_is_gone() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    for n in 1..=5 {
        rig.send(End::A, 10, n, n as u32);
    }
    rig.commit_all();
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull_all();
    assert_eq!(rig.lasts(20), [false; 4], "the window is full, and one waits");
    rig.hours_pass(u64::from(HOLD) / 3_600 + 3);
    rig.commit_all();
    rig.pull_all();
    assert_eq!(rig.said(20), [drained(20)]);
}

#[test]
fn a_newer_attachment_is_given_again_what_the_older_did_not_ack() {
    let mut rig = Rig::attached();
    for n in 1..=3 {
        rig.send(End::A, 10, n, n as u32);
    }
    rig.pull_all();
    rig.ack(End::B, 20, 1).unwrap();
    rig.forget_said();
    assert_eq!(rig.attach(End::B, 3, 21).unwrap().waiting, 2);
    assert_eq!(rig.said(20), [FromRelay::Event(Event::Superseded(Handle(20)))]);
    assert_eq!(rig.ack(End::B, 20, 3), Ok(0), "the older one's acks are ignored");
    let sent = rig.send(End::B, 20, 1, 9);
    assert_eq!(rig.said(20), [refused(sent, Refusal::NotAllowed)]);
    rig.pull_all();
    assert_eq!(rig.boxes(21), [(2, 2), (3, 3)]);
    rig.detach(End::B, 20);
    assert!(rig.channel.is_attached(End::B, &at(21)), "a ghost does not evict its successor");
}

// Quotas.

#[test]
fn a_full_backlog_refuses_and_tells_when_it_has_room_at_half() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    for n in 1..=8 {
        rig.send(End::A, 10, n, n as u32);
    }
    rig.commit_all();
    rig.forget_said();
    let ninth = rig.send(End::A, 10, 9, 9);
    assert_eq!(rig.said(10), [refused(ninth, Refusal::Full)]);
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull_all();
    rig.forget_said();
    rig.ack(End::B, 20, 3).unwrap();
    assert_eq!(rig.said(10), [], "five of eight wait");
    rig.ack(End::B, 20, 4).unwrap();
    assert_eq!(rig.said(10), [FromRelay::Event(Event::Room(Handle(10)))]);
    rig.pull_all();
    rig.ack(End::B, 20, 8).unwrap();
    assert_eq!(rig.said(10), [], "told once");
    let retried = rig.send(End::A, 10, 9, 9);
    rig.pull_all();
    rig.ack(End::B, 20, 9).unwrap();
    assert_eq!(rig.said(10), [accepted(retried, 10, 9)]);
}

#[test]
fn bytes_count_as_well_as_boxes() {
    let mut rig = Rig::attached();
    rig.rules.quota = Quota { boxes: 100, bytes: 2 * small(0).bytes().len() as u64 };
    rig.send(End::A, 10, 1, 1);
    rig.send(End::A, 10, 2, 2);
    let third = rig.send(End::A, 10, 3, 3);
    assert_eq!(rig.said(10), [refused(third, Refusal::Full)]);
}

// A disk that fails.

#[test]
fn a_box_that_cannot_be_stored_is_refused_and_the_later_ones_are_out_of_turn() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.spool.fail(true);
    let first = rig.send(End::A, 10, 1, 1);
    let second = rig.send(End::A, 10, 2, 2);
    assert!(!rig.commit());
    assert_eq!(rig.said(10), [refused(first, Refusal::Busy), refused(second, Refusal::OutOfTurn)]);
    rig.spool.fail(false);
    let first = rig.send(End::A, 10, 1, 1);
    let second = rig.send(End::A, 10, 2, 2);
    rig.commit_all();
    assert_eq!(rig.said(10), [accepted(first, 10, 1), accepted(second, 10, 2)]);
    assert_eq!(rig.spool.boxes_at(B), [small(1), small(2)]);
}

#[test]
fn what_a_failing_disk_refuses_uses_up_no_seqs() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.commit();
    rig.spool.fail(true);
    for _ in 0..100 {
        rig.send(End::A, 10, 2, 2);
        rig.send(End::A, 10, 3, 3);
        rig.commit();
    }
    rig.spool.fail(false);
    rig.send(End::A, 10, 2, 4);
    rig.commit();
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(1, 1), (4, 2)]);
    // What the attachment has, it has by its seq.
    rig.spool.fail(true);
    rig.send(End::A, 10, 3, 5);
    rig.pull_all();
    rig.send(End::A, 10, 4, 6);
    rig.elapse(GRACE);
    rig.commit();
    rig.spool.fail(false);
    rig.pull_all();
    rig.send(End::A, 10, 4, 7);
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(5, 3), (7, 4)]);
}

#[test]
fn a_later_box_is_not_stored_after_an_earlier_one_failed() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.spool.fail(true);
    rig.send(End::A, 10, 1, 1);
    // The second is queued while the first one's transaction is written.
    let mut batch = Batch::default();
    rig.take_batch(&mut batch);
    rig.send(End::A, 10, 2, 2);
    rig.finish_batch(&mut batch);
    rig.spool.fail(false);
    rig.commit_all();
    assert_eq!(rig.spool.boxes_at(B), []);
    assert_eq!(rig.spool.appends(), 0);
}

#[test]
fn boxes_acked_while_their_appends_fail_together_are_settled() {
    let mut rig = Rig::attached();
    for n in 1..=3 {
        rig.send(End::A, 10, n.into(), n);
    }
    rig.elapse(GRACE);
    let mut batch = Batch::default();
    rig.take_batch(&mut batch);
    rig.pull_all();
    assert_eq!(rig.ack(End::B, 20, 3), Ok(3));
    rig.spool.fail(true);
    rig.finish_batch(&mut batch);
    assert!(rig.channel.end(End::B).backlog.is_settled());
}

#[test]
fn while_the_disk_fails_deliveries_and_acks_go_on() {
    let mut rig = Rig::attached();
    rig.spool.fail(true);
    let first = rig.send(End::A, 10, 1, 1);
    rig.pull_all();
    rig.elapse(GRACE);
    rig.commit();
    assert_eq!(rig.said(10), [], "it was delivered, and may still be acked");
    assert_eq!(rig.boxes(20), [(1, 1)]);
    rig.ack(End::B, 20, 1).unwrap();
    assert_eq!(rig.said(10), [accepted(first, 10, 1)]);
}

#[test]
fn a_delivered_box_that_could_not_be_stored_is_tried_again() {
    let mut rig = Rig::attached();
    rig.spool.fail(true);
    let first = rig.send(End::A, 10, 1, 1);
    rig.pull_all();
    rig.elapse(GRACE);
    rig.commit();
    rig.spool.fail(false);
    rig.elapse(GRACE);
    rig.commit();
    assert_eq!(rig.said(10), [accepted(first, 10, 1)]);
    assert_eq!(rig.spool.boxes_at(B), [small(1)]);
}

#[test]
fn a_delivered_box_that_could_not_be_stored_is_refused_once_its_device_left() {
    let mut rig = Rig::attached();
    rig.spool.fail(true);
    let first = rig.send(End::A, 10, 1, 1);
    rig.pull_all();
    rig.elapse(GRACE);
    rig.commit();
    rig.detach(End::B, 20);
    rig.commit();
    assert_eq!(rig.said(10), [refused(first, Refusal::Busy)]);
}

#[test]
fn what_was_acked_while_the_disk_failed_is_removed_when_it_works_again() {
    let mut rig = Rig::attached();
    rig.send(End::A, 10, 1, 1);
    rig.pull_all();
    rig.elapse(GRACE);
    rig.commit_all();
    rig.spool.fail(true);
    rig.ack(End::B, 20, 1).unwrap();
    rig.commit();
    assert_eq!(rig.spool.boxes_at(B), [small(1)]);
    rig.spool.fail(false);
    rig.commit();
    assert_eq!(rig.spool.boxes_at(B), []);
}

// Memory.

#[test]
fn boxes_on_disk_are_read_back_when_the_window_admits_them() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    for n in 1..=6 {
        rig.send(End::A, 10, n, n as u32);
    }
    rig.commit_all();
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull(End::B, 20, usize::MAX);
    assert_eq!(rig.boxes(20), []);
    assert_eq!(rig.loads, [(B, 1, 4)]);
    rig.pull_all();
    assert_eq!(rig.boxes(20).len(), 4);
}

#[test]
fn a_damaged_box_does_not_hold_up_the_others() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    for n in 1..=3 {
        rig.send(End::A, 10, n, n as u32);
    }
    rig.commit_all();
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull(End::B, 20, usize::MAX);
    let damaged = || Err(SpoolError::Damaged("a box".to_owned()));
    assert_eq!(rig.loads.pop_front(), Some((B, 1, 3)));
    rig.with(|channel, cx| channel.loaded(cx, End::B, (1, 3), damaged()));
    assert_eq!(rig.loads.pop_front(), Some((B, 1, 1)), "asked for alone");
    rig.with(|channel, cx| channel.loaded(cx, End::B, (1, 1), damaged()));
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(2, 2), (3, 3)]);
    rig.commit();
    assert_eq!(rig.spool.boxes_at(B), [small(2), small(3)]);
}

#[test]
fn a_disk_that_cannot_be_read_now_is_asked_again() {
    let mut rig = Rig::claimed();
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.commit_all();
    rig.attach(End::B, 3, 20).unwrap();
    rig.pull(End::B, 20, usize::MAX);
    rig.loads.clear();
    rig.ready.clear();
    rig.with(|channel, cx| channel.loaded(cx, End::B, (1, 1), Err(SpoolError::Write("EIO".to_owned()))));
    rig.elapse(1_000);
    rig.pull_all();
    assert_eq!(rig.boxes(20), [(1, 1)]);
}

#[test]
fn a_disk_that_cannot_be_read_is_asked_again_once_a_second_even_without_a_grace() {
    let mut rig = Rig::claimed();
    rig.rules.grace = 0;
    rig.attach(End::A, 1, 10).unwrap();
    rig.send(End::A, 10, 1, 1);
    rig.commit_all();
    rig.attach(End::B, 3, 20).unwrap();
    for _ in 0..3 {
        rig.pull(End::B, 20, usize::MAX);
        rig.ready.clear();
        assert_eq!(rig.loads.drain(..).count(), 1);
        rig.with(|channel, cx| channel.loaded(cx, End::B, (1, 1), Err(SpoolError::Read("EIO".to_owned()))));
        rig.elapse(999);
        assert!(rig.ready.is_empty());
        rig.elapse(1);
        assert!(!rig.ready.is_empty());
    }
}
