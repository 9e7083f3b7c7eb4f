//! The operator's settings: what the configuration file may say. Everything has a default; what is not known here is
//! refused, because a misspelt limit must not pass for a limit.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tacit_proto::link::RelayAddress;

use crate::Config;

/// Where a relay listens if it is not told.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

/// Where a relay keeps its data if it is not told.
pub const DEFAULT_DATA: &str = "tacit-data";

/// A length of time as people write it: `250ms`, `30s`, `90m`, `12h`, `7d`, `2w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A text that is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is a number with ms, s, m, h, d or w after it: 250ms, 12h, 7d")]
pub struct NotASpan;

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| NotASpan)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 24 * 3_600_000,
            "w" => 7 * 24 * 3_600_000,
            _ => return Err(NotASpan),
        };
        number.checked_mul(millis).map(|millis| Self(Duration::from_millis(millis))).ok_or(NotASpan)
    }
}

/// The configuration file. Every key may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The data folder.
    pub data: Option<PathBuf>,
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// The address that enrolment links carry: where devices reach this relay.
    #[serde(deserialize_with = "from_text")]
    pub url: Option<RelayAddress>,
    /// Serve unencrypted on another address than loopback, because a proxy in front does the encryption.
    pub plain_behind_proxy: bool,
    /// From the operator to people.
    pub notice: Option<String>,
    /// How long an undelivered box is kept.
    #[serde(deserialize_with = "from_text")]
    pub hold: Option<Span>,
    /// How long a box for an attached end is kept off the disk.
    #[serde(deserialize_with = "from_text")]
    pub grace: Option<Span>,
    /// Most connections at once.
    pub connections: Option<usize>,
    /// Most unanswered requests of one connection.
    pub in_flight: Option<u32>,
    /// Most boxes under way to one end.
    pub window_boxes: Option<u32>,
    /// Most bytes under way to one end.
    pub window_bytes: Option<u32>,
    /// Most boxes that may wait at one end.
    pub backlog_boxes: Option<u32>,
    /// Most bytes that may wait at one end.
    pub backlog_bytes: Option<u64>,
}

fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is not what it should be.
    #[error("{0}: {1}")]
    Malformed(PathBuf, Box<toml::de::Error>),
    /// Unencrypted where others could listen in.
    #[error(
        "{0} can be reached from other machines, and would be served unencrypted; listen on 127.0.0.1, or put a proxy \
         that encrypts in front and say so with --plain-behind-proxy (plain_behind_proxy = true)"
    )]
    Unencrypted(SocketAddr),
}

impl Settings {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`SettingsError`], which says where the fault is.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|error| SettingsError::Unreadable(path.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| SettingsError::Malformed(path.to_owned(), Box::new(error)))
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| DEFAULT_DATA.into())
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// [`SettingsError::Unencrypted`]: this version has no encryption of its own.
    pub fn listen(&self) -> Result<SocketAddr, SettingsError> {
        let listen = self.listen.unwrap_or(DEFAULT_LISTEN);
        if listen.ip().is_loopback() || self.plain_behind_proxy {
            return Ok(listen);
        }
        Err(SettingsError::Unencrypted(listen))
    }

    /// The relay's configuration.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new(self.data());
        let limits = &mut config.limits;
        if let Some(Span(hold)) = self.hold {
            // Too much for the field is too much for the check that follows as well.
            limits.hold = u32::try_from(hold.as_secs()).unwrap_or(u32::MAX);
        }
        limits.in_flight = self.in_flight.unwrap_or(limits.in_flight);
        limits.window_boxes = self.window_boxes.unwrap_or(limits.window_boxes);
        limits.window_bytes = self.window_bytes.unwrap_or(limits.window_bytes);
        limits.backlog_boxes = self.backlog_boxes.unwrap_or(limits.backlog_boxes);
        limits.backlog_bytes = self.backlog_bytes.unwrap_or(limits.backlog_bytes);
        config.grace = self.grace.map_or(config.grace, |Span(grace)| grace);
        config.connections = self.connections.unwrap_or(config.connections);
        config.notice = self.notice.clone().unwrap_or_default();
        config.url = self.url.clone();
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("90m", 5_400_000), ("7d", 604_800_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "7", "d", "7 d", "-1d", "1.5h", "7days", "99999999999999999999s", "9999999999999999w"] {
            assert_eq!(text.parse::<Span>(), Err(NotASpan), "{text}");
        }
    }

    #[test]
    fn a_file_sets_what_it_names_and_nothing_else() {
        let text = "data = \"/srv/tacit\"\nhold = \"7d\"\nurl = \"wss://relay.example\"\nbacklog_boxes = 5";
        let config = toml::from_str::<Settings>(text).unwrap().config();
        assert_eq!(config.data, Path::new("/srv/tacit"));
        assert_eq!(config.limits.hold, 7 * 24 * 3_600);
        assert_eq!(config.limits.backlog_boxes, 5);
        assert_eq!(config.url.map(|url| url.as_str().to_owned()), Some("wss://relay.example".to_owned()));
        assert_eq!(config.connections, Config::new("").connections);
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_refused() {
        for text in
            ["holds = \"7d\"", "hold = 7", "hold = \"7\"", "listen = \"localhost\"", "url = \"ws://relay.example\""]
        {
            assert!(toml::from_str::<Settings>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_is_served_to_other_machines_only_on_purpose() {
        let on = |listen: &str, plain_behind_proxy| {
            let listen = Some(listen.parse().unwrap());
            Settings { listen, plain_behind_proxy, ..Settings::default() }.listen()
        };
        assert_eq!(Settings::default().listen().unwrap(), DEFAULT_LISTEN);
        assert!(on("[::1]:1", false).is_ok());
        assert!(matches!(on("0.0.0.0:1", false), Err(SettingsError::Unencrypted(_))));
        assert!(on("0.0.0.0:1", true).is_ok());
    }
}
