//! Conversations over encrypted connections: a key that links pin, and a clinic's own authority.

#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tacit_proto::link::EnrolmentLink;
use tacit_tests::core::{Connection, ContactState};
use tacit_tests::{Cli, Device, PATIENCE_MS, Relay};

fn converse(relay: &Relay, therapist: &Device, client: &Device) -> (String, String) {
    therapist.online();
    client.online();
    therapist.enrol(&relay.enrolment(3));
    let (contact, link) = therapist.invite("Wednesdays");
    let back = client.join(&link);
    therapist.wait_state(&contact, ContactState::Paired);
    client.wait_state(&back, ContactState::Paired);
    therapist.client().send(contact.clone(), "there".to_owned()).unwrap();
    client.client().send(back.clone(), "and back".to_owned()).unwrap();
    therapist.wait_all_delivered(&contact);
    client.wait_all_delivered(&back);
    assert_eq!((client.received(&back), therapist.received(&contact)), (vec!["there".into()], vec!["and back".into()]));
    (contact, back)
}

/// Waits until a device says what is wrong with its connection.
fn problem(device: &Device, wanted: &str) {
    let started = Instant::now();
    loop {
        let connection = device.client().connection();
        if matches!(&connection, Connection::Offline { problem } if problem.contains(wanted)) {
            return;
        }
        assert!(started.elapsed() < Duration::from_millis(PATIENCE_MS), "{connection:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const ANOTHER: &str = "not the expected one";

#[test]
fn a_pinned_key_carries_a_conversation_and_another_key_is_refused_whoever_has_it() {
    let mut relay = Relay::start_with("tls = \"pinned\"");
    let (therapist, client) = (Device::new(), Device::new());
    let link = EnrolmentLink::parse(&relay.enrolment(1)).unwrap();
    assert!(link.relay.address.is_encrypted());
    assert_eq!(link.relay.pin, Some(tacit_server::relay_pin(&relay.data().join("data")).unwrap()));
    let (contact, back) = converse(&relay, &therapist, &client);

    let (key, kept) = (relay.data().join("data/relay.key"), relay.data().join("kept"));
    relay.kill();
    fs::rename(&key, &kept).unwrap();
    relay.restart();
    problem(&therapist, ANOTHER);
    problem(&client, ANOTHER);
    therapist.client().send(contact.clone(), "waits".to_owned()).unwrap();
    relay.kill();
    fs::rename(&kept, &key).unwrap();
    relay.restart();
    therapist.wait_all_delivered(&contact);
    assert_eq!(client.received(&back), ["there", "waits"]);
}

/// A clinic's authority, and a relay's certificate by it: `root.pem`, `certificate.pem`, `key.pem`.
fn authority(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("root.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn relay_by(folder: &Path) -> Relay {
    authority(folder);
    let file = |name: &str| folder.join(name).display().to_string();
    Relay::start_with(&format!(
        "tls = \"files\"\ncertificate = {:?}\nprivate_key = {:?}",
        file("certificate.pem"),
        file("key.pem")
    ))
}

#[test]
fn a_clinics_own_authority_is_trusted_when_named_and_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_by(folder.path());
    let root = folder.path().join("root.pem").display().to_string();
    let (therapist, client, other) = (Device::new(), Device::new(), Device::new());
    for device in [&therapist, &client] {
        device.client().trust_authority(root.clone()).unwrap();
    }
    converse(&relay, &therapist, &client);
    let no_root = folder.path().join("key.pem").display().to_string();
    assert!(other.client().trust_authority(no_root).is_err());
    other.online();
    other.enrol(&relay.enrolment(1));
    problem(&other, ANOTHER);
}

#[test]
fn the_command_line_takes_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_by(folder.path());
    let root = folder.path().join("root.pem").display().to_string();
    let therapist = Cli::new();
    let link = relay.enrolment(1);
    let refused = therapist.run(&["--ca", "missing", "enrol", &link, "--name", "Dr. Example"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("authority_unusable"));
    let enrolled = therapist.ok(&["--ca", &root, "enrol", &link, "--name", "Dr. Example"]);
    assert_eq!(enrolled[0]["permits_left"], 1);
    let invited = therapist.command(&["invite", "--label", "Wednesdays"]).env("TACIT_CA", &root).output().unwrap();
    assert!(invited.status.success(), "{}", String::from_utf8_lossy(&invited.stderr));
}
