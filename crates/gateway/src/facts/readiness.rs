//! Whether a load balancer should send agents here.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use control::ReadyReport;
use control::admin::ReadyCheck;
use sip::ua::SiteId;
use switchboard::{Gauges, Server, WorkerGauge};

/// What is known of the way to SIP Server.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// Whether each SIP Server answered the last time a REGISTER was sent there.
    reachable: BTreeMap<SocketAddr, bool>,
    /// The sites with names.
    names: BTreeMap<SiteId, Names>,
}

#[derive(Debug)]
struct Names {
    /// A server is known, from DNS or from the configuration.
    any: bool,
    /// What could not be looked up, and why.
    problems: Vec<String>,
}

impl Readiness {
    /// A REGISTER was sent to `server`, and answered or not.
    pub(super) fn heard(&mut self, server: SocketAddr, answered: bool) {
        self.reachable.insert(server, answered);
    }

    /// There are no other SIP Servers than these.
    pub(super) fn keep_only<'a>(&mut self, servers: impl Iterator<Item = (&'a Server, bool)>) {
        let known: Vec<SocketAddr> = servers.map(|(server, _)| server.address).collect();
        self.reachable.retain(|server, _| known.contains(server));
    }

    pub(super) fn looked_up(&mut self, site: SiteId, any: bool, problems: Vec<String>) {
        self.names.insert(site, Names { any, problems });
    }

    pub(super) fn report(&self, listening: bool, gauges: &Gauges) -> ReadyReport {
        let silent: Vec<String> = self
            .reachable
            .iter()
            .filter(|(_, reachable)| !**reachable)
            .map(|(server, _)| server.to_string())
            .collect();
        let all_silent = !self.reachable.is_empty() && silent.len() == self.reachable.len();
        let sip = ReadyCheck {
            name: "sip_socket".to_owned(),
            ok: listening,
            detail: (!listening).then(|| "a SIP socket is no longer read".to_owned()),
        };
        let registrar = ReadyCheck {
            name: "registrar".to_owned(),
            ok: !all_silent,
            detail: (!silent.is_empty()).then(|| format!("no answer from {}", silent.join(", "))),
        };
        let drain = ReadyCheck {
            name: "not_draining".to_owned(),
            ok: !gauges.draining,
            detail: gauges.draining.then(|| "new calls are refused".to_owned()),
        };
        let mut checks = vec![sip, registrar, drain, media(&gauges.workers)];
        checks.extend(self.names());
        ReadyReport {
            ready: checks.iter().all(|check| check.ok),
            checks,
        }
    }

    /// Absent where every SIP Server is written as an address. A name that cannot be looked up while its servers are known is worth a
    /// word, and no reason to send agents elsewhere.
    fn names(&self) -> Option<ReadyCheck> {
        let problems: Vec<&str> = self
            .names
            .values()
            .flat_map(|names| names.problems.iter().map(String::as_str))
            .collect();
        (!self.names.is_empty()).then(|| ReadyCheck {
            name: "sip_server_names".to_owned(),
            ok: self.names.values().all(|names| names.any),
            detail: (!problems.is_empty()).then(|| problems.join("; ")),
        })
    }
}

/// One worker that has too much to do is worth a word; agents who come now get another one.
fn media(workers: &[WorkerGauge]) -> ReadyCheck {
    let of = workers.len();
    let which = |shut: fn(&WorkerGauge) -> bool| -> Option<String> {
        let indices = workers.iter().enumerate();
        let shut = indices.filter(|(_, worker)| shut(worker));
        let names: Vec<String> = shut.map(|(index, _)| index.to_string()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let busy = which(|worker| worker.overloaded && !worker.silent).map(|which| {
        format!("calls are refused at media workers {which} of {of}, which have too much to do")
    });
    let silent = which(|worker| worker.silent)
        .map(|which| format!("calls are refused at media workers {which} of {of}, which hang"));
    let details: Vec<String> = busy.into_iter().chain(silent).collect();
    ReadyCheck {
        name: "media_capacity".to_owned(),
        ok: workers.is_empty() || workers.iter().any(WorkerGauge::is_open),
        detail: (!details.is_empty()).then(|| details.join("; ")),
    }
}
