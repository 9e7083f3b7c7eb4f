//! Boxes on their way out, and what becomes of them; acks of what came.

use rand_core::CryptoRng;
use tacit_proto::frame::{Handle, Refusal, Request, RequestId, ToRelay};
use tacit_proto::limits::MAX_HOLD;

use super::{Engine, InFlight, Link, NEVER, Now, PIPELINE, Pending, RETRY_MS, ROOM_MS, TurnError};
use crate::conversation::{Sealing, seal_outgoing};
use crate::life_cycle;
use crate::store::{ContactKey, ContactRow, Kind, State, Tx};

impl Engine {
    /// Sends whatever the store says is to be sent, as far as the pipelines allow.
    pub(super) fn send_all(&mut self, tx: &Tx<'_>, now: Now, rng: &mut dyn CryptoRng) -> Result<(), TurnError> {
        for attachment in self.attachments.values_mut().filter(|it| it.paused_until <= now.steady) {
            attachment.paused_until = 0;
        }
        self.owe_statuses(tx, now)?;
        for row in self.contacts_with_work(tx)? {
            let Some(Link::Attached(handle)) = self.links.get(&row.key) else { continue };
            let handle = *handle;
            if let State::Leaving(why) = row.state
                && life_cycle::may_go(tx, &row, why, now.wall)?
            {
                self.end(tx, &row.key, why, true)?;
                self.close(row.key, handle);
                continue;
            }
            if row.close_due {
                self.close(row.key, handle);
                continue;
            }
            let held = self.attachments.get(&handle).is_some_and(|it| !it.must_rekey && !it.rekeying);
            if row.rekey_due && held {
                let key = tx.end_key(&row.key)?;
                self.rekey(tx, &row, handle, key)?;
            }
            self.owe_receipt(tx, &row)?;
            self.send_from(tx, rng, &row, handle)?;
        }
        self.send_chunks(tx, now, rng)
    }

    /// A receipt rides in the next message; if none is about to leave, it gets a box of its own, one at a time.
    fn owe_receipt(&mut self, tx: &Tx<'_>, row: &ContactRow) -> Result<(), TurnError> {
        let rides = |kind| tx.is_outgoing(&row.key, kind);
        let rides = rides(Kind::Receipt)? || rides(Kind::Message)? || rides(Kind::SealingKey)?;
        if row.receipt_due && row.state.can_seal() && !rides {
            tx.enqueue(&row.key, Kind::Receipt, None, None)?;
        }
        Ok(())
    }

    fn send_from(
        &mut self,
        tx: &Tx<'_>,
        rng: &mut dyn CryptoRng,
        row: &ContactRow,
        handle: Handle,
    ) -> Result<(), TurnError> {
        let under_way: usize = self.attachments.values().map(|attachment| attachment.in_flight.len()).sum();
        let Some(attachment) = self.attachments.get_mut(&handle) else { return Ok(()) };
        if attachment.must_rekey || attachment.rekeying || attachment.paused_until > 0 {
            return Ok(());
        }
        let relay_room = (self.welcome.limits.in_flight as usize).saturating_sub(under_way);
        let room = PIPELINE.saturating_sub(attachment.in_flight.len()).min(relay_room);
        let only_sealed = self.unsealable.contains(&row.key);
        for outgoing in tx.next_outgoing(&row.key, attachment.sent, only_sealed, room)? {
            let sealing = match &outgoing.sealed {
                Some(sealed) => Sealing::Sealed(sealed.clone()),
                None => seal_outgoing(tx, row, &outgoing, &mut *rng)?,
            };
            let sealed = match sealing {
                Sealing::Sealed(sealed) => sealed,
                Sealing::NotYet => {
                    // What is sealed goes past it: it may be the reset without which nothing ever can be.
                    self.unsealable.insert(row.key);
                    self.changed(&row.key);
                    return self.send_from(tx, rng, row, handle);
                }
                Sealing::Nothing => {
                    tx.remove_outgoing(outgoing.key)?;
                    continue;
                }
            };
            let Some(attachment) = self.attachments.get_mut(&handle) else { return Ok(()) };
            let n = attachment.next_n;
            attachment.next_n += 1;
            attachment.sent = outgoing.key;
            let request = self.request_id(Pending::Send(handle, n));
            if let Some(attachment) = self.attachments.get_mut(&handle) {
                attachment.in_flight.push_back(InFlight { request, n, key: outgoing.key, is_chunk: false });
            }
            let payload = sealed.into();
            self.output.frames.push(ToRelay::Request(request, Request::Send { handle, n, payload }));
        }
        Ok(())
    }

