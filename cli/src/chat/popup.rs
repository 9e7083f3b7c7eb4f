//! What lies over the chat, and the keys that it takes.

use ratatui::crossterm::event::{KeyCode, KeyEvent};
use tacit_client_core::{ContactId, Offer};

use super::composer::Composer;
use super::state::{Chat, Effect};
use crate::qr::Qr;

/// What lies over the chat. Esc closes each of them.
#[derive(Clone, Debug)]
pub(super) enum Popup {
    /// Keys and marks.
    Help,
    /// The safety words, to be compared.
    Words { contact: ContactId, words: Vec<String> },
    /// Asks whom to invite.
    InviteWhom(Composer),
    /// A link and its QR code.
    Invite { contact: ContactId, link: String, qr: Option<Qr>, is_text: bool },
    /// Asks for a link.
    JoinWhich(Composer),
    /// What an invite offers.
    Offer { contact: ContactId, offer: Offer, scroll: usize },
    /// Something to know.
    Say(&'static str),
}

impl Popup {
    /// The link as a QR code first.
    pub(super) fn invite(contact: ContactId, link: String) -> Self {
        Self::Invite { contact, qr: Qr::new(&link), link, is_text: false }
    }

    /// The field that is being written in, if there is one.
    pub(super) const fn field(&mut self) -> Option<&mut Composer> {
        match self {
            Self::InviteWhom(field) | Self::JoinWhich(field) => Some(field),
            _ => None,
        }
    }
}

impl Chat {
    /// A key while something lies over the chat.
    pub(super) fn popup_key(&mut self, mut popup: Popup, key: KeyEvent) -> Vec<Effect> {
        if key.code == KeyCode::Esc {
            return Vec::new();
        }
        let mut effects = Vec::new();
        let stays = match (&mut popup, key.code) {
            (Popup::Words { contact, .. }, KeyCode::Char('v' | 'V')) => {
                let is_verified = self.contacts.iter().any(|known| known.id == *contact && known.verified);
                effects.push(Effect::SetVerified(contact.clone(), !is_verified));
                true
            }
            (Popup::InviteWhom(field), KeyCode::Enter) => {
                let label = field.text().trim().to_owned();
                if label.is_empty() {
                    true
                } else {
                    effects.push(Effect::Invite(label));
                    false
                }
            }
            (Popup::JoinWhich(field), KeyCode::Enter) => {
                // A link that was copied from a mail may be broken over lines.
                let link: String = field.text().split_whitespace().collect();
                if link.is_empty() {
                    true
                } else {
                    effects.push(Effect::Join(link));
                    false
                }
            }
            (Popup::InviteWhom(field) | Popup::JoinWhich(field), _) => {
                field.edit(key, usize::MAX);
                true
            }
            (Popup::Invite { is_text, .. }, KeyCode::Char('l' | 'L')) => {
                *is_text = !*is_text;
                true
            }
            (Popup::Offer { contact, .. }, KeyCode::Char('y' | 'Y')) => {
                effects.push(Effect::Consent(contact.clone()));
                false
            }
            (Popup::Offer { contact, .. }, KeyCode::Char('d' | 'D')) => {
                effects.push(Effect::Decline(contact.clone()));
                false
            }
            (Popup::Offer { scroll, .. }, KeyCode::Up) => {
                *scroll = scroll.saturating_sub(1);
                true
            }
            (Popup::Offer { scroll, .. }, KeyCode::Down) => {
                *scroll = scroll.saturating_add(1);
                true
            }
            (Popup::Offer { scroll, .. }, KeyCode::PageUp) => {
                *scroll = scroll.saturating_sub(10);
                true
            }
            (Popup::Offer { scroll, .. }, KeyCode::PageDown) => {
                *scroll = scroll.saturating_add(10);
                true
            }
            (Popup::Help | Popup::Say(_), KeyCode::Enter) => false,
            _ => true,
        };
        if stays {
            self.popup = Some(popup);
        }
        effects
    }
}
