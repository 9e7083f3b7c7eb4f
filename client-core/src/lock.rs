//! Locking, unlocking, another passphrase, and erasing everything.

use std::path::PathBuf;

use crate::client::{Client, Opened, rng};
use crate::error::{OpenError, StoreError};
use crate::store::{self, Key, StoreKey, home_exists};

impl Client {
    /// Disconnects, closes the store, and drops its key from memory. Every call that needs the store then ends in
    /// [`StoreError::Locked`], inside its own error, until [`Client::unlock`]. Does nothing if it is locked already.
    ///
    /// Not to be called from a listener. Keys are overwritten in memory where we can reach them; what an app was given
    /// of texts and names is the app's to forget.
    ///
    /// # Example
    /// ```no_run
    /// # use tacit_client_core::{Client, StoreKey};
    /// # let client = Client::open("/path/to/home".to_owned(), StoreKey::Passphrase("correct horse".to_owned()))?;
    /// client.lock();
    /// assert!(client.contacts().is_err());
    /// client.unlock(StoreKey::Passphrase("correct horse".to_owned()))?;
    /// client.start(None)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lock(&self) {
        // Held throughout, so that nothing is started in between.
        let mut thread = self.thread();
        self.hang_up(&mut thread);
        *self.opened() = None;
    }

    /// Opens the store again after [`Client::lock`]. The connection is not started. Does nothing if it is not locked,
    /// whatever the key.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Erased`] if there is no home any more. The client stays locked.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn unlock(&self, key: StoreKey) -> Result<(), OpenError> {
        let mut opened = self.opened();
        if opened.is_none() {
            if !home_exists(&self.home) {
                return Err(OpenError::Erased);
            }
            *opened = Some(Opened::open(&self.home, &key)?);
        }
        Ok(())
    }

    /// Whether the client is locked.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.opened().is_none()
    }

    /// Has the home opened by another passphrase or key from now on. Works while locked too; what is open stays open,
    /// in every process.
    ///
    /// Interrupted at any moment, the home is opened by the old one or by the new one. This protects against whoever
    /// learns the old passphrase from now on. Whoever has it and kept a copy of the home's key file can still open the
    /// store: only a new home protects against them.
    ///
    /// # Errors
    /// [`OpenError`], [`OpenError::WrongPassphrase`] for a wrong `old` above all. Nothing was changed.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn change_key(&self, old: StoreKey, new: StoreKey) -> Result<(), OpenError> {
        Key::change(&self.home, &old, &new, &mut rng())
    }

    /// Destroys everything on this device for good: the key first, then the files, overwritten and removed. The client
    /// is locked afterwards, and cannot be unlocked. Other processes that have the home open find it erased at their
    /// next call. The other sides are told nothing: [end](Client::end) pairings first if they should be.
    ///
    /// On SSDs, and on file systems with snapshots, copies of overwritten data may remain. Without the key file they
    /// are useless; with it, and the passphrase, they are not.
    ///
    /// # Errors
    /// [`OpenError::Io`]. The home cannot be opened any more; repeat it until it succeeds.
    pub fn erase(&self) -> Result<(), OpenError> {
        self.lock();
        store::erase(&self.home)
    }

    /// The same for a home that is not open: no passphrase is needed. Does nothing where there is no home.
    ///
    /// # Errors
    /// As for [`Client::erase`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn erase_home(home: String) -> Result<(), OpenError> {
        store::erase(&PathBuf::from(home))
    }

    /// Checks every page of the store. Takes about a second for each 100 MB.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if anything is not as it was written.
    pub fn check(&self) -> Result<(), StoreError> {
        self.opened().as_ref().ok_or(StoreError::Locked)?.store.check()
    }
}

#[cfg(test)]
mod tests;
