//! `tacit search`

use std::io::{self, IsTerminal};

use tacit_client_core::{Direction, Found};

use crate::args;
use crate::clock::{Clock, shown_time};
use crate::escape;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::FoundLine;
use crate::session::Session;

pub(super) fn run(session: &Session, args: &args::Search, output: Output) -> Result<(), Failure> {
    let client = session.client();
    let contact = args.contact.as_deref().map(|name| session.pick(name)).transpose()?;
    let found = client.search(args.text.clone(), contact.map(|contact| contact.id), None, args.limit)?;
    let contacts = client.contacts()?;
    let is_terminal = io::stdout().is_terminal();
    for found in found {
        let label = contacts.iter().find(|contact| contact.id == found.message.contact);
        let label = label.map(|contact| contact.label.as_str()).unwrap_or_default();
        let plain = plain(&found, label, &session.clock, is_terminal);
        output.answer(&FoundLine::from(found), || plain)?;
    }
    Ok(())
}

/// What was found as one line; what matched is bold where a person reads.
fn plain(found: &Found, label: &str, clock: &Clock, bold: bool) -> String {
    let label = escape::line(label);
    let who = match found.message.direction {
        Direction::In => label.to_string(),
        Direction::Out => format!("me to {label}"),
    };
    let excerpt: String = found
        .excerpt
        .iter()
        .map(|piece| {
            let text = escape::line(&piece.text);
            if piece.matched && bold { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_string() }
        })
        .collect();
    format!("{}  {who}: {excerpt}", clock.date_time(shown_time(&found.message)))
}

#[cfg(test)]
mod tests {
    use tacit_client_core::{Content, Message, Outcome, Piece};

    use super::*;

    #[test]
    fn what_was_found_is_one_line_whatever_it_says() {
        let piece = |text: &str, matched| Piece { text: text.into(), matched };
        let found = Found {
            message: Message {
                id: "0a".into(),
                contact: "0b".into(),
                direction: Direction::Out,
                content: Content::Text("a\nfound b".into()),
                outcome: Outcome::Delivered,
                sent_at: 1_741_000_920_000,
                stored_at: 1_741_000_920_000,
                gap_before: false,
                reply_to: None,
                edited: false,
                withdrawn: false,
            },
            excerpt: vec![piece("a\n", false), piece("found", true), piece(" \u{1b}b", false)],
        };
        let shown = plain(&found, "Anna", &Clock::utc(), true);
        assert_eq!(shown.lines().count(), 1);
        assert!(shown.starts_with("2025-03-03 11:22  me to Anna: ") && shown.contains("\u{1b}[1mfound\u{1b}[0m"));
        assert_eq!(shown.matches('\u{1b}').count(), 2);
        assert!(!plain(&found, "Anna", &Clock::utc(), false).contains('\u{1b}'));
    }
}
