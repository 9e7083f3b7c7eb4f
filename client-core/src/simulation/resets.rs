//! Resets: asked for by a person, by a gap that is too big, and by a device that was restored.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::meddler::{Courier, Parcel};
use super::scenario::{MANNERS, Scenario};
use crate::error::{ResetError, StoreError};
use crate::life_cycle::can_say_farewell;
use crate::reset;
use crate::store::faults;
use crate::types::{ContactState, EndedWhy, Event};

const DAY_MS: i64 = 24 * 3600 * 1_000;

impl Scenario {
    /// A person resets the conversation of one side.
    fn reset(&mut self, side: usize) -> Result<(), ResetError> {
        self.reset_of(0, side)
    }

    fn reset_of(&mut self, pair: usize, side: usize) -> Result<(), ResetError> {
        let (device, contact) = self.side(pair, side);
        let now = self.world.devices[device].wall(self.world.now);
        let shell = &mut self.world.devices[device];
        shell.store.change(|tx| {
            let row = tx.contact(&contact)?.unwrap();
            reset::begin(tx, &row, now, &mut shell.dice)
        })?;
        self.world.poke(device);
        Ok(())
    }

    fn words(&mut self, side: usize) -> [&'static str; 12] {
        let (device, contact) = self.side(0, side);
        self.change(device, |tx| tx.transcript(&contact)).unwrap().safety_words()
    }

    fn verify(&mut self) {
        for side in 0..2 {
            let (device, contact) = self.side(0, side);
            self.change(device, |tx| tx.set_verified(&contact, true));
        }
    }

    /// How many sessions one side had before the present one.
    fn session(&mut self, side: usize) -> i64 {
        let (device, contact) = self.side(0, side);
        self.change(device, |tx| tx.contact(&contact)).unwrap().session
    }

    /// Both sides are in a new session, and say so.
    fn check_renewed(&mut self, before: [&str; 12], asked: usize) {
        assert_eq!(self.words(0), self.words(1));
        assert_ne!(self.words(0), before);
        for side in 0..2 {
            let contact = self.contact(0, side);
            assert!(!contact.verified && !contact.session.wedged && !contact.session.resetting);
            assert_eq!(contact.session.last_reset.unwrap().by_peer, side != asked);
            let (device, key) = self.side(0, side);
            let old = self.change(device, |tx| tx.old_sessions(&key));
            assert!(old.is_empty(), "the old session is erased once the new one is used");
        }
    }

    /// Breaks the ratchet state of one side.
    fn damage(&mut self, pair: usize, side: usize) {
        let (device, contact) = self.side(pair, side);
        self.change(device, |tx| tx.set_blob(&contact, "session", Some(b"damaged")));
    }

    fn chat(&mut self) {
        for _ in 0..3 {
            self.say(0, 0);
            self.say(0, 1);
            self.run_for(60);
        }
    }
}

fn talk() -> Scenario {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.chat();
    talk.settle();
    talk.verify();
    talk
}

#[test]
fn a_reset_gives_both_sides_new_words_takes_verified_back_and_loses_nothing_under_way() {
    for side in 0..2 {
        let mut talk = talk();
        let before = talk.words(0);
        talk.chat();
        talk.reset(side).unwrap();
        assert!(talk.contact(0, side).session.resetting);
        let mut told = Vec::new();
        for _ in 0..20 {
            talk.chat();
            let notes = talk.world.notes.iter();
            told.extend(notes.filter_map(|note| match note.1 {
                Event::SessionReset { by_peer, .. } => Some((note.0, by_peer)),
                _ => None,
            }));
        }
        talk.settle();
        talk.check_renewed(before, side);
        talk.check_all_delivered();
        assert_eq!(talk.session(0), 1);
        for each in 0..2 {
            assert_eq!(talk.contact(0, each).unopened, 0);
        }
        // And everything goes on.
        talk.chat();
        talk.settle();
        talk.check_all_delivered();
    }
}

#[test]
fn a_damaged_session_stops_no_other_contact_is_shown_and_heals_by_a_reset() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1, 1]);
    talk.chat();
    talk.settle();
    let before = talk.words(0);
    talk.damage(0, 0);
    for _ in 0..4 {
        for pair in 0..2 {
            talk.say(pair, 0);
            talk.say(pair, 1);
        }
        talk.run_for(2_000);
    }
    let (broken, other) = (talk.contact(0, 0), talk.contact(1, 0));
    assert!(broken.session.wedged && !other.session.wedged);
    assert!(broken.unopened > 0, "what came for it could not be read");
    assert_eq!(talk.people.outcomes(&mut talk.world, 1, 0), [crate::types::Outcome::Delivered; 4]);
    talk.reset_of(0, 0).unwrap();
    talk.settle();
    talk.check_renewed(before, 0);
    talk.check_all_delivered();
}

