//! Golden vectors of backups: from a secret to every byte of a file.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::file::{CHUNK, Header, Opener, Sealer};
use super::secret::BackupSecret;
use crate::crypto::fixed::FixedRng;
use crate::crypto::vectors::{bytes, check};
use crate::error::BackupError;

/// 00, 01, 02 and so on.
pub(super) const WORDS: &str = "abandon amount liar amount expire adjust cage candy arch gather drum bullet absurd math era live bid \
                     rhythm alien crouch range attend journey unaware";

fn words() -> BackupSecret {
    BackupSecret::Words(WORDS.to_owned())
}

fn passphrase() -> BackupSecret {
    BackupSecret::Passphrase("correct horse \u{2713}".to_owned())
}

fn file_of(secret: &BackupSecret, plaintext: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut rng = FixedRng::new(bytes::<32>(0x60));
    let mut sealer = Sealer::begin(&mut file, secret, &mut rng).unwrap();
    sealer.write(plaintext).unwrap();
    sealer.finish().unwrap();
    let mut opened = vec![0; plaintext.len()];
    let mut source = &file[..];
    let mut opener = Opener::begin(&mut source, secret).unwrap();
    opener.read(&mut opened).unwrap();
    opener.finish().unwrap();
    assert_eq!(opened, plaintext);
    file
}

fn case(comment: &str, secret: &BackupSecret, length: usize) -> Value {
    let plaintext: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let file = file_of(secret, &plaintext);
    let header = Header::read(&mut &file[..]).unwrap();
    let (stretch, salt) = (secret.stretch(), bytes(0x60));
    let (expected, key) = header.keys(secret).unwrap();
    let mut case = json!({
        "comment": comment,
        "salt": hex::encode(salt),
        "strong": hex::encode(*secret.strong(&salt, stretch).unwrap()),
        "check": hex::encode(*expected),
        "key": hex::encode(*key),
        "plaintext_length": length,
        "file_sha256": hex::encode(Sha256::digest(&file)),
    });
    match secret {
        BackupSecret::Passphrase(passphrase) => case["passphrase"] = json!(passphrase),
        BackupSecret::Words(words) => case["words"] = json!(words),
    }
    // Long ones are known by what they hash to.
    if length <= 1_000 {
        case["file"] = json!(hex::encode(&file));
    }
    case
}

fn refused(comment: &str, reason: &str, file: Vec<u8>) -> Value {
    let mut source = &file[..];
    let opened = Opener::begin(&mut source, &words()).and_then(|mut opener| {
        opener.read(&mut [0; 40])?;
        opener.finish()
    });
    let named = match opened {
        Ok(()) => "nothing",
        Err(BackupError::NotABackup) => "not a backup",
        Err(BackupError::NewerFormat) => "a newer format",
        Err(BackupError::WrongSecret) => "another secret",
        Err(BackupError::Truncated) => "cut off",
        Err(BackupError::Damaged) => "altered",
        Err(_) => "something else",
    };
    assert_eq!(named, reason, "{comment}");
    json!({"comment": comment, "expected": reason, "file": hex::encode(file)})
}

#[test]
fn backups_are_as_their_vectors_say() {
    let good = file_of(&words(), &bytes::<40>(0));
    let altered = |at: usize| {
        let mut file = good.clone();
        file[at] ^= 0x80;
        file
    };
    let last = good.len() - 1;
    let made = json!({
        "comment": "Byte n of each plaintext is n modulo 251. The words of the refused ones are those of the first case.",
        "cases": [
            case("recovery words", &words(), 40),
            case("a passphrase", &passphrase(), 40),
            case("nothing at all", &words(), 0),
            case("one whole piece", &words(), CHUNK),
            case("two pieces, of which the last has one byte", &words(), CHUNK + 1),
        ],
        "refused": [
            refused("another file", "not a backup", altered(0)),
            refused("version 129", "a newer format", altered(12)),
            refused("another salt", "another secret", altered(30)),
            refused("another check", "another secret", altered(60)),
            refused("an altered piece", "altered", altered(95)),
            refused("an altered tag", "altered", altered(last)),
            refused("one byte is missing", "altered", good[..last].to_vec()),
            refused("the pieces are missing", "altered", good[..90].to_vec()),
            refused("the check is cut off", "cut off", good[..80].to_vec()),
            refused("something follows", "altered", [&good[..], &[0]].concat()),
        ],
    });
    check("backups.json", &made);
}
