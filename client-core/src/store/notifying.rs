//! What the owner of the device is notified of, and how.

use super::contacts::ContactKey;
use super::messages::MessageKey;
use super::{Tx, fixed};
use crate::care::hours::{DayHours, WeekHours, Weekday};
use crate::care::notification::{NotificationSettings, Showing};
use crate::care::quiet_hours::QuietHours;
use crate::error::StoreError;

/// Messages of a contact that came, were not seen, and of which the owner was not notified.
pub(crate) struct NewMessages {
    pub(crate) contact: ContactKey,
    /// The owner wants to hear of them in quiet hours too.
    pub(crate) always: bool,
    pub(crate) count: u64,
    /// The newest of them.
    pub(crate) newest: MessageKey,
    /// What came last of them, or an edit of one.
    pub(crate) up_to: MessageKey,
}

const NOTHING: i64 = 0;
const LABEL: i64 = 1;
const LABEL_AND_TEXT: i64 = 2;

const OFF: i64 = 0;
const OFFICE: i64 = 1;
const OWN: i64 = 2;

impl Tx<'_> {
    pub(crate) fn notification_settings(&self) -> Result<NotificationSettings, StoreError> {
        let stored = self.row("SELECT words, showing, quiet, zone FROM notifying", [], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, String>(3)?))
        })?;
        let Some((words, showing, quiet, zone)) = stored else { return Ok(NotificationSettings::default()) };
        let hours = || {
            self.rows("SELECT day, from_minute, until_minute FROM quiet_hours ORDER BY day, from_minute", [], |row| {
                let day = Weekday::from_number(row.get(0)?).ok_or(rusqlite::Error::InvalidQuery)?;
                Ok(WeekHours { day, hours: DayHours { from: row.get(1)?, until: row.get(2)? } })
            })
        };
        Ok(NotificationSettings {
            words,
            showing: match showing {
                LABEL_AND_TEXT => Showing::LabelAndText,
                LABEL => Showing::Label,
                _ => Showing::Nothing,
            },
            quiet_hours: match quiet {
                OFFICE => QuietHours::OutsideOfficeHours,
                OWN => QuietHours::Outside { zone, hours: hours()? },
                _ => QuietHours::Off,
            },
        })
    }

    pub(crate) fn set_notification_settings(&self, settings: &NotificationSettings) -> Result<(), StoreError> {
        let showing = match settings.showing {
            Showing::Nothing => NOTHING,
            Showing::Label => LABEL,
            Showing::LabelAndText => LABEL_AND_TEXT,
        };
        let (quiet, zone, hours) = match &settings.quiet_hours {
            QuietHours::Off => (OFF, "", &[][..]),
            QuietHours::OutsideOfficeHours => (OFFICE, "", &[][..]),
            QuietHours::Outside { zone, hours } => (OWN, zone.as_str(), hours.as_slice()),
        };
        self.execute(
            "INSERT INTO notifying (one, words, showing, quiet, zone) VALUES (1, ?1, ?2, ?3, ?4)
             ON CONFLICT (one) DO UPDATE SET words = ?1, showing = ?2, quiet = ?3, zone = ?4",
            (&settings.words, showing, quiet, zone),
        )?;
        self.execute("DELETE FROM quiet_hours", [])?;
        for week in hours {
            self.execute(
                "INSERT INTO quiet_hours (day, from_minute, until_minute) VALUES (?1, ?2, ?3)",
                (week.day.number(), week.hours.from, week.hours.until),
            )?;
        }
        Ok(())
    }

    /// Whether the owner wants to hear of a contact in quiet hours too.
    pub(crate) fn set_always_notify(&self, contact: &ContactKey, always: bool) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO notified (contact, always, up_to) VALUES (?1, ?2, 0)
             ON CONFLICT (contact) DO UPDATE SET always = ?2",
            (contact, always),
        )?;
        Ok(())
    }

    /// What the owner was not notified of yet, by contact. An edited message is new once more. It looks at no text.
    pub(crate) fn new_messages(&self) -> Result<Vec<NewMessages>, StoreError> {
        self.rows(
            "SELECT came.contact, coalesce(always, 0), count(DISTINCT coalesce(edited.id, came.id)),
                 max(coalesce(edited.id, came.id)), max(came.id)
             FROM messages AS came LEFT JOIN notified ON notified.contact = came.contact
             LEFT JOIN messages AS edited ON came.kind = 60 AND edited.contact = came.contact AND edited.direction = 1
                 AND edited.message_id = came.about AND edited.edited = came.number AND edited.outcome = 3
             WHERE came.direction = 1 AND came.outcome = 3 AND (came.kind NOT BETWEEN 30 AND 69 OR edited.id IS NOT NULL)
                 AND came.id > coalesce(up_to, 0)
             GROUP BY came.contact ORDER BY max(came.id)",
            [],
            |row| {
                Ok(NewMessages {
                    contact: fixed(row.get_ref(0)?.as_blob()?)?,
                    always: row.get(1)?,
                    count: row.get(2)?,
                    newest: row.get(3)?,
                    up_to: row.get(4)?,
                })
            },
        )
    }

    /// The owner was notified of a contact's messages up to this one.
    pub(crate) fn set_notified(&self, contact: &ContactKey, up_to: MessageKey) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO notified (contact, always, up_to) VALUES (?1, 0, ?2)
             ON CONFLICT (contact) DO UPDATE SET up_to = ?2",
            (contact, up_to),
        )?;
        Ok(())
    }

    /// Messages of a store that was put together anew are counted from its newest one: what comes after it was not
    /// notified of, however many there were before.
    pub(crate) fn bound_notified(&self) -> Result<(), StoreError> {
        self.execute("UPDATE notified SET up_to = min(up_to, (SELECT coalesce(max(id), 0) FROM messages))", [])?;
        Ok(())
    }

    pub(crate) fn label(&self, contact: &ContactKey) -> Result<String, StoreError> {
        self.row("SELECT label FROM contacts WHERE id = ?1", [contact], |row| row.get(0))?.ok_or(StoreError::Damaged)
    }

    /// What a message says, if it is a text that nobody withdrew.
    pub(crate) fn text_of(&self, message: MessageKey) -> Result<Option<String>, StoreError> {
        self.row("SELECT text FROM messages WHERE id = ?1 AND kind = 1 AND NOT withdrawn", [message], |row| row.get(0))
    }
}
