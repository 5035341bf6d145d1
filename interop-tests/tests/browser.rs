//! A real browser at the real gateway beside the simulated SIP Server: what people see, click and hear.
//!
//! The customer speaks 440 Hz and the browser's microphone 660 Hz; a call is good when each side
//! hears the other's tone.

use std::net::SocketAddr;

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::page::PageOptions;
use interop_tests::{
    Browser, Cable, Customer, Gateway, Page, Registrar, Sipp, SippOptions, Site, TserverSim,
};
use serde_json::Value;

#[path = "browser/both.rs"]
mod both;
#[path = "browser/clicks.rs"]
mod clicks;
#[path = "browser/desk.rs"]
mod desk;
#[path = "browser/devices.rs"]
mod devices;
#[path = "browser/first_word.rs"]
mod first_word;
#[path = "browser/hosts.rs"]
mod hosts;
#[path = "browser/mishaps.rs"]
mod mishaps;
#[path = "browser/quality.rs"]
mod quality;
#[path = "browser/ring_back.rs"]
mod ring_back;
#[path = "browser/sites.rs"]
mod sites;
#[path = "browser/told.rs"]
mod told;
#[path = "browser/wide_band.rs"]
mod wide_band;

/// A customer who speaks this codec, of this payload type, and the agent whom he calls hear each other.
async fn customer_talks(
    site: &Site,
    browser: &Browser,
    (payload_type, encoding): (u8, &str),
) -> (Customer, Sipp) {
    let customer = Customer::start(site.media()).await;
    let sipp = SippOptions::calling(site, "uac-dtmf-inband-wide")
        .media(customer.address())
        .key("payload_type", payload_type)
        .key("encoding", encoding)
        .start();
    customer.hears(PAGE_HZ).await;
    browser.hears(CUSTOMER_HZ).await;
    (customer, sipp)
}

struct Office {
    browser: Browser,
    gateway: Gateway,
    sim: TserverSim,
    site: Site,
}

impl Office {
    async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    async fn open_with(change: impl FnOnce(&mut Value)) -> Self {
        Self::open_at(Site::new(), change).await
    }

    async fn open_at(site: Site, change: impl FnOnce(&mut Value)) -> Self {
        Self::open_for(Browser::start().await, site, change).await
    }

    async fn open_for(browser: Browser, site: Site, change: impl FnOnce(&mut Value)) -> Self {
        let sim = TserverSim::start(&site).await;
        let gateway = Gateway::start_with(&site, change).await;
        Self {
            browser,
            gateway,
            sim,
            site,
        }
    }

    /// Opens the page of DN 1002 and signs the agent in.
    async fn sign_in(&self) {
        self.sign_in_at(self.gateway.agents()).await;
    }

    async fn sign_in_at(&self, gateway: SocketAddr) {
        self.browser.sign_in(gateway, "1002").await;
        self.ready().await;
    }

    /// A cable for the page's WebSocket, and for the page itself.
    async fn cable(&self) -> Cable {
        let laid = Cable::lay(self.site.browsers(), self.gateway.agents());
        laid.await.expect("a port")
    }

    /// The page says that the agent can work.
    async fn ready(&self) {
        self.browser.reads("#registration", "Registered").await;
        self.browser.reads("#media-state", "Audio ready").await;
        interop_tests::wait::eventually_async("the leg is warm", || async {
            let state = self
                .browser
                .eval(
                    "return window.talkbridge?.peerConnection?.connectionState",
                    vec![],
                )
                .await;
            (state == "connected").then_some(())
        })
        .await;
    }

    /// A customer calls, the desk answers, both are heard. Returns the call's id.
    async fn talk(&self) -> String {
        let call = self.sim.customer_calls("0301234567", "1002").await;
        self.browser
            .sees("#calls [data-call][data-state=ringing]")
            .await;
        self.browser.reads("#calls [data-call]", "0301234567").await;
        self.sim.operate(&call, "Answer").await;
        self.both_hear(&call).await;
        call
    }

    /// By the desktop: nobody hears anybody meanwhile, and both do afterwards.
    async fn is_held_and_retrieved(&self, call: &str) {
        self.sim.operate(call, "Hold").await;
        self.neither_hears(call).await;
        self.sim.operate(call, "Retrieve").await;
        self.both_hear(call).await;
    }

    /// By the desktop.
    async fn release(self, call: &str) {
        self.sim.operate(call, "Hangup").await;
        self.over(call).await;
    }

    async fn both_hear(&self, call: &str) {
        self.browser
            .sees("#calls [data-call][data-state=talking]")
            .await;
        self.browser.hears(CUSTOMER_HZ).await;
        self.sim.customer_hears(call, PAGE_HZ).await;
    }

    async fn neither_hears(&self, call: &str) {
        self.browser
            .sees("#calls [data-call][data-state=held]")
            .await;
        self.browser.hears_nothing().await;
        self.sim.customer_hears_nothing(call).await;
    }

    /// The call is over everywhere.
    async fn over(self, call: &str) {
        self.sim.released("1002", call).await;
        self.browser
            .sees_no("#calls [data-call][data-state=talking]")
            .await;
        self.gateway
            .metric_is("talkbridge_calls_active", "", 0.0)
            .await;
        self.browser.close().await;
    }
}

