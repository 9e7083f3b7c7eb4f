//! The locks and threads of the relay: the standard library's. In the tests of `concurrency`, shuttle's: it decides at each
//! of them which thread goes on.

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use crate::concurrency::AtomicWaker;
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use futures_util::task::AtomicWaker;
#[cfg(all(test, feature = "shuttle"))]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard, atomic, mpsc},
    thread,
};
#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic, mpsc},
    thread,
};

use std::sync::PoisonError;

/// The tests of `concurrency` are compiled, in which little must be enough to fill a queue.
pub(crate) const MODELLED: bool = cfg!(all(test, feature = "shuttle"));

/// Takes a lock. What it guards is whole even if another thread panicked: sections are short and set no half states.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
