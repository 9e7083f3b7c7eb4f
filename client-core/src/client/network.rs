//! Calls about how relays are reached.

use super::Client;
use crate::error::{NetworkError, StoreError};
use crate::network::{NetworkSettings, Proxy};

impl Client {
    /// How relays are reached.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn network(&self) -> Result<NetworkSettings, StoreError> {
        self.read(|tx| tx.network())
    }

    /// Says how relays are to be reached from now on. Connections that are there end, and begin anew. To be called before
    /// the first [`Client::enrol`] or [`Client::join`] by whoever must not be seen to reach a relay.
    ///
    /// # Errors
    /// [`NetworkError::NotAProxy`]: nothing was changed.
    pub fn set_network(&self, settings: NetworkSettings) -> Result<(), NetworkError> {
        if let Some(proxy) = &settings.proxy {
            Proxy::parse(proxy)?;
        }
        self.change(|tx| Ok(tx.set_network(&settings)?))
    }
}
