//! What the page tells its agent, and what she can do about it: somebody listens live, the line is bad, a call comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use interop_tests::attack::SipPeer;
use interop_tests::eventually_async;
use interop_tests::scale::Telephone;
use interop_tests::tone::Sine;
use serde_json::json;
use tokio_tungstenite::connect_async;

use super::*;

const PAUSE: &str = "#calls [data-record=pause]";
const RESUME: &str = "#calls [data-record=resume]";

/// Nothing is recorded here, and somebody listens live to transcribe. A card number comes: she sees that somebody listens, pauses, and ends the pause; which she can also when
/// nobody listens any more.
#[tokio::test]
async fn an_agent_pauses_who_listens_live() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let browser = &office.browser;
    browser.sees_no(PAUSE).await;
    let id = "return document.querySelector('#calls [data-call]').dataset.call";
    let id = browser.eval(id, vec![]).await;
    let id = id.as_str().expect("the card names its call");
    let tap = format!("ws://{}/api/v1/calls/{id}/tap", office.gateway.admin());
    let (listener, _) = connect_async(tap).await.expect("a place");
    browser
        .reads("[data-testid=recording]", "Somebody listens live")
        .await;
    browser.sees_no("#calls [data-record=start]").await;
    for _ in 0..2 {
        browser.click(PAUSE).await;
        browser.reads("[data-testid=recording]", "Paused").await;
        browser.sees_no(PAUSE).await;
        browser.click(RESUME).await;
        browser.sees_no(RESUME).await;
    }
    browser.click(PAUSE).await;
    browser.sees(RESUME).await;
    drop(listener);
    let view = format!("/api/v1/calls/{id}");
    eventually_async("nobody listens", || async {
        let view: Value = serde_json::from_str(&office.gateway.get(&view).await.body).ok()?;
        (view["listened"].is_null() && view["paused"] == true).then_some(())
    })
    .await;
    browser.click(RESUME).await;
    browser.sees_no(RESUME).await;
    office.release(&call).await;
}

/// The gateway says who hears badly, one of them, both, or nobody: the card says so in words while it is so.
#[tokio::test]
async fn a_bad_line_is_told_while_it_is_bad() {
    let office = Office::open().await;
    office.sign_in().await;
    let call = office.talk().await;
    let browser = &office.browser;
    let id = "return document.querySelector('#calls [data-call]').dataset.call";
    let id = browser.eval(id, vec![]).await;
    let tell = "talkbridge.dispatchEvent(new CustomEvent('quality', { detail: arguments[0] }));
        return document.querySelector('[data-testid=hearing]').textContent";
    let told = async |heard_badly: Value| {
        let quality = json!({"type": "quality", "call": id, "heard_badly": heard_badly});
        let words = browser.eval(tell, vec![quality]);
        words.await.as_str().expect("a text").to_owned()
    };
    let badly = |to_agent, to_caller| json!({"to_agent": to_agent, "to_caller": to_caller});
    let words = told(badly(true, false)).await;
    assert!(words.contains("you may miss"), "{words}");
    let words = told(badly(true, true)).await;
    assert!(words.contains("both of you"), "{words}");
    let words = told(badly(false, true)).await;
    assert!(words.contains("the other side may miss"), "{words}");
    assert_eq!(told(Value::Null).await, "");
    office.release(&call).await;
}

/// Every fifth packet of her caller is lost, and later none: her page says so with the next word about quality, and no longer when it has been well for 15 s.
#[tokio::test]
async fn packets_that_are_lost_are_told_in_words() {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["media"]["ports"] = json!("16384-16385");
    })
    .await;
    let browser = Browser::start().await;
    browser.sign_in(gateway.agents(), "1002").await;
    browser.reads("#registration", "Registered").await;
    browser.reads("#media-state", "Audio ready").await;
    let media = (site.gateway(), 16_384).into();
    let mut caller = Telephone::at(site.media(), media).await;
    let server = SipPeer::start(&site, site.sip_server(), 5070).await;
    let mut call = server.talks("1002", caller.address()).await;
    let loses = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&loses);
    let speaks = tokio::spawn(async move {
        let mut tone = Sine::new(CUSTOMER_HZ);
        for nth in 0_u64.. {
            caller.waits().await;
            let frame = tone.frame();
            match nth % 5 == 0 && still.load(Ordering::Relaxed) {
                true => caller.says_in_vain(),
                false => caller.says(&frame).await,
            }
        }
    });
    browser
        .reads("[data-testid=hearing]", "you may miss parts")
        .await;
    loses.store(false, Ordering::Relaxed);
    // Three good measurements, 5 s each, behind the last bad one: more than any one wait.
    let count = "window.measured = 0;
        talkbridge.addEventListener('quality', () => { window.measured += 1; })";
    browser.eval(count, vec![]).await;
    for measured in [2, 4] {
        eventually_async("the call is measured again", || async {
            let seen = browser.eval("return window.measured", vec![]).await;
            (seen.as_u64() >= Some(measured)).then_some(())
        })
        .await;
    }
    browser.sees_no("[data-testid=hearing]").await;
    gateway.logs(&["call heard well again"]).await;
    speaks.abort();
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    browser.close().await;
}

/// The same caller gives up and calls again: who hears the page by a screen reader is told of both.
#[tokio::test]
async fn the_second_call_of_a_caller_is_read_out() {
    let office = Office::open().await;
    office.sign_in().await;
    let (browser, sim) = (&office.browser, &office.sim);
    let listen = "
        window.read = [];
        const alarm = document.querySelector('#alarm');
        new MutationObserver(() => alarm.textContent && window.read.push(alarm.textContent))
            .observe(alarm, { childList: true, characterData: true, subtree: true });";
    browser.eval(listen, vec![]).await;
    for nth in 1..=2 {
        let call = sim.customer_calls("0301234567", "1002").await;
        interop_tests::wait::eventually_async("it is read out", || async {
            let read = browser.eval("return window.read.length", vec![]).await;
            (read == nth).then_some(())
        })
        .await;
        sim.operate(&call, "Hangup").await;
        sim.released("1002", &call).await;
        browser.sees_no("#calls [data-call]").await;
    }
    office.browser.close().await;
}

/// A link with a token is opened in the tab that shows the page: she is signed in, and the token stands nowhere; nor does one that comes when she is signed in.
#[tokio::test]
async fn a_token_that_comes_to_an_open_page_signs_in() {
    let office = Office::open().await;
    let browser = &office.browser;
    let page = format!("http://{}/agent", office.gateway.agents());
    browser.open(&page).await;
    browser.sees("#sign-in").await;
    let link = "location.hash = `token=${arguments[0]}`";
    let gone = || {
        interop_tests::wait::eventually_async("the token is gone", || async {
            let hash = browser.eval("return location.hash", vec![]).await;
            (hash == "").then_some(())
        })
    };
    let token = json!(Gateway::token("1002"));
    browser.eval(link, vec![token.clone()]).await;
    office.ready().await;
    gone().await;
    browser.eval(link, vec![token]).await;
    gone().await;
    let call = office.talk().await;
    office.release(&call).await;
}
