//! Encryption, from outside: what a device meets, and what happens when certificates change under it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use support::{Client, Pair, TestRelay, enrol, patiently, sealed, sealed_of};
use tacit_proto::frame::{Answer, Event};
use tacit_proto::{End, SizeClass};
use tacit_server::{CertificateError, Config, FilesError, Relay, StartError, TlsError, Transport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority, and a folder with a certificate by it.
struct Issued {
    folder: TempDir,
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Issued {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { folder: tempfile::tempdir().unwrap(), root, issuer: Issuer::new(params, key) }
    }

    fn draw(&self, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, (certificate, key): &(String, String)) {
        fs::write(self.folder.path().join("certificate.pem"), certificate).unwrap();
        fs::write(self.folder.path().join("key.pem"), key).unwrap();
    }

    fn transport(&self) -> Transport {
        Transport::Files {
            certificate: self.folder.path().join("certificate.pem"),
            private_key: self.folder.path().join("key.pem"),
        }
    }

    async fn relay(&self) -> TestRelay {
        TestRelay::start_with(|config| config.transport = self.transport()).await
    }

    async fn connect(&self, addr: SocketAddr) -> TlsStream<TcpStream> {
        self.connect_with(addr, aws_lc_rs::default_provider()).await.unwrap()
    }

    async fn connect_with(&self, addr: SocketAddr, with: CryptoProvider) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(with))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(addr).await?;
        patiently(TlsConnector::from(Arc::new(config)).connect(ServerName::from(addr.ip()), stream)).await
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der((certificate, _): &(String, String)) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()
}

#[tokio::test]
async fn devices_are_served_over_tls_and_agree_on_a_hybrid_key() {
    let issued = Issued::new();
    issued.write(&issued.draw(2100));
    let relay = issued.relay().await;
    let (one, other) = (issued.connect(relay.addr).await, issued.connect(relay.addr).await);
    let group = one.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    let (mut a, mut b) = (Client::on(one).await, Client::on(other).await);
    let permit = enrol(&mut a, &relay.offer(1, u64::MAX), 1).await.remove(0);
    let pair = Pair::open(&mut a, &permit).await.claimed(&mut b).await;
    let from = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    let to = b.attach(pair.of(End::B), &pair.b).await.unwrap().handle;
    let sent = a.send(from, 1, sealed(7)).await;
    loop {
        if let Event::Deliver { handle, seq, .. } = b.event().await {
            b.ack(handle, seq).await;
            break;
        }
    }
    assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
    assert_eq!(b.pong().await.last(), Some(&to));
}

#[tokio::test]
async fn a_device_that_knows_no_hybrid_key_exchange_is_served_and_tls_1_2_is_not() {
    let issued = Issued::new();
    issued.write(&issued.draw(2100));
    let relay = issued.relay().await;
    let classic = CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    Client::on(issued.connect_with(relay.addr, classic).await.unwrap()).await;

    let mut hello = vec![1, 0, 0, 0, 3, 3];
    hello.extend([9; 32]);
    // No session, one suite (ECDHE-ECDSA-AES128-GCM), no compression; groups: X25519; signatures: ECDSA-SHA256.
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 16, 0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3]);
    hello[3] = u8::try_from(hello.len() - 4).unwrap();
    let mut stream = TcpStream::connect(relay.addr).await.unwrap();
    let record = [&[22, 3, 1, 0, u8::try_from(hello.len()).unwrap()], &hello[..]].concat();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    patiently(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70], "a fatal alert: protocol version");
}

#[tokio::test]
async fn new_certificate_files_are_for_new_connections_and_old_ones_go_on() {
    let issued = Issued::new();
    let (first, second) = (issued.draw(2100), issued.draw(2101));
    issued.write(&first);
    let relay = issued.relay().await;
    let stream = issued.connect(relay.addr).await;
    assert_eq!(shown(&stream), der(&first));
    let mut device = Client::on(stream).await;
    issued.write(&second);
    (relay.reload)();
    while shown(&issued.connect(relay.addr).await) != der(&second) {
        tokio::task::yield_now().await;
    }
    assert_eq!(device.pong().await, [], "nobody was sent away");
}

