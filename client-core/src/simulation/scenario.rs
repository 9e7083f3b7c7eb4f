//! A conversation without weather: for tests that do one thing wrong, at a moment of their choice.

use tacit_proto::frame::Limits;

use super::dice::Dice;
use super::people::People;
use super::relay::Manners;
use super::world::{Network, World};
use crate::error::StoreError;
use crate::store::Tx;
use crate::types::{Contact, Outcome};

/// A relay as one would run it.
pub(super) const MANNERS: Manners = Manners {
    limits: Limits {
        hold: 21 * 24 * 3600,
        in_flight: 64,
        window_boxes: 64,
        window_bytes: 256 * 1024,
        backlog_boxes: 4_096,
        backlog_bytes: 16 * 1024 * 1024,
    },
    commit_ms: 5,
    refuses: 0,
    fails_to_store: 0,
};

/// How long a conversation without faults may take to settle.
const PATIENCE_MS: u64 = 10 * 60_000;

/// See the module. Device 0 is the therapist's, and side 0 of every pair; device 1 is the first client's, and so on.
pub(super) struct Scenario {
    pub(super) world: World,
    pub(super) people: People,
}

impl Scenario {
    /// Devices with so many processes each, nobody paired yet.
    pub(super) fn new(manners: Manners, processes: &[usize]) -> Self {
        let network = Network { delay_ms: 20 };
        let world = World::new(Dice::new(1), manners, network, processes);
        Self { world, people: People::new(processes.len() - 1) }
    }

    /// All clients paired with the therapist, and everything settled.
    pub(super) fn paired(manners: Manners, processes: &[usize]) -> Self {
        let mut scenario = Self::new(manners, processes);
        scenario.settle();
        scenario
    }

    /// Lets time go by.
    pub(super) fn run_for(&mut self, ms: u64) {
        let end = self.world.now + ms;
        self.world.run_until(end);
        for note in std::mem::take(&mut self.world.notes) {
            self.people.check_note(&mut self.world, &note);
        }
    }

    /// Lets time go by until nothing waits anywhere.
    pub(super) fn settle(&mut self) {
        let begun = self.world.now;
        while !(self.people.pair(&mut self.world) && self.people.is_settled(&mut self.world)) {
            self.run_for(500);
            let patient = self.world.now < begun + PATIENCE_MS;
            assert!(patient, "it does not settle: {}", self.people.describe(&mut self.world));
        }
    }

    /// The same after texts went missing: a receipt that came while a resend was under way asks again half a minute
    /// later, with the next text.
    pub(super) fn settle_after_gaps(&mut self) {
        for _ in 0..4 {
            self.run_for(40_000);
            for pair in 0..self.people.pairs.len() {
                self.say(pair, 0);
                self.say(pair, 1);
            }
        }
        self.settle();
    }

    /// How many texts are not delivered yet.
    pub(super) fn undelivered(&mut self) -> usize {
        self.people.count(&mut self.world, |outcome| outcome != Outcome::Delivered)
    }

    /// A side of a pair writes.
    pub(super) fn say(&mut self, pair: usize, side: usize) {
        self.people.say(&mut self.world, pair, side);
    }

    /// Everything that was sent is there, once, in order, and is delivered.
    pub(super) fn check_all_delivered(&mut self) {
        self.people.check_all_delivered(&mut self.world);
    }

    /// A pair's contact as the app of one side shows it.
    pub(super) fn contact(&mut self, pair: usize, side: usize) -> Contact {
        let (device, contact) = self.side(pair, side);
        self.change(device, |tx| tx.public_contact(&contact)).unwrap()
    }

    /// The device and the contact of one side of a pair.
    pub(super) fn side(&self, pair: usize, side: usize) -> (usize, crate::store::ContactKey) {
        let pair = &self.people.pairs[pair];
        (pair.devices[side], pair.contacts[side].unwrap())
    }

    /// Changes a device's store, as an app or another process does.
    pub(super) fn change<T>(&mut self, device: usize, change: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> T {
        let value = self.world.devices[device].store.change(change).unwrap();
        self.world.poke(device);
        value
    }
}
