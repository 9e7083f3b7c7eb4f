//! What runs at the same time in a relay, in many orders: connections, the committer, the reader, graces.
//!
//! Sessions, the hub, its queues and threads are what is shipped; bytes and disk are not here, transactions are short, and
//! one of `futures_util`'s types is done in steps (`waker`). Shuttle stops each thread wherever it takes a lock, waits, or
//! touches an atomic that others read, and decides who goes on; if nobody can, a wake-up was lost or locks were taken in two
//! orders, and the test fails. Time does not pass: a grace may end at any moment, and what only a timer would begin, a test
//! begins. Atomics are in one order for all threads, so that a wrong memory ordering does not show. What one channel decides
//! is tested in every order elsewhere (`channel/tests/interleavings.rs`).
//!
//! `cargo test -p tacit-server --features shuttle --lib concurrency`; `TACIT_SCHEDULES` says how many orders each test tries
//! (400 unless told). A failure prints its order, for `shuttle::replay`.

mod device;
mod waker;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use shuttle::future::block_on;
use shuttle::thread;
use tacit_proto::End;
use tacit_proto::frame::{Answer, Event, FromRelay, Refusal, Request};

use device::{Device, Over};
pub(crate) use waker::AtomicWaker;
use world::{A, B, BOXES, INVITE, World, claimed, explore, invited};

type Part = Box<dyn FnOnce(&World) + Send>;

/// Runs the parts of a scenario at the same time, until each has ended.
fn together(world: &World, parts: impl IntoIterator<Item = Part>) {
    let start = |part: Part| {
        let world = world.clone();
        thread::spawn(move || part(&world))
    };
    let threads: Vec<_> = parts.into_iter().map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn sends(world: &World) {
    Device::attach(world, End::A, A).unwrap().send_until_accepted(1..=BOXES);
}

fn receives(world: &World) {
    Device::attach(world, End::B, B).unwrap().receive(usize::MAX);
}

/// Sends, and closes without waiting for answers.
fn sends_and_closes(world: &World) {
    let mut device = Device::attach(world, End::A, A).unwrap();
    let sent = device.send(1..=BOXES);
    device.close(sent);
}

#[test]
fn acks_race_graces_and_the_committer() {
    explore(claimed, |world| {
        together(world, [Box::new(sends) as Part, Box::new(receives)]);
        world.everything_arrives();
    });
}

#[test]
fn devices_that_leave_come_back_and_supersede_each_other_lose_nothing() {
    explore(claimed, |world| {
        let leaves_and_returns = |world: &World| {
            Device::attach(world, End::B, B).unwrap().receive(2);
            receives(world);
        };
        together(world, [Box::new(sends) as Part, Box::new(leaves_and_returns), Box::new(receives)]);
        world.everything_arrives();
    });
}

#[test]
fn a_box_that_nobody_acks_is_accepted_when_its_grace_is_over() {
    explore(claimed, |world| {
        let idle = Device::attach(world, End::B, B).unwrap();
        together(world, [Box::new(sends) as Part]);
        drop(idle);
        world.everything_arrives();
    });
}

#[test]
fn a_disk_that_fails_for_a_while_delays_and_takes_nothing() {
    explore(claimed, |world| {
        let disk = |world: &World| {
            world.spool.fail(true);
            thread::yield_now();
            world.spool.fail(false);
            // Time would have it tried again.
            world.hub.queue.turn_epoch();
        };
        together(world, [Box::new(sends) as Part, Box::new(receives), Box::new(disk)]);
        world.everything_arrives();
    });
}

#[test]
fn what_is_under_way_when_the_relay_ends_is_on_disk() {
    explore(claimed, |world| {
        let flushes = |world: &World| block_on(world.hub.flush());
        together(world, [Box::new(sends) as Part, Box::new(flushes)]);
        world.everything_arrives();
    });
}

#[test]
fn what_was_accepted_before_a_close_still_arrives() {
    explore(claimed, |world| {
        let receives = |world: &World| {
            let over = Device::attach(world, End::B, B).unwrap().receive(usize::MAX);
            assert!(matches!(over, Over::Complete | Over::Closed), "{over:?}");
        };
        together(world, [Box::new(sends_and_closes) as Part, Box::new(receives)]);
        world.accepted_arrives();
    });
}

#[test]
fn ends_that_both_close_leave_nothing() {
    explore(claimed, |world| {
        let closes = |world: &World| {
            let mut device = Device::attach(world, End::B, B).unwrap();
            world.known().unwanted = true;
            device.close(BTreeMap::new());
        };
        together(world, [Box::new(sends_and_closes) as Part, Box::new(closes)]);
        assert_eq!(world.row(), None);
    });
}

#[test]
fn an_invite_has_one_winner_and_its_opener_hears_of_the_other() {
    explore(invited, |world| {
        let hears = |world: &World| {
            let mut device = Device::attach(world, End::A, A).unwrap();
            while !matches!(device.next(), FromRelay::Event(Event::InviteTried(_))) {}
        };
        let winners = Arc::new(AtomicU32::new(0));
        let claims = |new| {
            let winners = Arc::clone(&winners);
            move |world: &World| match Device::attach(world, End::B, INVITE).map(|mut device| device.rekey(INVITE, new))
            {
                Ok(Answer::Done) => drop(winners.fetch_add(1, Ordering::Relaxed)),
                // Whoever was too late tries again, and finds out.
                Ok(Answer::Refused(Refusal::NotAllowed)) | Err(Refusal::Busy) => {
                    let again = || Device::attach(world, End::B, INVITE).map(drop);
                    let mut found = std::iter::repeat_with(again).inspect(|_| thread::yield_now());
                    assert_eq!(found.find(|found| *found != Err(Refusal::Busy)), Some(Err(Refusal::Used)));
                }
                Ok(other) => panic!("{other:?}"),
                Err(why) => assert_eq!(why, Refusal::Used),
            }
        };
        together(world, [Box::new(hears) as Part, Box::new(claims(21)), Box::new(claims(22))]);
        assert_eq!(winners.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn every_request_is_answered_once_whatever_else_goes_on() {
    explore(claimed, |world| {
        let asks = |world: &World| {
            let mut device = Device::attach(world, End::A, A).unwrap();
            let pings: Vec<_> = (0..3).map(|_| device.ask(Request::Ping)).collect();
            let sent = device.send(1..=BOXES);
            let mut left: Vec<_> = pings.into_iter().chain(sent.into_keys()).collect();
            while !left.is_empty() {
                if let FromRelay::Answer(request, answer) = device.next() {
                    let at = left.iter().position(|asked| *asked == request).expect("answered once");
                    left.swap_remove(at);
                    assert!(matches!(answer, Answer::Pong(_) | Answer::Accepted { .. }), "{answer:?}");
                }
            }
        };
        let sweeps = |world: &World| block_on(world.hub.sweep());
        together(world, [Box::new(asks) as Part, Box::new(receives), Box::new(sweeps)]);
    });
}
