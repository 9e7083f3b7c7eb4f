//! Texts that came from elsewhere, made safe to print: a message must not be able to drive the terminal, hide what it
//! says, or look like two lines of output.

/// What a character becomes on a screen.
enum Shown {
    AsIs,
    Nothing,
    Break,
    Spaces,
    Instead(char),
}

fn shown(c: char) -> Shown {
    match c {
        '\n' | '\u{2028}' | '\u{2029}' => Shown::Break,
        '\t' => Shown::Spaces,
        // Control pictures: visible, and without effect.
        '\u{00}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).map_or(Shown::Nothing, Shown::Instead),
        '\u{7f}' => Shown::Instead('\u{2421}'),
        '\u{80}'..='\u{9f}' => Shown::Instead('\u{fffd}'),
        // Marks that turn the direction of what follows, beyond the text itself too.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Shown::Nothing,
        _ => Shown::AsIs,
    }
}

fn escape(text: &str, line_break: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match shown(c) {
            Shown::AsIs => safe.push(c),
            Shown::Nothing => {}
            Shown::Break => safe.push_str(line_break),
            Shown::Spaces => safe.push_str("    "),
            Shown::Instead(other) => safe.push(other),
        }
    }
    safe
}

/// A text that may have several lines.
pub(crate) fn block(text: &str) -> String {
    escape(text, "\n")
}

/// A text on one line.
pub(crate) fn line(text: &str) -> String {
    escape(text, " ")
}

/// A text whose further lines are indented, so that they cannot be taken for something of their own.
pub(crate) fn indented(text: &str, indent: usize) -> String {
    escape(text, &format!("\n{:indent$}", ""))
}

/// Text to be typed into a field: line breaks as `\n`, and nothing that cannot be seen.
pub(crate) fn typed(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace('\r', "\n")
        .chars()
        .filter_map(|c| match shown(c) {
            Shown::AsIs => Some(c.to_string()),
            Shown::Break => Some("\n".into()),
            Shown::Spaces => Some("    ".into()),
            Shown::Nothing | Shown::Instead(_) => None,
        })
        .collect()
}

/// A label as an argument of a command that a person may copy into a shell (POSIX).
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", line(text).replace('\'', "'\\''"))
}

/// JSON that is one line for every reader, and harmless on a terminal. Outside of strings JSON is ASCII, so whatever is
/// replaced here stands in a string, where `\u` means the same.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && c != '\u{7f}' || matches!(shown(c), Shown::AsIs) {
            safe.push(c);
        } else {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_drive_the_terminal() {
        let evil = "a\u{1b}[2Jb\u{7}c\u{9b}31md\r\ne\rf\u{7f}";
        assert_eq!(block(evil), "a␛[2Jb␇c\u{fffd}31md\ne␍f␡");
        assert!(!line(evil).chars().any(char::is_control));
    }

    #[test]
    fn a_message_cannot_look_like_another_line_of_output() {
        assert_eq!(indented("one\ntwo\u{2028}three", 3), "one\n   two\n   three");
        assert_eq!(line("one\ntwo"), "one two");
    }

    #[test]
    fn a_message_cannot_turn_the_direction_of_what_follows() {
        assert_eq!(line("a\u{202e}b\u{2066}c"), "abc");
    }

    #[test]
    fn a_label_is_one_argument_of_a_suggested_command_whatever_it_says() {
        for label in ["Anna", "x'; touch owned; '", "$(touch owned) `touch owned` \\", "'''", ""] {
            let command = format!("printf %s {}", quoted(label));
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), label);
        }
        assert_eq!(quoted("a\n\u{1b}b"), "'a ␛b'");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        let text = "Grüße, 你好, שלום, 👩‍👩‍👧 ok";
        assert_eq!(block(text), text);
        assert_eq!(typed(text), text);
    }

    #[test]
    fn json_stays_one_harmless_line_and_means_the_same() {
        let text = "a\u{85}b\u{2028}c\u{9b}d\u{7f}e\u{202e}f\n\u{1b}g 你";
        let encoded = json(&serde_json::to_string(text).unwrap());
        assert_eq!(encoded, r#""a\u0085b\u2028c\u009bd\u007fe\u202ef\n\u001bg 你""#);
        assert_eq!(serde_json::from_str::<String>(&encoded).unwrap(), text);
    }

    #[test]
    fn pasted_text_keeps_its_lines_and_nothing_that_cannot_be_seen() {
        assert_eq!(typed("a\r\nb\rc\td\u{1b}[e"), "a\nb\nc    d[e");
    }
}
