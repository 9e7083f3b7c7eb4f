//! A box in its row: wrapped with ChaCha20-Poly1305 under the key of its seq (see `chain`), with a nonce of its batch, and
//! with the channel, end, seq and expiry hour as associated data.
//!
//! The nonce is not idle: when a transaction fails, its pages may be on the disk already, and the next box to take that
//! seq is another one.

use bytes::Bytes;
use tacit_proto::{EndOf, SealedBox};

use super::chain::{Key, Link, NONCE_LEN, TAG_LEN, open, seal};
use super::fault::Fault;
use super::rows::{Take, end_key};
use super::{BoxKey, Hour};

const HOUR_LEN: usize = 4;

/// Bytes around a box in its row: expiry hour, nonce, tag.
pub(super) const BOX_OVERHEAD: usize = HOUR_LEN + NONCE_LEN + TAG_LEN;

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

/// Wraps a box into a row, whose memory is used again and again. The link is moved forward to the box, and on to the next.
pub(super) fn wrap_box(
    row: &mut Vec<u8>,
    link: &mut Link,
    nonces: &mut Nonces,
    of: &EndOf,
    BoxKey { seq, expires }: BoxKey,
    sealed: &SealedBox,
) -> Result<(), Fault> {
    link.advance(seq)?;
    let (key, nonce) = (link.take_box_key(), nonces.next()?);
    row.clear();
    row.extend_from_slice(&expires.0.to_be_bytes());
    row.extend_from_slice(&nonce);
    row.extend_from_slice(sealed.bytes());
    let tag = seal(&key, &nonce, &box_aad(of, seq, expires), &mut row[HOUR_LEN + NONCE_LEN..])?;
    row.extend_from_slice(&tag);
    Ok(())
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
    let sealed = Bytes::from(row).slice(HOUR_LEN + NONCE_LEN..);
    SealedBox::check(sealed).map_err(|_| Fault::Damaged("what waits is not a sealed box"))
}

fn box_aad(of: &EndOf, seq: u64, expires: Hour) -> [u8; 29] {
    let mut aad = [0; 29];
    aad[..17].copy_from_slice(&end_key(of));
    aad[17..25].copy_from_slice(&seq.to_be_bytes());
    aad[25..].copy_from_slice(&expires.0.to_be_bytes());
    aad
}
