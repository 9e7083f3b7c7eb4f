//! `tacit demo`: both devices on one screen.

use std::iter;
use std::sync::mpsc;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders};

use super::world::{Side, World};
use crate::chat::{BURST, Chat, Effect, Input, Leave, Screen, TICK, Worker, read_terminal};
use crate::clock::Clock;
use crate::failure::Failure;

/// Narrower than this, only the active side is shown.
const BOTH: u16 = 60;

/// With no more rows than this, there is none for the names.
const LEAST_ROWS: u16 = 6;

/// Both sides, and which of them the keyboard writes for. Left is the therapist, right the client.
struct Split {
    names: [&'static str; 2],
    chats: [Chat; 2],
    active: usize,
}

/// To which side something happened.
enum For {
    Active(Input),
    Side(usize, Input),
}

/// Shows both sides until the person leaves.
pub(super) fn run(world: &World) -> Result<(), Failure> {
    let sides = [&world.therapist, &world.client];
    let mut split = Split::new(sides, &Clock::local());
    let (tell, inputs) = mpsc::channel();
    let worker = |n: usize, side: &Side| {
        // It was connected for the pairing; from here on the chat is told what happens.
        side.client.stop();
        let tell = tell.clone();
        Worker::start(side.client.clone(), move |input| drop(tell.send(For::Side(n, input))))
    };
    let workers = [worker(0, &world.therapist)?, worker(1, &world.client)?];
    let mut screen = Screen::enter()?;
    read_terminal(move |input| tell.send(For::Active(input)).is_ok())?;
    loop {
        screen.draw(|frame| split.draw(frame))?;
        let first = inputs.recv_timeout(TICK).unwrap_or(For::Active(Input::Tick));
        for input in iter::once(first).chain(inputs.try_iter().take(BURST)) {
            for (side, effect) in split.update(input) {
                match effect {
                    Effect::Leave(Leave::Interrupted) => return Err(Failure::Interrupted),
                    Effect::Leave(_) => return Ok(()),
                    effect => {
                        if let Some(worker) = workers.get(side) {
                            worker.carry_out(effect);
                        }
                    }
                }
            }
        }
    }
}

impl Split {
    fn new(sides: [&Side; 2], clock: &Clock) -> Self {
        let chat = |side: &Side| Chat::new(clock.clone(), Some(side.contact.clone()));
        Self { names: sides.map(|side| side.name), chats: sides.map(chat), active: 0 }
    }

    /// Takes in what happened; the effects are each side's own.
    fn update(&mut self, input: For) -> Vec<(usize, Effect)> {
        let (side, input) = match input {
            For::Active(Input::Key(key)) if key.code == KeyCode::Tab && key.modifiers == KeyModifiers::NONE => {
                self.active = 1 - self.active;
                return Vec::new();
            }
            For::Active(input) => (self.active, input),
            For::Side(side, input) => (side, input),
        };
        let Some(chat) = self.chats.get_mut(side) else { return Vec::new() };
        chat.now = crate::clock::now();
        chat.update(input).into_iter().map(|effect| (side, effect)).collect()
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let shares = if area.width >= BOTH {
            [Constraint::Fill(1), Constraint::Fill(1)]
        } else if self.active == 0 {
            [Constraint::Fill(1), Constraint::Length(0)]
        } else {
            [Constraint::Length(0), Constraint::Fill(1)]
        };
        let areas: [Rect; 2] = Layout::horizontal(shares).areas(area);
        let is_split = area.width >= BOTH;
        for (n, (chat, area)) in self.chats.iter_mut().zip(areas).enumerate() {
            let is_active = n == self.active;
            if area.is_empty() {
                continue;
            }
            // The smallest chat needs every row.
            let head_rows = u16::from(area.height > LEAST_ROWS);
            let [head, body] = Layout::vertical([Constraint::Length(head_rows), Constraint::Min(0)]).areas(area);
            let whose = if n == 0 { "therapist" } else { "client" };
            let name = self.names.get(n).copied().unwrap_or_default();
            let hint = if is_active { "Ctrl+Q leaves" } else { "Tab to write here" };
            let style = if is_active { Modifier::REVERSED } else { Modifier::DIM };
            let title = Line::raw(format!(" {name}, {whose}  ({hint})"));
            frame.render_widget(title.style(Style::new().add_modifier(style)), head);
            let block = Block::new().borders(if is_split && n == 0 { Borders::RIGHT } else { Borders::NONE });
            let inner = block.inner(body);
            frame.render_widget(block.border_style(Style::new().add_modifier(Modifier::DIM)), body);
            chat.draw(frame, inner, is_active);
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyEvent;
    use tacit_client_core::{Contact, ContactState};

    use super::*;

    fn contact(label: &str) -> Contact {
        Contact {
            id: "a".into(),
            label: label.into(),
            state: ContactState::Paired,
            verified: false,
            remote_invite: false,
            invite_tried: false,
            locked_out: false,
            unread: 0,
            missing: 0,
            unopened: 0,
            last_activity: 0,
            care: tacit_client_core::CareState::default(),
            session: tacit_client_core::SessionState::default(),
            read_receipts: tacit_client_core::ReadReceipts::default(),
        }
    }

    fn split() -> Split {
        let chat = || Chat::new(Clock::utc(), Some("a".into()));
        let mut split = Split { names: ["Dr. Lindqvist", "Sam"], chats: [chat(), chat()], active: 0 };
        for (n, label) in ["Sam", "Dr. Lindqvist"].into_iter().enumerate() {
            split.update(For::Side(n, Input::Contacts { contacts: vec![contact(label)], can_invite: n == 0 }));
            split.update(For::Side(n, Input::Newest { contact: "a".into(), messages: Vec::new(), is_all: true }));
        }
        split
    }

    fn press(split: &mut Split, code: KeyCode) -> Vec<(usize, Effect)> {
        split.update(For::Active(Input::Key(KeyEvent::new(code, KeyModifiers::NONE))))
    }

    fn screen(split: &mut Split, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| split.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn tab_changes_for_whom_one_writes() {
        let mut split = split();
        press(&mut split, KeyCode::Char('x'));
        let sent = press(&mut split, KeyCode::Enter);
        assert_eq!(sent, [(0, Effect::Send { contact: "a".into(), text: "x".into() })]);
        press(&mut split, KeyCode::Tab);
        press(&mut split, KeyCode::Char('y'));
        let sent = press(&mut split, KeyCode::Enter);
        assert_eq!(sent, [(1, Effect::Send { contact: "a".into(), text: "y".into() })]);
    }

    #[test]
    fn both_sides_are_seen_and_on_a_narrow_screen_the_active_one() {
        let mut split = split();
        let wide = screen(&mut split, 100, 24);
        assert!(wide.contains("Dr. Lindqvist, therapist  (Ctrl+Q leaves)"), "{wide}");
        assert!(wide.contains("Sam, client  (Tab to write here)"), "{wide}");
        let narrow = screen(&mut split, 50, 24);
        assert!(narrow.contains("Dr. Lindqvist, therapist") && !narrow.contains("Sam, client"), "{narrow}");
        press(&mut split, KeyCode::Tab);
        let narrow = screen(&mut split, 50, 24);
        assert!(narrow.contains("Sam, client") && !narrow.contains("Dr. Lindqvist, therapist"), "{narrow}");
        for (width, height) in [(1, 1), (20, 6), (60, 2), (61, 7)] {
            screen(&mut split, width, height);
        }
    }
}
