//! Identities of the switchboard's own things.

use std::fmt;

/// One connection of a front (an agent's page), minted by the shell and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId(pub u64);

/// One call of one agent. Printed as `c` and a hexadecimal number: that is the `call` of the agent protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl CallId {
    /// Reads what [`CallId`]'s `Display` wrote; anything else is not a call of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('c')?;
        u64::from_str_radix(digits, 16)
            .ok()
            .map(Self)
            .filter(|id| id.to_string() == text)
    }
}

/// One browser connection (ICE, DTLS, SRTP), never reused: a page that reloads gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrowserLegId(pub u64);

/// One media worker: a thread with its own poll loop, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub usize);

/// One request of the administration interface that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdminId(pub u64);

/// Somebody who listens to a call: a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapId(pub u64);
