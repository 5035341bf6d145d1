//! Addresses that we tell others: are they ours, and are they the ones that others see?

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::finding::{Area, Finding};
use super::ports::is_local;
use crate::config::Config;

/// Looks at every advertised address, and at the way to each SIP Server.
pub(super) fn examine(config: &Config, servers: &[SocketAddr]) -> Vec<Finding> {
    let advertise = config.sip.advertise;
    let beside_us = servers.iter().all(|server| server.ip().is_loopback());
    let mut findings = vec![advertised(advertise, beside_us)];
    findings.extend(
        servers
            .iter()
            .map(|server| way(advertise, *server, source(*server))),
    );
    findings.extend(config.webrtc.advertise.iter().map(|ip| for_browsers(*ip)));
    findings
}

/// `beside_us` says that every SIP Server runs on this machine, as in a laboratory.
fn advertised(ip: IpAddr, beside_us: bool) -> Finding {
    let key = format!("[sip] advertise {ip}");
    if ip.is_loopback() && !beside_us {
        return Finding::fail(
            Area::Address,
            format!("{key}: only programs on this machine reach it"),
            "name the address of this machine that SIP Server reaches",
        );
    }
    if is_local(ip) {
        return Finding::ok(Area::Address, format!("{key}: an address of this machine"));
    }
    Finding::warn(
        Area::Address,
        format!("{key}: no address of this machine"),
        "SIP Server sends calls and answers there, port included: no address or port may be translated on the way",
    )
}

/// The address from which this machine would send to a SIP Server.
fn source(server: SocketAddr) -> std::io::Result<IpAddr> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    // No packet leaves: the system only chooses the route.
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

fn way(advertise: IpAddr, server: SocketAddr, source: std::io::Result<IpAddr>) -> Finding {
    let finding = match source {
        Err(error) => Finding::fail(
            Area::Address,
            format!("SIP Server {server}: there is no route to it: {error}"),
            "check the address in [sip] servers and this machine's routes (`ip route get`)",
        ),
        // Whatever the route says, programs on one machine reach each other by any of its addresses.
        Ok(ip) if ip == advertise || (ip.is_loopback() && advertise.is_loopback()) => Finding::ok(
            Area::Address,
            format!("SIP Server {server}: reached from {advertise}, as advertised"),
        ),
        Ok(ip) => Finding::warn(
            Area::Address,
            format!(
                "SIP Server {server}: this machine reaches it from {ip}, but [sip] advertise is {advertise}"
            ),
            "unless [sip] listen names the advertised address, SIP Server sees another address than the Contact names",
        ),
    };
    finding.at(server)
}

fn for_browsers(ip: IpAddr) -> Finding {
    let key = format!("[webrtc] advertise {ip}");
    if is_local(ip) {
        return Finding::ok(Area::Address, format!("{key}: an address of this machine"));
    }
    Finding::warn(
        Area::Address,
        format!("{key}: no address of this machine"),
        "something in front must forward the UDP ports of [webrtc] listen, unchanged, to this machine",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn another_source_address_than_the_advertised_is_told() {
        let server = SocketAddr::new(ip(81), 5060);
        assert!(way(ip(10), server, Ok(ip(10))).line().starts_with("ok   "));
        assert!(way(ip(10), server, Ok(ip(11))).line().starts_with(
            "warn SIP Server 192.0.2.81:5060: this machine reaches it from 192.0.2.11, but [sip] advertise is 192.0.2.10"
        ));
        let none = Err(std::io::ErrorKind::NetworkUnreachable.into());
        assert!(way(ip(10), server, none).line().starts_with("FAIL "));
    }

    #[test]
    fn an_address_of_somebody_else_is_told() {
        assert!(
            advertised(ip(10), false)
                .line()
                .starts_with("warn [sip] advertise 192.0.2.10: no address of this machine")
        );
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert!(advertised(loopback, false).line().starts_with("FAIL "));
        assert!(advertised(loopback, true).line().starts_with("ok "));
    }
}
