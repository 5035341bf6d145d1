//! Bytes to messages and back: tokens, header fields, bodies' lengths, framing on streams.
//!
//! The layer works on octets. What a peer sent and nobody changed leaves octet for octet as it
//! came; typed values are parsed from the lines on demand. Three departures from silence of the RFC:
//!
//! * Line ends are CRLF and nothing else. A bare CR or LF cannot stand in a header (RFC 3261 section
//!   25.1) and is refused, since two parsers that disagree about line ends disagree about headers.
//! * Octets above 127 are let through wherever they cannot be mistaken for a separator: trunks
//!   deliver names in Latin-1 and UTF-8.
//! * A display name without quotes may hold any printable octet but `"<>,;\`.

mod cseq;
mod error;
mod framing;
mod headers;
pub(crate) mod lex;
mod message;
mod method;
mod name;
mod name_addr;
mod params;
mod parse;
mod rack;
mod typed;
mod values;
mod via;

pub use cseq::CSeq;
pub use error::{BrokenInvite, HeaderError, HeaderFault, ParseError, ParseFault};
pub use framing::{Frame, FramingError, StreamFramer};
pub use headers::Headers;
pub use message::{Message, Request, Response};
pub use method::Method;
pub use name::HeaderName;
pub use name_addr::NameAddr;
pub use params::Params;
pub(crate) use parse::parse_part;
pub use rack::RAck;
pub use values::{
    ContentType, EventPackage, Reason, Refresher, Replaces, SessionExpires, SubscriptionState,
};
pub use via::Via;