#[test]
fn two_resets_at_once_end_in_one_session_that_end_a_asked_for() {
    for apart_ms in [0, 1, 10, 25, 40, 60, 200] {
        let mut talk = talk();
        let before = talk.words(0);
        talk.reset(1).unwrap();
        talk.run_for(apart_ms);
        talk.reset(0).unwrap();
        talk.chat();
        talk.settle();
        talk.check_all_delivered();
        assert_eq!(talk.words(0), talk.words(1));
        assert_ne!(talk.words(0), before);
        assert_eq!(talk.session(0), talk.session(1), "{apart_ms}");
        assert!(!talk.contact(0, 0).session.resetting && !talk.contact(0, 1).session.resetting);
    }
}

#[test]
fn end_a_wins_when_both_ask_while_neither_can_hear_the_other() {
    let mut talk = talk();
    let before = talk.words(0);
    talk.world.crash_relay(talk.world.now + 30_000, false);
    talk.run_for(1_000);
    talk.reset(1).unwrap();
    talk.reset(0).unwrap();
    talk.chat();
    talk.run_for(60_000);
    talk.settle();
    talk.check_renewed(before, 0);
    assert_eq!((talk.session(0), talk.session(1)), (1, 1));
    talk.check_all_delivered();
}

#[test]
fn a_reset_that_the_relay_repeats_is_not_accepted_twice() {
    let mut talk = talk();
    let recorded: Rc<RefCell<Vec<bytes::Bytes>>> = Rc::default();
    let repeats = Rc::new(Cell::new(false));
    let (record, repeat) = (Rc::clone(&recorded), Rc::clone(&repeats));
    talk.world.meddler = Some(Box::new(Courier::new(move |parcel: Parcel| {
        if repeat.get() {
            let all = record.borrow().clone().into_iter();
            let all = all.map(|payload| Parcel { payload, ..parcel.clone() });
            return all.chain([parcel.clone()]).collect();
        }
        record.borrow_mut().push(parcel.payload.clone());
        vec![parcel]
    })));
    talk.world.open_links().into_iter().for_each(|link| talk.world.cut(link));
    talk.run_for(10_000);
    talk.reset(0).unwrap();
    talk.settle();
    talk.reset(1).unwrap();
    talk.settle();
    let words = talk.words(0);
    assert_eq!((talk.session(0), talk.session(1)), (2, 2));
    // Everything that was ever delivered comes again, to both: requests and answers, old and new.
    repeats.set(true);
    talk.chat();
    talk.settle();
    assert_eq!((talk.session(0), talk.session(1)), (2, 2));
    assert_eq!((talk.words(0), talk.words(1)), (words, words));
    talk.check_all_delivered();
}

#[test]
fn a_reset_that_was_lost_is_asked_for_again() {
    for lose_answer in [false, true] {
        let mut talk = talk();
        let before = talk.words(0);
        // Whoever is to hear of it is away when the relay loses it.
        let (asks, hears) = (0, 1);
        let away = if lose_answer { asks } else { hears };
        talk.reset(asks).unwrap();
        if lose_answer {
            // Long enough for the request, not for the answer.
            while talk.session(hears) == 0 {
                talk.run_for(1);
            }
        }
        talk.world.devices[away].away_until = talk.world.now + 60_000;
        talk.world.poke(away);
        talk.run_for(5_000);
        talk.world.crash_relay(talk.world.now, true);
        talk.chat();
        talk.run_for(120_000);
        talk.settle();
        talk.check_renewed(before, asks);
        talk.check_all_delivered();
    }
}

#[test]
fn a_reset_is_asked_for_and_accepted_five_times_a_day() {
    let mut talk = talk();
    for _ in 0..5 {
        talk.reset(0).unwrap();
        talk.settle();
    }
    assert!(matches!(talk.reset(0), Err(ResetError::TooOften)));
    // A device that does not keep to it is not answered.
    let (device, contact) = talk.side(0, 0);
    let now = talk.world.devices[device].wall(talk.world.now);
    let mut dice = talk.world.devices[device].dice.split();
    talk.change(device, |tx| {
        let row = tx.contact(&contact)?.unwrap();
        reset::restore(tx, &row, now, &mut dice)
    });
    talk.run_for(60_000);
    assert!(talk.contact(0, 0).session.resetting);
    assert_eq!(talk.session(1), 5);
    assert_eq!(talk.contact(0, 1).unopened, 1);
    // The day after, it is repeated and taken.
    for device in &mut talk.world.devices {
        device.clock_error += 2 * DAY_MS;
    }
    talk.run_for(2 * 3_600_000);
    talk.settle();
    assert_eq!(talk.session(1), 6);
    talk.chat();
    talk.settle();
    talk.check_all_delivered();
}

