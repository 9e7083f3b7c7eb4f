//! States and outcomes in words for people, and in codes for scripts.

use tacit_client_core::{
    Attachment, Client, Connection, Contact, ContactError, ContactState, EndedWhy, Message, Outcome, RefusedWhy,
    TransferState,
};

use crate::care::words;
use crate::clock::Clock;
use crate::escape;

/// All ways to end, for tests that go through them.
#[cfg(test)]
pub(crate) const ALL_ENDED: [EndedWhy; 11] = [
    EndedWhy::InviteUsed,
    EndedWhy::InviteExpired,
    EndedWhy::Unclaimed,
    EndedWhy::Declined,
    EndedWhy::ByUs,
    EndedWhy::ByPeer,
    EndedWhy::NoPermit,
    EndedWhy::BadOffer,
    EndedWhy::NotRestored,
    EndedWhy::Discharged,
    EndedWhy::DischargedByPeer,
];

/// How far a file is, for scripts.
pub(crate) const fn transfer_code(transfer: TransferState) -> &'static str {
    match transfer {
        TransferState::UnderWay { .. } => "under_way",
        TransferState::Whole => "whole",
        TransferState::CancelledByUs => "cancelled_by_us",
        TransferState::CancelledByPeer => "cancelled_by_peer",
        TransferState::TooLarge => "too_large",
        TransferState::NoRoom => "no_room",
        TransferState::Damaged => "damaged",
        TransferState::Ended => "ended",
    }
}

/// How far a file is.
pub(crate) fn transfer_words(transfer: TransferState) -> String {
    match transfer {
        TransferState::UnderWay { done, of } => format!("{} % of {}", percent(done, of), size(of)),
        TransferState::Whole => "whole".into(),
        TransferState::CancelledByUs => "cancelled here".into(),
        TransferState::CancelledByPeer => "cancelled by the other side".into(),
        TransferState::TooLarge => "refused: larger than what the recipient's device takes".into(),
        TransferState::NoRoom => "refused: the recipient's device waits for too much already".into(),
        TransferState::Damaged => "damaged on its way, and erased".into(),
        TransferState::Ended => "not whole when the conversation ended".into(),
    }
}

/// A file, in a line.
pub(crate) fn attachment(attachment: &Attachment) -> String {
    let voice = attachment.duration_ms.map_or(String::new(), |ms| format!("voice note of {} s, ", ms.div_ceil(1_000)));
    let transfer = match attachment.transfer {
        TransferState::UnderWay { done, of } => format!("{} %", percent(done, of)),
        transfer => transfer_words(transfer),
    };
    let (name, media_type) = (escape::line(&attachment.name), escape::line(&attachment.media_type));
    format!("({voice}file {name}, {media_type}, {}: {transfer})", size(attachment.size))
}

/// How much of a file is there. Only all of it is 100 %.
pub(crate) const fn percent(done: u64, of: u64) -> u64 {
    if of == 0 || done >= of { 100 } else { (done as u128 * 100 / of as u128) as u64 }
}

/// A size, as people read it: `12.3 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    }
}

/// A state, for scripts.
pub(crate) const fn state_code(state: ContactState) -> &'static str {
    match state {
        ContactState::Opening => "opening",
        ContactState::Invited => "invited",
        ContactState::Joining => "joining",
        ContactState::Consenting => "consenting",
        ContactState::Joined => "joined",
        ContactState::Paired => "paired",
        ContactState::Ended(_) => "ended",
    }
}

/// A state, in a word or two.
pub(crate) const fn state_word(state: ContactState) -> &'static str {
    match state {
        ContactState::Opening => "opening",
        ContactState::Invited => "invited",
        ContactState::Joining => "joining",
        ContactState::Consenting => "waits for your yes",
        ContactState::Joined => "joined",
        ContactState::Paired => "paired",
        ContactState::Ended(_) => "ended",
    }
}

/// Whether the other side itself said that it ended the pairing. If not, that is only what the relay says.
pub(crate) fn is_end_said(client: &Client, contact: &Contact) -> Result<bool, ContactError> {
    match contact.state {
        ContactState::Ended(EndedWhy::ByPeer) => {
            Ok(client.farewell(contact.id.clone())?.is_some_and(|farewell| !farewell.is_ours))
        }
        _ => Ok(false),
    }
}

/// What a state means and asks for; empty where there is nothing to say. `is_end_said` as [`is_end_said`] gives it.
pub(crate) const fn state_sentence(state: ContactState, is_end_said: bool) -> &'static str {
    match state {
        ContactState::Ended(EndedWhy::ByPeer) if is_end_said => {
            "The other side ended this conversation. What was written is kept on this device."
        }
        ContactState::Opening => "The relay was not reached yet: the link does not work before it was.",
        ContactState::Invited => "Nobody has used the invite yet.",
        ContactState::Joining => "The invite is being claimed: waiting for the relay.",
        ContactState::Consenting => "You are invited, and have not agreed yet.",
        ContactState::Joined => "You can write. The other device has not been online since you joined.",
        ContactState::Paired => "",
        ContactState::Ended(why) => ended(why),
    }
}

