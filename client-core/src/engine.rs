//! One connection to one relay, as a state machine without I/O: frames and the time go in, frames and events come out.
//!
//! What must survive is in the store, and changes in the transaction of the [turn](Engine::turn) that it belongs to.
//! The machine itself remembers only this connection: which request was asked, which handle is which contact. If a
//! turn's transaction fails, the connection is dropped and the machine with it, and nothing was said that was not kept.

mod ends;
mod files;
mod outbound;
mod scope;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;

use rand_core::CryptoRng;
use tacit_proto::frame::{
    Answer, AttachItem, FromRelay, Handle, Refusal, Request, RequestId, ToRelay, Welcome, Window,
};
use tacit_proto::limits::MAX_ATTACH;
use tacit_proto::{Challenge, Command, EndKey, NotContributory};

use crate::crypto::invite::InviteKeys;
use crate::error::StoreError;
use crate::pairing::{self, RESEND_ACCEPT_MS};
use crate::reset;
use crate::rotation::{self, HOLD_MARGIN_MS};
use crate::store::{Changed, ContactKey, ContactRow, Holder, Kind, OutboxKey, RelayId, State, Tx};
use crate::types::{EndedWhy, Event, Timestamp};

pub(crate) use scope::Scope;

/// What we let be under way to each of our ends: enough to batch store transactions, little enough for a phone.
const WINDOW_BOXES: NonZeroU32 = NonZeroU32::MIN.saturating_add(31);
const WINDOW_BYTES: u32 = 256 * 1024;

/// Most of our boxes under way from one end.
const PIPELINE: usize = 32;

/// How long a request waits that the relay asked to repeat later.
const RETRY_MS: u64 = 2_000;

/// After `Full` the relay says when there is room; this is for a relay that forgot to.
const ROOM_MS: u64 = 60_000;

/// How often what time alone asks for is looked after.
const CHORES_MS: u64 = 3_600_000;

/// A steady time that does not come.
const NEVER: u64 = u64::MAX;

/// The time, twice: what people see, and what only ever goes forward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Milliseconds since the Unix epoch, by a clock that may be wrong or set back.
    pub(crate) wall: Timestamp,
    /// Milliseconds on a steady clock.
    pub(crate) steady: u64,
}

/// What a turn asks of the shell, once its transaction is durable.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// To the relay, in order.
    pub(crate) frames: Vec<ToRelay>,
    /// To the app.
    pub(crate) events: Vec<Event>,
    /// The relay is about to end: come back after so many seconds.
    pub(crate) restarting: Option<u32>,
    /// Everything that waited, both ways, was exchanged.
    pub(crate) settled: bool,
}

/// Why a connection is to be dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    /// The relay does not keep to the protocol.
    #[error("the relay does not keep to the protocol")]
    Protocol,
    /// Another process of this home connects now.
    #[error("another process of this home connects now")]
    NotTheHolder,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotContributory> for TurnError {
    fn from(_: NotContributory) -> Self {
        Self::Protocol
    }
}

/// What an answer is awaited for.
#[derive(Debug)]
enum Pending {
    Enrol(i64),
    Open(ContactKey),
    Attach(Vec<(ContactKey, KeyTried)>),
    Rekey(ContactKey, Handle),
    Send(Handle, u64),
    Close(ContactKey),
    Ping,
}

/// Which key an end was attached with. A device that stopped around a `Rekey` tries the new key first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyTried {
    Next,
    Current,
    Invite,
}

/// How a contact stands on this connection.
#[derive(Debug)]
enum Link {
    /// Asked, not answered.
    Asked,
    /// To be asked again, later.
    Later(u64),
    /// Attached.
    Attached(Handle),
    /// Not to be asked again on this connection.
    Parked,
}

/// A box under way.
#[derive(Debug)]
struct InFlight {
    request: RequestId,
    n: u64,
    key: OutboxKey,
    is_chunk: bool,
}

/// An attached end.
#[derive(Debug)]
struct Attachment {
    contact: ContactKey,
    /// Attached under the invite's key: nothing but `Rekey`.
    must_rekey: bool,
    /// Its next key is on the way to the relay: until it is there, nothing is sent.
    rekeying: bool,
    next_n: u64,
    in_flight: VecDeque<InFlight>,
    /// The last row of the outbox that is under way or was handled.
    sent: OutboxKey,
    /// The same of chunks, which go when nothing else waits.
    sent_chunks: OutboxKey,
    /// Most chunks that may be under way.
    chunk_window: usize,
    /// Nothing is sent before this time.
    paused_until: u64,
    /// The highest seq that is safe and not acked yet.
    ack: Option<u64>,
    delivered: u64,
    drained: bool,
}

