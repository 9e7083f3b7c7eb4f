//! The relay's language: what a device and a relay say to each other, to the byte.
//!
//! Everything here is a value: no I/O, no clock, no async, and randomness is passed in. The specification that this
//! crate implements is `README.md` beside it; where the two differ, one of them has a fault.
//!
//! A relay needs [`frame`], [`SealedBox`] (a *checked container*: nothing here can open one), [`EndPublic`],
//! [`RelaySessionKey`] and [`PermitHash`]. A device needs the other halves: [`EndKey`], [`Permit`] and the
//! [`link`]s. The two halves are different types, so that a mix-up does not compile.

pub mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod id;
mod key;
pub mod limits;
pub mod link;
mod permit;
mod proof;
mod sealed_box;
mod wire;

pub use id::{ChannelId, End, EndOf, Incarnation, UnknownEnd};
pub use key::{EndKey, EndPublic};
pub use permit::{EnrolCode, EnrolCodeHash, Permit, PermitHash};
pub use proof::{Challenge, Command, Nonce, NotContributory, Proof, RelaySessionKey, RelaySessionPublic};
pub use sealed_box::{BOX_VERSION, HEADER_LEN, NotABox, SealedBox, SizeClass};

/// The WebSocket subprotocol that names this version of the protocol.
pub const SUBPROTOCOL: &str = "tacit.v1";

/// The path of the WebSocket on a relay.
pub const PATH: &str = "/v1";
