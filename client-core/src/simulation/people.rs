//! What people do with their devices: enrol, invite, join, agree, write. And a ledger of what they were promised.

use tacit_proto::Permit;
use tacit_proto::link::{EnrolmentLink, InviteLink, RelayPlace};

use super::world::{Note, World};
use crate::error::{ContactError, InviteError, JoinError, ResetError, StoreError};
use crate::pairing::{self, draw_id};
use crate::reset;
use crate::store::{ContactKey, State, faults};
use crate::types::{Content, Direction, EndedWhy, Event, Message, Outcome, RefusedWhy};

/// A text that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) id: [u8; 16],
    /// The text, or the name of the file.
    pub(super) text: String,
    pub(super) file: Option<Vec<u8>>,
}

/// Two devices that pair, and what they say. Side 0 invites.
pub(super) struct Pair {
    pub(super) devices: [usize; 2],
    link: Option<InviteLink>,
    pub(super) contacts: [Option<ContactKey>; 2],
    pub(super) sent: [Vec<Sent>; 2],
}

/// All of them.
pub(super) struct People {
    pub(super) pairs: Vec<Pair>,
    /// How often a call of an app dies at a write, in a thousand.
    pub(super) dies: u64,
    /// A device was lost: what it said that it had, it had.
    pub(super) one_is_lost: bool,
    /// Files that somebody cancelled.
    pub(super) cancelled: Vec<[u8; 16]>,
    enrolled: bool,
}

impl People {
    /// A therapist, device 0, and clients.
    pub(super) fn new(clients: usize) -> Self {
        let pair = |client| Pair { devices: [0, client], link: None, contacts: [None, None], sent: [vec![], vec![]] };
        Self {
            pairs: (1..=clients).map(pair).collect(),
            dies: 0,
            one_is_lost: false,
            cancelled: Vec::new(),
            enrolled: false,
        }
    }

