//! The face of the library: one device, as an app sees it.

mod attachments;
pub(crate) mod crisis;
mod delivery;
mod life_cycle_calls;
mod network;
mod notifications;
mod practice;
pub(crate) mod terms;
mod word;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use tacit_proto::Permit;
use tacit_proto::limits::MAX_HOLD;
use tacit_proto::link::{EnrolmentLink, InviteLink};

use crate::care::farewell::Manner;
use crate::care::terms::DEFAULT_TERMS;
use crate::content::{MAX_NAME, MAX_TEXT};
use crate::driver::{self, Shared, wall_clock};
use crate::error::{
    AuthorityError, ContactError, EnrolError, InviteError, JoinError, OpenError, SendError, StoreError, WaitError,
};
use crate::life_cycle;
use crate::net::Authority;
use crate::pairing::{self, draw_id};
use crate::store::{ContactKey, ContactRow, Holder, Key, State, Store, StoreKey, Tx, home_exists};
use crate::types::{
    Connection, Contact, ContactId, Direction, EndedWhy, Enrolment, Listener, Message, MessageId, NewInvite, Offer,
    Outcome,
};

/// How often a wait looks again when nothing wakes it: another process may be the one that makes progress.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One device.
///
/// Every call works without a network: it changes the encrypted store and returns, and what it asks of a relay is
/// carried out by the thread that [`Client::start`] began, now or whenever the relay can be reached. No call waits on
/// the network but the two that say so. Several clients, in several processes too, may have the same home open.
///
/// # Example
/// ```no_run
/// use tacit_client_core::{Client, StoreKey};
///
/// let client = Client::open("/path/to/home".to_owned(), StoreKey::Passphrase("correct horse".to_owned()))?;
/// client.start(None);
/// for contact in client.contacts()? {
///     client.send(contact.id, "See you on Thursday.".to_owned())?;
/// }
/// client.wait_settled(10_000)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client {
    pub(crate) home: PathBuf,
    /// For the app's threads. Held for one transaction at a time. None while locked.
    opened: Mutex<Option<Opened>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a locked client does not have.
pub(crate) struct Opened {
    pub(crate) key: Key,
    pub(crate) store: Store,
}

impl Opened {
    pub(crate) fn open(home: &Path, key: &StoreKey) -> Result<Self, OpenError> {
        let key = Key::open(home, key, &mut rng())?;
        let mut store = Store::open(home, &key)?;
        // What cannot be deleted now, on a full disk for instance, is deleted the next time.
        let _ = store.tidy_rows(wall_clock());
        Ok(Self { key, store })
    }
}

pub(crate) fn rng() -> impl CryptoRng {
    UnwrapErr(SysRng)
}

pub(crate) fn id<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

impl Client {
    /// Opens a home, and makes it if it is not there.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing is changed by a wrong passphrase.
    pub fn open(home: String, key: StoreKey) -> Result<Self, OpenError> {
        let home = PathBuf::from(home);
        let opened = Mutex::new(Some(Opened::open(&home, &key)?));
        let shared = Arc::new(Shared::new(home.clone(), Holder(draw_id(&mut rng()))));
        Ok(Self { home, opened, shared, thread: Mutex::new(None) })
    }

