//! What is promised of files, one claim a test.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tacit_proto::frame::{Limits, Request, ToRelay};

use super::dice::Dice;
use super::meddler::{Courier, Meddler, Parcel};
use super::relay::{ConnId, Manners};
use super::scenario::{MANNERS, Scenario};
use crate::care::farewell::Manner;
use crate::content::CHUNK;
use crate::life_cycle;
use crate::retention::{Keep, Retention};
use crate::store::{State, faults};
use crate::types::{Outcome, TransferState};

const HOUR_MS: u64 = 3_600_000;

/// The lengths of the boxes that devices hand to the relay, in order.
#[derive(Clone, Default)]
pub(super) struct Lengths(Rc<RefCell<Vec<usize>>>);

impl Meddler for Lengths {
    fn up(&mut self, _now: u64, _from: ConnId, frame: ToRelay) -> Vec<ToRelay> {
        if let ToRelay::Request(_, Request::Send { payload, .. }) = &frame {
            self.0.borrow_mut().push(payload.len());
        }
        vec![frame]
    }
}

impl Lengths {
    fn large(&self) -> usize {
        self.0.borrow().iter().filter(|length| **length == tacit_proto::SizeClass::Large.box_len()).count()
    }

    fn watch(talk: &mut Scenario) -> Self {
        let lengths = Self::default();
        talk.world.meddler = Some(Box::new(lengths.clone()));
        lengths
    }
}

fn with_backlog(boxes: u32) -> Manners {
    Manners { limits: Limits { backlog_boxes: boxes, ..MANNERS.limits }, ..MANNERS }
}

fn attach(talk: &mut Scenario, side: usize, size: usize) {
    talk.people.attach(&mut talk.world, 0, side, size);
}

fn transfers(talk: &mut Scenario, side: usize) -> Vec<TransferState> {
    talk.people.transfers(&mut talk.world, 0, side)
}

fn done(talk: &mut Scenario, side: usize) -> u64 {
    match transfers(talk, side).first() {
        None => 0,
        Some(TransferState::UnderWay { done, .. }) => *done,
        Some(TransferState::Whole) => u64::MAX,
        other => panic!("{other:?}"),
    }
}

fn run_until(talk: &mut Scenario, mut is_so: impl FnMut(&mut Scenario) -> bool) {
    for _ in 0..60_000 {
        if is_so(talk) {
            return;
        }
        talk.run_for(10);
    }
    panic!("that never comes");
}

#[test]
fn a_text_waits_for_no_more_chunks_than_the_relay_was_handed_already() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    let lengths = Lengths::watch(&mut talk);
    attach(&mut talk, 0, 300 * CHUNK);
    for _ in 0..5 {
        let before = done(&mut talk, 1);
        run_until(&mut talk, |talk| done(talk, 1) > before);
        let handed_over = lengths.0.borrow().len();
        talk.say(0, 0);
        run_until(&mut talk, |talk| talk.people.outcomes(&mut talk.world, 0, 0).last() == Some(&Outcome::Delivered));
        let chunks = lengths.0.borrow()[handed_over..].iter().take_while(|length| **length > 2_000).count();
        assert!(chunks <= 8, "{chunks} chunks went ahead of the text");
        assert!(done(&mut talk, 1) < 300 * CHUNK as u64, "the file is still under way");
    }
    talk.settle();
    talk.check_all_delivered();
}

#[test]
fn a_file_arrives_whole_when_a_device_dies_at_any_write() {
    let send = |dies_at: Option<u64>| {
        let mut talk = Scenario::paired(MANNERS, &[1, 1]);
        let begun = faults::writes();
        talk.world.dies_at_write = dies_at.map(|write| begun + write);
        attach(&mut talk, 0, 3 * CHUNK + 5);
        talk.settle();
        talk.check_all_delivered();
        (faults::writes() - begun, talk.world.deaths)
    };
    let (writes, deaths) = send(None);
    assert_eq!(deaths, 0);
    assert!(writes > 50, "{writes} writes are too few to be all of them");
    for write in 0..writes {
        let (_, deaths) = send(Some(write));
        assert_eq!(deaths, 1, "nobody died at write {write} of {writes}");
    }
}

#[test]
fn after_cuts_only_what_is_missing_goes_again() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    let lengths = Lengths::watch(&mut talk);
    attach(&mut talk, 1, 200 * CHUNK);
    for cut in 1..=20 {
        run_until(&mut talk, |talk| done(talk, 0) >= cut * 8 * CHUNK as u64);
        talk.world.open_links().into_iter().for_each(|link| talk.world.cut(link));
    }
    talk.settle();
    talk.check_all_delivered();
    let large = lengths.large();
    assert!(large <= 200 + 20 * 8, "{large} boxes for 200 chunks and 20 cuts");
}

