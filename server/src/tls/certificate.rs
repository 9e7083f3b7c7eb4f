//! A certificate with its key, checked, and the one that is served now.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ACME_TLS;

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: SystemTime,
    /// Not after.
    pub until: SystemTime,
}

/// Why a certificate or its key is of no use. The texts say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No certificate in the file.
    #[error("there is no certificate in the file; it must be PEM, the relay's own certificate first")]
    NoCertificate,
    /// The certificate cannot be read.
    #[error("the certificate is damaged; get it anew from whoever issued it")]
    Damaged,
    /// No key in the file.
    #[error("there is no private key in the file; it must be PEM, and not protected by a passphrase")]
    NoKey,
    /// The key cannot be used.
    #[error(
        "the private key cannot be used; an ECDSA (P-256 or P-384), Ed25519 or RSA key of 2048 bits or more is wanted"
    )]
    UnusableKey,
    /// They do not belong together.
    #[error("the private key is not the certificate's; give the two files that were made together")]
    Mismatch,
    /// It is over.
    #[error("the certificate expired; renew it")]
    Expired,
    /// It has not begun.
    #[error("the certificate is not valid yet; check this machine's clock")]
    NotYetValid,
    /// It names another host.
    #[error("the certificate is not for the host in `url`: devices would refuse it; get one for that host")]
    OtherHost,
}

/// A chain and its key, which belong together.
#[derive(Clone)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

impl Certificate {
    /// From PEM: a chain, the relay's own certificate first, and its key.
    pub(super) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        Self::new(chain.map_err(|_| CertificateError::NoCertificate)?, key)
    }

    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        ParsedCertificate::try_from(own).map_err(|_| CertificateError::Damaged)?;
        let validity = validity(own)?;
        let key = CertifiedKey::from_der(chain, key, &super::provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch,
            _ => CertificateError::UnusableKey,
        })?;
        Ok(Self { key: Arc::new(key), validity })
    }

    pub(super) const fn validity(&self) -> Validity {
        self.validity
    }

    /// Whether it is good now.
    pub(super) fn check_time(&self, now: SystemTime) -> Result<(), CertificateError> {
        match self.validity {
            Validity { until, .. } if until < now => Err(CertificateError::Expired),
            Validity { from, .. } if from > now => Err(CertificateError::NotYetValid),
            _ => Ok(()),
        }
    }

    /// Whether devices that look for this host accept it.
    pub(super) fn is_for(&self, host: &str) -> bool {
        let (Ok(name), Some(own)) = (ServerName::try_from(host), self.key.cert.first()) else { return false };
        ParsedCertificate::try_from(own).is_ok_and(|own| verify_server_name(&own, &name).is_ok())
    }
}

fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, CertificateError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::Damaged)?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
    let validity = parsed.validity();
    Ok(Validity { from: time(validity.not_before.timestamp()), until: time(validity.not_after.timestamp()) })
}

/// The certificate that is served now. The lock guards one pointer, and is held while it is copied or set.
#[derive(Debug, Default)]
pub(super) struct Served(RwLock<Answers>);

#[derive(Debug, Default)]
struct Answers {
    certificate: Option<Certificate>,
    /// To a validation by the authority. Its critical extension makes it no certificate that could be checked here.
    challenge: Option<Arc<CertifiedKey>>,
}

impl Served {
    pub(super) fn replace(&self, certificate: Certificate) {
        self.change(|answers| answers.certificate = Some(certificate));
    }

    pub(super) fn challenge(&self, challenge: Option<Arc<CertifiedKey>>) {
        self.change(|answers| answers.challenge = challenge);
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn validity(&self) -> Option<Validity> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).certificate.as_ref().map(Certificate::validity)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_validation = hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == ACME_TLS));
        let answers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match is_validation {
            true => answers.challenge.clone(),
            false => answers.certificate.as_ref().map(|certificate| Arc::clone(&certificate.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pair(from: i32, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn read((chain, key): &(String, String)) -> Result<Certificate, CertificateError> {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_certificate_is_good_between_its_times_for_its_name() {
        let certificate = read(&pair(2020, 2030)).unwrap();
        let year = |year: u64| UNIX_EPOCH + Duration::from_secs((year - 1970) * 365 * 24 * 3_600 + 30 * 24 * 3_600);
        assert_eq!(certificate.check_time(year(2019)), Err(CertificateError::NotYetValid));
        assert_eq!(certificate.check_time(year(2025)), Ok(()));
        assert_eq!(certificate.check_time(year(2031)), Err(CertificateError::Expired));
        assert!(certificate.is_for("relay.example"));
        assert!(!certificate.is_for("other.example") && !certificate.is_for(""));
    }

    #[test]
    fn what_is_no_certificate_with_its_key_is_refused_with_the_reason() {
        let (one, other) = (pair(2020, 2030), pair(2020, 2030));
        let reason = |chain: &str, key: &str| read(&(chain.to_owned(), key.to_owned())).err();
        assert_eq!(reason("", &one.1), Some(CertificateError::NoCertificate));
        assert_eq!(reason(&one.0[..one.0.len() / 2], &one.1), Some(CertificateError::NoCertificate));
        assert_eq!(reason(&one.0, ""), Some(CertificateError::NoKey));
        assert_eq!(reason(&one.0, &one.1[..one.1.len() / 2]), Some(CertificateError::NoKey));
        assert_eq!(reason(&one.0, &other.1), Some(CertificateError::Mismatch));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(reason(garbage, &one.1), Some(CertificateError::Damaged));
        let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(reason(&one.0, garbage), Some(CertificateError::UnusableKey));
    }
}
