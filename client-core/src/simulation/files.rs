//! Files that people send, and what became of them.

use super::people::{People, Sent, history};
use super::world::World;
use crate::content::{AttachmentContent, CHUNK};
use crate::error::StoreError;
use crate::pairing::draw_id;
use crate::store::Stage;
use crate::transfers;
use crate::types::{Attachment, Content, Direction, Message, Outcome, RefusedWhy, TransferState};

/// What is shown of a file.
pub(super) fn shown(message: &Message) -> Option<&Attachment> {
    match &message.content {
        Content::Attachment(attachment) => Some(attachment),
        _ => None,
    }
}

impl People {
    /// Somebody sends a file of so many bytes. One that was cut short by a crash was not sent.
    pub(super) fn attach(&mut self, world: &mut World, pair: usize, side: usize, size: usize) {
        let device = self.pairs[pair].devices[side];
        let Some(contact) = self.pairs[pair].contacts[side] else { return };
        if !super::people::state(world, device, &contact).can_send() {
            return;
        }
        let number = self.pairs[pair].sent[side].len();
        let seed = world.dice.below(251) as usize;
        let bytes: Vec<u8> = (0..size).map(|at| ((at / 7 + at * 31 + seed) % 251) as u8).collect();
        let name = format!("{number} of pair {pair}, side {side}.bin");
        let id = self.call(world, device, |tx, now, dice| {
            let id = draw_id(dice);
            let content = AttachmentContent {
                transfer: draw_id(dice),
                name: name.clone(),
                media_type: "application/octet-stream".to_owned(),
                size: 0,
                digest: [0; 32],
                thumbnail: size.is_multiple_of(2).then(|| vec![7; size % 500 + 1]),
                duration_ms: None,
            };
            let key = tx.add_transfer(&contact, true, None, Stage::Staging, &content, now)?.unwrap();
            for piece in bytes.chunks(CHUNK / 3 * 4) {
                assert!(tx.append(&contact, &content.transfer, piece, now)?);
            }
            let row = tx.transfer(&contact, true, &content.transfer)?.unwrap();
            let digest = tx.digest_of(&row)?.unwrap();
            let message = tx.queue_attachment(&contact, &id, now)?;
            tx.announce(key, message, &digest, now)?;
            Ok(id)
        });
        if let Some(id) = id {
            self.pairs[pair].sent[side].push(Sent { id, text: name, file: Some(bytes) });
        }
    }

    /// One side cancels whatever file of the pair is under way on its device.
    pub(super) fn cancel_files(&mut self, world: &mut World, pair: usize, side: usize) {
        let device = self.pairs[pair].devices[side];
        let under_way: Vec<_> = history(world, &self.pairs[pair], side)
            .into_iter()
            .filter(|message| {
                shown(message).is_some_and(|file| matches!(file.transfer, TransferState::UnderWay { .. }))
            })
            .collect();
        for message in under_way {
            let mut id = [0; 16];
            hex::decode_to_slice(&message.id, &mut id).unwrap();
            let cancelled = self.call(world, device, |tx, _, _| {
                let row = tx.transfer_of(&id)?.unwrap();
                assert!(transfers::cancel(tx, &row)?);
                Ok(tx.message(&id)?.unwrap().outcome)
            });
            if cancelled.is_some() {
                self.cancelled.push(id);
            }
            // It never left.
            if cancelled == Some(Outcome::Refused(RefusedWhy::Cancelled)) {
                self.pairs[pair].sent[side].retain(|sent| sent.id != id);
            }
        }
    }

    /// Whether no file is under way any more, on either side, and each side knows of the other.
    pub(super) fn files_are_over(&self, world: &mut World) -> bool {
        world.devices.iter_mut().all(|device| {
            let Some(relay) = device.relay_in_use() else { return true };
            !device.store.read::<_, StoreError>(|tx| tx.any_transfer(relay)).unwrap()
        })
    }

    /// How the files of a pair stand on one side, in the order of its history.
    pub(super) fn transfers(&self, world: &mut World, pair: usize, side: usize) -> Vec<TransferState> {
        let history = history(world, &self.pairs[pair], side);
        history.iter().filter_map(|message| Some(shown(message)?.transfer)).collect()
    }

    /// A file that came is what was sent, as far as it says that it came.
    pub(super) fn check_file(&self, world: &mut World, device: usize, message: &Message, sent: &Sent) {
        let (file, bytes) = (shown(message).unwrap(), sent.file.as_ref().unwrap());
        assert_eq!((&file.name, file.size), (&sent.text, bytes.len() as u64));
        let id = sent.id;
        let here: Vec<u8> = world.devices[device]
            .store
            .read::<_, StoreError>(|tx| {
                let row = tx.transfer_of(&id)?.unwrap();
                let mut here = Vec::new();
                for number in 1..=row.chunks() {
                    here.extend(tx.chunk(row.key, number)?.unwrap_or_default());
                }
                Ok(here)
            })
            .unwrap();
        match file.transfer {
            TransferState::Whole => assert_eq!(&here, bytes, "a file that is not what was sent"),
            TransferState::UnderWay { done, .. } => assert_eq!(here.len() as u64, done, "what is here is told"),
            TransferState::CancelledByUs | TransferState::CancelledByPeer => {
                assert!(self.cancelled.contains(&id), "nobody cancelled it");
                assert_eq!(here.len(), 0, "what was cancelled is erased");
            }
            other => panic!("{other:?}, and nothing led to it"),
        }
    }

    /// Both sides say the same of every file, and only what was cancelled is not whole.
    pub(super) fn check_files_over(&self, world: &mut World) {
        for pair in &self.pairs {
            for side in 0..2 {
                let ours = history(world, pair, side);
                for theirs in history(world, pair, 1 - side) {
                    let (Direction::In, Some(came)) = (theirs.direction, shown(&theirs)) else { continue };
                    let sent = ours.iter().find(|sent| sent.direction == Direction::Out && sent.id == theirs.id);
                    let went = shown(sent.unwrap()).unwrap();
                    let agree = match came.transfer {
                        TransferState::Whole => went.transfer == TransferState::Whole,
                        TransferState::CancelledByUs => {
                            matches!(went.transfer, TransferState::CancelledByPeer | TransferState::CancelledByUs)
                        }
                        TransferState::CancelledByPeer => went.transfer == TransferState::CancelledByUs,
                        _ => false,
                    };
                    assert!(agree, "one side says {:?}, the other {:?}", came.transfer, went.transfer);
                }
            }
        }
    }
}
