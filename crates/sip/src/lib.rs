//! SIP as a pure machine: bytes and messages, transactions, dialogs, registrations.

mod agenda;
pub mod body;
#[cfg(feature = "coverage")]
pub mod coverage;
mod dialog;
pub mod digest;
#[doc(hidden)]
pub mod fuzz;
pub mod ids;
pub mod limits;
mod registration;
pub mod session_timer;
pub mod sipfrag;
pub mod status;
pub mod timer;
mod transaction;
pub mod ua;
pub mod uri;
pub mod wire;

pub use agenda::Agenda;
pub use ids::{Branch, CallId, IdSource, Tag};
pub use registration::words as registration_words;
pub use status::StatusCode;
pub use uri::{Host, Scheme, Uri};
pub use wire::{
    CSeq, HeaderError, HeaderName, Headers, Message, Method, NameAddr, Params, ParseError,
    ParseFault, Reason, Request, Response, StreamFramer, Via,
};
