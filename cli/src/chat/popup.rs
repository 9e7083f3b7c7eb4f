//! What lies over the chat, and the keys that it takes.

use ratatui::crossterm::event::{KeyCode, KeyEvent};
use tacit_client_core::{AgreedWord, ContactId, Crisis, MessageId, Offer, Terms};

use super::composer::Composer;
use super::state::{Chat, Effect, Secret};
use crate::qr::Qr;

/// What lies over the chat. Esc closes each of them.
#[derive(Clone, Debug)]
pub(super) enum Popup {
    /// Keys and marks.
    Help { scroll: usize },
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
    /// What to do in a crisis, and whom to call.
    Crisis { crisis: Crisis, scroll: usize },
    /// Terms that changed.
    Terms { contact: ContactId, terms: Terms, scroll: usize },
    /// The agreed word: to be set, asked for or answered with.
    Word { contact: ContactId, word: AgreedWord, ask: WordAsk, field: Composer },
    /// Asks which file to send.
    AttachWhich { contact: ContactId, field: Composer },
    /// Asks where to write a file.
    SaveAs { message: MessageId, field: Composer },
    /// Asks before something that cannot be taken back.
    Sure { contact: ContactId, what: Sure },
    /// Something to know.
    Say(&'static str),
}

/// What cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sure {
    /// A text is deleted on both sides.
    Withdraw(MessageId),
    /// A file goes no further.
    Cancel(MessageId),
    /// What an invite offers is not agreed to.
    Decline,
}

/// What is to be done about the agreed word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordAsk {
    /// There is none yet.
    Set,
    /// It may be asked for.
    Ask,
    /// They asked for it.
    Answer,
}

impl Popup {
    /// The link as a QR code first.
    pub(super) fn invite(contact: ContactId, link: String) -> Self {
        Self::Invite { contact, qr: Qr::new(&link), link, is_text: false }
    }

    /// What is most pressing about the agreed word.
    pub(super) fn word(contact: ContactId, word: AgreedWord) -> Self {
        let ask = match word {
            AgreedWord { is_asked_for: true, .. } => WordAsk::Answer,
            AgreedWord { is_set: true, .. } => WordAsk::Ask,
            AgreedWord { .. } => WordAsk::Set,
        };
        Self::Word { contact, word, ask, field: Composer::default() }
    }

    /// The rows that are scrolled past, where there is something to read.
    const fn scroll(&mut self) -> Option<&mut usize> {
        match self {
            Self::Help { scroll }
            | Self::Offer { scroll, .. }
            | Self::Terms { scroll, .. }
            | Self::Crisis { scroll, .. } => Some(scroll),
            _ => None,
        }
    }

    /// Whether a path is being written.
    pub(super) const fn is_path(&self) -> bool {
        matches!(self, Self::AttachWhich { .. } | Self::SaveAs { .. })
    }

    /// The field that is being written in, if there is one.
    pub(super) const fn field(&mut self) -> Option<&mut Composer> {
        match self {
            Self::InviteWhom(field) | Self::JoinWhich(field) => Some(field),
            Self::AttachWhich { field, .. } | Self::SaveAs { field, .. } => Some(field),
            Self::Word { field, ask: WordAsk::Set | WordAsk::Answer, .. } => Some(field),
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
            (Popup::Words { contact, words }, KeyCode::Char('v' | 'V')) => {
                let is_verified = self.contacts.iter().any(|known| known.id == *contact && known.verified);
                effects.push(match is_verified {
                    true => Effect::Unverify(contact.clone()),
                    false => Effect::Verify(contact.clone(), words.clone()),
                });
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
            (Popup::AttachWhich { field, .. } | Popup::SaveAs { field, .. }, KeyCode::Enter)
                if field.text().trim().is_empty() =>
            {
                true
            }
            (Popup::AttachWhich { contact, field }, KeyCode::Enter) => {
                effects.push(Effect::Attach { contact: contact.clone(), path: field.take() });
                false
            }
            (Popup::SaveAs { message, field, .. }, KeyCode::Enter) => {
                effects.push(Effect::Save { message: message.clone(), path: field.take() });
                self.stop_choosing();
                false
            }
            (Popup::Sure { contact, what }, KeyCode::Char('y' | 'Y')) => {
                let contact = contact.clone();
                effects.push(match what.clone() {
                    Sure::Withdraw(message) => Effect::Withdraw { contact, message },
                    Sure::Cancel(message) => Effect::CancelFile { contact, message },
                    Sure::Decline => Effect::Decline(contact),
                });
                self.stop_choosing();
                false
            }
            (Popup::Sure { .. }, KeyCode::Char('n' | 'N')) => false,
            (
                Popup::InviteWhom(field)
                | Popup::JoinWhich(field)
                | Popup::AttachWhich { field, .. }
                | Popup::SaveAs { field, .. },
                _,
            ) => {
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
                self.popup = Some(Popup::Sure { contact: contact.clone(), what: Sure::Decline });
                false
            }
            (Popup::Terms { contact, terms, .. }, KeyCode::Char('y' | 'Y')) => {
                effects.push(Effect::Agree(contact.clone(), terms.version));
                false
            }
            (Popup::Word { contact, ask, field, .. }, code) => word_key(contact, ask, field, key, code, &mut effects),
            (popup, KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown) => {
                if let Some(scroll) = popup.scroll() {
                    *scroll = match key.code {
                        KeyCode::Up => scroll.saturating_sub(1),
                        KeyCode::Down => scroll.saturating_add(1),
                        KeyCode::PageUp => scroll.saturating_sub(10),
                        _ => scroll.saturating_add(10),
                    };
                }
                true
            }
            (Popup::Help { .. } | Popup::Say(_), KeyCode::Enter) => false,
            _ => true,
        };
        if stays {
            self.popup = Some(popup);
        }
        effects
    }
}

/// A key while the agreed word is dealt with; whether the popup stays.
fn word_key(
    contact: &ContactId,
    ask: &mut WordAsk,
    field: &mut Composer,
    key: KeyEvent,
    code: KeyCode,
    effects: &mut Vec<Effect>,
) -> bool {
    match (*ask, code) {
        (WordAsk::Ask, KeyCode::Enter) => effects.push(Effect::AskWord(contact.clone())),
        (WordAsk::Ask, KeyCode::Char('s' | 'S')) => {
            *ask = WordAsk::Set;
            return true;
        }
        (WordAsk::Ask, _) => return true,
        (_, KeyCode::Enter) if field.text().trim().is_empty() => return true,
        (WordAsk::Set, KeyCode::Enter) => effects.push(Effect::SetWord(contact.clone(), Secret(field.take()))),
        (WordAsk::Answer, KeyCode::Enter) => {
            effects.push(Effect::AnswerWord(contact.clone(), Some(Secret(field.take()))));
        }
        (WordAsk::Answer, KeyCode::F(10)) => effects.push(Effect::AnswerWord(contact.clone(), None)),
        _ => {
            field.edit(key, usize::MAX);
            return true;
        }
    }
    false
}
