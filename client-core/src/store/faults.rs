//! Lets a test stop the world at any write of a transaction. Whoever strikes is rolled back, as by a crash.

use std::cell::Cell;

use crate::error::StoreError;

thread_local! {
    static WRITES_LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    static WRITES: Cell<u64> = const { Cell::new(0) };
}

/// What a struck write returns.
pub(crate) const CRASH: &str = "a crash that a test asked for";

/// Lets `writes` more writes of this thread happen; the one after them fails.
pub(crate) fn crash_after(writes: u64) {
    WRITES_LEFT.set(Some(writes));
}

/// No write fails any more.
pub(crate) fn none() {
    WRITES_LEFT.set(None);
}

/// Writes of this thread so far.
pub(crate) fn writes() -> u64 {
    WRITES.get()
}

pub(super) fn strike(sql: &str) -> Result<(), StoreError> {
    if sql.starts_with("SELECT") {
        return Ok(());
    }
    WRITES.set(WRITES.get() + 1);
    match WRITES_LEFT.get() {
        Some(0) => {
            WRITES_LEFT.set(None);
            Err(StoreError::Io(CRASH.to_owned()))
        }
        left => {
            WRITES_LEFT.set(left.map(|left| left - 1));
            Ok(())
        }
    }
}
