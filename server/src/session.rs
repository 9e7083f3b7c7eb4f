//! What one connection may do, and what it is told: requests in, frames out. Which bytes carry them is not known here.
//!
//! A session belongs to its connection's task alone; others reach it through its mailbox.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tacit_proto::frame::{
    Answer, AttachItem, Attached, Event, FromRelay, Handle, Refusal, Request, RequestId, ToRelay, Window,
};
use tacit_proto::{Challenge, Command, EndOf, EndPublic, Proof, RelaySessionKey, SealedBox};

use crate::addresses::Address;
use crate::channel::ProtocolError;
use crate::counters::Counter;
use crate::effect::{Asker, Attachment};
use crate::hub::{Hub, Scratch};
use crate::limits::{Guest, Limits};
use crate::mailbox::{Conn, Mailbox};
use crate::proven;
use crate::sync::lock;

/// Most live attachments of one connection.
const MAX_HANDLES: usize = 4_096;

/// Bytes of boxes that are taken for writing at once. What does not fit waits in its backlog.
pub(crate) const WRITE_BUDGET: usize = 64 * 1024;

/// Proofs that are checked before other connections get a turn: some 0.1 ms each.
const PROOFS_AT_A_TIME: usize = 8;

pub(crate) struct Session {
    hub: Arc<Hub>,
    limits: Arc<Limits>,
    address: Option<Address>,
    mailbox: Arc<Mailbox>,
    key: RelaySessionKey,
    /// Given out and not known to be gone. The channels know what is live.
    handles: HashMap<Handle, EndOf>,
    next_handle: u32,
    in_flight: usize,
    most_in_flight: usize,
    has_proven: bool,
    /// Ends that have something to pull.
    ready: VecDeque<(EndOf, Handle)>,
    scratch: Scratch,
}

impl Session {
    pub(crate) fn new(hub: Arc<Hub>, most_in_flight: u32, guest: &Guest) -> Self {
        Self {
            hub,
            limits: Arc::clone(guest.limits()),
            address: guest.address(),
            mailbox: Arc::default(),
            key: RelaySessionKey::draw(&mut rand_core::UnwrapErr(getrandom::SysRng)),
            handles: HashMap::new(),
            next_handle: 1,
            in_flight: 0,
            most_in_flight: most_in_flight as usize,
            has_proven: false,
            ready: VecDeque::new(),
            scratch: Scratch::default(),
        }
    }

    pub(crate) const fn challenge(&self) -> &Challenge {
        self.key.challenge()
    }

    /// Whether the relay is drained for maintenance.
    pub(crate) fn is_maintained(&self) -> bool {
        lock(&self.hub.maintenance).is_some()
    }

    /// Whether the device ever attached an end on this connection.
    pub(crate) const fn has_proven(&self) -> bool {
        self.has_proven
    }

    /// Whether it holds an end, as far as it was told.
    pub(crate) fn has_handles(&self) -> bool {
        !self.handles.is_empty()
    }

    /// Whether it holds an end, now. Forgets the dead handles that it comes across before the first live one.
    pub(crate) fn holds_an_end(&mut self) -> bool {
        while let Some((handle, of)) = self.handles.iter().next().map(|(handle, of)| (*handle, *of)) {
            if self.hub.is_attached(of, &self.attachment(handle)) {
                return true;
            }
            self.handles.remove(&handle);
        }
        false
    }

    /// Whether a frame may be taken now. Acks always may: what others have in flight may wait for them.
    pub(crate) const fn may_take(&self, frame: &ToRelay) -> bool {
        matches!(frame, ToRelay::Ack { .. }) || self.in_flight < self.most_in_flight
    }

    /// Returns when there may be something to write.
    pub(crate) async fn has_post(&self) {
        self.mailbox.arrived().await;
    }

    pub(crate) fn attachment(&self, handle: Handle) -> Attachment<Conn> {
        Attachment { conn: Conn(Arc::clone(&self.mailbox)), handle }
    }

    fn asker(&self, request: RequestId) -> Asker<Conn> {
        Asker { conn: Conn(Arc::clone(&self.mailbox)), request }
    }

    // Out.

