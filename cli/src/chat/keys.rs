//! What the terminal says, as inputs.

use std::thread;

use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::state::Input;
use crate::failure::Failure;

/// Reads the terminal on a thread of its own, until nobody wants to know (`tell` gives false) or the terminal is gone.
pub(crate) fn read_terminal(tell: impl Fn(Input) -> bool + Send + 'static) -> Result<(), Failure> {
    let run = move || {
        while let Ok(event) = event::read() {
            if let Some(input) = input(event)
                && !tell(input)
            {
                return;
            }
        }
        tell(Input::TerminalGone);
    };
    thread::Builder::new().name("terminal".into()).spawn(run).map(drop).map_err(Failure::Terminal)
}

fn input(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Input::Key(key)),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::Resize(..) => Some(Input::Tick),
        _ => None,
    }
}
