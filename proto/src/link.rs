//! The links that people carry: an invite, by which end B of a channel is claimed, and an enrolment, by which a
//! therapist's device gets permits.
//!
//! Both are the URI `tacit:` followed by base64url (RFC 4648 §5, no padding) of version ‖ kind ‖ fields ‖ checksum. The
//! checksum only catches what mail programs and copying do to links; it protects nothing.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::id::opaque_bytes;
use crate::limits::{MAX_ADDRESS, MAX_PERMITS};
use crate::{ChannelId, EnrolCode};

pub(crate) const SCHEME: &str = "tacit:";
const LINK_VERSION: u8 = 1;
const KIND_INVITE: u8 = 1;
const KIND_ENROLMENT: u8 = 2;
const CHECKSUM_LEN: usize = 4;

/// Where a relay is: `wss://host[:port]`, or `ws://host[:port]` where nobody can listen in between (loopback and
/// onion services).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayAddress(String);

/// An address that no device of ours will connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `ws://host[:port]` or `wss://host[:port]`, or too long.
    #[error("a relay's address is wss://HOST or wss://HOST:PORT, with nothing after it")]
    Malformed,
    /// `ws://` to a host that is neither loopback nor an onion service.
    #[error("the relay's address is unencrypted (ws://), which is allowed on this machine and for .onion only")]
    Unencrypted,
}

impl RelayAddress {
    /// The address, for example `wss://relay.example`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host: a name, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let authority = self.0.split_once("://").map_or("", |(_, authority)| authority);
        match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => authority.split_once(':').map_or(authority, |(host, _)| host),
        }
    }

    /// The port: the one given, or 443, or 80 without TLS.
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.is_encrypted() { 443 } else { 80 };
        self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(default)
    }

    /// Whether the connection is TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("wss:")
    }
}

impl FromStr for RelayAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS || text.ends_with('/') {
            return Err(AddressError::Malformed);
        }
        // One spelling for one relay: devices keep one connection per address.
        let text = text.to_ascii_lowercase();
        let uri: Uri = text.parse().map_err(|_| AddressError::Malformed)?;
        let authority = uri.authority().ok_or(AddressError::Malformed)?;
        let host = authority.host();
        // Nothing may follow: `Uri` forgets a fragment, and would name another host than the text does.
        if text.split_once("://").is_none_or(|(_, rest)| rest != authority.as_str()) {
            return Err(AddressError::Malformed);
        }
        let port_is_a_number = authority.as_str().len() == host.len() || authority.port_u16().is_some();
        // `Uri` lets anything stand before the brackets of an IPv6 address.
        let is_one_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains(['[', ']', ':']),
        };
        if authority.as_str().contains('@') || !is_one_host {
            return Err(AddressError::Malformed);
        }
        match uri.scheme_str() {
            Some("wss") if port_is_a_number => {}
            Some("ws") if port_is_a_number => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let loopback = bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
                if !(loopback || bare == "localhost" || bare.ends_with(".onion")) {
                    return Err(AddressError::Unencrypted);
                }
            }
            _ => return Err(AddressError::Malformed),
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayAddress(..)")
    }
}

opaque_bytes! {
    /// SHA-256 of a relay's long-lived public key (DER SubjectPublicKeyInfo): replaces certificate authorities for a
    /// relay that has no public certificate.
    Pin, 32
}

/// Where a relay is, and how its TLS key is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelayPlace {
    /// The address.
    pub address: RelayAddress,
    /// Only this key is accepted; without it, the certificate must be valid for the host.
    pub pin: Option<Pin>,
}

/// The secret in an invite, from which both ends derive how to find and trust each other.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct InviteSecret([u8; 32]);

impl InviteSecret {
    /// Takes the 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 secret bytes.
    #[must_use]
    pub const fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(..)")
    }
}

