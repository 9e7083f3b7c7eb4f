//! What a device promises, one claim a test: one thing goes wrong, at a chosen moment.

use super::relay::Manners;
use super::scenario::{MANNERS, Scenario};
use crate::store::faults;
use crate::types::Outcome;

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
