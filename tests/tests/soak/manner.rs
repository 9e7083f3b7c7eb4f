//! How a device behaves.

use std::num::NonZeroU32;
use std::time::Duration;

use tacit_proto::frame::Window;

use super::world::Dice;

/// All that a relay lets be under way.
pub(crate) const WIDE: Window = Window { boxes: NonZeroU32::MAX, bytes: u32::MAX };

/// How a device behaves during one stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Sends that may be unanswered at once.
    pub(crate) burst: usize,
    /// Of how many boxes one is large.
    pub(crate) large_one_in: u64,
    pub(crate) window: Window,
    /// How many boxes are acked together; none ever, if it is 0.
    pub(crate) ack_every: usize,
    /// How long it does nothing after each frame.
    pub(crate) pause: Duration,
    /// How long it reads nothing at all, in between.
    pub(crate) deaf: Duration,
    /// For how many frames it stays.
    pub(crate) frames: u64,
    pub(crate) rekeys: bool,
}

impl Manner {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let calm = Self {
            burst: dice.between(0, 4) as usize,
            large_one_in: 8,
            window: WIDE,
            ack_every: 1,
            pause: dice.millis(0, 10),
            deaf: Duration::ZERO,
            frames: dice.between(1, 60),
            rekeys: dice.one_in(8),
        };
        match dice.below(8) {
            0..=2 => {
                let ack_every = dice.between(1, 16) as usize;
                let pause = Duration::ZERO;
                let frames = dice.between(100, 1_500);
                Self { burst: dice.between(8, 48) as usize, large_one_in: 4, ack_every, pause, frames, ..calm }
            }
            3 => {
                let window = Window { boxes: 1.try_into().unwrap(), bytes: 1 };
                Self { burst: 1, window, pause: dice.millis(1, 50), ..calm }
            }
            4 => Self { ack_every: dice.between(0, 64) as usize, ..calm },
            5 => Self { burst: 48, deaf: dice.millis(100, 3_000), frames: dice.between(20, 300), ..calm },
            _ => calm,
        }
    }
}
