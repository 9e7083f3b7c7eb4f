//! How relays are reached.

use super::Tx;
use crate::error::StoreError;
use crate::network::NetworkSettings;

impl Tx<'_> {
    pub(crate) fn network(&self) -> Result<NetworkSettings, StoreError> {
        let stored = self.row("SELECT proxy, separate FROM network", [], |row| {
            Ok(NetworkSettings { proxy: row.get(0)?, separate: row.get(1)? })
        })?;
        Ok(stored.unwrap_or_default())
    }

    pub(crate) fn set_network(&self, settings: &NetworkSettings) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO network (one, proxy, separate) VALUES (1, ?1, ?2)
             ON CONFLICT (one) DO UPDATE SET proxy = ?1, separate = ?2",
            (&settings.proxy, settings.separate),
        )?;
        Ok(())
    }
}
