//! The configuration: TOML on disk, [`Config`] in memory, and errors that name file, line and what was expected.

mod address;
mod listeners;
mod load;
mod locate;
mod manners;
mod records;
mod sections;
mod sites;
mod srtp;
mod validate;
mod web_rtc;

pub use address::{DnsServer, PortRange, ServerAddress, ServerName, SipListen, SipTransport};
pub use load::{ConfigError, ConfigErrors, Environment, Loaded, load, parse};
pub use manners::{DtmfFallback, Messages, Options, Refer, Refuse};
pub use records::{Cdr, RecordFormat, RecordWhen, Recording};
pub use sections::*;
pub use sites::{Failback, ServerList, SipSite};
pub use srtp::{Srtp, SrtpSuite};
pub use web_rtc::{Codec, CodecPolicy, IceServer, Turn, WebRtc};
