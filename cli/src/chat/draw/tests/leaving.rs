//! Leaving, with nothing lost by it.

use super::*;
use crate::chat::state::Leave;

#[test]
fn leaving_is_one_key_whatever_is_open_and_waits_for_what_was_written() {
    let mut chat = chat();
    write(&mut chat, "last words");
    assert_eq!(key(&mut chat, KeyCode::Enter).len(), 1);
    key(&mut chat, KeyCode::F(1));
    for (c, how) in [('q', Leave::Done), ('c', Leave::Interrupted)] {
        assert_eq!(control(&mut chat, c), [Effect::Finish]);
        assert!(screen(&mut chat, 80, 24).contains("Leaving, once what you wrote is stored"));
        assert!(key(&mut chat, KeyCode::Char('x')).is_empty() && control(&mut chat, 'q').is_empty());
        assert_eq!(chat.update(Input::Finished), [Effect::Leave(how)]);
    }
    // Whoever asks twice is in a hurry.
    control(&mut chat, 'c');
    assert_eq!(control(&mut chat, 'c'), [Effect::Leave(Leave::Interrupted)]);
}

#[test]
fn a_text_that_comes_back_keeps_the_person_from_leaving_without_it() {
    let mut chat = chat();
    control(&mut chat, 'q');
    let back = |text: &str| Input::NotSent {
        contact: "a".into(),
        purpose: Purpose::New,
        text: text.into(),
        problem: "the disk is full".into(),
    };
    chat.update(back("last words"));
    assert_eq!(chat.update(Input::Finished), []);
    let drawn = screen(&mut chat, 80, 24);
    assert!(drawn.contains("> last words") && drawn.contains("the disk is full"), "{drawn}");
    // With the terminal gone nobody could do anything about it.
    assert_eq!(chat.update(Input::TerminalGone), [Effect::Finish]);
    chat.update(back("more"));
    assert_eq!(chat.update(Input::Finished), [Effect::Leave(Leave::TerminalGone)]);
}

#[test]
fn a_draft_is_discarded_only_by_whoever_was_told_of_it() {
    let contacts = vec![contact("a", "Anna", ContactState::Paired), contact("b", "Ben", ContactState::Paired)];
    let mut chat = chat_with(contacts, Vec::new());
    write(&mut chat, "a dra");
    key(&mut chat, KeyCode::Tab);
    for _ in 0..2 {
        assert_eq!(control(&mut chat, 'q'), []);
        assert!(screen(&mut chat, 80, 24).contains("A draft to Anna is not sent: Ctrl+Q again leaves"));
        key(&mut chat, KeyCode::Tab);
    }
    write(&mut chat, "ft");
    assert_eq!(control(&mut chat, 'q'), []);
    assert_eq!(control(&mut chat, 'q'), [Effect::Finish]);
}
