//! Media that a network loses, and what the call is said to have been like.

use interop_tests::attack::SipPeer;
use interop_tests::page::PageOptions;
use interop_tests::recordings::end_record;
use interop_tests::rtcp::Reporter;
use interop_tests::sipp::header;
use interop_tests::wait::eventually_some;
use interop_tests::{Customer, Gateway, Host, Page, Registrar, Site, on_hosts};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::mid_call::port_of;

/// What loses datagrams in a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lossy {
    Nothing,
    /// The way from the customer to the gateway, so many in a hundred.
    Trunk(u32),
    /// The way from the gateway to the browser.
    Radio(u32),
}

/// A call in which both ends report, until the page has been told a score that knows of all of it, and its record.
async fn call_over(host: &Host, site: &Site, (port, lossy): (u16, Lossy)) -> Value {
    let dir = TempDir::new().expect("a temporary directory");
    let cdr = dir.path().join("cdr.jsonl");
    let gateway = Gateway::start_with(site, |config| {
        config["cdr"] = json!({"file": cdr});
        config["webrtc"]["codec_policy"] = json!("opus");
    })
    .await;
    let options = PageOptions {
        opus: true,
        ..gateway.page("1002")
    };
    let page = Page::start(options).await.expect("the page connects");
    page.ready().await;
    let server = SipPeer::start(site, site.sip_server(), port).await;
    let customer = Customer::start(site.media()).await;
    let _reporter = Reporter::beside(customer.address(), customer.ssrc());
    let mut call = server.talks("1002", customer.address()).await;
    let answered = |message: &str| {
        message.starts_with("SIP/2.0 200") && header(message, "CSeq") == Some("1 INVITE")
    };
    let answer = server.hears("the answer", answered).await;
    let port = port_of(&answer).parse().expect("a port");
    let browser = page.state().media_at.expect("it has a socket").port();
    match lossy {
        Lossy::Nothing => host.loses_of_all(0, port),
        Lossy::Trunk(percent) => host.loses_of_all(percent, port),
        Lossy::Radio(percent) => host.loses_of_all(percent, browser),
    }
    let until = page.state().packets + 500;
    eventually_some("the call is scored, both legs of it", || {
        let state = page.state();
        let mut quality = state.messages.iter().rev();
        let quality = quality.find(|message| message["type"] == "quality")?;
        let way = &quality["to_agent"];
        let scored = way["mos"].is_number() && way["far_loss"].is_number();
        (scored && state.packets >= until).then_some(())
    })
    .await;
    host.loses_of_all(0, port);
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    page.call_in("ended").await;
    for name in ["talkbridge_mos_count", "talkbridge_jitter_seconds_count"] {
        let both = gateway.metric(name, "").await;
        assert!(both >= 2.0, "{name}: both ways of one call: {both}");
    }
    let record = end_record(&cdr).await;
    page.sign_out().await;
    // The next one listens at the same ports.
    gateway.ends().await;
    record["media"]["to_agent"].clone()
}

fn number(of: &Value) -> f64 {
    of.as_f64().unwrap_or_else(|| panic!("no number: {of}"))
}

/// A trunk that loses a twentieth, and a radio network that loses a fifth: each is in the record where it was lost, and the call is scored below one on a
/// quiet network, whichever leg it was.
#[test]
fn what_either_leg_loses_is_in_the_record_and_in_the_score() {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, |site, lan| async move {
        let host = lan.ours();
        let registrar = Registrar::start(site.server_sip()).await;
        let registrar = registrar.expect("a host of our own");
        let quiet = call_over(&host, &site, (5_070, Lossy::Nothing)).await;
        let trunk = call_over(&host, &site, (5_071, Lossy::Trunk(5))).await;
        let radio = call_over(&host, &site, (5_072, Lossy::Radio(20))).await;
        drop(registrar);
        let mos = |way: &Value| number(&way["score"]["mos"]);

        assert!(number(&quiet["received"]["lost"]) < 3.0, "{quiet}");
        assert!(mos(&quiet) > 4.0, "{quiet}");

        assert!(number(&trunk["received"]["lost"]) > 5.0, "{trunk}");
        assert!(number(&trunk["concealed_ms"]) > 0.0, "{trunk}");
        assert!(mos(&trunk) < mos(&quiet), "{trunk}, {quiet}");

        assert!(number(&radio["received"]["lost"]) < 3.0, "{radio}");
        assert!(number(&radio["sent"]["lost"]) > 20.0, "{radio}");
        assert!(number(&radio["score"]["far_loss"]) > 0.05, "{radio}");
        assert!(mos(&radio) < mos(&quiet) - 0.5, "{radio}, {quiet}");
    });
}
