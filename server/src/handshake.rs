//! From a byte stream to a WebSocket: reads the HTTP request, and says plainly what is wrong with one that is not ours.

use std::fmt::Write as _;

use tacit_proto::limits::MAX_FRAME;
use tacit_proto::{PATH, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Error};

/// Longest HTTP request.
const MAX_REQUEST: usize = 8 * 1024;

/// What is read at once, and from where on what is to be written is. The library's default of 128 KiB costs 135 KiB a
/// connection; see `benches/idle.rs` for what this costs.
const BUFFER: usize = 4 * 1024;

/// The most that a connection's WebSocket keeps: a message that is not complete yet with what was read after it, and
/// messages that the device does not take. Before one is encoded, what was there before it is written, as far as the
/// device takes it; the library doubles its buffers when they grow.
pub(crate) const WEBSOCKET_BYTES: usize = 2 * (MAX_FRAME + BUFFER) + 2 * (MAX_FRAME + BUFFER);

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The stream ended or failed.
    #[error("the connection ended before a WebSocket was made")]
    Ended,
    /// It was something else; the device was told.
    #[error("the request was not for the relay's WebSocket")]
    Refused,
}

impl From<std::io::Error> for HandshakeError {
    fn from(_: std::io::Error) -> Self {
        Self::Ended
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(2 * (BUFFER + MAX_FRAME))
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

/// Makes the WebSocket, or answers with what is wrong. `admits` decides by the request's header.
pub(crate) async fn accept<S>(
    mut stream: S,
    admits: impl FnOnce(&HeaderMap) -> bool,
) -> Result<WebSocketStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (request, rest) = match read_request(&mut stream).await? {
        Ok(read) => read,
        Err(refusal) => return refuse(&mut stream, &refusal).await,
    };
    if !admits(request.headers()) {
        return refuse(&mut stream, &TOO_MANY).await;
    }
    match respond(&request) {
        Ok(response) => stream.write_all(&response).await?,
        Err(refusal) => return refuse(&mut stream, &refusal).await,
    }
    Ok(WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config())).await)
}

/// A status, and a line that helps.
struct HttpRefusal(StatusCode, &'static str);

const NOT_HTTP: HttpRefusal =
    HttpRefusal(StatusCode::BAD_REQUEST, "This is a Tacit relay. It speaks WebSocket at /v1, subprotocol tacit.v1.");

const TOO_MANY: HttpRefusal = HttpRefusal(
    StatusCode::TOO_MANY_REQUESTS,
    "There are as many connections from your address as this relay takes. Try later.",
);

async fn read_request<S>(stream: &mut S) -> Result<Result<(Request, Vec<u8>), HttpRefusal>, HandshakeError>
where
    S: AsyncRead + Unpin,
{
    let mut read = Vec::with_capacity(1_024);
    while read.len() < MAX_REQUEST {
        let before = read.len();
        if stream.read_buf(&mut read).await? == 0 {
            return Err(HandshakeError::Ended);
        }
        // A handshake of TLS, say: no header will end it.
        if !read.first().is_some_and(u8::is_ascii_uppercase) {
            return Ok(Err(NOT_HTTP));
        }
        // Parsed once and not at every byte that comes: a header that drips in must cost its sender more than the relay.
        if !ends_header(&read[before.saturating_sub(3)..]) {
            continue;
        }
        match Request::try_parse(&read) {
            Ok(Some((len, request))) => {
                let rest = read.split_off(len);
                return Ok(Ok((request, rest)));
            }
            Ok(None) => return Ok(Err(NOT_HTTP)),
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                return Ok(Err(HttpRefusal(StatusCode::METHOD_NOT_ALLOWED, "This is a Tacit relay. Use GET.")));
            }
            Err(_) => return Ok(Err(NOT_HTTP)),
        }
    }
    Ok(Err(HttpRefusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's header is too long.")))
}

fn ends_header(read: &[u8]) -> bool {
    read.windows(4).any(|bytes| bytes == b"\r\n\r\n")
}

fn respond(request: &Request) -> Result<Vec<u8>, HttpRefusal> {
    if request.uri().path() != PATH {
        return Err(HttpRefusal(StatusCode::NOT_FOUND, "This is a Tacit relay. Its WebSocket is at /v1."));
    }
    let mut response = create_response(request).map_err(|_| NOT_HTTP)?;
    let protocols = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offers_ours = protocols
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|name| name.trim() == SUBPROTOCOL);
    if !offers_ours {
        return Err(HttpRefusal(
            StatusCode::BAD_REQUEST,
            "This relay speaks the WebSocket subprotocol tacit.v1, which the request does not offer.",
        ));
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let mut bytes = Vec::with_capacity(256);
    write_response(&mut bytes, &response).map_err(|_: tungstenite::Error| NOT_HTTP)?;
    Ok(bytes)
}

async fn refuse<S, T>(stream: &mut S, HttpRefusal(status, line): &HttpRefusal) -> Result<T, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut response = String::with_capacity(256);
    let headers = "Content-Type: text/plain; charset=utf-8\r\nConnection: close";
    let written =
        write!(response, "HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {}\r\n\r\n{line}\n", line.len() + 1);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    Err(HandshakeError::Refused)
}
