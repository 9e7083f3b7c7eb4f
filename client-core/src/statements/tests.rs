use super::*;
use crate::care::crisis_card::{CrisisCard, CrisisText};
use crate::care::practice_card::tests::card as tests_card;
use crate::content::MAX_TERMS;
use crate::testing::{NOW, Pair, practice, rng};
use crate::types::Direction;

fn card(version: u64) -> SignedPracticeCard {
    SignedPracticeCard { version, signed_at: NOW, card: tests_card() }
}

fn crisis(version: u64, locales: usize) -> SignedCrisisCard {
    let text = |n| CrisisText { locale: format!("en-x{n}"), advice: "call".repeat(300), calls: vec![] };
    SignedCrisisCard { version, signed_at: NOW, card: CrisisCard { texts: (0..locales).map(text).collect() } }
}

fn terms(version: u64, length: usize) -> Terms {
    Terms { version, signed_at: NOW, text: "t".repeat(length) }
}

fn theirs<B: StatementBody>(pair: &mut Pair) -> Option<B> {
    pair.client.change(|tx, row| their_newest(tx, &row.key))
}

#[test]
fn what_the_offer_states_is_kept_by_the_client() {
    let (home, mut store) = practice();
    store
        .change::<_, StoreError>(|tx| {
            let own = own(tx, NOW, &mut rng())?.unwrap();
            publish(tx, &Signed::sign(&own.key, card(1)), &Note::PracticeCardChanged, NOW, &mut rng())?;
            publish(tx, &Signed::sign(&own.key, crisis(1, 2)), &Note::CrisisCardChanged, NOW, &mut rng())
        })
        .unwrap();
    let mut pair = Pair::with(home, store, |_| Ok(()));
    assert_eq!(theirs(&mut pair), Some(card(1)));
    assert_eq!(theirs(&mut pair), Some(crisis(1, 2)));
    assert_eq!(theirs::<Terms>(&mut pair).unwrap().text, "terms");
    pair.exchange();
    assert!(pair.client.history().is_empty() && pair.practice.history().is_empty());
}

#[test]
fn what_changed_after_the_offer_comes_with_the_pairing() {
    let (home, store) = practice();
    let mut pair = Pair::with(home, store, |tx| {
        let key = tx.practice_key()?.unwrap();
        publish(tx, &Signed::sign(&key, card(1)), &Note::PracticeCardChanged, NOW, &mut rng())?;
        publish(tx, &Signed::sign(&key, terms(2, 10)), &Note::TermsChanged { version: 2 }, NOW, &mut rng())
    });
    assert_eq!(theirs::<SignedPracticeCard>(&mut pair), None);
    pair.exchange();
    assert_eq!(theirs(&mut pair), Some(card(1)));
    assert_eq!(theirs(&mut pair), Some(terms(2, 10)));
    assert_eq!(pair.client.shown(Direction::In), ["Note(PracticeCardChanged)", "Note(TermsChanged { version: 2 })"]);
}

#[test]
fn the_longest_statements_arrive_in_parts_whatever_order_those_come_in() {
    let mut pair = Pair::new();
    pair.publish(terms(2, MAX_TERMS), &Note::TermsChanged { version: 2 });
    pair.publish(crisis(1, 30), &Note::CrisisCardChanged);
    let mut boxes = pair.practice.seal_all();
    assert_eq!(boxes.len(), 3 + 3);
    boxes.reverse();
    pair.client.open_all(boxes, NOW);
    assert_eq!(theirs(&mut pair), Some(terms(2, MAX_TERMS)));
    assert_eq!(theirs(&mut pair), Some(crisis(1, 30)));
    assert_eq!(pair.client.unopened(), 0);
    // Six messages, of which two are shown; no text of theirs, so nothing is unread.
    assert_eq!(pair.client.shown(Direction::In).len(), 2);
    assert_eq!(pair.client.change(|tx, row| Ok(tx.public_contact(&row.key)?.unwrap().unread)), 0);
    pair.exchange();
    assert!(pair.practice.history().iter().all(|message| message.outcome == crate::Outcome::Delivered));
}

