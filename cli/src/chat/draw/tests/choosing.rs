//! Choosing a message, and what is done with it.

use tacit_client_core::{Attachment, TransferState};

use super::*;

fn texts() -> Chat {
    let messages = vec![
        message(1, Direction::In, "How was your week?"),
        message(2, Direction::Out, "Better, thank yuo."),
        message(3, Direction::In, "Good to hear."),
    ];
    chat_with(vec![contact("a", "Anna", ContactState::Paired)], messages)
}

fn file(n: u64, direction: Direction, transfer: TransferState) -> Message {
    let attachment = Attachment {
        name: "report.pdf".into(),
        media_type: "application/pdf".into(),
        size: 2_000_000,
        duration_ms: None,
        has_thumbnail: false,
        transfer,
    };
    Message { content: Content::Attachment(attachment), ..message(n, direction, "") }
}

fn id(n: u64) -> String {
    format!("{n:032x}")
}

#[test]
fn the_chosen_message_is_marked_and_the_keys_for_it_stand_where_one_would_write() {
    let mut chat = texts();
    write(&mut chat, "a draft");
    key(&mut chat, KeyCode::F(7));
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("▶Good to hear.") && !drawn.contains("> a draft"), "{drawn}");
    assert!(drawn.contains("R reply   ↑ ↓ other message   Esc back"), "{drawn}");
    key(&mut chat, KeyCode::Up);
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("▶Better, thank yuo."), "{drawn}");
    assert!(drawn.contains("R reply   E edit   W withdraw"), "{drawn}");
    // What is no deed is not written either.
    write(&mut chat, "xyz");
    key(&mut chat, KeyCode::Esc);
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("> a draft") && !drawn.contains('▶'), "{drawn}");
}

#[test]
fn a_reply_says_what_it_answers_while_it_is_written() {
    let mut chat = texts();
    control(&mut chat, 'p');
    control(&mut chat, 'p');
    control(&mut chat, 'p');
    key(&mut chat, KeyCode::Char('r'));
    write(&mut chat, "long");
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("answering Anna: How was your week? · Esc stops"), "{drawn}");
    let purpose = Purpose::Reply(id(1));
    let text = "long".to_owned();
    let sent = Effect::WriteAbout { contact: "a".into(), purpose: purpose.clone(), text: text.clone() };
    assert_eq!(key(&mut chat, KeyCode::Enter), [sent]);
    assert!(!screen(&mut chat, 80, 24).contains("answering"));
    // What could not be queued is still a reply.
    chat.update(Input::NotSent { contact: "a".into(), purpose, text, problem: "the disk is full".into() });
    assert!(screen(&mut chat, 80, 24).contains("answering Anna"));
    key(&mut chat, KeyCode::Esc);
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("> long") && !drawn.contains("answering"), "{drawn}");
}

#[test]
fn an_edit_puts_the_draft_aside_and_gives_it_back() {
    let mut chat = texts();
    write(&mut chat, "a draft");
    key(&mut chat, KeyCode::F(7));
    key(&mut chat, KeyCode::Up);
    key(&mut chat, KeyCode::Char('e'));
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("editing me: Better, thank yuo.") && drawn.contains("> Better, thank yuo."), "{drawn}");
    write(&mut chat, "!");
    let effects = key(&mut chat, KeyCode::Enter);
    let text = "Better, thank yuo.!".to_owned();
    assert_eq!(effects, [Effect::WriteAbout { contact: "a".into(), purpose: Purpose::Edit(id(2)), text }]);
    assert!(screen(&mut chat, 80, 24).contains("> a draft"));
    // One that is left changes nothing.
    key(&mut chat, KeyCode::F(7));
    key(&mut chat, KeyCode::Up);
    key(&mut chat, KeyCode::Char('e'));
    key(&mut chat, KeyCode::Esc);
    assert!(screen(&mut chat, 80, 24).contains("> a draft"));
}

#[test]
fn an_edit_that_failed_does_not_become_a_new_message() {
    let mut chat = texts();
    write(&mut chat, "next");
    let (purpose, text) = (Purpose::Edit(id(2)), "late".to_owned());
    chat.update(Input::NotSent { contact: "a".into(), purpose, text, problem: "too late".into() });
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("editing me:") && drawn.contains("> late"), "{drawn}");
    key(&mut chat, KeyCode::Esc);
    assert!(screen(&mut chat, 80, 24).contains("> next"));
}

