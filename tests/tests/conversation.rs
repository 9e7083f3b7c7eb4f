//! The first conversation: two devices pair and talk through a relay.

#![allow(missing_docs, reason = "tests")]

use serde_json::json;
use tacit_client_core::{ContactError, ContactState, EndedWhy, JoinError, OpenError, Outcome, SendError};
use tacit_tests::{Cli, Device, PATIENCE_MS, Relay};

const TEXTS: usize = 500;

fn texts(from: &str) -> Vec<String> {
    (1..=TEXTS).map(|number| format!("{from} {number}")).collect()
}

/// A therapist's and a client's device, paired and connected.
struct Pair {
    relay: Relay,
    therapist: Device,
    client: Device,
    /// The client, as the therapist's device knows them, and the other way round.
    of_client: String,
    of_therapist: String,
    link: String,
}

fn pair() -> Pair {
    pair_at(Relay::start())
}

fn pair_at(relay: Relay) -> Pair {
    let (therapist, client) = (Device::new(), Device::new());
    therapist.online();
    client.online();
    therapist.enrol(&relay.enrolment(5));
    let (of_client, link) = therapist.invite("Client in the test");
    // The therapist is away when the client joins.
    therapist.offline();
    let of_therapist = client.join(&link);
    assert_eq!(client.client().contact(of_therapist.clone()).unwrap().state, ContactState::Joined);
    therapist.online();
    therapist.wait_state(&of_client, ContactState::Paired);
    client.wait_state(&of_therapist, ContactState::Paired);
    Pair { relay, therapist, client, of_client, of_therapist, link }
}

impl Pair {
    fn check_all_arrived(&self, sent_by_therapist: &[String], sent_by_client: &[String]) {
        self.therapist.wait_all_delivered(&self.of_client);
        self.client.wait_all_delivered(&self.of_therapist);
        assert_eq!(self.client.received(&self.of_therapist), sent_by_therapist);
        assert_eq!(self.therapist.received(&self.of_client), sent_by_client);
        for contact in [
            self.therapist.client().contact(self.of_client.clone()).unwrap(),
            self.client.client().contact(self.of_therapist.clone()).unwrap(),
        ] {
            assert_eq!((contact.missing, contact.unopened, contact.invite_tried), (0, 0, false));
        }
    }
}

#[test]
fn both_ends_see_the_same_safety_words_and_are_unverified_until_they_say_otherwise() {
    let pair = pair();
    let words = pair.therapist.client().safety_words(pair.of_client.clone()).unwrap();
    assert_eq!(words.len(), 12);
    assert_eq!(pair.client.client().safety_words(pair.of_therapist.clone()).unwrap(), words);
    let contact = |device: &Device, id: &str| device.client().contact(id.to_owned()).unwrap();
    assert!(!contact(&pair.therapist, &pair.of_client).verified);
    let other = vec!["abandon".to_owned(); 12];
    assert!(matches!(pair.therapist.client().verify(pair.of_client.clone(), other), Err(ContactError::OtherWords)));
    assert!(!contact(&pair.therapist, &pair.of_client).verified);
    pair.therapist.client().verify(pair.of_client.clone(), words).unwrap();
    assert!(contact(&pair.therapist, &pair.of_client).verified);
    // Labels stay where they were given: the client sees what the therapist calls itself, and no more.
    assert_eq!(contact(&pair.therapist, &pair.of_client).label, "Client in the test");
    assert_eq!(contact(&pair.client, &pair.of_therapist).label, "Dr. Example");
}

#[test]
fn five_hundred_texts_in_turn_arrive_once_in_order_and_are_delivered() {
    let pair = pair();
    let (from_therapist, from_client) = (texts("therapist"), texts("client"));
    for (one, two) in from_therapist.iter().zip(&from_client) {
        pair.therapist.client().send(pair.of_client.clone(), one.clone()).unwrap();
        pair.client.client().send(pair.of_therapist.clone(), two.clone()).unwrap();
    }
    pair.check_all_arrived(&from_therapist, &from_client);
}

#[test]
fn five_hundred_texts_each_way_at_once_with_either_side_away_half_of_the_time() {
    let pair = pair();
    let (from_therapist, from_client) = (texts("therapist"), texts("client"));
    std::thread::scope(|scope| {
        let send = |device: &Device, contact: &str, texts: &[String], away_first: bool| {
            for (part, texts) in texts.chunks(TEXTS / 10).enumerate() {
                if (part % 2 == 0) == away_first {
                    device.offline();
                } else {
                    device.online();
                }
                for text in texts {
                    device.client().send(contact.to_owned(), text.clone()).unwrap();
                }
                if (part % 2 == 0) != away_first {
                    device.settle();
                }
            }
            device.online();
        };
        let pair = &pair;
        let (one, two) = (&from_therapist, &from_client);
        scope.spawn(move || send(&pair.therapist, &pair.of_client, one, true));
        scope.spawn(move || send(&pair.client, &pair.of_therapist, two, false));
    });
    pair.check_all_arrived(&from_therapist, &from_client);
}

