//! A certificate that the relay gets by itself, from a real authority on this machine: Pebble, of Let's Encrypt.
//!
//! Where `pebble` is not installed (Debian has it), these tests say so and do not run.

#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tacit_tests::{Device, PATIENCE_MS, Relay, kill, random_below};
use tempfile::TempDir;

/// A running authority, known by a certificate of its own making.
struct Pebble {
    folder: TempDir,
    ports: [u16; 2],
    /// Of what it issues, in seconds.
    validity: u32,
    child: Option<Child>,
}

impl Pebble {
    /// None where it is not installed.
    fn prepare() -> Option<Self> {
        if Command::new("pebble").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            eprintln!(
                "pebble is not installed here: the relay did not get a certificate from an authority in this test"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(folder.path().join("root.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(folder.path().join("own.pem"), own.pem()).unwrap();
        fs::write(folder.path().join("own.key"), key.serialize_pem()).unwrap();
        let first = u16::try_from(20_000 + random_below(12_000)).unwrap();
        Some(Self { folder, ports: [first, first + 1], validity: 90 * 24 * 3_600, child: None })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it. It validates at this port.
    fn start(&mut self, validates_at: u16) {
        self.stop();
        let [directory, management] = self.ports;
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{directory}", "managementListenAddress": "127.0.0.1:{management}",
                "certificate": {:?}, "privateKey": {:?}, "httpPort": {validates_at}, "tlsPort": {validates_at},
                "ocspResponderURL": "", "externalAccountBindingRequired": false,
                "certificateValidityPeriod": {}}}}}"#,
            self.file("own.pem"),
            self.file("own.key"),
            self.validity,
        );
        fs::write(self.file("config.json"), config).unwrap();
        let child = Command::new("pebble")
            .arg("-config")
            .arg(self.file("config.json"))
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        wait("the authority does not start", || TcpStream::connect(("127.0.0.1", directory)).is_ok());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill(&mut child);
        }
    }

    fn config(&self, port: u16) -> String {
        format!(
            "tls = \"acme\"\nurl = \"wss://localhost:{port}\"\nacme_contact = \"mailto:it@clinic.example\"\n\
             acme_directory = \"https://localhost:{}/dir\"\nacme_root = {:?}",
            self.ports[0],
            self.file("root.pem"),
        )
    }

    /// Under which it issues: drawn anew at each of its starts.
    fn issuing_root(&self) -> PathBuf {
        let mut stream = connect(&self.file("root.pem"), self.ports[1]).unwrap();
        stream.write_all(b"GET /roots/0 HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        // It closes without saying so.
        let _ = stream.read_to_string(&mut answer);
        let (_, pem) = answer.split_once("\r\n\r\n").unwrap();
        fs::write(self.file("issuing.pem"), pem).unwrap();
        self.file("issuing.pem")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_millis(2 * PATIENCE_MS), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// TLS to a port of this machine, as `localhost`, trusting one root.
fn connect(root: &Path, port: u16) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        TcpStream::connect(("127.0.0.1", port))?,
    );
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

fn port(relay: &Relay) -> u16 {
    relay.address().rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn a_relay_gets_its_certificate_by_itself_and_keeps_it() {
    let Some(mut pebble) = Pebble::prepare() else { return };
    let mut relay = Relay::start_at(|port| {
        pebble.start(port);
        pebble.config(port)
    });
    let root = pebble.issuing_root();
    wait("no certificate came", || connect(&root, port(&relay)).is_ok());
    wait("it was not kept", || relay.log().contains("the authority gave a certificate"));
    pebble.stop();
    relay.restart();
    let device = Device::new();
    device.client().trust_authority(root.display().to_string()).unwrap();
    device.online();
    device.enrol(&relay.enrolment(1));
    let _ = device.invite("Wednesdays");
    let log = relay.log();
    assert!(log.contains("a validation came"), "{log}");
    assert!(!log.contains("localhost") && !log.contains("clinic.example"), "{log}");
}

#[test]
fn a_certificate_is_renewed_before_it_ends() {
    let Some(mut pebble) = Pebble::prepare() else { return };
    pebble.validity = 12;
    let relay = Relay::start_at(|port| {
        pebble.start(port);
        pebble.config(port)
    });
    let root = pebble.issuing_root();
    let shown = || {
        let stream = connect(&root, port(&relay)).ok()?;
        Some(stream.conn.peer_certificates()?.first()?.clone().into_owned())
    };
    let mut first = None;
    wait("no certificate came", || {
        first = shown();
        first.is_some()
    });
    // At no moment there is none, or one that is over: then `shown` would be none.
    wait("it was not renewed", || {
        let now = shown();
        assert!(now.is_some(), "there is always one");
        now != first
    });
}

#[test]
fn an_authority_that_forgot_the_account_gives_a_certificate_all_the_same() {
    let Some(mut pebble) = Pebble::prepare() else { return };
    let mut relay = Relay::start_at(|port| {
        pebble.start(port);
        pebble.config(port)
    });
    wait("no certificate came", || relay.log().contains("the authority gave a certificate"));
    relay.kill();
    // A new one, that knows nobody.
    pebble.start(port(&relay));
    let kept = fs::read_dir(relay.data().join("data/acme")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(kept.join("certificate.pem")).unwrap();
    relay.restart();
    let root = pebble.issuing_root();
    wait("no certificate came", || connect(&root, port(&relay)).is_ok());
}

#[test]
fn a_relay_without_a_certificate_says_why_and_turns_everybody_away() {
    let Some(mut pebble) = Pebble::prepare() else { return };
    let relay = Relay::start_at(|port| {
        // Nothing listens there.
        pebble.start(1);
        pebble.config(port)
    });
    wait("it does not say why", || relay.log().contains("no certificate was given"));
    let log = relay.log();
    assert!(log.contains("there is no certificate yet"), "{log}");
    assert!(log.contains("the authority refused (") && log.contains("port 443 of the relay's host"), "{log}");
    assert!(!log.contains("localhost"), "{log}");
    assert!(connect(&pebble.issuing_root(), port(&relay)).is_err());
}
