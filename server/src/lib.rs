//! The Tacit relay, as a library: it forwards sealed boxes between the two ends of a channel, and stores undelivered
//! ones briefly. It knows channels, and nothing about people.
//!
//! One way through it: a stranger is let in (`accept`, `limits`, `tls`), bytes become a frame (`connection`), a frame becomes a decision of one channel (`session`, `hub`,
//! `channel`), the decision becomes frames and durable changes (`mailbox`, `committer`, [`spool`]).

mod accept;
mod addresses;
mod backlog;
pub mod backup;
mod channel;
mod committer;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod concurrency;
mod config;
mod connection;
pub mod control;
mod counters;
mod effect;
mod enrol;
mod enrolment;
mod forwarded;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod grace;
mod handshake;
mod http;
mod hub;
mod limits;
mod mailbox;
mod metrics;
mod pages;
mod permits;
mod pressure;
mod proven;
mod rate;
mod reader;
mod relay;
mod session;
pub mod settings;
pub mod spool;
mod status;
mod sync;
mod tally;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code))]
mod testing;
mod time;
mod tls;

pub use config::{Abuse, Acme, Config, ConfigError, Transport};
pub use counters::{Counter, Counters};
pub use enrol::{Listed, RevokeError, Revoked};
pub use enrolment::{Enrolments, Offer, private_file};
pub use pressure::{Pressure, Usage};
pub use relay::{PINNED, Relay, StartError, URL_FILE, run};
pub use status::Status;
pub use tally::Tally;
pub use time::Clock;
pub use tls::{AcmeError, CertificateError, FilesError, PinnedError, TlsError, Validity, check_files, relay_pin};
