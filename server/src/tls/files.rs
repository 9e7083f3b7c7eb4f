//! A certificate and its key from files that somebody else renews: certbot, a clinic's authority, a person.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::certificate::{Certificate, CertificateError, Served, Validity};
use crate::sync::{Mutex, lock};

/// How often the files are read: they are small, and their content cannot mislead, as times and inodes can.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// From when before its end the log warns of it, once a day.
const WARN_BEFORE: Duration = Duration::from_secs(7 * 24 * 3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Why certificate files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file cannot be read.
    #[error("{file} cannot be read: {source}. The relay needs to be allowed to read it and the folders above it")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is in them is of no use.
    #[error("{file}: {source}")]
    Unusable {
        /// The certificate's.
        file: PathBuf,
        /// The fault.
        source: CertificateError,
    },
}

/// Checks a certificate and its key as the relay does, and for whom it is: until when is it good?
///
/// # Errors
/// [`FilesError`], which says what to do.
pub fn check_files(certificate: &Path, private_key: &Path, host: Option<&str>) -> Result<Validity, FilesError> {
    let (_, read) = read(certificate, private_key, SystemTime::now())?;
    let read = read?;
    if host.is_some_and(|host| !read.is_for(host)) {
        return Err(FilesError::Unusable { file: certificate.to_owned(), source: CertificateError::OtherHost });
    }
    Ok(read.validity())
}

type Digests = [[u8; 32]; 2];

/// What the two files hold now, and a digest of it by which a change shows.
fn read(
    certificate: &Path,
    private_key: &Path,
    now: SystemTime,
) -> Result<(Digests, Result<Certificate, FilesError>), FilesError> {
    let bytes = |file: &Path| {
        let unreadable = |source| FilesError::Unreadable { file: file.to_owned(), source };
        fs::read(file).map(Zeroizing::new).map_err(unreadable)
    };
    let (chain, key) = (bytes(certificate)?, bytes(private_key)?);
    let digests = [Sha256::digest(&*chain).into(), Sha256::digest(&*key).into()];
    let unusable = |source| FilesError::Unusable { file: certificate.to_owned(), source };
    let checked =
        Certificate::from_pem(&chain, &key).and_then(|certificate| certificate.check_time(now).map(|()| certificate));
    Ok((digests, checked.map_err(unusable)))
}

/// The two files, and what was last found in them.
#[derive(Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    private_key: PathBuf,
    host: Option<String>,
    served: Arc<Served>,
    /// Touched by the one task that follows the files.
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    /// None: they could not be read.
    seen: Option<Digests>,
    /// What is not valid yet, and was said to be so. It is looked at again until it is.
    early: Option<Digests>,
    warned: Option<SystemTime>,
}

impl Files {
    pub(super) fn open(
        certificate: &Path,
        private_key: &Path,
        host: Option<&str>,
        served: Arc<Served>,
    ) -> Result<Self, FilesError> {
        let (digests, found) = read(certificate, private_key, SystemTime::now())?;
        let files = Self {
            certificate: certificate.to_owned(),
            private_key: private_key.to_owned(),
            host: host.map(str::to_owned),
            served,
            last: Mutex::new(Last { seen: Some(digests), early: None, warned: None }),
        };
        let found = found?;
        // Perhaps the name is about to change.
        if !files.is_ours(&found) {
            tracing::warn!("{}", CertificateError::OtherHost);
        }
        files.served.replace(found);
        Ok(files)
    }

    fn is_ours(&self, certificate: &Certificate) -> bool {
        self.host.as_ref().is_none_or(|host| certificate.is_for(host))
    }