#[test]
fn boxes_that_cannot_be_opened_reset_nothing() {
    let mut talk = talk();
    let before = talk.words(0);
    talk.world.meddler = Some(Box::new(Courier::new(|parcel: Parcel| {
        let mut payload = parcel.payload.to_vec();
        payload[1_500] ^= 1;
        vec![Parcel { payload: payload.into(), ..parcel }]
    })));
    talk.world.open_links().into_iter().for_each(|link| talk.world.cut(link));
    talk.run_for(10_000);
    talk.chat();
    talk.run_for(60_000);
    assert!(talk.contact(0, 0).unopened > 0 && talk.contact(0, 1).unopened > 0);
    assert_eq!((talk.session(0), talk.session(1), talk.words(0)), (0, 0, before));
    assert!(!talk.contact(0, 0).session.wedged && !talk.contact(0, 0).session.resetting);
}

#[test]
fn a_gap_that_the_ratchet_cannot_jump_is_mended_by_a_reset() {
    let mut talk = talk();
    talk.world.relay.manners.limits.window_boxes = u32::MAX;
    talk.world.relay.manners.limits.window_bytes = u32::MAX;
    let before = talk.words(0);
    let swallowed = Rc::new(Cell::new(0));
    let count = Rc::clone(&swallowed);
    // The relay swallows more boxes of the client than Olm jumps over, receipts of them included.
    talk.world.meddler = Some(Box::new(Courier::new(move |parcel: Parcel| {
        if count.get() < 2_100 {
            count.set(count.get() + 1);
            return vec![];
        }
        vec![parcel]
    })));
    talk.world.open_links().into_iter().for_each(|link| talk.world.cut(link));
    talk.run_for(10_000);
    for _ in 0..2_101 {
        talk.say(0, 1);
    }
    talk.run_for(60_000);
    assert_eq!(swallowed.get(), 2_100);
    talk.settle();
    talk.check_renewed(before, 0);
    talk.check_all_delivered();
}

#[test]
fn a_reset_survives_a_death_at_any_write() {
    let reset_dying_at = |write: Option<u64>| {
        let mut talk = Scenario::paired(MANNERS, &[1, 1]);
        talk.chat();
        talk.settle();
        let before = talk.words(0);
        let begun = faults::writes();
        talk.reset(1).unwrap();
        talk.world.dies_at_write = write.map(|write| faults::writes() + write);
        talk.say(0, 0);
        talk.say(0, 1);
        talk.settle();
        talk.check_renewed(before, 1);
        talk.check_all_delivered();
        (faults::writes() - begun, talk.world.deaths)
    };
    let (writes, deaths) = reset_dying_at(None);
    assert_eq!(deaths, 0);
    // The last few writes are made when all is settled already.
    for write in 0..writes - 20 {
        let (_, deaths) = reset_dying_at(Some(write));
        assert_eq!(deaths, 1, "nobody died at write {write} of {writes}");
    }
}

/// A device that was lost: a second one with everything that the first had, up to a moment.
fn lose(talk: &mut Scenario, side: usize) -> usize {
    let (device, _) = talk.side(0, side);
    talk.people.one_is_lost = true;
    talk.world.twin(device)
}

/// The device is restored from a backup of this moment.
fn restore(talk: &mut Scenario, side: usize) {
    let (device, contact) = talk.side(0, side);
    let now = talk.world.devices[device].wall(talk.world.now);
    let shell = &mut talk.world.devices[device];
    shell
        .store
        .change::<_, StoreError>(|tx| {
            let row = tx.contact(&contact)?.unwrap();
            reset::restore(tx, &row, now, &mut shell.dice)
        })
        .unwrap();
    let begins = talk.world.now + 100;
    talk.world.kill(device, 0, begins);
}

#[test]
fn a_restored_device_locks_the_lost_one_out_and_goes_on_under_new_words() {
    for side in 0..2 {
        let mut talk = talk();
        let before = talk.words(0);
        let lost = lose(&mut talk, side);
        talk.world.devices[lost].away_until = talk.world.now + 10_000;
        restore(&mut talk, side);
        talk.chat();
        talk.run_for(5_000);
        talk.settle();
        talk.check_renewed(before, side);
        // The lost one comes back.
        talk.run_for(60_000);
        let (_, contact) = talk.side(0, side);
        let shown = talk.change(lost, |tx| tx.public_contact(&contact)).unwrap();
        assert!(shown.locked_out, "the lost device says that it is locked out");
        assert_eq!(shown.state, ContactState::Paired, "and keeps its history");
        talk.chat();
        talk.settle();
        talk.check_all_delivered();
        assert!(!talk.contact(0, side).locked_out);
    }
}

