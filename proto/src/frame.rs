//! The frames, as values. Bytes become frames in `decode` and nowhere else, so whoever holds one of these types knows
//! that every field has its length and every number its meaning.
//!
//! Two things are left for the relay to check, because the answer to them is a [`Refusal`] and not the end of the
//! connection: whether a `Send` carries a sealed box, and whether a request is one this version knows.

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::{Challenge, ChannelId, EndOf, EndPublic, EnrolCode, Incarnation, Permit, PermitHash, Proof};

/// Numbers a request on its connection, so that its answer can be told apart. The device chooses it.
pub type RequestId = NonZeroU32;

/// Names an attached end on one connection. The relay chooses it, and never uses it twice on that connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u32);

/// What a device says to a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToRelay {
    /// Something that the relay answers, exactly once.
    Request(RequestId, Request),
    /// Boxes up to and including a seq are safe on the device. Not answered.
    Ack {
        /// The attachment that delivered them.
        handle: Handle,
        /// The highest seq that is safe; everything delivered below it is too.
        up_to: u64,
    },
}

/// A request. Every one may be repeated, on a new connection, after any crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Hands over the hashes of permits, under an operator's code.
    Enrol {
        /// From the enrolment link.
        code: EnrolCode,
        /// 1 to [`MAX_PERMITS`](crate::limits::MAX_PERMITS) hashes.
        permit_hashes: Vec<PermitHash>,
    },
    /// Opens a channel. The opener holds end A.
    Open(Box<Open>),
    /// Attaches ends to this connection.
    Attach {
        /// 1 to [`MAX_ATTACH`](crate::limits::MAX_ATTACH) ends.
        items: Vec<AttachItem>,
        /// How much may be under way to each of them.
        window: Window,
    },
    /// Gives an end a new key. Under an invite's key this is the only thing allowed.
    Rekey {
        /// The attachment.
        handle: Handle,
        /// The key from now on.
        new_key: EndPublic,
        /// Under the key that was attached with.
        proof: Proof,
    },
    /// Sends a sealed box to the other end.
    Send {
        /// The attachment.
        handle: Handle,
        /// Counts from 1 per attachment.
        n: u64,
        /// Not yet checked: see [`SealedBox::check`](crate::SealedBox::check).
        payload: Bytes,
    },
    /// Closes the channel.
    Close {
        /// The attachment.
        handle: Handle,
    },
    /// Asks which handles are live.
    Ping,
    /// A request this version does not know: to be answered with [`Refusal::Unsupported`].
    Unknown,
}

/// What it takes to open a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Drawn by the opener.
    pub channel: ChannelId,
    /// Spent by this request.
    pub permit: Permit,
    /// The opener's key.
    pub key_a: EndPublic,
    /// The key that the invite gives to whoever holds it.
    pub key_b: EndPublic,
    /// Seconds from now within which end B must be claimed, at least 1.
    pub join_by: NonZeroU32,
}

/// One end to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachItem {
    /// Which end.
    pub of: EndOf,
    /// That this device holds it.
    pub proof: Proof,
}

/// How much a device lets be under way to an end, unacked. The relay keeps within this and within its own limits,
/// but always has at least one box under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Most boxes, at least 1.
    pub boxes: NonZeroU32,
    /// Most bytes of boxes.
    pub bytes: u32,
}

/// What a relay says to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromRelay {
    /// The answer to a request.
    Answer(RequestId, Answer),
    /// Something that happened.
    Event(Event),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Carried out, and durable.
    Done,
    /// Not carried out.
    Refused(Refusal),
    /// For `Attach`: one result per item, in their order.
    Attach(Vec<Result<Attached, Refusal>>),
    /// For `Send`: the box is durable at the relay, or acked by the recipient's device.
    Accepted {
        /// The attachment.
        handle: Handle,
        /// The box's number.
        n: u64,
        /// Seconds from now that the relay keeps it, at the least.
        hold: u32,
    },
    /// For `Ping`: the live handles of this connection. One that is missing must be attached again.
    Pong(Vec<Handle>),
}

/// An end that is now attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name from now on.
    pub handle: Handle,
    /// Boxes waiting at it; 0 under an invite's key.
    pub waiting: u64,
    /// Attached under an invite's key: only `Rekey` is allowed.
    pub must_rekey: bool,
}

