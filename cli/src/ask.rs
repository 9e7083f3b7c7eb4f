//! Questions to the person at the terminal. They go to stderr: stdout carries nothing but the answer of the command.

use std::io::{self, BufRead, IsTerminal, Write};

/// Whether somebody is there to be asked.
pub(crate) fn is_anyone_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks, and reads one line.
pub(crate) fn line(question: &str) -> io::Result<String> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Asks for a yes; anything else is a no.
pub(crate) fn yes(question: &str) -> io::Result<bool> {
    let answer = line(&format!("{question} [y/N] "))?.to_lowercase();
    Ok(answer == "y" || answer == "yes")
}
