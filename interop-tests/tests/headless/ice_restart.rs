//! ICE restarts that come to nothing, with a WebRTC stack of another make.

use interop_tests::attack::SipPeer;
use interop_tests::page::Restarts;
use interop_tests::{Desk, eventually};

/// 2 s of sound from the caller.
const A_WHILE: u64 = 100;

/// The agent's network offers nothing better, or her page does not hear of the offer: a restart is offered and never answered, another one is answered and
/// never checked. The call goes on over the path that it has, and a restart that succeeds brings another.
#[tokio::test]
async fn a_restart_that_fails_keeps_the_old_path() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    for restarts in [Restarts::Unheard, Restarts::Answered, Restarts::Taken] {
        desk.page.treats(restarts);
        desk.page.restarts_media().await;
        let heard = || [desk.page.state().packets, desk.customer.heard().packets];
        let before = heard();
        eventually(&format!("{restarts:?}: the call goes on"), || {
            heard()
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= before + A_WHILE)
        })
        .await;
        desk.both_hear().await;
        assert_eq!(desk.page.call()["state"], "talking", "{restarts:?}");
    }
    assert!(desk.page.connected());
    // The first offer and three restarts: the connection that is there was never given up for another.
    assert_eq!(desk.page.messages("media_offer").len(), 4);
    let states = desk.page.messages("media_state");
    let states: Vec<&str> = states
        .iter()
        .filter_map(|told| told["state"].as_str())
        .collect();
    assert_eq!(states, ["connecting", "connected"]);
    assert_eq!(
        desk.customer.heard().ssrcs.len(),
        1,
        "one stream all the while"
    );
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}
