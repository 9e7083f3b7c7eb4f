//! `tacit-server`: the relay as a program.

mod args;
mod backup_commands;
mod check_command;
mod control_commands;
mod doctor_command;
mod enrol_command;
mod enrolment_commands;
mod init_command;
mod owner;
mod run_command;
mod spool_commands;
mod supervisor;

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
        Some(Command::Init(init)) => init_command::init(&init),
        Some(Command::CheckConfig(place)) => check_command::check(&place),
        Some(Command::Doctor(place)) => doctor_command::doctor(&place),
        Some(Command::Compact(place)) => spool_commands::compact(&place),
        Some(Command::Migrate(place)) => spool_commands::migrate(&place),
        Some(Command::Backup(backup)) => backup_commands::backup(&backup),
        Some(Command::Restore(restore)) => backup_commands::restore(&restore),
        Some(Command::Enrol(enrol)) => enrol_command::enrol(&enrol),
        Some(Command::Enrolments(show)) => enrolment_commands::list(&show),
        Some(Command::Revoke(revoke)) => enrolment_commands::revoke(&revoke),
        Some(Command::Status(show)) => control_commands::status(&show),
        Some(Command::Drain(drain)) => control_commands::drain(&drain),
        Some(Command::Resume(place)) => control_commands::resume(&place),
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
