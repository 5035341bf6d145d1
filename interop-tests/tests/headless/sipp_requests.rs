//! Everything else that SIP Server, or somebody who poses as it, may send.

use interop_tests::attack::{Dialog, SipPeer};
use interop_tests::{Customer, Desk};

#[tokio::test]
async fn offerless_re_invites_in_a_row_are_all_answered() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-reinvite-series").start();
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
    assert_eq!(desk.customer.heard().ssrcs.len(), 1);
}

#[tokio::test]
async fn a_bye_overtakes_a_re_invite() {
    let desk = Desk::start().await;
    desk.calling("uac-reinvite-bye-race").passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn a_second_offer_waits_for_the_first() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-reinvite-overlapping").start();
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn an_update_refreshes_or_changes_the_session() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-update").start();
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn an_old_request_is_refused() {
    let desk = Desk::start().await;
    desk.calling("uac-old-cseq").passes().await;
    desk.ended("remote_hangup").await;
    assert!(!desk.page.remote_control().contains(&"hold".to_owned()));
}

#[tokio::test]
async fn what_the_next_host_brings_again_is_done_once() {
    let desk = Desk::start().await;
    desk.calling("uac-again-by-next-host").passes().await;
    desk.ended("remote_hangup").await;
    assert_eq!(desk.page.remote_control(), ["talk", "talk"]);
}

#[tokio::test]
async fn the_far_end_may_move() {
    let desk = Desk::start().await;
    let moved = Customer::start(desk.site.media()).await;
    let mut sipp = desk
        .calling("uac-rtp-address-moves")
        .key("moved_host", moved.address().ip())
        .key("moved_port", moved.address().port())
        .start();
    desk.both_hear().await;
    sipp.cue().await;
    moved.hears(interop_tests::gateway::PAGE_HZ).await;
    desk.customer.hears_nothing().await;
    desk.page.hears(interop_tests::customer::CUSTOMER_HZ).await;
    sipp.cue().await;
    sipp.passes().await;
}

#[tokio::test]
async fn an_unknown_event_is_489_and_the_call_goes_on() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-notify-unknown-event").start();
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
}

#[tokio::test]
async fn requests_outside_a_call_get_the_answer_of_the_book() {
    let desk = Desk::start().await;
    for scenario in [
        "uac-options",
        "uac-unknown-method",
        "uac-subscribe",
        "uac-notify-message-summary",
        "uac-info-outside-dialog",
        "uac-content-length-too-long",
        "uac-two-content-lengths",
        "uac-invite-unknown-require",
    ] {
        desk.calling(scenario).passes().await;
    }
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    for (event, status) in [("hold", 481), ("dtmf;digits=5", 481), ("presence", 489)] {
        let mut nowhere = Dialog::new(&server, "1002");
        let notify = nowhere.request("NOTIFY", &format!("Event: {event}\n"), "");
        assert_eq!(server.asks(&notify).await, status, "{event}");
    }
    assert!(desk.page.call().is_null());
}

#[tokio::test]
async fn a_flood_of_options_is_answered_and_no_call_suffers() {
    let desk = Desk::start().await;
    let mut call = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    desk.calling("uac-options").calls(3000, 1000).passes().await;
    desk.both_hear().await;
    call.cue().await;
    desk.page.control("hangup").await;
    call.passes().await;
    desk.ended("agent_hangup").await;
}
