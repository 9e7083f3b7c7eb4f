//! The keys of a backlog: a chain that only turns forward.
//!
//! A backlog draws a random *chain key* when its first box is appended, for that box's seq. From the chain key of a seq
//! follow, one way,
//!
//! ```text
//! box key of this seq   = HMAC-SHA256(chain key, "tacit v1 backlog box")
//! chain key of the next = HMAC-SHA256(chain key, "tacit v1 backlog chain")
//! ```
//!
//! so whoever holds the chain key of the oldest waiting box opens that one and all later ones, and none before it.
//! One key for the whole backlog would keep every deleted box of a backlog that never drains openable.
//!
//! A box is wrapped with ChaCha20-Poly1305 under its box key, with a nonce of its batch, and with the channel, end, seq and
//! expiry hour as associated data. The nonce is not idle: when a transaction fails, its pages may be on the disk
//! already, and the next box to take that seq is another one.
//!
//! The *row* of a backlog stores the chain key of some seq at or below the oldest waiting one, wrapped under an epoch
//! key. It is written when the backlog begins and anew whenever the epoch turns, never on an ack, and with a random
//! 12-byte nonce each time: even a million rows an hour repeat one under an epoch key with probability 2^-57.

use std::collections::HashMap;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tacit_proto::{EndOf, SealedBox};
use zeroize::Zeroizing;

use super::epoch::{EpochId, EpochKey, Keyring};
use super::fault::Fault;
use super::rows::{Take, end_key};
use super::{BoxKey, Hour};

const BOX_LABEL: &[u8] = b"tacit v1 backlog box";
const CHAIN_LABEL: &[u8] = b"tacit v1 backlog chain";
const ROW_LABEL: &[u8] = b"tacit v1 backlog row";
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const HOUR_LEN: usize = 4;

/// Bytes around a box in its row: expiry hour, nonce, tag.
pub(super) const BOX_OVERHEAD: usize = HOUR_LEN + NONCE_LEN + TAG_LEN;

/// Most steps between two seqs of one backlog. Seqs are dense but for boxes that were never stored, so more than this
/// is a damaged number, and following it would take hours.
const MAX_STEPS: u64 = 1 << 24;

/// A key of a chain, or of one box.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// The row of a backlog: where its chain stands, wrapped under an epoch key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BacklogRow {
    /// The seq whose chain key this is.
    pub(super) base: u64,
    /// The epoch whose key it is wrapped under.
    pub(super) epoch: EpochId,
    nonce: [u8; NONCE_LEN],
    wrapped: [u8; 32],
    tag: [u8; TAG_LEN],
}

impl BacklogRow {
    /// Wraps the link at the oldest waiting seq.
    pub(super) fn wrap(of: &EndOf, link: &Link, epoch: EpochId, key: &EpochKey) -> Result<Self, Fault> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let mut row = Self { base: link.seq, epoch, nonce, wrapped: *link.key, tag: [0; TAG_LEN] };
        let aad = row.aad(of);
        row.tag = seal(key, &nonce, &aad, &mut row.wrapped)?;
        Ok(row)
    }

    pub(super) fn unwrap(&self, of: &EndOf, keys: &Keyring) -> Result<Link, Fault> {
        let epoch_key = keys.get(&self.epoch).ok_or(Fault::Damaged("a backlog's epoch key is missing"))?;
        let mut key = Zeroizing::new(self.wrapped);
        open(epoch_key, &self.nonce, &self.aad(of), &mut key[..], &self.tag)
            .ok_or(Fault::Damaged("a backlog's key does not open"))?;
        Ok(Link { seq: self.base, key })
    }

    fn aad(&self, of: &EndOf) -> Vec<u8> {
        [ROW_LABEL, &end_key(of), &self.base.to_be_bytes(), &self.epoch].concat()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.base.to_be_bytes()[..], &self.epoch, &self.nonce, &self.wrapped, &self.tag].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let mut from = Take(bytes);
        let mut parse = || {
            let base = u64::from_be_bytes(from.take()?);
            let (epoch, nonce, wrapped, tag) = (from.take()?, from.take()?, from.take()?, from.take()?);
            from.is_empty().then_some(Self { base, epoch, nonce, wrapped, tag })
        };
        parse().ok_or(Fault::Damaged("a backlog's row"))
    }
}

/// The chain key of one seq.
#[derive(Clone)]
pub(super) struct Link {
    seq: u64,
    key: Key,
}

impl Link {
    /// Begins a chain.
    pub(super) fn draw(seq: u64) -> Result<Self, Fault> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut key[..])?;
        Ok(Self { seq, key })
    }

    /// Turns the chain forward.
    pub(super) fn advance(&mut self, to: u64) -> Result<(), Fault> {
        match to.checked_sub(self.seq) {
            Some(steps) if steps <= MAX_STEPS => {
                for _ in 0..steps {
                    self.key = derive(&self.key, CHAIN_LABEL);
                }
                self.seq = to;
                Ok(())
            }
            _ => Err(Fault::Damaged("a seq that its backlog cannot hold")),
        }
    }

    /// The key of the box with this seq.
    pub(super) fn box_key(&self) -> Key {
        derive(&self.key, BOX_LABEL)
    }
}

/// One backlog's chain in memory: where it was read, where it was last loaded from, and where it was last appended to,
/// so that going on from either place takes one step.
struct Chain {
    row: BacklogRow,
    base: Link,
    load: Link,
    append: Link,
}

/// Which of a chain's two places is meant.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Where boxes are loaded.
    Load,
    /// Where boxes are appended.
    Append,
}

/// The chains in use. Only a cache: an entry counts only while its row is the one on disk, so whatever becomes of a
/// transaction, a stale entry is never used.
#[derive(Default)]
pub(super) struct Chains(HashMap<EndOf, Chain>);

