//! What scripts read: the JSON objects of the answers. Fields are only ever added.

use serde::Serialize;
use tacit_client_core::{
    Attachment, Contact, ContactState, Content, Direction, Found, Message, Outcome, TransferState,
};

use crate::care::Expected;
use crate::describe;
use crate::notes;

/// Answer of `enrol`.
#[derive(Serialize)]
pub(crate) struct Enrolled {
    pub(crate) relay: String,
    pub(crate) state: &'static str,
    pub(crate) permits_left: u64,
}

/// Answer of `invite`.
#[derive(Serialize)]
pub(crate) struct Invited {
    pub(crate) contact: String,
    pub(crate) link: String,
    /// Seconds; absent where an earlier invite is shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in: Option<u64>,
}

/// Answer of `words`.
#[derive(Serialize)]
pub(crate) struct Words {
    pub(crate) contact: String,
    pub(crate) words: Vec<String>,
    pub(crate) verified: bool,
}

/// Answer of `search`, one per message.
#[derive(Serialize)]
pub(crate) struct FoundLine {
    #[serde(flatten)]
    message: MessageLine,
    excerpt: Vec<PieceOfExcerpt>,
}

#[derive(Serialize)]
struct PieceOfExcerpt {
    text: String,
    matched: bool,
}

impl From<Found> for FoundLine {
    fn from(found: Found) -> Self {
        let excerpt = found.excerpt.into_iter();
        Self {
            message: MessageLine::with_contact(found.message),
            excerpt: excerpt.map(|piece| PieceOfExcerpt { text: piece.text, matched: piece.matched }).collect(),
        }
    }
}

/// Answer of `send`, one per message.
#[derive(Serialize)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) contact: String,
    pub(crate) outcome: &'static str,
    /// When the practice reads, and answers, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<Expected>,
}

/// Answer of `end`.
#[derive(Serialize)]
pub(crate) struct Ended {
    pub(crate) contact: String,
    pub(crate) state: &'static str,
    /// Whether the relay knows it already; if not, it is told at the next connection.
    pub(crate) told: bool,
}

/// Answer of `reset`.
#[derive(Serialize)]
pub(crate) struct Reset {
    pub(crate) contact: String,
    /// Whether the other device answered in the time given.
    pub(crate) answered: bool,
}

/// Answer of `resend`.
#[derive(Serialize)]
pub(crate) struct Resent {
    pub(crate) contact: String,
    pub(crate) messages: u64,
    /// Whether the relay has them already.
    pub(crate) sent: bool,
}

/// Answer of `receipts`.
#[derive(Serialize)]
pub(crate) struct Receipts {
    pub(crate) contact: String,
    pub(crate) ours: bool,
    pub(crate) theirs: bool,
}

/// A contact: a line of `contacts`, and the answer of `join` and `rename`.
#[derive(Serialize)]
pub(crate) struct ContactLine {
    contact: String,
    label: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'static str>,
    verified: bool,
    unread: u64,
    missing: u64,
    unopened: u64,
    remote_invite: bool,
    invite_tried: bool,
    locked_out: bool,
    wedged: bool,
    resetting: bool,
    /// Present if there was a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reset: Option<ResetLine>,
    read_receipts: bool,
    peer_read_receipts: bool,
    last_activity: u64,
    /// They invited this device.
    is_practice: bool,
    /// Changed terms wait for consent: ours, if they are the practice; else theirs.
    terms_waiting: bool,
    word_asked: bool,
    always_notify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_by_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_by_them: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_unread: Option<u64>,
}

#[derive(Serialize)]
struct ResetLine {
    at: u64,
    by_peer: bool,
}

impl From<Contact> for ContactLine {
    fn from(contact: Contact) -> Self {
        Self {
            state: describe::state_code(contact.state),
            ended: match contact.state {
                ContactState::Ended(why) => Some(describe::ended_code(why)),
                _ => None,
            },
            contact: contact.id,
            label: contact.label,
            verified: contact.verified,
            unread: contact.unread,
            missing: contact.missing,
            unopened: contact.unopened,
            remote_invite: contact.remote_invite,
            invite_tried: contact.invite_tried,
            locked_out: contact.locked_out,
            wedged: contact.session.wedged,
            resetting: contact.session.resetting,
            last_reset: contact.session.last_reset.map(|reset| ResetLine { at: reset.at, by_peer: reset.by_peer }),
            read_receipts: contact.read_receipts.ours,
            peer_read_receipts: contact.read_receipts.theirs,
            last_activity: contact.last_activity,
            is_practice: contact.care.is_practice,
            terms_waiting: contact.care.terms_waiting,
            word_asked: contact.care.word_asked,
            always_notify: contact.care.always_notify,
            paused_by_us: contact.care.paused_by_us,
            paused_by_them: contact.care.paused_by_them,
            oldest_unread: contact.care.oldest_unread,
        }
    }
}

