//! What everybody in a soak shares: the time, the relay's lives, chance, and what is counted.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tacit_proto::frame::{Limits, Window};

use super::ledger::{Confirmed, Totals};

/// Chance from a seed (SplitMix64): the same seed draws the same weather, though not the same moments.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice of one's own, from the soak's seed.
    pub(crate) fn new(seed: u64, whose: u64) -> Self {
        let mut dice = Self(seed ^ whose.wrapping_mul(0xd134_2543_de82_ef95));
        dice.draw();
        dice
    }

    /// Other dice, which these draw.
    pub(crate) fn part(&mut self) -> Self {
        Self(self.draw())
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }
}

/// Something that is counted.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn one_if(&self, holds: bool) {
        self.0.fetch_add(holds.into(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sums over all devices.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: Count,
    /// Boxes delivered for the first time, and delivered again.
    pub(crate) delivered: Count,
    pub(crate) again: Count,
    pub(crate) acked: Count,
    pub(crate) full: Count,
    pub(crate) busy: Count,
    pub(crate) out_of_turn: Count,
    pub(crate) attached: Count,
    pub(crate) superseded: Count,
    pub(crate) rekeyed: Count,
    pub(crate) deaf: Count,
    pub(crate) lost: Count,
    /// Channels that were opened, used, closed and forgotten while the weather lasted.
    pub(crate) passed: Count,
    pub(crate) strangers: Count,
    pub(crate) turned_away: Count,
}

/// The relay's limits, as its configuration has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised(pub(crate) Limits);

impl Promised {
    /// What may be under way to an end that asked for so much.
    pub(crate) fn window(&self, asked: Window) -> Window {
        let boxes = asked.boxes.get().min(self.0.window_boxes);
        Window { boxes: boxes.try_into().unwrap(), bytes: asked.bytes.min(self.0.window_bytes) }
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) relay: SocketAddr,
    pub(crate) limits: Promised,
    pub(crate) counts: Counts,
    began: Instant,
    /// How many times the relay was started.
    life: AtomicU32,
    /// Of each life: acks that reached it up to then are on the disk.
    on_disk: Mutex<Vec<u64>>,
    /// By how many seconds the relay's clock is ahead: at most, and at least.
    ahead_at_most: AtomicU64,
    ahead_at_least: AtomicU64,
    over: AtomicBool,
    /// Of channels that are forgotten.
    totals: Mutex<Totals>,
}

impl World {
    pub(crate) fn new(seed: u64, relay: SocketAddr, limits: Limits) -> Self {
        Self {
            seed,
            relay,
            limits: Promised(limits),
            counts: Counts::default(),
            began: Instant::now(),
            life: AtomicU32::new(0),
            on_disk: Mutex::new(vec![0]),
            ahead_at_most: AtomicU64::new(0),
            ahead_at_least: AtomicU64::new(0),
            over: AtomicBool::new(false),
            totals: Mutex::default(),
        }
    }

    // Time.

    pub(crate) fn millis(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// The relay's wall clock shows this or less.
    pub(crate) fn wall_at_most(&self) -> u64 {
        // One more, since the relay may read its clock in the next second.
        real_time() + 1 + self.ahead_at_most.load(Ordering::SeqCst)
    }

    /// The relay's wall clock shows this or more.
    pub(crate) fn wall_at_least(&self) -> u64 {
        real_time() + self.ahead_at_least.load(Ordering::SeqCst)
    }

    pub(crate) fn hold(&self) -> u64 {
        self.limits.0.hold.into()
    }

    /// The relay's clock is turned forward: `tell` makes it so.
    pub(crate) fn turn_clock(&self, by: u64, tell: impl FnOnce(u64)) {
        let ahead = self.ahead_at_most.load(Ordering::SeqCst) + by;
        self.ahead_at_most.store(ahead, Ordering::SeqCst);
        tell(ahead);
        self.ahead_at_least.store(ahead, Ordering::SeqCst);
    }

    // Lives.

    /// The life that the relay is in. If it is the same before and after something, that was in this life.
    pub(crate) fn life(&self) -> u32 {
        self.life.load(Ordering::SeqCst)
    }

    /// The relay's process has ended, and the next has not begun.
    pub(crate) fn next_life(&self) {
        self.on_disk.lock().unwrap().push(0);
        self.life.fetch_add(1, Ordering::SeqCst);
    }

    /// Acks that reached the relay in this life, up to a moment, are on the disk.
    pub(crate) fn note_on_disk(&self, up_to: Confirmed) {
        let mut on_disk = self.on_disk.lock().unwrap();
        let known = &mut on_disk[up_to.life as usize];
        *known = (*known).max(up_to.at_ms);
    }

    /// So are all acks that reached it in this life.
    pub(crate) fn all_on_disk(&self) {
        self.note_on_disk(Confirmed { life: self.life(), at_ms: u64::MAX });
    }

    pub(crate) fn is_on_disk(&self, ack: Confirmed) -> bool {
        // Within the same millisecond it may have come after.
        ack.at_ms < self.on_disk.lock().unwrap()[ack.life as usize]
    }

    // The end.

    pub(crate) fn add(&self, totals: Totals) {
        *self.totals.lock().unwrap() += totals;
    }

    pub(crate) fn totals(&self) -> Totals {
        *self.totals.lock().unwrap()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

fn real_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An address of this machine for each device, so that no limit of an address is in another's way.
pub(crate) fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}
