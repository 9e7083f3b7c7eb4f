//! A large file through a real relay, over a connection that is cut again and again, between processes that are killed.

#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tacit_client_core::{Client, Content, Direction, Message, TransferState};
use tacit_proto::link::EnrolmentLink;
use tacit_tests::{Cli, Relay, kill, random_below};

const CUTS: u64 = 20;
/// What is left of it after the last cut is far more than may be under way.
const LARGE: usize = 50_000_000;
/// A machine under load must not fail this; a hang must.
const GIVE_UP: Duration = Duration::from_secs(400);

/// The network between devices and relay.
struct Network {
    port: u16,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Network {
    fn before(relay: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (kept, relay) = (Arc::clone(&streams), relay.to_owned());
        std::thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                let Ok(relay) = TcpStream::connect(&relay) else { continue };
                let both = [(device.try_clone(), relay.try_clone()), (relay.try_clone(), device.try_clone())];
                kept.lock().unwrap().extend([device, relay]);
                for (from, to) in both {
                    let (mut from, mut to) = (from.unwrap(), to.unwrap());
                    std::thread::spawn(move || {
                        let mut buffer = [0; 16 * 1024];
                        while let Ok(length @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..length]).is_err() {
                                break;
                            }
                        }
                        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        Self { port, streams }
    }

    /// Every connection is cut, with what is under way on it. How many there were.
    fn cut(&self) -> usize {
        let streams = std::mem::take(&mut *self.streams.lock().unwrap());
        streams.iter().filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    }
}

/// A device that is connected, by a process that is started again when it ends.
struct Connected<'a> {
    device: &'a Cli,
    process: Child,
    /// The most memory that any of its processes had, in KiB.
    peak: u64,
}

impl<'a> Connected<'a> {
    fn new(device: &'a Cli) -> Self {
        Self { device, process: device.spawn(&["sync", "--for", "10m"]), peak: 0 }
    }

    fn tend(&mut self) {
        if self.process.try_wait().unwrap().is_some() {
            self.process = self.device.spawn(&["sync", "--for", "10m"]);
        }
        if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.process.id())) {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            self.peak = self.peak.max(peak.map_or(0, |peak| peak.parse().unwrap()));
        }
    }

    fn kill(&mut self) {
        kill(&mut self.process);
        self.tend();
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        kill(&mut self.process);
    }
}

fn history(client: &Client) -> Vec<Message> {
    let contact = client.contacts().unwrap().remove(0).id;
    client.history(contact, None, u32::MAX).unwrap()
}

fn file(client: &Client) -> Option<(String, TransferState)> {
    history(client).into_iter().find_map(|message| match message.content {
        Content::Attachment(attachment) => Some((message.id, attachment.transfer)),
        _ => None,
    })
}

fn texts(client: &Client, direction: Direction) -> Vec<String> {
    let of = history(client).into_iter().filter(|message| message.direction == direction);
    of.filter_map(|message| match message.content {
        Content::Text(text) => Some(text),
        _ => None,
    })
    .collect()
}

fn done(client: &Client) -> u64 {
    match file(client) {
        Some((_, TransferState::UnderWay { done, .. })) => done,
        Some((_, TransferState::Whole)) => u64::MAX,
        None => 0,
        Some((_, other)) => panic!("{other:?}"),
    }
}

fn pair(relay: &Relay, network: &Network) -> (Cli, Cli) {
    let mut link = EnrolmentLink::parse(&relay.enrolment(3)).unwrap();
    link.relay.address = format!("ws://127.0.0.1:{}", network.port).parse().unwrap();
    let (therapist, client) = (Cli::new(), Cli::new());
    therapist.ok(&["enrol", &link.to_uri(), "--name", "Dr. Example"]);
    let invite = therapist.ok(&["invite", "--label", "C"]);
    client.ok(&["join", invite[0]["link"].as_str().unwrap(), "--accept-terms", "--label", "T"]);
    for device in [&therapist, &client, &therapist] {
        device.ok(&["sync"]);
    }
    (therapist, client)
}

