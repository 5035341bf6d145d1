//! Calls that are handed to somebody else, by the agent or by SIP Server.

use interop_tests::{Desk, eventually_some};
use serde_json::{Value, json};

/// Hands the newest call to this number.
async fn hand_over(desk: &Desk, number: &str) {
    let request = json!({"type": "transfer", "call": desk.page.call()["id"], "to": number});
    let reply = desk.page.request(request).await;
    assert_eq!(reply["type"], "ok", "{reply}");
}

/// The states of the newest call's transfer, repetitions left out.
fn told(desk: &Desk) -> Vec<String> {
    let mut states: Vec<String> = desk
        .page
        .messages("call")
        .iter()
        .filter_map(|message| message["call"]["transfer"]["state"].as_str())
        .map(str::to_owned)
        .collect();
    states.dedup();
    states
}

/// What the page reads of a transfer that came to nothing.
async fn failed(desk: &Desk) -> Value {
    eventually_some("the transfer fails", || {
        let transfer = desk.page.call()["transfer"].clone();
        (transfer["state"] == "failed").then_some(transfer)
    })
    .await
}

#[tokio::test]
async fn a_caller_is_handed_to_a_number() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-blind").start();
    desk.both_hear().await;
    hand_over(&desk, "1005").await;
    sipp.passes().await;
    desk.ended("transferred").await;
    assert_eq!(told(&desk), ["asking", "trying", "ringing", "done"]);
    desk.gateway
        .metric_is(
            "talkbridge_transfers_total",
            r#"kind="blind",result="done""#,
            1.0,
        )
        .await;
}

#[tokio::test]
async fn a_transfer_without_bye_is_ended_by_us() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-blind-no-bye").start();
    desk.both_hear().await;
    hand_over(&desk, "1005").await;
    sipp.passes().await;
    desk.ended("transferred").await;
}

#[tokio::test]
async fn an_agent_has_the_caller_back_when_the_target_is_busy() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-target-busy").start();
    desk.both_hear().await;
    hand_over(&desk, "1005").await;
    let transfer = failed(&desk).await;
    assert_eq!(
        (&transfer["sip_status"], &transfer["reason"]),
        (&json!(486), &json!("Busy Here"))
    );
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn an_administrator_may_transfer_and_reads_that_it_was_refused() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-refused").start();
    desk.both_hear().await;
    let call = desk.page.call()["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let path = format!("/api/v1/calls/{call}/transfer");
    let answer = desk.gateway.post(&path, &json!({"to": "1005"})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(failed(&desk).await["sip_status"], 603);
    desk.both_hear().await;
    let record = desk
        .gateway
        .get(&format!("/api/v1/calls/{call}"))
        .await
        .json();
    assert_eq!(record["transfer"]["reason"], "Decline", "{record}");
    sipp.cue().await;
    sipp.passes().await;
}
