//! The picture of what lies over the chat.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};
use tacit_client_core::{ContactId, ContactState, MessageId, Offer, Terms};

use super::bubbles::WARN;
use super::composer::Composer;
use super::popup::{Popup, Sure, WordAsk};
use super::state::Chat;
use super::wrap::{lines, shorten, width};
use crate::care::words;
use crate::escape;
use crate::qr::{self, Qr};
use crate::quote;

/// Wider than this, text is tiring to read.
const WIDEST: u16 = 72;

const HELP: &str = "\
Enter        send
Alt+Enter    new line (or Ctrl+J)
Tab, ↑ ↓     other conversation
PageUp/Down  older, newer
F2           safety words
F3           invite somebody
F4           join by a link
F5           crisis card: what to do, whom to call
F6           is it you? the agreed word
F7, Ctrl+P   choose a message: ↑ ↓ another, then
             R reply, E edit, W withdraw on both sides,
             S save its file, C cancel its file
F8           send a file
Esc          close this; back to a new message
Ctrl+Q       leave

…   queued on this device
✓   held by the relay for them
✓✓  on their device
!   expired: nobody came for it
✗   refused: it will not be sent
!Name  unverified contact

Alt+1 to Alt+8 are F1 to F8.";

const COMPARE: &str = "Read these words to each other, in person or by phone. If all twelve are the same on both sides, \
                       nobody is in between.";
const ARE_VERIFIED: &str = "Verified: you compared them. V takes it back.";
const ARE_NOT: &str = "Unverified. V: they are the same. If they differ, write nothing, and pair again in person.";
const ONE_PERSON: &str = "For one person only, best in person.  L link as text  Esc close";
const AS_TEXT: &str =
    "For one person only, best in person. Whoever uses it first is paired with you.  L QR code  Esc close";
const NO_ROOM: &str = "For one person only. The QR code needs a larger window.  Esc close";
const NOT_OPEN: &str = "Not yet: the relay was not reached, so this does not work before it was.  Esc close";

const WITHDRAW: &str = "It is deleted on both sides, unless they said that they keep what is written. They may have read \
                        it.\n\nY withdraw it   Esc keep it";
const DECLINE: &str = "This invite is over then: to change your mind, you need a new one.\n\nY decline for good   \
                       Esc decide later";
const CANCEL: &str = "It goes no further, and what had come of it is erased on both sides.\n\nY cancel it   Esc go on";

impl Chat {
    pub(super) fn draw_popup(&self, frame: &mut Frame<'_>, area: Rect, is_active: bool) {
        match &self.popup {
            None => {}
            Some(Popup::Help { scroll }) => {
                boxed(frame, area, "Help   Esc close   ↑ ↓ read on", &text_rows(HELP, area), *scroll);
            }
            Some(Popup::AttachWhich { contact, field }) => {
                let title = format!("Send a file to {}   Esc close", self.label_of(contact));
                let ask = "Type the file's path, or drop it here. Enter sends it.";
                draw_field(frame, area, &title, ask, field, is_active);
            }
            Some(Popup::SaveAs { field, .. }) => {
                let ask = "Where to? It leaves the encrypted store by this: whoever can read that folder can read it. A \
                           file that is there is not replaced.";
                draw_field(frame, area, "Save the file   Esc close", ask, field, is_active);
            }
            Some(Popup::Sure { what, .. }) => self.draw_sure(frame, area, what),
            Some(Popup::Say(text)) => boxed(frame, area, "Esc closes", &text_rows(text, area), 0),
            Some(Popup::Words { contact, words }) => {
                let is_verified = self.contacts.iter().any(|known| known.id == *contact && known.verified);
                let title = format!("Safety words with {}", self.label_of(contact));
                boxed(frame, area, &title, &words_rows(words, is_verified, area), 0);
            }
            Some(Popup::InviteWhom(field)) => {
                let ask = "Who is it for? The name stays on this device.";
                draw_field(frame, area, "Invite", ask, field, is_active);
            }
            Some(Popup::JoinWhich(field)) => {
                let ask = "Paste the link that you were given, and press Enter.";
                draw_field(frame, area, "Join", ask, field, is_active);
            }
            Some(Popup::Invite { contact, link, qr, is_text }) => {
                let contact = self.contacts.iter().find(|known| known.id == *contact);
                let is_open = contact.is_some_and(|contact| contact.state != ContactState::Opening);
                draw_invite(frame, area, link, qr.as_ref().filter(|_| !is_text), is_open, *is_text);
            }
            Some(Popup::Offer { offer, scroll, .. }) => {
                let title = "Y agree   D decline for good   Esc decide later   ↑ ↓ read on";
                boxed(frame, area, title, &self.offer_rows(offer, area), *scroll);
            }
            Some(Popup::Terms { contact, terms, scroll }) => {
                let title = "Y agree   Esc decide later   ↑ ↓ read on";
                boxed(frame, area, title, &self.terms_rows(contact, terms, area), *scroll);
            }
            Some(Popup::Crisis { crisis, scroll, .. }) => {
                let title = "In a crisis   Esc close   ↑ ↓ read on";
                boxed(frame, area, title, &text_rows(&words::crisis(crisis), area), *scroll);
            }
            Some(Popup::Word { contact, word, ask, field }) => {
                let (label, before) = (self.label_of(contact), words::word(word, &self.clock));
                draw_word(frame, area, (&label, &before), *ask, field, is_active);
            }
        }
    }
}

