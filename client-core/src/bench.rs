//! What the benchmark of sealing measures. Not part of what is shipped.

#![allow(clippy::expect_used, reason = "not part of what is shipped")]

use getrandom::SysRng;
use rand_core::UnwrapErr;
use tacit_proto::{ChannelId, End, SealedBox, SizeClass};

use crate::crypto::seal::{Context, Psk, Purpose, SealingKey, SealingPublic, max_payload, open, seal};

/// One end's key and what boxes to it are bound to.
pub struct Sealing {
    key: SealingKey,
    public: SealingPublic,
    psk: Psk,
    context: Context,
}

impl Default for Sealing {
    fn default() -> Self {
        let key = SealingKey::draw(&mut UnwrapErr(SysRng));
        let channel = ChannelId::draw(&mut UnwrapErr(SysRng));
        let context = Context { channel, sender: End::A, purpose: Purpose::Message };
        Self { public: key.public(), key, psk: Psk::from_bytes([7; 32]), context }
    }
}

impl Sealing {
    /// Seals a payload that fills a box of this class.
    #[must_use]
    pub fn seal(&self, class: SizeClass) -> SealedBox {
        let payload = vec![7; max_payload(class)];
        seal(&self.public, &self.psk, &self.context, &payload, &mut UnwrapErr(SysRng)).expect("it fits")
    }

    /// Opens a box: the length of its payload.
    #[must_use]
    pub fn open(&self, sealed: &SealedBox) -> usize {
        open(&self.key, &self.psk, &self.context, sealed).expect("it was sealed here").len()
    }
}
