//! Calls that the agent dials in the page.

use interop_tests::customer::{ANNOUNCEMENT_HZ, CUSTOMER_HZ};
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Customer, Gateway, Page, Registrar, Sipp, SippOptions, Site, eventually};
use serde_json::{Value, json};

/// An agent of the page, and SIPp as the SIP Server that she dials through.
struct Office {
    page: Page,
    customer: Customer,
    gateway: Gateway,
    site: Site,
}

impl Office {
    async fn open() -> Self {
        Self::open_with(|_, _| {}).await
    }

    /// SIPp is SIP Server later, so the DN is registered by a registrar on the same port.
    async fn open_with(change: impl FnOnce(&Site, &mut Value)) -> Self {
        let site = Site::new();
        let registrar = Registrar::start(site.server_sip()).await.expect("free");
        let gateway = Gateway::start_with(&site, |config| change(&site, config)).await;
        let page = Page::sign_in(&gateway, "1002").await;
        let customer = Customer::start(site.media()).await;
        // The port changes hands: the registration is good for half an hour.
        drop(registrar);
        eventually("the registrar's port is free", || {
            std::net::UdpSocket::bind(site.server_sip()).is_ok()
        })
        .await;
        Self {
            page,
            customer,
            gateway,
            site,
        }
    }

    fn callee(&self, scenario: &str) -> SippOptions {
        SippOptions::registrar(&self.site, scenario).media(self.customer.address())
    }

    /// Starts SIP Server's part and dials.
    async fn dials(&self, callee: SippOptions) -> Sipp {
        let sipp = callee.start();
        let listens = self.site.server_sip();
        eventually("SIPp listens", || {
            std::net::UdpSocket::bind(listens).is_err()
        })
        .await;
        let number = json!({"type": "dial", "number": "1003"});
        let reply = self.page.request(number).await;
        assert_eq!(reply["type"], "ok", "{reply}");
        sipp
    }

    async fn both_hear(&self) {
        self.customer.hears(PAGE_HZ).await;
        self.page.hears(CUSTOMER_HZ).await;
    }

    /// The call's end as the page sees it.
    async fn ended(&self) -> Value {
        let call = self.page.call_in("ended").await;
        let gone = self.gateway.metric_is("talkbridge_calls_active", "", 0.0);
        gone.await;
        call["end"].clone()
    }
}

#[tokio::test]
async fn an_agent_may_dial_in_the_page() {
    let office = Office::open().await;
    let mut sipp = office.dials(office.callee("uas-invite-dial")).await;
    let call = office.page.call_in("talking").await;
    assert_eq!(
        (&call["direction"], &call["remote"]["number"]),
        (&json!("outbound"), &json!("1003"))
    );
    office.both_hear().await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

#[tokio::test]
async fn a_busy_number_is_told() {
    let office = Office::open().await;
    let mut sipp = office
        .dials(office.callee("uas-invite-dial-rejected"))
        .await;
    let end = office.ended().await;
    assert_eq!(
        (&end["sip_status"], &end["by"]),
        (&json!(486), &json!("remote"))
    );
    sipp.passes().await;
}

#[tokio::test]
async fn an_announcement_is_heard_before_the_answer() {
    let office = Office::open().await;
    let announcement = Customer::announcement(office.site.media()).await;
    let at = announcement.address();
    let callee = office
        .callee("uas-invite-early-media")
        .key("announcement_host", at.ip())
        .key("announcement_port", at.port());
    let mut sipp = office.dials(callee).await;
    let call = office.page.call_in("ringing").await;
    assert_eq!(call["early_media"], true, "{call}");
    office.page.hears(ANNOUNCEMENT_HZ).await;
    assert_eq!(office.page.call()["state"], "ringing");
    sipp.cue_called().await;
    let call = office.page.call_in("talking").await;
    assert_eq!(call.get("early_media"), None, "{call}");
    office.both_hear().await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}
