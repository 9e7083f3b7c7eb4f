//! The way into backups for their fuzz target.

#![allow(clippy::unwrap_used, reason = "not part of what is shipped")]

use super::file::{Opener, Sealer};
use super::secret::BackupSecret;
use super::*;
use crate::testing;

/// 00, 01, 02 and so on: those of the golden vectors. Words cost no Argon2.
const WORDS: &str = "abandon amount liar amount expire adjust cage candy arch gather drum bullet absurd math era live bid \
                     rhythm alien crouch range attend journey unaware";

fn words() -> BackupSecret {
    BackupSecret::Words(WORDS.to_owned())
}

pub(crate) fn seal(plaintext: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut rng = rng();
    let mut sealer = Sealer::begin(&mut file, &words(), &mut rng).unwrap();
    sealer.write(plaintext).unwrap();
    sealer.finish().unwrap();
    file
}

/// Everything in a file.
pub(crate) fn open(mut file: &[u8]) -> Result<Vec<u8>, BackupError> {
    let kind = file::secret_kind(&mut { file });
    let most = file.len();
    let opened = Opener::begin(&mut file, &words());
    assert!(kind.is_ok() || opened.is_err());
    opened?.read_to_end(most)
}

/// What was read before the first thing that is no record.
pub(crate) struct Records {
    pub(crate) count: usize,
    pub(crate) longest: usize,
}

pub(crate) fn records(plaintext: &[u8]) -> Records {
    let file = seal(plaintext);
    let mut source = file.as_slice();
    let mut opener = Opener::begin(&mut source, &words()).unwrap();
    let mut read = Records { count: 0, longest: 0 };
    while let Ok(length) = rows::skim(&mut opener) {
        read.count += 1;
        read.longest = read.longest.max(length);
    }
    read
}

/// A home from any records. If it can be made, it is whole, and everything that an app or a connection begins with can be
/// read from it.
pub(crate) fn restore(plaintext: &[u8]) {
    let file = seal(plaintext);
    let home = tempfile::tempdir().unwrap();
    let key = Key::open(home.path(), &StoreKey::Raw(vec![8; 32]), &mut rng()).unwrap();
    if rows::read(home.path(), &key, &mut file.as_slice(), &words()).is_err() {
        return;
    }
    let Ok(mut store) = Store::open(home.path(), &key) else { return };
    let begun = store.change::<_, StoreError>(|tx| restore::begin(tx, testing::NOW, &mut rng()));
    if begun.is_err() {
        return;
    }
    store.check().unwrap();
    // Rows can hold what no device writes; then reading says so.
    drop(store.read::<_, StoreError>(|tx| {
        for contact in tx.contact_keys()? {
            tx.public_contact(&contact)?;
            tx.history(&contact, None, 1_000)?;
        }
        tx.relays_in_use()
    }));
}
