//! `RSeq` and `RAck`: provisional responses that are acknowledged (RFC 3262 section 7).

use std::fmt;

use super::{
    CSeq, HeaderName, Headers, Method,
    lex::{Cursor, is_space, number, trim},
};

/// Numbers stay below 2^31, so that adding one never overflows what a peer reads as a signed number.
const RSEQ_MAX: u32 = (1 << 31) - 1;

/// `RAck`: which provisional response a PRACK acknowledges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// `RSeq` of the response.
    pub rseq: u32,
    /// `CSeq` number of its request.
    pub cseq: u32,
    /// Method of its request.
    pub method: Method,
}

impl RAck {
    /// `None` when the value is not two numbers and a method.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(trim(value));
        let rseq = rseq(cursor.take_while(|b| b.is_ascii_digit()))?;
        if !cursor.peek().is_some_and(is_space) {
            return None;
        }
        cursor.skip_space();
        let cseq = CSeq::parse(cursor.rest())?;
        Some(Self {
            rseq,
            cseq: cseq.number,
            method: cseq.method,
        })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

impl Headers {
    /// `RSeq`; `None` when it is missing or malformed, as then nothing can acknowledge the response.
    #[must_use]
    pub fn rseq(&self) -> Option<u32> {
        rseq(trim(self.get(&HeaderName::RSEQ)?))
    }

    /// `RAck`; `None` when it is missing or malformed, as then it acknowledges nothing.
    #[must_use]
    pub fn rack(&self) -> Option<RAck> {
        RAck::parse(self.get(&HeaderName::RACK)?)
    }
}

fn rseq(digits: &[u8]) -> Option<u32> {
    number(digits, RSEQ_MAX).filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let rack = RAck::parse(b" 776656 1 INVITE").expect("RFC 3262 section 7.2");
        assert_eq!((rack.rseq, rack.cseq), (776_656, 1));
        assert_eq!(rack.to_string(), "776656 1 INVITE");
    }

    #[test]
    fn what_acknowledges_nothing_is_none() {
        for value in [
            "",
            "1",
            "1 INVITE",
            "0 1 INVITE",
            "-1 1 INVITE",
            "2147483648 1 INVITE",
            "1 2147483648 INVITE",
            "1 1 ",
        ] {
            assert_eq!(RAck::parse(value.as_bytes()), None, "{value}");
        }
    }
}
