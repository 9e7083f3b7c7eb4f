use super::*;
use crate::crypto::signing::SigningKey;
use crate::testing::{NOW, Pair, Side, rng};
use crate::types::{ContactState, Direction, Outcome};

fn pauses(side: &mut Side, is_paused: bool, words: &str) {
    side.change(|tx, row| {
        set_paused(tx, row, is_paused, words, NOW, &mut rng()).unwrap();
        Ok(())
    });
}

fn writes(side: &mut Side) -> Result<(), &'static str> {
    side.change(|tx, row| {
        Ok(match may_write(tx, row) {
            Ok(()) => Ok(()),
            Err(SendError::Paused) => Err("paused"),
            Err(SendError::Ended) => Err("ended"),
            Err(error) => panic!("{error}"),
        })
    })
}

fn says_farewell(side: &mut Side, manner: Manner, words: &str) {
    side.change(|tx, row| leave(tx, row, manner, words, NOW, &mut rng()));
}

fn state(side: &mut Side) -> (State, ContactState) {
    side.change(|_, row| Ok((row.state, row.state.public())))
}

fn goes(side: &mut Side, now: Timestamp) -> bool {
    side.change(|tx, row| match row.state {
        State::Leaving(why) => may_go(tx, row, why, now),
        state => panic!("{state:?}"),
    })
}

#[test]
fn while_either_side_pauses_neither_writes_and_each_ends_its_own_pause() {
    let mut pair = Pair::new();
    pauses(&mut pair.practice, true, "Back in May");
    assert_eq!(writes(&mut pair.practice), Err("paused"));
    // The client does not know yet: what it writes now still arrives.
    assert_eq!(writes(&mut pair.client), Ok(()));
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[1; 16], "crossing", NOW));
    pair.exchange();
    assert_eq!(writes(&mut pair.client), Err("paused"));
    assert_eq!(pair.practice.shown(Direction::In), ["crossing"]);
    assert_eq!(pair.client.shown(Direction::In), ["Note(Paused { words: \"Back in May\" })"]);

    pauses(&mut pair.client, true, "");
    pauses(&mut pair.practice, false, "");
    pair.exchange();
    assert_eq!((writes(&mut pair.practice), writes(&mut pair.client)), (Err("paused"), Err("paused")));
    pauses(&mut pair.client, false, "");
    // Resuming twice says nothing twice.
    pauses(&mut pair.client, false, "");
    pair.exchange();
    assert_eq!((writes(&mut pair.practice), writes(&mut pair.client)), (Ok(()), Ok(())));
    assert_eq!(pair.practice.shown(Direction::In).len(), 3);
}

#[test]
fn the_words_of_a_pause_go_with_its_note_and_the_pause_itself_is_told() {
    let mut pair = Pair::new();
    pauses(&mut pair.practice, true, "told words");
    pair.exchange();
    pauses(&mut pair.practice, false, "");
    pauses(&mut pair.practice, true, "words on their way");
    // Sealed, and at the relay or not.
    pair.practice.change(|tx, row| {
        for outgoing in tx.outgoing(&row.key, 0, 9)? {
            crate::conversation::seal_outgoing(tx, row, &outgoing, &mut rng())?;
        }
        Ok(())
    });
    pair.practice.change(|tx, row| tx.delete_before(&row.key, u64::MAX, 100));
    assert_eq!(pair.practice.change(|tx, _| tx.rows_with("words")), 0);
    pair.exchange();
    assert_eq!(writes(&mut pair.client), Err("paused"));
    let notes = ["Note(Paused { words: \"told words\" })", "Note(Resumed)", "Note(Paused { words: \"\" })"];
    assert_eq!(pair.client.shown(Direction::In), notes);
    assert_eq!(pair.client.unopened(), 0);
}

#[test]
fn a_restored_device_says_once_more_whether_it_pauses_and_is_heard() {
    let mut pair = Pair::new();
    pauses(&mut pair.practice, true, "");
    pair.exchange();
    // The backup was made before that.
    pair.practice.change(|tx, row| tx.set_paused_by_us(&row.key, None, 0));
    for later in 1..=2 {
        pair.practice.change(|tx, row| restate_pause(tx, row, NOW + later, &mut rng()));
        pair.exchange();
    }
    assert_eq!((writes(&mut pair.practice), writes(&mut pair.client)), (Ok(()), Ok(())));
    assert_eq!(pair.client.shown(Direction::In), ["Note(Paused { words: \"\" })", "Note(Resumed)"]);
}

#[test]
fn pauses_that_come_in_another_order_end_as_the_last_one_said() {
    let mut pair = Pair::new();
    pauses(&mut pair.practice, true, "");
    pauses(&mut pair.practice, false, "");
    pauses(&mut pair.practice, true, "for good");
    let mut boxes = pair.practice.seal_all();
    boxes.reverse();
    pair.client.open_all(boxes, NOW);
    assert_eq!(writes(&mut pair.client), Err("paused"));
    assert_eq!(pair.client.shown(Direction::In), ["Note(Paused { words: \"for good\" })"]);
}

