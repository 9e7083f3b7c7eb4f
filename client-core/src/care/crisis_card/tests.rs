use super::*;

fn text(locale: &str) -> CrisisText {
    CrisisText {
        locale: locale.into(),
        advice: format!("advice in {locale}"),
        calls: vec![CrisisCall { who: "The line".into(), at: "000".into() }],
    }
}

fn card(locales: &[&str]) -> CrisisCard {
    CrisisCard { texts: locales.iter().map(|locale| text(locale)).collect() }
}

#[test]
fn the_text_is_in_the_readers_language_or_the_nearest_that_there_is() {
    for (offered, wanted, shown) in [
        (&["en", "de-CH", "de", "fr"][..], "de-CH", "de-CH"),
        (&["en", "de-CH", "de", "fr"], "de", "de"),
        (&["en", "de-CH", "de", "fr"], "de-AT", "de"),
        (&["en", "de", "de-CH", "fr"], "de-CH-1996", "de-CH"),
        // No plain German: another German is nearer than English.
        (&["en", "de-CH", "de-DE"], "de-AT", "de-CH"),
        (&["en", "de-CH", "de-DE"], "de", "de-CH"),
        // None of the language: the first of all.
        (&["en", "de-CH"], "it", "en"),
        (&["it", "de-CH"], "en", "it"),
        // As systems write it.
        (&["en", "pt-BR", "pt"], "pt_BR.UTF-8", "pt-BR"),
        (&["en", "pt-BR", "pt"], "PT_br@euro", "pt-BR"),
        (&["en", "zh-Hant-TW", "zh-Hant"], "zh-Hant-HK", "zh-Hant"),
        // A tag is no beginning of another one.
        (&["en", "d"], "de", "en"),
        (&["fr", "en"], "C", "fr"),
        (&["fr", "en"], "", "fr"),
    ] {
        assert_eq!(crisis_text(&card(offered), wanted).unwrap().locale, shown, "{offered:?} {wanted}");
    }
    assert_eq!(crisis_text(&card(&[]), "en"), None);
}

#[test]
fn the_card_is_shown_on_request_outside_hours_and_when_an_answer_is_overdue() {
    let (open, unknown) = (Availability::Open { until: None }, Availability::Unknown);
    let closed = Availability::Closed { opens: None, away: None };
    let now = 1_000;
    let overdue = Some(CrisisReason::AnswerOverdue { since: 999 });
    for (availability, answer_by, is_asked_for, reason) in [
        (&open, None, false, None),
        (&open, Some(1_000), false, None),
        (&open, Some(1_001), false, None),
        (&open, Some(999), false, overdue),
        (&unknown, None, false, None),
        (&unknown, Some(999), false, overdue),
        (&closed, None, false, Some(CrisisReason::OutsideHours)),
        (&closed, Some(1_001), false, Some(CrisisReason::OutsideHours)),
        (&closed, Some(999), false, overdue),
        (&open, None, true, Some(CrisisReason::OnRequest)),
        (&closed, Some(999), true, Some(CrisisReason::OnRequest)),
    ] {
        let shown = crisis_reason(availability, answer_by, is_asked_for, now);
        assert_eq!(shown, reason, "{availability:?} {answer_by:?} {is_asked_for}");
    }
}

fn signed(card: CrisisCard) -> SignedCrisisCard {
    SignedCrisisCard { version: 2, signed_at: 1_780_000_000_000, card }
}

#[test]
fn a_card_is_read_as_it_was_written() {
    let card = signed(card(&["en", "de-CH"]));
    assert_eq!(SignedCrisisCard::decode(&card.encode()), Ok(card));
}

#[test]
fn cards_that_break_a_rule_are_refused_on_both_sides() {
    let with = |change: &dyn Fn(&mut CrisisText)| {
        let mut changed = text("en");
        change(&mut changed);
        CrisisCard { texts: vec![changed] }
    };
    let call = |who: &str, at: &str| CrisisCall { who: who.into(), at: at.into() };
    for (bad, why) in [
        (card(&[]), CardError::Empty),
        (card(&["en", "de", "EN"]), CardError::BadLocale),
        (card(&["e"]), CardError::BadLocale),
        (card(&["de_CH"]), CardError::BadLocale),
        (card(&["deutschland"]), CardError::BadLocale),
        (card(&["de--CH"]), CardError::BadLocale),
        (with(&|text| text.advice.clear()), CardError::Empty),
        (with(&|text| text.calls.push(call("", "1"))), CardError::Empty),
        (with(&|text| text.calls.push(call("x", ""))), CardError::Empty),
        (with(&|text| text.advice = "x".repeat(4_001)), CardError::TooLong),
        (with(&|text| text.calls = vec![call("x", "1"); 21]), CardError::TooLong),
        (with(&|text| text.calls = vec![call("x", &"1".repeat(201))]), CardError::TooLong),
        (CrisisCard { texts: (0..31).map(|n| text(&format!("en-x{n}"))).collect() }, CardError::TooLong),
    ] {
        assert_eq!(bad.check().unwrap_err().to_string(), why.to_string());
        assert_eq!(SignedCrisisCard::decode(&signed(bad).encode()), Err(BadContent), "{why}");
    }
}

#[test]
fn without_a_card_there_still_is_something_to_read() {
    let text = default_crisis_text();
    assert!(CrisisCard { texts: vec![text.clone()] }.check().is_ok());
    assert!(text.advice.contains("emergency number"));
}
