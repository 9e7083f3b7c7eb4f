//! The operator's settings: one list of keys, each of which the configuration file, the environment and the command line
//! may set. Everything has a default; what is not known here is refused, because a misspelt limit must not pass for a
//! limit.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer};
use tacit_proto::link::RelayAddress;

use crate::Config;
use crate::config::{Acme, Transport};

/// Where a relay listens if it is not told.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

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

/// A part of a machine, as people write it: `80%` of what there is, or an amount: `512MB`, `20GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Percent, 1 to 100.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

/// A text that is not a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is a percentage or an amount with KB, MB or GB after it: 80%, 512MB, 20GB")]
pub struct NotAShare;

impl Share {
    /// The share in bytes, of a whole of so many.
    #[must_use]
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Percent(percent) => whole / 100 * u64::from(percent),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl FromStr for Share {
    type Err = NotAShare;

    fn from_str(text: &str) -> Result<Self, NotAShare> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| NotAShare)?;
        let unit: u64 = match unit {
            "%" => {
                let percent = u8::try_from(number).ok().filter(|percent| (1..=100).contains(percent));
                return percent.map(Self::Percent).ok_or(NotAShare);
            }
            "KB" => 1 << 10,
            "MB" => 1 << 20,
            "GB" => 1 << 30,
            _ => return Err(NotAShare),
        };
        number.checked_mul(unit).map(Self::Bytes).ok_or(NotAShare)
    }
}

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Not at all: on loopback addresses only.
    Off,
    /// By a proxy in front of the relay, which therefore serves unencrypted.
    Proxy,
    /// With a certificate and its key from files.
    Files,
    /// With a key of the relay's own, which every link pins: no domain and no authority is needed.
    Pinned,
    /// With a certificate that the relay gets and renews by itself (ACME, RFC 8555).
    Acme,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Makes one list serve all: the struct that the file and the command line are read into, the variables' names, and
