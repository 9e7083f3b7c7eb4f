//! What a hostile relay does: the honest one's frames go through its hands, both ways.

use tacit_proto::frame::{FromRelay, ToRelay};

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
