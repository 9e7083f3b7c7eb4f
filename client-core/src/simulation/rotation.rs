//! Sealing keys: replaced in time, erased in time, and never before the other side moved on.

use std::cell::RefCell;
use std::rc::Rc;

use tacit_proto::frame::Limits;

use super::meddler::{Courier, Meddler, Parcel};
use super::relay::Manners;
use super::scenario::{MANNERS, Scenario};

const DAY_MS: i64 = 24 * 3600 * 1_000;

/// The numbers of one side's live sealing keys, the newest first.
fn keys(talk: &mut Scenario, side: usize) -> Vec<u32> {
    let (device, contact) = talk.side(0, side);
    let keys = talk.change(device, |tx| tx.sealing_keys(&contact, 0));
    keys.iter().map(|key| key.number).collect()
}

/// Lets the wall clocks of both devices go on by so many days, and everybody connect again.
fn days_later(talk: &mut Scenario, days: i64) {
    for device in &mut talk.world.devices {
        device.clock_error += days * DAY_MS;
    }
    for link in talk.world.open_links() {
        talk.world.cut(link);
    }
    // Longer than the longest backoff: who is not connected now would miss the next cut, and do no chores for an hour.
    talk.run_for(90_000);
    talk.settle();
}

#[test]
fn a_sealing_key_is_replaced_after_a_week_and_erased_once_the_hold_has_passed_too() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.say(0, 0);
    talk.say(0, 1);
    talk.settle();
    days_later(&mut talk, 6);
    assert_eq!((keys(&mut talk, 0), keys(&mut talk, 1)), (vec![0], vec![0]));
    days_later(&mut talk, 1);
    assert_eq!((keys(&mut talk, 0), keys(&mut talk, 1)), (vec![1, 0], vec![1, 0]));
    // Each week another one; each old one stays for the hold.
    days_later(&mut talk, 7);
    days_later(&mut talk, 7);
    assert_eq!(keys(&mut talk, 0), [3, 2, 1, 0]);
    days_later(&mut talk, 7);
    assert_eq!(keys(&mut talk, 0), [4, 3, 2, 1, 0], "it is just three weeks since key 1 was used");
    days_later(&mut talk, 1);
    assert_eq!(keys(&mut talk, 0), [4, 3, 2, 1]);
    talk.say(0, 0);
    talk.say(0, 1);
    talk.settle();
    talk.check_all_delivered();
}

#[test]
fn a_sealing_key_is_replaced_after_a_thousand_boxes() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    for _ in 0..1_000 {
        talk.say(0, 1);
    }
    talk.settle();
    assert_eq!(keys(&mut talk, 0), [1, 0]);
    assert_eq!(keys(&mut talk, 1), [0], "receipts come together");
    talk.check_all_delivered();
}

/// Keeps a copy of every box, and repeats those of before when told to.
struct Recorder {
    seen: Rc<RefCell<Vec<bytes::Bytes>>>,
    repeat: Rc<RefCell<Vec<bytes::Bytes>>>,
}

impl Recorder {
    fn courier(self) -> impl Meddler {
        Courier::new(move |parcel: Parcel| {
            self.seen.borrow_mut().push(parcel.payload.clone());
            let repeated = std::mem::take(&mut *self.repeat.borrow_mut()).into_iter();
            let again = repeated.map(|payload| Parcel { payload, ..parcel.clone() });
            again.chain([parcel.clone()]).collect()
        })
    }
}

#[test]
fn a_box_sealed_to_an_erased_key_cannot_be_opened_any_more() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    let (seen, repeat) = (Rc::default(), Rc::default());
    let recorder = Recorder { seen: Rc::clone(&seen), repeat: Rc::clone(&repeat) };
    talk.world.meddler = Some(Box::new(recorder.courier()));
    days_later(&mut talk, 0);
    talk.say(0, 1);
    talk.run_for(200);
    let recorded = seen.borrow()[0].clone();
    talk.settle();

    // As long as the key is there, the box opens: what is in it was read before.
    *repeat.borrow_mut() = vec![recorded.clone()];
    talk.say(0, 1);
    talk.settle();
    assert_eq!(talk.contact(0, 0).unopened, 0);

    days_later(&mut talk, 8);
    days_later(&mut talk, 22);
    assert!(!keys(&mut talk, 0).contains(&0));
    *repeat.borrow_mut() = vec![recorded];
    talk.say(0, 1);
    talk.settle();
    assert_eq!(talk.contact(0, 0).unopened, 1);
    talk.check_all_delivered();
}

#[test]
fn a_peer_that_was_away_for_longer_than_the_hold_still_gets_through() {
    let short = Limits { hold: 600, ..MANNERS.limits };
    let mut talk = Scenario::paired(Manners { limits: short, ..MANNERS }, &[1, 1]);
    talk.say(0, 0);
    talk.say(0, 1);
    talk.settle();
    // Sealed and queued on the client's device, which then is switched off for weeks.
    talk.world.relay_down_until = u64::MAX;
    talk.world.devices[1].away_until = u64::MAX;
    talk.say(0, 1);
    talk.world.relay_down_until = 0;
    talk.world.devices[0].clock_error += 30 * DAY_MS;
    talk.run_for(4 * 3_600_000);
    assert_eq!(keys(&mut talk, 0), [1, 0], "no further key is drawn, and none erased, while nobody answers");

    talk.world.devices[1].away_until = 0;
    talk.world.devices[1].clock_error += 30 * DAY_MS;
    talk.say(0, 1);
    talk.run_for(2 * 3_600_000);
    talk.settle();
    talk.check_all_delivered();
    assert_eq!(keys(&mut talk, 0)[0], 1);
    assert_eq!(talk.contact(0, 0).unopened, 0);
    // The announcement was made again, and now the other side seals to the new key.
    days_later(&mut talk, 1);
    assert_eq!(keys(&mut talk, 0), [1]);
}
