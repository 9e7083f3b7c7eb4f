//! `tacit-server`: the relay as a program.

mod args;
mod enrol_command;
mod run_command;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

/// Anything that ends the program with an error, as one line for the operator.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        None => run_command::run(&args.run),
        Some(Command::Run(run)) => run_command::run(&run),
        Some(Command::Enrol(enrol)) => enrol_command::enrol(&enrol),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            use std::io::Write;
            // Without a standard error there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "tacit-server: {failure}");
            ExitCode::FAILURE
        }
    }
}
