//! Ends: opening, attaching, rekeying, closing, and what the relay says of them.

use std::num::NonZeroU32;

use rand_core::CryptoRng;
use tacit_proto::frame::{Answer, Attached, ClosedWhy, Event as RelayEvent, Handle, Open, Refusal, Request};
use tacit_proto::{Command, EndKey, SealedBox};

use super::{Attachment, Engine, KeyTried, Link, Now, Pending, RETRY_MS, TurnError};
use crate::conversation;
use crate::crypto::invite::InviteKeys;
use crate::pairing::{self, Step};
use crate::store::{ContactKey, ContactRow, State, Tx};
use crate::transfers::WINDOW;
use crate::types::{EndedWhy, Event};

/// Whether the end of a channel that nobody claimed is the end of it here.
const fn may_run_out(state: State) -> bool {
    state.is_unclaimed() || matches!(state, State::Leaving(_))
}

impl Engine {
    pub(super) fn open(&mut self, tx: &Tx<'_>, row: &ContactRow) -> Result<(), TurnError> {
        let (Some((permit, join_within)), Some(secret), Some(key)) =
            (tx.opening(&row.key)?, tx.invite_secret(&row.key)?, tx.end_key(&row.key)?)
        else {
            self.links.insert(row.key, Link::Parked);
            return Ok(());
        };
        let key_b = InviteKeys::derive(&row.of.channel, &secret).end_key.public();
        // An invite cannot wait for longer than this relay keeps anything.
        let join_by = NonZeroU32::new(join_within.min(self.welcome.limits.hold)).unwrap_or(NonZeroU32::MIN);
        let open = Open { channel: row.of.channel, permit, key_a: key.public(), key_b, join_by };
        self.links.insert(row.key, Link::Asked);
        self.ask(Pending::Open(row.key), Request::Open(Box::new(open)));
        Ok(())
    }

    pub(super) fn opened(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        contact: &ContactKey,
        answer: &Answer,
    ) -> Result<(), TurnError> {
        self.links.remove(contact);
        if tx.contact(contact)?.is_none_or(|row| row.state != State::Opening) {
            // The person ended it meanwhile. Without an offer, nobody can join by it, and it runs out.
            return Ok(());
        }
        match answer {
            Answer::Done => {
                // The invite is worth nothing before its offer is at the relay too.
                tx.set_state(contact, State::Offering)?;
                tx.set_blob(contact, "permit", None)?;
            }
            Answer::Refused(why) if why.is_retry() => {
                self.links.insert(*contact, Link::Later(now.steady + RETRY_MS));
            }
            Answer::Refused(_) => self.end(tx, contact, EndedWhy::NoPermit, false)?,
            _ => return Err(TurnError::Protocol),
        }
        Ok(())
    }

    pub(super) fn attach_result(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        contact: &ContactKey,
        tried: KeyTried,
        result: Result<Attached, Refusal>,
    ) -> Result<(), TurnError> {
        let Some(row) = tx.contact(contact)? else { return Ok(()) };
        match result {
            Ok(attached) => self.attached(tx, &row, tried, attached),
            Err(why) => self.not_attached(tx, now, &row, tried, why),
        }
    }

    fn attached(
        &mut self,
        tx: &Tx<'_>,
        row: &ContactRow,
        tried: KeyTried,
        attached: Attached,
    ) -> Result<(), TurnError> {
        let handle = attached.handle;
        let attachment = Attachment {
            contact: row.key,
            must_rekey: attached.must_rekey,
            rekeying: false,
            next_n: 1,
            in_flight: std::collections::VecDeque::new(),
            sent: 0,
            sent_chunks: 0,
            chunk_window: WINDOW,
            paused_until: 0,
            ack: None,
            delivered: 0,
            drained: false,
        };
        if self.attachments.insert(handle, attachment).is_some() {
            return Err(TurnError::Protocol);
        }
        self.links.insert(row.key, Link::Attached(handle));
        if tx.set_locked_out(&row.key, false)? {
            self.changed(&row.key);
        }
        match (tried, attached.must_rekey) {
            (KeyTried::Next, false) => self.claimed(tx, row),
            (KeyTried::Current, false) => Ok(()),
            (KeyTried::Invite, true) => {
                let secret = tx.invite_secret(&row.key)?;
                let invite_key = secret.map(|secret| InviteKeys::derive(&row.of.channel, &secret).end_key);
                self.rekey(tx, row, handle, invite_key)
            }
            // Only an invite's key must be replaced, and it always must.
            _ => Err(TurnError::Protocol),
        }
    }

    /// The relay knows the new key: this device holds the end.
    fn claimed(&mut self, tx: &Tx<'_>, row: &ContactRow) -> Result<(), TurnError> {
        tx.promote_end_key(&row.key)?;
        if row.state == State::Claiming {
            tx.set_state(&row.key, State::AwaitingOffer)?;
            self.changed(&row.key);
        }
        Ok(())
    }