#[test]
fn withdrawing_asks_and_only_y_means_yes() {
    let mut chat = texts();
    key(&mut chat, KeyCode::F(7));
    assert!(key(&mut chat, KeyCode::Char('w')).is_empty());
    assert!(screen(&mut chat, 80, 24).contains("Only a text of your own can be withdrawn"));
    key(&mut chat, KeyCode::Up);
    for no in [KeyCode::Esc, KeyCode::Enter, KeyCode::Char('w'), KeyCode::Char('n')] {
        assert!(key(&mut chat, KeyCode::Char('w')).is_empty());
        let drawn = screen(&mut chat, 80, 24);
        assert!(drawn.contains("Withdraw this message?") && drawn.contains("me: Better, thank yuo."), "{drawn}");
        assert!(key(&mut chat, no).is_empty());
        key(&mut chat, KeyCode::Esc);
        key(&mut chat, KeyCode::F(7));
        key(&mut chat, KeyCode::Up);
    }
    key(&mut chat, KeyCode::Char('w'));
    let withdrawn = Effect::Withdraw { contact: "a".into(), message: id(2) };
    assert_eq!(key(&mut chat, KeyCode::Char('y')), [withdrawn]);
    assert!(!screen(&mut chat, 80, 24).contains('▶'));
}

#[test]
fn a_file_is_sent_by_its_path_and_the_box_says_to_whom() {
    let mut chat = texts();
    key(&mut chat, KeyCode::F(8));
    assert!(screen(&mut chat, 80, 24).contains("Send a file to Anna"));
    assert!(key(&mut chat, KeyCode::Enter).is_empty());
    chat.update(Input::Paste("/tmp/two  spaces.pdf\n".into()));
    let sent = Effect::Attach { contact: "a".into(), path: "/tmp/two  spaces.pdf".into() };
    assert_eq!(key(&mut chat, KeyCode::Enter), [sent]);
    assert_eq!(chat.update(Input::FileQueued("a".into())), [Effect::Load("a".into())]);
    assert!(screen(&mut chat, 80, 24).contains("The file is queued"));
    let paused = Contact {
        care: tacit_client_core::CareState { paused_by_them: Some(1), ..Default::default() },
        ..contact("a", "Anna", ContactState::Paired)
    };
    chat.update(Input::Contacts { contacts: vec![paused], can_invite: true });
    key(&mut chat, KeyCode::F(8));
    assert!(screen(&mut chat, 80, 24).contains("Files can be sent where"));
}

#[test]
fn a_file_that_came_is_saved_and_one_under_way_is_cancelled_after_a_question() {
    let under_way = TransferState::UnderWay { done: 500_000, of: 2_000_000 };
    let messages = vec![file(1, Direction::In, TransferState::Whole), file(2, Direction::In, under_way)];
    let mut chat = chat_with(vec![contact("a", "Anna", ContactState::Paired)], messages);
    key(&mut chat, KeyCode::F(7));
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("██░░░░░░░░ 25 %") && drawn.contains("C cancel file"), "{drawn}");
    assert!(!drawn.contains("S save file"), "{drawn}");
    assert!(key(&mut chat, KeyCode::Char('c')).is_empty());
    assert!(screen(&mut chat, 80, 24).contains("Cancel this file?"));
    let cancelled = Effect::CancelFile { contact: "a".into(), message: id(2) };
    assert_eq!(key(&mut chat, KeyCode::Char('y')), [cancelled]);

    key(&mut chat, KeyCode::F(7));
    key(&mut chat, KeyCode::Up);
    assert!(screen(&mut chat, 80, 24).contains("S save file"));
    key(&mut chat, KeyCode::Char('s'));
    assert!(screen(&mut chat, 80, 24).contains("> ./report.pdf"));
    let saved = Effect::Save { message: id(1), path: "./report.pdf".into() };
    assert_eq!(key(&mut chat, KeyCode::Enter), [saved]);
}