/// What a relay says unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first frame of every connection.
    Welcome(Box<Welcome>),
    /// A box for an attached end.
    Deliver {
        /// The attachment.
        handle: Handle,
        /// Serves acks only. Grows within an attachment, and may repeat after a relay's restart.
        seq: u64,
        /// Not yet checked: a hostile relay can send anything.
        payload: Bytes,
        /// Nothing waits behind it: once it is acked, that says what `Drained` says, which does not come then.
        last: bool,
    },
    /// All that waited at this end was delivered and acked, and no box said so.
    Drained(Handle),
    /// After [`Refusal::Full`]: the other end has room again.
    Room(Handle),
    /// Another device, or another connection of this one, attached this end. Attach it again by oneself at most once per
    /// connection.
    Superseded(Handle),
    /// The channel is closed. Nothing more will come; the device answers with `Close`, and the relay forgets it.
    Closed(Handle, ClosedWhy),
    /// Somebody proved to hold the invite of this channel after it was used.
    InviteTried(Handle),
    /// The relay is about to end.
    Restarting {
        /// Seconds to wait before connecting again.
        reconnect_in: u32,
    },
}

/// What a relay is, and what it asks proofs against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Fresh per connection.
    pub challenge: Challenge,
    /// Differs from the last one if the relay lost its backlog in between.
    pub incarnation: Incarnation,
    /// What this relay promises and allows.
    pub limits: Limits,
    /// From the operator to people; may be empty.
    pub notice: String,
}

/// What a relay promises and allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Seconds that an undelivered box is kept.
    pub hold: u32,
    /// Most unanswered requests of one connection. The relay carries out no more of them beyond it.
    pub in_flight: u32,
    /// Most unacked boxes under way to one end.
    pub window_boxes: u32,
    /// Most unacked bytes under way to one end.
    pub window_bytes: u32,
    /// Most boxes that may wait at one end.
    pub backlog_boxes: u32,
    /// Most bytes that may wait at one end.
    pub backlog_bytes: u64,
}

/// Why a request was not carried out. The numbers are the wire's, and are never used again for another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// No such channel, or no such end, or a wrong proof: which of them is not told.
    #[error("not allowed")]
    NotAllowed = 1,
    /// A valid proof under an invite's key that was used before.
    #[error("the invite was already used")]
    Used = 2,
    /// The channel is closed.
    #[error("the channel is closed")]
    Gone = 3,
    /// The other end's backlog is full. Retry after `Room`.
    #[error("the backlog is full; try again when there is room")]
    Full = 4,
    /// More than a limit of this request allows.
    #[error("more than the limit allows")]
    TooLarge = 5,
    /// The payload is not a sealed box of this version.
    #[error("not a sealed box")]
    NotABox = 6,
    /// The permit or the enrolment code is unknown, spent or expired.
    #[error("unknown, spent or expired permit")]
    NoPermit = 7,
    /// Too many requests. Retry later.
    #[error("too many requests; try again later")]
    TooFast = 8,
    /// Not the next `n`: an earlier `Send` of this attachment was refused.
    #[error("not the next number of this attachment")]
    OutOfTurn = 9,
    /// The relay cannot do it now. Retry later.
    #[error("the relay cannot do this now; try again later")]
    Busy = 10,
    /// This version does not know the request.
    #[error("not known to this version of the protocol")]
    Unsupported = 11,
}

impl Refusal {
    /// All refusals, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::NotAllowed,
        Self::Used,
        Self::Gone,
        Self::Full,
        Self::TooLarge,
        Self::NotABox,
        Self::NoPermit,
        Self::TooFast,
        Self::OutOfTurn,
        Self::Busy,
        Self::Unsupported,
    ];

    /// Whether the same request can succeed later. Such a refusal is never the outcome of a message.
    #[must_use]
    pub const fn is_retry(self) -> bool {
        matches!(self, Self::Full | Self::Busy | Self::TooFast | Self::OutOfTurn)
    }
}

/// Why a channel closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedWhy {
    /// The other end closed it.
    ByPeer = 1,
    /// Nobody claimed the invite in time.
    Unclaimed = 2,
}

/// Bytes that are not a frame. Whoever receives them ends the connection with WebSocket close code 1002.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`](crate::limits::MAX_FRAME).
    #[error("a frame is longer than the limit")]
    TooLong,
    /// Not protobuf, or not of these messages.
    #[error("a frame is malformed")]
    Malformed,
    /// A field of a fixed length has another one, or a list has too few or too many items.
    #[error("a field of a frame has a wrong length")]
    WrongLength,
    /// A number has no meaning here, or is missing.
    #[error("a field of a frame has a value without a meaning")]
    WrongValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_succeed_later_is_to_be_retried() {
        let retried: Vec<_> = Refusal::ALL.into_iter().filter(|why| why.is_retry()).collect();
        assert_eq!(retried, [Refusal::Full, Refusal::TooFast, Refusal::OutOfTurn, Refusal::Busy]);
    }
}
