//! What a relay is told before it starts: the defaults, and what is not accepted.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tacit_proto::SizeClass;
use tacit_proto::frame::{Limits, Window};
use tacit_proto::limits::{MAX_HOLD, MAX_NOTICE};
use tacit_proto::link::RelayAddress;

use crate::Clock;
use crate::backlog::Quota;
use crate::channel::Rules;

const DAY: u32 = 24 * 3600;

/// The configuration of a relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder. Made if it is missing.
    pub data: PathBuf,
    /// What is promised to devices, and asked of them.
    pub limits: Limits,
    /// How long a box for an attached end is kept off the disk.
    pub grace: Duration,
    /// Most connections at once. Beyond it, new ones wait.
    pub connections: usize,
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
            connections: 10_000,
            notice: String::new(),
            url: None,
            write_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(5),
            unproven_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(600),
            sweep_every: Duration::from_secs(60),
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
        for (number, name) in [(in_flight, "in_flight"), (window_boxes, "window_boxes")] {
            if number == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        if self.connections == 0 {
            return Err(ConfigError::Zero("connections"));
        }
        Ok(())
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
        assert_eq!(with(|config| config.connections = 0), Err(ConfigError::Zero("connections")));
    }
}
