//! What a relay is told before it starts: the defaults, and what is not accepted.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tacit_proto::SizeClass;
use tacit_proto::frame::{Limits, Window};
use tacit_proto::limits::{MAX_HOLD, MAX_NOTICE};
use tacit_proto::link::RelayAddress;

use ipnet::IpNet;

use crate::Clock;
use crate::backlog::Quota;
use crate::channel::Rules;
use crate::settings::Share;

const DAY: u32 = 24 * 3600;

/// How connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By nobody, or by a proxy in front.
    Plain {
        /// The proxies whose word on a device's address is taken.
        trusted_proxies: Vec<IpNet>,
    },
    /// TLS with a certificate from files, which are read again when they change.
    Files {
        /// The certificate chain, PEM.
        certificate: PathBuf,
        /// Its key, PEM.
        private_key: PathBuf,
    },
    /// TLS with a key of the relay's own, which links pin.
    Pinned,
    /// TLS with a certificate that the relay gets by itself.
    Acme(Acme),
}

/// Where the relay gets its certificate (ACME, RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The name that the certificate is for.
    pub domain: String,
    /// Where the authority can reach the operator: `mailto:…`.
    pub contact: Option<String>,
    /// The authority's directory.
    pub directory: String,
    /// The root certificate, PEM, by which the authority itself is known; without it, the public ones are.
    pub root: Option<PathBuf>,
}

/// What strangers, and devices gone wrong, may use of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abuse {
    /// Most connections at once.
    pub connections: usize,
    /// Most connections at once from one address, or from one IPv6 /64.
    pub connections_per_address: u32,
    /// Most new connections a minute from one address, or from one IPv6 /64.
    pub connects_per_minute: u32,
    /// Most proofs that are checked in a second, of all connections.
    pub proofs_per_second: u32,
    /// Most wrong permits, codes and proofs an hour from one address, or from one IPv6 /64.
    pub guesses_per_hour: u32,
    /// Most frames a second that one connection may send for long.
    pub frames_per_second: u32,
    /// Most bytes a second that one connection may send for long.
    pub bytes_per_second: u32,
}

/// The configuration of a relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder. Made if it is missing.
    pub data: PathBuf,
    /// What is promised to devices, and asked of them.
    pub limits: Limits,
    /// How long a box for an attached end is kept off the disk.
    pub grace: Duration,
    /// What strangers may use.
    pub abuse: Abuse,
    /// How connections are encrypted.
    pub transport: Transport,
    /// Most that the spool may take of the disk.
    pub disk: Share,
    /// Most that the relay may take of the memory.
    pub memory: Share,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Who runs the relay, for its page.
    pub operator: String,
    /// From the operator to people, in every `Welcome`.
    pub notice: String,
    /// The address in enrolment links. Without it, the one that the relay listens on.
    pub url: Option<RelayAddress>,
    /// How long a device may take for one batch of frames before it is taken for dead.
    pub write_timeout: Duration,
    /// How long the WebSocket handshake may take.
    pub handshake_timeout: Duration,
    /// How long a connection may last without having attached an end.
    pub unproven_timeout: Duration,
    /// After how much silence a device is asked whether it is still there; as much again, and it is taken for dead.
    pub keep_alive: Duration,
    /// How often the relay looks whether an hour has passed.
    pub sweep_every: Duration,
    /// How often metrics show anew what people cause.
    pub metrics_every: Duration,
    /// The time.
    pub clock: Clock,
}

/// A configuration that no relay runs with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The hold is too short or too long.
    #[error("hold must be between 1 hour and 90 days")]
    Hold,
    /// The notice is too long.
    #[error("notice must be at most {MAX_NOTICE} bytes long")]
    Notice,
    /// A backlog that cannot take one box.
    #[error("backlog_boxes must be at least 1, and backlog_bytes at least {} (one large box)", SizeClass::Large.box_len())]
    Backlog,
    /// A number that must not be zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
}

impl Config {
    /// The defaults, for a data folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            limits: Limits {
                hold: 21 * DAY,
                in_flight: 64,
                window_boxes: 64,
                window_bytes: 256 * 1024,
                backlog_boxes: 4_096,
                backlog_bytes: 32 * 1024 * 1024,
            },
            grace: Duration::from_millis(250),
            abuse: Abuse {
                connections: 10_000,
                connections_per_address: 512,
                connects_per_minute: 600,
                proofs_per_second: 4_000,
                guesses_per_hour: 120,
                frames_per_second: 500,
                bytes_per_second: 2 * 1024 * 1024,
            },
            transport: Transport::Plain { trusted_proxies: Vec::new() },
            disk: Share::Percent(80),
            memory: Share::Percent(75),
            metrics: None,
            operator: String::new(),
            notice: String::new(),
            url: None,
            write_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(5),
            unproven_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(600),
            sweep_every: Duration::from_secs(60),
            metrics_every: Duration::from_secs(3_600),
            clock: Clock::default(),
        }
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`ConfigError`], which says what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Limits { hold, in_flight, window_boxes, backlog_boxes, backlog_bytes, .. } = self.limits;
        if !(3_600..=MAX_HOLD).contains(&hold) {
            return Err(ConfigError::Hold);
        }
        if self.notice.len() > MAX_NOTICE {
            return Err(ConfigError::Notice);
        }
        if backlog_boxes == 0 || backlog_bytes < SizeClass::Large.box_len() as u64 {
            return Err(ConfigError::Backlog);
        }
        let abuse = &self.abuse;
        let numbers = [
            (in_flight, "in_flight"),
            (window_boxes, "window_boxes"),
            (u32::try_from(abuse.connections).unwrap_or(u32::MAX), "connections"),
            (abuse.connections_per_address, "connections_per_address"),
            (abuse.connects_per_minute, "connects_per_minute"),
            (abuse.proofs_per_second, "proofs_per_second"),
            (abuse.guesses_per_hour, "guesses_per_hour"),
            (abuse.frames_per_second, "frames_per_second"),
            (abuse.bytes_per_second, "bytes_per_second"),
        ];
        match numbers.into_iter().find(|(number, _)| *number == 0) {
            Some((_, name)) => Err(ConfigError::Zero(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        let Limits { hold, window_boxes, window_bytes, backlog_boxes, backlog_bytes, .. } = self.limits;
        Rules {
            hold,
            grace: u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX),
            window: Window { boxes: NonZeroU32::new(window_boxes).unwrap_or(NonZeroU32::MIN), bytes: window_bytes },
            quota: Quota { boxes: backlog_boxes, bytes: backlog_bytes },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted_and_nonsense_is_not() {
        let config = Config::new("data");
        assert_eq!(config.check(), Ok(()));
        let with = |change: fn(&mut Config)| {
            let mut config = Config::new("data");
            change(&mut config);
            config.check()
        };
        assert_eq!(with(|config| config.limits.hold = 3_599), Err(ConfigError::Hold));
        assert_eq!(with(|config| config.limits.hold = MAX_HOLD + 1), Err(ConfigError::Hold));
        assert_eq!(with(|config| config.notice = "x".repeat(MAX_NOTICE + 1)), Err(ConfigError::Notice));
        assert_eq!(with(|config| config.limits.backlog_bytes = 16_319), Err(ConfigError::Backlog));
        assert_eq!(with(|config| config.limits.in_flight = 0), Err(ConfigError::Zero("in_flight")));
        assert_eq!(with(|config| config.abuse.connections = 0), Err(ConfigError::Zero("connections")));
    }
}
