//! The command line.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use tacit_proto::limits::MAX_PERMITS;
use tacit_proto::link::RelayAddress;
use tacit_server::settings::{Settings, SettingsError, Span, Tls};

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
    Run(Box<Run>),
    /// Write a configuration, a data folder and a systemd unit. Asks what it is not told.
    Init(Init),
    /// Check the configuration, and show what follows from it.
    CheckConfig(Place),
    /// Look for what would keep the relay from serving well. Each line says what to do.
    Doctor(Place),
    /// Give the disk back what deleted boxes took. The relay must not run.
    Compact(Place),
    /// Bring the data folder to this version's format. `run` does it too; this does nothing else.
    Migrate(Place),
    /// Write a backup, while the relay runs or not: channels, enrolments and configuration; no boxes, no keys to boxes.
    Backup(Backup),
    /// Make a data folder from a backup. Devices then resend by themselves what was never receipted.
    Restore(Restore),
    /// Print a link by which one therapist's device enrols. Works while the relay runs.
    Enrol(Enrol),
    /// List the enrolments that have something left: an unused link, or channels that may still be opened.
    Enrolments(Show),
    /// Take back what is left of an enrolment. Channels that came of it go on: the relay cannot tell which they are.
    Revoke(Revoke),
    /// Show how the running relay is.
    Status(Show),
    /// Send every device away for maintenance. They come back by themselves, and are told what is going on.
    Drain(Drain),
    /// Serve again after `drain`.
    Resume(Place),
}

/// Where a configuration is looked for if nobody says: beside the operator, then where the package puts it.
const CONFIGS: [&str; 2] = ["tacit.toml", "/etc/tacit/tacit.toml"];

/// The settings of a file (if there is one), and over them those of the environment and the command line.
fn load(config: Option<&Path>, above: Settings) -> Result<Settings, SettingsError> {
    Ok(above.over(found(config).map(Settings::read).transpose()?.unwrap_or_default()))
}

fn found(config: Option<&Path>) -> Option<&Path> {
    config.or_else(|| CONFIGS.iter().map(Path::new).find(|path| path.exists()))
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The configuration file [default: tacit.toml, or else /etc/tacit/tacit.toml, if there is one].
    #[arg(long, value_name = "FILE", env = "TACIT_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Run {
    pub(crate) fn settings(&self) -> Result<Settings, SettingsError> {
        load(self.config.as_deref(), self.settings.clone())
    }

    /// What to give the other commands so that they find the same relay.
    pub(crate) fn place(&self) -> String {
        let option = |name: &str, path: &PathBuf| format!(" {name} {}", quoted(&path.display().to_string()));
        match (&self.settings.data, &self.config) {
            (Some(data), _) => option("--data", data),
            (None, Some(config)) => option("--config", config),
            (None, None) => String::new(),
        }
    }
}

/// Which relay a command is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The configuration file of the relay [default: tacit.toml, or else /etc/tacit/tacit.toml, if there is one].
    #[arg(long, value_name = "FILE", env = "TACIT_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder of the relay [default: the configured one, or tacit-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What the environment sets, for commands that take few settings on their command line.
#[derive(Debug, Parser)]
struct Environment {
    #[command(flatten)]
    settings: Settings,
}

impl Place {
    /// The configuration file, if there is one.
    pub(crate) fn config_file(&self) -> Option<&Path> {
        found(self.config.as_deref())
    }

    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let Environment { settings } = Environment::try_parse_from([""])?;
        let above = Settings { data: self.data.clone(), ..Settings::default() };
        Ok(load(self.config.as_deref(), above.over(settings))?)
    }
}

/// As a shell takes it back.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The enrolment, as `enrol` and `enrolments` name it.
    #[arg(value_name = "ENROLMENT")]
    pub(crate) enrolment: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where to write it. Keep it as safe as the relay: it has the key that links pin, if there is one.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The backup.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where to write the configuration that is in the backup. Nothing is written over.
    #[arg(long, value_name = "FILE")]
    pub(crate) write_config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) place: Place,
    /// What people are told, at most 1,000 bytes.
    #[arg(long, value_name = "TEXT", default_value = "This relay is under maintenance. Your messages are kept.")]
    pub(crate) notice: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// The folder for tacit.toml and tacit-server.service [default: this one; with the package, /etc/tacit].
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Where devices reach the relay: wss://relay.example, or wss://192.0.2.7:7443 in a clinic's own network.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<RelayAddress>,
    /// How connections are encrypted.
    #[arg(long, value_enum)]
    pub(crate) tls: Option<Tls>,
    /// The same as --tls pinned: with a key of the relay's own. No domain and no authority is needed.
    #[arg(long, conflicts_with = "tls")]
    pub(crate) pinned: bool,
    /// With --tls files: the certificate chain, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// With --tls files: its private key, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) private_key: Option<PathBuf>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Who runs this relay and how to reach them, shown on its page.
    #[arg(long, value_name = "TEXT")]
    pub(crate) operator: Option<String>,
    /// The system user that the relay is to run as.
    #[arg(long, value_name = "NAME", default_value = "tacit")]
    pub(crate) user: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Enrol {
    #[command(flatten)]
    pub(crate) place: Place,
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
