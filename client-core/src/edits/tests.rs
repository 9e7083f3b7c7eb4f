use super::*;
use crate::note::Note;
use crate::retention::{Keep, Retention};
use crate::testing::{NOW, Pair, Side};
use crate::types::{Content, Direction, Message, Outcome};

const ID: [u8; 16] = [1; 16];

fn says(side: &mut Side, text: &str) {
    side.change(|tx, row| tx.queue_text(&row.key, &ID, text, NOW));
}

fn edits(side: &mut Side, text: &str, now: Timestamp) -> Result<(), EditError> {
    side.change(|tx, _| Ok(edit(tx, &ID, text, now)))
}

fn withdraws(side: &mut Side, now: Timestamp) -> Result<(), EditError> {
    side.change(|tx, _| Ok(withdraw(tx, &ID, now)))
}

fn keeps(side: &mut Side, keep: Keep, legal_hold: bool) {
    side.change(|tx, row| tx.set_retention(&row.key, true, Retention { keep, legal_hold }, NOW));
}

fn came(side: &mut Side) -> Vec<Message> {
    side.history().into_iter().filter(|message| message.direction == Direction::In).collect()
}

/// How often words are in any column of a store.
fn rows_with(side: &mut Side, words: &str) -> u64 {
    side.change(|tx, _| tx.rows_with(words))
}

#[test]
fn an_edited_text_is_the_newest_one_on_both_sides_and_the_earlier_one_is_gone() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    pair.exchange();
    edits(&mut pair.client, "second words", NOW + 1).unwrap();
    edits(&mut pair.client, "third words", NOW + 2).unwrap();
    pair.exchange();
    for side in [&mut pair.client, &mut pair.practice] {
        let history = side.history();
        assert_eq!(history.len(), 1, "an edit is no message of its own: {history:?}");
        assert_eq!((&history[0].content, history[0].edited), (&Content::Text("third words".to_owned()), true));
        assert_eq!((rows_with(side, "first"), rows_with(side, "second")), (0, 0));
    }
    assert_eq!(pair.practice.unopened(), 0);
}

#[test]
fn an_edit_that_comes_before_its_message_or_after_a_later_one_changes_nothing_for_the_worse() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    let mut boxes = pair.client.seal_all();
    for (text, at) in [("second words", 1), ("third words", 2)] {
        edits(&mut pair.client, text, NOW + at).unwrap();
        boxes.extend(pair.client.seal_all());
    }
    assert_eq!(boxes.len(), 3);
    boxes.reverse();
    pair.practice.open_all(boxes, NOW + 3);
    let came = came(&mut pair.practice);
    assert_eq!(came.len(), 1);
    assert_eq!((&came[0].content, came[0].edited), (&Content::Text("third words".to_owned()), true));
    assert_eq!(rows_with(&mut pair.practice, "second"), 0);
}

#[test]
fn a_withdrawn_text_is_gone_on_both_sides_with_its_edits_and_both_see_that_there_was_one() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    pair.exchange();
    edits(&mut pair.client, "second words", NOW + 1).unwrap();
    pair.exchange();
    withdraws(&mut pair.client, NOW + 2).unwrap();
    pair.exchange();
    for side in [&mut pair.client, &mut pair.practice] {
        let contents: Vec<_> = side.history().into_iter().map(|message| message.content).collect();
        assert_eq!(contents, [Content::Note(Note::Withdrawn)]);
        assert_eq!(rows_with(side, "words"), 0);
    }
}

#[test]
fn what_never_left_is_edited_and_withdrawn_without_a_trace() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    edits(&mut pair.client, "second words", NOW + 1).unwrap();
    assert!(!pair.client.history()[0].edited);
    withdraws(&mut pair.client, NOW + 2).unwrap();
    pair.exchange();
    assert!(pair.client.history().is_empty() && pair.practice.history().is_empty());
}

#[test]
fn a_text_on_its_way_leaves_as_deleted_once_it_is_withdrawn() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    // It is sealed, and what was sealed is lost with the relay.
    drop(pair.client.seal_all());
    pair.client.change(|tx, _| {
        let key = tx.message_key(&ID)?.unwrap();
        tx.set_accepted(key, NOW + 1_000)
    });
    withdraws(&mut pair.client, NOW + 1).unwrap();
    pair.client.change(|tx, row| tx.resend_unreceipted(&row.key));
    pair.exchange();
    let contents: Vec<_> = came(&mut pair.practice).into_iter().map(|message| message.content).collect();
    assert_eq!(contents, [Content::Note(Note::Deleted)]);
    assert_eq!(rows_with(&mut pair.practice, "words"), 0);
}