    /// Reads the files every few seconds, and when told to. Never returns.
    pub(super) async fn follow(&self, look_again: &Notify) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = look_again.notified() => {}
            }
            self.look(SystemTime::now());
        }
    }

    /// Two small reads: not worth a thread of their own.
    fn look(&self, now: SystemTime) {
        let mut last = lock(&self.last);
        match read(&self.certificate, &self.private_key, now) {
            Ok((digests, _)) if last.seen == Some(digests) => {}
            Ok((digests, Err(FilesError::Unusable { source: source @ CertificateError::NotYetValid, .. }))) => {
                if last.early.replace(digests) != Some(digests) {
                    keep(&source);
                }
            }
            Ok((digests, found)) => {
                last.seen = Some(digests);
                match found {
                    // Whoever renews the certificate of another site may have put it here.
                    Ok(certificate) if !self.is_ours(&certificate) => keep(&CertificateError::OtherHost),
                    Ok(certificate) => {
                        self.served.replace(certificate);
                        last.warned = None;
                        tracing::info!("the certificate's files changed: new connections get the new certificate");
                    }
                    Err(FilesError::Unusable { source, .. }) => keep(&source),
                    Err(FilesError::Unreadable { source, .. }) => keep(&source.kind()),
                }
            }
            Err(FilesError::Unreadable { source, .. }) => {
                if last.seen.take().is_some() {
                    keep(&source.kind());
                }
            }
            Err(FilesError::Unusable { source, .. }) => keep(&source),
        }
        self.warn_in_time(&mut last, now);
    }

    fn warn_in_time(&self, last: &mut Last, now: SystemTime) {
        let Some(Validity { until, .. }) = self.served.validity() else { return };
        let is_due = last.warned.is_none_or(|warned| now.duration_since(warned).is_ok_and(|since| since >= DAY));
        if !is_due || until > now + WARN_BEFORE {
            return;
        }
        last.warned = Some(now);
        match until.duration_since(now) {
            Ok(left) => tracing::warn!(
                hours = left.as_secs() / 3_600,
                "the certificate expires soon; renew it, the relay takes the new one by itself"
            ),
            Err(_) => tracing::error!("the certificate expired: devices refuse it; renew it"),
        }
    }
}

fn keep(why: &dyn std::fmt::Display) {
    tracing::warn!(%why, "the certificate's files changed and are of no use; the old certificate stays in use");
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate's year of expiry, which tells it from others, and its key.
    fn pair(until: i32) -> (String, String) {
        pair_from(1975, until)
    }

    fn pair_from(from: i32, until: i32) -> (String, String) {
        pair_for("relay.example", from, until)
    }

    fn pair_for(host: &str, from: i32, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// When the served one expires.
    fn year(files: &Files) -> u64 {
        let since_1970 = files.served.validity().unwrap().until.duration_since(UNIX_EPOCH).unwrap();
        1970 + since_1970.as_secs() / (31_556_952 - 40)
    }

    #[test]
    fn a_half_written_or_mismatching_pair_keeps_the_old_one_until_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
        let put = |chain: &str, secret: &str| {
            fs::write(&certificate, chain).unwrap();
            fs::write(&key, secret).unwrap();
        };
        let (old, new) = (pair(2100), pair(2200));
        put(&old.0, &old.1);
        let files = Files::open(&certificate, &key, Some("relay.example"), Arc::default()).unwrap();
        let until = || {
            files.look(SystemTime::now());
            year(&files)
        };
        assert_eq!(until(), 2100);
        put(&new.0, &old.1);
        assert_eq!(until(), 2100, "the certificate came first");
        put(&new.0[..new.0.len() / 2], &new.1);
        assert_eq!(until(), 2100, "half of it is there");
        put("", "");
        assert_eq!(until(), 2100, "they are being written");
        fs::remove_file(&key).unwrap();
        assert_eq!(until(), 2100, "one is gone");
        put(&pair(2020).0, &new.1);
        assert_eq!(until(), 2100, "an expired one");
        let others = pair_for("www.example", 1975, 2200);
        put(&others.0, &others.1);
        assert_eq!(until(), 2100, "another site's");
        let refused = check_files(&certificate, &key, Some("relay.example")).unwrap_err().to_string();
        assert!(refused.contains("not for the host"), "{refused}");
        assert!(check_files(&certificate, &key, Some("www.example")).is_ok());
        put(&new.0, &new.1);
        assert_eq!(until(), 2200);
    }

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_served_from_when_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
        let put = |(chain, secret): (String, String)| {
            fs::write(&certificate, chain).unwrap();
            fs::write(&key, secret).unwrap();
        };
        put(pair(2100));
        let files = Files::open(&certificate, &key, Some("relay.example"), Arc::default()).unwrap();
        put(pair_from(2090, 2200));
        let now = SystemTime::now();
        files.look(now);
        assert_eq!(year(&files), 2100, "the old one goes on");
        let said = lock(&files.last).early;
        files.look(now);
        assert!(said.is_some() && lock(&files.last).early == said);
        files.look(UNIX_EPOCH + DAY * (121 * 365));
        assert_eq!(year(&files), 2200);
    }
}
