//! The `CSeq` header (RFC 3261 section 20.16).

use std::fmt;

use super::{
    Method,
    lex::{Cursor, is_space, number, trim},
};
use crate::limits::CSEQ_MAX;

/// Number and method of a request within its dialog or registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// `None` when the value is not a number below 2^31 and a method.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(trim(value));
        let number = number(cursor.take_while(|b| b.is_ascii_digit()), CSEQ_MAX)?;
        if !cursor.peek().is_some_and(is_space) {
            return None;
        }
        cursor.skip_space();
        Some(Self {
            number,
            method: Method::parse(cursor.rest())?,
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_below_two_to_the_31_and_a_method() {
        let parsed = CSeq::parse(b"0009  INVITE").expect("of the grammar");
        assert_eq!(
            parsed,
            CSeq {
                number: 9,
                method: Method::Invite
            }
        );
        assert_eq!(parsed.to_string(), "9 INVITE");
        assert!(CSeq::parse(b"2147483647 ACK").is_some());
        for bad in [
            "2147483648 ACK",
            "36893488147419103232 REGISTER",
            "-1 BYE",
            "1",
            "1BYE",
            "BYE",
            "1 B E",
        ] {
            assert!(CSeq::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