/// A single-use link by which end B of a channel is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteLink {
    /// Where the channel is.
    pub relay: RelayPlace,
    /// The channel.
    pub channel: ChannelId,
    /// What the ends derive their first keys from.
    pub secret: InviteSecret,
    /// It came as an `https:` link: whoever carried it, and the page it opened, may have read it.
    pub remote: bool,
}

/// A single-use link by which a therapist's device gets permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentLink {
    /// Which relay.
    pub relay: RelayPlace,
    /// The operator's code.
    pub code: EnrolCode,
    /// How many permits the device may draw, 1 to [`MAX_PERMITS`].
    pub permits: u16,
}

/// A text that is not a link of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not begin with `tacit:` (or, for an invite, is not `https://RELAY/i#…`).
    #[error("this is not a Tacit link; it begins with tacit:")]
    NotALink,
    /// Letters were lost or changed on the way.
    #[error("the link is damaged, some of it was lost or changed; ask for it to be sent again, or copy it whole")]
    Damaged,
    /// Made by a newer Tacit.
    #[error("the link was made by a newer version of Tacit; update this one")]
    NewerVersion,
    /// An enrolment link where an invite was wanted.
    #[error("this is an enrolment link, for therapists; an invite was expected")]
    IsAnEnrolment,
    /// An invite where an enrolment link was wanted.
    #[error("this is an invite; an enrolment link was expected")]
    IsAnInvite,
    /// The address in it is refused.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl InviteLink {
    /// Reads `tacit:…`, or the fallback `https://RELAY/i#…`.
    ///
    /// # Errors
    /// [`LinkError`], which says what to do.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        let (body, remote) = match text.strip_prefix("https://").and_then(|rest| rest.split_once("/i#")) {
            Some((_, fragment)) => (fragment, true),
            None => (strip_scheme(text)?, false),
        };
        let mut fields = Fields::open(body)?;
        match fields.kind {
            KIND_INVITE => {}
            KIND_ENROLMENT => return Err(LinkError::IsAnEnrolment),
            _ => return Err(LinkError::NewerVersion),
        }
        let channel = ChannelId::from_bytes(fields.take()?);
        let secret = InviteSecret::from_bytes(fields.take()?);
        Ok(Self { relay: fields.place()?, channel, secret, remote })
    }

    /// The URI `tacit:…`.
    #[must_use]
    pub fn to_uri(&self) -> String {
        let mut bytes = vec![LINK_VERSION, KIND_INVITE];
        bytes.extend_from_slice(self.channel.as_bytes());
        bytes.extend_from_slice(self.secret.secret_bytes());
        finish(bytes, &self.relay)
    }
}

impl EnrolmentLink {
    /// Reads `tacit:…`.
    ///
    /// # Errors
    /// [`LinkError`], which says what to do.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let mut fields = Fields::open(strip_scheme(text.trim())?)?;
        match fields.kind {
            KIND_ENROLMENT => {}
            KIND_INVITE => return Err(LinkError::IsAnInvite),
            _ => return Err(LinkError::NewerVersion),
        }
        let code = EnrolCode::from_bytes(fields.take()?);
        let permits = u16::from_be_bytes(fields.take()?);
        if permits == 0 || usize::from(permits) > MAX_PERMITS {
            return Err(LinkError::Damaged);
        }
        Ok(Self { relay: fields.place()?, code, permits })
    }

    /// The URI `tacit:…`.
    #[must_use]
    pub fn to_uri(&self) -> String {
        let mut bytes = vec![LINK_VERSION, KIND_ENROLMENT];
        bytes.extend_from_slice(self.code.secret_bytes());
        bytes.extend_from_slice(&self.permits.to_be_bytes());
        finish(bytes, &self.relay)
    }
}

fn strip_scheme(text: &str) -> Result<&str, LinkError> {
    match text.split_at_checked(SCHEME.len()) {
        Some((scheme, body)) if scheme.eq_ignore_ascii_case(SCHEME) => Ok(body),
        _ => Err(LinkError::NotALink),
    }
}

