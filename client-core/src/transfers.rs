//! Files on their way. A message announces one; its chunks go outside of the numbering, whenever nothing else waits.
//!
//! The recipient drives it: it tells what it has, and the sender sends the rest. The relay is not believed: what it took
//! counts as under way until the other device says that it is there. What was sealed before something that arrived, and did
//! not arrive, goes again at once; after a reset, and after the relay lost its backlog, all that is not there does. If
//! nothing moves although both sides are there, each asks after a while, and less and less often.

use crate::content::{AttachmentContent, Chunk, Range, TransferEnd, TransferId, TransferStatus};
use crate::error::StoreError;
use crate::store::{ContactRow, MessageKey, RelayId, Stage, TransferRow, Tx};
use crate::types::Timestamp;

/// Most chunks to a contact that are sealed and that it did not tell of, 900 KiB: a photo goes while its recipient is away,
/// and of a relay's backlog most stays free for what people write.
pub(crate) const WINDOW: usize = 64;

/// The recipient tells after so many chunks, and a little after the last of fewer.
const TELL_EVERY: u64 = 16;

/// How long nothing moves before a side asks for the first time.
pub(crate) const STALL_MS: u64 = 10 * 60_000;

/// Chunks sealed so recently may be crossing the question where they are.
const CROSSING_MS: u64 = 60_000;

/// A copy that nobody went on with for so long was given up.
const STALE_COPY_MS: u64 = 24 * 3_600_000;

/// A device takes files of a contact as long as less than this many times its limit is still to come.
const LIMITS_TO_COME: u64 = 10;

/// The next chunk to a contact, if the window lets one through and there is one.
pub(crate) fn next_chunk(
    tx: &Tx<'_>,
    row: &ContactRow,
    window: usize,
) -> Result<Option<(TransferRow, Chunk)>, StoreError> {
    if tx.count_under_way(&row.key)? >= window {
        return Ok(None);
    }
    for transfer in tx.transfers_under_way(&row.key, true)? {
        let (there, under_way) = (tx.there(transfer.key)?, tx.under_way(transfer.key)?);
        let goes = |number: &u64| {
            under_way.binary_search(number).is_err()
                && !there.iter().any(|range| (range.first..=range.last).contains(number))
        };
        let from = there.first().map_or(1, |range| range.last + 1);
        if let Some(number) = (from..=transfer.chunks()).find(goes) {
            let bytes = tx.chunk(transfer.key, number)?.ok_or(StoreError::Damaged)?;
            let chunk = Chunk { transfer: transfer.transfer, number, bytes };
            return Ok(Some((transfer, chunk)));
        }
    }
    Ok(None)
}

/// A file is announced once more: whatever led to that may have lost its chunks too.
pub(crate) fn announced_again(tx: &Tx<'_>, row: &ContactRow, transfer: &TransferId) -> Result<(), StoreError> {
    match tx.transfer(&row.key, true, transfer)? {
        Some(found) => tx.give_up_under_way(found.key, 0, 0),
        None => Ok(()),
    }
}

/// How a transfer stands, to be told; none if there is nothing to say any more.
pub(crate) fn next_status(tx: &Tx<'_>, row: &ContactRow) -> Result<Option<TransferStatus>, StoreError> {
    while let Some((transfer, ours, stalled)) = tx.take_status(&row.key)? {
        let found = tx.transfer(&row.key, ours, &transfer)?;
        // One that was never kept is not wanted.
        let stage = found.as_ref().map_or(Stage::CancelledHere, |found| found.stage);
        if ours {
            // An empty file has no chunk that could ask: that nothing more is sent of it is true, and is answered.
            let asks = found.is_some_and(|found| found.stage == Stage::UnderWay && found.size == 0);
            if asks || matches!(stage, Stage::CancelledHere | Stage::Ended) {
                return Ok(Some(TransferStatus::Withdrawn { transfer }));
            }
            continue;
        }
        let end = match stage {
            Stage::Whole => TransferEnd::Whole,
            Stage::TooLarge => TransferEnd::TooLarge,
            Stage::NoRoom => TransferEnd::NoRoom,
            Stage::Damaged => TransferEnd::Damaged,
            Stage::UnderWay => {
                let Some(found) = found else { continue };
                let (up_to, beyond) = tx.chunks_here(found.key)?;
                tx.note_told(found.key)?;
                return Ok(Some(TransferStatus::UnderWay { transfer, up_to, beyond, stalled }));
            }
            _ => TransferEnd::Cancelled,
        };
        return Ok(Some(TransferStatus::Over { transfer, end }));
    }
    Ok(None)
}

