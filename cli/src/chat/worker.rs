//! Carries out the chat's effects on the client, and tells the chat what changed. On a thread of its own: the store may
//! be busy for a while, and the screen must not.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tacit_client_core::{Client, ContactId, EnrolmentState, Event, Listener, Message};

use super::deeds;
use super::state::{Effect, Input, Purpose};
use crate::clock;
use crate::describe;
use crate::failure::Failure;
use crate::quote;

/// Messages read at once.
const PAGE: u32 = 50;

/// Hands things over to the thread, which ends when this is dropped and the client was stopped.
pub(crate) struct Worker(Sender<Work>);

enum Work {
    Effect(Effect),
    Event(Event),
}

struct Inbox(Sender<Work>);

impl Listener for Inbox {
    fn on_event(&self, event: Event) {
        let _ = self.0.send(Work::Event(event));
    }
}

impl Worker {
    /// Connects the client, and begins. `tell` is given all that the chat should know.
    pub(crate) fn start(client: Arc<Client>, tell: impl Fn(Input) + Clone + Send + 'static) -> Result<Self, Failure> {
        let (sender, work) = mpsc::channel();
        client.start(Some(Box::new(Inbox(sender.clone()))))?;
        let bench = Bench {
            client,
            tell,
            shown: BTreeSet::new(),
            stale: BTreeSet::new(),
            are_contacts_stale: true,
            copies: Vec::new(),
        };
        let spawned = thread::Builder::new().name("chat".into()).spawn(move || bench.run(&work));
        spawned.map(|_| Self(sender)).map_err(|error: io::Error| Failure::Terminal(error))
    }

    /// Carries out an effect, after those before it.
    pub(crate) fn carry_out(&self, effect: Effect) {
        let _ = self.0.send(Work::Effect(effect));
    }
}

struct Bench<T> {
    client: Arc<Client>,
    tell: T,
    /// Conversations that the chat has loaded.
    shown: BTreeSet<ContactId>,
    /// Those of them that changed since.
    stale: BTreeSet<ContactId>,
    are_contacts_stale: bool,
    /// Files that are being copied.
    copies: Vec<JoinHandle<()>>,
}

