//! What a real browser plays at the seams of a call, as a curve: the page's received stream is recorded, sample by sample in Chromium, and as Opus of
//! 510 kbit/s in Firefox, which has nothing better.

use interop_tests::attack::{Dialog, SipPeer, description};
use interop_tests::browser::Played;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Engine, Lan, Site, eventually};
use serde_json::{Value, json};

use super::both::{Booth, in_both};

/// How much more sharply the curve may bend at a seam than in the steady tone. What is in it besides the gateway: the browser's own guess at the beginning of a
/// gap, and how it joins that to what comes next. A jump from one sample to the next is twenty times the tone's own bend and more.
const BEND_MAX: f64 = 2.5;

/// The first 100 ms of a recording are its beginning; the tone is steady in the 400 ms behind it.
const STEADY: std::ops::Range<usize> = 10..50;

/// The last 100 ms are its end, which a coder cuts off as it comes.
const END: usize = 10;

in_both! {
    hold_and_retrieve_make_no_click_in_what_is_handed_over,
    hold_and_retrieve_make_no_click_in_opus,
}

/// The sharpest bend of a recording, in those of its own steady tone.
fn sharpest(played: &[Played]) -> f64 {
    let sharpest = |part: &[Played]| part.iter().map(|block| block.bend).fold(0.0, f64::max);
    let steady = sharpest(&played[STEADY]);
    assert!(steady > 0.0, "the tone was recorded");
    sharpest(&played[STEADY.start..played.len() - END]) / steady
}

/// Offers this description in mid-call, and confirms the answer.
async fn offers(server: &SipPeer, call: &mut Dialog, description: &str) {
    let lines = "Content-Type: application/sdp\n";
    let offer = call.request("INVITE", lines, description);
    assert_eq!(server.asks(&offer).await, 200);
    server.say(&call.ack(call.cseq)).await;
}

async fn hold_and_retrieve_make_no_click_in_what_is_handed_over(
    engine: Engine,
    site: Site,
    _lan: Lan,
) {
    seams(Booth::open(engine, site, |_| {}).await).await;
}

async fn hold_and_retrieve_make_no_click_in_opus(engine: Engine, site: Site, _lan: Lan) {
    let opus = |config: &mut Value| config["webrtc"]["codec_policy"] = json!("opus");
    seams(Booth::open(engine, site, opus).await).await;
}

/// The caller speaks a steady tone. SIP Server holds the call and takes it back, twice, and then he goes over to the other law of G.711 and back in the middle of
/// the tone; the page plays nothing sharper than that. At the end he clicks himself, so that the ear is seen to hear it.
async fn seams(booth: Booth) {
    let Booth {
        browser, customer, ..
    } = &booth;
    let server = SipPeer::start(&booth.site, booth.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", customer.address()).await;
    browser.hears(CUSTOMER_HZ).await;
    customer.hears(PAGE_HZ).await;
    goes_on(&booth, 25).await;

    browser.records().await;
    goes_on(&booth, 40).await;
    let usual = description(customer.address());
    for _ in 0..2 {
        offers(&server, &mut call, &usual.replace("sendrecv", "inactive")).await;
        browser.hears_nothing().await;
        offers(&server, &mut call, &usual).await;
        browser.hears(CUSTOMER_HZ).await;
        goes_on(&booth, 25).await;
    }
    for _ in 0..2 {
        customer.turns_law();
        goes_on(&booth, 25).await;
    }
    let played = browser.recorded().await;
    let silent = played.iter().filter(|block| block.rms < 0.005).count();
    assert!(silent > 20, "the hold was recorded: {silent}");
    let (without, with) = (sharpest(&played), clicks(&booth).await);
    assert!(without < BEND_MAX, "{without}, a click {with}");
    assert!(
        with > 1.5 * BEND_MAX,
        "{with}: the ear hears no clicks, {without} without"
    );
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    booth.browser.close().await;
}

/// How sharp it is when he clicks.
async fn clicks(booth: &Booth) -> f64 {
    booth.browser.records().await;
    goes_on(booth, 40).await;
    // How sharp one click is depends on where in the wave its packet ends: five packets on it is the same place, so no two are as far apart as others.
    for packets in 6..12 {
        booth.customer.clicks();
        goes_on(booth, packets).await;
    }
    // A browser on a busy machine plays them late.
    goes_on(booth, 25).await;
    sharpest(&booth.browser.recorded().await)
}

/// So many packets more of the agent's have reached the caller: both go on.
async fn goes_on(booth: &Booth, packets: u64) {
    let enough = booth.customer.heard().packets + packets;
    eventually("the call goes on", || {
        booth.customer.heard().packets >= enough
    })
    .await;
}