/// Why a pairing ended, for scripts.
pub(crate) const fn ended_code(why: EndedWhy) -> &'static str {
    match why {
        EndedWhy::InviteUsed => "invite_used",
        EndedWhy::InviteExpired => "invite_expired",
        EndedWhy::Unclaimed => "invite_unclaimed",
        EndedWhy::Declined => "declined",
        EndedWhy::ByUs => "ended_by_us",
        EndedWhy::ByPeer => "ended_by_peer",
        EndedWhy::NoPermit => "no_permit",
        EndedWhy::BadOffer => "bad_offer",
        EndedWhy::NotRestored => "not_restored",
        EndedWhy::Discharged => "discharged",
        EndedWhy::DischargedByPeer => "discharged_by_peer",
    }
}

/// Why a pairing ended, and what can be done.
pub(crate) const fn ended(why: EndedWhy) -> &'static str {
    match why {
        EndedWhy::InviteUsed => {
            "This invite was already used: if that was not you, tell your therapist, and ask for a new one."
        }
        EndedWhy::InviteExpired => {
            "The relay does not know this invite: it expired or was withdrawn. Ask for a new one."
        }
        EndedWhy::Unclaimed => "Nobody used the invite in time. Make a new one.",
        EndedWhy::Declined => "You did not agree to what was offered. Ask for a new invite if you change your mind.",
        EndedWhy::ByUs => "You ended this conversation. What was written is kept on this device.",
        EndedWhy::ByPeer => {
            "The relay says that the other side ended this conversation; they said nothing themselves. Ask them in another \
             way. What was written is kept on this device."
        }
        EndedWhy::NoPermit => {
            "The relay refuses the permit for this invite. Make a new invite, or ask the relay's operator for another \
             enrolment link."
        }
        EndedWhy::BadOffer => {
            "What the other device offers makes no sense to this version of Tacit. Update both sides, and ask for a new \
             invite."
        }
        EndedWhy::NotRestored => {
            "This pairing was not complete when the backup was made that this device was restored from. Make a new invite, \
             or ask for one."
        }
        EndedWhy::Discharged => "You ended this conversation with a farewell. What was written is kept on this device.",
        EndedWhy::DischargedByPeer => {
            "The other side ended this conversation with a farewell. What was written is kept on this device."
        }
    }
}

/// What else there is to say of a text, after it.
pub(crate) fn marks(message: &Message) -> String {
    let marks = [(message.edited, " (edited)"), (message.withdrawn, " (withdrawn by them; your retention keeps it)")];
    marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, words)| words).collect()
}

/// An outcome, for scripts.
pub(crate) const fn outcome_code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Queued => "queued",
        Outcome::Accepted { .. } => "accepted",
        Outcome::Delivered => "delivered",
        Outcome::Read => "read",
        Outcome::Expired => "expired",
        Outcome::Refused(_) => "refused",
    }
}

/// The mark of an outcome. No two look the same without colour.
pub(crate) const fn outcome_mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Queued => "…",
        Outcome::Accepted { .. } => "✓",
        Outcome::Delivered => "✓✓",
        Outcome::Read => "✓✓ read",
        Outcome::Expired => "! expired",
        Outcome::Refused(_) => "✗ refused",
    }
}

/// An outcome, in words.
pub(crate) fn outcome_words(outcome: Outcome, clock: &Clock) -> String {
    match outcome {
        Outcome::Queued => "queued".into(),
        Outcome::Accepted { until } => format!("held for them until {}", clock.short_day(until)),
        Outcome::Delivered => "delivered".into(),
        Outcome::Read => "read".into(),
        Outcome::Expired => "expired: nobody came for it in time".into(),
        Outcome::Refused(RefusedWhy::Ended) => "refused: the conversation has ended".into(),
        Outcome::Refused(RefusedWhy::NotCarried) => "refused: the relay does not carry it".into(),
        Outcome::Refused(RefusedWhy::Cancelled) => "cancelled before it was sent".into(),
    }
}

/// That a message did not get as far as was asked for.
pub(crate) fn not_reached(outcome: Outcome, problem: &str) -> String {
    match outcome {
        Outcome::Queued => format!(
            "the message was not accepted by the relay in time{problem}; it is kept, and sent with the next connection"
        ),
        Outcome::Accepted { .. } => {
            "the relay keeps the message, and the other device did not come for it in the time given".into()
        }
        Outcome::Delivered | Outcome::Read => "the message was delivered".into(),
        Outcome::Expired => "the message expired: nobody came for it in time. It is kept here; send it again".into(),
        Outcome::Refused(RefusedWhy::Ended) => "the message was not sent: the conversation has ended".into(),
        Outcome::Refused(RefusedWhy::Cancelled) => "the message was not sent: it was cancelled".into(),
        Outcome::Refused(RefusedWhy::NotCarried) => {
            "the message was not sent: the relay does not carry boxes of this version. Update Tacit, or the relay"
                .into()
        }
    }
}

