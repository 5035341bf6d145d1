//! Requests and responses.

use super::{HeaderName, Headers, Method, ParseError, parse};
use crate::{status::StatusCode, uri::Uri};

/// A request. Printed as it came when nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The header fields in their order.
    pub headers: Headers,
    /// The octets behind the empty line.
    pub body: Vec<u8>,
}

/// A response. Printed as it came when nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase, any octets but line ends.
    pub reason: Vec<u8>,
    /// The header fields in their order.
    pub headers: Headers,
    /// The octets behind the empty line.
    pub body: Vec<u8>,
}

/// One SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// Reads one message: a UDP datagram, or a frame of [`super::StreamFramer`]. The headers every
    /// message needs (RFC 3261 section 8.1.1, without Max-Forwards, which SIP Server leaves out)
    /// stand once and are of their grammar; others are looked at when they are asked for.
    ///
    /// # Errors
    ///
    /// The cause, and the response that refuses the request.
    pub fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        parse::message(datagram)
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }

    /// As it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: Headers::new(),
            body: Vec::new(),
        }
    }

    /// Gives the request a body of this type.
    pub fn set_body(&mut self, content_type: &str, body: Vec<u8>) {
        self.headers.set(HeaderName::CONTENT_TYPE, content_type);
        self.body = body;
    }

    /// As it is sent. Content-Length is added, or corrected when the body has another length.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.headers.printed_len() + self.body.len() + 128);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.uri.as_bytes());
        out.extend_from_slice(b" SIP/2.0\r\n");
        print_rest(&mut out, &self.headers, &self.body);
        out
    }
}

impl Response {
    /// The response to `request`: Via, From, To, Call-ID and `CSeq` octet for octet and in the order
    /// of the request (RFC 3261 section 8.2.6.2), Record-Route where the response may form a dialog
    /// (section 12.1.1), Timestamp in a 100. `To` is left without a tag.
    #[must_use]
    pub fn for_request(request: &Request, status: StatusCode) -> Self {
        let forms_dialog = matches!(
            request.method,
            Method::Invite | Method::Subscribe | Method::Refer
        ) && status > StatusCode::TRYING
            && !status.is_failure();
        let mut headers = Headers::with_capacity(12);
        headers.copy_from(&request.headers, |name| {
            is_echoed(name)
                || (forms_dialog && *name == HeaderName::RECORD_ROUTE)
                || (status == StatusCode::TRYING && *name == HeaderName::TIMESTAMP)
        });
        Self {
            status,
            reason: status.default_reason().into(),
            headers,
            body: Vec::new(),
        }
    }

    /// Gives the response a body of this type.
    pub fn set_body(&mut self, content_type: &str, body: Vec<u8>) {
        self.headers.set(HeaderName::CONTENT_TYPE, content_type);
        self.body = body;
    }

    /// As it is sent. Content-Length is added, or corrected when the body has another length.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.headers.printed_len() + self.body.len() + 64);
        out.extend_from_slice(format!("SIP/2.0 {} ", self.status).as_bytes());
        out.extend(
            self.reason
                .iter()
                .map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }),
        );
        out.extend_from_slice(b"\r\n");
        print_rest(&mut out, &self.headers, &self.body);
        out
    }
}

/// The five headers that tie a response to its request.
pub(super) fn is_echoed(name: &HeaderName) -> bool {
    [
        HeaderName::VIA,
        HeaderName::FROM,
        HeaderName::TO,
        HeaderName::CALL_ID,
        HeaderName::CSEQ,
    ]
    .contains(name)
}

fn print_rest(out: &mut Vec<u8>, headers: &Headers, body: &[u8]) {
    let is_right = match headers.content_length() {
        Ok(Some(length)) => length == body.len(),
        Ok(None) => headers.without_length,
        Err(_) => false,
    };
    if is_right {
        headers.print(out);
    } else {
        headers.print_with_length(out, body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn invite() -> Request {
        let text = b"INVITE sip:1002@198.51.100.3:5060 SIP/2.0\r\n\
            From: sip:1003@192.0.2.81:5060;tag=88-256\r\n\
            t: sip:1002@192.0.2.81:5060\r\n\
            Call-ID: D6F9-56@192.0.2.81\r\n\
            CSeq: 1 INVITE\r\n\
            Record-Route: <sip:p.example.com;lr>\r\n\
            Timestamp: 54\r\n\
            v: SIP/2.0/UDP p.example.com;branch=z9hG4bK2,\r\n \
            SIP/2.0/UDP 192.0.2.81:5060;branch=z9hG4bK1\r\n\r\n";
        match Message::parse(text).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a request"),
        }
    }

    #[test]
    fn a_response_echoes_in_the_order_of_the_request() {
        let mut ringing = Response::for_request(&invite(), StatusCode::RINGING);
        ringing.headers.add_to_tag(&crate::ids::Tag::new("9"));
        let text = String::from_utf8(ringing.to_bytes()).unwrap();
        assert_eq!(
            text,
            "SIP/2.0 180 Ringing\r\n\
            From: sip:1003@192.0.2.81:5060;tag=88-256\r\n\
            To: sip:1002@192.0.2.81:5060;tag=9\r\n\
            Call-ID: D6F9-56@192.0.2.81\r\n\
            CSeq: 1 INVITE\r\n\
            Record-Route: <sip:p.example.com;lr>\r\n\
            v: SIP/2.0/UDP p.example.com;branch=z9hG4bK2,\r\n \
            SIP/2.0/UDP 192.0.2.81:5060;branch=z9hG4bK1\r\n\
            Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn only_100_carries_the_timestamp_and_only_dialogs_the_route() {
        let has = |status, name: &HeaderName| {
            Response::for_request(&invite(), status)
                .headers
                .contains(name)
        };
        assert!(has(StatusCode::TRYING, &HeaderName::TIMESTAMP));
        assert!(!has(StatusCode::OK, &HeaderName::TIMESTAMP));
        assert!(!has(StatusCode::TRYING, &HeaderName::RECORD_ROUTE));
        assert!(has(StatusCode::OK, &HeaderName::RECORD_ROUTE));
        assert!(!has(StatusCode::BUSY_HERE, &HeaderName::RECORD_ROUTE));
    }

    #[test]
    fn content_length_follows_the_body() {
        let mut request = Request::new(Method::Info, "sip:a@h".parse().unwrap());
        request.set_body("text/plain", b"abc".to_vec());
        request.headers.push(HeaderName::CONTENT_LENGTH, "99");
        let text = String::from_utf8(request.to_bytes()).unwrap();
        assert_eq!(
            text,
            "INFO sip:a@h SIP/2.0\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"
        );
    }
}
