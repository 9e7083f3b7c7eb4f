//! What strangers may use of a relay, and devices gone wrong. Every connection is a stranger's until it has proven an end.
//!
//! The number of places is fixed, and no queue forms before them: when all are taken, a newcomer takes the place of the
//! stranger that has been here longest. A flood then shortens the time that strangers have, to the number of their places
//! over its rate, instead of locking everybody out; a device needs a fraction of a second. Connections that hold an end
//! are never put out. Those that lost their last one are strangers again, as if they had just come: an end is held by one
//! connection at a time, so whoever has one end cannot fill the relay with it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::addresses::{Address, AddressHasher, Happened, Present};
use crate::config::Abuse;
use crate::rate::{Paid, Rate, RateClock};
use crate::sync::{Mutex, lock};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

/// Seconds' worth of frames and bytes that a connection may send at once.
const BURST: u32 = 4;

/// Bytes that a connection may send before it has proven an end: the longest `Enrol` seven times over.
pub(crate) const UNPROVEN_BYTES: usize = 64 * 1024;

/// Why a connection is turned away. Nothing was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// All places are taken by devices.
    Full,
    /// Its address has as many connections as it may, or makes them too fast.
    Address,
}

/// See the module. Shared by all connections; each lock in here is a leaf lock.
#[derive(Debug)]
pub(crate) struct Limits {
    abuse: Abuse,
    clock: RateClock,
    hasher: AddressHasher,
    present: Present,
    connects: Happened,
    guesses: Happened,
    places: Mutex<Places>,
    proofs: [Gate; 2],
    pace: [Rate; 2],
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    next: u64,
    /// Those that hold no end, the longest here first. The handle comes with the task.
    strangers: BTreeMap<u64, Option<AbortHandle>>,
    /// Those that hold one.
    devices: BTreeMap<u64, Option<AbortHandle>>,
}

impl Places {
    const fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Limits {
    pub(crate) fn new(abuse: Abuse) -> Self {
        let gate = || Gate::new(abuse.proofs_per_second.div_ceil(2));
        Self {
            abuse,
            clock: RateClock::start(),
            hasher: AddressHasher::default(),
            present: Present::new(),
            connects: Happened::new(Rate::new(abuse.connects_per_minute, MINUTE, abuse.connects_per_minute)),
            guesses: Happened::new(Rate::new(abuse.guesses_per_hour, HOUR, abuse.guesses_per_hour)),
            places: Mutex::default(),
            proofs: [gate(), gate()],
            pace: [abuse.frames_per_second, abuse.bytes_per_second]
                .map(|count| Rate::new(count, SECOND, count.saturating_mul(BURST))),
        }
    }

    /// A place for a connection. None is given beyond the limits of its address; without one, only places count.
    pub(crate) fn enter(self: &Arc<Self>, ip: Option<IpAddr>) -> Result<Guest, TurnedAway> {
        let mut guest = Guest::unlimited(Arc::clone(self));
        if let Some(ip) = ip {
            guest.comes_from(ip)?;
        }
        let mut places = lock(&self.places);
        if places.taken >= self.abuse.connections {
            let (_, stranger) = places.strangers.pop_first().ok_or(TurnedAway::Full)?;
            // Its place is free when its task is gone, which is soon; until then, there is one connection too many.
            if let Some(stranger) = stranger {
                stranger.abort();
            }
        }
        places.taken += 1;
        let place = places.draw();
        places.strangers.insert(place, None);
        guest.place = Some(place);
        Ok(guest)
    }

    /// The task of a connection, by which it is put out if it has to give way.
    pub(crate) fn put_out_by(&self, place: u64, task: AbortHandle) {
        let places = &mut *lock(&self.places);
        // It may have ended already.
        if let Some(handle) = places.strangers.get_mut(&place).or_else(|| places.devices.get_mut(&place)) {
            *handle = Some(task);
        }
    }

    /// Whether an address may guess once more. Beyond it, right and wrong are refused alike.
    pub(crate) fn may_guess(&self, address: Option<Address>) -> bool {
        address.is_none_or(|address| self.guesses.may(address, self.clock.now()))
    }

    /// A permit, code or proof was wrong.
    pub(crate) fn guessed_wrong(&self, address: Option<Address>) {
        if let Some(address) = address {
            self.guesses.count(address, self.clock.now());
        }
    }

    /// Waits until so many proofs may be checked. Strangers do not get in the way of devices that have proven an end.
    pub(crate) async fn proofs(&self, count: usize, has_proven: bool) {
        self.proofs[usize::from(has_proven)].pass(self.clock, count).await;
    }

    /// A connection sent a message. Returns how long nothing more is to be read from it.
    pub(crate) fn sent(&self, pace: &mut Pace, bytes: usize) -> Duration {
        let now = self.clock.now();
        let counts = [1, u32::try_from(bytes).unwrap_or(u32::MAX)];
        let mut longest = Duration::ZERO;
        for ((rate, paid), count) in self.pace.iter().zip(&mut pace.0).zip(counts) {
            *paid = rate.pay(*paid, now, count);
            longest = longest.max(rate.wait(*paid, now));
        }
        longest
    }
}

/// What one connection has sent: frames, and bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace([Paid; 2]);

/// Lets proofs be checked at a rate for the whole relay. Whoever waits is served in turn, a few proofs at a time, so that
/// each connection gets as much as any other. A tenth of a second's worth passes at once.
#[derive(Debug)]
struct Gate {
    rate: Rate,
    /// Its queue is first come, first served.
    queue: tokio::sync::Mutex<Paid>,
}

impl Gate {
    fn new(per_second: u32) -> Self {
        Self { rate: Rate::new(per_second, SECOND, per_second.div_ceil(10)), queue: tokio::sync::Mutex::default() }
    }

