//! `tacit terms`

use super::args::Terms;
use super::exchange;
use super::record::TermsLine;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Terms, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    if let Some(version) = args.agree {
        client.agree(contact.id.clone(), version)?;
        exchange(session, args.patience)?;
    }
    let terms = client.contact_terms(contact.id.clone())?;
    let waiting = client.contact(contact.id)?.care.terms_waiting;
    let record =
        TermsLine { version: terms.version, signed_at: terms.signed_at, terms: terms.text, waiting: Some(waiting) };
    output.answer(&record, || escape::block(&record.terms))?;
    let label = escape::quoted(&contact.label);
    output.note(&match (waiting, args.agree) {
        (true, _) => format!(
            "\nThis is version {version}, and not agreed to yet. To agree: tacit terms {label} --agree {version}",
            version = record.version
        ),
        (false, Some(_)) => "\nAgreed. Both sides keep that: tacit consent".into(),
        (false, None) => format!("\nThis is version {}, and agreed to.", record.version),
    });
    Ok(())
}
