//! What a connection carries.

use crate::store::ContactKey;

/// What one connection to a relay is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Everything that this device has at the relay.
    All,
    /// Enrolments alone, which name no channel.
    Enrolments,
    /// One channel alone: on the wire, nothing ties it to another one.
    One(ContactKey),
}

impl Scope {
    pub(super) fn covers(self, contact: &ContactKey) -> bool {
        match self {
            Self::All => true,
            Self::Enrolments => false,
            Self::One(one) => one == *contact,
        }
    }

    pub(super) const fn enrols(self) -> bool {
        matches!(self, Self::All | Self::Enrolments)
    }
}
