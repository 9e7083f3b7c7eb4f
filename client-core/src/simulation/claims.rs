//! What a device promises, one claim a test: one thing goes wrong, at a chosen moment.

use std::cell::RefCell;
use std::rc::Rc;

use tacit_proto::frame::{Answer, Event as RelayEvent, FromRelay, Request, ToRelay};

use super::meddler::Meddler;
use super::people::state;
use super::relay::{ConnId, Manners};
use super::scenario::{MANNERS, Scenario};
use crate::engine::{Engine, Now, Scope, TurnError};
use crate::pairing;
use crate::store::{Holder, State, faults};
use crate::types::{EndedWhy, Outcome};

const DAY_MS: u64 = 24 * 3600 * 1_000;

#[test]
fn nothing_is_lost_or_doubled_when_a_device_dies_at_any_write() {
    let talk = |dies_at: Option<u64>| {
        let mut talk = Scenario::new(MANNERS, &[1, 1]);
        let begun = faults::writes();
        talk.world.dies_at_write = dies_at.map(|write| begun + write);
        talk.settle();
        for _ in 0..2 {
            talk.say(0, 0);
            talk.say(0, 1);
            talk.run_for(100);
        }
        talk.settle();
        talk.check_all_delivered();
        (faults::writes() - begun, talk.world.deaths)
    };
    let (writes, deaths) = talk(None);
    assert_eq!(deaths, 0);
    assert!(writes > 100, "{writes} writes are too few to be all of them");
    for write in 0..writes {
        let (_, deaths) = talk(Some(write));
        assert_eq!(deaths, 1, "nobody died at write {write} of {writes}");
    }
}

#[test]
fn a_frozen_process_whose_frames_come_late_does_not_deafen_the_one_that_took_over() {
    let mut talk = Scenario::paired(MANNERS, &[2, 1]);
    let frozen = talk.world.devices[0].processes.iter().position(|process| process.has_lease).unwrap();
    // It reconnects, and its request to attach is stuck in the network while it gets no processor.
    let link = talk.world.devices[0].processes[frozen].connection.as_ref().unwrap().id;
    talk.world.cut(link);
    while talk.world.devices[0].processes[frozen].connection.as_ref().is_none_or(|new| new.id == link) {
        talk.run_for(10);
    }
    let link = talk.world.devices[0].processes[frozen].connection.as_ref().unwrap().id;
    while talk.world.devices[0].processes[frozen].connection.as_ref().unwrap().engine.is_none() {
        talk.run_for(1);
    }
    let late = talk.world.now + 60_000;
    talk.world.stall(link, late);
    talk.world.devices[0].processes[frozen].frozen_until = late;
    talk.run_for(40_000);
    assert!(talk.world.devices[0].processes[1 - frozen].has_lease, "the other process took over");
    talk.run_for(25_000);
    talk.say(0, 1);
    talk.run_for(2_000);
    talk.check_all_delivered();
    assert!(!talk.contact(0, 0).locked_out);
}

#[test]
fn what_is_past_its_hold_expires_although_the_connection_is_quiet_and_can_be_sent_again() {
    let mut talk = Scenario::paired(
        Manners { limits: tacit_proto::frame::Limits { hold: 120, ..MANNERS.limits }, ..MANNERS },
        &[1, 1],
    );
    talk.world.devices[1].away_until = talk.world.now + DAY_MS;
    talk.say(0, 0);
    talk.run_for(60_000);
    assert!(matches!(talk.people.outcomes(&mut talk.world, 0, 0)[..], [Outcome::Accepted { .. }]));
    talk.run_for(120_000);
    assert_eq!(talk.people.outcomes(&mut talk.world, 0, 0), [Outcome::Expired]);
    talk.world.devices[1].away_until = 0;
    talk.world.poke(1);
    let (device, contact) = talk.side(0, 0);
    talk.change(device, |tx| tx.resend_unreceipted(&contact));
    talk.settle();
    talk.check_all_delivered();
}

/// Writes down what goes over the wire.
struct Listening(Rc<RefCell<Vec<usize>>>);

