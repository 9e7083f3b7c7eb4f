//! What can go wrong, one type per operation. Each text says what happened, what was kept, and what to do.

use tacit_proto::link::LinkError;

use crate::retention::MustStay;
use crate::types::Timestamp;

/// Why a home could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The passphrase does not open this home. Nothing was changed.
    #[error("wrong passphrase; nothing was changed, try again")]
    WrongPassphrase,
    /// The home needs a passphrase (or key) and none was given, or the other kind was.
    #[error("this home was set up with another kind of key; open it with the one it was made with")]
    WrongKeyKind,
    /// A passphrase that is empty.
    #[error("the passphrase is empty; choose one, it protects everything on this device")]
    EmptyPassphrase,
    /// The files are damaged.
    #[error("the store is damaged and was left as it is; restore a backup, or keep a copy and ask for help")]
    Damaged,
    /// Written by a newer version.
    #[error("the store was written by a newer version of Tacit; update this one")]
    NewerFormat,
    /// The client is locked.
    #[error("this device is locked; unlock it first")]
    Locked,
    /// The home was erased.
    #[error("this home was erased; what may be left of its files cannot be opened any more, remove them")]
    Erased,
    /// The folder cannot be read or written.
    #[error("the home folder cannot be used: {0}; nothing was changed")]
    Io(String),
}

/// Why an authority's root certificate is of no use. Nothing more is trusted than before.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file cannot be read.
    #[error("the authority's file cannot be read: {0}; nothing more is trusted than before")]
    Unreadable(String),
    /// It is not what it should be.
    #[error("the authority's file must be PEM, with exactly one root certificate; nothing more is trusted than before")]
    NotOneRoot,
}

/// Why relays are reached as before.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The proxy's address cannot be read.
    #[error("a proxy is written socks5://HOST:PORT, for instance socks5://127.0.0.1:9050; nothing was changed")]
    NotAProxy,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the store could not carry out a change. The change was not made, and nothing else was lost.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the disk is full; nothing was lost, free some space and try again")]
    DiskFull,
    /// Another process kept the store busy for too long.
    #[error("another process keeps the store busy; nothing was lost, try again")]
    Busy,
    /// The files are damaged.
    #[error("the store is damaged; keep a copy of it and restore a backup")]
    Damaged,
    /// The client is locked: nothing can be read or changed until it is unlocked.
    #[error("this device is locked; nothing was lost, unlock it first")]
    Locked,
    /// The home was erased, by this process or another.
    #[error("this home was erased, and everything in it is gone")]
    Erased,
    /// A newer version of Tacit has moved the store on while this one was running.
    #[error(
        "a newer version of Tacit has taken over this store; nothing was lost, end this program and start the new one"
    )]
    NewerFormat,
    /// Anything else that the file system or SQLite says.
    #[error("the store cannot be used now: {0}; nothing was lost, try again")]
    Io(String),
}

