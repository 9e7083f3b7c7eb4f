//! What a channel wants done. The channel decides, without I/O; whoever called it carries this out, in order.

use tacit_proto::frame::{Answer, Event, Handle, RequestId};
use tacit_proto::{EndOf, PermitHash};

use crate::spool::Change;

/// An end attached on a connection. `C` names the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attachment<C> {
    pub(crate) conn: C,
    pub(crate) handle: Handle,
}

/// Who awaits the answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker<C> {
    pub(crate) conn: C,
    pub(crate) request: RequestId,
}

/// What the committer does with a change whose transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Gives it up. The channel hears of success and failure, and decides anew.
    Tell,
    /// Keeps it and tries again, before anything newer. The channel hears nothing of a failure.
    Retry,
    /// Shares the transaction and the fate of the next change.
    WithNext,
}

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Effect<C> {
    /// Answer a request.
    Answer(Asker<C>, Answer),
    /// Tell a device something.
    Event(C, Event),
    /// This attachment has something to pull.
    Ready(Attachment<C>, EndOf),
    /// Make a change durable.
    Commit(Change, OnFailure),
    /// Take the appends to an end from this seq on out of the committer's queue: an earlier one failed.
    Withdraw { to: EndOf, from: u64 },
    /// Call `grace_over` for this end at that time.
    Grace { of: EndOf, at: u64 },
    /// Read boxes back, then call `loaded`.
    Load { of: EndOf, from: u64, most: usize },
    /// That the used invite was tried is on disk, or could not be put there: the refusal may go out.
    TriedNoted(C),
    /// The channel was not opened: its permit is unspent.
    PermitUnspent(PermitHash),
}
