use super::*;
use crate::testing::{NOW, Pair, Side, rng};
use crate::types::Direction;

/// One key for a word; making one from the word itself takes a while.
fn word(n: u8) -> WordKey {
    WordKey::from_bytes([n; 32])
}

fn pair() -> Pair {
    let mut pair = Pair::new();
    pair.practice.change(|tx, row| tx.set_word_key(&row.key, Some(&word(1))));
    pair
}

fn asks(side: &mut Side, now: Timestamp) -> Result<(), WordError> {
    side.change(|tx, row| Ok(ask(tx, row, now, &mut rng())))
}

fn answers(side: &mut Side, key: Option<&WordKey>, now: Timestamp) -> Result<(), WordError> {
    side.change(|tx, row| {
        let asked = match question(tx, row, now) {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(error)),
        };
        Ok(answer(tx, row, &asked, key, now, &mut rng()))
    })
}

fn newest(side: &mut Side) -> WordAnswer {
    side.change(|tx, row| Ok(tx.agreed_word(&row.key)?.asked.unwrap().answer))
}

#[test]
fn the_right_word_a_wrong_one_and_none_are_told_apart() {
    for (given, answer, shown) in [
        (Some(word(1)), WordAnswer::Right, "Note(WordRight)"),
        (Some(word(2)), WordAnswer::Wrong, "Note(WordWrong)"),
        (None, WordAnswer::Declined, "Note(WordDeclined)"),
    ] {
        let mut pair = pair();
        asks(&mut pair.practice, NOW).unwrap();
        assert_eq!(newest(&mut pair.practice), WordAnswer::None);
        pair.exchange();
        assert!(pair.client.change(|tx, row| tx.agreed_word(&row.key)).is_asked_for);
        answers(&mut pair.client, given.as_ref(), NOW).unwrap();
        assert!(!pair.client.change(|tx, row| tx.agreed_word(&row.key)).is_asked_for);
        pair.exchange();
        assert_eq!(newest(&mut pair.practice), answer);
        assert_eq!(pair.practice.shown(Direction::In), [shown]);
        // It is not said twice.
        assert!(matches!(answers(&mut pair.client, given.as_ref(), NOW), Err(WordError::NotAsked)));
    }
}

#[test]
fn without_a_word_nothing_is_asked_and_unasked_nothing_is_answered() {
    let mut pair = Pair::new();
    assert!(matches!(asks(&mut pair.practice, NOW), Err(WordError::NoWord)));
    assert!(matches!(answers(&mut pair.client, Some(&word(1)), NOW), Err(WordError::NotAsked)));
}

#[test]
fn after_three_wrong_answers_a_day_has_to_pass() {
    let mut pair = pair();
    for _ in 0..MOST_WRONG {
        asks(&mut pair.practice, NOW).unwrap();
        assert!(matches!(asks(&mut pair.practice, NOW + 1), Err(WordError::AlreadyAsked)));
        pair.exchange();
        answers(&mut pair.client, Some(&word(2)), NOW).unwrap();
        pair.exchange();
    }
    let until = NOW + WINDOW_MS;
    for now in [NOW, until - 1, 0] {
        assert!(matches!(asks(&mut pair.practice, now), Err(WordError::TooMany { until: at }) if at == until), "{now}");
    }
    assert!(asks(&mut pair.practice, until).is_ok());
}

#[test]
fn a_device_answers_no_more_than_five_times_a_day_however_often_it_is_asked() {
    let mut pair = pair();
    for n in 0..20 {
        pair.practice.change(|tx, row| tx.queue_note(&row.key, &[n; 16], None, &Body::WordQuestion([n; 32]), NOW));
        pair.exchange();
        let given = answers(&mut pair.client, Some(&word(1)), NOW);
        assert_eq!(given.is_ok(), u64::from(n) < MOST_ANSWERS, "{n}");
    }
    assert_eq!(pair.client.shown(Direction::In).len(), 5);
}

#[test]
fn an_answer_to_another_question_or_turned_back_at_its_asker_counts_for_nothing() {
    let mut pair = pair();
    pair.client.change(|tx, row| tx.set_word_key(&row.key, Some(&word(1))));
    asks(&mut pair.practice, NOW).unwrap();
    asks(&mut pair.client, NOW).unwrap();
    pair.exchange();
    let question = |side: &mut Side, ours| side.change(|tx, row| Ok(tx.open_word_question(&row.key, ours)?.unwrap().0));
    let (of_practice, of_client) = (question(&mut pair.practice, true), question(&mut pair.client, true));
    // The client does not know the word, and turns what the practice answers into an answer of its own.
    answers(&mut pair.practice, Some(&word(1)), NOW).unwrap();
    let nonce = [9; 32];
    let overheard = word(1).answer(tacit_proto::End::B, &of_client, &nonce);
    let replies = [
        WordReply { question: [0; 32], nonce, tag: Some(overheard) },
        WordReply { question: of_practice, nonce, tag: Some(overheard) },
    ];
    for (n, reply) in (0..).zip(replies) {
        pair.client.change(|tx, row| tx.queue_note(&row.key, &[n; 16], None, &Body::WordReply(reply), NOW));
    }
    pair.exchange();
    assert_eq!(newest(&mut pair.practice), WordAnswer::Wrong);
    assert_eq!(newest(&mut pair.client), WordAnswer::Right);
    assert_eq!(pair.practice.unopened(), 1);
}
