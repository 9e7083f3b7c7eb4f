//! The connection to a relay: a WebSocket, with TLS unless nobody can listen in between.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tacit_proto::frame::{FromRelay, ToRelay};
use tacit_proto::limits::MAX_FRAME;
use tacit_proto::link::{Pin, RelayPlace};
use tacit_proto::{PATH, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(not(test))]
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
// The only network of unit tests is a simulated one.
#[cfg(test)]
use turmoil::net::TcpStream;

use crate::error::AuthorityError;
use crate::network::Proxy;

/// How long connecting may take, name look-up and handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The same through a proxy: Tor may have to build circuits to an onion service first.
const PROXY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a relay may take no bytes of ours.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Most frames that one turn takes: one transaction for all of them, but not an endless one.
const BATCH: usize = 64;

/// What the bytes run over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why there is no connection, in words for a person. Never says to whom.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetError {
    /// TCP or the name look-up failed.
    #[error("the relay cannot be reached ({0})")]
    Unreachable(std::io::ErrorKind),
    /// Nothing came in time.
    #[error("the relay does not answer")]
    TimedOut,
    /// The certificate or key is wrong.
    #[error("the relay's certificate or key is not the expected one; do not go on if this is new")]
    NotTheRelay,
    /// The relay turned the connection away.
    #[error("the relay has no place for this connection now")]
    TurnedAway,
    /// The TLS or WebSocket handshake failed.
    #[error("what answers at the relay's address is not a Tacit relay of this version")]
    NotARelay,
    /// The address is an onion service, and there is no proxy.
    #[error("this relay is an onion service: name Tor's SOCKS5 proxy in the network settings")]
    NeedsTor,
    /// There is no proxy where there should be one. Nothing goes past it.
    #[error("the SOCKS5 proxy cannot be reached; is it running?")]
    NoProxy,
    /// The proxy says no.
    #[error("the SOCKS5 proxy cannot reach the relay")]
    ProxyFailed,
    /// The certificate is not valid by the clock of this device.
    #[error("the relay's certificate is not valid today: look whether this device's date and time are right")]
    WrongTime,
    /// The connection ended.
    #[error("the connection to the relay ended")]
    Ended,
    /// Something came that is no frame.
    #[error("the relay does not keep to the protocol")]
    Protocol,
}

/// A connection that carries frames.
pub(crate) struct Wire {
    socket: WebSocketStream<Box<dyn Stream>>,
}

impl Wire {
    /// Connects to a relay.
    pub(crate) async fn connect(
        place: &RelayPlace,
        authority: Option<&Authority>,
        proxy: Option<&Proxy>,
    ) -> Result<Self, NetError> {
        let patience = if proxy.is_some() { PROXY_TIMEOUT } else { CONNECT_TIMEOUT };
        timeout(patience, Self::connect_now(place, authority, proxy)).await.map_err(|_| NetError::TimedOut)?
    }

    async fn connect_now(
        place: &RelayPlace,
        authority: Option<&Authority>,
        proxy: Option<&Proxy>,
    ) -> Result<Self, NetError> {
        let uri: Uri = place.address.as_str().parse().map_err(|_| NetError::NotARelay)?;
        let host = uri.host().ok_or(NetError::NotARelay)?.trim_matches(['[', ']']);
        let encrypted = place.address.is_encrypted();
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let tcp = match proxy {
            Some(proxy) => through(proxy, host, port).await?,
            // Looking an onion name up would tell a name server.
            None if host.ends_with(".onion") => return Err(NetError::NeedsTor),
            None => TcpStream::connect((host, port)).await.map_err(|error| NetError::Unreachable(error.kind()))?,
        };
        tcp.set_nodelay(true).map_err(|error| NetError::Unreachable(error.kind()))?;
        let stream: Box<dyn Stream> = if encrypted {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| NetError::NotTheRelay)?;
            let connector = tokio_rustls::TlsConnector::from(tls_config(place.pin, authority)?);
            Box::new(connector.connect(name, tcp).await.map_err(|error| tls_failed(&error))?)
        } else {
            Box::new(tcp)
        };
        let mut request =
            format!("{}{PATH}", place.address.as_str()).into_client_request().map_err(|_| NetError::NotARelay)?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_write_buffer_size(1024 * 1024)
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let (socket, answer) =
            client_async_with_config(request, stream, Some(config)).await.map_err(|error| websocket_failed(&error))?;
        if answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL).is_none_or(|chosen| chosen != SUBPROTOCOL) {
            return Err(NetError::NotARelay);
        }
        Ok(Self { socket })
    }

    /// Waits for a frame, and takes along what else is there. Can be dropped at any await without loss.
    pub(crate) async fn receive(&mut self) -> Result<Vec<FromRelay>, NetError> {
        let mut frames = Vec::new();
        while frames.is_empty() {
            let message = self.socket.next().await;
            frames.extend(frame(message)?);
        }
        while frames.len() < BATCH
            && let Some(message) = self.socket.next().now_or_never()
        {
            match frame(message) {
                Ok(frame) => frames.extend(frame),
                // What came before the end is still good; the end shows again at the next call.
                Err(NetError::Ended) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(frames)
    }

    /// Sends frames, in order, with one flush.
    pub(crate) async fn send(&mut self, frames: Vec<ToRelay>) -> Result<(), NetError> {
        if frames.is_empty() {
            return Ok(());
        }
        let sending = async {
            for frame in frames {
                self.socket.feed(Message::Binary(frame.encode())).await?;
            }
            self.socket.flush().await
        };
        match timeout(WRITE_TIMEOUT, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NetError::Ended),
            Err(_) => Err(NetError::TimedOut),
        }
    }

    /// Says good-bye, briefly.
    pub(crate) async fn close(mut self) {
        // A relay that does not take it finds out by itself.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

/// A connection by way of a proxy, which looks the name up. Under a user name that is drawn for it: Tor gives each its own
/// circuit, so that the exits of two connections tell nobody that they are one device's.
async fn through(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, NetError> {
    let way = TcpStream::connect((proxy.host.as_str(), proxy.port)).await.map_err(|_| NetError::NoProxy)?;
    let mut name = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut name);
    let name = hex::encode(name);
    let reached = Socks5Stream::connect_with_password_and_socket(way, (host, port), &name, &name).await;
    reached.map(Socks5Stream::into_inner).map_err(|_| NetError::ProxyFailed)
}

/// None for what carries no frame, such as a keep-alive.
fn frame(message: Option<Result<Message, WsError>>) -> Result<Option<FromRelay>, NetError> {
    match message {
        Some(Ok(Message::Binary(bytes))) => FromRelay::decode(bytes).map(Some).map_err(|_| NetError::Protocol),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Text(_)) | Err(WsError::Capacity(_) | WsError::Protocol(_))) => Err(NetError::Protocol),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(NetError::Ended),
    }
}

