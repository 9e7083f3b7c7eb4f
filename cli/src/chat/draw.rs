//! The picture of the chat.

use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use tacit_client_core::{Contact, ContactState, MAX_TEXT, MessageId, days_waited};

use super::bubbles::{DIM, Scene, WARN, transcript};
use super::choose::{Deed, GONE, deeds};
use super::state::{Chat, Conversation, Purpose, can_compose, can_write, is_paused, terms_wait_for_us};
use super::wrap::{lines, shorten, width};
use crate::care::words;
use crate::describe;
use crate::escape;
use crate::quote;

/// The smallest window that shows something useful.
const LEAST: (u16, u16) = (20, 6);
/// From this width on, the list of conversations has a place.
const WITH_LIST: u16 = 64;
const LIST: u16 = 26;
/// From this height on, there is a line that explains the marks.
const WITH_LEGEND: u16 = 18;
/// From this height on, there is room for lines that only separate.
const ROOMY: u16 = 10;

const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// The longest that fits is shown.
const LEGENDS: [&str; 3] = [
    "… queued  ✓ held by the relay  ✓✓ delivered  ! expired  ✗ refused",
    "… queued ✓ held ✓✓ delivered ! expired ✗ refused",
    "F1 explains the marks",
];
const HINTS: [&str; 3] = [
    "Write a message. Enter sends it, Alt+Enter begins a new line.",
    "Enter sends, Alt+Enter: new line",
    "Enter sends",
];
/// After the help, where there is room.
const MORE_KEYS: &str = " F7 choose F8 file";
const EMPTY: &str = "No conversations yet.\n\nF4  join, with a link that you were given\nF3  invite somebody (therapists)\n\
                     F1  help";