    /// Whether there is a home at this path: if not, [`Client::open`] makes one, and the passphrase is a new one.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn exists(home: String) -> bool {
        home_exists(Path::new(&home))
    }

    /// Accepts certificates of one more authority, besides the public ones, for relays that links do not pin: a clinic's
    /// own. `file` is its root certificate, PEM. Not stored: to be called before each [`Client::start`].
    ///
    /// The system's store of authorities is never used, because those who inspect a network's traffic put theirs there.
    ///
    /// # Errors
    /// [`AuthorityError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn trust_authority(&self, file: String) -> Result<(), AuthorityError> {
        self.shared.trust(Authority::read(Path::new(&file))?);
        Ok(())
    }

    /// Connects, and stays connected, on a thread of its own. Does nothing if that thread runs already.
    ///
    /// # Errors
    /// [`OpenError`] if the store cannot be opened a second time, or no thread can be started; [`OpenError::Locked`].
    pub fn start(&self, listener: Option<Box<dyn Listener>>) -> Result<(), OpenError> {
        let mut thread = self.thread();
        if thread.is_some() {
            return Ok(());
        }
        let store = match &*self.opened() {
            Some(opened) => Store::open(&self.home, &opened.key)?,
            None => return Err(OpenError::Locked),
        };
        let shared = Arc::clone(&self.shared);
        self.shared.stop.send_replace(false);
        let started = std::thread::Builder::new()
            .name("tacit".to_owned())
            .spawn(move || driver::run(&shared, store, listener))
            .map_err(|error| OpenError::Io(error.kind().to_string()))?;
        *thread = Some(started);
        Ok(())
    }

    /// What [`Client::start`] runs on its thread, for a test that has a runtime of its own.
    #[cfg(test)]
    pub(crate) async fn drive(&self) {
        let store = Store::open(&self.home, &self.opened().as_ref().unwrap().key).unwrap();
        driver::drive(&self.shared, store, None).await;
    }

    /// Disconnects, and waits until what is under way is stored: at most a few seconds. Everything else is kept.
    pub fn stop(&self) {
        self.hang_up(&mut self.thread());
    }

    pub(crate) fn thread(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hang_up(&self, thread: &mut Option<JoinHandle<()>>) {
        self.shared.stop.send_replace(true);
        if let Some(thread) = thread.take() {
            // A thread that ended by itself has nothing more to store.
            let _ = thread.join();
        }
    }

    /// How the relays are reached right now.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.shared.connection()
    }

    /// Begins an enrolment: draws the permits, and hands their hashes to the relay when it can be reached.
    ///
    /// `name` is how clients will see this side, 1 to 200 bytes.
    ///
    /// # Errors
    /// [`EnrolError`]. Whether the relay agrees shows in [`Client::enrolments`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn enrol(&self, link: String, name: String) -> Result<(), EnrolError> {
        let link = EnrolmentLink::parse(&link)?;
        let name = name.trim();
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(EnrolError::BadName);
        }
        let mut rng = rng();
        let permits: Vec<_> = (0..link.permits).map(|_| Permit::draw(&mut rng)).collect();
        self.change(|tx| {
            if !tx.add_enrolment(&link, &permits)? {
                return Err(EnrolError::AlreadyUsed);
            }
            Ok(tx.set_profile(name, 1, DEFAULT_TERMS)?)
        })
    }

    /// The enrolments of this device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn enrolments(&self) -> Result<Vec<Enrolment>, StoreError> {
        self.read(|tx| tx.enrolments())
    }

    /// Makes an invite, to be given to one person. The link works once the contact's state is
    /// [`Invited`](crate::ContactState::Invited).
    ///
    /// `join_within_secs` is how long it can be used: 1 second to 90 days, or less if the relay keeps nothing that
    /// long.
    ///
    /// # Errors
    /// [`InviteError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn invite(&self, label: String, join_within_secs: u64) -> Result<NewInvite, InviteError> {
        let join_within = u32::try_from(join_within_secs).ok().filter(|seconds| (1..=MAX_HOLD).contains(seconds));
        let join_within = join_within.ok_or(InviteError::BadExpiry)?;
        let (contact, link) =
            self.change(|tx| pairing::invite(tx, wall_clock(), &mut rng(), label.trim(), join_within))?;
        Ok(NewInvite { contact: hex::encode(contact), link: link.to_uri() })
    }

    /// The link of an invite that nobody used yet.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] once it was used.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn invite_link(&self, contact: ContactId) -> Result<String, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        Ok(self.read(|tx| pairing::invite_link(tx, &key))?.to_uri())
    }

    /// Joins by an invite. What it offers is there to be shown once the contact's state is
    /// [`Consenting`](crate::ContactState::Consenting). The same link again gives the same contact.
    ///
    /// Without a label, the contact is called what the inviting side calls itself.
    ///
    /// # Errors
    /// [`JoinError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn join(&self, link: String, label: Option<String>) -> Result<ContactId, JoinError> {
        let link = InviteLink::parse(&link)?;
        let label = label.as_deref().unwrap_or_default().trim();
        let key = self.change(|tx| pairing::join(tx, wall_clock(), &mut rng(), &link, label))?;
        Ok(hex::encode(key))
    }

    /// What an invite offers, to be shown before [`Client::consent`].
    ///
    /// # Errors
    /// [`ContactError::WrongState`] unless the state is [`Consenting`](crate::ContactState::Consenting).
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn offer(&self, contact: ContactId) -> Result<Offer, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            let row = tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            let offer = pairing::offer(tx, &row)?;
            Ok(Offer {
                from: offer.from,
                terms_version: offer.terms.body.version,
                terms: offer.terms.body.text,
                practice_card: offer.practice_card.map(|card| card.body.card),
                crisis_card: offer.crisis_card.map(|card| card.body.card),
            })
        })
    }

    /// Agrees to what an invite offers. Messages can be sent from then on.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] unless the state is [`Consenting`](crate::ContactState::Consenting).
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn consent(&self, contact: ContactId) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| pairing::consent(tx, row, wall_clock(), &mut rng()))
    }

    /// Does not agree to what an invite offers. The channel is closed, and the inviting side sees that it ended.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] unless the state is [`Consenting`](crate::ContactState::Consenting).
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn decline(&self, contact: ContactId) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| match row.state {
            State::Consenting => Ok(tx.end_contact(&row.key, EndedWhy::Declined, true)?),
            _ => Err(ContactError::WrongState),
        })
    }

    /// Ends a pairing from this side, at once. History stays; nothing more can be sent or come, and what was not handed
    /// over yet is refused. The other side is told with a signed farewell. An invite that was not used yet is withdrawn.
    ///
    /// For an end that lets everything arrive that was written before: [`Client::discharge`].
    ///
    /// # Errors
    /// [`ContactError::WrongState`] if it ended before.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn end(&self, contact: ContactId) -> Result<(), ContactError> {
        let (now, mut rng) = (wall_clock(), rng());
        self.change_contact(&contact, |tx, row| match row.state {
            State::Ended(_) | State::Leaving(_) => Err(ContactError::WrongState),
            _ if life_cycle::can_say_farewell(tx, row)? => {
                Ok(life_cycle::leave(tx, row, Manner::Unpair, "", now, &mut rng)?)
            }
            // The relay never heard of it, as far as we know; if it did, the invite runs out there.
            State::Opening => Ok(tx.end_contact(&row.key, EndedWhy::ByUs, false)?),
            _ => Ok(tx.end_contact(&row.key, EndedWhy::ByUs, true)?),
        })
    }

    /// All contacts, the most recently active first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn contacts(&self) -> Result<Vec<Contact>, StoreError> {
        self.read(|tx| tx.contacts())
    }

    /// One contact.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn contact(&self, contact: ContactId) -> Result<Contact, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| tx.public_contact(&key)?.ok_or(ContactError::NoSuchContact))
    }

    /// Calls a contact something else, on this device only.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn rename(&self, contact: ContactId, label: String) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| Ok(tx.set_label(&row.key, label.trim())?))
    }

    /// The 12 words that both sides see if nobody sits in between. Compare them in person or by voice.
    ///
    /// # Errors
    /// [`ContactError::WrongState`] before both sides' keys are known.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn safety_words(&self, contact: ContactId) -> Result<Vec<String>, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        self.read(|tx| {
            tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            let transcript = tx.transcript(&key)?.ok_or(ContactError::WrongState)?;
            Ok(transcript.safety_words().map(str::to_owned).to_vec())
        })
    }

    /// Says that these safety words were compared, and agree.
    ///
    /// # Errors
    /// [`ContactError::OtherWords`] if they are not the present ones: a reset makes new words, of which nobody knows
    /// yet whether they agree. [`ContactError::WrongState`] before there are any.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn verify(&self, contact: ContactId, words: Vec<String>) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| {
            let present = tx.transcript(&row.key)?.ok_or(ContactError::WrongState)?.safety_words();
            if !words.iter().eq(&present) {
                return Err(ContactError::OtherWords);
            }
            Ok(tx.set_verified(&row.key, true)?)
        })
    }

    /// Takes that back: the words were not compared, or differ.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn unverify(&self, contact: ContactId) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| Ok(tx.set_verified(&row.key, false)?))
    }

    /// Queues a text of 1 to [`MAX_TEXT`] bytes. It is safe on this device when this returns.
    ///
    /// # Errors
    /// [`SendError`]. Nothing was queued.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn send(&self, contact: ContactId, text: String) -> Result<MessageId, SendError> {
        if text.is_empty() {
            return Err(SendError::Empty);
        }
        if text.len() > MAX_TEXT {
            return Err(SendError::TooLong);
        }
        let key: ContactKey = id(&contact).ok_or(SendError::NoSuchContact)?;
        let message = draw_id(&mut rng());
        self.change(|tx| {
            let row = tx.contact(&key)?.ok_or(SendError::NoSuchContact)?;
            life_cycle::may_write(tx, &row)?;
            Ok::<_, SendError>(tx.queue_text(&key, &message, &text, wall_clock())?)
        })?;
        Ok(hex::encode(message))
    }

    /// One message.
    ///
    /// # Errors
    /// [`ContactError::NoSuchMessage`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn message(&self, message: MessageId) -> Result<Message, ContactError> {
        let key = id(&message).ok_or(ContactError::NoSuchMessage)?;
        self.read(|tx| tx.message(&key)?.ok_or(ContactError::NoSuchMessage))
    }

    /// Up to `limit` messages, oldest first: the newest ones, or those just before the message `before`.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`], or [`ContactError::NoSuchMessage`] for `before`.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn history(
        &self,
        contact: ContactId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<Vec<Message>, ContactError> {
        let key = id(&contact).ok_or(ContactError::NoSuchContact)?;
        let before = before.map(|before| id(&before).ok_or(ContactError::NoSuchMessage)).transpose()?;
        self.read(|tx| match tx.history(&key, before.as_ref(), limit)? {
            Some(page) if !page.is_empty() => Ok(page),
            page => {
                tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
                page.ok_or(ContactError::NoSuchMessage)
            }
        })
    }

    /// Marks everything that came from a contact as seen on this device. The other side is told if both agreed to tell:
    /// see [`Client::set_read_receipts`].
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn mark_read(&self, contact: ContactId) -> Result<(), ContactError> {
        self.change_contact(&contact, |tx, row| Ok(tx.mark_read(&row.key)?))
    }

    /// The same up to a message: of what came before it, and of that one as it is now. What came, or was edited, after the
    /// app read what it shows stays unread. Name the one of those that came last; and one that was edited, once the app shows
    /// what it says now.
    ///
    /// # Errors
    /// [`ContactError::NoSuchContact`]; [`ContactError::NoSuchMessage`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn mark_read_up_to(&self, contact: ContactId, message: MessageId) -> Result<(), ContactError> {
        let message = id(&message).ok_or(ContactError::NoSuchMessage)?;
        self.change_contact(&contact, |tx, row| {
            let is_here = tx.mark_read_up_to(&row.key, &message)?;
            if is_here { Ok(()) } else { Err(ContactError::NoSuchMessage) }
        })
    }

    /// Waits until everything that waited, both ways, was exchanged with all relays: by this client, which must have
    /// been [started](Client::start), or by another process that has the same home open.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] says what is in the way.
    pub fn wait_settled(&self, timeout_ms: u64) -> Result<(), WaitError> {
        self.wait(timeout_ms, || {
            let (planned, others) = self.read::<_, StoreError>(|tx| {
                let planned = crate::network::plan(tx, &tx.network()?)?;
                let nothing_waits = planned.iter().try_fold(true, |nothing, (relay, _)| {
                    Ok::<_, StoreError>(nothing && tx.outbox_is_empty(relay.id)?)
                })?;
                Ok((planned, nothing_waits && tx.lease()?.is_some_and(|lease| lease.settled)))
            })?;
            Ok(self.shared.is_settled(&planned).unwrap_or(others).then_some(()))
        })
    }

    /// Waits until a message of ours is accepted (or delivered, if `delivered`), or will not be, and returns its
    /// outcome.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] says what is in the way.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn wait_outcome(&self, message: MessageId, delivered: bool, timeout_ms: u64) -> Result<Outcome, WaitError> {
        let key = id(&message).ok_or(WaitError::NothingToWaitFor)?;
        self.wait(timeout_ms, || {
            let message = self.read::<_, StoreError>(|tx| tx.message(&key))?;
            let message = message.filter(|message| message.direction == Direction::Out);
            let outcome = message.ok_or(WaitError::NothingToWaitFor)?.outcome;
            Ok(match outcome {
                Outcome::Queued => None,
                Outcome::Accepted { .. } if delivered => None,
                outcome => Some(outcome),
            })
        })
    }

    pub(crate) fn wait<T>(
        &self,
        timeout_ms: u64,
        look: impl Fn() -> Result<Option<T>, WaitError>,
    ) -> Result<T, WaitError> {
        let started = Instant::now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if started.elapsed() >= Duration::from_millis(timeout_ms) {
                let problem = match self.connection() {
                    Connection::Offline { problem } if !problem.is_empty() => format!(": {problem}"),
                    Connection::Stopped => ": not connected".to_owned(),
                    _ => String::new(),
                };
                return Err(WaitError::TimedOut { problem });
            }
            self.shared.wait(LOOK_AGAIN);
        }
    }

    pub(crate) fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        // A transaction that a panic interrupted was rolled back.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one consistent state.
    pub(crate) fn read<T, E: From<StoreError>>(&self, read: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        self.opened().as_mut().ok_or(StoreError::Locked)?.store.read(read)
    }

    /// Makes one change, and tells the connection of it.
    pub(crate) fn change<T, E: From<StoreError>>(&self, change: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let value = self.opened().as_mut().ok_or(StoreError::Locked)?.store.change(change)?;
        self.shared.note_change();
        Ok(value)
    }

    /// Makes one change that the connection does not care for.
    pub(crate) fn change_quietly<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.opened().as_mut().ok_or(StoreError::Locked)?.store.change(change)
    }

    pub(crate) fn change_contact<T>(
        &self,
        contact: &str,
        change: impl FnOnce(&Tx<'_>, &ContactRow) -> Result<T, ContactError>,
    ) -> Result<T, ContactError> {
        let key = id(contact).ok_or(ContactError::NoSuchContact)?;
        self.change(|tx| {
            let row = tx.contact(&key)?.ok_or(ContactError::NoSuchContact)?;
            change(tx, &row)
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}
