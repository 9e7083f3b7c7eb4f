//! The embedded spool's tables: what a key and a value look like, to the byte. Integers are big-endian, so that keys
//! sort as their numbers do.
//!
//! # `spool.redb`, format 2
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name, 8 bytes | `format`: 4 bytes; `life`: the incarnation, 16 bytes; `commits`: the number of the last transaction (migrations have none), 8 bytes |
//! | `channels` | channel, 16 bytes | see `channel_to_bytes` |
//! | `permits` | hash, 32 bytes | the enrolment that gave it, 8 bytes |
//! | `enrolments` | code's hash, 32 bytes | hour to forget it 4, number of permits given 2, SHA-256 over their hashes 32 |
//! | `backlogs` | channel, then 1 (A) or 2 (B): 17 bytes | see `chain`: base seq 8, epoch 8, nonce 12, wrapped chain key 32, tag 16 |
//! | `boxes` | channel, then seq with the top bit set for end B: 24 bytes | expiry hour 4, nonce 12, wrapped box, tag 16 |
//! | `due` | the first 16 bytes of the box's row: expiry hour, nonce | the key in `boxes`, 24 bytes; size class, 1 byte |
//!
//! Older formats, and how they become this one, are in `migration`.
//!
//! A backlog has a row exactly while boxes wait in it; every box has a row in `due`, which is small, so that counting what
//! waits at start-up reads no payload, and which is ordered by hour, so that what expires is found without looking at
//! what does not. The nonces of a batch differ in their last bytes only: its rows lie next to each other in `due`, where
//! rows ordered by channel would each have a page copied (3 of 13 µs a box, measured).
//!
//! A leaf of redb holds 4 bytes, and 4 per row beside keys of a fixed width and values. With 24-byte keys and values of
//! 1,984 + 32 and 16,320 + 32 bytes, two small boxes take 4,092 of a 4,096-byte page, and a large one all of 16,384.
//!
//! # Why no crash loses anything
//! A batch is one redb transaction, committed in two phases: pages, synced, then the one byte that makes them count,
//! synced. Old pages are never written over. So after a cut at any write the file is the state before the batch or the
//! one after it, and whoever was told *durable* was told after the second sync. The rows that wrap keys change in the
//! same transactions as the boxes they open; the one thing outside redb is the epoch keys, whose file says why they
//! cannot be torn away.
//!
//! When a write *fails* while the process lives, the batch may or may not have reached the disk, and a sync that failed
//! once proves nothing later. The writer then opens the database anew, compares `commits`, and takes back a batch that
//! had landed after all (`Undo`), so that whoever was told *not made* was told the truth. Only if the process ends before
//! the disk lets it do so may the batch be there at the next start: as after any crash before an answer.

use redb::TableDefinition;
use tacit_proto::{ChannelId, End, EndOf, EndPublic, SizeClass};

use super::fault::Fault;
use super::{BoxKey, ChannelRow, EndRow, EnrolmentId, Hour, Phase, SpentCode, Waiting};

/// A table with keys of one width.
pub(super) type Def<const K: usize> = TableDefinition<'static, &'static [u8; K], &'static [u8]>;

pub(super) const META: Def<8> = Def::new("meta");
pub(super) const CHANNELS: Def<16> = Def::new("channels");
pub(super) const PERMITS: Def<32> = Def::new("permits");
pub(super) const ENROLMENTS: Def<32> = Def::new("enrolments");
pub(super) const BACKLOGS: Def<17> = Def::new("backlogs");
pub(super) const BOXES: Def<24> = Def::new("boxes");
pub(super) const DUE: Def<16> = Def::new("due");

/// The version of all this.
pub(super) const FORMAT: u32 = 2;
pub(super) const META_FORMAT: [u8; 8] = *b"format\0\0";
pub(super) const META_INCARNATION: [u8; 8] = *b"life\0\0\0\0";
pub(super) const META_COMMITS: [u8; 8] = *b"commits\0";

/// Seqs have 63 bits: the top one tells the ends apart.
const END_B: u64 = 1 << 63;
/// The highest seq.
pub(super) const MAX_SEQ: u64 = END_B - 1;

/// Takes fixed lengths off the front of bytes.
pub(super) struct Take<'a>(pub(super) &'a [u8]);

impl Take<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(super) fn end_key(of: &EndOf) -> [u8; 17] {
    let mut key = [0; 17];
    key[..16].copy_from_slice(of.channel.as_bytes());
    key[16] = of.end.number();
    key
}

pub(super) fn end_from_key(key: &[u8; 17]) -> Result<EndOf, Fault> {
    let mut from = Take(key);
    let mut parse = || {
        let channel = ChannelId::from_bytes(from.take()?);
        let [end] = from.take()?;
        Some(EndOf { channel, end: End::try_from(u32::from(end)).ok()? })
    };
    parse().ok_or(Fault::Damaged("a backlog's name"))
}

