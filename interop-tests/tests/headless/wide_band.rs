//! Telephones that speak G.722 and Opus, recorded and listened to while they speak. Their codecs are spandsp's and libopus.

use interop_tests::attack::SipPeer;
use interop_tests::baresip::{BARESIP_HZ, Manner};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::page::PageOptions;
use interop_tests::recordings::{end_record, holds_apart, recorded};
use interop_tests::tone::Ear;
use interop_tests::wait::eventually;
use interop_tests::{Baresip, Customer, Gateway, Page, Registrar, Site};
use serde_json::json;
use tempfile::TempDir;

use super::live_tap::Consumer;

/// The caller is on the left and in the first ear, the agent on the right and in the second, whatever the telephone speaks.
async fn is_recorded_and_heard(theirs: &str, ours: &str) {
    let dir = TempDir::new().expect("a temporary directory");
    let (folder, cdr) = (dir.path().join("recordings"), dir.path().join("cdr.jsonl"));
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let telephone = Baresip::speaking(&site, "customer", Manner::Rings, theirs).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([site.server_sip(), telephone.address()]);
        config["media"]["codecs"] = json!([ours]);
        config["recording"] = json!({"folder": folder, "when": "always"});
        config["cdr"] = json!({"file": cdr});
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    telephone
        .dial(&format!("sip:1002@{}", site.gateway_sip()))
        .await;
    page.call_in("ringing").await;
    page.control("answer").await;
    page.hears(BARESIP_HZ).await;
    telephone.hears(PAGE_HZ).await;
    let call = page.call();
    assert_eq!(call["recording"], "recording");
    let id = call["id"].as_str().unwrap_or_default();
    let path = format!("/api/v1/calls/{id}/tap?rate_hz=8000");
    let consumer = Consumer::connect(&gateway, &path, "").await;
    let mut consumer = consumer.expect("a place");
    let both = |c: &Consumer| c.ears[0].hears(BARESIP_HZ) && c.ears[1].hears(PAGE_HZ);
    assert!(consumer.until(both).await);
    let until = page.state().packets + 25;
    eventually("the call goes on", || page.state().packets >= until).await;
    page.control("hold").await;
    page.call_in("held").await;
    assert!(consumer.until(|c| c.ears.iter().all(Ear::silent)).await);
    telephone.hang_up().await;
    page.call_in("ended").await;

    let record = end_record(&cdr).await;
    assert_eq!(
        record["media"]["to_agent"]["received"]["codec"], ours,
        "{record}"
    );
    let file = recorded(&folder, &record["recordings"][0]).await;
    holds_apart(&file, [BARESIP_HZ, PAGE_HZ], 4);
}

#[tokio::test]
async fn a_telephone_that_speaks_g722_is_recorded_and_listened_to() {
    is_recorded_and_heard("g722/16000/1", "g722").await;
}

#[tokio::test]
async fn a_telephone_that_speaks_opus_is_recorded_and_listened_to() {
    is_recorded_and_heard("opus/48000/2", "opus").await;
}

/// The first codec of an offer, by its name in lower case.
fn first_codec(offer: &str) -> String {
    let types = offer.split("m=audio ").nth(1).expect("an audio line");
    let first = types.split_whitespace().nth(2).expect("a payload type");
    let named = format!("a=rtpmap:{first} ");
    let line = offer.lines().find_map(|line| line.strip_prefix(&named));
    let name = line.and_then(|line| line.split('/').next());
    // Static payload types need no line (RFC 3551 section 6).
    name.unwrap_or(first).to_ascii_lowercase()
}

/// One agent has Opus by a line of her own, her colleague what the site has, in one gateway: in the offers, and in what is heard.
#[tokio::test]
async fn each_agent_has_a_codec_policy_of_her_own() {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["agents"] = json!([{"dn": "1002"}, {"dn": "1003", "codec_policy": "opus"}]);
    })
    .await;
    let server = SipPeer::start(&site, site.sip_server(), 5070).await;
    for (dn, opus, first) in [("1002", false, "pcmu"), ("1003", true, "opus")] {
        let options = PageOptions {
            opus,
            ..gateway.page(dn)
        };
        let page = Page::start(options).await.expect("the page connects");
        page.ready().await;
        let offer = page.messages("media_offer").remove(0);
        let offer = offer["sdp"].as_str().unwrap_or_default();
        assert_eq!(first_codec(offer), first, "{offer}");
        let customer = Customer::start(site.media()).await;
        let mut call = server.talks(dn, customer.address()).await;
        customer.hears(PAGE_HZ).await;
        page.hears(CUSTOMER_HZ).await;
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        page.sign_out().await;
    }
}