#[test]
fn a_device_that_is_locked_out_while_it_is_connected_says_so() {
    let mut talk = talk();
    let lost = lose(&mut talk, 0);
    talk.run_for(60_000);
    restore(&mut talk, 0);
    talk.chat();
    talk.settle();
    talk.run_for(60_000);
    let (_, contact) = talk.side(0, 0);
    assert!(talk.change(lost, |tx| tx.public_contact(&contact)).unwrap().locked_out);
    assert!(!talk.contact(0, 0).locked_out);
    talk.check_all_delivered();
}

#[test]
fn a_key_that_was_being_handed_over_when_the_backup_was_made_locks_nobody_in() {
    for lost_was_first in [true, false] {
        let mut talk = talk();
        let (device, contact) = talk.side(0, 0);
        talk.world.devices[device].away_until = u64::MAX;
        talk.world.poke(device);
        talk.run_for(1_000);
        // Both have the key now that comes next.
        talk.reset(0).unwrap();
        let lost = lose(&mut talk, 0);
        talk.world.devices[lost].away_until = if lost_was_first { 0 } else { u64::MAX };
        talk.world.poke(lost);
        talk.run_for(60_000);
        let before = talk.words(1);
        restore(&mut talk, 0);
        talk.world.devices[device].away_until = 0;
        talk.chat();
        talk.run_for(60_000);
        talk.settle();
        assert!(!talk.contact(0, 0).locked_out);
        talk.check_renewed(before, 0);
        talk.world.devices[lost].away_until = 0;
        talk.world.poke(lost);
        talk.run_for(120_000);
        assert!(talk.change(lost, |tx| tx.public_contact(&contact)).unwrap().locked_out);
        talk.chat();
        talk.settle();
        assert!(!talk.contact(0, 0).locked_out);
    }
}

#[test]
fn what_a_backup_does_not_have_comes_again_and_no_position_is_given_twice() {
    let mut talk = talk();
    // A backup is made; the conversation goes on on the device that will be lost.
    let backup = lose(&mut talk, 1);
    talk.world.devices[backup].away_until = u64::MAX;
    talk.chat();
    talk.settle();
    talk.check_all_delivered();
    // The device is gone, and the backup takes its place.
    let (device, _) = talk.side(0, 1);
    talk.world.devices[device].away_until = u64::MAX;
    talk.world.poke(device);
    talk.run_for(1_000);
    talk.say(0, 0);
    talk.world.devices.swap(device, backup);
    talk.world.devices[device].away_until = 0;
    restore(&mut talk, 1);
    talk.run_for(1_000);
    talk.say(0, 1);
    talk.chat();
    talk.settle();
    // What the therapist sent since the backup is here again; what the lost device sent is at the therapist's.
    talk.people.check_histories(&mut talk.world);
    let came = |talk: &mut Scenario, side: usize| talk.people.came(&mut talk.world, 0, side);
    assert_eq!(came(&mut talk, 1), talk.people.texts_of(0, 0));
    assert_eq!(came(&mut talk, 0), talk.people.texts_of(0, 1));
    assert_eq!((talk.contact(0, 0).missing, talk.contact(0, 1).missing), (0, 0));
}

#[test]
fn whoever_ends_a_pairing_before_a_restored_device_connects_closes_the_channel() {
    for side in 0..2 {
        let mut talk = talk();
        let (device, contact) = talk.side(0, side);
        restore(&mut talk, side);
        // There is no session in which a farewell could be said: the channel is closed, as `Client::end` does.
        let says_farewell = talk.change(device, |tx| {
            let row = tx.contact(&contact)?.unwrap();
            tx.end_contact(&contact, EndedWhy::ByUs, true)?;
            can_say_farewell(tx, &row)
        });
        assert!(!says_farewell);
        talk.run_for(60_000);
        assert_eq!(talk.contact(0, 1 - side).state, ContactState::Ended(EndedWhy::ByPeer));
        let key_is_left = talk.change(device, |tx| Ok(tx.end_key(&contact)?.or(tx.next_end_key(&contact)?).is_some()));
        assert!(!key_is_left, "the relay knows, and nothing is kept");
    }
}