    /// Moves what there is to write into `frames`, within the budget. Returns whether there is more.
    pub(crate) fn collect(&mut self, frames: &mut Vec<FromRelay>) -> bool {
        self.mailbox.take(frames, &mut self.ready);
        for frame in &*frames {
            match frame {
                FromRelay::Answer(..) => self.in_flight = self.in_flight.saturating_sub(1),
                FromRelay::Event(Event::Superseded(handle)) => {
                    self.handles.remove(handle);
                }
                FromRelay::Event(_) => {}
            }
        }
        let mut budget = WRITE_BUDGET;
        for _ in 0..self.ready.len() {
            if budget == 0 {
                break;
            }
            let Some((of, handle)) = self.ready.pop_front() else { break };
            let at = self.attachment(handle);
            let pulled = self.hub.pull(&mut self.scratch, of, &at, budget, frames);
            budget = budget.saturating_sub(pulled.bytes);
            if pulled.more {
                self.ready.push_back((of, handle));
            }
        }
        !self.ready.is_empty()
    }

    /// Lets go of memory that only helps while there is something to do.
    pub(crate) fn rest(&mut self) {
        self.scratch = Scratch::default();
        self.ready.shrink_to_fit();
        self.mailbox.rest();
    }

    // In.

    /// Does what a frame asks for. Every request is answered exactly once, through the mailbox.
    pub(crate) async fn take(&mut self, frame: ToRelay) -> Result<(), ProtocolError> {
        let (id, request) = match frame {
            ToRelay::Ack { handle, up_to } => return self.ack(handle, up_to),
            ToRelay::Request(id, request) => (id, request),
        };
        self.in_flight += 1;
        let asker = self.asker(id);
        match request {
            Request::Send { handle, n, payload } => {
                self.hub.queue.has_room().await;
                // The copy lets go of the read buffer that the box came in.
                let sealed = SealedBox::check(payload).map(|sealed| sealed.to_owned_buffer());
                let Some(of) = self.handles.get(&handle).copied() else {
                    self.hub.refuse(&asker, Refusal::NotAllowed);
                    return Ok(());
                };
                let at = self.attachment(handle);
                self.hub.send(&mut self.scratch, of, &at, n, asker, sealed);
            }
            // A device that holds an end is known to be none who guesses, whoever else is at its address.
            Request::Attach { .. } if !self.has_proven && !self.limits.may_guess(self.address) => {
                self.hub.refuse(&asker, Refusal::TooFast);
            }
            Request::Attach { items, window } => self.attach(id, &items, window).await,
            Request::Rekey { handle, new_key, proof } => self.rekey(asker, handle, new_key, &proof).await,
            Request::Close { handle } => {
                self.hub.queue.has_room().await;
                let at = self.attachment(handle);
                match self.handles.get(&handle) {
                    Some(of) => self.hub.close(&mut self.scratch, *of, at, asker),
                    None => self.hub.refuse(&asker, Refusal::NotAllowed),
                }
            }
            Request::Open(_) | Request::Enrol { .. } if !self.limits.may_guess(self.address) => {
                self.hub.refuse(&asker, Refusal::TooFast);
            }
            Request::Open(open) => {
                self.hub.queue.has_room().await;
                let was_good = self.hub.open(&mut self.scratch, &open, asker);
                self.guessed(was_good);
            }
            Request::Enrol { code, permit_hashes } => {
                self.hub.queue.has_room().await;
                let was_good = self.hub.enrol(&code, permit_hashes, asker).await;
                self.guessed(was_good);
            }
            Request::Ping => {
                self.forget_dead_handles();
                let mut handles: Vec<Handle> = self.handles.keys().copied().collect();
                handles.sort_unstable();
                self.hub.answer(&asker, Answer::Pong(handles));
            }
            Request::Unknown => self.hub.refuse(&asker, Refusal::Unsupported),
        }
        Ok(())
    }

    fn ack(&mut self, handle: Handle, up_to: u64) -> Result<(), ProtocolError> {
        let at = self.attachment(handle);
        match self.handles.get(&handle) {
            Some(of) => self.hub.ack(&mut self.scratch, *of, &at, up_to),
            None if (1..self.next_handle).contains(&handle.0) => Ok(()),
            None => Err(ProtocolError),
        }
    }

    async fn attach(&mut self, id: RequestId, items: &[AttachItem], window: Window) {
        // Others may leave events for a new handle while the rest is checked: the answer goes before them.
        let before = self.mailbox.len();
        let mut results = Vec::with_capacity(items.len());
        for items in items.chunks(PROOFS_AT_A_TIME) {
            self.limits.proofs(items.len(), self.has_proven).await;
            results.extend(items.iter().map(|item| self.attach_one(item, window)));
            tokio::task::yield_now().await;
        }
        let used = results.iter().filter(|result| **result == Err(Refusal::Used)).count();
        if used > 0 {
            // Who tried the invite may know that it was used only when the opener is sure to be told.
            self.mailbox.until_tried_noted(used).await;
        }
        for why in results.iter().filter_map(|result| result.as_ref().err()) {
            self.hub.counters.add(Counter::Refused(*why), 1);
        }
        self.mailbox.answer_at(before, id, Answer::Attach(results));
    }