    pub(super) fn accepted(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        handle: Handle,
        request: RequestId,
        hold: u32,
    ) -> Result<(), TurnError> {
        let Some(attachment) = self.attachments.get_mut(&handle) else { return Ok(()) };
        let contact = attachment.contact;
        let Some(at) = attachment.in_flight.iter().position(|sent| sent.request == request) else { return Ok(()) };
        let Some(sent) = attachment.in_flight.remove(at) else { return Ok(()) };
        // A receipt may have come first, and have taken the row along.
        let Some(outgoing) = tx.one_outgoing(sent.key)? else { return Ok(()) };
        tx.remove_outgoing(sent.key)?;
        match (outgoing.kind, outgoing.message) {
            (Kind::Message, Some(message)) => {
                // No relay may promise more than the longest hold; who does would have nothing ever expire.
                let until = now.wall.saturating_add(u64::from(hold.min(MAX_HOLD)) * 1000);
                let changed = tx.set_accepted(message, until)?;
                self.outcomes(tx, &contact, changed)?;
            }
            (Kind::Accept, _) => tx.note_accept_sent(&contact, now.wall)?,
            (Kind::Offer, _) => self.offered(tx, &contact)?,
            (Kind::SealingKey, _) => tx.set_announced(&contact, Some(now.wall))?,
            (Kind::ResetRequest, _) => tx.set_reset_sent(&contact, Some(now.wall))?,
            _ => {}
        }
        Ok(())
    }

    /// A part of the offer is at the relay: with the last one, the invite can be used.
    fn offered(&mut self, tx: &Tx<'_>, contact: &ContactKey) -> Result<(), TurnError> {
        let state = tx.contact(contact)?.map(|row| row.state);
        if state == Some(State::Offering) && !tx.is_outgoing(contact, Kind::Offer)? {
            tx.set_state(contact, State::Invited)?;
            self.changed(contact);
        }
        Ok(())
    }

    pub(super) fn send_refused(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        handle: Handle,
        request: RequestId,
        why: Refusal,
    ) -> Result<(), TurnError> {
        let Some(attachment) = self.attachments.get_mut(&handle) else { return Ok(()) };
        let contact = attachment.contact;
        // Refused in the wake of an earlier one: it is sent again with that one.
        let Some(at) = attachment.in_flight.iter().position(|sent| sent.request == request) else { return Ok(()) };
        let refused_n = attachment.in_flight.get(at).map_or(attachment.next_n, |sent| sent.n);
        let refused = attachment.in_flight.split_off(at);
        let first = refused.front().map_or(attachment.sent, |sent| sent.key);
        // The refused number must come again, and everything after it was out of turn.
        attachment.next_n = refused_n;
        let again = |chunks: bool| refused.iter().find(|sent| sent.is_chunk == chunks).map(|sent| sent.key - 1);
        attachment.sent = again(false).unwrap_or(attachment.sent);
        attachment.sent_chunks = again(true).unwrap_or(attachment.sent_chunks);
        match why {
            Refusal::Full => {
                attachment.paused_until = now.steady + ROOM_MS;
                self.shrink_window(handle);
            }
            Refusal::OutOfTurn => return Err(TurnError::Protocol),
            why if why.is_retry() => attachment.paused_until = now.steady + RETRY_MS,
            // The other end closed it: what it left for us still comes, and then `Closed`.
            Refusal::Gone => attachment.paused_until = NEVER,
            // Not at once: a relay that says so to every box would be asked without a pause.
            Refusal::NotAllowed => {
                self.unlink(&contact);
                self.links.insert(contact, Link::Later(now.steady + RETRY_MS));
            }
            _ => match tx.one_outgoing(first)?.and_then(|outgoing| outgoing.message) {
                Some(message) => {
                    tx.remove_outgoing(first)?;
                    let changed = tx.set_not_carried(message)?;
                    self.outcomes(tx, &contact, changed)?;
                }
                // Without its offer or accept a pairing would never end: the relay may think better of it.
                None => {
                    if let Some(attachment) = self.attachments.get_mut(&handle) {
                        attachment.paused_until = now.steady + ROOM_MS;
                    }
                }
            },
        }
        Ok(())
    }

    /// Acks what this turn made durable.
    pub(super) fn ack_all(&mut self) {
        for (handle, attachment) in &mut self.attachments {
            if let Some(up_to) = attachment.ack.take() {
                self.output.frames.push(ToRelay::Ack { handle: *handle, up_to });
            }
        }
    }
}
