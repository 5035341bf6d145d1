//! What somebody says under SIP Server's address who does not read the answers: nobody hears an agent by that, and she calls nobody.

mod common;

use common::{OFFER, World};
use control::CallState;
use switchboard::MediaCommand;

/// Whether the caller of the last plan for each call hears the agent, in the order of the calls.
fn spoken_to(world: &World) -> Vec<bool> {
    let mut calls = std::collections::BTreeMap::new();
    for command in &world.media {
        if let MediaCommand::Plan(plan) = command {
            calls.insert(plan.call, plan.to_caller);
        }
    }
    calls.into_values().collect()
}

/// A call that answers itself: the agent is not heard in it before the ACK, which needs our tag, and her own caller stays with her.
#[test]
fn a_call_that_answers_itself_is_spoken_to_after_its_ack() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let dialog = world.invite_with("1002", Some(OFFER), "Alert-Info: ring answer\r\n");
    assert_eq!(world.statuses(&dialog, 1, "INVITE").pop(), Some(200));
    assert!(world.requests("INVITE").is_empty(), "nobody is put on hold");
    assert_eq!(spoken_to(&world), [true, false]);

    world.ack(&dialog, 1, None);
    let hold = world.answer_reinvite("recvonly");
    assert!(hold.contains("a=sendonly"), "{hold}");
    assert_eq!(spoken_to(&world), [false, true]);
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
}

/// The ACK is late, and SIP Server already says something else in the call: a click on the desktop, or a change of the session. That has our tag as well, so
/// the call is SIP Server's and takes her voice; nobody waits for the ACK. Where the click is Hold she talks to neither.
#[test]
fn another_request_with_our_tag_proves_the_call_before_its_ack() {
    use CallState::{Held, Talking};
    let moved = OFFER.replace("8006", "8010");
    for (said, offer, second_is) in [
        ("talk", None, Talking),
        ("hold", None, Held),
        ("INVITE", None, Talking),
        ("INVITE", Some(moved.as_str()), Talking),
        ("UPDATE", Some(moved.as_str()), Talking),
    ] {
        let (mut world, page) = World::with_agent("1002");
        world.talking("1002");
        let mut second = world.invite_with("1002", Some(OFFER), "Alert-Info: ring answer\r\n");
        assert_eq!(spoken_to(&world), [true, false]);
        let method = if offer.is_none() && said != "INVITE" {
            world.notify(&mut second, said);
            "NOTIFY"
        } else {
            world.in_dialog(&mut second, said, "", offer);
            said
        };
        let answer = world.statuses(&second, second.cseq, method).pop();
        assert_eq!(answer, Some(200), "{said}");
        let hold = world.requests("INVITE").remove(0);
        let hold = String::from_utf8_lossy(&hold.body).into_owned();
        assert!(hold.contains("a=sendonly"), "{said}: {hold}");
        let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
        assert_eq!(states, [Held, second_is], "{said}");
        assert_eq!(spoken_to(&world), [false, second_is == Talking], "{said}");
    }
}

/// SIP Server changes the call that she is in while the ACK of the next one is on its way: that one is not put on hold for it.
#[test]
fn a_call_that_waits_for_its_ack_is_not_held_for_another() {
    let (mut world, page) = World::with_agent("1002");
    let mut first = world.talking("1002");
    let second = world.invite_with("1002", Some(OFFER), "Alert-Info: ring answer\r\n");
    let moved = OFFER.replace("8006", "8010");
    let cseq = world.reinvite(&mut first, Some(&moved));
    world.ack(&first, cseq, None);
    world.ack(&second, 1, None);
    world.answer_reinvite("recvonly");
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
    assert_eq!(spoken_to(&world), [false, true]);
}

/// The same where nobody ever acknowledges: the caller who was there is still there.
#[test]
fn a_call_that_nobody_acknowledges_takes_no_caller_away() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.invite_with("1002", Some(OFFER), "Alert-Info: ring answer\r\n");
    world.advance(std::time::Duration::from_secs(80));
    assert_eq!(world.causes(), ["ack_missing"]);
    assert!(spoken_to(&world)[0]);
    assert_eq!(world.calls(page)[0].state, CallState::Talking);
    assert!(
        world.requests("INVITE").is_empty(),
        "nobody was put on hold"
    );
}

/// A REFER that SIP Server knows nothing of: it says so when it gets the news, and the call is given up. It gets the news although the forger wants none.
#[test]
fn a_refer_that_sip_server_never_sent_is_not_obeyed() {
    let (mut world, page) = World::with_agent("1002");
    let lines = "Refer-To: <sip:5550100@192.0.2.81>\r\nRefer-Sub: false\r\n";
    world.refer("1002", lines);
    let notify = world.requests("NOTIFY").pop().expect("news");
    world.respond(&notify, "481 Subscription Does Not Exist", None);
    assert_eq!(world.call(page).state, CallState::Ending);
    let invite = world.requests("INVITE").pop().expect("an INVITE");
    world.respond(&invite, "180 Ringing", None);
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "200 OK", None);
    world.respond(&invite, "487 Request Terminated", None);
    assert_eq!(world.causes(), ["remote_cancel"]);
    world.assert_quiet();
}
