//! Master keys, as session descriptions carry them.

use std::fmt;

use super::Suite;

/// Octets of the longest master key with its salt.
const LONGEST: usize = 32 + 14;

/// Octets of the longest identifier (RFC 4568 section 6.1).
const MKI_MAX: usize = 128;

/// A master key with its salt. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    octets: [u8; LONGEST],
}

impl MasterKey {
    /// Key and salt behind each other, as RFC 4568 section 6.1 has them. `None` when there are not as many octets as the suite wants.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        let len = suite.key_len() + suite.salt_len();
        let mut octets = [0; LONGEST];
        if key_and_salt.len() != len {
            return None;
        }
        octets.get_mut(..len)?.copy_from_slice(key_and_salt);
        Some(Self { suite, octets })
    }

    /// What the key is for.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.octets[..self.suite.key_len()]
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.octets[self.suite.key_len()..][..self.suite.salt_len()]
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}

/// A master key identifier: the octets that a peer puts beside its tag to say which key it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mki {
    value: u64,
    len: u8,
}

impl Mki {
    /// An identifier of `len` octets. `None` for a length that RFC 4568 section 6.1 does not know, and for a value that does not fit.
    #[must_use]
    pub fn new(value: u64, len: u8) -> Option<Self> {
        let fits = len >= 8 || value >> (8 * u32::from(len)) == 0;
        ((1..=MKI_MAX).contains(&usize::from(len)) && fits).then_some(Self { value, len })
    }

    pub(super) const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether these octets, as many as [`Self::len`] says, are this identifier.
    pub(super) fn is(self, octets: &[u8]) -> bool {
        let (zeros, value) = octets.split_at(octets.len().saturating_sub(8));
        let value = value
            .iter()
            .fold(0, |value, octet| value << 8 | u64::from(*octet));
        zeros.iter().all(|octet| *octet == 0) && value == self.value
    }
}

/// What both sides of a call use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// For what we send.
    pub send: MasterKey,
    /// For what the peer sends.
    pub receive: MasterKey,
    /// What the peer's packets say about their key, where they do.
    pub receive_mki: Option<Mki>,
}