/// A message: a line of `history`, and of `sync`.
#[derive(Serialize)]
pub(crate) struct MessageLine {
    id: String,
    /// Only where messages of several contacts are printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    direction: &'static str,
    /// Of a note, the words that came with it. `null` if there are none, and for what this version cannot show.
    text: Option<String>,
    /// What happened, where this is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    /// The file, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileLine>,
    outcome: &'static str,
    sent_at: u64,
    /// Present where something sent just before it is missing so far.
    #[serde(skip_serializing_if = "is_false")]
    gap_before: bool,
    /// Present where it answers another message.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    /// Present where the text is not the first one.
    #[serde(skip_serializing_if = "is_false")]
    edited: bool,
    /// Present where its sender withdrew it, and this side's retention keeps it.
    #[serde(skip_serializing_if = "is_false")]
    withdrawn: bool,
}

/// A file, and how far it is.
#[derive(Serialize)]
pub(crate) struct FileLine {
    name: String,
    media_type: String,
    size: u64,
    /// Of a voice note.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u32>,
    thumbnail: bool,
    state: &'static str,
    /// Bytes that are safe on the recipient's device, as far as this one knows; where it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<u64>,
}

impl FileLine {
    fn new(attachment: &Attachment) -> Self {
        Self {
            name: attachment.name.clone(),
            media_type: attachment.media_type.clone(),
            size: attachment.size,
            duration_ms: attachment.duration_ms,
            thumbnail: attachment.has_thumbnail,
            state: describe::transfer_code(attachment.transfer),
            done: match attachment.transfer {
                TransferState::UnderWay { done, .. } => Some(done),
                _ => None,
            },
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl MessageLine {
    /// A line of one conversation.
    pub(crate) fn new(message: Message) -> Self {
        Self {
            id: message.id,
            contact: None,
            direction: match message.direction {
                Direction::In => "in",
                Direction::Out => "out",
            },
            note: match &message.content {
                Content::Note(note) => Some(notes::code(note)),
                Content::Text(_) | Content::Attachment(_) | Content::Unknown => None,
            },
            file: match &message.content {
                Content::Attachment(attachment) => Some(FileLine::new(attachment)),
                _ => None,
            },
            text: match message.content {
                Content::Text(text) => Some(text),
                Content::Note(note) => notes::own_words(&note).map(str::to_owned),
                Content::Attachment(_) | Content::Unknown => None,
            },
            outcome: describe::outcome_code(message.outcome),
            sent_at: message.sent_at,
            gap_before: message.gap_before,
            reply_to: message.reply_to,
            edited: message.edited,
            withdrawn: message.withdrawn,
        }
    }

    /// A line that says whose conversation it is of.
    pub(crate) fn with_contact(message: Message) -> Self {
        let contact = Some(message.contact.clone());
        Self { contact, ..Self::new(message) }
    }
}

impl Sent {
    pub(crate) fn new(message: &Message, outcome: Outcome, expected: Option<Expected>) -> Self {
        let outcome = describe::outcome_code(outcome);
        Self { id: message.id.clone(), contact: message.contact.clone(), outcome, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            id: "0a".into(),
            contact: "0b".into(),
            direction: Direction::Out,
            content: Content::Text("hello".into()),
            outcome: Outcome::Accepted { until: 9 },
            sent_at: 1_741_000_920_000,
            stored_at: 1_741_000_920_001,
            gap_before: false,
            reply_to: None,
            edited: false,
            withdrawn: false,
        }
    }

    #[test]
    fn a_line_of_history_has_the_promised_fields_in_their_order() {
        assert_eq!(
            serde_json::to_string(&MessageLine::new(message())).unwrap(),
            r#"{"id":"0a","direction":"out","text":"hello","outcome":"accepted","sent_at":1741000920000}"#
        );
    }

    #[test]
    fn a_gap_and_an_unknown_content_show() {
        let message = Message { gap_before: true, content: Content::Unknown, direction: Direction::In, ..message() };
        assert_eq!(
            serde_json::to_string(&MessageLine::with_contact(message)).unwrap(),
            r#"{"id":"0a","contact":"0b","direction":"in","text":null,"outcome":"accepted","sent_at":1741000920000,"gap_before":true}"#
        );
    }
}