    /// One call of an app on a device. None if the process died in the middle.
    pub(super) fn call<T>(
        &self,
        world: &mut World,
        device: usize,
        call: impl FnOnce(&crate::store::Tx<'_>, u64, &mut super::dice::Dice) -> Result<T, StoreError>,
    ) -> Option<T> {
        let now = world.devices[device].wall(world.now);
        if world.dice.per_mille(self.dies) {
            faults::crash_after(world.dice.around(5));
        }
        if let Some(writes) = world.dies_at_write.and_then(|at| at.checked_sub(faults::writes())) {
            faults::crash_after(writes);
        }
        let shell = &mut world.devices[device];
        let result = shell.store.change(|tx| call(tx, now, &mut shell.dice));
        faults::none();
        match result {
            Ok(value) => {
                world.poke(device);
                Some(value)
            }
            Err(StoreError::Io(why)) if why == faults::CRASH => {
                world.dies_at_write = None;
                let back_at = world.now + 1_000;
                world.kill(device, 0, back_at);
                None
            }
            Err(error) => panic!("the store failed by itself: {error}"),
        }
    }

    /// Takes the pairings one step further, as far as there is anything for people to do. True when all are paired.
    pub(super) fn pair(&mut self, world: &mut World) -> bool {
        if !self.enrolled {
            self.enrol(world);
            return false;
        }
        let mut all = true;
        for index in 0..self.pairs.len() {
            let [therapist, client] = self.pairs[index].devices;
            let Some(of_client) = self.pairs[index].contacts[0] else {
                let invited = self.call(world, therapist, |tx, now, dice| {
                    pairing::invite(tx, now, dice, "client", 3600).map_err(|error| match error {
                        InviteError::Store(error) => error,
                        error => panic!("{error}"),
                    })
                });
                if let Some((contact, link)) = invited {
                    self.pairs[index].contacts[0] = Some(contact);
                    self.pairs[index].link = Some(link);
                }
                all = false;
                continue;
            };
            let state = state(world, therapist, &of_client);
            // Somebody was away for longer than the invite lived: they try another one.
            if state == State::Ended(EndedWhy::Unclaimed) {
                self.pairs[index].contacts = [None, None];
                all = false;
                continue;
            }
            let Some(of_therapist) = self.pairs[index].contacts[1] else {
                if state == State::Invited {
                    let link = self.pairs[index].link.take().unwrap();
                    self.pairs[index].contacts[1] = self.call(world, client, |tx, now, dice| {
                        pairing::join(tx, now, dice, &link, "therapist").map_err(|error| match error {
                            JoinError::Store(error) => error,
                            error => panic!("{error}"),
                        })
                    });
                    self.pairs[index].link = Some(link);
                }
                all = false;
                continue;
            };
            let joined = self::state(world, client, &of_therapist);
            if joined == State::Ended(EndedWhy::InviteExpired) {
                self.pairs[index].contacts = [None, None];
                all = false;
                continue;
            }
            if joined == State::Consenting {
                self.call(world, client, |tx, now, dice| {
                    let row = tx.contact(&of_therapist)?.unwrap();
                    pairing::consent(tx, &row, now, dice).map_err(|error| match error {
                        ContactError::Store(error) => error,
                        error => panic!("{error}"),
                    })
                });
            }
            all &= state == State::Paired && joined == State::Paired;
        }
        all
    }

    fn enrol(&mut self, world: &mut World) {
        let permits = u16::try_from(5 * self.pairs.len()).unwrap();
        let relay = RelayPlace { address: "ws://127.0.0.1:7443".parse().unwrap(), pin: None };
        let link = EnrolmentLink { relay, code: world.relay.enrol(permits), permits };
        let done = self.call(world, 0, |tx, _, dice| {
            let permits: Vec<_> = (0..permits).map(|_| Permit::draw(dice)).collect();
            tx.add_enrolment(&link, &permits)?;
            tx.set_profile("Dr. Example", 1, "terms")
        });
        self.enrolled = done.is_some();
    }

    /// Somebody writes, if the pairing is far enough. A text that was cut short by a crash was not sent.
    pub(super) fn say(&mut self, world: &mut World, pair: usize, side: usize) {
        let device = self.pairs[pair].devices[side];
        let Some(contact) = self.pairs[pair].contacts[side] else { return };
        if !state(world, device, &contact).can_send() {
            return;
        }
        let number = self.pairs[pair].sent[side].len();
        let length = if world.dice.per_mille(20) { 5_000 } else { 0 };
        let text = format!("{number} of pair {pair}, side {side}{}", "!".repeat(length));
        let id = self.call(world, device, |tx, now, dice| {
            let id = draw_id(dice);
            tx.queue_text(&contact, &id, &text, now).map(|()| id)
        });
        if let Some(id) = id {
            self.pairs[pair].sent[side].push(Sent { id, text, file: None });
        }
    }

    /// Whether there is a conversation on every side.
    pub(super) fn all_paired(&self, world: &mut World) -> bool {
        let sides = self.pairs.iter().flat_map(|pair| pair.devices.into_iter().zip(pair.contacts));
        let mut paired = sides.map(|(device, contact)| contact.map(|contact| state(world, device, &contact)));
        paired.all(|state| state == Some(State::Paired))
    }

    /// Somebody resets a conversation; on a day on which that was done too often, they do it the day after.
    pub(super) fn reset(&self, world: &mut World, pair: usize, side: usize) {
        const DAY_MS: i64 = 24 * 3600 * 1_000;
        let device = self.pairs[pair].devices[side];
        let Some(contact) = self.pairs[pair].contacts[side] else { return };
        let done = self.call(world, device, |tx, now, dice| {
            let Some(row) = tx.contact(&contact)? else { return Ok(true) };
            match reset::begin(tx, &row, now, dice) {
                Ok(()) | Err(ResetError::WrongState | ResetError::NoSuchContact) => Ok(true),
                Err(ResetError::TooOften) => Ok(false),
                Err(ResetError::Store(error)) => Err(error),
            }
        });
        if done == Some(false) {
            world.devices.iter_mut().for_each(|device| device.clock_error += 2 * DAY_MS);
        }
    }

    /// Whoever sees that a conversation is wedged resets it.
    pub(super) fn reset_wedged(&self, world: &mut World) {
        for pair in 0..self.pairs.len() {
            for side in 0..2 {
                let Some(contact) = self.pairs[pair].contacts[side] else { continue };
                let device = self.pairs[pair].devices[side];
                let shown = world.devices[device].store.read::<_, StoreError>(|tx| tx.public_contact(&contact));
                if shown.unwrap().is_some_and(|shown| shown.session.wedged && !shown.session.resetting) {
                    self.reset(world, pair, side);
                }
            }
        }
    }

    /// Whether somebody waits for the answer to a reset.
    pub(super) fn is_resetting(&self, world: &mut World) -> bool {
        let mut sides = self.pairs.iter().flat_map(|pair| pair.devices.into_iter().zip(pair.contacts));
        sides.any(|(device, contact)| {
            let shown = contact
                .map(|contact| world.devices[device].store.read::<_, StoreError>(|tx| tx.public_contact(&contact)));
            shown.is_some_and(|shown| shown.unwrap().is_some_and(|shown| shown.session.resetting))
        })
    }

    /// Breaks the ratchet state of one side.
    pub(super) fn damage(&self, world: &mut World, pair: usize, side: usize) {
        let Some(contact) = self.pairs[pair].contacts[side] else { return };
        let device = self.pairs[pair].devices[side];
        let damage = |tx: &crate::store::Tx<'_>| match tx.blob(&contact, "session")? {
            Some(_) => tx.set_blob(&contact, "session", Some(b"damaged")),
            None => Ok(()),
        };
        world.devices[device].store.change::<_, StoreError>(damage).unwrap();
    }

