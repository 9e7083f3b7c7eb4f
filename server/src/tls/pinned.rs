//! A long-lived key of the relay's own, for a relay without a name or an authority: every link pins it.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use tacit_proto::link::Pin;
use zeroize::Zeroizing;

use super::certificate::{Certificate, CertificateError};
use super::sync_folder;
use crate::enrolment::{give_to_owner_of, make_private_folder, private_file};

/// The key's file in the data folder.
const KEY_FILE: &str = "relay.key";

/// Why a relay's own key cannot be used. It was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum PinnedError {
    /// The file cannot be read or made.
    #[error("the relay's key ({KEY_FILE} in the data folder) cannot be read or made: {0}")]
    Io(#[from] io::Error),
    /// The file holds no key.
    #[error(
        "the relay's key ({KEY_FILE} in the data folder) is damaged. Put it back from a backup: every link pins it, and \
         with another key no device comes back"
    )]
    Damaged,
    /// No certificate can be made with it.
    #[error("no certificate can be made with the relay's key: {0}")]
    Certificate(CertificateError),
}

/// What links carry to a relay with a key of its own (`tls = "pinned"`): SHA-256 of the public key's DER form. Makes the
/// key if this is the first that is asked of it.
///
/// # Errors
/// [`PinnedError`], which says what to do.
pub fn relay_pin(data: &Path) -> Result<Pin, PinnedError> {
    let key = open_or_make(data)?;
    Ok(Pin::from_bytes(Sha256::digest(key.subject_public_key_info()).into()))
}

/// A certificate around the key, made anew at each start: only the key in it counts. It says nothing about where it is.
pub(super) fn certificate(data: &Path) -> Result<Certificate, PinnedError> {
    let key = open_or_make(data)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Tacit relay");
    let signed = params.self_signed(&key).map_err(|_| PinnedError::Damaged)?;
    let secret = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| PinnedError::Damaged)?;
    Certificate::new(vec![signed.der().clone()], secret).map_err(PinnedError::Certificate)
}

fn open_or_make(data: &Path) -> Result<KeyPair, PinnedError> {
    let path = data.join(KEY_FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(data, &path)?;
            fs::read_to_string(&path)
        }
        read => read,
    };
    let text = Zeroizing::new(text.map_err(|error| match error.kind() {
        ErrorKind::InvalidData => PinnedError::Damaged,
        _ => PinnedError::Io(error),
    })?);
    KeyPair::from_pem(&text).map_err(|_| PinnedError::Damaged)
}

/// Whole and durable before it has its name; and if two come at once (the relay, and an enrolment), the first one's
/// stays.
fn make(data: &Path, path: &Path) -> Result<(), PinnedError> {
    make_private_folder(data)?;
    let key = KeyPair::generate().map_err(|_| io::Error::other("no key could be drawn"))?;
    let draft = data.join(format!("{KEY_FILE}.{}.new", std::process::id()));
    let mut file = private_file(&draft)?;
    file.write_all(Zeroizing::new(key.serialize_pem()).as_bytes())?;
    file.sync_all()?;
    give_to_owner_of(data, &draft)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(sync_folder(path)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().unwrap();
        let data = data.path().join("new");
        let pin = relay_pin(&data).unwrap();
        certificate(&data).unwrap();
        assert_eq!(relay_pin(&data).unwrap(), pin);
        let path = data.join(KEY_FILE);
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft stays");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn pins_are_as_their_vectors_say() {
        let vectors = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/vectors/pins.json")).unwrap();
        let vectors: serde_json::Value = serde_json::from_slice(&vectors).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let data = tempfile::tempdir().unwrap();
            fs::write(data.path().join(KEY_FILE), case["key"].as_str().unwrap()).unwrap();
            assert_eq!(hex::encode(relay_pin(data.path()).unwrap().as_bytes()), case["pin"], "{}", case["comment"]);
        }
    }

    #[test]
    fn whoever_comes_second_takes_the_first_ones_key() {
        let data = tempfile::tempdir().unwrap();
        let pin = relay_pin(data.path()).unwrap();
        make(data.path(), &data.path().join(KEY_FILE)).unwrap();
        assert_eq!(relay_pin(data.path()).unwrap(), pin);
    }

    #[test]
    fn a_damaged_key_is_never_replaced() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(KEY_FILE);
        for damage in [&b""[..], b"nothing", b"\xff\xfe"] {
            fs::write(&path, damage).unwrap();
            assert!(matches!(relay_pin(data.path()), Err(PinnedError::Damaged)));
            assert!(matches!(certificate(data.path()), Err(PinnedError::Damaged)));
            assert_eq!(fs::read(&path).unwrap(), damage);
        }
    }
}
