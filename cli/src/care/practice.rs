//! `tacit practice`: the card, the crisis card and the terms of this device's practice.

use tacit_client_core::{HoursException, PracticeCard, default_crisis_text};

use super::args::{Away, Practice, PracticeWhat};
use super::practice_file::{self, PracticeFile};
use super::record::{Signed, SignedCard, TermsLine};
use super::{crisis_file, exchange, read};
use crate::args::Patience;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Practice, output: Output) -> Result<(), Failure> {
    let client = session.client();
    match &args.what {
        PracticeWhat::Show => {
            let signed = client.practice_card()?.ok_or(Failure::NoPracticeCard)?;
            let card = PracticeFile::from(&signed.card);
            let record = SignedCard { version: signed.version, signed_at: signed.signed_at, card };
            output.answer(&record, || pretty(&record.card))
        }
        PracticeWhat::Set(set) => {
            let card = practice_file::parse(&read(&set.file)?)?;
            let version = client.set_practice_card(card)?;
            signed(session, "practice_card", version, set.patience, output)
        }
        PracticeWhat::Away(away) => {
            let card = client.practice_card()?.ok_or(Failure::NoPracticeCard)?.card;
            let version = client.set_practice_card(with_away(card, away, session)?)?;
            signed(session, "practice_card", version, away.patience, output)
        }
        PracticeWhat::Back(back) => {
            let mut card = client.practice_card()?.ok_or(Failure::NoPracticeCard)?.card;
            let today = session.clock.today();
            // What begins later, a holiday for instance, stays.
            let is_over =
                |exception: &HoursException| exception.first.to_string() <= today && exception.hours.is_empty();
            card.exceptions.retain(|exception| !is_over(exception));
            let version = client.set_practice_card(card)?;
            signed(session, "practice_card", version, back.patience, output)
        }
        PracticeWhat::Crisis(crisis) => match &crisis.file {
            Some(file) => {
                let version = client.set_crisis_card(crisis_file::parse(&read(file)?)?)?;
                signed(session, "crisis_card", version, crisis.patience, output)
            }
            None => match client.crisis_card()? {
                Some(signed) => {
                    let card = crisis_file::file(&signed.card);
                    let record = SignedCard { version: signed.version, signed_at: signed.signed_at, card };
                    output.answer(&record, || pretty(&record.card))
                }
                None => {
                    output.note("There is no crisis card of this practice. Clients are shown this instead:\n");
                    output.note(&default_crisis_text().advice);
                    Err(Failure::NoCrisisCard)
                }
            },
        },
        PracticeWhat::Terms(terms) => match &terms.file {
            Some(file) => {
                let version = client.set_terms(read(file)?)?;
                signed(session, "terms", version, terms.patience, output)
            }
            None => {
                let terms = client.terms()?;
                let record =
                    TermsLine { version: terms.version, signed_at: terms.signed_at, terms: terms.text, waiting: None };
                output.answer(&record, || escape::block(&record.terms))
            }
        },
    }
}

/// As a file that can be edited, and read again.
fn pretty(file: &impl serde::Serialize) -> String {
    escape::block(&serde_json::to_string_pretty(file).unwrap_or_default())
}

fn with_away(mut card: PracticeCard, away: &Away, session: &Session) -> Result<PracticeCard, Failure> {
    let day =
        |text: &str| text.parse().map_err(|error: tacit_client_core::NotADay| Failure::BadFile(error.to_string()));
    let first = day(away.from.as_deref().unwrap_or(&session.clock.today()))?;
    let exception = HoursException {
        first,
        last: day(&away.until)?,
        hours: Vec::new(),
        note: away.note.clone(),
        cover: away.cover.clone(),
    };
    // The first in the list holds, so the newest word comes first.
    card.exceptions.insert(0, exception);
    Ok(card)
}

fn signed(
    session: &Session,
    what: &'static str,
    version: u64,
    patience: Patience,
    output: Output,
) -> Result<(), Failure> {
    let told = exchange(session, patience)?;
    output.answer(&Signed { signed: what, version, told }, || {
        let whom = if told {
            "Your clients' devices get it from the relay."
        } else {
            "Clients are told at the next connection."
        };
        format!("Signed, version {version}. {whom}")
    })
}
