//! How a running relay is, for its operator.

use std::collections::BTreeMap;
use std::time::{Instant, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Config;
use crate::counters::Counter;
use crate::hub::Hub;
use crate::pressure::{Pressure, Usage};
use crate::sync::lock;
use crate::tally::Tally;
use crate::tls::Tls;

/// When a relay started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since(Instant);

impl Since {
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }
}

/// Sums over the whole relay, now. It names nobody; but whoever watches it second by second learns when somebody writes,
/// so it is for the operator's eyes alone and written nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// For how many seconds it has been running.
    pub up_secs: u64,
    /// If it is drained: what people are told.
    pub drained: Option<String>,
    /// How scarce disk and memory are.
    pub pressure: Pressure,
    /// Until when the certificate is good that devices are shown: seconds since the Unix epoch. None without TLS, with a
    /// pinned key, which has no end, and as long as an authority has not given one.
    pub certificate_until: Option<u64>,
    /// Whether the last transaction could be written.
    pub spool_writable: bool,
    /// What it holds.
    pub holds: Tally,
    /// Seconds that an undelivered box is kept.
    pub hold: u32,
    /// What was counted since it started, by name.
    pub counted: BTreeMap<String, u64>,
    /// Most files that its process may have open; `None` if there is no limit.
    pub file_limit: Option<u64>,
    /// What it uses.
    pub usage: Usage,
}

impl Status {
    /// Blocks for as long as the file system takes to say how full it is.
    pub(crate) fn now(hub: &Hub, config: &Config, tls: Option<&Tls>, since: &Since) -> Self {
        let holds = hub.tally();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_secs: since.0.elapsed().as_secs(),
            drained: lock(&hub.maintenance).clone(),
            pressure: hub.pressure(),
            certificate_until: tls.filter(|tls| tls.has_end()).and_then(|tls| {
                let until = tls.validity()?.until.duration_since(UNIX_EPOCH).ok()?;
                Some(until.as_secs())
            }),
            spool_writable: hub.queue.is_writable(),
            holds,
            hold: config.limits.hold,
            counted: Counter::ALL.map(|counter| (counter.name().to_owned(), hub.counters.get(counter))).into(),
            file_limit: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            usage: Usage::measure(holds.bytes, config),
        }
    }
}
