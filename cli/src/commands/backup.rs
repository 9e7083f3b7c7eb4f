//! `tacit backup` and `tacit restore`

use serde::Serialize;
use tacit_client_core::{BackupSecret, BackupSecretKind, Client, StoreKey, recovery_words};

use crate::args::{self, Args};
use crate::failure::Failure;
use crate::output::Output;
use crate::passphrase;
use crate::session::Session;

/// Answer of `backup`.
#[derive(Serialize)]
struct BackedUp {
    file: String,
    /// Present where they were drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<String>>,
}

/// Answer of `restore`.
#[derive(Serialize)]
struct Restored {
    restored: bool,
    contacts: usize,
}

pub(super) fn backup(session: &Session, wanted: &args::Backup, output: Output) -> Result<(), Failure> {
    let words = wanted.new_words.then(recovery_words);
    let secret = match &words {
        Some(words) => BackupSecret::Words(words.join(" ")),
        None => {
            let kind = if wanted.words { BackupSecretKind::Words } else { BackupSecretKind::Passphrase };
            passphrase::get_backup_secret(wanted.secret_file.as_deref(), kind, true)?
        }
    };
    let file = wanted.file.to_string_lossy().into_owned();
    session.client().backup(file.clone(), secret)?;
    let shown = words.as_ref().map(|words| words.join(" "));
    output.answer(&BackedUp { file, words }, || match shown {
        Some(words) => format!("Backed up. Write these 24 words down on paper; nothing else opens it:\n{words}"),
        None => "Backed up.".into(),
    })
}

pub(super) fn restore(args: &Args, wanted: &args::Restore, output: Output) -> Result<(), Failure> {
    let home = Session::home(args)?;
    let file = wanted.file.to_string_lossy().into_owned();
    let kind = Client::backup_secret_kind(file.clone())?;
    let secret = passphrase::get_backup_secret(wanted.secret_file.as_deref(), kind, false)?;
    let key = StoreKey::Passphrase(passphrase::get(args.passphrase_file.as_deref(), true)?);
    let client = Client::restore(home, key, file, secret)?;
    let contacts = client.contacts()?.len();
    output.answer(&Restored { restored: true, contacts }, || {
        "Restored. The next connection locks the lost device out, wherever nothing was reset or restored since this \
         backup, and begins new sessions: compare the safety words again, with everyone. Then make a new backup: this \
         one can take nothing over a second time."
            .into()
    })
}
