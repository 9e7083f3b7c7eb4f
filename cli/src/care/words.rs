//! When a practice reads and answers, in words for people.

use tacit_client_core::{
    AgreedWord, Availability, Away, CareState, Crisis, CrisisReason, Expectation, Offer, WordAnswer, days_waited,
};

use crate::clock::Clock;
use crate::escape;

/// Whether the practice can be expected to read now, in one line; empty if it did not say.
pub(crate) fn availability(availability: &Availability, clock: &Clock) -> String {
    match availability {
        Availability::Unknown => String::new(),
        Availability::Open { until: None } => "Open.".into(),
        Availability::Open { until: Some(until) } => format!("Open until {}.", clock.time(*until)),
        Availability::Closed { opens, away } => {
            let why = away.as_ref().map(why).unwrap_or_default();
            let opens = opens.map_or_else(String::new, |opens| format!(" until {}", clock.moment(opens)));
            format!("Closed{opens}{why}.")
        }
    }
}

/// Who covers while the practice is closed, in a sentence; empty where nobody does, or somebody else while it is away.
fn cover(expectation: &Expectation) -> String {
    match &expectation.availability {
        Availability::Closed { away, .. } if away.as_ref().is_none_or(|away| away.cover.is_empty()) => {
            match expectation.cover.as_str() {
                "" => String::new(),
                cover => format!("Covered by {}.", escape::line(cover)),
            }
        }
        _ => String::new(),
    }
}

fn why(away: &Away) -> String {
    let note = if away.note.is_empty() { String::new() } else { format!(": {}", escape::line(&away.note)) };
    let cover =
        if away.cover.is_empty() { String::new() } else { format!(". Covered by {}", escape::line(&away.cover)) };
    format!("{note}{cover}")
}

/// By when an answer can be expected; empty if the practice did not say.
pub(crate) fn answer_by(expectation: &Expectation, clock: &Clock) -> String {
    let by = |at| format!("An answer usually comes by {}.", clock.moment(at));
    expectation.answer_by.map(by).unwrap_or_default()
}

