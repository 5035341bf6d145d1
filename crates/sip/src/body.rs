//! Bodies: finding one content type, also inside multipart bodies (RFC 2046 section 5.1, RFC 5621).

use crate::{
    limits::{BODY_DEPTH_MAX, BODY_PARTS_MAX},
    wire::{ContentType, HeaderName, Headers, parse_part},
};

/// The session description of a message: its body, or the first `application/sdp` part of a
/// multipart body. `None` when there is none.
#[must_use]
pub fn sdp<'a>(headers: &Headers, body: &'a [u8]) -> Option<&'a [u8]> {
    find(headers, body, "application/sdp")
}

/// The body when it is of this type (in lower case), or the first such part of a multipart body. An
/// empty body has no type.
#[must_use]
pub fn find<'a>(headers: &Headers, body: &'a [u8], essence: &str) -> Option<&'a [u8]> {
    find_within(headers, body, essence, BODY_DEPTH_MAX)
}

fn find_within<'a>(
    headers: &Headers,
    body: &'a [u8],
    essence: &str,
    depth: usize,
) -> Option<&'a [u8]> {
    let kind = ContentType::parse(headers.get(&HeaderName::CONTENT_TYPE)?)?;
    if body.is_empty() {
        return None;
    }
    if &*kind.essence == essence {
        return Some(body);
    }
    if depth == 0 || !kind.essence.starts_with("multipart/") {
        return None;
    }
    let boundary = kind.params.unquoted("boundary").filter(|b| !b.is_empty())?;
    parts(body, &boundary)
        .into_iter()
        .filter_map(parse_part)
        .find_map(|(headers, part)| find_within(&headers, part, essence, depth - 1))
}

/// The octets between the delimiter lines. A body that ends without its closing delimiter gives the
/// part it breaks off in, as a lenient reader would.
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let delimiter = [b"--", boundary].concat();
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    let mut at = 0;
    while at < body.len() && parts.len() < BODY_PARTS_MAX {
        let line_end = find_crlf(body, at).unwrap_or(body.len());
        let line = body.get(at..line_end).unwrap_or_default();
        let next = (line_end + 2).min(body.len());
        if let Some(tail) = line.strip_prefix(delimiter.as_slice())
            && let Some(closes) = delimiter_tail(tail)
        {
            if let Some(start) = open {
                // The line end before a delimiter belongs to the delimiter.
                parts.push(
                    body.get(start..at.saturating_sub(2).max(start))
                        .unwrap_or_default(),
                );
            }
            if closes {
                return parts;
            }
            open = Some(next);
        }
        at = next.max(at + 1);
    }
    if let Some(rest) = open.and_then(|start| body.get(start..))
        && parts.len() < BODY_PARTS_MAX
    {
        parts.push(rest);
    }
    parts
}

/// What follows the boundary on its line: white space, or `--` first for the closing one.
fn delimiter_tail(tail: &[u8]) -> Option<bool> {
    let (closes, space) = match tail.strip_prefix(b"--") {
        Some(space) => (true, space),
        None => (false, tail),
    };
    space
        .iter()
        .all(|&b| b == b' ' || b == b'\t')
        .then_some(closes)
}

fn find_crlf(body: &[u8], from: usize) -> Option<usize> {
    body.get(from..)?
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .map(|at| from + at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn typed(content_type: &str) -> Headers {
        let mut headers = Headers::new();
        headers.push(HeaderName::CONTENT_TYPE, content_type);
        headers
    }

    #[test]
    fn a_plain_body() {
        assert_eq!(
            sdp(&typed("Application/SDP;charset=x"), b"v=0"),
            Some(&b"v=0"[..])
        );
        assert_eq!(sdp(&typed("application/sdp"), b""), None);
        assert_eq!(sdp(&typed("application/isup"), b"v=0"), None);
        assert_eq!(sdp(&Headers::new(), b"v=0"), None);
    }

    #[test]
    fn a_part_of_a_multipart_body() {
        let body = b"preamble\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b1 \r\n\
            c: application/sdp\r\n\r\nv=0\r\ns=-\r\n\r\n--b1--\r\nepilogue";
        let found = sdp(&typed("multipart/mixed; boundary=\"b1\""), body);
        assert_eq!(found, Some(&b"v=0\r\ns=-\r\n"[..]));
    }

    #[test]
    fn multiparts_nest_but_not_for_ever() {
        let mut body = b"v=0".to_vec();
        let mut kind = "application/sdp".to_owned();
        for depth in 1..=BODY_DEPTH_MAX + 1 {
            let head = format!("--b{depth}\r\nContent-Type: {kind}\r\n\r\n");
            body = [
                head.as_bytes(),
                &body,
                format!("\r\n--b{depth}--").as_bytes(),
            ]
            .concat();
            kind = format!("multipart/mixed;boundary=b{depth}");
            let found = sdp(&typed(&kind), &body).is_some();
            assert_eq!(found, depth <= BODY_DEPTH_MAX, "{depth}");
        }
    }

    #[test]
    fn odd_boundaries_are_survived() {
        let kind = typed("multipart/mixed;boundary=\"++\"");
        assert_eq!(sdp(&kind, b"--\n--++=AAA\nxxx\n--+"), None);
        assert_eq!(sdp(&kind, b"--++\r\n"), None);
        assert_eq!(sdp(&kind, b"--++"), None);
        assert_eq!(sdp(&kind, b"--++\r\n\r\n--++--"), None);
        assert_eq!(
            sdp(&typed("multipart/mixed;boundary=\"\""), b"--\r\n\r\n"),
            None
        );
        let cut = b"--++\r\nContent-Type: application/sdp\r\n\r\nv=0";
        assert_eq!(sdp(&kind, cut), Some(&b"v=0"[..]));
    }
}