#[tokio::test]
async fn a_device_that_does_not_read_is_closed_and_loses_nothing_over_tls() {
    let issued = Issued::new();
    issued.write(&issued.draw(2100));
    let relay = TestRelay::start_with(|config| {
        config.transport = issued.transport();
        config.write_timeout = Duration::from_millis(500);
        (config.limits.window_boxes, config.limits.window_bytes) = (1_000, u32::MAX);
    })
    .await;
    let connect = async || Client::on(issued.connect(relay.addr).await).await;
    let (mut a, mut b) = (connect().await, connect().await);
    let permit = enrol(&mut a, &relay.offer(1, u64::MAX), 1).await.remove(0);
    let pair = Pair::open(&mut a, &permit).await.claimed(&mut b).await;
    let from = a.attach(pair.of(End::A), &pair.a).await.unwrap().handle;
    let mut stuck = connect().await;
    stuck.attach(pair.of(End::B), &pair.b).await.unwrap();
    // More than the system holds for a connection.
    let count = 320;
    for n in 1..=count {
        let sent = a.send(from, n, sealed_of(SizeClass::Large, n as u32)).await;
        if n % 32 == 0 {
            assert!(matches!(a.answer(sent).await, Answer::Accepted { .. }));
        }
    }
    let mut back = connect().await;
    let handle = back.attach(pair.of(End::B), &pair.b).await.unwrap().handle;
    for n in 1..=count {
        assert_eq!(back.next_delivery().await, (n, n as u32));
        back.ack(handle, n).await;
    }
    drop(stuck);
}

#[tokio::test]
async fn a_change_is_found_without_being_told() {
    let issued = Issued::new();
    let (first, second) = (issued.draw(2100), issued.draw(2101));
    issued.write(&first);
    let relay = issued.relay().await;
    assert_eq!(shown(&issued.connect(relay.addr).await), der(&first));
    issued.write(&second);
    patiently(async {
        while shown(&issued.connect(relay.addr).await) != der(&second) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

fn refused(issued: &Issued) -> FilesError {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::new(data.path());
    config.transport = issued.transport();
    match Relay::open(config).map(drop) {
        Err(StartError::Tls(TlsError::Files(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_relay_does_not_start_on_files_that_no_device_would_accept() {
    let issued = Issued::new();
    let missing = refused(&issued);
    assert!(matches!(missing, FilesError::Unreadable { .. }) && missing.to_string().contains("certificate.pem"));
    let reason = |error| match error {
        FilesError::Unusable { source, .. } => source,
        other => panic!("{other}"),
    };
    issued.write(&issued.draw(2020));
    assert_eq!(reason(refused(&issued)), CertificateError::Expired);
    issued.write(&(issued.draw(2100).0, issued.draw(2100).1));
    assert_eq!(reason(refused(&issued)), CertificateError::Mismatch);
}

#[tokio::test]
async fn a_key_of_the_relays_own_stays_and_is_what_links_pin() {
    let relay = TestRelay::start_with(|config| config.transport = Transport::Pinned).await;
    let pin = tacit_server::relay_pin(relay.data.path()).unwrap();
    let data = relay.end().await;
    assert_eq!(tacit_server::relay_pin(data.path()).unwrap(), pin);
    let relay = TestRelay::start_on(data, |config| config.transport = Transport::Pinned).await;
    let addr = relay.addr;
    let data = relay.end().await;
    let noted = fs::read_to_string(data.path().join(tacit_server::URL_FILE)).unwrap();
    assert_eq!(noted, format!("wss://{addr}\n{}\n", tacit_server::PINNED));
}
