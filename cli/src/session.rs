//! An open home, and waiting for what becomes of what was begun in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tacit_client_core::{Client, Contact, Event, Listener, StoreKey, TransferState};

use crate::args::Args;
use crate::clock::Clock;
use crate::describe;
use crate::failure::Failure;
use crate::home::default_home;
use crate::interrupt::Interrupt;
use crate::passphrase;
use crate::pick::pick;

/// How often the store is looked at without an event: another process may have changed it.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Whether a command may begin a new home.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewHome {
    Allowed,
    /// A mistyped `--home` must not look like an empty one.
    Refused,
}

/// An open home. Hangs up when it is dropped.
pub(crate) struct Session {
    client: Arc<Client>,
    pub(crate) clock: Clock,
}

impl Session {
    /// The home that the command line names.
    pub(crate) fn home(args: &Args) -> Result<String, Failure> {
        args.home.clone().or_else(default_home).map(text).ok_or(Failure::NoDefaultHome)
    }

    /// Opens the home that the command line names.
    pub(crate) fn open(args: &Args, new_home: NewHome) -> Result<Self, Failure> {
        let interrupt = Interrupt::watch();
        let home = Self::home(args)?;
        let is_new_home = !Client::exists(home.clone());
        if is_new_home && new_home == NewHome::Refused {
            return Err(Failure::NoHome);
        }
        let passphrase = passphrase::get(args.passphrase_file.as_deref(), is_new_home)?;
        let client = Arc::new(Client::open(home, StoreKey::Passphrase(passphrase))?);
        interrupt.covers(&client);
        if let Some(ca) = &args.ca {
            client.trust_authority(text(ca.clone()))?;
        }
        Ok(Self { client, clock: Clock::local() })
    }

    pub(crate) const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Finds the contact that a person means.
    pub(crate) fn pick(&self, name: &str) -> Result<Contact, Failure> {
        let contacts = self.client.contacts()?;
        pick(&contacts, name, &self.clock).cloned()
    }

    /// Connects. Once.
    pub(crate) fn start(&self) -> Result<Changes, Failure> {
        let (sender, events) = mpsc::channel();
        self.client.start(Some(Box::new(Mailbox(sender))))?;
        Ok(Changes(events))
    }

    /// What is wrong with the connection, as words to be appended; empty if it is not known.
    pub(crate) fn problem(&self) -> String {
        describe::problem(&self.client.connection())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.client.stop();
    }
}

/// A home may have a name that is not Unicode; the core takes text.
fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

/// Milliseconds, as the core counts them.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Puts events into a channel.
pub(crate) struct Mailbox(pub(crate) Sender<Event>);

// mpsc's sender is shared by the client's threads.
impl Listener for Mailbox {
    fn on_event(&self, event: Event) {
        // Nobody listens any more once the command is done.
        let _ = self.0.send(event);
    }
}

/// Tells that something changed.
pub(crate) struct Changes(Receiver<Event>);

impl Changes {
    /// The files that moved since this was last asked, each as it stands now.
    pub(crate) fn moved(&self) -> Vec<TransferState> {
        let mut moved = BTreeMap::new();
        while let Ok(event) = self.0.try_recv() {
            if let Event::TransferChanged { message, transfer, .. } = event {
                moved.insert(message, transfer);
            }
        }
        moved.into_values().collect()
    }

    /// Looks again after every change until there is something, or the time is up (`None`).
    pub(crate) fn wait<T>(
        &self,
        within: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            let left = within.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            match self.0.recv_timeout(left.min(LOOK_AGAIN)) {
                // A burst of events is one change.
                Ok(_) => while self.0.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(left.min(LOOK_AGAIN)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_looks_once_more_after_each_change_and_gives_up_in_time() {
        let (sender, events) = mpsc::channel();
        let changes = Changes(events);
        let mut looks = 0;
        for _ in 0..3 {
            Mailbox(sender.clone()).on_event(Event::StoreChanged);
        }
        let found = changes.wait(Duration::from_secs(60), || {
            looks += 1;
            Ok((looks == 2).then_some(looks))
        });
        assert!(matches!(found, Ok(Some(2))));
        assert!(matches!(changes.wait::<()>(Duration::ZERO, || Ok(None)), Ok(None)));
    }

    #[test]
    fn a_failing_look_ends_the_wait() {
        let (_sender, events) = mpsc::channel();
        let failed = Changes(events).wait::<()>(Duration::from_secs(60), || Err(Failure::NoHome));
        assert!(matches!(failed, Err(Failure::NoHome)));
    }
}
