//! Several processes on one home, and kills: nothing is lost, nothing is doubled, and the store stays whole.
//!
//! The processes are this binary again, which runs one of the ignored tests below.

#![allow(missing_docs, reason = "tests")]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tacit_tests::core::{Client, Connection, Content, Direction, StoreKey};
use tacit_tests::{Device, PATIENCE_MS, Relay, kill, random_below};

const TEXTS: usize = 300;
const KILLS: usize = 30;
const HOME: &str = "TACIT_TEST_HOME";

fn open_home() -> Client {
    let home = std::env::var(HOME).expect("started by another test");
    Client::open(home, StoreKey::Raw(vec![7; 32])).unwrap()
}

fn wait_for(client: &Client, wanted: &Connection) {
    let started = Instant::now();
    while client.connection() != *wanted {
        assert!(started.elapsed() < Duration::from_millis(PATIENCE_MS), "{:?}", client.connection());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "a process of its own, started by the tests below"]
fn stays_connected() {
    let client = open_home();
    client.start(None).unwrap();
    wait_for(&client, &Connection::Online);
    println!("connected");
    // Until it is killed, or the test that started it is gone.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
#[ignore = "a process of its own, started by the test below"]
fn keeps_what_it_is_told() {
    let client = open_home();
    let contact = client.contacts().unwrap()[0].id.clone();
    for line in std::io::stdin().lock().lines() {
        client.send(contact.clone(), line.unwrap()).unwrap();
        println!("kept");
    }
}

/// Another process on a home.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(test: &str, home: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", test, "--nocapture"])
            .env(HOME, home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it says something; false if it ends without.
    fn says(&mut self, what: &str) -> bool {
        self.lines.any(|line| line.is_ok_and(|line| line.ends_with(what)))
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

fn pause(most_ms: u64) {
    std::thread::sleep(Duration::from_millis(random_below(most_ms)));
}

fn pair(relay: &Relay) -> (Device, Device, String, String) {
    let (therapist, client) = (Device::new(), Device::new());
    therapist.enrol(&relay.enrolment(1));
    therapist.online();
    client.online();
    let (c, link) = therapist.invite("C");
    let t = client.join(&link);
    therapist.settle();
    therapist.offline();
    (therapist, client, c, t)
}

/// What this device wrote, in order.
fn written(device: &Device, contact: &str) -> Vec<String> {
    let history = device.client().history(contact.to_owned(), None, u32::MAX).unwrap();
    let out = history.into_iter().filter(|message| message.direction == Direction::Out);
    out.map(|message| match message.content {
        Content::Text(text) => text,
        other => panic!("{other:?}"),
    })
    .collect()
}

/// Writes numbered texts through processes that are killed again and again. Of a text that was under way at a kill nobody
/// knows whether it was kept, so it is not written again. Returns what was certainly kept.
fn write_under_kills(home: &Path, name: &str, kills: &Mutex<usize>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut number = 0;
    while number < TEXTS {
        let mut process = Process::start("keeps_what_it_is_told", home);
        let until_kill = if *kills.lock().unwrap() < KILLS { 1 + random_below(30) } else { u64::MAX };
        for count in 1.. {
            if number == TEXTS {
                break;
            }
            number += 1;
            let text = format!("{name} {number}");
            process.tell(&text);
            if count == until_kill {
                // Before its transaction, in the middle of it, or after it.
                pause(4);
                *kills.lock().unwrap() += 1;
                break;
            }
            assert!(process.says("kept"));
            kept.push(text);
        }
    }
    kept
}

#[test]
fn two_writers_and_connected_processes_under_kills_lose_and_double_nothing() {
    let relay = Relay::start();
    let (therapist, client, c, t) = pair(&relay);
    let (kills, done) = (Mutex::new(0), AtomicBool::new(false));
    let kept: Vec<_> = std::thread::scope(|scope| {
        // Connected processes are killed as well, in the middle of whatever they exchange.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _one = Process::start("stays_connected", therapist.home());
                let _two = Process::start("stays_connected", therapist.home());
                pause(1_500);
            }
        });
        let write = |name| write_under_kills(therapist.home(), name, &kills);
        let writers = ["one", "two"].map(|name| scope.spawn(move || write(name)));
        let kept = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        kept
    });
    assert!(*kills.lock().unwrap() >= KILLS);

    therapist.client().check().unwrap();
    let texts = written(&therapist, &c);
    for text in &kept {
        assert_eq!(texts.iter().filter(|other| *other == text).count(), 1, "{text}");
    }
    for name in ["one", "two"] {
        let numbers = texts.iter().filter_map(|text| text.strip_prefix(name)?.trim().parse::<usize>().ok());
        assert!(numbers.is_sorted_by(|one, two| one < two), "each writer's texts stand once and in its order");
    }
    therapist.online();
    therapist.wait_all_delivered(&c);
    assert_eq!(client.received(&t), texts);
    client.client().check().unwrap();
    therapist.client().check().unwrap();
}

#[test]
fn a_killed_process_hands_its_lease_over_and_what_it_was_told_arrives_once() {
    let relay = Relay::start();
    let (therapist, client, c, t) = pair(&relay);
    let here = therapist.client();
    let say = |text: String| here.send(c.clone(), text).unwrap();
    for round in 0..3 {
        let mut other = Process::start("stays_connected", therapist.home());
        assert!(other.says("connected"));
        here.start(None).unwrap();
        wait_for(here, &Connection::InOtherProcess);
        let through_it = say(format!("through the other process {round}"));
        here.wait_outcome(through_it, false, PATIENCE_MS).unwrap();
        say(format!("around the kill {round}"));
        drop(other);
        wait_for(here, &Connection::Online);
        let last = say(format!("after the kill {round}"));
        here.wait_outcome(last, false, PATIENCE_MS).unwrap();
        here.stop();
    }
    here.check().unwrap();
    therapist.online();
    therapist.wait_all_delivered(&c);
    assert_eq!(client.received(&t), written(&therapist, &c));
    assert_eq!(client.received(&t).len(), 9);
}
