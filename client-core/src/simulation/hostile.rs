//! A hostile relay, one lie a test: what it can do is detected, or does no harm, and what it withheld comes when it
//! stops. What it can do for good is in `proto/README.md`, section 18, and shown here too.

use std::cell::Cell;
use std::rc::Rc;

use tacit_proto::Incarnation;
use tacit_proto::frame::{Answer, ClosedWhy, Event, FromRelay, Handle, Refusal, Request, ToRelay};

use super::dice::Dice;
use super::meddler::{Courier, Deaf, Lie, Meddler, Parcel, attached};
use super::relay::ConnId;
use super::scenario::{MANNERS, Scenario};
use crate::types::{ContactState, EndedWhy, Outcome, RefusedWhy};

/// A conversation, of which the relay is honest so far.
fn talk() -> Scenario {
    let mut talk = Scenario::paired(MANNERS, &[1, 1]);
    talk.say(0, 0);
    talk.settle();
    talk
}

fn chat(talk: &mut Scenario) {
    for _ in 0..4 {
        talk.say(0, 0);
        talk.say(0, 1);
        talk.run_for(1_000);
    }
}

/// The relay does this for two minutes, while people write.
fn suffer(talk: &mut Scenario, meddler: impl Meddler + 'static) {
    talk.world.meddler = Some(Box::new(meddler));
    // What it told before, it told honestly; some lies need a new connection.
    reconnect(talk);
    talk.run_for(5_000);
    chat(talk);
    talk.run_for(120_000);
}

fn reconnect(talk: &mut Scenario) {
    for link in talk.world.open_links() {
        talk.world.cut(link);
    }
}

/// It is honest from here on, and everything that people wrote is there once, in order.
fn recover(talk: &mut Scenario) {
    talk.world.meddler = None;
    reconnect(talk);
    // What shows that something is missing is the next text.
    talk.run_for(90_000);
    talk.say(0, 0);
    talk.say(0, 1);
    talk.settle_after_gaps();
    talk.check_all_delivered();
}

/// Every `nth` call is true.
fn every(nth: u64) -> impl FnMut() -> bool {
    let mut calls = 0;
    move || {
        calls += 1;
        calls % nth == 0
    }
}

fn event(frame: &FromRelay) -> Option<&Event> {
    match frame {
        FromRelay::Event(event) => Some(event),
        FromRelay::Answer(..) => None,
    }
}

#[test]
fn boxes_that_the_relay_swallows_are_shown_as_gaps_and_sent_again() {
    let mut talk = talk();
    let mut swallows = every(3);
    suffer(&mut talk, Courier::new(move |parcel| if swallows() { vec![] } else { vec![parcel] }));
    assert!(talk.contact(0, 0).missing + talk.contact(0, 1).missing > 0 || talk.undelivered() > 0);
    recover(&mut talk);
}

#[test]
fn boxes_that_the_relay_repeats_are_read_once() {
    let mut talk = talk();
    suffer(&mut talk, Courier::new(|parcel: Parcel| vec![parcel.clone(), parcel.clone(), parcel]));
    talk.check_all_delivered();
    let mut earlier = Vec::new();
    talk.world.meddler = Some(Box::new(Courier::new(move |parcel: Parcel| {
        earlier.push(parcel.payload.clone());
        let again = earlier.iter().map(|payload| Parcel { payload: payload.clone(), ..parcel.clone() });
        again.collect::<Vec<_>>()
    })));
    reconnect(&mut talk);
    chat(&mut talk);
    recover(&mut talk);
    assert_eq!((talk.contact(0, 0).unopened, talk.contact(0, 1).unopened), (0, 0), "they are known, not unopenable");
}

#[test]
fn boxes_that_the_relay_reorders_are_put_in_order() {
    let mut talk = talk();
    let mut held: Vec<Parcel> = Vec::new();
    suffer(
        &mut talk,
        Courier::new(move |parcel| {
            held.push(parcel);
            if held.len() < 3 { vec![] } else { held.drain(..).rev().collect() }
        }),
    );
    talk.people.check_histories(&mut talk.world);
    recover(&mut talk);
}

