use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tacit_client_core::{AgreedWord, Connection, Content, Direction, EndedWhy, Message, Offer, Outcome};

use super::*;
use crate::chat::state::{Effect, Input, Purpose};
use crate::clock::Clock;

mod answers;
mod choosing;
mod leaving;

const LINK: &str = "tacit:AQEYd3M6Ly9yZWxheS5leGFtcGxlOjc0NDMAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUm";

const NO_WORD: AgreedWord = AgreedWord { is_set: false, is_asked_for: false, asked: None, given: None };

fn contact(id: &str, label: &str, state: ContactState) -> Contact {
    Contact {
        id: id.into(),
        label: label.into(),
        state,
        verified: false,
        remote_invite: false,
        invite_tried: false,
        locked_out: false,
        unread: 0,
        missing: 0,
        unopened: 0,
        last_activity: 0,
        care: tacit_client_core::CareState::default(),
        session: tacit_client_core::SessionState::default(),
        read_receipts: tacit_client_core::ReadReceipts::default(),
    }
}

fn message(n: u64, direction: Direction, text: &str) -> Message {
    Message {
        id: format!("{n:032x}"),
        contact: "a".into(),
        direction,
        content: Content::Text(text.into()),
        outcome: Outcome::Delivered,
        sent_at: 1_741_000_920_000 + n,
        stored_at: 1_741_000_920_000 + n,
        gap_before: false,
        reply_to: None,
        edited: false,
        withdrawn: false,
    }
}

/// A chat with one paired contact, whose conversation is loaded.
fn chat_with(contacts: Vec<Contact>, messages: Vec<Message>) -> Chat {
    let mut chat = Chat::new(Clock::utc(), Some("a".into()));
    chat.update(Input::Contacts { contacts, can_invite: true });
    chat.update(Input::Newest { contact: "a".into(), messages, is_all: true });
    chat.update(Input::Connection(Connection::Online));
    chat
}

fn offer() -> Offer {
    Offer {
        from: "Dr. Weiss".into(),
        terms_version: 1,
        terms: "Answers within two days.".into(),
        practice_card: None,
        crisis_card: None,
    }
}

fn chat() -> Chat {
    chat_with(vec![contact("a", "Anna", ContactState::Paired)], vec![message(1, Direction::In, "hello")])
}

fn key(chat: &mut Chat, code: KeyCode) -> Vec<Effect> {
    chat.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn control(chat: &mut Chat, c: char) -> Vec<Effect> {
    chat.update(Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)))
}

fn write(chat: &mut Chat, text: &str) {
    text.chars().for_each(|c| drop(key(chat, KeyCode::Char(c))));
}

fn screen(chat: &mut Chat, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| chat.draw(frame, frame.area(), true)).unwrap();
    terminal.backend().to_string()
}

/// The rows of the screen without the quotes of the backend.
fn rows(chat: &mut Chat, width: u16, height: u16) -> Vec<String> {
    screen(chat, width, height).lines().map(|row| row.trim_matches('"').trim_end().to_owned()).collect()
}

#[test]
fn an_unverified_contact_says_so_until_the_words_were_compared() {
    let mut chat = chat();
    let before = screen(&mut chat, 100, 24);
    assert!(before.contains("Anna · unverified"), "{before}");
    assert!(before.contains("unverified: compare the safety words (F2)"), "{before}");
    assert!(before.contains("›!Anna"), "{before}");

    assert_eq!(key(&mut chat, KeyCode::F(2)), [Effect::Words("a".into())]);
    let words: Vec<String> = (1..=12).map(|n| format!("word{n}")).collect();
    chat.update(Input::Words { contact: "a".into(), words: words.clone() });
    let shown = screen(&mut chat, 100, 24);
    assert!(shown.contains(" 1 word1") && shown.contains("12 word12"), "{shown}");
    assert!(shown.contains("Safety words with Anna"), "{shown}");
    assert_eq!(key(&mut chat, KeyCode::Char('v')), [Effect::Verify("a".into(), words)]);

    let verified = Contact { verified: true, ..contact("a", "Anna", ContactState::Paired) };
    chat.update(Input::Contacts { contacts: vec![verified], can_invite: true });
    key(&mut chat, KeyCode::Esc);
    let after = screen(&mut chat, 100, 24);
    assert!(after.contains("Anna · verified") && !after.contains("unverified"), "{after}");
}