/// Why an enrolment could not be begun.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The link is not one.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This link was used on this device before.
    #[error("this enrolment link was already used on this device; its invites are there")]
    AlreadyUsed,
    /// The name is empty or longer than 200 bytes.
    #[error("the name that clients will see must be 1 to 200 bytes long")]
    BadName,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an invite could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// No enrolment was ever begun on this device.
    #[error("this device is not enrolled at a relay; ask the relay's operator for an enrolment link")]
    NotEnrolled,
    /// All permits are used up.
    #[error("all invites of this device's enrolments are used up; ask the relay's operator for another enrolment link")]
    NoPermitsLeft,
    /// The time to join is zero or beyond the longest hold.
    #[error("an invite can be open for 1 second to 90 days")]
    BadExpiry,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an invite could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The link is not one.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This device made the invite.
    #[error("this invite was made on this device; give it to the person you want to write with")]
    OwnInvite,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a call about a contact or message could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ContactError {
    /// There is no such contact.
    #[error("there is no such contact")]
    NoSuchContact,
    /// There is no such message.
    #[error("there is no such message")]
    NoSuchMessage,
    /// The pairing is not far enough for it, or ended.
    #[error("this cannot be done in the contact's present state")]
    WrongState,
    /// The words are too long.
    #[error("the words are too long; nothing was done")]
    TooLong,
    /// The safety words are other ones by now.
    #[error("there are new safety words since; nothing was marked, compare the new ones")]
    OtherWords,
    /// These terms are not the newest any more.
    #[error("the terms changed again in the meantime; nothing was agreed to, read the newest ones")]
    OtherTerms,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a message or a conversation could not be deleted. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// There is no such contact.
    #[error("there is no such contact")]
    NoSuchContact,
    /// There is no such message.
    #[error("there is no such message")]
    NoSuchMessage,
    /// Our own rule for this conversation is a legal hold.
    #[error("this conversation is under a legal hold; nothing was deleted, lift the hold first")]
    LegalHold,
    /// Our own rule for this conversation says that it must be kept.
    #[error("this conversation is to be kept for some years; nothing was deleted, change the retention first")]
    MustKeep {
        /// Until then.
        until: Timestamp,
    },
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<MustStay> for DeleteError {
    fn from(why: MustStay) -> Self {
        match why {
            MustStay::LegalHold => Self::LegalHold,
            MustStay::Until(until) => Self::MustKeep { until },
        }
    }
}

/// Why a message was not edited or withdrawn.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such text of ours.
    #[error("there is no such text of yours; nothing was changed")]
    NoSuchMessage,
    /// It was sent more than a day ago.
    #[error("a text can be edited or withdrawn for a day; nothing was changed, write another one")]
    TooLate,
    /// There is no text in it, or too much.
    #[error("a text has 1 to 13,900 bytes; nothing was changed")]
    BadLength,
    /// Nothing can be written to this contact now.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Our own retention forbids to delete it.
    #[error(transparent)]
    Delete(#[from] DeleteError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a backup could not be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is something else.
    #[error("this is no backup of Tacit; nothing was changed")]
    NotABackup,
    /// Written by a newer version.
    #[error("the backup was written by a newer version of Tacit; update this one")]
    NewerFormat,
    /// The secret does not open this backup.
    #[error("the backup was made with another passphrase, or with other words; nothing was changed, try again")]
    WrongSecret,
    /// A passphrase was given for a backup that asks for words, or the other way around.
    #[error(
        "this backup was made with the other kind of secret: a passphrase instead of recovery words, or words instead"
    )]
    WrongSecretKind,
    /// A passphrase that is empty.
    #[error("the passphrase is empty; choose one, it protects everything in the backup")]
    EmptyPassphrase,
    /// Not 24 words of the list, or not these in this order.
    #[error("these are not 24 recovery words: one is missing, misspelt, or in the wrong place")]
    BadWords,
    /// The file ends too early.
    #[error("the backup ends too early: it was cut off; nothing was changed, use another copy")]
    Truncated,
    /// The file is not as it was written, or does not make sense.
    #[error("the backup is damaged, altered or cut off; nothing was changed, use another copy")]
    Damaged,
    /// Something in the store is too long for a backup.
    #[error("something in the store is too long for a backup; nothing was lost")]
    TooLong,
    /// There is a home already.
    #[error("there is a home here already; restore into another folder, or erase it first")]
    HomeExists,
    /// The home could not be opened or made.
    #[error(transparent)]
    Open(OpenError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the file system says of the file.
    #[error("the backup file cannot be used: {0}; nothing was changed")]
    Io(String),
}

/// Why a retention could not be set. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The period is zero or too long.
    #[error("a conversation can be kept for 1 to 100 years, or for 1 to 36,500 days; nothing was changed")]
    BadPeriod,
    /// See [`ContactError`].
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a card or a text of the practice could not be signed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// No enrolment was ever begun on this device, so it has no name to sign with.
    #[error("this device is not enrolled at a relay; ask the relay's operator for an enrolment link")]
    NotEnrolled,
    /// The practice's name is empty or longer than 200 bytes.
    #[error("the practice's name must be 1 to 200 bytes long")]
    BadName,
    /// The time zone is none that this version knows.
    #[error("there is no such time zone; use an IANA name such as Europe/Zurich")]
    UnknownZone,
    /// Too many hours, or hours that end before they begin or last longer than a day.
    #[error(
        "the hours make no sense: each begins on its day, ends later and lasts 24 hours at most; at most 64 of them"
    )]
    BadHours,
    /// Too many exceptions, or one whose last day is before its first.
    #[error("an exception makes no sense: its first day is not after its last; at most 100 of them, of 8 hours each")]
    BadException,
    /// The response time is zero or longer than a year.
    #[error("the response time must be between one minute (or the same working day) and a year")]
    BadResponseTime,
    /// A text is empty where it must not be.
    #[error("a text is empty where something must be said")]
    Empty,
    /// A text is too long.
    #[error("a text is too long")]
    TooLong,
    /// The locale is no language tag, or comes twice.
    #[error("each text needs a language tag of its own, such as en or de-CH")]
    BadLocale,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no new session was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// There is no such contact.
    #[error("there is no such contact")]
    NoSuchContact,
    /// The pairing is not complete yet, or ended.
    #[error("only a complete pairing that has not ended can be reset")]
    WrongState,
    /// There were too many within a day.
    #[error("this conversation was reset too often today; nothing was changed, try again tomorrow")]
    TooOften,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a message could not be queued.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such contact.
    #[error("there is no such contact")]
    NoSuchContact,
    /// The text is empty.
    #[error("the message is empty")]
    Empty,
    /// The text is longer than [`MAX_TEXT`](crate::MAX_TEXT) bytes.
    #[error("the message is longer than 14,000 bytes; send it in parts")]
    TooLong,
    /// There is no such message in this conversation to be answered.
    #[error("there is no such message in this conversation; nothing was sent")]
    NoSuchMessage,
    /// The invite was not used yet, or what it offers was not agreed to.
    #[error("the pairing with this contact is not complete yet; nothing was sent")]
    NotPaired,
    /// The pairing ended.
    #[error("the conversation with this contact has ended; nothing was sent")]
    Ended,
    /// One side paused the conversation.
    #[error(
        "the conversation is paused; nothing was sent. In an emergency, do not wait: the crisis card says whom to call"
    )]
    Paused,
    /// The practice changed its terms, and they were not agreed to yet.
    #[error("the terms have changed: read them and agree to them, then write; nothing was sent")]
    TermsChanged,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the agreed word could not be set, asked for or answered.