#[test]
fn boxes_that_the_relay_brings_to_another_channel_or_back_to_their_sender_do_not_open() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1, 1]);
    let attachments: Rc<std::cell::RefCell<Vec<(ConnId, Handle)>>> = Rc::default();
    let known = Rc::clone(&attachments);
    struct Mixer<M>(Rc<std::cell::RefCell<Vec<(ConnId, Handle)>>>, M);
    impl<M: Meddler> Meddler for Mixer<M> {
        fn up(&mut self, now: u64, from: ConnId, frame: ToRelay) -> Vec<ToRelay> {
            self.1.up(now, from, frame)
        }
        fn down(&mut self, now: u64, to: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
            self.0.borrow_mut().extend(attached(&frame).into_iter().map(|handle| (to, handle)));
            self.1.down(now, to, frame)
        }
    }
    let mut mixes = every(2);
    let courier = Courier::new(move |parcel: Parcel| {
        if mixes() {
            return vec![parcel];
        }
        // To everybody but whom it is for: other channels, and the other end of its own.
        let others = known.borrow().clone().into_iter().filter(|at| *at != (parcel.conn, parcel.handle));
        others.map(|(conn, handle)| Parcel { conn, handle, payload: parcel.payload.clone() }).collect()
    });
    talk.world.meddler = Some(Box::new(Mixer(attachments, courier)));
    reconnect(&mut talk);
    talk.run_for(5_000);
    for pair in 0..2 {
        for _ in 0..4 {
            talk.say(pair, 0);
            talk.say(pair, 1);
            talk.run_for(1_000);
        }
    }
    talk.run_for(60_000);
    talk.people.check_histories(&mut talk.world);
    assert!(talk.contact(0, 0).unopened > 0);
    talk.world.meddler = None;
    reconnect(&mut talk);
    talk.run_for(90_000);
    for pair in 0..2 {
        talk.say(pair, 0);
        talk.say(pair, 1);
    }
    talk.settle_after_gaps();
    talk.check_all_delivered();
}

#[test]
fn boxes_that_the_relay_alters_do_not_open_and_are_sent_again() {
    let mut talk = talk();
    let mut dice = Dice::new(9);
    let mut alters = every(2);
    suffer(
        &mut talk,
        Courier::new(move |parcel: Parcel| {
            let mut payload = parcel.payload.to_vec();
            if alters() {
                let at = dice.below(payload.len() as u64) as usize;
                payload[at] ^= 1 << dice.below(8);
            }
            vec![Parcel { payload: payload.into(), ..parcel }]
        }),
    );
    talk.people.check_histories(&mut talk.world);
    assert!(talk.contact(0, 0).unopened + talk.contact(0, 1).unopened > 0);
    recover(&mut talk);
}

#[test]
fn a_relay_that_ignores_acks_gets_nothing_read_twice() {
    let mut talk = talk();
    suffer(&mut talk, Deaf(|frame: &ToRelay| matches!(frame, ToRelay::Ack { .. })));
    reconnect(&mut talk);
    chat(&mut talk);
    talk.people.check_histories(&mut talk.world);
    recover(&mut talk);
    assert_eq!((talk.contact(0, 0).unopened, talk.contact(0, 1).unopened), (0, 0));
}

