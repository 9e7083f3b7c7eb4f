//! Under way.

// The pairing, the outbox and the inbox that call it come next.
#[allow(dead_code)]
mod crypto;
