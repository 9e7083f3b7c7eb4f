//! How inputs change what the chat shows.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tacit_client_core::{
    Contact, ContactId, ContactState, Crisis, CrisisReason, Expectation, LastReset, Message, MessageId,
};

use super::composer::Composer;
use super::popup::Popup;
use super::state::{Chat, Effect, Input, Leave, Purpose, can_compose, can_write, reading_time, terms_wait_for_us};
use crate::escape;

const NOT_ENROLLED: &str = "This device cannot invite: it is not enrolled at a relay. Therapists enrol with a link from \
                            the relay's operator: tacit enrol LINK";
const NO_CONVERSATION: &str = "There is no conversation yet, and so no crisis card of a practice. If you or somebody \
                               else is in danger, call your local emergency number now.";
const NO_FILES_NOW: &str = "Files can be sent where messages can be written. Here none can be now.";
const NEW_WORDS: &str = "The two devices began a new session just now: those words are over. F2 shows the new ones; compare all \
                         of them.";
const FINISHING: &str = "Leaving, once what you wrote is stored and files are copied. Ctrl+C leaves at once.";
const NO_WORDS_YET: &str = "There are no safety words yet: they exist once both sides were paired.";

impl Chat {
    /// Takes in what happened, and returns what is to be done about it.
    pub(crate) fn update(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Key(key) => {
                let was_covered = self.popup.is_some();
                // What comes by itself must not vanish under typing before anyone can have read it.
                if !was_covered && (key.code == KeyCode::Esc || self.now >= self.read_by) {
                    self.problem.clear();
                    self.news.clear();
                }
                let effects = self.key(key);
                if was_covered && self.popup.is_none() {
                    self.read_by = self.now + reading_time(&self.problem) + reading_time(&self.news);
                }
                self.await_one_of(&effects);
                effects
            }
            Input::Paste(text) => {
                self.awaited = None;
                self.paste(&text);
                Vec::new()
            }
            // The practice may have opened, or a message may have waited for too long.
            Input::Tick => self.ask_for_care(),
            Input::TerminalGone => self.finish(Leave::TerminalGone),
            Input::Finished => self.leaving.take().map(Effect::Leave).into_iter().collect(),
            Input::Contacts { contacts, can_invite } => {
                self.can_invite = can_invite;
                self.set_contacts(contacts)
            }
            Input::Newest { contact, messages, is_all } => self.set_newest(contact, messages, is_all),
            Input::Older { contact, before, messages } => {
                self.add_older(&contact, &before, messages);
                Vec::new()
            }
            Input::Outcome { contact, message, outcome } => {
                let conversation = self.conversations.get_mut(&contact);
                let messages = conversation.map(|conversation| conversation.messages.iter_mut());
                if let Some(shown) = messages.and_then(|mut messages| messages.rfind(|shown| shown.id == message)) {
                    shown.outcome = outcome;
                }
                Vec::new()
            }
            Input::Connection(connection) => {
                self.connection = connection;
                Vec::new()
            }
            Input::Notice(text) => {
                self.notice = escape::line(&text);
                Vec::new()
            }
            answer @ (Input::Words { .. }
            | Input::Word { .. }
            | Input::Crisis { .. }
            | Input::Invite { .. }
            | Input::Joined { .. }
            | Input::Offer { .. }
            | Input::Terms { .. }) => self.answer(answer),
            Input::Care { contact, expectation, crisis } => {
                self.set_care(contact, expectation, crisis);
                Vec::new()
            }
            Input::Answered { contact, messages } => {
                let conversation = self.conversations.entry(contact).or_default();
                for (id, message) in messages {
                    match message {
                        Some(message) => drop(conversation.answered.insert(id, message)),
                        None => drop(conversation.answered.remove(&id)),
                    }
                }
                Vec::new()
            }
            Input::NotSent { contact, purpose, text, problem } => {
                self.tell_problem(problem);
                self.conversations.entry(contact).or_default().take_back(purpose, text);
                // It would be lost with the chat; without a terminal it is.
                if self.leaving != Some(Leave::TerminalGone) {
                    self.leaving = None;
                    self.news.clear();
                }
                Vec::new()
            }
            Input::FileQueued(contact) => {
                self.tell_news("The file is queued: it goes whenever both devices are there.");
                vec![Effect::Load(contact)]
            }
            Input::Farewell(contact) => {
                self.farewells.insert(contact);
                Vec::new()
            }
            Input::Said(news) => {
                self.tell_news(news);
                Vec::new()
            }
            Input::Failed(problem) => {
                self.tell_problem(problem);
                Vec::new()
            }
        }
    }

    fn set_contacts(&mut self, mut contacts: Vec<Contact>) -> Vec<Effect> {
        let is_ended = |contact: &Contact| matches!(contact.state, ContactState::Ended(_));
        contacts.sort_by_key(|contact| (is_ended(contact), std::cmp::Reverse(contact.last_activity)));
        let state_before = self.contact().map(|contact| contact.state);
        let words_of = match &self.popup {
            Some(Popup::Words { contact, .. }) => Some((contact.clone(), self.last_reset(contact))),
            _ => None,
        };
        self.contacts = contacts;
        self.are_contacts_known = true;
        if self.contact().is_none() {
            self.selected = self.contacts.first().map(|contact| contact.id.clone());
        }
        // Nobody should go on reading out words that are over, nor confirm new ones that came up while they looked away.
        if let Some((contact, reset_before)) = words_of
            && self.last_reset(&contact) != reset_before
        {
            self.popup = None;
            self.tell_problem(NEW_WORDS);
        }
        let mut effects = self.look();
        // The terms come up by themselves, once; changed ones do not, over what somebody may be typing.
        if let Some(contact) = self.contact()
            && contact.state == ContactState::Consenting
            && state_before != Some(ContactState::Consenting)
        {
            effects.push(Effect::Offer(contact.id.clone()));
        }
        effects.extend(self.ask_for_care());
        effects
    }

    fn last_reset(&self, contact: &ContactId) -> Option<LastReset> {
        self.contacts.iter().find(|known| known.id == *contact)?.session.last_reset
    }

    /// A practice's hours go on while nothing else happens.
    fn ask_for_care(&self) -> Vec<Effect> {
        let practice = self.contact().filter(|contact| contact.care.is_practice);
        practice.map(|contact| Effect::Care(contact.id.clone())).into_iter().collect()
    }

    fn set_care(&mut self, contact: ContactId, expectation: Expectation, crisis: Crisis) {
        let conversation = self.conversations.entry(contact.clone()).or_default();
        let before = conversation.care.as_ref().and_then(|(_, crisis)| crisis.reason);
        if before.is_some() != crisis.reason.is_some() {
            conversation.is_crisis_shown = false;
        }
        // Whoever wrote to a practice that is closed, or waits for an answer that is overdue, is shown whom to call.
        let is_overdue = matches!(crisis.reason, Some(CrisisReason::AnswerOverdue { .. }));
        let is_due = crisis.reason.is_some() && (conversation.is_crisis_due || is_overdue);
        conversation.care = Some((expectation, crisis.clone()));
        if is_due && !conversation.is_crisis_shown && self.popup.is_none() && self.selected.as_ref() == Some(&contact) {
            conversation.is_crisis_shown = true;
            conversation.is_crisis_due = false;
            self.popup = Some(Popup::Crisis { crisis, scroll: 0 });
        }
    }

    /// What follows from a conversation being looked at: it is loaded, and what came is read.
    pub(super) fn look(&mut self) -> Vec<Effect> {
        let Some(contact) = self.contact() else { return Vec::new() };
        let (id, unread) = (contact.id.clone(), contact.unread);
        let Some(conversation) = self.conversation_mut() else { return Vec::new() };
        if !conversation.is_loaded {
            return vec![Effect::Load(id)];
        }
        if unread > 0 { vec![Effect::MarkRead(id)] } else { Vec::new() }
    }

    fn set_newest(&mut self, contact: ContactId, messages: Vec<Message>, is_all: bool) -> Vec<Effect> {
        let conversation = self.conversations.entry(contact).or_default();
        conversation.is_loaded = true;
        // What was paged in before the newest page stays, if the two still touch.
        let overlap = messages.first().and_then(|first| conversation.messages.iter().position(|m| m.id == first.id));
        match overlap {
            Some(at) => {
                conversation.messages.truncate(at);
                conversation.messages.extend(messages);
            }
            None => {
                conversation.messages = messages;
                conversation.is_all = is_all;
            }
        }
        conversation.is_all |= is_all;
        self.look()
    }

    fn add_older(&mut self, contact: &ContactId, before: &MessageId, mut messages: Vec<Message>) {
        let Some(conversation) = self.conversations.get_mut(contact) else { return };
        conversation.is_loading_older = false;
        if conversation.messages.first().map(|first| &first.id) != Some(before) {
            return;
        }
        conversation.is_all = messages.is_empty();
        messages.append(&mut conversation.messages);
        conversation.messages = messages;
    }

    fn paste(&mut self, text: &str) {
        if let Some(popup) = self.popup.as_mut() {
            let is_path = popup.is_path();
            if let Some(field) = popup.field() {
                // In the name of a file, two spaces are two.
                let pasted = if is_path {
                    text.trim().replace(['\r', '\n'], "")
                } else {
                    text.split_whitespace().collect::<Vec<_>>().join(" ")
                };
                field.insert(&pasted);
            }
        } else if self.is_choosing() {
            self.tell_problem("A message is chosen. Esc goes back to writing.");
        } else if self.contact().is_some_and(can_compose)
            && let Some(conversation) = self.conversation_mut()
        {
            conversation.draft.insert(text);
        }
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let is_alt = key.modifiers.contains(KeyModifiers::ALT);
        let is_draft_told = std::mem::take(&mut self.is_draft_told);
        match key.code {
            KeyCode::Char('c') if is_control && self.leaving.is_some() => {
                return vec![Effect::Leave(Leave::Interrupted)];
            }
            _ if self.leaving.is_some() => return Vec::new(),
            KeyCode::Char('c') if is_control => return self.finish(Leave::Interrupted),
            KeyCode::Char('q') if is_control => {
                let Some(label) = self.whose_draft().filter(|_| !is_draft_told) else {
                    return self.finish(Leave::Done);
                };
                self.is_draft_told = true;
                self.tell_problem(format!("A draft to {label} is not sent: Ctrl+Q again leaves, and discards it."));
                return Vec::new();
            }
            // Some terminals keep function keys for themselves.
            KeyCode::Char(n @ '1'..='8') if is_alt => return self.function_key(n),
            KeyCode::F(n @ 1..=8) => return self.function_key(char::from(b'0' + n)),
            _ => {}
        }
        if let Some(popup) = self.popup.take() {
            return self.popup_key(popup, key);
        }
        let is_stepping = matches!(key.code, KeyCode::Tab | KeyCode::BackTab);
        if !is_stepping && self.is_choosing() {
            return self.choose_key(key);
        }
        let is_draft_empty = self.conversation().is_none_or(|conversation| conversation.draft.is_empty());
        match key.code {
            KeyCode::Char('p') if is_control => self.choose(),
            KeyCode::Esc => {
                if let Some(conversation) = self.conversation_mut() {
                    conversation.write_anew();
                }
                Vec::new()
            }
            KeyCode::Tab => self.step(1),
            KeyCode::BackTab => self.step(-1),
            KeyCode::Down if is_alt || is_draft_empty => self.step(1),
            KeyCode::Up if is_alt || is_draft_empty => self.step(-1),
            KeyCode::PageUp => self.page_up(),
            KeyCode::PageDown => {
                let rows = self.seen.rows.saturating_sub(1).max(1);
                if let Some(conversation) = self.conversation_mut() {
                    conversation.scroll = conversation.scroll.saturating_sub(rows);
                }
                Vec::new()
            }
            KeyCode::Enter if is_alt || key.modifiers.contains(KeyModifiers::SHIFT) => {
                self.paste("\n");
                Vec::new()
            }
            KeyCode::Enter => self.enter(),
            _ => {
                let columns = self.seen.composer_columns;
                if self.contact().is_some_and(can_compose)
                    && let Some(conversation) = self.conversation_mut()
                {
                    conversation.draft.edit(key, columns);
                }
                Vec::new()
            }
        }
    }

    /// Leaves once everything that was to be done is done: what was just written must be stored.
    fn finish(&mut self, how: Leave) -> Vec<Effect> {
        self.leaving = Some(how);
        self.popup = None;
        self.tell_news(FINISHING);
        vec![Effect::Finish]
    }

    /// To whom something is written that is not sent.
    fn whose_draft(&self) -> Option<String> {
        let has_draft = |contact: &&Contact| {
            let conversation = self.conversations.get(&contact.id);
            let drafts = conversation.map(|conversation| [&conversation.draft, &conversation.put_aside]);
            drafts.is_some_and(|drafts| drafts.iter().any(|draft| !draft.text().trim().is_empty()))
        };
        self.contacts.iter().find(has_draft).map(|contact| contact.label.clone())
    }

    fn function_key(&mut self, n: char) -> Vec<Effect> {
        // What was open makes room for what is asked for.
        self.popup = None;
        self.popup = match n {
            '1' => Some(Popup::Help { scroll: 0 }),
            '2' => match self.contact() {
                Some(contact) if can_write(contact) => return vec![Effect::Words(contact.id.clone())],
                _ => Some(Popup::Say(NO_WORDS_YET)),
            },
            '3' if self.can_invite => Some(Popup::InviteWhom(Composer::default())),
            '3' => Some(Popup::Say(NOT_ENROLLED)),
            '5' => match self.contact() {
                Some(contact) => return vec![Effect::Crisis(contact.id.clone())],
                None => Some(Popup::Say(NO_CONVERSATION)),
            },
            '6' => match self.contact() {
                Some(contact) if can_write(contact) => return vec![Effect::Word(contact.id.clone())],
                _ => Some(Popup::Say(NO_WORDS_YET)),
            },
            '7' => return self.choose(),
            '8' => match self.contact() {
                Some(contact) if can_compose(contact) => {
                    Some(Popup::AttachWhich { contact: contact.id.clone(), field: Composer::default() })
                }
                _ => Some(Popup::Say(NO_FILES_NOW)),
            },
            _ => Some(Popup::JoinWhich(Composer::default())),
        };
        Vec::new()
    }

    fn enter(&mut self) -> Vec<Effect> {
        let Some(contact) = self.contact() else { return Vec::new() };
        let id = contact.id.clone();
        match contact.state {
            ContactState::Consenting => vec![Effect::Offer(id)],
            ContactState::Opening | ContactState::Invited => vec![Effect::ShowInvite(id)],
            ContactState::Joined | ContactState::Paired if terms_wait_for_us(contact) => vec![Effect::Terms(id)],
            ContactState::Joined | ContactState::Paired if !can_compose(contact) => Vec::new(),
            ContactState::Joined | ContactState::Paired => match self.conversation_mut() {
                Some(conversation) if !conversation.draft.text().trim().is_empty() => {
                    conversation.scroll = 0;
                    let text = conversation.draft.take();
                    let purpose = std::mem::take(&mut conversation.purpose);
                    conversation.is_crisis_due |= !matches!(purpose, Purpose::Edit(_));
                    match purpose {
                        Purpose::New => vec![Effect::Send { contact: id, text }],
                        Purpose::Reply(_) => vec![Effect::WriteAbout { contact: id, purpose, text }],
                        Purpose::Edit(_) => {
                            conversation.draft = std::mem::take(&mut conversation.put_aside);
                            vec![Effect::WriteAbout { contact: id, purpose, text }]
                        }
                    }
                }
                _ => Vec::new(),
            },
            ContactState::Joining | ContactState::Ended(_) => Vec::new(),
        }
    }

    fn step(&mut self, by: isize) -> Vec<Effect> {
        if let Some(conversation) = self.conversation_mut() {
            conversation.chosen = None;
        }
        let at = self.contacts.iter().position(|contact| Some(&contact.id) == self.selected.as_ref());
        let Some(count) = isize::try_from(self.contacts.len()).ok().filter(|count| *count > 0) else {
            return Vec::new();
        };
        let at = at.and_then(|at| isize::try_from(at).ok()).unwrap_or(0);
        let next = usize::try_from((at + by).rem_euclid(count)).unwrap_or(0);
        self.selected = self.contacts.get(next).map(|contact| contact.id.clone());
        let mut effects = self.look();
        effects.extend(self.ask_for_care());
        effects
    }

    fn page_up(&mut self) -> Vec<Effect> {
        let (rows, most) = (self.seen.rows.saturating_sub(1).max(1), self.seen.most_scroll);
        let Some(contact) = self.selected.clone() else { return Vec::new() };
        let Some(conversation) = self.conversation_mut() else { return Vec::new() };
        conversation.scroll = (conversation.scroll + rows).min(most);
        let is_near_the_top = conversation.scroll + rows >= most;
        if !is_near_the_top || conversation.is_all || conversation.is_loading_older {
            return Vec::new();
        }
        let Some(first) = conversation.messages.first() else { return Vec::new() };
        conversation.is_loading_older = true;
        vec![Effect::LoadOlder { contact, before: first.id.clone() }]
    }
}
