//! The same over TCP.

use interop_tests::Desk;

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
