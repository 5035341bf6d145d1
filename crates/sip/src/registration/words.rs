//! Why a DN is not registered, in the words of SIP Server's administrator: the one table from what
//! happened to a label and a sentence.

use std::net::{IpAddr, SocketAddr};

use crate::StatusCode;

/// Why a DN is not registered. A closed set: it labels a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegistrationFault {
    /// 401 or 407, and no password is configured here.
    NoPassword,
    /// 401 or 407 to our answer.
    WrongPassword,
    /// 403.
    Forbidden,
    /// 404: the DN is not in the configuration of SIP Server, or disabled.
    NotConfigured,
    /// 423, and the life it wants is longer than we ask for.
    IntervalTooBrief,
    /// 503.
    Unavailable,
    /// 408 or 504: a proxy has no answer from the SIP Server behind it.
    SilentBehind,
    /// 600 to 699: refused for every server.
    Declined,
    /// Any other final response.
    Refused,
    /// No final response within 64*T1.
    Silent,
    /// The message could not be sent, or its connection broke.
    Unreachable,
    /// A 200 that does not list our Contact.
    TakenOver,
    /// The DN and the domain make no SIP address, or there are too many registrations.
    Impossible,
    /// The names of the site's SIP Servers mean nothing yet.
    NoServer,
}

impl RegistrationFault {
    /// Every row of the table.
    pub const ALL: [Self; 14] = [
        Self::NoPassword,
        Self::WrongPassword,
        Self::Forbidden,
        Self::NotConfigured,
        Self::IntervalTooBrief,
        Self::Unavailable,
        Self::SilentBehind,
        Self::Declined,
        Self::Refused,
        Self::Silent,
        Self::Unreachable,
        Self::TakenOver,
        Self::Impossible,
        Self::NoServer,
    ];

    /// What a final response to REGISTER means; `None` for a success. `answered` says that the
    /// response came to an answer of ours to an earlier challenge.
    #[must_use]
    pub fn of_status(status: StatusCode, answered: bool) -> Option<Self> {
        Some(match status.as_u16() {
            200..=299 => return None,
            401 | 407 if answered => Self::WrongPassword,
            401 | 407 => Self::NoPassword,
            403 => Self::Forbidden,
            404 => Self::NotConfigured,
            408 | 504 => Self::SilentBehind,
            423 => Self::IntervalTooBrief,
            503 => Self::Unavailable,
            600..=699 => Self::Declined,
            _ => Self::Refused,
        })
    }

    /// The label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPassword => "no_password",
            Self::WrongPassword => "wrong_password",
            Self::Forbidden => "forbidden",
            Self::NotConfigured => "not_configured",
            Self::IntervalTooBrief => "interval_too_brief",
            Self::Unavailable => "unavailable",
            Self::SilentBehind => "silent_behind",
            Self::Declined => "declined",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::TakenOver => "taken_over",
            Self::Impossible => "impossible",
            Self::NoServer => "no_server",
        }
    }

    /// What happened and what to look at. `status` is the final response, where one came.
    #[must_use]
    pub fn words(self, dn: &str, server: SocketAddr, status: Option<StatusCode>) -> String {
        let code = status.map_or(0, StatusCode::as_u16);
        match self {
            Self::NoPassword => format!(
                "SIP Server {server} asks for a password ({code}) and none is configured here: \
                 set the password of DN {dn}, or take register out of authenticate-requests"
            ),
            Self::WrongPassword => format!(
                "SIP Server {server} does not accept the password of DN {dn} ({code}): compare it \
                 with the option password of the DN"
            ),
            Self::Forbidden => format!(
                "SIP Server {server} forbids the registration of DN {dn} (403): check its option \
                 contact = * and whether registrations from this address are admitted"
            ),
            Self::NotConfigured => {
                format!("DN {dn} is not configured or disabled in SIP Server {server} (404)")
            }
            Self::IntervalTooBrief => format!(
                "SIP Server {server} wants a longer registration than can be asked for (423)"
            ),
            Self::Unavailable => {
                format!("SIP Server {server} is overloaded or shutting down (503)")
            }
            Self::SilentBehind => format!(
                "{server} has no answer from the SIP Server behind it ({code}): check that it \
                 runs and that the proxy knows it"
            ),
            Self::Declined => format!(
                "SIP Server {server} declines DN {dn} for good ({code}): another endpoint may be \
                 preferred, or the site is being shut down"
            ),
            Self::Refused => {
                let phrase = status.map_or("", StatusCode::default_reason);
                format!("SIP Server {server} refuses the registration of DN {dn} ({code} {phrase})")
            }
            Self::Silent => format!(
                "SIP Server {server} does not answer: check its address, its port and the firewall"
            ),
            Self::Unreachable => format!(
                "SIP Server {server} cannot be reached: the network, the connection or TLS refuses"
            ),
            Self::TakenOver => format!(
                "SIP Server {server} accepted the registration of DN {dn} and does not list us: \
                 another endpoint has taken the DN over"
            ),
            Self::Impossible => format!(
                "DN {dn} and the domain of its SIP Server make no SIP address, or there are too \
                 many registrations"
            ),
            Self::NoServer => nameless(dn, "its names are not looked up"),
        }
    }
}

/// There is nobody to register at: `why` says what could not be looked up.
#[must_use]
pub fn nameless(dn: &str, why: &str) -> String {
    format!(
        "no SIP Server is known for DN {dn} ({why}): check servers of [sip], and the DNS servers that this host asks"
    )
}

/// The 200 lists these Contacts, and not ours.
#[must_use]
pub fn taken_over(dn: &str, server: SocketAddr, others: &str) -> String {
    format!(
        "SIP Server {server} accepted the registration of DN {dn} but lists only {others}: \
         another endpoint has taken the DN over"
    )
}

/// The 200 lists no Contact, although all there are belong into it (RFC 3261 section 10.3).
#[must_use]
pub fn not_kept(dn: &str, server: SocketAddr) -> String {
    format!(
        "SIP Server {server} accepted the registration of DN {dn} but lists no contact for it: it has not kept it"
    )
}

/// SIP Server saw another source address than the one we name in Via and Contact.
pub fn translated(ours: SocketAddr, seen: IpAddr) -> String {
    format!(
        "SIP Server sees us at {seen}, not at {ours}: an address is translated on the way or the \
         advertised address is wrong, so that calls may not arrive"
    )
}
