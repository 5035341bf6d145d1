//! Hold and retrieve: by the desktop's NOTIFY, by SIP Server's own offers, by the agent.

use interop_tests::{Desk, Sipp, eventually};

#[tokio::test]
async fn notify_holds_and_talk_retrieves() {
    held_and_retrieved_by_notify("uac-hold-notify").await;
}

/// What SIP Server answers to a hold is no hold of its own, and what it asks for behind it opens nothing.
#[tokio::test]
async fn a_black_hole_answers_the_hold() {
    held_and_retrieved_by_notify("uac-hold-answered-black-hole").await;
}

/// A 200 without a description takes the hold all the same, and the retrieval.
#[tokio::test]
async fn a_200_without_a_description_answers_the_hold() {
    held_and_retrieved_by_notify("uac-hold-answered-without-sdp").await;
}

async fn held_and_retrieved_by_notify(scenario: &str) {
    let desk = Desk::start().await;
    let mut sipp = desk.calling(scenario).start();
    desk.both_hear().await;
    sipp.cue().await;
    let call = desk.page.call_in("held").await;
    assert_eq!(call["held_by"], "talk_control");
    desk.neither_hears().await;
    sipp.cue().await;
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
    assert_eq!(desk.page.remote_control(), ["talk", "hold", "talk"]);
    assert_eq!(
        desk.customer.heard().ssrcs.len(),
        1,
        "one stream through hold and retrieve"
    );
}

#[tokio::test]
async fn a_second_hold_changes_nothing() {
    let desk = Desk::start().await;
    let sipp = desk.calling("uac-hold-notify-twice").passes().await;
    desk.ended("remote_hangup").await;
    let offers = sipp
        .received()
        .iter()
        .filter(|message| message.starts_with("INVITE "))
        .count();
    assert_eq!(offers, 1);
}

#[tokio::test]
async fn zeros_hold_and_an_offerless_re_invite_retrieves() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-hold-reinvite-black-hole").start();
    desk.both_hear().await;
    sipp.cue().await;
    let call = desk.page.call_in("held").await;
    assert_eq!(call["held_by"], "remote");
    desk.neither_hears().await;
    sipp.cue().await;
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn sendonly_holds() {
    held_by_direction("uac-hold-reinvite-sendonly").await;
}

#[tokio::test]
async fn inactive_holds() {
    held_by_direction("uac-hold-reinvite-inactive").await;
}

async fn held_by_direction(scenario: &str) {
    let desk = Desk::start().await;
    let mut sipp = desk.calling(scenario).start();
    let call = desk.page.call_in("held").await;
    assert_eq!(call["held_by"], "remote");
    desk.customer.hears_nothing().await;
    sipp.cue().await;
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn the_agent_holds_and_retrieves_in_the_page() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-hold-by-agent").start();
    desk.both_hear().await;
    desk.page.control("hold").await;
    let call = desk.page.call_in("held").await;
    assert_eq!(call["held_by"], "agent");
    desk.neither_hears().await;
    desk.page.control("retrieve").await;
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn a_hold_that_meets_another_offer_is_tried_again() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-hold-glare").start();
    // Its own ACK is that of the 491; the second is that of the answer.
    acknowledged(&sipp, 2).await;
    desk.page.call_in("held").await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn a_refused_hold_leaves_the_call_as_it_was() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-hold-refused").start();
    sipp.got("ACK ").await;
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

/// Waits until `times` ACKs were received: those of talkbridge's own re-INVITEs.
async fn acknowledged(sipp: &Sipp, times: usize) {
    eventually("the offer is acknowledged", || {
        sipp.received()
            .iter()
            .filter(|message| message.starts_with("ACK "))
            .count()
            >= times
    })
    .await;
}
