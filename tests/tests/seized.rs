//! What a relay holds, on disk and in memory, when somebody takes it away.

#![allow(missing_docs, reason = "tests")]

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use tacit_client_core::ContactState;
use tacit_tests::{Device, Relay};

const TEXT_OUT: &str = "the thing I never told anybody";
const TEXT_BACK: &str = "thank you for telling me about it";
const LABEL: &str = "Wednesdays at four";
const NAME: &str = "Dr. Example";

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            // The control socket holds nothing.
            found.push(fs::read(path).unwrap());
        }
    }
}

/// Every readable page of a process.
fn memory(pid: u32) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        if !rest.starts_with('r') || rest.contains("[v") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.seek(SeekFrom::Start(from)).is_ok() && memory.read_exact(&mut bytes).is_ok() {
            found.push(bytes);
        }
    }
    assert!(found.iter().map(Vec::len).sum::<usize>() > 1_000_000, "the memory can be read");
    found
}

#[cfg(target_os = "linux")]
#[test]
fn neither_disk_nor_memory_of_a_relay_holds_text_name_or_label() {
    let relay = Relay::start();
    let (therapist, client) = (Device::new(), Device::new());
    therapist.online();
    client.online();
    therapist.enrol(&relay.enrolment(3));
    let (of_client, link) = therapist.invite(LABEL);
    let of_therapist = client.join(&link);
    therapist.wait_state(&of_client, ContactState::Paired);
    client.wait_state(&of_therapist, ContactState::Paired);

    // Delivered while both are there, and waiting while one is away.
    client.client().send(of_therapist.clone(), TEXT_OUT.to_owned()).unwrap();
    client.wait_all_delivered(&of_therapist);
    client.offline();
    therapist.client().send(of_client.clone(), TEXT_BACK.to_owned()).unwrap();
    therapist.settle();

    let mut seized = memory(relay.pid());
    files(relay.data(), &mut seized);
    let link = tacit_proto::link::InviteLink::parse(&link).unwrap();
    let words = client.client().safety_words(of_therapist).unwrap().join(" ");
    for secret in [TEXT_OUT, TEXT_BACK, LABEL, NAME, &words] {
        assert!(!seized.iter().any(|bytes| contains(bytes, secret.as_bytes())), "{secret}");
    }
    assert!(!seized.iter().any(|bytes| contains(bytes, link.secret.secret_bytes())), "the invite's secret");
    // The probe finds what is there: the relay does know the channel.
    assert!(seized.iter().any(|bytes| contains(bytes, link.channel.as_bytes())));

    // Both devices hold these words, but never in the clear.
    let mut homes = Vec::new();
    files(therapist.home(), &mut homes);
    files(client.home(), &mut homes);
    for secret in [TEXT_OUT, TEXT_BACK, LABEL, NAME] {
        assert!(!homes.iter().any(|bytes| contains(bytes, secret.as_bytes())), "{secret}");
    }
}