impl Chat {
    /// Draws the chat into an area; with the cursor, if it is the active one.
    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, is_active: bool) {
        let area = area.intersection(frame.area());
        if area.width < LEAST.0 || area.height < LEAST.1 {
            frame.render_widget(Paragraph::new("Make the window larger.").wrap(Wrap { trim: true }), area);
            return;
        }
        let status = self.status(usize::from(area.width), if area.height >= ROOMY { 2 } else { 1 });
        let legend = u16::from(area.height >= WITH_LEGEND);
        let [body, legend, status_area] = Layout::vertical([
            Constraint::Min(1),
            Constraint::Length(legend),
            Constraint::Length(u16::try_from(status.len()).unwrap_or(1)),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(Line::styled(fitting(LEGENDS, usize::from(area.width)), DIM)), legend);
        frame.render_widget(Paragraph::new(status), status_area);

        let has_list = area.width >= WITH_LIST;
        let [list, main] =
            Layout::horizontal([Constraint::Length(if has_list { LIST } else { 0 }), Constraint::Min(1)]).areas(body);
        if has_list {
            self.draw_list(frame, list);
        }
        let is_writing = is_active && self.popup.is_none();
        self.draw_conversation(frame, main, has_list, is_writing);
        self.draw_popup(frame, area, is_active);
    }

    fn draw_list(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = Block::new().borders(Borders::RIGHT).border_style(DIM);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let columns = usize::from(inner.width);
        let mut rows = vec![Line::styled("Conversations", BOLD)];
        let selected =
            self.contacts.iter().position(|contact| Some(&contact.id) == self.selected.as_ref()).unwrap_or(0);
        // The selected one stays in sight.
        let first = (selected + 1).saturating_sub(usize::from(inner.height.saturating_sub(1)).max(1));
        rows.extend(self.contacts.iter().enumerate().skip(first).map(|(n, contact)| {
            let row = list_row(contact, n == selected, columns, self.now);
            if n == selected {
                Line::styled(row, Style::new().add_modifier(Modifier::REVERSED))
            } else {
                Line::raw(row)
            }
        }));
        frame.render_widget(Paragraph::new(rows), inner);
    }

    fn draw_conversation(&mut self, frame: &mut Frame<'_>, area: Rect, has_list: bool, is_writing: bool) {
        let Some(contact) = self.contact().cloned() else {
            let text = if self.are_contacts_known { EMPTY } else { "" };
            frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
            return;
        };
        let columns = usize::from(area.width);
        let is_roomy = area.height >= ROOMY;
        let mut head = vec![self.title(&contact, columns, has_list)];
        if is_roomy {
            head.extend(self.hours_rows(&contact, columns));
            head.extend(pinned(&contact, columns));
        }

        self.seen.composer_columns = columns.saturating_sub(2).max(1);
        let draft = self.conversation().map(|conversation| conversation.draft.lay(self.seen.composer_columns));
        let chosen = self.is_choosing().then(|| self.conversation().and_then(Conversation::chosen));
        let chosen = chosen.map(|chosen| chosen.map(|message| deeds(message, &contact)));
        let most_rows = usize::from((area.height / 3).clamp(1, 6));
        let (foot, cursor) = match draft {
            _ if chosen.is_some() => (deed_rows(chosen.flatten().as_deref(), columns, most_rows), None),
            Some(laid) if can_compose(&contact) => {
                let first = (laid.cursor.0 + 1).saturating_sub(most_rows);
                let is_blank = laid.lines.iter().all(String::is_empty) && laid.lines.len() == 1;
                let mut rows: Vec<Line<'static>> = laid
                    .lines
                    .into_iter()
                    .enumerate()
                    .skip(first)
                    .take(most_rows)
                    .map(|(n, line)| Line::raw(format!("{} {line}", if n == 0 { '>' } else { ' ' })))
                    .collect();
                if is_blank && is_roomy {
                    rows = vec![Line::from(vec![Span::raw("> "), Span::styled(fitting(HINTS, columns - 2), DIM)])];
                }
                (rows, Some((laid.cursor.0 - first, laid.cursor.1 + 2)))
            }
            _ => (cannot_write(&contact, self.farewells.contains(&contact.id), columns, most_rows), None),
        };

        let height = |rows: usize| Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX));
        let [head_area, middle, rule, foot_area] = Layout::vertical([
            height(head.len()),
            Constraint::Min(1),
            Constraint::Length(u16::from(is_roomy)),
            height(foot.len().max(1)),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(head), head_area);
        self.draw_transcript(frame, middle);
        let is_about = self.conversation().is_some_and(|conversation| conversation.purpose != Purpose::New);
        let style = if is_about { WARN } else { DIM };
        frame.render_widget(Paragraph::new(Line::styled(self.rule(columns), style)), rule);
        frame.render_widget(Paragraph::new(foot), foot_area);
        if let (Some((row, column)), true) = (cursor, is_writing) {
            let x = foot_area.x.saturating_add(u16::try_from(column).unwrap_or(0)).min(area.right().saturating_sub(1));
            let y = foot_area.y.saturating_add(u16::try_from(row).unwrap_or(0)).min(area.bottom().saturating_sub(1));
            frame.set_cursor_position((x, y));
        }
    }

    fn draw_transcript(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let rows = usize::from(area.height);
        let label = self.contact().map(|contact| contact.label.clone()).unwrap_or_default();
        let conversation = self.selected.clone().and_then(|selected| self.conversations.get_mut(&selected));
        let Some(conversation) = conversation else { return };
        let (lines, chosen) = transcript(&Scene {
            messages: &conversation.messages,
            answered: &conversation.answered,
            chosen: conversation.chosen.as_ref(),
            label: &label,
            clock: &self.clock,
            columns: usize::from(area.width),
        });
        let most_scroll = lines.len().saturating_sub(rows);
        conversation.scroll = conversation.scroll.min(most_scroll);
        // The chosen one stays in sight; of one that is taller than the window, its beginning.
        if let Some(chosen) = chosen {
            conversation.scroll = keep_in_sight(conversation.scroll, &chosen, lines.len(), rows);
        }
        let first = most_scroll - conversation.scroll;
        let visible: Vec<Line<'static>> = lines.into_iter().skip(first).take(rows).collect();
        // A short conversation lies at the bottom, where the next message appears.
        let space = u16::try_from(rows.saturating_sub(visible.len())).unwrap_or(0);
        let area = Rect { y: area.y + space, height: area.height - space, ..area };
        frame.render_widget(Paragraph::new(visible), area);
        self.seen.rows = rows;
        self.seen.most_scroll = most_scroll;
    }

    /// When the practice reads and answers, and, while nobody may be reading, how to find out whom to call.
    fn hours_rows(&self, contact: &Contact, columns: usize) -> Vec<Line<'static>> {
        let care = self.conversations.get(&contact.id).and_then(|conversation| conversation.care.as_ref());
        let Some((expectation, crisis)) = care.filter(|_| can_write(contact)) else { return Vec::new() };
        let mut text = words::expectation(expectation, &self.clock);
        if crisis.reason.is_some() {
            text = format!("{text} If it cannot wait: F5").trim_start().to_owned();
        }
        let style = if crisis.reason.is_some() { WARN } else { DIM };
        let rows = if text.is_empty() { Vec::new() } else { lines(&text, columns) };
        rows.into_iter().take(3).map(|row| Line::styled(row, style)).collect()
    }

    fn title(&self, contact: &Contact, columns: usize, has_list: bool) -> Line<'static> {
        let mut marks = String::new();
        if can_write(contact) {
            marks.push_str(if contact.verified { " · verified" } else { " · unverified" });
        }
        if can_write(contact) && is_paused(contact) {
            marks.push_str(" · paused");
        }
        if contact.state != ContactState::Paired {
            marks.push_str(" · ");
            marks.push_str(describe::state_word(contact.state));
        }
        let elsewhere: u64 =
            self.contacts.iter().filter(|other| other.id != contact.id).map(|other| other.unread).sum();
        if !has_list && elsewhere > 0 {
            marks.push_str(&format!(" · {elsewhere} unread elsewhere (Tab)"));
        }
        let label = shorten(&escape::line(&contact.label), columns.saturating_sub(width(&marks)).max(8));
        let style = if can_write(contact) && !contact.verified { WARN } else { DIM };
        Line::from(vec![Span::styled(label, BOLD), Span::styled(marks, style)])
    }

    /// The line above the composer: that there is more below, or how much still fits into the message.
    fn rule(&self, columns: usize) -> String {
        let Some(conversation) = self.conversation() else { return String::new() };
        let written = conversation.draft.text().len();
        let about = |what: &str, id: &MessageId, esc: &str| {
            let known = conversation.messages.iter().find(|message| message.id == *id);
            let label = self.contact().map(|contact| contact.label.as_str()).unwrap_or_default();
            let answered = quote::words(known.or_else(|| conversation.answered.get(id)), label);
            let room = columns.saturating_sub(width(what) + width(esc) + 4).max(1);
            format!(" {what} {} {esc} ", shorten(&answered, room))
        };
        let note = if written > MAX_TEXT {
            format!(" {} bytes too long ", written - MAX_TEXT)
        } else if written > MAX_TEXT * 4 / 5 {
            format!(" {} bytes left ", MAX_TEXT - written)
        } else if let (Purpose::Reply(id), None) = (&conversation.purpose, &conversation.chosen) {
            about("answering", id, "· Esc stops")
        } else if let (Purpose::Edit(id), None) = (&conversation.purpose, &conversation.chosen) {
            about("editing", id, "· Esc stops")
        } else if conversation.scroll > 0 && conversation.chosen.is_none() {
            " more below: PageDown ".into()
        } else {
            String::new()
        };
        let note = shorten(&note, columns);
        format!("{}{note}", "─".repeat(columns.saturating_sub(width(&note))))
    }

    fn status(&self, columns: usize, most_rows: usize) -> Vec<Line<'static>> {
        if !self.problem.is_empty() || !self.news.is_empty() {
            let rows = |text: &str, style: Style| -> Vec<Line<'static>> {
                let rows = lines(&escape::line(text), columns).into_iter().filter(|row| !row.is_empty());
                rows.map(|row| Line::styled(row, style)).collect()
            };
            let (mut told, news) = (rows(&self.problem, BAD), rows(&self.news, BOLD));
            // Neither hides the other, where there is room for both.
            told.truncate(if news.is_empty() { most_rows } else { most_rows.saturating_sub(1).max(1) });
            told.extend(news);
            told.truncate(most_rows);
            return told;
        }
        let connection = describe::connection(&self.connection);
        let is_unverified = self.contact().is_some_and(|contact| can_write(contact) && !contact.verified);
        let mut parts = Vec::new();
        if is_unverified {
            parts.push(("unverified: compare the safety words (F2)".to_owned(), WARN));
        }
        // Before the first enrolment or invite there is nothing to be connected to.
        if self.can_invite || !self.contacts.is_empty() {
            parts.push((connection, DIM));
        }
        if !self.notice.is_empty() {
            parts.push((format!("the relay says: {}", self.notice), BOLD));
        }
        if self.contact().is_some_and(|contact| contact.care.is_practice) {
            parts.push(("F5 in a crisis".to_owned(), DIM));
        }
        parts.push(("F1 help".to_owned(), DIM));
        let mut rows = vec![Line::default()];
        for (text, style) in parts {
            let used = rows.last().map_or(0, Line::width);
            let gap = if used > 0 { 2 } else { 0 };
            if used + gap + width(&text) > columns && used > 0 {
                if rows.len() == most_rows {
                    break;
                }
                rows.push(Line::styled(shorten(&text, columns), style));
            } else if let Some(row) = rows.last_mut() {
                row.push_span(Span::raw(" ".repeat(gap)));
                row.push_span(Span::styled(shorten(&text, columns), style));
            }
        }
        let can_act = self.contact().is_some_and(can_write);
        if let Some(row) = rows.last_mut().filter(|row| can_act && row.width() + width(MORE_KEYS) <= columns) {
            row.push_span(Span::styled(MORE_KEYS, DIM));
        }
        rows
    }
}

