//! A conversation as lines on the screen: theirs on the left, mine on the right, days and gaps in between.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use tacit_client_core::{Content, Direction, Message, Note, Outcome};

use super::wrap::{lines, width};
use crate::clock::{Clock, shown_time};
use crate::describe;
use crate::escape;
use crate::notes;

/// Quiet colours of the fixed colour cube, readable in dark and light themes. Nothing depends on them: sides and marks
/// tell the same.
const MINE: Style = Style::new().bg(Color::Indexed(24)).fg(Color::Indexed(231));
const THEIRS: Style = Style::new().bg(Color::Indexed(238)).fg(Color::Indexed(231));
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const WARN: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);

/// Below this width an outcome is its mark alone.
const NARROW: usize = 40;

/// The conversation in lines of so many columns, oldest first.
pub(super) fn transcript(messages: &[Message], clock: &Clock, columns: usize) -> Vec<Line<'static>> {
    let is_mine =
        |message: &Message| message.direction == Direction::Out && !matches!(message.content, Content::Note(_));
    let newest_of_mine = messages.iter().rposition(is_mine);
    let mut transcript = Vec::new();
    let mut day = None;
    for (n, message) in messages.iter().enumerate() {
        let at = shown_time(message);
        let date = clock.date(at);
        if day != Some(date) {
            day = Some(date);
            transcript.push(centred(&format!("── {} ──", clock.day(at)), columns, DIM));
        }
        if message.gap_before {
            transcript.push(centred("┄ a message is missing here ┄", columns, WARN));
        }
        if let Content::Note(note) = &message.content {
            transcript.extend(note_rows(note, message, clock, columns));
        } else {
            transcript.extend(bubble(message, clock, columns, newest_of_mine == Some(n)));
        }
        transcript.push(Line::default());
    }
    transcript
}

/// What happened, in the middle: it is nobody's words.
fn note_rows(note: &Note, message: &Message, clock: &Clock, columns: usize) -> Vec<Line<'static>> {
    let words = escape::block(&notes::words(note, message.direction));
    let text = format!("{words} · {}", foot(message, clock, false, columns < NARROW));
    lines(&text, columns.saturating_sub(2).max(1)).iter().map(|row| centred(row, columns, DIM)).collect()
}

fn centred(text: &str, columns: usize, style: Style) -> Line<'static> {
    let left = columns.saturating_sub(width(text)) / 2;
    Line::from(vec![Span::raw(" ".repeat(left)), Span::styled(text.to_owned(), style)])
}

fn bubble(message: &Message, clock: &Clock, columns: usize, is_newest: bool) -> Vec<Line<'static>> {
    // A column of air on each side, and a margin on the other side that shows whose it is.
    let most = if columns < NARROW { columns.saturating_sub(4) } else { columns * 3 / 4 }.max(1);
    let mut rows = match &message.content {
        Content::Text(text) => lines(&(escape::block(text) + &describe::marks(message)), most),
        Content::Attachment(attachment) => lines(&crate::describe::attachment(attachment), most),
        Content::Note(_) | Content::Unknown => lines("(something that only a newer version of Tacit can show)", most),
    };
    let foot = foot(message, clock, is_newest, columns < NARROW);
    match rows.last_mut() {
        Some(last) if width(last) + 2 + width(&foot) <= most => {
            last.push_str("  ");
            last.push_str(&foot);
        }
        _ => rows.extend(lines(&foot, most)),
    }
    let widest = rows.iter().map(|row| width(row)).max().unwrap_or(0);
    let (style, left) = match message.direction {
        Direction::In => (THEIRS, 0),
        Direction::Out => (MINE, columns.saturating_sub(widest + 2)),
    };
    let right = |row: &str| widest.saturating_sub(width(row));
    rows.iter()
        .map(|row| {
            let text = match message.direction {
                Direction::In => format!(" {row}{} ", " ".repeat(right(row))),
                Direction::Out => format!(" {row}{} ", " ".repeat(right(row))),
            };
            Line::from(vec![Span::raw(" ".repeat(left)), Span::styled(text, style)])
        })
        .collect()
}