#[test]
fn a_file_is_never_offered_to_be_saved_under_a_hidden_name() {
    for (name, offered) in [(".bash_profile", "_bash_profile"), ("...x", "___x"), ("a.txt", "a.txt"), ("..", "__")] {
        let Message { content: Content::Attachment(mut attachment), .. } = file(1, Direction::In, TransferState::Whole)
        else {
            panic!("it is a file")
        };
        attachment.name = name.into();
        let came = Message { content: Content::Attachment(attachment), ..message(1, Direction::In, "") };
        let mut chat = chat_with(vec![contact("a", "Anna", ContactState::Paired)], vec![came]);
        key(&mut chat, KeyCode::F(7));
        key(&mut chat, KeyCode::Char('s'));
        let saved = Effect::Save { message: id(1), path: format!("./{offered}") };
        assert_eq!(key(&mut chat, KeyCode::Enter), [saved]);
    }
}

#[test]
fn a_key_for_a_message_that_is_gone_sends_no_draft() {
    let mut chat = texts();
    write(&mut chat, "half a dra");
    key(&mut chat, KeyCode::F(7));
    // They withdraw it, just before Enter means a reply.
    let left = vec![message(1, Direction::In, "How was your week?"), message(2, Direction::Out, "Better, thank yuo.")];
    chat.update(Input::Newest { contact: "a".into(), messages: left, is_all: true });
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("The chosen message is not on this page") && !drawn.contains("> half"), "{drawn}");
    chat.update(Input::Paste("pasted".into()));
    assert!(key(&mut chat, KeyCode::Enter).is_empty());
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("> half a dra") && !drawn.contains("pasted"), "{drawn}");
    assert!(drawn.contains("Nothing was done."), "{drawn}");
    let text = "half a dra".to_owned();
    assert_eq!(key(&mut chat, KeyCode::Enter), [Effect::Send { contact: "a".into(), text }]);
}

#[test]
fn the_chosen_message_stays_in_sight_and_older_ones_are_loaded() {
    let messages: Vec<Message> = (100..150).map(|n| message(n, Direction::In, &format!("number {n}"))).collect();
    let mut chat = chat_with(vec![contact("a", "Anna", ContactState::Paired)], Vec::new());
    chat.conversations.clear();
    chat.update(Input::Newest { contact: "a".into(), messages, is_all: false });
    screen(&mut chat, 80, 24);
    key(&mut chat, KeyCode::F(7));
    let mut effects = Vec::new();
    for n in (100..149).rev() {
        assert!(effects.is_empty(), "{n}");
        effects = key(&mut chat, KeyCode::Up);
        let drawn = screen(&mut chat, 80, 24);
        assert!(drawn.contains(&format!("▶number {n}")), "{drawn}");
    }
    let older = [Effect::LoadOlder { contact: "a".into(), before: id(100) }];
    assert_eq!(effects, older);
    key(&mut chat, KeyCode::PageDown);
    assert!(screen(&mut chat, 80, 24).contains("▶number 105"));
}

#[test]
fn no_size_of_window_panics_while_one_chooses() {
    let long = "A long text 你好 that wraps ".repeat(20);
    let under_way = TransferState::UnderWay { done: 0, of: 2_000_000 };
    let messages = vec![message(1, Direction::Out, &long), file(2, Direction::Out, under_way)];
    let mut chat = chat_with(vec![contact("a", "Anna", ContactState::Paired)], messages);
    for keys in [
        vec![KeyCode::F(7)],
        vec![KeyCode::F(7), KeyCode::Up],
        vec![KeyCode::F(7), KeyCode::Char('c')],
        vec![KeyCode::F(7), KeyCode::Up, KeyCode::Char('e')],
        vec![KeyCode::F(7), KeyCode::Char('s')],
        vec![KeyCode::F(8)],
    ] {
        keys.into_iter().for_each(|code| drop(key(&mut chat, code)));
        for width in (1..30).chain([40, 64, 80, 200]) {
            for height in (1..14).chain([18, 24]) {
                screen(&mut chat, width, height);
            }
        }
        key(&mut chat, KeyCode::Esc);
        key(&mut chat, KeyCode::Esc);
    }
}
