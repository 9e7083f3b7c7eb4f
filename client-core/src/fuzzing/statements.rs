//! Statements: read, written, signed, and worked with.

use crate::care::consent::ConsentBody;
use crate::care::consent_file::check_consent;
use crate::care::crisis_card::{SignedCrisisCard, crisis_reason, crisis_text};
use crate::care::farewell::FarewellBody;
use crate::care::practice_card::{Availability, SignedPracticeCard, availability, expectation, expected_answer_by};
use crate::care::quiet_hours::{QuietHours, quiet_until};
use crate::care::statement::{Body, Signed};
use crate::care::terms::Terms;
use crate::content::MAX_NUMBER;
use crate::crypto::signing::{MAX_BODY, SigningKey};

use super::script::Script;

pub(super) fn check(bytes: &[u8]) {
    let mut script = Script(bytes);
    match script.byte() % 7 {
        0 => {
            let now = u64::from(script.u32()) << 16 | u64::from(script.u32() >> 16);
            if let Some(card) = body::<SignedPracticeCard>(script.0) {
                practice_card(&card, now);
            }
        }
        1 => {
            let locale = String::from_utf8_lossy(script.bytes(8)).into_owned();
            if let Some(SignedCrisisCard { card, .. }) = body(script.0) {
                assert!(crisis_text(&card, &locale).is_none_or(|text| card.texts.contains(text)));
            }
        }
        2 => drop(body::<Terms>(script.0)),
        3 => drop(body::<ConsentBody>(script.0)),
        4 => drop(body::<FarewellBody>(script.0)),
        5 => {
            if let Ok(file) = String::from_utf8(script.0.to_vec()) {
                // Its signatures hold: it says the same whatever is read of it.
                if let Ok(checked) = check_consent(file.clone()) {
                    assert_eq!(check_consent(file), Ok(checked));
                }
            }
        }
        // As it is carried, by a key that has signed nothing.
        _ => {
            let stranger = SigningKey::from_bytes(&[9; 32]).public();
            assert!(Signed::<Terms>::check(&stranger, script.0).is_err());
            assert!(Signed::<FarewellBody>::check(&stranger, script.0).is_err());
        }
    }
}

/// What is accepted is written in one way, and is the same once it was signed.
fn body<B: Body>(bytes: &[u8]) -> Option<B> {
    let body = B::decode(bytes).ok()?;
    assert!(body.version() <= MAX_NUMBER);
    let canonical = body.encode();
    let again = B::decode(&canonical).map(|body| body.encode());
    assert_eq!(again.as_ref(), Ok(&canonical));
    let key = SigningKey::from_bytes(&[7; 32]);
    if canonical.len() <= MAX_BODY {
        let signed = Signed::sign(&key, body);
        let carried = Signed::<B>::check(&key.public(), signed.statement.bytes());
        assert!(carried.is_ok_and(|carried| carried.body.encode() == canonical));
        return Some(signed.body);
    }
    Some(body)
}

/// Hours in any zone, on any day: an answer, and one that lies ahead.
fn practice_card(signed: &SignedPracticeCard, now: u64) {
    let card = &signed.card;
    let is = availability(card, now);
    match &is {
        Availability::Open { until: Some(then) } | Availability::Closed { opens: Some(then), .. } => {
            assert!(*then > now, "{then} is not after {now}");
        }
        _ => {}
    }
    let by = expected_answer_by(card, now);
    assert!(by.is_none_or(|by| by >= now));
    assert_eq!(expectation(card, now).answer_by, by);
    let _ = crisis_reason(&is, by, false, now);
    let quiet = quiet_until(&QuietHours::OutsideOfficeHours, Some(card), now);
    assert!(quiet.is_none_or(|until| until > now));
}