/// Only what shows another key than the right one may alarm anybody.
fn tls_failed(error: &std::io::Error) -> NetError {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => NetError::WrongTime,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_)) => NetError::NotTheRelay,
        Some(_) => NetError::NotARelay,
        None => NetError::Ended,
    }
}

fn websocket_failed(error: &WsError) -> NetError {
    match error {
        WsError::Http(answer) if [503, 429].contains(&answer.status().as_u16()) => NetError::TurnedAway,
        WsError::Io(_) => NetError::Ended,
        _ => NetError::NotARelay,
    }
}

/// One more authority whose certificates are accepted, besides the public ones: a clinic's own. Named by the person who
/// uses the device, and never taken from the system's store, where an employer's or a school's inspecting proxy has put
/// its own.
#[derive(Clone)]
pub(crate) struct Authority(CertificateDer<'static>);

impl Authority {
    /// Reads its root certificate: one, PEM.
    pub(crate) fn read(file: &Path) -> Result<Self, AuthorityError> {
        let text = std::fs::read(file).map_err(|error| AuthorityError::Unreadable(error.kind().to_string()))?;
        let mut all = CertificateDer::pem_slice_iter(&text);
        let (Some(Ok(root)), None) = (all.next(), all.next()) else { return Err(AuthorityError::NotOneRoot) };
        RootCertStore::empty().add(root.clone()).map_err(|_| AuthorityError::NotOneRoot)?;
        Ok(Self(root))
    }
}

fn tls_config(pin: Option<Pin>, authority: Option<&Authority>) -> Result<Arc<ClientConfig>, NetError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| NetError::NotTheRelay)?;
    Ok(Arc::new(match pin {
        Some(pin) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider }))
            .with_no_client_auth(),
        None => {
            let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            if let Some(Authority(root)) = authority {
                roots.add(root.clone()).map_err(|_| NetError::NotTheRelay)?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    }))
}

/// Takes exactly one public key, the one in the link, whatever its certificate says.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|_| rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))?;
        let key: [u8; 32] = Sha256::digest(certificate.subject_public_key_info().as_ref()).into();
        if key.ct_eq(self.pin.as_bytes()).into() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_taken_for_the_pins_of_their_vectors_and_for_no_other() {
        let vectors = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/vectors/pins.json")).unwrap();
        let vectors: serde_json::Value = serde_json::from_slice(&vectors).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        let bytes = |case: &serde_json::Value, field: &str| hex::decode(case[field].as_str().unwrap()).unwrap();
        let (provider, name) = (Arc::new(aws_lc_rs::default_provider()), ServerName::try_from("relay").unwrap());
        for pinned in cases {
            let pin = Pin::from_bytes(bytes(pinned, "pin").try_into().unwrap());
            let verifier = Pinned { pin, provider: Arc::clone(&provider) };
            for shown in cases {
                let certificate = CertificateDer::from(bytes(shown, "certificate"));
                let taken = verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now());
                assert_eq!(
                    taken.is_ok(),
                    pinned["pin"] == shown["pin"],
                    "{} for {}",
                    shown["comment"],
                    pinned["comment"]
                );
            }
        }
    }
}
