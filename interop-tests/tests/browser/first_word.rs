//! The first word of an agent who answers in her page, whose network takes its time.

use interop_tests::attack::SipPeer;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::scale::{STEPS, heard_decoded};
use interop_tests::wait::eventually_async;
use interop_tests::{Engine, Lan, Site};
use serde_json::json;

use super::both::{Booth, in_both};
use super::{Browser, Office};

in_both! {
    what_she_says_with_her_click_is_heard,
}

/// What the gateway says reaches the page 400 ms later.
const FAR_AWAY: &str = "
    const listen = WebSocket.prototype.addEventListener;
    WebSocket.prototype.addEventListener = function (type, listener, ...rest) {
        const late = type === 'message' ? (event) => setTimeout(() => listener(event), 400) : listener;
        return listen.call(this, type, late, ...rest);
    };";

/// Her microphone gives a low tone, and a scale from the click on Answer on: 60 ms a step, the tones of `scale`.
const SCALE: &str = "
    const context = new AudioContext();
    const tone = new OscillatorNode(context, { frequency: 200 });
    const quieter = new GainNode(context, { gain: 0.3 });
    const out = context.createMediaStreamDestination();
    tone.connect(quieter).connect(out);
    tone.start();
    navigator.mediaDevices.getUserMedia = async () => out.stream;
    const says = ({ target }) => {
        if (!target.closest('[data-action=answer]')) return;
        for (let step = 0; step < 20; step += 1) {
            tone.frequency.setValueAtTime(500 + 100 * step, context.currentTime + 0.06 * step);
        }
    };
    document.addEventListener('click', says, { capture: true });";

/// A round trip to the gateway lies between her click and the news that the call talks: what she says meanwhile is heard. In Chromium that is a scale, of which no
/// step is missing, nor anything of before; Firefox has a tone, which is there from the first tenth of a second on.
async fn what_she_says_with_her_click_is_heard(engine: Engine, site: Site, _lan: Lan) {
    let script = match engine {
        Engine::Chromium => format!("{FAR_AWAY}{SCALE}"),
        Engine::Firefox => FAR_AWAY.to_owned(),
    };
    let booth = Booth::prepared(engine, site, |_| {}, &script).await;
    let Booth {
        browser, customer, ..
    } = &booth;
    let server = SipPeer::start(&booth.site, booth.site.sip_server(), 5070).await;
    let mut call = server.rings("1002", "", customer.address()).await;
    customer.heard().ear.keep();
    browser.click("#calls [data-action=answer]").await;
    server.confirms(&mut call).await;
    match engine {
        Engine::Chromium => {
            customer.hears(500 + 100 * (STEPS as u32 - 1)).await;
            let heard = heard_decoded(customer.heard().ear.kept());
            assert_eq!(heard, (0..STEPS).collect::<Vec<_>>());
        }
        Engine::Firefox => {
            customer.hears(PAGE_HZ).await;
            let silent = silence_before(customer.heard().ear.kept());
            assert!(silent < 800, "{silent} samples of silence");
        }
    }
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    booth.browser.close().await;
}

/// Samples before the tone begins.
fn silence_before(samples: &[i16]) -> usize {
    let loud = |sample: &i16| sample.unsigned_abs() > 1_000;
    samples.iter().position(loud).unwrap_or(samples.len())
}

/// The page's microphone is open to the gateway.
async fn is_open(browser: &Browser, open: bool) {
    eventually_async("the microphone is open or not", || async {
        let enabled = "return talkbridge.localStream.getAudioTracks()[0].enabled";
        (browser.eval(enabled, vec![]).await == json!(open)).then_some(())
    })
    .await;
}

/// She answers at the desktop while her browser's connection is just coming up: her microphone is open before it is, so that the news that the call talks need not come
/// first. The caller hears nothing until then.
#[tokio::test]
async fn what_she_says_when_the_desktop_answers_waits_for_the_connection_only() {
    let office = Office::open_with(|config| config["limits"]["media_wait_s"] = json!(20)).await;
    office.sign_in().await;
    let browser = &office.browser;
    let comes_late = "
        const send = WebSocket.prototype.send;
        window.held = [];
        WebSocket.prototype.send = function (text) {
            const goes = () => send.call(this, text);
            if (window.held && JSON.parse(text).type === 'media_answer') window.held.push(goes);
            else goes();
        };
        talkbridge.peerConnection.close();";
    browser.eval(comes_late, vec![]).await;
    eventually_async("the connection is down", || async {
        let state = browser.eval("return talkbridge.mediaState", vec![]).await;
        (state != json!("connected")).then_some(())
    })
    .await;
    let restart = "return talkbridge.restartMedia().then(() => true)";
    browser.eval(restart, vec![]).await;
    let call = office.sim.customer_calls("0301234567", "1002").await;
    browser.sees("#calls [data-state=ringing]").await;
    is_open(browser, false).await;
    office.sim.operate(&call, "Answer").await;
    browser.sees("#calls [data-state=answering]").await;
    is_open(browser, true).await;
    office.sim.customer_hears_nothing(&call).await;
    let comes = "
        const held = window.held;
        window.held = null;
        for (const goes of held) goes();";
    browser.eval(comes, vec![]).await;
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.release(&call).await;
}

/// Her click reaches the gateway late, or never: nobody hears what she says meanwhile, neither the caller whom she has put on hold nor the one who rings. When the call
/// is over before it talks, or the answer is refused, her microphone is closed again.
#[tokio::test]
async fn who_is_on_hold_hears_nothing_of_an_answer_that_is_on_its_way() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let browser = &office.browser;
    browser.click("#calls [data-action=hold]").await;
    office.neither_hears(&call).await;
    is_open(browser, false).await;
    let lost = "
        const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (text) {
            if (!window.lost || JSON.parse(text).type !== 'answer') send.call(this, text);
        };
        window.lost = true;";
    browser.eval(lost, vec![]).await;
    let second = office.sim.customer_calls("0307654321", "1002").await;
    browser
        .click("[data-state=ringing] [data-action=answer]")
        .await;
    is_open(browser, true).await;
    office.sim.customer_hears_nothing(&call).await;
    office.sim.customer_hears_nothing(&second).await;
    office.sim.operate(&second, "Hangup").await;
    is_open(browser, false).await;

    let refused = "
        window.lost = false;
        const answer = talkbridge.answer('c-none').catch(({ code }) => code);
        const { enabled } = talkbridge.localStream.getAudioTracks()[0];
        return answer.then((code) => [enabled, code]);";
    let refused = browser.eval(refused, vec![]).await;
    assert_eq!(refused, json!([true, "unknown_call"]));
    is_open(browser, false).await;
    browser.sees("#calls [data-action=retrieve]").await;
    office.release(&call).await;
}
