//! What a relay knows a conversation by: a channel, and its two ends.

use std::fmt;

use rand_core::CryptoRng;

/// Declares a fixed-size byte string whose contents never reach a log.
macro_rules! opaque_bytes {
    ($(#[$meta:meta])* $name:ident, $len:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes the bytes as they are on the wire.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes as they go on the wire.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}
pub(crate) use opaque_bytes;

opaque_bytes! {
    /// Names a channel at its relay: 16 random bytes, drawn by the device that opens it.
    ///
    /// An id says nothing about who holds the ends, but whoever knows it can recognise the channel: `Debug` hides it.
    ChannelId, 16
}

impl ChannelId {
    /// Draws a new id.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; Self::LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

opaque_bytes! {
    /// Names one life of a relay's backlog: 16 random bytes, drawn anew when a relay lost its backlog.
    Incarnation, 16
}

/// One of the two ends of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// The end of the device that opened the channel.
    A,
    /// The end that is claimed by an invite.
    B,
}

impl End {
    /// The number of the end on the wire and in every derivation: A is 1, B is 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
        }
    }

    /// The end that this one writes to.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A number that names neither end A (1) nor end B (2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an end is 1 (A) or 2 (B)")]
pub struct UnknownEnd;

impl TryFrom<u32> for End {
    type Error = UnknownEnd;

    fn try_from(number: u32) -> Result<Self, UnknownEnd> {
        match number {
            1 => Ok(Self::A),
            2 => Ok(Self::B),
            _ => Err(UnknownEnd),
        }
    }
}

/// One end of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndOf {
    /// The channel.
    pub channel: ChannelId,
    /// Which of its ends.
    pub end: End,
}

impl EndOf {
    /// The end that this one writes to.
    #[must_use]
    pub const fn other(self) -> Self {
        Self { channel: self.channel, end: self.end.other() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_show_in_debug() {
        let id = ChannelId::from_bytes([0xab; 16]);
        assert_eq!(format!("{id:?}"), "ChannelId(..)");
        assert_eq!(format!("{:?}", EndOf { channel: id, end: End::A }), "EndOf { channel: ChannelId(..), end: A }");
    }

    #[test]
    fn only_one_and_two_name_an_end() {
        assert_eq!(End::try_from(1), Ok(End::A));
        assert_eq!(End::try_from(2), Ok(End::B));
        for wrong in [0, 3, u32::MAX] {
            assert_eq!(End::try_from(wrong), Err(UnknownEnd));
        }
    }
}
