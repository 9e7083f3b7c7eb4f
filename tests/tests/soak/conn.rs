//! A connection of a device, which may end at any moment.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tacit_proto::frame::{
    Answer, AttachItem, Attached, Event, FromRelay, Refusal, Request, RequestId, ToRelay, Welcome, Window,
};
use tacit_proto::{Command, EndKey, EndOf, PATH, SUBPROTOCOL};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::world::World;

/// Longer than a relay on a busy machine takes for anything, and than it waits for a device that does not read.
const PATIENCE: Duration = Duration::from_secs(60);

/// Close codes by which a relay says that a device broke the protocol.
const FAULTS: [u16; 3] = [1002, 1003, 1009];

/// The connection ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost;

/// See the module.
pub(crate) struct Conn {
    socket: WebSocketStream<TcpStream>,
    welcome: Welcome,
    last_request: u32,
    /// The relay's life that it leads to.
    pub(crate) life: u32,
}

/// A TCP connection from one of this machine's addresses.
pub(crate) async fn tcp(world: &World, from: Ipv4Addr) -> Result<TcpStream, Lost> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let stream = timeout(PATIENCE, socket.connect(world.relay)).await.map_err(|_| Lost)?.map_err(|_| Lost)?;
    stream.set_nodelay(true).map_err(|_| Lost)?;
    Ok(stream)
}

impl Conn {
    pub(crate) async fn open(world: &World, from: Ipv4Addr) -> Result<Self, Lost> {
        let life = world.life();
        let stream = tcp(world, from).await?;
        let mut request = format!("ws://relay{PATH}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let opened = timeout(PATIENCE, client_async(request, stream)).await.map_err(|_| Lost)?;
        let (mut socket, _) = opened.map_err(|_| Lost)?;
        let FromRelay::Event(Event::Welcome(welcome)) = next(&mut socket).await? else {
            panic!("the first frame is not Welcome");
        };
        assert_eq!(welcome.limits, world.limits.0);
        if life != world.life() {
            return Err(Lost);
        }
        Ok(Self { socket, welcome: *welcome, last_request: 0, life })
    }

    pub(crate) fn last_request(&self) -> u32 {
        self.last_request
    }

    pub(crate) async fn write(&mut self, frame: ToRelay) -> Result<(), Lost> {
        let sent = timeout(PATIENCE, self.socket.send(Message::Binary(frame.encode()))).await;
        sent.map_err(|_| Lost)?.map_err(|_| Lost)
    }

    /// Sends a request, and does not wait.
    pub(crate) async fn request(&mut self, request: Request) -> Result<RequestId, Lost> {
        self.last_request += 1;
        let id = NonZeroU32::new(self.last_request).unwrap();
        self.write(ToRelay::Request(id, request)).await?;
        Ok(id)
    }

    /// The next frame. There is one to come: an answer, or that the connection ends.
    pub(crate) async fn read(&mut self) -> Result<FromRelay, Lost> {
        timeout(PATIENCE, next(&mut self.socket)).await.expect("the relay owes an answer")
    }

    /// The next frame, if it comes within so long.
    pub(crate) async fn read_within(&mut self, within: Duration) -> Result<Option<FromRelay>, Lost> {
        timeout(within, next(&mut self.socket)).await.ok().transpose()
    }

    /// Asks on a connection on which nothing else is under way; what happens meanwhile goes to `events`.
    pub(crate) async fn ask(&mut self, request: Request, events: &mut Vec<Event>) -> Result<Answer, Lost> {
        let id = self.request(request).await?;
        loop {
            match self.read().await? {
                FromRelay::Answer(of, answer) => {
                    assert_eq!(of, id);
                    return Ok(answer);
                }
                FromRelay::Event(event) => events.push(event),
            }
        }
    }

    pub(crate) async fn attach(
        &mut self,
        of: EndOf,
        key: &EndKey,
        window: Window,
    ) -> Result<Result<Attached, Refusal>, Lost> {
        let proof = key.prove(&self.welcome.challenge, &of, &Command::Attach).unwrap();
        let answer =
            self.ask(Request::Attach { items: vec![AttachItem { of, proof }], window }, &mut Vec::new()).await?;
        match answer {
            Answer::Attach(mut results) if results.len() == 1 => Ok(results.remove(0)),
            Answer::Refused(why) => Ok(Err(why)),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn rekey(&self, attached: &Attached, of: EndOf, key: &EndKey, new: &EndKey) -> Request {
        let new_key = new.public();
        let proof = key.prove(&self.welcome.challenge, &of, &Command::Rekey(&new_key)).unwrap();
        Request::Rekey { handle: attached.handle, new_key, proof }
    }

    /// Says good-bye. Otherwise a connection just ends.
    pub(crate) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Result<FromRelay, Lost> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(FromRelay::decode(bytes).unwrap()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1000, |frame| frame.code.into());
                assert!(!FAULTS.contains(&code), "the relay says that this device broke the protocol: {code}");
                return Err(Lost);
            }
            None | Some(Err(Error::Io(_) | Error::Protocol(_) | Error::ConnectionClosed | Error::AlreadyClosed)) => {
                return Err(Lost);
            }
            Some(other) => panic!("{other:?}"),
        }
    }
}
