//! What an attack must not harm: a call that is up, an agent who signs in meanwhile, and the memory of the process.

use std::net::SocketAddr;

use serde_json::json;

use super::{Dialog, SipPeer};
use crate::customer::CUSTOMER_HZ;
use crate::gateway::PAGE_HZ;
use crate::load::vitals;
use crate::{Customer, Desk, Page, Registrar, Site, eventually};

/// Calls beside the first one where there are several, and the first DN of theirs.
const NEIGHBOURS: u32 = 4;
const FIRST_NEIGHBOUR: u32 = 1010;

/// How long a registration lives where it has to be refreshed while the attack goes on: after 10 s at the latest.
const SHORT_LIFE_S: u32 = 15;

/// Another agent with a call of her own.
#[derive(Debug)]
struct Neighbour {
    page: Page,
    customer: Customer,
    call: Dialog,
}

/// A gateway with a call that is heard both ways, or several.
#[derive(Debug)]
pub struct Besieged {
    /// Gateway, page and customer.
    pub desk: Desk,
    /// SIP Server as the call's peer.
    pub server: SipPeer,
    call: Dialog,
    neighbours: Vec<Neighbour>,
    /// REGISTERs of each DN with a call when the attack began.
    registrations: Vec<(String, usize)>,
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
        Self::start_on(site, registrar.expect("the port is ours"), change).await
    }

    async fn start_on(
        site: Site,
        registrar: Registrar,
        change: impl FnOnce(&Site, &mut serde_json::Value),
    ) -> Self {
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
            neighbours: Vec::new(),
            registrations: Vec::new(),
            resident_kib: 0,
        };
        besieged.resident_kib = besieged.resident();
        besieged
    }

    /// Five calls at five agents, whose registrations have to be refreshed every ten seconds.
    ///
    /// # Panics
    /// When they do not come up.
    pub async fn start_among_others() -> Self {
        let dns: Vec<String> = (0..NEIGHBOURS)
            .map(|nth| (FIRST_NEIGHBOUR + nth).to_string())
            .collect();
        let site = Site::new();
        let registrar = Registrar::start(site.server_sip()).await;
        let registrar = registrar.expect("the port is ours");
        registrar.grants(SHORT_LIFE_S);
        let mut besieged = Self::start_on(site, registrar, |_, config| {
            let agents = config["agents"].as_array_mut();
            let agents = agents.expect("the usual configuration has some");
            agents.extend(dns.iter().map(|dn| json!({"dn": dn})));
        })
        .await;
        let desk = &besieged.desk;
        for dn in dns {
            let page = Page::sign_in(&desk.gateway, &dn).await;
            let customer = Customer::start(desk.site.media()).await;
            let call = besieged.server.talks(&dn, customer.address()).await;
            besieged.neighbours.push(Neighbour {
                page,
                customer,
                call,
            });
        }
        besieged.is_heard().await;
        besieged.registrations = besieged.registrations_of_calls();
        besieged.resident_kib = besieged.resident();
        besieged
    }

    fn registrations_of_calls(&self) -> Vec<(String, usize)> {
        let others = self.neighbours.iter().map(|other| other.call.dn.clone());
        let dns = others.chain([self.call.dn.clone()]);
        dns.map(|dn| {
            let count = self.desk.registrar.registrations(&dn);
            (dn, count)
        })
        .collect()
    }

    /// Whether each DN with a call has refreshed its registration since the attack began.
    pub fn has_refreshed(&self) -> bool {
        let now = self.registrations_of_calls();
        let both = now.iter().zip(&self.registrations);
        both.into_iter().all(|((_, now), (_, then))| now > then)
    }

    /// No registration has ended because its refresh came too late, and none was reported as failed.
    ///
    /// # Panics
    /// When one was.
    pub fn is_still_registered(&self) {
        assert_eq!(self.desk.registrar.lapsed(), [""; 0]);
        let others = self.neighbours.iter().map(|other| &other.page);
        for page in others.chain([&self.desk.page]) {
            assert_eq!(page.registration().as_deref(), Some("registered"));
        }
    }

    /// How many calls are up.
    pub fn calls(&self) -> usize {
        1 + self.neighbours.len()
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

    /// The call is heard both ways, right now, and so is each beside it.
    ///
    /// # Panics
    /// When one is not.
    pub async fn is_heard(&self) {
        self.desk.both_hear().await;
        for other in &self.neighbours {
            other.customer.hears(PAGE_HZ).await;
            other.page.hears(CUSTOMER_HZ).await;
            let call = other.page.call();
            assert_eq!(call["state"], "talking", "{call}");
        }
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

    /// The calls end as calls do, and nothing is left of them.
    ///
    /// # Panics
    /// When they do not.
    pub async fn ends(mut self) {
        for other in &mut self.neighbours {
            let bye = other.call.request("BYE", "", "");
            assert_eq!(self.server.asks(&bye).await, 200);
            other.page.call_in("ended").await;
        }
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
