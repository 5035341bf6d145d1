//! What nearly every test starts with: an agent signed in, and a customer at the far end.

use serde_json::{Value, json};

use crate::gateway::PAGE_HZ;
use crate::sipp::SippOptions;
use crate::{ControlGroup, Customer, Gateway, Page, Registrar, Site};

/// A gateway that is registered at a registrar, the page of DN 1002 and a customer with a telephone.
#[derive(Debug)]
pub struct Desk {
    /// The agent's page.
    pub page: Page,
    /// The far end of the media.
    pub customer: Customer,
    /// The process under test.
    pub gateway: Gateway,
    /// The registrar, on SIP Server's own port.
    pub registrar: Registrar,
    /// The addresses.
    pub site: Site,
}

impl Desk {
    /// Everything up, the leg warm, the DN registered.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with changes to the configuration.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn start_with(change: impl FnOnce(&mut Value)) -> Self {
        let site = Site::new();
        let registrar = Registrar::start(site.server_sip())
            .await
            .expect("the port is ours");
        Self::start_at(site, registrar, |_, config| change(config)).await
    }

    /// The same at addresses of the test's own.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn start_at(
        site: Site,
        registrar: Registrar,
        change: impl FnOnce(&Site, &mut Value),
    ) -> Self {
        let gateway = Gateway::start_with(&site, |config| change(&site, config)).await;
        Self::with(gateway, site, registrar).await
    }

    /// The same in a control group of the test's own, where too much to do is a reason to refuse calls.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn start_in(group: &ControlGroup) -> Self {
        let site = Site::new();
        let registrar = Registrar::start(site.server_sip())
            .await
            .expect("the port is ours");
        let gateway = Gateway::start_in(group, &site, |config| {
            config["limits"] = json!({"media_late_percent": 100});
        });
        Self::with(gateway.await, site, registrar).await
    }

    async fn with(gateway: Gateway, site: Site, registrar: Registrar) -> Self {
        let page = Page::sign_in(&gateway, "1002").await;
        let customer = Customer::start(site.media()).await;
        Self {
            page,
            customer,
            gateway,
            registrar,
            site,
        }
    }

    /// A call of this customer to DN 1002 by a scenario.
    pub fn calling(&self, scenario: &str) -> SippOptions {
        SippOptions::calling(&self.site, scenario).media(self.customer.address())
    }

    /// Agent and customer hear each other.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn both_hear(&self) {
        self.customer.hears(PAGE_HZ).await;
        self.page.hears(crate::customer::CUSTOMER_HZ).await;
    }

    /// Neither hears anything.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn neither_hears(&self) {
        self.customer.hears_nothing().await;
        self.page.hears_nothing().await;
    }

    /// The newest call has ended by `cause`, and nothing of it is left.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn ended(&self, cause: &str) {
        let call = self.page.call_in("ended").await;
        assert_eq!(call["end"]["cause"], cause, "{call}");
        self.gateway
            .metric_is("talkbridge_calls_active", "", 0.0)
            .await;
    }
}
