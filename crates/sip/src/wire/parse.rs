//! Octets to a message: the start line, the header lines, the checks every message must pass, the
//! body.

use std::sync::Arc;

use super::{
    BrokenInvite, HeaderError, HeaderFault, HeaderName, Headers, Message, Method, ParseError,
    ParseFault, Request, Response,
    lex::{is_space, is_token, trim},
    message::is_echoed,
};
use crate::{
    limits::{
        BODY_BYTES_MAX, HEADER_LINE_BYTES_MAX, HEADER_LINES_MAX, MESSAGE_BYTES_MAX,
        START_LINE_BYTES_MAX,
    },
    status::StatusCode,
    uri::{Scheme, Uri, UriError},
};

/// The only version there is.
const VERSION: &[u8] = b"SIP/2.0";

pub(super) fn message(datagram: &[u8]) -> Result<Message, ParseError> {
    let bytes = skip_blank_lines(datagram);
    if bytes.iter().all(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return Err(ParseError::new(ParseFault::Empty, None));
    }
    let (line, rest) = line_end(bytes)
        .and_then(|end| Some((bytes.get(..end)?, bytes.get(end + 2..)?)))
        .ok_or_else(|| ParseError::new(ParseFault::StartLine, None))?;
    let start = start_line(line);
    let (mut headers, body) = headers(rest);
    let too_large =
        (bytes.len() > MESSAGE_BYTES_MAX).then_some(ParseFault::MessageTooLarge(bytes.len()));
    if let Some(fault) = too_large.or_else(|| start.fault()) {
        return Err(refuse(&start, &headers, fault));
    }
    let checked = body.and_then(|body| {
        check(&headers, start.method())?;
        trim_body(&headers, body)
    });
    let body = match checked {
        Ok(body) => body.to_vec(),
        Err(fault) => return Err(refuse(&start, &headers, fault)),
    };
    headers.without_length = !headers.contains(&HeaderName::CONTENT_LENGTH);
    Ok(match start {
        StartLine::Request { method, uri } => Message::Request(Request {
            method,
            uri,
            headers,
            body,
        }),
        StartLine::Response { status, reason } => Message::Response(Response {
            status,
            reason,
            headers,
            body,
        }),
        StartLine::BadRequest { .. } | StartLine::BadResponse(_) => {
            unreachable!("a bad start line is refused above")
        }
    })
}

/// RFC 3261 section 7.5: line ends before the start line are ignored.
fn skip_blank_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// Where the first CRLF stands.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|&b| b == b'\r')?;
        if bytes.get(at + 1) == Some(&b'\n') {
            return Some(at);
        }
        from = at + 1;
    }
}

/// What the first line says, or what is wrong with it.
enum StartLine {
    Request {
        method: Method,
        uri: Uri,
    },
    Response {
        status: StatusCode,
        reason: Vec<u8>,
    },
    BadRequest {
        method: Option<Method>,
        fault: ParseFault,
    },
    BadResponse(ParseFault),
}

impl StartLine {
    fn fault(&self) -> Option<ParseFault> {
        match self {
            Self::BadRequest { fault, .. } | Self::BadResponse(fault) => Some(fault.clone()),
            Self::Request { .. } | Self::Response { .. } => None,
        }
    }

    fn method(&self) -> Option<&Method> {
        match self {
            Self::Request { method, .. } => Some(method),
            Self::BadRequest { method, .. } => method.as_ref(),
            Self::Response { .. } | Self::BadResponse(_) => None,
        }
    }
}

fn start_line(line: &[u8]) -> StartLine {
    if line
        .get(..4)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"))
    {
        return status_line(line).unwrap_or_else(StartLine::BadResponse);
    }
    let method_end = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
    let method = Method::parse(line.get(..method_end).unwrap_or_default());
    match request_line(line) {
        Ok((method, uri)) => StartLine::Request { method, uri },
        Err(fault) => StartLine::BadRequest { method, fault },
    }
}

