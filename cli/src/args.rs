//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::care::args as care;
use clap::{Parser, Subcommand, ValueEnum};

/// Write with your therapist, or your client, so that nobody else can read it.
#[derive(Debug, Parser)]
#[command(name = "tacit", version, propagate_version = true)]
pub(crate) struct Args {
    /// Where this device keeps its store [default: the platform's data folder]
    #[arg(long, global = true, value_name = "DIR", env = "TACIT_HOME", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// A file whose first line is the passphrase [default: $TACIT_PASSPHRASE, or a question]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// One more authority whose certificates are accepted for relays: its root certificate, PEM
    #[arg(long, global = true, value_name = "FILE", env = "TACIT_CA", hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,
    /// One JSON object per line on stdout; errors are one JSON object on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Enrol this device at a relay (for therapists): afterwards it can invite
    Enrol(Enrol),
    /// Make a link, and a QR code, by which one person can pair with you
    Invite(Invite),
    /// Pair with the person who gave you a link
    Join(Join),
    /// List contacts
    Contacts,
    /// Send a message
    Send(Send),
    /// Give a text that you sent within a day another text, on both sides
    Edit(Edit),
    /// Take back a text that you sent within a day: it is deleted on both sides, unless they keep what is written; they
    /// may have read it
    Withdraw(Withdraw),
    /// Connect, exchange all that waits both ways, and print what came
    Sync(Sync),
    /// Print a conversation
    History(History),
    /// Find messages by their words
    Search(Search),
    /// Show the safety words, to be compared with the other side
    Words(Words),
    /// Begin anew with a contact: new keys, and new safety words to be compared
    Reset(Reset),
    /// Send again what expired before the other device came for it
    Resend(Resend),
    /// Show or change whether you tell a contact what you have read
    Receipts(Receipts),
    /// End the pairing with a contact at once
    End(End),
    /// Give a contact another label; it never leaves this device
    Rename(Rename),
    /// Keep messages for some time, or see how long both sides keep them
    Retention(Retention),
    /// Delete a message, or a whole conversation, on this device
    Delete(Delete),
    /// Write an encrypted backup of this device to a file
    Backup(Backup),
    /// Make this device from a backup; the lost one is locked out if the backup is newer than its last reset and
    /// restore
    Restore(Restore),
    /// The practice card, crisis card and terms of this device's practice (for therapists)
    Practice(care::Practice),
    /// When a practice reads messages, and by when it answers
    Hours(care::Hours),
    /// What to do and whom to call in a crisis
    Crisis(care::Crisis),
    /// The terms between you and a contact
    Terms(care::Terms),
    /// Who agreed to which terms, and when
    Consent(care::Consent),
    /// Check the file of a consent; needs no home
    CheckConsent(care::CheckConsent),
    /// Pause a conversation: neither side can write until you resume it
    Pause(care::Pause),
    /// End your pause
    Resume(care::Resume),
    /// End the pairing with a farewell, after everything written before it has arrived
    Discharge(care::Discharge),
    /// "Is it you?": a word that you agreed on in person
    Word(care::Word),
    /// Print what there is to notify of, each message once
    Notifications(care::Notifications),
    /// Show or change how relays are reached: through Tor, or with a connection for each contact
    Network(Network),
    /// Send a file
    Attach(Attach),
    /// Write a file that came, or was sent, to a new file
    Save(Save),
    /// Cancel a file that is under way
    Cancel(Cancel),
    /// Change the passphrase of this device
    Passphrase(Passphrase),
    /// Check that everything stored on this device is as it was written
    Check,
    /// Destroy everything on this device for good
    Erase(Erase),
    /// Full-screen chat
    Chat(Chat),
    /// A relay and two devices in one process, to look around
    Demo(Demo),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Enrol {
    /// The enrolment link from the relay's operator; `-` is stdin
    pub(crate) link: String,
    /// How clients will see you
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// What you call this person; it never leaves this device
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// How long the link can be used
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    pub(crate) expires: Duration,
    /// Show the link of an earlier invite that nobody used yet
    #[arg(long, value_name = "CONTACT", conflicts_with_all = ["label", "expires"])]
    pub(crate) show: Option<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// The link that you were given; `-` is stdin
    pub(crate) link: String,
    /// What you call this person; it never leaves this device
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Agree to the terms without being asked
    #[arg(long)]
    pub(crate) accept_terms: bool,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// A label or an id
    pub(crate) contact: String,
    /// What to send; `-` sends each line of stdin
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    /// It answers this message: its id, as `history --json` shows it. Of stdin, each line does
    #[arg(long, value_name = "ID")]
    pub(crate) reply_to: Option<String>,
    /// Fail unless the message got that far in time; `none` only queues it
    #[arg(long, value_enum)]
    pub(crate) wait: Option<Wait>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// The message's id, as `history --json` shows it
    pub(crate) message: String,
    /// What it says from now on; `-` is stdin
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Withdraw {
    /// The message's id, as `history --json` shows it
    pub(crate) message: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// A label or an id
    pub(crate) contact: String,
    /// The file; it is not needed any more once this is done
    pub(crate) file: PathBuf,
    /// It is a voice note of so many milliseconds
    #[arg(long, value_name = "N")]
    pub(crate) voice_ms: Option<u32>,
    /// A small picture of it, at most 12,000 bytes
    #[arg(long, value_name = "FILE")]
    pub(crate) thumbnail: Option<PathBuf>,
    /// What the other side sees instead of the file's name
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// What is in it, such as image/png [default: what its name says]
    #[arg(long, value_name = "TYPE")]
    pub(crate) media_type: Option<String>,
    /// Only queue it
    #[arg(long)]
    pub(crate) queue: bool,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Save {
    /// The message's id, as `history --json` shows it
    pub(crate) message: String,
    /// The file to be written; one that is there is not replaced
    pub(crate) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The message's id, as `history --json` shows it
    pub(crate) message: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// How far a message must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Safe on this device.
    None,
    /// Safe at the relay.
    Accepted,
    /// Safe on the other device.
    Delivered,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sync {
    /// Give up after this time
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) within: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// A label or an id
    pub(crate) contact: String,
    /// Only the newest N messages
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// Words, or how they begin; words in double quotes must follow each other
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
    /// Only in the conversation with this contact: a label or an id
    #[arg(long, value_name = "CONTACT")]
    pub(crate) contact: Option<String>,
    /// Only the newest N
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Words {
    /// A label or an id
    pub(crate) contact: String,
    /// These words were compared, and are the same on both sides: all twelve, as one argument, or `-` for stdin; asks
    /// without them
    #[arg(long, value_name = "WORDS", num_args = 0..=1)]
    #[allow(clippy::option_option, reason = "an option, and its value")]
    pub(crate) verified: Option<Option<String>>,
    /// The words differ, or it is not sure that they were compared
    #[arg(long, conflicts_with = "verified")]
    pub(crate) not_verified: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// A label or an id
    pub(crate) contact: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Resend {
    /// A label or an id
    pub(crate) contact: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    /// Reach every relay through this SOCKS5 proxy; Tor's is socks5://127.0.0.1:9050
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Reach relays directly again
    #[arg(long, conflicts_with = "proxy")]
    pub(crate) direct: bool,
    /// A connection for each contact: without a proxy, the address still ties them together, and times may
    #[arg(long)]
    pub(crate) separate: bool,
    /// One connection for all contacts at a relay again
    #[arg(long, conflicts_with = "separate")]
    pub(crate) together: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Receipts {
    /// A label or an id
    pub(crate) contact: String,
    /// Tell them which of their messages you have read, if they tell you the same
    #[arg(long)]
    pub(crate) on: bool,
    /// Tell them nothing; then you do not see it of yours either
    #[arg(long, conflicts_with = "on")]
    pub(crate) off: bool,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct End {
    /// A label or an id
    pub(crate) contact: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// A label or an id
    pub(crate) contact: String,
    /// The label from now on
    pub(crate) label: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Retention {
    /// A label or an id
    pub(crate) contact: String,
    /// Keep messages until they are deleted by hand
    #[arg(long)]
    pub(crate) always: bool,
    /// Keep messages for so many years, then delete them
    #[arg(long, value_name = "N", conflicts_with = "always")]
    pub(crate) years: Option<u32>,
    /// Delete messages after so many days
    #[arg(long, value_name = "N", conflicts_with_all = ["always", "years"])]
    pub(crate) days: Option<u32>,
    /// Delete nothing until the hold is lifted
    #[arg(long)]
    pub(crate) hold: bool,
    /// Lift the hold
    #[arg(long, conflicts_with = "hold")]
    pub(crate) no_hold: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// A label or an id
    pub(crate) contact: String,
    /// Only this message: its id, as `history --json` shows it
    #[arg(long, value_name = "ID")]
    pub(crate) message: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The file; one that is there is replaced
    pub(crate) file: PathBuf,
    /// Draw 24 recovery words, and print them, to be written down on paper
    #[arg(long)]
    pub(crate) new_words: bool,
    /// Use the recovery words of an earlier backup instead of a passphrase
    #[arg(long, conflicts_with = "new_words")]
    pub(crate) words: bool,
    /// A file whose first line is the passphrase or the words [default: $TACIT_BACKUP_SECRET, or a question]
    #[arg(long, value_name = "FILE", conflicts_with = "new_words")]
    pub(crate) secret_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The file
    pub(crate) file: PathBuf,
    /// A file whose first line is the passphrase or the words [default: $TACIT_BACKUP_SECRET, or a question]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Passphrase {
    /// A file whose first line is the new passphrase [default: $TACIT_NEW_PASSPHRASE, or a question]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Erase {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Chat {
    /// The conversation to begin with: a label or an id
    pub(crate) contact: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Print a conversation instead of showing the split screen
    #[arg(long)]
    pub(crate) script: bool,
}

/// How long to wait for the relay.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Patience {
    /// How long to wait for the relay
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &[&str]) -> Result<Command, clap::Error> {
        Args::try_parse_from(["tacit"].iter().chain(line)).map(|args| args.command)
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        let Ok(Command::Invite(invite)) = parse(&["invite"]) else { panic!("invite") };
        assert_eq!(invite.expires, Duration::from_secs(7 * 24 * 3600));
        let Ok(Command::Sync(sync)) = parse(&["sync", "--for", "1m 30s"]) else { panic!("sync") };
        assert_eq!(sync.within, Duration::from_secs(90));
        let Ok(Command::Send(send)) = parse(&["send", "Anna", "hi", "--timeout", "250ms"]) else { panic!("send") };
        assert_eq!(send.patience.timeout, Duration::from_millis(250));
        assert!(parse(&["sync", "--for", "soon"]).is_err());
        assert!(parse(&["sync", "--for", "-3s"]).is_err());
    }

    #[test]
    fn options_stand_before_or_after_the_text_of_a_message() {
        for line in [
            ["send", "Anna", "hi", "--wait", "delivered"],
            ["send", "Anna", "--wait", "delivered", "hi"],
            ["send", "--wait", "delivered", "Anna", "hi"],
        ] {
            let Ok(Command::Send(send)) = parse(&line) else { panic!("{line:?}") };
            assert_eq!((send.contact.as_str(), send.text.as_str()), ("Anna", "hi"));
            assert_eq!(send.wait, Some(Wait::Delivered));
        }
    }

    #[test]
    fn a_text_may_begin_with_a_hyphen() {
        for text in ["-", "- one thing", "-5 degrees"] {
            let Ok(Command::Send(send)) = parse(&["send", "Anna", text]) else { panic!("{text}") };
            assert_eq!(send.text, text);
            assert_eq!(send.wait, None);
        }
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in [["tacit", "--json", "--home", "/h", "contacts"], ["tacit", "contacts", "--home", "/h", "--json"]] {
            let args = Args::try_parse_from(line).unwrap();
            assert!(args.json);
            assert_eq!(args.home, Some(PathBuf::from("/h")));
        }
    }

    #[test]
    fn contradictions_are_usage_errors() {
        for line in [
            &["words", "Anna", "--verified", "--not-verified"][..],
            &["words", "Anna", "--verified", "a b", "--not-verified"],
            // Which of them is the contact?
            &["words", "--verified", "Anna"],
            &["receipts", "Anna", "--on", "--off"],
            &["invite", "--show", "Anna", "--label", "Ben"],
            &["send", "Anna"],
            &["send", "Anna", "hi", "--wait", "read"],
            &["rename", "Anna"],
            &["unknown"],
            &[],
        ] {
            assert_eq!(parse(line).map(|_| ()).map_err(|error| error.exit_code()), Err(2), "{line:?}");
        }
    }
}
