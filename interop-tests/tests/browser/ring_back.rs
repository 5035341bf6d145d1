//! The ring-back tone that the page makes while nothing comes from the other side.

use interop_tests::customer::{ANNOUNCEMENT_HZ, CUSTOMER_HZ};
use interop_tests::{Browser, Customer, Gateway, Registrar, SippOptions, Site, eventually};

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
    browser
        .open(&format!("http://{}/agent", gateway.agents()))
        .await;
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
