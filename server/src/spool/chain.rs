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
//! How a box is wrapped under its box key is in `wrap`.
//!
//! The *row* of a backlog stores the chain key of its *base*, some seq at or below the oldest waiting one, wrapped under an
//! epoch key. It is written when the backlog begins, and anew at the oldest waiting seq whenever the epoch turns and
//! whenever that seq enters another [`STRIDE`]; with a random 12-byte nonce each time: even a million rows an hour repeat
//! one under an epoch key with probability 2^-57.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tacit_proto::EndOf;
use zeroize::Zeroizing;

use super::epoch::{EpochId, EpochKey, Keyring};
use super::fault::Fault;
use super::rows::{Take, end_key};

const BOX_LABEL: &[u8] = b"tacit v1 backlog box";
const CHAIN_LABEL: &[u8] = b"tacit v1 backlog chain";
const ROW_LABEL: &[u8] = b"tacit v1 backlog row";
pub(super) const NONCE_LEN: usize = 12;
pub(super) const TAG_LEN: usize = 16;

/// How many seqs the oldest waiting box may go on before the row follows it. A backlog that never drains would otherwise
/// be walked from where it stood when the epoch turned; so many steps take some milliseconds.
const STRIDE: u64 = 4_096;

/// Most steps between two seqs of one backlog. Seqs are dense and the row follows the oldest, so more than this is a
/// damaged number, and following it would take hours.
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

/// Whether the row of a backlog is to follow its oldest waiting seq.
pub(super) const fn should_follow(from: u64, to: u64) -> bool {
    from / STRIDE != to / STRIDE
}

/// Moves the row of a backlog up to its oldest waiting seq, wrapped under the key of an epoch.
///
/// A row that does not open, twice, was damaged. The boxes behind it are lost, and so would be all that came after them at
/// any end: no transaction could be made that reads it. A new chain takes its place.
pub(super) fn follow(
    row: &[u8],
    of: &EndOf,
    oldest: u64,
    keys: &Keyring,
    (epoch, key): (EpochId, &EpochKey),
    suspects: &mut Suspects,
) -> Result<BacklogRow, Fault> {
    let link = BacklogRow::from_bytes(row)?.unwrap(of, keys).and_then(|mut link| {
        link.advance(oldest)?;
        Ok(link)
    });
    let link = match suspects.judge(of, link)? {
        Some(link) => link,
        None => Link::draw(oldest)?,
    };
    BacklogRow::wrap(of, &link, epoch, key)
}

/// Backlogs whose row did not open when it was last read. It may have been read wrongly: the transaction fails, by which
/// the database is opened anew, and every link that was taken from the row is dropped.
#[derive(Default)]
pub(super) struct Suspects(HashSet<EndOf>);

impl Suspects {
    /// The link, if the row opened; `None` if it failed to do so for the second time.
    pub(super) fn judge(&mut self, of: &EndOf, link: Result<Link, Fault>) -> Result<Option<Link>, Fault> {
        match link {
            Err(Fault::Damaged(_)) if self.0.insert(*of) => {
                Err(Fault::Io("a backlog's row does not open; it is read once more".to_owned()))
            }
            Err(Fault::Damaged(why)) => {
                tracing::error!(why, "a backlog's row is damaged: what waited there cannot be delivered any more");
                Ok(None)
            }
            link => {
                self.0.remove(of);
                link.map(Some)
            }
        }
    }
}

/// The chain key of one seq.
#[derive(Clone)]
pub(super) struct Link {
    seq: u64,
    key: Key,
}

impl Link {
    /// The seq that it stands at.
    pub(super) const fn seq(&self) -> u64 {
        self.seq
    }

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
                    self.key = finish(keyed(&self.key), CHAIN_LABEL);
                }
                self.seq = to;
                Ok(())
            }
            _ => Err(Fault::Damaged("a seq that its backlog cannot hold")),
        }
    }

    /// The key of the box with this seq.
    pub(super) fn box_key(&self) -> Key {
        finish(keyed(&self.key), BOX_LABEL)
    }

    /// The same, turning the chain forward to the next seq: two keys for the price of one and a half.
    pub(super) fn take_box_key(&mut self) -> Key {
        let mac = keyed(&self.key);
        self.key = finish(mac.clone(), CHAIN_LABEL);
        self.seq += 1;
        finish(mac, BOX_LABEL)
    }
}