/// What became of the questions for the agreed word, the newest last.
pub(crate) fn word(word: &AgreedWord, clock: &Clock) -> Vec<String> {
    let asked = word.asked.map(|asked| {
        let what = match asked.answer {
            WordAnswer::None => "they have not answered",
            WordAnswer::Right => "they said the word",
            WordAnswer::Wrong => "they did NOT say the word. Reach them in another way before you write",
            WordAnswer::Declined => "they did not want to say the word",
        };
        (asked.at, format!("You asked on {}: {what}.", clock.moment(asked.at)))
    });
    let given = word.given.map(|given| {
        let at = clock.moment(given.at);
        let what = if given.declined {
            format!("They asked, and you declined on {at}.")
        } else {
            format!("They asked, and you answered on {at}. Only their device knows whether it was the word.")
        };
        (given.at, what)
    });
    let mut lines: Vec<(u64, String)> = asked.into_iter().chain(given).collect();
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// All of it in one line, and whose times these are.
pub(crate) fn expectation_here(expected: &Expectation, clock: &Clock) -> String {
    let text = expectation(expected, clock);
    if text.is_empty() { text } else { format!("{text} {}", clock.whose()) }
}

/// All of it, in one line.
pub(crate) fn expectation(expectation: &Expectation, clock: &Clock) -> String {
    let lines = [availability(&expectation.availability, clock), cover(expectation), answer_by(expectation, clock)];
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Who covers while the practice is closed, where that is not said already.
pub(crate) fn covered_when_closed(expectation: &Expectation) -> String {
    if expectation.cover.is_empty() || !cover(expectation).is_empty() {
        return String::new();
    }
    format!("While it is closed: covered by {}.", escape::line(&expectation.cover))
}

/// What an invite offers besides the terms; empty if there is no card.
pub(crate) fn offered(offer: &Offer, clock: &Clock) -> String {
    let Some(card) = &offer.practice_card else { return String::new() };
    let mut rows = vec![escape::line(&card.practice)];
    let now = tacit_client_core::expectation(card, crate::clock::now());
    rows.extend(Some(expectation_here(&now, clock)).filter(|line| !line.is_empty()));
    // Whoever joins while it is open wants to know it too.
    rows.extend(Some(covered_when_closed(&now)).filter(|line| !line.is_empty()));
    rows.extend(Some(escape::block(&card.policy)).filter(|policy| !policy.is_empty()));
    rows.join("\n")
}

/// Why the crisis card is shown; empty where it need not be, and where it was asked for.
pub(crate) fn crisis_reason(reason: Option<CrisisReason>) -> &'static str {
    match reason {
        Some(CrisisReason::OutsideHours) => "The practice is closed: nobody may be reading.",
        Some(CrisisReason::AnswerOverdue { .. }) => {
            "Your message has waited longer than the practice usually takes. Do not wait for it."
        }
        Some(CrisisReason::OnRequest) | None => "",
    }
}

/// A crisis card as lines of text.
pub(crate) fn crisis(crisis: &Crisis) -> String {
    let mut text = String::new();
    let reason = crisis_reason(crisis.reason);
    if !reason.is_empty() {
        text.push_str(reason);
        text.push_str("\n\n");
    }
    text.push_str(&escape::block(&crisis.text.advice));
    if !crisis.text.calls.is_empty() {
        text.push_str("\n\n");
        let calls = crisis.text.calls.iter();
        let rows: Vec<String> =
            calls.map(|call| format!("{}: {}", escape::line(&call.who), escape::line(&call.at))).collect();
        text.push_str(&rows.join("\n"));
    }
    if !crisis.is_from_practice {
        text.push_str("\n\n(The practice has no crisis card of its own. This is what Tacit says.)");
    }
    text
}

/// What a person should know of the rules of a conversation, most urgent first.
pub(crate) fn warnings(care: &CareState, can_write: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if !can_write {
        return warnings;
    }
    if care.word_asked {
        warnings.push("They ask for the word that you agreed on: is it you?".into());
    }
    match (care.paused_by_us, care.paused_by_them) {
        (Some(_), Some(_)) => warnings.push("Paused, by both of you.".into()),
        (Some(_), None) => warnings.push("Paused by you.".into()),
        (None, Some(_)) => warnings.push("Paused by them.".into()),
        (None, None) => {}
    }
    if care.terms_waiting {
        warnings.push(if care.is_practice {
            "The terms have changed: read them, and agree, before you write.".into()
        } else {
            "They have not agreed to your changed terms yet, and cannot write before they do.".into()
        });
    }
    warnings
}

/// `oldest unread: 2 days`; empty if it is not that old.
pub(crate) fn ageing(care: &CareState, now: u64) -> String {
    let days = care.oldest_unread.map_or(0, |since| days_waited(since, now));
    match days {
        0 => String::new(),
        1 => "oldest unread: 1 day".into(),
        days => format!("oldest unread: {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use tacit_client_core::{Asked, Given};

    use super::*;

    #[test]
    fn a_person_reads_when_a_practice_opens_and_answers() {
        let clock = Clock::utc();
        let at = 1_741_000_920_000;
        let away = |note: &str, cover: &str| {
            Some(Away { last: "2025-03-09".parse().unwrap(), note: note.into(), cover: cover.into() })
        };
        for (state, text) in [
            (Availability::Unknown, ""),
            (Availability::Open { until: None }, "Open."),
            (Availability::Open { until: Some(at) }, "Open until 11:22."),
            (Availability::Closed { opens: None, away: None }, "Closed."),
            (Availability::Closed { opens: Some(at), away: None }, "Closed until Monday, 3 March, 11:22."),
            (
                Availability::Closed { opens: Some(at), away: away("Leave", "Dr. Other") },
                "Closed until Monday, 3 March, 11:22: Leave. Covered by Dr. Other.",
            ),
            (Availability::Closed { opens: None, away: away("", "a\u{1b}b") }, "Closed. Covered by a␛b."),
        ] {
            assert_eq!(availability(&state, &clock), text);
        }
        let expected = |availability| Expectation {
            availability,
            answer_by: Some(at),
            policy: String::new(),
            cover: "Dr. Cover".into(),
        };
        assert_eq!(
            expectation_here(&expected(Availability::Unknown), &clock),
            "An answer usually comes by Monday, 3 March, 11:22. (Times in the time zone of this device, UTC.)"
        );
        assert_eq!(
            expectation(&expected(Availability::Closed { opens: None, away: None }), &clock),
            "Closed. Covered by Dr. Cover. An answer usually comes by Monday, 3 March, 11:22."
        );
        assert_eq!(
            expectation(&expected(Availability::Closed { opens: None, away: away("", "Dr. Other") }), &clock),
            "Closed. Covered by Dr. Other. An answer usually comes by Monday, 3 March, 11:22."
        );
    }

    #[test]
    fn what_happened_last_about_the_word_stands_last() {
        let (clock, at) = (Clock::utc(), 1_741_000_920_000);
        let asked = Some(Asked { at, answer: WordAnswer::Right });
        let given = |at, declined| Some(Given { at, declined });
        let state = |given| AgreedWord { is_set: true, is_asked_for: false, asked, given };
        let after = word(&state(given(at + 60_000, true)), &clock);
        assert_eq!(
            after,
            [
                "You asked on Monday, 3 March, 11:22: they said the word.",
                "They asked, and you declined on Monday, 3 March, 11:23."
            ]
        );
        let before = word(&state(given(at - 60_000, false)), &clock);
        assert!(before[0].contains("you answered on") && before[1].contains("they said the word"), "{before:?}");
    }

    #[test]
    fn ageing_is_told_in_whole_days() {
        let day = 24 * 3_600_000;
        let care = |since| CareState { oldest_unread: since, ..CareState::default() };
        for (since, text) in [(None, ""), (Some(9 * day + 1), ""), (Some(9 * day), "oldest unread: 1 day")] {
            assert_eq!(ageing(&care(since), 10 * day), text);
        }
        assert_eq!(ageing(&care(Some(0)), 2 * day), "oldest unread: 2 days");
    }
}
