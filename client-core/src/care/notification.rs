//! Notifications that say no more than the owner of the device allowed.
//!
//! A lock screen is read by whoever stands next to it. So a notification begins neutral, and can take a name or a text
//! only against an [allowance](Showing), which only the owner's setting gives.

use std::fmt;

use super::quiet_hours::QuietHours;
use crate::types::{ContactId, Timestamp};

/// What a notification says until the owner chooses other words.
pub(crate) const DEFAULT_WORDS: &str = "New message";

/// Longest words of the owner's own.
pub(crate) const MAX_WORDS: usize = 100;

/// How much a notification may show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Showing {
    /// The words alone.
    #[default]
    Nothing,
    /// The contact's label as well.
    Label,
    /// The label, and what the newest message says.
    LabelAndText,
}

/// That the owner allowed labels in notifications. There is no other way to have one than their setting.
#[derive(Clone, Copy)]
pub(crate) struct LabelAllowed(());

/// That the owner allowed texts in notifications.
#[derive(Clone, Copy)]
pub(crate) struct TextAllowed(());

impl Showing {
    pub(crate) const fn label(self) -> Option<LabelAllowed> {
        match self {
            Self::Nothing => None,
            Self::Label | Self::LabelAndText => Some(LabelAllowed(())),
        }
    }

    pub(crate) const fn text(self) -> Option<TextAllowed> {
        match self {
            Self::Nothing | Self::Label => None,
            Self::LabelAndText => Some(TextAllowed(())),
        }
    }
}

/// How this device notifies its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationSettings {
    /// What a notification says: 1 to 100 bytes, `New message` unless the owner chose other words.
    pub words: String,
    /// How much more it may show.
    pub showing: Showing,
    /// When it is held.
    pub quiet_hours: QuietHours,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self { words: DEFAULT_WORDS.to_owned(), showing: Showing::Nothing, quiet_hours: QuietHours::Off }
    }
}

/// Something to be shown outside of the app. It can only carry what the owner of the device allowed.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    contact: ContactId,
    words: String,
    messages: u64,
    label: Option<String>,
    text: Option<String>,
}

impl Notification {
    pub(crate) const fn neutral(contact: ContactId, words: String, messages: u64) -> Self {
        Self { contact, words, messages, label: None, text: None }
    }

    pub(crate) fn with_label(self, _: LabelAllowed, label: String) -> Self {
        Self { label: Some(label), ..self }
    }

    pub(crate) fn with_text(self, _: TextAllowed, text: String) -> Self {
        Self { text: Some(text), ..self }
    }

    /// Which conversation to open, if it is chosen. Not to be shown; it means nothing to anybody.
    #[must_use]
    pub fn contact(&self) -> ContactId {
        self.contact.clone()
    }

    /// What to show.
    #[must_use]
    pub fn words(&self) -> String {
        self.words.clone()
    }

    /// How many new messages it stands for.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whose they are, if the owner wants that shown.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        self.label.clone()
    }

    /// What the newest of them says, if the owner wants that shown.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.text.clone()
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notification(..)")
    }
}

/// What is to be shown now, and what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// To be shown now, one for each contact that wrote. Each message is given once.
    pub due: Vec<Notification>,
    /// How many messages wait for quiet hours to end.
    pub held: u64,
    /// When to ask again, if nothing happens before: the end of quiet hours.
    pub again_at: Option<Timestamp>,
}

/// For how many whole days something has waited.
#[must_use]
pub const fn days_waited(since: Timestamp, now: Timestamp) -> u64 {
    now.saturating_sub(since) / (24 * 3600 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owners_setting_lets_a_name_or_a_text_into_a_notification() {
        for (showing, label, text) in
            [(Showing::Nothing, false, false), (Showing::Label, true, false), (Showing::LabelAndText, true, true)]
        {
            assert_eq!((showing.label().is_some(), showing.text().is_some()), (label, text));
        }
        assert_eq!(NotificationSettings::default().showing, Showing::Nothing);
    }

    #[test]
    fn nothing_of_a_notification_shows_in_debug_output() {
        let notification = Notification::neutral("0a".into(), "Post".into(), 2)
            .with_label(Showing::Label.label().unwrap(), "Anna".into())
            .with_text(Showing::LabelAndText.text().unwrap(), "secret".into());
        assert_eq!(format!("{notification:?}"), "Notification(..)");
        assert_eq!(notification.label().as_deref(), Some("Anna"));
    }

    #[test]
    fn days_are_whole_and_a_clock_that_went_back_has_waited_none() {
        let day = 24 * 3600 * 1000;
        for (since, now, days) in [(0, day - 1, 0), (0, day, 1), (5, 2 * day + 5, 2), (day, 0, 0)] {
            assert_eq!(days_waited(since, now), days);
        }
    }
}
