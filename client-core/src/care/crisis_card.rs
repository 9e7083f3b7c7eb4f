//! The crisis card: what to do now, and whom to call, in the reader's language, and when it must be shown.
//!
//! Whether it is shown hangs on the hours, on a request, and on how long a message has waited: never on what anyone
//! wrote.

use prost::Message as _;

use super::practice_card::Availability;
use super::statement::Body;
use crate::content::{BadContent, MAX_NUMBER, pb};
use crate::crypto::signing::StatementKind;
use crate::error::CardError;
use crate::types::Timestamp;

/// Longest card, as it is signed.
pub(crate) const MAX_CRISIS_CARD: usize = 40_000;

const MAX_TEXTS: usize = 30;
const MAX_CALLS: usize = 20;
const MAX_LOCALE: usize = 35;
const MAX_ADVICE: usize = 4_000;
const MAX_LINE: usize = 200;

/// What is shown while the practice has no card of its own. It names no number that might be wrong where it is read.
const DEFAULT_ADVICE: &str = include_str!("crisis.txt");

/// What a practice says for a crisis, in one or more languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrisisCard {
    /// One text for each locale, 1 to 30. The first is for whoever reads none of the others.
    pub texts: Vec<CrisisText>,
}

/// A crisis card in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrisisText {
    /// The language tag (BCP 47): `en`, `de-CH`.
    pub locale: String,
    /// What to do now, 1 to 4,000 bytes.
    pub advice: String,
    /// Whom to call, in order; at most 20.
    pub calls: Vec<CrisisCall>,
}

/// Somebody to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrisisCall {
    /// Who, 1 to 200 bytes.
    pub who: String,
    /// Their number, or whatever else reaches them, 1 to 200 bytes.
    pub at: String,
}

/// A crisis card as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCrisisCard {
    /// Grows with every change.
    pub version: u64,
    /// When it was signed, by the clock of the practice's device.
    pub signed_at: Timestamp,
    /// What it says.
    pub card: CrisisCard,
}

/// Why a crisis card must be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrisisReason {
    /// The person asked for it.
    OnRequest,
    /// The practice is closed: nobody may be reading.
    OutsideHours,
    /// A message has waited longer than the practice usually takes.
    AnswerOverdue {
        /// Since when an answer could have been expected.
        since: Timestamp,
    },
}

/// Why the crisis card must be shown now, if it must: because it was asked for, because an answer is overdue, or because
/// the practice is closed. `answer_by` is by when an answer to the oldest unanswered message could be expected.
#[must_use]
pub fn crisis_reason(
    availability: &Availability,
    answer_by: Option<Timestamp>,
    is_asked_for: bool,
    now: Timestamp,
) -> Option<CrisisReason> {
    match (is_asked_for, answer_by, availability) {
        (true, ..) => Some(CrisisReason::OnRequest),
        (_, Some(since), _) if since < now => Some(CrisisReason::AnswerOverdue { since }),
        (_, _, Availability::Closed { .. }) => Some(CrisisReason::OutsideHours),
        _ => None,
    }
}

/// The card's text for a locale: that very locale, else one that it is a part of (`de` for `de-CH`), else another of the
/// same language, else the first.
#[must_use]
pub fn crisis_text<'a>(card: &'a CrisisCard, locale: &str) -> Option<&'a CrisisText> {
    let wanted = subtags(locale);
    let language = wanted.first();
    let shared = |text: &CrisisText| {
        let offered = subtags(&text.locale);
        if wanted.starts_with(&offered) {
            // The longest wins: the wanted locale itself, if it is there.
            1 + offered.len()
        } else {
            usize::from(offered.first() == language)
        }
    };
    // Of equals, the first in the list.
    card.texts.iter().rev().max_by_key(|text| shared(text))
}

/// `de_CH.UTF-8` is how a system writes `de-CH`.
fn subtags(locale: &str) -> Vec<String> {
    let tag = locale.split(['.', '@']).next().unwrap_or_default();
    tag.split(['-', '_']).map(str::to_ascii_lowercase).collect()
}

/// What is shown while a practice has no card of its own.
#[must_use]
pub fn default_crisis_text() -> CrisisText {
    CrisisText { locale: "en".to_owned(), advice: DEFAULT_ADVICE.trim().to_owned(), calls: Vec::new() }
}

impl CrisisCard {
    pub(crate) fn check(&self) -> Result<(), CardError> {
        if self.texts.is_empty() {
            return Err(CardError::Empty);
        }
        for (at, text) in self.texts.iter().enumerate() {
            let tag = subtags(&text.locale);
            let is_tag = (2..=MAX_LOCALE).contains(&text.locale.len())
                && text.locale.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && tag.iter().all(|subtag| (1..=8).contains(&subtag.len()));
            let is_new = self.texts.iter().take(at).all(|earlier| subtags(&earlier.locale) != tag);
            if !is_tag || !is_new {
                return Err(CardError::BadLocale);
            }
            let lines = || text.calls.iter().flat_map(|call| [&call.who, &call.at]);
            if text.advice.is_empty() || lines().any(String::is_empty) {
                return Err(CardError::Empty);
            }
            let is_long = |line: &String| line.len() > MAX_LINE;
            if text.advice.len() > MAX_ADVICE || text.calls.len() > MAX_CALLS || lines().any(is_long) {
                return Err(CardError::TooLong);
            }
        }
        if self.texts.len() > MAX_TEXTS { Err(CardError::TooLong) } else { Ok(()) }
    }
}

impl Body for SignedCrisisCard {
    const KIND: StatementKind = StatementKind::CrisisCard;

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Vec<u8> {
        let texts = self.card.texts.iter().map(|text| pb::CrisisText {
            locale: text.locale.clone(),
            advice: text.advice.clone(),
            calls: text
                .calls
                .iter()
                .map(|call| pb::CrisisCall { who: call.who.clone(), r#where: call.at.clone() })
                .collect(),
        });
        pb::CrisisCard { version: self.version, signed_at: self.signed_at, texts: texts.collect() }.encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, BadContent> {
        if body.len() > MAX_CRISIS_CARD {
            return Err(BadContent);
        }
        let read = pb::CrisisCard::decode(body).map_err(|_| BadContent)?;
        if !(1..=MAX_NUMBER).contains(&read.version) {
            return Err(BadContent);
        }
        let texts = read.texts.into_iter().map(|text| CrisisText {
            locale: text.locale,
            advice: text.advice,
            calls: text.calls.into_iter().map(|call| CrisisCall { who: call.who, at: call.r#where }).collect(),
        });
        let card = CrisisCard { texts: texts.collect() };
        card.check().map_err(|_| BadContent)?;
        Ok(Self { version: read.version, signed_at: read.signed_at.min(MAX_NUMBER), card })
    }
}

#[cfg(test)]
mod tests;