#[test]
fn words_that_are_over_are_taken_away_while_they_are_read() {
    let mut chat = chat();
    let words = |word: &str| Input::Words { contact: "a".into(), words: vec![word.into(); 12] };
    key(&mut chat, KeyCode::F(2));
    chat.update(words("before"));
    let paired = contact("a", "Anna", ContactState::Paired);
    let told = |contact: &Contact| Input::Contacts { contacts: vec![contact.clone()], can_invite: true };
    chat.update(told(&paired));
    assert!(screen(&mut chat, 100, 24).contains("12 before"), "nothing that concerns the words");
    let mut reset = paired;
    reset.session.last_reset = Some(tacit_client_core::LastReset { at: 1, by_peer: true });
    assert_eq!(chat.update(told(&reset)), []);
    let shown = screen(&mut chat, 100, 24);
    assert!(!shown.contains("before") && shown.contains("those words are over"), "{shown}");
    assert_eq!(key(&mut chat, KeyCode::Char('v')), [], "nobody confirms what nobody saw");
    assert_eq!(key(&mut chat, KeyCode::F(2)), [Effect::Words("a".into())]);
    chat.update(words("after"));
    assert!(screen(&mut chat, 100, 24).contains("12 after"));
}

#[test]
fn a_person_reads_bubbles_marks_and_the_legend() {
    let messages =
        vec![message(1, Direction::In, "How was your week?"), message(2, Direction::Out, "Better, thank you.")];
    let mut chat = chat_with(vec![contact("a", "Anna", ContactState::Paired)], messages);
    let rows = rows(&mut chat, 80, 20);
    let theirs = rows.iter().find(|row| row.contains("How was your week?")).unwrap();
    let mine = rows.iter().find(|row| row.contains("Better, thank you.")).unwrap();
    assert!(theirs.find("How").unwrap() < mine.find("Better").unwrap());
    assert!(mine.ends_with("11:22 ✓✓ delivered"), "{mine}");
    assert!(rows.iter().any(|row| row.contains("… queued  ✓ held by the relay  ✓✓ delivered  ! expired  ✗ refused")));
    assert!(rows.iter().any(|row| row.contains("── Monday, 3 March 2025 ──")));
    assert!(rows.last().unwrap().contains("connected"), "{rows:?}");
}

#[test]
fn an_outcome_changes_in_place() {
    let mine = Message { outcome: Outcome::Queued, ..message(1, Direction::Out, "hi") };
    let mut chat = chat_with(vec![contact("a", "Anna", ContactState::Paired)], vec![mine.clone()]);
    assert!(screen(&mut chat, 80, 20).contains("11:22 … queued"));
    chat.update(Input::Outcome { contact: "a".into(), message: mine.id, outcome: Outcome::Expired });
    assert!(screen(&mut chat, 80, 20).contains("11:22 ! expired"));
}

#[test]
fn what_came_cannot_drive_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}x";
    let mut chat = chat_with(vec![contact("a", evil, ContactState::Paired)], vec![message(1, Direction::In, evil)]);
    chat.update(Input::Notice(evil.into()));
    chat.update(Input::Failed(evil.into()));
    let drawn = screen(&mut chat, 100, 24);
    assert!(drawn.contains("␛]0;owned␇"), "{drawn}");
    assert!(!drawn.chars().any(|c| c.is_control() && c != '\n'), "{drawn:?}");
}

#[test]
fn a_text_is_written_sent_and_comes_back_if_it_could_not_be_queued() {
    let mut chat = chat();
    write(&mut chat, "see you");
    control(&mut chat, 'j');
    chat.update(Input::Paste("soon\r\nAnna".into()));
    let drawn = rows(&mut chat, 80, 24);
    for line in ["> see you", "  soon", "  Anna"] {
        assert!(drawn.iter().any(|row| row.ends_with(line)), "{drawn:?}");
    }
    let text = "see you\nsoon\nAnna".to_owned();
    assert_eq!(key(&mut chat, KeyCode::Enter), [Effect::Send { contact: "a".into(), text: text.clone() }]);
    write(&mut chat, "more");
    chat.update(Input::NotSent {
        contact: "a".into(),
        purpose: Purpose::New,
        text,
        problem: "the disk is full".into(),
    });
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("the disk is full") && drawn.contains("> see you") && drawn.contains("  more"), "{drawn}");
    assert_eq!(
        key(&mut chat, KeyCode::Enter),
        [Effect::Send { contact: "a".into(), text: "see you\nsoon\nAnna\nmore".into() }]
    );
}

