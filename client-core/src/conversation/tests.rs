use crate::content::AttachmentContent;
use crate::pairing;
use crate::store::Stage;
use crate::testing::{NOW, Pair, Side, rng};
use crate::types::{Content, Direction, Outcome};

fn says(side: &mut Side, id: u8, text: &str) {
    side.change(|tx, row| tx.queue_text(&row.key, &[id; 16], text, NOW));
}

fn attaches(side: &mut Side, id: u8) {
    side.change(|tx, row| {
        let content = AttachmentContent {
            transfer: [id; 16],
            name: "file".to_owned(),
            media_type: "text/plain".to_owned(),
            size: 7,
            digest: [0; 32],
            thumbnail: None,
            duration_ms: None,
        };
        let message = tx.queue_attachment(&row.key, &[id; 16], NOW)?;
        tx.add_transfer(&row.key, true, Some(message), Stage::UnderWay, &content, NOW)
    });
}

#[test]
fn what_comes_under_the_id_of_another_message_shows_nothing_and_leaves_that_one_alone() {
    let mut pair = Pair::new();
    pair.practice.change(|tx, _| {
        let (other, _) = pairing::invite(tx, NOW, &mut rng(), "D", 60).unwrap();
        tx.queue_text(&other, &[9; 16], "to another contact", NOW)
    });
    (1..=2).for_each(|id| says(&mut pair.practice, id, "ours"));
    pair.exchange();
    says(&mut pair.client, 1, "under an id of ours");
    attaches(&mut pair.client, 2);
    says(&mut pair.client, 9, "under an id of another contact");
    says(&mut pair.client, 3, "honest");
    pair.exchange();

    assert_eq!(pair.practice.shown(Direction::In), ["honest"]);
    assert_eq!(pair.practice.unopened(), 3);
    // Its sender cannot tell.
    assert!(pair.client.history().iter().all(|message| message.outcome == Outcome::Delivered));
    pair.practice.change(|tx, row| {
        let shown = tx.public_contact(&row.key)?.unwrap();
        assert_eq!((shown.missing, shown.unread), (0, 1));
        for (id, text) in [(1, "ours"), (2, "ours"), (9, "to another contact")] {
            let message = tx.message(&[id; 16])?.unwrap();
            assert_eq!((message.direction, message.content), (Direction::Out, Content::Text(text.to_owned())));
            assert!(tx.transfer_of(&[id; 16])?.is_none());
        }
        assert_eq!(tx.history(&row.key, Some(&[2; 16]), 9)?.unwrap().len(), 1);
        let key = tx.message_key(&[1; 16])?.unwrap();
        tx.delete_message(key)
    });
    assert_eq!(pair.practice.shown(Direction::Out), ["ours"]);
}
