//! Everything a Tacit device needs, for apps of every kind: keys, pairing, sealed boxes, sessions, outbox, an encrypted
//! store, and the connection to relays.
//!
//! An app sees one type, [`Client`], plain records, typed errors, and a [`Listener`]. What a device promises is in the
//! project's `README.md`; what it says to relays and to other devices is in `proto/README.md`, to the byte.

mod client;
mod content;
mod conversation;
mod crypto;
mod driver;
mod engine;
mod error;
mod net;
mod pairing;
mod store;
mod types;

pub use client::Client;
pub use content::MAX_TEXT;
pub use error::{
    AuthorityError, ContactError, EnrolError, InviteError, JoinError, OpenError, SendError, StoreError, WaitError,
};
pub use store::StoreKey;
pub use tacit_proto::link::{AddressError, LinkError};
pub use types::{
    Connection, Contact, ContactId, ContactState, Content, Direction, EndedWhy, Enrolment, EnrolmentState, Event,
    Listener, Message, MessageId, NewInvite, Offer, Outcome, RefusedWhy, Timestamp,
};
