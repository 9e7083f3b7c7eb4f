//! `tacit consent` and `tacit check-consent`

use serde_json::Value;
use tacit_client_core::check_consent;

use super::args::{CheckConsent, Consent};
use super::read;
use super::record::{CheckedLine, ConsentLine};
use crate::clock::Clock;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

const PROVES: &str = "\
The signatures hold. Whoever had the practice key signed this text as these terms; whoever had the consent key signed, at
that time by their own clock, that it was shown to them and that they agreed. It does not prove who these people are, that
the clock was right, or that the text was read: the devices of the two sides show their keys with `tacit consent`.";

pub(super) fn run(session: &Session, args: &Consent, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    if let Some(version) = args.export {
        let file = client.export_consent(contact.id, version)?;
        // The file itself is JSON: a script gets the same, in one line.
        let record: Value = serde_json::from_str(&file).unwrap_or_default();
        return output.answer(&record, || printed(&file));
    }
    for consent in client.consents(contact.id)? {
        let plain = format!(
            "{}  terms version {} of {}, agreed to by {}\n  consent key   {}\n  practice key  {}",
            session.clock.date_time(consent.agreed_at),
            consent.terms_version,
            escape::line(&consent.from),
            if consent.is_ours { "you" } else { "them" },
            consent.consent_key,
            consent.practice_key
        );
        output.answer(&ConsentLine::from(consent), || plain)?;
    }
    Ok(())
}

/// The file as it is printed: terms may hold what drives a terminal.
fn printed(file: &str) -> String {
    escape::json(file.trim_end())
}

/// Needs no home: anyone can check.
pub(crate) fn check(args: &CheckConsent, output: Output) -> Result<(), Failure> {
    let checked = check_consent(read(&args.file)?)?;
    let plain = format!(
        "{}  terms version {} of {}\n  consent key   {}\n  practice key  {}\n\n{}\n\n{PROVES}",
        Clock::local().date_time(checked.agreed_at),
        checked.terms_version,
        escape::line(&checked.from),
        checked.consent_key,
        checked.practice_key,
        escape::block(&checked.terms)
    );
    output.answer(&CheckedLine::from(checked), || plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_cannot_drive_the_terminal_and_means_the_same() {
        let terms = "Be kind.\u{9b}2J\u{7f}\u{202e}\u{2028}ü";
        let file = serde_json::to_string_pretty(&serde_json::json!({ "terms": terms })).unwrap() + "\n";
        let printed = printed(&file);
        assert!(printed.contains(r"\u009b2J\u007f\u202e\u2028ü") && printed.lines().count() == 3, "{printed}");
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["terms"], terms);
    }
}