#[test]
fn after_a_day_nothing_is_changed_whoever_asks() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    pair.exchange();
    let late = NOW + WINDOW_MS + 1;
    assert!(matches!(edits(&mut pair.client, "second words", late), Err(EditError::TooLate)));
    assert!(matches!(withdraws(&mut pair.client, late), Err(EditError::TooLate)));
    // A device that does not keep to it is not obeyed.
    for body in [Body::Edit { message: ID, text: "second words".to_owned() }, Body::Withdrawal { message: ID }] {
        pair.client.change(|tx, row| tx.queue_about(&row.key, &draw_id(&mut rng()), &body, late));
        pair.exchange();
    }
    let came = came(&mut pair.practice);
    assert_eq!((&came[0].content, came[0].edited), (&Content::Text("first words".to_owned()), false));
    assert_eq!(rows_with(&mut pair.practice, "second"), 0);
}

#[test]
fn a_rule_that_keeps_messages_keeps_what_was_edited_and_withdrawn() {
    for (keep, legal_hold) in [(Keep::ForYears { years: 10 }, false), (Keep::Always, true)] {
        let mut pair = Pair::new();
        keeps(&mut pair.practice, keep, legal_hold);
        says(&mut pair.client, "first words");
        pair.exchange();
        edits(&mut pair.client, "second words", NOW + 1).unwrap();
        pair.exchange();
        assert_eq!(pair.practice.change(|tx, _| tx.earlier_texts(&ID)), ["first words"]);
        assert!(pair.client.change(|tx, _| tx.earlier_texts(&ID)).is_empty());
        withdraws(&mut pair.client, NOW + 2).unwrap();
        pair.exchange();
        let came = came(&mut pair.practice);
        assert_eq!((&came[0].content, came[0].withdrawn), (&Content::Text("second words".to_owned()), true));
        // And the practice cannot get rid of its own.
        pair.practice.change(|tx, row| tx.queue_text(&row.key, &[2; 16], "our words", NOW));
        pair.exchange();
        let refused = pair.practice.change(|tx, _| Ok(withdraw(tx, &[2; 16], NOW + 1)));
        assert!(matches!(refused, Err(EditError::Delete(DeleteError::LegalHold | DeleteError::MustKeep { .. }))));
    }
}

#[test]
fn nobody_changes_what_the_other_side_wrote() {
    let mut pair = Pair::new();
    says(&mut pair.practice, "first words");
    pair.exchange();
    assert!(matches!(edits(&mut pair.client, "other words", NOW), Err(EditError::NoSuchMessage)));
    for body in [Body::Edit { message: ID, text: "other words".to_owned() }, Body::Withdrawal { message: ID }] {
        pair.client.change(|tx, row| tx.queue_about(&row.key, &draw_id(&mut rng()), &body, NOW));
        pair.exchange();
    }
    assert_eq!(pair.practice.shown(Direction::Out), ["first words"]);
    assert_eq!(pair.client.shown(Direction::In), ["first words"]);
}

#[test]
fn a_reply_names_what_it_answers_after_an_edit_too() {
    let mut pair = Pair::new();
    says(&mut pair.practice, "a question");
    pair.exchange();
    pair.client.change(|tx, row| tx.queue_reply(&row.key, &[2; 16], &ID, "an answer", NOW));
    pair.exchange();
    pair.client.change(|tx, _| Ok(edit(tx, &[2; 16], "a better answer", NOW + 1))).unwrap();
    pair.exchange();
    for side in [&mut pair.client, &mut pair.practice] {
        let last = side.history().pop().unwrap();
        assert_eq!(last.content, Content::Text("a better answer".to_owned()));
        assert_eq!((last.reply_to, last.edited), (Some(hex::encode(ID)), true));
    }
}

