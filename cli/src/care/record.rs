//! What scripts read of these commands. Fields are only ever added.

use serde::Serialize;
use tacit_client_core::{
    AgreedWord, Availability, CheckedConsent, Consent, Crisis, CrisisReason, Expectation, Notification, WordAnswer,
};

/// Whether a practice can be expected to read, and by when to answer: the answer of `hours`, and part of `send`'s.
#[derive(Serialize)]
pub(crate) struct Expected {
    availability: &'static str,
    /// Until when it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_until: Option<u64>,
    /// When it opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    opens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<AwayLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_by: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    policy: String,
    /// Who covers while it is closed.
    #[serde(skip_serializing_if = "String::is_empty")]
    cover: String,
}

#[derive(Serialize)]
struct AwayLine {
    until: String,
    note: String,
    cover: String,
}

impl From<Expectation> for Expected {
    fn from(expectation: Expectation) -> Self {
        let mut expected = Self {
            availability: "unknown",
            open_until: None,
            opens: None,
            away: None,
            answer_by: expectation.answer_by,
            policy: expectation.policy,
            cover: expectation.cover,
        };
        match expectation.availability {
            Availability::Unknown => {}
            Availability::Open { until } => {
                expected.availability = "open";
                expected.open_until = until;
            }
            Availability::Closed { opens, away } => {
                expected.availability = "closed";
                expected.opens = opens;
                expected.away =
                    away.map(|away| AwayLine { until: away.last.to_string(), note: away.note, cover: away.cover });
            }
        }
        expected
    }
}

/// Answer of `practice set`, `away`, `back`, `crisis FILE` and `terms FILE`.
#[derive(Serialize)]
pub(crate) struct Signed {
    pub(crate) signed: &'static str,
    pub(crate) version: u64,
    /// Whether the relay has it for every client already.
    pub(crate) told: bool,
}

/// Answer of `practice show`.
#[derive(Serialize)]
pub(crate) struct SignedCard<T> {
    pub(crate) version: u64,
    pub(crate) signed_at: u64,
    pub(crate) card: T,
}

/// Answer of `practice terms` and `terms`.
#[derive(Serialize)]
pub(crate) struct TermsLine {
    pub(crate) version: u64,
    pub(crate) signed_at: u64,
    pub(crate) terms: String,
    /// Only where they are between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<bool>,
}

/// Answer of `crisis`.
#[derive(Serialize)]
pub(crate) struct CrisisLine {
    reason: Option<&'static str>,
    locale: String,
    advice: String,
    calls: Vec<CallLine>,
    from_practice: bool,
}

#[derive(Serialize)]
struct CallLine {
    who: String,
    at: String,
}

impl From<Crisis> for CrisisLine {
    fn from(crisis: Crisis) -> Self {
        Self {
            reason: crisis.reason.map(|reason| match reason {
                CrisisReason::OnRequest => "on_request",
                CrisisReason::OutsideHours => "outside_hours",
                CrisisReason::AnswerOverdue { .. } => "answer_overdue",
            }),
            locale: crisis.text.locale,
            advice: crisis.text.advice,
            calls: crisis.text.calls.into_iter().map(|call| CallLine { who: call.who, at: call.at }).collect(),
            from_practice: crisis.is_from_practice,
        }
    }
}

/// A line of `consent`.
#[derive(Serialize)]
pub(crate) struct ConsentLine {
    terms_version: u64,
    from: String,
    agreed_at: u64,
    kept_at: u64,
    is_ours: bool,
    consent_key: String,
    practice_key: String,
}

impl From<Consent> for ConsentLine {
    fn from(consent: Consent) -> Self {
        Self {
            terms_version: consent.terms_version,
            from: consent.from,
            agreed_at: consent.agreed_at,
            kept_at: consent.kept_at,
            is_ours: consent.is_ours,
            consent_key: consent.consent_key,
            practice_key: consent.practice_key,
        }
    }
}

/// Answer of `check-consent`.
#[derive(Serialize)]
pub(crate) struct CheckedLine {
    holds: bool,
    from: String,
    terms_version: u64,
    terms: String,
    terms_signed_at: u64,
    agreed_at: u64,
    practice_key: String,
    consent_key: String,
}

impl From<CheckedConsent> for CheckedLine {
    fn from(checked: CheckedConsent) -> Self {
        Self {
            holds: true,
            from: checked.from,
            terms_version: checked.terms_version,
            terms: checked.terms,
            terms_signed_at: checked.terms_signed_at,
            agreed_at: checked.agreed_at,
            practice_key: checked.practice_key,
            consent_key: checked.consent_key,
        }
    }
}

/// Answer of `pause`, `resume` and `discharge`.
#[derive(Serialize)]
pub(crate) struct Told {
    pub(crate) contact: String,
    pub(crate) state: &'static str,
    /// Whether the relay has it already; if not, it is told at the next connection.
    pub(crate) told: bool,
}

/// Answer of `word`.
#[derive(Serialize)]
pub(crate) struct WordLine {
    contact: String,
    is_set: bool,
    is_asked_for: bool,
    asked_at: Option<u64>,
    answer: Option<&'static str>,
    /// When we answered their newest question, or declined to.
    given_at: Option<u64>,
    given: Option<&'static str>,
}

impl WordLine {
    pub(crate) fn new(contact: String, word: AgreedWord) -> Self {
        Self {
            contact,
            is_set: word.is_set,
            is_asked_for: word.is_asked_for,
            asked_at: word.asked.map(|asked| asked.at),
            answer: word.asked.and_then(|asked| match asked.answer {
                WordAnswer::None => None,
                WordAnswer::Right => Some("right"),
                WordAnswer::Wrong => Some("wrong"),
                WordAnswer::Declined => Some("declined"),
            }),
            given_at: word.given.map(|given| given.at),
            given: word.given.map(|given| if given.declined { "declined" } else { "answered" }),
        }
    }
}

/// A line of `notifications`.
#[derive(Serialize)]
pub(crate) struct NotificationLine {
    contact: String,
    words: String,
    messages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl From<&Notification> for NotificationLine {
    fn from(notification: &Notification) -> Self {
        Self {
            contact: notification.contact(),
            words: notification.words(),
            messages: notification.messages(),
            label: notification.label(),
            text: notification.text(),
        }
    }
}

/// The last line of `notifications`, where some are held.
#[derive(Serialize)]
pub(crate) struct Held {
    pub(crate) held: u64,
    pub(crate) again_at: Option<u64>,
}

/// Answer of `notifications settings`.
#[derive(Serialize)]
pub(crate) struct SettingsLine {
    pub(crate) words: String,
    pub(crate) show: &'static str,
    pub(crate) quiet: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hours: Vec<String>,
}

/// Answer of `notifications mark`.
#[derive(Serialize)]
pub(crate) struct Marked {
    pub(crate) contact: String,
    pub(crate) always_notify: bool,
}
