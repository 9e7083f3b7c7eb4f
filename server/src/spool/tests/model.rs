//! Any lawful sequence of changes leaves what a plain map would hold.

use proptest::prelude::*;
use tacit_proto::{End, EnrolCodeHash, PermitHash, SizeClass};

use super::{Model, append, channel, channel_row, end, key, remove, sealed};
use crate::spool::{Change, Hour, Phase, RedbSpool, Spool};

#[derive(Clone, Debug)]
enum Act {
    Append {
        at: u8,
        skip: u64,
        large: bool,
    },
    /// Removes the oldest few.
    Remove {
        at: u8,
        most: usize,
    },
    Channel {
        n: u8,
        phase: u8,
    },
    Forget {
        n: u8,
    },
    Enrol {
        code: u8,
        permits: Vec<u8>,
    },
    Spend {
        permit: u8,
    },
    ForgetEnrolment {
        code: u8,
    },
}

#[derive(Clone, Debug)]
enum Round {
    Batch(Vec<Act>),
    Turn,
    Reopen,
    Load { at: u8, from: u64, most: usize },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..4u8, 1..4u64, prop::bool::weighted(0.2)).prop_map(|(at, skip, large)| Act::Append { at, skip, large }),
        4 => (0..4u8, 1..5usize).prop_map(|(at, most)| Act::Remove { at, most }),
        1 => (0..3u8, 0..5u8).prop_map(|(n, phase)| Act::Channel { n, phase }),
        1 => (0..3u8).prop_map(|n| Act::Forget { n }),
        1 => (0..2u8, prop::collection::vec(0..6u8, 0..3)).prop_map(|(code, permits)| Act::Enrol { code, permits }),
        1 => (0..6u8).prop_map(|permit| Act::Spend { permit }),
        1 => (0..2u8).prop_map(|code| Act::ForgetEnrolment { code }),
    ]
}

fn round() -> impl Strategy<Value = Round> {
    prop_oneof![
        6 => prop::collection::vec(act(), 1..8).prop_map(Round::Batch),
        1 => Just(Round::Turn),
        1 => Just(Round::Reopen),
        2 => (0..4u8, 0..20u64, 0..6usize).prop_map(|(at, from, most)| Round::Load { at, from, most }),
    ]
}

fn at(n: u8) -> tacit_proto::EndOf {
    end(1 + n / 2, if n.is_multiple_of(2) { End::A } else { End::B })
}

/// Turns acts into changes that a relay could make, given what waits.
struct Relay {
    model: Model,
    last: [u64; 4],
    boxes: u64,
}

impl Relay {
    fn change(&mut self, act: Act) -> Change {
        let permit = |n| PermitHash::from_bytes([n; 32]);
        let change = match act {
            Act::Append { at: n, skip, large } => {
                self.last[usize::from(n)] += skip;
                self.boxes += 1;
                let class = if large { SizeClass::Large } else { SizeClass::Small };
                append(at(n), self.last[usize::from(n)], sealed(class, self.boxes))
            }
            Act::Remove { at: n, most } => {
                remove(at(n), self.model.at(at(n)).into_iter().take(most).map(|(seq, _)| key(seq).seq))
            }
            Act::Channel { n, phase } => {
                let phase = match phase {
                    0 => Phase::Unclaimed { join_by: Hour(5) },
                    1 => Phase::Claimed,
                    2 => Phase::Closed { by: None, forget: Hour(6) },
                    3 => Phase::Closed { by: Some(End::A), forget: Hour(7) },
                    _ => Phase::Closed { by: Some(End::B), forget: Hour(8) },
                };
                Change::PutChannel(channel(n), channel_row(n, phase))
            }
            Act::Forget { n } => Change::ForgetChannel(channel(n)),
            Act::Enrol { code, permits } => Change::Enrol {
                code: EnrolCodeHash::from_bytes([code; 32]),
                permits: permits.into_iter().map(permit).collect(),
                forget: Hour(9),
            },
            Act::Spend { permit: n } => Change::SpendPermit(permit(n)),
            Act::ForgetEnrolment { code } => Change::ForgetEnrolment(EnrolCodeHash::from_bytes([code; 32])),
        };
        self.model.apply(std::slice::from_ref(&change));
        change
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_holds_what_a_plain_map_would(rounds in prop::collection::vec(round(), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = RedbSpool::open(dir.path()).unwrap();
        let mut relay = Relay { model: Model::default(), last: [0; 4], boxes: 0 };
        for round in rounds {
            match round {
                Round::Batch(acts) => {
                    let batch: Vec<_> = acts.into_iter().map(|act| relay.change(act)).collect();
                    spool.commit(&batch).unwrap();
                }
                Round::Turn => spool.turn_epoch().unwrap(),
                Round::Reopen => {
                    drop(spool);
                    let (again, recovered) = RedbSpool::open(dir.path()).unwrap();
                    prop_assert_eq!(&Model::found(&again, &recovered), &relay.model);
                    spool = again;
                }
                Round::Load { at: n, from, most } => {
                    let expected: Vec<_> =
                        relay.model.at(at(n)).into_iter().filter(|(seq, _)| *seq >= from).take(most).collect();
                    prop_assert_eq!(spool.load(at(n), from, most).unwrap(), expected);
                }
            }
        }
        drop(spool);
        let (again, recovered) = RedbSpool::open(dir.path()).unwrap();
        prop_assert_eq!(Model::found(&again, &recovered), relay.model);
    }
}
