//! What must not stand in a log although it travels in a message.

use std::fmt;

/// Where a key begins in a session description (RFC 4568 section 9.2).
const KEY: &[u8] = b"inline:";

/// A SIP message as text, without the keys of SRTP that its description holds.
#[derive(Clone, Copy, Debug)]
pub struct WithoutKeys<'m>(pub &'m [u8]);

impl fmt::Display for WithoutKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest
            .windows(KEY.len())
            .position(|word| word.eq_ignore_ascii_case(KEY))
        {
            let (before, key) = rest.split_at(at + KEY.len());
            write!(f, "{}...", String::from_utf8_lossy(before))?;
            let end = key.iter().position(|octet| b"|; \t\r\n".contains(octet));
            rest = key.get(end.unwrap_or(key.len())..).unwrap_or_default();
        }
        f.write_str(&String::from_utf8_lossy(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_left_out_and_nothing_else() {
        let message = "INVITE sip:1002@192.0.2.10 SIP/2.0\r\n\r\na=crypto:1 X inline:c2Vj|2^20|1:4\r\n\
                       a=crypto:2 Y INLINE:cmV0;inline:cw== WSH=64\r\na=sendrecv";
        let expected = "INVITE sip:1002@192.0.2.10 SIP/2.0\r\n\r\na=crypto:1 X inline:...|2^20|1:4\r\n\
                        a=crypto:2 Y INLINE:...;inline:... WSH=64\r\na=sendrecv";
        assert_eq!(WithoutKeys(message.as_bytes()).to_string(), expected);
        assert_eq!(WithoutKeys(b"inline:c2Vj").to_string(), "inline:...");
        assert_eq!(WithoutKeys(b"").to_string(), "");
    }
}
