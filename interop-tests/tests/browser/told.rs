//! What the page tells its agent, and what she can do about it: somebody listens live, the line is bad, a call comes.

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
    interop_tests::wait::eventually_async("nobody listens", || async {
        let view: Value = serde_json::from_str(&office.gateway.get(&view).await.body).ok()?;
        (view["listened"].is_null() && view["paused"] == true).then_some(())
    })
    .await;
    browser.click(RESUME).await;
    browser.sees_no(RESUME).await;
    office.release(&call).await;
}
