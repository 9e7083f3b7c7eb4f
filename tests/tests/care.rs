//! What therapy needs, between two devices and a relay: the rules are evaluated on the device, offline too.

#![allow(missing_docs, reason = "tests")]

use std::time::{Duration, Instant};

use tacit_client_core::{
    Availability, ContactError, ContactState, Content, CrisisCall, CrisisCard, CrisisReason, CrisisText, DayHours,
    Direction, EndedWhy, Note, Outcome, PracticeCard, ResponseTime, SendError, WeekHours, Weekday, WordAnswer,
    check_consent,
};
use tacit_tests::{Device, PATIENCE_MS, Relay};

struct Pair {
    _relay: Relay,
    practice: Device,
    client: Device,
    of_client: String,
    of_practice: String,
}

fn pair() -> Pair {
    pair_after(|_| ())
}

/// Pairs, after the practice did something.
fn pair_after(first: impl FnOnce(&Device)) -> Pair {
    let relay = Relay::start();
    let (practice, client) = (Device::new(), Device::new());
    practice.online();
    client.online();
    practice.enrol(&relay.enrolment(5));
    first(&practice);
    let (of_client, link) = practice.invite("C");
    let of_practice = client.join(&link);
    practice.wait_state(&of_client, ContactState::Paired);
    client.wait_state(&of_practice, ContactState::Paired);
    Pair { _relay: relay, practice, client, of_client, of_practice }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_millis(PATIENCE_MS), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Monday to Friday, 9 to 17 o'clock in Zurich; an answer on the next working day.
fn card() -> PracticeCard {
    let days = &Weekday::ALL[..5];
    PracticeCard {
        practice: "Practice at the Lake".to_owned(),
        zone: "Europe/Zurich".to_owned(),
        hours: days.iter().map(|day| WeekHours { day: *day, hours: DayHours { from: 540, until: 1_020 } }).collect(),
        exceptions: Vec::new(),
        response: Some(ResponseTime::WorkingDays { days: 1 }),
        cover: "The desk".to_owned(),
        policy: "For appointments.".to_owned(),
    }
}

fn crisis(advice: &str) -> CrisisCard {
    let text = |locale: &str, advice: String| CrisisText {
        locale: locale.to_owned(),
        advice,
        calls: vec![CrisisCall { who: "The line".to_owned(), at: "143".to_owned() }],
    };
    CrisisCard { texts: vec![text("en", advice.to_owned()), text("de", format!("{advice} (de)"))] }
}

/// Friday, 5 June 2026, 18:00 in Zurich, and ten hours before.
const FRIDAY_EVENING: u64 = 1_780_675_200_000;
const FRIDAY_MORNING: u64 = FRIDAY_EVENING - 8 * 3_600_000;
const MONDAY_9: u64 = FRIDAY_EVENING + (2 * 24 + 15) * 3_600_000;

impl Pair {
    fn notes_to_client(&self) -> Vec<Note> {
        notes(&self.client, &self.of_practice)
    }
}

fn notes(device: &Device, contact: &str) -> Vec<Note> {
    let history = device.client().history(contact.to_owned(), None, u32::MAX).unwrap();
    let came = history.into_iter().filter(|message| message.direction == Direction::In);
    came.filter_map(|message| match message.content {
        Content::Note(note) => Some(note),
        _ => None,
    })
    .collect()
}

#[test]
fn a_client_is_told_when_to_expect_an_answer_with_the_therapist_and_the_relay_away() {
    let mut pair = pair_after(|practice| assert_eq!(practice.client().set_practice_card(card()).unwrap(), 1));
    pair.practice.offline();
    pair.client.offline();
    pair.client.reopen();
    let client = pair.client.client();
    let signed = client.contact_practice_card(pair.of_practice.clone()).unwrap().unwrap();
    assert_eq!((signed.version, signed.card), (1, card()));
    let expect = |at| client.expectation(pair.of_practice.clone(), at).unwrap();
    let morning = expect(FRIDAY_MORNING);
    assert!(matches!(morning.availability, Availability::Open { until: Some(_) }));
    assert_eq!(morning.answer_by, Some(MONDAY_9 + 8 * 3_600_000));
    let evening = expect(FRIDAY_EVENING);
    assert_eq!(evening.availability, Availability::Closed { opens: Some(MONDAY_9), away: None });
    assert_eq!(evening.answer_by, Some(MONDAY_9 + 32 * 3_600_000));
    assert_eq!(evening.policy, "For appointments.");
    // To the practice, a client is no practice.
    let card = pair.practice.client().contact_practice_card(pair.of_client.clone()).unwrap();
    assert_eq!(card, None);
}

#[test]
fn a_changed_card_reaches_a_client_that_was_away_and_its_own_device_signs_no_nonsense() {
    let pair = pair();
    let practice = pair.practice.client();
    assert_eq!(practice.practice_card().unwrap(), None);
    let unknown = PracticeCard { zone: "Mars/Olympus".to_owned(), ..card() };
    assert!(practice.set_practice_card(unknown).is_err());
    assert!(pair.client.client().set_practice_card(card()).is_err(), "a device that never enrolled is no practice");

    pair.client.offline();
    for version in 1..=3 {
        let changed = PracticeCard { cover: format!("Cover {version}"), ..card() };
        assert_eq!(practice.set_practice_card(changed).unwrap(), version);
    }
    pair.practice.settle();
    pair.client.online();
    let newest = || pair.client.client().contact_practice_card(pair.of_practice.clone()).unwrap();
    until("the third card", || newest().is_some_and(|signed| signed.version == 3));
    assert_eq!(newest().unwrap().card.cover, "Cover 3");
    assert_eq!(pair.notes_to_client(), vec![Note::PracticeCardChanged; 3]);
    let contact = pair.client.client().contact(pair.of_practice.clone()).unwrap();
    assert_eq!((contact.unread, contact.unopened, contact.missing), (0, 0, 0));
}

#[test]
fn the_crisis_card_is_there_offline_in_the_readers_language_and_is_shown_when_it_must_be() {
    let pair = pair_after(|practice| {
        practice.client().set_practice_card(card()).unwrap();
        practice.client().set_crisis_card(crisis("Call")).unwrap();
    });
    pair.client.offline();
    let client = pair.client.client();
    let shown =
        |locale: &str, asked, now| client.crisis(pair.of_practice.clone(), locale.to_owned(), asked, now).unwrap();
    let on_request = shown("de_AT.UTF-8", true, FRIDAY_MORNING);
    assert_eq!(on_request.reason, Some(CrisisReason::OnRequest));
    assert_eq!((on_request.text.advice.as_str(), on_request.is_from_practice), ("Call (de)", true));
    assert_eq!(shown("fr", false, FRIDAY_MORNING).reason, None);
    assert_eq!(shown("fr", false, FRIDAY_EVENING).reason, Some(CrisisReason::OutsideHours));
    // A message that nobody answers: from the moment on at which an answer could have been expected.
    client.send(pair.of_practice.clone(), "whatever it says".to_owned()).unwrap();
    let sent_at = client.history(pair.of_practice.clone(), None, 1).unwrap()[0].sent_at;
    let answer_by = client.expectation(pair.of_practice.clone(), sent_at).unwrap().answer_by.unwrap();
    let during_hours = answer_by - 1;
    assert_eq!(shown("en", false, during_hours).reason, None);
    assert_eq!(shown("en", false, answer_by + 1).reason, Some(CrisisReason::AnswerOverdue { since: answer_by }));
    // An answer puts an end to that.
    pair.client.online();
    pair.practice.client().send(pair.of_client.clone(), "an answer".to_owned()).unwrap();
    until("the answer", || pair.client.received(&pair.of_practice).len() == 1);
    assert_eq!(shown("en", false, answer_by + 1).reason, Some(CrisisReason::OutsideHours));
}

#[test]
fn without_a_card_there_is_something_to_show_and_nothing_made_up() {
    let pair = pair();
    let client = pair.client.client();
    let crisis = client.crisis(pair.of_practice.clone(), "en".to_owned(), false, FRIDAY_EVENING).unwrap();
    assert_eq!((crisis.reason, crisis.is_from_practice), (None, false));
    assert!(!crisis.text.advice.is_empty());
    let expectation = client.expectation(pair.of_practice.clone(), FRIDAY_EVENING).unwrap();
    assert_eq!((expectation.availability, expectation.answer_by), (Availability::Unknown, None));
}

#[test]
fn changed_terms_are_asked_for_again_and_until_then_a_client_reads_and_does_not_write() {
    let pair = pair();
    let (practice, client) = (pair.practice.client(), pair.client.client());
    let long = "Be kind. ".repeat(3_000);
    let version = practice.set_terms(long.clone()).unwrap();
    assert_eq!(version, 2);
    let waits =
        |device: &Device, contact: &str| device.client().contact(contact.to_owned()).unwrap().care.terms_waiting;
    assert!(waits(&pair.practice, &pair.of_client));
    until("the terms", || waits(&pair.client, &pair.of_practice));
    assert!(matches!(client.send(pair.of_practice.clone(), "x".to_owned()), Err(SendError::TermsChanged)));
    practice.send(pair.of_client.clone(), "can be read".to_owned()).unwrap();
    until("the text", || pair.client.received(&pair.of_practice) == ["can be read"]);

    let terms = client.contact_terms(pair.of_practice.clone()).unwrap();
    assert_eq!((terms.version, terms.text.as_str()), (2, long.as_str()));
    assert!(matches!(client.agree(pair.of_practice.clone(), 1), Err(ContactError::OtherTerms)));
    client.agree(pair.of_practice.clone(), 2).unwrap();
    assert!(matches!(client.agree(pair.of_practice.clone(), 2), Err(ContactError::WrongState)));
    client.send(pair.of_practice.clone(), "agreed".to_owned()).unwrap();
    until("the consent", || !waits(&pair.practice, &pair.of_client));
    until("the answer", || pair.practice.received(&pair.of_client) == ["agreed"]);

    // Both sides hold the same consents, and anyone can check them.
    for version in [1, 2] {
        let theirs = practice.export_consent(pair.of_client.clone(), version).unwrap();
        let ours = client.export_consent(pair.of_practice.clone(), version).unwrap();
        assert_eq!(theirs, ours);
        let checked = check_consent(ours).unwrap();
        assert_eq!((checked.terms_version, checked.from.as_str()), (version, "Dr. Example"));
    }
    let consents = practice.consents(pair.of_client.clone()).unwrap();
    assert_eq!(
        consents.iter().map(|consent| (consent.terms_version, consent.is_ours)).collect::<Vec<_>>(),
        [(1, false), (2, false)]
    );
    assert_eq!(consents[1].consent_key, client.consents(pair.of_practice.clone()).unwrap()[0].consent_key);
}

#[test]
fn another_enrolment_leaves_the_practices_terms_as_they_are() {
    let relay = Relay::start();
    let practice = Device::new();
    practice.online();
    practice.enrol(&relay.enrolment(1));
    practice.client().set_terms("Our own.".to_owned()).unwrap();
    practice.enrol(&relay.enrolment(1));
    assert_eq!(practice.client().terms().unwrap().text, "Our own.");
}

#[test]
fn a_pause_stops_both_sides_and_says_why() {
    let pair = pair();
    let (practice, client) = (pair.practice.client(), pair.client.client());
    practice.pause(pair.of_client.clone(), "Back in May".to_owned()).unwrap();
    let paused = || client.contact(pair.of_practice.clone()).unwrap().care.paused_by_them.is_some();
    until("the pause", paused);
    assert!(matches!(client.send(pair.of_practice.clone(), "x".to_owned()), Err(SendError::Paused)));
    assert!(matches!(practice.send(pair.of_client.clone(), "x".to_owned()), Err(SendError::Paused)));
    assert_eq!(pair.notes_to_client(), [Note::Paused { words: "Back in May".to_owned() }]);
    practice.resume(pair.of_client.clone()).unwrap();
    until("the end of the pause", || !paused());
    client.send(pair.of_practice.clone(), "again".to_owned()).unwrap();
    until("the text", || pair.practice.received(&pair.of_client) == ["again"]);
}

#[test]
fn a_discharge_delivers_everything_both_ways_and_then_its_farewell() {
    let pair = pair();
    let (practice, client) = (pair.practice.client(), pair.client.client());
    pair.client.offline();
    pair.practice.offline();
    // Both wrote while both were away, and then one says farewell.
    let from_client = client.send(pair.of_practice.clone(), "from the client".to_owned()).unwrap();
    let from_practice = practice.send(pair.of_client.clone(), "from the practice".to_owned()).unwrap();
    practice.discharge(pair.of_client.clone(), "Go well. Dr. Other takes over.".to_owned()).unwrap();
    let discharged = ContactState::Ended(EndedWhy::Discharged);
    assert_eq!(practice.contact(pair.of_client.clone()).unwrap().state, discharged);
    assert!(matches!(practice.send(pair.of_client.clone(), "x".to_owned()), Err(SendError::Ended)));
    assert!(matches!(practice.discharge(pair.of_client.clone(), String::new()), Err(ContactError::WrongState)));
    pair.practice.online();
    pair.practice.client().wait_outcome(from_practice.clone(), false, PATIENCE_MS).unwrap();

    pair.client.online();
    pair.client.wait_state(&pair.of_practice, ContactState::Ended(EndedWhy::DischargedByPeer));
    assert_eq!(pair.client.received(&pair.of_practice), ["from the practice"]);
    until("what the client wrote before", || pair.practice.received(&pair.of_client) == ["from the client"]);
    let outcome = |device: &Device, id: &str| device.client().message(id.to_owned()).unwrap().outcome;
    until("the receipt of it", || outcome(&pair.client, &from_client) == Outcome::Delivered);
    until("the other receipt", || outcome(&pair.practice, &from_practice) == Outcome::Delivered);
    for device in [&pair.practice, &pair.client] {
        device.settle();
    }
    let farewell = client.farewell(pair.of_practice.clone()).unwrap().unwrap();
    assert_eq!((farewell.is_ours, farewell.is_discharge), (false, true));
    assert_eq!(farewell.words, "Go well. Dr. Other takes over.");
    assert!(practice.farewell(pair.of_client.clone()).unwrap().unwrap().is_ours);
    // What therapy needs stays with the history.
    assert_eq!(client.consents(pair.of_practice.clone()).unwrap().len(), 1);
    assert!(client.crisis(pair.of_practice.clone(), "en".to_owned(), true, 1).is_ok());
}

#[test]
fn a_farewell_waits_at_the_relay_for_a_device_that_is_away() {
    for is_discharge in [true, false] {
        let pair = pair();
        pair.client.offline();
        let practice = pair.practice.client();
        practice.send(pair.of_client.clone(), "before".to_owned()).unwrap();
        pair.practice.settle();
        if is_discharge {
            practice.discharge(pair.of_client.clone(), "words".to_owned()).unwrap();
        } else {
            practice.end(pair.of_client.clone()).unwrap();
        }
        let farewell = notes_out(&pair);
        practice.wait_outcome(farewell, false, PATIENCE_MS).unwrap();
        pair.practice.offline();
        pair.client.online();
        let why = if is_discharge { EndedWhy::DischargedByPeer } else { EndedWhy::ByPeer };
        pair.client.wait_state(&pair.of_practice, ContactState::Ended(why));
        assert_eq!(pair.client.received(&pair.of_practice), ["before"]);
        let farewell = pair.client.client().farewell(pair.of_practice.clone()).unwrap().unwrap();
        assert_eq!((farewell.is_ours, farewell.is_discharge), (false, is_discharge));
        pair.practice.online();
        pair.practice.settle();
        pair.client.settle();
    }
}

/// The id of the newest message of the practice's.
fn notes_out(pair: &Pair) -> String {
    pair.practice.client().history(pair.of_client.clone(), None, 1).unwrap().remove(0).id
}

#[test]
fn either_side_unpairs_at_once_and_the_other_is_told_by_that_side_itself() {
    for from_client in [true, false] {
        let pair = pair();
        let (one, of_other, other, of_one) = if from_client {
            (&pair.client, &pair.of_practice, &pair.practice, &pair.of_client)
        } else {
            (&pair.practice, &pair.of_client, &pair.client, &pair.of_practice)
        };
        one.client().end(of_other.clone()).unwrap();
        assert_eq!(one.client().contact(of_other.clone()).unwrap().state, ContactState::Ended(EndedWhy::ByUs));
        other.wait_state(of_one, ContactState::Ended(EndedWhy::ByPeer));
        assert!(!other.client().farewell(of_one.clone()).unwrap().unwrap().is_ours);
        one.settle();
        other.settle();
    }
}

#[test]
fn a_word_is_asked_for_and_answered_without_being_sent() {
    let pair = pair();
    let (practice, client) = (pair.practice.client(), pair.client.client());
    practice.set_agreed_word(pair.of_client.clone(), Some("blue heron".to_owned())).unwrap();
    for (word, answer) in
        [(Some("a guess"), WordAnswer::Wrong), (None, WordAnswer::Declined), (Some(" Blue  Heron"), WordAnswer::Right)]
    {
        practice.ask_word(pair.of_client.clone()).unwrap();
        until("the question", || client.contact(pair.of_practice.clone()).unwrap().care.word_asked);
        client.answer_word(pair.of_practice.clone(), word.map(str::to_owned)).unwrap();
        let newest = || practice.agreed_word(pair.of_client.clone()).unwrap().asked.unwrap().answer;
        until("the answer", || newest() != WordAnswer::None);
        assert_eq!(newest(), answer);
    }
    assert_eq!(notes(&pair.practice, &pair.of_client), [Note::WordWrong, Note::WordDeclined, Note::WordRight]);
}

#[test]
fn the_app_is_told_when_there_is_something_to_notify_of_and_gets_no_more_than_was_allowed() {
    use std::sync::mpsc;
    use tacit_client_core::{Event, Listener};

    struct Tell(mpsc::Sender<Event>);
    impl Listener for Tell {
        fn on_event(&self, event: Event) {
            let _ = self.0.send(event);
        }
    }

    let pair = pair();
    pair.practice.offline();
    let (tell, events) = mpsc::channel();
    pair.practice.client().start(Some(Box::new(Tell(tell)))).unwrap();
    pair.client.client().send(pair.of_practice.clone(), "private".to_owned()).unwrap();
    let mut seen = Vec::new();
    while !seen.contains(&Event::NotificationsDue) {
        seen.push(events.recv_timeout(Duration::from_millis(PATIENCE_MS)).unwrap());
    }
    assert!(!format!("{seen:?}").contains("private"));
    let now = seen.len() as u64;
    let notifications = pair.practice.client().take_notifications(now).unwrap();
    let one = &notifications.due[0];
    assert_eq!((one.words().as_str(), one.label(), one.text()), ("New message", None, None));
    assert_eq!(pair.practice.client().take_notifications(now).unwrap().due.len(), 0);
}
