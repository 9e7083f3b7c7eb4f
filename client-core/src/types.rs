//! The plain records that an app sees. No generics and no lifetimes, so that bindings can carry them as they are.

use crate::care::crisis_card::CrisisCard;
use crate::care::practice_card::PracticeCard;
use crate::note::Note;

/// Names a contact on this device: 32 hexadecimal digits. It never leaves the device.
pub type ContactId = String;

/// Names a message: 32 hexadecimal digits, the same on both devices.
pub type MessageId = String;

/// Milliseconds since the Unix epoch.
pub type Timestamp = u64;

/// The person at the other side, as this device knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Names the contact on this device.
    pub id: ContactId,
    /// What the owner of this device calls them. It never leaves the device.
    pub label: String,
    /// How far the pairing is.
    pub state: ContactState,
    /// Whether the safety words were compared. Until then, every screen says *unverified*.
    pub verified: bool,
    /// The invite travelled as an `https:` link: whoever carried it may have read it. Compare the safety words.
    pub remote_invite: bool,
    /// Somebody tried the invite after it was used. If it was not this contact, compare the safety words.
    pub invite_tried: bool,
    /// The relay no longer lets this device at the channel: another device took this end over, or the relay lost it.
    /// What is sent stays queued here.
    pub locked_out: bool,
    /// Messages that came and were not marked as read.
    pub unread: u64,
    /// Messages of theirs that are known to be missing: their device is asked to send them again.
    pub missing: u64,
    /// Sealed boxes that came and could not be opened.
    pub unopened: u64,
    /// When the newest message was sent or came; when the contact was made, if there is none.
    pub last_activity: Timestamp,
    /// What the rules of therapy say of the conversation.
    pub care: CareState,
    /// How the session with the other device stands.
    pub session: SessionState,
    /// Who tells what was read.
    pub read_receipts: ReadReceipts,
}

/// How the session of two devices stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionState {
    /// This device can no longer read what the other one sends, or seal what it sends: its part of the session is
    /// damaged, or lacks too much. What is sent stays queued. Offer a [reset](crate::Client::reset).
    pub wedged: bool,
    /// A reset was asked for on this device, and the other one has not answered yet.
    pub resetting: bool,
    /// The last time that the two devices began a new session. The safety words are new since, and `verified` was
    /// taken back.
    pub last_reset: Option<LastReset>,
}

/// When two devices began a new session, and which of them asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReset {
    /// When, by this device's clock.
    pub at: Timestamp,
    /// The other device asked for it: its owner did, it was restored from a backup, or somebody has its keys.
    pub by_peer: bool,
}

/// Who tells what was read. It is told only if both do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadReceipts {
    /// This side tells.
    pub ours: bool,
    /// The other side tells, as far as it said.
    pub theirs: bool,
}

/// What the rules of therapy say of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CareState {
    /// Notes of theirs, such as a pause or a farewell, that were not marked as read. They are no unread messages.
    pub unread_notes: u64,
    /// They invited us, so that they are the practice: their card, crisis card and terms are what counts.
    pub is_practice: bool,
    /// Changed terms wait for consent: ours, if they are the practice; else theirs.
    pub terms_waiting: bool,
    /// Since when the oldest message waits that came and was not marked as read: when it was sent, as far as the
    /// sender's clock can be believed.
    pub oldest_unread: Option<Timestamp>,
    /// Since when this side pauses the conversation.
    pub paused_by_us: Option<Timestamp>,
    /// Since when the other side does, by the clock of this device.
    pub paused_by_them: Option<Timestamp>,
    /// They asked for the agreed word, and wait for an answer.
    pub word_asked: bool,
    /// The owner of this device wants to be notified of this contact in quiet hours too.
    pub always_notify: bool,
}

/// How far a pairing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactState {
    /// We invite: the relay does not have everything yet, so the link does not work yet.
    Opening,
    /// We invite: the link can be used, and nobody has.
    Invited,
    /// We join: the invite is being claimed.
    Joining,
    /// We join: the invite is ours, and what it offers waits for consent.
    Consenting,
    /// We joined: the other device was not online since. Messages can be sent.
    Joined,
    /// Both devices trust each other.
    Paired,
    /// No message can be sent or come any more.
    Ended(EndedWhy),
}

