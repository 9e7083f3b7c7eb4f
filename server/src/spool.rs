//! The spool: undelivered ciphertext, briefly, and the few rows that a relay must not forget.
//!
//! The relay decides in memory and hands the spool *changes*, in order; [`Spool::commit`] makes a whole batch durable or
//! none of it. Everything the relay needs to decide is given back once, at start-up, in [`Recovered`]; after that the
//! relay reads nothing but boxes ([`Spool::load`]).
//!
//! The trait is the seam for operators who outgrow one machine. [`RedbSpool`] is the embedded default.

mod batch;
mod chain;
mod enrolments;
mod epoch;
mod fault;
mod maintenance;
mod migration;
mod opening;
mod overlay;
mod recovery;
mod redb_spool;
mod rows;
mod snapshot;
mod storage;
#[cfg(test)]
mod tests;
mod transaction;
mod wrap;

pub use enrolments::{EnrolmentId, NotAnEnrolmentId, SpentCode};
pub use maintenance::Compaction;
pub use migration::Migration;
pub use redb_spool::RedbSpool;
pub use snapshot::KeptRow;
pub(crate) use storage::{Aside, DATABASE};
pub use storage::{DataDir, Storage};

use std::ops::ControlFlow;

use tacit_proto::{ChannelId, EndOf, EndPublic, EnrolCodeHash, Incarnation, PermitHash, SealedBox, SizeClass};

/// Whole hours since the Unix epoch: no stored time is finer, so that a stolen disk tells no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(pub u32);

/// What is kept of one end of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndRow {
    /// The key that proves this end now.
    pub key: EndPublic,
    /// End B only: the invite's key, once it was used. A proof under it is answered `Used`.
    pub spent_invite: Option<EndPublic>,
}

/// Where a channel stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// End B is still known by the invite's key; purged at this hour unless it is claimed.
    Unclaimed {
        /// The hour from which it is purged.
        join_by: Hour,
    },
    /// Both ends have keys of their own.
    Claimed,
    /// A tombstone: the other end is told, then it is forgotten, at the latest at this hour.
    Closed {
        /// Which end closed it; `None` if nobody claimed the invite in time.
        by: Option<tacit_proto::End>,
        /// The hour from which the tombstone is forgotten.
        forget: Hour,
    },
}

/// A channel as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRow {
    /// End A.
    pub a: EndRow,
    /// End B.
    pub b: EndRow,
    /// Where it stands.
    pub phase: Phase,
    /// The used invite was tried again, and end A is to be told.
    pub invite_tried: bool,
}

/// Names a box at an end, for removal: its seq, and the hour it would have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxKey {
    /// Grows within an end's backlog.
    pub seq: u64,
    /// The hour from which the box is purged.
    pub expires: Hour,
}

/// One durable change. A batch is applied in order, all or nothing.
#[derive(Clone, Debug)]
pub enum Change {
    /// A box now waits at `to`. Seqs at one end grow; those of a batch that failed may come again, with other boxes.
    Append {
        /// The recipient's end.
        to: EndOf,
        /// Its name in the backlog.
        key: BoxKey,
        /// The box.
        sealed: SealedBox,
    },
    /// Boxes no longer wait at `of`: acked, expired, or purged. They are always the oldest ones there.
    Remove {
        /// The recipient's end.
        of: EndOf,
        /// The boxes, oldest first.
        keys: Vec<BoxKey>,
    },
    /// A channel is new, or its row changed.
    PutChannel(ChannelId, ChannelRow),
    /// A channel is forgotten. Its backlogs were removed before.
    ForgetChannel(ChannelId),
    /// Permits were drawn under an enrolment code, which is now spent.
    Enrol {
        /// The code.
        code: EnrolCodeHash,
        /// The permits' hashes, in the order given.
        permits: Vec<PermitHash>,
        /// When the spent code may be forgotten.
        forget: Hour,
    },
    /// A permit was spent or revoked: it is forgotten, and tied to nothing.
    SpendPermit(PermitHash),
    /// A spent code need no longer be remembered.
    ForgetEnrolment(EnrolCodeHash),
}

impl Change {
    /// What a transaction is measured by: the rows that it touches; a large box is as many small ones as fit its room.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Append { sealed, .. } => match sealed.class() {
                SizeClass::Small => 1,
                SizeClass::Large => SizeClass::Large.box_len() / SizeClass::Small.box_len(),
            },
            Self::Remove { keys, .. } => keys.len(),
            Self::Enrol { permits, .. } => 1 + permits.len(),
            Self::PutChannel(..) | Self::ForgetChannel(_) | Self::SpendPermit(_) | Self::ForgetEnrolment(_) => 1,
        }
    }
}

