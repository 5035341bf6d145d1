//! Messages on a stream.

/// Cuts one whole message from the front of a stream (RFC 3261 section 18.3).
#[must_use]
pub fn next_frame(pending: &mut Vec<u8>) -> Option<Vec<u8>> {
    let blank = pending
        .iter()
        .take_while(|b| matches!(b, b'\r' | b'\n'))
        .count();
    pending.drain(..blank);
    let head = pending.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&pending[..head]);
    let length: usize = text
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| {
            let name = name.trim();
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("l")
        })
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    let end = head.checked_add(length)?;
    (pending.len() >= end).then(|| pending.drain(..end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_wherever_the_stream_breaks() {
        let one = b"A sip:x SIP/2.0\r\nContent-Length: 3\r\n\r\nabc";
        let two = b"B sip:x SIP/2.0\r\nl : 0\r\n\r\n";
        let mut stream = b"\r\n\r\n".to_vec();
        stream.extend_from_slice(one);
        stream.extend_from_slice(b"\r\n\r\n");
        stream.extend_from_slice(two);
        let mut pending = Vec::new();
        let mut frames = Vec::new();
        for byte in stream {
            pending.push(byte);
            frames.extend(next_frame(&mut pending));
        }
        assert_eq!(frames, [one.to_vec(), two.to_vec()]);
        assert!(pending.is_empty());
    }
}
