//! What the embedded spool claims, on real files and on a disk that fails on purpose.

mod faults;
mod files;
mod format;
mod maintenance;
mod migration;
mod model;
mod power_cut;
mod round_trips;
mod secrecy;
mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use tacit_proto::{ChannelId, End, EndOf, EndPublic, EnrolCodeHash, HEADER_LEN, PermitHash, SealedBox, SizeClass};

use super::{
    BoxKey, Change, ChannelRow, EndRow, EnrolmentId, Hour, Phase, Recovered, RedbSpool, SpentCode, Spool, Waiting,
};

/// An end of the `n`th channel.
fn end(n: u8, end: End) -> EndOf {
    EndOf { channel: channel(n), end }
}

fn channel(n: u8) -> ChannelId {
    ChannelId::from_bytes([n; 16])
}

/// A box whose content repeats nowhere else.
fn sealed(class: SizeClass, seed: u64) -> SealedBox {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; class.box_len()];
    for byte in &mut bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 24) as u8;
    }
    bytes[..HEADER_LEN].copy_from_slice(&class.header());
    SealedBox::check(Bytes::from(bytes)).unwrap()
}

fn small(seed: u64) -> SealedBox {
    sealed(SizeClass::Small, seed)
}

fn key(seq: u64) -> BoxKey {
    BoxKey { seq, expires: Hour(1000 + (seq % 3) as u32) }
}

fn append(to: EndOf, seq: u64, sealed: SealedBox) -> Change {
    Change::Append { to, key: key(seq), sealed }
}

fn remove(of: EndOf, seqs: impl IntoIterator<Item = u64>) -> Change {
    Change::Remove { of, keys: seqs.into_iter().map(key).collect() }
}

fn channel_row(n: u8, phase: Phase) -> ChannelRow {
    let spent_invite = (n % 2 == 1).then(|| EndPublic::from_bytes([n ^ 0x0f; 32]));
    ChannelRow {
        a: EndRow { key: EndPublic::from_bytes([n; 32]), spent_invite: None },
        b: EndRow { key: EndPublic::from_bytes([n ^ 0xff; 32]), spent_invite },
        phase,
        invite_tried: n.is_multiple_of(3),
    }
}

/// What a spool should hold.
#[derive(Clone, Default, PartialEq)]
struct Model {
    boxes: BTreeMap<(EndOf, u64), (Hour, SealedBox)>,
    channels: BTreeMap<ChannelId, ChannelRow>,
    permits: BTreeMap<PermitHash, EnrolmentId>,
    enrolments: BTreeMap<EnrolCodeHash, SpentCode>,
}

/// Short: a failed comparison should be readable.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boxes = self.boxes.iter().map(|((of, seq), (expires, sealed))| {
            (of.channel.as_bytes()[0], of.end, *seq, expires.0, sealed.class(), hex::encode(&sealed.bytes()[2..6]))
        });
        let channels = self.channels.iter().map(|(channel, row)| (channel.as_bytes()[0], row.phase));
        let permits = self.permits.iter().map(|(permit, id)| (permit.as_bytes()[0], id.as_bytes()[0]));
        f.debug_struct("Model")
            .field("boxes", &boxes.collect::<Vec<_>>())
            .field("channels", &channels.collect::<Vec<_>>())
            .field("permits", &permits.collect::<Vec<_>>())
            .field("enrolments", &self.enrolments.len())
            .finish()
    }
}

impl Model {
    fn apply(&mut self, batch: &[Change]) {
        for change in batch {
            match change.clone() {
                Change::Append { to, key, sealed } => {
                    self.boxes.insert((to, key.seq), (key.expires, sealed));
                }
                Change::Remove { of, keys } => keys.iter().for_each(|key| {
                    self.boxes.remove(&(of, key.seq));
                }),
                Change::PutChannel(channel, row) => {
                    self.channels.insert(channel, row);
                }
                Change::ForgetChannel(channel) => {
                    self.channels.remove(&channel);
                }
                Change::Enrol { code, permits, forget } => {
                    self.enrolments.insert(code, SpentCode::of(&permits, forget));
                    self.permits.extend(permits.into_iter().map(|permit| (permit, EnrolmentId::of(&code))));
                }
                Change::SpendPermit(permit) => {
                    self.permits.remove(&permit);
                }
                Change::ForgetEnrolment(code) => {
                    self.enrolments.remove(&code);
                }
            }
        }
    }

