//! What a browser's session description must be before the WebRTC engine sees it.
//!
//! The engine's parser is a good one, but it allocates for what it reads and believes what it is told. So size, number
//! of lines, media sections and candidates are bounded here, and a fingerprint by anything weaker than SHA-256 is refused:
//! the engine itself would take SHA-1.

use str0m::Candidate;
use thiserror::Error;

use super::types::{Carrier, Endpoint};
use crate::limits::{
    BROWSER_SDP_LINES_MAX, BROWSER_SDP_MAX, CANDIDATE_LINE_MAX, REMOTE_CANDIDATES_MAX,
};

/// Why a session description of a browser is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdpRefusal {
    /// Longer than [`BROWSER_SDP_MAX`].
    #[error("the session description is too long")]
    TooLong,
    /// More lines than [`BROWSER_SDP_LINES_MAX`].
    #[error("the session description has too many lines")]
    TooManyLines,
    /// A control character, which no session description has.
    #[error("the session description has a control character")]
    ControlCharacter,
    /// Not exactly one media section, or not audio.
    #[error("expected exactly one media section, audio")]
    Media,
    /// More candidates than [`REMOTE_CANDIDATES_MAX`].
    #[error("too many candidates")]
    TooManyCandidates,
    /// No `a=fingerprint`.
    #[error("a=fingerprint is missing")]
    NoFingerprint,
    /// A fingerprint that is not by SHA-256, or not one.
    #[error("a=fingerprint must be by sha-256")]
    WeakFingerprint,
}

/// A description that passed.
#[derive(Debug)]
pub(super) struct Checked {
    /// What the engine may read: as it came, less the candidates that cannot be used.
    pub(super) sdp: String,
    /// The candidates in it.
    pub(super) candidates: Vec<Candidate>,
    /// The name of the media section.
    pub(super) mid: Option<String>,
    /// The browser prefers that nothing is sent while nobody speaks (RFC 7587 section 6.1). Opus alone has this parameter.
    pub(super) dtx: bool,
}

/// Checks a description.
pub(super) fn check(sdp: &str) -> Result<Checked, SdpRefusal> {
    if sdp.len() > BROWSER_SDP_MAX {
        return Err(SdpRefusal::TooLong);
    }
    if sdp
        .chars()
        .any(|c| c.is_control() && c != '\r' && c != '\n')
    {
        return Err(SdpRefusal::ControlCharacter);
    }
    let sdp_out = String::with_capacity(sdp.len());
    let mut checked = Checked {
        sdp: sdp_out,
        candidates: Vec::new(),
        mid: None,
        dtx: false,
    };
    let (mut lines, mut media, mut candidates, mut fingerprints) = (0, 0, 0, 0);
    for line in sdp.lines().filter(|line| !line.is_empty()) {
        lines += 1;
        if lines > BROWSER_SDP_LINES_MAX {
            return Err(SdpRefusal::TooManyLines);
        }
        if let Some(section) = line.strip_prefix("m=") {
            media += 1;
            if media > 1 || !section.starts_with("audio ") {
                return Err(SdpRefusal::Media);
            }
        } else if let Some(mid) = line.strip_prefix("a=mid:") {
            checked.mid.get_or_insert_with(|| mid.to_owned());
        } else if let Some(parameters) = format_parameters(line) {
            checked.dtx |= parameters.split(';').any(|one| one.trim() == "usedtx=1");
        } else if let Some(value) = line.strip_prefix("a=fingerprint:") {
            fingerprints += 1;
            if !is_sha256(value) {
                return Err(SdpRefusal::WeakFingerprint);
            }
        } else if line.starts_with("a=candidate:") {
            candidates += 1;
            if candidates > REMOTE_CANDIDATES_MAX {
                return Err(SdpRefusal::TooManyCandidates);
            }
            // A name instead of an address (`.local`, to hide it) or a transport we do not have: the engine learns the
            // browser from its first check anyway.
            let Some(candidate) = candidate(&line[2..]) else {
                continue;
            };
            checked.candidates.push(candidate);
        }
        checked.sdp.push_str(line);
        checked.sdp.push_str("\r\n");
    }
    if media != 1 {
        return Err(SdpRefusal::Media);
    }
    if fingerprints == 0 {
        return Err(SdpRefusal::NoFingerprint);
    }
    Ok(checked)
}

/// Reads a candidate line as `RTCIceCandidate.candidate` has it; `None` for one that cannot be used.
pub(super) fn candidate(line: &str) -> Option<Candidate> {
    if line.len() > CANDIDATE_LINE_MAX {
        return None;
    }
    let line = line.strip_prefix("a=").unwrap_or(line);
    let candidate = Candidate::from_sdp_string(line).ok()?;
    let usable = candidate.proto() == str0m::net::Protocol::Udp
        && candidate.addr().port() != 0
        && !candidate.addr().ip().is_unspecified()
        && !candidate.addr().ip().is_multicast();
    usable.then_some(candidate)
}

