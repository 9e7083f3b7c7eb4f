//! What the owner of the device is to be notified of now: each message once, whichever process asks.

use crate::care::hours::{Schedule, UnknownZone};
use crate::care::notification::{MAX_WORDS, Notification, NotificationSettings, Notifications};
use crate::care::practice_card::SignedPracticeCard;
use crate::care::quiet_hours::{QuietHours, quiet_until};
use crate::error::{SettingsError, StoreError};
use crate::statements;
use crate::store::Tx;
use crate::types::Timestamp;

/// Most hours in a week, as on a practice card.
const MAX_HOURS: usize = 64;

/// What to show now. What is given here is not given again.
pub(crate) fn take(tx: &Tx<'_>, now: Timestamp) -> Result<Notifications, StoreError> {
    plan(tx, now, true)
}

/// The same, and nothing counts as given.
pub(crate) fn look(tx: &Tx<'_>, now: Timestamp) -> Result<Notifications, StoreError> {
    plan(tx, now, false)
}

fn plan(tx: &Tx<'_>, now: Timestamp, is_given: bool) -> Result<Notifications, StoreError> {
    let new = tx.new_messages()?;
    if new.is_empty() {
        return Ok(Notifications::default());
    }
    let settings = tx.notification_settings()?;
    let card = statements::own_newest::<SignedPracticeCard>(tx)?;
    let until = quiet_until(&settings.quiet_hours, card.as_ref().map(|signed| &signed.card), now);
    let mut notifications = Notifications::default();
    for messages in new {
        if until.is_some() && !messages.always {
            notifications.held += messages.count;
            notifications.again_at = until;
            continue;
        }
        let contact = hex::encode(messages.contact);
        let mut notification = Notification::neutral(contact, settings.words.clone(), messages.count);
        if let Some(allowed) = settings.showing.label() {
            notification = notification.with_label(allowed, tx.label(&messages.contact)?);
        }
        if let Some(allowed) = settings.showing.text()
            && let Some(text) = tx.text_of(messages.newest)?
        {
            notification = notification.with_text(allowed, text);
        }
        notifications.due.push(notification);
        if is_given {
            tx.set_notified(&messages.contact, messages.up_to)?;
        }
    }
    Ok(notifications)
}

/// Whether settings make sense.
pub(crate) fn check(settings: &NotificationSettings) -> Result<(), SettingsError> {
    if settings.words.trim().is_empty() || settings.words.len() > MAX_WORDS {
        return Err(SettingsError::BadWords);
    }
    if let QuietHours::Outside { zone, hours } = &settings.quiet_hours {
        Schedule::new(zone, &[], &[]).map_err(|UnknownZone| SettingsError::UnknownZone)?;
        if hours.is_empty() || hours.len() > MAX_HOURS || !hours.iter().all(|week| week.hours.is_valid()) {
            return Err(SettingsError::BadHours);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
