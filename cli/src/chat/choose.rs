//! Choosing a message, and what can be done with it. While one is chosen, keys act on it and write nothing; what harms asks.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tacit_client_core::{Contact, Content, Direction, Message, MessageId, TransferState};

use super::composer::Composer;
use super::popup::{Popup, Sure};
use super::state::{Chat, Conversation, Effect, Purpose, can_compose, can_write};
use crate::escape;

/// Of a message that was chosen: it was withdrawn or deleted, or so much came that it is paged out.
pub(super) const GONE: &str = "The chosen message is not on this page any more.";

/// What can be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Reply,
    Edit,
    Withdraw,
    Save,
    Cancel,
}

impl Deed {
    /// Its key, and what it is called.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Reply => "R reply",
            Self::Edit => "E edit",
            Self::Withdraw => "W withdraw",
            Self::Save => "S save file",
            Self::Cancel => "C cancel file",
        }
    }

    const fn of_key(code: KeyCode) -> Option<Self> {
        match code {
            KeyCode::Char('r' | 'R') | KeyCode::Enter => Some(Self::Reply),
            KeyCode::Char('e' | 'E') => Some(Self::Edit),
            KeyCode::Char('w' | 'W') => Some(Self::Withdraw),
            KeyCode::Char('s' | 'S') => Some(Self::Save),
            KeyCode::Char('c' | 'C') => Some(Self::Cancel),
            _ => None,
        }
    }

    const fn why_not(self) -> &'static str {
        match self {
            Self::Reply => "Nothing can be written here now.",
            Self::Edit => "Only a text of your own can be edited, for a day.",
            Self::Withdraw => {
                "Only a text of your own can be withdrawn, for a day. A file that is under way: C cancels it."
            }
            Self::Save => "Only a file can be saved, once all of it is here.",
            Self::Cancel => "Only a file that is under way can be cancelled.",
        }
    }
}

/// What can be done with this message now. The core has the last word.
pub(super) fn deeds(message: &Message, contact: &Contact) -> Vec<Deed> {
    let is_ours = message.direction == Direction::Out;
    let is_text = matches!(message.content, Content::Text(_));
    let transfer = match &message.content {
        Content::Attachment(attachment) => Some(attachment.transfer),
        _ => None,
    };
    let is_under_way = matches!(transfer, Some(TransferState::UnderWay { .. }));
    let can = [
        (Deed::Reply, can_compose(contact)),
        (Deed::Edit, is_ours && is_text && can_compose(contact)),
        (Deed::Withdraw, is_ours && is_text && can_write(contact)),
        (Deed::Save, transfer == Some(TransferState::Whole) || is_ours && is_under_way),
        (Deed::Cancel, is_under_way),
    ];
    can.into_iter().filter(|(_, can)| *can).map(|(deed, _)| deed).collect()
}

impl Conversation {
    /// The message that is chosen, if it is still here.
    pub(super) fn chosen(&self) -> Option<&Message> {
        let chosen = self.chosen.as_ref()?;
        self.messages.iter().find(|message| message.id == *chosen && is_choosable(message))
    }

    /// Takes back what could not be queued, before what was written since.
    pub(super) fn take_back(&mut self, purpose: Purpose, text: String) {
        match purpose {
            Purpose::Edit(_) if self.purpose == Purpose::New => {
                self.put_aside = std::mem::replace(&mut self.draft, Composer::with(text));
                self.purpose = purpose;
            }
            purpose => {
                let since = self.draft.take();
                self.draft = Composer::with(if since.is_empty() { text } else { format!("{text}\n{since}") });
                if self.purpose == Purpose::New {
                    self.purpose = purpose;
                }
            }
        }
    }

    /// Back to writing what is new; a text that was put aside for an edit comes back.
    pub(super) fn write_anew(&mut self) {
        if matches!(self.purpose, Purpose::Edit(_)) {
            self.draft = std::mem::take(&mut self.put_aside);
        }
        self.purpose = Purpose::New;
    }
}

/// A name under which a file is found again. One that begins with a dot is hidden, and what a shell or another program
/// reads by itself has such a name.
fn in_sight(name: &str) -> String {
    let name = escape::typed(name);
    let rest = name.trim_start_matches('.');
    format!("{}{rest}", "_".repeat(name.len() - rest.len()))
}

/// What happened can be read, and not acted on.
const fn is_choosable(message: &Message) -> bool {
    !matches!(message.content, Content::Note(_))
}