/// The scroll, in rows up from the newest, that shows these lines; the nearest to the scroll before.
fn keep_in_sight(scroll: usize, lines: &Range<usize>, count: usize, rows: usize) -> usize {
    let first = count.saturating_sub(rows).saturating_sub(scroll);
    let first = first.max(lines.end.saturating_sub(rows)).min(lines.start);
    count.saturating_sub(rows).saturating_sub(first)
}

/// The first of these texts that fits; the last is cut if it must be.
fn fitting(texts: [&str; 3], columns: usize) -> String {
    let fits = texts.into_iter().find(|text| width(text) <= columns);
    fits.map_or_else(|| shorten(texts[2], columns), str::to_owned)
}

/// A contact on one line of the list: what is marked, who, and what is new.
fn list_row(contact: &Contact, is_selected: bool, columns: usize, now: u64) -> String {
    let mark = if can_write(contact) && !contact.verified { '!' } else { ' ' };
    let days = contact.care.oldest_unread.map_or(0, |since| days_waited(since, now));
    let right = if contact.unread > 0 && days > 0 {
        format!(" ({}, {days} d)", contact.unread)
    } else if contact.unread > 0 {
        format!(" ({})", contact.unread)
    } else if can_write(contact) && is_paused(contact) {
        " paused".to_owned()
    } else if contact.state == ContactState::Paired {
        String::new()
    } else {
        format!(" {}", shorten(describe::state_word(contact.state), columns / 2))
    };
    let left = columns.saturating_sub(width(&right) + 3);
    let label = shorten(&escape::line(&contact.label), left);
    let pointer = if is_selected { '›' } else { ' ' };
    format!("{pointer}{mark}{label}{}{right}", " ".repeat(left.saturating_sub(width(&label)) + 1))
}