    fn attach_one(&mut self, item: &AttachItem, window: Window) -> Result<Attached, Refusal> {
        let keys = self.hub.keys(item.of);
        let proven = proven::check(&self.key, &keys, item.of, &Command::Attach, &item.proof);
        self.proved(proven.is_some());
        let proven = proven.ok_or(Refusal::NotAllowed)?;
        if self.handles.len() >= MAX_HANDLES {
            self.forget_dead_handles();
            if self.handles.len() >= MAX_HANDLES {
                return Err(Refusal::TooLarge);
            }
        }
        let handle = Handle(self.next_handle);
        let at = self.attachment(handle);
        let attached = self.hub.attach(&mut self.scratch, &proven, at, window)?;
        // A handle that was never given out must not become one that was.
        self.next_handle += 1;
        self.handles.insert(handle, item.of);
        self.has_proven = true;
        Ok(attached)
    }

    async fn rekey(&mut self, asker: Asker<Conn>, handle: Handle, new_key: EndPublic, proof: &Proof) {
        self.hub.queue.has_room().await;
        let Some(of) = self.handles.get(&handle).copied() else {
            return self.hub.refuse(&asker, Refusal::NotAllowed);
        };
        self.limits.proofs(1, self.has_proven).await;
        let (keys, at) = (self.hub.keys(of), self.attachment(handle));
        let proven = proven::check(&self.key, &keys, of, &Command::Rekey(&new_key), proof);
        self.proved(proven.is_some());
        match proven {
            Some(proven) => self.hub.rekey(&mut self.scratch, &proven, at, new_key, asker),
            None => self.hub.refuse(&asker, Refusal::NotAllowed),
        }
    }

    /// Wrong proofs of a device that holds an end are no guesses, and others at its address must not pay for them. How
    /// many of them are checked has a bound of its own.
    fn proved(&self, was_right: bool) {
        if !self.has_proven {
            self.guessed(was_right);
        }
    }

    fn guessed(&self, was_right: bool) {
        if !was_right {
            self.limits.guessed_wrong(self.address);
        }
    }

    /// Asks the channels, so that a handle is in a `Pong` only if it is live there.
    fn forget_dead_handles(&mut self) {
        let (hub, mailbox) = (&self.hub, &self.mailbox);
        self.handles.retain(|handle, of| {
            hub.is_attached(*of, &Attachment { conn: Conn(Arc::clone(mailbox)), handle: *handle })
        });
    }
}

