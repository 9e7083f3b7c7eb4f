//! The smallest device there can be: it speaks frames over one connection. It costs as little as it can, because a
//! benchmark's devices share the machine with the relay.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rand_core::UnwrapErr;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tacit_proto::frame::{
    Answer, AttachItem, Event, FromRelay, Handle, Open, Request, RequestId, ToRelay, Welcome, Window,
};
use tacit_proto::{ChannelId, Command, End, EndKey, EndOf, EnrolCode, PATH, Permit, SUBPROTOCOL};
use tacit_server::{Enrolments, Offer};
use tacit_tests::Relay;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// One of this machine's addresses: enough of them that no limit of an address is in the way.
pub fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + u32::try_from(number).unwrap())
}

/// Configuration with this many places for connections, and limits against floods out of a benchmark's way.
pub fn no_limits(connections: usize) -> String {
    format!(
        "connections = {connections}\nconnections_per_address = 1000\nconnects_per_minute = 1000000\n\
         proofs_per_second = 4000000000\nframes_per_second = 4000000000\nbytes_per_second = 4000000000\n"
    )
}

/// As many as a benchmark uses, where its files are not raised.
pub const PLACES: usize = 19_000;

/// The address of one of many connections: 250 share one.
pub fn source_of(number: usize) -> Ipv4Addr {
    source(1 + number / 250)
}

/// A TCP connection from one of this machine's addresses.
pub async fn tcp(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How devices reach the relay.
#[derive(Clone)]
pub struct Way {
    to: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Way {
    /// `wss` or `ws`, and where.
    pub fn new(scheme: &str, to: SocketAddr) -> Self {
        let tls = (scheme == "wss").then(|| {
            let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody))
                .with_no_client_auth();
            TlsConnector::from(Arc::new(config))
        });
        Self { to, tls }
    }

    /// To a relay that runs.
    pub fn to(relay: &Relay) -> Self {
        Self::new(relay.scheme(), relay.address().parse().unwrap())
    }

    /// Opens so many channels, under as many enrolments as that takes. End B of each is still the invite's.
    pub async fn channels(&self, relay: &Relay, count: usize) -> Vec<Pair> {
        let mut pairs = Vec::with_capacity(count);
        while pairs.len() < count {
            let code = EnrolCode::draw(&mut rng());
            let permits = u16::try_from((count - pairs.len()).min(250)).unwrap();
            let offer = Offer { permits: NonZeroU16::new(permits).unwrap(), expires: u64::MAX };
            Enrolments::open(&relay.data().join("data")).unwrap().add(&code.hash(), offer).unwrap();
            let mut device = self.connect(source(0)).await;
            let permits = device.permits(code, permits).await;
            pairs.extend(device.open(permits).await);
        }
        pairs
    }

    /// Connects from the address of one of many, and attaches an end.
    pub async fn attach(&self, pair: &Pair, end: End, number: usize) -> (Device, Handle) {
        let mut device = self.connect(source_of(number)).await;
        let handle = device.attach(pair.of(end), if end == End::A { &pair.a } else { &pair.b }).await;
        (device, handle)
    }

    pub async fn connect(&self, from: Ipv4Addr) -> Device {
        let tcp = tcp(from, self.to).await.unwrap();
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.connect(ServerName::from(self.to.ip()), tcp).await.unwrap()),
        };
        Device::on(stream).await
    }
}

/// A benchmark's relay is the one that it started; what checking its key costs a device is of no interest here.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// How a benchmark's device has its WebSocket: frames that are fed together leave together.
pub fn websocket() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(16 * 1024).write_buffer_size(64 * 1024)
}

/// A connection.
pub struct Device {
    socket: Socket,
    welcome: Welcome,
    last_request: u32,
}