/// how one layer goes over another.
macro_rules! settings {
    ($($(#[$attr:meta])+ $key:ident: $type:ty, $env:literal;)+) => {
        /// What the operator set. Every key may be left out.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, clap::Args)]
        #[serde(deny_unknown_fields, default)]
        #[command(next_help_heading = "Settings (each is also a key of the configuration file)")]
        pub struct Settings {
            $($(#[$attr])+ #[arg(long, env = $env, hide_env_values = true)] pub $key: Option<$type>,)+
        }

        /// The keys, in order, with the environment's name of each.
        pub const KEYS: &[(&str, &str)] = &[$((stringify!($key), $env)),+];

        impl Settings {
            /// These settings, and where they say nothing, those of `below`.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self { $($key: self.$key.or(below.$key)),+ }
            }
        }
    };
}

settings! {
    /// The data folder [default: tacit-data]. Made if it is missing.
    #[arg(value_name = "DIR")]
    data: PathBuf, "TACIT_DATA";
    /// The address to listen on [default: 127.0.0.1:7443]. Port 0 picks a free one.
    #[arg(value_name = "ADDR")]
    listen: SocketAddr, "TACIT_LISTEN";
    /// The address that links carry, at which devices reach the relay: wss://relay.example [default: where it listens].
    #[arg(value_name = "URL")]
    #[serde(deserialize_with = "from_text")]
    url: RelayAddress, "TACIT_URL";
    /// How connections are encrypted [default: off, which serves loopback addresses only].
    #[arg(value_enum)]
    tls: Tls, "TACIT_TLS";
    /// With tls = "files": the certificate chain, PEM. It is read again when it changes.
    #[arg(value_name = "FILE")]
    certificate: PathBuf, "TACIT_CERTIFICATE";
    /// With tls = "files": the certificate's private key, PEM.
    #[arg(value_name = "FILE")]
    private_key: PathBuf, "TACIT_PRIVATE_KEY";
    /// With tls = "acme": where the authority can reach the operator, as mailto:it@clinic.example. May be left out.
    #[arg(value_name = "URI")]
    acme_contact: String, "TACIT_ACME_CONTACT";
    /// With tls = "acme": the authority's directory [default: Let's Encrypt].
    #[arg(value_name = "URL")]
    acme_directory: String, "TACIT_ACME_DIRECTORY";
    /// With tls = "acme": the root certificate, PEM, by which the authority itself is known, if it is a private one.
    #[arg(value_name = "FILE")]
    acme_root: PathBuf, "TACIT_ACME_ROOT";
    /// With tls = "proxy": the proxies whose word on a device's address is taken, for limits per address: 10.0.0.0/8
    /// [default: those on this machine].
    #[arg(value_name = "NETS", value_parser = networks)]
    #[serde(deserialize_with = "network_list")]
    trusted_proxies: Networks, "TACIT_TRUSTED_PROXIES";
    /// From the operator to people, shown by their apps; at most 1,000 bytes.
    #[arg(value_name = "TEXT")]
    notice: String, "TACIT_NOTICE";
    /// Who runs this relay and how to reach them, shown on its page.
    #[arg(value_name = "TEXT")]
    operator: String, "TACIT_OPERATOR";
    /// How long an undelivered box is kept [default: 21d]: 1 hour to 90 days; never cut short by load.
    #[arg(value_name = "TIME")]
    #[serde(deserialize_with = "from_text")]
    hold: Span, "TACIT_HOLD";
    /// How long a box for a device that is connected is kept off the disk [default: 250ms].
    #[arg(value_name = "TIME")]
    #[serde(deserialize_with = "from_text")]
    grace: Span, "TACIT_GRACE";
    /// Most boxes that may wait at one end [default: 4096]; beyond it, senders are refused.
    #[arg(value_name = "N")]
    backlog_boxes: u32, "TACIT_BACKLOG_BOXES";
    /// Most bytes that may wait at one end [default: 33554432].
    #[arg(value_name = "N")]
    backlog_bytes: u64, "TACIT_BACKLOG_BYTES";
    /// Most that the relay may take of its disk [default: 80%]. Near it, new channels are refused first.
    #[arg(value_name = "SHARE")]
    #[serde(deserialize_with = "from_text")]
    disk: Share, "TACIT_DISK";
    /// Most that the relay may take of the memory [default: 75%]. Near it, new channels are refused first.
    #[arg(value_name = "SHARE")]
    #[serde(deserialize_with = "from_text")]
    memory: Share, "TACIT_MEMORY";
    /// Most connections at once [default: 10000].
    #[arg(value_name = "N")]
    connections: usize, "TACIT_CONNECTIONS";
    /// Most connections at once from one address, or from one IPv6 /64 [default: 512].
    #[arg(value_name = "N")]
    connections_per_address: u32, "TACIT_CONNECTIONS_PER_ADDRESS";
    /// Most new connections a minute from one address, or from one IPv6 /64 [default: 600].
    #[arg(value_name = "N")]
    connects_per_minute: u32, "TACIT_CONNECTS_PER_MINUTE";
    /// Most proofs that the relay checks in a second, of all connections [default: 4000].
    #[arg(value_name = "N")]
    proofs_per_second: u32, "TACIT_PROOFS_PER_SECOND";
    /// Most wrong permits, codes and proofs an hour from one address, or from one IPv6 /64 [default: 120].
    #[arg(value_name = "N")]
    guesses_per_hour: u32, "TACIT_GUESSES_PER_HOUR";
    /// Most frames a second that one connection may send for long [default: 500]. Faster ones are read more slowly.
    #[arg(value_name = "N")]
    frames_per_second: u32, "TACIT_FRAMES_PER_SECOND";
    /// Most bytes a second that one connection may send for long [default: 2097152]. Faster ones are read more slowly.
    #[arg(value_name = "N")]
    bytes_per_second: u32, "TACIT_BYTES_PER_SECOND";
    /// Most unanswered requests of one connection [default: 64].
    #[arg(value_name = "N")]
    in_flight: u32, "TACIT_IN_FLIGHT";
    /// Most boxes that are on their way to one end, unacked [default: 64].
    #[arg(value_name = "N")]
    window_boxes: u32, "TACIT_WINDOW_BOXES";
    /// Most bytes that are on their way to one end, unacked [default: 262144].
    #[arg(value_name = "N")]
    window_bytes: u32, "TACIT_WINDOW_BYTES";
    /// The loopback address with metrics for Prometheus, /healthz and /readyz: 127.0.0.1:7444 [default: none].
    #[arg(value_name = "ADDR")]
    metrics: SocketAddr, "TACIT_METRICS";
    /// What is logged [default: info]: error, warn, info, debug or trace.
    #[arg(value_name = "LEVEL")]
    log: String, "TACIT_LOG";
    /// How the log is written [default: text].
    #[arg(value_enum)]
    log_format: LogFormat, "TACIT_LOG_FORMAT";
}

fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Some networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

/// Where a proxy is if nobody says.
fn this_machine() -> Vec<IpNet> {
    let v4 = Ipv4Net::new(Ipv4Addr::LOCALHOST, 8).map(|net| IpNet::V4(net.trunc()));
    v4.into_iter().chain([IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST))]).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    let alone = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| alone())
        .map_err(|_| "a network is an address, or one with a length: 10.0.0.0/8".to_owned())
}

