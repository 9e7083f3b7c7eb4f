//! From a byte stream to a WebSocket: reads the HTTP request, and says plainly what is wrong with one that is not ours.

use tacit_proto::limits::MAX_FRAME;
use tacit_proto::{PATH, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::server::{create_response, write_response};
use tokio_tungstenite::tungstenite::http::{
    HeaderMap, HeaderValue, Method, StatusCode, header::SEC_WEBSOCKET_PROTOCOL,
};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::http::{self, MALFORMED, Refusal, Request};
use crate::pages::Pages;

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
    /// It was a person's browser, which got its page.
    #[error("the request was for a page")]
    Page,
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

/// Makes the WebSocket, or answers with a page, or with what is wrong. `admits` decides by the request's header.
pub(crate) async fn accept<S>(
    mut stream: S,
    pages: &Pages,
    admits: impl FnOnce(&HeaderMap) -> bool,
) -> Result<WebSocketStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (request, rest) = match http::read_request(&mut stream).await? {
        Ok(read) => read,
        Err(refusal) => {
            http::answer(&mut stream, &pages.refusal(None, refusal)).await?;
            return Err(HandshakeError::Refused);
        }
    };
    if !admits(request.headers()) {
        http::answer(&mut stream, &pages.refusal(Some(&request), TOO_MANY)).await?;
        return Err(HandshakeError::Refused);
    }
    if let Some(page) = pages.page(&request) {
        http::answer(&mut stream, &page).await?;
        return Err(HandshakeError::Page);
    }
    match respond(&request) {
        Ok(response) => stream.write_all(&response).await?,
        Err(refusal) => {
            http::answer(&mut stream, &pages.refusal(Some(&request), refusal)).await?;
            return Err(HandshakeError::Refused);
        }
    }
    Ok(WebSocketStream::from_partially_read(stream, rest, Role::Server, Some(config())).await)
}

const TOO_MANY: Refusal = Refusal(
    StatusCode::TOO_MANY_REQUESTS,
    "There are as many connections from your address as this relay takes. Try later.",
);

fn respond(request: &Request) -> Result<Vec<u8>, Refusal> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, "This is a Tacit relay. Use GET."));
    }
    if request.uri().path() != PATH {
        return Err(Refusal(StatusCode::NOT_FOUND, "This is a Tacit relay. Its WebSocket is at /v1."));
    }
    let mut response = create_response(request).map_err(|_| MALFORMED)?;
    let protocols = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offers_ours = protocols
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|name| name.trim() == SUBPROTOCOL);
    if !offers_ours {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            "This relay speaks the WebSocket subprotocol tacit.v1, which the request does not offer.",
        ));
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let mut bytes = Vec::with_capacity(256);
    write_response(&mut bytes, &response).map_err(|_: tungstenite::Error| MALFORMED)?;
    Ok(bytes)
}
