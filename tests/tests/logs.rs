//! No log, at any level and in either form, tells anything about anybody: a whole life of a relay, at `trace`, searched.

#![allow(missing_docs, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tacit_client_core::{ContactState, EndedWhy};
use tacit_proto::link::{EnrolmentLink, InviteLink};
use tacit_tests::{Device, Relay};

/// What is wrong with a line of the log, if anything is. It goes by what such things look like, so it finds those that it
/// was not told of: ids, keys, codes, permits, proofs and hashes in hex, base64 or as lists of numbers; addresses and
/// ports; sizes.
fn fault(line: &str, secrets: &[String]) -> Option<String> {
    let line = without_time(line);
    let lower = line.to_lowercase();
    if let Some(secret) = secrets.iter().find(|secret| lower.contains(&secret.to_lowercase())) {
        return Some(secret.clone());
    }
    for token in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
        let digits = token.bytes().filter(u8::is_ascii_digit).count();
        let is_hex = token.len() >= 8 && digits > 0 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        // No word is so long; 16 bytes are 22 characters of base64.
        if token.len() >= 22 || is_hex || (digits >= 4 && digits == token.len()) {
            return Some(token.to_owned());
        }
    }
    let address = |part: &&str| part.split('.').filter(|number| number.parse::<u8>().is_ok()).count() == 4;
    if let Some(address) = line.split(|c: char| !(c.is_ascii_digit() || c == '.')).find(address) {
        return Some(address.to_owned());
    }
    let numbers =
        line.split(['[', ',', ']', ' ']).filter(|part| !part.is_empty()).map(|part| part.parse::<u8>().is_ok());
    let mut run = 0;
    for is_byte in numbers {
        run = if is_byte { run + 1 } else { 0 };
        if run == 4 {
            return Some("a list of bytes".to_owned());
        }
    }
    ["\\x", "b\\\"", "::1", "tacit:", "://"].iter().find(|part| line.contains(**part)).map(|part| (*part).to_owned())
}

