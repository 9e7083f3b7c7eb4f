//! Notifications and quiet hours of this device's owner.

use super::Client;
use crate::care::notification::{NotificationSettings, Notifications};
use crate::error::{ContactError, SettingsError, StoreError};
use crate::notifications;
use crate::types::{ContactId, Timestamp};

impl Client {
    /// How this device notifies its owner.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn notification_settings(&self) -> Result<NotificationSettings, StoreError> {
        self.read(|tx| tx.notification_settings())
    }

    /// Changes how this device notifies its owner.
    ///
    /// # Errors
    /// [`SettingsError`]. Nothing was changed.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass records by value")]
    pub fn set_notification_settings(&self, settings: NotificationSettings) -> Result<(), SettingsError> {
        notifications::check(&settings)?;
        self.change(|tx| Ok(tx.set_notification_settings(&settings)?))
    }

    /// Whether a contact's messages are notified of in quiet hours too.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn set_always_notify(&self, contact: ContactId, always: bool) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| Ok(tx.set_always_notify(&row.key, always)?))
    }

    /// What is to be shown now outside of the app, and when to ask again. Each message is given once, to whichever
    /// process asks first; what was marked as read is not given at all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn take_notifications(&self, now: Timestamp) -> Result<Notifications, StoreError> {
        self.change(|tx| notifications::take(tx, now))
    }

    /// Since when the oldest message waits that was not marked as read, of all contacts; for one contact it is in
    /// [`CareState::oldest_unread`](crate::CareState::oldest_unread). No text is looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn oldest_unread(&self) -> Result<Option<Timestamp>, StoreError> {
        let contacts = self.read::<_, StoreError>(|tx| tx.contacts())?;
        Ok(contacts.into_iter().filter_map(|contact| contact.care.oldest_unread).min())
    }
}
