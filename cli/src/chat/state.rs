//! What the chat shows, what comes in, and what it wants done. Nothing here touches a client, a terminal or a clock.

use std::collections::{HashMap, HashSet};

use ratatui::crossterm::event::KeyEvent;
use tacit_client_core::{
    AgreedWord, Connection, Contact, ContactId, ContactState, Crisis, Expectation, Message, MessageId, Offer, Outcome,
    Terms,
};

use super::composer::Composer;
use super::popup::Popup;
use crate::clock::Clock;

/// Something that happened: at the keyboard, or in the store.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// Nothing happened but time, or the window has another size.
    Tick,
    /// The terminal is closed.
    TerminalGone,
    /// The contacts as they are now, and whether this device can invite.
    Contacts { contacts: Vec<Contact>, can_invite: bool },
    /// The newest messages of a conversation; `is_all` if there are no older ones.
    Newest { contact: ContactId, messages: Vec<Message>, is_all: bool },
    /// Messages just before one that is shown.
    Older { contact: ContactId, before: MessageId, messages: Vec<Message> },
    /// A message of ours has another outcome.
    Outcome { contact: ContactId, message: MessageId, outcome: Outcome },
    /// The connection as it is now.
    Connection(Connection),
    /// What the relay says to people.
    Notice(String),
    /// The safety words that were asked for.
    Words { contact: ContactId, words: Vec<String> },
    /// The link that was asked for; for a new invite, with the label that it was asked for with.
    Invite { contact: ContactId, link: String, label: Option<String> },
    /// A link was joined.
    Joined { contact: ContactId, link: String },
    /// The offer that was asked for.
    Offer { contact: ContactId, offer: Offer },
    /// What the practice's card says now, and what is to be shown for a crisis.
    Care { contact: ContactId, expectation: Expectation, crisis: Crisis },
    /// The crisis card that was asked for.
    Crisis { contact: ContactId, crisis: Crisis },
    /// The terms that were asked for.
    Terms { contact: ContactId, terms: Terms },
    /// How it stands with the agreed word, which was asked for.
    Word { contact: ContactId, word: AgreedWord },
    /// Messages that replies answer, and that are in no page; none where it is gone.
    Answered { contact: ContactId, messages: Vec<(MessageId, Option<Message>)> },
    /// A text could not be queued.
    NotSent { contact: ContactId, purpose: Purpose, text: String, problem: String },
    /// A file was copied, and goes.
    FileQueued(ContactId),
    /// The contact ended the pairing, and signed that.
    Farewell(ContactId),
    /// Everything that was to be done so far is done.
    Finished,
    /// Something was done.
    Said(String),
    /// Something else could not be done.
    Failed(String),
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Read the newest messages of a conversation, and again whenever they change.
    Load(ContactId),
    /// Read what was before a message.
    LoadOlder { contact: ContactId, before: MessageId },
    /// The person has seen what came.
    MarkRead(ContactId),
    /// Send a text.
    Send { contact: ContactId, text: String },
    /// Answer a message, or change a text of ours.
    WriteAbout { contact: ContactId, purpose: Purpose, text: String },
    /// Delete a text of ours on both sides.
    Withdraw { contact: ContactId, message: MessageId },
    /// Send a file; its path as it was typed.
    Attach { contact: ContactId, path: String },
    /// Write a file to the disk.
    Save { message: MessageId, path: String },
    /// Cancel a file that is under way.
    CancelFile { contact: ContactId, message: MessageId },
    /// Give the safety words.
    Words(ContactId),
    /// These safety words were compared, and agree.
    Verify(ContactId, Vec<String>),
    /// That is taken back.
    Unverify(ContactId),
    /// Make an invite for a person of this label.
    Invite(String),
    /// Give the link of an invite that was not used yet.
    ShowInvite(ContactId),
    /// Join a link.
    Join(String),
    /// Give what an invite offers.
    Offer(ContactId),
    /// The person agrees to the offer.
    Consent(ContactId),
    /// The person does not agree, for good.
    Decline(ContactId),
    /// Say what the practice's card means now.
    Care(ContactId),
    /// Give the crisis card.
    Crisis(ContactId),
    /// Give the terms that wait for consent.
    Terms(ContactId),
    /// The person agrees to the terms of this version.
    Agree(ContactId, u64),
    /// Say how it stands with the agreed word.
    Word(ContactId),
    /// Set the agreed word.
    SetWord(ContactId, Secret),
    /// Ask for the agreed word.
    AskWord(ContactId),
    /// Answer with a word, or decline to.
    AnswerWord(ContactId, Option<Secret>),
    /// Say when all that was to be done before is done.
    Finish,
    /// End the chat.
    Leave(Leave),
}

/// What the text that is being written is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A message of its own.
    #[default]
    New,
    /// It answers this message.
    Reply(MessageId),
    /// It is what this message says from then on.
    Edit(MessageId),
}

/// Something typed that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How a person leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Done,
    Interrupted,
    /// There is no terminal any more.
    TerminalGone,
}