#[test]
fn each_conversation_keeps_its_draft() {
    let contacts = vec![contact("a", "Anna", ContactState::Paired), contact("b", "Ben", ContactState::Paired)];
    let mut chat = chat_with(contacts, Vec::new());
    write(&mut chat, "for Anna");
    assert_eq!(key(&mut chat, KeyCode::Tab), [Effect::Load("b".into())]);
    assert!(!screen(&mut chat, 80, 24).contains("for Anna"));
    write(&mut chat, "for Ben");
    key(&mut chat, KeyCode::Tab);
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("> for Anna") && !drawn.contains("for Ben"), "{drawn}");
}

#[test]
fn what_came_is_read_once_it_is_looked_at() {
    let unread = |id: &str, label: &str| Contact { unread: 2, ..contact(id, label, ContactState::Paired) };
    let mut chat = Chat::new(Clock::utc(), Some("a".into()));
    let contacts = vec![unread("a", "Anna"), unread("b", "Ben")];
    assert_eq!(chat.update(Input::Contacts { contacts, can_invite: false }), [Effect::Load("a".into())]);
    let newest = Input::Newest { contact: "a".into(), messages: vec![message(1, Direction::In, "hi")], is_all: true };
    assert_eq!(chat.update(newest), [Effect::MarkRead("a".into())]);
    assert!(rows(&mut chat, 80, 24).iter().any(|row| row.contains("!Ben") && row.contains("(2)")));
    assert!(screen(&mut chat, 50, 24).contains("2 unread elsewhere"));
}

#[test]
fn an_invite_shows_as_a_code_that_fits_or_else_as_a_link() {
    let mut chat = chat();
    key(&mut chat, KeyCode::F(3));
    assert!(screen(&mut chat, 80, 24).contains("Who is it for?"));
    write(&mut chat, "Cleo");
    assert_eq!(key(&mut chat, KeyCode::Enter), [Effect::Invite("Cleo".into())]);
    chat.update(Input::Invite { contact: "a".into(), link: LINK.into(), label: Some("Cleo".into()) });
    let code = screen(&mut chat, 80, 24);
    assert!(code.contains("▄▄▄▄▄▄▄") || code.contains("█▀▀▀▀▀█"), "{code}");
    assert!(code.contains("For one person only"), "{code}");
    key(&mut chat, KeyCode::Char('l'));
    assert!(screen(&mut chat, 100, 24).contains(LINK));
    key(&mut chat, KeyCode::Char('l'));
    let small = screen(&mut chat, 100, 12);
    assert!(small.contains(LINK) && small.contains("needs a larger window"), "{small}");
    key(&mut chat, KeyCode::Esc);
    assert!(screen(&mut chat, 80, 24).contains("hello"));
}

#[test]
fn an_invite_that_does_not_work_yet_shows_no_code() {
    let mut chat = chat_with(vec![contact("a", "Cleo", ContactState::Opening)], Vec::new());
    assert_eq!(key(&mut chat, KeyCode::Enter), [Effect::ShowInvite("a".into())]);
    chat.update(Input::Invite { contact: "a".into(), link: LINK.into(), label: None });
    let before = screen(&mut chat, 100, 30);
    assert!(before.contains("Not yet: the relay was not reached") && !before.contains('▀'), "{before}");
    let open = vec![contact("a", "Cleo", ContactState::Invited)];
    chat.update(Input::Contacts { contacts: open, can_invite: true });
    assert!(screen(&mut chat, 100, 30).contains('▀'));
}

#[test]
fn who_is_not_enrolled_is_told_so() {
    let mut chat = chat();
    chat.update(Input::Contacts { contacts: vec![contact("a", "Anna", ContactState::Paired)], can_invite: false });
    key(&mut chat, KeyCode::F(3));
    assert!(screen(&mut chat, 80, 24).contains("This device cannot invite"));
}

