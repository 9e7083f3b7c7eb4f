//! SIGKILL, at random, of the relay and of every device process, pairing included: nothing is lost, nothing comes twice.

#![allow(missing_docs, reason = "tests")]

use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tacit_tests::{Cli, Relay, kill, random_below};

const TEXTS: usize = 500;
const KILLS: usize = 50;
/// A machine under load must not fail this; a hang must.
const GIVE_UP: Duration = Duration::from_secs(150);

fn pause(most_ms: u64) {
    std::thread::sleep(Duration::from_millis(random_below(most_ms)));
}

/// Lets a process run for a while, then kills it. True if it had not ended by itself.
fn cut_short(child: &mut Child, most_ms: u64) -> bool {
    pause(most_ms);
    let running = child.try_wait().unwrap().is_none();
    kill(child);
    running
}

fn history(device: &Cli, contact: &str) -> Vec<Value> {
    device.ok(&["history", contact, "--limit", "100000"])
}

fn texts(history: &[Value], direction: &str) -> Vec<String> {
    let of = |message: &&Value| message["direction"] == direction;
    history.iter().filter(of).map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

fn state(device: &Cli) -> Option<Value> {
    device.ok(&["contacts"]).into_iter().next()
}

/// Repeats a command, and kills it at the first few tries, until it succeeds.
fn insist(device: &Cli, arguments: &[&str], kills: usize) -> Vec<u8> {
    let started = Instant::now();
    for _ in 0..kills {
        cut_short(&mut device.spawn(arguments), 600);
    }
    loop {
        let output = device.run(arguments);
        if output.status.success() {
            return output.stdout;
        }
        assert!(started.elapsed() < GIVE_UP, "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn pairing_survives_kills_at_any_moment() {
    for _ in 0..4 {
        let relay = Mutex::new(Relay::start());
        let (therapist, client) = (Cli::new(), Cli::new());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..4 {
                    pause(1_500);
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    relay.lock().unwrap().restart();
                }
            });
            let enrolment = relay.lock().unwrap().enrolment(20);
            // A killed enrolment may have been kept: then it goes on by itself, and the link is spent on this device.
            cut_short(&mut therapist.spawn(&["enrol", &enrolment, "--name", "Dr. Example"]), 600);
            let started = Instant::now();
            loop {
                let output = therapist.run(&["enrol", &enrolment, "--name", "Dr. Example"]);
                if output.status.success() || String::from_utf8_lossy(&output.stderr).contains("already") {
                    break;
                }
                assert!(started.elapsed() < GIVE_UP, "{}", String::from_utf8_lossy(&output.stderr));
            }
            for _ in 0..2 {
                cut_short(&mut therapist.spawn(&["invite", "--label", "killed"]), 600);
            }
            let invite = insist(&therapist, &["invite", "--label", "the one"], 0);
            let invite: Value = serde_json::from_slice(&invite).unwrap();
            let link = invite["link"].as_str().unwrap();
            insist(&client, &["join", link, "--accept-terms", "--label", "T"], 3);
            done.store(true, Ordering::Relaxed);

            let started = Instant::now();
            while state(&client).is_none_or(|contact| contact["state"] != "paired") {
                assert!(started.elapsed() < GIVE_UP, "{:?} {:?}", state(&client), therapist.ok(&["contacts"]));
                for device in [&therapist, &client] {
                    let mut sync = device.spawn(&["sync", "--for", "5s"]);
                    if random_below(3) == 0 {
                        cut_short(&mut sync, 800);
                    } else {
                        sync.wait().unwrap();
                    }
                }
            }
        });
        assert_eq!(therapist.words("the one"), client.words("T"));
    }
}

/// One side of the conversation: queues its texts and syncs, and is killed while it does either. `kills` counts the
/// processes that were running when they were killed.
fn talk(device: &Cli, contact: &str, name: &str, processes: usize, kills: &AtomicUsize) {
    let all: Vec<_> = (1..=TEXTS).map(|number| format!("{name} {number}")).collect();
    loop {
        // What a killed `send` had kept, it keeps: only the history tells where to go on.
        let kept = texts(&history(device, contact), "out").len();
        if kept == TEXTS {
            return;
        }
        let chunk = all[kept..].iter().take(40).fold(String::new(), |lines, text| lines + text + "\n");
        let mut syncs: Vec<_> = (0..processes).map(|_| device.spawn(&["sync", "--for", "10s"])).collect();
        let send = device.spawn_send(contact, &chunk);
        for child in std::iter::once(send).chain(syncs.drain(..)) {
            kill_or_wait(child, kills);
        }
    }
}

/// Kills a process that still runs after a while, as long as more kills are wanted.
fn kill_or_wait(mut child: Child, kills: &AtomicUsize) {
    if kills.load(Ordering::Relaxed) >= KILLS {
        child.wait().unwrap();
    } else if cut_short(&mut child, 600) {
        kills.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_thousand_texts_under_fifty_kills_arrive_once_in_order_and_are_delivered() {
    let mut relay = Relay::start();
    let (therapist, client) = (Cli::new(), Cli::new());
    therapist.ok(&["enrol", &relay.enrolment(1), "--name", "Dr. Example"]);
    let link = therapist.ok(&["invite", "--label", "C"])[0]["link"].as_str().unwrap().to_owned();
    client.ok(&["join", &link, "--accept-terms", "--label", "T"]);
    therapist.ok(&["sync"]);

    let kills = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                pause(2_000);
                relay.restart();
                kills.fetch_add(1, Ordering::Relaxed);
            }
        });
        let one = scope.spawn(|| talk(&therapist, "C", "therapist", 1, &kills));
        // Two processes on one home at once.
        let two = scope.spawn(|| talk(&client, "T", "client", 2, &kills));
        one.join().unwrap();
        two.join().unwrap();
        done.store(true, Ordering::Relaxed);
    });

    let started = Instant::now();
    let delivered = |device: &Cli, contact| {
        history(device, contact)
            .iter()
            .filter(|message| message["direction"] == "out")
            .all(|message| message["outcome"] == "delivered")
    };
    while kills.load(Ordering::Relaxed) < KILLS || !(delivered(&therapist, "C") && delivered(&client, "T")) {
        assert!(started.elapsed() < GIVE_UP, "not everything is delivered");
        for sync in [therapist.spawn(&["sync", "--for", "20s"]), client.spawn(&["sync", "--for", "20s"])] {
            kill_or_wait(sync, &kills);
        }
    }
    let expected = |name: &str| (1..=TEXTS).map(|number| format!("{name} {number}")).collect::<Vec<_>>();
    assert_eq!(texts(&history(&client, "T"), "in"), expected("therapist"));
    assert_eq!(texts(&history(&therapist, "C"), "in"), expected("client"));
}
