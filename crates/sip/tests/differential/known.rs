//! The differences that are known, each with its reason, and what an input must look like to show
//! it.

use sip::Method;

use super::view::{
    Difference::{self, Field, OnlyTheyRead, OnlyWeRead},
    Peer,
};

/// One known difference.
pub(crate) struct Known {
    peer: Peer,
    difference: fn(&Difference) -> bool,
    input: fn(&Head<'_>) -> bool,
    /// Why it is there, and why ours is the reading to keep.
    pub(crate) reason: &'static str,
}

/// The head of an input, for the predicates.
pub(crate) struct Head<'a> {
    octets: &'a [u8],
    /// With their continuations.
    lines: Vec<&'a [u8]>,
    /// Octets behind the empty line.
    rest: usize,
}

impl<'a> Head<'a> {
    fn of(octets: &'a [u8]) -> Self {
        let end = octets
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap_or(octets.len());
        let mut lines = vec![];
        let mut start = 0;
        for at in 0..end {
            let folds = matches!(octets.get(at + 2), Some(b' ' | b'\t'));
            if octets[at..].starts_with(b"\r\n") && !folds {
                lines.push(&octets[start..at]);
                start = at + 2;
            }
        }
        lines.push(&octets[start.min(end)..end]);
        Self {
            octets,
            lines,
            rest: octets.len().saturating_sub(end + 4),
        }
    }

    fn headers(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().skip(1).copied()
    }

    /// The line of this header, or of its compact form.
    fn line(&self, name: &str, compact: u8) -> Option<&[u8]> {
        self.headers().find(|line| {
            let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
            let found = line[..colon].trim_ascii();
            found.eq_ignore_ascii_case(name.as_bytes()) || found.eq_ignore_ascii_case(&[compact])
        })
    }

    fn is_folded(&self) -> bool {
        self.headers().any(|line| line.contains(&b'\r'))
    }

    fn has_compact_name(&self) -> bool {
        self.headers().any(|line| {
            let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
            line[..colon].trim_ascii().len() == 1
        })
    }

    fn has_space_before_colon(&self) -> bool {
        self.headers().any(|line| {
            line.iter()
                .position(|&b| b == b':')
                .is_some_and(|at| at > 0 && line[at - 1] == b' ')
        })
    }

    fn has_no_space_after_colon(&self) -> bool {
        self.headers().any(|line| {
            let behind = line
                .iter()
                .position(|&b| b == b':')
                .and_then(|at| line.get(at + 1));
            behind != Some(&b' ')
        })
    }

    fn is_ascii(&self) -> bool {
        self.octets.is_ascii()
    }

    fn has(&self, text: &[u8]) -> bool {
        contains(self.octets, text)
    }

    /// Content-Length, as far as it is a number.
    fn length(&self) -> Option<usize> {
        let line = self.line("Content-Length", b'l')?;
        let colon = line.iter().position(|&b| b == b':')?;
        str::from_utf8(line[colon + 1..].trim_ascii())
            .ok()?
            .parse()
            .ok()
    }
}