/// What came of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The message of the transfer that changed.
    pub(crate) message: Option<MessageKey>,
    /// The sender is to be told soon.
    pub(crate) tell: bool,
    /// It made no sense.
    pub(crate) bad: bool,
}

impl Moved {
    const NOTHING: Self = Self { message: None, tell: false, bad: false };
    const BAD: Self = Self { bad: true, ..Self::NOTHING };

    const fn of(transfer: &TransferRow) -> Self {
        Self { message: transfer.message, ..Self::NOTHING }
    }
}

/// The other side announces a file. False if it cannot be kept as one.
pub(crate) fn announced(
    tx: &Tx<'_>,
    row: &ContactRow,
    message: MessageKey,
    attachment: &AttachmentContent,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let limit = tx.attachment_limit()?;
    let to_come = tx.bytes_to_come(&row.key)?.saturating_add(attachment.size);
    let stage = if attachment.size > limit {
        Stage::TooLarge
    } else if to_come > limit.saturating_mul(LIMITS_TO_COME) {
        Stage::NoRoom
    } else {
        Stage::UnderWay
    };
    let Some(key) = tx.add_transfer(&row.key, false, Some(message), stage, attachment, now)? else {
        tx.set_unknown(message)?;
        return Ok(false);
    };
    if stage != Stage::UnderWay {
        tx.owe_status(&row.key, false, &attachment.transfer, false)?;
    } else if attachment.size == 0
        && let Some(transfer) = tx.transfer(&row.key, false, &attachment.transfer)?.filter(|it| it.key == key)
    {
        complete(tx, row, &transfer)?;
    }
    Ok(true)
}

/// A chunk came.
pub(crate) fn take_chunk(tx: &Tx<'_>, row: &ContactRow, chunk: &Chunk, now: Timestamp) -> Result<Moved, StoreError> {
    // Its announcement was lost, and comes again, and this with it; or it was deleted.
    let Some(mut transfer) = tx.transfer(&row.key, false, &chunk.transfer)? else { return Ok(Moved::NOTHING) };
    if transfer.stage != Stage::UnderWay {
        tx.owe_status(&row.key, false, &chunk.transfer, false)?;
        return Ok(Moved::NOTHING);
    }
    if chunk.bytes.len() != transfer.length_of(chunk.number) {
        return Ok(Moved::BAD);
    }
    if !tx.keep_chunk(transfer.key, chunk.number, &chunk.bytes)? {
        tx.tell_again(transfer.key)?;
        return Ok(Moved { tell: true, ..Moved::NOTHING });
    }
    tx.note_chunk(&transfer, chunk.bytes.len(), now)?;
    transfer.here += 1;
    if transfer.here == transfer.chunks() {
        complete(tx, row, &transfer)?;
    } else if transfer.here - transfer.told.min(transfer.here) >= TELL_EVERY {
        tx.owe_status(&row.key, false, &chunk.transfer, false)?;
    }
    Ok(Moved { tell: true, ..Moved::of(&transfer) })
}

/// All of it is here: whether it is what was announced shows now.
fn complete(tx: &Tx<'_>, row: &ContactRow, transfer: &TransferRow) -> Result<(), StoreError> {
    if tx.digest_of(transfer)? == Some(transfer.digest) {
        tx.set_stage(transfer.key, Stage::Whole)?;
    } else {
        tx.drop_chunks(transfer.key)?;
        tx.set_stage(transfer.key, Stage::Damaged)?;
    }
    tx.owe_status(&row.key, false, &transfer.transfer, false)
}

