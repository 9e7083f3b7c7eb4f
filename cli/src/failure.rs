//! What can go wrong with a command, and the one table of codes by which scripts know it.

use std::io;

use serde::Serialize;
use tacit_client_core::{
    AttachmentError, AuthorityError, BackupError, CardError, ConsentFileError, ContactError, DeleteError, EditError,
    EndedWhy, EnrolError, InviteError, JoinError, NetworkError, Offer, OpenError, Outcome, ResetError, RetentionError,
    SendError, SettingsError, StoreError, TransferState, WaitError, WordError,
};

use crate::describe;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error(transparent)]
    Invite(#[from] InviteError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Contact(#[from] ContactError),
    #[error(transparent)]
    Reset(#[from] ResetError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Wait(#[from] WaitError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Retention(#[from] RetentionError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Attachment(#[from] AttachmentError),
    #[error(transparent)]
    Delete(#[from] DeleteError),
    #[error(transparent)]
    Card(#[from] CardError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Word(#[from] WordError),
    #[error(transparent)]
    ConsentFile(#[from] ConsentFileError),
    #[error("there is no home yet; begin with `tacit enrol LINK` (therapists) or `tacit join LINK`")]
    NoHome,
    #[error("this machine names no folder for data; say where the home is with --home DIR")]
    NoDefaultHome,
    #[error("a passphrase is needed; set TACIT_PASSPHRASE, or use --passphrase-file")]
    PassphraseNeeded,
    #[error("the two passphrases differ; nothing was made, try again")]
    PassphrasesDiffer,
    #[error("the passphrase file cannot be read: {0}; nothing was changed")]
    PassphraseFile(#[source] io::Error),
    #[error("the passphrase is not text (UTF-8); nothing was changed")]
    PassphraseNotText,
    #[error("there is no such contact; `tacit contacts` lists them")]
    NoSuchContact,
    #[error("{0}")]
    AmbiguousContact(String),
    #[error("the label is empty")]
    EmptyLabel,
    #[error("the relay was not reached in time{problem}; the enrolment is kept, and goes on with the next connection")]
    EnrolmentPending { problem: String },
    #[error(
        "the relay refuses this enrolment link: it expired, was used on another device, or was revoked; ask the \
         relay's operator for another one"
    )]
    EnrolmentRefused,
    #[error(
        "the relay was not reached in time{problem}, so the link does not work yet; the invite is kept, and `tacit \
         invite --show CONTACT` prints the link once the relay was reached"
    )]
    InviteNotOpen { problem: String },
    #[error("this invite was used, or is over; make a new one with `tacit invite`")]
    InviteGone,
    #[error("the relay was not reached in time{problem}; what was done is kept, run the same command again to go on")]
    JoinPending { problem: String },
    #[error(
        "the terms were not agreed to; the invite is kept for this device: run the same command again, with \
         --accept-terms, to agree"
    )]
    TermsNotAccepted(Box<Offer>),
    #[error("{}", describe::ended(*.0))]
    PairingEnded(EndedWhy),
    #[error("{}", describe::not_reached(*.outcome, .problem))]
    NotReached { outcome: Outcome, problem: String },
    #[error("the file did not get there: {}", describe::transfer_words(*.0))]
    NotTaken(TransferState),
    #[error(
        "the relay no longer lets this device into the conversation, so this was not sent: another device took it over, \
         or the relay lost it. It is kept here; pair again with a new invite"
    )]
    LockedOut,
    #[error(
        "there are no safety words yet: a new session was asked for, and their device has not answered; connect again \
         later"
    )]
    NoWordsYet,
    #[error("this needs a yes; use --yes where nobody can be asked. Nothing was changed")]
    NotConfirmed,
    #[error("the file cannot be read: {0}; nothing was changed")]
    File(#[source] io::Error),
    #[error("the file, or what was written on the command line, cannot be understood: {0}; nothing was changed")]
    BadFile(String),
    #[error("there is no practice card yet; write one, and sign it with `tacit practice set FILE`")]
    NoPracticeCard,
    #[error("there is no crisis card of this practice; write one, and sign it with `tacit practice crisis FILE`")]
    NoCrisisCard,
    #[error("this is no time; write it as 2026-06-05T18:00:00+02:00")]
    NotATime,
    #[error("the time zone of this device is not known; name one with --zone")]
    NoZone,
    #[error("the word is needed; use --word-file where nobody can be asked")]
    WordNeeded,
    #[error("this needs a terminal, and has no JSON; scripts use `send`, `sync` and `history`")]
    NotATerminal,
    #[error("the terminal cannot be used: {0}; what was stored before is kept")]
    Terminal(#[source] io::Error),
    #[error("stdin cannot be read as text: {0}; what was read before is kept")]
    Stdin(#[source] io::Error),
    #[error("the output cannot be written: {0}; nothing was lost")]
    Output(#[source] io::Error),
    #[error("the demo cannot be set up: {0}")]
    Demo(String),
    #[error("{0}; see `tacit help`")]
    Usage(&'static str),
    #[error("interrupted; what was stored before is kept")]
    Interrupted,
}

/// One error as a script reads it.
#[derive(Serialize)]
struct ErrorLine<'a> {
    error: &'a str,
    message: String,
    #[serde(flatten)]
    terms: Option<Terms<'a>>,
}

/// What must be agreed to: part of `terms_not_accepted`.
#[derive(Serialize)]
struct Terms<'a> {
    from: &'a str,
    terms_version: u64,
    terms: &'a str,
}

impl Failure {
    /// The code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
            _ => 1,
        }
    }

    /// The error as one JSON object.
    pub(crate) fn to_json(&self) -> String {
        let terms = match self {
            Self::TermsNotAccepted(offer) => {
                Some(Terms { from: &offer.from, terms_version: offer.terms_version, terms: &offer.terms })
            }
            _ => None,
        };
        error_json(self.code(), self.to_string(), terms)
    }

    /// By what scripts know it. A code is never used again for another meaning.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => open(error),
            Self::Authority(_) => "authority_unusable",
            Self::Store(error) => store(error),
            Self::Enrol(error) => match error {
                EnrolError::Link(_) => "bad_link",
                EnrolError::AlreadyUsed => "enrolment_already_used",
                EnrolError::BadName => "bad_name",
                EnrolError::Store(error) => store(error),
            },
            Self::Invite(error) => match error {
                InviteError::NotEnrolled => "not_enrolled",
                InviteError::NoPermitsLeft => "no_permits_left",
                InviteError::BadExpiry => "bad_expiry",
                InviteError::Store(error) => store(error),
            },
            Self::Join(error) => match error {
                JoinError::Link(_) => "bad_link",
                JoinError::OwnInvite => "own_invite",
                JoinError::Store(error) => store(error),
            },
            Self::Contact(error) => match error {
                ContactError::NoSuchContact => "no_such_contact",
                ContactError::NoSuchMessage => "no_such_message",
                ContactError::WrongState => "wrong_state",
                ContactError::TooLong => "words_too_long",
                ContactError::OtherWords => "other_words",
                ContactError::OtherTerms => "other_terms",
                ContactError::Store(error) => store(error),
            },
            Self::Reset(error) => match error {
                ResetError::NoSuchContact => "no_such_contact",
                ResetError::WrongState => "wrong_state",
                ResetError::TooOften => "too_often",
                ResetError::Store(error) => store(error),
            },
            Self::Send(error) => send(error),
            Self::Wait(error) => match error {
                WaitError::TimedOut { .. } => "timed_out",
                WaitError::NothingToWaitFor => "nothing_to_wait_for",
                WaitError::Store(error) => store(error),
            },
            Self::Backup(error) => backup(error),
            Self::Retention(error) => match error {
                RetentionError::BadPeriod => "bad_period",
                RetentionError::Contact(ContactError::Store(error)) | RetentionError::Store(error) => store(error),
                RetentionError::Contact(_) => "no_such_contact",
            },
            Self::Network(error) => match error {
                NetworkError::NotAProxy => "not_a_proxy",
                NetworkError::Store(error) => store(error),
            },
            Self::Delete(error) => delete(error),
            Self::Edit(error) => match error {
                EditError::NoSuchMessage => "no_such_message",
                EditError::TooLate => "too_late",
                EditError::BadLength => "text_length",
                EditError::Send(error) => send(error),
                EditError::Delete(error) => delete(error),
                EditError::Store(error) => store(error),
            },
            Self::Card(error) => match error {
                CardError::NotEnrolled => "not_enrolled",
                CardError::BadName => "bad_name",
                CardError::UnknownZone => "unknown_zone",
                CardError::BadHours => "bad_hours",
                CardError::BadException => "bad_exception",
                CardError::BadResponseTime => "bad_response_time",
                CardError::Empty => "text_empty",
                CardError::TooLong => "text_too_long",
                CardError::BadLocale => "bad_locale",
                CardError::Store(error) => store(error),
            },
            Self::Settings(error) => match error {
                SettingsError::BadWords => "bad_words",
                SettingsError::UnknownZone => "unknown_zone",
                SettingsError::BadHours => "bad_hours",
                SettingsError::Store(error) => store(error),
            },
            Self::Word(error) => match error {
                WordError::NoSuchContact => "no_such_contact",
                WordError::WrongState => "wrong_state",
                WordError::BadLength => "bad_word",
                WordError::NoWord => "no_word",
                WordError::AlreadyAsked => "already_asked",
                WordError::NotAsked => "not_asked",
                WordError::TooMany { .. } => "too_many_words",
                WordError::NoMemory => "no_memory",
                WordError::Store(error) => store(error),
            },
            Self::ConsentFile(error) => match error {
                ConsentFileError::NotAConsent => "not_a_consent",
                ConsentFileError::NewerVersion => "newer_consent",
                ConsentFileError::NotSigned => "not_signed",
                ConsentFileError::Differs => "consent_differs",
            },
            Self::File(_) => "file",
            Self::BadFile(_) => "bad_file",
            Self::NoPracticeCard => "no_practice_card",
            Self::NoCrisisCard => "no_crisis_card",
            Self::NotATime => "not_a_time",
            Self::NoZone => "no_zone",
            Self::WordNeeded => "word_needed",
            Self::Attachment(error) => attachment(error),
            Self::NoHome => "no_home",
            Self::NoDefaultHome => "no_default_home",
            Self::PassphraseNeeded => "passphrase_needed",
            Self::PassphrasesDiffer => "passphrases_differ",
            Self::PassphraseFile(_) => "passphrase_file",
            Self::PassphraseNotText => "passphrase_not_text",
            Self::NoSuchContact => "no_such_contact",
            Self::AmbiguousContact(_) => "ambiguous_contact",
            Self::EmptyLabel => "empty_label",
            Self::EnrolmentPending { .. } => "enrolment_pending",
            Self::EnrolmentRefused => "enrolment_refused",
            Self::InviteNotOpen { .. } => "invite_not_open",
            Self::InviteGone => "invite_gone",
            Self::JoinPending { .. } => "join_pending",
            Self::TermsNotAccepted(_) => "terms_not_accepted",
            Self::PairingEnded(why) => describe::ended_code(*why),
            Self::NotReached { outcome, .. } => match outcome {
                Outcome::Expired => "message_expired",
                Outcome::Refused(_) => "message_refused",
                _ => "timed_out",
            },
            Self::NotTaken(transfer) => describe::transfer_code(*transfer),
            Self::LockedOut => "locked_out",
            Self::NoWordsYet => "no_words_yet",
            Self::NotConfirmed => "not_confirmed",
            Self::NotATerminal => "not_a_terminal",
            Self::Terminal(_) => "terminal",
            Self::Stdin(_) => "stdin",
            Self::Output(_) => "output",
            Self::Demo(_) => "demo",
            Self::Usage(_) => USAGE,
            Self::Interrupted => "interrupted",
        }
    }
}

