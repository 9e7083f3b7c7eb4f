//! The only payload a relay carries. This is the container: version, size class, exact length. Opening one takes keys
//! that this crate knows nothing of.

use std::fmt;

use bytes::Bytes;

/// The version of the box format that this crate carries.
pub const BOX_VERSION: u8 = 1;

/// Length of the clear header: version, then size class.
pub const HEADER_LEN: usize = 2;

/// The two sizes that a sealed box comes in. Nothing else about its content shows.
///
/// Each is chosen so that a relay's stored record (24-byte key, and the box with 32 bytes around it) fills a page of
/// the spool: two small ones to 4 KiB, one large one to 16 KiB. One byte more would cost twice the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SizeClass {
    /// 1,984 bytes: a text of up to some 600 bytes, or a receipt.
    Small,
    /// 16,320 bytes: a longer text, an offer, an accept.
    Large,
}

impl SizeClass {
    /// Both classes, the smaller first.
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// Exact length in bytes of a sealed box of this class, header included.
    #[must_use]
    pub const fn box_len(self) -> usize {
        match self {
            Self::Small => 1_984,
            Self::Large => 16_320,
        }
    }

    /// The second header byte.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Small => 1,
            Self::Large => 2,
        }
    }

    /// The clear header of a box of this class. It is also the `aad` under which the box is sealed.
    #[must_use]
    pub const fn header(self) -> [u8; HEADER_LEN] {
        [BOX_VERSION, self.number()]
    }
}

/// Bytes that are not a sealed box: wrong version, unknown size class, or not exactly the length of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sealed box: wrong version, unknown size class, or not the exact length of its class")]
pub struct NotABox;

/// Bytes that have the form of a sealed box. Whether they open is for the recipient's device to find out.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBox {
    class: SizeClass,
    bytes: Bytes,
}

impl SealedBox {
    /// Checks the form.
    ///
    /// # Errors
    /// [`NotABox`] unless the bytes are exactly one box of a known version and class.
    pub fn check(bytes: Bytes) -> Result<Self, NotABox> {
        let header = bytes.get(..HEADER_LEN).ok_or(NotABox)?;
        let class = SizeClass::ALL.into_iter().find(|class| header == class.header()).ok_or(NotABox)?;
        if bytes.len() == class.box_len() { Ok(Self { class, bytes }) } else { Err(NotABox) }
    }

    /// The size class.
    #[must_use]
    pub const fn class(&self) -> SizeClass {
        self.class
    }

    /// The whole box, header included.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole box, header included.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The same box in memory of its own. A box fresh off the wire pins the read buffer that it came in: copy what is
    /// kept.
    #[must_use]
    pub fn to_owned_buffer(&self) -> Self {
        Self { class: self.class, bytes: Bytes::copy_from_slice(&self.bytes) }
    }
}

impl fmt::Debug for SealedBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBox({:?})", self.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(class: SizeClass, len: usize) -> Bytes {
        let mut bytes = vec![0x5a; len];
        bytes[..HEADER_LEN].copy_from_slice(&class.header());
        bytes.into()
    }

    #[test]
    fn exactly_the_length_of_its_class_is_a_box() {
        for class in SizeClass::ALL {
            let len = class.box_len();
            assert_eq!(SealedBox::check(of(class, len)).map(|b| b.class()), Ok(class));
            assert_eq!(SealedBox::check(of(class, len - 1)), Err(NotABox));
            assert_eq!(SealedBox::check(of(class, len + 1)), Err(NotABox));
        }
        assert_eq!(SealedBox::check(of(SizeClass::Small, SizeClass::Large.box_len())), Err(NotABox));
    }

    #[test]
    fn a_box_gives_back_its_bytes_and_debug_shows_its_size_alone() {
        let bytes = of(SizeClass::Small, SizeClass::Small.box_len());
        let sealed = SealedBox::check(bytes.clone()).unwrap();
        assert_eq!(format!("{sealed:?}"), "SealedBox(Small)");
        assert_eq!((sealed.bytes(), sealed.to_owned_buffer().into_bytes()), (&bytes, bytes.clone()));
    }

    #[test]
    fn a_wrong_header_is_not_a_box() {
        for header in [[0, 1], [2, 1], [1, 0], [1, 3]] {
            let mut bytes = vec![0; SizeClass::Small.box_len()];
            bytes[..HEADER_LEN].copy_from_slice(&header);
            assert_eq!(SealedBox::check(bytes.into()), Err(NotABox));
        }
        for short in [&[][..], &[1]] {
            assert_eq!(SealedBox::check(Bytes::copy_from_slice(short)), Err(NotABox));
        }
    }
}