    /// Hands the end over to its next key, under the key that it is attached with.
    pub(super) fn rekey(
        &mut self,
        tx: &Tx<'_>,
        row: &ContactRow,
        handle: Handle,
        held: Option<EndKey>,
    ) -> Result<(), TurnError> {
        let (Some(next), Some(held)) = (tx.next_end_key(&row.key)?, held) else {
            return Ok(());
        };
        let new_key = next.public();
        let proof = held.prove(self.challenge(), &row.of, &Command::Rekey(&new_key))?;
        if let Some(attachment) = self.attachments.get_mut(&handle) {
            attachment.rekeying = true;
        }
        self.ask(Pending::Rekey(row.key, handle), Request::Rekey { handle, new_key, proof });
        Ok(())
    }

    pub(super) fn rekeyed(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        contact: &ContactKey,
        handle: Handle,
        answer: &Answer,
    ) -> Result<(), TurnError> {
        let Some(row) = tx.contact(contact)? else { return Ok(()) };
        match answer {
            Answer::Done => {
                if let Some(attachment) = self.attachments.get_mut(&handle) {
                    attachment.must_rekey = false;
                    attachment.rekeying = false;
                }
                self.claimed(tx, &row)
            }
            // Somebody else was first, or the relay is busy: attaching again tells which.
            Answer::Refused(why) => {
                let pause = if why.is_retry() { RETRY_MS } else { RETRY_MS / 10 };
                self.unlink(contact);
                self.links.insert(*contact, Link::Later(now.steady + pause));
                Ok(())
            }
            _ => Err(TurnError::Protocol),
        }
    }

    fn not_attached(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        row: &ContactRow,
        tried: KeyTried,
        why: Refusal,
    ) -> Result<(), TurnError> {
        self.links.remove(&row.key);
        match (why, tried) {
            (why, _) if why.is_retry() => {
                self.links.insert(row.key, Link::Later(now.steady + RETRY_MS));
            }
            (Refusal::NotAllowed, KeyTried::Next) if self.invite_used.contains(&row.key) => {
                self.end(tx, &row.key, EndedWhy::InviteUsed, false)?;
            }
            (Refusal::NotAllowed, KeyTried::Next) => {
                // The key before it is tried at once: the relay may never have heard of this one.
                self.next_key_refused.insert(row.key);
            }
            (Refusal::NotAllowed | Refusal::Gone, KeyTried::Invite) => {
                self.end(tx, &row.key, EndedWhy::InviteExpired, false)?;
            }
            (Refusal::Used, KeyTried::Invite) if self.invite_used.insert(row.key) => {
                self.next_key_refused.remove(&row.key);
            }
            (Refusal::Used, KeyTried::Invite) => self.end(tx, &row.key, EndedWhy::InviteUsed, false)?,
            // A `Rekey` of an earlier connection may have arrived since the next key was refused.
            (Refusal::NotAllowed, KeyTried::Current) if row.rekey_due && self.held_key_refused.insert(row.key) => {
                self.next_key_refused.remove(&row.key);
            }
            // We closed it, and the relay knows.
            (Refusal::Gone | Refusal::NotAllowed, _) if row.close_due => tx.forget_end_key(&row.key)?,
            (Refusal::Gone | Refusal::NotAllowed, _) if let State::Leaving(ended) = row.state => {
                // We said farewell, and there is nothing left to be closed.
                self.end(tx, &row.key, ended, false)?;
            }
            (Refusal::Gone, _) => self.end(tx, &row.key, EndedWhy::ByPeer, false)?,
            // The relay may be wrong, or hostile: nothing is erased for it.
            _ => self.lock_out(tx, &row.key)?,
        }
        Ok(())
    }

    /// The relay does not let this device hold an end any more: everything is kept, and the person is told.
    fn lock_out(&mut self, tx: &Tx<'_>, contact: &ContactKey) -> Result<(), TurnError> {
        self.links.insert(*contact, Link::Parked);
        if tx.set_locked_out(contact, true)? {
            self.changed(contact);
        }
        Ok(())
    }

    pub(super) fn close(&mut self, contact: ContactKey, handle: Handle) {
        // The attachment is forgotten here, so that nothing is asked twice.
        self.attachments.remove(&handle);
        self.links.insert(contact, Link::Asked);
        self.ask(Pending::Close(contact), Request::Close { handle });
    }

