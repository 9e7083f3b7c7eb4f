//! The Tacit relay, as a library.

use std::sync::{Mutex, MutexGuard, PoisonError};

mod backlog;
mod channel;
mod committer;
mod effect;
mod proven;
pub mod spool;
#[cfg(test)]
mod testing;
mod time;

pub use time::Clock;

/// Takes a lock. What it guards is whole even if another thread panicked: sections are short and set no half states.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
