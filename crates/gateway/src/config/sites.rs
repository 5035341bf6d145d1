//! Where DNs are registered: the sites, and when registrations move.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::{ServerAddress, SipListen, SipTransport};
use super::load::Findings;
use super::sections::Sip;
use super::srtp::Srtp;
use super::validate::{at, is_host_port};
use crate::limits::SITES_MAX;

/// One of several sites at which each DN is registered at the same time (Business Continuity). `[sip] servers` stays away then.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SipSite {
    /// Its name on pages, in logs and in the administration interface.
    pub name: String,
    /// The site's SIP Servers in order of preference, as in `[sip]`; one of them at a time holds the registrations.
    pub servers: Vec<ServerAddress>,
    /// How requests of ours travel to it. `transport` of `[sip]` unless set.
    #[serde(default)]
    pub transport: Option<SipTransport>,
    /// Whether the audio of calls with this site is secured: `off`, `optional` or `required`. `srtp` of `[media]` unless set.
    #[serde(default)]
    pub srtp: Option<Srtp>,
    /// Host, with an optional port, of the addresses of record there. `domain` of `[sip]`, else the server's entry, unless set.
    #[serde(default)]
    pub domain: Option<String>,
}

/// What happens when a preferred SIP Server is back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failback {
    /// Registrations go back to it.
    #[default]
    Auto,
    /// They stay where they are until that server fails.
    Stay,
}

/// One list of SIP Servers of which one at a time holds the registrations.
#[derive(Debug, Clone, Copy)]
pub struct ServerList<'a> {
    /// The site's name; `None` for `[sip] servers`.
    pub name: Option<&'a str>,
    /// In order of preference.
    pub servers: &'a [ServerAddress],
    /// How requests travel, where that is set.
    pub transport: Option<SipTransport>,
    /// Host of the addresses of record, where that is set.
    pub domain: Option<&'a str>,
}

impl Sip {
    /// The sites in order of preference: those of `[[sip.sites]]`, or one without a name.
    #[must_use]
    pub fn lists(&self) -> Vec<ServerList<'_>> {
        let domain = self.domain.as_deref();
        if self.sites.is_empty() {
            return vec![ServerList {
                name: None,
                servers: &self.servers,
                transport: self.transport,
                domain,
            }];
        }
        let sites = self.sites.iter();
        sites
            .map(|site| ServerList {
                name: Some(&site.name),
                servers: &site.servers,
                transport: site.transport.or(self.transport),
                domain: site.domain.as_deref().or(domain),
            })
            .collect()
    }

    /// The addresses that are written in the file, of every site.
    pub fn written_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let of_sites = self.sites.iter().flat_map(|site| &site.servers);
        let all = self.servers.iter().chain(of_sites);
        all.filter_map(|server| match server {
            ServerAddress::Address(address) => Some(*address),
            ServerAddress::Name(_) => None,
        })
    }
}

impl ServerList<'_> {
    /// The transport of a server whose name does not say one.
    #[must_use]
    pub fn plain_transport(&self) -> SipTransport {
        self.transport.unwrap_or(SipTransport::Udp)
    }

    /// Whether DNS alone chooses the transport, so that any listener will do.
    fn is_open(&self) -> bool {
        let domain = |server: &ServerAddress| matches!(server, ServerAddress::Name(name) if name.port.is_none());
        self.transport.is_none() && self.servers.iter().all(domain)
    }
}

pub(super) fn validate(sip: &Sip, findings: &mut Findings<'_>) {
    match (sip.servers.is_empty(), sip.sites.is_empty()) {
        (true, true) => {
            findings.error(&at(&["sip", "servers"]), "expected at least one SIP Server")
        }
        (false, false) => findings.error(
            &at(&["sip", "servers"]),
            "expected `servers` or `[[sip.sites]]`, found both",
        ),
        _ => {}
    }
    for (index, list) in sip.lists().iter().enumerate() {
        let transport = list.plain_transport();
        let listens = |listen: &SipListen| listen.transport == transport;
        if list.is_open() || sip.listen.iter().any(listens) {
            continue;
        }
        let own = sip
            .sites
            .get(index)
            .is_some_and(|site| site.transport.is_some());
        let path = match own {
            true => vec![
                "sip".into(),
                "sites".into(),
                index.into(),
                "transport".into(),
            ],
            false => vec!["sip".into(), "transport".into()],
        };
        let transport = transport.as_str();
        findings.error(
            &path,
            format!(
                "expected a `{transport}:` address in `listen`: SIP Server connects to the transport we register with"
            ),
        );
    }
    for (index, server) in sip.servers.iter().enumerate() {
        let path = ["sip".into(), "servers".into(), index.into()];
        address(sip, server, &path, findings);
    }
    for (index, site) in sip.sites.iter().enumerate() {
        let key = |key: &'static str| ["sip".into(), "sites".into(), index.into(), key.into()];
        let earlier = &sip.sites[..index];
        if site.name.trim().is_empty() || earlier.iter().any(|other| other.name == site.name) {
            findings.error(&key("name"), "expected a name that no other site has");
        }
        if index == SITES_MAX {
            findings.error(&key("name"), format!("expected at most {SITES_MAX} sites"));
        }
        if site.servers.is_empty() {
            findings.error(&key("servers"), "expected at least one SIP Server");
        }
        for server in &site.servers {
            address(sip, server, &key("servers"), findings);
            if earlier
                .iter()
                .any(|other| other.servers.iter().any(|theirs| theirs == server))
            {
                let message =
                    format!("expected each SIP Server at one site, found `{server}` again");
                findings.error(&key("servers"), message);
            }
        }
        let wrong = |domain: &str| !is_host_port(domain);
        if site.domain.as_deref().is_some_and(wrong) {
            findings.error(&key("domain"), "expected a host with an optional port");
        }
    }
}

fn address(
    sip: &Sip,
    server: &ServerAddress,
    path: &[super::locate::Step<'_>],
    findings: &mut Findings<'_>,
) {
    let ServerAddress::Address(address) = server else {
        return;
    };
    if address.ip().is_unspecified() || address.port() == 0 {
        findings.error(
            path,
            format!("expected a SIP Server's address, found `{server}`"),
        );
    }
    if address.ip().is_ipv4() != sip.advertise.is_ipv4() {
        findings.error(path, "expected the address family of `advertise`");
    }
}
