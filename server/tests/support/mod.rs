//! A relay in this process, and the smallest device there can be: it speaks frames, and leaves all thinking to the test.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rand_core::UnwrapErr;
use tacit_proto::frame::{
    Answer, AttachItem, Attached, Event, FromRelay, Handle, Open, Refusal, Request, RequestId, ToRelay, Welcome, Window,
};
use tacit_proto::{ChannelId, Command, End, EndKey, EndOf, EnrolCode, PATH, Permit, Proof, SUBPROTOCOL, SizeClass};
use tacit_server::{Config, Counters, Enrolments, Offer, Relay};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Long enough for a busy machine; only a test that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came for a very long time")
}

pub fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

pub const WINDOW: Window = Window { boxes: NonZeroU32::new(1_000).unwrap(), bytes: u32::MAX };

/// A relay that serves in this process.
pub struct TestRelay {
    pub addr: SocketAddr,
    pub counters: Arc<Counters>,
    pub metrics: Option<SocketAddr>,
    pub data: TempDir,
    pub reload: Box<dyn Fn() + Send>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl TestRelay {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), change).await
    }

    pub async fn start_on(data: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(data.path());
        // Tests send faster than devices do.
        (config.abuse.frames_per_second, config.abuse.bytes_per_second) = (u32::MAX, u32::MAX);
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let relay = Relay::open(config).unwrap();
        let (counters, metrics) = (relay.counters(), relay.metrics_addr());
        let reload = Box::new(relay.reloader());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(relay.serve(listener, async { drop(stopped.await) }));
        Self { addr, counters, metrics, data, reload, stop: Some(stop), served }
    }

    pub fn tell_to_end(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Ends it in good order, and gives its data folder back.
    pub async fn end(mut self) -> TempDir {
        if self.stop.is_some() {
            self.tell_to_end();
        }
        patiently(self.served).await.unwrap().unwrap();
        self.data
    }

    pub async fn connect(&self) -> Client<TcpStream> {
        Client::connect(self.addr).await
    }

    /// What `tacit-server enrol` does.
    pub fn offer(&self, permits: u16, expires: u64) -> EnrolCode {
        let code = EnrolCode::draw(&mut rng());
        let offer = Offer { permits: NonZeroU16::new(permits).unwrap(), expires };
        Enrolments::open(self.data.path()).unwrap().add(&code.hash(), offer).unwrap();
        code
    }

    pub async fn permits(&self, number: u16) -> Vec<Permit> {
        let code = self.offer(number, u64::MAX);
        enrol(&mut self.connect().await, &code, number).await
    }

    /// A channel both of whose ends have keys of their own.
    pub async fn pair(&self) -> Pair {
        let permit = self.permits(1).await.remove(0);
        Pair::open(&mut self.connect().await, &permit).await.claimed(&mut self.connect().await).await
    }
}

pub async fn enrol<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    code: &EnrolCode,
    number: u16,
) -> Vec<Permit> {
    let permits: Vec<Permit> = (0..number).map(|_| Permit::draw(&mut rng())).collect();
    let permit_hashes = permits.iter().map(Permit::hash).collect();
    assert_eq!(client.ask(Request::Enrol { code: code.clone(), permit_hashes }).await, Answer::Done);
    permits
}

/// A channel, with the keys of both ends.
#[derive(Clone)]
pub struct Pair {
    pub channel: ChannelId,
    pub a: EndKey,
    pub b: EndKey,
    pub invite: EndKey,
}

impl Pair {
    pub fn draw() -> Self {
        let invite = EndKey::draw(&mut rng());
        Self { channel: ChannelId::draw(&mut rng()), a: EndKey::draw(&mut rng()), b: invite.clone(), invite }
    }

    pub fn open_request(&self, permit: &Permit, join_by: u32) -> Request {
        Request::Open(Box::new(Open {
            channel: self.channel,
            permit: permit.clone(),
            key_a: self.a.public(),
            key_b: self.invite.public(),
            join_by: NonZeroU32::new(join_by).unwrap(),
        }))
    }

    /// Opened, and unclaimed.
    pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>, permit: &Permit) -> Self {
        let pair = Self::draw();
        assert_eq!(client.ask(pair.open_request(permit, 3_600)).await, Answer::Done);
        pair
    }

    pub async fn claimed<S: AsyncRead + AsyncWrite + Unpin>(mut self, client: &mut Client<S>) -> Self {
        let attached = client.attach(self.of(End::B), &self.invite).await.unwrap();
        assert!(attached.must_rekey);
        let new_key = EndKey::draw(&mut rng());
        let rekey = client.rekey_request(attached.handle, self.of(End::B), &self.invite, &new_key);
        assert_eq!(client.ask(rekey).await, Answer::Done);
        self.b = new_key;
        self
    }

    pub fn of(&self, end: End) -> EndOf {
        EndOf { channel: self.channel, end }
    }

    pub fn key(&self, end: End) -> &EndKey {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    /// A connection with this end attached.
    pub async fn attach(&self, relay: &TestRelay, end: End) -> (Client<TcpStream>, Handle) {
        let mut client = relay.connect().await;
        let attached = client.attach(self.of(end), self.key(end)).await.unwrap();
        (client, attached.handle)
    }

    /// The same, once it knows that nothing waits.
    pub async fn attach_drained(&self, relay: &TestRelay, end: End) -> (Client<TcpStream>, Handle) {
        let (mut client, handle) = self.attach(relay, end).await;
        assert_eq!(client.event().await, Event::Drained(handle));
        (client, handle)
    }
}

pub fn permit_hash() -> tacit_proto::PermitHash {
    Permit::draw(&mut rng()).hash()
}

/// A sealed box that can be told from others. Only a device could tell whether it opens.
pub fn sealed(number: u32) -> Bytes {
    sealed_of(SizeClass::Small, number)
}