const fn open(error: &OpenError) -> &'static str {
    match error {
        OpenError::WrongPassphrase => "wrong_passphrase",
        OpenError::WrongKeyKind => "wrong_key_kind",
        OpenError::EmptyPassphrase => "empty_passphrase",
        OpenError::Damaged => "store_damaged",
        OpenError::NewerFormat => "newer_format",
        OpenError::Locked => "locked",
        OpenError::Erased => "home_erased",
        OpenError::Io(_) => "home_unusable",
    }
}

const fn send(error: &SendError) -> &'static str {
    match error {
        SendError::NoSuchContact => "no_such_contact",
        SendError::NoSuchMessage => "no_such_message",
        SendError::Empty => "message_empty",
        SendError::TooLong => "message_too_long",
        SendError::NotPaired => "not_paired",
        SendError::Ended => "conversation_ended",
        SendError::Paused => "paused",
        SendError::TermsChanged => "terms_changed",
        SendError::Store(error) => store(error),
    }
}

const fn delete(error: &DeleteError) -> &'static str {
    match error {
        DeleteError::NoSuchContact => "no_such_contact",
        DeleteError::NoSuchMessage => "no_such_message",
        DeleteError::LegalHold => "legal_hold",
        DeleteError::MustKeep { .. } => "must_keep",
        DeleteError::Store(error) => store(error),
    }
}

