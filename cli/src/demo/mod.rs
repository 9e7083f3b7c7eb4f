//! `tacit demo`: a relay and two devices in one process, to look around. Everything in it is real but the people.

mod relay;
mod script;
mod split;
mod world;

use crate::args;
use crate::chat;
use crate::failure::Failure;
use crate::output::Output;

use self::world::World;

/// Shows the split screen, or prints a conversation. Nothing of it is left afterwards.
pub(crate) fn run(args: &args::Demo, output: Output) -> Result<(), Failure> {
    if args.script {
        return script::run(&World::begin()?, output);
    }
    chat::check_terminal(output)?;
    output.note("A relay and two devices are being set up...");
    split::run(&World::begin()?)
}