/// Everything that is on the screen.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(super) clock: Clock,
    /// The time, for what ages; set before each picture.
    pub(crate) now: u64,
    /// In the order of the list.
    pub(super) contacts: Vec<Contact>,
    pub(super) are_contacts_known: bool,
    pub(super) can_invite: bool,
    pub(super) selected: Option<ContactId>,
    pub(super) conversations: HashMap<ContactId, Conversation>,
    pub(super) connection: Connection,
    pub(super) notice: String,
    /// What went wrong last, and what was done last: until Esc, or a key once there was time to read it.
    pub(super) problem: String,
    pub(super) news: String,
    /// When there was time to read what was told last.
    pub(super) read_by: u64,
    pub(super) popup: Option<Popup>,
    /// What was asked for, and opens when it comes; until the next key.
    pub(super) awaited: Option<Effect>,
    /// Whoever ended the pairing, and said so: of others only the relay says it.
    pub(super) farewells: HashSet<ContactId>,
    /// The person leaves, once everything is done.
    pub(super) leaving: Option<Leave>,
    /// The person was told that a draft is not sent, by the key before.
    pub(super) is_draft_told: bool,
    /// What the last picture measured: paging and cursor movement depend on it.
    pub(super) seen: Seen,
}

/// Measures of the last picture.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Rows of the conversation that are visible at once.
    pub(super) rows: usize,
    /// How far up the conversation can be scrolled.
    pub(super) most_scroll: usize,
    /// Columns of the composer.
    pub(super) composer_columns: usize,
}

/// What is loaded of a conversation, and what is being written into it.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Oldest first.
    pub(super) messages: Vec<Message>,
    pub(super) is_loaded: bool,
    /// There is nothing older.
    pub(super) is_all: bool,
    pub(super) is_loading_older: bool,
    /// What the practice's card means, if they are a practice.
    pub(super) care: Option<(Expectation, Crisis)>,
    /// Something was sent for which the crisis card is still to be shown; once, until the reason is another.
    pub(super) is_crisis_due: bool,
    pub(super) is_crisis_shown: bool,
    /// Rows up from the newest.
    pub(super) scroll: usize,
    pub(super) draft: Composer,
    /// What the draft is for.
    pub(super) purpose: Purpose,
    /// The draft that an edit interrupted.
    pub(super) put_aside: Composer,
    /// The message that keys act on, while there is one.
    pub(super) chosen: Option<MessageId>,
    /// Messages that replies answer, where they are in no page.
    pub(super) answered: HashMap<MessageId, Message>,
}

impl Chat {
    /// An empty chat that will show the wanted conversation, or the one with the newest message.
    pub(crate) fn new(clock: Clock, wanted: Option<ContactId>) -> Self {
        Self {
            clock,
            now: 0,
            contacts: Vec::new(),
            are_contacts_known: false,
            can_invite: false,
            selected: wanted,
            conversations: HashMap::new(),
            connection: Connection::Stopped,
            notice: String::new(),
            problem: String::new(),
            news: String::new(),
            read_by: 0,
            popup: None,
            awaited: None,
            farewells: HashSet::new(),
            leaving: None,
            is_draft_told: false,
            seen: Seen::default(),
        }
    }

    /// Shows what went wrong, in the place of what went wrong before and of news that there was time to read.
    pub(super) fn tell_problem(&mut self, problem: impl Into<String>) {
        if self.now >= self.read_by {
            self.news.clear();
        }
        self.problem = problem.into();
        self.read_by = self.now + reading_time(&self.problem);
    }

    /// Shows what was done, in the place of what was done before and of a problem that there was time to read.
    pub(super) fn tell_news(&mut self, news: impl Into<String>) {
        if self.now >= self.read_by {
            self.problem.clear();
        }
        self.news = news.into();
        self.read_by = self.read_by.max(self.now + reading_time(&self.news));
    }

    /// The contact whose conversation is shown.
    pub(super) fn contact(&self) -> Option<&Contact> {
        let selected = self.selected.as_ref()?;
        self.contacts.iter().find(|contact| contact.id == *selected)
    }

    /// The conversation that is shown.
    pub(super) fn conversation(&self) -> Option<&Conversation> {
        self.conversations.get(self.selected.as_ref()?)
    }

    /// The conversation that is shown, made if it is new.
    pub(super) fn conversation_mut(&mut self) -> Option<&mut Conversation> {
        let selected = self.selected.clone()?;
        Some(self.conversations.entry(selected).or_default())
    }
}

/// How long it takes to notice a line and to read it, in milliseconds.
pub(super) fn reading_time(text: &str) -> u64 {
    2_000 + 60 * text.chars().count() as u64
}

/// Whether the pairing is such that messages can be written to a contact.
pub(super) const fn can_write(contact: &Contact) -> bool {
    matches!(contact.state, ContactState::Joined | ContactState::Paired)
}

/// Whether a message can be written now.
pub(super) const fn can_compose(contact: &Contact) -> bool {
    can_write(contact) && !is_paused(contact) && !terms_wait_for_us(contact)
}

/// Whether either side pauses the conversation.
pub(super) const fn is_paused(contact: &Contact) -> bool {
    contact.care.paused_by_us.is_some() || contact.care.paused_by_them.is_some()
}

/// Whether terms wait for the consent of whoever sits here.
pub(super) const fn terms_wait_for_us(contact: &Contact) -> bool {
    can_write(contact) && contact.care.is_practice && contact.care.terms_waiting
}
