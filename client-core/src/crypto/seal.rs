//! Sealing a payload into a box, and opening it: HPKE (RFC 9180) single shot in `mode_psk`, with X-Wing, HKDF-SHA256 and
//! ChaCha20-Poly1305. One suite, nothing negotiated.
//!
//! A box opens for one end of one channel, from the other end, for one purpose, and for holders of the sealing secret
//! *and* the pre-shared key. There is no sender's signature: both ends could have made it, so it convinces nobody else.

use std::fmt;

use bytes::Bytes;
use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, XWing};
use hpke::{Deserializable, OpModeR, OpModeS, PskBundle, Serializable};
use hpke::{single_shot_open_inout_detached, single_shot_seal_inout_detached_with_rng};
use rand_core::CryptoRng;
use tacit_proto::{BOX_VERSION, ChannelId, End, HEADER_LEN, SealedBox, SizeClass};
use zeroize::Zeroizing;

pub(crate) use super::psk::Psk;

type SecretKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;
type EncappedKey = <XWing as Kem>::EncappedKey;

const INFO_LABEL: &[u8; 12] = b"tacit v1 box";
const PSK_ID: &[u8] = b"tacit v1";
const ENC_LEN: usize = 1_120;
const TAG_LEN: usize = 16;
const LENGTH_LEN: usize = 2;
const INFO_LEN: usize = INFO_LABEL.len() + 1 + ChannelId::LEN + 1 + 1;

/// Bytes of a box that are not plaintext: header, encapsulated key, tag.
const OVERHEAD: usize = HEADER_LEN + ENC_LEN + TAG_LEN;

/// Longest payload of a small box.
#[cfg(test)]
pub(crate) const MAX_SMALL_PAYLOAD: usize = max_payload(SizeClass::Small);

/// Longest payload of a large box, and so of any.
pub(crate) const MAX_LARGE_PAYLOAD: usize = max_payload(SizeClass::Large);

/// Longest payload of a box of this class.
pub(crate) const fn max_payload(class: SizeClass) -> usize {
    class.box_len() - OVERHEAD - LENGTH_LEN
}

/// The secret that opens what is sealed to a [`SealingPublic`]: an X-Wing secret key, 32 bytes.
///
/// It is erased from memory when dropped.
#[derive(Clone)]
pub(crate) struct SealingKey(SecretKey);

impl SealingKey {
    /// Draws a new key.
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_bytes(&seed)
    }

    /// Takes a key back from its 32 secret bytes, the seed of X-Wing. Any 32 bytes are a key.
    pub(crate) fn from_bytes(seed: &[u8; 32]) -> Self {
        match SecretKey::from_bytes(seed) {
            Ok(key) => Self(key),
            // The length is the only thing that can be wrong, and the type has it right.
            Err(_) => unreachable!("32 bytes are an X-Wing secret key"),
        }
    }

    /// The 32 secret bytes, to be kept in an encrypted store.
    pub(crate) fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        self.0.write_exact(&mut *seed);
        seed
    }

    /// The public half, to which the peer seals.
    pub(crate) fn public(&self) -> SealingPublic {
        SealingPublic(XWing::sk_to_pk(&self.0))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// The public half of a [`SealingKey`]: ML-KEM-768 encapsulation key ‖ X25519 public key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealingPublic(PublicKey);

/// Bytes that are not an X-Wing public key: not 1,216 of them, or an ML-KEM part that FIPS 203 §7.2 refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sealing key; it was made by a broken or hostile device")]
pub(crate) struct NotASealingKey;

impl SealingPublic {
    /// Length in bytes.
    pub(crate) const LEN: usize = 1_216;

    /// Reads a public key as the peer announced it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, NotASealingKey> {
        PublicKey::from_bytes(bytes).map(Self).map_err(|_| NotASealingKey)
    }

    /// The bytes as they are announced to the peer.
    pub(crate) fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        self.0.write_exact(&mut bytes);
        bytes
    }
}

impl fmt::Debug for SealingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingPublic(..)")
    }
}

/// What a box is for. A box of one purpose opens as no other. The numbers are part of what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A part of the offer, from end A, to the key in the invite.
    Offer = 1,
    /// The accept, from end B, to the offered sealing key.
    Accept = 2,
    /// Everything of a paired channel.
    Message = 3,
    /// A reset, to the peer's reset key.
    Reset = 4,
}

/// What a box is bound to, besides its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The channel that carries it.
    pub(crate) channel: ChannelId,
    /// The end that it comes from.
    pub(crate) sender: End,
    /// What it is for.
    pub(crate) purpose: Purpose,
}

impl Context {
    /// HPKE's `info`: label ‖ box version ‖ channel ‖ sender's end ‖ purpose.
    fn info(&self) -> [u8; INFO_LEN] {
        let mut info = [0; INFO_LEN];
        let (label, rest) = info.split_at_mut(INFO_LABEL.len());
        label.copy_from_slice(INFO_LABEL);
        rest[0] = BOX_VERSION;
        rest[1..1 + ChannelId::LEN].copy_from_slice(self.channel.as_bytes());
        rest[1 + ChannelId::LEN] = self.sender.number();
        rest[2 + ChannelId::LEN] = self.purpose as u8;
        info
    }
}

