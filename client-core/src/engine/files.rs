//! Files on this connection: chunks go when nothing else waits, and senders are told what came.

use bytes::Bytes;
use rand_core::CryptoRng;
use tacit_proto::SizeClass;
use tacit_proto::frame::{Handle, Request, ToRelay};

use super::{Engine, InFlight, NEVER, Now, Pending, TurnError};
use crate::conversation;
use crate::store::{ContactRow, Tx};
use crate::transfers::{self, WINDOW};
use crate::types::{Content, Event};

/// Most chunks of one end that the relay was handed and did not answer for: what is written meanwhile waits for these.
const CHUNK_PIPELINE: usize = 8;

/// How long after a chunk its sender is told, unless enough came before.
const TELL_MS: u64 = 200;

/// How often stalled transfers are looked for, while there are transfers.
const LOOK_MS: u64 = 5 * 60_000;

impl Engine {
    /// What came before this connection, or was lost by the relay.
    pub(super) fn greet_transfers(&mut self, tx: &Tx<'_>, now: Now, backlog_was_lost: bool) -> Result<(), TurnError> {
        if backlog_was_lost {
            tx.restart_lost(self.relay)?;
        }
        tx.owe_news(self.relay)?;
        transfers::tend(tx, self.relay, now.wall)?;
        self.look_at = if tx.any_transfer(self.relay)? { now.steady + LOOK_MS } else { NEVER };
        Ok(())
    }

    /// What is to be told of transfers goes into the outbox.
    pub(super) fn owe_statuses(&mut self, tx: &Tx<'_>, now: Now) -> Result<(), TurnError> {
        if self.tell_at <= now.steady {
            self.tell_at = NEVER;
            tx.owe_news(self.relay)?;
        }
        if self.look_at <= now.steady {
            transfers::tend(tx, self.relay, now.wall)?;
            self.look_at = if tx.any_transfer(self.relay)? { now.steady + LOOK_MS } else { NEVER };
        }
        Ok(tx.enqueue_statuses(self.relay)?)
    }

    /// Chunks, for ends at which nothing else waits.
    pub(super) fn send_chunks(&mut self, tx: &Tx<'_>, now: Now, rng: &mut dyn CryptoRng) -> Result<(), TurnError> {
        let rows = tx.contacts_with_transfers(self.relay)?;
        if !rows.is_empty() && self.look_at == NEVER {
            self.look_at = now.steady + LOOK_MS;
        }
        for row in rows {
            let Some(super::Link::Attached(handle)) = self.links.get(&row.key) else { continue };
            let handle = *handle;
            self.send_chunks_of(tx, now, &mut *rng, &row, handle)?;
        }
        Ok(())
    }

    fn send_chunks_of(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        rng: &mut dyn CryptoRng,
        row: &ContactRow,
        handle: Handle,
    ) -> Result<(), TurnError> {
        loop {
            let under_way: usize = self.attachments.values().map(|attachment| attachment.in_flight.len()).sum();
            let chunks: usize = self.attachments.values().map(|attachment| attachment.chunks_in_flight()).sum();
            let relay_room = self.welcome.limits.in_flight as usize;
            let Some(attachment) = self.attachments.get(&handle) else { return Ok(()) };
            let may_send = !attachment.must_rekey && !attachment.rekeying && attachment.paused_until == 0;
            // Half of what the relay answers at once stays free for what people write.
            let room = CHUNK_PIPELINE.min(relay_room.div_ceil(2)).saturating_sub(chunks);
            if !may_send
                || room == 0
                || under_way >= relay_room
                || self.unsealable.contains(&row.key)
                || !tx.next_outgoing(&row.key, attachment.sent, false, 1)?.is_empty()
            {
                return Ok(());
            }
            let waiting = tx.next_chunks(&row.key, attachment.sent_chunks, 1)?.pop();
            let (key, sealed) = match waiting.and_then(|row| Some((row.key, row.sealed?))) {
                Some(waiting) => waiting,
                None => {
                    let window = self.window(attachment.chunk_window);
                    let Some((transfer, chunk)) = transfers::next_chunk(tx, row, window)? else { return Ok(()) };
                    let sealed = conversation::seal_chunk(tx, row, &transfer, chunk, now.wall, &mut *rng)?;
                    let Some(sealed) = sealed else { return Ok(()) };
                    sealed
                }
            };
            let Some(attachment) = self.attachments.get_mut(&handle) else { return Ok(()) };
            let n = attachment.next_n;
            attachment.next_n += 1;
            attachment.sent_chunks = key;
            let request = self.request_id(Pending::Send(handle, n));
            if let Some(attachment) = self.attachments.get_mut(&handle) {
                attachment.in_flight.push_back(InFlight { request, n, key, is_chunk: true });
            }
            let payload = Bytes::from(sealed);
            self.output.frames.push(ToRelay::Request(request, Request::Send { handle, n, payload }));
        }
    }

    /// How many chunks may be under way to one contact: a part of the relay's backlog, so that a recipient who is away
    /// does not keep what people write from being taken.
    fn window(&self, chunk_window: usize) -> usize {
        let limits = &self.welcome.limits;
        let boxes = limits.backlog_boxes as usize / 4;
        let bytes = limits.backlog_bytes / 4 / SizeClass::Large.box_len() as u64;
        chunk_window.min(boxes).min(usize::try_from(bytes).unwrap_or(usize::MAX)).max(1)
    }

    /// The relay has no more room for this end's chunks: fewer of them are to wait there.
    pub(super) fn shrink_window(&mut self, handle: Handle) {
        if let Some(attachment) = self.attachments.get_mut(&handle) {
            attachment.chunk_window = (attachment.chunk_window / 2).max(1);
        }
    }

    /// A box brought something of a transfer.
    pub(super) fn moved(
        &mut self,
        tx: &Tx<'_>,
        now: Now,
        handle: Handle,
        moved: transfers::Moved,
    ) -> Result<(), TurnError> {
        if moved.tell {
            self.tell_at = self.tell_at.min(now.steady + TELL_MS);
            self.look_at = self.look_at.min(now.steady + LOOK_MS);
        } else if moved.message.is_some()
            && let Some(attachment) = self.attachments.get_mut(&handle)
        {
            attachment.chunk_window = (attachment.chunk_window * 2).min(WINDOW);
        }
        if let Some(key) = moved.message
            && let Some(message) = tx.message_id(key)?
        {
            self.moved.insert(message);
        }
        Ok(())
    }

    /// Tells the app how those transfers stand that moved in this turn.
    pub(super) fn tell_moved(&mut self, tx: &Tx<'_>) -> Result<(), TurnError> {
        for id in std::mem::take(&mut self.moved) {
            if let Some(message) = tx.message(&id)?
                && let Content::Attachment(attachment) = message.content
            {
                let (contact, message) = (message.contact, message.id);
                self.output.events.push(Event::TransferChanged { contact, message, transfer: attachment.transfer });
            }
        }
        Ok(())
    }
}
