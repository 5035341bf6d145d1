//! Identifiers of calls, dialogs and transactions, and the seeded generator they are drawn from.

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::uri::Host;

macro_rules! identifier {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<[u8]>);

        impl $name {
            /// The identifier with exactly these octets; they are compared octet by octet.
            #[must_use]
            pub fn new(bytes: impl AsRef<[u8]>) -> Self {
                Self(Arc::from(bytes.as_ref()))
            }

            /// The octets as they stand on the wire.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.escape_ascii().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

identifier! {
    /// `Call-ID`: compared case-sensitively (RFC 3261 section 20.8).
    CallId
}
identifier! {
    /// The `tag` parameter of From or To (RFC 3261 section 19.3).
    Tag
}
identifier! {
    /// The `branch` parameter of the topmost Via (RFC 3261 section 8.1.1.7).
    Branch
}

/// What every branch made by RFC 3261 begins with; without it the older matching rules hold.
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

impl Branch {
    /// Whether the branch alone names the transaction (RFC 3261 section 17.2.3). The bare cookie
    /// names nothing.
    #[must_use]
    pub fn is_rfc3261(&self) -> bool {
        self.0.len() > MAGIC_COOKIE.len()
            && self.0[..MAGIC_COOKIE.len()].eq_ignore_ascii_case(MAGIC_COOKIE)
    }
}

/// Where all identifiers and all chance of the crate come from: the same seed gives the same run.
#[derive(Clone)]
pub struct IdSource {
    rng: ChaCha12Rng,
}

impl IdSource {
    /// A generator that repeats itself for the same seed.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha12Rng::from_seed(seed),
        }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// 128 bits of chance and the host, as in `7f..@192.0.2.1` (RFC 3261 section 8.1.1.4).
    pub fn call_id(&mut self, host: &Host) -> CallId {
        CallId::new(format!(
            "{:016x}{:016x}@{host}",
            self.next_u64(),
            self.next_u64()
        ))
    }

    /// 64 bits of chance; RFC 3261 section 19.3 asks for 32.
    pub fn tag(&mut self) -> Tag {
        Tag::new(format!("{:016x}", self.next_u64()))
    }

    /// The magic cookie and 96 bits of chance, so that no other host can guess a response into one
    /// of our transactions.
    pub fn branch(&mut self) -> Branch {
        Branch::new(format!(
            "z9hG4bK{:016x}{:08x}",
            self.next_u64(),
            self.rng.next_u32()
        ))
    }

    /// A client nonce for one digest answer.
    pub fn cnonce(&mut self) -> String {
        format!("{:016x}", self.next_u64())
    }

    /// A duration in the range, both ends included, in steps of a millisecond.
    pub fn jitter(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let low = u64::try_from(range.start().as_millis()).unwrap_or(u64::MAX);
        let high = u64::try_from(range.end().as_millis()).unwrap_or(u64::MAX);
        let width = high.saturating_sub(low).saturating_add(1);
        Duration::from_millis(low.saturating_add(self.next_u64() % width))
    }
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSource")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself() {
        let (mut a, mut b) = (IdSource::new([7; 32]), IdSource::new([7; 32]));
        let host = Host::parse(b"192.0.2.1").expect("an address");
        assert_eq!(a.call_id(&host), b.call_id(&host));
        assert_eq!(a.tag(), b.tag());
        assert_eq!(a.branch(), b.branch());
        assert_ne!(a.tag(), a.tag());
    }

    #[test]
    fn own_branches_carry_the_cookie_and_the_bare_cookie_is_none() {
        assert!(IdSource::new([1; 32]).branch().is_rfc3261());
        assert!(!Branch::new("z9hG4bK").is_rfc3261());
        assert!(!Branch::new("7c337f30d7ce.1").is_rfc3261());
    }

    #[test]
    fn jitter_stays_in_its_range() {
        let mut ids = IdSource::new([3; 32]);
        let (low, high) = (Duration::from_millis(2100), Duration::from_millis(4000));
        for _ in 0..1000 {
            let drawn = ids.jitter(low..=high);
            assert!((low..=high).contains(&drawn));
        }
        assert_eq!(ids.jitter(low..=low), low);
    }
}
