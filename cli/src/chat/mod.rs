//! The full-screen chat. What it shows is a pure state that takes inputs and returns effects; a worker carries the
//! effects out on the client; the loop here only passes things on.

mod answers;
mod bubbles;
mod choose;
mod composer;
mod deeds;
mod draw;
mod keys;
mod paths;
mod popup;
mod popup_draw;
pub(crate) mod screen;
mod state;
mod update;
mod worker;
mod wrap;

use std::io::{self, IsTerminal};
use std::iter;
use std::sync::mpsc;
use std::time::Duration;

pub(crate) use self::keys::read_terminal;
pub(crate) use self::screen::Screen;
pub(crate) use self::state::{Chat, Effect, Input, Leave};
pub(crate) use self::worker::Worker;
pub(crate) use self::wrap::shorten;
use crate::args;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::Session;

/// The screen is drawn anew at least that often: a day may have passed.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// Most inputs that are taken in before the screen shows them.
pub(crate) const BURST: usize = 256;

/// That a full screen makes sense here.
pub(crate) fn check_terminal(output: Output) -> Result<(), Failure> {
    if output.is_read_by_a_person() && io::stdin().is_terminal() { Ok(()) } else { Err(Failure::NotATerminal) }
}

/// Shows the chat until the person leaves.
pub(crate) fn run(session: &Session, args: &args::Chat) -> Result<(), Failure> {
    let wanted = args.contact.as_deref().map(|name| session.pick(name)).transpose()?;
    let mut chat = Chat::new(session.clock.clone(), wanted.map(|contact| contact.id));

    let (tell, inputs) = mpsc::channel();
    let keys = tell.clone();
    // A send fails once the loop below has ended, and then nobody wants to know.
    let worker = Worker::start(session.client().clone(), move |input| drop(tell.send(input)))?;
    let mut screen = Screen::enter()?;
    read_terminal(move |input| keys.send(input).is_ok())?;
    chat.now = crate::clock::now();
    loop {
        screen.draw(|frame| chat.draw(frame, frame.area(), true))?;
        let first = inputs.recv_timeout(TICK).unwrap_or(Input::Tick);
        chat.now = crate::clock::now();
        for input in iter::once(first).chain(inputs.try_iter().take(BURST)) {
            for effect in chat.update(input) {
                match effect {
                    Effect::Leave(Leave::Interrupted) => return Err(Failure::Interrupted),
                    Effect::Leave(_) => return Ok(()),
                    effect => worker.carry_out(effect),
                }
            }
        }
    }
}