#[derive(Debug, thiserror::Error)]
pub enum WordError {
    /// There is no such contact.
    #[error("there is no such contact")]
    NoSuchContact,
    /// The pairing is not far enough for it, or ended.
    #[error("this cannot be done in the contact's present state")]
    WrongState,
    /// Fewer than 4 characters, or more than 100 bytes.
    #[error("the agreed word must have at least 4 characters, and at most 100 bytes; longer is harder to guess")]
    BadLength,
    /// There is no agreed word on this device.
    #[error("there is no agreed word for this contact on this device; agree on one in person, and set it first")]
    NoWord,
    /// An earlier question waits for its answer.
    #[error("they were asked already, and have not answered yet; ask again a day later")]
    AlreadyAsked,
    /// Nothing was asked, or it was answered.
    #[error("they did not ask for the agreed word, or it was answered")]
    NotAsked,
    /// Too many wrong answers, or too many answers given.
    #[error("the agreed word was tried too often; reach them in another way, or wait a day")]
    TooMany {
        /// Until when.
        until: Timestamp,
    },
    /// There is no memory to work with the word.
    #[error("this device has too little free memory for it; close something and try again")]
    NoMemory,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a file was not sent, cancelled, read or saved.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentError {
    /// Nothing can be sent to this contact.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The name is no file name.
    #[error("the name must be that of a file, without a path or control characters, 1 to 255 bytes long")]
    BadName,
    /// The media type is none.
    #[error("the media type must look like image/png, and be at most 127 bytes long")]
    BadMediaType,
    /// The thumbnail is longer than [`MAX_THUMBNAIL`](crate::MAX_THUMBNAIL) bytes.
    #[error("the thumbnail is larger than 12,000 bytes; make a smaller one")]
    ThumbnailTooLarge,
    /// The duration is zero or longer than a day.
    #[error("a voice note must last between a millisecond and a day")]
    BadDuration,
    /// It is larger than what this device sends.
    #[error("the file is larger than {limit} bytes, which is the most that is sent; nothing was sent")]
    TooLarge {
        /// The most, in bytes.
        limit: u64,
    },
    /// The file cannot be read.
    #[error("the file cannot be read: {0}; nothing was sent")]
    Unreadable(String),
    /// What was being copied in was given up, or finished, before.
    #[error("this file was given up, or finished, before; nothing more was sent")]
    GivenUp,
    /// There is no such message.
    #[error("there is no such message")]
    NoSuchMessage,
    /// The message is no file.
    #[error("this message is not a file")]
    NotAnAttachment,
    /// Not all of it came yet.
    #[error("not all of this file has come yet; it comes by itself, try again later")]
    NotWhole,
    /// Its bytes are not on this device any more.
    #[error("this file is not on this device any more: it was cancelled, refused or damaged")]
    NotHere,
    /// There is nothing to cancel.
    #[error("this file is not under way any more; nothing was changed")]
    Over,
    /// There is something at the path.
    #[error("there is a file of that name already, and it was left as it is; choose another name")]
    Exists,
    /// The path cannot be written.
    #[error("the file cannot be written: {0}; nothing is left of it")]
    Unwritable(String),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a setting was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The words of notifications are empty or longer than 100 bytes.
    #[error("the words of a notification must be 1 to 100 bytes long")]
    BadWords,
    /// The time zone is none that this version knows.
    #[error("there is no such time zone; use an IANA name such as Europe/Zurich")]
    UnknownZone,
    /// No hours, too many, or hours that end before they begin or last longer than a day.
    #[error("the hours make no sense: 1 to 64 of them, each ending after it begins and lasting 24 hours at most")]
    BadHours,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a wait ended early. What was waited for goes on by itself.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The time is up.
    #[error("not done in the time given{problem}; everything is kept and goes on with the next connection")]
    TimedOut {
        /// What is wrong with the connection, as words to be appended; may be empty.
        problem: String,
    },
    /// There is no such contact or message.
    #[error("there is nothing of that name to wait for")]
    NothingToWaitFor,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
