//! The epoch keys, and the file of slots that they live in.
//!
//! # `epoch.keys`
//! Four slots of 4 KiB, at multiples of 4 KiB, so that no write to one slot touches a sector of another:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `tacitepk` |
//! | 8..16 | the epoch's id, random: it names the key in the rows that were wrapped under it |
//! | 16..48 | the epoch key, random |
//! | 48..80 | SHA-256 of bytes 0..48 |
//! | 80.. | random |
//!
//! Whatever has no right checksum is a blank slot. An overwritten slot is random from end to end, so that no file
//! system may answer the overwriting with a hole.
//!
//! # Why no crash loses a key
//! A key is written into a blank slot and synced before the first row is wrapped under it; it is overwritten only after
//! a commit *known to be durable* left no row wrapped under it. A write torn at any byte therefore hits a slot that no
//! row needs: torn while a key is put, the checksum fails and the slot is blank; torn while one is overwritten, either
//! the key is still whole (and is overwritten at the next start), or it is gone, as it should be.

use std::collections::HashSet;

use redb::StorageBackend;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::fault::Fault;

/// How many keys the file can hold. Two are in use while an epoch turns.
pub(super) const SLOTS: usize = 4;
/// Length of a slot.
pub(super) const SLOT_LEN: usize = 4096;
const MAGIC: [u8; 8] = *b"tacitepk";
const SUMMED: usize = 48;
const USED: usize = 80;

/// Names an epoch.
pub(super) type EpochId = [u8; 8];
/// The key of an epoch, under which backlog keys are wrapped.
pub(super) type EpochKey = Zeroizing<[u8; 32]>;

/// Draws the id and key of a new epoch.
pub(super) fn draw() -> Result<(EpochId, EpochKey), Fault> {
    let (mut id, mut key) = ([0; 8], Zeroizing::new([0; 32]));
    getrandom::fill(&mut id)?;
    getrandom::fill(&mut key[..])?;
    Ok((id, key))
}

/// The epoch keys that rows on disk may be wrapped under, in memory.
#[derive(Default)]
pub(super) struct Keyring {
    current: Option<EpochId>,
    keys: Vec<(EpochId, EpochKey)>,
}

impl Keyring {
    /// Adds a key that rows may be wrapped under from now on.
    pub(super) fn add(&mut self, id: EpochId, key: EpochKey) {
        if self.get(&id).is_none() {
            self.keys.push((id, key));
        }
    }

    /// Makes one key the one that new rows are wrapped under.
    pub(super) fn set_current(&mut self, id: EpochId) {
        self.current = Some(id);
    }

    /// Forgets all keys but one.
    pub(super) fn keep_only(&mut self, id: EpochId) {
        self.keys.retain(|(other, _)| *other == id);
    }

    /// The key that new rows are wrapped under. There is none on a new disk that could not be written yet.
    pub(super) fn current(&self) -> Option<(EpochId, &EpochKey)> {
        let id = self.current?;
        Some((id, self.get(&id)?))
    }

    /// The key of an epoch, unless it was destroyed.
    pub(super) fn get(&self, id: &EpochId) -> Option<&EpochKey> {
        self.keys.iter().find(|(other, _)| other == id).map(|(_, key)| key)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// Overwritten by this process.
    Blank,
    /// Holds nothing readable, but perhaps a part of a key.
    Unknown,
    /// Holds the key of an epoch.
    Held(EpochId),
}

/// The file of slots. The writer owns it.
pub(super) struct SlotFile {
    file: Box<dyn StorageBackend>,
    slots: [Slot; SLOTS],
}

impl SlotFile {
    /// Reads all slots. A new or short file is extended.
    pub(super) fn open(file: Box<dyn StorageBackend>) -> Result<(Self, Vec<(EpochId, EpochKey)>), Fault> {
        if file.len()? < (SLOTS * SLOT_LEN) as u64 {
            file.set_len((SLOTS * SLOT_LEN) as u64)?;
            file.sync_data()?;
        }
        let mut slots = [Slot::Unknown; SLOTS];
        let mut keys = Vec::new();
        for (slot, offset) in slots.iter_mut().zip(offsets()) {
            let mut bytes = Zeroizing::new([0; USED]);
            file.read(offset, &mut bytes[..])?;
            if let Some((id, key)) = parse(&bytes) {
                *slot = Slot::Held(id);
                keys.push((id, key));
            }
        }
        Ok((Self { file, slots }, keys))
    }

    /// Writes a key into a slot that holds none and syncs it. After an error the same key may be put again.
    pub(super) fn put(&mut self, id: EpochId, key: &EpochKey) -> Result<(), Fault> {
        if self.slots.contains(&Slot::Held(id)) {
            // Rows may be wrapped under it by now: writing it again could tear it.
            return Ok(());
        }
        let free = self.slots.iter_mut().zip(offsets()).find(|(slot, _)| !matches!(slot, Slot::Held(_)));
        // Two slots at most are held when this is called: see `SLOTS`.
        let (slot, offset) = free.ok_or(Fault::Damaged("too many epoch keys are in use"))?;
        let mut bytes = Zeroizing::new([0; SLOT_LEN]);
        getrandom::fill(&mut bytes[USED..])?;
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&id);
        bytes[16..SUMMED].copy_from_slice(&key[..]);
        let sum = Sha256::digest(&bytes[..SUMMED]);
        bytes[SUMMED..USED].copy_from_slice(&sum);
        *slot = Slot::Unknown;
        self.file.write(offset, &bytes[..])?;
        self.file.sync_data()?;
        *slot = Slot::Held(id);
        Ok(())
    }

    /// Overwrites every slot but those of `keep`, and syncs. After an error, call it again.
    pub(super) fn destroy_all_but(&mut self, keep: &HashSet<EpochId>) -> Result<(), Fault> {
        let doomed = |slot: &Slot| match slot {
            Slot::Blank => false,
            Slot::Unknown => true,
            Slot::Held(id) => !keep.contains(id),
        };
        if !self.slots.iter().any(doomed) {
            return Ok(());
        }
        for (_, offset) in self.slots.iter().zip(offsets()).filter(|(slot, _)| doomed(slot)) {
            let mut noise = [0; SLOT_LEN];
            getrandom::fill(&mut noise)?;
            self.file.write(offset, &noise)?;
        }
        self.file.sync_data()?;
        for slot in self.slots.iter_mut().filter(|slot| doomed(slot)) {
            *slot = Slot::Blank;
        }
        Ok(())
    }
}

fn offsets() -> impl Iterator<Item = u64> {
    (0..SLOTS).map(|slot| (slot * SLOT_LEN) as u64)
}

fn parse(bytes: &[u8; USED]) -> Option<(EpochId, EpochKey)> {
    let (summed, sum) = bytes.split_at(SUMMED);
    if summed[..8] != MAGIC || Sha256::digest(summed)[..] != *sum {
        return None;
    }
    let (mut id, mut key) = ([0; 8], Zeroizing::new([0; 32]));
    id.copy_from_slice(&summed[8..16]);
    key.copy_from_slice(&summed[16..]);
    Some((id, key))
}