#[test]
fn joining_shows_the_terms_before_anything_is_agreed_to() {
    let mut chat = Chat::new(Clock::utc(), None);
    chat.update(Input::Contacts { contacts: Vec::new(), can_invite: false });
    assert!(screen(&mut chat, 80, 24).contains("No conversations yet."));
    key(&mut chat, KeyCode::F(4));
    chat.update(Input::Paste(format!("{}\n{}", &LINK[..40], &LINK[40..])));
    assert_eq!(key(&mut chat, KeyCode::Enter), [Effect::Join(LINK.into())]);

    let joining = |state| Input::Contacts { contacts: vec![contact("a", "Dr. Weiss", state)], can_invite: false };
    chat.update(joining(ContactState::Joining));
    chat.update(Input::Joined { contact: "a".into(), link: LINK.into() });
    assert!(screen(&mut chat, 80, 24).contains("The invite is being claimed"));
    assert!(chat.update(joining(ContactState::Consenting)).contains(&Effect::Offer("a".into())));
    chat.update(Input::Offer { contact: "a".into(), offer: offer() });
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("Dr. Weiss invites you") && drawn.contains("Answers within two days."), "{drawn}");
    assert!(key(&mut chat, KeyCode::Enter).is_empty());
    assert_eq!(key(&mut chat, KeyCode::Char('y')), [Effect::Consent("a".into())]);
}

#[test]
fn an_ended_conversation_says_why_and_takes_no_text() {
    let ended = contact("a", "Anna", ContactState::Ended(EndedWhy::InviteUsed));
    let mut chat = chat_with(vec![ended], Vec::new());
    let drawn = screen(&mut chat, 100, 24);
    assert!(drawn.contains("if that was not you, tell your therapist"), "{drawn}");
    write(&mut chat, "hello?");
    assert!(key(&mut chat, KeyCode::Enter).is_empty());
}

#[test]
fn a_tried_invite_and_missing_messages_stay_in_sight() {
    let warned = Contact { invite_tried: true, missing: 2, ..contact("a", "Anna", ContactState::Paired) };
    let gap = Message { gap_before: true, ..message(1, Direction::In, "hello") };
    let drawn = screen(&mut chat_with(vec![warned], vec![gap]), 100, 24);
    assert!(drawn.contains("Somebody tried the invite after it was used."), "{drawn}");
    assert!(drawn.contains("2 messages of theirs missing so far"), "{drawn}");
    assert!(drawn.contains("a message is missing here"), "{drawn}");
}

#[test]
fn paging_up_loads_what_is_older_and_stays_where_it_was() {
    let messages: Vec<Message> = (100..150).map(|n| message(n, Direction::In, &format!("number {n}"))).collect();
    let mut chat = chat_with(vec![contact("a", "Anna", ContactState::Paired)], Vec::new());
    chat.conversations.clear();
    chat.update(Input::Newest { contact: "a".into(), messages, is_all: false });
    assert!(screen(&mut chat, 80, 24).contains("number 149"));
    let mut effects = Vec::new();
    for _ in 0..20 {
        effects = key(&mut chat, KeyCode::PageUp);
        screen(&mut chat, 80, 24);
        if !effects.is_empty() {
            break;
        }
    }
    let before = format!("{:032x}", 100);
    assert_eq!(effects, [Effect::LoadOlder { contact: "a".into(), before: before.clone() }]);
    let top = rows(&mut chat, 80, 24);
    let older = (50..100).map(|n| message(n, Direction::In, &format!("number {n}"))).collect();
    chat.update(Input::Older { contact: "a".into(), before, messages: older });
    let seen = |rows: &[String]| rows.iter().find(|row| row.contains("number 1")).cloned();
    assert_eq!(seen(&top), seen(&rows(&mut chat, 80, 24)));
    for _ in 0..20 {
        key(&mut chat, KeyCode::PageUp);
        screen(&mut chat, 80, 24);
    }
    assert!(screen(&mut chat, 80, 24).contains("number 50"));
    // What comes meanwhile does not lose what was paged in.
    let newest = (120..160).map(|n| message(n, Direction::In, &format!("number {n}"))).collect();
    chat.update(Input::Newest { contact: "a".into(), messages: newest, is_all: false });
    let loaded = &chat.conversations["a"].messages;
    assert_eq!((loaded.len(), loaded.last().unwrap().id.as_str()), (110, format!("{:032x}", 159).as_str()));
}