#[tokio::test]
async fn an_agent_answers_holds_retrieves_and_hangs_up_in_the_page() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.sim.customer_calls("0301234567", "1002").await;
    office
        .browser
        .sees("#calls [data-call][data-state=ringing]")
        .await;
    office.browser.screenshot("agent-ringing").await;
    office.browser.click("#calls [data-action=answer]").await;
    office.both_hear(&call).await;
    office.browser.click("#calls [data-action=hold]").await;
    office.neither_hears(&call).await;
    office.browser.click("#calls [data-action=retrieve]").await;
    office.both_hear(&call).await;
    office.browser.click("#calls [data-action=hangup]").await;
    office.over(&call).await;
}

#[tokio::test]
async fn the_desk_drives_the_agents_page() {
    let office = Office::open().await;
    office.sign_in().await;
    let agent = office.browser.tab().await;
    let desk = office
        .browser
        .open_tab(&format!("http://{}/desk", office.sim.http()))
        .await;
    let browser = &office.browser;
    browser.sees("#dn").await;
    browser.click("#customer-calls").await;
    browser.sees("[data-call][data-state=Ringing]").await;
    browser.screenshot("desk-ringing").await;
    browser.click("[data-call] [data-action=answer]").await;
    browser.sees("[data-call][data-state=Established]").await;
    browser.screenshot("desk").await;
    browser.switch(&agent).await;
    browser.sees("#calls [data-call][data-state=talking]").await;
    browser.switch(&desk).await;
    browser.click("[data-call] [data-action=hold]").await;
    browser.sees("[data-call][data-state=Held]").await;
    browser.switch(&agent).await;
    browser.sees("#calls [data-call][data-state=held]").await;
    browser.switch(&desk).await;
    browser.click("[data-call] [data-action=retrieve]").await;
    browser.sees("[data-call][data-state=Established]").await;
    browser.click("[data-call] [data-action=release]").await;
    browser.sees_no("[data-call][data-state=Established]").await;
    browser.switch(&agent).await;
    browser
        .sees_no("#calls [data-call][data-state=talking]")
        .await;
    office
        .gateway
        .metric_is("talkbridge_calls_active", "", 0.0)
        .await;
    office.browser.close().await;
}

#[tokio::test]
async fn a_page_that_loses_its_socket_comes_back_to_the_call_by_itself() {
    let office = Office::open().await;
    let cable = office.cable().await;
    office.sign_in_at(cable.address()).await;
    let call = office.talk().await;
    cable.pull();
    office
        .gateway
        .metric_is("talkbridge_ws_connections", "", 0.0)
        .await;
    // The media has another way than the socket and goes on meanwhile.
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office
        .gateway
        .metric_is("talkbridge_ws_connections", "", 1.0)
        .await;
    office.ready().await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

#[tokio::test]
async fn a_page_that_is_taken_over_says_so() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let second = Page::sign_in(&office.gateway, "1002").await;
    second.hears(CUSTOMER_HZ).await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office
        .browser
        .sees_no("#calls [data-call][data-state=talking]")
        .await;
    office.browser.screenshot("agent-replaced").await;
    office.release(&call).await;
}

/// A caller who writes markup into her name or her attached data has written text.
#[tokio::test]
async fn what_a_caller_wrote_is_text_and_never_markup() {
    let site = Site::new();
    let _registrar = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let gateway = Gateway::start(&site).await;
    let browser = Browser::start().await;
    browser.sign_in(gateway.agents(), "1002").await;
    browser.reads("#registration", "Registered").await;
    browser.reads("#media-state", "Audio ready").await;
    let mut sipp = SippOptions::calling(&site, "uac-invite-headers")
        .media((site.media(), 20_000).into())
        .start();
    browser.sees("#calls [data-call][data-state=ringing]").await;
    browser
        .reads("#calls [data-call]", "Zoe <img src=x onerror=alert(1)>")
        .await;
    browser
        .reads("[data-testid=details]", "<b onclick=\"alert(2)\">gold</b>")
        .await;
    browser
        .reads("[data-testid=details]", "Hotline, 0800123 (no answer)")
        .await;
    browser.screenshot("agent-details").await;
    let markup = browser
        .eval(
            "return document.querySelectorAll('#calls img, #calls b').length",
            vec![],
        )
        .await;
    assert_eq!(markup, 0);
    sipp.cue().await;
    sipp.passes().await;
    browser.sees_no("#calls [data-call]").await;
    browser.close().await;
}

#[tokio::test]
async fn an_agent_hands_a_caller_over_in_the_page() {
    let office = Office::open().await;
    office.sign_in().await;
    let options = PageOptions {
        answer: true,
        ..office.gateway.page("1003")
    };
    let colleague = Page::start(options).await.expect("the page connects");
    colleague.ready().await;
    office.talk().await;
    let browser = &office.browser;
    browser.click("#calls [data-action=transfer]").await;
    browser.screenshot("agent-transfer").await;
    // The Enter key, as an agent types it.
    browser
        .type_into("#calls [data-testid=transfer-number]", "1003\u{e007}")
        .await;
    browser.sees("#recent [data-cause=transferred]").await;
    browser.reads("#recent", "You transferred the call").await;
    browser.sees_no("#calls [data-call]").await;
    colleague.call_in("talking").await;
    colleague.hears(CUSTOMER_HZ).await;
    office
        .gateway
        .metric_is(
            "talkbridge_transfers_total",
            r#"kind="blind",result="done""#,
            1.0,
        )
        .await;
    office.browser.close().await;
}