/// What is wrong with the connection, as words to be appended to "was not reached in time".
pub(crate) fn problem(connection: &Connection) -> String {
    match connection {
        Connection::Offline { problem } if !problem.is_empty() => format!(" ({})", escape::line(problem)),
        _ => String::new(),
    }
}

/// The connection, in words.
pub(crate) fn connection(connection: &Connection) -> String {
    match connection {
        Connection::Stopped => "not connected".into(),
        Connection::InOtherProcess => "connected through another Tacit on this device".into(),
        Connection::Offline { problem } if problem.is_empty() => "connecting".into(),
        Connection::Offline { problem } => format!("offline: {}; trying again", escape::line(problem)),
        Connection::Online => "connected".into(),
    }
}

/// What a person should know about a contact, most urgent first.
pub(crate) fn warnings(contact: &Contact) -> Vec<String> {
    let mut warnings = Vec::new();
    if contact.locked_out {
        warnings.push(
            "The relay no longer lets this device into the conversation: another device took it over, or the relay lost \
             it. What was written is kept here. Pair again with a new invite."
                .into(),
        );
    }
    let is_live = matches!(contact.state, ContactState::Joined | ContactState::Paired) && !contact.locked_out;
    warnings.extend(words::warnings(&contact.care, is_live));
    if is_live && contact.session.wedged {
        warnings.push(
            "This device can no longer read what they send. What you write is kept. Begin anew with `tacit reset`."
                .into(),
        );
    }
    if is_live && contact.session.resetting {
        warnings.push("A new session was asked for, and their device has not answered yet.".into());
    }
    if contact.invite_tried && !contact.verified {
        warnings.push(
            "Somebody tried the invite after it was used. If it was not this contact, it may have been stolen: compare \
             the safety words."
                .into(),
        );
    }
    if is_live && !contact.verified {
        let why = if contact.session.resetting {
            "Unverified: the safety words will be new. Compare them once their device has answered."
        } else if let Some(reset) = contact.session.last_reset {
            if reset.by_peer {
                "Unverified: their device asked to begin anew, so the safety words are new. It may be another device, or \
                 somebody else's: compare them."
            } else {
                "Unverified: you began anew, so the safety words are new. Compare them."
            }
        } else if contact.remote_invite {
            "Unverified, and the invite travelled as a web link: whoever carried it may have read it. Compare the \
             safety words."
        } else {
            "Unverified: compare the safety words."
        };
        warnings.push(why.into());
    }
    if contact.missing > 0 {
        warnings.push(format!("{} of theirs missing so far; asked for again.", messages(contact.missing)));
    }
    if contact.unopened > 0 {
        warnings.push(format!("{} came that could not be opened.", messages(contact.unopened)));
    }
    warnings
}

pub(crate) fn messages(count: u64) -> String {
    if count == 1 { "1 message".into() } else { format!("{count} messages") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_outcomes_look_the_same_without_colour() {
        let all = [
            Outcome::Queued,
            Outcome::Accepted { until: 1 },
            Outcome::Delivered,
            Outcome::Read,
            Outcome::Expired,
            Outcome::Refused(RefusedWhy::Ended),
        ];
        assert_eq!(all.map(outcome_mark).into_iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.map(outcome_code).into_iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn each_end_says_why_in_its_own_words() {
        assert_eq!(ALL_ENDED.map(ended).into_iter().collect::<BTreeSet<_>>().len(), ALL_ENDED.len());
    }

    #[test]
    fn without_a_farewell_an_end_is_what_the_relay_says() {
        let by_peer = ContactState::Ended(EndedWhy::ByPeer);
        assert!(state_sentence(by_peer, false).starts_with("The relay says that the other side ended"));
        assert!(state_sentence(by_peer, false).contains("Ask them in another way"));
        assert!(state_sentence(by_peer, true).starts_with("The other side ended this conversation."));
        // Of no other end the relay is the only witness.
        for why in ALL_ENDED {
            let state = ContactState::Ended(why);
            assert_eq!(state_sentence(state, true) == state_sentence(state, false), why != EndedWhy::ByPeer);
        }
    }

    #[test]
    fn a_relays_words_cannot_drive_the_terminal() {
        let evil = Connection::Offline { problem: "x\u{1b}[2J".into() };
        assert!(!connection(&evil).contains('\u{1b}'));
        assert!(!problem(&evil).contains('\u{1b}'));
    }
}