impl Attachment {
    fn chunks_in_flight(&self) -> usize {
        self.in_flight.iter().filter(|sent| sent.is_chunk).count()
    }
}

/// One connection to one relay.
pub(crate) struct Engine {
    relay: RelayId,
    scope: Scope,
    holder: Holder,
    welcome: Welcome,
    greeted: bool,
    next_request: NonZeroU32,
    pending: BTreeMap<RequestId, Pending>,
    enrolling: BTreeSet<i64>,
    /// No enrolment is asked for before this time.
    enrol_after: u64,
    chores_at: u64,
    links: BTreeMap<ContactKey, Link>,
    /// Contacts whose next key was refused on this connection, so that the key before it is tried.
    next_key_refused: BTreeSet<ContactKey>,
    /// Contacts whose invite was answered `Used`. A `Rekey` of ours may have been on its way on an earlier connection when
    /// the next key was refused: only when that is refused once more was it somebody else.
    invite_used: BTreeSet<ContactKey>,
    /// The same for contacts whose end is held already, and whose present key was refused.
    held_key_refused: BTreeSet<ContactKey>,
    /// Contacts whose end was taken over on this connection, and attached again.
    taken_back: BTreeSet<ContactKey>,
    /// Contacts whose next message cannot be sealed before something comes.
    unsealable: BTreeSet<ContactKey>,
    attachments: BTreeMap<Handle, Attachment>,
    /// When senders of files are told what came.
    tell_at: u64,
    /// When transfers that do not move are looked for.
    look_at: u64,
    /// Messages whose transfers moved in this turn.
    moved: BTreeSet<[u8; 16]>,
    output: Output,
}

impl Engine {
    /// Begins with the relay's first frame.
    pub(crate) fn new(relay: RelayId, scope: Scope, holder: Holder, welcome: Welcome) -> Self {
        Self {
            relay,
            scope,
            holder,
            welcome,
            greeted: false,
            next_request: NonZeroU32::MIN,
            pending: BTreeMap::new(),
            enrolling: BTreeSet::new(),
            enrol_after: 0,
            chores_at: 0,
            links: BTreeMap::new(),
            next_key_refused: BTreeSet::new(),
            invite_used: BTreeSet::new(),
            held_key_refused: BTreeSet::new(),
            taken_back: BTreeSet::new(),
            unsealable: BTreeSet::new(),
            attachments: BTreeMap::new(),
            tell_at: NEVER,
            look_at: NEVER,
            moved: BTreeSet::new(),
            output: Output::default(),
        }
    }

    /// Takes the frames that came, does what the store says is to be done, and returns what to send and tell once the
    /// transaction is durable.
    ///
    /// # Errors
    /// [`TurnError`]: drop the transaction, the connection and this machine.
    pub(crate) fn turn(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        rng: &mut dyn CryptoRng,
        frames: Vec<FromRelay>,
    ) -> Result<Output, TurnError> {
        // A process that was frozen for long wakes up in the middle of a turn, with its lease gone: were it to attach
        // now, it would take the ends from the process that has them.
        if !tx.is_held_by(self.holder)? {
            return Err(TurnError::NotTheHolder);
        }
        if !self.greeted {
            self.greeted = true;
            self.greet(tx, now, &mut *rng)?;
        }
        if self.chores_at <= now.steady {
            self.chores_at = now.steady + CHORES_MS.min(self.hold_ms().max(1));
            self.chores(tx, now, &mut *rng)?;
        }
        for frame in frames {
            match frame {
                FromRelay::Answer(request, answer) => self.answer(tx, now, request, answer)?,
                FromRelay::Event(event) => self.event(tx, now, &mut *rng, event)?,
            }
        }
        self.link(tx, now)?;
        self.send_all(tx, now, rng)?;
        self.tell_moved(tx)?;
        self.ack_all();
        self.output.settled = self.is_settled(tx)?;
        Ok(std::mem::take(&mut self.output))
    }

