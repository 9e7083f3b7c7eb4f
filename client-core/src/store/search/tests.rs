use proptest::prelude::*;

use super::super::tests::{add_contact, with_contact};
use super::super::{ContactKey, Store};
use super::*;
use crate::types::Content;

fn say(store: &mut Store, contact: &ContactKey, id: u8, text: &str) {
    store.change::<_, StoreError>(|tx| tx.queue_text(contact, &[id; 16], text, u64::from(id))).unwrap();
}

/// The ids of what a search finds, in order.
fn ids(store: &mut Store, typed: &str, contact: Option<&ContactKey>) -> Vec<u8> {
    let found = store.read::<_, StoreError>(|tx| tx.search(typed, contact, None, 100)).unwrap();
    found.into_iter().map(|found| hex::decode(found.message.id).unwrap()[0]).collect()
}

#[test]
fn words_are_found_by_how_they_begin_in_any_order_case_and_diacritics() {
    let (_home, mut store, contact) = with_contact();
    say(&mut store, &contact, 1, "See you on Thursday at half past four");
    say(&mut store, &contact, 2, "Fühlen Sie sich besser? Ça va, naïve café");
    say(&mut store, &contact, 3, "half of it, past noon");
    for (typed, expected) in [
        ("thurs", &[1][..]),
        ("THURSDAY", &[1]),
        ("past half", &[3, 1]),
        ("\"half past\"", &[1]),
        ("\u{201e}half past\u{201c} thu", &[1]),
        ("\"past half\"", &[]),
        ("fuhl", &[2]),
        ("FÜHLEN", &[2]),
        ("cafe\u{301} ca", &[2]),
        ("hursday", &[]),
        ("half nowhere", &[]),
        ("", &[]),
        ("  \"\" * - ( ) : ^ \u{2026} ", &[]),
        ("half-past", &[1]),
    ] {
        assert_eq!(ids(&mut store, typed, None), expected, "{typed}");
    }
}

#[test]
fn a_search_in_one_conversation_finds_nothing_of_another() {
    let (_home, mut store, one) = with_contact();
    let two = add_contact(&mut store, "somebody else");
    say(&mut store, &one, 1, "the same words");
    say(&mut store, &two, 2, "the same words");
    assert_eq!(ids(&mut store, "words", Some(&one)), [1]);
    assert_eq!(ids(&mut store, "words", Some(&two)), [2]);
    assert_eq!(ids(&mut store, "words", None), [2, 1]);
    // A contact's id is no word of a message.
    assert_eq!(ids(&mut store, &hex::encode(one), None), [0_u8; 0]);
}

#[test]
fn pages_go_back_without_holes_and_excerpts_show_what_matched() {
    let (_home, mut store, contact) = with_contact();
    for id in 1..=7 {
        say(&mut store, &contact, id, &format!("{}number {id} of many{}", "before ".repeat(40), " after".repeat(40)));
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.read::<_, StoreError>(|tx| tx.search("num", None, before, 3)).unwrap();
        let Some(last) = page.last() else { break };
        let id: [u8; 16] = hex::decode(&last.message.id).unwrap().try_into().unwrap();
        before = store.read::<_, StoreError>(|tx| tx.message_key(&id)).unwrap();
        for found in &page {
            let matched: Vec<_> = found.excerpt.iter().filter(|piece| piece.matched).collect();
            assert_eq!((matched.len(), matched[0].text.as_str()), (1, "number"));
            let shown: String = found.excerpt.iter().map(|piece| piece.text.as_str()).collect();
            assert!(shown.starts_with('\u{2026}') && shown.ends_with('\u{2026}') && shown.len() < 300, "{shown}");
        }
        seen.extend(page.into_iter().map(|found| hex::decode(found.message.id).unwrap()[0]));
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn what_is_changed_or_deleted_is_found_by_what_it_says_now() {
    let (_home, mut store, contact) = with_contact();
    say(&mut store, &contact, 1, "the first words");
    store.connection.execute("UPDATE messages SET text = 'other words'", []).unwrap();
    assert_eq!(ids(&mut store, "first", None), [0_u8; 0]);
    assert_eq!(ids(&mut store, "other", None), [1]);
    store.connection.execute("UPDATE messages SET kind = 0, text = ''", []).unwrap();
    assert_eq!(ids(&mut store, "other", None), [0_u8; 0]);
    store.connection.execute("UPDATE messages SET kind = 1, text = 'back'", []).unwrap();
    assert_eq!(ids(&mut store, "back", None), [1]);
    store.connection.execute("DELETE FROM outbox", []).unwrap();
    store.connection.execute("DELETE FROM messages", []).unwrap();
    assert_eq!(ids(&mut store, "back", None), [0_u8; 0]);
    store.connection.execute("INSERT INTO search (search) VALUES ('integrity-check')", []).unwrap();
}

#[test]
fn an_excerpt_is_cut_where_it_is_marked() {
    let piece = |text: &str, matched| Piece { text: text.to_owned(), matched };
    assert_eq!(
        pieces("a \u{fdd0}b\u{fdd1} c\u{fdd0}d\u{fdd1}"),
        [piece("a ", false), piece("b", true), piece(" c", false), piece("d", true)]
    );
    assert!(pieces("").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn nothing_that_can_be_typed_is_an_error(typed in prop_oneof![".*", "[\"'*():^+\\- a-zNEAROT\\x00]{0,40}"]) {
        let (_home, mut store, contact) = with_contact();
        say(&mut store, &contact, 1, &typed);
        let found = store.read::<_, StoreError>(|tx| tx.search(&typed, Some(&contact), None, 10));
        prop_assert!(matches!(found.unwrap().first().map(|found| &found.message.content), None | Some(Content::Text(_))));
    }

    #[test]
    fn a_word_of_letters_finds_the_text_that_it_is_in(word in "[a-zäöüéñçß]{1,20}", rest in "[a-z ]{0,40}") {
        let (_home, mut store, contact) = with_contact();
        say(&mut store, &contact, 1, &format!("{rest} {word}, {rest}"));
        prop_assert_eq!(ids(&mut store, &word, Some(&contact)), [1]);
        let beginning: String = word.chars().take(2).collect();
        prop_assert_eq!(ids(&mut store, &beginning, None), [1]);
    }
}
