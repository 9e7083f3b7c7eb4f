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
fn the_largest_offer_fits_its_boxes() {
    let (_home, mut store) = practice();
    let longest = |version, most: usize| {
        let mut card = card(version);
        let exception = crate::care::hours::HoursException {
            note: "n".repeat(500),
            cover: "c".repeat(1_000),
            ..card.card.exceptions[0].clone()
        };
        while Signed::sign(&SigningKey::from_bytes(&[1; 32]), card.clone()).statement.body().len() < most - 1_600 {
            card.card.exceptions.push(exception.clone());
        }
        card
    };
    store
        .change::<_, StoreError>(|tx| {
            let key = own(tx, NOW, &mut rng())?.unwrap().key;
            publish(tx, &Signed::sign(&key, longest(1, 30_000)), &Note::PracticeCardChanged, NOW, &mut rng())?;
            publish(tx, &Signed::sign(&key, crisis(1, 30)), &Note::CrisisCardChanged, NOW, &mut rng())?;
            publish(tx, &Signed::sign(&key, terms(2, MAX_TERMS)), &Note::PracticeCardChanged, NOW, &mut rng())?;
            let (contact, _) = crate::pairing::invite(tx, NOW, &mut rng(), "C", 60).unwrap();
            assert_eq!(tx.outgoing(&contact, 0, 100)?.len(), 8);
            Ok(())
        })
        .unwrap();
}

fn agreed(pair: &mut Pair) -> [Vec<u64>; 2] {
    [&mut pair.practice, &mut pair.client].map(|side| {
        let kept = side.change(consents);
        kept.into_iter().map(|kept| kept.consent.body.terms_version).collect()
    })
}

fn waits(pair: &mut Pair) -> [bool; 2] {
    [&mut pair.practice, &mut pair.client]
        .map(|side| side.change(|tx, row| Ok(tx.public_contact(&row.key)?.unwrap().care.terms_waiting)))
}

#[test]
fn consent_is_kept_on_both_sides_and_changed_terms_ask_again() {
    let mut pair = Pair::new();
    assert_eq!(agreed(&mut pair), [vec![1], vec![1]]);
    assert_eq!(waits(&mut pair), [false, false]);

    pair.publish(terms(2, 10), &Note::TermsChanged { version: 2 });
    // The practice sees at once who has not agreed yet; the client is asked once it knows.
    assert_eq!(waits(&mut pair), [true, false]);
    pair.exchange();
    assert_eq!(waits(&mut pair), [true, true]);
    let may_write =
        |side: &mut crate::testing::Side| side.change(|tx, row| Ok(crate::life_cycle::may_write(tx, row).is_ok()));
    assert!(!may_write(&mut pair.client));
    assert!(may_write(&mut pair.practice));

    pair.client.change(|tx, row| {
        let newest: Terms = their_newest(tx, &row.key)?.unwrap();
        agree(tx, &row.key, &newest, NOW + 5, &mut rng())
    });
    assert!(may_write(&mut pair.client));
    pair.exchange();
    assert_eq!(waits(&mut pair), [false, false]);
    assert_eq!(agreed(&mut pair), [vec![1, 2], vec![1, 2]]);
    assert_eq!(pair.practice.shown(Direction::In), ["Note(Agreed { version: 2 })"]);

    // Both sides can show both, each with the text that it was about.
    for (version, text) in [(1, "terms"), (2, "tttttttttt")] {
        for side in [&mut pair.practice, &mut pair.client] {
            let file = side.change(|tx, row| {
                let kept = consents(tx, row)?.into_iter().find(|kept| kept.consent.body.terms_version == version);
                let (kept, terms) = (kept.unwrap(), terms_of(tx, row, version)?.unwrap());
                Ok(crate::care::consent_file::write(kept.practice_key, kept.consent_key, &terms, &kept.consent))
            });
            let checked = crate::check_consent(file).unwrap();
            assert_eq!((checked.terms.as_str(), checked.from.as_str()), (text, "Dr. Example"));
        }
    }
}

#[test]
fn consent_to_terms_that_the_practice_never_signed_is_refused() {
    let mut pair = Pair::new();
    let contact = pair.client.contact;
    pair.client.change(|tx, row| {
        let care = tx.care(&row.key)?.unwrap();
        let key = care.signing_key.unwrap();
        let name = care.pairing;
        for (pairing, terms) in [(name, terms(2, 3)), (name, terms(1, 3)), ([0; 32], terms(1, 5))] {
            let consent = ConsentBody::new(pairing, care.peer_key, "Dr. Example", &terms, NOW);
            let consent = Signed::sign(&key, consent);
            send(tx, &contact, &consent.statement, &Note::Agreed { version: 1 }, NOW, &mut rng())?;
        }
        Ok(())
    });
    pair.exchange();
    assert_eq!(pair.practice.unopened(), 3);
    assert_eq!(agreed(&mut pair)[0], [1]);
}

#[test]
fn a_message_waits_from_the_first_that_was_not_answered() {
    let mut pair = Pair::new();
    let waiting = |pair: &mut Pair| pair.client.change(|tx, row| tx.waiting_since(&row.key));
    assert_eq!(waiting(&mut pair), None);
    for (id, at) in [(1, 100), (2, 200)] {
        pair.client.change(|tx, row| tx.queue_text(&row.key, &[id; 16], "x", NOW + at));
    }
    assert_eq!(waiting(&mut pair), Some(NOW + 100));
    // A card is no answer.
    pair.publish(card(1), &Note::PracticeCardChanged);
    pair.exchange();
    assert_eq!(waiting(&mut pair), Some(NOW + 100));
    pair.practice.change(|tx, row| tx.queue_text(&row.key, &[3; 16], "an answer", NOW));
    pair.exchange();
    assert_eq!(waiting(&mut pair), None);
    pair.client.change(|tx, row| tx.queue_text(&row.key, &[4; 16], "x", NOW + 300));
    assert_eq!(waiting(&mut pair), Some(NOW + 300));
}
