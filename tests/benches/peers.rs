//! Tacit's relay beside other servers that keep messages for whoever is absent: mosquitto, NATS JetStream and RabbitMQ, the
//! same job in turns, in the same run. `tests/benches/peers.sh` installs and starts them, and runs this:
//!
//! `cargo bench -p tacit-tests --bench peers [-- --mosquitto PORT:PROCESS] [--mosquitto-websocket PORT:PROCESS]
//! [--nats PORT:PROCESS] [--rabbitmq PORT:PROCESS] [--only nats] [--pairs 64] [--messages 500] [--quick] [--json FILE]`
//!
//! So many senders, each with its own receiver and 16 messages under way; a message is a small sealed box. *stored*: the
//! receivers are absent, until all messages are acked. *drained*: they come, and take everything. *online*: they are there
//! from the first message to the last. Receivers check that every message comes once, whole and in order.
//!
//! Servers are compared by what their ack promises, since that decides what it costs. What a server's documentation says is
//! not believed: for messages that come alone, it is watched whether the server syncs between the message and its ack.

#![allow(unreachable_pub, reason = "a benchmark")]

mod support;

#[path = "peers/amqp.rs"]
mod amqp;
#[path = "peers/contest.rs"]
mod contest;
#[path = "peers/line.rs"]
mod line;
#[path = "peers/mqtt.rs"]
mod mqtt;
#[path = "peers/nats.rs"]
mod nats;
#[path = "peers/promise.rs"]
mod promise;
#[path = "peers/tacit.rs"]
mod tacit;

use amqp::{Queues, RabbitMq};
use contest::{Contest, Contestant, Round, Took};
use mqtt::{Mosquitto, Over};
use nats::{JetStream, Streams};
use promise::{Promise, Trace};
use support::{Arguments, Figures, median};
use tacit::Tacit;

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(bench());
}

async fn bench() {
    let arguments = Arguments::read();
    let number = |flag, default: u64| arguments.value(flag).map_or(default, |value| value.parse().unwrap());
    let pairs = number("--pairs", 64) as usize;
    let messages = number("--messages", 500);
    let rounds = if arguments.has("--quick") { 3 } else { 9 };
    let mut figures = Figures::new(&arguments);

    let relay = Tacit::relay();
    let tacit = Tacit::new(&relay, pairs).await;
    let mut all: Vec<Box<dyn Contestant>> =
        vec![Contest::new("tacit", Promise::Synced, relay.pid(), tacit, pairs).await];
    all.extend(peers(&arguments, pairs).await);

    for one in &mut all {
        if Trace::is_possible() {
            let synced = one.traced().await;
            figures.add(&format!("{}_synced_before_the_ack", one.name()), synced.stored * 100.0, "% of stored");
            figures.add(&format!("{}_synced_before_the_ack_online", one.name()), synced.online * 100.0, "% of online");
            // A message that its recipient acked needs no disk. To one that is absent, there is no other way.
            let as_said = (one.promise() == Promise::Synced) == (synced.stored > 0.99);
            assert!(as_said, "{} was seen to do otherwise", one.name());
        } else {
            println!("strace is not here: nobody watched whether {} does that", one.name());
        }
    }

    let mut took: Vec<Vec<Round>> = all.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        // In turns, each time beginning with another; the first warms up.
        for turn in 0..all.len() {
            let number = (round + turn) % all.len();
            let one = all[number].round(messages).await;
            if round > 0 {
                took[number].push(one);
            }
        }
    }
    report(&mut figures, &all, &took);
}