#[test]
fn a_discharge_lets_everything_arrive_and_goes_when_the_farewell_is_delivered() {
    let mut pair = Pair::new();
    pair.practice.change(|tx, row| tx.queue_text(&row.key, &[1; 16], "last words", NOW));
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[2; 16], "crossing", NOW));
    says_farewell(&mut pair.practice, Manner::Discharge, "Go well.");
    assert_eq!(writes(&mut pair.practice), Err("ended"));
    let ended = ContactState::Ended(EndedWhy::Discharged);
    assert_eq!(state(&mut pair.practice), (State::Leaving(EndedWhy::Discharged), ended));
    assert!(!goes(&mut pair.practice, NOW));

    let boxes = pair.practice.seal_all();
    // Sealed, and accepted nowhere yet.
    assert!(!goes(&mut pair.practice, NOW));
    let crossing = pair.client.seal_all();
    pair.client.open_all(boxes, NOW);
    assert_eq!(state(&mut pair.client).0, State::Leaving(EndedWhy::DischargedByPeer));
    assert_eq!(writes(&mut pair.client), Err("ended"));
    assert_eq!(pair.client.shown(Direction::In), ["last words", "Note(Discharged { words: \"Go well.\" })"]);
    // It owes the receipt that tells the other side, and waits for one.
    assert!(!goes(&mut pair.client, NOW));
    pair.practice.open_all(crossing, NOW);
    assert_eq!(pair.practice.shown(Direction::In), ["crossing"]);
    pair.exchange();
    for side in [&mut pair.practice, &mut pair.client] {
        assert!(goes(side, NOW));
        assert!(side.history().iter().all(|message| message.outcome == Outcome::Delivered));
    }

    for (side, is_ours) in [(&mut pair.practice, true), (&mut pair.client, false)] {
        let (ours, said) = side.change(farewell).unwrap();
        assert_eq!((ours, said.words.as_str(), said.manner), (is_ours, "Go well.", Manner::Discharge));
    }
}

#[test]
fn a_discharge_that_nobody_comes_for_goes_when_its_hold_has_passed() {
    let mut pair = Pair::new();
    says_farewell(&mut pair.practice, Manner::Discharge, "");
    let message = pair.practice.change(|tx, row| Ok(tx.outgoing(&row.key, 0, 9)?.pop().unwrap().message.unwrap()));
    pair.practice.seal_all();
    pair.practice.change(|tx, _| tx.set_accepted(message, NOW + 1_000));
    assert!(!goes(&mut pair.practice, NOW + 1_000));
    assert!(goes(&mut pair.practice, NOW + 1_001));
}

#[test]
fn whoever_unpairs_takes_back_what_was_not_handed_over_and_goes_with_the_farewell() {
    let mut pair = Pair::new();
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[1; 16], "never sent", NOW));
    says_farewell(&mut pair.client, Manner::Unpair, "");
    assert_eq!(state(&mut pair.client).1, ContactState::Ended(EndedWhy::ByUs));
    let boxes = pair.client.seal_all();
    assert_eq!(boxes.len(), 1);
    assert!(goes(&mut pair.client, NOW));
    pair.practice.open_all(boxes, NOW);
    assert_eq!(state(&mut pair.practice).1, ContactState::Ended(EndedWhy::ByPeer));
    assert_eq!(pair.practice.shown(Direction::In), ["Note(Unpaired { words: \"\" })"]);
    let outcomes: Vec<_> = pair.client.history().into_iter().map(|message| message.outcome).collect();
    assert!(matches!(outcomes[0], Outcome::Refused(_)));
}

#[test]
fn farewells_that_cross_leave_each_side_with_its_own_reason() {
    let mut pair = Pair::new();
    says_farewell(&mut pair.practice, Manner::Discharge, "from the practice");
    says_farewell(&mut pair.client, Manner::Discharge, "from the client");
    pair.exchange();
    for side in [&mut pair.practice, &mut pair.client] {
        assert_eq!(state(side).0, State::Leaving(EndedWhy::Discharged));
        assert!(goes(side, NOW));
        // Theirs is what is shown.
        assert!(!side.change(farewell).unwrap().0);
    }
}

#[test]
fn a_farewell_of_another_key_or_another_pairing_ends_nothing() {
    let mut pair = Pair::new();
    let contact = pair.practice.contact;
    pair.practice.change(|tx, row| {
        let pairing = tx.care(&row.key)?.unwrap().pairing;
        let own = tx.practice_key()?.unwrap();
        for (key, pairing) in [(&SigningKey::draw(&mut rng()), pairing), (&own, [0; 32])] {
            let body = FarewellBody { pairing, manner: Manner::Discharge, words: String::new(), said_at: NOW };
            let note = note(&body);
            let signed = Signed::sign(key, body);
            statements::send(tx, &contact, &signed.statement, &note, NOW, &mut rng())?;
        }
        Ok(())
    });
    pair.exchange();
    assert_eq!(pair.client.unopened(), 2);
    assert_eq!(state(&mut pair.client).0, State::Paired);
    assert_eq!(writes(&mut pair.client), Ok(()));
}
