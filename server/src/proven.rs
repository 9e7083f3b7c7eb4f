//! Proof that a device holds an end. Only a [`Proven`] attaches or rekeys, and only [`check`] makes one.

use tacit_proto::{Command, EndKey, EndOf, EndPublic, Proof, RelaySessionKey};

/// The two keys that a proof for an end is tried against: always two, so that nothing shows which of them exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) current: EndPublic,
    pub(crate) other: EndPublic,
}

/// Stands in where there is no key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DummyKeys(Keys);

impl DummyKeys {
    /// Public keys whose secrets are drawn and thrown away: no proof under them can exist.
    pub(crate) fn draw(rng: &mut impl rand_core::CryptoRng) -> Self {
        Self(Keys { current: EndKey::draw(rng).public(), other: EndKey::draw(rng).public() })
    }

    /// The keys to try for an end of which these are known: nothing, a key, or a key and a spent invite's key.
    pub(crate) fn fill(&self, current: Option<EndPublic>, other: Option<EndPublic>) -> Keys {
        Keys { current: current.unwrap_or(self.0.current), other: other.unwrap_or(self.0.other) }
    }
}

/// A device proved to hold `key` for `of`, on this connection and for one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proven {
    of: EndOf,
    key: EndPublic,
}

impl Proven {
    pub(crate) const fn of(&self) -> EndOf {
        self.of
    }

    pub(crate) const fn key(&self) -> &EndPublic {
        &self.key
    }

    #[cfg(test)]
    pub(crate) const fn for_test(of: EndOf, key: EndPublic) -> Self {
        Self { of, key }
    }
}

/// Does the same work whatever the outcome: both keys are tried.
pub(crate) fn check(
    session: &RelaySessionKey,
    keys: &Keys,
    of: EndOf,
    command: &Command<'_>,
    proof: &Proof,
) -> Option<Proven> {
    let current = session.verify(&keys.current, &of, command, proof);
    let other = session.verify(&keys.other, &of, command, proof);
    let key = if current { keys.current } else { keys.other };
    (current | other).then_some(Proven { of, key })
}
