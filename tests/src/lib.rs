//! What the end-to-end tests share: real relays and real devices, as processes of their own or in this one.
//!
//! Nothing here stands in for anything: the relay is the `tacit-server` binary with a redb file, a device is a
//! [`Client`](core::Client) or the `tacit` binary with a SQLCipher file, and between them is a WebSocket.

mod browser;
mod device;
mod process;
mod relay;
mod wire;

pub use browser::{Browser, Tab};
pub use device::{Cli, Device};
pub use process::{binary, kill, random_below};
pub use relay::Relay;
pub use tacit_client_core as core;
pub use wire::Wire;

/// How long anything may take before a test gives up. Far above what it takes: the machine is shared.
pub const PATIENCE_MS: u64 = 30_000;
