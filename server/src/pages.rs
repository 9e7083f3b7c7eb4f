//! What a relay shows to people: what it is and what it can see, and what to do with an invite that came as a web link.
//!
//! The pages say what is true of this relay's configuration, so they are made once, at its start. They have no script and
//! load nothing: the invite's secret is in the fragment of the page's address, and nothing of ours may ever touch it.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio_tungstenite::tungstenite::http::{Method, StatusCode, header};

use crate::config::{Config, Transport};
use crate::http::{Answer, Refusal, Request};

const STYLE: &str = include_str!("../templates/style.css");

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    style: &'static str,
    operator: &'a str,
    notice: &'a str,
    hold: String,
    grace: String,
    backlog_boxes: String,
    backlog_bytes: String,
    metrics: bool,
    proxied: bool,
    connections: &'static str,
}

#[derive(Template)]
#[template(path = "invite.html")]
struct Invite {
    style: &'static str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct Failed {
    style: &'static str,
    title: &'static str,
    line: &'static str,
}

/// The pages of one relay.
#[derive(Debug)]
pub(crate) struct Pages {
    home: String,
    invite: String,
    headers: String,
}

impl Pages {
    /// Makes the pages of a relay that runs with this configuration.
    ///
    /// # Errors
    /// As the templates': none is known.
    pub(crate) fn new(config: &Config) -> askama::Result<Self> {
        let limits = &config.limits;
        let proxied = is_proxied(config);
        let home = Home {
            style: STYLE,
            operator: config.operator.trim(),
            notice: config.notice.trim(),
            hold: time(u64::from(limits.hold) * 1_000),
            grace: time(u64::try_from(config.grace.as_millis()).unwrap_or(u64::MAX)),
            backlog_boxes: grouped(limits.backlog_boxes.into()),
            backlog_bytes: bytes(limits.backlog_bytes),
            metrics: config.metrics.is_some(),
            proxied,
            connections: connections(&config.transport, proxied),
        };
        let style = STANDARD.encode(Sha256::digest(STYLE));
        Ok(Self {
            home: home.render()?,
            invite: Invite { style: STYLE }.render()?,
            headers: headers(&style, &config.transport),
        })
    }

    /// The page that is asked for, as it goes over the wire. `None` for anything else.
    pub(crate) fn page(&self, request: &Request) -> Option<Vec<u8>> {
        let asks = *request.method() == Method::GET || *request.method() == Method::HEAD;
        // Whoever wants a WebSocket is at the wrong place, and should hear it.
        if !asks || request.headers().contains_key(header::UPGRADE) {
            return None;
        }
        let body = match request.uri().path() {
            "/" => &self.home,
            "/i" => &self.invite,
            _ => return None,
        };
        Some(self.html(StatusCode::OK, body).to_bytes(request.method()))
    }

    /// A refusal, as it goes over the wire: a page for browsers, a line for everything else.
    pub(crate) fn refusal(&self, request: Option<&Request>, refusal: Refusal) -> Vec<u8> {
        let Refusal(status, line) = refusal;
        let accepts = request.map(|request| request.headers().get_all(header::ACCEPT));
        let wants_html = accepts.is_some_and(|all| {
            all.iter().any(|accept| accept.as_bytes().windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html")))
        });
        let method = request.map_or(&Method::GET, |request| request.method());
        let title = match status {
            StatusCode::NOT_FOUND => "There is nothing here",
            _ => "The relay cannot answer this",
        };
        let page = wants_html.then(|| Failed { style: STYLE, title, line }.render());
        match &page {
            Some(Ok(page)) => self.html(status, page).to_bytes(method),
            _ => Answer { more_headers: &self.headers, ..Answer::line(refusal) }.to_bytes(method),
        }
    }

    fn html<'a>(&'a self, status: StatusCode, body: &'a str) -> Answer<'a> {
        Answer { status, content_type: "text/html; charset=utf-8", more_headers: &self.headers, body }
    }
}

fn headers(style: &str, transport: &Transport) -> String {
    let secure = match transport {
        // Two years. Whoever asks for the page over TLS once is never again led to an unencrypted one. The name of a pinned
        // relay has no certificate that browsers believe, and they believe no such header of it.
        Transport::Files { .. } | Transport::Acme(_) => "Strict-Transport-Security: max-age=63072000\r\n",
        Transport::Plain { .. } | Transport::Pinned => "",
    };
    format!(
        "Content-Security-Policy: default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'\r\n\
         Referrer-Policy: no-referrer\r\n\
         X-Frame-Options: DENY\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\n\
         Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()\r\n\
         X-Robots-Tag: noindex, nofollow\r\n\
         Cache-Control: no-store\r\n\
         {secure}"
    )
}

/// Whether it is known that devices come through a proxy.
fn is_proxied(config: &Config) -> bool {
    let encrypted_in_front = config.url.as_ref().is_some_and(tacit_proto::link::RelayAddress::is_encrypted);
    matches!(&config.transport, Transport::Plain { trusted_proxies }
        if encrypted_in_front || !trusted_proxies.is_empty())
}

const fn connections(transport: &Transport, proxied: bool) -> &'static str {
    match transport {
        Transport::Files { .. } | Transport::Acme(_) => {
            "The relay itself encrypts every connection (TLS 1.3), and a certificate names its host. What your device \
             seals stays sealed inside."
        }
        Transport::Pinned => {
            "The relay itself encrypts every connection (TLS 1.3) under a key of its own, whose fingerprint is in every \
             link to it: devices accept no other key, and believe no authority. Browsers know nothing of it, so they warn \
             of this page. What your device seals stays sealed inside."
        }
        Transport::Plain { .. } if proxied => {
            "A proxy in front of the relay encrypts every connection. It sees the network addresses and times that the \
             relay could see, and no more: what your device seals stays sealed inside."
        }
        Transport::Plain { .. } => {
            "The relay itself does not encrypt connections: devices reach it on its own machine, or through something in \
             front of it that encrypts. What your device seals stays sealed either way."
        }
    }
}

/// In the largest unit that it is a whole number of.
fn time(millis: u64) -> String {
    let units = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "millisecond")];
    let whole = units.into_iter().find(|(length, _)| millis >= *length && millis.is_multiple_of(*length));
    let (length, name) = whole.unwrap_or((1, "millisecond"));
    let number = millis / length;
    format!("{} {name}{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn bytes(number: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")];
    let whole = units.into_iter().find(|(length, _)| number >= *length && number.is_multiple_of(*length));
    let (length, name) = whole.unwrap_or((1, "bytes"));
    format!("{} {name}", grouped(number / length))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
