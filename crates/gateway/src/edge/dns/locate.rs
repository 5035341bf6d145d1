//! From a name to the addresses of SIP Servers (RFC 3263 section 4), over whatever answers questions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::order::{Srv, order};
use crate::config::{ServerName, SipTransport};
use crate::limits::{DNS_RECORDS_MAX, DNS_TTL_MAX};

/// A NAPTR record that names a service of SIP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower ones first; the next only where nothing of the former can be used.
    pub order: u16,
    /// Lower ones first, within one order.
    pub preference: u16,
    /// The transport of its service.
    pub transport: SipTransport,
    /// Whose SRV records to ask for.
    pub replacement: String,
}

/// Records, and how long they are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// None where DNS says that there are none.
    pub records: Vec<T>,
    /// The smallest of their times to live.
    pub valid_for: Duration,
}

impl<T> Answer<T> {
    /// DNS says that there are no such records.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            records: Vec::new(),
            valid_for: DNS_TTL_MAX,
        }
    }
}

/// Why a name was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// DNS has answered: there is no such name, or nothing of use behind it.
    #[error("DNS knows no SIP Server of this name")]
    Absent,
    /// DNS has not answered.
    #[error("DNS does not answer: {0}")]
    Unanswered(String),
}

/// Who is asked.
pub trait Questions {
    /// NAPTR records of SIP services over a transport that we know.
    fn naptr(&self, name: &str) -> impl Future<Output = Result<Answer<Naptr>, Failure>> + Send;
    /// SRV records.
    fn srv(&self, name: &str) -> impl Future<Output = Result<Answer<Srv>, Failure>> + Send;
    /// Addresses of our family.
    fn addresses(&self, name: &str)
    -> impl Future<Output = Result<Answer<IpAddr>, Failure>> + Send;
}

/// How a name is looked up.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The transport, where the configuration says one.
    pub transport: Option<SipTransport>,
    /// Those we listen on, the preferred first: SIP Server must be able to call back.
    pub possible: Vec<SipTransport>,
    /// For the choice by weight.
    pub seed: u64,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order in which they are tried.
    pub servers: Vec<(SipTransport, SocketAddr)>,
    /// When to ask again.
    pub valid_for: Duration,
    /// Not every question was answered: there may be more.
    pub incomplete: Option<Failure>,
}

/// Looks a name up: NAPTR chooses the transport where nobody else has, SRV names hosts and ports, and hosts have addresses.
///
/// # Errors
///
/// When nothing was found. A question without answer is never taken for an answer: a lost NAPTR must not move everybody to another
/// transport.
pub async fn locate<Q: Questions>(
    dns: &Q,
    name: &ServerName,
    wish: &Wish,
) -> Result<Found, Failure> {
    let mut search = Search {
        dns,
        found: Found {
            servers: Vec::new(),
            valid_for: DNS_TTL_MAX,
            incomplete: None,
        },
    };
    let plain = wish.transport.unwrap_or(SipTransport::Udp);
    if let Some(port) = name.port {
        search.host(&name.host, port, plain).await?;
        return search.result();
    }
    for (transport, service) in search.services(&name.host, wish).await? {
        if search.service(&service, transport, wish.seed).await? {
            return search.result();
        }
    }
    let listens = wish.possible.contains(&plain);
    let plain = match wish.possible.first() {
        Some(first) if wish.transport.is_none() && !listens => *first,
        _ => plain,
    };
    let port = default_port(plain);
    search.host(&name.host, port, plain).await?;
    search.result()
}

/// The port that a name without one means (RFC 3261 section 19.1.2).
fn default_port(transport: SipTransport) -> u16 {
    crate::assemble::transport(transport).default_port()
}

/// The owner of the SRV records of SIP at a domain.
fn service_name(transport: SipTransport, domain: &str) -> String {
    match transport {
        SipTransport::Udp => format!("_sip._udp.{domain}"),
        SipTransport::Tcp => format!("_sip._tcp.{domain}"),
        SipTransport::Tls => format!("_sips._tcp.{domain}"),
    }
}

struct Search<'a, Q> {
    dns: &'a Q,
    found: Found,
}

