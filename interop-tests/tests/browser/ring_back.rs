//! What the page plays by itself: its ring, and the ring-back tone while nothing comes from the other side.

use interop_tests::customer::{ANNOUNCEMENT_HZ, CUSTOMER_HZ};
use interop_tests::{
    Browser, Customer, Gateway, Registrar, SippOptions, Site, eventually, eventually_async,
};
use serde_json::json;

use super::Office;

/// ITU-T E.180.
const RING_BACK_HZ: u32 = 425;

/// An agent who dials hears that it rings, by her page; then the announcement alone, or whoever answers alone.
#[tokio::test]
async fn the_ring_back_tone_stops_for_whoever_is_heard() {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let gateway = Gateway::start(&site).await;
    let browser = Browser::start().await;
    browser.open_agent(gateway.agents()).await;
    browser.listen_to_the_page().await;
    browser.enter("1002").await;
    browser.reads("#registration", "Registered").await;
    browser.reads("#media-state", "Audio ready").await;
    // The port changes hands: the registration is good for half an hour.
    drop(registrar);
    let free = || std::net::UdpSocket::bind(site.server_sip()).is_ok();
    for (scenario, announces) in [
        ("uas-invite-ring-back", true),
        ("uas-invite-rings-then-answers", false),
    ] {
        eventually("SIP Server's port is free", free).await;
        let customer = Customer::start(site.media()).await;
        let announcement = Customer::announcement(site.media()).await;
        let mut sipp = SippOptions::registrar(&site, scenario)
            .media(customer.address())
            .key("announcement_host", announcement.address().ip())
            .key("announcement_port", announcement.address().port())
            .start();
        eventually("SIPp listens", || !free()).await;
        browser.type_into("#number", "1003").await;
        browser.click("#dial").await;
        browser.plays(RING_BACK_HZ).await;
        browser.reads("#calls [data-call]", "Calling").await;
        sipp.cue_called().await;
        if announces {
            browser.hears(ANNOUNCEMENT_HZ).await;
            browser.plays_nothing().await;
            browser.sees("#calls [data-call][data-state=ringing]").await;
            sipp.cue_called().await;
        }
        browser.sees("#calls [data-call][data-state=talking]").await;
        browser.hears(CUSTOMER_HZ).await;
        browser.plays_nothing().await;
        browser.click("#calls [data-action=hangup]").await;
        sipp.passes().await;
        browser.sees_no("#calls [data-call]").await;
    }
    browser.close().await;
}

/// The two tones of a ring.
pub(super) const RING_HZ: [u32; 2] = [440, 554];

/// A page of somebody's own rings by the library alone, and is silent where it says that it rings by itself.
#[tokio::test]
async fn a_page_of_ones_own_rings() {
    let office = Office::open().await;
    let (browser, sim) = (&office.browser, &office.sim);
    browser.open_agent(office.gateway.agents()).await;
    browser.listen_to_the_page().await;
    let connect = "
        const [token, options] = arguments;
        window.own?.close();
        import('/sdk/talkbridge.js').then(({ Talkbridge }) => {
            window.own = new Talkbridge();
            window.own.connect({ token, ...options });
        });";
    for (options, rings) in [(json!({}), true), (json!({"ring": false}), false)] {
        let token = json!(Gateway::token("1002"));
        browser.eval(connect, vec![token, options]).await;
        eventually_async("the page is ready", || async {
            let state =
                "return [window.own?.connection, window.own?.peerConnection?.connectionState]";
            let state = browser.eval(state, vec![]).await;
            (state == json!(["signed_in", "connected"])).then_some(())
        })
        .await;
        let call = sim.customer_calls("0301234567", "1002").await;
        eventually_async("the page is told of the call", || async {
            let calls = browser.eval("return window.own.calls.size", vec![]).await;
            (calls == 1).then_some(())
        })
        .await;
        match rings {
            true => browser.plays_together(&RING_HZ).await,
            false => browser.plays_nothing().await,
        }
        sim.operate(&call, "Answer").await;
        browser.plays_nothing().await;
        sim.operate(&call, "Hangup").await;
        sim.released("1002", &call).await;
    }
    office.browser.close().await;
}
