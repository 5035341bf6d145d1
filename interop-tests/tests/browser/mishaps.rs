//! What happens to a page around its calls: a headset that is not there, a login service that takes its time, a laptop that slept.

use serde_json::json;

use super::*;

/// The agent worked with a headset yesterday, and it is not plugged in: she is heard by another microphone, is told so, and can choose.
#[tokio::test]
async fn a_headset_that_is_not_plugged_in_costs_no_voice() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser
        .open(&format!("http://{}/agent", office.gateway.agents()))
        .await;
    let remember = "localStorage.setItem('talkbridge.microphone', 'yesterday')";
    browser.eval(remember, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    browser
        .reads("#microphone-state", "The chosen microphone is not there")
        .await;
    browser.sees("#microphone option + option").await;
    let call = office.talk().await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

/// She plugs her headset in while the browser still looks for one: it is found without another click.
#[tokio::test]
async fn a_headset_that_comes_while_it_is_looked_for_is_found() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser
        .open(&format!("http://{}/agent", office.gateway.agents()))
        .await;
    let none_at_first = "
        const devices = navigator.mediaDevices;
        const real = devices.getUserMedia.bind(devices);
        let looks = 0;
        devices.getUserMedia = async (wish) => {
            looks += 1;
            if (looks > 1) return real(wish);
            devices.dispatchEvent(new Event('devicechange'));
            throw new DOMException('none', 'NotFoundError');
        };";
    browser.eval(none_at_first, vec![]).await;
    browser.enter("1002").await;
    office.ready().await;
    let call = office.talk().await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}

/// The site's login service takes longer for a token than the gateway waits for `hello`: the agent is signed in all the same.
#[tokio::test]
async fn a_login_service_that_takes_its_time_signs_in() {
    let office = Office::open().await;
    let browser = &office.browser;
    browser
        .open(&format!("http://{}/agent", office.gateway.agents()))
        .await;
    let connect = "
        const [token] = arguments;
        import('/sdk/talkbridge.js').then(({ Talkbridge }) => {
            window.slow = new Talkbridge();
            const fetch = () => new Promise((resolve) => setTimeout(() => resolve(token), 6_000));
            window.slow.connect({ token: fetch });
        });";
    let token = json!(Gateway::token("1002"));
    browser.eval(connect, vec![token]).await;
    interop_tests::wait::eventually_async("the page is signed in", || async {
        let state = browser.eval("return window.slow?.connection", vec![]).await;
        assert_ne!(state, "signed_out");
        (state == "signed_in").then_some(())
    })
    .await;
    office.browser.close().await;
}

/// The agent closed her laptop and signed in at a desk; the laptop wakes up in mid-call. Its page says that it is signed out, and the caller stays at
/// the desk.
#[tokio::test]
async fn a_laptop_that_wakes_up_leaves_the_call_at_the_desk() {
    let office = Office::open().await;
    let cable = Cable::lay(office.site.browsers(), office.gateway.agents())
        .await
        .expect("a port");
    office.sign_in_at(cable.address()).await;
    let call = office.talk().await;
    office.browser.sleeps();
    cable.pull();
    let ws = "talkbridge_ws_connections";
    office.gateway.metric_is(ws, "", 0.0).await;
    let second = Page::sign_in(&office.gateway, "1002").await;
    second.hears(CUSTOMER_HZ).await;
    office.browser.wakes();
    office
        .browser
        .reads("#problem-text", "You signed in on another page")
        .await;
    assert_eq!(second.call()["state"], "talking");
    office.sim.customer_hears(&call, PAGE_HZ).await;
    office.sim.operate(&call, "Hangup").await;
    office.over(&call).await;
}