impl Device {
    async fn on(stream: Box<dyn Stream>) -> Self {
        let mut request = format!("ws://relay{PATH}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let (mut socket, _) = client_async_with_config(request, stream, Some(websocket())).await.unwrap();
        let first = socket.next().await.unwrap().unwrap();
        let FromRelay::Event(Event::Welcome(welcome)) = FromRelay::decode(first.into_data()).unwrap() else {
            panic!("the first frame is not Welcome");
        };
        Self { socket, welcome: *welcome, last_request: 0 }
    }

    /// The WebSocket, to talk on by other means.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// The bare stream, without the memory for what may still come.
    pub fn into_stream(self) -> Box<dyn Stream> {
        self.socket.into_inner()
    }

    pub async fn write(&mut self, frame: ToRelay) {
        self.socket.send(Message::Binary(frame.encode())).await.unwrap();
    }

    /// Sends a request, and does not wait.
    pub async fn request(&mut self, request: Request) -> RequestId {
        self.last_request += 1;
        let id = NonZeroU32::new(self.last_request).unwrap();
        self.write(ToRelay::Request(id, request)).await;
        id
    }

    /// The next frame.
    pub async fn read(&mut self) -> FromRelay {
        loop {
            if let Message::Binary(bytes) = self.socket.next().await.unwrap().unwrap() {
                return FromRelay::decode(bytes).unwrap();
            }
        }
    }

    /// The next answer. What comes before it is of no interest.
    pub async fn answer(&mut self) -> Answer {
        loop {
            if let FromRelay::Answer(_, answer) = self.read().await {
                return answer;
            }
        }
    }

    pub async fn attach(&mut self, of: EndOf, key: &EndKey) -> Handle {
        let proof = key.prove(&self.welcome.challenge, &of, &Command::Attach).unwrap();
        let window = Window { boxes: NonZeroU32::new(64).unwrap(), bytes: u32::MAX };
        self.request(Request::Attach { items: vec![AttachItem { of, proof }], window }).await;
        match self.answer().await {
            Answer::Attach(mut results) => results.remove(0).unwrap().handle,
            other => panic!("{other:?}"),
        }
    }

    /// Attaches all ends of a device at once, as a device does that comes back.
    pub async fn attach_all(&mut self, ends: &[(EndOf, EndKey)]) {
        let prove = |(of, key): &(EndOf, EndKey)| AttachItem {
            of: *of,
            proof: key.prove(&self.welcome.challenge, of, &Command::Attach).unwrap(),
        };
        let items = ends.iter().map(prove).collect();
        let window = Window { boxes: NonZeroU32::new(64).unwrap(), bytes: u32::MAX };
        self.request(Request::Attach { items, window }).await;
        match self.answer().await {
            Answer::Attach(results) => assert!(results.len() == ends.len() && results.iter().all(Result::is_ok)),
            other => panic!("{other:?}"),
        }
    }

    pub async fn permits(&mut self, code: EnrolCode, count: u16) -> Vec<Permit> {
        let permits: Vec<Permit> = (0..count).map(|_| Permit::draw(&mut rng())).collect();
        let permit_hashes = permits.iter().map(Permit::hash).collect();
        self.request(Request::Enrol { code, permit_hashes }).await;
        assert_eq!(self.answer().await, Answer::Done);
        permits
    }

    /// Opens a channel for each permit, as many at once as the relay takes.
    pub async fn open(&mut self, permits: Vec<Permit>) -> Vec<Pair> {
        let mut pairs = Vec::with_capacity(permits.len());
        for permits in permits.chunks(32) {
            for permit in permits {
                let pair = Pair::draw();
                self.request(Request::Open(Box::new(Open {
                    channel: pair.channel,
                    permit: permit.clone(),
                    key_a: pair.a.public(),
                    key_b: pair.b.public(),
                    join_by: NonZeroU32::new(3_600).unwrap(),
                })))
                .await;
                pairs.push(pair);
            }
            for _ in permits {
                assert_eq!(self.answer().await, Answer::Done);
            }
        }
        pairs
    }

    /// Attaches end B under the invite's key and gives it its own.
    pub async fn claim(&mut self, pair: &mut Pair) -> Handle {
        let of = pair.of(End::B);
        let handle = self.attach(of, &pair.b).await;
        let new = EndKey::draw(&mut rng());
        let new_key = new.public();
        let proof = pair.b.prove(&self.welcome.challenge, &of, &Command::Rekey(&new_key)).unwrap();
        self.request(Request::Rekey { handle, new_key, proof }).await;
        assert_eq!(self.answer().await, Answer::Done);
        pair.b = new;
        handle
    }
}

/// A channel, with the keys of both ends.
pub struct Pair {
    pub channel: ChannelId,
    pub a: EndKey,
    pub b: EndKey,
}

impl Pair {
    fn draw() -> Self {
        Self { channel: ChannelId::draw(&mut rng()), a: EndKey::draw(&mut rng()), b: EndKey::draw(&mut rng()) }
    }

    pub fn of(&self, end: End) -> EndOf {
        EndOf { channel: self.channel, end }
    }
}
