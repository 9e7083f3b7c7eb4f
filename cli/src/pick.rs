//! Which contact is meant: by label, or by id or a unique beginning of it.

use tacit_client_core::{Contact, ContactState};

use crate::clock::Clock;
use crate::describe;
use crate::failure::Failure;

/// Shorter beginnings of an id are too easily a slip of the finger, and a message would go to the wrong person.
const SHORTEST_ID: usize = 4;

/// Finds the one contact that is meant. A label means the live contact of that label before ended ones.
pub(crate) fn pick<'a>(contacts: &'a [Contact], name: &str, clock: &Clock) -> Result<&'a Contact, Failure> {
    let labelled: Vec<&Contact> = contacts.iter().filter(|contact| contact.label == name).collect();
    let live: Vec<&Contact> = labelled.iter().copied().filter(|contact| !is_ended(contact)).collect();
    match (live.as_slice(), labelled.as_slice()) {
        ([one], _) | ([], [one]) => return Ok(one),
        ([], []) => {}
        ([], ended) => return Err(ambiguous(ended, clock)),
        (live, _) => return Err(ambiguous(live, clock)),
    }
    if name.len() < SHORTEST_ID {
        return Err(Failure::NoSuchContact);
    }
    let name = name.to_ascii_lowercase();
    let matching: Vec<&Contact> = contacts.iter().filter(|contact| contact.id.starts_with(&name)).collect();
    match matching.as_slice() {
        [] => Err(Failure::NoSuchContact),
        [one] => Ok(one),
        several => Err(ambiguous(several, clock)),
    }
}

const fn is_ended(contact: &Contact) -> bool {
    matches!(contact.state, ContactState::Ended(_))
}

/// Tells them apart by what is no secret: an error may end up in a log, where neither ids nor labels belong.
fn ambiguous(several: &[&Contact], clock: &Clock) -> Failure {
    let list: Vec<String> = several
        .iter()
        .map(|contact| {
            let when = clock.date_time(contact.last_activity);
            format!("one {}, last active {when}", describe::state_word(contact.state))
        })
        .collect();
    Failure::AmbiguousContact(format!(
        "{} contacts are called that ({}); `tacit contacts` shows their ids: use the beginning of one, or `tacit rename` \
         it",
        several.len(),
        list.join("; ")
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use tacit_client_core::{CareState, EndedWhy};

    use super::*;

    pub(crate) fn contact(id: &str, label: &str, state: ContactState) -> Contact {
        Contact {
            id: id.repeat(32 / id.len()),
            label: label.into(),
            state,
            verified: false,
            remote_invite: false,
            invite_tried: false,
            locked_out: false,
            unread: 0,
            missing: 0,
            unopened: 0,
            last_activity: 1_741_000_920_000,
            care: CareState::default(),
            session: tacit_client_core::SessionState::default(),
            read_receipts: tacit_client_core::ReadReceipts::default(),
        }
    }

    fn contacts() -> Vec<Contact> {
        vec![
            contact("a1b2", "Anna", ContactState::Paired),
            contact("a1b3", "Ben", ContactState::Paired),
            contact("c4d5", "Ben", ContactState::Joined),
            contact("e6f7", "Cleo", ContactState::Ended(EndedWhy::ByPeer)),
            contact("0102", "Cleo", ContactState::Paired),
        ]
    }

    fn picked(name: &str) -> Result<String, &'static str> {
        let contacts = contacts();
        pick(&contacts, name, &Clock::utc()).map(|contact| contact.id[..4].to_owned()).map_err(|failure| failure.code())
    }

    #[test]
    fn a_label_or_a_unique_beginning_of_an_id_names_a_contact() {
        assert_eq!(picked("Anna"), Ok("a1b2".into()));
        assert_eq!(picked("a1b3"), Ok("a1b3".into()));
        assert_eq!(picked("A1B2A1B2"), Ok("a1b2".into()));
    }

    #[test]
    fn a_label_means_the_live_contact_before_the_ended_one() {
        assert_eq!(picked("Cleo"), Ok("0102".into()));
        assert_eq!(picked("e6f7"), Ok("e6f7".into()));
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(picked("anna"), Err("no_such_contact"));
        assert_eq!(picked("c4d"), Err("no_such_contact"));
        assert_eq!(picked(""), Err("no_such_contact"));
        assert_eq!(picked("Ben"), Err("ambiguous_contact"));
    }

    #[test]
    fn an_ambiguous_label_is_told_apart_without_ids_and_labels() {
        let contacts = contacts();
        let text = pick(&contacts, "Ben", &Clock::utc()).unwrap_err().to_string();
        assert!(text.contains("2 contacts") && text.contains("one paired") && text.contains("one joined"), "{text}");
        assert!(text.contains("2025-03-03"), "{text}");
        assert!(!text.contains("a1b3") && !text.contains("Ben"), "{text}");
    }
}