/// The columns of text in a box.
fn columns(area: Rect) -> usize {
    usize::from(area.width.min(WIDEST).saturating_sub(4)).max(1)
}

fn text_rows(text: &str, area: Rect) -> Vec<Line<'static>> {
    lines(text, columns(area)).into_iter().map(Line::raw).collect()
}

fn words_rows(words: &[String], is_verified: bool, area: Rect) -> Vec<Line<'static>> {
    let columns = columns(area);
    // The longest word of the list has eight letters: four rows of three where they fit.
    let per_row = (columns / 14).clamp(1, 3);
    let numbered: Vec<String> = words.iter().enumerate().map(|(n, word)| format!("{:>2} {word:<10}", n + 1)).collect();
    let words = numbered.chunks(per_row).map(|row| Line::raw(row.join(" ")));
    let mut rows: Vec<Line<'static>> = words.collect();
    rows.push(Line::default());
    rows.extend(text_rows(COMPARE, area));
    let status = if is_verified { (ARE_VERIFIED, Style::new()) } else { (ARE_NOT, WARN) };
    rows.extend(lines(status.0, columns).into_iter().map(|row| Line::styled(row, status.1)));
    rows
}

impl Chat {
    fn label_of(&self, contact: &ContactId) -> String {
        let contact = self.contacts.iter().find(|known| known.id == *contact);
        contact.map_or_else(String::new, |contact| escape::line(&contact.label))
    }

    /// Asks before something that cannot be taken back, and shows what it is about.
    fn draw_sure(&self, frame: &mut Frame<'_>, area: Rect, what: &Sure) {
        let (title, text) = match what {
            Sure::Withdraw(message) => ("Withdraw this message?", format!("{}\n\n{WITHDRAW}", self.quoted(message))),
            Sure::Cancel(message) => ("Cancel this file?", format!("{}\n\n{CANCEL}", self.quoted(message))),
            Sure::Decline => ("Decline for good?", DECLINE.to_owned()),
        };
        boxed(frame, area, title, &text_rows(&text, area), 0);
    }

    fn quoted(&self, message: &MessageId) -> String {
        let label = self.contact().map(|contact| contact.label.as_str()).unwrap_or_default();
        let message = self.conversation().and_then(|shown| shown.messages.iter().find(|known| known.id == *message));
        quote::words(message, label)
    }

    fn offer_rows(&self, offer: &Offer, area: Rect) -> Vec<Line<'static>> {
        let from = escape::line(&offer.from);
        let card = words::offered(offer, &self.clock);
        let card = if card.is_empty() { card } else { format!("{card}\n\n") };
        let terms = escape::block(&offer.terms);
        text_rows(&format!("{from} invites you.\n\n{card}The terms:\n\n{terms}"), area)
    }

    fn terms_rows(&self, contact: &ContactId, terms: &Terms, area: Rect) -> Vec<Line<'static>> {
        let label = self.label_of(contact);
        let asks = format!(
            "{label} changed the terms (version {}). You can read what comes; to write, agree to them first. To end the \
             conversation instead: tacit end",
            terms.version
        );
        text_rows(&format!("{asks}\n\n{}", escape::block(&terms.text)), area)
    }
}

/// The agreed word is typed without being shown.
fn draw_word(
    frame: &mut Frame<'_>,
    area: Rect,
    (label, before): (&str, &[String]),
    ask: WordAsk,
    field: &Composer,
    is_active: bool,
) {
    let before: String = before.iter().map(|line| format!("{line}\n")).collect();
    let hidden = Composer::with("•".repeat(field.text().chars().count()));
    match ask {
        WordAsk::Ask => {
            let text = format!("{before}Enter asks them for the word that you agreed on. S sets another one.");
            boxed(frame, area, &format!("{label}: is it you?   Esc close"), &text_rows(&text, area), 0);
        }
        WordAsk::Set => {
            let text = "Type the word that you agreed on in person, and press Enter. Four characters at least; the longer, \
                        the harder it is to guess.";
            let title = format!("The agreed word with {label}   Esc close");
            draw_field(frame, area, &title, text, &hidden, is_active);
        }
        WordAsk::Answer => {
            let text = "They ask for the word that you agreed on. Type it, and press Enter. It is not sent: their device \
                        only learns whether it is right. F10 declines.";
            let title = format!("{label} asks: is it you?   Esc later");
            draw_field(frame, area, &title, text, &hidden, is_active);
        }
    }
}

