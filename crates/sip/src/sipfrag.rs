//! `message/sipfrag` (RFC 3420) as the NOTIFY of a REFER carries it: the status line of the call that was asked for (RFC 3515
//! section 2.4.5).

use crate::StatusCode;
use crate::limits::SIPFRAG_BYTES_MAX;

/// The content type in lower case, as [`crate::body::find`] takes it.
pub const CONTENT_TYPE: &str = "message/sipfrag";

/// The status and reason phrase of a fragment that begins with a status line. `None` for everything else: such a fragment says
/// nothing about the outcome.
#[must_use]
pub fn status(fragment: &[u8]) -> Option<(StatusCode, &[u8])> {
    let fragment = fragment.get(..SIPFRAG_BYTES_MAX).unwrap_or(fragment);
    let start = fragment
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())?;
    let line = fragment.get(start..)?;
    let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = line.get(..end.unwrap_or(line.len()))?;
    let (version, rest) = line.split_at_checked(b"SIP/2.0 ".len())?;
    if !version.eq_ignore_ascii_case(b"SIP/2.0 ") {
        return None;
    }
    let (digits, reason) = rest.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = str::from_utf8(digits).ok()?.parse().ok()?;
    match reason {
        [] => Some((StatusCode::new(code)?, reason)),
        [b' ', reason @ ..] => Some((StatusCode::new(code)?, reason)),
        _ => None,
    }
}

/// The fragment that tells this status, with the phrase of the registry.
#[must_use]
pub fn of_status(status: StatusCode) -> Vec<u8> {
    let reason = status.default_reason();
    format!("SIP/2.0 {} {reason}\r\n", status.as_u16()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_and_nothing_else_is() {
        let read = |text: &'static str| status(text.as_bytes()).map(|(s, r)| (s.as_u16(), r));
        assert_eq!(read("SIP/2.0 200 OK"), Some((200, &b"OK"[..])));
        assert_eq!(
            read("\r\nsip/2.0 486 Busy Here\r\nTo: x\r\n"),
            Some((486, &b"Busy Here"[..]))
        );
        assert_eq!(read("SIP/2.0 100"), Some((100, &b""[..])));
        for text in [
            "",
            "SIP/2.0",
            "SIP/2.0 20",
            "SIP/2.0 2000 OK",
            "SIP/2.0 099 x",
            "SIP/3.0 200 OK",
            "INVITE sip:1005@h SIP/2.0",
            "SIP/2.0 +20 OK",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read() {
        let printed = of_status(StatusCode::RINGING);
        assert_eq!(printed, b"SIP/2.0 180 Ringing\r\n");
        assert_eq!(
            status(&printed),
            Some((StatusCode::RINGING, &b"Ringing"[..]))
        );
    }
}
