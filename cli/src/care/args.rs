//! The command line of what therapy needs.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::args::Patience;

#[derive(Debug, clap::Args)]
pub(crate) struct Practice {
    #[command(subcommand)]
    pub(crate) what: PracticeWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PracticeWhat {
    /// Print the practice card
    Show,
    /// Sign the practice card in FILE, and hand it to every client
    Set(SignFile),
    /// Say that the practice is away
    Away(Away),
    /// Take back all that is said about being away, from today on
    Back(Back),
    /// Print the crisis card, or sign the one in FILE
    Crisis(MaybeSignFile),
    /// Print the terms, or sign the text in FILE: every client is asked again
    Terms(MaybeSignFile),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SignFile {
    /// A file; `-` is stdin
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MaybeSignFile {
    /// A file; `-` is stdin
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Away {
    /// The last day
    #[arg(long, value_name = "DATE")]
    pub(crate) until: String,
    /// The first day [default: today]
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<String>,
    /// Why, as clients read it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    /// Who covers in that time
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) cover: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Back {
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Hours {
    /// A label or an id
    pub(crate) contact: String,
    /// At another time than now: 2026-06-05T18:00:00+02:00
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Crisis {
    /// A label or an id
    pub(crate) contact: String,
    /// The language to show it in [default: that of this terminal]
    #[arg(long, value_name = "TAG")]
    pub(crate) locale: Option<String>,
    /// Say whether it must be shown now, and show it only then
    #[arg(long)]
    pub(crate) if_due: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Terms {
    /// A label or an id
    pub(crate) contact: String,
    /// Agree to the terms of this version, which you have read
    #[arg(long, value_name = "VERSION")]
    pub(crate) agree: Option<u64>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Consent {
    /// A label or an id
    pub(crate) contact: String,
    /// Print the consent to terms of this version as a file that anyone can check
    #[arg(long, value_name = "VERSION")]
    pub(crate) export: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckConsent {
    /// A file; `-` is stdin
    pub(crate) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    /// A label or an id
    pub(crate) contact: String,
    /// Why, or until when, as the other side reads it; `-` is stdin
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) words: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// A label or an id
    pub(crate) contact: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Discharge {
    /// A label or an id
    pub(crate) contact: String,
    /// Words of farewell: whom to turn to, for instance; `-` is stdin
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) words: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Word {
    /// A label or an id
    pub(crate) contact: String,
    #[command(flatten)]
    pub(crate) what: WordWhat,
    /// A file whose first line is the word [default: a question]. It is never part of the command line
    #[arg(long, value_name = "FILE")]
    pub(crate) word_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct WordWhat {
    /// Set the word that you agreed on in person
    #[arg(long)]
    pub(crate) set: bool,
    /// Forget the word
    #[arg(long)]
    pub(crate) forget: bool,
    /// Ask them for it
    #[arg(long)]
    pub(crate) ask: bool,
    /// Answer their question with it
    #[arg(long)]
    pub(crate) answer: bool,
    /// Do not answer their question
    #[arg(long)]
    pub(crate) decline: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Notifications {
    #[command(subcommand)]
    pub(crate) what: Option<NotificationsWhat>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotificationsWhat {
    /// Print, and change, how this device notifies its owner
    Settings(NotificationSettings),
    /// Notify of a contact in quiet hours too
    Mark(Mark),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NotificationSettings {
    /// What a notification says
    #[arg(long, value_name = "TEXT")]
    pub(crate) words: Option<String>,
    /// What it may show besides
    #[arg(long, value_enum)]
    pub(crate) show: Option<Show>,
    /// When notifications are held: `off`, `office` (outside of the practice's hours), or the hours in which they may
    /// come, such as `mon-fri 08:00-18:00, sat 09:00-12:00`
    #[arg(long, value_name = "WHEN")]
    pub(crate) quiet: Option<String>,
    /// The time zone of these hours [default: that of this device]
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
}

/// What a notification may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Show {
    /// Its words alone.
    Nothing,
    /// The contact's label as well.
    Label,
    /// The label, and what the newest message says.
    Text,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Mark {
    /// A label or an id
    pub(crate) contact: String,
    /// Hold them again
    #[arg(long)]
    pub(crate) off: bool,
}
