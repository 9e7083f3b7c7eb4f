//! A certificate that the relay gets and renews by itself (ACME, RFC 8555). The authority validates over TLS on the port
//! that devices use (TLS-ALPN-01, RFC 8737), so that no other port is needed.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::authority::Authority;
use super::certificate::{Certificate, Served, Validity};
use super::write_durably;
use crate::config::Acme;
use crate::enrolment::make_private_folder;

/// In the data folder: a folder for each authority and name, so that a change of either begins anew.
const FOLDER: &str = "acme";
const ACCOUNT_FILE: &str = "account.json";
/// The chain and its key in one file: one cannot be replaced without the other.
const CERTIFICATE_FILE: &str = "certificate.pem";

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// After a failure the next attempt is this far away, three times as far after each more: five attempts in the first
/// hour, which is what public authorities allow.
const BACKOFF_MIN: Duration = Duration::from_secs(30);
const BACKOFF_MAX: Duration = Duration::from_secs(6 * 3_600);

/// Longest sleep: the clock may be set, or the machine may have slept.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Why a relay cannot begin to get a certificate by itself.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The root certificate's file.
    #[error("acme_root: {0} is not a readable PEM file with one root certificate")]
    Root(PathBuf),
    /// A certificate for an address.
    #[error("`url` must have a name for tls = \"acme\", not a bare address: authorities certify names")]
    NotAName,
    /// The account or certificate cannot be kept.
    #[error("the folder for the account and the certificate ({FOLDER} in the data folder) cannot be used: {0}")]
    Io(#[from] io::Error),
    /// The TLS library refuses its configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// Why an attempt failed, for the operator's log: no names, no addresses.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(
        "the authority cannot be reached, or its own certificate is not accepted; check the network and `acme_directory`"
    )]
    Unreachable,
    #[error("the authority did not finish in time")]
    TimedOut,
    #[error("{}", explain(.0))]
    Refused(String),
    #[error("the authority does not validate over TLS (TLS-ALPN-01), which is the only way that this relay has")]
    NoTlsAlpn,
    #[error("the authority's answer cannot be used")]
    BadAnswer,
    #[error("the account or certificate could not be kept: {0}")]
    Io(#[from] io::Error),
}

/// The kinds of RFC 8555, section 6.7: their details would name the host.
fn explain(kind: &str) -> String {
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let what_to_do = match kind {
        "connection" | "tls" => "port 443 of the relay's host must lead to this relay, past any proxy that ends TLS",
        "dns" => "the relay's host has no usable address in the DNS",
        "unauthorized" | "incorrectResponse" => {
            "at port 443 of the relay's host something else answers, or nothing; it must lead to this relay"
        }
        "caa" => "the DNS (CAA) does not let this authority certify the relay's host",
        "rateLimited" => "too many attempts; the next one waits",
        "rejectedIdentifier" => "the authority does not certify the relay's host",
        "invalidContact" | "unsupportedContact" => "`acme_contact` is not accepted",
        "externalAccountRequired" => "this authority wants an account made beforehand, which this relay cannot give",
        _ => "see the kind, and the authority's status page",
    };
    // It comes from outside, and goes into a log.
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    format!("the authority refused ({kind}): {what_to_do}")
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(problem.r#type.unwrap_or_default()),
            Error::Timeout(_) => Self::TimedOut,
            Error::Other(_) | Error::Http(_) => Self::Unreachable,
            _ => Self::BadAnswer,
        }
    }
}

/// Gets a certificate, and a new one in time.
pub(super) struct Renewal {
    acme: Acme,
    folder: PathBuf,
    authority: Authority,
    served: Arc<Served>,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renewal(..)")
    }
}

impl Renewal {
    pub(super) fn open(acme: &Acme, data: &Path, served: Arc<Served>) -> Result<Self, AcmeError> {
        if acme.domain.parse::<std::net::IpAddr>().is_ok() {
            return Err(AcmeError::NotAName);
        }
        let authority = Authority::new(acme.root.as_deref())?;
        let place = Sha256::new().chain_update(&acme.directory).chain_update([0]).chain_update(&acme.domain).finalize();
        let folder = data.join(FOLDER).join(hex::encode(&place[..8]));
        make_private_folder(&folder)?;
        let renewal = Self { acme: acme.clone(), folder, authority, served };
        renewal.serve_the_last_one()?;
        Ok(renewal)
    }