    /// The model that a start-up's findings and the boxes behind them amount to.
    fn found(spool: &RedbSpool, recovered: &Recovered) -> Self {
        let mut found = Self {
            channels: recovered.channels.iter().cloned().collect(),
            permits: recovered.permits.iter().copied().collect(),
            enrolments: recovered.enrolments.iter().copied().collect(),
            boxes: BTreeMap::new(),
        };
        let ends: BTreeSet<EndOf> = recovered.waiting.iter().map(|waiting| waiting.of).collect();
        let mut loaded: BTreeMap<(EndOf, u64), SealedBox> = BTreeMap::new();
        for of in ends {
            loaded.extend(spool.load(of, 0, usize::MAX).unwrap().into_iter().map(|(seq, sealed)| ((of, seq), sealed)));
        }
        assert_eq!(loaded.len(), recovered.waiting.len(), "the counters tell of exactly the boxes that wait");
        for Waiting { of, key, class } in &recovered.waiting {
            let sealed = loaded[&(*of, key.seq)].clone();
            assert_eq!(sealed.class(), *class);
            found.boxes.insert((*of, key.seq), (key.expires, sealed));
        }
        found
    }

    /// The boxes at an end.
    fn at(&self, of: EndOf) -> Vec<(u64, SealedBox)> {
        self.boxes.range((of, 0)..=(of, u64::MAX)).map(|((_, seq), (_, sealed))| (*seq, sealed.clone())).collect()
    }
}

/// One thing that a script does.
#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>),
    Turn,
    /// Closes the spool and opens it again.
    Reopen,
}

/// A day in the life of a spool, in short: every kind of change, backlogs that drain and begin again, growth of the
/// file, epochs that turn, and a restart in between.
fn script() -> Vec<Step> {
    let (a, b, c) = (end(1, End::A), end(1, End::B), end(2, End::A));
    let permits: Vec<_> = (1..4).map(|n| PermitHash::from_bytes([n; 32])).collect();
    let code = EnrolCodeHash::from_bytes([9; 32]);
    let unclaimed = Phase::Unclaimed { join_by: Hour(77) };
    let closed = Phase::Closed { by: Some(End::B), forget: Hour(99) };
    vec![
        Step::Commit(vec![Change::Enrol { code, permits: permits.clone(), forget: Hour(50) }]),
        Step::Commit(vec![
            Change::PutChannel(channel(1), channel_row(1, unclaimed)),
            Change::SpendPermit(permits[0]),
            append(b, 1, sealed(SizeClass::Large, 1)),
        ]),
        Step::Commit(vec![append(a, 1, small(2)), append(a, 2, small(3)), append(c, 5, small(4))]),
        Step::Commit(vec![append(a, 3, small(5)), remove(a, [1])]),
        Step::Turn,
        Step::Commit(vec![
            remove(b, [1]),
            append(b, 2, small(6)),
            Change::PutChannel(channel(1), channel_row(1, Phase::Claimed)),
        ]),
        Step::Commit((10..30).map(|seq| append(c, seq, sealed(SizeClass::Large, seq))).collect()),
        Step::Commit(vec![append(b, 3, small(7)), remove(b, [2, 3])]),
        Step::Turn,
        Step::Reopen,
        Step::Commit(vec![remove(a, [2]), append(a, 4, small(8)), remove(c, 5..20)]),
        Step::Commit(vec![
            append(b, 9, small(9)),
            Change::PutChannel(channel(2), channel_row(2, closed)),
            Change::ForgetEnrolment(code),
        ]),
        Step::Turn,
        Step::Commit(vec![remove(c, 20..30), Change::ForgetChannel(channel(2))]),
        Step::Commit(vec![append(c, 30, small(10)), append(a, 5, sealed(SizeClass::Large, 11))]),
    ]
}