    /// The next steady time at which a turn is to be taken although nothing came.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        let later = self.links.values().filter_map(|link| match link {
            Link::Later(at) => Some(*at),
            _ => None,
        });
        let paused =
            self.attachments.values().map(|attachment| attachment.paused_until).filter(|at| (1..NEVER).contains(at));
        let enrol = Some(self.enrol_after).filter(|at| *at > 0);
        let files = [self.tell_at, self.look_at].into_iter().filter(|at| *at < NEVER);
        later.chain(paused).chain(enrol).chain(files).chain([self.chores_at]).min()
    }

    /// Asks the relay which handles are live.
    pub(crate) fn ping(&mut self) -> ToRelay {
        let id = self.request_id(Pending::Ping);
        ToRelay::Request(id, Request::Ping)
    }

    fn live_contacts(&self, tx: &Tx<'_>) -> Result<Vec<ContactRow>, StoreError> {
        let mut rows = tx.live_contacts(self.relay)?;
        rows.retain(|row| self.scope.covers(&row.key));
        Ok(rows)
    }

    fn contacts_with_work(&self, tx: &Tx<'_>) -> Result<Vec<ContactRow>, StoreError> {
        let mut rows = tx.contacts_with_work(self.relay)?;
        rows.retain(|row| self.scope.covers(&row.key));
        Ok(rows)
    }

    fn request_id(&mut self, pending: Pending) -> RequestId {
        let id = self.next_request;
        self.next_request = id.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.pending.insert(id, pending);
        id
    }

    fn ask(&mut self, pending: Pending, request: Request) {
        let id = self.request_id(pending);
        self.output.frames.push(ToRelay::Request(id, request));
    }

    fn changed(&mut self, key: &ContactKey) {
        self.output.events.push(Event::ContactChanged { contact: hex::encode(key) });
    }

    fn outcomes(
        &mut self,
        tx: &Tx<'_>,
        key: &ContactKey,
        changed: impl IntoIterator<Item = Changed>,
    ) -> Result<(), TurnError> {
        for changed in changed {
            let (message, outcome) = tx.as_shown(changed)?;
            let (contact, message) = (hex::encode(key), hex::encode(message));
            self.output.events.push(Event::OutcomeChanged { contact, message, outcome });
        }
        Ok(())
    }

    /// What time alone asks for.
    fn chores(&mut self, tx: &Tx<'_>, now: Now, rng: &mut dyn CryptoRng) -> Result<(), TurnError> {
        let longest_ms = tx.longest_hold_ms(self.relay)? + HOLD_MARGIN_MS;
        for row in self.live_contacts(tx)? {
            rotation::tend(tx, &row, now.wall, &mut *rng)?;
            reset::tend(tx, &row, now.wall, false)?;
            self.tend_accept(tx, &row, now.wall, false)?;
            tx.bound_promises(&row.key, now.wall, longest_ms)?;
        }
        Ok(())
    }

    /// An accept that was not answered goes again, the same bytes, once the relay may have dropped the first.
    fn tend_accept(
        &self,
        tx: &Tx<'_>,
        row: &ContactRow,
        now: Timestamp,
        backlog_was_lost: bool,
    ) -> Result<(), TurnError> {
        if row.state != State::Joined || tx.is_outgoing(&row.key, Kind::Accept)? {
            return Ok(());
        }
        let sent = tx.accept_sent_at(&row.key)?.unwrap_or(0);
        if backlog_was_lost || now.abs_diff(sent) > RESEND_ACCEPT_MS.min(self.hold_ms()) {
            tx.resend_accept(&row.key)?;
        }
        Ok(())
    }

    fn hold_ms(&self) -> u64 {
        u64::from(self.welcome.limits.hold) * 1_000
    }

    /// What the relay's incarnation and the time since the last connection ask for. Whichever connection sees a new
    /// incarnation first does so for all channels of the relay.
    fn greet(&mut self, tx: &Tx<'_>, now: Now, rng: &mut dyn CryptoRng) -> Result<(), TurnError> {
        if !self.welcome.notice.is_empty() {
            self.output.events.push(Event::Notice { text: self.welcome.notice.clone() });
        }
        tx.note_hold(self.relay, self.welcome.limits.hold)?;
        let backlog_was_lost = tx.note_incarnation(self.relay, &self.welcome.incarnation)?;
        for row in tx.live_contacts(self.relay)? {
            if backlog_was_lost {
                tx.set_announced(&row.key, None)?;
            }
            reset::tend(tx, &row, now.wall, backlog_was_lost)?;
            self.tend_accept(tx, &row, now.wall, backlog_was_lost)?;
            if row.state == State::Invited
                && backlog_was_lost
                && !tx.is_outgoing(&row.key, Kind::Offer)?
                && let Some(secret) = tx.invite_secret(&row.key)?
            {
                pairing::enqueue_offer(tx, &row.key, &row.of, &secret, rng)?;
            }
        }
        // After whatever the other side cannot read them without.
        if backlog_was_lost {
            for (contact, changed) in tx.resend_all(self.relay)? {
                self.outcomes(tx, &contact, changed)?;
            }
        }
        self.greet_transfers(tx, now, backlog_was_lost)
    }

    /// Asks for whatever is not asked for yet: enrolments, channels, attachments.
    fn link(&mut self, tx: &Tx<'_>, now: Now) -> Result<(), TurnError> {
        let enrolments = tx.pending_enrolments(self.relay)?;
        // A permit is good once the relay knows it.
        let may_open = enrolments.is_empty();
        let enrolments = if self.scope.enrols() { enrolments } else { Vec::new() };
        if self.enrol_after <= now.steady {
            self.enrol_after = 0;
        }
        for enrolment in enrolments {
            if self.enrol_after == 0 && self.enrolling.insert(enrolment.id) {
                let permit_hashes = enrolment.permits.iter().map(tacit_proto::Permit::hash).collect();
                self.ask(Pending::Enrol(enrolment.id), Request::Enrol { code: enrolment.code, permit_hashes });
            }
        }
        self.links.retain(|_, link| !matches!(link, Link::Later(at) if *at <= now.steady));
        let mut items = Vec::new();
        for row in self.live_contacts(tx)? {
            if self.links.contains_key(&row.key) {
                continue;
            }
            if row.state == State::Opening {
                if may_open {
                    self.open(tx, &row)?;
                }
                continue;
            }
            if let Some((key, tried)) = self.key_to_try(tx, &row)? {
                let proof = key.prove(&self.welcome.challenge, &row.of, &Command::Attach)?;
                items.push((AttachItem { of: row.of, proof }, (row.key, tried)));
                self.links.insert(row.key, Link::Asked);
            } else {
                // No key was ever taken over: there is nothing at the relay to be closed.
                if row.close_due {
                    tx.forget_end_key(&row.key)?;
                }
                self.links.insert(row.key, Link::Parked);
            }
        }
        for batch in items.chunks(MAX_ATTACH) {
            let (items, contacts) = batch.iter().copied().unzip();
            let window = Window { boxes: WINDOW_BOXES, bytes: WINDOW_BYTES };
            self.ask(Pending::Attach(contacts), Request::Attach { items, window });
        }
        Ok(())
    }

    fn key_to_try(&self, tx: &Tx<'_>, row: &ContactRow) -> Result<Option<(EndKey, KeyTried)>, TurnError> {
        if !self.next_key_refused.contains(&row.key)
            && let Some(next) = tx.next_end_key(&row.key)?
        {
            return Ok(Some((next, KeyTried::Next)));
        }
        if row.state == State::Claiming {
            let secret = tx.invite_secret(&row.key)?;
            return Ok(secret.map(|secret| (InviteKeys::derive(&row.of.channel, &secret).end_key, KeyTried::Invite)));
        }
        Ok(tx.end_key(&row.key)?.map(|key| (key, KeyTried::Current)))
    }

    fn is_settled(&self, tx: &Tx<'_>) -> Result<bool, TurnError> {
        if self.scope.enrols() && !tx.pending_enrolments(self.relay)?.is_empty() {
            return Ok(false);
        }
        let waiting = |pending: &Pending| !matches!(pending, Pending::Ping);
        if self.pending.values().any(waiting) || self.links.values().any(|link| matches!(link, Link::Later(_))) {
            return Ok(false);
        }
        if self.tell_at < NEVER || self.attachments.values().any(|attachment| !attachment.drained) {
            return Ok(false);
        }
        for row in self.contacts_with_work(tx)? {
            let is_sendable =
                matches!(self.links.get(&row.key), Some(Link::Attached(_))) && !self.unsealable.contains(&row.key);
            // A farewell that waits for the other device to come is nothing to be exchanged now.
            let only_waits = matches!(row.state, State::Leaving(_))
                && !row.receipt_due
                && !row.close_due
                && tx.nothing_is_outgoing(&row.key)?;
            if is_sendable && !only_waits {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The relay's challenge, for proofs on this connection.
    const fn challenge(&self) -> &Challenge {
        &self.welcome.challenge
    }

    fn answer(&mut self, tx: &Tx<'_>, now: Now, request: RequestId, answer: Answer) -> Result<(), TurnError> {
        let pending = self.pending.remove(&request).ok_or(TurnError::Protocol)?;
        match (pending, answer) {
            (Pending::Enrol(id), answer) => self.enrolled(tx, now, id, &answer),
            (Pending::Open(contact), answer) => self.opened(tx, now, &contact, &answer),
            (Pending::Attach(asked), Answer::Attach(results)) if asked.len() == results.len() => {
                for ((contact, tried), result) in asked.into_iter().zip(results) {
                    self.attach_result(tx, now, &contact, tried, result)?;
                }
                Ok(())
            }
            (Pending::Attach(asked), Answer::Refused(why)) if why.is_retry() => {
                for (contact, _) in asked {
                    self.links.insert(contact, Link::Later(now.steady + RETRY_MS));
                }
                Ok(())
            }
            (Pending::Rekey(contact, handle), answer) => self.rekeyed(tx, now, &contact, handle, &answer),
            (Pending::Send(asked, n), Answer::Accepted { handle, n: accepted, hold })
                if (asked, n) == (handle, accepted) =>
            {
                self.accepted(tx, now, handle, request, hold)
            }
            (Pending::Send(handle, _), Answer::Refused(why)) => self.send_refused(tx, now, handle, request, why),
            (Pending::Close(contact), Answer::Done | Answer::Refused(Refusal::Gone | Refusal::NotAllowed)) => {
                self.unlink(&contact);
                self.links.insert(contact, Link::Parked);
                Ok(tx.forget_end_key(&contact)?)
            }
            (Pending::Close(contact), Answer::Refused(why)) if why.is_retry() => {
                self.unlink(&contact);
                self.links.insert(contact, Link::Later(now.steady + RETRY_MS));
                Ok(())
            }
            (Pending::Ping, Answer::Pong(live)) => {
                self.pong(&live);
                self.expire_where_drained(tx, now)
            }
            _ => Err(TurnError::Protocol),
        }
    }

    fn enrolled(&mut self, tx: &Tx<'_>, now: Now, id: i64, answer: &Answer) -> Result<(), TurnError> {
        match answer {
            Answer::Done => tx.settle_enrolment(id, true)?,
            Answer::Refused(why) if why.is_retry() => {
                self.enrolling.remove(&id);
                self.enrol_after = now.steady + RETRY_MS;
            }
            Answer::Refused(_) => tx.settle_enrolment(id, false)?,
            _ => return Err(TurnError::Protocol),
        }
        Ok(())
    }

    /// A handle that the relay does not name any more is attached anew: connected but deaf must be impossible.
    fn pong(&mut self, live: &[Handle]) {
        let deaf: Vec<_> = self.attachments.keys().filter(|handle| !live.contains(handle)).copied().collect();
        for handle in deaf {
            if let Some(attachment) = self.attachments.remove(&handle) {
                self.links.remove(&attachment.contact);
            }
        }
    }

    /// The relay is there, and has had nothing for these ends since it said so: no receipt is on its way.
    fn expire_where_drained(&mut self, tx: &Tx<'_>, now: Now) -> Result<(), TurnError> {
        let drained = self.attachments.values().filter(|attachment| attachment.drained);
        let contacts: Vec<_> = drained.map(|attachment| attachment.contact).collect();
        for contact in contacts {
            let expired = tx.expire(&contact, now.wall)?;
            self.outcomes(tx, &contact, expired)?;
        }
        Ok(())
    }

    /// Forgets a contact's attachment.
    fn unlink(&mut self, contact: &ContactKey) {
        if let Some(Link::Attached(handle)) = self.links.remove(contact) {
            self.attachments.remove(&handle);
        }
    }

    fn end(&mut self, tx: &Tx<'_>, contact: &ContactKey, why: EndedWhy, close_due: bool) -> Result<(), TurnError> {
        if why == EndedWhy::ByPeer {
            let refused = tx.refuse_undelivered(contact)?;
            self.outcomes(tx, contact, refused)?;
        }
        tx.end_contact(contact, why, close_due)?;
        self.changed(contact);
        Ok(())
    }
}
