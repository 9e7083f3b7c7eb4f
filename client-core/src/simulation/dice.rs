//! Randomness that a seed replays. Keys drawn from it are worth nothing.

use std::convert::Infallible;

use rand_core::{Rng, TryCryptoRng, TryRng, utils};

/// SplitMix64: small, and good enough to choose what goes wrong.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for one purpose, so that a throw more there changes nothing here.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next_u64())
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a thousand.
    pub(super) fn per_mille(&mut self, times: u64) -> bool {
        self.below(1_000) < times
    }

    /// About `mean`, often less, sometimes much more.
    pub(super) fn around(&mut self, mean: u64) -> u64 {
        let uniform = (self.below(1 << 20) + 1) as f64 / (1_u64 << 20) as f64;
        (-(uniform.ln()) * mean as f64) as u64
    }
}

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        utils::fill_bytes_via_next_word(dest, || self.try_next_u64())
    }
}

impl TryCryptoRng for Dice {}
