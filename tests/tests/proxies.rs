//! A relay behind the proxies whose configuration is shipped with it, real ones: devices talk through them.

#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tacit_client_core::ContactState;
use tacit_proto::link::{EnrolmentLink, Pin};
use tacit_tests::{Device, PATIENCE_MS, Relay, Wire, kill, random_below};
use tempfile::TempDir;

/// A proxy in front of a relay. Killed when dropped.
struct Proxy {
    folder: TempDir,
    port: u64,
    child: Child,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

fn is_installed(program: &str, asks: &str) -> bool {
    Command::new(program).arg(asks).output().is_ok_and(|output| output.status.success())
}

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/packaging").join(name)).unwrap()
}

/// Replaces what must be there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    text.replace(from, to)
}

fn openssl(arguments: &[&str], folder: &Path) -> Vec<u8> {
    let done = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// A key and a certificate of its own: devices know it by its pin.
fn certificate(folder: &Path) -> Pin {
    let subject = ["-subj", "/CN=relay.example", "-addext", "subjectAltName=DNS:relay.example,IP:127.0.0.1"];
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem"];
    openssl(&[&["req", "-x509", "-days", "2", "-out", "cert.pem"], &key[..], &subject[..]].concat(), folder);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "spki"], folder);
    let pin = openssl(&["dgst", "-sha256", "-binary", "spki"], folder);
    Pin::from_bytes(pin.try_into().unwrap())
}

impl Proxy {
    /// Starts one: `configure` writes its files for a port and says how it is run.
    fn start(configure: impl Fn(&Path, u64) -> Command) -> (Self, Pin) {
        let folder = tempfile::tempdir().unwrap();
        let pin = certificate(folder.path());
        loop {
            // Like a relay's: see there.
            let port = 20_000 + random_below(12_000);
            let log = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
            let mut command = configure(folder.path(), port);
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log("out.log")).stderr(log("err.log"));
            let mut child = command.spawn().unwrap();
            let started = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).is_ok() {
                    return (Self { folder, port, child }, pin);
                }
                assert!(started.elapsed() < Duration::from_millis(PATIENCE_MS), "it does not listen");
                sleep(Duration::from_millis(20));
            }
            let said = fs::read_to_string(folder.path().join("err.log")).unwrap();
            assert!(said.contains("in use"), "it does not start: {said}");
        }
    }

    /// Everything that it wrote down.
    fn logs(&self) -> String {
        let mut all = String::new();
        let mut folders: Vec<PathBuf> = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "log") {
                    all.push_str(&fs::read_to_string(path).unwrap());
                }
            }
        }
        all
    }
}

fn nginx(upstream: &str) -> (Proxy, Pin) {
    Proxy::start(|folder, port| {
        let path = |name: &str| folder.join(name).display().to_string();
        let server = shipped("nginx.conf");
        let server = replaced(&server, "listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;"));
        let server = replaced(&server, "    listen [::]:443 ssl;\n", "");
        let server = replaced(&server, "/etc/letsencrypt/live/relay.example/fullchain.pem", &path("cert.pem"));
        let server = replaced(&server, "/etc/letsencrypt/live/relay.example/privkey.pem", &path("key.pem"));
        let server = replaced(&server, "/var/log/nginx/tacit.log", &path("tacit.log"));
        let server = replaced(&server, "127.0.0.1:7443", upstream);
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary: String = kinds.map(|kind| format!("{kind}_temp_path {};\n", path(kind))).concat();
        let text = format!(
            "daemon off;\npid {};\nevents {{}}\nhttp {{\naccess_log {};\n{temporary}{server}\n}}\n",
            path("pid"),
            path("access.log")
        );
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p", folder.to_str().unwrap(), "-c", "nginx.conf"]);
        command
    })
}