#[test]
fn a_box_that_the_relay_claims_to_have_taken_is_never_shown_as_delivered() {
    let mut talk = talk();
    // It takes every box, says so, and keeps none.
    struct BlackHole;
    impl Meddler for BlackHole {
        fn down(&mut self, _now: u64, to: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
            match event(&frame) {
                Some(Event::Deliver { .. }) => vec![],
                _ => vec![(to, frame)],
            }
        }
    }
    suffer(&mut talk, BlackHole);
    for side in 0..2 {
        let outcomes = talk.people.outcomes(&mut talk.world, 0, side);
        let hidden = outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
        assert_eq!(hidden, if side == 0 { 1 } else { 0 }, "only what was delivered before");
        assert!(outcomes.iter().skip(hidden).all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
    }
    recover(&mut talk);
}

#[test]
fn a_promise_beyond_the_longest_hold_is_not_believed() {
    let mut talk = talk();
    suffer(
        &mut talk,
        Lie(|_, frame| match frame {
            FromRelay::Answer(id, Answer::Accepted { handle, n, .. }) => {
                vec![FromRelay::Answer(id, Answer::Accepted { handle, n, hold: u32::MAX })]
            }
            FromRelay::Event(Event::Deliver { .. }) => vec![],
            frame => vec![frame],
        }),
    );
    let longest = talk.world.devices[0].wall(talk.world.now) + u64::from(tacit_proto::limits::MAX_HOLD) * 1_000;
    let outcomes = talk.people.outcomes(&mut talk.world, 0, 0);
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Accepted { .. })));
    for outcome in outcomes {
        assert!(!matches!(outcome, Outcome::Accepted { until } if until > longest), "{outcome:?}");
    }
    recover(&mut talk);
}

#[test]
fn an_end_that_the_relay_denies_is_shown_as_locked_out_and_loses_nothing() {
    for why in [Refusal::NotAllowed, Refusal::TooLarge, Refusal::Used, Refusal::NoPermit, Refusal::Unsupported] {
        let mut talk = talk();
        suffer(
            &mut talk,
            Lie(move |_, frame| match frame {
                FromRelay::Answer(id, Answer::Attach(results)) => {
                    vec![FromRelay::Answer(id, Answer::Attach(results.iter().map(|_| Err(why)).collect()))]
                }
                frame => vec![frame],
            }),
        );
        assert!(talk.contact(0, 0).locked_out && talk.contact(0, 1).locked_out);
        recover(&mut talk);
        assert!(!talk.contact(0, 0).locked_out && !talk.contact(0, 1).locked_out);
    }
}

#[test]
fn an_end_that_the_relay_takes_away_is_taken_back_once_and_then_shown_as_locked_out() {
    let mut talk = talk();
    let told = Rc::new(Cell::new(0));
    let counter = Rc::clone(&told);
    suffer(
        &mut talk,
        Lie(move |_, frame| {
            let lies = attached(&frame).into_iter().map(|handle| FromRelay::Event(Event::Superseded(handle)));
            let lies: Vec<_> = lies.collect();
            counter.set(counter.get() + lies.len());
            std::iter::once(frame).chain(lies).collect()
        }),
    );
    assert!(talk.contact(0, 0).locked_out && talk.contact(0, 1).locked_out);
    assert!(told.get() <= 8, "nobody fights for an end: {} times", told.get());
    recover(&mut talk);
}

#[test]
fn a_conversation_that_the_relay_ends_keeps_its_history_and_says_so() {
    let mut talk = talk();
    suffer(
        &mut talk,
        Lie(|_, frame| {
            let lies = attached(&frame).into_iter();
            let lies = lies.map(|handle| FromRelay::Event(Event::Closed(handle, ClosedWhy::ByPeer)));
            let lies: Vec<_> = lies.collect();
            std::iter::once(frame).chain(lies).collect()
        }),
    );
    for side in 0..2 {
        assert_eq!(talk.contact(0, side).state, ContactState::Ended(EndedWhy::ByPeer));
    }
    talk.people.check_histories(&mut talk.world);
    assert_eq!(talk.people.outcomes(&mut talk.world, 0, 0), [Outcome::Delivered]);
}

#[test]
fn a_used_invite_never_runs_out_and_nothing_else_suffers_by_it() {
    let mut talk = talk();
    suffer(
        &mut talk,
        Lie(|_, frame| {
            let lies = attached(&frame).into_iter();
            let lies = lies.map(|handle| FromRelay::Event(Event::Closed(handle, ClosedWhy::Unclaimed)));
            let lies: Vec<_> = lies.collect();
            std::iter::once(frame).chain(lies).collect()
        }),
    );
    assert_eq!(talk.world.violations, 0);
    assert_eq!(talk.contact(0, 0).state, ContactState::Paired);
    assert!(talk.contact(0, 0).locked_out);
    recover(&mut talk);
}