/// When, and what became of it. Spelled out where it matters: for the newest, and for all that is not delivered.
fn foot(message: &Message, clock: &Clock, is_newest: bool, is_narrow: bool) -> String {
    let at = clock.time(shown_time(message));
    if message.direction == Direction::In {
        return at;
    }
    let mark = describe::outcome_mark(message.outcome);
    match message.outcome {
        Outcome::Queued if !is_narrow => format!("{at} {mark} queued"),
        Outcome::Accepted { until } if !is_narrow => format!("{at} {mark} held until {}", clock.short_day(until)),
        Outcome::Delivered if is_newest && !is_narrow => format!("{at} {mark} delivered"),
        _ => format!("{at} {mark}"),
    }
}

#[cfg(test)]
mod tests {
    use tacit_client_core::RefusedWhy;

    use super::*;

    fn message(direction: Direction, text: &str, outcome: Outcome) -> Message {
        Message {
            id: "0a".into(),
            contact: "0b".into(),
            direction,
            content: Content::Text(text.into()),
            outcome,
            sent_at: 1_741_000_920_000,
            stored_at: 1_741_000_920_000,
            gap_before: false,
            reply_to: None,
            edited: false,
            withdrawn: false,
        }
    }

    fn seen(messages: &[Message], columns: usize) -> Vec<String> {
        let lines = transcript(messages, &Clock::utc(), columns);
        lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect()
    }

    #[test]
    fn mine_is_on_the_right_and_theirs_on_the_left() {
        let messages =
            [message(Direction::In, "hello", Outcome::Read), message(Direction::Out, "hi", Outcome::Delivered)];
        assert_eq!(
            seen(&messages, 44),
            [
                "         ── Monday, 3 March 2025 ──",
                " hello  11:22",
                "",
                "                     hi  11:22 ✓✓ delivered",
                "",
            ]
        );
    }

    #[test]
    fn a_long_text_wraps_inside_its_bubble() {
        let long = "one two three four five six seven eight nine ten eleven twelve";
        let rows = seen(&[message(Direction::Out, long, Outcome::Queued)], 44);
        assert_eq!(rows[1], "          one two three four five six seven");
        assert_eq!(rows[2], "          eight nine ten eleven twelve");
        assert_eq!(rows[3], "          11:22 … queued");
    }

    #[test]
    fn every_outcome_reads_differently() {
        let until = 1_741_000_920_000 + 21 * 86_400_000;
        let all = [
            (Outcome::Queued, "11:22 … queued"),
            (Outcome::Accepted { until }, "11:22 ✓ held until 24 March"),
            (Outcome::Delivered, "11:22 ✓✓ delivered"),
            (Outcome::Read, "11:22 ✓✓ read"),
            (Outcome::Expired, "11:22 ! expired"),
            (Outcome::Refused(RefusedWhy::Ended), "11:22 ✗ refused"),
        ];
        for (outcome, words) in all {
            let rows = seen(&[message(Direction::Out, "hi", outcome)], 60);
            assert!(rows[1].ends_with(words), "{}", rows[1]);
        }
    }

    #[test]
    fn days_and_gaps_stand_between_bubbles() {
        let tomorrow = Message {
            gap_before: true,
            sent_at: 1_741_000_920_000 + 86_400_000,
            stored_at: 1_741_000_920_000 + 86_400_000,
            ..message(Direction::In, "later", Outcome::Delivered)
        };
        let rows = seen(&[message(Direction::In, "hello", Outcome::Delivered), tomorrow], 44);
        assert!(rows.iter().any(|row| row.contains("Tuesday, 4 March 2025")), "{rows:?}");
        assert!(rows.iter().any(|row| row.contains("a message is missing here")), "{rows:?}");
    }

    #[test]
    fn any_width_is_drawn() {
        let text = "你好 wide 👩‍👩‍👧 and a-very-long-word-that-does-not-fit\u{1b}[2J";
        for columns in 0..60 {
            for row in transcript(&[message(Direction::Out, text, Outcome::Queued)], &Clock::utc(), columns) {
                assert!(columns < 12 || row.width() <= columns.max(26), "{columns}: {row}");
                assert!(!row.to_string().contains('\u{1b}'));
            }
        }
    }
}
