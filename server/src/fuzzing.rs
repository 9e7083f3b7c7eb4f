//! What the fuzz targets do with bytes from anywhere (`fuzz/README.md`): each panics if something does not hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "not part of what is shipped")]

mod model;
mod relay;
#[path = "../../fuzz/script.rs"]
mod script;

/// A relay and connections that send whatever they like, in any order, while the disk fails and the relay restarts.
pub fn relay(bytes: &[u8]) {
    relay::check(bytes);
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn the_corpus_of_connections_holds() {
        replay("relay", super::relay);
    }
}