#[test]
fn alarms_that_the_relay_makes_up_are_shown_and_change_nothing() {
    let mut talk = talk();
    suffer(
        &mut talk,
        Lie(|_, frame| {
            let alarm = |handle| {
                let drained = FromRelay::Event(Event::Drained(handle));
                [FromRelay::Event(Event::InviteTried(handle)), FromRelay::Event(Event::Room(handle)), drained]
            };
            let lies: Vec<_> = attached(&frame).into_iter().flat_map(alarm).collect();
            std::iter::once(frame).chain(lies).collect()
        }),
    );
    assert!(talk.contact(0, 0).invite_tried);
    talk.check_all_delivered();
    recover(&mut talk);
}

#[test]
fn events_for_handles_that_a_device_does_not_have_change_nothing() {
    let mut talk = talk();
    suffer(
        &mut talk,
        Lie(|_, frame| {
            let stranger = Handle(4_000_000);
            let lies = [
                Event::Drained(stranger),
                Event::Room(stranger),
                Event::Superseded(stranger),
                Event::Closed(stranger, ClosedWhy::ByPeer),
                Event::InviteTried(stranger),
                Event::Deliver { handle: stranger, seq: 1, payload: vec![1; 1_984].into(), last: true },
            ];
            if attached(&frame).is_empty() {
                return vec![frame];
            }
            std::iter::once(frame).chain(lies.into_iter().map(FromRelay::Event)).collect()
        }),
    );
    assert_eq!(talk.world.violations, 0);
    talk.check_all_delivered();
}

#[test]
fn an_early_drained_expires_nothing_and_what_expired_wrongly_is_delivered_after_all() {
    let mut talk = talk();
    // It says that it holds nothing, and keeps boxes for no time at all.
    suffer(
        &mut talk,
        Lie(|_, frame| match frame {
            FromRelay::Answer(id, Answer::Accepted { handle, n, .. }) => vec![
                FromRelay::Answer(id, Answer::Accepted { handle, n, hold: 0 }),
                FromRelay::Event(Event::Drained(handle)),
            ],
            FromRelay::Event(Event::Deliver { .. }) => vec![],
            frame => vec![frame],
        }),
    );
    let outcomes = talk.people.outcomes(&mut talk.world, 0, 0);
    assert!(outcomes.contains(&Outcome::Expired), "{outcomes:?}");
    recover(&mut talk);
}

#[test]
fn a_new_incarnation_at_every_connection_costs_resends_and_nothing_else() {
    let mut talk = talk();
    let mut dice = Dice::new(5);
    let lie = Lie(move |_, frame| match frame {
        FromRelay::Event(Event::Welcome(mut welcome)) => {
            welcome.incarnation = Incarnation::from_bytes([dice.below(256) as u8; 16]);
            vec![FromRelay::Event(Event::Welcome(welcome))]
        }
        frame => vec![frame],
    });
    talk.world.meddler = Some(Box::new(lie));
    for _ in 0..6 {
        reconnect(&mut talk);
        talk.run_for(700);
        chat(&mut talk);
    }
    recover(&mut talk);
    assert_eq!((talk.contact(0, 0).unopened, talk.contact(0, 1).unopened), (0, 0));
}

#[test]
fn a_box_that_the_relay_does_not_carry_is_refused_and_said_so() {
    let mut talk = talk();
    suffer(
        &mut talk,
        Lie(|_, frame| match frame {
            FromRelay::Answer(id, Answer::Accepted { .. }) => {
                vec![FromRelay::Answer(id, Answer::Refused(Refusal::NotABox))]
            }
            FromRelay::Event(Event::Deliver { .. }) => vec![],
            frame => vec![frame],
        }),
    );
    let outcomes = talk.people.outcomes(&mut talk.world, 0, 1);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Refused(RefusedWhy::NotCarried)), "{outcomes:?}");
}