pub(crate) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = Sha256::digest(bytes);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Appends flags, pin, address and checksum, and spells it.
fn finish(bytes: Vec<u8>, relay: &RelayPlace) -> String {
    let mut bytes = Zeroizing::new(bytes);
    match &relay.pin {
        Some(pin) => {
            bytes.push(1);
            bytes.extend_from_slice(pin.as_bytes());
        }
        None => bytes.push(0),
    }
    bytes.extend_from_slice(relay.address.as_str().as_bytes());
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    format!("{SCHEME}{}", URL_SAFE_NO_PAD.encode(&*bytes))
}

/// A link's fields, read from the front.
struct Fields {
    kind: u8,
    bytes: Zeroizing<Vec<u8>>,
    at: usize,
}

impl Fields {
    fn open(body: &str) -> Result<Self, LinkError> {
        let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| LinkError::Damaged)?);
        let end = bytes.len().checked_sub(CHECKSUM_LEN).ok_or(LinkError::Damaged)?;
        if checksum(&bytes[..end]) != bytes[end..] {
            return Err(LinkError::Damaged);
        }
        bytes.truncate(end);
        match *bytes.as_slice() {
            [LINK_VERSION, kind, ..] => Ok(Self { kind, bytes, at: 2 }),
            [version, ..] if version > LINK_VERSION => Err(LinkError::NewerVersion),
            _ => Err(LinkError::Damaged),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], LinkError> {
        let field = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()).ok_or(LinkError::Damaged)?;
        self.at += N;
        Ok(*field)
    }

    fn place(mut self) -> Result<RelayPlace, LinkError> {
        let pin = match self.take()? {
            [0] => None,
            [1] => Some(Pin::from_bytes(self.take()?)),
            _ => return Err(LinkError::NewerVersion),
        };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let address = std::str::from_utf8(rest).map_err(|_| LinkError::Damaged)?;
        Ok(RelayPlace { address: address.parse()?, pin })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invite() -> InviteLink {
        InviteLink {
            relay: RelayPlace { address: "wss://relay.example".parse().unwrap(), pin: None },
            channel: ChannelId::from_bytes([1; 16]),
            secret: InviteSecret::from_bytes([2; 32]),
            remote: false,
        }
    }

    fn enrolment() -> EnrolmentLink {
        EnrolmentLink {
            relay: RelayPlace {
                address: "wss://relay.example:8443".parse().unwrap(),
                pin: Some(Pin::from_bytes([3; 32])),
            },
            code: EnrolCode::from_bytes([4; 32]),
            permits: 50,
        }
    }

    #[test]
    fn links_come_back_as_they_were() {
        assert_eq!(InviteLink::parse(&invite().to_uri()), Ok(invite()));
        assert_eq!(EnrolmentLink::parse(&enrolment().to_uri()), Ok(enrolment()));
        let with_space = format!("  TACIT:{}\n", invite().to_uri().strip_prefix(SCHEME).unwrap());
        assert_eq!(InviteLink::parse(&with_space), Ok(invite()));
    }

    #[test]
    fn an_https_link_is_marked_as_remote() {
        let uri = format!("https://relay.example/i#{}", invite().to_uri().strip_prefix(SCHEME).unwrap());
        assert_eq!(InviteLink::parse(&uri), Ok(InviteLink { remote: true, ..invite() }));
    }

    #[test]
    fn each_kind_says_what_it_is() {
        assert_eq!(InviteLink::parse(&enrolment().to_uri()), Err(LinkError::IsAnEnrolment));
        assert_eq!(EnrolmentLink::parse(&invite().to_uri()), Err(LinkError::IsAnInvite));
        assert_eq!(InviteLink::parse("hello"), Err(LinkError::NotALink));
        assert_eq!(InviteLink::parse("tacit:"), Err(LinkError::Damaged));
    }

    #[test]
    fn a_link_cut_or_changed_anywhere_is_damaged() {
        let uri = invite().to_uri();
        for cut in SCHEME.len()..uri.len() {
            assert_eq!(InviteLink::parse(&uri[..cut]), Err(LinkError::Damaged), "cut at {cut}");
            let mut changed = uri.clone().into_bytes();
            changed[cut] = if changed[cut] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(InviteLink::parse(&changed), Err(LinkError::Damaged), "changed at {cut}");
        }
    }

    #[test]
    fn host_and_port_are_told_apart() {
        for (address, host, port) in [
            ("wss://relay.example", "relay.example", 443),
            ("wss://relay.example:8443", "relay.example", 8443),
            ("ws://localhost", "localhost", 80),
            ("ws://[::1]:1", "::1", 1),
            ("wss://[2001:db8::1]", "2001:db8::1", 443),
        ] {
            let address: RelayAddress = address.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port));
        }
    }

    #[test]
    fn an_address_has_255_bytes_at_most() {
        let of =
            |len: usize| format!("wss://{}", "a".repeat(len - 6)).parse::<RelayAddress>().map(|a| a.as_str().len());
        assert_eq!((of(255), of(256)), (Ok(255), Err(AddressError::Malformed)));
    }

    #[test]
    fn addresses_and_secrets_never_show_in_debug() {
        let shown = format!("{:?} {:?}", invite(), enrolment());
        assert_eq!(
            shown,
            "InviteLink { relay: RelayPlace { address: RelayAddress(..), pin: None }, channel: ChannelId(..), \
             secret: InviteSecret(..), remote: false } \
             EnrolmentLink { relay: RelayPlace { address: RelayAddress(..), pin: Some(Pin(..)) }, \
             code: EnrolCode(..), permits: 50 }"
        );
    }

    #[test]
    fn only_a_whole_encrypted_or_local_address_is_one() {
        for good in [
            "wss://relay.example",
            "wss://r:1",
            "ws://127.0.0.1:7443",
            "ws://[::1]:1",
            "ws://localhost:9",
            "ws://abc.onion",
            "wss://[2001:db8::1]:443",
        ] {
            assert_eq!(good.parse::<RelayAddress>().map(|a| a.as_str().to_owned()), Ok(good.to_owned()), "{good}");
        }
        assert_eq!("WSS://Relay.Example".parse::<RelayAddress>().unwrap().as_str(), "wss://relay.example");
        for plain in ["ws://relay.example", "ws://10.0.0.1:80", "ws://127.0.0.1.evil.example", "ws://localhost.x"] {
            assert_eq!(plain.parse::<RelayAddress>(), Err(AddressError::Unencrypted), "{plain}");
        }
        for bad in [
            "",
            "relay.example",
            "https://relay.example",
            "wss://",
            "wss://a/b",
            "wss://a/",
            "wss://a?b",
            "wss://u@a",
            "wss://a:x",
            "wss://a:99999",
            "ws://localhost:x",
            "ws://127.0.0.1:99999",
            "wss://a b",
            "wss://:80",
            "wss://a#b",
            "wss://a#b:80",
            "ws://localhost#.evil.example",
            "wss://a[::1]:443",
            "wss://[a]",
        ] {
            assert_eq!(bad.parse::<RelayAddress>(), Err(AddressError::Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_link_or_a_clear_error(text in "(tacit:)?\\PC{0,80}") {
            let _ = InviteLink::parse(&text);
            let _ = EnrolmentLink::parse(&text);
        }

        #[test]
        fn any_bytes_with_a_right_checksum_end_in_a_clear_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let sum = checksum(&bytes);
            bytes.extend_from_slice(&sum);
            let uri = format!("{SCHEME}{}", URL_SAFE_NO_PAD.encode(&bytes));
            let _ = InviteLink::parse(&uri);
            let _ = EnrolmentLink::parse(&uri);
        }
    }
}
