//! One connection: a WebSocket around a [`Session`]. It writes what is there, then reads; while a write is stuck, nothing
//! is read and nothing is taken out of a backlog, so a slow device costs what one batch of frames weighs.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tacit_proto::SizeClass;
use tacit_proto::frame::{Event, FrameError, FromRelay, ToRelay};
use tacit_proto::limits::MAX_FRAME;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::http::HeaderMap;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::accept::{Visit, is_proxy};
use crate::counters::{Counter, Served};
use crate::handshake::HandshakeError;
use crate::hub::{Hub, welcome};
use crate::limits::{Guest, Pace, UNPROVEN_BYTES};
use crate::pages::Pages;
use crate::session::{Session, WRITE_BUDGET};
use crate::{Config, forwarded, handshake, tls};

/// Frames that are read before what they led to is written.
const READ_BURST: usize = 32;

/// The most that the buffers of one connection hold, whatever the other side does: those of its WebSocket and of TLS, one
/// batch of frames on its way out, a frame that waits its turn, and answers to the requests in flight. What a device has
/// attached comes on top: some 200 bytes for each of at most 4,096 ends, and the boxes that their backlogs read ahead.
/// Asserted here, and held against the real process in `tests/buffers.rs`.
const MOST_BUFFERED: usize = 256 * 1024;
const _: () = assert!(
    handshake::WEBSOCKET_BYTES + tls::BUFFERS + WRITE_BUDGET + SizeClass::Large.box_len() + 2 * MAX_FRAME
        <= MOST_BUFFERED
);

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

/// Returns when the stage is another one than this receiver saw.
async fn change_of(mut stage: watch::Receiver<Stage>) {
    // The sender lives as long as the relay.
    drop(stage.changed().await);
}

struct Connection<S> {
    socket: WebSocketStream<S>,
    session: Session,
    config: Arc<Config>,
    stage: watch::Receiver<Stage>,
    guest: Guest,
    served: Served,
    frames: Vec<FromRelay>,
    /// A request beyond those in flight. While it waits, nothing is read.
    parked: Option<ToRelay>,
    opened: Instant,
    heard: Instant,
    asked: bool,
    /// What came, in bytes, until an end was proven.
    unproven: usize,
    pace: Pace,
    /// It sends faster than it may: nothing is read before.
    paused: Option<Instant>,
}

/// What a connection is served with.
pub(crate) struct Context {
    pub(crate) hub: Arc<Hub>,
    pub(crate) config: Arc<Config>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) stage: watch::Receiver<Stage>,
}

/// Serves one device on one stream, until either ends it.
///
/// What is done between two waits is boxed, here and in [`Connection::serve`]: a connection waits for nearly all of its
/// life, and must not take the room meanwhile that the largest of its tasks takes. With [`Connection::rest`], this saves
/// 4 KiB a connection.
pub(crate) async fn serve<S>(stream: S, visit: Visit)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(mut connection) = Box::pin(Connection::begin(stream, visit)).await else { return };
    let end = match connection.serve().await {
        Ok(never) => never,
        Err(end) => end,
    };
    tracing::debug!(?end, "a connection ended");
    Box::pin(connection.end(end)).await;
}