fn networks(text: &str) -> Result<Networks, String> {
    text.split(',').map(|one| network(one.trim())).collect::<Result<_, _>>().map(Networks)
}

fn network_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Networks>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let all: Result<_, _> = texts.iter().map(|text| network(text)).collect();
    all.map(|all| Some(Networks(all))).map_err(serde::de::Error::custom)
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
    /// A key that does not exist.
    #[error("{file}: there is no key `{key}`{}", nearest.map_or_else(String::new, |near| format!("; did you mean `{near}`?")))]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The key in it.
        key: String,
        /// The known key that is most like it.
        nearest: Option<&'static str>,
    },
    /// Unencrypted where others could listen in.
    #[error(
        "{0} can be reached from other machines, and would be served unencrypted. Encrypt (tls = \"files\", \"acme\" or \
         \"pinned\"), or listen on 127.0.0.1, or put a proxy that encrypts in front and say so (tls = \"proxy\")"
    )]
    Unencrypted(SocketAddr),
    /// A key that another one needs.
    #[error("tls = \"{tls}\" needs `{key}`: {why}")]
    Missing {
        /// The way of encrypting.
        tls: &'static str,
        /// What is not set.
        key: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// Metrics that others could read.
    #[error("metrics would be served on {0}, which other machines can reach; use a loopback address and a proxy")]
    PublicMetrics(SocketAddr),
}

