//! Text in lines of a given width on the screen. Widths are those of what a person sees: a character may be two columns
//! wide, and several code points one character.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Breaks a text into lines at most `columns` wide, between words where there are some. Returns byte ranges in order;
/// together they cover all but the line breaks. Spaces at the end of a line hang over its edge.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        wrap_line(line, start, columns.max(1), &mut lines);
        start += line.len() + 1;
    }
    lines
}

fn wrap_line(line: &str, offset: usize, columns: usize, lines: &mut Vec<Range<usize>>) {
    let (mut start, mut used) = (0, 0);
    // Where the line may break, and how wide it is up to there.
    let mut gap: Option<(usize, usize)> = None;
    for (at, grapheme) in line.grapheme_indices(true) {
        let size = width(grapheme);
        if grapheme.chars().all(char::is_whitespace) {
            used += size;
            gap = Some((at + grapheme.len(), used));
            continue;
        }
        if used + size > columns && at > start {
            let (next, before) = gap.take().unwrap_or((at, used));
            lines.push(offset + start..offset + next);
            start = next;
            used -= before;
            // A word longer than a line, after a gap.
            if used + size > columns && at > start {
                lines.push(offset + start..offset + at);
                start = at;
                used = 0;
            }
        }
        used += size;
    }
    lines.push(offset + start..offset + line.len());
}

/// The text in lines, without the spaces at their ends.
pub(super) fn lines(text: &str, columns: usize) -> Vec<String> {
    wrap(text, columns).into_iter().map(|range| text.get(range).unwrap_or_default().trim_end().to_owned()).collect()
}

/// Shortens a text to so many columns, with an ellipsis where something is left out.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut short, mut used) = (String::new(), 0);
    for grapheme in text.graphemes(true) {
        // Measured once each: a peer may send thousands that have no width.
        used += width(grapheme);
        if used + 1 > columns {
            break;
        }
        short.push_str(grapheme);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(lines("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(lines("a\n\nb", 10), ["a", "", "b"]);
        assert_eq!(lines("", 10), [""]);
    }

    #[test]
    fn a_word_longer_than_a_line_is_cut() {
        assert_eq!(lines("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(lines("ab cdefghij", 4), ["ab", "cdef", "ghij"]);
    }

    #[test]
    fn wide_characters_count_as_wide_as_they_are() {
        assert_eq!(lines("你好世界", 4), ["你好", "世界"]);
        assert_eq!(lines("你好世界", 5), ["你好", "世界"]);
        assert_eq!(lines("你好", 1), ["你", "好"]);
        assert_eq!(lines("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
    }

    #[test]
    fn what_is_left_out_shows() {
        assert_eq!(shorten("Anna Weiss", 6), "Anna …");
        assert_eq!(shorten("Anna", 4), "Anna");
        assert_eq!(shorten("你好世界", 4), "你…");
        assert_eq!(shorten("Anna", 0), "");
    }

    #[test]
    fn characters_without_width_cost_no_more_than_others() {
        let text = format!("{}{}", "\u{200b}".repeat(300_000), "x".repeat(100));
        let begun = std::time::Instant::now();
        assert!(shorten(&text, 60).ends_with("x…"));
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn lines_cover_the_text_and_keep_within_the_width(text in "[ a-z你é\n]{0,60}", columns in 1_usize..20) {
            let ranges = wrap(&text, columns);
            let mut whole = String::new();
            for (n, range) in ranges.iter().enumerate() {
                let line = &text[range.clone()];
                let seen = width(line.trim_end());
                prop_assert!(seen <= columns || line.trim_end().graphemes(true).count() == 1, "{line:?}");
                if n > 0 && text[..range.start].ends_with('\n') {
                    whole.push('\n');
                }
                whole.push_str(line);
            }
            prop_assert_eq!(whole, text);
        }
    }
}
