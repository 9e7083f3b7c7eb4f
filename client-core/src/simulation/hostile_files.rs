//! A hostile relay and files, one lie a test: files come late, or not at all, and never as anything but what was sent.

use tacit_proto::SizeClass;
use tacit_proto::frame::{Answer, Event, FromRelay};

use super::dice::Dice;
use super::meddler::{Courier, Lie, Meddler, Parcel};
use super::scenario::{MANNERS, Scenario};
use crate::content::CHUNK;
use crate::types::TransferState;

/// A large file each way, of which some came already.
fn talk() -> Scenario {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.people.attach(&mut talk.world, 0, 0, 150 * CHUNK + 9);
    talk.people.attach(&mut talk.world, 0, 1, 20 * CHUNK);
    talk.run_for(400);
    talk
}

fn suffer(talk: &mut Scenario, meddler: impl Meddler + 'static) {
    talk.world.meddler = Some(Box::new(meddler));
    reconnect(talk);
    talk.run_for(5_000);
    for _ in 0..3 {
        talk.say(0, 0);
        talk.say(0, 1);
        talk.run_for(40_000);
    }
    talk.people.check_histories(&mut talk.world);
}

fn reconnect(talk: &mut Scenario) {
    talk.world.open_links().into_iter().for_each(|link| talk.world.cut(link));
}

/// It is honest from here on: everything comes. What does not move is asked about after a while.
fn recover(talk: &mut Scenario) {
    talk.world.meddler = None;
    reconnect(talk);
    talk.run_for(90_000);
    talk.say(0, 0);
    talk.say(0, 1);
    talk.run_for(25 * 60_000);
    talk.settle_after_gaps();
    talk.check_all_delivered();
}

fn transfers(talk: &mut Scenario, side: usize) -> Vec<TransferState> {
    talk.people.transfers(&mut talk.world, 0, side)
}

fn is_large(parcel: &Parcel) -> bool {
    parcel.payload.len() == SizeClass::Large.box_len()
}

#[test]
fn chunks_that_the_relay_drops_go_again() {
    let mut talk = talk();
    let mut dice = Dice::new(3);
    suffer(&mut talk, Courier::new(move |parcel| if dice.per_mille(300) { vec![] } else { vec![parcel] }));
    recover(&mut talk);
}

#[test]
fn chunks_that_never_come_are_never_called_whole() {
    let mut talk = talk();
    suffer(&mut talk, Courier::new(|parcel: Parcel| if is_large(&parcel) { vec![] } else { vec![parcel] }));
    assert!(matches!(transfers(&mut talk, 0)[0], TransferState::UnderWay { .. }));
    recover(&mut talk);
}

#[test]
fn chunks_that_the_relay_repeats_and_reorders_are_put_in_their_places() {
    let mut talk = talk();
    let mut held: Vec<Parcel> = Vec::new();
    suffer(
        &mut talk,
        Courier::new(move |parcel: Parcel| {
            held.push(parcel.clone());
            if held.len() < 5 {
                return vec![];
            }
            let turned: Vec<_> = held.drain(..).rev().collect();
            turned.iter().cloned().chain(turned.iter().cloned()).chain([parcel]).collect()
        }),
    );
    recover(&mut talk);
}

#[test]
fn chunks_that_the_relay_alters_do_not_open_and_go_again() {
    let mut talk = talk();
    let mut dice = Dice::new(5);
    suffer(
        &mut talk,
        Courier::new(move |parcel: Parcel| {
            let mut payload = parcel.payload.to_vec();
            if dice.per_mille(200) {
                let at = dice.below(payload.len() as u64) as usize;
                payload[at] ^= 1 << dice.below(8);
            }
            vec![Parcel { payload: payload.into(), ..parcel }]
        }),
    );
    recover(&mut talk);
}

#[test]
fn a_relay_that_takes_chunks_and_keeps_none_is_not_believed() {
    let mut talk = talk();
    let asked = |frame: &FromRelay| matches!(frame, FromRelay::Event(Event::Deliver { .. }));
    suffer(
        &mut talk,
        Lie(move |_, frame| match frame {
            frame if asked(&frame) => vec![],
            FromRelay::Answer(id, Answer::Accepted { handle, n, .. }) => {
                vec![FromRelay::Answer(id, Answer::Accepted { handle, n, hold: u32::MAX })]
            }
            frame => vec![frame],
        }),
    );
    for side in 0..2 {
        let own = if side == 0 { 0 } else { transfers(&mut talk, side).len() - 1 };
        assert!(matches!(transfers(&mut talk, side)[own], TransferState::UnderWay { .. }), "nobody said that it came");
    }
    recover(&mut talk);
}

#[test]
fn a_relay_that_refuses_at_random_what_it_took_costs_nothing_but_time() {
    let mut talk = talk();
    let mut dice = Dice::new(7);
    suffer(
        &mut talk,
        Lie(move |_, frame| match frame {
            FromRelay::Answer(id, Answer::Accepted { .. }) if dice.per_mille(20) => {
                vec![FromRelay::Answer(id, Answer::Refused(tacit_proto::frame::Refusal::Busy))]
            }
            frame => vec![frame],
        }),
    );
    recover(&mut talk);
}
