//! What a hostile relay does: the honest one's frames go through its hands, both ways.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use tacit_proto::frame::{Answer, Event, FromRelay, Handle, Request, ToRelay, Window};

use super::relay::ConnId;

/// Changes, holds back, repeats or makes up frames.
pub(super) trait Meddler {
    /// What the relay is told instead of a device's frame.
    fn up(&mut self, _now: u64, _from: ConnId, frame: ToRelay) -> Vec<ToRelay> {
        vec![frame]
    }

    /// What devices are told instead of a frame of the relay.
    fn down(&mut self, _now: u64, to: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
        vec![(to, frame)]
    }
}

/// Lies in what devices are told.
pub(super) struct Lie<F>(pub(super) F);

impl<F: FnMut(ConnId, FromRelay) -> Vec<FromRelay>> Meddler for Lie<F> {
    fn down(&mut self, _now: u64, to: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
        (self.0)(to, frame).into_iter().map(|frame| (to, frame)).collect()
    }
}

/// Withholds what devices say.
pub(super) struct Deaf<F>(pub(super) F);

impl<F: FnMut(&ToRelay) -> bool> Meddler for Deaf<F> {
    fn up(&mut self, _now: u64, _from: ConnId, frame: ToRelay) -> Vec<ToRelay> {
        if (self.0)(&frame) { Vec::new() } else { vec![frame] }
    }
}

/// Does what it likes with deliveries, and keeps the numbers right, so that a device cannot tell by them.
pub(super) struct Courier<F> {
    /// Gets each payload with the connection and handle that it is for, and says what is delivered where instead.
    handle: F,
    /// Per attachment: the honest relay's seq for each of ours.
    seqs: BTreeMap<(ConnId, Handle), Vec<u64>>,
}

/// A payload on its way to an attachment.
#[derive(Clone)]
pub(super) struct Parcel {
    pub(super) conn: ConnId,
    pub(super) handle: Handle,
    pub(super) payload: bytes::Bytes,
}

impl<F: FnMut(Parcel) -> Vec<Parcel>> Courier<F> {
    pub(super) const fn new(handle: F) -> Self {
        Self { handle, seqs: BTreeMap::new() }
    }
}

impl<F: FnMut(Parcel) -> Vec<Parcel>> Meddler for Courier<F> {
    fn up(&mut self, _now: u64, from: ConnId, frame: ToRelay) -> Vec<ToRelay> {
        match frame {
            ToRelay::Ack { handle, up_to } => {
                let seqs = self.seqs.entry((from, handle)).or_default();
                let honest = seqs.iter().take(up_to as usize).max().copied();
                honest.map(|up_to| ToRelay::Ack { handle, up_to }).into_iter().collect()
            }
            // What it swallows is never acked, and must not stop it.
            ToRelay::Request(id, Request::Attach { items, .. }) => {
                let window = Window { boxes: NonZeroU32::MAX, bytes: u32::MAX };
                vec![ToRelay::Request(id, Request::Attach { items, window })]
            }
            frame => vec![frame],
        }
    }

    fn down(&mut self, _now: u64, to: ConnId, frame: FromRelay) -> Vec<(ConnId, FromRelay)> {
        let FromRelay::Event(Event::Deliver { handle, seq, payload, last }) = frame else { return vec![(to, frame)] };
        let for_whom = (to, handle);
        let parcels = (self.handle)(Parcel { conn: to, handle, payload });
        let deliver = |Parcel { conn, handle, payload }: Parcel| {
            let seqs = self.seqs.entry((conn, handle)).or_default();
            seqs.push(if (conn, handle) == for_whom { seq } else { 0 });
            let seq = seqs.len() as u64;
            (conn, FromRelay::Event(Event::Deliver { handle, seq, payload, last }))
        };
        parcels.into_iter().map(deliver).collect()
    }
}

/// The handles that an answer gives out.
pub(super) fn attached(frame: &FromRelay) -> Vec<Handle> {
    let FromRelay::Answer(_, Answer::Attach(results)) = frame else { return Vec::new() };
    results.iter().filter_map(|result| result.as_ref().ok().map(|attached| attached.handle)).collect()
}