#[test]
fn deleting_a_message_here_takes_its_edits_and_earlier_texts_along() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    pair.exchange();
    keeps(&mut pair.client, Keep::ForYears { years: 1 }, false);
    edits(&mut pair.client, "second words", NOW + 1).unwrap();
    pair.exchange();
    assert_eq!(rows_with(&mut pair.client, "first"), 1);
    pair.client.change(|tx, _| {
        let key = tx.message_key(&ID)?.unwrap();
        tx.delete_message(key)
    });
    assert_eq!(rows_with(&mut pair.client, "words"), 0);
}

#[test]
fn a_withdrawal_on_its_way_outlives_the_deletion_of_what_it_takes_back() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    pair.exchange();
    withdraws(&mut pair.client, NOW + 2).unwrap();
    assert!(pair.client.change(|tx, row| tx.delete_before(&row.key, u64::MAX, 100)) > 0);
    pair.exchange();
    let contents: Vec<_> = came(&mut pair.practice).into_iter().map(|message| message.content).collect();
    assert_eq!(contents, [Content::Note(Note::Withdrawn)]);
    assert_eq!(rows_with(&mut pair.practice, "words"), 0);
    assert!(pair.client.history().is_empty());
}

/// An edit of any message, as a device may send it that does not keep to what ours does.
fn sends_edit(side: &mut Side, of: [u8; 16], text: &str) {
    let body = Body::Edit { message: of, text: text.to_owned() };
    side.change(|tx, row| tx.queue_about(&row.key, &draw_id(&mut rng()), &body, NOW));
}

#[test]
fn of_the_edits_of_a_message_that_does_not_come_only_the_newest_is_kept() {
    let mut pair = Pair::new();
    // Something is missing, so the message may still come.
    says(&mut pair.client, "first words");
    let first = pair.client.seal_all();
    (1..=20).for_each(|number| sends_edit(&mut pair.client, ID, &format!("words {number}")));
    let mut edits = pair.client.seal_all();
    edits.swap(18, 19);
    pair.practice.open_all(edits, NOW);
    assert_eq!(rows_with(&mut pair.practice, "words"), 1);
    assert_eq!(pair.practice.change(|tx, row| Ok(tx.to_be_applied(&row.key, &ID)?.len())), 1);
    pair.practice.open_all(first, NOW);
    assert_eq!(pair.practice.shown(Direction::In), ["words 20"]);
    assert_eq!(rows_with(&mut pair.practice, "words"), 1);
}

#[test]
fn an_edit_of_what_was_deleted_here_leaves_no_text() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    pair.exchange();
    pair.practice.change(|tx, _| {
        let key = tx.message_key(&ID)?.unwrap();
        tx.delete_message(key)
    });
    edits(&mut pair.client, "second words", NOW + 1).unwrap();
    pair.exchange();
    assert_eq!(rows_with(&mut pair.practice, "words"), 0);

    // The same while something before it is missing: the message might be that.
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[2; 16], "late", NOW));
    let late = pair.client.seal_all();
    edits(&mut pair.client, "third words", NOW + 1).unwrap();
    let edit = pair.client.seal_all();
    pair.practice.open_all(edit, NOW);
    assert_eq!(rows_with(&mut pair.practice, "words"), 1);
    pair.practice.open_all(late, NOW);
    assert_eq!(rows_with(&mut pair.practice, "words"), 0);
    assert_eq!(pair.practice.shown(Direction::In), ["late"]);
}

#[test]
fn an_edit_that_comes_after_the_withdrawal_leaves_no_text() {
    let mut pair = Pair::new();
    // It stays missing, so that only the withdrawn message tells that the edit is of no use.
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[2; 16], "lost", NOW));
    drop(pair.client.seal_all());
    says(&mut pair.client, "first words");
    let message = pair.client.seal_all();
    edits(&mut pair.client, "second words", NOW + 1).unwrap();
    let edit = pair.client.seal_all();
    withdraws(&mut pair.client, NOW + 2).unwrap();
    let withdrawal = pair.client.seal_all();
    for boxes in [message, withdrawal, edit] {
        pair.practice.open_all(boxes, NOW + 3);
    }
    assert_eq!(rows_with(&mut pair.practice, "words"), 0);
    assert_eq!(came(&mut pair.practice)[0].content, Content::Note(Note::Withdrawn));

    // Nor does one that was sent after it, by a device that does not keep to that, and waits with it for the message.
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[3; 16], "first words", NOW));
    let message = pair.client.seal_all();
    let withdrawal = Body::Withdrawal { message: [3; 16] };
    pair.client.change(|tx, row| tx.queue_about(&row.key, &draw_id(&mut rng()), &withdrawal, NOW));
    sends_edit(&mut pair.client, [3; 16], "second words");
    let about = pair.client.seal_all();
    pair.practice.open_all(about, NOW);
    pair.practice.open_all(message, NOW);
    assert_eq!(rows_with(&mut pair.practice, "words"), 0);
}

