//! What a command says: the answer on stdout, all else on stderr. With `--json`, one object per line on either.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde::Serialize;

use crate::escape;
use crate::failure::{Failure, usage_json};

/// Where a command's words go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
}

impl Output {
    pub(crate) const fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.is_json
    }

    /// Whether a person reads stdout, and not a program.
    pub(crate) fn is_read_by_a_person(self) -> bool {
        !self.is_json && io::stdout().is_terminal()
    }

    /// The answer, or one line of it. `plain` is asked for only when it is wanted.
    pub(crate) fn answer(self, record: &impl Serialize, plain: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = if self.is_json { json_line(record)? } else { plain() };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(Failure::Output)
    }

    /// Something to know beside the answer. Scripts find it in the records.
    pub(crate) fn note(self, text: &str) {
        if !self.is_json {
            self.say(text);
        }
    }

    /// Why there is no answer.
    pub(crate) fn failure(self, failure: &Failure) {
        match failure {
            // Whoever read stdout has enough, `head` for instance.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            _ if self.is_json => self.say(&escape::json(&failure.to_json())),
            _ => self.say(&format!("tacit: {failure}")),
        }
    }

    fn say(self, text: &str) {
        // With stderr gone there is nobody left to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn json_line(record: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(record).map_err(|error| Failure::Output(error.into()))?;
    Ok(escape::json(&json))
}

/// Tells that the command line is not one. The arguments are not parsed, so `--json` is looked for by hand.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    if is_json && error.use_stderr() {
        Output::new(true).say(&usage_json(usage_message(error)));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What is wrong, without the words of the command line where they may be a message.
fn usage_message(error: &clap::Error) -> String {
    let what = error.kind().as_str().unwrap_or("a command is missing");
    let names = match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => None,
        _ => error.get(ContextKind::InvalidArg).and_then(|value| match value {
            ContextValue::String(name) => Some(name.clone()),
            ContextValue::Strings(names) => Some(names.join(", ")),
            _ => None,
        }),
    };
    match names {
        Some(names) => format!("{what}: {names}; see `tacit help`"),
        None => format!("{what}; see `tacit help`"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn message(line: &[&str]) -> String {
        usage_message(&Args::try_parse_from(line).unwrap_err())
    }

    #[test]
    fn a_usage_error_names_the_argument_and_never_repeats_a_message() {
        assert!(message(&["tacit", "send", "Anna"]).contains("<TEXT>"));
        assert!(message(&["tacit", "sync", "--for", "soon"]).contains("--for"));
        let split = message(&["tacit", "send", "Anna", "my", "secret"]);
        assert!(!split.contains("secret"), "{split}");
    }

    #[test]
    fn a_record_is_one_line() {
        let line = json_line(&serde_json::json!({"text": "a\nb\u{2028}c\u{1b}"})).unwrap();
        assert_eq!(line, r#"{"text":"a\nb\u2028c\u001b"}"#);
    }
}
