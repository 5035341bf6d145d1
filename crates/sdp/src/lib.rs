//! Session descriptions: parse, print, offer and answer (RFC 8866, RFC 3264).
//!
//! Two layers. [`SessionDescription`] knows lines and nothing else: it keeps every byte that it does not
//! understand and refuses what no description may hold. [`Negotiation`] is the offer/answer state of one
//! dialog: it prints our own descriptions, counts their versions, has the keys of SRTP (RFC 4568), and says in
//! [`Agreed`] what came out.
//!
//! The crate is pure. It resolves no names, so a host name as media address is refused.

mod agreed;
mod audio;
mod base64;
mod codec;
mod crypto;
mod direction;
mod error;
mod fuzz;
pub mod limits;
mod local;
mod negotiation;
mod session;

pub use agreed::{Agreed, Numbers, TelephoneEvent};
pub use codec::{Codec, UnknownCodec};
pub use crypto::{AgreedSrtp, CryptoSuite, KeyIdentifier, SrtpKey, SrtpPolicy, UnknownSuite};
pub use direction::Direction;
pub use error::{NegotiationError, ParseError};
pub use fuzz::fuzz;
pub use local::LocalMedia;
pub use negotiation::Negotiation;
pub use session::{Line, MediaDescription, SessionDescription};
