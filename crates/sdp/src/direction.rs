//! Who may send (RFC 8866 section 6.7, RFC 3264 sections 5.1, 6.1 and 8.4).

use std::fmt;

/// The direction of a stream, seen from the side that states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways. What holds where nothing is said.
    #[default]
    SendRecv,
    /// The stating side sends only: it put the other on hold.
    SendOnly,
    /// The stating side receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// All four, in the order of RFC 8866.
    pub const ALL: [Self; 4] = [
        Self::RecvOnly,
        Self::SendRecv,
        Self::SendOnly,
        Self::Inactive,
    ];

    /// The attribute's name, `sendrecv` and so on.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Reads an attribute's name. Case matters: SDP attribute names are tokens (RFC 8866 section 9).
    #[must_use]
    pub const fn from_attribute(name: &[u8]) -> Option<Self> {
        match name {
            b"sendrecv" => Some(Self::SendRecv),
            b"sendonly" => Some(Self::SendOnly),
            b"recvonly" => Some(Self::RecvOnly),
            b"inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// From its two halves.
    #[must_use]
    pub const fn from_halves(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the stating side sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the stating side receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same stream seen from the other side.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self::from_halves(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self::from_halves(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    /// Our answer to an offer with this direction when we want `wanted` (RFC 3264 section 6.1): never more
    /// than the offer leaves, never more than we want.
    #[must_use]
    pub const fn answer(self, wanted: Self) -> Self {
        self.reversed().intersect(wanted)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

    /// RFC 3264 section 6.1, every pair of what is offered and what we want.
    #[test]
    fn answers_by_the_table_of_rfc_3264() {
        let table = [
            (SendRecv, SendRecv, SendRecv),
            (SendRecv, SendOnly, SendOnly),
            (SendRecv, RecvOnly, RecvOnly),
            (SendRecv, Inactive, Inactive),
            (SendOnly, SendRecv, RecvOnly),
            (SendOnly, SendOnly, Inactive),
            (SendOnly, RecvOnly, RecvOnly),
            (SendOnly, Inactive, Inactive),
            (RecvOnly, SendRecv, SendOnly),
            (RecvOnly, SendOnly, SendOnly),
            (RecvOnly, RecvOnly, Inactive),
            (RecvOnly, Inactive, Inactive),
            (Inactive, SendRecv, Inactive),
            (Inactive, SendOnly, Inactive),
            (Inactive, RecvOnly, Inactive),
            (Inactive, Inactive, Inactive),
        ];
        for (offered, wanted, answered) in table {
            assert_eq!(
                offered.answer(wanted),
                answered,
                "{offered} wanting {wanted}"
            );
        }
    }

    #[test]
    fn a_name_reads_back() {
        for direction in super::Direction::ALL {
            assert_eq!(
                super::Direction::from_attribute(direction.as_str().as_bytes()),
                Some(direction)
            );
            assert_eq!(direction.reversed().reversed(), direction);
        }
    }
}
