//! Calls about files: sending, cancelling, reading and saving them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Client, rng};
use crate::content::{AttachmentContent, CHUNK, MAX_DURATION_MS, MAX_THUMBNAIL, is_media_type, is_name};
use crate::driver::wall_clock;
use crate::error::{AttachmentError, SendError, StoreError, WaitError};
use crate::life_cycle;
use crate::new_file::NewFile;
use crate::pairing::draw_id;
use crate::store::{ContactKey, Stage, TransferRow};
use crate::transfers;
use crate::types::{ContactId, Content, MessageId, NewAttachment, TransferState};

/// Chunks that are read or written in one transaction: what a call keeps in memory.
const PIECE: u64 = 16;

/// Most bytes that [`Client::read_attachment`] returns at once.
const MAX_READ: u64 = 1 << 20;

impl Client {
    /// Sends a file: copies it into the store, and queues it. When this returns, the file itself is not needed any more. Its
    /// bytes go whenever both devices are there, after whatever is written meanwhile. Takes as long as the copy, and a few
    /// hundred KiB of memory however large the file is.
    ///
    /// # Errors
    /// [`AttachmentError`]. Nothing was queued, and nothing is left of the copy.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn send_attachment(
        &self,
        contact: ContactId,
        path: String,
        new: NewAttachment,
    ) -> Result<MessageId, AttachmentError> {
        let unreadable = |error: std::io::Error| AttachmentError::Unreadable(error.kind().to_string());
        let mut file = File::open(Path::new(&path)).map_err(unreadable)?;
        let limit = self.attachment_limit()?;
        // What has no size before it is read to its end is refused when it gets too long.
        if file.metadata().map_err(unreadable)?.len() > limit {
            return Err(AttachmentError::TooLarge { limit });
        }
        let transfer = self.begin_attachment(contact.clone(), new)?;
        let mut piece = vec![0; PIECE as usize * CHUNK];
        let copied = loop {
            match fill(&mut file, &mut piece) {
                Ok(0) => break Ok(()),
                Ok(length) => {
                    if let Err(error) =
                        self.append_attachment(contact.clone(), transfer.clone(), piece[..length].to_vec())
                    {
                        break Err(error);
                    }
                }
                Err(error) => break Err(unreadable(error)),
            }
        };
        match copied.and_then(|()| self.finish_attachment(contact.clone(), transfer.clone())) {
            Ok(message) => Ok(message),
            Err(error) => {
                // If even that cannot be stored now, it is looked after a day later.
                let _ = self.abandon_attachment(contact, transfer);
                Err(error)
            }
        }
    }

    /// Begins a file that comes in pieces, for instance from a microphone: what [`Client::append_attachment`] and
    /// [`Client::finish_attachment`] name it by. One that nothing was appended to for a day is given up.
    ///
    /// # Errors
    /// [`AttachmentError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn begin_attachment(&self, contact: ContactId, new: NewAttachment) -> Result<String, AttachmentError> {
        let key = contact_key(&contact)?;
        let content = checked(new, draw_id(&mut rng()))?;
        self.change(|tx| {
            let row = tx.contact(&key)?.ok_or(SendError::NoSuchContact)?;
            life_cycle::may_write(tx, &row)?;
            tx.add_transfer(&key, true, None, Stage::Staging, &content, wall_clock())?;
            Ok::<_, AttachmentError>(hex::encode(content.transfer))
        })
    }

    /// Appends to a file that was begun. The bytes are safe in the store when this returns.
    ///
    /// # Errors
    /// [`AttachmentError::TooLarge`], and nothing of these bytes was kept; [`AttachmentError::GivenUp`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass bytes by value")]
    pub fn append_attachment(
        &self,
        contact: ContactId,
        transfer: String,
        bytes: Vec<u8>,
    ) -> Result<(), AttachmentError> {
        let (key, transfer) = (contact_key(&contact)?, super::id(&transfer).ok_or(AttachmentError::GivenUp)?);
        self.change_quietly(|tx| {
            let limit = tx.attachment_limit()?;
            let row = tx.transfer(&key, true, &transfer)?.ok_or(AttachmentError::GivenUp)?;
            if row.size.saturating_add(bytes.len() as u64) > limit {
                return Err(AttachmentError::TooLarge { limit });
            }
            if tx.append(&key, &transfer, &bytes, wall_clock())? { Ok(()) } else { Err(AttachmentError::GivenUp) }
        })
    }

    /// Queues a file that was begun.
    ///
    /// # Errors
    /// [`AttachmentError`]. What was appended is kept.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn finish_attachment(&self, contact: ContactId, transfer: String) -> Result<MessageId, AttachmentError> {
        let (key, id) = (contact_key(&contact)?, super::id(&transfer).ok_or(AttachmentError::GivenUp)?);
        let staged =
            |row: Option<TransferRow>| row.filter(|row| row.stage == Stage::Staging).ok_or(AttachmentError::GivenUp);
        let row = staged(self.read::<_, AttachmentError>(|tx| Ok(tx.transfer(&key, true, &id)?))?)?;
        let mut digest = Sha256::new();
        self.pieces(&row, |piece| {
            digest.update(piece);
            Ok(())
        })?;
        let digest = digest.finalize().into();
        let message = draw_id(&mut rng());
        self.change(|tx| {
            let now = wall_clock();
            let contact = tx.contact(&key)?.ok_or(SendError::NoSuchContact)?;
            life_cycle::may_write(tx, &contact)?;
            let again = staged(tx.transfer(&key, true, &id)?)?;
            if again.size != row.size {
                return Err(AttachmentError::GivenUp);
            }
            let queued = tx.queue_attachment(&key, &message, now)?;
            Ok::<_, AttachmentError>(tx.announce(row.key, queued, &digest, now)?)
        })?;
        Ok(hex::encode(message))
    }

    /// Gives a file up that was begun and not finished: what was appended is erased.
    ///
    /// # Errors
    /// [`AttachmentError::GivenUp`] if it was before, or is finished.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn abandon_attachment(&self, contact: ContactId, transfer: String) -> Result<(), AttachmentError> {
        let (key, id) = (contact_key(&contact)?, super::id(&transfer).ok_or(AttachmentError::GivenUp)?);
        self.change_quietly(|tx| {
            let row = tx.transfer(&key, true, &id)?.filter(|row| row.stage == Stage::Staging);
            Ok(tx.drop_transfer(row.ok_or(AttachmentError::GivenUp)?.key)?)
        })
    }

    /// Cancels a transfer that is under way, on either side. What had come is erased, the thumbnail too unless our own
    /// retention keeps messages; the other device is told. One of ours of
    /// which nothing was sent yet never leaves this device, not even its name.
    ///
    /// # Errors
    /// [`AttachmentError::Over`] once it is whole, or ended some other way.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn cancel_attachment(&self, message: MessageId) -> Result<(), AttachmentError> {
        let id = super::id(&message).ok_or(AttachmentError::NoSuchMessage)?;
        self.change(|tx| {
            tx.message(&id)?.ok_or(AttachmentError::NoSuchMessage)?;
            let row = tx.transfer_of(&id)?.ok_or(AttachmentError::NotAnAttachment)?;
            if transfers::cancel(tx, &row)? { Ok(()) } else { Err(AttachmentError::Over) }
        })
    }

    /// Writes a file that came whole, or one that was sent, to a new file at this path. It leaves the encrypted store by this:
    /// whoever can read that path can read it.
    ///
    /// # Errors
    /// [`AttachmentError::Exists`] if there is something at that path, which is left as it is. After any other error, and after
    /// a crash, there is nothing: the file appears once it is whole and on the disk.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn save_attachment(&self, message: MessageId, path: String) -> Result<(), AttachmentError> {
        let row = self.readable(&message)?;
        let unwritable = |error: std::io::Error| match error.kind() {
            ErrorKind::AlreadyExists => AttachmentError::Exists,
            kind => AttachmentError::Unwritable(kind.to_string()),
        };
        let mut new = NewFile::begin(Path::new(&path)).map_err(unwritable)?;
        self.pieces(&row, |piece| new.file().write_all(piece).map_err(unwritable))?;
        new.finish().map_err(unwritable)
    }

    /// A part of a file that came whole, or of one that was sent: up to 1 MiB from an offset; less at its end. For apps that show
    /// it without a file outside of the store.
    ///
    /// # Errors
    /// [`AttachmentError`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn read_attachment(&self, message: MessageId, offset: u64, length: u64) -> Result<Vec<u8>, AttachmentError> {
        let row = self.readable(&message)?;
        let end = offset.saturating_add(length.min(MAX_READ)).min(row.size);
        if offset >= end {
            return Ok(Vec::new());
        }
        let (first, last) = (offset / CHUNK as u64, (end - 1) / CHUNK as u64);
        let mut bytes = Vec::with_capacity((end - offset) as usize);
        self.read(|tx| {
            for index in first..=last {
                let chunk = tx.chunk(row.key, index + 1)?.ok_or(AttachmentError::NotHere)?;
                let begin = index * CHUNK as u64;
                let from = offset.saturating_sub(begin) as usize;
                let to = ((end - begin) as usize).min(chunk.len());
                bytes.extend_from_slice(chunk.get(from..to).ok_or(StoreError::Damaged)?);
            }
            Ok::<_, AttachmentError>(())
        })?;
        Ok(bytes)
    }

    /// The thumbnail of a file, if it has one.
    ///
    /// # Errors
    /// [`AttachmentError::NotAnAttachment`].
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn thumbnail(&self, message: MessageId) -> Result<Option<Vec<u8>>, AttachmentError> {
        let id = super::id(&message).ok_or(AttachmentError::NoSuchMessage)?;
        self.read(|tx| {
            tx.message(&id)?.ok_or(AttachmentError::NoSuchMessage)?;
            let row = tx.transfer_of(&id)?.ok_or(AttachmentError::NotAnAttachment)?;
            Ok(tx.thumbnail(row.key)?)
        })
    }

    /// The largest file that this device sends and takes, in bytes: 100 MB, unless [`Client::set_attachment_limit`] said
    /// otherwise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn attachment_limit(&self) -> Result<u64, StoreError> {
        self.read(|tx| tx.attachment_limit())
    }

    /// Says how large a file this device sends and takes from now on. Those who send a larger one are told.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_attachment_limit(&self, bytes: u64) -> Result<(), StoreError> {
        self.change(|tx| tx.set_attachment_limit(bytes.min(i64::MAX as u64)))
    }

    /// Waits until a transfer is not under way any more, and returns how it ended.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] says what is in the way.
    #[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
    pub fn wait_transfer(&self, message: MessageId, timeout_ms: u64) -> Result<TransferState, WaitError> {
        let id = super::id(&message).ok_or(WaitError::NothingToWaitFor)?;
        self.wait(timeout_ms, || {
            let message = self.read::<_, StoreError>(|tx| tx.message(&id))?;
            match message.map(|message| message.content) {
                Some(Content::Attachment(attachment)) => {
                    let under_way = matches!(attachment.transfer, TransferState::UnderWay { .. });
                    Ok((!under_way).then_some(attachment.transfer))
                }
                _ => Err(WaitError::NothingToWaitFor),
            }
        })
    }

    /// A transfer whose bytes may be shown.
    fn readable(&self, message: &str) -> Result<TransferRow, AttachmentError> {
        let id = super::id(message).ok_or(AttachmentError::NoSuchMessage)?;
        self.read(|tx| {
            tx.message(&id)?.ok_or(AttachmentError::NoSuchMessage)?;
            let row = tx.transfer_of(&id)?.ok_or(AttachmentError::NotAnAttachment)?;
            match row.stage {
                Stage::UnderWay if !row.ours => Err(AttachmentError::NotWhole),
                _ if !tx.has_all_chunks(&row)? => Err(AttachmentError::NotHere),
                _ => Ok(row),
            }
        })
    }

    /// Goes through a file, a few chunks a transaction.
    fn pieces(
        &self,
        row: &TransferRow,
        mut each: impl FnMut(&[u8]) -> Result<(), AttachmentError>,
    ) -> Result<(), AttachmentError> {
        let mut first = 1;
        while first <= row.chunks() {
            let last = row.chunks().min(first + PIECE - 1);
            let piece = self.read(|tx| {
                let chunks = (first..=last).map(|number| tx.chunk(row.key, number)?.ok_or(AttachmentError::NotHere));
                chunks.collect::<Result<Vec<_>, AttachmentError>>()
            })?;
            piece.iter().try_for_each(|chunk| each(chunk))?;
            first = last + 1;
        }
        Ok(())
    }
}

fn contact_key(contact: &str) -> Result<ContactKey, AttachmentError> {
    Ok(super::id(contact).ok_or(SendError::NoSuchContact)?)
}

/// What a file is announced with; its size and digest are found while it is copied.
fn checked(new: NewAttachment, transfer: [u8; 16]) -> Result<AttachmentContent, AttachmentError> {
    let thumbnail = new.thumbnail.filter(|thumbnail| !thumbnail.is_empty());
    if !is_name(&new.name) {
        return Err(AttachmentError::BadName);
    }
    if !is_media_type(&new.media_type) {
        return Err(AttachmentError::BadMediaType);
    }
    if thumbnail.as_ref().is_some_and(|thumbnail| thumbnail.len() > MAX_THUMBNAIL) {
        return Err(AttachmentError::ThumbnailTooLarge);
    }
    if new.duration_ms.is_some_and(|duration| !(1..=MAX_DURATION_MS).contains(&duration)) {
        return Err(AttachmentError::BadDuration);
    }
    Ok(AttachmentContent {
        transfer,
        name: new.name,
        media_type: new.media_type,
        size: 0,
        digest: [0; 32],
        thumbnail,
        duration_ms: new.duration_ms,
    })
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
