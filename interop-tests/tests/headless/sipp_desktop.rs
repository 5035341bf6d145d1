//! What the desktop is told of a call, and what it may ask for inside one.

use interop_tests::Desk;
use serde_json::json;

#[tokio::test]
async fn the_page_is_told_what_sip_server_knows_of_a_call() {
    let desk = Desk::start_with(|config| config["sip"]["pass_headers"] = json!(["X-Site"])).await;
    let mut sipp = desk.calling("uac-invite-headers").start();
    let call = desk.page.call_in("ringing").await;
    let name = "Zoe <img src=x onerror=alert(1)>";
    assert_eq!(
        call["remote"],
        json!({"number": "+493012345", "name": name})
    );
    let dialled = json!({"number": "0800123", "name": "Hotline", "reason": "no-answer"});
    assert_eq!(call["diverted_from"], dialled);
    let user = json!({"data": "0441636374", "encoding": "hex", "text": "Acct"});
    assert_eq!(call["user_to_user"], user);
    assert_eq!(call["ring"], "external");
    assert_eq!(
        call["attached"],
        json!({"Segment": "<b onclick=\"alert(2)\">gold</b>"})
    );
    assert_eq!(
        call["headers"],
        json!({"X-Site": "Berlin"}),
        "and no other header"
    );
    let record = desk.gateway.get("/api/v1/calls").await.json();
    assert!(record.to_string().contains("0800123"), "{record}");
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_cancel").await;
}
