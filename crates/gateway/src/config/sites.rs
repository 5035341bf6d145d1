//! Where DNs are registered: the sites, and when registrations move.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::{ServerAddress, SipTransport};
use super::load::Findings;
use super::sections::Sip;
use super::validate::{at, is_host_port};
use crate::limits::SITES_MAX;

/// One of several sites at which each DN is registered at the same time (Business Continuity). `[sip] servers` stays away then.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SipSite {
    /// Its name on pages, in logs and in the administration interface.
    pub name: String,
    /// The site's SIP Servers in order of preference, as `IP:port`; one of them at a time holds the registrations.
    pub servers: Vec<ServerAddress>,
    /// How requests of ours travel to it. `transport` of `[sip]` unless set.
    #[serde(default)]
    pub transport: Option<SipTransport>,
    /// Host, with an optional port, of the addresses of record there. `domain` of `[sip]`, else the server's address, unless set.
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

impl Sip {
    /// Every SIP Server of every site.
    pub fn all_servers(&self) -> impl Iterator<Item = SocketAddr> {
        let of_sites = self.sites.iter().flat_map(|site| &site.servers);
        self.servers.iter().chain(of_sites).map(|server| server.0)
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
    for (index, server) in sip.servers.iter().enumerate() {
        let path = ["sip".into(), "servers".into(), index.into()];
        address(sip, *server, &path, findings);
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
            address(sip, *server, &key("servers"), findings);
            if earlier
                .iter()
                .any(|other| other.servers.iter().any(|theirs| theirs.0 == server.0))
            {
                let message =
                    format!("expected each SIP Server at one site, found `{server}` again");
                findings.error(&key("servers"), message);
            }
        }
        let transport = site.transport.unwrap_or(sip.transport);
        if !sip
            .listen
            .iter()
            .any(|listen| listen.transport == transport)
        {
            let message = format!("expected a `{}:` address in `listen`", transport.as_str());
            findings.error(&key("transport"), message);
        }
        let wrong = |domain: &str| !is_host_port(domain);
        if site.domain.as_deref().is_some_and(wrong) {
            findings.error(&key("domain"), "expected a host with an optional port");
        }
    }
}

fn address(
    sip: &Sip,
    server: ServerAddress,
    path: &[super::locate::Step<'_>],
    findings: &mut Findings<'_>,
) {
    if server.0.ip().is_unspecified() || server.0.port() == 0 {
        findings.error(
            path,
            format!("expected a SIP Server's address, found `{server}`"),
        );
    }
    if server.0.ip().is_ipv4() != sip.advertise.is_ipv4() {
        findings.error(path, "expected the address family of `advertise`");
    }
}
