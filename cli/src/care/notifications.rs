//! `tacit notifications`

use tacit_client_core::{NotificationSettings, QuietHours, Showing};

use super::args::{self, Mark, Notifications, NotificationsWhat, Show};
use super::hours_text::{week_hours, week_hours_text};
use super::record::{Held, Marked, NotificationLine, SettingsLine};
use crate::clock;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Notifications, output: Output) -> Result<(), Failure> {
    match &args.what {
        None => take(session, output),
        Some(NotificationsWhat::Settings(change)) => settings(session, change, output),
        Some(NotificationsWhat::Mark(mark)) => self::mark(session, mark, output),
    }
}

/// Prints what is due, once.
fn take(session: &Session, output: Output) -> Result<(), Failure> {
    let notifications = session.client().take_notifications(clock::now())?;
    for notification in &notifications.due {
        output.answer(&NotificationLine::from(notification), || {
            let who = notification.label().map(|label| format!(" ({})", escape::line(&label))).unwrap_or_default();
            let text = notification.text().map(|text| format!(": {}", escape::line(&text))).unwrap_or_default();
            format!("{}{who}{text}", escape::line(&notification.words()))
        })?;
    }
    if notifications.held > 0 {
        let again_at = notifications.again_at;
        output.answer(&Held { held: notifications.held, again_at }, || {
            let until = again_at.map(|at| format!(" until {}", session.clock.moment(at))).unwrap_or_default();
            format!("{} held{until}", notifications.held)
        })?;
    }
    Ok(())
}

fn settings(session: &Session, change: &args::NotificationSettings, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let mut settings = client.notification_settings()?;
    if change.words.is_some() || change.show.is_some() || change.quiet.is_some() || change.zone.is_some() {
        apply(&mut settings, change)?;
        client.set_notification_settings(settings.clone())?;
    }
    let (quiet, zone, hours) = match settings.quiet_hours {
        QuietHours::Off => ("off", None, Vec::new()),
        QuietHours::OutsideOfficeHours => ("office", None, Vec::new()),
        QuietHours::Outside { zone, hours } => ("outside", Some(zone), week_hours_text(&hours)),
    };
    let show = match settings.showing {
        Showing::Nothing => "nothing",
        Showing::Label => "label",
        Showing::LabelAndText => "text",
    };
    let record = SettingsLine { words: settings.words, show, quiet, zone, hours };
    output.answer(&record, || {
        let when = match (record.quiet, &record.zone) {
            ("outside", Some(zone)) => format!("quiet outside of {} ({zone})", record.hours.join(", ")),
            ("office", _) => "quiet while the practice is closed".into(),
            _ => "never quiet".into(),
        };
        format!("\"{}\", showing {} besides; {when}", escape::line(&record.words), record.show)
    })
}

fn apply(settings: &mut NotificationSettings, change: &args::NotificationSettings) -> Result<(), Failure> {
    if let Some(words) = &change.words {
        settings.words.clone_from(words);
    }
    if let Some(show) = change.show {
        settings.showing = match show {
            Show::Nothing => Showing::Nothing,
            Show::Label => Showing::Label,
            Show::Text => Showing::LabelAndText,
        };
    }
    let zone_before = match &settings.quiet_hours {
        QuietHours::Outside { zone, .. } => Some(zone.clone()),
        _ => None,
    };
    let zone = change.zone.clone().or(zone_before).or_else(clock::zone_name);
    match change.quiet.as_deref() {
        Some("off" | "never") => settings.quiet_hours = QuietHours::Off,
        Some("office") => settings.quiet_hours = QuietHours::OutsideOfficeHours,
        Some(text) => {
            let hours = week_hours(text).map_err(|error| Failure::BadFile(error.to_string()))?;
            settings.quiet_hours = QuietHours::Outside { zone: zone.ok_or(Failure::NoZone)?, hours };
        }
        None => {
            if let (QuietHours::Outside { zone: now, .. }, Some(wanted)) = (&mut settings.quiet_hours, &change.zone) {
                now.clone_from(wanted);
            }
        }
    }
    Ok(())
}

fn mark(session: &Session, args: &Mark, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    session.client().set_always_notify(contact.id.clone(), !args.off)?;
    output.answer(&Marked { contact: contact.id, always_notify: !args.off }, || {
        if args.off { "Held in quiet hours." } else { "Notified of in quiet hours too." }.into()
    })
}
