//! What an attack must not harm: a call that is up, an agent who signs in meanwhile, and the memory of the process.

use std::net::SocketAddr;

use super::{Dialog, SipPeer};
use crate::load::vitals;
use crate::{Desk, Page, Registrar, Site, eventually};

/// A gateway with a call that is heard both ways.
#[derive(Debug)]
pub struct Besieged {
    /// Gateway, page and customer.
    pub desk: Desk,
    /// SIP Server as the call's peer.
    pub server: SipPeer,
    call: Dialog,
    resident_kib: u64,
}

impl Besieged {
    /// The call is up before the attack begins.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with changes to the configuration.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_with(change: impl FnOnce(&mut serde_json::Value)) -> Self {
        Self::start_at(Site::new(), |_, config| change(config)).await
    }

    /// The same at addresses that the change to the configuration may name.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_at(site: Site, change: impl FnOnce(&Site, &mut serde_json::Value)) -> Self {
        let registrar = Registrar::start(site.server_sip()).await;
        let registrar = registrar.expect("the port is ours");
        let desk = Desk::start_at(site, registrar, |site, config| {
            // What an operator would run: a line for each message is not what is attacked here.
            config["log"]["level"] = "info".into();
            change(site, config);
        })
        .await;
        let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
        let call = server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let mut besieged = Self {
            desk,
            server,
            call,
            resident_kib: 0,
        };
        besieged.resident_kib = besieged.resident();
        besieged
    }

    fn resident(&mut self) -> u64 {
        let pid = self.desk.gateway.process().pid().expect("it runs");
        vitals::resident_kib(pid).expect("it runs")
    }

    /// The customer's address.
    pub fn media(&self) -> SocketAddr {
        self.desk.customer.address()
    }

    /// A copy of the call's identity, for who knows it.
    pub fn call(&self) -> Dialog {
        self.call.clone()
    }

    /// The call is heard both ways, right now.
    ///
    /// # Panics
    /// When it is not.
    pub async fn is_heard(&self) {
        self.desk.both_hear().await;
        let call = self.first_call();
        assert_eq!(call["state"], "talking", "{call}");
    }

    /// Requests within the call, as the desktop's clicks are, are still answered.
    ///
    /// # Panics
    /// When they do not.
    pub async fn is_driven(&mut self) {
        let info = self.call.request("INFO", "", "");
        assert_eq!(self.server.asks(&info).await, 200);
    }

    /// Another agent signs in and is registered.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn admits_another_agent(&self) -> Page {
        let page = Page::start(self.desk.gateway.page("1003"))
            .await
            .expect("the page connects");
        page.ready().await;
        page
    }

    /// The process has not grown by more than `most_mib` since the call came up; returns by how much it has, in MiB.
    ///
    /// # Panics
    /// When it has.
    pub fn has_grown_at_most(&mut self, most_mib: u64) -> u64 {
        let grown_mib = self.resident().saturating_sub(self.resident_kib) / 1024;
        assert!(grown_mib <= most_mib, "it has grown by {grown_mib} MiB");
        grown_mib
    }

    /// The call ends as calls do, and nothing is left of it.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ends(mut self) {
        self.desk.page.hang_up_all_but_first().await;
        self.first_ends().await;
        self.desk
            .gateway
            .metric_is("talkbridge_calls_active", "", 0.0)
            .await;
    }

    /// The call that was up ends as calls do, whatever is left of the attack's own.
    ///
    /// # Panics
    /// When it does not.
    pub async fn first_ends(&mut self) {
        let bye = self.call.request("BYE", "", "");
        assert_eq!(self.server.asks(&bye).await, 200);
        eventually("the call has ended", || {
            self.first_call()["state"] == "ended"
        })
        .await;
        let call = self.first_call();
        assert_eq!(call["end"]["cause"], "remote_hangup", "{call}");
    }

    /// The one that was up before the attack.
    fn first_call(&self) -> serde_json::Value {
        let state = self.desk.page.state();
        state.calls.first().cloned().unwrap_or_default()
    }
}