/// One backlog's chain in memory: where it was read, and where it was last loaded from, so that going on from there takes
/// one step.
struct Chain {
    row: BacklogRow,
    base: Link,
    load: Link,
}

/// The chains that boxes are loaded along. Only a cache: an entry counts only while its row is the one on disk, so
/// whatever becomes of a transaction, a stale entry is never used.
#[derive(Default)]
pub(super) struct Chains(HashMap<EndOf, Chain>);

impl Chains {
    /// The key of the box with this seq in a backlog.
    pub(super) fn box_key(&mut self, of: &EndOf, row: &BacklogRow, keys: &Keyring, seq: u64) -> Result<Key, Fault> {
        if !self.0.get(of).is_some_and(|chain| chain.row == *row) {
            let base = row.unwrap(of, keys)?;
            self.0.insert(*of, Chain { row: row.clone(), load: base.clone(), base });
        }
        let chain = self.0.get_mut(of).ok_or(Fault::Damaged("a chain that was just made"))?;
        if seq < chain.load.seq {
            chain.load = chain.base.clone();
        }
        chain.load.advance(seq)?;
        Ok(chain.load.box_key())
    }

    #[cfg(test)]
    pub(super) fn holds(&self, of: &EndOf) -> bool {
        self.0.contains_key(of)
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

fn keyed(key: &Key) -> Hmac<Sha256> {
    // HMAC pads a 32-byte key with zeros to one block of its hash (RFC 2104 §2).
    let mut padded = Zeroizing::new([0; 64]);
    padded[..32].copy_from_slice(&key[..]);
    <Hmac<Sha256> as KeyInit>::new((&*padded).into())
}

fn finish(mac: Hmac<Sha256>, label: &[u8]) -> Key {
    Zeroizing::new(mac.chain_update(label).finalize().into_bytes().into())
}

pub(super) fn seal(key: &Key, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> Result<[u8; TAG_LEN], Fault> {
    let sealed = cipher(key).and_then(|cipher| {
        let tag = cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), data)?;
        tag.as_ref().try_into().map_err(|_| Unspecified)
    });
    // Only a message of 256 GiB is too long for ChaCha20.
    sealed.map_err(|Unspecified| Fault::Damaged("a box too long to wrap"))
}

pub(super) fn open(key: &Key, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8], tag: &[u8; TAG_LEN]) -> Option<()> {
    let nonce = Nonce::assume_unique_for_key(*nonce);
    cipher(key).and_then(|cipher| cipher.open_in_place_separate_tag(nonce, Aad::from(aad), tag, data).map(drop)).ok()
}

fn cipher(key: &Key) -> Result<LessSafeKey, Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key[..])?))
}

#[cfg(test)]
mod tests {
    use tacit_proto::{ChannelId, End};

    use super::*;
    use crate::spool::epoch::draw;

    const OF: EndOf = EndOf { channel: ChannelId::from_bytes([1; 16]), end: End::A };

    #[test]
    fn a_seq_that_is_out_of_reach_is_damage_and_not_hours_of_work() {
        let mut link = Link::draw(5).unwrap();
        assert!(matches!(link.advance(4), Err(Fault::Damaged(_))));
        assert!(matches!(link.advance(5 + MAX_STEPS + 1), Err(Fault::Damaged(_))));
        assert!(link.advance(6).is_ok() && link.seq() == 6, "and it stands where it stood");
    }

    #[test]
    fn a_backlog_that_began_anew_is_never_read_along_its_old_chain() {
        let (epoch, key) = draw().unwrap();
        let mut keys = Keyring::default();
        keys.add(epoch, key.clone());
        let mut chains = Chains::default();
        for _ in 0..2 {
            let link = Link::draw(1).unwrap();
            let row = BacklogRow::wrap(&OF, &link, epoch, &key).unwrap();
            assert_eq!(chains.box_key(&OF, &row, &keys, 1).unwrap(), link.box_key());
        }
    }
}
