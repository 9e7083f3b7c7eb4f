//! `tacit attach`, `tacit save` and `tacit cancel`: files.

use std::fs;
use std::path::Path;

use tacit_client_core::{AttachmentError, Content, Message, NewAttachment, TransferState};

use crate::args;
use crate::describe;
use crate::failure::Failure;
use crate::output::Output;
use crate::record::MessageLine;
use crate::session::{Session, millis};

pub(super) fn attach(session: &Session, args: &args::Attach, output: Output) -> Result<(), Failure> {
    let contact = session.pick(&args.contact)?;
    let thumbnail = args.thumbnail.as_deref().map(|file| {
        let unreadable = |error: std::io::Error| AttachmentError::Unreadable(error.kind().to_string());
        // What is far too large for one is not read.
        match fs::metadata(file).map_err(unreadable)?.len() {
            length if length > 1 << 20 => Err(AttachmentError::ThumbnailTooLarge),
            _ => fs::read(file).map_err(unreadable),
        }
    });
    let name = match &args.name {
        Some(name) => name.clone(),
        None => args.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let media_type = args.media_type.clone().unwrap_or_else(|| media_type(&args.file, args.voice_ms).to_owned());
    let new = NewAttachment { name, media_type, thumbnail: thumbnail.transpose()?, duration_ms: args.voice_ms };
    let client = session.client();
    let id = client.send_attachment(contact.id, args.file.to_string_lossy().into_owned(), new)?;
    if !args.queue {
        let changes = session.start()?;
        let mut told = None;
        changes.wait(args.patience.timeout, || {
            let message = client.message(id.clone())?;
            let Some(transfer) = transfer(&message) else { return Ok(Some(())) };
            if let TransferState::UnderWay { .. } = transfer {
                if told != Some(transfer) {
                    told = Some(transfer);
                    output.note(&describe::transfer_words(transfer));
                }
                return Ok(None);
            }
            Ok(Some(()))
        })?;
        // What is said of it at the end must not wait for the next command.
        drop(client.wait_settled(millis(args.patience.timeout)));
    }
    answer(session, output, id.clone())?;
    transfer(&client.message(id)?).map_or(Ok(()), check)
}

/// That a file is there, or may still come there.
const fn check(transfer: TransferState) -> Result<(), Failure> {
    match transfer {
        TransferState::UnderWay { .. } | TransferState::Whole => Ok(()),
        over => Err(Failure::NotTaken(over)),
    }
}

pub(super) fn save(session: &Session, args: &args::Save, output: Output) -> Result<(), Failure> {
    let client = session.client();
    client.save_attachment(args.message.clone(), args.file.to_string_lossy().into_owned())?;
    answer(session, output, args.message.clone())
}

pub(super) fn cancel(session: &Session, args: &args::Cancel, output: Output) -> Result<(), Failure> {
    let client = session.client();
    client.cancel_attachment(args.message.clone())?;
    let _changes = session.start()?;
    // The other device is told when the relay can be reached.
    drop(client.wait_settled(millis(args.patience.timeout)));
    answer(session, output, args.message.clone())
}

/// A file as it is announced where nothing else is said of it.
pub(crate) fn new_attachment(file: &Path) -> NewAttachment {
    NewAttachment {
        name: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        media_type: media_type(file, None).to_owned(),
        ..NewAttachment::default()
    }
}

const fn transfer(message: &Message) -> Option<TransferState> {
    match &message.content {
        Content::Attachment(attachment) => Some(attachment.transfer),
        _ => None,
    }
}

fn answer(session: &Session, output: Output, id: String) -> Result<(), Failure> {
    let message = session.client().message(id)?;
    let plain = match &message.content {
        Content::Attachment(attachment) => describe::attachment(attachment),
        _ => String::new(),
    };
    output.answer(&MessageLine::with_contact(message), || plain)?;
    Ok(())
}

/// What a file's name says that is in it; nobody's device relies on it.
fn media_type(file: &Path, voice_ms: Option<u32>) -> &'static str {
    let extension = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "ogg" | "opus" => "audio/ogg",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "wav" => "audio/wav",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp4" => "video/mp4",
        _ if voice_ms.is_some() => "audio/x-unknown",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_get_there_is_a_failure_and_one_that_may_is_none() {
        assert!(check(TransferState::Whole).is_ok());
        assert!(check(TransferState::UnderWay { done: 1, of: 2 }).is_ok());
        for (over, code) in [
            (TransferState::TooLarge, "too_large"),
            (TransferState::NoRoom, "no_room"),
            (TransferState::CancelledByPeer, "cancelled_by_peer"),
            (TransferState::CancelledByUs, "cancelled_by_us"),
            (TransferState::Damaged, "damaged"),
            (TransferState::Ended, "ended"),
        ] {
            let failure = check(over).unwrap_err();
            assert_eq!((failure.exit_code(), failure.code()), (1, code));
        }
    }
}