    async fn pass(&self, clock: RateClock, count: usize) {
        let mut paid = self.queue.lock().await;
        let wait = self.rate.wait(*paid, clock.now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
        *paid = self.rate.pay(*paid, clock.now(), u32::try_from(count).unwrap_or(u32::MAX));
    }
}

/// A connection, as far as limits go. Its place is free when it is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    limits: Arc<Limits>,
    place: Option<u64>,
    address: Option<Address>,
    is_stranger: bool,
}

impl Guest {
    /// A connection that no limit of number or address is for: the caller brought its own stream.
    pub(crate) const fn unlimited(limits: Arc<Limits>) -> Self {
        Self { limits, place: None, address: None, is_stranger: true }
    }

    pub(crate) const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    pub(crate) const fn place(&self) -> Option<u64> {
        self.place
    }

    pub(crate) const fn address(&self) -> Option<Address> {
        self.address
    }

    /// Where the connection comes from is known. The address is turned into cells of a table and not kept.
    pub(crate) fn comes_from(&mut self, ip: IpAddr) -> Result<(), TurnedAway> {
        let limits = &self.limits;
        let address = limits.hasher.address(ip);
        if !limits.present.enter(address, limits.abuse.connections_per_address) {
            return Err(TurnedAway::Address);
        }
        self.address = Some(address);
        if !limits.connects.admit(address, limits.clock.now()) {
            return Err(TurnedAway::Address);
        }
        Ok(())
    }

    pub(crate) const fn is_stranger(&self) -> bool {
        self.is_stranger
    }

    /// It holds an end, and is not put out while it does.
    pub(crate) fn becomes_device(&mut self) {
        self.is_stranger = false;
        if let Some(place) = self.place {
            let places = &mut *lock(&self.limits.places);
            // It may have given way just now.
            if let Some(task) = places.strangers.remove(&place) {
                places.devices.insert(place, task);
            }
        }
    }