fn ends_in_space(line: Option<&[u8]>) -> bool {
    line.and_then(<[u8]>::last)
        .is_some_and(|b| matches!(b, b' ' | b'\t'))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn any(_: &Head<'_>) -> bool {
    true
}

fn refused_for(difference: &Difference, causes: &[&str]) -> bool {
    matches!(difference, OnlyTheyRead(cause) if causes.iter().any(|c| cause.starts_with(c)))
}

/// The table. Entries of one peer are tried in order, so the narrow ones come first.
pub(crate) const KNOWN: &[Known] = &[
    Known {
        peer: Peer::Rvoip,
        difference: |d| *d == Field("From tag"),
        input: |head| {
            head.line("From", b'f')
                .is_some_and(|line| !line.contains(&b'<'))
        },
        reason: "rvoip takes the parameters of a bare From for parameters of its URI; RFC 3261 \
                 section 20.10 gives them to the header, and SIP Server relies on it",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| *d == Field("From tag"),
        input: |head| {
            let from = head.line("From", b'f').unwrap_or_default();
            let plain = |b: &u8| matches!(b, b' '..=b'~');
            ends_in_space(Some(from)) || !from.iter().all(plain) || !contains(from, b"<sip:")
        },
        reason: "rvoip keeps a From as raw text, without a tag, when white space or a control \
                 follows it or is in it, when it is not UTF-8, and for schemes it does not know",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| *d == Field("CSeq"),
        input: |head| ends_in_space(head.line("CSeq", 0)),
        reason: "rvoip loses CSeq when white space follows it; RFC 3261 section 7.3.1 drops that \
                 space",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| *d == Field("Call-ID"),
        input: |head| !head.is_ascii(),
        reason: "rvoip turns octets above 127 of a Call-ID into replacement characters or drops the \
                 header; ours are compared octet by octet",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| *d == OnlyWeRead,
        input: |head| head.length().is_some_and(|length| length < head.rest),
        reason: "rvoip in strict mode refuses octets behind the body; RFC 3261 section 18.3 has them \
                 dropped",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| refused_for(d, &["header line", "StartLine"]),
        input: any,
        reason: "rvoip takes bare LF for a line end, bare CR and LF for part of a value, and several \
                 spaces for one in the start line",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| refused_for(d, &["header missing", "header repeated", "method mismatch"]),
        input: any,
        reason: "rvoip leaves the checks across headers (RFC 3261 section 8.1.1) to its user",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| refused_for(d, &["Request-URI", "UriScheme", "Version"]),
        input: any,
        reason: "rvoip keeps a Request-URI that it cannot take apart as raw text, knows schemes that \
                 SIP does not route by, and reads any version",
    },
    Known {
        peer: Peer::Rvoip,
        difference: |d| matches!(d, OnlyTheyRead(cause) if cause.ends_with(" malformed")),
        input: any,
        reason: "rvoip keeps a header that is not of its grammar as raw text; ours is refused with \
                 400",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == Field("Call-ID"),
        input: |head| ends_in_space(head.line("Call-ID", b'i')),
        reason: "rsip keeps white space behind a value; RFC 3261 section 7.3.1 drops it",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == Field("body length"),
        input: |head| head.length().is_some_and(|length| length < head.rest),
        reason: "rsip never applies Content-Length: what is behind the body becomes part of it",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| refused_for(d, &["BodyShort", "Content-Length malformed"]),
        input: any,
        reason: "rsip never applies Content-Length: too large, negative or no number, it is read",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| refused_for(d, &["header repeated", "header missing", "method mismatch"]),
        input: any,
        reason: "rsip leaves the checks across headers to its user and takes the first of several",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| refused_for(d, &["header line", "StartLine"]),
        input: any,
        reason: "rsip lets bare CR and LF stand in values",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| refused_for(d, &["Request-URI", "UriScheme", "Version"]),
        input: any,
        reason: "rsip takes whatever is not its idea of a URI for a host name",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| matches!(d, OnlyTheyRead(cause) if cause.ends_with(" malformed")),
        input: any,
        reason: "rsip stops reading a value at what it does not know, and never reads Contact and \
                 Max-Forwards unless asked",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| head.is_folded(),
        reason: "rsip cannot read folded headers",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| head.has_compact_name(),
        reason: "rsip does not know compact header names",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| head.has_space_before_colon() || head.has_no_space_after_colon(),
        reason: "rsip wants a header as `Name: value`; HCOLON allows white space before the colon \
                 and none behind it",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| !head.is_ascii(),
        reason: "rsip refuses a message for one octet that is not UTF-8, and names in UTF-8 in some \
                 places",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| head.has(b"["),
        reason: "rsip cannot read IPv6 addresses",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| head.has(b"x=\"y, z\""),
        reason: "rsip cannot read quoted parameters",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| {
            let cseq = head.line("CSeq", 0).unwrap_or_default();
            let method = cseq.rsplit(|&b| b == b' ').next().unwrap_or_default();
            !matches!(Method::parse(method), Some(method) if method.is_known())
        },
        reason: "rsip knows a closed list of methods; RFC 3261 section 7.1 leaves it open",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| {
            let via = head.line("Via", b'v').unwrap_or_default();
            !["UDP ", "TCP ", "TLS ", "SCTP "]
                .iter()
                .any(|transport| contains(via, format!(" SIP/2.0/{transport}").as_bytes()))
        },
        reason: "rsip knows a closed list of transports and one protocol; RFC 3261 section 25.1 has \
                 tokens there",
    },
    Known {
        peer: Peer::Rsip,
        difference: |d| *d == OnlyWeRead,
        input: |head| {
            let uri = head.lines[0]
                .split(|&b| b == b' ')
                .nth(1)
                .unwrap_or_default();
            uri.iter()
                .any(|b| !b.is_ascii_alphanumeric() && !b":@.;=".contains(b))
        },
        reason: "rsip reads fewer octets in a Request-URI than the grammar has and than the field \
                 sends",
    },
];

/// The first entry that covers the difference.
pub(crate) fn explain(peer: Peer, difference: &Difference, input: &[u8]) -> Option<usize> {
    let head = Head::of(input);
    KNOWN.iter().position(|known| {
        known.peer == peer && (known.difference)(difference) && (known.input)(&head)
    })
}
