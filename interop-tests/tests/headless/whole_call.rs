//! talkbridge beside the simulated SIP Server, a page without a browser: whole calls.

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::demo::Demo;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Gateway, Page, Site, TserverSim, demo_check};
use serde_json::json;

struct Office {
    page: Page,
    gateway: Gateway,
    sim: TserverSim,
    _site: Site,
}

async fn office(sim: impl FnOnce(&mut serde_json::Value)) -> Office {
    let site = Site::new();
    let sim = TserverSim::start_with(&site, sim).await;
    let gateway = Gateway::start(&site).await;
    let page = Page::sign_in(&gateway, "1002").await;
    Office {
        page,
        gateway,
        sim,
        _site: site,
    }
}

impl Office {
    async fn both_hear(&self, call: &str) {
        self.sim.customer_hears(call, PAGE_HZ).await;
        self.page.hears(CUSTOMER_HZ).await;
    }

    async fn neither_hears(&self, call: &str) {
        self.sim.customer_hears_nothing(call).await;
        self.page.hears_nothing().await;
    }

    async fn over(&self, call: &str) {
        self.sim.released("1002", call).await;
        self.page.call_in("ended").await;
        self.gateway
            .metric_is("talkbridge_calls_active", "", 0.0)
            .await;
    }
}

#[tokio::test]
async fn the_demo_checks_itself() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    let gateway = Gateway::start(&site).await;
    demo_check(Demo {
        gateway: gateway.agents(),
        token: Gateway::token("1002"),
        dn: "1002".to_owned(),
        sim: sim.http(),
        local: site.browsers(),
    })
    .await
    .expect("one whole call");
}

#[tokio::test]
async fn the_desk_answers_holds_retrieves_and_releases() {
    let office = office(|_| {}).await;
    let call = office.sim.customer_calls("0301234567", "1002").await;
    let ringing = office.page.call_in("ringing").await;
    assert_eq!(ringing["call_uuid"], call.as_str());
    office.sim.operate(&call, "Answer").await;
    office.sim.sees("1002", &call, "Established").await;
    office.both_hear(&call).await;
    office.sim.operate(&call, "Hold").await;
    office.sim.sees("1002", &call, "Held").await;
    assert_eq!(office.page.call_in("held").await["held_by"], "talk_control");
    office.neither_hears(&call).await;
    office.sim.operate(&call, "Retrieve").await;
    office.sim.sees("1002", &call, "Established").await;
    office.both_hear(&call).await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

#[tokio::test]
async fn a_server_that_holds_by_its_own_offers_is_followed() {
    let office = office(|sim| sim["dns"] = json!([{"dn": "1002", "cti_control": ["talk"]}])).await;
    let call = office.sim.customer_calls("0301234567", "1002").await;
    office.page.call_in("ringing").await;
    office.sim.operate(&call, "Answer").await;
    office.both_hear(&call).await;
    office.sim.operate(&call, "Hold").await;
    assert_eq!(office.page.call_in("held").await["held_by"], "remote");
    office.neither_hears(&call).await;
    office.sim.operate(&call, "Retrieve").await;
    office.page.call_in("talking").await;
    office.both_hear(&call).await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

#[tokio::test]
async fn the_desk_dials_by_flow_1() {
    dialled_on_the_desk(1).await;
}

#[tokio::test]
async fn the_desk_dials_by_flow_2() {
    dialled_on_the_desk(2).await;
}

async fn dialled_on_the_desk(flow: u8) {
    let office = office(|sim| sim["dns"] = json!([{"dn": "1002", "make_call_flow": flow}])).await;
    let call = office.sim.dials("1002", "0309876543").await;
    office.page.call_in("talking").await;
    office.both_hear(&call).await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

#[tokio::test]
async fn the_page_dials_and_the_desk_follows() {
    let office = office(|_| {}).await;
    let reply = office
        .page
        .request(json!({"type": "dial", "number": "0309876543"}))
        .await;
    assert_eq!(reply["type"], "ok", "{reply}");
    office.page.call_in("talking").await;
    office.page.hears(CUSTOMER_HZ).await;
    let calls = office.sim.get("/api/v2/me/calls?dn=1002").await.json();
    assert_eq!(calls["calls"][0]["state"], "Established", "{calls}");
    let call = calls["calls"][0]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.page.control("hangup").await;
    office.over(&call).await;
}

#[tokio::test]
async fn the_caller_hangs_up_while_it_rings_and_while_it_talks() {
    let office = office(|_| {}).await;
    let hang_up = json!({"operationName": "Hangup"});
    for answered in [false, true] {
        let call = office.sim.customer_calls("0301234567", "1002").await;
        office.page.call_in("ringing").await;
        if answered {
            office.sim.operate(&call, "Answer").await;
            office.both_hear(&call).await;
        }
        let path = format!("/sim/calls/{call}");
        assert_eq!(office.sim.post(&path, &hang_up).await.status, 200);
        office.over(&call).await;
    }
}

#[tokio::test]
async fn two_agents_talk_to_each_other() {
    let office = office(|_| {}).await;
    let other = Page::start(interop_tests::page::PageOptions {
        tone_hz: 880,
        ..office.gateway.page("1003")
    })
    .await
    .expect("the page connects");
    other.ready().await;
    let call = office.sim.dials("1002", "1003").await;
    other.call_in("ringing").await;
    other.control("answer").await;
    office.page.hears(880).await;
    other.hears(PAGE_HZ).await;
    office.sim.operate(&call, "Hangup").await;
    office.page.call_in("ended").await;
    other.call_in("ended").await;
}

#[tokio::test]
async fn a_password_is_asked_for_and_given() {
    let site = Site::new();
    let sim = TserverSim::start_with(&site, |sim| {
        sim["dns"] =
            json!([{"dn": "1002", "password": "secret", "authenticate": ["register", "invite"]}]);
    })
    .await;
    let gateway = Gateway::start_with(&site, |config| {
        config["agents"] = json!([{"dn": "1002", "password": "secret"}]);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    assert!(sim.registered("1002").await);
    let reply = page
        .request(json!({"type": "dial", "number": "0309876543"}))
        .await;
    assert_eq!(reply["type"], "ok", "{reply}");
    page.call_in("talking").await;
    page.hears(CUSTOMER_HZ).await;
    page.control("hangup").await;
    page.call_in("ended").await;
}
