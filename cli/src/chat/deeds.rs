//! What the worker does with messages and files. A file is copied on a thread of its own: what people write goes on.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tacit_client_core::{Client, ContactId, MessageId};

use super::paths;
use super::state::{Effect, Input, Purpose};
use crate::commands::new_attachment;
use crate::failure::Failure;

/// Writes a text, of whatever purpose. Returns what to tell if it could not be queued.
pub(super) fn write(client: &Client, contact: ContactId, purpose: Purpose, text: String) -> Option<Input> {
    let written = match &purpose {
        Purpose::New => client.send(contact.clone(), text.clone()).map(drop).map_err(Failure::from),
        Purpose::Reply(to) => client.reply(contact.clone(), to.clone(), text.clone()).map(drop).map_err(Failure::from),
        Purpose::Edit(message) => client.edit(message.clone(), text.clone()).map_err(Failure::from),
    };
    let problem = written.err()?.to_string();
    Some(Input::NotSent { contact, purpose, text, problem })
}

/// Queues a file.
pub(super) fn attach(
    client: &Arc<Client>,
    contact: ContactId,
    typed: &str,
    tell: impl Fn(Input) + Send + 'static,
) -> Result<JoinHandle<()>, Failure> {
    let file = paths::meant(typed, std::env::home_dir().as_deref());
    let client = Arc::clone(client);
    tell(Input::Said("The file is being copied.".into()));
    aside(move || {
        let path = file.to_string_lossy().into_owned();
        match client.send_attachment(contact.clone(), path, new_attachment(&file)) {
            Ok(_) => tell(Input::FileQueued(contact)),
            Err(error) => tell(Input::Failed(error.to_string())),
        }
    })
}

/// Writes a file that came to the disk.
pub(super) fn save(
    client: &Arc<Client>,
    message: MessageId,
    typed: &str,
    tell: impl Fn(Input) + Send + 'static,
) -> Result<JoinHandle<()>, Failure> {
    let file = paths::in_home(typed.trim(), std::env::home_dir().as_deref());
    let file = std::path::absolute(&file).unwrap_or(file);
    let client = Arc::clone(client);
    aside(move || {
        let path = file.to_string_lossy().into_owned();
        tell(match client.save_attachment(message, path) {
            Ok(()) => Input::Said(format!("Saved as {}", shown(&file))),
            Err(error) => Input::Failed(error.to_string()),
        });
    })
}

fn shown(file: &Path) -> String {
    crate::escape::line(&file.to_string_lossy())
}

fn aside(run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    thread::Builder::new().name("file".into()).spawn(run).map_err(Failure::Terminal)
}

/// Withdraws a text on both sides, or cancels a file.
pub(super) fn change(client: &Client, effect: &Effect) -> Result<(), Failure> {
    match effect {
        Effect::Withdraw { message, .. } => Ok(client.withdraw(message.clone())?),
        Effect::CancelFile { message, .. } => Ok(client.cancel_attachment(message.clone())?),
        _ => Ok(()),
    }
}
