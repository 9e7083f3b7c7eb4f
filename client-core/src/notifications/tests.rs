use super::*;
use crate::care::hours::{DayHours, WeekHours, Weekday};
use crate::care::notification::Showing;
use crate::content::Body;
use crate::retention::{Keep, Retention};
use crate::testing::{NOW, Pair};

const NIGHT: Timestamp = NOW + 12 * 3_600_000;
const MORNING: Timestamp = NOW + 22 * 3_600_000;

fn write(pair: &mut Pair, id: u8) {
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[id; 16], "something private", NOW));
    pair.exchange();
}

fn set(pair: &mut Pair, settings: &NotificationSettings) {
    check(settings).unwrap();
    pair.practice.change(|tx, _| tx.set_notification_settings(settings));
}

fn taken(pair: &mut Pair, now: Timestamp) -> Notifications {
    pair.practice.change(|tx, _| take(tx, now))
}

fn daytime() -> QuietHours {
    let hours = DayHours { from: 8 * 60, until: 20 * 60 };
    QuietHours::Outside {
        zone: "Europe/Zurich".into(),
        hours: Weekday::ALL.map(|day| WeekHours { day, hours }).to_vec(),
    }
}

#[test]
fn a_notification_is_neutral_until_the_owner_asks_for_more() {
    let mut pair = Pair::new();
    write(&mut pair, 1);
    write(&mut pair, 2);
    let notifications = taken(&mut pair, NOW);
    let [one] = notifications.due.as_slice() else { panic!("one contact wrote") };
    assert_eq!((one.words().as_str(), one.messages(), one.label(), one.text()), ("New message", 2, None, None));
    assert_eq!(one.contact(), hex::encode(pair.practice.contact));
    assert_eq!((notifications.held, notifications.again_at), (0, None));

    for (showing, label, text) in [
        (Showing::Nothing, None, None),
        (Showing::Label, Some("C"), None),
        (Showing::LabelAndText, Some("C"), Some("something private")),
    ] {
        set(&mut pair, &NotificationSettings { words: "Post".into(), showing, quiet_hours: QuietHours::Off });
        write(&mut pair, 10 + showing as u8);
        let one = taken(&mut pair, NOW).due.remove(0);
        assert_eq!((one.words().as_str(), one.messages()), ("Post", 1));
        assert_eq!((one.label().as_deref(), one.text().as_deref()), (label, text));
    }
}

#[test]
fn each_message_is_given_once_and_what_was_read_not_at_all() {
    let mut pair = Pair::new();
    write(&mut pair, 1);
    let looked = pair.practice.change(|tx, _| look(tx, NOW));
    assert_eq!(looked.due.len(), 1);
    assert_eq!(taken(&mut pair, NOW).due.len(), 1);
    assert_eq!(taken(&mut pair, NOW), Notifications::default());
    write(&mut pair, 2);
    pair.practice.change(|tx, row| tx.mark_read(&row.key));
    assert_eq!(taken(&mut pair, NOW), Notifications::default());
    // Cards and other notes are no messages.
    pair.client.change(|tx, row| {
        let terms = crate::care::terms::Terms { version: 1, signed_at: NOW, text: "terms".into() };
        statements::agree(tx, &row.key, &terms, NOW, &mut crate::testing::rng())
    });
    pair.exchange();
    assert_eq!(taken(&mut pair, NOW), Notifications::default());
}

#[test]
fn quiet_hours_hold_notifications_until_they_end_unless_the_contact_is_marked() {
    let mut pair = Pair::new();
    set(&mut pair, &NotificationSettings { quiet_hours: daytime(), ..NotificationSettings::default() });
    write(&mut pair, 1);
    write(&mut pair, 2);
    let held = taken(&mut pair, NIGHT);
    assert_eq!((held.due.len(), held.held, held.again_at), (0, 2, Some(MORNING)));
    let due = taken(&mut pair, MORNING);
    assert_eq!((due.due[0].messages(), due.held, due.again_at), (2, 0, None));

    pair.practice.change(|tx, row| tx.set_always_notify(&row.key, true));
    write(&mut pair, 3);
    assert_eq!(taken(&mut pair, NIGHT).due.len(), 1);
    // What was given stays given when the mark goes.
    pair.practice.change(|tx, row| tx.set_always_notify(&row.key, false));
    assert_eq!(taken(&mut pair, MORNING), Notifications::default());
}