/// Whether a connection that came through a proxy may stay: the proxy's header says whose it is.
fn admits(guest: &mut Guest, config: &Config, proxy: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let Some(proxy) = proxy else { return true };
    let origin = forwarded::origin(headers, |ip| is_proxy(config, ip));
    if origin.is_none() {
        tracing::debug!("the proxy does not say where a connection comes from: it counts for the proxy's own address");
    }
    guest.comes_from(origin.unwrap_or(proxy)).is_ok()
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// From a byte stream to a WebSocket with nobody known at its other end.
    async fn begin(stream: S, visit: Visit) -> Option<Box<Self>> {
        let Visit { door: Context { hub, config, pages, stage }, mut guest, opened, proxy } = visit;
        let admits = |headers: &HeaderMap| admits(&mut guest, &config, proxy, headers);
        let accepted = timeout_at(opened + config.handshake_timeout, handshake::accept(stream, &pages, admits));
        let socket = match accepted.await {
            Ok(Ok(socket)) => socket,
            Ok(Err(HandshakeError::Page)) => {
                hub.counters.add(Counter::Pages, 1);
                return None;
            }
            Ok(Err(HandshakeError::Ended | HandshakeError::Refused)) | Err(_) => {
                tracing::debug!("a connection ended before it was a WebSocket");
                hub.counters.add(Counter::HandshakesFailed, 1);
                return None;
            }
        };
        let session = Session::new(Arc::clone(&hub), config.limits.in_flight, &guest);
        let frames = vec![welcome(&hub, &config, *session.challenge())];
        let served = hub.counters.serve();
        Some(Box::new(Self { frames, ..Self::new(socket, session, (guest, opened), (config, stage), served) }))
    }

    fn new(
        socket: WebSocketStream<S>,
        session: Session,
        (guest, opened): (Guest, Instant),
        (config, stage): (Arc<Config>, watch::Receiver<Stage>),
        served: Served,
    ) -> Self {
        Self {
            socket,
            session,
            config,
            stage,
            guest,
            served,
            frames: Vec::new(),
            parked: None,
            opened,
            heard: opened,
            asked: false,
            unproven: 0,
            pace: Pace::default(),
            paused: None,
        }
    }

    async fn serve(&mut self) -> Result<End, End> {
        self.write().await?;
        if *self.stage.borrow_and_update() == Stage::Ending {
            return Box::pin(self.say_goodbye()).await;
        }
        let mut finishing = *self.stage.borrow() != Stage::Serving;
        // Both last over many turns: to wait anew for either costs a lock that all connections share.
        let mut changed = pin!(change_of(self.stage.clone()));
        let mut timer = pin!(sleep_until(self.next_look()));
        loop {
            let more = self.session.collect(&mut self.frames);
            match (self.guest.is_stranger(), self.session.has_handles()) {
                (true, true) => self.guest.becomes_device(),
                (false, false) => self.guest.becomes_stranger(),
                _ => {}
            }
            self.write().await?;
            if !finishing && let Some(frame) = self.parked.take_if(|frame| self.session.may_take(frame)) {
                Box::pin(self.take_frame(frame)).await?;
            }
            if !more {
                self.rest();
            }
            let wake = self.next_look();
            // A later one shows when the timer has run out.
            if wake < timer.deadline() {
                timer.as_mut().reset(wake);
            }
            tokio::select! {
                biased;
                () = &mut changed => {
                    let stage = *self.stage.borrow_and_update();
                    finishing = stage != Stage::Serving;
                    if stage == Stage::Ending {
                        return Box::pin(self.say_goodbye()).await;
                    }
                    changed.set(change_of(self.stage.clone()));
                }
                message = self.socket.next(), if self.reads(finishing) => Box::pin(self.read(message)).await?,
                () = self.session.has_post() => {}
                () = std::future::ready(()), if more => {}
                () = &mut timer => {
                    // Its ends may be gone without a word: it closed their channels itself, say.
                    self.session.holds_an_end();
                    if wake <= Instant::now() {
                        Box::pin(self.look()).await?;
                    }
                    timer.as_mut().reset(self.next_look());
                }
            }
        }
    }

    /// There is nothing to do: lets go of what is only needed for doing it.
    fn rest(&mut self) {
        self.frames = Vec::new();
        self.session.rest();
    }

    async fn write(&mut self) -> Result<(), End> {
        match self.frames.is_empty() {
            true => Ok(()),
            false => Box::pin(self.write_frames()).await,
        }
    }

    /// Feeds every frame that is ready, then flushes once.
    async fn write_frames(&mut self) -> Result<(), End> {
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
            let message = message.ok_or(End::Gone)?;
            self.account(&message)?;
            self.take(message).await?;
            left -= 1;
            next = match left > 0 && self.reads(false) {
                true => self.socket.next().now_or_never(),
                false => None,
            };
        }
        Ok(())
    }

    const fn reads(&self, finishing: bool) -> bool {
        !finishing && self.parked.is_none() && self.paused.is_none()
    }

    /// Something came: what it counts for.
    fn account(&mut self, message: &Result<Message, Error>) -> Result<(), End> {
        self.heard = Instant::now();
        self.asked = false;
        let bytes = message.as_ref().map_or(0, Message::len);
        let pause = self.guest.limits().sent(&mut self.pace, bytes);
        self.paused = (!pause.is_zero()).then(|| self.heard + pause);
        // Asked for each message: one burst may prove the first end and go on with many others.
        if !self.session.has_proven() {
            self.unproven = self.unproven.saturating_add(bytes);
            if self.unproven > UNPROVEN_BYTES {
                return Err(End::Close(CloseCode::Policy, "too much came before an end was attached"));
            }
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

    fn next_look(&self) -> Instant {
        let silent = self.heard + self.config.keep_alive;
        let silent = if self.asked { silent + self.config.keep_alive } else { silent };
        let proves = self.proves_until().unwrap_or(silent);
        silent.min(proves).min(self.paused.unwrap_or(silent))
    }

    /// A stranger has a few seconds for the handshakes and its first frame, and some more for its first proof.
    fn proves_until(&self) -> Option<Instant> {
        let is_silent = self.heard == self.opened;
        let time = if is_silent { self.config.handshake_timeout } else { self.config.unproven_timeout };
        (!self.session.has_proven()).then(|| self.opened + time)
    }

    /// Looks whether the device proved an end in time, whether it may send on, and whether it is still there.
    async fn look(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.proves_until().is_some_and(|until| until <= now) {
            return Err(End::Close(CloseCode::Policy, "no end was attached in time"));
        }
        if self.paused.take_if(|until| *until <= now).is_some() {
            return Ok(());
        }
        if self.parked.is_some() || self.paused.is_some() {
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

    /// Says why, and waits a moment for the device to have read it: what is unread when a socket is dropped destroys what
    /// was written to it. Its ends are free before.
    async fn end(self, end: End) {
        let Self { mut socket, session, guest, served, .. } = self;
        drop((session, served));
        if let End::Close(code, reason) = end {
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
        // Its place is taken until then.
        drop((socket, guest));
    }
}

fn protocol_end(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> End {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        ProtocolError::ResetWithoutClosingHandshake => End::Gone,
        _ => End::Close(CloseCode::Protocol, "not as WebSocket has it"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tacit_proto::frame::Request;
    use tokio::io::DuplexStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::limits::TurnedAway;
    use crate::session::tests::{Setting, ask, attach};

    type Socket = WebSocketStream<DuplexStream>;

    /// A connection after its handshake, and the device's side of it.
    async fn connection(
        setting: &Setting,
        guest: Guest,
        stage: &watch::Sender<Stage>,
    ) -> (Connection<DuplexStream>, Socket) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let socket = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let session = Session::new(Arc::clone(&setting.hub), 16, &guest);
        let (config, served) = (Arc::new(Config::new("")), setting.hub.counters.serve());
        let connection = Connection::new(socket, session, (guest, Instant::now()), (config, stage.subscribe()), served);
        (connection, WebSocketStream::from_raw_socket(theirs, Role::Client, None).await)
    }

    fn message(request: Request) -> Message {
        Message::Binary(ToRelay::Request(NonZeroU32::MIN, request).encode())
    }

    async fn hears(device: &mut Socket, what: impl Fn(&FromRelay) -> bool) {
        loop {
            let Message::Binary(bytes) = device.next().await.unwrap().unwrap() else { continue };
            if what(&FromRelay::decode(bytes).unwrap()) {
                return;
            }
        }
    }

    #[tokio::test]
    async fn what_comes_in_one_burst_after_the_first_proof_is_no_strangers() {
        let (setting, (stage, _)) = (Setting::new(|_| {}), watch::channel(Stage::Serving));
        let guest = || Guest::unlimited(Arc::clone(&setting.limits));
        let (mut device, _theirs) = connection(&setting, guest(), &stage).await;
        let (mut stranger, _theirs) = connection(&setting, guest(), &stage).await;
        let much = Ok(Message::Binary(vec![0; UNPROVEN_BYTES].into()));
        device.account(&much).unwrap();
        let right = attach(&device.session, 1, 1);
        ask(&mut device.session, right).await;
        device.account(&much).unwrap();

        stranger.account(&much).unwrap();
        assert!(matches!(stranger.account(&much), Err(End::Close(CloseCode::Policy, _))));
    }

    #[tokio::test]
    async fn a_connection_that_lost_its_last_end_gives_its_place_to_a_newcomer() {
        let mut setting = Setting::new(|abuse| abuse.connections = 2);
        // One place is a device's.
        setting.guest.becomes_device();
        let guest = setting.limits.enter(None).unwrap();
        let (stage, _) = watch::channel(Stage::Serving);
        let (mut connection, mut device) = connection(&setting, guest, &stage).await;
        let right = attach(&connection.session, 1, 1);
        let task = tokio::spawn(async move { connection.serve().await });
        device.send(message(right)).await.unwrap();
        hears(&mut device, |frame| matches!(frame, FromRelay::Answer(..))).await;
        assert_eq!(setting.limits.enter(None).unwrap_err(), TurnedAway::Full);

        let mut other = setting.session();
        let right = attach(&other, 1, 1);
        ask(&mut other, right).await;
        hears(&mut device, |frame| matches!(frame, FromRelay::Event(Event::Superseded(_)))).await;
        assert!(setting.limits.enter(None).is_ok());
        task.abort();
    }
}
