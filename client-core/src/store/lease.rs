//! Which process may connect. Two connected ones would do no harm, but take the ends from each other for ever.
//!
//! The row decides. A lock on a file beside it only tells that the holder died, so that a killed process is replaced
//! at once and not after the lease; where there are no file locks, or a holder is frozen, the row expires.

use super::{Tx, fixed};
use crate::error::StoreError;
use crate::types::Timestamp;

/// A lease that is not renewed for this long is free: its holder was frozen, or killed.
pub(crate) const LEASE_MS: u64 = 15_000;

/// How often a holder renews it: seldom, for every renewal is a write on a phone's battery.
pub(crate) const RENEW_MS: u64 = 5_000;

/// Names one opened client of one process: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder(pub(crate) [u8; 16]);

/// The lease as it stands.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) holder: Holder,
    pub(crate) expires_at: Timestamp,
    pub(crate) settled: bool,
}

impl Lease {
    pub(crate) fn is_held(&self, now: Timestamp) -> bool {
        // A lease from far ahead was left by a clock that has been set back since.
        now < self.expires_at && self.expires_at - now <= 2 * LEASE_MS
    }
}

impl Tx<'_> {
    pub(crate) fn lease(&self) -> Result<Option<Lease>, StoreError> {
        self.row("SELECT holder, expires_at, settled FROM lease", [], |row| {
            Ok(Lease {
                holder: Holder(fixed(row.get_ref(0)?.as_blob()?)?),
                expires_at: row.get(1)?,
                settled: row.get(2)?,
            })
        })
    }

    /// Whether nobody else took the lease since this holder did.
    pub(crate) fn is_held_by(&self, holder: Holder) -> Result<bool, StoreError> {
        Ok(self.lease()?.is_some_and(|lease| lease.holder == holder))
    }

    /// Takes or renews the lease; false if another holds it and is not known to be dead.
    pub(crate) fn take_lease(
        &self,
        holder: Holder,
        now: Timestamp,
        settled: bool,
        others_are_dead: bool,
    ) -> Result<bool, StoreError> {
        let others = |lease: Lease| lease.holder != holder && lease.is_held(now);
        if !others_are_dead && self.lease()?.is_some_and(others) {
            return Ok(false);
        }
        self.execute(
            "INSERT INTO lease (one, holder, expires_at, settled) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT (one) DO UPDATE SET holder = ?1, expires_at = ?2, settled = ?3",
            (holder.0, now + LEASE_MS, settled),
        )?;
        Ok(true)
    }

    /// Gives the lease back, if it is ours.
    pub(crate) fn leave_lease(&self, holder: Holder) -> Result<(), StoreError> {
        self.execute("DELETE FROM lease WHERE holder = ?1", [holder.0])?;
        Ok(())
    }
}