#[test]
fn an_edited_message_is_unread_once_more_and_its_sender_sees_the_outcome_of_the_edit() {
    let mut pair = Pair::new();
    for side in [&mut pair.practice, &mut pair.client] {
        side.change(|tx, row| tx.set_tells_reads(&row.key, true));
    }
    pair.exchange();
    says(&mut pair.client, "See you Thursday");
    pair.exchange();
    let reads = |pair: &mut Pair| {
        pair.practice.change(|tx, row| tx.mark_read(&row.key));
        pair.exchange();
    };
    reads(&mut pair);
    let outcome = |side: &mut Side| side.history().last().unwrap().outcome;
    let unread = |side: &mut Side| side.change(|tx, row| Ok(tx.public_contact(&row.key)?.unwrap().unread));
    assert_eq!((outcome(&mut pair.client), unread(&mut pair.practice)), (Outcome::Read, 0));

    edits(&mut pair.client, "I cannot go on", NOW + 1).unwrap();
    assert_eq!(outcome(&mut pair.client), Outcome::Queued);
    pair.exchange();
    assert_eq!((outcome(&mut pair.client), unread(&mut pair.practice)), (Outcome::Delivered, 1));
    let edit = pair.client.change(|tx, row| {
        let key = tx.about(tx.message_key(&ID)?.unwrap())?[0];
        assert_eq!(tx.history(&row.key, None, 9)?.unwrap().len(), 1);
        Ok(tx.message_id(key)?.unwrap())
    });
    assert_eq!(pair.client.change(|tx, _| tx.as_shown((edit, Outcome::Read))), (ID, Outcome::Delivered));
    reads(&mut pair);
    assert_eq!((outcome(&mut pair.client), unread(&mut pair.practice)), (Outcome::Read, 0));
}

#[test]
fn the_words_of_an_edit_are_not_called_delivered_before_there_is_a_message_that_says_them() {
    let mut pair = Pair::new();
    says(&mut pair.client, "first words");
    drop(pair.client.seal_all());
    edits(&mut pair.client, "second words", NOW + 1).unwrap();
    let edit = pair.client.seal_all();
    pair.practice.open_all(edit, NOW + 1);
    pair.exchange();
    assert!(came(&mut pair.practice).is_empty());
    assert_eq!(pair.client.history()[0].outcome, Outcome::Queued);
}

#[test]
fn what_came_or_was_edited_after_the_app_read_the_history_stays_unread() {
    let mut pair = Pair::new();
    let write = |pair: &mut Pair, id: u8| {
        pair.client.change(|tx, row| tx.queue_text(&row.key, &[id; 16], "words", NOW));
        pair.exchange();
    };
    let edits = |pair: &mut Pair, id: u8| {
        pair.client.change(|tx, _| Ok(edit(tx, &[id; 16], "other words", NOW + 1))).unwrap();
        pair.exchange();
    };
    // What is unread after the app showed everything up to a message.
    let left = |pair: &mut Pair, id: u8| -> Vec<String> {
        assert!(pair.practice.change(|tx, row| tx.mark_read_up_to(&row.key, &[id; 16])));
        let unread = came(&mut pair.practice).into_iter().filter(|message| message.outcome == Outcome::Delivered);
        unread.map(|message| message.id[..2].to_owned()).collect()
    };
    (1..=3).for_each(|id| write(&mut pair, id));
    assert_eq!(left(&mut pair, 2), ["03"]);
    edits(&mut pair, 1);
    assert_eq!(left(&mut pair, 2), ["01", "03"]);
    assert_eq!(left(&mut pair, 1), ["03"]);
    edits(&mut pair, 2);
    write(&mut pair, 4);
    assert!(left(&mut pair, 4).is_empty());
    assert!(!pair.practice.change(|tx, row| tx.mark_read_up_to(&row.key, &[9; 16])));
}
