//! The driver and its connections under faults of a simulated network: real clients, a real relay with its spool, TLS,
//! WebSockets, and tokio's timers and tasks, in virtual time.
//!
//! [`seeds`](super::seeds) tries far more, down to a crash at every write; here is what it leaves out. What goes wrong,
//! and when, replays with its seed; the relay's threads are real ones, and run as they like.
//!
//! `TACIT_SEED=7 cargo test -p tacit-client-core turmoil -- --nocapture` replays a seed, `TACIT_SEEDS=1000` tries that
//! many.

use std::cell::RefCell;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tacit_proto::EnrolCode;
use tacit_proto::link::{EnrolmentLink, Pin, RelayPlace};
use tacit_server::{Config, Enrolments, Offer, Relay};
use tempfile::TempDir;
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use turmoil::net::TcpListener;
use turmoil::{Builder, Sim};

use super::dice::Dice;
use crate::client::Client;
use crate::store::StoreKey;
use crate::testing::rng;
use crate::types::{ContactState, Content, Direction, Message, Outcome};

/// How many seeds the suite tries.
const SEEDS: u64 = 24;

const RELAY: &str = "relay";
const PEOPLE: [&str; 2] = ["therapist", "client"];

/// How long the bad weather lasts, and after it the good one, in which all must arrive: a dead connection is noticed,
/// and the longest pause between two attempts passes.
const STORM: Duration = Duration::from_secs(240);
const CALM: Duration = Duration::from_secs(600);

const TICK: Duration = Duration::from_millis(2);

/// A phone: its home outlives its process.
#[derive(Clone)]
struct Phone {
    home: PathBuf,
    /// None while no process runs.
    process: Rc<RefCell<Option<Rc<Client>>>>,
}

impl Phone {
    fn new(home: PathBuf) -> Self {
        Self { home, process: Rc::default() }
    }

    async fn run(self) -> Result<(), Box<dyn Error>> {
        let home = self.home.to_str().unwrap().to_owned();
        let client = Rc::new(Client::open(home, StoreKey::Raw(vec![7; 32])).unwrap());
        *self.process.borrow_mut() = Some(Rc::clone(&client));
        client.drive().await;
        Ok(())
    }

    fn client(&self) -> Option<Rc<Client>> {
        self.process.borrow().clone()
    }
}

/// The relay's host: what `Relay::serve` does on a real listener.
async fn relay(data: PathBuf, tls: TlsAcceptor) -> Result<(), Box<dyn Error>> {
    let mut config = Config::new(&data);
    // Threads run in real time, of which little goes by here.
    config.grace = Duration::from_millis(20);
    let relay = Relay::open(config)?;
    spawn_local(relay.keep_time());
    let relay = Rc::new(relay);
    let listener = TcpListener::bind(("0.0.0.0", 443)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (relay, tls) = (Rc::clone(&relay), tls.clone());
        spawn_local(async move {
            if let Ok(stream) = tls.accept(stream).await {
                relay.serve_connection(stream).await;
            }
        });
    }
}

/// A certificate of the relay's own, which links pin.
fn certificate() -> (TlsAcceptor, Pin) {
    let certified = rcgen::generate_simple_self_signed([RELAY.to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let pin = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&certified.signing_key));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), Pin::from_bytes(pin.into()))
}

/// An operator's link, and the offer behind it.
fn enrolment(data: &Path, pin: Pin) -> String {
    let (code, permits) = (EnrolCode::draw(&mut rng()), 8);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let offer = Offer { permits: permits.try_into().unwrap(), expires: now + 3_600 };
    Enrolments::open(data).unwrap().add(&code.hash(), offer).unwrap();
    let relay = RelayPlace { address: format!("wss://{RELAY}").parse().unwrap(), pin: Some(pin) };
    EnrolmentLink { relay, code, permits }.to_uri()
}

/// All of it, and what people were promised.
struct World {
    sim: Sim<'static>,
    dice: Dice,
    phones: [Phone; 2],
    contacts: [String; 2],
    /// What each side sent: what the call returned for is safe.
    sent: [Vec<String>; 2],
    _homes: TempDir,
}