/// What no relay may say. Each ends the connection, and loses nothing.
#[test]
fn what_breaks_the_protocol_ends_the_connection_and_loses_nothing() {
    type Bogus = fn(&FromRelay) -> Option<Vec<FromRelay>>;
    let bogus: [(&str, Bogus); 12] = [
        ("an answer to nothing", |frame| match frame {
            FromRelay::Answer(id, answer) => {
                let other = id.checked_add(1_000).unwrap();
                Some(vec![FromRelay::Answer(other, answer.clone())])
            }
            FromRelay::Event(_) => None,
        }),
        ("an answer twice", |frame| match frame {
            FromRelay::Answer(..) => Some(vec![frame.clone(), frame.clone()]),
            FromRelay::Event(_) => None,
        }),
        ("an answer of another kind to Send", |frame| match frame {
            FromRelay::Answer(id, Answer::Accepted { .. }) => Some(vec![FromRelay::Answer(*id, Answer::Done)]),
            _ => None,
        }),
        ("an answer of another kind to Attach", |frame| match frame {
            FromRelay::Answer(id, Answer::Attach(_)) => Some(vec![FromRelay::Answer(*id, Answer::Pong(vec![]))]),
            _ => None,
        }),
        ("an answer of another kind to Ping", |frame| match frame {
            FromRelay::Answer(id, Answer::Pong(_)) => Some(vec![FromRelay::Answer(*id, Answer::Done)]),
            _ => None,
        }),
        ("results for more ends than were asked for", |frame| match frame {
            FromRelay::Answer(id, Answer::Attach(results)) => {
                let results = [results.clone(), results.clone()].concat();
                Some(vec![FromRelay::Answer(*id, Answer::Attach(results))])
            }
            _ => None,
        }),
        ("Accepted for another number", |frame| match frame {
            FromRelay::Answer(id, Answer::Accepted { handle, n, hold }) => {
                let accepted = Answer::Accepted { handle: *handle, n: n + 1, hold: *hold };
                Some(vec![FromRelay::Answer(*id, accepted)])
            }
            _ => None,
        }),
        ("Accepted for another handle", |frame| match frame {
            FromRelay::Answer(id, Answer::Accepted { n, hold, .. }) => {
                let accepted = Answer::Accepted { handle: Handle(4_000_000), n: *n, hold: *hold };
                Some(vec![FromRelay::Answer(*id, accepted)])
            }
            _ => None,
        }),
        ("a second Welcome", |frame| match frame {
            FromRelay::Event(Event::Welcome(_)) => Some(vec![frame.clone(), frame.clone()]),
            _ => None,
        }),
        ("no Welcome at all", |frame| match frame {
            FromRelay::Event(Event::Welcome(_)) => Some(vec![FromRelay::Event(Event::Restarting { reconnect_in: 0 })]),
            _ => None,
        }),
        ("a held end that must be rekeyed", |frame| match frame {
            FromRelay::Answer(id, Answer::Attach(results)) => {
                let mut results = results.clone();
                for attached in results.iter_mut().flatten() {
                    attached.must_rekey = true;
                }
                Some(vec![FromRelay::Answer(*id, Answer::Attach(results))])
            }
            _ => None,
        }),
        ("a delivery whose seq does not grow", |frame| match frame {
            FromRelay::Event(Event::Deliver { handle, payload, .. }) => Some(vec![FromRelay::Event(Event::Deliver {
                handle: *handle,
                seq: 0,
                payload: payload.clone(),
                last: true,
            })]),
            _ => None,
        }),
    ];
    for (what, lie) in bogus {
        let mut talk = talk();
        let lies = Lie(move |_, frame| lie(&frame).unwrap_or_else(|| vec![frame]));
        suffer(&mut talk, lies);
        assert!(talk.world.violations > 0, "{what} is not detected");
        assert!(!talk.contact(0, 0).locked_out, "{what}");
        recover(&mut talk);
    }
}

