//! What `futures_util`'s `AtomicWaker` promises, in steps between which shuttle may let others go on.

use std::task::Waker;

use shuttle::sync::Mutex;

/// Keeps the waker of one task.
#[derive(Debug, Default)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    /// Has the task woken by the next [`AtomicWaker::wake`].
    pub(crate) fn register(&self, waker: &Waker) {
        *self.0.lock().unwrap() = Some(waker.clone());
    }

    /// Wakes the task that was registered last, once.
    pub(crate) fn wake(&self) {
        let waker = self.0.lock().unwrap().take();
        waker.into_iter().for_each(Waker::wake);
    }
}
