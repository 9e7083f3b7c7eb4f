//! `tacit words`

use tacit_client_core::ContactError;

use crate::args;
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::Words;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &args::Words, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    let words = match client.safety_words(contact.id.clone()) {
        Err(ContactError::WrongState) if contact.session.resetting => return Err(Failure::NoWordsYet),
        words => words?,
    };
    if args.verified {
        client.verify(contact.id.clone(), words.clone())?;
    } else if args.not_verified {
        client.unverify(contact.id.clone())?;
    }
    let contact = client.contact(contact.id)?;
    let record = Words { contact: contact.id, words, verified: contact.verified };
    output.answer(&record, || record.words.join(" "))?;
    if output.is_read_by_a_person() {
        let label = escape::line(&contact.label);
        output.note(&if record.verified {
            "Verified: you compared them.".into()
        } else {
            format!(
                "Unverified. Read them to each other, in person or by phone. If all twelve are the same: tacit words \
                 '{label}' --verified\nIf they differ, somebody may be in between: write nothing, and pair again in \
                 person."
            )
        });
    }
    Ok(())
}