impl Chains {
    /// The link at a seq of a backlog.
    pub(super) fn link(
        &mut self,
        of: &EndOf,
        row: &BacklogRow,
        keys: &Keyring,
        place: Place,
        seq: u64,
    ) -> Result<&Link, Fault> {
        if !self.0.get(of).is_some_and(|chain| chain.row == *row) {
            let base = row.unwrap(of, keys)?;
            self.begin(of, row.clone(), base);
        }
        let chain = self.0.get_mut(of).ok_or(Fault::Damaged("a chain that was just made"))?;
        let (here, there) = match place {
            Place::Load => (&mut chain.load, &chain.append),
            Place::Append => (&mut chain.append, &chain.load),
        };
        let nearest =
            [&*here, there, &chain.base].into_iter().filter(|link| link.seq <= seq).max_by_key(|link| link.seq);
        let nearest = nearest.ok_or(Fault::Damaged("a seq before its backlog"))?;
        if nearest.seq != here.seq {
            *here = nearest.clone();
        }
        here.advance(seq)?;
        Ok(here)
    }

    /// Remembers a chain whose row was just made.
    pub(super) fn begin(&mut self, of: &EndOf, row: BacklogRow, base: Link) {
        let chain = Chain { row, load: base.clone(), append: base.clone(), base };
        self.0.insert(*of, chain);
    }

    /// Forgets a backlog.
    pub(super) fn forget(&mut self, of: &EndOf) {
        self.0.remove(of);
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The nonces of one batch: 8 random bytes, then a count.
///
/// A box key meets another box only in another batch, after a failure: asking the system for randomness once a batch is
/// enough, and saves a call to it per box.
pub(super) struct Nonces {
    batch: [u8; 8],
    count: u32,
}

impl Nonces {
    /// Begins a batch.
    pub(super) fn draw() -> Result<Self, Fault> {
        let mut batch = [0; 8];
        getrandom::fill(&mut batch)?;
        Ok(Self { batch, count: 0 })
    }

    fn next(&mut self) -> Result<[u8; NONCE_LEN], Fault> {
        self.count = self.count.checked_add(1).ok_or(Fault::Damaged("a batch too long to wrap"))?;
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&self.batch);
        nonce[8..].copy_from_slice(&self.count.to_be_bytes());
        Ok(nonce)
    }
}

/// Wraps a box for its row.
pub(super) fn wrap_box(
    key: &Key,
    nonces: &mut Nonces,
    of: &EndOf,
    name: BoxKey,
    sealed: &SealedBox,
) -> Result<Vec<u8>, Fault> {
    let BoxKey { seq, expires } = name;
    let bytes = sealed.bytes();
    let nonce = nonces.next()?;
    let mut row = Vec::with_capacity(bytes.len() + BOX_OVERHEAD);
    row.extend_from_slice(&expires.0.to_be_bytes());
    row.extend_from_slice(&nonce);
    row.extend_from_slice(bytes);
    let tag = seal(key, &nonce, &box_aad(of, seq, expires), &mut row[HOUR_LEN + NONCE_LEN..])?;
    row.extend_from_slice(&tag);
    Ok(row)
}

/// The expiry hour in a box's row.
pub(super) fn expiry(row: &[u8]) -> Result<Hour, Fault> {
    let hour = Take(row).take().ok_or(Fault::Damaged("a box's row"))?;
    Ok(Hour(u32::from_be_bytes(hour)))
}

/// Takes a box out of its row again.
pub(super) fn unwrap_box(key: &Key, of: &EndOf, seq: u64, mut row: Vec<u8>) -> Result<SealedBox, Fault> {
    let mut open_row = || {
        let mut from = Take(&row);
        let (hour, nonce) = (Hour(u32::from_be_bytes(from.take()?)), from.take()?);
        let end = row.len().checked_sub(TAG_LEN)?;
        let tag: [u8; TAG_LEN] = row[end..].try_into().ok()?;
        row.truncate(end);
        open(key, &nonce, &box_aad(of, seq, hour), row.get_mut(HOUR_LEN + NONCE_LEN..)?, &tag)
    };
    open_row().ok_or(Fault::Damaged("a waiting box does not open"))?;
    let sealed = bytes::Bytes::from(row).slice(HOUR_LEN + NONCE_LEN..);
    SealedBox::check(sealed).map_err(|_| Fault::Damaged("what waits is not a sealed box"))
}

fn box_aad(of: &EndOf, seq: u64, expires: Hour) -> Vec<u8> {
    [&end_key(of)[..], &seq.to_be_bytes(), &expires.0.to_be_bytes()].concat()
}

fn derive(key: &Key, label: &[u8]) -> Key {
    // HMAC pads a 32-byte key with zeros to one block of its hash (RFC 2104 §2).
    let mut padded = Zeroizing::new([0; 64]);
    padded[..32].copy_from_slice(&key[..]);
    let mac = <Hmac<Sha256> as KeyInit>::new((&*padded).into()).chain_update(label);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn seal(key: &Key, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], Fault> {
    let cipher = ChaCha20Poly1305::new((&**key).into());
    let sealed = cipher.encrypt_inout_detached(<&Nonce>::from(nonce), aad, InOutBuf::from(data));
    // Only a message of 256 GiB is too long for ChaCha20.
    Ok(sealed.map_err(|_| Fault::Damaged("a box too long to wrap"))?.into())
}

fn open(key: &Key, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8], tag: &[u8; TAG_LEN]) -> Option<()> {
    let cipher = ChaCha20Poly1305::new((&**key).into());
    cipher.decrypt_inout_detached(<&Nonce>::from(nonce), aad, InOutBuf::from(data), <&Tag>::from(tag)).ok()
}