/// A box that waits, as found at start-up. The box itself stays on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The recipient's end.
    pub of: EndOf,
    /// Its name.
    pub key: BoxKey,
    /// Its size.
    pub class: SizeClass,
}

/// A place in the order in which boxes expire. Only a spool knows what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueAt(pub [u8; 16]);

/// A waiting box whose hour has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its place among those.
    pub at: DueAt,
    /// The recipient's end.
    pub of: EndOf,
}

/// Everything a relay needs to go on where it stopped.
#[derive(Debug)]
pub struct Recovered {
    /// This life of the backlog.
    pub incarnation: Incarnation,
    /// All channels.
    pub channels: Vec<(ChannelId, ChannelRow)>,
    /// All waiting boxes, ascending by seq within each end.
    pub waiting: Vec<Waiting>,
    /// All unspent permits, and which enrolment gave each.
    pub permits: Vec<(PermitHash, EnrolmentId)>,
    /// The enrolment codes that were spent and are not forgotten yet.
    pub enrolments: Vec<(EnrolCodeHash, SpentCode)>,
}

/// Why the spool could not do something. Nothing that was committed before is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk is full or read-only, or failed. The change was not made.
    #[error("the spool cannot be written: {0}; free some space or check the disk, the relay goes on by itself")]
    Write(String),
    /// The disk could not be read. What waits there still waits; try again.
    #[error("the spool cannot be read: {0}; check the disk, the relay goes on by itself")]
    Read(String),
    /// What was read back does not make sense.
    #[error("the spool is damaged: {0}; stop the relay and restore it from a backup")]
    Damaged(String),
    /// Another process has the data folder open.
    #[error("the data folder is in use by another tacit-server; stop that one first")]
    InUse,
    /// Made by a newer version.
    #[error("the data folder was written by a newer tacit-server; install that version")]
    NewerFormat,
    /// Nothing is there.
    #[error("there is no spool in this data folder; check which folder was meant")]
    NoSpool,
    /// Something is there that would be lost.
    #[error(
        "this data folder has a spool already; give an empty folder, or move its spool.redb and epoch.keys away first"
    )]
    HasSpool,
}

/// Durable storage of a relay. Blocking: called from the committer's thread and from reader threads, never from async
/// code.
pub trait Spool: Send + Sync + 'static {
    /// Makes all changes durable in one transaction, or none.
    ///
    /// # Errors
    /// [`SpoolError::Write`]: nothing of the batch was made.
    fn commit(&self, batch: &[Change]) -> Result<(), SpoolError>;

    /// Reads waiting boxes of an end, from `from` upwards, at most `most` of them (the relay asks for few).
    ///
    /// # Errors
    /// [`SpoolError::Read`] if the disk cannot be read now; [`SpoolError::Damaged`] if a box cannot be read back.
    fn load(&self, of: EndOf, from: u64, most: usize) -> Result<Vec<(u64, SealedBox)>, SpoolError>;

    /// Finds waiting boxes that expire at `hour` or before: the first ones after a place, at most `most` of them.
    ///
    /// # Errors
    /// [`SpoolError::Read`] if the disk cannot be read now; [`SpoolError::Damaged`] if a row cannot be read back.
    fn due(&self, hour: Hour, after: Option<DueAt>, most: usize) -> Result<Vec<Due>, SpoolError>;

    /// Hands over what a backup keeps, row by row, all as of one moment. No box is among it, and no key to one. Whoever
    /// takes the rows may break off.
    ///
    /// # Errors
    /// [`SpoolError::Read`] if the disk cannot be read now; [`SpoolError::Damaged`] if a row cannot be read back.
    fn snapshot(&self, take: &mut dyn FnMut(KeptRow) -> ControlFlow<()>) -> Result<(), SpoolError>;

    /// Ends the epoch: wraps the live backlog keys anew and destroys the key of the epoch before, so that what was
    /// deleted then can never be opened again. Called hourly.
    ///
    /// # Errors
    /// [`SpoolError::Write`]: the old epoch goes on, and nothing is lost; call again.
    fn turn_epoch(&self) -> Result<(), SpoolError>;
}
