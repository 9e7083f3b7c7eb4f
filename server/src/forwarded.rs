//! Where a connection comes from, when a proxy stands in front of the relay. Used for limits and nothing else.

use std::net::{IpAddr, SocketAddr};

use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::http::header::FORWARDED;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The right-most address that is no proxy's: what stands left of it was written by whoever connected there, and may be
/// invented. None if the headers do not say, or contradict each other: a proxy adds to the one that it knows, and passes
/// on what a stranger wrote into the other.
pub(crate) fn origin(headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let list = |name: &str| {
        let values = headers.get_all(name).iter();
        let hops: Vec<&[u8]> = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
        (!hops.is_empty()).then_some(hops)
    };
    let plain = list(X_FORWARDED_FOR).map(|hops| right_most(hops, address, &is_proxy));
    let standard = list(FORWARDED.as_str()).map(|hops| right_most(hops, element, &is_proxy));
    match (plain, standard) {
        (Some(one), Some(other)) => one.filter(|one| Some(*one) == other),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => None,
    }
}

fn right_most(
    hops: Vec<&[u8]>,
    read: impl Fn(&str) -> Option<IpAddr>,
    is_proxy: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut last = None;
    for hop in hops.into_iter().rev() {
        let hop = read(std::str::from_utf8(hop).ok()?.trim())?;
        if !is_proxy(hop) {
            return Some(hop);
        }
        last = Some(hop);
    }
    // The proxies' own.
    last
}

/// An address, perhaps with a port, and an IPv6 one perhaps in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

/// One element of `Forwarded` (RFC 7239): `for="[2001:db8::1]:1234";proto=https`.
fn element(text: &str) -> Option<IpAddr> {
    text.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"')))?
    })
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

    use super::*;

    fn from(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let is_proxy = |ip: IpAddr| ip.to_string().starts_with("10.");
        origin(&map, is_proxy).map(|ip| ip.to_string())
    }

    fn is(expected: &str) -> Option<String> {
        Some(expected.to_owned())
    }

    #[test]
    fn the_right_most_address_that_is_no_proxys_counts() {
        assert_eq!(from(&[("x-forwarded-for", "192.0.2.1")]), is("192.0.2.1"));
        assert_eq!(from(&[("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.2")]), is("192.0.2.1"));
        assert_eq!(from(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1")]), is("192.0.2.1"));
        assert_eq!(from(&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")]), is("10.0.0.3"));
        assert_eq!(
            from(&[("forwarded", "for=6.6.6.6, For=\"192.0.2.1:55\";proto=https, for=10.0.0.2")]),
            is("192.0.2.1")
        );
    }

    #[test]
    fn addresses_come_with_ports_and_brackets() {
        for (text, expected) in [
            ("192.0.2.1:80", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(from(&[("x-forwarded-for", text)]), is(expected));
        }
        assert_eq!(from(&[("forwarded", "proto=https;for=\"[2001:db8::1]:80\"")]), is("2001:db8::1"));
    }

    #[test]
    fn what_does_not_say_or_contradicts_itself_counts_for_nobody() {
        assert_eq!(from(&[]), None);
        assert_eq!(from(&[("x-forwarded-for", "192.0.2.1, unknown")]), None);
        assert_eq!(from(&[("x-forwarded-for", "")]), None);
        assert_eq!(from(&[("forwarded", "for=_hidden")]), None);
        assert_eq!(from(&[("forwarded", "proto=https")]), None);
        assert_eq!(from(&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.9")]), None);
        assert_eq!(from(&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")]), is("192.0.2.1"));
    }
}
