//! Whether a load balancer should send agents here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use control::ReadyReport;
use control::admin::ReadyCheck;
use sip::ua::SiteId;
use switchboard::{Gauges, Server, WorkerGauge};

/// What is known of the way to SIP Server.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// Since when each SIP Server has not answered a REGISTER; `None` where it answered the last.
    silent: BTreeMap<SocketAddr, Option<Instant>>,
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
    pub(super) fn heard(&mut self, now: Instant, server: SocketAddr, answered: bool) {
        self.silent.insert(server, (!answered).then_some(now));
    }

    /// There are no other SIP Servers than these.
    pub(super) fn keep_only<'a>(&mut self, servers: impl Iterator<Item = (&'a Server, bool)>) {
        let known: Vec<SocketAddr> = servers.map(|(server, _)| server.address).collect();
        self.silent.retain(|server, _| known.contains(server));
    }

    pub(super) fn looked_up(&mut self, site: SiteId, any: bool, problems: Vec<String>) {
        self.names.insert(site, Names { any, problems });
    }

    /// `answered` tells when a server answered last, whatever it was asked: a refresh that changes nothing is no fact.
    pub(super) fn report(
        &self,
        listening: bool,
        gauges: &Gauges,
        answered: impl Fn(SocketAddr) -> Option<Instant>,
    ) -> ReadyReport {
        let is_silent = |(server, since): &(&SocketAddr, &Option<Instant>)| {
            since.is_some_and(|since| answered(**server).is_none_or(|at| at <= since))
        };
        let silent = self.silent.iter().filter(is_silent);
        let silent: Vec<String> = silent.map(|(server, _)| server.to_string()).collect();
        let all_silent = !self.silent.is_empty() && silent.len() == self.silent.len();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use std::time::Duration;

    use super::*;

    /// A load balancer sends agents here again when SIP Server has answered anything at all: whose REGISTER stayed without an answer may never ask again.
    #[test]
    fn any_answer_ends_the_silence() {
        let server = SocketAddr::from(([192, 0, 2, 81], 5060));
        let (lost, moment) = (Instant::now(), Duration::from_millis(1));
        let mut readiness = Readiness::default();
        readiness.heard(lost, server, false);
        let ready = |answered: Option<Instant>| {
            let report = readiness.report(true, &Gauges::default(), |_| answered);
            let check = report.checks.iter().find(|check| check.name == "registrar");
            check.is_some_and(|check| check.ok)
        };
        assert!(!ready(None));
        assert!(!ready(Some(lost)));
        assert!(ready(Some(lost + moment)));
    }
}