#[test]
fn what_failed_stays_until_there_was_time_to_read_it_or_esc() {
    let mut chat = chat();
    chat.now = 100_000;
    chat.update(Input::Failed("the disk is full".into()));
    write(&mut chat, "typed at once");
    chat.update(Input::Said("Saved as ./x".into()));
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("the disk is full") && drawn.contains("Saved as ./x"), "{drawn}");
    chat.now += 10_000;
    assert!(screen(&mut chat, 80, 24).contains("the disk is full"), "until a key");
    write(&mut chat, ".");
    let drawn = screen(&mut chat, 80, 24);
    assert!(!drawn.contains("the disk is full") && !drawn.contains("Saved as"), "{drawn}");
    chat.update(Input::Failed("the disk is full".into()));
    chat.update(Input::Failed("the disk is gone".into()));
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("the disk is gone") && !drawn.contains("the disk is full"), "{drawn}");
    key(&mut chat, KeyCode::Esc);
    assert!(!screen(&mut chat, 80, 24).contains("the disk is gone"));
    // What lies over the chat may hide it for as long as it is there.
    key(&mut chat, KeyCode::F(1));
    chat.update(Input::Failed("the disk is full".into()));
    chat.now += 10_000;
    for code in [KeyCode::Down, KeyCode::Esc, KeyCode::Char('x')] {
        key(&mut chat, code);
    }
    assert!(screen(&mut chat, 80, 24).contains("the disk is full"));
}

#[test]
fn an_end_without_a_farewell_is_called_what_the_relay_says() {
    let ended = contact("a", "Anna", ContactState::Ended(EndedWhy::ByPeer));
    let mut chat = chat_with(vec![ended], Vec::new());
    let drawn = screen(&mut chat, 120, 24);
    assert!(drawn.contains("The relay says that the other side ended this conversation;"), "{drawn}");
    chat.update(Input::Farewell("a".into()));
    let drawn = screen(&mut chat, 120, 24);
    assert!(drawn.contains("The other side ended this conversation.") && !drawn.contains("relay says"), "{drawn}");
}

#[test]
fn the_smallest_window_still_shows_the_conversation() {
    let mut chat = chat();
    let rows = rows(&mut chat, 20, 6);
    assert!(rows.iter().any(|row| row.contains("Anna")), "{rows:?}");
    assert!(rows.iter().any(|row| row.contains("hello")), "{rows:?}");
    assert!(rows.iter().any(|row| row.contains("unverif")), "{rows:?}");
}

#[test]
fn no_size_of_window_and_nothing_open_in_it_panics() {
    let long = "A very long name 你好 that does not fit anywhere at all".repeat(3);
    let pressed = |code| vec![Input::Key(KeyEvent::new(code, KeyModifiers::NONE))];
    let asked = |code, answer| [pressed(code), vec![answer]].concat();
    let offer =
        Offer { from: long.clone(), terms_version: 1, terms: long.repeat(20), practice_card: None, crisis_card: None };
    let invite = [
        pressed(KeyCode::F(3)),
        pressed(KeyCode::Char('C')),
        asked(KeyCode::Enter, Input::Invite { contact: "a".into(), link: LINK.into(), label: Some("C".into()) }),
    ];
    let popups: Vec<Vec<Input>> = vec![
        vec![],
        pressed(KeyCode::F(1)),
        pressed(KeyCode::F(3)),
        pressed(KeyCode::F(4)),
        asked(KeyCode::F(2), Input::Words { contact: "a".into(), words: vec!["abandon".into(); 12] }),
        asked(KeyCode::F(6), Input::Word { contact: "a".into(), word: NO_WORD }),
        invite.concat(),
        vec![Input::Offer { contact: "a".into(), offer: offer.clone() }],
        [vec![Input::Offer { contact: "a".into(), offer }], pressed(KeyCode::Char('d'))].concat(),
        vec![Input::Failed(long.clone())],
        vec![Input::Failed(long.clone()), Input::Said(long.clone())],
    ];
    for popup in popups {
        let warned = Contact { invite_tried: true, ..contact("a", &long, ContactState::Joined) };
        let mut chat = chat_with(vec![warned], vec![message(1, Direction::Out, &long.repeat(5))]);
        write(&mut chat, &long);
        let is_open = popup.len() > 1 && !matches!(popup.first(), Some(Input::Failed(_)));
        popup.into_iter().for_each(|input| drop(chat.update(input)));
        assert!(!is_open || chat.popup.is_some());
        chat.update(Input::Paste(long.clone()));
        for width in (1..30).chain([40, 63, 64, 80, 200]) {
            for height in (1..14).chain([17, 18, 24, 60]) {
                screen(&mut chat, width, height);
            }
            key(&mut chat, KeyCode::PageUp);
            key(&mut chat, KeyCode::Up);
        }
    }
}