    /// A device is restored from a backup that was made just now.
    pub(super) fn restore(&self, world: &mut World, pair: usize, side: usize) {
        let Some(contact) = self.pairs[pair].contacts[side] else { return };
        let device = self.pairs[pair].devices[side];
        self.call(world, device, |tx, now, dice| {
            let row = tx.contact(&contact)?.filter(|row| row.state == State::Paired);
            row.map_or(Ok(()), |row| reset::restore(tx, &row, now, dice))
        });
        let back_at = world.now + 1;
        (0..world.devices[device].processes.len()).for_each(|process| world.kill(device, process, back_at));
    }

    /// Whether the other device really has what a device calls delivered.
    pub(super) fn check_note(&self, world: &mut World, note: &Note) {
        let Note(device, Event::OutcomeChanged { message, outcome, .. }) = note else { return };
        if self.one_is_lost || !matches!(outcome, Outcome::Delivered | Outcome::Read) {
            return;
        }
        let mut id = [0; 16];
        hex::decode_to_slice(message, &mut id).unwrap();
        let sent_by = |pair: &&Pair| {
            (0..2).any(|side| pair.devices[side] == *device && pair.sent[side].iter().any(|sent| sent.id == id))
        };
        let pair = self.pairs.iter().find(sent_by).expect("only what was sent has an outcome");
        let other = if pair.devices[0] == *device { pair.devices[1] } else { pair.devices[0] };
        let there = world.devices[other].store.read::<_, StoreError>(|tx| tx.message(&id)).unwrap();
        assert!(
            there.is_some_and(|there| there.direction == Direction::In),
            "delivered, and the other device does not have it"
        );
    }

    /// What came is a part of what was sent, each once, in order, and every gap is shown as one.
    pub(super) fn check_histories(&self, world: &mut World) {
        for pair in &self.pairs {
            for side in 0..2 {
                let came: Vec<_> = history(world, pair, 1 - side)
                    .into_iter()
                    .filter(|message| message.direction == Direction::In)
                    .map(|message| {
                        (pair.sent[side].iter().position(|sent| hex::encode(sent.id) == message.id), message)
                    })
                    .collect();
                let mut last = None;
                for (number, message) in came {
                    let number = number.expect("nothing comes that was not sent");
                    assert!(last.is_none_or(|last| number > last), "out of order, or twice");
                    let sent = &pair.sent[side][number];
                    match sent.file {
                        Some(_) => self.check_file(world, pair.devices[1 - side], &message, sent),
                        None => assert_eq!(message.content, Content::Text(sent.text.clone())),
                    }
                    let follows = number == 0 || last == Some(number - 1);
                    assert_eq!(message.gap_before, !follows, "a gap is shown where there is one");
                    last = Some(number);
                }
            }
        }
    }

    /// How many messages of ours have this outcome, over all devices.
    pub(super) fn count(&self, world: &mut World, wanted: impl Fn(Outcome) -> bool) -> usize {
        let mut count = 0;
        for pair in &self.pairs {
            for side in 0..2 {
                let ours = |message: &Message| message.direction == Direction::Out;
                count += history(world, pair, side).iter().filter(|m| ours(m) && wanted(m.outcome)).count();
            }
        }
        count
    }