/// Directory of the default authority.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl Settings {
    /// Reads a configuration file. Paths in it start at its folder, wherever a command is given.
    ///
    /// # Errors
    /// [`SettingsError`], which says where the fault is.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|error| SettingsError::Unreadable(path.to_owned(), error))?;
        let mut settings = Self::parse(path, &text)?;
        if let Some(folder) = path.parent() {
            let paths =
                [&mut settings.data, &mut settings.certificate, &mut settings.private_key, &mut settings.acme_root];
            for path in paths.into_iter().flatten() {
                *path = folder.join(&*path);
            }
        }
        Ok(settings)
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// [`SettingsError`], which says where in `path` the fault is.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let malformed = |error| SettingsError::Malformed(path.to_owned(), Box::new(error));
        let table: toml::Table = toml::from_str(text).map_err(malformed)?;
        if let Some(key) = table.keys().find(|key| KEYS.iter().all(|(known, _)| known != key)) {
            let nearest = nearest(key);
            return Err(SettingsError::UnknownKey { file: path.to_owned(), key: key.clone(), nearest });
        }
        toml::from_str(text).map_err(malformed)
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| DEFAULT_DATA.into())
    }

    /// How connections are encrypted.
    #[must_use]
    pub fn tls(&self) -> Tls {
        self.tls.unwrap_or(Tls::Off)
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// [`SettingsError::Unencrypted`] if that would not be encrypted, and nobody said that it need not be.
    pub fn listen(&self) -> Result<SocketAddr, SettingsError> {
        let listen = self.listen.unwrap_or(DEFAULT_LISTEN);
        if self.tls() == Tls::Off && !listen.ip().is_loopback() {
            return Err(SettingsError::Unencrypted(listen));
        }
        Ok(listen)
    }

    /// Where metrics are served.
    ///
    /// # Errors
    /// [`SettingsError::PublicMetrics`].
    pub fn metrics(&self) -> Result<Option<SocketAddr>, SettingsError> {
        match self.metrics {
            Some(public) if !public.ip().is_loopback() => Err(SettingsError::PublicMetrics(public)),
            metrics => Ok(metrics),
        }
    }

    fn transport(&self) -> Result<Transport, SettingsError> {
        let needed =
            |file: &Option<PathBuf>, key, why| file.clone().ok_or(SettingsError::Missing { tls: "files", key, why });
        Ok(match self.tls() {
            Tls::Off => Transport::Plain { trusted_proxies: Vec::new() },
            Tls::Proxy => {
                let trusted = self.trusted_proxies.clone().map_or_else(this_machine, |Networks(trusted)| trusted);
                Transport::Plain { trusted_proxies: trusted }
            }
            Tls::Files => Transport::Files {
                certificate: needed(&self.certificate, "certificate", "the file with the certificate chain, PEM")?,
                private_key: needed(&self.private_key, "private_key", "the file with the certificate's key, PEM")?,
            },
            Tls::Pinned => Transport::Pinned,
            Tls::Acme => {
                let why = "the certificate is made out for its host: wss://relay.example";
                let missing = SettingsError::Missing { tls: "acme", key: "url", why };
                let url = self.url.as_ref().filter(|url| url.is_encrypted()).ok_or(missing)?;
                Transport::Acme(Acme {
                    domain: url.host().to_owned(),
                    contact: self.acme_contact.clone(),
                    directory: self.acme_directory.clone().unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
                    root: self.acme_root.clone(),
                })
            }
        })
    }

    /// The relay's configuration.
    ///
    /// # Errors
    /// [`SettingsError`]: two keys that do not go together, or one that is missing.
    pub fn config(&self) -> Result<Config, SettingsError> {
        let mut config = Config::new(self.data());
        self.listen()?;
        config.transport = self.transport()?;
        config.metrics = self.metrics()?;
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
        let abuse = &mut config.abuse;
        abuse.connections = self.connections.unwrap_or(abuse.connections);
        abuse.connections_per_address = self.connections_per_address.unwrap_or(abuse.connections_per_address);
        abuse.connects_per_minute = self.connects_per_minute.unwrap_or(abuse.connects_per_minute);
        abuse.proofs_per_second = self.proofs_per_second.unwrap_or(abuse.proofs_per_second);
        abuse.guesses_per_hour = self.guesses_per_hour.unwrap_or(abuse.guesses_per_hour);
        abuse.frames_per_second = self.frames_per_second.unwrap_or(abuse.frames_per_second);
        abuse.bytes_per_second = self.bytes_per_second.unwrap_or(abuse.bytes_per_second);
        config.grace = self.grace.map_or(config.grace, |Span(grace)| grace);
        config.disk = self.disk.unwrap_or(config.disk);
        config.memory = self.memory.unwrap_or(config.memory);
        config.notice = self.notice.clone().unwrap_or_default();
        config.operator = self.operator.clone().unwrap_or_default();
        config.url = self.url.clone();
        Ok(config)
    }
}

