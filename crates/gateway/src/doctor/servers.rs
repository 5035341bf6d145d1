//! SIP Servers as a whole: is there a line, does OPTIONS get an answer, and what time is it there?

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sip::ua::Transport;
use sip::{HeaderName, Response};

use super::dns::{self, Place};
use super::finding::{Area, Finding, Report};
use super::http_date;
use super::line::{Line, LineError, is_closed};
use super::request::Writer;
use crate::config::{Agent, Config, SipTransport};

/// Clocks that differ by more than this refuse tokens and certificates that others take.
const CLOCK_APART_MAX_S: i64 = 30;

/// What is the same for every SIP Server.
pub(super) struct Round<'a> {
    pub(super) config: &'a Config,
    /// The names that servers were found by.
    pub(super) names: &'a BTreeMap<SocketAddr, String>,
    /// The DNs to ask for.
    pub(super) agents: &'a [Agent],
    /// Whether a gateway answers at our administrators' listener.
    pub(super) running: bool,
    /// The time of day, in seconds since 1970.
    pub(super) now_s: i64,
}

/// Asks one SIP Server.
pub(super) async fn ask(
    round: &Round<'_>,
    server: &switchboard::Server,
    seed: [u8; 32],
    report: &mut Report,
) {
    let config = round.config;
    let address = server.address;
    let transport = match server.transport {
        Transport::Udp => SipTransport::Udp,
        Transport::Tcp => SipTransport::Tcp,
        Transport::Tls => SipTransport::Tls,
    };
    let mut line = match Line::open(
        config,
        transport,
        address,
        round.names.get(&address).map(String::as_str),
    )
    .await
    {
        Ok(line) => line,
        Err(error) => return report.add([no_line(transport, address, &error).at(address)]),
    };
    let user_agent = &config.sip.user_agent;
    let mut writer = Writer::new(seed, line.own, transport, &server.domain, user_agent);
    let Some(options) = writer.options() else {
        let what = format!(
            "SIP Server {address}: `{}` makes no SIP address",
            server.domain
        );
        return report.add([Finding::fail(Area::Server, what, "see [sip] domain").at(address)]);
    };
    let answer = line.exchange(&[options]).await.pop().flatten();
    match &answer {
        Some(answer) => report.add([answers(&line, transport, address, answer).at(address)]),
        None => {
            let closed =
                transport == SipTransport::Udp && is_closed(address, config.sip.advertise).await;
            report.add([silent(address, transport, closed).at(address)]);
        }
    }
    let ahead_s = answer
        .as_ref()
        .and_then(|answer| ahead_s(answer, round.now_s));
    if answer.is_some() {
        report.add([clock(address, ahead_s).at(address)]);
        report.clock_ahead_s = report.clock_ahead_s.or(ahead_s);
    }
    let place = Place {
        server: address,
        own: contact(config, transport).unwrap_or(line.own),
        running: round.running,
    };
    let rate = config.sip.register.start_rate_per_s;
    // One that is silent to OPTIONS may still answer REGISTER: some are told to.
    report.add(dns::ask(&mut line, &mut writer, round.agents, place, rate).await);
}

/// Host and port of our registrations' Contact.
fn contact(config: &Config, transport: SipTransport) -> Option<SocketAddr> {
    let mut listen = config.sip.listen.iter();
    let listen = listen.find(|listen| listen.transport == transport)?;
    Some(SocketAddr::new(config.sip.advertise, listen.address.port()))
}

fn no_line(transport: SipTransport, server: SocketAddr, error: &LineError) -> Finding {
    let name = transport.as_str().to_ascii_uppercase();
    let what = format!("SIP Server {server}: no {name} connection: {error}");
    let advice = match (error, transport) {
        (LineError::Refused, SipTransport::Tls) => {
            "option sip-port-tls of the SIP Server application, section TServer (0 is off), must be this port"
        }
        (LineError::Refused, _) => {
            "option sip-port of the SIP Server application, section TServer, must be this port; is the application started, \
             and primary?"
        }
        (LineError::Silent, _) => "check the address in [sip] servers, and firewalls on the way",
        (LineError::Tls(_), _) => {
            "ca_file must hold the authority of SIP Server's certificate, and server_name, or its address, be among the \
             names of that"
        }
        (LineError::Io(_), _) => "see the message of the operating system",
    };
    Finding::fail(Area::Server, what, advice)
}

fn answers(line: &Line, transport: SipTransport, server: SocketAddr, answer: &Response) -> Finding {
    let name = transport.as_str().to_ascii_uppercase();
    let from = match (transport, line.from_sip_port) {
        (SipTransport::Udp, true) => ", asked from our SIP port",
        (SipTransport::Udp, false) => ", asked from another port than our SIP port",
        (SipTransport::Tcp | SipTransport::Tls, _) => "",
    };
    Finding::ok(
        Area::Server,
        format!(
            "SIP Server {server}: answers OPTIONS over {name} with {} {}{from}",
            answer.status.as_u16(),
            answer.status.default_reason()
        ),
    )
}

fn silent(server: SocketAddr, transport: SipTransport, closed: bool) -> Finding {
    if closed {
        return no_line(transport, server, &LineError::Refused);
    }
    let name = transport.as_str().to_ascii_uppercase();
    Finding::fail(
        Area::Server,
        format!("SIP Server {server}: does not answer OPTIONS over {name}"),
        "firewalls must let SIP through both ways, without translation; [sip] advertise must be an address that it reaches; \
         its log shows whether the request arrived",
    )
}

/// How far our clock is ahead of the answer's.
fn ahead_s(answer: &Response, now_s: i64) -> Option<i64> {
    let date = http_date::unix_s(answer.headers.get_str(&HeaderName::DATE)?)?;
    Some(now_s - date)
}

fn clock(server: SocketAddr, ahead_s: Option<i64>) -> Finding {
    let Some(ahead_s) = ahead_s else {
        return Finding::unknown(
            Area::Clock,
            format!("clock: not measured, since answers of SIP Server {server} carry no Date"),
        );
    };
    let apart_s = ahead_s.abs();
    let way = if ahead_s < 0 { "behind" } else { "ahead of" };
    let what = format!("clock: {apart_s} s {way} that of SIP Server {server}");
    if apart_s > CLOCK_APART_MAX_S {
        return Finding::warn(
            Area::Clock,
            what,
            "tokens and certificates are judged by this machine's clock: set both by NTP",
        );
    }
    Finding::ok(Area::Clock, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 81], 5060))
    }

    #[test]
    fn a_clock_that_nobody_tells_is_not_measured() {
        assert!(
            clock(server(), None)
                .line()
                .starts_with("?    clock: not measured")
        );
        assert_eq!(
            clock(server(), Some(-2)).line(),
            "ok   clock: 2 s behind that of SIP Server 192.0.2.81:5060"
        );
        assert!(
            clock(server(), Some(90))
                .line()
                .starts_with("warn clock: 90 s ahead of")
        );
    }

    #[test]
    fn what_is_refused_names_the_port_option() {
        let tls = no_line(SipTransport::Tls, server(), &LineError::Refused).line();
        assert!(tls.contains("sip-port-tls"), "{tls}");
        let udp = silent(server(), SipTransport::Udp, true).line();
        assert!(
            udp.contains("nobody listens there") && udp.contains("sip-port"),
            "{udp}"
        );
        assert!(
            silent(server(), SipTransport::Udp, false)
                .line()
                .contains("firewalls")
        );
    }
}
