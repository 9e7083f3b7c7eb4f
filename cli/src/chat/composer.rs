//! The field in which a person writes: text and a cursor in it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::wrap::{width, wrap};
use crate::escape;

const ALT_GR: KeyModifiers = KeyModifiers::CONTROL.union(KeyModifiers::ALT);

/// A text being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Composer {
    text: String,
    /// A byte index into the text, always between two characters.
    cursor: usize,
}

/// The text as it lies on the screen.
pub(super) struct Laid {
    pub(super) lines: Vec<String>,
    /// Row and column of the cursor.
    pub(super) cursor: (usize, usize),
}

impl Composer {
    /// A composer with a text in it, the cursor behind it.
    pub(super) fn with(text: String) -> Self {
        Self { cursor: text.len(), text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the text out.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts in what was typed or pasted; of control characters only line breaks stay.
    pub(super) fn insert(&mut self, text: &str) {
        let text = escape::typed(text);
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
    }

    /// Edits by a key. Returns whether the key means something here.
    pub(super) fn edit(&mut self, key: KeyEvent, columns: usize) -> bool {
        let is_word = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        match key.code {
            // AltGr arrives as Ctrl+Alt on some systems, with the character that it makes.
            KeyCode::Char(c) if key.modifiers.contains(ALT_GR) && !c.is_ascii_alphanumeric() => {
                self.insert(c.encode_utf8(&mut [0; 4]));
            }
            KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::ALT) => return false,
            KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => return self.edit_by_control(c),
            KeyCode::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if is_word => self.delete_to(self.word_before()),
            KeyCode::Backspace => self.delete_to(self.before()),
            KeyCode::Delete => self.delete_to(self.after()),
            KeyCode::Left => self.cursor = if is_word { self.word_before() } else { self.before() },
            KeyCode::Right => self.cursor = if is_word { self.word_after() } else { self.after() },
            KeyCode::Home => self.cursor = self.line_start(),
            KeyCode::End => self.cursor = self.line_end(),
            KeyCode::Up => self.move_rows(columns, false),
            KeyCode::Down => self.move_rows(columns, true),
            _ => return false,
        }
        true
    }

    fn edit_by_control(&mut self, c: char) -> bool {
        match c {
            'j' => self.insert("\n"),
            'a' => self.cursor = self.line_start(),
            'e' => self.cursor = self.line_end(),
            'w' => self.delete_to(self.word_before()),
            'u' => self.delete_to(self.line_start()),
            'k' => self.delete_to(self.line_end()),
            // What backspace is on some terminals.
            'h' => self.delete_to(self.before()),
            _ => return false,
        }
        true
    }

    /// The text in lines so many columns wide. The cursor behind a full line stands at the start of the next one.
    pub(super) fn lay(&self, columns: usize) -> Laid {
        let ranges = wrap(&self.text, columns);
        let row = ranges.iter().rposition(|range| range.start <= self.cursor).unwrap_or(0);
        let start = ranges.get(row).map_or(0, |range| range.start);
        let column = width(self.text.get(start..self.cursor).unwrap_or_default());
        let mut lines: Vec<String> =
            ranges.iter().map(|range| self.text.get(range.clone()).unwrap_or_default().to_owned()).collect();
        if column >= columns.max(1) && self.cursor == self.text.len() {
            lines.push(String::new());
            return Laid { cursor: (lines.len() - 1, 0), lines };
        }
        Laid { lines, cursor: (row, column.min(columns)) }
    }

    fn move_rows(&mut self, columns: usize, is_down: bool) {
        let ranges = wrap(&self.text, columns);
        let row = ranges.iter().rposition(|range| range.start <= self.cursor).unwrap_or(0);
        let column =
            ranges.get(row).map_or(0, |range| width(self.text.get(range.start..self.cursor).unwrap_or_default()));
        let target = if is_down { row.checked_add(1) } else { row.checked_sub(1) };
        let Some(range) = target.and_then(|row| ranges.get(row)) else {
            self.cursor = if is_down { self.text.len() } else { 0 };
            return;
        };
        let line = self.text.get(range.clone()).unwrap_or_default();
        let mut at = range.start;
        let mut used = 0;
        for grapheme in line.graphemes(true) {
            used += width(grapheme);
            if used > column {
                break;
            }
            at += grapheme.len();
        }
        self.cursor = at;
    }

    fn delete_to(&mut self, to: usize) {
        let (from, to) = (self.cursor.min(to), self.cursor.max(to));
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn before(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn after(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    fn word_before(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        before.unicode_word_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn word_after(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        let next = after.unicode_word_indices().next();
        next.map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
    }

    fn line_start(&self) -> usize {
        self.text.get(..self.cursor).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        after.find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(composer: &mut Composer, code: KeyCode) {
        composer.edit(KeyEvent::new(code, KeyModifiers::NONE), 10);
    }

    fn control(composer: &mut Composer, code: KeyCode) {
        composer.edit(KeyEvent::new(code, KeyModifiers::CONTROL), 10);
    }

    #[test]
    fn typing_goes_where_the_cursor_is() {
        let mut composer = Composer::default();
        "helo".chars().for_each(|c| press(&mut composer, KeyCode::Char(c)));
        press(&mut composer, KeyCode::Left);
        press(&mut composer, KeyCode::Char('l'));
        assert_eq!(composer.text(), "hello");
        press(&mut composer, KeyCode::Home);
        press(&mut composer, KeyCode::Delete);
        assert_eq!(composer.take(), "ello");
        assert!(composer.is_empty());
    }

    #[test]
    fn what_alt_gr_makes_is_typed_and_other_keys_with_ctrl_and_alt_are_not() {
        let mut composer = Composer::default();
        for c in "@€{ab7".chars() {
            composer.edit(KeyEvent::new(KeyCode::Char(c), ALT_GR), 10);
        }
        assert_eq!(composer.text(), "@€{");
    }

    #[test]
    fn a_character_of_several_code_points_is_deleted_as_one() {
        let mut composer = Composer::with("a👩‍👩‍👧e\u{301}".into());
        press(&mut composer, KeyCode::Backspace);
        assert_eq!(composer.text(), "a👩‍👩‍👧");
        press(&mut composer, KeyCode::Left);
        press(&mut composer, KeyCode::Delete);
        assert_eq!(composer.text(), "a");
    }

    #[test]
    fn words_and_lines_are_skipped_and_deleted() {
        let mut composer = Composer::with("one two\nthree four".into());
        control(&mut composer, KeyCode::Char('w'));
        assert_eq!(composer.text(), "one two\nthree ");
        control(&mut composer, KeyCode::Char('u'));
        assert_eq!(composer.text(), "one two\n");
        press(&mut composer, KeyCode::Left);
        control(&mut composer, KeyCode::Left);
        composer.insert("and ");
        assert_eq!(composer.text(), "one and two\n");
        press(&mut composer, KeyCode::Home);
        control(&mut composer, KeyCode::Right);
        composer.insert("!");
        assert_eq!(composer.text(), "one! and two\n");
    }

    #[test]
    fn up_and_down_follow_the_lines_that_are_seen() {
        let mut composer = Composer::with("abcdefghij klm".into());
        assert_eq!(composer.lay(10).lines, ["abcdefghij ", "klm"]);
        assert_eq!(composer.lay(10).cursor, (1, 3));
        press(&mut composer, KeyCode::Up);
        assert_eq!(composer.lay(10).cursor, (0, 3));
        press(&mut composer, KeyCode::Down);
        assert_eq!(composer.lay(10).cursor, (1, 3));
    }

    #[test]
    fn the_cursor_behind_a_full_line_is_seen_on_the_next() {
        assert_eq!(Composer::with("abcde".into()).lay(5).cursor, (1, 0));
        assert_eq!(Composer::with("你好".into()).lay(5).cursor, (0, 4));
    }

    #[test]
    fn pasted_lines_stay_lines() {
        let mut composer = Composer::default();
        composer.insert("one\r\ntwo\u{1b}[A");
        assert_eq!(composer.text(), "one\ntwo[A");
    }

    proptest! {
        #[test]
        fn no_sequence_of_keys_breaks_a_character(keys in prop::collection::vec(0_usize..14, 0..80), columns in 0_usize..12) {
            let mut composer = Composer::with("a 你👩‍👩‍👧\ne\u{301} b".into());
            for key in keys {
                let (code, modifiers) = [
                    (KeyCode::Left, KeyModifiers::NONE), (KeyCode::Right, KeyModifiers::NONE),
                    (KeyCode::Up, KeyModifiers::NONE), (KeyCode::Down, KeyModifiers::NONE),
                    (KeyCode::Home, KeyModifiers::NONE), (KeyCode::End, KeyModifiers::NONE),
                    (KeyCode::Backspace, KeyModifiers::NONE), (KeyCode::Delete, KeyModifiers::NONE),
                    (KeyCode::Char('你'), KeyModifiers::NONE), (KeyCode::Char('\u{301}'), KeyModifiers::NONE),
                    (KeyCode::Left, KeyModifiers::CONTROL), (KeyCode::Right, KeyModifiers::CONTROL),
                    (KeyCode::Char('w'), KeyModifiers::CONTROL), (KeyCode::Char('j'), KeyModifiers::CONTROL),
                ][key];
                composer.edit(KeyEvent::new(code, modifiers), columns);
                prop_assert!(composer.text.is_char_boundary(composer.cursor));
                let laid = composer.lay(columns);
                prop_assert!(laid.cursor.0 < laid.lines.len());
            }
        }
    }
}