impl Drop for Session {
    /// However the connection ended, its ends are free, and what they had not acked goes to disk.
    fn drop(&mut self) {
        self.mailbox.close();
        for (handle, of) in std::mem::take(&mut self.handles) {
            let at = self.attachment(handle);
            self.hub.detach(&mut self.scratch, of, &at);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::net::IpAddr;
    use std::num::NonZeroU32;

    use tacit_proto::{ChannelId, End, EndKey, EnrolCode};
    use tempfile::TempDir;

    use super::*;
    use crate::backlog::Quota;
    use crate::channel::Rules;
    use crate::reader::LoadQueue;
    use crate::spool::{Change, ChannelRow, EndRow, Phase, Spool};
    use crate::testing::MemorySpool;
    use crate::{Abuse, Clock, Config, Enrolments};

    pub(crate) const A: EndOf = EndOf { channel: ChannelId::from_bytes([1; 16]), end: End::A };
    const WINDOW: Window = Window { boxes: NonZeroU32::MAX, bytes: u32::MAX };

    fn key(number: u8) -> EndKey {
        EndKey::from_secret_bytes([number; 32])
    }

    /// A relay with one channel, whose end A has key 1.
    pub(crate) struct Setting {
        pub(crate) hub: Arc<Hub>,
        pub(crate) limits: Arc<Limits>,
        pub(crate) guest: Guest,
        data: TempDir,
    }

    impl Setting {
        pub(crate) fn new(change: impl FnOnce(&mut Abuse)) -> Self {
            let rules =
                Rules { hold: 24 * 3_600, grace: 0, window: WINDOW, quota: Quota { boxes: 8, bytes: u64::MAX } };
            let end = |number, spent_invite| EndRow { key: key(number).public(), spent_invite };
            let (a, b) = (end(1, None), end(2, Some(key(3).public())));
            let spool = MemorySpool::default();
            let row = ChannelRow { a, b, phase: Phase::Claimed, invite_tried: false };
            spool.commit(&[Change::PutChannel(A.channel, row)]).unwrap();
            let data = tempfile::tempdir().unwrap();
            let enrolments = Enrolments::open(data.path()).unwrap();
            let (loads, _) = LoadQueue::new();
            let hub = Arc::new(Hub::new(rules, Clock::default(), spool.recovered(), enrolments, loads));
            let mut abuse = Config::new("").abuse;
            change(&mut abuse);
            let limits = Arc::new(Limits::new(abuse));
            let guest = limits.enter(Some(IpAddr::from([192, 0, 2, 1]))).unwrap();
            Self { hub, limits, guest, data }
        }

        pub(crate) fn session(&self) -> Session {
            Session::new(Arc::clone(&self.hub), 16, &self.guest)
        }

        fn may_guess(&self) -> bool {
            self.limits.may_guess(self.guest.address())
        }
    }

    pub(crate) async fn ask(session: &mut Session, request: Request) -> FromRelay {
        session.take(ToRelay::Request(NonZeroU32::MIN, request)).await.unwrap();
        let mut frames = Vec::new();
        session.collect(&mut frames);
        frames.remove(0)
    }

    /// Attaches end A, under the key with that number, so many times.
    pub(crate) fn attach(session: &Session, number: u8, times: usize) -> Request {
        let proof = key(number).prove(session.challenge(), &A, &Command::Attach).unwrap();
        Request::Attach { items: vec![AttachItem { of: A, proof }; times], window: WINDOW }
    }

    #[tokio::test]
    async fn wrong_proofs_of_a_device_that_holds_an_end_are_no_guesses() {
        let setting = Setting::new(|abuse| abuse.guesses_per_hour = 4);
        let mut session = setting.session();
        let right = attach(&session, 1, 1);
        ask(&mut session, right).await;
        assert!(session.has_proven());
        let wrong = attach(&session, 9, 8);
        ask(&mut session, wrong).await;
        assert!(setting.may_guess());

        let mut stranger = setting.session();
        let wrong = attach(&stranger, 9, 8);
        ask(&mut stranger, wrong).await;
        assert!(!setting.may_guess(), "a stranger's are");
    }

    #[tokio::test]
    async fn a_session_knows_when_it_lost_its_last_end() {
        let setting = Setting::new(|_| {});
        let (mut first, mut second) = (setting.session(), setting.session());
        for session in [&mut first, &mut second] {
            let attach = attach(session, 1, 1);
            ask(session, attach).await;
            assert!(session.has_handles() && session.holds_an_end());
        }
        first.collect(&mut Vec::new());
        assert!(!first.has_handles() && first.has_proven(), "it was superseded, and told so");

        let at = second.attachment(Handle(1));
        setting.hub.detach(&mut Scratch::default(), A, &at);
        assert!(second.has_handles(), "of this it is not told");
        assert!(!second.holds_an_end() && !second.has_handles());
    }

    #[tokio::test]
    async fn a_code_that_cannot_be_read_now_is_busy_and_no_wrong_guess() {
        let setting = Setting::new(|abuse| abuse.guesses_per_hour = 1);
        let code = EnrolCode::from_bytes([5; 32]);
        let path = setting.data.path().join("enrolments").join(hex::encode(code.hash().as_bytes()));
        // A folder in a file's place cannot be read, as a file cannot on a disk that fails.
        fs::create_dir(&path).unwrap();
        let mut session = setting.session();
        let enrol = Request::Enrol { code: code.clone(), permit_hashes: Vec::new() };
        let busy = FromRelay::Answer(NonZeroU32::MIN, Answer::Refused(Refusal::Busy));
        assert_eq!(ask(&mut session, enrol.clone()).await, busy);
        assert!(setting.may_guess());

        fs::remove_dir(&path).unwrap();
        let no_permit = FromRelay::Answer(NonZeroU32::MIN, Answer::Refused(Refusal::NoPermit));
        assert_eq!(ask(&mut session, enrol).await, no_permit);
        assert!(!setting.may_guess());
    }
}
