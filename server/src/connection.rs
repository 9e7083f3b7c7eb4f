//! One connection: a WebSocket around a [`Session`]. It writes what is there, then reads; while a write is stuck, nothing
//! is read and nothing is taken out of a backlog, so a slow device costs what one batch of frames weighs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tacit_proto::frame::{Event, FrameError, FromRelay, ToRelay};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::counters::Counter;
use crate::handshake::HandshakeError;
use crate::hub::{Hub, welcome};
use crate::pages::Pages;
use crate::session::Session;
use crate::{Config, handshake};

/// Frames that are read before what they led to is written.
const READ_BURST: usize = 32;

/// How long the end of a connection may take after its last frame.
const LINGER: Duration = Duration::from_secs(2);

/// What the relay as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Serving.
    Serving,
    /// About to end: nothing more is read, so that what is under way can be finished.
    Finishing,
    /// Ending, or drained for maintenance: devices are told, and connections closed.
    Ending,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The device closed it, or it broke.
    Gone,
    /// The device took too long.
    Slow,
    /// The relay closes it, with a code that says why.
    Close(CloseCode, &'static str),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong => Self::Close(CloseCode::Size, "the frame is too long"),
            _ => Self::Close(CloseCode::Protocol, "the frame is malformed"),
        }
    }
}

struct Connection<S> {
    socket: WebSocketStream<S>,
    session: Session,
    config: Arc<Config>,
    frames: Vec<FromRelay>,
    /// A request beyond those in flight. While it waits, nothing is read.
    parked: Option<ToRelay>,
    heard: Instant,
    asked: bool,
}