fn caddy(upstream: &str) -> (Proxy, Pin) {
    Proxy::start(|folder, port| {
        let text = shipped("Caddyfile");
        let text = replaced(&text, "\n{\n", "\n{\n\tadmin off\n\tauto_https disable_redirects\n");
        let text = replaced(&text, "\nrelay.example {", &format!("\nhttps://127.0.0.1:{port} {{"));
        let files = format!(
            "bind 127.0.0.1\n\ttls {} {} {{",
            folder.join("cert.pem").display(),
            folder.join("key.pem").display()
        );
        let text = replaced(&text, "tls {", &files);
        let text = replaced(&text, "127.0.0.1:7443", upstream);
        fs::write(folder.join("Caddyfile"), text).unwrap();
        let mut command = Command::new("caddy");
        command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
        for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(home, folder);
        }
        command
    })
}

/// Asks over TLS for a page, in the proxy's own words.
fn page(proxy: &Proxy) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-tls1_3", "-servername", "relay.example"])
        .args(["-connect", &format!("127.0.0.1:{}", proxy.port)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let forged = "X-Forwarded-For: 203.0.113.66\r\nForwarded: for=203.0.113.66\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{forged}Connection: close\r\n\r\n", proxy.port);
    client.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
    let mut page = String::new();
    client.stdout.take().unwrap().read_to_string(&mut page).unwrap();
    client.wait().unwrap();
    page
}

fn devices_talk_through(start: impl Fn(&str) -> (Proxy, Pin)) {
    let mut relay = Relay::start_with("tls = \"proxy\"\ntrusted_proxies = [\"127.0.0.1\"]");
    let wire = Wire::before(relay.address());
    let (proxy, pin) = start(wire.address());

    let url = format!("wss://127.0.0.1:{}", proxy.port);
    let mut enrolment = EnrolmentLink::parse(relay.operate("enrol", &["--url", &url]).trim()).unwrap();
    enrolment.relay.pin = Some(pin);
    let (therapist, client) = (Device::new(), Device::new());
    therapist.online();
    client.online();
    therapist.enrol(&enrolment.to_uri());
    let (of_client, link) = therapist.invite("Client in the test");
    let of_therapist = client.join(&link);
    therapist.wait_state(&of_client, ContactState::Paired);
    client.wait_state(&of_therapist, ContactState::Paired);
    let texts: Vec<String> = (1..=100).map(|number| format!("through a proxy {number}")).collect();
    for text in &texts {
        therapist.client().send(of_client.clone(), text.clone()).unwrap();
        client.client().send(of_therapist.clone(), text.clone()).unwrap();
    }
    therapist.wait_all_delivered(&of_client);
    client.wait_all_delivered(&of_therapist);
    assert_eq!(client.received(&of_therapist), texts);
    assert_eq!(therapist.received(&of_client), texts);

    let page = page(&proxy);
    assert!(page.contains("This is a Tacit relay") && page.contains("A proxy in front of the relay"), "{page}");
    assert_eq!(page.matches("Strict-Transport-Security").count(), 1, "{page}");
    let sent = wire.sent();
    let forwarded: Vec<&str> =
        sent.lines().filter(|line| line.to_lowercase().starts_with("x-forwarded-for:")).map(str::trim).collect();
    assert!(!forwarded.is_empty() && forwarded.iter().all(|line| line.ends_with(": 127.0.0.1")), "{forwarded:?}");
    assert!(!sent.contains("203.0.113.66"), "nobody says of himself where he comes from: {sent}");

    // Not even its troubles with the relay does it put down with a device's address.
    relay.kill();
    let refused = self::page(&proxy);
    assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
    // It may say where it listens.
    let logs = proxy.logs().replace(&format!("127.0.0.1:{}", proxy.port), "where it listens");
    for part in ["127.0.0.1:", "client: ", "remote_ip"] {
        assert!(!logs.contains(part), "{part}: {logs}");
    }
}

#[test]
fn devices_talk_through_nginx() {
    if !is_installed("nginx", "-v") || !is_installed("openssl", "version") {
        return eprintln!("NOT TESTED: there is no nginx or no openssl on this machine");
    }
    devices_talk_through(nginx);
}

#[test]
fn devices_talk_through_caddy() {
    if !is_installed("caddy", "version") || !is_installed("openssl", "version") {
        return eprintln!("NOT TESTED: there is no Caddy or no openssl on this machine");
    }
    devices_talk_through(caddy);
}