/// What stays in sight under the title. That a contact is unverified is in the title and the status already.
fn pinned(contact: &Contact, columns: usize) -> Vec<Line<'static>> {
    let warnings = describe::warnings(contact);
    let plain = |warning: &&String| !warning.starts_with("Unverified:");
    let rows = warnings.iter().filter(plain).flat_map(|warning| lines(warning, columns));
    rows.take(4).map(|row| Line::styled(row, WARN)).collect()
}

/// What can be done with the chosen message, in place of what is being written.
fn deed_rows(deeds: Option<&[Deed]>, columns: usize, most_rows: usize) -> Vec<Line<'static>> {
    let Some(deeds) = deeds else {
        let text = format!("{GONE} Any key goes back to writing.");
        let rows = lines(&text, columns).into_iter().take(most_rows.max(3));
        return rows.map(|row| Line::styled(row, WARN)).collect();
    };
    let keys = deeds.iter().map(|deed| deed.label()).chain(["↑ ↓ other message", "Esc back"]);
    let mut rows = vec![String::new()];
    for key in keys {
        let Some(row) = rows.last_mut() else { break };
        if row.is_empty() {
            row.push_str(key);
        } else if width(row) + 3 + width(key) <= columns {
            row.push_str("   ");
            row.push_str(key);
        } else {
            rows.push(key.to_owned());
        }
    }
    rows.into_iter().take(most_rows.max(2)).map(|row| Line::styled(shorten(&row, columns), BOLD)).collect()
}

/// Why nothing can be written, and what can be done instead.
fn cannot_write(contact: &Contact, is_end_said: bool, columns: usize, most_rows: usize) -> Vec<Line<'static>> {
    let mut text = describe::state_sentence(contact.state, is_end_said).to_owned();
    if terms_wait_for_us(contact) {
        text = "The terms have changed: you can read, and write once you have agreed. Enter shows them.".into();
    } else if can_write(contact) && is_paused(contact) {
        text = match (contact.care.paused_by_us, contact.care.paused_by_them) {
            (Some(_), None) => "You paused this conversation: tacit resume".into(),
            (None, _) => "They paused this conversation: you can read, and write once they resume it.".into(),
            (Some(_), Some(_)) => "Both of you paused this conversation. Your side: tacit resume".into(),
        };
    }
    match contact.state {
        ContactState::Consenting => text.push_str(" Enter shows the terms."),
        ContactState::Opening | ContactState::Invited => text.push_str(" Enter shows the link."),
        _ => {}
    }
    let rows = lines(&text, columns).into_iter().take(most_rows.max(3));
    rows.map(|row| Line::styled(row, DIM)).collect()
}

#[cfg(test)]
mod tests;
