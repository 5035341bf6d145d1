//! Calls in which browser and far end both speak G.722 or Opus, so that packets are handed over.

use interop_tests::baresip::{BARESIP_HZ, Manner};
use interop_tests::gateway::PAGE_HZ;
use interop_tests::recordings::{end_record, holds_apart, recorded};
use interop_tests::wait::eventually_async;
use interop_tests::{Baresip, Browser, Gateway, Registrar, Site, eventually};
use serde_json::json;
use tempfile::TempDir;

use super::customer_talks;

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
    let browser = Browser::start().await;
    browser.sign_in(gateway.agents(), "1002").await;
    browser.reads("#media-state", "Audio ready").await;
    let (customer, mut sipp) = customer_talks(&site, &browser, (payload_type, encoding)).await;
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

/// Half a second more of both voices: a tone must sound for a while before it can be told from another.
async fn goes_on(gateway: &Gateway) {
    let name = "talkbridge_rtp_packets_total";
    for leg in ["leg=\"sip\",dir=\"in\"", "leg=\"browser\",dir=\"in\""] {
        let enough = gateway.metric(name, leg).await + 25.0;
        eventually_async("the call goes on", || async {
            (gateway.metric(name, leg).await >= enough).then_some(())
        })
        .await;
    }
}

/// The agent records her call by the buttons of the page, pauses it for a card number and ends it. Packets are handed over meanwhile, as the record of the
/// call says, and the file holds both voices.
async fn is_recorded_by_the_agent(theirs: &str, ours: &str) {
    let dir = TempDir::new().expect("a temporary directory");
    let (folder, cdr) = (dir.path().join("recordings"), dir.path().join("cdr.jsonl"));
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let telephone = Baresip::speaking(&site, "customer", Manner::Rings, theirs).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([site.server_sip(), telephone.address()]);
        config["media"]["codecs"] = json!([ours]);
        config["webrtc"]["codecs"] = json!([ours]);
        config["recording"] = json!({"folder": folder});
        config["cdr"] = json!({"file": cdr});
    })
    .await;
    let browser = Browser::start().await;
    browser.sign_in(gateway.agents(), "1002").await;
    browser.reads("#media-state", "Audio ready").await;
    telephone
        .dial(&format!("sip:1002@{}", site.gateway_sip()))
        .await;
    browser.click("#calls [data-action=answer]").await;
    browser.hears(BARESIP_HZ).await;
    telephone.hears(PAGE_HZ).await;

    browser.click("#calls [data-record=start]").await;
    let says = "[data-testid=recording]";
    browser.reads(says, "Recording").await;
    goes_on(&gateway).await;
    browser.click("#calls [data-record=pause]").await;
    browser.reads(says, "Recording paused").await;
    browser.screenshot("agent-recording-paused").await;
    browser.click("#calls [data-record=resume]").await;
    browser
        .sees("[data-testid=recording][data-recording=recording]")
        .await;
    goes_on(&gateway).await;
    browser.hears(BARESIP_HZ).await;
    telephone.hears(PAGE_HZ).await;
    browser.click("#calls [data-record=stop]").await;
    browser
        .sees("#calls [data-record=start]:not([hidden])")
        .await;
    browser.click("#calls [data-action=hangup]").await;
    browser.sees_no("#calls [data-call]").await;

    let record = end_record(&cdr).await;
    for way in ["to_agent", "to_caller"] {
        let way = &record["media"][way];
        assert_eq!(way["path"], "relay", "{record}");
        assert_eq!(way["received"]["codec"], ours, "{record}");
    }
    let recordings = record["recordings"].as_array().map(Vec::as_slice);
    let Some([recording]) = recordings else {
        panic!("one recording: {record}")
    };
    assert!(recording["paused_ms"].as_u64() > Some(0), "{record}");
    let file = recorded(&folder, recording).await;
    holds_apart(&file, [BARESIP_HZ, PAGE_HZ], 2);
    browser.close().await;
}

#[tokio::test]
async fn an_agent_records_a_call_in_opus() {
    is_recorded_by_the_agent("opus/48000/2", "opus").await;
}

#[tokio::test]
async fn an_agent_records_a_call_in_g722() {
    is_recorded_by_the_agent("g722/16000/1", "g722").await;
}
