//! What the fuzz targets do with bytes from anywhere (`fuzz/README.md`): each panics if something does not hold.
//!
//! cargo-fuzz sets `cfg(fuzzing)`, under which vodozemac checks no MAC. Nothing here may rely on one: what an Olm message
//! says, the fuzzer can have made up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "not part of what is shipped")]

mod backups;
mod boxes;
mod content;
mod device;
#[path = "../../fuzz/script.rs"]
mod script;
mod statements;

/// What is inside the ratchet or a box: envelopes, offers, accepts, resets.
pub fn content(bytes: &[u8]) {
    content::check(bytes);
}

/// Sealed boxes, and the ratchet's messages in them.
pub fn boxes(bytes: &[u8]) {
    boxes::check(bytes);
}

/// Statements of every kind, what is worked out from them, and the file of a consent.
pub fn statements(bytes: &[u8]) {
    statements::check(bytes);
}

/// Backup files, the records in them, and the store that is made of them.
pub fn backups(bytes: &[u8]) {
    backups::check(bytes);
}

/// A device and a hostile relay.
pub fn device(bytes: &[u8]) {
    device::check(bytes);
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn the_corpora_of_decoders_hold() {
        replay("content", super::content);
        replay("boxes", super::boxes);
        replay("statements", super::statements);
        replay("backups", super::backups);
    }

    #[test]
    fn the_corpus_of_hostile_relays_holds() {
        replay("device", super::device);
    }
}
