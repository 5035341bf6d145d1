//! What can be wrong with a message or with one of its headers.

use super::{HeaderName, Headers, Response};
use crate::{
    status::StatusCode,
    uri::{Uri, UriError},
};

/// A header that is missing, repeated or not of its grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {fault}")]
pub struct HeaderError {
    /// Which header.
    pub name: HeaderName,
    /// What is wrong with it.
    pub fault: HeaderFault,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The message has none.
    #[error("missing")]
    Missing,
    /// It may stand once and stands more often, or has several values.
    #[error("repeated")]
    Repeated,
    /// Its value does not follow the grammar, or exceeds a limit.
    #[error("malformed")]
    Malformed,
}

/// Why octets are not a message that can be processed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// Nothing but line ends or NULs: a keep-alive (RFC 5626 section 3.5) or noise.
    #[error("nothing but a keep-alive")]
    Empty,
    /// Larger than [`crate::limits::MESSAGE_BYTES_MAX`].
    #[error("message of {0} octets")]
    MessageTooLarge(usize),
    /// Larger than [`crate::limits::BODY_BYTES_MAX`].
    #[error("body of {0} octets")]
    BodyTooLarge(usize),
    /// The first line is neither a request line nor a status line.
    #[error("start line is malformed")]
    StartLine,
    /// The version is not `SIP/2.0`.
    #[error("version is not SIP/2.0")]
    Version,
    /// The scheme of the Request-URI is none we route by.
    #[error("scheme of the Request-URI is unsupported")]
    UriScheme,
    /// The Request-URI is longer than [`crate::limits::URI_BYTES_MAX`].
    #[error("Request-URI is too long")]
    UriTooLong,
    /// The Request-URI is not of its grammar.
    #[error("Request-URI: {0}")]
    RequestUri(UriError),
    /// A header line without a colon, with a name that is no token, with a bare CR or LF, or too
    /// long.
    #[error("header line {0} is malformed")]
    HeaderLine(usize),
    /// More than [`crate::limits::HEADER_LINES_MAX`] lines.
    #[error("too many header lines")]
    TooManyHeaders,
    /// The empty line behind the headers is missing.
    #[error("headers do not end")]
    Unterminated,
    /// A header every message needs, or that must be understood to go on.
    #[error("{0}")]
    Header(HeaderError),
    /// The method of `CSeq` is not that of the request line.
    #[error("CSeq names another method")]
    MethodMismatch {
        /// Whether the method of the request line is one of the registry.
        known: bool,
    },
    /// Content-Length promises more than there is.
    #[error("body is shorter than Content-Length")]
    BodyShort,
}

impl ParseFault {
    /// The status a request with this fault is refused with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MessageTooLarge(_) => StatusCode::MESSAGE_TOO_LARGE,
            Self::BodyTooLarge(_) => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::UriScheme => StatusCode::UNSUPPORTED_URI_SCHEME,
            Self::UriTooLong => StatusCode::REQUEST_URI_TOO_LONG,
            Self::MethodMismatch { known: false } => StatusCode::NOT_IMPLEMENTED,
            Self::Empty
            | Self::StartLine
            | Self::RequestUri(_)
            | Self::HeaderLine(_)
            | Self::TooManyHeaders
            | Self::Unterminated
            | Self::Header(_)
            | Self::MethodMismatch { known: true }
            | Self::BodyShort => StatusCode::BAD_REQUEST,
        }
    }
}

/// What could be read of an INVITE that cannot be processed: somebody calls, whatever is wrong with the message.
#[derive(Clone, Debug)]
pub struct BrokenInvite {
    /// Whom it is for; `None` where the request line is what is wrong.
    pub uri: Option<Uri>,
    /// Its headers up to the first that could not be read.
    pub headers: Headers,
}

/// Octets that are no message, and the answer they deserve.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    fault: ParseFault,
    reply: Option<Box<Response>>,
    invite: Option<Box<BrokenInvite>>,
}

impl ParseError {
    pub(super) fn new(fault: ParseFault, reply: Option<Response>) -> Self {
        Self {
            fault,
            reply: reply.map(Box::new),
            invite: None,
        }
    }

    /// The same of an INVITE.
    pub(super) fn of_invite(mut self, invite: BrokenInvite) -> Self {
        self.invite = Some(Box::new(invite));
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &ParseFault {
        &self.fault
    }

    /// The response that refuses the request: with the Vias, From, To, Call-ID and `CSeq` that could
    /// be read, without a To tag. `None` for responses, for ACK, and when no Via could be read.
    #[must_use]
    pub fn reply(&self) -> Option<Response> {
        self.reply.as_deref().cloned()
    }

    /// What could be read of it, where it is an INVITE.
    #[must_use]
    pub fn invite(&self) -> Option<&BrokenInvite> {
        self.invite.as_deref()
    }
}