#[test]
fn a_handle_given_twice_ends_the_connection() {
    let mut talk = Scenario::paired(MANNERS, &[1, 1, 1]);
    talk.world.meddler = Some(Box::new(Lie(|_, frame| match frame {
        FromRelay::Answer(id, Answer::Attach(mut results)) => {
            let first = attached(&FromRelay::Answer(id, Answer::Attach(results.clone())))[0];
            results.iter_mut().flatten().for_each(|attached| attached.handle = first);
            vec![FromRelay::Answer(id, Answer::Attach(results))]
        }
        frame => vec![frame],
    })));
    reconnect(&mut talk);
    talk.run_for(60_000);
    assert!(talk.world.violations > 0);
}

#[test]
fn a_relay_that_refuses_everything_is_not_asked_without_a_pause() {
    for why in [Refusal::NotAllowed, Refusal::Busy, Refusal::TooFast, Refusal::Full] {
        let mut talk = talk();
        let asked = Rc::new(Cell::new(0));
        struct Refuser(Rc<Cell<u64>>, Refusal);
        impl Meddler for Refuser {
            fn up(&mut self, _now: u64, _from: ConnId, frame: ToRelay) -> Vec<ToRelay> {
                self.0.set(self.0.get() + 1);
                vec![frame]
            }
            fn down(&mut self, _now: u64, to: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
                match frame {
                    FromRelay::Answer(id, Answer::Accepted { .. } | Answer::Refused(Refusal::OutOfTurn)) => {
                        vec![(to, FromRelay::Answer(id, Answer::Refused(self.1)))]
                    }
                    FromRelay::Event(Event::Deliver { .. }) => vec![],
                    frame => vec![(to, frame)],
                }
            }
        }
        suffer(&mut talk, Refuser(Rc::clone(&asked), why));
        assert!(asked.get() < 1_200, "{} requests in two minutes after {why:?}", asked.get());
        recover(&mut talk);
    }
}

#[test]
fn a_request_that_the_relay_never_answers_is_asked_again_on_the_next_connection() {
    let mut talk = talk();
    let mut swallows = every(3);
    suffer(
        &mut talk,
        Deaf(move |frame: &ToRelay| {
            matches!(frame, ToRelay::Request(_, Request::Send { .. } | Request::Attach { .. })) && swallows()
        }),
    );
    recover(&mut talk);
}

/// Anything at all, by chance.
struct Random {
    dice: Dice,
    seen: Vec<FromRelay>,
}

impl Meddler for Random {
    fn up(&mut self, _now: u64, _from: ConnId, frame: ToRelay) -> Vec<ToRelay> {
        if self.dice.per_mille(20) { Vec::new() } else { vec![frame] }
    }

    fn down(&mut self, _now: u64, to: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
        // What ends a conversation for good is another test.
        let ends = |frame: &FromRelay| matches!(event(frame), Some(Event::Closed(..)));
        if self.seen.len() < 200 && !ends(&frame) {
            self.seen.push(frame.clone());
        }
        let earlier = self.seen[self.dice.below(self.seen.len() as u64) as usize].clone();
        match self.dice.below(40) {
            0 => vec![],
            1 => vec![(to, frame.clone()), (to, frame)],
            2 => vec![(to, earlier), (to, frame)],
            3 => vec![(to, earlier)],
            4 => match (frame, earlier) {
                // An answer that was meant for something else.
                (FromRelay::Answer(id, _), FromRelay::Answer(_, answer)) => vec![(to, FromRelay::Answer(id, answer))],
                (frame, _) => vec![(to, frame)],
            },
            _ => vec![(to, frame)],
        }
    }
}

#[test]
fn a_relay_that_says_anything_by_chance_loses_nothing_for_good() {
    for seed in 1..=40 {
        let mut talk = talk();
        suffer(&mut talk, Random { dice: Dice::new(seed), seen: Vec::new() });
        talk.people.check_histories(&mut talk.world);
        recover(&mut talk);
    }
}
