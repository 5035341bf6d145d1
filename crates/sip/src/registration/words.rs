//! Failed registrations in the words of SIP Server's administrator.

use std::net::{IpAddr, SocketAddr};

use crate::StatusCode;

/// What a final response to REGISTER means for the DN, and what to look at.
pub fn refused(dn: &str, server: SocketAddr, status: StatusCode, challenged: bool) -> String {
    let code = status.as_u16();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED if !challenged => {
            format!(
                "SIP Server {server} asks for a password ({code}) and none is configured here: \
                 set the password of DN {dn}, or take register out of authenticate-requests"
            )
        }
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => format!(
            "SIP Server {server} does not accept the password of DN {dn} ({code}): compare it \
             with the option password of the DN"
        ),
        StatusCode::FORBIDDEN => format!(
            "SIP Server {server} forbids the registration of DN {dn} (403): check its option \
             contact = * and whether registrations from this address are admitted"
        ),
        StatusCode::NOT_FOUND => {
            format!("DN {dn} is not configured or disabled in SIP Server {server} (404)")
        }
        StatusCode::INTERVAL_TOO_BRIEF => {
            format!("SIP Server {server} wants a longer registration than can be asked for (423)")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            format!("SIP Server {server} is overloaded or shutting down (503)")
        }
        _ => format!(
            "SIP Server {server} refuses the registration of DN {dn} ({code} {})",
            status.default_reason()
        ),
    }
}

/// No final response within 64*T1.
pub fn silent(server: SocketAddr) -> String {
    format!("SIP Server {server} does not answer: check its address, its port and the firewall")
}

/// The message could not be sent, or its connection broke.
pub fn unreachable(server: SocketAddr) -> String {
    format!("SIP Server {server} cannot be reached: the network or the connection refuses")
}

/// The 200 does not list our Contact.
pub fn taken_over(dn: &str, server: SocketAddr, others: &str) -> String {
    format!(
        "SIP Server {server} accepted the registration of DN {dn} but lists only {others}: \
         another endpoint has taken the DN over"
    )
}

/// SIP Server saw another source address than the one we name in Via and Contact.
pub fn translated(ours: SocketAddr, seen: IpAddr) -> String {
    format!(
        "SIP Server sees us at {seen}, not at {ours}: an address is translated on the way or the \
         advertised address is wrong, so that calls may not arrive"
    )
}
