//! A script of what happens, read from a fuzzer's bytes from the front on, so that a change in the middle leaves what comes
//! before it as it was.

/// The rest of a script. At its end, everything is zero.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    pub(crate) const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.bytes(4).iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    /// So many bytes, or what is left.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// One of several things, or none of no things.
    pub(crate) fn one_of<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let which = usize::from(self.byte());
        if things.is_empty() { None } else { things.get(which % things.len()).cloned() }
    }
}