#[test]
fn a_recipient_who_is_away_does_not_keep_texts_from_being_taken() {
    for backlog in [4, 16, 4_096] {
        let mut talk = Scenario::paired(with_backlog(backlog), &[1, 1]);
        talk.world.devices[1].away_until = talk.world.now + HOUR_MS;
        talk.run_for(1_000);
        attach(&mut talk, 0, 100 * CHUNK);
        talk.run_for(5 * 60_000);
        assert!(talk.world.relay.waiting() <= 66, "{} boxes wait", talk.world.relay.waiting());
        talk.say(0, 0);
        talk.run_for(5_000);
        let outcomes = talk.people.outcomes(&mut talk.world, 0, 0);
        assert!(matches!(outcomes[..], [Outcome::Accepted { .. }, Outcome::Accepted { .. }]), "{outcomes:?}");
        talk.world.devices[1].away_until = 0;
        talk.world.poke(1);
        talk.settle();
        talk.check_all_delivered();
    }
}

#[test]
fn a_photo_goes_while_its_recipient_is_away_and_its_sender_need_not_come_back() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.world.devices[1].away_until = talk.world.now + HOUR_MS;
    talk.run_for(1_000);
    attach(&mut talk, 0, 60 * CHUNK);
    talk.run_for(60_000);
    talk.world.devices[0].away_until = talk.world.now + 2 * HOUR_MS;
    talk.world.devices[1].away_until = 0;
    talk.world.poke(1);
    talk.run_for(60_000);
    assert_eq!(transfers(&mut talk, 1), [TransferState::Whole]);
    assert!(matches!(transfers(&mut talk, 0)[..], [TransferState::UnderWay { done: 0, .. }]), "not told yet");
}

#[test]
fn a_file_beyond_the_recipients_limit_is_refused_and_both_see_it() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.change(1, |tx| tx.set_attachment_limit(5 * CHUNK as u64));
    attach(&mut talk, 0, 5 * CHUNK + 1);
    attach(&mut talk, 0, 5 * CHUNK);
    talk.settle();
    for side in 0..2 {
        assert_eq!(transfers(&mut talk, side), [TransferState::TooLarge, TransferState::Whole]);
    }
}

#[test]
fn whoever_announces_too_much_at_once_is_told_that_there_is_no_room() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.change(1, |tx| tx.set_attachment_limit(CHUNK as u64));
    (0..12).for_each(|_| attach(&mut talk, 0, CHUNK));
    talk.settle();
    let (here, there) = (transfers(&mut talk, 0), transfers(&mut talk, 1));
    assert_eq!(here, there);
    let whole = here.iter().filter(|transfer| **transfer == TransferState::Whole).count();
    assert!(
        whole >= 10 && here.iter().all(|it| matches!(it, TransferState::Whole | TransferState::NoRoom)),
        "{here:?}"
    );
}

#[test]
fn either_side_cancels_and_what_came_is_erased_on_both() {
    for (side, keeps) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut talk = Scenario::paired(MANNERS, &[1, 1]);
        if keeps {
            let (device, contact) = talk.side(0, 1);
            let rule = Retention { keep: Keep::ForYears { years: 10 }, legal_hold: false };
            talk.change(device, |tx| tx.set_retention(&contact, true, rule, 0));
        }
        attach(&mut talk, 0, 300 * CHUNK);
        run_until(&mut talk, |talk| done(talk, 1) > 0);
        talk.people.cancel_files(&mut talk.world, 0, side);
        talk.settle();
        talk.check_all_delivered();
        let cancelled = [TransferState::CancelledByUs, TransferState::CancelledByPeer];
        assert_eq!([transfers(&mut talk, side)[0], transfers(&mut talk, 1 - side)[0]], cancelled);
        for device in 0..2 {
            let left = talk.change(device, |tx| tx.count_pieces());
            // What was shown with the message stays with it where a rule keeps that.
            assert_eq!(left, u64::from(keeps && device == 1), "on device {device}");
        }
    }
}

#[test]
fn a_file_that_is_cancelled_before_it_was_sent_never_leaves_the_device() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.world.devices[0].away_until = talk.world.now + 60_000;
    talk.run_for(1_000);
    attach(&mut talk, 0, CHUNK);
    talk.people.cancel_files(&mut talk.world, 0, 0);
    talk.run_for(60_000);
    talk.settle();
    assert_eq!(transfers(&mut talk, 0), [TransferState::CancelledByUs]);
    assert_eq!(transfers(&mut talk, 1), []);
    talk.check_all_delivered();
}

#[test]
fn a_pairing_that_ends_ends_its_files_and_erases_what_came() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    attach(&mut talk, 0, 300 * CHUNK);
    run_until(&mut talk, |talk| done(talk, 1) > 0);
    let (device, contact) = talk.side(0, 1);
    talk.change(device, |tx| tx.end_contact(&contact, crate::types::EndedWhy::ByUs, true));
    talk.run_for(60_000);
    for side in 0..2 {
        assert_eq!(transfers(&mut talk, side), [TransferState::Ended]);
        assert_eq!(talk.change(side, |tx| tx.count_pieces()), 0);
    }
}