#[test]
fn an_older_statement_and_another_of_the_same_version_change_nothing() {
    let mut pair = Pair::new();
    pair.publish(card(3), &Note::PracticeCardChanged);
    pair.exchange();
    let other = SignedPracticeCard { signed_at: 1, ..card(3) };
    for old in [card(2), other] {
        let contact = pair.practice.contact;
        pair.practice.change(|tx, _| {
            let key = tx.practice_key()?.unwrap();
            let old = Signed::sign(&key, old);
            send(tx, &contact, &old.statement, &Note::PracticeCardChanged, NOW, &mut rng())
        });
    }
    pair.exchange();
    assert_eq!(theirs(&mut pair), Some(card(3)));
    assert_eq!(pair.client.shown(Direction::In).len(), 1);
    assert_eq!(pair.client.unopened(), 0);
}

#[test]
fn statements_that_are_not_theirs_to_make_are_refused_and_block_nothing() {
    let mut pair = Pair::new();
    // Of another key.
    let stranger = SigningKey::draw(&mut rng());
    let contact = pair.practice.contact;
    let forged = Signed::sign(&stranger, card(9));
    pair.practice.change(|tx, _| send(tx, &contact, &forged.statement, &Note::PracticeCardChanged, NOW, &mut rng()));
    // Under another name than its own.
    pair.practice.change(|tx, row| {
        let own = Signed::sign(&tx.practice_key()?.unwrap(), card(9));
        let part = StatementPart {
            kind: StatementKind::PracticeCard,
            digest: [0; 32],
            part: 1,
            count: 1,
            bytes: own.statement.bytes().to_vec(),
        };
        tx.queue_note(&row.key, &[1; 16], None, &Body::Statement(part), NOW)
    });
    // Of a kind that another one was signed as.
    pair.practice.change(|tx, row| {
        let own = Signed::sign(&tx.practice_key()?.unwrap(), card(9));
        let (digest, bytes) = (own.statement.digest(), own.statement.bytes().to_vec());
        let part = StatementPart { kind: StatementKind::Terms, digest, part: 1, count: 1, bytes };
        tx.queue_note(&row.key, &[2; 16], None, &Body::Statement(part), NOW)
    });
    pair.practice.change(|tx, row| tx.queue_text(&row.key, &[3; 16], "still here", NOW));
    // A client is no practice.
    let contact = pair.client.contact;
    pair.client.change(|tx, row| {
        let key = tx.care(&row.key)?.unwrap().signing_key.unwrap();
        let card = Signed::sign(&key, card(9));
        send(tx, &contact, &card.statement, &Note::PracticeCardChanged, NOW, &mut rng())
    });
    pair.exchange();
    assert_eq!(theirs::<SignedPracticeCard>(&mut pair), None);
    assert_eq!(theirs::<Terms>(&mut pair).unwrap().version, 1);
    assert_eq!(pair.client.unopened(), 3);
    assert_eq!(pair.practice.unopened(), 1);
    assert_eq!(pair.client.shown(Direction::In), ["still here"]);
    assert!(pair.practice.shown(Direction::In).is_empty());
}

#[test]
fn parts_that_never_become_a_whole_are_bounded() {
    let mut pair = Pair::new();
    for n in 0..20 {
        pair.practice.change(|tx, row| {
            let part = StatementPart {
                kind: StatementKind::Terms,
                digest: [n; 32],
                part: 1,
                count: 5,
                bytes: vec![n; StatementPart::MAX_BYTES],
            };
            tx.queue_note(&row.key, &[n; 16], None, &Body::Statement(part), NOW)
        });
    }
    pair.exchange();
    let kept = pair.client.change(|tx, row| tx.incomplete_statements(&row.key));
    assert_eq!(kept, 4);
}

#[test]
fn a_delivered_statement_is_not_kept_a_second_time_for_each_client() {
    let mut pair = Pair::new();
    pair.publish(terms(2, MAX_TERMS), &Note::TermsChanged { version: 2 });
    let bodies = |pair: &mut Pair| pair.practice.change(|tx, _| tx.kept_bodies());
    assert_eq!(bodies(&mut pair), 3);
    pair.exchange();
    assert_eq!(bodies(&mut pair), 0);
}
