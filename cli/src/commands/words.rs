//! `tacit words`

use tacit_client_core::ContactError;

use crate::args;
use crate::ask;
use crate::escape;
use crate::failure::Failure;
use crate::given;
use crate::output::Output;
use crate::record::Words;
use crate::session::Session;

const WHICH: &str = "the words that were compared are needed: `--verified \"WORD WORD …\"`, all twelve, or `--verified -` \
                     for stdin";

pub(super) fn run(session: &Session, args: &args::Words, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?;
    let present = || match client.safety_words(contact.id.clone()) {
        Err(ContactError::WrongState) if contact.session.resetting => Err(Failure::NoWordsYet),
        words => Ok(words?),
    };
    let words = match &args.verified {
        Some(given) => {
            // The present words may be newer than those that were compared.
            let compared = compared(given.as_deref(), present()?, |shown| is_there_a_yes(shown, output))?;
            client.verify(contact.id.clone(), compared.clone())?;
            compared
        }
        None => present()?,
    };
    if args.not_verified {
        client.unverify(contact.id.clone())?;
    }
    let contact = client.contact(contact.id)?;
    let record = Words { contact: contact.id, words, verified: contact.verified };
    output.answer(&record, || record.words.join(" "))?;
    if output.is_read_by_a_person() {
        let label = escape::quoted(&contact.label);
        output.note(&if record.verified {
            "Verified: you compared them.".into()
        } else {
            format!(
                "Unverified. Read them to each other, in person or by phone. If all twelve are the same: tacit words \
                 {label} --verified\nIf they differ, somebody may be in between: write nothing, and pair again in \
                 person."
            )
        });
    }
    Ok(())
}

/// The words that a person compared: as given, or the present ones if they say so with these before their eyes.
fn compared(
    given: Option<&str>,
    present: Vec<String>,
    is_there_a_yes: impl FnOnce(&[String]) -> Result<bool, Failure>,
) -> Result<Vec<String>, Failure> {
    match given {
        Some(given) => Ok(given::text(given)?.split_whitespace().map(str::to_lowercase).collect()),
        None if is_there_a_yes(&present)? => Ok(present),
        None => Err(Failure::NotConfirmed),
    }
}

fn is_there_a_yes(shown: &[String], output: Output) -> Result<bool, Failure> {
    if output.is_json() || !ask::is_anyone_there() {
        return Err(Failure::Usage(WHICH));
    }
    output.note(&shown.join(" "));
    ask::yes("Did you compare exactly these words, and are all twelve the same on both sides?")
        .map_err(Failure::Terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &str) -> Vec<String> {
        all.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_words_that_were_compared_are_verified_and_not_those_that_are_there_by_now() {
        let nobody_is_asked = |_: &[String]| -> Result<bool, Failure> { panic!("they were given") };
        let given = compared(Some(" Tenant  awful\npledge "), words("a thief is"), nobody_is_asked).unwrap();
        assert_eq!(given, words("tenant awful pledge"));
        let asked = compared(None, words("tenant awful pledge"), |shown| {
            assert_eq!(shown, words("tenant awful pledge"));
            Ok(true)
        });
        assert_eq!(asked.unwrap(), words("tenant awful pledge"));
        assert!(matches!(compared(None, words("a"), |_| Ok(false)), Err(Failure::NotConfirmed)));
    }

    #[test]
    fn a_script_must_say_which_words_were_compared() {
        let asked = compared(None, words("a"), |shown| is_there_a_yes(shown, Output::new(true)));
        assert_eq!(asked.unwrap_err().exit_code(), 2);
    }
}
