//! Consultation, alternation and conference as SIP Server drives them: on two dialogs and on one.

mod common;

use common::{ANSWER, BLACK_HOLE, Dialog, OFFER, World};
use control::{CallState, HeldBy, PageMessage};

/// The media server's description: another address, another codec order, another payload type for events.
const MCU: &str = "v=0\r\no=mcp 77 1 IN IP4 192.0.2.90\r\ns=-\r\nc=IN IP4 192.0.2.90\r\nt=0 0\r\n\
                   m=audio 30000 RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n";

/// A caller on hold by the desktop, and the consult call that SIP Server made after it: offerless, answered by talk.
fn consulting(world: &mut World) -> (Dialog, Dialog) {
    let mut main = world.talking("1002");
    world.notify(&mut main, "hold");
    world.answer_reinvite("recvonly");
    let mut consult = world.invite("1002", None);
    world.notify(&mut consult, "talk");
    world.ack(&consult, 1, Some(ANSWER));
    (main, consult)
}

fn states(world: &World, page: u64) -> Vec<CallState> {
    world.calls(page).iter().map(|call| call.state).collect()
}

/// The port that media of the one open call comes from.
fn heard(world: &World) -> u16 {
    let plan = world.plan();
    assert!(plan.to_agent && plan.to_caller, "{plan:?}");
    plan.sip.remote.expect("an address").port()
}

/// TInitiateTransfer: the agent talks to the colleague, the caller is silent on hold, and nothing held the caller twice.
#[test]
fn a_consult_call_beside_a_held_one() {
    let (mut world, page) = World::with_agent("1002");
    consulting(&mut world);
    assert_eq!(states(&world, page), [CallState::Held, CallState::Talking]);
    assert_eq!(world.calls(page)[0].held_by, Some(HeldBy::TalkControl));
    assert_eq!(world.requests("INVITE").len(), 1);
    assert_eq!(heard(&world), 8006);
}

/// TAlternateCall, twice: hold and talk arrive in either order, and one of the two calls is heard at every moment.
#[test]
fn alternating_between_the_two() {
    let (mut world, page) = World::with_agent("1002");
    let (mut main, mut consult) = consulting(&mut world);
    world.notify(&mut consult, "hold");
    world.answer_reinvite("recvonly");
    world.notify(&mut main, "talk");
    world.answer_reinvite("sendrecv");
    assert_eq!(states(&world, page), [CallState::Talking, CallState::Held]);
    // The other way round: talk comes first, and the agent has one voice all the same.
    world.notify(&mut consult, "talk");
    assert_eq!(states(&world, page), [CallState::Held, CallState::Talking]);
    world.notify(&mut main, "hold");
    for invite in world.requests("INVITE").iter().rev().take(2) {
        world.respond(invite, "200 OK", Some(ANSWER));
    }
    assert_eq!(states(&world, page), [CallState::Held, CallState::Talking]);
}

/// TReconnectCall: the consult call ends, the caller is back.
#[test]
fn reconnecting_to_the_caller() {
    let (mut world, page) = World::with_agent("1002");
    let (mut main, mut consult) = consulting(&mut world);
    world.in_dialog(&mut consult, "BYE", "", None);
    assert_eq!(states(&world, page), [CallState::Held, CallState::Ended]);
    world.notify(&mut main, "talk");
    assert!(world.answer_reinvite("sendrecv").contains("a=sendrecv"));
    assert_eq!(states(&world, page)[0], CallState::Talking);
    assert_eq!(heard(&world), 8006);
}

/// TCompleteTransfer: BYE on both dialogs, in either order, with a re-INVITE before it or not.
#[test]
fn completing_a_transfer_in_any_order() {
    for (consult_first, reinvited) in [(true, false), (false, false), (true, true), (false, true)] {
        let (mut world, page) = World::with_agent("1002");
        let (mut main, mut consult) = consulting(&mut world);
        if reinvited {
            let cseq = world.reinvite(&mut consult, Some(BLACK_HOLE));
            world.ack(&consult, cseq, None);
        }
        let (first, second) = if consult_first {
            (&mut consult, &mut main)
        } else {
            (&mut main, &mut consult)
        };
        world.in_dialog(first, "BYE", "", None);
        world.in_dialog(second, "BYE", "", None);
        assert_eq!(states(&world, page), [CallState::Ended, CallState::Ended]);
        world.assert_quiet();
    }
}

