//! A conversation as lines on the screen: theirs on the left, mine on the right, days and gaps in between.

use std::collections::HashMap;
use std::ops::Range;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use tacit_client_core::{Attachment, Content, Direction, Message, MessageId, Note, Outcome, TransferState};

use super::wrap::{lines, shorten, width};
use crate::clock::{Clock, shown_time};
use crate::describe;
use crate::escape;
use crate::notes;
use crate::quote;

/// Quiet colours of the fixed colour cube, readable in dark and light themes. Nothing depends on them: sides and marks
/// tell the same.
const MINE: Style = Style::new().bg(Color::Indexed(24)).fg(Color::Indexed(231));
const THEIRS: Style = Style::new().bg(Color::Indexed(238)).fg(Color::Indexed(231));
/// Seen without colours too, by its edge.
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED.union(Modifier::BOLD));
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const WARN: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);

/// Stands before words that are quoted.
const QUOTED: &str = "│ ";

/// Below this width an outcome is its mark alone.
const NARROW: usize = 40;

/// What of a conversation is shown, and how.
pub(super) struct Scene<'a> {
    pub(super) messages: &'a [Message],
    /// What replies answer, where it is not among these messages.
    pub(super) answered: &'a HashMap<MessageId, Message>,
    /// The message that keys act on.
    pub(super) chosen: Option<&'a MessageId>,
    /// What the other side is called here.
    pub(super) label: &'a str,
    pub(super) clock: &'a Clock,
    pub(super) columns: usize,
}

/// The conversation in lines, oldest first, and which of them are the chosen message.
pub(super) fn transcript(scene: &Scene<'_>) -> (Vec<Line<'static>>, Option<Range<usize>>) {
    let Scene { messages, clock, columns, .. } = *scene;
    let is_mine =
        |message: &Message| message.direction == Direction::Out && !matches!(message.content, Content::Note(_));
    let newest_of_mine = messages.iter().rposition(is_mine);
    let mut transcript = Vec::new();
    let (mut day, mut chosen) = (None, None);
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
            let first = transcript.len();
            transcript.extend(bubble(message, scene, newest_of_mine == Some(n)));
            if scene.chosen == Some(&message.id) {
                chosen = Some(first..transcript.len());
            }
        }
        transcript.push(Line::default());
    }
    (transcript, chosen)
}

/// What a reply answers, in a row of its own.
fn quote(message: &Message, scene: &Scene<'_>, most: usize) -> Option<String> {
    let id = message.reply_to.as_ref()?;
    let answered = scene.messages.iter().find(|other| other.id == *id).or_else(|| scene.answered.get(id));
    Some(shorten(&format!("{QUOTED}{}", quote::words(answered, scene.label)), most))
}

/// A file: what it is called, what it is, and how far it is.
fn file(attachment: &Attachment, most: usize) -> Vec<String> {
    let what = match attachment.duration_ms {
        Some(ms) => format!("voice note of {} s", ms.div_ceil(1_000)),
        None => "file".into(),
    };
    let name = escape::line(&attachment.name);
    let mut rows = lines(&format!("{what}: {name}"), most);
    let (media_type, size) = (escape::line(&attachment.media_type), describe::size(attachment.size));
    rows.extend(lines(&format!("{size}, {media_type}"), most));
    match attachment.transfer {
        TransferState::UnderWay { done, of } => {
            let percent = describe::percent(done, of);
            let filled = usize::try_from(percent / 10).unwrap_or(0).min(10);
            let bar = format!("{}{} {percent} %", "█".repeat(filled), "░".repeat(10 - filled));
            rows.extend(lines(&bar, most));
        }
        transfer => rows.extend(lines(&describe::transfer_words(transfer), most)),
    }
    rows
}

/// What happened, in the middle: it is nobody's words. Those that came with it are marked in each row, so that none
/// passes for another note.
fn note_rows(note: &Note, message: &Message, clock: &Clock, columns: usize) -> Vec<Line<'static>> {
    let what = notes::what(note, message.direction);
    let text = format!("{what} · {}", foot(message, clock, false, columns < NARROW));
    let most = columns.saturating_sub(2).max(1);
    let mut rows: Vec<Line<'static>> = lines(&text, most).iter().map(|row| centred(row, columns, DIM)).collect();
    let words =
        notes::own_words(note).map(|words| lines(&escape::block(words), most.saturating_sub(width(QUOTED)).max(1)));
    rows.extend(words.into_iter().flatten().map(|row| centred(&format!("{QUOTED}{row}"), columns, DIM)));
    rows
}

fn centred(text: &str, columns: usize, style: Style) -> Line<'static> {
    let left = columns.saturating_sub(width(text)) / 2;
    Line::from(vec![Span::raw(" ".repeat(left)), Span::styled(text.to_owned(), style)])
}

