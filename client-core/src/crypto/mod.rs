//! What a device does with keys: sealing and opening boxes, the keys of an invite, the secrets of a pairing, and the
//! ratchet inside the boxes.
//!
//! Everything here is a value or a function of its arguments: no store, no network, no clock. Only standard
//! constructions from kept libraries are put together; `proto/README.md` says how, to the byte, and
//! `proto/vectors/` holds golden bytes of it.

pub(crate) mod derive;
pub(crate) mod invite;
pub(crate) mod pairing;
pub(crate) mod psk;
pub(crate) mod ratchet;
pub(crate) mod reset;
pub(crate) mod seal;
pub(crate) mod signing;

#[cfg(test)]
pub(crate) mod fixed;
#[cfg(test)]
mod standards;
#[cfg(test)]
pub(crate) mod vectors;