    pub(super) fn texts(&self) -> usize {
        self.pairs.iter().flat_map(|pair| &pair.sent).map(Vec::len).sum()
    }

    /// How things stand, for whoever looks for a fault.
    pub(super) fn describe(&self, world: &mut World) -> String {
        let mut text = String::new();
        for pair in &self.pairs {
            for side in 0..2 {
                let device = pair.devices[side];
                let contact = pair.contacts[side];
                let shown = contact.and_then(|contact| {
                    world.devices[device].store.read::<_, StoreError>(|tx| tx.public_contact(&contact)).unwrap()
                });
                let outcomes: Vec<_> = history(world, pair, side)
                    .into_iter()
                    .filter(|message| message.direction == Direction::Out)
                    .map(|message| message.outcome)
                    .collect();
                let files: Vec<_> = history(world, pair, side)
                    .iter()
                    .filter_map(|message| Some((message.direction, super::files::shown(message)?.transfer)))
                    .collect();
                text.push_str(&format!("\n{shown:?}\n  sent {outcomes:?}\n  files {files:?}"));
            }
        }
        text + &format!("\n  settled {}, waiting at the relay {}", world.is_settled(), world.relay.waiting())
    }

    /// Whether nothing waits anywhere, and every message has an outcome that is one.
    pub(super) fn is_settled(&self, world: &mut World) -> bool {
        let open = |outcome| matches!(outcome, Outcome::Queued | Outcome::Accepted { .. });
        world.is_settled() && world.relay.waiting() == 0 && self.count(world, open) == 0 && self.files_are_over(world)
    }

    /// The outcomes of what one side sent, in order.
    pub(super) fn outcomes(&self, world: &mut World, pair: usize, side: usize) -> Vec<Outcome> {
        let sent = history(world, &self.pairs[pair], side).into_iter();
        sent.filter(|message| message.direction == Direction::Out).map(|message| message.outcome).collect()
    }

    /// The texts that came to one side, in the order of its history.
    pub(super) fn came(&self, world: &mut World, pair: usize, side: usize) -> Vec<String> {
        let came = history(world, &self.pairs[pair], side).into_iter();
        let came = came.filter(|message| message.direction == Direction::In);
        came.map(|message| match message.content {
            Content::Text(text) => text,
            Content::Attachment(file) => file.name,
            other => panic!("that was not sent: {other:?}"),
        })
        .collect()
    }

    /// The texts that one side sent, in order.
    pub(super) fn texts_of(&self, pair: usize, side: usize) -> Vec<String> {
        self.pairs[pair].sent[side].iter().map(|sent| sent.text.clone()).collect()
    }

    /// Everything that was sent is there, once, in order, and everybody knows it.
    pub(super) fn check_all_delivered(&self, world: &mut World) {
        self.check_histories(world);
        for pair in &self.pairs {
            for side in 0..2 {
                let came = history(world, pair, 1 - side);
                let came = came.iter().filter(|message| message.direction == Direction::In).count();
                assert_eq!(came, pair.sent[side].len(), "everything that was sent is there");
                let contact = pair.contacts[side].unwrap();
                let device = pair.devices[side];
                let shown = world.devices[device].store.read::<_, StoreError>(|tx| tx.public_contact(&contact));
                assert_eq!(shown.unwrap().unwrap().missing, 0, "nothing is missing any more");
            }
        }
        self.check_files_over(world);
        let undelivered = |outcome| !matches!(outcome, Outcome::Delivered | Outcome::Refused(RefusedWhy::Cancelled));
        assert_eq!(self.count(world, undelivered), 0, "everything is delivered");
    }
}

pub(super) fn state(world: &mut World, device: usize, contact: &ContactKey) -> State {
    world.devices[device].store.read::<_, StoreError>(|tx| tx.contact(contact)).unwrap().unwrap().state
}

pub(super) fn history(world: &mut World, pair: &Pair, side: usize) -> Vec<Message> {
    let Some(contact) = pair.contacts[side] else { return Vec::new() };
    let device = pair.devices[side];
    world.devices[device].store.read::<_, StoreError>(|tx| tx.history(&contact, None, u32::MAX)).unwrap().unwrap()
}
