//! Encryption: TLS 1.3 and nothing older, with the hybrid key exchange X25519MLKEM768 preferred. One certificate is
//! served at a time; where it comes from is one of three sources, each of which may replace it while connections go on.

mod acme;
mod authority;
mod certificate;
mod files;
mod pinned;

use std::future;
use std::io;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, version};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

pub use acme::AcmeError;
pub use certificate::{CertificateError, Validity};
pub use files::{FilesError, check_files};
pub use pinned::{PinnedError, relay_pin};

use crate::Config;
use crate::config::Transport;
use acme::Renewal;
use certificate::Served;
use files::Files;

/// The protocol of a validation by the authority (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// Bytes that TLS keeps of what the relay wrote and the device does not read. Beyond it, writing waits.
const UNSENT: usize = 16 * 1024;

/// The most that TLS keeps for a connection: what it may not have sent yet, a record that is not complete, and the
/// content of one that is.
pub(crate) const BUFFERS: usize = UNSENT + 2 * 20 * 1024;

/// Why a relay that is to encrypt does not start.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate and its key, from files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The relay's own key.
    #[error(transparent)]
    Pinned(#[from] PinnedError),
    /// The certificate that the relay gets by itself.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The TLS library refuses its configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What keeps the certificate current.
#[derive(Debug)]
enum Source {
    Files(Files),
    Pinned,
    Acme(Renewal),
}

/// The relay's encryption.
pub(crate) struct Tls {
    served: Arc<Served>,
    acceptor: TlsAcceptor,
    source: Source,
    look_again: Notify,
}

impl Tls {
    /// Reads (or makes) what the configuration names. None for a relay that does not encrypt.
    pub(crate) fn open(config: &Config) -> Result<Option<Self>, TlsError> {
        let served = Arc::new(Served::default());
        let source = match &config.transport {
            Transport::Plain { .. } => return Ok(None),
            Transport::Files { certificate, private_key } => {
                let host = config.url.as_ref().map(tacit_proto::link::RelayAddress::host);
                Source::Files(Files::open(certificate, private_key, host, Arc::clone(&served))?)
            }
            Transport::Pinned => {
                served.replace(pinned::certificate(&config.data)?);
                Source::Pinned
            }
            Transport::Acme(acme) => Source::Acme(Renewal::open(acme, &config.data, Arc::clone(&served))?),
        };
        let acceptor = TlsAcceptor::from(Arc::new(server_config(Arc::clone(&served))?));
        Ok(Some(Self { served, acceptor, source, look_again: Notify::new() }))
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// From when to when the certificate that is served is good; none if there is none yet.
    pub(crate) fn validity(&self) -> Option<Validity> {
        self.served.validity()
    }

    /// Whether what it shows to devices is good for a time only: a pinned key has no end.
    pub(crate) const fn has_end(&self) -> bool {
        !matches!(self.source, Source::Pinned)
    }

    /// The operator says that files changed.
    pub(crate) fn look_again(&self) {
        self.look_again.notify_one();
    }

    /// Keeps the certificate current. Never returns.
    pub(crate) async fn keep_current(&self) {
        match &self.source {
            Source::Files(files) => files.follow(&self.look_again).await,
            Source::Acme(renewal) => renewal.run().await,
            Source::Pinned => future::pending().await,
        }
    }
}

/// Whether a connection is a validation by the authority: it is over with the handshake.
pub(crate) fn is_validation(connection: &rustls::ServerConnection) -> bool {
    connection.alpn_protocol() == Some(ACME_TLS)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn server_config(served: Arc<Served>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(served);
    // A browser that comes for the relay's page must not speak HTTP/2 here.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), ACME_TLS.to_vec()];
    // No resumption: a ticket would let an observer link two connections of one device, and each costs memory here.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Bounds what a connection keeps of what it was given to write.
pub(crate) fn bound_buffers(connection: &mut rustls::ServerConnection) {
    connection.set_buffer_limit(Some(UNSENT));
}

/// Writes a file that only its owner may read, so that after a crash there is all of it or nothing.
fn write_durably(path: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let draft = path.with_extension("new");
    let mut file = crate::enrolment::private_file(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    sync_folder(path)
}

fn sync_folder(path: &std::path::Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}