pub(super) fn box_key(of: &EndOf, seq: u64) -> [u8; 24] {
    debug_assert!(seq <= MAX_SEQ, "callers check");
    let number = match of.end {
        End::A => seq,
        End::B => seq | END_B,
    };
    let mut key = [0; 24];
    key[..16].copy_from_slice(of.channel.as_bytes());
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn box_from_key(key: &[u8; 24]) -> (EndOf, u64) {
    let (mut channel, mut number) = ([0; 16], [0; 8]);
    channel.copy_from_slice(&key[..16]);
    number.copy_from_slice(&key[16..]);
    let number = u64::from_be_bytes(number);
    let end = if number & END_B == 0 { End::A } else { End::B };
    (EndOf { channel: ChannelId::from_bytes(channel), end }, number & MAX_SEQ)
}

/// The name of a box in `due`: the beginning of its row.
pub(super) type DueKey = [u8; 16];

pub(super) fn due_key(box_row: &[u8]) -> Result<DueKey, Fault> {
    Take(box_row).take().ok_or(Fault::Damaged("a box's row"))
}

pub(super) fn due_hour(key: &DueKey) -> Hour {
    let [hour @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *key;
    Hour(u32::from_be_bytes(hour))
}

/// The last name in `due` that an hour can have.
pub(super) fn due_until(hour: Hour) -> DueKey {
    let mut key = [0xff; 16];
    key[..4].copy_from_slice(&hour.0.to_be_bytes());
    key
}

pub(super) fn due_row(of_box: &[u8; 24], class: SizeClass) -> [u8; 25] {
    let mut row = [0; 25];
    row[..24].copy_from_slice(of_box);
    row[24] = class.number();
    row
}

/// A box that waits, from its row in `due`.
pub(super) fn due_from_row(key: &DueKey, row: &[u8]) -> Result<Waiting, Fault> {
    let mut from = Take(row);
    let of_box = from.take().ok_or(Fault::Damaged("a row of what is due"))?;
    let (of, seq) = box_from_key(&of_box);
    Ok(Waiting { of, key: BoxKey { seq, expires: due_hour(key) }, class: class_from_bytes(from.0)? })
}

fn class_from_bytes(bytes: &[u8]) -> Result<SizeClass, Fault> {
    let class = SizeClass::ALL.into_iter().find(|class| *bytes == [class.number()]);
    class.ok_or(Fault::Damaged("a size class"))
}

pub(super) fn number_from_bytes(bytes: &[u8]) -> Result<u64, Fault> {
    let bytes = bytes.try_into().map_err(|_| Fault::Damaged("a number of the spool itself"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Phase 1 byte (0 unclaimed, 1 claimed, 2 closed), its hour 4, who closed 1 (0 nobody, 1 A, 2 B), invite tried 1; then
/// for end A and end B each: key 32, whether a spent invite follows 1, the spent invite 32 or nothing.
pub(super) fn channel_to_bytes(row: &ChannelRow) -> Vec<u8> {
    let (phase, hour, by) = match row.phase {
        Phase::Unclaimed { join_by } => (0, join_by, 0),
        Phase::Claimed => (1, Hour(0), 0),
        Phase::Closed { by, forget } => (2, forget, by.map_or(0, End::number)),
    };
    let mut bytes = vec![phase];
    bytes.extend_from_slice(&hour.0.to_be_bytes());
    bytes.extend_from_slice(&[by, row.invite_tried.into()]);
    for end in [&row.a, &row.b] {
        bytes.extend_from_slice(end.key.as_bytes());
        bytes.push(end.spent_invite.is_some().into());
        bytes.extend_from_slice(end.spent_invite.as_ref().map_or(&[][..], |spent| spent.as_bytes()));
    }
    bytes
}

pub(super) fn channel_from_bytes(bytes: &[u8]) -> Result<ChannelRow, Fault> {
    let mut from = Take(bytes);
    let mut parse = || {
        let [phase] = from.take()?;
        let hour = Hour(u32::from_be_bytes(from.take()?));
        let [by, tried] = from.take()?;
        let phase = match (phase, by) {
            (0, 0) => Phase::Unclaimed { join_by: hour },
            (1, 0) => Phase::Claimed,
            (2, 0) => Phase::Closed { by: None, forget: hour },
            (2, by) => Phase::Closed { by: Some(End::try_from(u32::from(by)).ok()?), forget: hour },
            _ => return None,
        };
        let row = ChannelRow { a: end_row(&mut from)?, b: end_row(&mut from)?, phase, invite_tried: flag(tried)? };
        from.is_empty().then_some(row)
    };
    parse().ok_or(Fault::Damaged("a channel's row"))
}

fn end_row(from: &mut Take<'_>) -> Option<EndRow> {
    let key = EndPublic::from_bytes(from.take()?);
    let [spent] = from.take()?;
    let spent_invite = if flag(spent)? { Some(EndPublic::from_bytes(from.take()?)) } else { None };
    Some(EndRow { key, spent_invite })
}

const fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

pub(super) fn spent_code_to_bytes(spent: &SpentCode) -> Vec<u8> {
    [&spent.forget.0.to_be_bytes()[..], &spent.given.to_be_bytes(), &spent.digest].concat()
}

pub(super) fn spent_code_from_bytes(bytes: &[u8]) -> Result<SpentCode, Fault> {
    let mut from = Take(bytes);
    let mut parse = || {
        let forget = Hour(u32::from_be_bytes(from.take()?));
        let (given, digest) = (u16::from_be_bytes(from.take()?), from.take()?);
        from.is_empty().then_some(SpentCode { given, digest, forget })
    };
    parse().ok_or(Fault::Damaged("an enrolment's row"))
}

pub(super) fn permit_from_bytes(bytes: &[u8]) -> Result<EnrolmentId, Fault> {
    let id = bytes.try_into().map_err(|_| Fault::Damaged("a permit's row"))?;
    Ok(EnrolmentId::from_bytes(id))
}