const fn backup(error: &BackupError) -> &'static str {
    match error {
        BackupError::NotABackup => "not_a_backup",
        BackupError::NewerFormat => "newer_format",
        BackupError::WrongSecret => "wrong_secret",
        BackupError::WrongSecretKind => "wrong_secret_kind",
        BackupError::EmptyPassphrase => "empty_passphrase",
        BackupError::BadWords => "bad_words",
        BackupError::Truncated => "backup_truncated",
        BackupError::Damaged => "backup_damaged",
        BackupError::TooLong => "too_long",
        BackupError::HomeExists => "home_exists",
        BackupError::Open(error) => open(error),
        BackupError::Store(error) => store(error),
        BackupError::Io(_) => "backup_file",
    }
}

const fn attachment(error: &AttachmentError) -> &'static str {
    match error {
        AttachmentError::Send(error) => send(error),
        AttachmentError::BadName => "bad_name",
        AttachmentError::BadMediaType => "bad_media_type",
        AttachmentError::ThumbnailTooLarge => "thumbnail_too_large",
        AttachmentError::BadDuration => "bad_duration",
        AttachmentError::TooLarge { .. } => "file_too_large",
        AttachmentError::Unreadable(_) => "file_unreadable",
        AttachmentError::GivenUp => "given_up",
        AttachmentError::NoSuchMessage => "no_such_message",
        AttachmentError::NotAnAttachment => "not_a_file",
        AttachmentError::NotWhole => "not_whole",
        AttachmentError::NotHere => "not_here",
        AttachmentError::Over => "over",
        AttachmentError::Exists => "file_exists",
        AttachmentError::Unwritable(_) => "file_unwritable",
        AttachmentError::Store(error) => store(error),
    }
}

