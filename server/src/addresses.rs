//! What each network address uses of a relay: connections open, connections made, wrong guesses.
//!
//! There is no table of addresses. Each count is kept in cells of a table of fixed size, two of which belong to an
//! address by a hash under a secret that was drawn when the relay started. So no flood makes it grow, nobody can choose
//! an address that shares another's cells, and a dump of the memory shows used cells, and the secret: whoever has both
//! can test whether an address is likely to have been here, and cannot list those that were. When both cells of an
//! address are shared with others that use them up, it is refused with them: of 65,536 cells a row, 1,000 addresses at
//! their limit do that to one in 4,000 others.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::rate::{Paid, Rate};
use crate::sync::{Mutex, lock};

const COLUMNS: usize = 1 << 16;

/// The two cells of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address([u16; 2]);

/// Makes addresses into cells, and forgets them.
#[derive(Debug, Default)]
pub(crate) struct AddressHasher(RandomState);

impl AddressHasher {
    /// An IPv6 /64 is one home, or one machine: whoever has one may use all of it.
    pub(crate) fn address(&self, ip: IpAddr) -> Address {
        let hash = match ip.to_canonical() {
            IpAddr::V4(ip) => self.0.hash_one(ip.octets()),
            IpAddr::V6(ip) => self.0.hash_one(&ip.segments()[..4]),
        };
        let [a, b, c, d, ..] = hash.to_ne_bytes();
        Address([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])])
    }
}

/// Two rows of cells. A leaf lock guards them: whoever holds it takes no other.
#[derive(Debug)]
struct Cells<T>(Mutex<[Vec<T>; 2]>);

impl<T: Copy + Default> Cells<T> {
    fn new() -> Self {
        Self(Mutex::new([vec![T::default(); COLUMNS], vec![T::default(); COLUMNS]]))
    }

    fn with<R>(&self, Address([first, second]): Address, change: impl FnOnce(&mut T, &mut T) -> R) -> R {
        let [one, two] = &mut *lock(&self.0);
        // Both columns are below 2^16, as many as there are.
        match (one.get_mut(usize::from(first)), two.get_mut(usize::from(second))) {
            (Some(one), Some(two)) => change(one, two),
            _ => change(&mut T::default(), &mut T::default()),
        }
    }
}

/// How many there are now, for each address.
#[derive(Debug)]
pub(crate) struct Present(Cells<u32>);

impl Present {
    pub(crate) fn new() -> Self {
        Self(Cells::new())
    }

    /// One more, unless there are `most` already.
    pub(crate) fn enter(&self, address: Address, most: u32) -> bool {
        self.0.with(address, |one, two| {
            let has_room = (*one).min(*two) < most;
            if has_room {
                (*one, *two) = (one.saturating_add(1), two.saturating_add(1));
            }
            has_room
        })
    }

    pub(crate) fn leave(&self, address: Address) {
        self.0.with(address, |one, two| (*one, *two) = (one.saturating_sub(1), two.saturating_sub(1)));
    }
}

/// How often something happened, for each address.
#[derive(Debug)]
pub(crate) struct Happened(Cells<Paid>, Rate);

impl Happened {
    pub(crate) fn new(rate: Rate) -> Self {
        Self(Cells::new(), rate)
    }

    /// Whether it may happen once more.
    pub(crate) fn may(&self, address: Address, now: u64) -> bool {
        self.0.with(address, |one, two| self.1.wait((*one).min(*two), now).is_zero())
    }

    /// It happened, allowed or not. The debt has a bound: one machine must not lock out all others at its address for
    /// longer than one costs.
    pub(crate) fn count(&self, address: Address, now: u64) {
        self.0.with(address, |one, two| {
            let paid = self.1.pay_up_to_a_burst((*one).min(*two), now, 1);
            (*one, *two) = (paid.max(*one), paid.max(*two));
        });
    }

    /// Counts it, if it may happen.
    pub(crate) fn admit(&self, address: Address, now: u64) -> bool {
        let may = self.may(address, now);
        if may {
            self.count(address, now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hasher() -> AddressHasher {
        AddressHasher::default()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_v6_network_is_one_address_and_a_mapped_one_is_its_v4() {
        let hasher = hasher();
        let cells = |text| hasher.address(ip(text));
        assert_eq!(cells("2001:db8:1:2::1"), cells("2001:db8:1:2:ffff::9"));
        assert_ne!(cells("2001:db8:1:2::1"), cells("2001:db8:1:3::1"));
        assert_eq!(cells("::ffff:192.0.2.1"), cells("192.0.2.1"));
        assert_ne!(cells("192.0.2.1"), cells("192.0.2.2"));
        assert_ne!(super::AddressHasher::default().address(ip("192.0.2.1")), cells("192.0.2.1"), "the secret is drawn");
    }

    #[test]
    fn an_address_has_its_own_count_of_what_is_present() {
        let (hasher, present) = (hasher(), Present::new());
        let (one, other) = (hasher.address(ip("192.0.2.1")), hasher.address(ip("192.0.2.2")));
        assert!(present.enter(one, 2) && present.enter(one, 2) && !present.enter(one, 2));
        assert!(present.enter(other, 2));
        present.leave(one);
        assert!(present.enter(one, 2) && !present.enter(one, 2));
    }

    #[test]
    fn what_happened_runs_out_and_comes_back_with_time() {
        let rate = Rate::new(60, Duration::from_secs(60), 3);
        let (address, happened) = (hasher().address(ip("192.0.2.1")), Happened::new(rate));
        let now = 5_000_000_000;
        assert_eq!((0..9).filter(|_| happened.admit(address, now)).count(), 3);
        assert!(!happened.may(address, now) && happened.may(address, now + 1_000_000_000));
    }

    #[test]
    fn however_often_it_happened_it_may_again_soon() {
        let rate = Rate::new(60, Duration::from_secs(60), 3);
        let (address, happened) = (hasher().address(ip("192.0.2.1")), Happened::new(rate));
        let now = 5_000_000_000;
        for _ in 0..10_000 {
            happened.count(address, now);
        }
        assert!(!happened.may(address, now) && happened.may(address, now + 1_000_000_000));
    }

    #[test]
    fn a_thousand_addresses_at_their_limit_leave_almost_all_others_room() {
        let (hasher, present) = (hasher(), Present::new());
        for number in 0..1_000_u32 {
            let _ = present.enter(hasher.address(IpAddr::from(number.to_be_bytes())), 1);
        }
        let others = 1_000_000..1_010_000_u32;
        let refused = others.filter(|number| {
            let address = hasher.address(IpAddr::from(number.to_be_bytes()));
            let admitted = present.enter(address, 1);
            if admitted {
                present.leave(address);
            }
            !admitted
        });
        // 2.3 of 10,000 on average; that there are more than 40 has a chance of less than 10^-30.
        assert!(refused.count() < 40);
    }
}