/// `dual-dialog-enabled = false`: the consult call borrows the caller's dialog, and all of it is re-INVITEs: hold, the colleague
/// by an offerless one, hold again, the caller back by an offerless one, end.
#[test]
fn a_consultation_on_one_dialog() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let colleague = ANSWER.replace("8006", "9006");
    for (offer, answer, port) in [
        (Some(BLACK_HOLE), None, None),
        (None, Some(colleague.as_str()), Some(9006)),
        (Some(BLACK_HOLE), None, None),
        (None, Some(ANSWER), Some(8006)),
    ] {
        let cseq = world.reinvite(&mut dialog, offer);
        assert_eq!(world.statuses(&dialog, cseq, "INVITE").last(), Some(&200));
        world.ack(&dialog, cseq, answer);
        match port {
            Some(port) => assert_eq!(heard(&world), port),
            None => assert!(!world.plan().to_agent && !world.plan().to_caller),
        }
    }
    assert_eq!(world.calls(page).len(), 1, "one call all the time");
    assert_eq!(world.call(page).state, CallState::Talking);
    world.in_dialog(&mut dialog, "BYE", "", None);
    world.assert_quiet();
}

/// TCompleteConference: the main dialog is moved to the media server with an offer, and the consult dialog ends, in either order.
/// The codec and the payload type of digits change with it.
#[test]
fn a_conference_in_either_order() {
    for consult_first in [true, false] {
        let (mut world, page) = World::with_agent("1002");
        let (mut main, mut consult) = consulting(&mut world);
        if consult_first {
            world.in_dialog(&mut consult, "BYE", "", None);
        }
        let cseq = world.reinvite(&mut main, Some(MCU));
        assert!(world.our_sdp(&main, cseq).contains("RTP/AVP 8 96"));
        world.ack(&main, cseq, None);
        if !consult_first {
            // The agent hears the conference from now on, and not the consult call beside it.
            let consult_invite = world.requests("INVITE").pop().unwrap();
            world.respond(&consult_invite, "200 OK", Some(ANSWER));
            world.in_dialog(&mut consult, "BYE", "", None);
        }
        assert_eq!(states(&world, page), [CallState::Talking, CallState::Ended]);
        assert_eq!(heard(&world), 30_000);
        let sip = world.plan().sip;
        assert_eq!(
            (
                sip.payload_type,
                sip.telephone_event.map(|event| event.payload_type)
            ),
            (8, Some(96))
        );
        // TDeleteFromConference: two are left, and SIP Server moves them away from the media server.
        let cseq = world.reinvite(&mut main, None);
        world.ack(&main, cseq, Some(ANSWER));
        assert_eq!(heard(&world), 8006);
        assert_eq!(world.plan().sip.payload_type, 0);
        world.in_dialog(&mut main, "BYE", "", None);
        world.assert_quiet();
    }
}

/// The media server is full and SIP Server rolls back: no dialog was touched, and the agent goes on with both calls.
#[test]
fn a_conference_that_is_rolled_back() {
    let (mut world, page) = World::with_agent("1002");
    let (mut main, mut consult) = consulting(&mut world);
    // Some releases move the dialog and move it back.
    let cseq = world.reinvite(&mut consult, Some(MCU));
    world.ack(&consult, cseq, None);
    assert_eq!(heard(&world), 30_000);
    let cseq = world.reinvite(&mut consult, Some(OFFER));
    world.ack(&consult, cseq, None);
    assert_eq!(heard(&world), 8006);
    assert_eq!(states(&world, page), [CallState::Held, CallState::Talking]);
    world.in_dialog(&mut consult, "BYE", "", None);
    world.notify(&mut main, "talk");
    world.answer_reinvite("sendrecv");
    assert_eq!(states(&world, page)[0], CallState::Talking);
}

/// A greeting, a recording, a supervisor: the far end moves several times within milliseconds, and the last one is heard.
#[test]
fn several_moves_within_milliseconds() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    for port in [30_000, 30_002, 30_004] {
        let offer = MCU.replace("30000", &port.to_string());
        let cseq = world.reinvite(&mut dialog, Some(&offer));
        assert_eq!(world.statuses(&dialog, cseq, "INVITE"), [200]);
        // The ACK of the last but one comes late.
        if port != 30_002 {
            world.ack(&dialog, cseq, None);
        }
    }
    assert_eq!(heard(&world), 30_004);
    assert_eq!(world.call(page).state, CallState::Talking);
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
    world.ack(&dialog, 4, None);
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    world.assert_quiet();
}