/// `SIP/2.0 SP 3DIGIT SP reason`. The reason and the space before it may be missing.
fn status_line(line: &[u8]) -> Result<StartLine, ParseFault> {
    let bad = ParseFault::StartLine;
    if line.len() > START_LINE_BYTES_MAX || line.iter().any(|&b| matches!(b, b'\r' | b'\n')) {
        return Err(bad);
    }
    let space = line.iter().position(|&b| b == b' ').ok_or(bad.clone())?;
    let (version, rest) = (&line[..space], &line[space + 1..]);
    if !version.eq_ignore_ascii_case(VERSION) {
        return Err(ParseFault::Version);
    }
    let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
    let digits = rest
        .get(..end)
        .filter(|digits| digits.len() == 3)
        .ok_or(bad.clone())?;
    let code = super::lex::number(digits, 699).and_then(|n| u16::try_from(n).ok());
    let status = code.and_then(StatusCode::new).ok_or(bad)?;
    let reason = rest.get(end + 1..).unwrap_or_default().to_vec();
    Ok(StartLine::Response { status, reason })
}

/// `Method SP Request-URI SP SIP/2.0`, with single spaces and none at the end (RFC 3261 section
/// 7.1).
fn request_line(line: &[u8]) -> Result<(Method, Uri), ParseFault> {
    if line.len() > START_LINE_BYTES_MAX {
        return Err(ParseFault::UriTooLong);
    }
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(ParseFault::StartLine);
    };
    if !version.eq_ignore_ascii_case(VERSION) {
        return Err(match version.get(..4) {
            Some(head) if head.eq_ignore_ascii_case(b"SIP/") => ParseFault::Version,
            _ => ParseFault::StartLine,
        });
    }
    let method = Method::parse(method).ok_or(ParseFault::StartLine)?;
    let uri = Uri::parse(uri).map_err(|error| match error {
        UriError::TooLong => ParseFault::UriTooLong,
        error => ParseFault::RequestUri(error),
    })?;
    if matches!(uri.scheme(), Scheme::Other(_)) {
        return Err(ParseFault::UriScheme);
    }
    // RFC 3261 section 19.1.1: headers may not stand in a Request-URI.
    if uri.headers().next().is_some() {
        return Err(ParseFault::RequestUri(UriError::Headers));
    }
    Ok((method, uri))
}

/// The header lines as far as they can be read, and what is behind the empty line or the first
/// fault.
fn headers(bytes: &[u8]) -> (Headers, Result<&[u8], ParseFault>) {
    let mut headers = Headers::with_capacity(24);
    let octets: Arc<[u8]> = bytes.into();
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some(body) = rest.strip_prefix(b"\r\n") {
            return (headers, Ok(body));
        }
        let index = headers.len();
        if index == HEADER_LINES_MAX {
            return (headers, Err(ParseFault::TooManyHeaders));
        }
        let Some(end) = folded_end(rest) else {
            return (headers, Err(ParseFault::Unterminated));
        };
        let piece = (at, at + end);
        if header_line(&mut headers, &octets, piece).is_none() {
            return (headers, Err(ParseFault::HeaderLine(index)));
        }
        at = piece.1 + 2;
    }
}

/// Where the line ends whose continuations begin with white space.
pub(super) fn folded_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + line_end(bytes.get(from..)?)?;
        if !bytes.get(at + 2).copied().is_some_and(is_space) {
            return Some(at);
        }
        from = at + 2;
    }
}

/// RFC 3261 section 7.3.1 allows white space between name and colon: the name is what is before it.
fn header_line(headers: &mut Headers, octets: &Arc<[u8]>, piece: (usize, usize)) -> Option<()> {
    let line = octets.get(piece.0..piece.1)?;
    if line.len() > HEADER_LINE_BYTES_MAX || has_bare_line_end(line) {
        return None;
    }
    let colon = line.iter().position(|&b| b == b':')?;
    let name = line.get(..colon)?;
    if name.first().copied().is_none_or(is_space) {
        return None;
    }
    headers.push_received(HeaderName::parse(trim(name))?, octets, piece, colon);
    Some(())
}

