//! The graces that run: when the boxes of which end are due to go to disk.
//!
//! One queue and one task for all of them: every grace is equally long, so they end in the order in which they began.

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
        running.push_back((at, of));
        if running.len() == 1 {
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
        tokio::time::sleep(hub.clock().until(at)).await;
        while let Some(of) = hub.graces.pop_due(hub.now().millis) {
            hub.grace_over(&mut scratch, of);
        }
        // A long queue of graces must not keep connections from being served.
        tokio::task::yield_now().await;
    }
}
