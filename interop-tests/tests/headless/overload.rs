//! A gateway that has too much to do: whoever talks comes first.

use std::time::Duration;

use interop_tests::{ControlGroup, Desk, Page, eventually};
use serde_json::{Value, json};

/// Of each second the process gets no processor for so long, as on a machine that others have filled: a packet in eight waits too long.
const STOOD_STILL: Duration = Duration::from_millis(150);
const RAN: Duration = Duration::from_millis(500);

/// What the page was told last about new calls.
fn admission(desk: &Desk) -> Option<Value> {
    desk.page.messages("admission").pop()
}

/// The machine has no time for the gateway: the agent who talks goes on talking, who calls now is sent elsewhere, and when there is time again calls come in.
#[tokio::test]
async fn no_call_is_taken_at_the_cost_of_those_who_talk() {
    let mut desk = Desk::start_with(|config| config["limits"] = json!({})).await;
    let mut call = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;

    let mut stops = 0;
    while admission(&desk).is_none() {
        stops += 1;
        assert!(stops < 60, "{}", desk.gateway.log());
        desk.gateway
            .process()
            .signal("STOP")
            .await
            .expect("kill is there");
        tokio::time::sleep(STOOD_STILL).await;
        desk.gateway
            .process()
            .signal("CONT")
            .await
            .expect("kill is there");
        tokio::time::sleep(RAN).await;
    }
    let told = admission(&desk).expect("seen above");
    assert_eq!(
        (&told["open"], &told["reason"]),
        (&json!(false), &json!("overload"))
    );
    desk.calling("uac-invite-overload").passes().await;
    let refused = desk
        .page
        .request(json!({"type": "dial", "number": "1003"}))
        .await;
    assert_eq!(refused["code"], "overload", "{refused}");
    let late = Page::start(desk.gateway.page("1003"))
        .await
        .expect("a WebSocket");
    assert_eq!(late.closed().await, 4429);
    let why = late.messages("error").pop().expect("the page is told why");
    assert_eq!(why["code"], "overload", "{why}");
    assert!(late.messages("welcome").is_empty());
    desk.both_hear().await;

    let refused = "talkbridge_sign_ins_refused_total";
    assert_eq!(desk.gateway.metric(refused, "overload").await, 1.0);
    let metric = "talkbridge_media_overloaded";
    assert_eq!(desk.gateway.metric(metric, "worker=\"0\"").await, 1.0);
    let ended = "talkbridge_calls_ended_total";
    assert_eq!(desk.gateway.metric(ended, "overload").await, 1.0);
    let ready = desk.gateway.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("media_capacity"), "{ready:?}");
    desk.gateway.logs(&["WARN", "too much to do"]).await;
    desk.gateway.logs(&["WARN", "sign-in refused"]).await;

    eventually("calls are taken again", || {
        admission(&desk).is_some_and(|told| told["open"] == true)
    })
    .await;
    drop(Page::sign_in(&desk.gateway, "1003").await);
    call.cue().await;
    desk.page.control("hangup").await;
    call.passes().await;
    desk.page.call_in("ended").await;
    let mut next = desk.calling("uac-invite-agent-hangs-up").start();
    desk.page.call_in("talking").await;
    next.cue().await;
    desk.page.control("hangup").await;
    next.passes().await;
}

/// What `/metrics` says of the quota.
const QUOTA: &str = "talkbridge_media_quota_ratio{worker=\"0\"}";

/// A container that may have little of a core is full when that is used up, long before a worker is busy.
#[tokio::test]
async fn a_container_that_has_used_up_its_share_of_a_core_takes_no_call() {
    let group = ControlGroup::unlimited();
    let desk = Desk::start_in(&group).await;
    let mut call = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    assert!(!desk.gateway.get("/metrics").await.body.contains(QUOTA));

    group.sets("1 1000000");
    eventually("no further calls are taken", || {
        admission(&desk).is_some_and(|told| told["open"] == false)
    })
    .await;
    desk.calling("uac-invite-overload").passes().await;
    let warning = desk.gateway.logs(&["WARN", "too much to do"]).await;
    assert!(warning.contains("quota_percent=100"), "{warning}");
    let quota = "talkbridge_media_quota_ratio";
    let taken = desk.gateway.metric(quota, "worker=\"0\"").await;
    assert!((taken - 1.0).abs() < 0.001, "{taken}");
    desk.both_hear().await;

    group.sets("max 1000000");
    eventually("calls are taken again", || {
        admission(&desk).is_some_and(|told| told["open"] == true)
    })
    .await;
    assert!(!desk.gateway.get("/metrics").await.body.contains(QUOTA));
    call.cue().await;
    desk.page.control("hangup").await;
    call.passes().await;
}