/// A CR or LF that is not part of a fold.
fn has_bare_line_end(line: &[u8]) -> bool {
    // Hardly any line is folded, and none of the others needs a look at each octet.
    if !line.contains(&b'\r') && !line.contains(&b'\n') {
        return false;
    }
    let mut previous = 0;
    for (index, &byte) in line.iter().enumerate() {
        let pairs = match byte {
            b'\r' => line.get(index + 1) == Some(&b'\n'),
            b'\n' => previous == b'\r',
            _ => true,
        };
        if !pairs {
            return true;
        }
        previous = byte;
    }
    false
}

/// What must be right before anything can be matched or answered (RFC 3261 sections 8.2 and 16.3).
fn check(headers: &Headers, method: Option<&Method>) -> Result<(), ParseFault> {
    let fault = ParseFault::Header;
    if headers.vias().map_err(fault)?.is_empty() {
        let missing = HeaderError {
            name: HeaderName::VIA,
            fault: HeaderFault::Missing,
        };
        return Err(ParseFault::Header(missing));
    }
    headers.from().map_err(fault)?;
    headers.to().map_err(fault)?;
    headers.call_id().map_err(fault)?;
    let cseq = headers.cseq().map_err(fault)?;
    headers.contacts().map_err(fault)?;
    // The length of the body decides where the next message begins, so two of them are an attack.
    headers.content_length().map_err(fault)?;
    // The sender of a response cannot be told what is wrong; a Max-Forwards there means nothing.
    if let Some(method) = method {
        if cseq.method != *method {
            return Err(ParseFault::MethodMismatch {
                known: method.is_known(),
            });
        }
        headers.max_forwards().map_err(fault)?;
    }
    Ok(())
}

/// The body that Content-Length tells of; without one the rest of the datagram (RFC 3261 section
/// 18.3).
fn trim_body<'a>(headers: &Headers, rest: &'a [u8]) -> Result<&'a [u8], ParseFault> {
    let length = headers
        .content_length()
        .map_err(ParseFault::Header)?
        .unwrap_or(rest.len());
    if length > BODY_BYTES_MAX {
        return Err(ParseFault::BodyTooLarge(length));
    }
    rest.get(..length).ok_or(ParseFault::BodyShort)
}

fn refuse(start: &StartLine, headers: &Headers, fault: ParseFault) -> ParseError {
    let reply = reply(start, headers, fault.status());
    let error = ParseError::new(fault, reply);
    if start.method() != Some(&Method::Invite) {
        return error;
    }
    let uri = match start {
        StartLine::Request { uri, .. } => Some(uri.clone()),
        _ => None,
    };
    let headers = headers.clone();
    error.of_invite(BrokenInvite { uri, headers })
}

/// The refusal of a request. Its Vias say where it goes and From, To, Call-ID and `CSeq` what it
/// answers; each is given once, as it came.
fn reply(start: &StartLine, headers: &Headers, status: StatusCode) -> Option<Response> {
    let (StartLine::Request { .. } | StartLine::BadRequest { .. }) = start else {
        return None;
    };
    let method = start.method()?;
    if *method == Method::Ack || headers.get(&HeaderName::VIA).is_none_or(<[u8]>::is_empty) {
        return None;
    }
    let mut echoed = Headers::new();
    echoed.copy_from(headers, is_echoed);
    for name in [
        HeaderName::FROM,
        HeaderName::TO,
        HeaderName::CALL_ID,
        HeaderName::CSEQ,
    ] {
        echoed.keep_first(&name);
    }
    Some(Response {
        status,
        reason: status.default_reason().into(),
        headers: echoed,
        body: Vec::new(),
    })
}

/// Headers and content of one part of a multipart body; `None` when the headers do not end or are
/// malformed.
pub(crate) fn parse_part(part: &[u8]) -> Option<(Headers, &[u8])> {
    let (headers, content) = headers(part);
    Some((headers, content.ok()?))
}

/// Whether a first line could begin a message at all: what a stream is cut off for.
pub(super) fn may_start(line: &[u8]) -> bool {
    let word = line.split(|&b| b == b' ').next().unwrap_or_default();
    word.get(..4)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"))
        || is_token(word)
}
