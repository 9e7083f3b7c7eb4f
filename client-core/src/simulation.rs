//! Devices, a relay and a network in one process and in virtual time, under faults that a seed chooses.
//!
//! The store and the engine are the real ones. The relay is a model of what `proto/README.md` promises, the shell around
//! the engine is as thin as the driver, and everything that happens is one event in one queue: a seed replays. Only
//! key material differs from run to run, since the ratchet draws its own, and nothing hangs on it.
//!
//! `TACIT_SEED=7 cargo test -p tacit-client-core simulation` replays a seed, `TACIT_SEEDS=100000` tries that many.

mod claims;
mod device;
mod dice;
mod file_claims;
mod files;
mod hostile;
mod hostile_files;
mod meddler;
mod people;
mod relay;
mod resets;
mod rotation;
mod scenario;
mod seeds;
mod turmoil;
mod weather;
mod world;
