//! The same over TCP.

use interop_tests::Desk;
use serde_json::json;

#[tokio::test]
async fn a_call_over_tcp_is_answered_and_heard() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-over-tcp").tcp().start();
    desk.page.call_in("ringing").await;
    desk.page.control("answer").await;
    desk.both_hear().await;
    desk.page.control("hangup").await;
    sipp.passes().await;
    desk.ended("agent_hangup").await;
}

#[tokio::test]
async fn the_outside_requests_over_tcp_get_the_same_answers() {
    let desk = Desk::start().await;
    for scenario in [
        "uac-options",
        "uac-unknown-method",
        "uac-subscribe",
        "uac-talk-outside-dialog",
        "uac-info-outside-dialog",
    ] {
        desk.calling(scenario).tcp().passes().await;
    }
}

#[tokio::test]
async fn a_talk_that_is_repeated_over_tcp_answers_once() {
    let desk = Desk::start().await;
    desk.calling("uac-talk-after-answer").tcp().passes().await;
    desk.ended("remote_hangup").await;
    assert_eq!(
        desk.page.remote_control().first().map(String::as_str),
        Some("talk")
    );
}

#[tokio::test]
async fn a_caller_over_tcp_may_give_up() {
    let desk = Desk::start().await;
    desk.calling("uac-cancel-ringing").tcp().passes().await;
    desk.ended("remote_cancel").await;
}

/// What is said within a call, each in a call of its own: hold, re-INVITEs, reliable ringing, an old CSeq, a request that comes again by another host, a reason to hang up.
#[tokio::test]
async fn calls_over_tcp_are_driven_as_over_udp() {
    let desk = Desk::start().await;
    for scenario in [
        "uac-hold-notify-twice",
        "uac-invite-100rel",
        "uac-invite-compact-headers",
        "uac-old-cseq",
        "uac-again-by-next-host",
        "uac-bye-with-reason",
        "uac-make-call-echoed-sdp",
    ] {
        desk.calling(scenario).tcp().passes().await;
        let call = desk.page.call_in("ended").await;
        assert_eq!(call["end"]["by"], "remote", "{scenario}: {call}");
    }
    desk.gateway
        .metric_is("talkbridge_calls_active", "", 0.0)
        .await;
}

#[tokio::test]
async fn a_caller_over_tcp_is_handed_to_a_number() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-blind").tcp().start();
    desk.both_hear().await;
    let away = json!({"type": "transfer", "call": desk.page.call()["id"], "to": "1005"});
    assert_eq!(desk.page.request(away).await["type"], "ok");
    sipp.passes().await;
    desk.ended("transferred").await;
}
