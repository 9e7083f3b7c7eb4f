//! Where the passphrase of the store comes from: `--passphrase-file`, `TACIT_PASSPHRASE`, or the person.

use std::env::{self, VarError};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use tacit_client_core::{BackupSecret, BackupSecretKind};
use zeroize::Zeroizing;

use crate::ask;
use crate::failure::Failure;

const VARIABLE: &str = "TACIT_PASSPHRASE";

/// Gets the passphrase. A new home is asked for twice: a slip of the finger would lock it for good.
pub(crate) fn get(file: Option<&Path>, is_new_home: bool) -> Result<String, Failure> {
    secret(file, VARIABLE, || {
        if is_new_home {
            prompt_twice("A new passphrase, which protects everything on this device: ")
        } else {
            prompt("Passphrase: ")
        }
    })
}

/// Gets the passphrase that is to take the place of the present one.
pub(crate) fn get_new(file: Option<&Path>) -> Result<String, Failure> {
    secret(file, "TACIT_NEW_PASSPHRASE", || prompt_twice("The new passphrase: "))
}

/// Gets the secret of a backup. For a new one, a passphrase is asked for twice.
pub(crate) fn get_backup_secret(
    file: Option<&Path>,
    kind: BackupSecretKind,
    is_new: bool,
) -> Result<BackupSecret, Failure> {
    let secret = secret(file, "TACIT_BACKUP_SECRET", || match kind {
        BackupSecretKind::Words => prompt("The 24 recovery words: "),
        BackupSecretKind::Passphrase if is_new => prompt_twice("A passphrase for this backup: "),
        BackupSecretKind::Passphrase => prompt("The passphrase of the backup: "),
    })?;
    Ok(match kind {
        BackupSecretKind::Words => BackupSecret::Words(secret),
        BackupSecretKind::Passphrase => BackupSecret::Passphrase(secret),
    })
}

/// Gets a secret from a file, from a variable, or from the person.
fn secret(
    file: Option<&Path>,
    variable: &str,
    ask: impl FnOnce() -> Result<String, Failure>,
) -> Result<String, Failure> {
    if let Some(file) = file {
        return from_file(file);
    }
    match env::var(variable) {
        Ok(secret) => Ok(secret),
        Err(VarError::NotUnicode(_)) => Err(Failure::PassphraseNotText),
        Err(VarError::NotPresent) if ask::is_anyone_there() => ask(),
        Err(VarError::NotPresent) => Err(Failure::PassphraseNeeded),
    }
}

fn prompt_twice(question: &str) -> Result<String, Failure> {
    let passphrase = prompt(question)?;
    let again = Zeroizing::new(prompt("The same again: ")?);
    if passphrase == *again { Ok(passphrase) } else { Err(Failure::PassphrasesDiffer) }
}

fn prompt(question: &str) -> Result<String, Failure> {
    rpassword::prompt_password(question).map_err(|error| match error.kind() {
        ErrorKind::Interrupted => Failure::Interrupted,
        _ => Failure::Terminal(error),
    })
}

fn from_file(file: &Path) -> Result<String, Failure> {
    let bytes = Zeroizing::new(fs::read(file).map_err(Failure::PassphraseFile)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::PassphraseNotText)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_file_gives_its_first_line_with_its_spaces() {
        for content in ["two words \nmore\n", "two words \r\n", "two words "] {
            assert_eq!(get(Some(file(content.as_bytes()).path()), true).unwrap(), "two words ");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_no_text_is_told() {
        assert!(matches!(get(Some(Path::new("/nonexistent/file")), false), Err(Failure::PassphraseFile(_))));
        assert!(matches!(get(Some(file(&[0xff, 0xfe]).path()), false), Err(Failure::PassphraseNotText)));
    }
}