fn without_time(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(mut json) => {
            json.as_object_mut().unwrap().remove("timestamp").expect("a time");
            json.to_string()
        }
        Err(_) => line.split_once("Z ").expect("a time").1.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// Everything that happens to a relay. Returns what nobody may read in its log.
fn live(relay: &mut Relay) -> Vec<String> {
    let (mut therapist, mut client, stranger) = (Device::new(), Device::new(), Device::new());
    for device in [&therapist, &client, &stranger] {
        device.online();
    }
    let enrolment = relay.enrolment(3);
    therapist.enrol(&enrolment);
    let (of_client, link) = therapist.invite("Zacharias Quince");
    let of_therapist = client.join(&link);
    therapist.wait_state(&of_client, ContactState::Paired);
    client.wait_state(&of_therapist, ContactState::Paired);
    let send = |device: &Device, contact: &str, text: &str| {
        device.client().send(contact.to_owned(), text.to_owned()).unwrap();
    };
    for text in ["Jabberwocky one", "Jabberwocky two"] {
        send(&therapist, &of_client, text);
        send(&client, &of_therapist, text);
    }
    therapist.wait_all_delivered(&of_client);
    client.wait_all_delivered(&of_therapist);

    // A used invite, a used enrolment, and an invite that somebody declines.
    let used = stranger.client().join(link.clone(), None).unwrap();
    stranger.wait_state(&used, ContactState::Ended(EndedWhy::InviteUsed));
    stranger.client().enrol(enrolment.clone(), "Somebody Else".to_owned()).unwrap();
    let (declined, other_link) = therapist.invite("Nobody");
    let offered = stranger.client().join(other_link.clone(), None).unwrap();
    stranger.wait_state(&offered, ContactState::Consenting);
    stranger.client().decline(offered).unwrap();
    therapist.wait_state(&declined, ContactState::Ended(EndedWhy::ByPeer));

    // Boxes that wait, a relay that dies, and devices that come back.
    client.offline();
    for _ in 0..30 {
        send(&therapist, &of_client, "Jabberwocky waits");
    }
    therapist.settle();
    relay.restart();
    client.online();
    therapist.wait_all_delivered(&of_client);
    for request in [
        "GET /i?Jabberwocky HTTP/1.1\r\nHost: relay\r\nAccept: text/html\r\n\r\n",
        "GET /Jabberwocky HTTP/1.1\r\nHost: relay\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
        "Jabberwocky\r\n\r\n",
        // A WebSocket with a frame that is none.
        "GET /v1 HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tacit.v1\r\n\r\n\
         \u{2}\u{7f}Jabberwocky",
    ] {
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // It may be reset as well.
        let _ = stream.read_to_end(&mut Vec::new());
    }

    // What an operator does.
    relay.operate("status", &[]);
    relay.operate("enrolments", &[]);
    let unused = relay.enrolment(1);
    relay.operate("backup", &[relay.data().join("backup").to_str().unwrap()]);
    relay.operate("drain", &["--notice", "Jabberwocky"]);
    relay.operate("resume", &[]);
    therapist.reopen();
    client.reopen();
    therapist.online();
    client.online();

    // The end.
    therapist.client().end(of_client.clone()).unwrap();
    client.wait_state(&of_therapist, ContactState::Ended(EndedWhy::ByPeer));
    therapist.settle();
    relay.end();

    let mut secrets = vec![relay.address().to_owned()];
    secrets.extend(["Jabberwocky", "Zacharias", "Quince", "Dr. Example", "Somebody Else"].map(str::to_owned));
    for link in [&link, &other_link] {
        let invite = InviteLink::parse(link).unwrap();
        secrets.extend([link.trim_start_matches("tacit:").to_owned(), hex(invite.channel.as_bytes())]);
        secrets.push(hex(invite.secret.secret_bytes()));
    }
    for link in [&enrolment, &unused] {
        let code = EnrolmentLink::parse(link).unwrap().code;
        secrets.extend([link.trim_start_matches("tacit:").to_owned(), hex(code.secret_bytes())]);
        secrets.push(hex(code.hash().as_bytes()));
    }
    secrets
}

fn search(format: &str) {
    let mut relay = Relay::start_with(&format!("log = \"trace\"\nlog_format = \"{format}\"\ngrace = \"5ms\""));
    let secrets = live(&mut relay);
    let log = relay.log();
    for says in ["a connection ended", "before it was a WebSocket", "a backup was written", "drained", "ending"] {
        assert!(log.contains(says), "the log is there, and at its finest: {log}");
    }
    for line in log.lines() {
        assert_eq!(format == "json", serde_json::from_str::<Value>(line).is_ok(), "{line}");
        assert_eq!(fault(line, &secrets), None, "{line}");
    }
    // Elsewhere it told an empty relay's operator what to do next, and no more.
    assert!(relay.said().lines().count() <= 3, "{}", relay.said());
    // The same log with something in it.
    let line = log.lines().find(|line| line.contains("a connection ended")).unwrap();
    for secret in &secrets {
        assert!(fault(&line.replace("a connection", secret), &secrets).is_some(), "{secret} would be found");
    }
}

#[test]
fn no_log_for_people_tells_anything_about_anybody() {
    search("text");
}

#[test]
fn no_log_for_programs_tells_anything_about_anybody() {
    search("json");
}

#[test]
fn what_must_not_be_logged_would_be_found_by_what_it_looks_like() {
    let line = |told: &str| format!("2026-01-01T00:00:00.123456Z DEBUG tacit_server::connection: {told}");
    for told in ["a connection ended end=Close(Protocol, \"as WebSocket has it\")", "waited=12 of 999 up_to=1.5"] {
        assert_eq!(fault(&line(told), &[]), None);
    }
    for told in [
        "channel=00112233445566778899aabbccddeeff",
        "channel=0011223344",
        "code=pZ3kq0Jm5l0yQ7vB1xWn-A",
        "[90, 17, 200, 4]",
        "ChannelId([90, 17, 200, 4, 5])",
        "peer=127.0.0.1",
        "peer=203.0.113.9:51234",
        "port 51234",
        "peer=[::1]:80",
        "len=2059",
        "len=16320",
        "b\\\"abc\\\"",
        "wss://relay",
        "tacit:AQE",
    ] {
        assert!(fault(&line(told), &[]).is_some(), "{told}");
    }
}
