//! Calls in which browser and far end both speak G.722 or Opus, so that packets are handed over.

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Chromium, Customer, Gateway, Registrar, SippOptions, Site, eventually};
use serde_json::json;

/// The far end knows no telephone events and no INFO: the keys of the page reach it as sound, although nothing else is encoded for it.
async fn keys_are_heard(codec: &str, payload_type: u8, encoding: &str) {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["media"]["codecs"] = json!([codec]);
        config["media"]["dtmf_fallback"] = json!("inband");
        config["webrtc"]["codecs"] = json!([codec]);
    })
    .await;
    let browser = Chromium::start().await;
    let page = format!("http://{}/agent", gateway.agents());
    browser.open(&page).await;
    browser.type_into("#token", &Gateway::token("1002")).await;
    browser.click("#sign-in").await;
    browser.reads("#media-state", "Audio ready").await;
    let customer = Customer::start(site.media()).await;
    let mut sipp = SippOptions::calling(&site, "uac-dtmf-inband-wide")
        .media(customer.address())
        .key("payload_type", payload_type)
        .key("encoding", encoding)
        .start();
    customer.hears(PAGE_HZ).await;
    browser.hears(CUSTOMER_HZ).await;
    let calls = gateway.get("/api/v1/calls").await.body;
    let calls: serde_json::Value = serde_json::from_str(&calls).expect("JSON");
    let call = calls
        .pointer("/0/id")
        .or_else(|| calls.pointer("/calls/0/id"))
        .and_then(|id| id.as_str())
        .unwrap_or_else(|| panic!("a call in {calls}"));
    let path = format!("/api/v1/calls/{call}/dtmf");
    let digits = json!({"digits": "5555555555"});
    let answer = gateway.post(&path, &digits).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    eventually("the far end hears key 5", || {
        customer.heard().ear.hears_key(770, 1_336)
    })
    .await;
    customer.hears(PAGE_HZ).await;
    {
        let heard = customer.heard();
        assert_eq!(heard.codecs, [payload_type].into());
        assert_eq!(heard.ssrcs.len(), 1, "one stream");
    }
    sipp.cue().await;
    sipp.passes().await;
    browser.close().await;
}

#[tokio::test]
async fn keys_in_band_are_heard_in_opus() {
    keys_are_heard("opus", 120, "opus/48000/2").await;
}

#[tokio::test]
async fn keys_in_band_are_heard_in_g722() {
    keys_are_heard("g722", 9, "G722/8000").await;
}