#[test]
fn a_text_that_was_withdrawn_meanwhile_is_in_no_notification_even_if_our_rule_keeps_it() {
    let mut pair = Pair::new();
    let rule = Retention { keep: Keep::ForYears { years: 10 }, legal_hold: false };
    pair.practice.change(|tx, row| tx.set_retention(&row.key, true, rule, NOW));
    let showing = Showing::LabelAndText;
    set(&mut pair, &NotificationSettings { showing, quiet_hours: daytime(), ..NotificationSettings::default() });
    write(&mut pair, 1);
    pair.client.change(|tx, row| {
        let body = Body::Withdrawal { message: [1; 16] };
        tx.queue_about(&row.key, &[2; 16], &body, NOW)
    });
    pair.exchange();
    assert!(pair.practice.history().last().unwrap().withdrawn);
    let one = taken(&mut pair, MORNING).due.remove(0);
    assert_eq!((one.label().as_deref(), one.text()), (Some("C"), None));
}

#[test]
fn an_edited_message_is_notified_of_once_more_and_counts_as_one() {
    let mut pair = Pair::new();
    let showing = Showing::LabelAndText;
    set(&mut pair, &NotificationSettings { showing, ..NotificationSettings::default() });
    let edit = |pair: &mut Pair, id: u8, of: u8, text: &str| {
        let body = Body::Edit { message: [of; 16], text: text.to_owned() };
        pair.client.change(|tx, row| tx.queue_about(&row.key, &[id; 16], &body, NOW));
        pair.exchange();
    };
    write(&mut pair, 1);
    write(&mut pair, 2);
    assert_eq!(taken(&mut pair, NOW).due[0].messages(), 2);
    pair.practice.change(|tx, row| tx.mark_read(&row.key));
    edit(&mut pair, 11, 1, "other words");
    let one = taken(&mut pair, NOW).due.remove(0);
    assert_eq!((one.messages(), one.text().as_deref()), (1, Some("other words")));
    assert_eq!(taken(&mut pair, NOW), Notifications::default());

    // Edited before it was notified of, it is one message and not two.
    write(&mut pair, 3);
    edit(&mut pair, 12, 3, "better words");
    edit(&mut pair, 13, 3, "the best words");
    let one = taken(&mut pair, NOW).due.remove(0);
    assert_eq!((one.messages(), one.text().as_deref()), (1, Some("the best words")));
    assert_eq!(taken(&mut pair, NOW), Notifications::default());
    // What is about no text here is nothing new.
    edit(&mut pair, 14, 99, "words about nothing");
    assert_eq!(taken(&mut pair, NOW), Notifications::default());
}

#[test]
fn the_oldest_unread_message_ages_from_when_it_was_sent_as_far_as_that_can_be_believed() {
    let mut pair = Pair::new();
    let age =
        |pair: &mut Pair| pair.practice.change(|tx, row| Ok(tx.public_contact(&row.key)?.unwrap().care.oldest_unread));
    assert_eq!(age(&mut pair), None);
    let day = 24 * 3_600_000;
    for (id, sent_at, oldest) in [
        // Of a clock that is ahead: it cannot have been sent after it came.
        (1, NOW + 5 * day, NOW),
        (2, NOW - 2 * day, NOW - 2 * day),
        // Of a clock that stands in 1970: no relay keeps anything for that long.
        (3, 0, NOW - 90 * day),
    ] {
        pair.client.change(|tx, row| tx.queue_text(&row.key, &[id; 16], "x", sent_at));
        pair.exchange();
        assert_eq!(age(&mut pair), Some(oldest));
    }
    pair.practice.change(|tx, row| tx.mark_read(&row.key));
    assert_eq!(age(&mut pair), None);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let good = NotificationSettings::default();
    let outside = |zone: &str, hours: Vec<WeekHours>| NotificationSettings {
        quiet_hours: QuietHours::Outside { zone: zone.into(), hours },
        ..good.clone()
    };
    let hours = |from, until| vec![WeekHours { day: Weekday::Monday, hours: DayHours { from, until } }];
    for (bad, why) in [
        (NotificationSettings { words: " ".into(), ..good.clone() }, SettingsError::BadWords),
        (NotificationSettings { words: "x".repeat(101), ..good.clone() }, SettingsError::BadWords),
        (outside("Mars/Olympus", hours(60, 120)), SettingsError::UnknownZone),
        (outside("UTC", vec![]), SettingsError::BadHours),
        (outside("UTC", hours(120, 60)), SettingsError::BadHours),
        (outside("UTC", hours(60, 120).repeat(65)), SettingsError::BadHours),
    ] {
        assert_eq!(check(&bad).unwrap_err().to_string(), why.to_string());
    }
    let mut pair = Pair::new();
    for settings in [
        good.clone(),
        outside("UTC", hours(60, 1_500)),
        NotificationSettings {
            words: "Post".into(),
            showing: Showing::LabelAndText,
            quiet_hours: QuietHours::OutsideOfficeHours,
        },
    ] {
        set(&mut pair, &settings);
        assert_eq!(pair.practice.change(|tx, _| tx.notification_settings()), settings);
    }
}