/// Sends a file of so many bytes, and has everything go wrong that can.
fn send(size: usize) {
    let relay = Relay::start();
    let network = Network::before(relay.address());
    let (therapist, client) = pair(&relay, &network);

    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("recording.bin");
    let seed = random_below(251) as usize;
    let bytes: Vec<u8> = (0..size).map(|at| ((at / 251) ^ (at * 7 + seed)) as u8).collect();
    fs::write(&source, &bytes).unwrap();
    therapist.ok(&["attach", "C", source.to_str().unwrap(), "--queue"]);
    // It is copied: the source is not needed any more.
    fs::remove_file(&source).unwrap();

    let (sees_sender, sees_recipient) = (therapist.look(), client.look());
    let (mut sender, mut recipient) = (Connected::new(&therapist), Connected::new(&client));
    let started = Instant::now();
    let wait_for = |sender: &mut Connected<'_>, recipient: &mut Connected<'_>, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(started.elapsed() < GIVE_UP, "{:?} {:?}", file(&sees_sender), file(&sees_recipient));
            sender.tend();
            recipient.tend();
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let (contact, other) =
        (sees_sender.contacts().unwrap()[0].id.clone(), sees_recipient.contacts().unwrap()[0].id.clone());
    for cut in 1..=CUTS {
        let until = size as u64 * cut / (CUTS + 2);
        wait_for(&mut sender, &mut recipient, &|| done(&sees_recipient) >= until);
        assert!(done(&sees_recipient) < size as u64, "it is still under way");
        // A device that is just connecting has nothing to be cut yet.
        wait_for(&mut sender, &mut recipient, &|| network.cut() > 0);
        sees_sender.send(contact.clone(), format!("therapist {cut}")).unwrap();
        sees_recipient.send(other.clone(), format!("client {cut}")).unwrap();
        match cut % 7 {
            3 => sender.kill(),
            5 => recipient.kill(),
            _ => {}
        }
    }
    // Whatever was written is there. Of a large file much is still to come then: nothing waited for it.
    let all = |name: &str| (1..=CUTS).map(|number| format!("{name} {number}")).collect::<Vec<_>>();
    wait_for(&mut sender, &mut recipient, &|| {
        texts(&sees_recipient, Direction::In).len() == CUTS as usize
            && texts(&sees_sender, Direction::In).len() == CUTS as usize
    });
    assert!(size < LARGE || done(&sees_recipient) < size as u64, "texts waited for the file");
    wait_for(&mut sender, &mut recipient, &|| {
        [&sees_sender, &sees_recipient].iter().all(|client| done(client) == u64::MAX)
    });
    assert_eq!(texts(&sees_recipient, Direction::In), all("therapist"));
    assert_eq!(texts(&sees_sender, Direction::In), all("client"));

    let saved = folder.path().join("saved.bin");
    let (message, _) = file(&sees_recipient).unwrap();
    client.ok(&["save", &message, saved.to_str().unwrap()]);
    assert!(fs::read(&saved).unwrap() == bytes, "what came is not what was sent");
    assert!(!client.run(&["save", &message, saved.to_str().unwrap()]).status.success(), "nothing is written over");
    let part = sees_recipient.read_attachment(message, size as u64 / 2, 100_000).unwrap();
    assert_eq!(part[..], bytes[size / 2..(size / 2 + 100_000).min(size)]);
    println!("{size} bytes in {:?}, peaks of {} and {} KiB", started.elapsed(), sender.peak, recipient.peak);
    // Of that, Argon2 takes 64 MiB once; all of 50 MB would not fit the rest.
    for peak in [sender.peak, recipient.peak] {
        assert!(peak > 0 && peak < 100 * 1024, "{peak} KiB at most");
    }
}

#[test]
fn a_file_arrives_over_a_connection_that_is_cut_20_times_while_both_sides_chat() {
    send(6_000_000);
}

/// `cargo test -p tacit-tests --test attachments -- --ignored --nocapture`, after `cargo build`.
#[test]
#[ignore = "takes three minutes without optimisation"]
fn a_file_of_50_mb_arrives_over_a_connection_that_is_cut_20_times_while_both_sides_chat() {
    send(LARGE);
}
