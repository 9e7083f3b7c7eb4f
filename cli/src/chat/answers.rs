//! Answers to what was asked for. They come after a while, and open over the chat only while the person still waits for
//! them: no key that is meant for something else may fall into what has just opened.

use tacit_client_core::ContactId;

use super::popup::Popup;
use super::state::{Chat, Effect, Input};
use crate::escape;

const WORDS_CAME: &str = "The safety words are there: F2 shows them.";
const WORD_CAME: &str = "The agreed word can be dealt with: F6 shows how it stands.";
const CRISIS_CAME: &str = "The crisis card is there: F5 shows it.";

impl Chat {
    /// Remembers what was asked for, until the next key.
    pub(super) fn await_one_of(&mut self, effects: &[Effect]) {
        let opens = |effect: &&Effect| {
            matches!(
                effect,
                Effect::Words(_)
                    | Effect::Word(_)
                    | Effect::Crisis(_)
                    | Effect::Invite(_)
                    | Effect::ShowInvite(_)
                    | Effect::Join(_)
            )
        };
        self.awaited = effects.iter().find(opens).cloned();
    }

    fn is_free_for(&self, contact: &ContactId) -> bool {
        self.popup.is_none() && self.selected.as_ref() == Some(contact)
    }

    fn is_awaited(&self, asked: &Effect) -> bool {
        self.popup.is_none() && self.awaited.as_ref() == Some(asked)
    }

    /// Opens what was asked for about a contact who is still looked at; otherwise says that it came.
    fn open_if_awaited(&mut self, contact: &ContactId, asked: &Effect, popup: Popup, came: &str) {
        if self.is_free_for(contact) && self.is_awaited(asked) {
            self.popup = Some(popup);
        } else {
            self.tell_news(came);
        }
    }

    /// Takes in an answer.
    pub(super) fn answer(&mut self, answer: Input) -> Vec<Effect> {
        match answer {
            Input::Words { contact, words } => {
                let (asked, popup) = (Effect::Words(contact.clone()), Popup::Words { contact: contact.clone(), words });
                self.open_if_awaited(&contact, &asked, popup, WORDS_CAME);
            }
            Input::Word { contact, word } => {
                let (asked, popup) = (Effect::Word(contact.clone()), Popup::word(contact.clone(), word));
                self.open_if_awaited(&contact, &asked, popup, WORD_CAME);
            }
            Input::Crisis { contact, crisis } => {
                let (asked, popup) = (Effect::Crisis(contact.clone()), Popup::Crisis { crisis, scroll: 0 });
                self.open_if_awaited(&contact, &asked, popup, CRISIS_CAME);
            }
            Input::Invite { contact, link, label } => {
                let is_looked_at = label.is_some() || self.selected.as_ref() == Some(&contact);
                let asked = label.map_or_else(|| Effect::ShowInvite(contact.clone()), Effect::Invite);
                if is_looked_at && self.is_awaited(&asked) {
                    self.selected = Some(contact.clone());
                    self.popup = Some(Popup::invite(contact, link));
                    return self.look();
                }
                let whose = self.contacts.iter().find(|known| known.id == contact);
                let whose = whose.map(|known| escape::line(&known.label)).unwrap_or_default();
                self.tell_news(format!("The invite for {whose} is there: in that conversation, Enter shows its link."));
            }
            Input::Joined { contact, link } => {
                if self.is_awaited(&Effect::Join(link)) {
                    self.selected = Some(contact);
                    return self.look();
                }
                self.tell_news("The link is being used: Tab goes to its conversation.");
            }
            // These two come by themselves as well, and where nothing can be written.
            Input::Offer { contact, offer } if self.is_free_for(&contact) => {
                self.popup = Some(Popup::Offer { contact, offer, scroll: 0 });
            }
            Input::Terms { contact, terms } if self.is_free_for(&contact) => {
                self.popup = Some(Popup::Terms { contact, terms, scroll: 0 });
            }
            _ => {}
        }
        Vec::new()
    }
}