impl<T: Fn(Input) + Clone + Send + 'static> Bench<T> {
    fn run(mut self, work: &Receiver<Work>) {
        (self.tell)(Input::Connection(self.client.connection()));
        self.refresh();
        while let Ok(first) = work.recv() {
            // A burst of events is read from the store once.
            for work in std::iter::once(first).chain(work.try_iter()) {
                match work {
                    Work::Effect(effect) => {
                        if let Err(failure) = self.carry_out(effect) {
                            (self.tell)(Input::Failed(failure.to_string()));
                        }
                    }
                    Work::Event(event) => self.event(event),
                }
            }
            self.refresh();
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::MessageReceived { contact, .. }
            | Event::TransferChanged { contact, .. }
            | Event::ContactChanged { contact }
            | Event::MessageChanged { contact, .. }
            | Event::SessionReset { contact, .. } => {
                self.stale.insert(contact);
                self.are_contacts_stale = true;
            }
            Event::OutcomeChanged { contact, message, outcome } => {
                (self.tell)(Input::Outcome { contact, message, outcome });
            }
            Event::ConnectionChanged { connection } => {
                (self.tell)(Input::Connection(connection));
                // An enrolment may have come through.
                self.are_contacts_stale = true;
            }
            Event::Notice { text } => (self.tell)(Input::Notice(text)),
            // Whoever looks at the chat sees what came.
            Event::NotificationsDue => {}
            Event::StoreChanged => {
                self.stale.extend(self.shown.iter().cloned());
                self.are_contacts_stale = true;
            }
        }
    }

    fn refresh(&mut self) {
        if let Err(failure) = self.try_refresh() {
            (self.tell)(Input::Failed(failure.to_string()));
        }
    }

    fn try_refresh(&mut self) -> Result<(), Failure> {
        for contact in std::mem::take(&mut self.stale) {
            if self.shown.contains(&contact) {
                self.newest(contact)?;
            }
        }
        if std::mem::take(&mut self.are_contacts_stale) {
            let enrolments = self.client.enrolments()?;
            let can_invite = enrolments.iter().any(|enrolment| enrolment.state != EnrolmentState::Refused);
            let contacts = self.client.contacts()?;
            for contact in &contacts {
                if describe::is_end_said(&self.client, contact)? {
                    (self.tell)(Input::Farewell(contact.id.clone()));
                }
            }
            (self.tell)(Input::Contacts { contacts, can_invite });
        }
        Ok(())
    }

    fn newest(&self, contact: ContactId) -> Result<(), Failure> {
        let messages = self.client.history(contact.clone(), None, PAGE)?;
        self.answered(&contact, &messages)?;
        let is_all = messages.len() < PAGE as usize;
        (self.tell)(Input::Newest { contact, messages, is_all });
        Ok(())
    }

    /// Reads what replies answer that is not in the same page.
    fn answered(&self, contact: &ContactId, page: &[Message]) -> Result<(), Failure> {
        let mut messages = Vec::new();
        for reply in page {
            let Some(id) = &reply.reply_to else { continue };
            if page.iter().all(|message| message.id != *id) {
                messages.push((id.clone(), quote::answered(&self.client, reply)?));
            }
        }
        if !messages.is_empty() {
            (self.tell)(Input::Answered { contact: contact.clone(), messages });
        }
        Ok(())
    }

    fn write(&mut self, contact: ContactId, purpose: Purpose, text: String) {
        if let Some(not_sent) = deeds::write(&self.client, contact.clone(), purpose, text) {
            (self.tell)(not_sent);
        }
        self.stale.insert(contact);
        self.are_contacts_stale = true;
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), Failure> {
        let client = &self.client;
        match effect {
            Effect::Load(contact) => {
                self.shown.insert(contact.clone());
                self.newest(contact)?;
            }
            Effect::LoadOlder { contact, before } => {
                let messages = client.history(contact.clone(), Some(before.clone()), PAGE)?;
                self.answered(&contact, &messages)?;
                (self.tell)(Input::Older { contact, before, messages });
            }
            Effect::MarkRead(contact) => {
                client.mark_read(contact)?;
                self.are_contacts_stale = true;
            }
            Effect::Send { contact, text } => self.write(contact, Purpose::New, text),
            Effect::WriteAbout { contact, purpose, text } => self.write(contact, purpose, text),
            Effect::Withdraw { ref contact, .. } | Effect::CancelFile { ref contact, .. } => {
                deeds::change(client, &effect)?;
                self.stale.insert(contact.clone());
                self.are_contacts_stale = true;
            }
            Effect::Attach { contact, path } => {
                self.copies.push(deeds::attach(client, contact, &path, self.tell.clone())?);
            }
            Effect::Save { message, path } => {
                self.copies.push(deeds::save(client, message, &path, self.tell.clone())?);
            }
            Effect::Words(contact) => {
                let words = client.safety_words(contact.clone())?;
                (self.tell)(Input::Words { contact, words });
            }
            Effect::Verify(contact, words) => {
                client.verify(contact, words)?;
                self.are_contacts_stale = true;
            }
            Effect::Unverify(contact) => {
                client.unverify(contact)?;
                self.are_contacts_stale = true;
            }
            Effect::Invite(label) => {
                let invite = client.invite(label.clone(), WEEK)?;
                self.read_contacts_first()?;
                (self.tell)(Input::Invite { contact: invite.contact, link: invite.link, label: Some(label) });
            }
            Effect::ShowInvite(contact) => {
                let link = client.invite_link(contact.clone())?;
                (self.tell)(Input::Invite { contact, link, label: None });
            }
            Effect::Join(link) => {
                let contact = client.join(link.clone(), None)?;
                self.read_contacts_first()?;
                (self.tell)(Input::Joined { contact, link });
            }
            Effect::Offer(contact) => {
                let offer = client.offer(contact.clone())?;
                (self.tell)(Input::Offer { contact, offer });
            }
            Effect::Consent(contact) => {
                client.consent(contact)?;
                self.are_contacts_stale = true;
            }
            Effect::Decline(contact) => {
                client.decline(contact)?;
                self.are_contacts_stale = true;
            }
            Effect::Care(contact) => {
                let now = clock::now();
                let expectation = client.expectation(contact.clone(), now)?;
                let crisis = client.crisis(contact.clone(), clock::locale(), false, now)?;
                (self.tell)(Input::Care { contact, expectation, crisis });
            }
            Effect::Crisis(contact) => {
                let crisis = client.crisis(contact.clone(), clock::locale(), true, clock::now())?;
                (self.tell)(Input::Crisis { contact, crisis });
            }
            Effect::Terms(contact) => {
                let terms = client.contact_terms(contact.clone())?;
                (self.tell)(Input::Terms { contact, terms });
            }
            Effect::Agree(contact, version) => {
                client.agree(contact.clone(), version)?;
                self.stale.insert(contact);
                self.are_contacts_stale = true;
            }
            Effect::Word(contact) => {
                let word = client.agreed_word(contact.clone())?;
                (self.tell)(Input::Word { contact, word });
            }
            Effect::SetWord(contact, word) => {
                client.set_agreed_word(contact, Some(word.0))?;
                (self.tell)(Input::Said("The word is set on this device.".into()));
            }
            Effect::AskWord(contact) => {
                client.ask_word(contact.clone())?;
                (self.tell)(Input::Said("You asked for the word. Their answer shows here when it comes.".into()));
                self.stale.insert(contact);
            }
            Effect::AnswerWord(contact, word) => {
                let said = if word.is_some() {
                    "You answered. Only their device knows whether it was the word."
                } else {
                    "You declined, and they are told."
                };
                client.answer_word(contact.clone(), word.map(|word| word.0))?;
                (self.tell)(Input::Said(said.into()));
                self.stale.insert(contact);
                self.are_contacts_stale = true;
            }
            Effect::Finish => {
                // A copy that panicked is over as well.
                self.copies.drain(..).for_each(|copy| drop(copy.join()));
                (self.tell)(Input::Finished);
            }
            // The loop's own.
            Effect::Leave(_) => {}
        }
        Ok(())
    }

    /// A new contact must be in the list before it is selected.
    fn read_contacts_first(&mut self) -> Result<(), Failure> {
        self.are_contacts_stale = true;
        self.try_refresh()
    }
}

