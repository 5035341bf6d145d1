//! Ports that the gateway binds: free, held by the gateway that runs with this configuration, or held by somebody else.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use super::finding::{Area, Finding};
use crate::assemble;
use crate::config::{Config, SipTransport};

/// How a port is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Datagrams,
    Streams,
}

impl Kind {
    fn bind(self, address: SocketAddr) -> io::Result<()> {
        match self {
            Self::Datagrams => UdpSocket::bind(address).map(drop),
            Self::Streams => TcpListener::bind(address).map(drop),
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Datagrams => "UDP",
            Self::Streams => "TCP",
        }
    }

    /// How an administrator finds out who holds a port.
    fn lister(self) -> &'static str {
        match self {
            Self::Datagrams => "ss -lunp",
            Self::Streams => "ss -ltnp",
        }
    }
}

/// Looks at every port of the configuration. `running` says that a gateway answers at its administrators' listener.
pub(super) fn examine(config: &Config, running: bool) -> Vec<Finding> {
    let mut findings: Vec<Finding> = wanted(config)
        .into_iter()
        .map(|(key, kind, address)| judge(&key, kind, address, kind.bind(address), running))
        .collect();
    findings.extend(rtp(config));
    findings
}

/// Every port that is bound at start, with the key that asks for it.
fn wanted(config: &Config) -> Vec<(String, Kind, SocketAddr)> {
    let sip = config.sip.listen.iter().map(|listen| {
        let kind = match listen.transport {
            SipTransport::Udp => Kind::Datagrams,
            SipTransport::Tcp | SipTransport::Tls => Kind::Streams,
        };
        (format!("[sip] listen {listen}"), kind, listen.address)
    });
    let browsers = (0..assemble::workers(config)).map(|worker| {
        let above = u16::try_from(worker).unwrap_or(u16::MAX);
        let port = config.webrtc.listen.port().saturating_add(above);
        let address = SocketAddr::new(config.webrtc.listen.ip(), port);
        (
            format!("[webrtc] listen {address}, media worker {}", worker + 1),
            Kind::Datagrams,
            address,
        )
    });
    let http = [("http", config.http.listen), ("admin", config.admin.listen)];
    let http = http.into_iter().map(|(section, address)| {
        (
            format!("[{section}] listen {address}"),
            Kind::Streams,
            address,
        )
    });
    let tcp = config.webrtc.tcp_listen.into_iter().map(|address| {
        let key = format!("[webrtc] tcp_listen {address}");
        (key, Kind::Streams, address)
    });
    sip.chain(browsers).chain(tcp).chain(http).collect()
}

/// What binding came to, in words.
fn judge(
    key: &str,
    kind: Kind,
    address: SocketAddr,
    bound: io::Result<()>,
    running: bool,
) -> Finding {
    let Err(error) = bound else {
        return if running {
            Finding::warn(
                Area::Port,
                format!("{key}: free, although talkbridge is running"),
                "the running gateway was started with another configuration: restart it",
            )
        } else {
            Finding::ok(Area::Port, format!("{key}: free"))
        };
    };
    match error.kind() {
        io::ErrorKind::AddrInUse if running => {
            Finding::ok(Area::Port, format!("{key}: held by the running talkbridge"))
        }
        io::ErrorKind::AddrInUse => Finding::fail(
            Area::Port,
            format!(
                "{key}: another program holds {} port {}",
                kind.protocol(),
                address.port()
            ),
            format!(
                "`{}` shows which one; end it or choose another port",
                kind.lister()
            ),
        ),
        io::ErrorKind::AddrNotAvailable => Finding::fail(
            Area::Port,
            format!("{key}: {} is no address of this machine", address.ip()),
            "`ip address` lists those it has; `0.0.0.0` listens on all of them",
        ),
        io::ErrorKind::PermissionDenied => Finding::fail(
            Area::Port,
            format!(
                "{key}: port {} may not be bound by this user",
                address.port()
            ),
            "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one",
        ),
        _ => Finding::fail(
            Area::Port,
            format!("{key}: cannot be bound: {error}"),
            "see the message of the operating system",
        ),
    }
}

/// The RTP range: its address, who else sits in it, and whether the operating system gives its ports to others.
fn rtp(config: &Config) -> Vec<Finding> {
    let media = &config.media;
    let key = format!("[media] ports {}", media.ports);
    if let Err(error) = UdpSocket::bind((media.address, 0)) {
        return vec![Finding::fail(
            Area::Port,
            format!("{key}: {} cannot be bound: {error}", media.address),
            "RTP is sent and received at [media] address: it must be an address of this machine",
        )];
    }
    let pairs = media.ports.pairs();
    let calls = config.limits.calls;
    let mut findings = Vec::new();
    if pairs < calls {
        findings.push(Finding::warn(
            Area::Port,
            format!("{key}: room for {pairs} calls, while [limits] calls is {calls}"),
            "a call takes two ports: widen the range or lower the limit",
        ));
    } else {
        findings.push(Finding::ok(
            Area::Port,
            format!("{key}: room for {pairs} calls"),
        ));
    }
    findings.extend(ephemeral().and_then(|(first, last)| {
        let overlaps = media.ports.first <= last && first <= media.ports.last;
        overlaps.then(|| {
            Finding::warn(
                Area::Port,
                format!("{key}: the system hands out ports {first}-{last} to other programs"),
                format!(
                    "a call whose port is taken moves on to the next one; to keep them for calls set \
                     net.ipv4.ip_local_reserved_ports = {}",
                    media.ports
                ),
            )
        })
    }));
    findings
}

/// The range from which the system gives ports to programs that ask for any.
fn ephemeral() -> Option<(u16, u16)> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut words = text.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Whether this machine can send from an address.
pub(super) fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> io::Result<()> {
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn line(bound: io::Result<()>, running: bool) -> String {
        let address = SocketAddr::from(([192, 0, 2, 10], 5060));
        judge(
            "[sip] listen udp:192.0.2.10:5060",
            Kind::Datagrams,
            address,
            bound,
            running,
        )
        .line()
    }

    #[test]
    fn a_port_of_the_running_gateway_is_no_fault_and_one_of_another_program_is() {
        assert_eq!(
            line(taken(), true),
            "ok   [sip] listen udp:192.0.2.10:5060: held by the running talkbridge"
        );
        assert_eq!(
            line(taken(), false),
            "FAIL [sip] listen udp:192.0.2.10:5060: another program holds UDP port 5060 - `ss -lunp` shows which one; end it \
             or choose another port"
        );
        assert!(line(Ok(()), true).starts_with("warn "));
        assert!(
            line(Err(io::ErrorKind::AddrNotAvailable.into()), false)
                .contains("no address of this machine")
        );
        assert!(
            line(Err(io::ErrorKind::PermissionDenied.into()), false)
                .contains("CAP_NET_BIND_SERVICE")
        );
    }
}