impl Chat {
    /// Whether keys act on a message. They do until the person leaves that, also if the message is gone.
    pub(super) fn is_choosing(&self) -> bool {
        self.conversation().is_some_and(|conversation| conversation.chosen.is_some())
    }

    /// Begins to choose: the newest message.
    pub(super) fn choose(&mut self) -> Vec<Effect> {
        let Some(conversation) = self.conversation_mut() else { return Vec::new() };
        let newest = conversation.messages.iter().rfind(|message| is_choosable(message));
        conversation.chosen = newest.map(|message| message.id.clone());
        if conversation.chosen.is_none() {
            self.tell_problem("There is no message to choose yet.");
        }
        Vec::new()
    }

    /// A key while a message is chosen.
    pub(super) fn choose_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if self.conversation().and_then(Conversation::chosen).is_none() {
            // The key was meant for that message, and not for the draft.
            self.stop_choosing();
            self.tell_problem(format!("{GONE} Nothing was done."));
            return Vec::new();
        }
        match key.code {
            KeyCode::Esc => {
                if let Some(conversation) = self.conversation_mut() {
                    conversation.chosen = None;
                    conversation.scroll = 0;
                }
                Vec::new()
            }
            KeyCode::Up => self.choose_other(1, true),
            KeyCode::Char('p') if is_control => self.choose_other(1, true),
            KeyCode::Down => self.choose_other(1, false),
            KeyCode::Char('n') if is_control => self.choose_other(1, false),
            KeyCode::PageUp => self.choose_other(5, true),
            KeyCode::PageDown => self.choose_other(5, false),
            // What is held with these means something elsewhere, and is no deed.
            _ if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => Vec::new(),
            code => Deed::of_key(code).map_or_else(Vec::new, |deed| self.act(deed)),
        }
    }

    fn choose_other(&mut self, by: usize, is_older: bool) -> Vec<Effect> {
        let Some(contact) = self.selected.clone() else { return Vec::new() };
        let Some(conversation) = self.conversation_mut() else { return Vec::new() };
        let choosable: Vec<&MessageId> =
            conversation.messages.iter().filter(|message| is_choosable(message)).map(|message| &message.id).collect();
        let at = choosable.iter().position(|id| Some(*id) == conversation.chosen.as_ref()).unwrap_or(0);
        let to = if is_older { at.saturating_sub(by) } else { (at + by).min(choosable.len().saturating_sub(1)) };
        conversation.chosen = choosable.get(to).map(|id| (*id).clone());
        if to >= by || !is_older || conversation.is_all || conversation.is_loading_older {
            return Vec::new();
        }
        let Some(first) = conversation.messages.first() else { return Vec::new() };
        conversation.is_loading_older = true;
        vec![Effect::LoadOlder { contact, before: first.id.clone() }]
    }

    fn act(&mut self, deed: Deed) -> Vec<Effect> {
        let Some(contact) = self.contact().cloned() else { return Vec::new() };
        let Some(message) = self.conversation().and_then(Conversation::chosen).cloned() else { return Vec::new() };
        if !deeds(&message, &contact).contains(&deed) {
            self.tell_problem(deed.why_not());
            return Vec::new();
        }
        match deed {
            Deed::Withdraw | Deed::Cancel => {
                let what = if deed == Deed::Cancel { Sure::Cancel } else { Sure::Withdraw };
                self.popup = Some(Popup::Sure { contact: contact.id, what: what(message.id) });
            }
            Deed::Save => {
                let name = match &message.content {
                    Content::Attachment(attachment) => attachment.name.as_str(),
                    _ => "",
                };
                let mut field = Composer::default();
                field.insert(&format!("./{}", in_sight(name)));
                self.popup = Some(Popup::SaveAs { message: message.id, field });
            }
            Deed::Reply => self.write_about(Purpose::Reply(message.id), None),
            Deed::Edit => {
                let text = match message.content {
                    Content::Text(text) => text,
                    _ => String::new(),
                };
                self.write_about(Purpose::Edit(message.id), Some(text));
            }
        }
        Vec::new()
    }

    /// Back to writing, after a deed.
    pub(super) fn stop_choosing(&mut self) {
        if let Some(conversation) = self.conversation_mut() {
            conversation.chosen = None;
        }
    }

    fn write_about(&mut self, purpose: Purpose, text: Option<String>) {
        let Some(conversation) = self.conversation_mut() else { return };
        conversation.write_anew();
        conversation.chosen = None;
        conversation.scroll = 0;
        conversation.purpose = purpose;
        if let Some(text) = text {
            conversation.put_aside = std::mem::replace(&mut conversation.draft, Composer::with(text));
        }
    }
}
