//! The little of HTTP that a relay speaks: one request, one answer, and the connection ends. What becomes a WebSocket is
//! not answered here.

use std::fmt::Write as _;
use std::io;

use httparse::Status;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::http::{Method, Request as HttpRequest, StatusCode, Version};

/// Longest request.
const MAX_REQUEST: usize = 8 * 1024;

/// Browsers send some twenty, proxies add a few.
const MAX_HEADERS: usize = 64;

/// What is read and thrown away after an answer, so that what the other side still had on its way does not destroy it.
const MAX_REST: usize = 64 * 1024;

pub(crate) type Request = HttpRequest<()>;

/// A status, and a line that helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) &'static str);

pub(crate) const MALFORMED: Refusal =
    Refusal(StatusCode::BAD_REQUEST, "This is a Tacit relay. It speaks WebSocket at /v1, subprotocol tacit.v1.");
const TOO_LONG: Refusal =
    Refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's header is too long for this relay.");

/// Reads one request, and what came behind it.
///
/// # Errors
/// If the stream ends or fails before.
pub(crate) async fn read_request<S>(stream: &mut S) -> io::Result<Result<(Request, Vec<u8>), Refusal>>
where
    S: AsyncRead + Unpin,
{
    let mut read = Vec::with_capacity(1_024);
    while read.len() < MAX_REQUEST {
        let before = read.len();
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A handshake of TLS, say: no header will end it.
        if !read.first().is_some_and(u8::is_ascii_uppercase) {
            return Ok(Err(MALFORMED));
        }
        // Parsed once and not at every byte that comes: a header that drips in must cost its sender more than the relay.
        if !ends_header(&read[before.saturating_sub(3)..]) {
            continue;
        }
        return Ok(match parse(&read) {
            Ok(Some((request, len))) => {
                let rest = read.split_off(len);
                Ok((request, rest))
            }
            Ok(None) => Err(MALFORMED),
            Err(refusal) => Err(refusal),
        });
    }
    Ok(Err(TOO_LONG))
}

fn ends_header(read: &[u8]) -> bool {
    read.windows(4).any(|bytes| bytes == b"\r\n\r\n")
}

fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let len = match parsed.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LONG),
        Err(_) => return Err(MALFORMED),
    };
    let mut request = HttpRequest::builder()
        .method(parsed.method.unwrap_or_default())
        .uri(parsed.path.unwrap_or_default())
        .version(if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 });
    for header in parsed.headers {
        request = request.header(header.name, header.value);
    }
    let request = request.body(()).map_err(|_| MALFORMED)?;
    Ok(Some((request, len)))
}

/// An answer, but for its status line and what every answer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'a str,
    /// Whole lines, each with its end.
    pub(crate) more_headers: &'a str,
    pub(crate) body: &'a str,
}

impl Answer<'_> {
    /// A line of plain text.
    pub(crate) const fn line(Refusal(status, line): Refusal) -> Answer<'static> {
        Answer { status, content_type: "text/plain; charset=utf-8", more_headers: "", body: line }
    }

    /// As it goes over the wire; for `HEAD`, without the body.
    pub(crate) fn to_bytes(self, method: &Method) -> Vec<u8> {
        let Self { status, content_type, more_headers, body } = self;
        let end = if body.ends_with('\n') { "" } else { "\n" };
        let len = body.len() + end.len();
        let allow = if status == StatusCode::METHOD_NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
        let mut out = String::with_capacity(512 + len);
        let written = write!(
            out,
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\nConnection: close\r\n\
             X-Content-Type-Options: nosniff\r\n{allow}{more_headers}\r\n"
        );
        debug_assert!(written.is_ok(), "writing to a string does not fail");
        if method != Method::HEAD {
            out.push_str(body);
            out.push_str(end);
        }
        out.into_bytes()
    }
}

/// Writes an answer and ends the connection. What the other side still sends is read for a while: unread, it would
/// destroy what was written.
///
/// # Errors
/// As the stream's.
pub(crate) async fn answer<S>(stream: &mut S, bytes: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let (mut rest, mut left) = ([0; 1_024], MAX_REST);
    while left > 0 {
        match stream.read(&mut rest).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_sent_and_what_follows_is_kept() {
        let bytes = b"HEAD /i?x=1 HTTP/1.1\r\nHost: r\r\nAccept: text/html\r\n\r\nmore";
        let (request, len) = parse(bytes).unwrap().unwrap();
        assert_eq!((request.method(), request.uri().path()), (&Method::HEAD, "/i"));
        assert_eq!(request.headers()["accept"], "text/html");
        assert_eq!(&bytes[len..], b"more");
        for cut in 0..len {
            assert!(parse(&bytes[..cut]).unwrap().is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let refused = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert_eq!(refused(b"\x16\x03\x01\x02\x00\r\n\r\n"), MALFORMED);
        assert_eq!(refused(b"GET http:// HTTP/1.1\r\n\r\n"), MALFORMED);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(refused(many.as_bytes()), TOO_LONG);
    }

    #[test]
    fn head_gets_the_length_and_not_the_body() {
        let answer = Answer::line(Refusal(StatusCode::NOT_FOUND, "no"));
        let get = String::from_utf8(answer.to_bytes(&Method::GET)).unwrap();
        let head = String::from_utf8(answer.to_bytes(&Method::HEAD)).unwrap();
        assert!(head.contains("Content-Length: 3\r\n"));
        assert_eq!(get, format!("{head}no\n"));
    }
}