#[test]
fn a_used_invite_is_refused_with_words_that_help_and_the_therapist_is_told() {
    let pair = pair();
    let stranger = Device::new();
    stranger.online();
    let contact = stranger.client().join(pair.link.clone(), None).unwrap();
    stranger.wait_state(&contact, ContactState::Ended(EndedWhy::InviteUsed));
    let tried = || pair.therapist.client().contact(pair.of_client.clone()).unwrap().invite_tried;
    for _ in 0..PATIENCE_MS / 10 {
        if tried() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(tried());
    // It took nothing away from the rightful device, which may try its own link as often as it likes.
    assert_eq!(pair.client.client().join(pair.link.clone(), None).unwrap(), pair.of_therapist);
    assert!(matches!(pair.therapist.client().join(pair.link.clone(), None), Err(JoinError::OwnInvite)));
    let sent = pair.client.client().send(pair.of_therapist.clone(), "still here".to_owned()).unwrap();
    assert_eq!(pair.client.client().wait_outcome(sent, true, PATIENCE_MS).unwrap(), Outcome::Delivered);
}

#[test]
fn an_invite_that_the_relay_does_not_know_says_so() {
    let (one, two) = (Relay::start(), Relay::start());
    let (therapist, client) = (Device::new(), Device::new());
    therapist.online();
    client.online();
    therapist.enrol(&one.enrolment(1));
    let (_, link) = therapist.invite("x");
    let mut link = tacit_proto::link::InviteLink::parse(&link).unwrap();
    link.relay.address = format!("ws://{}", two.address()).parse().unwrap();
    let contact = client.client().join(link.to_uri(), None).unwrap();
    client.wait_state(&contact, ContactState::Ended(EndedWhy::InviteExpired));
}

#[test]
fn declining_closes_the_channel_and_the_therapist_sees_it() {
    let relay = Relay::start();
    let (therapist, client) = (Device::new(), Device::new());
    therapist.online();
    client.online();
    therapist.enrol(&relay.enrolment(1));
    let (of_client, link) = therapist.invite("x");
    let of_therapist = client.client().join(link, None).unwrap();
    client.wait_state(&of_therapist, ContactState::Consenting);
    let offer = client.client().offer(of_therapist.clone()).unwrap();
    assert_eq!(offer.from, "Dr. Example");
    assert!(offer.terms.contains("emergencies"));
    client.client().decline(of_therapist.clone()).unwrap();
    therapist.wait_state(&of_client, ContactState::Ended(EndedWhy::ByPeer));
    client.settle();
    therapist.settle();
    let sent = client.client().send(of_therapist.clone(), "x".to_owned());
    assert!(matches!(sent, Err(SendError::Ended)));
    assert!(matches!(client.client().consent(of_therapist), Err(ContactError::WrongState)));
}

#[test]
fn what_was_sent_before_the_end_still_arrives() {
    let pair = pair();
    pair.client.offline();
    for text in texts("last words") {
        pair.therapist.client().send(pair.of_client.clone(), text).unwrap();
    }
    pair.therapist.settle();
    pair.therapist.client().end(pair.of_client.clone()).unwrap();
    pair.therapist.settle();
    pair.client.online();
    pair.client.wait_state(&pair.of_therapist, ContactState::Ended(EndedWhy::ByPeer));
    assert_eq!(pair.client.received(&pair.of_therapist), texts("last words"));
}

#[test]
fn a_relay_that_is_down_loses_nothing_and_calls_do_not_wait_for_it() {
    let mut pair = pair();
    pair.relay.kill();
    let sent = pair.client.client().send(pair.of_therapist.clone(), "kept".to_owned()).unwrap();
    let outcome = pair.client.client().message(sent.clone()).unwrap().outcome;
    assert_eq!(outcome, Outcome::Queued);
    assert!(pair.client.client().wait_outcome(sent.clone(), false, 100).is_err());
    pair.relay.restart();
    assert_eq!(pair.client.client().wait_outcome(sent, true, PATIENCE_MS).unwrap(), Outcome::Delivered);
    assert_eq!(pair.therapist.received(&pair.of_client), ["kept"]);
}

#[test]
fn a_full_backlog_holds_texts_back_and_loses_none() {
    let pair = pair_at(Relay::start_with("backlog_boxes = 20"));
    pair.client.offline();
    let from_therapist = texts("therapist");
    for text in &from_therapist {
        pair.therapist.client().send(pair.of_client.clone(), text.clone()).unwrap();
    }
    // The relay takes what fits; the rest is queued, and the wait says that not everything is exchanged.
    assert!(pair.therapist.client().wait_settled(1_000).is_err());
    let history = pair.therapist.client().history(pair.of_client.clone(), None, u32::MAX).unwrap();
    let accepted = history.iter().filter(|message| matches!(message.outcome, Outcome::Accepted { .. })).count();
    assert!((1..=20).contains(&accepted), "{accepted}");
    assert!(history.iter().skip(accepted).all(|message| message.outcome == Outcome::Queued));
    pair.client.online();
    pair.check_all_arrived(&from_therapist, &[]);
}

#[test]
fn a_relay_that_forgot_the_channel_locks_both_out_and_erases_nothing_on_the_devices() {
    let mut pair = pair();
    pair.client.settle();
    pair.relay.kill();
    let (data, away) = (pair.relay.data().join("data"), pair.relay.data().join("away"));
    std::fs::rename(&data, &away).unwrap();
    pair.relay.restart();
    let locked_out = || pair.client.client().contact(pair.of_therapist.clone()).unwrap().locked_out;
    for _ in 0..PATIENCE_MS / 10 {
        if locked_out() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(locked_out());
    let sent = pair.client.client().send(pair.of_therapist.clone(), "kept all the while".to_owned()).unwrap();

    pair.relay.kill();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&away, &data).unwrap();
    pair.relay.restart();
    assert_eq!(pair.client.client().wait_outcome(sent, true, PATIENCE_MS).unwrap(), Outcome::Delivered);
    assert!(!pair.client.client().contact(pair.of_therapist.clone()).unwrap().locked_out);
}

#[test]
fn two_clients_on_one_home_share_one_conversation() {
    let pair = pair();
    let key = tacit_client_core::StoreKey::Raw(vec![7; 32]);
    let home = pair.client.home().to_str().unwrap().to_owned();
    let second = tacit_client_core::Client::open(home, key).unwrap();
    second.start(None).unwrap();
    let (from_therapist, mut from_client) = (texts("therapist"), Vec::new());
    for (number, text) in from_therapist.iter().enumerate() {
        pair.therapist.client().send(pair.of_client.clone(), text.clone()).unwrap();
        let mine = format!("client {number}");
        let sender = if number % 2 == 0 { pair.client.client() } else { &second };
        sender.send(pair.of_therapist.clone(), mine.clone()).unwrap();
        from_client.push(mine);
        // Half way, the connected one leaves.
        if number == TEXTS / 2 {
            pair.client.offline();
        }
    }
    pair.check_all_arrived(&from_therapist, &from_client);
}

#[test]
fn a_home_made_with_one_kind_of_key_is_not_opened_with_another() {
    let device = Device::new();
    let home = device.home().to_str().unwrap().to_owned();
    let key = tacit_client_core::StoreKey::Passphrase("x".to_owned());
    assert!(matches!(tacit_client_core::Client::open(home, key), Err(OpenError::WrongKeyKind)));
}

#[test]
fn a_text_is_answered_edited_and_withdrawn_from_the_command_line() {
    let (relay, therapist, client) = (Relay::start(), Cli::new(), Cli::new());
    therapist.ok(&["enrol", &relay.enrolment(1), "--name", "Dr. Example"]);
    let invite = therapist.ok(&["invite", "--label", "C"]);
    client.ok(&["join", invite[0]["link"].as_str().unwrap(), "--accept-terms", "--label", "T"]);
    therapist.ok(&["sync"]);
    let sent = client.ok(&["send", "T", "See you on Thursday?", "--wait", "accepted"]);
    let id = sent[0]["id"].as_str().unwrap();
    therapist.ok(&["sync"]);
    therapist.ok(&["send", "C", "Yes.", "--reply-to", id, "--wait", "accepted"]);
    assert_eq!(client.ok(&["edit", id, "See you on Friday?"]), [json!({"id": id, "sent": true})]);
    therapist.ok(&["sync"]);
    let history = therapist.ok(&["history", "C"]);
    assert_eq!((&history[0]["text"], &history[0]["edited"]), (&json!("See you on Friday?"), &json!(true)));
    assert_eq!((&history[1]["text"], &history[1]["reply_to"]), (&json!("Yes."), &json!(id)));
    assert!(therapist.screen(&["history", "C"]).contains("See you on Friday? (edited)"));
    let shown = client.screen(&["history", "T"]);
    assert!(shown.contains("(answers me: See you on Friday?)") && shown.contains("Yes."), "{shown}");

    assert_eq!(client.ok(&["withdraw", id, "--yes"]), [json!({"id": id, "sent": true})]);
    therapist.ok(&["sync"]);
    for (device, contact) in [(&therapist, "C"), (&client, "T")] {
        assert_eq!(device.ok(&["history", contact])[0]["note"], "withdrawn");
        assert!(device.screen(&["history", contact]).contains("withdrew a message"));
    }
    let again = client.run(&["withdraw", id, "--yes"]);
    assert!(String::from_utf8(again.stderr).unwrap().contains("no_such_message"));
}
