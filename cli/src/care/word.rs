//! `tacit word`: the agreed word. It is never part of the command line, which others on the machine can read.

use super::args::Word;
use super::exchange;
use super::record::WordLine;
use super::words;
use crate::failure::Failure;
use crate::output::Output;
use crate::passphrase;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &Word, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = session.pick(&args.contact)?.id;
    let what = args.what;
    let typed = || passphrase::word(args.word_file.as_deref());
    if what.set {
        client.set_agreed_word(contact.clone(), Some(typed()?))?;
    } else if what.forget {
        client.set_agreed_word(contact.clone(), None)?;
    } else if what.ask {
        client.ask_word(contact.clone())?;
    } else if what.answer {
        client.answer_word(contact.clone(), Some(typed()?))?;
    } else if what.decline {
        client.answer_word(contact.clone(), None)?;
    }
    if what.ask || what.answer || what.decline {
        exchange(session, args.patience)?;
    }
    let state = client.agreed_word(contact.clone())?;
    let record = WordLine::new(contact, state);
    output.answer(&record, || {
        let mut lines = vec![if state.is_set { "A word is set." } else { "No word is set." }.to_owned()];
        lines.extend(words::word(&state, &session.clock));
        if state.is_asked_for {
            lines.push("They ask for it: answer with --answer, or --decline.".into());
        }
        lines.join("\n")
    })
}
