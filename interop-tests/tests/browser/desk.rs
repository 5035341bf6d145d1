//! The desk's buttons for a third party, and what two agents' pages hear of them.

use fantoccini::wd::WindowHandle;
use interop_tests::Browser;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;

use super::Office;

/// What the second agent says.
const SECOND_HZ: u32 = 1_000;

/// Two agents with a page and a desk each, and a customer who talks to the first one. All speak: the first agent 660 Hz, the second one
/// 1,000 Hz, the customer 440 Hz.
struct Floor {
    office: Office,
    first: WindowHandle,
    second: WindowHandle,
    first_desk: WindowHandle,
    second_desk: WindowHandle,
    call: String,
}

impl Floor {
    async fn open() -> Self {
        let office = Office::open().await;
        office.sign_in().await;
        let browser = &office.browser;
        let first = browser.tab().await;
        // A token of its own: what a tab remembers is its own.
        let page = format!("http://{}/agent", office.gateway.agents());
        let second = browser.open_tab(&page).await;
        browser.speaks(SECOND_HZ).await;
        browser.enter("1003").await;
        office.ready().await;
        let desk = |dn: &str| format!("http://{}/desk?dn={dn}", office.sim.http());
        let second_desk = browser.open_tab(&desk("1003")).await;
        let first_desk = browser.open_tab(&desk("1002")).await;
        browser.click("#customer-calls").await;
        browser
            .click("[data-state=Ringing] [data-action=answer]")
            .await;
        browser.sees("[data-call][data-state=Established]").await;
        let call = browser
            .eval(
                "return document.querySelector('[data-call]').dataset.call",
                vec![],
            )
            .await;
        let call = call.as_str().expect("the card names its call").to_owned();
        let floor = Self {
            first,
            second,
            first_desk,
            second_desk,
            call,
            office,
        };
        floor.hears(&floor.first, CUSTOMER_HZ).await;
        floor.office.sim.customer_hears(&floor.call, PAGE_HZ).await;
        floor
    }

    fn browser(&self) -> &Browser {
        &self.office.browser
    }

    async fn hears(&self, page: &WindowHandle, hz: u32) {
        self.browser().switch(page).await;
        self.browser().hears(hz).await;
    }

    /// On the first agent's desk.
    async fn click(&self, card: &str, action: &str) {
        self.browser().switch(&self.first_desk).await;
        let button = format!("{card} [data-action={action}]");
        self.browser().click(&button).await;
    }

    /// The card of the customer's call, on either desk.
    fn main(&self) -> String {
        format!("[data-call='{}']", self.call)
    }

    /// The card of the consultation.
    fn consultation(&self) -> String {
        format!("[data-call]:not({})", self.main())
    }

    /// The first agent asks the second, who answers on her desk: these two hear each other, the customer waits.
    async fn consult(&self) {
        let browser = self.browser();
        browser.switch(&self.first_desk).await;
        let main = self.main();
        browser.type_into(&format!("{main} .target"), "1003").await;
        self.click(&main, "consult").await;
        browser.switch(&self.second_desk).await;
        browser
            .click("[data-state=Ringing] [data-action=answer]")
            .await;
        self.hears(&self.second, PAGE_HZ).await;
        self.hears(&self.first, SECOND_HZ).await;
        browser.switch(&self.first_desk).await;
        browser.sees(&format!("{main}[data-state=Held]")).await;
        browser
            .sees(&format!("{}[data-state=Established]", self.consultation()))
            .await;
    }
}

/// Consult, Alternate and back, Complete transfer: at every moment the first agent hears whom she talks to, and in the end the
/// customer talks to the second one.
#[tokio::test]
async fn the_desk_consults_alternates_and_transfers() {
    let floor = Floor::open().await;
    let browser = floor.browser();
    floor.consult().await;
    browser.screenshot("desk-consult").await;
    floor.click(&floor.consultation(), "alternate").await;
    browser
        .sees(&format!("{}[data-state=Held]", floor.consultation()))
        .await;
    floor.hears(&floor.first, CUSTOMER_HZ).await;
    browser.screenshot("agent-alternated").await;
    floor.click(&floor.consultation(), "alternate").await;
    browser
        .sees(&format!("{}[data-state=Held]", floor.main()))
        .await;
    floor.hears(&floor.first, SECOND_HZ).await;
    floor.click(&floor.consultation(), "complete").await;
    browser.sees_no("[data-call]").await;
    floor.hears(&floor.second, CUSTOMER_HZ).await;
    browser.switch(&floor.first).await;
    browser.sees_no("#calls [data-call]").await;
    browser.switch(&floor.second_desk).await;
    browser.sees("[data-call][data-state=Established]").await;
    browser.screenshot("desk-transferred").await;
    browser.click("[data-call] [data-action=release]").await;
    floor
        .office
        .gateway
        .metric_is("talkbridge_calls_active", "", 0.0)
        .await;
    floor.office.browser.close().await;
}

/// Reconnect gives the customer back; then a conference: each agent hears the customer and the other agent, and not herself. When the first
/// one leaves, the other two are still connected.
#[tokio::test]
async fn the_desk_reconnects_and_makes_a_conference() {
    let floor = Floor::open().await;
    let browser = floor.browser();
    floor.consult().await;
    floor.click(&floor.consultation(), "reconnect").await;
    browser.sees_no(&floor.consultation()).await;
    floor.hears(&floor.first, CUSTOMER_HZ).await;
    floor.consult().await;
    floor.click(&floor.consultation(), "conference").await;
    browser.sees_no(&floor.consultation()).await;
    browser
        .sees(&format!("{}[data-state=Established]", floor.main()))
        .await;
    browser.screenshot("desk-conference").await;
    for (page, colleague) in [(&floor.first, SECOND_HZ), (&floor.second, PAGE_HZ)] {
        browser.switch(page).await;
        browser.sees("#calls [data-call][data-state=talking]").await;
        browser.hears_together(&[CUSTOMER_HZ, colleague]).await;
    }
    floor.click(&floor.main(), "release").await;
    browser.sees_no("[data-call]").await;
    floor.hears(&floor.second, CUSTOMER_HZ).await;
    floor.office.browser.close().await;
}

/// A single-step transfer: the customer goes to the second agent without a word.
#[tokio::test]
async fn the_desk_transfers_in_a_single_step() {
    let floor = Floor::open().await;
    let browser = floor.browser();
    browser.switch(&floor.first_desk).await;
    browser.type_into("[data-call] .target", "1003").await;
    floor.click("[data-call]", "transfer").await;
    browser.switch(&floor.second_desk).await;
    browser
        .click("[data-state=Ringing] [data-action=answer]")
        .await;
    floor.hears(&floor.second, CUSTOMER_HZ).await;
    browser.switch(&floor.first).await;
    browser.sees_no("#calls [data-call]").await;
    floor.office.browser.close().await;
}
