//! What is read is written the same way, and within its bounds.

use crate::content::{
    AcceptContent, Body, Envelope, MAX_NAME, MAX_NUMBER, MAX_REPLY, MAX_TERMS, MAX_TEXT, OfferContent, Receipt,
    ResetContent,
};

pub(super) fn check(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 5 {
        0 => envelope(bytes),
        1 => offer(bytes),
        2 => {
            let Ok(accept) = AcceptContent::decode(bytes) else { return };
            let canonical = accept.encode();
            assert_eq!(AcceptContent::decode(&canonical).map(|accept| accept.encode()), Ok(canonical));
        }
        3 => {
            let Ok(reset) = ResetContent::decode(bytes) else { return };
            assert!(reset.highest <= MAX_NUMBER && reset.had.beyond.len() <= Receipt::MOST_RANGES);
            let canonical = reset.encode();
            assert_eq!(ResetContent::decode(&canonical).map(|reset| reset.encode()), Ok(canonical));
        }
        _ => {
            let Ok(body) = Body::from_bytes(bytes) else { return };
            assert_eq!(Body::from_bytes(&body.to_bytes()), Ok(body));
        }
    }
}

fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(bytes) else { return };
    let canonical = envelope.encode();
    assert_eq!(Envelope::decode(&canonical).as_ref(), Ok(&envelope));
    assert_eq!(envelope.encode(), canonical);
    assert!(envelope.seen_up_to <= MAX_NUMBER);
    if let Some(receipt) = &envelope.receipt {
        assert!(receipt.up_to <= MAX_NUMBER && receipt.beyond.len() <= Receipt::MOST_RANGES);
        let mut last = receipt.up_to;
        for range in &receipt.beyond {
            assert!(range.first > last + 1 && range.last >= range.first && range.last <= MAX_NUMBER);
            last = range.last;
        }
    }
    let Some(numbered) = &envelope.numbered else { return };
    assert!(envelope.chunk.is_none() && envelope.transfer.is_none());
    assert!((1..=MAX_NUMBER).contains(&numbered.number) && (1..=MAX_NUMBER).contains(&numbered.position));
    assert!(numbered.sent_at <= MAX_NUMBER);
    match &numbered.body {
        Body::Text(text) => assert!((1..=MAX_TEXT).contains(&text.len())),
        Body::Reply { text, .. } | Body::Edit { text, .. } => assert!((1..=MAX_REPLY).contains(&text.len())),
        Body::Attachment(file) => assert!(crate::content::is_name(&file.name)),
        _ => {}
    }
}

fn offer(bytes: &[u8]) {
    let Ok(offer) = OfferContent::decode(bytes) else { return };
    assert!((1..=MAX_NAME).contains(&offer.from.len()) && (1..=MAX_TERMS).contains(&offer.terms.body.text.len()));
    let canonical = offer.encode();
    assert_eq!(OfferContent::decode(&canonical).map(|offer| offer.encode()), Ok(canonical));
}
