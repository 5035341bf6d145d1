//! Two sites of Business Continuity: where each agent's desktop is logged in, and the trunk over which one site hands calls to the other.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;

use super::queue::Event;
use super::servers::ServerId;
use super::site::Layout;
use super::{Step, World};
use crate::tserver::{Control, Input, Request, TrunkCall};

/// How long a call takes over the trunk.
const TRUNK_MS: std::ops::Range<u64> = 5..80;

/// The SIP Server at which each DN's agent is logged in.
#[derive(Debug, Default)]
pub(super) struct Logins(BTreeMap<String, ServerId>);

impl World {
    fn has_peers(&self) -> bool {
        self.site.layout == Layout::Continuity
    }

    /// The desktops of all agents log in, at one site or the other.
    pub(super) fn desktops_log_in(&mut self) -> Step {
        let dns = if self.has_peers() {
            self.site.dns()
        } else {
            Vec::new()
        };
        for dn in dns {
            let server = self.any_server();
            self.log_in(&dn, server)?;
        }
        Ok(())
    }

    /// An agent's desktop goes to the other site, as it does when its own is lost or by hand.
    pub(super) fn desktop_moves(&mut self) -> Step {
        if !self.has_peers() {
            return Ok(());
        }
        let (dn, server) = (self.any_dn(), self.any_server());
        self.log_in(&dn, server)
    }

    /// An agent is ready for calls, or not, as her desktop says.
    pub(super) fn agent_pauses(&mut self) -> Step {
        let (dn, server, on) = (self.any_dn(), self.any_server(), self.rng.random_bool(0.7));
        if self.is_asleep(server) {
            return Ok(());
        }
        self.note(|| format!("{dn} is ready at SIP Server {}: {on}", server.0));
        self.server_handles(server, Input::Control(Control::AgentReady { dn, on }))
    }

    fn log_in(&mut self, dn: &str, server: ServerId) -> Step {
        if self.server(server).health.dead {
            return Ok(());
        }
        let former = self.logins.0.insert(dn.to_owned(), server);
        let login = |on| Control::AgentLogin {
            dn: dn.to_owned(),
            on,
        };
        if let Some(former) = former.filter(|former| *former != server) {
            self.server_handles(former, Input::Control(login(false)))?;
        }
        self.note(|| format!("{dn} is logged in at SIP Server {}", server.0));
        self.server_handles(server, Input::Control(login(true)))
    }

    /// A site is dead: its desktops log in at the other one.
    pub(super) fn desktops_leave(&mut self, dead: ServerId) -> Step {
        let there: Vec<String> = self
            .logins
            .0
            .iter()
            .filter(|(_, server)| **server == dead)
            .map(|(dn, _)| dn.clone())
            .collect();
        for dn in there {
            self.log_in(&dn, ServerId(1 - dead.0))?;
        }
        Ok(())
    }

    /// A SIP Server that has restarted knows of nobody who is logged in; the desktops there log in again.
    pub(super) fn desktops_return(&mut self, restarted: ServerId) -> Step {
        let there = |(dn, server): (&String, &ServerId)| (*server == restarted).then(|| dn.clone());
        let there: Vec<String> = self.logins.0.iter().filter_map(there).collect();
        for dn in there {
            self.log_in(&dn, restarted)?;
        }
        Ok(())
    }

    /// A site does not serve the DN of a call and hands it to its peer.
    pub(super) fn forward(&mut self, from: ServerId, call: TrunkCall) {
        self.note(|| format!("SIP Server {} hands over {call:?}", from.0));
        self.report.forwarded += 1;
        let server = ServerId(1 - from.0);
        let delay = Duration::from_millis(self.rng.random_range(TRUNK_MS));
        self.queue
            .at(self.now + delay, Event::Forwarded { server, call });
    }

    /// A call comes over the trunk; a site that is dead takes none.
    pub(super) fn forwarded(&mut self, server: ServerId, call: TrunkCall) -> Step {
        let health = &self.server(server).health;
        if health.dead || health.hangs_until.is_some() {
            return Ok(());
        }
        self.server_handles(server, Input::Request(Request::TrunkCall(call)))
    }
}