/// The candidate that the engine makes of an address it learnt from a check.
pub(super) fn peer_reflexive(endpoint: Endpoint) -> Option<Candidate> {
    let (ip, port) = (endpoint.address.ip(), endpoint.address.port());
    let carrier = match endpoint.carrier {
        Carrier::Udp => "udp",
        Carrier::Tcp => "tcp",
    };
    // The priority only orders pairs, and this is to be the only one.
    Candidate::from_sdp_string(&format!(
        "candidate:1 1 {carrier} 1862270975 {ip} {port} typ prflx"
    ))
    .ok()
}

/// The parameters of a format, without its payload type.
fn format_parameters(line: &str) -> Option<&str> {
    let (_, parameters) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
    Some(parameters)
}

fn is_sha256(value: &str) -> bool {
    let Some((function, digest)) = value.trim().split_once(' ') else {
        return false;
    };
    let octet = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    function.eq_ignore_ascii_case("sha-256")
        && digest.split(':').count() == 32
        && digest.split(':').all(octet)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn sdp(extra: &str) -> String {
        let digest = ["AB"; 32].join(":");
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n\
             c=IN IP4 0.0.0.0\r\na=fingerprint:sha-256 {digest}\r\n{extra}"
        )
    }

    #[test]
    fn an_ordinary_answer_passes_as_it_is() {
        let text = sdp("a=candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host\r\n");
        let checked = check(&text).unwrap();
        assert_eq!(checked.sdp, text);
        assert_eq!(
            checked.candidates[0].addr(),
            "192.0.2.7:50000".parse().unwrap()
        );
    }

    #[test]
    fn a_browser_that_wants_silence_to_be_silent_says_so() {
        for (line, wanted) in [
            ("a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n", true),
            ("a=fmtp:111 minptime=10; usedtx=1\r\n", true),
            ("a=fmtp:111 minptime=10;usedtx=0\r\n", false),
            ("a=fmtp:111 minptime=10;useinbandfec=1\r\n", false),
            ("a=fmtp:usedtx=1\r\n", false),
        ] {
            assert_eq!(check(&sdp(line)).unwrap().dtx, wanted, "{line}");
        }
    }

    /// Chromium without microphone permission hides its addresses.
    #[test]
    fn a_hidden_address_is_left_out() {
        let text = sdp("a=candidate:1 1 udp 2113937151 5e0f.local 50000 typ host\r\n");
        let checked = check(&text).unwrap();
        assert!(checked.candidates.is_empty());
        assert!(!checked.sdp.contains("candidate"));
    }

    #[test]
    fn weak_or_missing_fingerprints_are_refused() {
        let sha1 = format!("a=fingerprint:sha-1 {}\r\n", ["AB"; 20].join(":"));
        assert_eq!(check(&sdp(&sha1)).unwrap_err(), SdpRefusal::WeakFingerprint);
        let short = "a=fingerprint:sha-256 AB:CD\r\n";
        assert_eq!(check(&sdp(short)).unwrap_err(), SdpRefusal::WeakFingerprint);
        let none = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n";
        assert_eq!(check(none).unwrap_err(), SdpRefusal::NoFingerprint);
    }

    #[test]
    fn what_can_grow_is_bounded() {
        assert_eq!(
            check(&sdp(&"a=x\r\n".repeat(300))).unwrap_err(),
            SdpRefusal::TooManyLines
        );
        assert_eq!(check(&"x".repeat(20_000)).unwrap_err(), SdpRefusal::TooLong);
        let line = "a=candidate:1 1 udp 1 192.0.2.7 50000 typ host\r\n";
        assert_eq!(
            check(&sdp(&line.repeat(33))).unwrap_err(),
            SdpRefusal::TooManyCandidates
        );
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
        assert_eq!(check(&sdp(video)).unwrap_err(), SdpRefusal::Media);
        assert_eq!(
            check(&sdp("a=x\0y\r\n")).unwrap_err(),
            SdpRefusal::ControlCharacter
        );
        assert_eq!(check("v=0\r\n").unwrap_err(), SdpRefusal::Media);
    }

    #[test]
    fn candidates_that_cannot_be_used() {
        for line in [
            "candidate:1 1 udp 1 0.0.0.0 50000 typ host",
            "candidate:1 1 udp 1 224.0.0.1 50000 typ host",
            "candidate:1 1 tcp 1 192.0.2.7 9 typ host tcptype active",
            "candidate:1 1 udp 1 192.0.2.7 0 typ host",
            "candidate:",
            "",
        ] {
            assert!(candidate(line).is_none(), "{line}");
        }
        let address: std::net::SocketAddr = "[2001:db8::1]:4000".parse().unwrap();
        for endpoint in [address.into(), Endpoint::tcp(address)] {
            let candidate = peer_reflexive(endpoint).unwrap();
            let tcp = candidate.proto() == str0m::net::Protocol::Tcp;
            assert_eq!(candidate.addr(), address);
            assert_eq!(tcp, endpoint.carrier == Carrier::Tcp);
        }
    }
}
