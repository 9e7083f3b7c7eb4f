//! `tacit`: Tacit in a terminal. A full-screen chat for people, and commands with JSON output for scripts.
//!
//! What travels, and how it is kept, is the client core's business; here is only what a person types and reads.

mod args;
mod ask;
mod care;
mod chat;
mod clock;
mod commands;
mod demo;
mod describe;
mod escape;
mod failure;
mod given;
mod home;
mod interrupt;
mod notes;
mod output;
mod passphrase;
mod pick;
mod qr;
mod quote;
mod record;
mod session;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::output::Output;

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => {
            let output = Output::new(args.json);
            match commands::run(args, &output) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => {
                    output.failure(&failure);
                    ExitCode::from(failure.exit_code())
                }
            }
        }
        Err(error) => output::usage(&error),
    }
}
