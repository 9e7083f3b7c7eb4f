//! HTTPS to the authority: what `instant-acme` asks for, on the TLS library that is here anyway.
//!
//! A connection for each of the ten or so requests that a certificate takes: every two months that is cheap, and leaves
//! no pool to look after.

use std::error::Error as StdError;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Limited;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::acme::AcmeError;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest answer: a certificate chain has a few KiB.
const MAX_ANSWER: usize = 256 * 1024;

/// The way to the authority.
#[derive(Clone)]
pub(super) struct Authority {
    connector: TlsConnector,
}

impl Authority {
    /// Known by public roots, or by one from a file.
    pub(super) fn new(root: Option<&Path>) -> Result<Self, AcmeError> {
        let mut roots = RootCertStore::empty();
        match root {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(file) => {
                let of_no_use = || AcmeError::Root(file.to_owned());
                let root = CertificateDer::from_pem_file(file).map_err(|_| of_no_use())?;
                roots.add(root).map_err(|_| of_no_use())?;
            }
        }
        let builder = ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(AcmeError::Setup)?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    async fn ask(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let uri = request.uri().clone();
        if uri.scheme_str() != Some("https") {
            return Err(Error::Str("an address of the authority is not https"));
        }
        let authority = uri.authority().ok_or(Error::Str("an address of the authority has no host"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(other)?;
        let tcp = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await.map_err(other)?;
        let tls = self.connector.connect(name, tcp).await.map_err(other)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(other)?;
        // Ends with the answer, or with the sender.
        tokio::spawn(connection);
        let host = HeaderValue::from_str(authority.as_str()).map_err(other)?;
        request.headers_mut().insert(HOST, host);
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse()?;
        let (parts, body) = sender.send_request(request).await.map_err(other)?.into_parts();
        // The body is read while the sender still lives.
        let body = http_body_util::BodyExt::collect(Limited::new(body, MAX_ANSWER)).await.map_err(Error::Other)?;
        Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
    }
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asked = self.clone().ask(request);
        Box::pin(async move { timeout(PATIENCE, asked).await.map_err(other)? })
    }
}

fn other(error: impl StdError + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}