impl<Q: Questions> Search<'_, Q> {
    fn result(self) -> Result<Found, Failure> {
        match (self.found.servers.is_empty(), &self.found.incomplete) {
            (false, _) => Ok(self.found),
            (true, Some(failure)) => Err(failure.clone()),
            (true, None) => Err(Failure::Absent),
        }
    }

    /// The services to try in turn (RFC 3263 section 4.1).
    async fn services(
        &mut self,
        domain: &str,
        wish: &Wish,
    ) -> Result<Vec<(SipTransport, String)>, Failure> {
        if let Some(transport) = wish.transport {
            return Ok(vec![(transport, service_name(transport, domain))]);
        }
        let mut answer = self.dns.naptr(domain).await?;
        answer
            .records
            .retain(|record| wish.possible.contains(&record.transport));
        if answer.records.is_empty() {
            let possible = wish.possible.iter();
            return Ok(possible
                .map(|transport| (*transport, service_name(*transport, domain)))
                .collect());
        }
        self.note(answer.valid_for);
        answer
            .records
            .sort_by_key(|record| (record.order, record.preference));
        let services = answer.records.into_iter().take(DNS_RECORDS_MAX);
        Ok(services
            .map(|record| (record.transport, record.replacement))
            .collect())
    }

    /// The hosts of a service. Whether there are any.
    async fn service(
        &mut self,
        service: &str,
        transport: SipTransport,
        seed: u64,
    ) -> Result<bool, Failure> {
        let answer = self.dns.srv(service).await?;
        if answer.records.is_empty() {
            return Ok(false);
        }
        self.note(answer.valid_for);
        for record in order(answer.records, seed)
            .into_iter()
            .take(DNS_RECORDS_MAX)
        {
            if let Err(failure) = self.host(&record.target, record.port, transport).await {
                // The other hosts are as good as they were.
                self.found.incomplete = Some(failure);
            }
        }
        Ok(!self.found.servers.is_empty() || self.found.incomplete.is_some())
    }

    async fn host(
        &mut self,
        host: &str,
        port: u16,
        transport: SipTransport,
    ) -> Result<(), Failure> {
        let answer = self.dns.addresses(host).await?;
        self.note(answer.valid_for);
        for ip in answer.records.into_iter().take(DNS_RECORDS_MAX) {
            let server = (transport, SocketAddr::new(ip, port));
            let usable = port > 0 && !ip.is_unspecified() && !ip.is_multicast();
            if usable && !self.found.servers.contains(&server) {
                self.found.servers.push(server);
            }
        }
        Ok(())
    }

    fn note(&mut self, valid_for: Duration) {
        self.found.valid_for = self.found.valid_for.min(valid_for);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    /// A zone without network; what is not in it does not exist.
    #[derive(Default)]
    struct Zone {
        naptr: Vec<Naptr>,
        srv: BTreeMap<String, Vec<Srv>>,
        hosts: BTreeMap<String, &'static str>,
        /// Questions for these stay without answer.
        silent: Vec<&'static str>,
    }

    impl Zone {
        fn answer<T>(&self, name: &str, records: Vec<T>) -> Result<Answer<T>, Failure> {
            if self.silent.contains(&name) {
                return Err(Failure::Unanswered("in this test".to_owned()));
            }
            let valid_for = Duration::from_secs(name.len() as u64);
            Ok(Answer { records, valid_for })
        }
    }

    impl Questions for Zone {
        async fn naptr(&self, name: &str) -> Result<Answer<Naptr>, Failure> {
            self.answer(name, self.naptr.clone())
        }

        async fn srv(&self, name: &str) -> Result<Answer<Srv>, Failure> {
            self.answer(name, self.srv.get(name).cloned().unwrap_or_default())
        }

        async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, Failure> {
            let host = self.hosts.get(name).map(|ip| ip.parse().unwrap());
            self.answer(name, host.into_iter().collect())
        }
    }

    fn srv(target: &str, port: u16) -> Srv {
        Srv {
            priority: 0,
            weight: 0,
            port,
            target: target.to_owned(),
        }
    }

    fn zone() -> Zone {
        let mut zone = Zone::default();
        zone.hosts.insert("x.org".to_owned(), "192.0.2.1");
        zone.hosts.insert("a.x.org".to_owned(), "192.0.2.2");
        zone.hosts.insert("b.x.org".to_owned(), "192.0.2.3");
        zone
    }

    fn ask(zone: &Zone, port: Option<u16>, wish: &Wish) -> Result<Found, Failure> {
        let host = "x.org".to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(locate(zone, &ServerName { host, port }, wish))
    }

    fn wish(transport: Option<SipTransport>, possible: &[SipTransport]) -> Wish {
        Wish {
            transport,
            possible: possible.to_vec(),
            seed: 7,
        }
    }

    fn servers(found: &Result<Found, Failure>) -> Vec<String> {
        let found = found.as_ref().unwrap();
        let all = found.servers.iter();
        all.map(|(transport, at)| format!("{} {at}", transport.as_str()))
            .collect()
    }

    use SipTransport::{Tcp, Tls, Udp};

    #[test]
    fn a_port_asks_for_addresses_only() {
        let mut zone = zone();
        zone.srv
            .insert("_sip._udp.x.org".to_owned(), vec![srv("a.x.org", 5060)]);
        let found = ask(&zone, Some(5070), &wish(None, &[Udp]));
        assert_eq!(servers(&found), ["udp 192.0.2.1:5070"]);
    }

    #[test]
    fn a_transport_that_is_set_asks_for_its_service_only() {
        let mut zone = zone();
        zone.srv
            .insert("_sip._udp.x.org".to_owned(), vec![srv("a.x.org", 5060)]);
        zone.srv
            .insert("_sip._tcp.x.org".to_owned(), vec![srv("b.x.org", 5080)]);
        let found = ask(&zone, None, &wish(Some(Tcp), &[Udp, Tcp]));
        assert_eq!(servers(&found), ["tcp 192.0.2.3:5080"]);
        // Neither NAPTR nor SRV: the domain is a host at the port that everybody means.
        let found = ask(&zone, None, &wish(Some(Tls), &[Tls]));
        assert_eq!(servers(&found), ["tls 192.0.2.1:5061"]);
    }

    #[test]
    fn without_naptr_the_first_listener_with_a_service_is_taken() {
        let mut zone = zone();
        zone.srv
            .insert("_sip._udp.x.org".to_owned(), vec![srv("a.x.org", 5060)]);
        zone.srv
            .insert("_sip._tcp.x.org".to_owned(), vec![srv("b.x.org", 5060)]);
        let found = ask(&zone, None, &wish(None, &[Tcp, Udp]));
        assert_eq!(servers(&found), ["tcp 192.0.2.3:5060"]);
        zone.srv.clear();
        assert_eq!(
            servers(&ask(&zone, None, &wish(None, &[Tcp, Udp]))),
            ["udp 192.0.2.1:5060"]
        );
        assert_eq!(
            servers(&ask(&zone, None, &wish(None, &[Tcp]))),
            ["tcp 192.0.2.1:5060"]
        );
    }

    #[test]
    fn naptr_chooses_among_the_transports_we_listen_on() {
        let mut zone = zone();
        let rule = |order, preference, transport, replacement: &str| Naptr {
            order,
            preference,
            transport,
            replacement: replacement.to_owned(),
        };
        zone.naptr = vec![
            rule(2, 1, Udp, "u.x.org"),
            rule(1, 2, Tcp, "t.x.org"),
            rule(1, 1, Tls, "s.x.org"),
        ];
        for (service, host) in [
            ("u.x.org", "a.x.org"),
            ("t.x.org", "b.x.org"),
            ("s.x.org", "x.org"),
        ] {
            zone.srv.insert(service.to_owned(), vec![srv(host, 5060)]);
        }
        let first = |possible: &[SipTransport]| servers(&ask(&zone, None, &wish(None, possible)));
        assert_eq!(first(&[Udp, Tcp, Tls]), ["tls 192.0.2.1:5060"]);
        assert_eq!(first(&[Udp, Tcp]), ["tcp 192.0.2.3:5060"]);
        assert_eq!(first(&[Udp]), ["udp 192.0.2.2:5060"]);
    }

    /// One lost answer must not move ten thousand DNs to another transport or another server.
    #[test]
    fn silence_is_no_answer() {
        let mut zone = zone();
        zone.silent = vec!["x.org"];
        zone.srv
            .insert("_sip._udp.x.org".to_owned(), vec![srv("a.x.org", 5060)]);
        let unanswered = ask(&zone, None, &wish(None, &[Udp]));
        assert!(matches!(unanswered, Err(Failure::Unanswered(_))));

        zone.silent = vec!["a.x.org"];
        let two = vec![srv("a.x.org", 5060), srv("b.x.org", 5060)];
        zone.srv.insert("_sip._udp.x.org".to_owned(), two);
        let found = ask(&zone, None, &wish(Some(Udp), &[Udp]));
        assert_eq!(servers(&found), ["udp 192.0.2.3:5060"]);
        assert!(found.unwrap().incomplete.is_some(), "there is more to know");
    }

    #[test]
    fn the_shortest_life_of_all_records_counts() {
        let mut zone = zone();
        zone.srv
            .insert("_sip._udp.x.org".to_owned(), vec![srv("a.x.org", 5060)]);
        let found = ask(&zone, None, &wish(Some(Udp), &[Udp])).unwrap();
        assert_eq!(
            found.valid_for,
            Duration::from_secs(7),
            "that of the address"
        );
        zone.hosts.clear();
        assert_eq!(
            ask(&zone, None, &wish(Some(Udp), &[Udp])),
            Err(Failure::Absent)
        );
    }
}