pub fn sealed_of(class: SizeClass, number: u32) -> Bytes {
    let mut bytes = vec![0x5a; class.box_len()];
    bytes[..2].copy_from_slice(&class.header());
    bytes[2..6].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

pub fn number_of(payload: &Bytes) -> u32 {
    u32::from_be_bytes(payload[2..6].try_into().unwrap())
}

/// Sends a box, and waits until the relay accepted it.
pub async fn accepted(client: &mut Client<TcpStream>, handle: Handle, n: u64, number: u32) {
    let sent = client.send(handle, n, sealed(number)).await;
    let hold = client.welcome.limits.hold;
    assert_eq!(client.answer(sent).await, Answer::Accepted { handle, n, hold });
}

/// A connection of a device.
pub struct Client<S> {
    pub socket: WebSocketStream<S>,
    pub welcome: Welcome,
    last_request: u32,
    heard: VecDeque<FromRelay>,
    /// Nothing waited behind the newest box.
    pub was_last: bool,
}

impl Client<TcpStream> {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = patiently(TcpStream::connect(addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(stream).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn on(stream: S) -> Self {
        let mut request = format!("ws://relay{PATH}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let (mut socket, response) = patiently(client_async(request, stream)).await.unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], SUBPROTOCOL);
        let first = patiently(socket.next()).await.unwrap().unwrap();
        let FromRelay::Event(Event::Welcome(welcome)) = FromRelay::decode(first.into_data()).unwrap() else {
            panic!("the first frame is not Welcome");
        };
        Self { socket, welcome: *welcome, last_request: 0, heard: VecDeque::new(), was_last: false }
    }

    // Out.

    pub async fn write(&mut self, frame: ToRelay) {
        patiently(self.socket.send(Message::Binary(frame.encode()))).await.unwrap();
    }

    /// Sends a request, and does not wait.
    pub async fn request(&mut self, request: Request) -> RequestId {
        self.last_request += 1;
        let id = NonZeroU32::new(self.last_request).unwrap();
        self.write(ToRelay::Request(id, request)).await;
        id
    }

    pub async fn ask(&mut self, request: Request) -> Answer {
        let id = self.request(request).await;
        self.answer(id).await
    }

    pub async fn send(&mut self, handle: Handle, n: u64, payload: Bytes) -> RequestId {
        self.request(Request::Send { handle, n, payload }).await
    }

    pub async fn ack(&mut self, handle: Handle, up_to: u64) {
        self.write(ToRelay::Ack { handle, up_to }).await;
    }

    pub fn prove(&self, of: EndOf, key: &EndKey, command: &Command<'_>) -> Proof {
        key.prove(&self.welcome.challenge, &of, command).unwrap()
    }

    pub fn attach_item(&self, of: EndOf, key: &EndKey) -> AttachItem {
        AttachItem { of, proof: self.prove(of, key, &Command::Attach) }
    }

    pub async fn attach(&mut self, of: EndOf, key: &EndKey) -> Result<Attached, Refusal> {
        self.attach_with(of, key, WINDOW).await
    }

    pub async fn attach_with(&mut self, of: EndOf, key: &EndKey, window: Window) -> Result<Attached, Refusal> {
        let items = vec![self.attach_item(of, key)];
        match self.ask(Request::Attach { items, window }).await {
            Answer::Attach(mut results) => results.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub fn rekey_request(&self, handle: Handle, of: EndOf, key: &EndKey, new_key: &EndKey) -> Request {
        let new_key = new_key.public();
        Request::Rekey { handle, new_key, proof: self.prove(of, key, &Command::Rekey(&new_key)) }
    }

    // In.

    /// The next frame off the wire. `None` when the connection was closed.
    pub async fn read(&mut self) -> Option<FromRelay> {
        loop {
            match patiently(self.socket.next()).await {
                Some(Ok(Message::Binary(bytes))) => return Some(FromRelay::decode(bytes).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(Error::Io(_) | Error::Protocol(_))) | None => return None,
                Some(other) => panic!("{other:?}"),
            }
        }
    }

    async fn next(&mut self, wanted: impl Fn(&FromRelay) -> bool) -> FromRelay {
        if let Some(at) = self.heard.iter().position(&wanted) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let frame = self.read().await.expect("the connection goes on");
            if wanted(&frame) {
                return frame;
            }
            self.heard.push_back(frame);
        }
    }

    pub async fn answer(&mut self, id: RequestId) -> Answer {
        match self.next(|frame| matches!(frame, FromRelay::Answer(request, _) if *request == id)).await {
            FromRelay::Answer(_, answer) => answer,
            FromRelay::Event(event) => panic!("{event:?}"),
        }
    }

    pub async fn event(&mut self) -> Event {
        match self.next(|frame| matches!(frame, FromRelay::Event(_))).await {
            FromRelay::Event(event) => event,
            FromRelay::Answer(_, answer) => panic!("{answer:?}"),
        }
    }

    /// The next event, which must be a delivery: seq and number.
    pub async fn delivery(&mut self) -> (u64, u32) {
        match self.event().await {
            Event::Deliver { seq, payload, last, .. } => {
                self.was_last = last;
                (seq, number_of(&payload))
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next delivery, past the notices that nothing waits.
    pub async fn next_delivery(&mut self) -> (u64, u32) {
        loop {
            match self.event().await {
                Event::Deliver { seq, payload, .. } => return (seq, number_of(&payload)),
                Event::Drained(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn pong(&mut self) -> Vec<Handle> {
        match self.ask(Request::Ping).await {
            Answer::Pong(handles) => handles,
            other => panic!("{other:?}"),
        }
    }

    /// Reads on until the relay closes, and returns its code.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            match patiently(self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