/// A configuration file that sets some keys, and lists all others with their meanings and defaults.
#[must_use]
pub fn file(set: &[(&str, String)]) -> String {
    let command = <Settings as clap::Args>::augment_args(clap::Command::new("settings"));
    let mut text =
        "# A Tacit relay. Every key may be left out; a line that begins with #KEY shows its default.\n".to_owned();
    for argument in command.get_arguments() {
        let (key, help) =
            (argument.get_id().as_str(), argument.get_help().map(ToString::to_string).unwrap_or_default());
        text.push_str(&format!("\n# {help}\n"));
        match set.iter().find(|(name, _)| *name == key) {
            Some((_, value)) => text.push_str(&format!("{key} = {}\n", toml::Value::from(value.as_str()))),
            None => text.push_str(&format!("#{key} = {}\n", default_in(&help))),
        }
    }
    text
}

/// The default that a key's help ends with, as it is written in a file.
fn default_in(help: &str) -> String {
    let told = help.split_once("[default: ").and_then(|(_, rest)| rest.split([']', ',']).next());
    match told {
        Some(number) if number.parse::<u64>().is_ok() => number.to_owned(),
        Some(word) if word != "none" && !word.contains(' ') => format!("\"{word}\""),
        _ => "…".to_owned(),
    }
}