    /// It holds no end any more: it is a stranger that just came.
    pub(crate) fn becomes_stranger(&mut self) {
        self.is_stranger = true;
        if let Some(place) = self.place {
            let places = &mut *lock(&self.limits.places);
            if let Some(task) = places.devices.remove(&place) {
                let place = places.draw();
                places.strangers.insert(place, task);
                self.place = Some(place);
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.limits.present.leave(address);
        }
        if let Some(place) = self.place {
            let mut places = lock(&self.limits.places);
            places.taken -= 1;
            places.strangers.remove(&place);
            places.devices.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn limits(change: impl FnOnce(&mut Abuse)) -> Arc<Limits> {
        let mut abuse = Config::new("").abuse;
        change(&mut abuse);
        Arc::new(Limits::new(abuse))
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn an_address_has_its_places_and_leaves_others_theirs() {
        let limits = limits(|abuse| abuse.connections_per_address = 2);
        let first = limits.enter(ip(1)).unwrap();
        let second = limits.enter(ip(1)).unwrap();
        assert_eq!(limits.enter(ip(1)).unwrap_err(), TurnedAway::Address);
        assert!(limits.enter(ip(2)).is_ok());
        drop(first);
        assert!(limits.enter(ip(1)).is_ok());
        drop(second);
    }

    #[test]
    fn an_address_that_connects_too_fast_is_turned_away() {
        let limits = limits(|abuse| abuse.connects_per_minute = 3);
        let admitted = (0..10).filter(|_| limits.enter(ip(1)).is_ok()).count();
        assert_eq!(admitted, 3);
        assert!(limits.enter(ip(2)).is_ok());
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_oldest_strangers_place_and_nobody_elses() {
        let limits = limits(|abuse| abuse.connections = 3);
        let enter = || {
            let mut guest = limits.enter(None)?;
            let place = guest.place().unwrap();
            let (proven, mut is_proven) = tokio::sync::watch::channel(false);
            let task = tokio::spawn(async move {
                while !*is_proven.borrow_and_update() {
                    is_proven.changed().await.unwrap();
                }
                guest.becomes_device();
                std::future::pending::<()>().await;
            });
            limits.put_out_by(place, task.abort_handle());
            Ok::<_, TurnedAway>((proven, task))
        };
        let (device, first) = enter().unwrap();
        device.send(true).unwrap();
        while !lock(&limits.places).strangers.is_empty() {
            tokio::task::yield_now().await;
        }
        let second = enter().unwrap();
        let third = enter().unwrap();
        let fourth = enter().unwrap();
        assert!(second.1.await.unwrap_err().is_cancelled());
        assert!(!first.is_finished() && !third.1.is_finished() && !fourth.1.is_finished());
        for (proven, _) in [&third, &fourth] {
            proven.send(true).unwrap();
        }
        while !lock(&limits.places).strangers.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(enter().unwrap_err(), TurnedAway::Full);
        third.1.abort();
        assert!(third.1.await.unwrap_err().is_cancelled());
        assert!(enter().is_ok());
    }

    #[tokio::test]
    async fn who_lost_its_last_end_gives_way_to_newcomers_after_older_strangers() {
        let limits = limits(|abuse| abuse.connections = 2);
        let mut device = limits.enter(None).unwrap();
        let task = tokio::spawn(std::future::pending::<()>());
        limits.put_out_by(device.place().unwrap(), task.abort_handle());
        device.becomes_device();
        let older = limits.enter(None).unwrap();
        device.becomes_stranger();
        let newcomer = limits.enter(None).unwrap();
        assert!(lock(&limits.places).strangers.contains_key(&device.place().unwrap()), "the older one gave way");
        drop(older);
        // Attached again, it is safe again: the newcomer gives way.
        device.becomes_device();
        let _next = limits.enter(None).unwrap();
        assert!(!lock(&limits.places).strangers.contains_key(&newcomer.place().unwrap()));
        device.becomes_stranger();
        let _guests = [limits.enter(None).unwrap(), limits.enter(None).unwrap()];
        assert!(task.await.unwrap_err().is_cancelled());
        let mut last = limits.enter(None).unwrap();
        last.becomes_device();
        drop(last);
        assert!(lock(&limits.places).devices.is_empty());
    }

    #[test]
    fn guesses_run_out_for_their_address_alone() {
        let limits = limits(|abuse| abuse.guesses_per_hour = 5);
        let (one, other) = (limits.enter(ip(1)).unwrap(), limits.enter(ip(2)).unwrap());
        for _ in 0..5 {
            assert!(limits.may_guess(one.address()));
            limits.guessed_wrong(one.address());
        }
        assert!(!limits.may_guess(one.address()));
        assert!(limits.may_guess(other.address()) && limits.may_guess(None));
    }

    #[test]
    fn who_sends_faster_than_allowed_is_read_more_slowly() {
        let limits = limits(|abuse| (abuse.frames_per_second, abuse.bytes_per_second) = (100, 1_000));
        let (mut frames, mut bytes) = (Pace::default(), Pace::default());
        let free = (0..1_000).take_while(|_| limits.sent(&mut frames, 0).is_zero()).count();
        assert!((390..=410).contains(&free), "{free}");
        assert!(limits.sent(&mut bytes, 3_900).is_zero());
        let pause = limits.sent(&mut bytes, 1_100);
        assert!(pause > Duration::from_millis(900) && pause < Duration::from_millis(1_100), "{pause:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn proofs_are_let_through_in_turn_and_strangers_do_not_stand_before_devices() {
        let limits = limits(|abuse| abuse.proofs_per_second = 20);
        // A burst of one, then ten a second, eight at a time.
        let started = tokio::time::Instant::now();
        let crowd: Vec<_> = (0..5)
            .map(|_| {
                let limits = Arc::clone(&limits);
                tokio::spawn(async move {
                    limits.proofs(8, false).await;
                    started.elapsed()
                })
            })
            .collect();
        tokio::task::yield_now().await;
        limits.proofs(8, true).await;
        assert!(started.elapsed() < Duration::from_millis(10));
        for (number, task) in crowd.into_iter().enumerate() {
            let passed = task.await.unwrap().as_millis();
            assert!(passed.abs_diff(800 * number as u128) < 20, "{number} passed after {passed}");
        }
    }
}
