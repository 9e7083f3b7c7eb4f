//! What the fuzz targets do with bytes from anywhere (`fuzz/README.md`): each panics if something does not hold.

#![allow(clippy::panic, reason = "not part of what is shipped")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use crate::frame::{Answer, Event, FromRelay, Request, ToRelay};
use crate::limits::{MAX_ADDRESS, MAX_ATTACH, MAX_FRAME, MAX_HOLD, MAX_NOTICE, MAX_PERMITS};
use crate::link::{EnrolmentLink, InviteLink, RelayAddress, RelayPlace, SCHEME, checksum};

/// What a canonical frame may be longer than another form of it: a list that was not packed has a length once it is.
const REPACKED: usize = 8;

/// A frame to the relay.
pub fn to_relay(bytes: &[u8]) {
    let Ok(frame) = ToRelay::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert!(bytes.len() <= MAX_FRAME);
    match &frame {
        ToRelay::Request(_, Request::Enrol { permit_hashes, .. }) => {
            assert!((1..=MAX_PERMITS).contains(&permit_hashes.len()));
        }
        ToRelay::Request(_, Request::Attach { items, .. }) => assert!((1..=MAX_ATTACH).contains(&items.len())),
        _ => {}
    }
    let canonical = frame.clone().encode();
    assert!(canonical.len() <= bytes.len() + REPACKED);
    assert_eq!(ToRelay::decode(canonical.clone()).as_ref(), Ok(&frame));
    assert_eq!(frame.encode(), canonical);
}

/// A frame from the relay.
pub fn from_relay(bytes: &[u8]) {
    let Ok(frame) = FromRelay::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert!(bytes.len() <= MAX_FRAME);
    match &frame {
        FromRelay::Event(Event::Welcome(welcome)) => {
            assert!(welcome.notice.len() <= MAX_NOTICE && welcome.limits.in_flight > 0);
            assert!((1..=MAX_HOLD).contains(&welcome.limits.hold));
        }
        FromRelay::Answer(_, Answer::Attach(results)) => assert!((1..=MAX_ATTACH).contains(&results.len())),
        _ => {}
    }
    let canonical = frame.clone().encode();
    assert!(canonical.len() <= bytes.len() + REPACKED);
    assert_eq!(FromRelay::decode(canonical.clone()).as_ref(), Ok(&frame));
    assert_eq!(frame.encode(), canonical);
}

/// A text that somebody pasted, and the inside of a link that has its checksum.
pub fn links(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        link(text);
        if let Ok(address) = text.parse::<RelayAddress>() {
            address_is_usable(&address);
        }
    }
    let inside = [bytes, &checksum(bytes)].concat();
    link(&format!("{SCHEME}{}", URL_SAFE_NO_PAD.encode(inside)));
}

fn link(text: &str) {
    let invite = InviteLink::parse(text);
    let enrolment = EnrolmentLink::parse(text);
    assert!(invite.is_err() || enrolment.is_err(), "a link is of one kind");
    if let Ok(invite) = invite {
        place_is_usable(&invite.relay);
        let plain = InviteLink { remote: false, ..invite };
        assert_eq!(InviteLink::parse(&plain.to_uri()).as_ref(), Ok(&plain));
    }
    if let Ok(enrolment) = enrolment {
        assert!((1..=MAX_PERMITS).contains(&enrolment.permits.into()));
        place_is_usable(&enrolment.relay);
        assert_eq!(EnrolmentLink::parse(&enrolment.to_uri()).as_ref(), Ok(&enrolment));
    }
}

fn place_is_usable(place: &RelayPlace) {
    address_is_usable(&place.address);
}

fn address_is_usable(address: &RelayAddress) {
    let text = address.as_str();
    assert!(text.len() <= MAX_ADDRESS && text == text.to_ascii_lowercase());
    assert_eq!(text.parse::<RelayAddress>().as_ref(), Ok(address));
    let host = address.host();
    assert!(!host.is_empty() && text.contains(host) && !host.contains(['/', '@', '?', '#', '[', ']']), "{text:?}");
    let is_here = host == "localhost"
        || host.ends_with(".onion")
        || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    assert!(address.is_encrypted() || is_here, "{text:?}");
    // What it is made of gives it again, but for a default port and its leading zeros.
    let port = address.port();
    let scheme = if address.is_encrypted() { "wss" } else { "ws" };
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let again = format!("{scheme}://{bracketed}:{port}");
    if again.len() > MAX_ADDRESS {
        return;
    }
    let again: Result<RelayAddress, _> = again.parse();
    let again = again.unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!((again.host(), again.port()), (host, port));
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    #[cfg_attr(miri, ignore = "takes an interpreter half an hour")]
    fn the_corpora_of_frames_and_links_hold() {
        replay("frames_to_relay", super::to_relay);
        replay("frames_from_relay", super::from_relay);
        replay("links", super::links);
    }
}