    fn serve_the_last_one(&self) -> io::Result<()> {
        let pem = match fs::read(self.folder.join(CERTIFICATE_FILE)) {
            Ok(pem) => Zeroizing::new(pem),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        match Certificate::from_pem(&pem, &pem) {
            Ok(certificate) => self.served.replace(certificate),
            Err(error) => tracing::warn!(%error, "the kept certificate is of no use; a new one is asked for"),
        }
        Ok(())
    }

    /// Never returns.
    pub(super) async fn run(&self) {
        let mut backoff = BACKOFF_MIN;
        if self.served.validity().is_none() {
            tracing::warn!("there is no certificate yet: until the authority has given one, no device can connect");
        }
        loop {
            let wait = self.served.validity().map_or(Duration::ZERO, |validity| until_due(validity, SystemTime::now()));
            if !wait.is_zero() {
                sleep(wait.min(LOOK_EVERY)).await;
                continue;
            }
            let attempt = timeout(PATIENCE, self.attempt()).await.unwrap_or(Err(Failed::TimedOut));
            self.served.challenge(None);
            match attempt {
                Ok(()) => {
                    backoff = BACKOFF_MIN;
                    tracing::info!("the authority gave a certificate; it is in use");
                }
                Err(error) => {
                    let minutes = backoff.as_secs().div_ceil(60);
                    match self.served.validity() {
                        None => tracing::warn!(%error, minutes, "no certificate was given; it is asked for again"),
                        Some(_) => tracing::warn!(
                            %error, minutes, "the certificate was not renewed; the old one stays in use until then"
                        ),
                    }
                    sleep(backoff).await;
                    backoff = (backoff * 3).min(BACKOFF_MAX);
                }
            }
        }
    }

    async fn attempt(&self) -> Result<(), Failed> {
        let mut order = match self.order().await {
            // The authority has lost it, or cleans up what was long unused.
            Err(Failed::Refused(kind)) if kind.ends_with(":accountDoesNotExist") => {
                fs::remove_file(self.folder.join(ACCOUNT_FILE))?;
                self.order().await?
            }
            order => order?,
        };
        self.prove(&mut order).await?;
        let retries = RetryPolicy::new().timeout(PATIENCE);
        if order.poll_ready(&retries).await? != OrderStatus::Ready {
            return Err(why(&mut order).await);
        }
        let key = KeyPair::generate().map_err(|_| Failed::BadAnswer)?;
        let request = CertificateParams::new(vec![self.acme.domain.clone()])
            .and_then(|params| params.serialize_request(&key))
            .map_err(|_| Failed::BadAnswer)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&retries).await?;
        let pem = Zeroizing::new(format!("{chain}\n{}", key.serialize_pem()));
        let certificate = Certificate::from_pem(pem.as_bytes(), pem.as_bytes()).map_err(|_| Failed::BadAnswer)?;
        if !certificate.is_for(&self.acme.domain) {
            return Err(Failed::BadAnswer);
        }
        // In use even if it cannot be kept: after a restart another one is asked for.
        self.served.replace(certificate);
        Ok(write_durably(&self.folder.join(CERTIFICATE_FILE), pem.as_bytes())?)
    }

    async fn order(&self) -> Result<Order, Failed> {
        let identifiers = [Identifier::Dns(self.acme.domain.clone())];
        Ok(self.account().await?.new_order(&NewOrder::new(&identifiers)).await?)
    }

