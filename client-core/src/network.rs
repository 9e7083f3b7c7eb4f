//! How relays are reached: through which proxy, and whether one connection may carry several channels.

use crate::engine::Scope;
use crate::error::{NetworkError, StoreError};
use crate::store::{RelayRow, Tx};

/// How relays are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// A SOCKS5 proxy for every connection, `socks5://HOST:PORT`: Tor's is `socks5://127.0.0.1:9050`. The proxy looks names
    /// up, and is given another user name for each connection, so that Tor uses another circuit for it. None: relays are
    /// reached directly, and onion services not at all.
    pub proxy: Option<String>,
    /// One connection for each channel, so that on the wire nothing ties one contact to another. Without a proxy, the
    /// address of this device still does, and with one the time at which they begin may. It costs a connection, and its
    /// keep-alives, for each contact.
    pub separate: bool,
}

/// A proxy's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Proxy {
    /// Reads `socks5://HOST:PORT`; an IPv6 address stands in brackets.
    pub(crate) fn parse(text: &str) -> Result<Self, NetworkError> {
        let place = text.strip_prefix("socks5://").ok_or(NetworkError::NotAProxy)?;
        let (host, port) = place.rsplit_once(':').ok_or(NetworkError::NotAProxy)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(NetworkError::NotAProxy)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        let is_good = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.len() <= 253 && host.bytes().all(is_name),
        };
        is_good.then(|| Self { host: bare.unwrap_or(host).to_owned(), port }).ok_or(NetworkError::NotAProxy)
    }
}

/// The connections that there should be now.
pub(crate) fn plan(tx: &Tx<'_>, settings: &NetworkSettings) -> Result<Vec<(RelayRow, Scope)>, StoreError> {
    let mut planned = Vec::new();
    for relay in tx.relays_in_use()? {
        if !settings.separate {
            planned.push((relay, Scope::All));
            continue;
        }
        if !tx.pending_enrolments(relay.id)?.is_empty() {
            planned.push((relay.clone(), Scope::Enrolments));
        }
        for contact in tx.live_contacts(relay.id)? {
            planned.push((relay.clone(), Scope::One(contact.key)));
        }
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_and_a_port_and_nothing_else() {
        for (text, host, port) in [
            ("socks5://127.0.0.1:9050", "127.0.0.1", 9050),
            ("socks5://[::1]:1080", "::1", 1080),
            ("socks5://proxy.example:1", "proxy.example", 1),
        ] {
            assert_eq!(Proxy::parse(text).unwrap(), Proxy { host: host.to_owned(), port });
        }
        for text in [
            "",
            "127.0.0.1:9050",
            "http://127.0.0.1:9050",
            "socks5h://127.0.0.1:9050",
            "socks5://127.0.0.1",
            "socks5://127.0.0.1:0",
            "socks5://127.0.0.1:65536",
            "socks5://:9050",
            "socks5://::1:9050",
            "socks5://[nonsense]:9050",
            "socks5://user:word@127.0.0.1:9050",
            "socks5://127.0.0.1:9050/",
        ] {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
    }
}