/// A payload that was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// Longer than [`MAX_LARGE_PAYLOAD`]: nothing was sealed; it must be sent in parts.
    #[error("the payload is longer than a sealed box holds; send it in parts")]
    TooLong,
    /// HPKE refused the key: nothing was sealed.
    #[error("sealing to this key failed; the payload was not sealed")]
    Failed,
}

/// A box that does not open with these keys, in this context. Which of them is wrong, or whether the inside is
/// malformed, is not told: the answer would be an oracle. Keep a record, ack it, go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed box does not open")]
pub(crate) struct DoesNotOpen;

/// Seals `payload` into the smallest box that holds it.
///
/// Sealing twice gives two unlike boxes: a *retry* must repeat the bytes of the first.
pub(crate) fn seal(
    to: &SealingPublic,
    psk: &Psk,
    context: &Context,
    payload: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<SealedBox, SealError> {
    let class =
        SizeClass::ALL.into_iter().find(|class| payload.len() <= max_payload(*class)).ok_or(SealError::TooLong)?;
    seal_plaintext(to, psk, context, class, &pad(payload, class)?, rng)
}

/// Payload length ‖ payload ‖ zeros, to the whole of what the class holds.
fn pad(payload: &[u8], class: SizeClass) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let length = u16::try_from(payload.len()).map_err(|_| SealError::TooLong)?;
    let mut plaintext = Zeroizing::new(vec![0; class.box_len() - OVERHEAD]);
    plaintext[..LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    plaintext[LENGTH_LEN..LENGTH_LEN + payload.len()].copy_from_slice(payload);
    Ok(plaintext)
}

/// Header ‖ encapsulated key ‖ ciphertext ‖ tag.
pub(crate) fn seal_plaintext(
    to: &SealingPublic,
    psk: &Psk,
    context: &Context,
    class: SizeClass,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<SealedBox, SealError> {
    let header = class.header();
    let psk = PskBundle::new(psk.secret_bytes(), PSK_ID).map_err(|_| SealError::Failed)?;
    let mut sealed = Zeroizing::new(vec![0; OVERHEAD + plaintext.len()]);
    let (head, text) = sealed.split_at_mut(HEADER_LEN + ENC_LEN);
    let (text, tag_at) = text.split_at_mut(plaintext.len());
    text.copy_from_slice(plaintext);
    let (enc, tag) = single_shot_seal_inout_detached_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Psk(psk),
        &to.0,
        &context.info(),
        InOutBuf::from(&mut *text),
        &header,
        rng,
    )
    .map_err(|_| SealError::Failed)?;
    head[..HEADER_LEN].copy_from_slice(&header);
    enc.write_exact(&mut head[HEADER_LEN..]);
    tag.write_exact(tag_at);
    // From here on it holds nothing secret, so its memory may be handed on as it is.
    SealedBox::check(Bytes::from(std::mem::take(&mut *sealed))).map_err(|_| SealError::Failed)
}

/// Opens a box, and gives its payload.
pub(crate) fn open(
    keys: &SealingKey,
    psk: &Psk,
    context: &Context,
    sealed: &SealedBox,
) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    unpad(open_plaintext(keys, psk, context, sealed)?)
}

fn open_plaintext(
    keys: &SealingKey,
    psk: &Psk,
    context: &Context,
    sealed: &SealedBox,
) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let psk = PskBundle::new(psk.secret_bytes(), PSK_ID).map_err(|_| DoesNotOpen)?;
    let (header, rest) = sealed.bytes().split_at_checked(HEADER_LEN).ok_or(DoesNotOpen)?;
    let (enc, rest) = rest.split_at_checked(ENC_LEN).ok_or(DoesNotOpen)?;
    let (text, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(DoesNotOpen)?;
    let enc = EncappedKey::from_bytes(enc).map_err(|_| DoesNotOpen)?;
    let tag = AeadTag::from_bytes(tag).map_err(|_| DoesNotOpen)?;
    let mut plaintext = Zeroizing::new(text.to_vec());
    single_shot_open_inout_detached::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Psk(psk),
        &keys.0,
        &enc,
        &context.info(),
        InOutBuf::from(plaintext.as_mut_slice()),
        header,
        &tag,
    )
    .map_err(|_| DoesNotOpen)?;
    Ok(plaintext)
}

/// The payload, unless its length reaches beyond the plaintext or anything follows it but zeros.
fn unpad(mut plaintext: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let (length, rest) = plaintext.split_first_chunk::<LENGTH_LEN>().ok_or(DoesNotOpen)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let padding = rest.get(length..).ok_or(DoesNotOpen)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(DoesNotOpen);
    }
    plaintext.copy_within(LENGTH_LEN..LENGTH_LEN + length, 0);
    plaintext.truncate(length);
    Ok(plaintext)
}

#[cfg(test)]
mod tests;