/// The other side tells how a transfer stands.
pub(crate) fn take_status(
    tx: &Tx<'_>,
    row: &ContactRow,
    status: &TransferStatus,
    now: Timestamp,
) -> Result<Moved, StoreError> {
    match status {
        TransferStatus::Withdrawn { transfer } => withdrawn(tx, row, transfer),
        TransferStatus::Over { transfer, end } => match tx.transfer(&row.key, true, transfer)? {
            Some(found) => over(tx, &found, *end),
            None => Ok(Moved::NOTHING),
        },
        TransferStatus::UnderWay { transfer, up_to, beyond, stalled } => {
            let found = tx.transfer(&row.key, true, transfer)?;
            // One that was whole is not, on a device that was restored: it gets it again, if it is still here.
            let goes = match found {
                Some(found) if found.stage == Stage::UnderWay => Some(found),
                Some(found) if found.stage == Stage::Whole && tx.has_all_chunks(&found)? => Some(found),
                _ => None,
            };
            let Some(found) = goes else {
                tx.owe_status(&row.key, true, transfer, false)?;
                return Ok(Moved::NOTHING);
            };
            if beyond.last().map_or(*up_to, |range| range.last) > found.chunks() {
                return Ok(Moved::BAD);
            }
            tx.set_there(&found, *up_to, beyond, now)?;
            tx.arrived(found.key, &tx.there(found.key)?)?;
            if *stalled {
                tx.give_up_under_way(found.key, now, CROSSING_MS)?;
            }
            Ok(Moved::of(&found))
        }
    }
}

fn over(tx: &Tx<'_>, found: &TransferRow, end: TransferEnd) -> Result<Moved, StoreError> {
    tx.set_unconfirmed(found.key, false)?;
    let stage = match end {
        // It was there before it was cancelled here.
        TransferEnd::Whole => Stage::Whole,
        _ if found.stage != Stage::UnderWay => return Ok(Moved::NOTHING),
        TransferEnd::Cancelled => Stage::CancelledThere,
        TransferEnd::TooLarge => Stage::TooLarge,
        TransferEnd::NoRoom => Stage::NoRoom,
        TransferEnd::Damaged => Stage::Damaged,
    };
    if stage == found.stage {
        return Ok(Moved::NOTHING);
    }
    if stage == Stage::Whole {
        tx.arrived(found.key, &[Range { first: 1, last: found.chunks() }])?;
    } else {
        tx.drop_chunks(found.key)?;
    }
    tx.set_stage(found.key, stage)?;
    Ok(Moved::of(found))
}

/// The sender cancelled it. It is told that this is known, or that it was too late.
fn withdrawn(tx: &Tx<'_>, row: &ContactRow, transfer: &TransferId) -> Result<Moved, StoreError> {
    tx.owe_status(&row.key, false, transfer, false)?;
    match tx.transfer(&row.key, false, transfer)? {
        Some(found) if found.stage == Stage::UnderWay => {
            tx.drop_chunks(found.key)?;
            tx.set_stage(found.key, Stage::CancelledThere)?;
            Ok(Moved::of(&found))
        }
        _ => Ok(Moved::NOTHING),
    }
}

/// Somebody cancels a transfer on this device. False if it is over.
pub(crate) fn cancel(tx: &Tx<'_>, transfer: &TransferRow) -> Result<bool, StoreError> {
    if transfer.stage != Stage::UnderWay {
        return Ok(false);
    }
    tx.drop_chunks(transfer.key)?;
    tx.set_stage(transfer.key, Stage::CancelledHere)?;
    let never_sent = match transfer.message {
        Some(message) if transfer.ours => tx.withdraw(message)?,
        _ => false,
    };
    if !never_sent {
        tx.set_unconfirmed(transfer.key, transfer.ours)?;
        tx.owe_status(&transfer.conversation, transfer.ours, &transfer.transfer, false)?;
    }
    Ok(true)
}

/// What time alone asks for.
pub(crate) fn tend(tx: &Tx<'_>, relay: RelayId, now: Timestamp) -> Result<(), StoreError> {
    tx.drop_stale_copies(now, STALE_COPY_MS)?;
    for row in tx.live_contacts(relay)? {
        for transfer in tx.stalled(&row.key, now, STALL_MS)? {
            match (transfer.ours, transfer.stage) {
                (true, Stage::UnderWay) if transfer.size > 0 => tx.give_up_one(transfer.key)?,
                (true, Stage::UnderWay) if !tx.is_delivered(transfer.message)? => {}
                (ours, _) => tx.owe_status(&row.key, ours, &transfer.transfer, !ours)?,
            }
        }
    }
    Ok(())
}
