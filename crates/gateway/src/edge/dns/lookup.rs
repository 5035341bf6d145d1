//! The questions of [`super::locate`], asked over the network.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::NAPTR;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::locate::{Answer, Failure, Naptr, Questions};
use super::order::Srv;
use crate::config::{DnsServer, SipTransport};
use crate::limits::{DNS_ANSWER_WITHIN, DNS_TRIES};

/// Asks DNS servers.
pub(super) struct Network {
    resolver: TokioResolver,
    ipv4: bool,
}

impl Network {
    /// Asks `servers`, or those of the operating system where none is named, for addresses of one family. Nothing is kept between two
    /// questions: what a name means is asked when it is needed.
    ///
    /// # Errors
    ///
    /// When the operating system names no servers.
    pub(super) fn new(servers: &[DnsServer], ipv4: bool) -> Result<Self, Failure> {
        let unanswered = |error: NetError| Failure::Unanswered(error.to_string());
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(unanswered)?
        } else {
            let servers = servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = DNS_ANSWER_WITHIN;
        options.attempts = DNS_TRIES;
        options.cache_size = 0;
        let resolver = builder.build().map_err(unanswered)?;
        Ok(Self { resolver, ipv4 })
    }

    async fn ask<T>(
        &self,
        name: &str,
        of: RecordType,
        take: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, Failure> {
        // A name with a dot is whole: the search list of the operating system must not lead it elsewhere.
        let name = match name.contains('.') {
            true => format!("{name}."),
            false => name.to_owned(),
        };
        match self.resolver.lookup(name, of).await {
            Ok(lookup) => Ok(answer(&lookup, take)),
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Ok(Answer::nothing()),
            Err(NetError::Dns(DnsError::ResponseCode(ResponseCode::NotImp))) => {
                Ok(Answer::nothing())
            }
            Err(error) => Err(Failure::Unanswered(error.to_string())),
        }
    }
}

fn name_server(server: &DnsServer) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.0.ip());
    for connection in &mut config.connections {
        connection.port = server.0.port();
    }
    config
}

/// The records that can be used, and the smallest time to live of all that led to them.
fn answer<T>(lookup: &Lookup, take: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let ttl = lookup.answers().iter().map(|record| record.ttl).min();
    Answer {
        records: lookup
            .answers()
            .iter()
            .filter_map(|record| take(&record.data))
            .collect(),
        valid_for: Duration::from_secs(ttl.unwrap_or_default().into()),
    }
}

impl Questions for Network {
    async fn naptr(&self, name: &str) -> Result<Answer<Naptr>, Failure> {
        let take = |data: &RData| match data {
            RData::NAPTR(naptr) => sip_service(naptr),
            _ => None,
        };
        self.ask(name, RecordType::NAPTR, take).await
    }

    async fn srv(&self, name: &str) -> Result<Answer<Srv>, Failure> {
        let take = |data: &RData| match data {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: text(&srv.target),
            }),
            _ => None,
        };
        self.ask(name, RecordType::SRV, take).await
    }

    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, Failure> {
        let of = match self.ipv4 {
            true => RecordType::A,
            false => RecordType::AAAA,
        };
        self.ask(name, of, RData::ip_addr).await
    }
}

/// What a NAPTR record says about SIP (RFC 3263 section 4.1); its flag `s` says that SRV records follow.
fn sip_service(naptr: &NAPTR) -> Option<Naptr> {
    let is = |octets: &[u8], text: &str| octets.eq_ignore_ascii_case(text.as_bytes());
    let services = [
        ("SIP+D2U", SipTransport::Udp),
        ("SIP+D2T", SipTransport::Tcp),
        ("SIPS+D2T", SipTransport::Tls),
    ];
    let (_, transport) = services
        .into_iter()
        .find(|(service, _)| is(&naptr.services, service))?;
    let terminal = is(&naptr.flags, "s") && naptr.regexp.is_empty() && !naptr.replacement.is_root();
    terminal.then(|| Naptr {
        order: naptr.order,
        preference: naptr.preference,
        transport,
        replacement: text(&naptr.replacement),
    })
}

fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}
