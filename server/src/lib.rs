//! The Tacit relay, as a library.

pub mod spool;
