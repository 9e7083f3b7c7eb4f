//! The terminal as a full screen, and given back as it was: at the end, after an error, on a panic, on a signal.

use std::io::{self, Stdout, Write, stdout};
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::Print;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode, is_raw_mode_enabled,
};
use ratatui::{Frame, Terminal};

use crate::failure::Failure;

/// Says nothing about whom one writes with: titles are seen by whoever passes, and kept by window managers.
const TITLE: &str = "tacit";

/// Many terminals turn the wheel into arrow keys on a full screen, and an arrow key is another conversation. What was
/// set is kept, where a terminal can do that; it has it on where it cannot.
const NO_WHEEL: &str = "\x1b[?1007s\x1b[?1007l";
const WHEEL: &str = "\x1b[?1007h\x1b[?1007r";

/// Whether the terminal is ours. Locked while something is drawn: whoever gives the terminal back, on a signal for
/// instance, must not be drawn over afterwards. Global, as the terminal is.
static IS_OURS: Mutex<bool> = Mutex::new(false);

/// The full screen, while it lives.
pub(crate) struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes the terminal.
    pub(crate) fn enter() -> Result<Self, Failure> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        enable_raw_mode().map_err(Failure::Terminal)?;
        *IS_OURS.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let entered = take(&mut stdout()).and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match entered {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                restore();
                Err(Failure::Terminal(error))
            }
        }
    }

    /// Draws one picture.
    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        let is_ours = IS_OURS.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_ours { self.0.draw(picture).map(|_| ()).map_err(Failure::Terminal) } else { Ok(()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, if it was taken. Errors cannot be shown anywhere by then.
pub(crate) fn restore() {
    let is_ours = not_while_drawing();
    if is_raw_mode_enabled().unwrap_or(false) {
        let _ = give_back(&mut stdout());
        let _ = disable_raw_mode();
    }
    if let Some(mut is_ours) = is_ours {
        *is_ours = false;
    }
}

fn take(terminal: &mut impl Write) -> io::Result<()> {
    execute!(terminal, EnterAlternateScreen, Print(NO_WHEEL), EnableBracketedPaste, SetTitle(TITLE))
}

fn give_back(terminal: &mut impl Write) -> io::Result<()> {
    execute!(terminal, DisableBracketedPaste, Print(WHEEL), LeaveAlternateScreen, Show)
}

/// Waits for the end of a picture; `None` if there is none, because the one who draws panics.
fn not_while_drawing() -> Option<MutexGuard<'static, bool>> {
    for _ in 0..20 {
        match IS_OURS.try_lock() {
            Ok(is_ours) => return Some(is_ours),
            Err(TryLockError::Poisoned(is_ours)) => return Some(is_ours.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_is_no_arrow_key_while_the_chat_is_open() {
        let (mut taken, mut given_back) = (Vec::new(), Vec::new());
        take(&mut taken).unwrap();
        give_back(&mut given_back).unwrap();
        let (taken, given_back) = (String::from_utf8(taken).unwrap(), String::from_utf8(given_back).unwrap());
        assert!(taken.contains("\x1b[?1049h\x1b[?1007s\x1b[?1007l"), "{taken:?}");
        assert!(given_back.contains("\x1b[?1007h\x1b[?1007r\x1b[?1049l"), "{given_back:?}");
    }
}
