//! Ctrl-C, and being told to end: what is under way is stored, the terminal is given back, and the process ends.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tacit_client_core::Client;
use tokio::sync::oneshot;

use crate::chat::screen;

/// How long a client may take to hang up. All that matters is on disk before.
const GOODBYE: Duration = Duration::from_secs(2);

/// Watches for signals, from now until the process ends. Owns the list of what is to be done then; whoever opens
/// something adds it.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<Mutex<AtTheEnd>>);

#[derive(Default)]
struct AtTheEnd {
    clients: Vec<Weak<Client>>,
    folders: Vec<PathBuf>,
}

impl Interrupt {
    /// Begins to watch. Without it (no thread, no signals) a signal simply kills the process, which loses nothing either.
    pub(crate) fn watch() -> Self {
        let interrupt = Self::default();
        let clients = interrupt.clone();
        let _ = thread::Builder::new().name("signals".into()).spawn(move || clients.run());
        interrupt
    }

    /// Stops this client too before the process ends.
    pub(crate) fn covers(&self, client: &Arc<Client>) {
        self.at_the_end().clients.push(Arc::downgrade(client));
    }

    /// Removes this folder too before the process ends.
    pub(crate) fn removes(&self, folder: &Path) {
        self.at_the_end().folders.push(folder.to_owned());
    }

    fn at_the_end(&self) -> MutexGuard<'_, AtTheEnd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let code = runtime.block_on(async {
            let code = signal().await?;
            let (done, stopped) = oneshot::channel();
            let AtTheEnd { clients, folders } = std::mem::take(&mut *self.at_the_end());
            thread::spawn(move || {
                clients.iter().filter_map(Weak::upgrade).for_each(|client| client.stop());
                folders.iter().for_each(|folder| drop(std::fs::remove_dir_all(folder)));
                let _ = done.send(());
            });
            tokio::select! {
                _ = stopped => {}
                // Whoever asks twice is in a hurry.
                _ = signal() => {}
                () = tokio::time::sleep(GOODBYE) => {}
            }
            Some(code)
        });
        if let Some(code) = code {
            screen::restore();
            process::exit(code);
        }
    }
}

/// Waits for a signal, and gives the exit code that shells know for it. `None` if there are no signals here.
#[cfg(unix)]
async fn signal() -> Option<i32> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).ok()?;
    let mut hangup = signal(SignalKind::hangup()).ok()?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.ok().map(|()| 130),
        _ = terminate.recv() => Some(143),
        _ = hangup.recv() => Some(129),
    }
}

/// Waits for Ctrl-C, and gives its exit code. `None` if there are no signals here.
#[cfg(not(unix))]
async fn signal() -> Option<i32> {
    tokio::signal::ctrl_c().await.ok().map(|()| 130)
}
