//! Two paired devices without a relay: boxes go from one outbox to the other store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "not part of what is shipped")]

use std::path::Path;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tacit_proto::SealedBox;
use tacit_proto::link::{EnrolmentLink, RelayPlace};
use tacit_proto::{EnrolCode, Permit};
use tempfile::TempDir;

use crate::care::statement::{Body as StatementBody, Signed};
use crate::conversation::{self, Received, Sealing};
use crate::error::StoreError;
use crate::pairing;
use crate::statements;
use crate::store::{ContactKey, ContactRow, Key, Kind, State, Store, StoreKey, Tx};
use crate::types::{Content, Direction, Message, Timestamp};

/// When everything here happens, unless a test says otherwise: Monday, 1 June 2026, 10:00 in Zurich.
pub(crate) const NOW: Timestamp = 1_780_300_800_000;

pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// One device: its store, and the contact of the other one.
pub(crate) struct Side {
    /// Removed with the side.
    _home: TempDir,
    pub(crate) store: Store,
    pub(crate) contact: ContactKey,
}

/// A practice and its client.
pub(crate) struct Pair {
    pub(crate) practice: Side,
    pub(crate) client: Side,
}

fn open(home: &Path) -> Store {
    let key = Key::open(home, &StoreKey::Raw(vec![7; 32]), &mut rng()).unwrap();
    Store::open(home, &key).unwrap()
}

impl Side {
    pub(crate) fn new(home: TempDir, store: Store, contact: ContactKey) -> Self {
        Self { _home: home, store, contact }
    }

    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&Tx<'_>, &ContactRow) -> Result<T, StoreError>) -> T {
        let contact = self.contact;
        self.store.change(|tx| change(tx, &tx.contact(&contact)?.unwrap())).unwrap()
    }

    pub(crate) fn history(&mut self) -> Vec<Message> {
        self.change(|tx, row| Ok(tx.history(&row.key, None, 1_000)?.unwrap()))
    }

    /// What a conversation shows of one direction, as text.
    pub(crate) fn shown(&mut self, direction: Direction) -> Vec<String> {
        let of = self.history().into_iter().filter(|message| message.direction == direction);
        of.map(|message| match message.content {
            Content::Text(text) => text,
            other => format!("{other:?}"),
        })
        .collect()
    }

    pub(crate) fn unopened(&mut self) -> u64 {
        self.change(|tx, row| Ok(tx.public_contact(&row.key)?.unwrap().unopened))
    }

    /// Takes everything out of the outbox, sealed.
    pub(crate) fn seal_all(&mut self) -> Vec<Vec<u8>> {
        self.change(|tx, row| {
            if row.receipt_due && !tx.is_outgoing(&row.key, Kind::Message)? {
                tx.enqueue(&row.key, Kind::Receipt, None, None)?;
            }
            let mut boxes = Vec::new();
            for outgoing in tx.outgoing(&row.key, 0, 1_000)? {
                let sealing = match outgoing.sealed.clone() {
                    Some(sealed) => Sealing::Sealed(sealed),
                    None => conversation::seal_outgoing(tx, row, &outgoing, &mut rng())?,
                };
                match sealing {
                    Sealing::Sealed(sealed) => boxes.push(sealed),
                    Sealing::Nothing => {}
                    Sealing::NotYet => continue,
                }
                tx.remove_outgoing(outgoing.key)?;
            }
            Ok(boxes)
        })
    }

    pub(crate) fn open_all(&mut self, boxes: Vec<Vec<u8>>, now: Timestamp) -> Vec<Received> {
        let open = |sealed: Vec<u8>| {
            let sealed = SealedBox::check(sealed.into()).unwrap();
            self.change(|tx, row| conversation::receive(tx, row, &sealed, now, &mut rng()))
        };
        boxes.into_iter().map(open).collect()
    }
}

/// A home of a practice that enrolled, and made no invite yet.
pub(crate) fn practice() -> (TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let mut store = open(home.path());
    let link = EnrolmentLink {
        relay: RelayPlace { address: "ws://127.0.0.1:7443".parse().unwrap(), pin: None },
        code: EnrolCode::draw(&mut rng()),
        permits: 9,
    };
    let permits: Vec<_> = (0..9).map(|_| Permit::draw(&mut rng())).collect();
    store
        .change::<_, StoreError>(|tx| {
            tx.add_enrolment(&link, &permits)?;
            tx.set_profile("Dr. Example", 1, "terms")
        })
        .unwrap();
    (home, store)
}

impl Pair {
    pub(crate) fn new() -> Self {
        let (home, store) = practice();
        Self::with(home, store, |_| Ok(()))
    }

    /// Pairs with a practice; `meanwhile` happens there after the offer was made.
    pub(crate) fn with(
        home: TempDir,
        mut store: Store,
        meanwhile: impl FnOnce(&Tx<'_>) -> Result<(), StoreError>,
    ) -> Self {
        let (contact, link) =
            store.change(|tx| Ok::<_, StoreError>(pairing::invite(tx, NOW, &mut rng(), "C", 60).unwrap())).unwrap();
        let mut practice = Side { _home: home, store, contact };
        let offer = practice.change(|tx, row| {
            tx.set_state(&row.key, State::Invited)?;
            let offer = tx.outgoing(&row.key, 0, 100)?;
            offer.iter().try_for_each(|part| tx.remove_outgoing(part.key))?;
            Ok(offer)
        });
        practice.store.change(meanwhile).unwrap();

        let home = tempfile::tempdir().unwrap();
        let mut store = open(home.path());
        let contact =
            store.change(|tx| Ok::<_, StoreError>(pairing::join(tx, NOW, &mut rng(), &link, "").unwrap())).unwrap();
        let mut client = Side { _home: home, store, contact };
        client.change(|tx, row| {
            tx.set_state(&row.key, State::AwaitingOffer)?;
            for part in &offer {
                let sealed = SealedBox::check(part.sealed.clone().unwrap().into()).unwrap();
                pairing::receive_offer_part(tx, row, &sealed)?;
            }
            Ok(())
        });
        let accept = client.change(|tx, row| {
            pairing::consent(tx, row, NOW, &mut rng()).unwrap();
            let accept = tx.outgoing(&row.key, 0, 1)?.remove(0);
            tx.remove_outgoing(accept.key)?;
            Ok(SealedBox::check(accept.sealed.unwrap().into()).unwrap())
        });
        let step = practice.change(|tx, row| pairing::receive_accept(tx, row, &accept, NOW, &mut rng()));
        assert_eq!(step, pairing::Step::Forward);
        Self { practice, client }
    }

    /// Hands everything over, both ways, until nothing is left.
    pub(crate) fn exchange(&mut self) {
        loop {
            let (there, back) = (self.practice.seal_all(), self.client.seal_all());
            if there.is_empty() && back.is_empty() {
                return;
            }
            self.client.open_all(there, NOW);
            self.practice.open_all(back, NOW);
        }
    }

    /// Signs and publishes a statement of the practice.
    pub(crate) fn publish<B: StatementBody>(&mut self, body: B, note: &crate::Note) {
        self.practice.change(|tx, _| {
            let key = tx.practice_key()?.unwrap();
            statements::publish(tx, &Signed::sign(&key, body), note, NOW, &mut rng())
        });
    }
}