    pub(super) fn event(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        rng: &mut dyn CryptoRng,
        event: RelayEvent,
    ) -> Result<(), TurnError> {
        match event {
            RelayEvent::Welcome(_) => Err(TurnError::Protocol),
            RelayEvent::Deliver { handle, seq, payload, last } => {
                self.deliver(tx, now, rng, (handle, seq, payload))?;
                if last { self.drained(tx, now, handle) } else { Ok(()) }
            }
            RelayEvent::Drained(handle) => self.drained(tx, now, handle),
            RelayEvent::Room(handle) => {
                if let Some(attachment) = self.attachments.get_mut(&handle) {
                    attachment.paused_until = 0;
                }
                Ok(())
            }
            RelayEvent::Superseded(handle) => {
                if let Some(attachment) = self.attachments.remove(&handle) {
                    if attachment.must_rekey {
                        // Somebody else claimed the invite, or we did, elsewhere: attaching again tells which.
                        self.links.remove(&attachment.contact);
                        self.next_key_refused.remove(&attachment.contact);
                    } else if self.taken_back.insert(attachment.contact) {
                        // This process has the lease. It may have been one of ours that had it before, and whose last
                        // frames came late: without another try this end would be deaf for as long as all is well.
                        self.links.remove(&attachment.contact);
                    } else {
                        // Not a third time: two devices would take it from each other for ever.
                        self.lock_out(tx, &attachment.contact)?;
                    }
                }
                Ok(())
            }
            RelayEvent::Closed(handle, why) => {
                let Some(contact) = self.attachments.get(&handle).map(|attachment| attachment.contact) else {
                    return Ok(());
                };
                let state = tx.contact(&contact)?.map(|row| row.state);
                let why = match why {
                    // Told once more: our close was lost on its way. It goes again with this turn.
                    _ if matches!(state, Some(State::Ended(_))) => return Ok(()),
                    ClosedWhy::ByPeer => EndedWhy::ByPeer,
                    // An invite that was used cannot run out: the relay was restored from before that, or lies.
                    ClosedWhy::Unclaimed if !state.is_some_and(may_run_out) => {
                        self.attachments.remove(&handle);
                        return self.lock_out(tx, &contact);
                    }
                    ClosedWhy::Unclaimed => EndedWhy::Unclaimed,
                };
                let why = match state {
                    Some(State::Leaving(ours)) => ours,
                    _ => why,
                };
                // Our own close is the answer, after which the relay forgets the channel.
                self.end(tx, &contact, why, true)
            }
            RelayEvent::InviteTried(handle) => {
                let contact = self.attachments.get(&handle).map(|attachment| attachment.contact);
                if let Some(contact) = contact
                    && tx.note_invite_tried(&contact)?
                {
                    self.changed(&contact);
                }
                Ok(())
            }
            RelayEvent::Restarting { reconnect_in } => {
                self.output.restarting = Some(reconnect_in);
                Ok(())
            }
        }
    }

    /// Whatever receipts there were have been seen: what is past its hold now was not fetched.
    fn drained(&mut self, tx: &Tx<'_>, now: Now, handle: Handle) -> Result<(), TurnError> {
        if let Some(attachment) = self.attachments.get_mut(&handle) {
            attachment.drained = true;
            let contact = attachment.contact;
            let expired = tx.expire(&contact, now.wall)?;
            self.outcomes(tx, &contact, expired)?;
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        rng: &mut dyn CryptoRng,
        (handle, seq, payload): (Handle, u64, bytes::Bytes),
    ) -> Result<(), TurnError> {
        // Deliveries cross a close or a supersede on the wire; they come again to whoever is attached next.
        let Some(attachment) = self.attachments.get_mut(&handle) else { return Ok(()) };
        if attachment.must_rekey || seq <= attachment.delivered {
            return Err(TurnError::Protocol);
        }
        attachment.delivered = seq;
        attachment.drained = false;
        attachment.ack = Some(seq);
        let contact = attachment.contact;
        let Some(row) = tx.contact(&contact)? else { return Ok(()) };
        let Ok(sealed) = SealedBox::check(payload) else {
            tx.note_unopened(&contact)?;
            self.changed(&contact);
            return Ok(());
        };
        match row.state {
            // Whoever unpaired takes nothing more.
            State::Leaving(EndedWhy::ByUs) => Ok(()),
            State::Opening | State::Claiming | State::Ended(_) | State::Consenting => Ok(()),
            State::AwaitingOffer => {
                let step = pairing::receive_offer_part(tx, &row, &sealed)?;
                self.stepped(tx, &contact, step)
            }
            State::Offering | State::Invited => {
                let step = pairing::receive_accept(tx, &row, &sealed, now.wall, rng)?;
                self.stepped(tx, &contact, step)
            }
            State::Joined | State::Paired | State::Leaving(_) => {
                let received = conversation::receive(tx, &row, &sealed, now.wall, rng)?;
                if let Some(message) = received.message {
                    let message = hex::encode(message);
                    self.output.events.push(Event::MessageReceived { contact: hex::encode(contact), message });
                }
                if let Some(message) = received.changed_message {
                    let message = hex::encode(message);
                    self.output.events.push(Event::MessageChanged { contact: hex::encode(contact), message });
                }
                self.outcomes(tx, &contact, received.changed)?;
                self.moved(tx, now, handle, received.moved)?;
                if let Some(by_peer) = received.reset_by_peer {
                    self.unsealable.remove(&contact);
                    self.output.events.push(Event::SessionReset { contact: hex::encode(contact), by_peer });
                }
                if received.contact_changed {
                    self.changed(&contact);
                }
                Ok(())
            }
        }
    }

    fn stepped(&mut self, tx: &Tx<'_>, contact: &ContactKey, step: Step) -> Result<(), TurnError> {
        match step {
            Step::Nothing => return Ok(()),
            Step::Forward => {}
            Step::Unopened => tx.note_unopened(contact)?,
        }
        self.changed(contact);
        Ok(())
    }
}
