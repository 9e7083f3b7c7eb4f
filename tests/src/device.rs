//! Devices: clients in this process, and the `tacit` binary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tacit_client_core::{Client, ContactState, Content, Direction, Outcome, StoreKey};
use tempfile::TempDir;

use crate::PATIENCE_MS;
use crate::process::binary;

const PASSPHRASE: &str = "an unimportant passphrase";

/// A device in this process, with a home in a folder of its own.
pub struct Device {
    home: TempDir,
    client: Option<Client>,
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

impl Device {
    /// A new device that is not connected.
    #[must_use]
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let client = Some(open(home.path()));
        Self { home, client }
    }

    /// The folder with everything that the device stores.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// Connects.
    pub fn online(&self) {
        self.client().start(None).unwrap();
    }

    /// Disconnects.
    pub fn offline(&self) {
        self.client().stop();
    }

    /// Ends the client and opens the home again, not connected.
    pub fn reopen(&mut self) {
        self.close();
        self.client = Some(open(self.home.path()));
    }

    /// Ends the client; the home stays.
    pub fn close(&mut self) -> &Path {
        self.client = None;
        self.home.path()
    }

    /// Waits until everything that waits was exchanged.
    pub fn settle(&self) {
        self.client().wait_settled(PATIENCE_MS).unwrap();
    }

    /// Waits for a state of a contact.
    pub fn wait_state(&self, contact: &str, wanted: ContactState) {
        let started = Instant::now();
        loop {
            let state = self.client().contact(contact.to_owned()).unwrap().state;
            if state == wanted {
                return;
            }
            let waited = started.elapsed();
            assert!(
                waited < Duration::from_millis(PATIENCE_MS),
                "{state:?} is not {wanted:?}; {:?} {:?}",
                self.client().enrolments(),
                self.client().connection()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until every message of ours is delivered.
    pub fn wait_all_delivered(&self, contact: &str) {
        let started = Instant::now();
        loop {
            let history = self.client().history(contact.to_owned(), None, u32::MAX).unwrap();
            let open = history
                .iter()
                .filter(|message| message.direction == Direction::Out && message.outcome != Outcome::Delivered);
            let open = open.count();
            if open == 0 {
                return;
            }
            assert!(started.elapsed() < Duration::from_millis(2 * PATIENCE_MS), "{open} are not delivered");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The texts that came, in the order of the history.
    #[must_use]
    pub fn received(&self, contact: &str) -> Vec<String> {
        let history = self.client().history(contact.to_owned(), None, u32::MAX).unwrap();
        history
            .into_iter()
            .filter(|message| message.direction == Direction::In)
            .filter_map(|message| match message.content {
                Content::Text(text) => Some(text),
                Content::Attachment(_) | Content::Note(_) => None,
                Content::Unknown => panic!("nothing newer was sent"),
            })
            .collect()
    }

    /// Enrols this device.
    pub fn enrol(&self, link: &str) {
        self.client().enrol(link.to_owned(), "Dr. Example".to_owned()).unwrap();
    }

    /// Makes an invite and waits until it can be used: the contact, and the link.
    #[must_use]
    pub fn invite(&self, label: &str) -> (String, String) {
        let invite = self.client().invite(label.to_owned(), 24 * 3600).unwrap();
        self.wait_state(&invite.contact, ContactState::Invited);
        (invite.contact, invite.link)
    }

    /// Joins, agrees, and waits until the accept is at the relay: the contact.
    #[must_use]
    pub fn join(&self, link: &str) -> String {
        let contact = self.client().join(link.to_owned(), None).unwrap();
        self.wait_state(&contact, ContactState::Consenting);
        self.client().consent(contact.clone()).unwrap();
        self.settle();
        contact
    }
}

fn open(home: &Path) -> Client {
    let key = StoreKey::Raw(vec![7; 32]);
    Client::open(home.to_str().unwrap().to_owned(), key).unwrap()
}

/// A device that is the `tacit` binary: each command is a process of its own.
pub struct Cli {
    home: TempDir,
}

impl Default for Cli {
    fn default() -> Self {
        Self::new()
    }
}

impl Cli {
    /// A new home, not made yet.
    #[must_use]
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// The home as one more process has it open: to look at it, not connected.
    #[must_use]
    pub fn look(&self) -> Client {
        let key = StoreKey::Passphrase(PASSPHRASE.to_owned());
        Client::open(self.home().to_str().unwrap().to_owned(), key).unwrap()
    }

    /// The folder with everything that the device stores.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.home.path().join("home")
    }

    /// `tacit --home … --json …`, not started yet.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("tacit"));
        command
            .arg("--home")
            .arg(self.home())
            .arg("--json")
            .args(arguments)
            .env("TACIT_PASSPHRASE", PASSPHRASE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command without `--json`: what a person sees of it.
    #[must_use]
    pub fn screen(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(binary("tacit"));
        command.arg("--home").arg(self.home()).args(arguments).env("TACIT_PASSPHRASE", PASSPHRASE).stdin(Stdio::null());
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// Runs a command that must succeed: the objects that it printed.
    pub fn ok(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        objects(&output.stdout)
    }

    /// The safety words with a contact, as people read them to each other.
    #[must_use]
    pub fn words(&self, contact: &str) -> String {
        let shown = self.ok(&["words", contact]);
        let words = shown[0]["words"].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// Starts a command that can be killed.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts `send CONTACT -` with these lines.
    #[must_use]
    pub fn spawn_send(&self, contact: &str, lines: &str) -> Child {
        let mut command = self.command(&["send", contact, "-", "--wait", "none"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // A process that was killed reads no more.
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        child
    }
}

/// One JSON object per line.
fn objects(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