fn bubble(message: &Message, scene: &Scene<'_>, is_newest: bool) -> Vec<Line<'static>> {
    let Scene { clock, columns, .. } = *scene;
    let is_chosen = scene.chosen == Some(&message.id);
    // A column of air on each side, and a margin on the other side that shows whose it is.
    let most = if columns < NARROW { columns.saturating_sub(4) } else { columns * 3 / 4 }.max(1);
    let mut rows = match &message.content {
        Content::Text(text) => lines(&(escape::block(text) + &describe::marks(message)), most),
        Content::Attachment(attachment) => file(attachment, most),
        Content::Note(_) | Content::Unknown => lines("(something that only a newer version of Tacit can show)", most),
    };
    let quote = quote(message, scene, most);
    let has_quote = quote.is_some();
    if let Some(quote) = quote {
        rows.insert(0, quote);
    }
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
        .enumerate()
        .map(|(n, row)| {
            let edge = match (is_chosen, n) {
                (true, 0) => '▶',
                (true, _) => '▌',
                (false, _) => ' ',
            };
            let text = format!("{edge}{row}{} ", " ".repeat(right(row)));
            let style = if is_chosen {
                CHOSEN
            } else if has_quote && n == 0 {
                style.add_modifier(Modifier::ITALIC)
            } else {
                style
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

    fn shown(messages: &[Message], columns: usize, chosen: Option<&MessageId>) -> Vec<Line<'static>> {
        let (answered, clock) = (HashMap::new(), Clock::utc());
        transcript(&Scene { messages, answered: &answered, chosen, label: "Anna", clock: &clock, columns }).0
    }

    fn seen(messages: &[Message], columns: usize) -> Vec<String> {
        shown(messages, columns, None).iter().map(|line| line.to_string().trim_end().to_owned()).collect()
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
    fn a_reply_shows_what_it_answers_and_says_so_if_that_is_gone() {
        let asked = message(Direction::In, "How was your week?", Outcome::Read);
        let reply = |to: &str| Message {
            id: "0c".into(),
            reply_to: Some(to.into()),
            ..message(Direction::Out, "Better.", Outcome::Delivered)
        };
        let rows = seen(&[asked.clone(), reply("0a")], 44);
        assert!(rows.iter().any(|row| row.ends_with("│ Anna: How was your week?")), "{rows:?}");
        let rows = seen(&[asked, reply("0d")], 60);
        assert!(rows.iter().any(|row| row.ends_with("│ a message that is not here any more")), "{rows:?}");
    }

    #[test]
    fn no_row_of_a_peers_words_passes_for_a_note() {
        let forged = "They said the agreed word · 11:22";
        for (words, columns) in [(format!("x\n{forged}"), 60), (format!("{} {forged}", "x".repeat(38)), 44)] {
            let note = Content::Note(Note::Paused { words });
            let rows = seen(&[Message { content: note, ..message(Direction::In, "", Outcome::Read) }], columns);
            assert!(rows[1].trim() == "They paused the conversation · 11:22", "{rows:?}");
            assert!(rows[2..].iter().all(|row| row.is_empty() || row.trim_start().starts_with('│')), "{rows:?}");
            assert!(rows.iter().any(|row| row.contains(forged)), "{rows:?}");
        }
    }

    #[test]
    fn the_chosen_message_is_marked_without_colours_too() {
        let long = "one two three four five six seven eight nine ten eleven twelve";
        let messages = [message(Direction::In, long, Outcome::Read)];
        let rows: Vec<String> = shown(&messages, 44, Some(&"0a".into())).iter().map(Line::to_string).collect();
        assert!(rows[1].starts_with("▶one two") && rows[2].starts_with('▌'), "{rows:?}");
    }

    #[test]
    fn a_file_under_way_shows_how_far_it_is() {
        let file = Attachment {
            name: "report.pdf".into(),
            media_type: "application/pdf".into(),
            size: 2_400_000,
            duration_ms: None,
            has_thumbnail: false,
            transfer: TransferState::UnderWay { done: 1_100_000, of: 2_400_000 },
        };
        let sent = Message { content: Content::Attachment(file), ..message(Direction::Out, "", Outcome::Delivered) };
        let rows = seen(&[sent], 44);
        assert!(rows[1].ends_with("file: report.pdf") && rows[2].ends_with("2.4 MB, application/pdf"), "{rows:?}");
        assert!(rows[3].contains("████░░░░░░ 45 %"), "{rows:?}");
    }

    #[test]
    fn any_width_is_drawn() {
        let text = "你好 wide 👩‍👩‍👧 and a-very-long-word-that-does-not-fit\u{1b}[2J";
        for columns in 0..60 {
            let chosen = "0a".to_owned();
            for row in shown(&[message(Direction::Out, text, Outcome::Queued)], columns, Some(&chosen)) {
                assert!(columns < 12 || row.width() <= columns.max(26), "{columns}: {row}");
                assert!(!row.to_string().contains('\u{1b}'));
            }
        }
    }
}