/// The known key that is most like this one, if any is.
fn nearest(key: &str) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(key, known);
    let best = KEYS.iter().map(|(known, _)| *known).max_by(|one, two| likeness(one).total_cmp(&likeness(two)));
    best.filter(|known| likeness(known) > 0.7)
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

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(Path::new("tacit.toml"), text)
    }

    #[test]
    fn shares_are_read_as_people_write_them() {
        for (text, share) in
            [("80%", Share::Percent(80)), ("512MB", Share::Bytes(512 << 20)), ("1GB", Share::Bytes(1 << 30))]
        {
            assert_eq!(text.parse(), Ok(share), "{text}");
        }
        for text in ["", "80", "0%", "101%", "1.5GB", "1 GB", "99999999999GB"] {
            assert_eq!(text.parse::<Share>(), Err(NotAShare), "{text}");
        }
        assert_eq!(Share::Percent(50).of(1_000), 500);
    }

    #[test]
    fn the_environment_names_every_key_after_itself() {
        for (key, env) in KEYS {
            assert_eq!(*env, format!("TACIT_{}", key.to_uppercase()));
        }
    }

    #[test]
    fn what_lies_above_goes_first() {
        let (above, below) = (parse("connections = 1").unwrap(), parse("connections = 2\nin_flight = 3").unwrap());
        let both = above.over(below);
        assert_eq!((both.connections, both.in_flight), (Some(1), Some(3)));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let says = |text| parse(text).unwrap_err().to_string();
        assert_eq!(says("holds = \"7d\""), "tacit.toml: there is no key `holds`; did you mean `hold`?");
        assert_eq!(says("privatekey = \"x\""), "tacit.toml: there is no key `privatekey`; did you mean `private_key`?");
        assert_eq!(says("qqq = 1"), "tacit.toml: there is no key `qqq`");
    }

    #[test]
    fn what_encryption_needs_is_missed_only_when_it_is_needed() {
        let needs = |text: &str| match parse(text).unwrap().config() {
            Err(SettingsError::Missing { key, .. }) => Some(key),
            _ => None,
        };
        assert_eq!(needs(""), None);
        assert_eq!(needs("tls = \"pinned\""), None);
        assert_eq!(needs("tls = \"files\"\nprivate_key = \"key\""), Some("certificate"));
        assert_eq!(needs("tls = \"files\"\ncertificate = \"certificate\""), Some("private_key"));
        assert_eq!(needs("tls = \"acme\""), Some("url"));
        assert_eq!(needs("tls = \"acme\"\nurl = \"ws://127.0.0.1:1\""), Some("url"));
        let acme = parse("tls = \"acme\"\nurl = \"wss://relay.example:8443\"").unwrap().config().unwrap();
        assert!(matches!(acme.transport, Transport::Acme(Acme { domain, .. }) if domain == "relay.example"));
    }

    #[test]
    fn metrics_are_served_to_this_machine_only() {
        assert!(parse("metrics = \"127.0.0.1:1\"").unwrap().config().is_ok());
        let public = parse("metrics = \"0.0.0.0:1\"").unwrap().config();
        assert!(matches!(public, Err(SettingsError::PublicMetrics(_))));
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let proxies = parse("tls = \"proxy\"\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\", \"::1\"]").unwrap();
        assert_eq!(proxies.trusted_proxies, Some(networks("127.0.0.1, 10.0.0.0/8,::1").unwrap()));
        assert!(parse("trusted_proxies = [\"localhost\"]").is_err());
        let trusted = |text: &str| match parse(text).unwrap().config().unwrap().transport {
            Transport::Plain { trusted_proxies } => trusted_proxies,
            other => panic!("{other:?}"),
        };
        assert_eq!(trusted("tls = \"proxy\""), networks("127.0.0.0/8, ::1").unwrap().0);
        assert_eq!(trusted("tls = \"proxy\"\ntrusted_proxies = []"), []);
        assert_eq!(trusted("trusted_proxies = [\"10.0.0.0/8\"]"), [], "without a proxy, nobody's word is taken");
    }

    #[test]
    fn a_file_sets_what_it_names_and_nothing_else() {
        let text = "data = \"/srv/tacit\"\nhold = \"7d\"\nurl = \"wss://relay.example\"\nbacklog_boxes = 5";
        let config = parse(text).unwrap().config().unwrap();
        assert_eq!(config.data, Path::new("/srv/tacit"));
        assert_eq!(config.limits.hold, 7 * 24 * 3_600);
        assert_eq!(config.limits.backlog_boxes, 5);
        assert_eq!(config.url.map(|url| url.as_str().to_owned()), Some("wss://relay.example".to_owned()));
        assert_eq!(config.abuse, Config::new("").abuse);
    }

    #[test]
    fn the_file_that_init_writes_sets_what_it_is_told_and_lists_every_key_with_its_default() {
        let set = [("url", "wss://relay.example".to_owned()), ("operator", "It's \"us\"".to_owned())];
        let text = file(&set);
        let settings = parse(&text).unwrap();
        assert_eq!(settings.url.as_ref().map(RelayAddress::as_str), Some("wss://relay.example"));
        assert_eq!(settings.operator.as_deref(), Some("It's \"us\""));
        // With every default switched on it means the same.
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') && !key.contains('…') => key,
            _ => line,
        });
        let all = parse(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        let (all, settings) = (all.config().unwrap(), settings.config().unwrap());
        assert_eq!(
            (all.limits, all.abuse, all.disk, all.memory),
            (settings.limits, settings.abuse, settings.disk, settings.memory)
        );
        assert_eq!((all.grace, all.transport, all.data), (settings.grace, settings.transport, settings.data));
        for (key, _) in KEYS {
            assert!(text.contains(&format!("\n#{key} = ")) || text.contains(&format!("\n{key} = ")), "{key}");
        }
    }

    #[test]
    fn paths_in_a_file_start_at_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tacit.toml");
        fs::write(&file, "data = \"data\"\ncertificate = \"/etc/certificate.pem\"").unwrap();
        let settings = Settings::read(&file).unwrap();
        assert_eq!(settings.data(), folder.path().join("data"));
        assert_eq!(settings.certificate, Some("/etc/certificate.pem".into()));
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_refused() {
        for text in
            ["holds = \"7d\"", "hold = 7", "hold = \"7\"", "listen = \"localhost\"", "url = \"ws://relay.example\""]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_is_served_to_other_machines_only_on_purpose() {
        let on = |listen: &str, tls| {
            let listen = Some(listen.parse().unwrap());
            Settings { listen, tls, ..Settings::default() }.listen()
        };
        assert_eq!(Settings::default().listen().unwrap(), DEFAULT_LISTEN);
        assert!(on("[::1]:1", None).is_ok());
        assert!(matches!(on("0.0.0.0:1", None), Err(SettingsError::Unencrypted(_))));
        assert!(on("0.0.0.0:1", Some(Tls::Proxy)).is_ok());
        assert!(on("0.0.0.0:1", Some(Tls::Pinned)).is_ok());
    }
}