/// Those that are here.
async fn peers(arguments: &Arguments, pairs: usize) -> Vec<Box<dyn Contestant>> {
    let mut all: Vec<Box<dyn Contestant>> = Vec::new();
    let given = |flag: &str| {
        let at = arguments.value(&format!("--{flag}")).filter(|_| arguments.wants(flag));
        if at.is_none() {
            println!("{flag} is left out: nobody said where it is");
        }
        let (port, process) = at?.split_once(':').expect("PORT:PROCESS");
        Some((port.parse().unwrap(), process.parse().unwrap()))
    };
    for (name, over) in [("mosquitto", Over::Tcp), ("mosquitto-websocket", Over::WebSocket)] {
        if let Some((port, process)) = given(name) {
            let server = Mosquitto::new(port, over, pairs).await;
            all.push(Contest::new(&name.replace('-', "_"), Promise::Held, process, server, pairs).await);
        }
    }
    if let Some((port, process)) = given("nats") {
        for (name, streams) in [("jetstream_one_stream", Streams::One), ("jetstream_each_a_stream", Streams::Each)] {
            let server = JetStream::new(port, streams, pairs).await;
            all.push(Contest::new(name, Promise::Written, process, server, pairs).await);
        }
    }
    if let Some((port, process)) = given("rabbitmq") {
        for (name, queues) in [("rabbitmq_quorum", Queues::Quorum), ("rabbitmq_classic", Queues::Classic)] {
            let server = RabbitMq::new(port, queues, pairs).await;
            all.push(Contest::new(name, Promise::Synced, process, server, pairs).await);
        }
    }
    all
}

type Part = fn(&Round) -> Took;

const PARTS: [(&str, Part); 3] =
    [("stored", |round| round.stored), ("drained", |round| round.drained), ("online", |round| round.online)];

/// What is reported of a part, and which of two values is better.
struct Measure {
    suffix: &'static str,
    unit: &'static str,
    of: fn(Took) -> f64,
    better: fn(f64, f64) -> f64,
}

const MEASURES: [Measure; 2] = [
    Measure { suffix: "", unit: "messages/s", of: |took| took.rate, better: f64::max },
    Measure { suffix: "_cpu", unit: "us/message", of: |took| took.cost, better: f64::min },
];

/// A ratio to each with an equal promise, and to the best of them in each round; the others by themselves.
fn report(figures: &mut Figures, all: &[Box<dyn Contestant>], took: &[Vec<Round>]) {
    let promise = all[0].promise();
    println!("An acked message is {}:", promise.text());
    for (part, part_of) in PARTS {
        for Measure { suffix, unit, of, better } in MEASURES {
            let name = format!("{part}{suffix}");
            let values = |number: usize| took[number].iter().map(|round| of(part_of(round))).collect::<Vec<f64>>();
            let ours = values(0);
            let mut best: Option<Vec<f64>> = None;
            for number in (1..all.len()).filter(|number| all[*number].promise() == promise) {
                let theirs = values(number);
                let peer = all[number].name();
                compare(figures, &format!("{name}_to_{peer}"), unit, &ours, (peer, &theirs));
                best = Some(match best {
                    Some(best) => best.into_iter().zip(theirs).map(|(one, other)| better(one, other)).collect(),
                    None => theirs,
                });
            }
            match best {
                Some(best) => compare(figures, &name, unit, &ours, ("best_equal", &best)),
                None => figures.add(&name, median(&mut ours.clone()), unit),
            }
        }
    }
    for (one, took) in all.iter().zip(took).filter(|(one, _)| one.promise() != promise) {
        println!("{} promises less, so there is no ratio. An acked message is {}:", one.name(), one.promise().text());
        for (part, part_of) in PARTS {
            for Measure { suffix, unit, of, .. } in MEASURES {
                let mut values: Vec<f64> = took.iter().map(|round| of(part_of(round))).collect();
                figures.add(&format!("{part}{suffix}_{}", one.name()), median(&mut values), unit);
            }
        }
    }
}

fn compare(figures: &mut Figures, name: &str, unit: &str, ours: &[f64], (reference, theirs): (&str, &[f64])) {
    let mut ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (mut ours, mut of) = (ours.to_vec(), theirs.to_vec());
    figures.compare_rounds(name, median(&mut ours), unit, (reference, median(&mut of)), median(&mut ratios));
}
