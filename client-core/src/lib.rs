//! Everything a Tacit device needs, for apps of every kind: keys, pairing, sealed boxes, sessions, outbox, an encrypted
//! store, and the connection to relays.
//!
//! An app sees one type, [`Client`], plain records, typed errors, and a [`Listener`]. What a device promises is in the
//! project's `README.md`; what it says to relays and to other devices is in `proto/README.md`, to the byte.

/// The examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod guide {}

mod agreed_word;
mod backup;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod care;
mod client;
mod content;
mod conversation;
mod crypto;
mod driver;
mod edits;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod life_cycle;
mod lock;
mod net;
mod network;
mod new_file;
mod note;
mod notifications;
mod pairing;
mod pulse;
mod reset;
mod restore;
mod retention;
mod rotation;
mod search;
#[cfg(test)]
mod simulation;
mod statements;
mod store;
mod transfers;
mod types;

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code))]
mod testing;

pub use backup::{BackupSecret, BackupSecretKind, recovery_words};
pub use care::agreed_word::{AgreedWord, Asked, Given, WordAnswer};
pub use care::consent_file::{CheckedConsent, ConsentFileError, check_consent};
pub use care::crisis_card::{
    CrisisCall, CrisisCard, CrisisReason, CrisisText, SignedCrisisCard, crisis_reason, crisis_text, default_crisis_text,
};
pub use care::hours::{Day, DayHours, HoursException, NotADay, WeekHours, Weekday};
pub use care::notification::{Notification, NotificationSettings, Notifications, Showing, days_waited};
pub use care::practice_card::{
    Availability, Away, Expectation, PracticeCard, ResponseTime, SignedPracticeCard, availability, expectation,
    expected_answer_by,
};
pub use care::quiet_hours::{QuietHours, quiet_until};
pub use care::terms::Terms;
pub use client::Client;
pub use client::crisis::Crisis;
pub use client::terms::Consent;
pub use content::{MAX_ATTACHMENT_NAME, MAX_REPLY, MAX_TEXT, MAX_THUMBNAIL};
pub use error::{
    AttachmentError, AuthorityError, BackupError, CardError, ContactError, DeleteError, EditError, EnrolError,
    InviteError, JoinError, NetworkError, OpenError, ResetError, RetentionError, SendError, SettingsError, StoreError,
    WaitError, WordError,
};
pub use network::NetworkSettings;
pub use note::Note;
pub use retention::{Keep, Retention, Retentions};
pub use store::StoreKey;
pub use tacit_proto::link::{AddressError, LinkError};
pub use types::{
    Attachment, CareState, Connection, Contact, ContactId, ContactState, Content, Direction, EndedWhy, Enrolment,
    EnrolmentState, Event, Farewell, Found, LastReset, Listener, Message, MessageId, NewAttachment, NewInvite, Offer,
    Outcome, Piece, ReadReceipts, RefusedWhy, SessionState, Timestamp, TransferState,
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The names of public methods in the `impl Client` blocks of a file, and of those in its folders.
    fn calls(path: &Path, into: &mut Vec<String>) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                calls(&entry.unwrap().path(), into);
            }
            return;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for block in text.split("\nimpl Client {").skip(1) {
            let block = block.split("\n}").next().unwrap();
            let names = block.lines().filter_map(|line| line.strip_prefix("    pub fn ")?.split('(').next());
            into.extend(names.map(str::to_owned));
        }
    }

    #[test]
    fn every_call_of_a_client_is_in_the_guide() {
        let mut all = Vec::new();
        calls(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
        assert!(all.len() > 50, "{}", all.len());
        let guide = include_str!("../README.md");
        let words: Vec<_> = guide.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        all.retain(|name| !words.contains(&name.as_str()));
        assert_eq!(all, Vec::<String>::new(), "the guide does not show these");
    }
}
