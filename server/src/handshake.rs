//! From a byte stream to a WebSocket: reads the HTTP request, and says plainly what is wrong with one that is not ours.

use tacit_proto::limits::MAX_FRAME;
use tacit_proto::{PATH, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::server::{create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Method, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::http::{self, MALFORMED, Refusal, Request};
use crate::pages::Pages;

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
        .max_write_buffer_size(BUFFER + 4 * MAX_FRAME)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

/// Makes the WebSocket, or answers with a page, or with what is wrong.
pub(crate) async fn accept<S>(mut stream: S, pages: &Pages) -> Result<WebSocketStream<S>, HandshakeError>
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
