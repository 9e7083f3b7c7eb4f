//! What therapy needs, from the command line, as a script sees it: each command is a process of its own.

#![allow(missing_docs, reason = "tests")]

use std::path::PathBuf;

use serde_json::{Value, json};
use tacit_tests::{Cli, Relay};
use tempfile::TempDir;

struct Pair {
    _relay: Relay,
    files: TempDir,
    practice: Cli,
    client: Cli,
}

const CARD: &str = r#"{
    "practice": "Practice at the Lake",
    "zone": "Europe/Zurich",
    "hours": ["mon-fri 09:00-17:00"],
    "response": "1 working day",
    "policy": "For appointments.",
    "cover": "Dr. Cover"
}"#;

const CRISIS: &str = r#"[
    {"locale": "en", "advice": "Call for help.", "calls": [{"who": "The line", "at": "143"}]},
    {"locale": "de", "advice": "Ruf an."}
]"#;

impl Pair {
    fn new() -> Self {
        let (relay, practice, client) = (Relay::start(), Cli::new(), Cli::new());
        let files = tempfile::tempdir().unwrap();
        practice.ok(&["enrol", &relay.enrolment(5), "--name", "Dr. Example"]);
        let pair = Self { _relay: relay, files, practice, client };
        let card = pair.file("card.json", CARD);
        let signed = pair.practice.ok(&["practice", "set", &card]);
        assert_eq!(signed, [json!({"signed": "practice_card", "version": 1, "told": true})]);
        let crisis = pair.file("crisis.json", CRISIS);
        pair.practice.ok(&["practice", "crisis", &crisis]);
        let invite = pair.practice.ok(&["invite", "--label", "Anna"]);
        pair.client.ok(&["join", invite[0]["link"].as_str().unwrap(), "--accept-terms", "--label", "Practice"]);
        pair.sync();
        pair
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path: PathBuf = self.files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Lets everything arrive, both ways.
    fn sync(&self) {
        for device in [&self.practice, &self.client, &self.practice, &self.client] {
            device.ok(&["sync"]);
        }
    }

    fn error(&self, device: &Cli, arguments: &[&str]) -> String {
        let output = device.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        error["error"].as_str().unwrap().to_owned()
    }

    fn contact(&self, device: &Cli) -> Value {
        device.ok(&["contacts"]).remove(0)
    }
}

fn notes(device: &Cli, contact: &str) -> Vec<String> {
    let history = device.ok(&["history", contact]);
    history.iter().filter_map(|message| Some(message["note"].as_str()?.to_owned())).collect()
}

#[test]
fn hours_and_the_crisis_card_are_told_before_and_after_sending() {
    let pair = Pair::new();
    let evening = pair.client.ok(&["hours", "Practice", "--at", "2026-06-05T18:00:00+02:00"]);
    assert_eq!(
        evening,
        [json!({
            "availability": "closed",
            "opens": 1_780_902_000_000_u64,
            "answer_by": 1_781_017_200_000_u64,
            "policy": "For appointments.",
            "cover": "Dr. Cover"
        })]
    );
    let morning = pair.client.ok(&["hours", "Practice", "--at", "2026-06-05T10:00:00+02:00"]);
    assert_eq!(
        (&morning[0]["availability"], &morning[0]["open_until"]),
        (&json!("open"), &json!(1_780_671_600_000_u64))
    );
    let sent = pair.client.ok(&["send", "Practice", "hello"]);
    assert!(sent[0]["expected"]["answer_by"].as_u64().unwrap() > 1_700_000_000_000, "{sent:?}");
    assert!(["open", "closed"].contains(&sent[0]["expected"]["availability"].as_str().unwrap()));

    let crisis = pair.client.ok(&["crisis", "Practice", "--locale", "de-CH"]);
    assert_eq!(
        crisis,
        [json!({"reason": "on_request", "locale": "de", "advice": "Ruf an.", "calls": [], "from_practice": true})]
    );
    let english = pair.client.ok(&["crisis", "Practice", "--locale", "fr"]);
    assert_eq!(english[0]["calls"], json!([{"who": "The line", "at": "143"}]));

    // Away: the card goes out again, and says so.
    let away = [
        "practice",
        "away",
        "--from",
        "2026-06-05",
        "--until",
        "2026-06-12",
        "--note",
        "Leave",
        "--cover",
        "Dr. Other",
    ];
    assert_eq!(pair.practice.ok(&away)[0]["version"], 2);
    pair.sync();
    let then = pair.client.ok(&["hours", "Practice", "--at", "2026-06-09T10:00:00+02:00"]);
    assert_eq!(then[0]["away"], json!({"until": "2026-06-12", "note": "Leave", "cover": "Dr. Other"}));
    let shown = pair.practice.ok(&["practice", "show"]);
    assert_eq!(shown[0]["card"]["hours"], json!(["mon-fri 09:00-17:00"]));
    assert_eq!(notes(&pair.client, "Practice"), ["practice_card_changed"]);
    assert_eq!(pair.error(&pair.client, &["practice", "set", &pair.file("x.json", "{}")]), "bad_file");
    let unknown = pair.file("y.json", &CARD.replace("Europe/Zurich", "Mars/Olympus"));
    assert_eq!(pair.error(&pair.practice, &["practice", "set", &unknown]), "unknown_zone");
    assert_eq!(pair.error(&pair.client, &["practice", "set", &pair.file("z.json", CARD)]), "not_enrolled");
}

#[test]
fn terms_are_asked_for_again_and_consent_is_a_file_that_anyone_can_check() {
    let pair = Pair::new();
    let terms = pair.file("terms.txt", "Be kind.");
    assert_eq!(pair.practice.ok(&["practice", "terms", &terms])[0]["version"], 2);
    pair.sync();
    assert_eq!(pair.contact(&pair.client)["terms_waiting"], true);
    assert_eq!(pair.error(&pair.client, &["send", "Practice", "x"]), "terms_changed");
    let shown = pair.client.ok(&["terms", "Practice"]);
    assert_eq!((&shown[0]["terms"], &shown[0]["waiting"]), (&json!("Be kind."), &json!(true)));
    assert_eq!(pair.error(&pair.client, &["terms", "Practice", "--agree", "1"]), "other_terms");
    assert_eq!(pair.client.ok(&["terms", "Practice", "--agree", "2"])[0]["waiting"], false);
    pair.client.ok(&["send", "Practice", "agreed"]);
    pair.sync();

    let consents = pair.practice.ok(&["consent", "Anna"]);
    assert_eq!(consents.iter().map(|consent| consent["terms_version"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let exported = pair.practice.ok(&["consent", "Anna", "--export", "2"]).remove(0);
    let file = pair.file("consent.json", &exported.to_string());
    // Somebody else, without a home.
    let checked = Cli::new().ok(&["check-consent", &file]);
    assert_eq!((&checked[0]["holds"], &checked[0]["terms"]), (&json!(true), &json!("Be kind.")));
    assert_eq!(checked[0]["consent_key"], pair.client.ok(&["consent", "Practice"])[0]["consent_key"]);
    let altered = pair.file("altered.json", &exported.to_string().replace("Be kind.", "Be quick."));
    assert_eq!(pair.error(&Cli::new(), &["check-consent", &altered]), "consent_differs");
}

#[test]
fn a_conversation_is_paused_resumed_and_discharged() {
    let pair = Pair::new();
    let paused = pair.practice.ok(&["pause", "Anna", "--words", "Back in May"]);
    assert_eq!((&paused[0]["state"], &paused[0]["told"]), (&json!("paused"), &json!(true)));
    pair.sync();
    assert!(pair.contact(&pair.client)["paused_by_them"].is_u64());
    assert_eq!(pair.error(&pair.client, &["send", "Practice", "x"]), "paused");
    assert_eq!(pair.error(&pair.practice, &["send", "Anna", "x"]), "paused");
    pair.practice.ok(&["resume", "Anna"]);
    pair.sync();
    pair.client.ok(&["send", "Practice", "again"]);
    assert_eq!(pair.error(&pair.practice, &["discharge", "Anna"]), "not_confirmed");
    pair.practice.ok(&["discharge", "Anna", "--words", "Go well.", "--yes", "--timeout", "1s"]);
    pair.sync();
    assert_eq!(pair.contact(&pair.practice)["ended"], "discharged");
    assert_eq!(pair.contact(&pair.client)["ended"], "discharged_by_peer");
    assert_eq!(pair.error(&pair.client, &["send", "Practice", "x"]), "conversation_ended");
    assert_eq!(notes(&pair.client, "Practice"), ["paused", "resumed", "discharged"]);
    let history = pair.client.ok(&["history", "Practice"]);
    assert_eq!(history.last().unwrap()["text"], "Go well.");
    // Everything that the client wrote was delivered before the channel closed.
    assert!(
        history.iter().any(|message| message["text"] == "again" && message["outcome"] == "delivered"),
        "{history:?}"
    );
}

#[test]
fn the_agreed_word_is_asked_for_and_never_stands_on_a_command_line() {
    let pair = Pair::new();
    let (right, wrong) = (pair.file("right", "blue heron\n"), pair.file("wrong", "a guess\n"));
    assert_eq!(pair.error(&pair.practice, &["word", "Anna", "--ask"]), "no_word");
    assert_eq!(pair.error(&pair.practice, &["word", "Anna", "--set"]), "word_needed");
    assert_eq!(pair.practice.ok(&["word", "Anna", "--set", "--word-file", &right])[0]["is_set"], true);
    assert_eq!(pair.error(&pair.client, &["word", "Practice", "--answer", "--word-file", &right]), "not_asked");
    for (file, answer) in [(&wrong, "wrong"), (&right, "right")] {
        pair.practice.ok(&["word", "Anna", "--ask"]);
        pair.sync();
        assert_eq!(pair.contact(&pair.client)["word_asked"], true);
        pair.client.ok(&["word", "Practice", "--answer", "--word-file", file]);
        pair.sync();
        assert_eq!(pair.practice.ok(&["word", "Anna"])[0]["answer"], answer);
        assert_eq!(pair.client.ok(&["word", "Practice"])[0]["given"], "answered");
    }
    // The other way round: what was said before does not stand last after a decline.
    pair.client.ok(&["word", "Practice", "--set", "--word-file", &right]);
    pair.client.ok(&["word", "Practice", "--ask"]);
    pair.sync();
    let declined = pair.practice.screen(&["word", "Anna", "--decline"]);
    let said = declined.find("they said the word").expect("it was said before");
    assert!(declined.find("you declined on").is_some_and(|at| at > said), "{declined}");
    pair.sync();
    let asked = pair.client.screen(&["word", "Practice"]);
    assert!(asked.contains("they did not want to say the word"), "{asked}");
}

#[test]
fn notifications_say_as_much_as_the_owner_allowed_and_unread_messages_age() {
    let pair = Pair::new();
    pair.client.ok(&["send", "Practice", "private"]);
    let settings = pair.practice.ok(&["notifications", "settings"]);
    assert_eq!(settings, [json!({"words": "New message", "show": "nothing", "quiet": "off"})]);
    let all_week = ["notifications", "settings", "--quiet", "mon-sun 00:00-24:00", "--zone", "UTC", "--words", "Post"];
    let settings = pair.practice.ok(&all_week);
    assert_eq!((&settings[0]["quiet"], &settings[0]["hours"]), (&json!("outside"), &json!(["mon-sun 00:00-24:00"])));
    assert_eq!(pair.error(&pair.practice, &["notifications", "settings", "--words", " "]), "bad_words");
    assert_eq!(pair.practice.ok(&["notifications", "mark", "Anna"])[0]["always_notify"], true);
    // A queued command connects, and what waits comes along; nothing marks it as read.
    pair.practice.ok(&["send", "Anna", "hello"]);
    let mut due = pair.practice.ok(&["notifications"]);
    for _ in 0..20 {
        if !due.is_empty() {
            break;
        }
        pair.practice.ok(&["send", "Anna", "hello", "--wait", "accepted"]);
        due = pair.practice.ok(&["notifications"]);
    }
    assert_eq!((&due[0]["words"], &due[0]["messages"]), (&json!("Post"), &json!(1)));
    assert!(due[0].get("text").is_none() && due[0].get("label").is_none());
    assert!(pair.practice.ok(&["notifications"]).is_empty());
    assert!(pair.contact(&pair.practice)["oldest_unread"].is_u64());
    pair.sync();
    assert!(pair.contact(&pair.practice).get("oldest_unread").is_none());
}

#[test]
fn outside_office_hours_a_notification_is_held_unless_the_contact_is_marked() {
    let pair = Pair::new();
    // Open for an hour, three days from now.
    let days = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / 86_400 + 3;
    let day = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][(days % 7) as usize];
    let hours = CARD.replace("Europe/Zurich", "UTC").replace("mon-fri 09:00-17:00", &format!("{day} 10:00-11:00"));
    pair.practice.ok(&["practice", "set", &pair.file("hours.json", &hours)]);
    let settings = pair.practice.ok(&["notifications", "settings", "--quiet", "office"]);
    assert_eq!(settings[0]["quiet"], "office");
    pair.sync();
    pair.practice.ok(&["notifications"]);
    pair.client.ok(&["send", "Practice", "private"]);
    // It is taken in by a command that marks nothing as read.
    let mut held = Vec::new();
    for _ in 0..20 {
        pair.practice.ok(&["resend", "Anna"]);
        held = pair.practice.ok(&["notifications"]);
        if !held.is_empty() {
            break;
        }
    }
    assert_eq!((held.len(), &held[0]["held"]), (1, &json!(1)), "{held:?}");
    assert_eq!(held[0]["again_at"], json!((days * 24 + 10) * 3_600_000));
    let screen = pair.practice.screen(&["notifications"]);
    assert!(screen.starts_with("1 held"), "{screen}");
    // Nothing is lost by being held: once its contact is marked it is due, once.
    pair.practice.ok(&["notifications", "mark", "Anna"]);
    let due = pair.practice.ok(&["notifications"]);
    assert_eq!((due.len(), &due[0]["words"], &due[0]["messages"]), (1, &json!("New message"), &json!(1)));
    assert!(pair.practice.ok(&["notifications"]).is_empty());
}

#[test]
fn who_only_ever_syncs_reads_pauses_and_farewells_and_is_shown_whom_to_call() {
    let pair = Pair::new();
    pair.practice.ok(&["pause", "Anna", "--words", "Back on Monday"]);
    let printed = pair.client.ok(&["sync"]);
    let notes: Vec<_> = printed.iter().filter(|line| line["note"] == "paused").collect();
    assert_eq!((notes.len(), &notes[0]["text"]), (1, &json!("Back on Monday")), "{printed:?}");
    assert!(pair.client.ok(&["sync"]).is_empty(), "each once");
    pair.practice.ok(&["resume", "Anna"]);
    pair.sync();

    // Away for good, as far as this test is concerned: whoever writes now is shown the crisis card itself.
    let away = CARD
        .replace("\"response\"", "\"exceptions\": [{\"from\": \"2020-01-01\", \"to\": \"2099-12-31\"}], \"response\"");
    let away = pair.file("away.json", &away);
    let version = &pair.practice.ok(&["practice", "set", &away])[0]["version"];
    assert_eq!(&pair.practice.ok(&["practice", "set", &away])[0]["version"], version, "it is the same card");
    pair.sync();
    let screen = pair.client.screen(&["send", "Practice", "Are you there?", "--wait", "none"]);
    assert!(screen.contains("Call for help.") && screen.contains("The line: 143"), "{screen}");
    assert!(screen.contains("Times in the time zone of this device"), "{screen}");

    pair.practice.ok(&["discharge", "Anna", "--yes", "--words", "Go well"]);
    let printed = pair.client.ok(&["sync"]);
    let farewell = printed.iter().find(|line| line["note"] == "discharged").expect("the farewell is printed");
    assert_eq!(farewell["text"], "Go well");
    let hours = pair.client.screen(&["hours", "Practice"]);
    assert!(hours.contains("This conversation has ended") && !hours.contains("An answer"), "{hours}");
}
