//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tacit_proto::limits::MAX_PERMITS;
use tacit_proto::link::RelayAddress;
use tacit_server::settings::{Settings, SettingsError, Span};

use crate::Failure;

/// A Tacit relay: forwards sealed boxes between the two ends of a channel, and stores undelivered ones briefly.
#[derive(Debug, Parser)]
#[command(name = "tacit-server", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve. This is what happens without a command.
    Run(Run),
    /// Print a link by which one therapist's device enrols. Works while the relay runs.
    Enrol(Enrol),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The data folder [default: tacit-data]. Made if it is missing.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:7443]. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A configuration file. What is given here as well goes before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve unencrypted to other machines, because a proxy in front does the encryption.
    #[arg(long)]
    plain_behind_proxy: bool,
}

impl Run {
    /// The settings from the file, and over them those from the command line.
    pub(crate) fn settings(&self) -> Result<Settings, SettingsError> {
        let mut settings = self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        settings.data = self.data.clone().or(settings.data);
        settings.listen = self.listen.or(settings.listen);
        settings.plain_behind_proxy |= self.plain_behind_proxy;
        Ok(settings)
    }

    /// What to give `enrol` so that it finds the same relay.
    pub(crate) fn for_enrol(&self) -> String {
        let option = |name: &str, path: &PathBuf| format!(" {name} {}", quoted(&path.display().to_string()));
        match (&self.data, &self.config) {
            (Some(data), _) => option("--data", data),
            (None, Some(config)) => option("--config", config),
            (None, None) => String::new(),
        }
    }
}

/// As a shell takes it back.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[derive(Debug, clap::Args)]
pub(crate) struct Enrol {
    /// The data folder of the relay [default: tacit-data].
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// The configuration file of the relay.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many channels the therapist may open.
    #[arg(long, value_name = "N", default_value = "50", value_parser = channels)]
    pub(crate) channels: NonZeroU16,
    /// How long the link may be used: 12h, 7d, 2w.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(crate) expires: Span,
    /// The address at which devices reach the relay [default: the configured one, or where it listens].
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<RelayAddress>,
}

impl Enrol {
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        settings.data = self.data.clone().or(settings.data);
        Ok(settings)
    }
}

fn channels(text: &str) -> Result<NonZeroU16, String> {
    let number = text.parse::<NonZeroU16>().ok().filter(|number| usize::from(number.get()) <= MAX_PERMITS);
    number.ok_or_else(|| format!("a number from 1 to {MAX_PERMITS} is wanted"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_is_printed_for_enrol_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("/srv/tacit-data"), "/srv/tacit-data");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
