//! Answers that open over the chat, and those that come too late for that.

use tacit_client_core::{Crisis, CrisisText};

use super::*;
use crate::chat::popup::Popup;

#[test]
fn an_answer_that_comes_late_opens_nothing_under_what_is_typed_since() {
    let contacts = vec![contact("a", "Anna", ContactState::Paired), contact("b", "Ben", ContactState::Invited)];
    let mut chat = chat_with(contacts, Vec::new());
    let crisis = Crisis {
        reason: None,
        text: CrisisText { locale: "en".into(), advice: "Call".into(), calls: Vec::new() },
        is_from_practice: false,
    };
    let answers = [
        (KeyCode::F(2), Input::Words { contact: "a".into(), words: vec!["w".into(); 12] }, "F2 shows them"),
        (KeyCode::F(6), Input::Word { contact: "a".into(), word: NO_WORD }, "F6 shows how it stands"),
        (KeyCode::F(5), Input::Crisis { contact: "a".into(), crisis }, "F5 shows it"),
    ];
    for (asked, answer, news) in answers {
        key(&mut chat, asked);
        chat.update(answer.clone());
        assert!(chat.popup.is_some(), "somebody waits for it");
        // Typing goes on, something else opened, the conversation is another one.
        for since in [KeyCode::Char('x'), KeyCode::F(1), KeyCode::Tab] {
            key(&mut chat, KeyCode::Esc);
            chat.selected = Some("a".into());
            key(&mut chat, asked);
            key(&mut chat, since);
            let before = (chat.selected.clone(), chat.popup.is_some());
            chat.update(answer.clone());
            assert_eq!((chat.selected.clone(), chat.popup.is_some()), before, "{since:?}");
            assert_eq!(matches!(chat.popup, Some(Popup::Help { .. })), chat.popup.is_some());
            let drawn = screen(&mut chat, 100, 50);
            assert!(drawn.contains(news), "{drawn}");
        }
        key(&mut chat, KeyCode::Esc);
        chat.selected = Some("a".into());
    }
}

#[test]
fn an_invite_or_a_join_that_comes_late_does_not_take_the_conversation_away_and_is_not_lost() {
    let contacts = vec![contact("a", "Anna", ContactState::Paired), contact("b", "Cleo", ContactState::Invited)];
    let mut chat = chat_with(contacts, Vec::new());
    let invite =
        |label: Option<&str>| Input::Invite { contact: "b".into(), link: LINK.into(), label: label.map(str::to_owned) };
    key(&mut chat, KeyCode::F(3));
    write(&mut chat, "Cleo");
    assert_eq!(key(&mut chat, KeyCode::Enter), [Effect::Invite("Cleo".into())]);
    write(&mut chat, "for Anna");
    chat.update(invite(Some("Cleo")));
    assert_eq!((chat.selected.as_deref(), chat.popup.is_none()), (Some("a"), true));
    let drawn = screen(&mut chat, 100, 24);
    assert!(drawn.contains("> for Anna") && drawn.contains("The invite for Cleo is there"), "{drawn}");
    key(&mut chat, KeyCode::Tab);
    assert_eq!(key(&mut chat, KeyCode::Enter), [Effect::ShowInvite("b".into())]);
    // The answer to another question is no answer to this one.
    chat.update(invite(Some("Dora")));
    assert!(chat.popup.is_none());
    chat.update(invite(None));
    assert!(chat.popup.is_some());

    key(&mut chat, KeyCode::Esc);
    key(&mut chat, KeyCode::F(4));
    chat.update(Input::Paste(LINK.into()));
    key(&mut chat, KeyCode::Enter);
    key(&mut chat, KeyCode::Tab);
    chat.update(Input::Joined { contact: "b".into(), link: LINK.into() });
    assert_eq!(chat.selected.as_deref(), Some("a"));
    assert!(screen(&mut chat, 100, 24).contains("The link is being used: Tab"));
}

#[test]
fn the_box_of_the_agreed_word_says_whose_it_is() {
    let asked_for = AgreedWord { is_asked_for: true, ..NO_WORD };
    let set = AgreedWord { is_set: true, ..NO_WORD };
    for (word, title) in
        [(NO_WORD, "The agreed word with Anna"), (set, "Anna: is it you?"), (asked_for, "Anna asks: is it you?")]
    {
        let mut chat = chat();
        key(&mut chat, KeyCode::F(6));
        chat.update(Input::Word { contact: "a".into(), word });
        assert!(screen(&mut chat, 80, 24).contains(title));
    }
}

#[test]
fn declining_for_good_asks_once_more() {
    let mut chat = chat_with(vec![contact("a", "Dr. Weiss", ContactState::Consenting)], Vec::new());
    for no in [KeyCode::Char('d'), KeyCode::Enter, KeyCode::Esc] {
        chat.update(Input::Offer { contact: "a".into(), offer: offer() });
        assert!(key(&mut chat, KeyCode::Char('d')).is_empty());
        assert!(screen(&mut chat, 80, 24).contains("Decline for good?"));
        assert!(key(&mut chat, no).is_empty());
        key(&mut chat, KeyCode::Esc);
    }
    chat.update(Input::Offer { contact: "a".into(), offer: offer() });
    key(&mut chat, KeyCode::Char('d'));
    assert_eq!(key(&mut chat, KeyCode::Char('y')), [Effect::Decline("a".into())]);
}
