//! Calls that the agent dials on the desktop: SIP Server rings the agent first.

use interop_tests::sipp::header;
use interop_tests::{Desk, eventually};
use serde_json::json;

async fn answers(sipp: &interop_tests::Sipp, times: usize) {
    eventually("the answer is repeated", || {
        let answers = sipp.received().into_iter().filter(|message| {
            message.starts_with("SIP/2.0 200") && header(message, "CSeq") == Some("1 INVITE")
        });
        answers.count() >= times
    })
    .await;
}

#[tokio::test]
async fn the_ack_may_be_withheld_until_the_far_end_answers() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-make-call-withheld-ack").start();
    // Sent at 0, 0.5, 1.5 and 3.5 s: by then SIP Server's far end has been ringing for a while.
    answers(&sipp, 4).await;
    assert_eq!(desk.page.call()["state"], "answering");
    sipp.cue().await;
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn a_black_hole_is_a_held_call() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-make-call-black-hole").start();
    let call = desk.page.call_in("held").await;
    assert_eq!(call["held_by"], "remote");
    assert_eq!(desk.customer.heard().packets, 0);
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn our_own_address_in_the_ack_is_no_loop() {
    let desk = Desk::start().await;
    desk.calling("uac-make-call-echoed-sdp").passes().await;
    let call = desk.page.call_in("ended").await;
    assert_eq!(call["end"]["sip_status"], 403, "{call}");
    assert!(
        call["end"]["reason"]
            .as_str()
            .is_some_and(|text| text.contains("Forbidden"))
    );
    assert_eq!(
        desk.page.state().packets,
        0,
        "the agent must not hear the own voice"
    );
}

#[tokio::test]
async fn an_answer_that_nobody_confirms_is_given_up() {
    // 64*T1 is 32 s in the field and 3.2 s here.
    let timers = json!({"t1_ms": 50, "t2_ms": 400, "t4_ms": 500});
    let desk = Desk::start_with(|config| config["sip"]["timers"] = timers).await;
    desk.calling("uac-make-call-no-ack").passes().await;
    desk.ended("ack_missing").await;
}

#[tokio::test]
async fn the_far_end_may_come_by_a_re_invite() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-make-call-flow2").start();
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}
