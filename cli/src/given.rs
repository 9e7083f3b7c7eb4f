//! What is given with a command. Others on the machine can read its command line: `-` stands for stdin.

use std::io::{self, Read};

use crate::failure::Failure;

/// What is given, or what stdin says where that is `-`.
pub(crate) fn text(given: &str) -> Result<String, Failure> {
    read(given, io::stdin().lock())
}

/// A text that is sent: without the line break that ends every output.
pub(crate) fn message(given: &str) -> Result<String, Failure> {
    let text = text(given)?;
    Ok(without_last_break(&text).to_owned())
}

/// A link, which may be broken over lines.
pub(crate) fn link(given: &str) -> Result<String, Failure> {
    Ok(text(given)?.split_whitespace().collect())
}

fn read(given: &str, mut stdin: impl Read) -> Result<String, Failure> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).map(|_| text).map_err(Failure::Stdin)
}

fn without_last_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyphen_alone_stands_for_stdin() {
        assert_eq!(read("-", &b"from stdin\n"[..]).unwrap(), "from stdin\n");
        for given in ["a text", "- one thing", ""] {
            assert_eq!(read(given, &b"from stdin\n"[..]).unwrap(), given);
        }
        assert!(matches!(read("-", &[0xff][..]), Err(Failure::Stdin(_))));
    }

    #[test]
    fn only_the_line_break_that_ends_it_is_no_part_of_a_text() {
        assert_eq!(without_last_break("one\n\ntwo\n\n"), "one\n\ntwo\n");
        assert_eq!(without_last_break("one\r\n"), "one");
        assert_eq!(without_last_break("one"), "one");
    }
}
