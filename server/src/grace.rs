//! The graces that run: when the boxes of which end are due to go to disk.
//!
//! One queue and one task for all of them. Nearly all graces are equally long, so they end in the order in which they
//! began.

use std::collections::VecDeque;

use tacit_proto::EndOf;
use tokio::sync::Notify;

use crate::hub::{Hub, Scratch};
use crate::sync::{Mutex, lock};

/// A leaf lock: whoever holds it takes no other.
#[derive(Debug, Default)]
pub(crate) struct Graces {
    running: Mutex<VecDeque<(u64, EndOf)>>,
    first: Notify,
}

impl Graces {
    pub(crate) fn add(&self, of: EndOf, at: u64) {
        let mut running = lock(&self.running);
        // At the back, but for those behind a disk that could not be read: it is left alone for longer than a grace.
        let place = running.partition_point(|(other, _)| *other <= at);
        running.insert(place, (at, of));
        if place == 0 {
            self.first.notify_one();
        }
    }

    /// When the first grace ends, once one runs.
    pub(crate) async fn next_end(&self) -> u64 {
        loop {
            let first = lock(&self.running).front().map(|(at, _)| *at);
            match first {
                Some(at) => return at,
                None => self.first.notified().await,
            }
        }
    }

    pub(crate) fn pop_due(&self, millis: u64) -> Option<EndOf> {
        let mut running = lock(&self.running);
        match running.front() {
            Some((at, _)) if *at <= millis => running.pop_front().map(|(_, of)| of),
            _ => None,
        }
    }
}

/// Ends graces as they run out. Never returns.
pub(crate) async fn run(hub: &Hub) {
    let mut scratch = Scratch::default();
    loop {
        let at = hub.graces.next_end().await;
        tokio::select! {
            () = tokio::time::sleep(hub.clock().until(at)) => {}
            // Another one may end before it.
            () = hub.graces.first.notified() => {}
        }
        while let Some(of) = hub.graces.pop_due(hub.now().millis) {
            hub.grace_over(&mut scratch, of);
        }
        // A long queue of graces must not keep connections from being served.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use tacit_proto::{ChannelId, End};

    use super::*;

    #[tokio::test]
    async fn a_longer_grace_holds_up_no_shorter_one() {
        let graces = Graces::default();
        let [long, short] = [End::A, End::B].map(|end| EndOf { channel: ChannelId::from_bytes([1; 16]), end });
        graces.add(long, 1_000);
        graces.first.notified().await;
        graces.add(short, 250);
        // Whoever waits for the longer one is told.
        graces.first.notified().await;
        assert_eq!(graces.next_end().await, 250);
        assert_eq!([graces.pop_due(999), graces.pop_due(999)], [Some(short), None]);
        assert_eq!(graces.pop_due(1_000), Some(long));
    }
}