/// Serves one device on one stream, until either ends it.
pub(crate) async fn serve<S>(
    stream: S,
    hub: Arc<Hub>,
    config: Arc<Config>,
    pages: Arc<Pages>,
    mut stage: watch::Receiver<Stage>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The handshake's future is large: it must not stay part of this one for the life of the connection.
    let accepted = Box::pin(timeout(config.handshake_timeout, handshake::accept(stream, &pages))).await;
    drop(pages);
    let socket = match accepted {
        Ok(Ok(socket)) => socket,
        Ok(Err(HandshakeError::Page)) => return hub.counters.add(Counter::Pages, 1),
        Ok(Err(HandshakeError::Ended | HandshakeError::Refused)) | Err(_) => {
            tracing::debug!("a connection ended before it was a WebSocket");
            return hub.counters.add(Counter::HandshakesFailed, 1);
        }
    };
    let served = hub.counters.serve();
    let session = Session::new(Arc::clone(&hub), config.limits.in_flight);
    let frames = vec![welcome(&hub, &config, *session.challenge())];
    let mut connection =
        Connection { socket, session, config, frames, parked: None, heard: Instant::now(), asked: false };
    let end = connection.run(&mut stage).await;
    let Connection { socket, session, .. } = connection;
    // Its ends are free before the goodbyes, which may take a moment.
    drop((session, served));
    tracing::debug!(?end, "a connection ended");
    Box::pin(close(socket, end)).await;
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    async fn run(&mut self, stage: &mut watch::Receiver<Stage>) -> End {
        match self.serve(stage).await {
            Ok(never) => never,
            Err(end) => end,
        }
    }

    async fn serve(&mut self, stage: &mut watch::Receiver<Stage>) -> Result<End, End> {
        self.write().await?;
        let opened = Instant::now();
        if *stage.borrow_and_update() == Stage::Ending {
            return self.say_goodbye().await;
        }
        let mut finishing = *stage.borrow() != Stage::Serving;
        loop {
            let more = self.session.collect(&mut self.frames);
            self.write().await?;
            if !finishing && let Some(frame) = self.parked.take_if(|frame| self.session.may_take(frame)) {
                self.take_frame(frame).await?;
            }
            let wake = self.next_look(opened);
            tokio::select! {
                biased;
                _ = stage.changed() => {
                    let stage = *stage.borrow_and_update();
                    finishing = stage != Stage::Serving;
                    if stage == Stage::Ending {
                        return self.say_goodbye().await;
                    }
                }
                message = self.socket.next(), if !finishing && self.parked.is_none() => self.read(message).await?,
                () = self.session.has_post() => {}
                () = std::future::ready(()), if more => {}
                () = sleep_until(wake) => self.look(opened).await?,
            }
        }
    }

    /// Feeds every frame that is ready, then flushes once.
    async fn write(&mut self) -> Result<(), End> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let (socket, frames) = (&mut self.socket, &mut self.frames);
        let written = timeout(self.config.write_timeout, async {
            for frame in frames.drain(..) {
                socket.feed(Message::Binary(frame.encode())).await?;
            }
            socket.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Slow),
        }
    }

    async fn read(&mut self, first: Option<Result<Message, Error>>) -> Result<(), End> {
        let mut next = Some(first);
        let mut left = READ_BURST;
        while let Some(message) = next {
            self.heard = Instant::now();
            self.asked = false;
            self.take(message.ok_or(End::Gone)?).await?;
            left -= 1;
            next = match left > 0 && self.parked.is_none() {
                true => self.socket.next().now_or_never(),
                false => None,
            };
        }
        Ok(())
    }

    async fn take(&mut self, message: Result<Message, Error>) -> Result<(), End> {
        match message {
            Ok(Message::Binary(bytes)) => {
                let frame = ToRelay::decode(bytes)?;
                if self.session.may_take(&frame) {
                    return self.take_frame(frame).await;
                }
                self.parked = Some(frame);
                Ok(())
            }
            Ok(Message::Text(_)) => Err(End::Close(CloseCode::Unsupported, "frames are binary")),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => Ok(()),
            Err(Error::Capacity(_)) => Err(FrameError::TooLong.into()),
            Err(Error::Protocol(tungstenite_error)) => Err(protocol_end(&tungstenite_error)),
            Err(Error::Utf8(_)) => Err(End::Close(CloseCode::Unsupported, "frames are binary")),
            Err(_) => Err(End::Gone),
        }
    }

    async fn take_frame(&mut self, frame: ToRelay) -> Result<(), End> {
        let taken = self.session.take(frame).await;
        taken.map_err(|_| End::Close(CloseCode::Protocol, "an ack of what was never sent"))
    }

    fn next_look(&self, opened: Instant) -> Instant {
        let silent = self.heard + self.config.keep_alive;
        let silent = if self.asked { silent + self.config.keep_alive } else { silent };
        match self.session.has_proven() {
            true => silent,
            false => silent.min(opened + self.config.unproven_timeout),
        }
    }

    /// Looks whether the device proved an end in time, and whether it is still there.
    async fn look(&mut self, opened: Instant) -> Result<(), End> {
        if !self.session.has_proven() && opened.elapsed() >= self.config.unproven_timeout {
            return Err(End::Close(CloseCode::Policy, "no end was attached in time"));
        }
        if self.parked.is_some() {
            // It is we who do not listen.
            self.heard = Instant::now();
            return Ok(());
        }
        if self.asked {
            return Err(End::Slow);
        }
        self.asked = true;
        match timeout(self.config.write_timeout, self.socket.send(Message::Ping(Bytes::new()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Slow),
        }
    }

    async fn say_goodbye(&mut self) -> Result<End, End> {
        self.session.collect(&mut self.frames);
        // Devices come back spread over some seconds: few after a restart, more while somebody is at work.
        let (least, spread) = if self.session.is_maintained() { (30, 30) } else { (1, 5) };
        let reconnect_in = least + getrandom::u32().unwrap_or_default() % spread;
        self.frames.push(FromRelay::Event(Event::Restarting { reconnect_in }));
        self.write().await?;
        Ok(End::Close(CloseCode::Restart, "the relay restarts"))
    }
}

fn protocol_end(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> End {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        ProtocolError::ResetWithoutClosingHandshake => End::Gone,
        _ => End::Close(CloseCode::Protocol, "not as WebSocket has it"),
    }
}

/// Says why, and waits a moment for the device to have read it: what is unread when a socket is dropped destroys what
/// was written to it.
async fn close<S>(mut socket: WebSocketStream<S>, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let End::Close(code, reason) = end else { return };
    let goodbye = async {
        socket.close(Some(CloseFrame { code, reason: reason.into() })).await.ok()?;
        let stream = socket.get_mut();
        stream.shutdown().await.ok()?;
        let mut rest = [0; 1_024];
        while stream.read(&mut rest).await.ok()? > 0 {}
        Some(())
    };
    drop(timeout(LINGER, goodbye).await);
}