impl Meddler for Listening {
    fn up(&mut self, _now: u64, _conn: ConnId, frame: ToRelay) -> Vec<ToRelay> {
        assert!(matches!(frame, ToRelay::Request(_, Request::Ping)), "{frame:?}");
        self.0.borrow_mut().push(frame.clone().encode().len());
        vec![frame]
    }

    fn down(&mut self, _now: u64, conn: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
        assert!(matches!(frame, FromRelay::Answer(_, Answer::Pong { .. })), "{frame:?}");
        self.0.borrow_mut().push(frame.clone().encode().len());
        vec![(conn, frame)]
    }
}

#[test]
fn an_invite_that_was_given_up_while_it_was_opened_stays_over() {
    let mut given_up_on_the_way = 0;
    for wait in (0..100).step_by(5) {
        let mut talk = Scenario::paired(MANNERS, &[1, 1]);
        let invited = talk
            .people
            .call(&mut talk.world, 0, |tx, now, dice| Ok(pairing::invite(tx, now, dice, "another", 3600).unwrap().0));
        let contact = invited.unwrap();
        talk.run_for(wait);
        let opening = state(&mut talk.world, 0, &contact) == State::Opening;
        given_up_on_the_way += u32::from(opening && talk.world.relay.channel_count() > 1);
        // As `Client::end` does.
        talk.people.call(&mut talk.world, 0, |tx, _, _| tx.end_contact(&contact, EndedWhy::ByUs, !opening));
        talk.run_for(5_000);
        assert_eq!(state(&mut talk.world, 0, &contact), State::Ended(EndedWhy::ByUs), "after {wait} ms");
    }
    assert!(given_up_on_the_way > 0, "the answer was never under way");
}

#[test]
fn an_idle_hour_brings_nothing_but_signs_of_life() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.say(0, 0);
    talk.settle();
    // Receipts and hourly chores of the beginning are over.
    talk.run_for(120_000);
    let heard = Rc::new(RefCell::new(Vec::new()));
    talk.world.meddler = Some(Box::new(Listening(Rc::clone(&heard))));
    talk.run_for(3_600_000);
    let heard = heard.borrow();
    // A frame of a WebSocket adds at most 6 bytes.
    let bytes: usize = heard.iter().map(|length| length + 6).sum();
    println!("an idle hour of two devices: {} frames, {bytes} bytes below TLS", heard.len());
    assert!((500..=600).contains(&heard.len()), "a ping and a pong each 25 s, on two devices");
    assert!(bytes < 10_000, "{bytes}");
}

#[test]
fn a_connection_for_one_channel_names_no_other_and_one_for_enrolments_names_none() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1, 1]);
    talk.say(0, 0);
    talk.say(1, 0);
    let (device, one) = talk.side(0, 0);
    let relay = talk.world.devices[device].relay_in_use().unwrap();
    let holder = Holder([9; 16]);
    talk.change(device, |tx| tx.take_lease(holder, 0, false, true));
    let mut attached = |scope| {
        let (_, welcome) = talk.world.relay.connect();
        let FromRelay::Event(RelayEvent::Welcome(welcome)) = welcome else { panic!("a relay greets") };
        let mut engine = Engine::new(relay, scope, holder, *welcome);
        let shell = &mut talk.world.devices[device];
        let now = Now { wall: 0, steady: 0 };
        let output =
            shell.store.change::<_, TurnError>(|tx| engine.turn(tx, now, &mut shell.dice, Vec::new())).unwrap();
        let mut channels = Vec::new();
        for frame in output.frames {
            match frame {
                ToRelay::Request(_, Request::Attach { items, .. }) => {
                    channels.extend(items.into_iter().map(|item| item.of.channel));
                }
                other => panic!("nothing else is said: {other:?}"),
            }
        }
        channels
    };
    assert_eq!(attached(Scope::All).len(), 2);
    assert_eq!(attached(Scope::Enrolments), []);
    let only = attached(Scope::One(one));
    let channel = talk.change(device, |tx| tx.contact(&one)).unwrap().of.channel;
    assert_eq!(only, [channel]);
}