impl World {
    /// Two phones and a relay, and both are paired.
    fn new(seed: u64) -> Self {
        let homes = tempfile::tempdir().unwrap();
        let at = |name: &str| homes.path().join(name);
        let data = at(RELAY);
        let (tls, pin) = certificate();
        let link = enrolment(&data, pin);
        let mut sim = Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::MAX)
            .tcp_capacity(65_536)
            .max_message_latency(Duration::from_millis(80))
            .build();
        sim.host(RELAY, move || relay(data.clone(), tls.clone()));
        let phones = PEOPLE.map(|name| {
            let phone = Phone::new(at(name));
            sim.host(name, {
                let phone = phone.clone();
                move || phone.clone().run()
            });
            phone
        });
        let dice = Dice::new(seed);
        let contacts = [String::new(), String::new()];
        let mut world = Self { sim, dice, phones, contacts, sent: Default::default(), _homes: homes };
        world.pair(link);
        world
    }

    fn pair(&mut self, link: String) {
        self.until(|world| world.phones.iter().all(|phone| phone.client().is_some()));
        let [therapist, client] = self.phones.clone().map(|phone| phone.client().unwrap());
        therapist.enrol(link, "practice".to_owned()).unwrap();
        let mut invite = None;
        self.until(|_| {
            invite = therapist.invite("client".to_owned(), 3_600).ok();
            invite.is_some()
        });
        let invite = invite.unwrap();
        let is = |phone: &Client, contact: &str, state| phone.contact(contact.to_owned()).unwrap().state == state;
        self.until(|_| is(&therapist, &invite.contact, ContactState::Invited));
        let joined = client.join(invite.link, Some("therapist".to_owned())).unwrap();
        self.until(|_| is(&client, &joined, ContactState::Consenting));
        client.consent(joined.clone()).unwrap();
        self.until(|_| {
            is(&therapist, &invite.contact, ContactState::Paired) && is(&client, &joined, ContactState::Paired)
        });
        self.contacts = [invite.contact, joined];
    }

    fn step(&mut self) {
        self.sim.step().unwrap();
    }

    /// Steps until something is so.
    #[track_caller]
    fn until(&mut self, mut is_so: impl FnMut(&Self) -> bool) {
        let end = self.sim.elapsed() + CALM;
        while !is_so(self) {
            let how = || self.phones.each_ref().map(|phone| phone.client().map(|client| client.connection()));
            assert!(self.sim.elapsed() < end, "it is not so even after {CALM:?} of good weather: {:?}", how());
            // People and processes look now and then.
            for _ in 0..50 {
                self.step();
            }
        }
    }

    fn say(&mut self, side: usize) {
        let Some(client) = self.phones[side].client() else { return };
        let text = format!("{side}/{}", self.sent[side].len());
        client.send(self.contacts[side].clone(), text.clone()).unwrap();
        self.sent[side].push(text);
    }

    /// Something goes wrong, and what is to be done about it, when.
    fn strike(&mut self) -> (Duration, Mend) {
        let side = self.dice.below(2) as usize;
        let name = PEOPLE[side];
        let mend = match self.dice.below(7) {
            0 => {
                self.sim.partition(name, RELAY);
                Mend::Repair(side)
            }
            1 => {
                self.sim.partition_oneway(name, RELAY);
                Mend::Repair(side)
            }
            2 => {
                self.sim.partition_oneway(RELAY, name);
                Mend::Repair(side)
            }
            3 => {
                self.sim.hold(name, RELAY);
                Mend::Release(side)
            }
            4 => {
                self.sim.set_link_latency(name, RELAY, Duration::from_millis(self.dice.below(8_000)));
                Mend::Hasten(side)
            }
            5 => {
                self.phones[side].process.take();
                self.sim.crash(name);
                Mend::Start(name)
            }
            _ => {
                self.sim.crash(RELAY);
                Mend::Start(RELAY)
            }
        };
        (self.sim.elapsed() + Duration::from_millis(self.dice.around(15_000)), mend)
    }

    fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Repair(side) => self.sim.repair(PEOPLE[side], RELAY),
            Mend::Release(side) => self.sim.release(PEOPLE[side], RELAY),
            Mend::Hasten(side) => self.sim.set_link_latency(PEOPLE[side], RELAY, Duration::from_millis(20)),
            Mend::Start(name) => {
                if !self.sim.is_host_running(name) {
                    self.sim.bounce(name);
                }
            }
        }
    }

    fn storm(&mut self) {
        let end = self.sim.elapsed() + STORM;
        let mut mends: Vec<(Duration, Mend)> = Vec::new();
        let (mut strikes_at, mut speaks_at) = (self.sim.elapsed(), self.sim.elapsed());
        while self.sim.elapsed() < end {
            let now = self.sim.elapsed();
            for (_, mend) in mends.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
                self.mend(mend);
            }
            if strikes_at <= now {
                mends.push(self.strike());
                strikes_at = now + Duration::from_millis(self.dice.around(8_000));
            }
            if speaks_at <= now {
                let side = self.dice.below(2) as usize;
                self.say(side);
                speaks_at = now + Duration::from_millis(self.dice.around(3_000));
            }
            self.step();
        }
        for (_, mend) in mends {
            self.mend(mend);
        }
    }

    /// What one side has of the other one, in its order.
    fn received(&self, side: usize) -> Vec<String> {
        let client = self.phones[side].client().unwrap();
        let all = client.history(self.contacts[side].clone(), None, 1_000).unwrap();
        all.into_iter().filter(|message| message.direction == Direction::In).filter_map(text).collect()
    }

    fn all_is_told(&self) -> bool {
        (0..2).all(|side| {
            let Some(client) = self.phones[side].client() else { return false };
            let all = client.history(self.contacts[side].clone(), None, 1_000).unwrap();
            let mine = all.iter().filter(|message| message.direction == Direction::Out);
            mine.filter(|message| matches!(message.content, Content::Text(_)))
                .all(|message| message.outcome == Outcome::Delivered)
        })
    }
}

fn text(message: Message) -> Option<String> {
    match message.content {
        Content::Text(text) => Some(text),
        _ => None,
    }
}

/// What ends a fault.
enum Mend {
    Repair(usize),
    Release(usize),
    Hasten(usize),
    Start(&'static str),
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    world.storm();
    world.until(World::all_is_told);
    for side in 0..2 {
        assert_eq!(world.received(1 - side), world.sent[side], "all of it, in order, once");
    }
}

#[test]
fn what_was_said_in_a_storm_arrives_once_and_in_order() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("TACIT_SEED") {
        return run(seed);
    }
    for seed in 0..number("TACIT_SEEDS").unwrap_or(SEEDS) {
        println!("seed {seed}");
        run(seed);
    }
}