/// How long an invite made in the chat can be used, in seconds.
const WEEK: u64 = 7 * 24 * 3600;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tacit_client_core::StoreKey;
    use tacit_proto::ChannelId;
    use tacit_proto::link::{InviteLink, InviteSecret, RelayPlace};

    use super::*;

    #[test]
    fn what_was_handed_over_before_leaving_is_stored_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home").to_string_lossy().into_owned();
        let client = Arc::new(Client::open(home, StoreKey::Raw(vec![7; 32])).unwrap());
        let (tell, inputs) = mpsc::channel();
        let worker = Worker::start(Arc::clone(&client), move |input| drop(tell.send(input))).unwrap();
        for n in 0..20 {
            // A relay that is down: nobody listens on this port.
            let relay = RelayPlace { address: "ws://127.0.0.1:9".parse().unwrap(), pin: None };
            let (channel, secret) = (ChannelId::from_bytes([n; 16]), InviteSecret::from_bytes([n; 32]));
            worker.carry_out(Effect::Join(InviteLink { relay, channel, secret, remote: false }.to_uri()));
        }
        worker.carry_out(Effect::Finish);
        while !matches!(inputs.recv_timeout(Duration::from_secs(60)).unwrap(), Input::Finished) {}
        assert_eq!(client.contacts().unwrap().len(), 20);
        client.stop();
    }
}