/// A box in the middle, as large as its content and the area allow. Scrolls no further than to its last row.
fn boxed(frame: &mut Frame<'_>, area: Rect, title: &str, rows: &[Line<'static>], scroll: usize) {
    let widest = rows.iter().map(Line::width).max().unwrap_or(0).max(width(title));
    let size = |wanted: usize, most: u16| u16::try_from(wanted).unwrap_or(u16::MAX).min(most);
    let (across, down) = (size(widest + 4, area.width.min(WIDEST)), size(rows.len() + 2, area.height));
    let middle = Rect {
        x: area.x + (area.width - across) / 2,
        y: area.y + (area.height - down) / 2,
        width: across,
        height: down,
    };
    let title = shorten(title, usize::from(across.saturating_sub(4)));
    let block = Block::bordered().border_type(BorderType::Rounded).title(format!(" {title} "));
    let inner = block.inner(middle);
    let most = rows.len().saturating_sub(usize::from(inner.height));
    let visible: Vec<Line<'static>> = rows.iter().skip(scroll.min(most)).cloned().collect();
    frame.render_widget(Clear, middle);
    frame.render_widget(block, middle);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    frame.render_widget(Paragraph::new(visible), inner);
}

fn draw_field(frame: &mut Frame<'_>, area: Rect, title: &str, ask: &str, field: &Composer, is_active: bool) {
    let columns = columns(area);
    let mut rows: Vec<String> = lines(ask, columns);
    rows.push(String::new());
    let laid = field.lay(columns.saturating_sub(2).max(1));
    let most = usize::from(area.height).saturating_sub(rows.len() + 2).max(1);
    let first = (laid.cursor.0 + 1).saturating_sub(most);
    let above = rows.len();
    rows.extend(
        laid.lines
            .iter()
            .enumerate()
            .skip(first)
            .take(most)
            .map(|(n, line)| format!("{} {line}", if n == 0 { '>' } else { ' ' })),
    );
    // As wide as it can be, so that it does not grow while one types.
    let rows: Vec<Line<'static>> = rows.iter().map(|row| Line::raw(format!("{row:columns$}"))).collect();
    boxed(frame, area, title, &rows, 0);
    if is_active {
        let down = u16::try_from(rows.len() + 2).unwrap_or(u16::MAX).min(area.height);
        let across = u16::try_from(columns + 4).unwrap_or(u16::MAX).min(area.width.min(WIDEST));
        let x = area.x + (area.width - across) / 2 + 2 + u16::try_from(laid.cursor.1 + 2).unwrap_or(0);
        let y = area.y + (area.height - down) / 2 + 1 + u16::try_from(above + laid.cursor.0 - first).unwrap_or(0);
        frame.set_cursor_position((x.min(area.right().saturating_sub(1)), y.min(area.bottom().saturating_sub(1))));
    }
}

/// The whole area for the code: on a usual terminal there is no row to spare. The link as text has no frame, so that
/// it can be copied with the mouse. While the relay does not know the invite, there is no code to be scanned.
fn draw_invite(frame: &mut Frame<'_>, area: Rect, link: &str, code: Option<&Qr>, is_open: bool, is_text: bool) {
    frame.render_widget(Clear, area);
    let (across, down) = (usize::from(area.width), usize::from(area.height));
    let code = code.filter(|_| is_open);
    let with_caption = code.and_then(|code| code.rows_within(across, down.saturating_sub(1)));
    let Some(rows) = with_caption.or_else(|| code.and_then(|code| code.rows_within(across, down))) else {
        let caption = match (is_open, is_text) {
            (false, _) => NOT_OPEN,
            (true, true) => AS_TEXT,
            (true, false) => NO_ROOM,
        };
        let mut text: Vec<Line<'static>> = lines(link, across).into_iter().map(Line::raw).collect();
        text.push(Line::default());
        text.extend(lines(caption, across).into_iter().map(Line::raw));
        frame.render_widget(Paragraph::new(text), area);
        return;
    };
    let side = rows.first().map_or(0, |row| u16::try_from(width(row)).unwrap_or(area.width));
    let height = u16::try_from(rows.len()).unwrap_or(area.height).min(area.height);
    let code = Rect { x: area.x + area.width.saturating_sub(side) / 2, y: area.y, width: side, height };
    let colours = Style::new().fg(Color::Indexed(qr::BLACK)).bg(Color::Indexed(qr::WHITE));
    frame.render_widget(Paragraph::new(rows.into_iter().map(Line::raw).collect::<Vec<_>>()).style(colours), code);
    if height < area.height {
        let caption = Rect { y: area.y + height, height: 1, ..area };
        frame.render_widget(Paragraph::new(shorten(ONE_PERSON, across)).centered(), caption);
    }
}