const fn store(error: &StoreError) -> &'static str {
    match error {
        StoreError::DiskFull => "disk_full",
        StoreError::Busy => "store_busy",
        StoreError::Damaged => "store_damaged",
        StoreError::Locked => "locked",
        StoreError::Erased => "home_erased",
        StoreError::NewerFormat => "newer_format",
        StoreError::Io(_) => "store_unusable",
    }
}

const USAGE: &str = "usage";

/// A usage error as one JSON object.
pub(crate) fn usage_json(message: String) -> String {
    error_json(USAGE, message, None)
}

fn error_json(error: &str, message: String, terms: Option<Terms<'_>>) -> String {
    // Strings and numbers always serialise.
    serde_json::to_string(&ErrorLine { error, message, terms }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn value(failure: &Failure) -> Value {
        serde_json::from_str(&failure.to_json()).unwrap()
    }

    #[test]
    fn an_error_is_a_code_and_a_sentence() {
        assert_eq!(
            value(&Failure::Open(OpenError::WrongPassphrase)),
            json!({"error": "wrong_passphrase", "message": "wrong passphrase; nothing was changed, try again"})
        );
    }

    #[test]
    fn terms_to_agree_to_come_with_the_error() {
        let offer = Offer {
            from: "Dr. Weiss".into(),
            terms_version: 3,
            terms: "Be kind.".into(),
            practice_card: None,
            crisis_card: None,
        };
        let value = value(&Failure::TermsNotAccepted(Box::new(offer)));
        assert_eq!(value["error"], "terms_not_accepted");
        assert_eq!(value["from"], "Dr. Weiss");
        assert_eq!(value["terms"], "Be kind.");
        assert_eq!(value["terms_version"], 3);
    }

    #[test]
    fn one_cause_has_one_code_whichever_operation_met_it() {
        let full = || StoreError::DiskFull;
        for failure in [
            Failure::Store(full()),
            Failure::Enrol(EnrolError::Store(full())),
            Failure::Invite(InviteError::Store(full())),
            Failure::Join(JoinError::Store(full())),
            Failure::Contact(ContactError::Store(full())),
            Failure::Reset(ResetError::Store(full())),
            Failure::Send(SendError::Store(full())),
            Failure::Wait(WaitError::Store(full())),
        ] {
            assert_eq!(failure.code(), "disk_full");
        }
    }

    #[test]
    fn each_way_to_end_has_its_code_and_says_what_to_do() {
        let used = value(&Failure::PairingEnded(EndedWhy::InviteUsed));
        assert_eq!(used["error"], "invite_used");
        assert!(used["message"].as_str().unwrap().contains("if that was not you, tell your therapist"));
        let all = describe::ALL_ENDED.map(|why| Failure::PairingEnded(why).code());
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }

    #[test]
    fn a_missed_wait_tells_how_far_the_message_got() {
        let queued = Failure::NotReached { outcome: Outcome::Queued, problem: String::new() };
        assert_eq!(queued.code(), "timed_out");
        assert!(queued.to_string().contains("kept"));
        let expired = Failure::NotReached { outcome: Outcome::Expired, problem: String::new() };
        assert_eq!(expired.code(), "message_expired");
    }

    #[test]
    fn only_an_interruption_and_what_is_no_command_line_have_exit_codes_of_their_own() {
        assert_eq!(Failure::Interrupted.exit_code(), 130);
        assert_eq!(Failure::Usage("what").exit_code(), 2);
        assert_eq!(Failure::NoHome.exit_code(), 1);
    }
}