#[test]
fn a_farewell_in_the_middle_of_a_file_ends_it_and_closes_the_channel() {
    for (side, manner) in [0, 1].into_iter().flat_map(|side| [(side, Manner::Discharge), (side, Manner::Unpair)]) {
        let mut talk = Scenario::paired(MANNERS, &[1, 1]);
        attach(&mut talk, 0, 300 * CHUNK);
        run_until(&mut talk, |talk| done(talk, 1) > 0);
        let (device, contact) = talk.side(0, side);
        let now = talk.world.now;
        talk.change(device, |tx| {
            let row = tx.contact(&contact)?.unwrap();
            life_cycle::leave(tx, &row, manner, "", now, &mut Dice::new(3))
        });
        run_on(&mut talk, 10 * 60_000);
        for side in 0..2 {
            let (device, contact) = talk.side(0, side);
            assert_eq!(transfers(&mut talk, side), [TransferState::Ended]);
            let (row, end_key, pieces) = talk
                .change(device, |tx| Ok((tx.contact(&contact)?.unwrap(), tx.end_key(&contact)?, tx.count_pieces()?)));
            assert!(matches!(row.state, State::Ended(_)), "{:?} after {manner:?}", row.state);
            assert!(end_key.is_none() && pieces == 0);
        }
    }
}

/// Lets time go by, and does not look for what is delivered at the other side: it was deleted there, or is a farewell.
fn run_on(talk: &mut Scenario, ms: u64) {
    let end = talk.world.now + ms;
    talk.world.run_until(end);
    talk.world.notes.clear();
}

/// A relay that loses small boxes, such as statuses, for as long as this says so. Chunks come, so that they are acked, and its
/// window does not fill.
fn losing(talk: &mut Scenario) -> Rc<Cell<bool>> {
    let loses = Rc::new(Cell::new(false));
    let now = Rc::clone(&loses);
    let is_small = |parcel: &Parcel| parcel.payload.len() == tacit_proto::SizeClass::Small.box_len();
    let courier = Courier::new(move |parcel| if now.get() && is_small(&parcel) { Vec::new() } else { vec![parcel] });
    talk.world.meddler = Some(Box::new(courier));
    talk.world.open_links().into_iter().for_each(|link| talk.world.cut(link));
    talk.run_for(5_000);
    loses
}

/// The relay delivers again; what it lost it believes to be acked.
fn find_again(talk: &mut Scenario, loses: &Cell<bool>) {
    loses.set(false);
    talk.say(0, 0);
    talk.say(0, 1);
    run_on(talk, 5_000);
}

#[test]
fn whoever_sends_a_file_that_was_deleted_over_there_is_told_even_if_that_is_lost_at_first() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    let loses = losing(&mut talk);
    attach(&mut talk, 0, 300 * CHUNK);
    run_until(&mut talk, |talk| done(talk, 1) > 0);
    loses.set(true);
    let id = talk.people.pairs[0].sent[0][0].id;
    talk.change(1, |tx| {
        let key = tx.message_key(&id)?.unwrap();
        tx.delete_message(key)
    });
    run_on(&mut talk, 60_000);
    find_again(&mut talk, &loses);
    assert!(matches!(transfers(&mut talk, 0)[..], [TransferState::UnderWay { .. }]), "it is not told yet");
    run_on(&mut talk, 25 * 60_000);
    assert_eq!(transfers(&mut talk, 0), [TransferState::CancelledByPeer]);
    for device in 0..2 {
        assert_eq!(talk.change(device, |tx| tx.count_pieces()), 0);
    }
}

#[test]
fn an_empty_file_is_called_whole_even_if_that_is_lost_at_first() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    let loses = losing(&mut talk);
    attach(&mut talk, 0, 0);
    run_until(&mut talk, |talk| transfers(talk, 1) == [TransferState::Whole]);
    loses.set(true);
    run_on(&mut talk, 10_000);
    find_again(&mut talk, &loses);
    assert!(matches!(transfers(&mut talk, 0)[..], [TransferState::UnderWay { .. }]), "it is not told yet");
    run_on(&mut talk, 25 * 60_000);
    assert_eq!(transfers(&mut talk, 0), [TransferState::Whole]);
}

#[test]
fn a_reset_in_the_middle_costs_a_file_nothing_but_time() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    attach(&mut talk, 0, 200 * CHUNK);
    for side in [0, 1, 0] {
        let before = done(&mut talk, 1);
        run_until(&mut talk, |talk| done(talk, 1) > before);
        talk.people.reset(&mut talk.world, 0, side);
    }
    talk.settle();
    talk.check_all_delivered();
}

#[test]
fn nobody_asks_often_about_a_file_that_does_not_move() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    attach(&mut talk, 0, 300 * CHUNK);
    run_until(&mut talk, |talk| done(talk, 1) > 0);
    talk.world.devices[0].away_until = u64::MAX / 2;
    talk.run_for(60_000);
    let lengths = Lengths::watch(&mut talk);
    talk.run_for(48 * HOUR_MS);
    let asked = lengths.0.borrow().len();
    assert!((1..=10).contains(&asked), "asked {asked} times in two days");
}