/// Why a pairing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedWhy {
    /// The invite had been used before, by another device.
    InviteUsed,
    /// The relay does not know the invite: it expired, or was withdrawn.
    InviteExpired,
    /// The invite was ours, and nobody used it in time.
    Unclaimed,
    /// We did not agree to what was offered.
    Declined,
    /// This side ended it.
    ByUs,
    /// The other side ended it. If it said so itself, there is a [`Farewell`]; else it is what the relay says.
    ByPeer,
    /// The relay refuses the permit that the invite was made with.
    NoPermit,
    /// What the other device offered makes no sense to this version of Tacit.
    BadOffer,
    /// The pairing was not complete when the backup was made from which this device was restored.
    NotRestored,
    /// This side said farewell: the work is done, or goes on elsewhere.
    Discharged,
    /// The other side did.
    DischargedByPeer,
}

/// How a side ended a pairing, as it signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Whether it is ours; if both sides said farewell, it is theirs that is shown.
    pub is_ours: bool,
    /// Whether it is a discharge; if not, the pairing was ended at once.
    pub is_discharge: bool,
    /// What was said; may be empty.
    pub words: String,
    /// When, by the clock of the device that said it.
    pub said_at: Timestamp,
}

/// What an invite offers, to be shown before consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// How the inviting side calls itself.
    pub from: String,
    /// The version of the terms.
    pub terms_version: u64,
    /// The terms.
    pub terms: String,
    /// The practice's card, if it has one.
    pub practice_card: Option<PracticeCard>,
    /// The practice's crisis card, if it has one.
    pub crisis_card: Option<CrisisCard>,
}

/// An invite just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvite {
    /// The contact that it will become.
    pub contact: ContactId,
    /// The link, to be given to one person. It works once the contact's state is [`ContactState::Invited`].
    pub link: String,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It came.
    In,
    /// We sent it.
    Out,
}

/// What became of a message. Every message has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Safe on this device; to be sent when the relay can take it.
    Queued,
    /// The relay keeps it for the other device.
    Accepted {
        /// At the least until then.
        until: Timestamp,
    },
    /// Safe on the other device: that device said so itself.
    Delivered,
    /// The other person has seen it, and both sides agreed to tell.
    Read,
    /// The relay's hold passed before the other device came for it. A receipt that comes after all turns it into
    /// `Delivered`.
    Expired,
    /// It will not reach the other device, as far as can be known.
    Refused(RefusedWhy),
}

/// Why a message will not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedWhy {
    /// The pairing ended before the other device said that it has it.
    Ended,
    /// The relay does not carry boxes of this version.
    NotCarried,
    /// It was cancelled on this device before anything of it was sent.
    Cancelled,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names it on both devices.
    pub id: MessageId,
    /// Of which conversation.
    pub contact: ContactId,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub content: Content,
    /// What became of it, or of its newest edit. What came is `Delivered`, or `Read` once it was marked so, until it is
    /// edited.
    pub outcome: Outcome,
    /// When it was sent, by the sender's clock.
    pub sent_at: Timestamp,
    /// When it came or was queued, by this device's clock.
    pub stored_at: Timestamp,
    /// Something the other side sent just before it is missing so far.
    pub gap_before: bool,
    /// It answers this message, of either side; it may be gone.
    pub reply_to: Option<MessageId>,
    /// Its sender edited it: this is the newest text.
    pub edited: bool,
    /// Its sender withdrew it, and our own retention keeps it.
    pub withdrawn: bool,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A text.
    Text(String),
    /// A file: its bytes come by themselves.
    Attachment(Attachment),
    /// Something that happened to the conversation.
    Note(Note),
    /// Something that this version of Tacit cannot show; a newer one can.
    Unknown,
}

/// A file that one side sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What the sender calls it: a file name without a path, 1 to 255 bytes, nothing in it that turns the direction of
    /// text. What it ends in says nothing of what is in it.
    pub name: String,
    /// What the sender says that is in it. Nothing checks that.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Of a voice note: how long it is.
    pub duration_ms: Option<u32>,
    /// There is a thumbnail: [`Client::thumbnail`](crate::Client::thumbnail).
    pub has_thumbnail: bool,
    /// How far its bytes are.
    pub transfer: TransferState,
}

