//! TMakeCall, flow 1: SIP Server rings the agent without an offer and keeps its ACK back.

mod common;

use std::time::Duration;

use common::{ANSWER, BLACK_HOLE, World};
use control::{CallState, EndedBy, HeldBy};

/// The callee takes 10 s: the agent's 200 is repeated, the call is kept, and audio opens with the ACK.
#[test]
fn the_ack_may_be_withheld() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    assert_eq!(world.call(page).state, CallState::Answering);
    assert!(world.our_sdp(&dialog, 1).contains("RTP/AVP 0 8 101"));
    world.advance(Duration::from_secs(10));
    assert_eq!(
        world.statuses(&dialog, 1, "INVITE"),
        [100, 180, 200, 200, 200, 200, 200]
    );
    world.ack(&dialog, 1, Some(ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.plan().to_agent && world.plan().to_caller);
    world.in_dialog(&mut dialog, "BYE", "", None);
    world.assert_quiet();
}

/// Nobody answers the agent's call: SIP Server ends it with a black hole and BYE after 32 s, and we wait for that.
#[test]
fn the_black_hole_is_survived() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    world.advance(Duration::from_millis(31_900));
    assert!(world.requests("BYE").is_empty());
    world.ack(&dialog, 1, Some(BLACK_HOLE));
    let call = world.call(page);
    assert_eq!(
        (call.state, call.held_by),
        (CallState::Held, Some(HeldBy::Remote))
    );
    assert_eq!(world.plan().sip.remote, None);
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.call(page).state, CallState::Ended);
    world.assert_quiet();
}

/// The callee refuses: our own description comes back, and the agent must not hear herself.
#[test]
fn an_echo_is_not_joined() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    let echo = world.our_sdp(&dialog, 1);
    world.ack(&dialog, 1, Some(&echo));
    let plan = world.plan();
    assert_eq!(
        (plan.sip.remote, plan.to_agent, plan.to_caller),
        (None, false, false)
    );
    assert_eq!(world.call(page).held_by, None);
    world.in_dialog(
        &mut dialog,
        "BYE",
        "Reason: SIP;cause=403;text=\"Forbidden\"\r\n",
        None,
    );
    let end = world.call(page).end.unwrap();
    assert_eq!(
        (end.by, end.sip_status, end.reason.as_deref()),
        (EndedBy::Remote, Some(403), Some("Forbidden"))
    );
    world.assert_quiet();
}

/// An ACK without the answer we asked for cannot become a call.
#[test]
fn an_ack_without_answer_ends_the_call() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(page).end.unwrap().cause, "no_sdp_in_ack");
    world.assert_quiet();
}

/// No ACK at all: after 64*T1 the agent is freed by a BYE of ours, not before.
#[test]
fn no_ack_frees_the_agent_after_64_t1() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    world.advance(Duration::from_millis(31_990));
    assert!(world.requests("BYE").is_empty());
    world.advance(Duration::from_millis(20));
    let bye = world.requests("BYE").pop().expect("a BYE after 32 s");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(page).end.unwrap().cause, "ack_missing");
    world.assert_quiet();
}
