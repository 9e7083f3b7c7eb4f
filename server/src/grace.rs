//! The graces that run: when the boxes of which end are due to go to disk.
//!
//! One queue and one task for all of them: every grace is equally long, so they end in the order in which they began.

use std::collections::VecDeque;
use std::sync::Mutex;

use tacit_proto::EndOf;
use tokio::sync::Notify;

use crate::hub::{Hub, Scratch};
use crate::lock;

/// A leaf lock: whoever holds it takes no other.
#[derive(Debug, Default)]
pub(crate) struct Graces {
    running: Mutex<VecDeque<(u64, EndOf)>>,
    first: Notify,
}

impl Graces {
    pub(crate) fn add(&self, of: EndOf, at: u64) {
        let mut running = lock(&self.running);
        running.push_back((at, of));
        if running.len() == 1 {
            self.first.notify_one();
        }
    }

    fn next_at(&self) -> Option<u64> {
        lock(&self.running).front().map(|(at, _)| *at)
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
        match hub.graces.next_at() {
            None => hub.graces.first.notified().await,
            Some(at) => tokio::time::sleep(hub.clock().until(at)).await,
        }
        while let Some(of) = hub.graces.pop_due(hub.now().millis) {
            hub.grace_over(&mut scratch, of);
        }
        // A long queue of graces must not keep connections from being served.
        tokio::task::yield_now().await;
    }
}