    /// The account at the authority, made if there is none.
    async fn account(&self) -> Result<Account, Failed> {
        let path = self.folder.join(ACCOUNT_FILE);
        let builder = || Account::builder_with_http(Box::new(self.authority.clone()));
        let kept = fs::read(&path).map(Zeroizing::new).ok();
        let kept = kept.and_then(|kept| serde_json::from_slice::<AccountCredentials>(&kept).ok());
        if let Some(credentials) = kept {
            return Ok(builder().from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.acme.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder().create(&wanted, self.acme.directory.clone(), None).await?;
        let text = Zeroizing::new(serde_json::to_vec(&credentials).map_err(|_| Failed::BadAnswer)?);
        write_durably(&path, &text)?;
        Ok(account)
    }

    /// Gets ready for the authority's visit, and asks for it.
    async fn prove(&self, order: &mut Order) -> Result<(), Failed> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => return Err(Failed::Refused("unauthorized".to_owned())),
            }
            let mut challenge = authorization.challenge(ChallengeType::TlsAlpn01).ok_or(Failed::NoTlsAlpn)?;
            let answer = answer_to(&self.acme.domain, challenge.key_authorization().digest().as_ref());
            self.served.challenge(Some(answer.ok_or(Failed::BadAnswer)?));
            challenge.set_ready().await?;
        }
        Ok(())
    }
}

/// The certificate of RFC 8737, by which the authority sees that this relay knows of the order.
fn answer_to(domain: &str, digest: &[u8]) -> Option<Arc<CertifiedKey>> {
    let mut params = CertificateParams::new(vec![domain.to_owned()]).ok()?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().ok()?;
    let signed = params.self_signed(&key).ok()?;
    let secret = PrivateKeyDer::try_from(key.serialize_der()).ok()?;
    let secret = super::provider().key_provider.load_private_key(secret).ok()?;
    Some(Arc::new(CertifiedKey::new(vec![signed.der().clone()], secret)))
}

/// What the authority says of a validation that failed.
async fn why(order: &mut Order) -> Failed {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            let mut problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            if let Some(problem) = problems.next() {
                return Failed::Refused(problem.r#type.clone().unwrap_or_default());
            }
        }
    }
    Failed::Refused(String::new())
}

/// How long until a certificate is to be renewed: when a third of its time is left, as authorities ask.
fn until_due(Validity { from, until }: Validity, now: SystemTime) -> Duration {
    let whole = until.duration_since(from).unwrap_or_default();
    (until - whole / 3).duration_since(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_time_is_left() {
        let validity = Validity { from: UNIX_EPOCH, until: UNIX_EPOCH + 90 * DAY };
        assert_eq!(until_due(validity, UNIX_EPOCH), 60 * DAY);
        assert_eq!(until_due(validity, UNIX_EPOCH + 59 * DAY), DAY);
        assert_eq!(until_due(validity, UNIX_EPOCH + 61 * DAY), Duration::ZERO);
        assert_eq!(until_due(validity, UNIX_EPOCH + 400 * DAY), Duration::ZERO);
        let nonsense = Validity { from: UNIX_EPOCH + DAY, until: UNIX_EPOCH };
        assert_eq!(until_due(nonsense, UNIX_EPOCH + DAY), Duration::ZERO);
    }

    #[test]
    fn a_refusal_is_explained_and_carries_nothing_from_outside_into_the_log() {
        let text = Failed::Refused("urn:ietf:params:acme:error:dns".to_owned()).to_string();
        assert_eq!(text, "the authority refused (dns): the relay's host has no usable address in the DNS");
        let hostile = Failed::Refused("x:relay.example\n<b>\u{1b}[31m".to_owned()).to_string();
        assert!(hostile.starts_with("the authority refused (relayexampleb31m): "), "{hostile}");
    }

    #[test]
    fn a_name_is_needed_and_a_readable_root() {
        let data = tempfile::tempdir().unwrap();
        let open = |domain: &str, root: Option<&str>| {
            let acme = Acme {
                domain: domain.to_owned(),
                contact: None,
                directory: "https://authority.example".to_owned(),
                root: root.map(PathBuf::from),
            };
            Renewal::open(&acme, data.path(), Arc::default())
        };
        assert!(open("relay.example", None).is_ok());
        assert!(matches!(open("192.0.2.1", None), Err(AcmeError::NotAName)));
        assert!(matches!(open("relay.example", Some("missing")), Err(AcmeError::Root(_))));
    }
}
