//! What a real browser makes of silence that is not sent.

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::wait::eventually_async;
use interop_tests::{Chromium, Gateway, Registrar, Site};
use serde_json::{Value, json};

use super::customer_talks;

/// What the browser has received: packets, samples that were played, samples that were guessed.
async fn received(browser: &Chromium) -> [f64; 3] {
    let script = "
        return window.talkbridge.peerConnection.getStats().then((stats) => {
            const all = [...stats.values()];
            const heard = all.find((one) => one.type === 'inbound-rtp' && one.kind === 'audio');
            return [heard.packetsReceived, heard.totalSamplesReceived, heard.concealedSamples];
        });";
    let told = browser.eval(script, vec![]).await;
    let number = |at: usize| told.get(at).and_then(Value::as_f64);
    [0, 1, 2].map(|at| number(at).unwrap_or_else(|| panic!("three numbers: {told}")))
}

/// Her customer says nothing for a while: the browser of an agent on a bad network is sent next to nothing, takes it for background and not for losses,
/// and hears the next word.
#[tokio::test]
async fn a_browser_that_speaks_opus_is_not_sent_silence() {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["webrtc"]["codec_policy"] = json!("opus");
    })
    .await;
    let browser = Chromium::start().await;
    browser.sign_in(gateway.agents(), "1002").await;
    browser.reads("#media-state", "Audio ready").await;
    let (customer, mut sipp) = customer_talks(&site, &browser, (0, "PCMU/8000")).await;

    customer.says(0);
    let said = || async {
        let name = "talkbridge_rtp_packets_total";
        gateway.metric(name, "leg=\"sip\",dir=\"in\"").await
    };
    // Silence is believed after 200 ms.
    let mut until = said().await + 25.0;
    eventually_async("silence", || async {
        (said().await >= until).then_some(())
    })
    .await;
    let before = received(&browser).await;
    until = said().await + 200.0;
    eventually_async("four seconds of it", || async {
        (said().await >= until).then_some(())
    })
    .await;
    let after = received(&browser).await;
    let [packets, samples, concealed] = [0, 1, 2].map(|at| after[at] - before[at]);
    println!("{packets} packets, {concealed} of {samples} samples concealed");
    assert!((4.0..60.0).contains(&packets), "{packets} of 200");
    assert!(concealed < samples * 0.05, "{concealed} of {samples}");

    customer.says(CUSTOMER_HZ);
    browser.hears(CUSTOMER_HZ).await;
    customer.hears(PAGE_HZ).await;
    sipp.cue().await;
    sipp.passes().await;
    browser.close().await;
}