/// How far the bytes of a file are, on their way from one device to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferState {
    /// They come, or go, whenever both devices are there.
    UnderWay {
        /// Bytes that are safe on the recipient's device, as far as this one knows.
        done: u64,
        /// Bytes in all.
        of: u64,
    },
    /// All of them are safe on the recipient's device, which checked them.
    Whole,
    /// This side cancelled it, or deleted it before it was whole. What had come is erased.
    CancelledByUs,
    /// The other side did.
    CancelledByPeer,
    /// It is larger than what the recipient's device takes.
    TooLarge,
    /// The recipient's device waits for too much already.
    NoRoom,
    /// What came is not what was announced. It is erased; send it again.
    Damaged,
    /// The pairing ended before it was whole.
    Ended,
}

/// A file to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAttachment {
    /// What the recipient sees: a file name without a path, 1 to [`MAX_ATTACHMENT_NAME`](crate::MAX_ATTACHMENT_NAME)
    /// bytes.
    pub name: String,
    /// What is in it, such as `image/png`.
    pub media_type: String,
    /// A small picture of it, at most [`MAX_THUMBNAIL`](crate::MAX_THUMBNAIL) bytes, made by the app.
    pub thumbnail: Option<Vec<u8>>,
    /// Of a voice note: how long it is, at most a day.
    pub duration_ms: Option<u32>,
}

/// A message that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The message.
    pub message: Message,
    /// Some words of it around what was looked for, in order.
    pub excerpt: Vec<Piece>,
}

/// A piece of an excerpt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it says.
    pub text: String,
    /// Whether it is what was looked for.
    pub matched: bool,
}

/// How a relay is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Not started, or stopped.
    Stopped,
    /// Another process that has the same home open is connected, and serves this one too.
    InOtherProcess,
    /// Not connected; the next try comes by itself.
    Offline {
        /// What went wrong at the last try, in words for a person; empty before the first.
        problem: String,
    },
    /// Connected.
    Online,
}

/// What a listener is told. Events say *that* something changed; what is true now is read from the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message came and is stored.
    MessageReceived {
        /// From whom.
        contact: ContactId,
        /// Which one.
        message: MessageId,
    },
    /// A message of ours has another outcome.
    OutcomeChanged {
        /// To whom.
        contact: ContactId,
        /// Which one.
        message: MessageId,
        /// The outcome now.
        outcome: Outcome,
    },
    /// A message was edited or withdrawn.
    MessageChanged {
        /// In which conversation.
        contact: ContactId,
        /// Which one.
        message: MessageId,
    },
    /// A file went forward, or its transfer ended.
    TransferChanged {
        /// Of which conversation.
        contact: ContactId,
        /// The message that announces it.
        message: MessageId,
        /// How it stands now.
        transfer: TransferState,
    },
    /// A contact changed: its state, its flags, its label.
    ContactChanged {
        /// Which one.
        contact: ContactId,
    },
    /// The two devices began a new session: the safety words are new, and the contact is not verified.
    SessionReset {
        /// With whom.
        contact: ContactId,
        /// The other device asked for it.
        by_peer: bool,
    },
    /// The connection to the relays changed.
    ConnectionChanged {
        /// How it is now.
        connection: Connection,
    },
    /// The relay says something to people: maintenance, for instance.
    Notice {
        /// What it says.
        text: String,
    },
    /// Something is to be shown outside of the app: [`Client::take_notifications`](crate::Client::take_notifications)
    /// says what.
    NotificationsDue,
    /// Another process changed the store: read again what is shown.
    StoreChanged,
}

/// Told of events, on a thread of the client. Return quickly, and call nothing of the client that waits.
pub trait Listener: Send + Sync {
    /// Something happened. It is already stored.
    fn on_event(&self, event: Event);
}

/// An enrolment at a relay, from which invites can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The relay's address.
    pub relay: String,
    /// How far it is.
    pub state: EnrolmentState,
    /// How many invites can still be made.
    pub permits_left: u64,
}

/// How far an enrolment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolmentState {
    /// The relay was not reached yet.
    Pending,
    /// Invites can be made.
    Enrolled,
    /// The relay refuses the link: it expired, was used elsewhere, or was revoked.
    Refused,
}
