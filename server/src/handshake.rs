//! From a byte stream to a WebSocket: reads the HTTP request, and says plainly what is wrong with one that is not ours.

use std::fmt::Write as _;

use tacit_proto::limits::MAX_FRAME;
use tacit_proto::{PATH, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Error};

/// Longest HTTP request.
const MAX_REQUEST: usize = 8 * 1024;

/// Measured: 10.8 KiB a connection against 135 KiB with the default of 128 KiB.
const BUFFER: usize = 8 * 1024;

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
        .max_write_buffer_size(BUFFER + 4 * MAX_FRAME)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

/// Makes the WebSocket, or answers with what is wrong.
pub(crate) async fn accept<S>(mut stream: S) -> Result<WebSocketStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (request, rest) = match read_request(&mut stream).await? {
        Ok(read) => read,
        Err(refusal) => return refuse(&mut stream, &refusal).await,
    };
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

async fn read_request<S>(stream: &mut S) -> Result<Result<(Request, Vec<u8>), HttpRefusal>, HandshakeError>
where
    S: AsyncRead + Unpin,
{
    let mut read = Vec::with_capacity(1_024);
    while read.len() < MAX_REQUEST {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(HandshakeError::Ended);
        }
        match Request::try_parse(&read) {
            Ok(Some((len, request))) => {
                let rest = read.split_off(len);
                return Ok(Ok((request, rest)));
            }
            Ok(None) => {}
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                return Ok(Err(HttpRefusal(StatusCode::METHOD_NOT_ALLOWED, "This is a Tacit relay. Use GET.")));
            }
            Err(_) => return Ok(Err(NOT_HTTP)),
        }
    }
    Ok(Err(HttpRefusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's header is too long.")))
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
