//! Calls by the agent's own INVITE.

mod common;

use common::{ANSWER, OFFER, World};
use control::{CallDirection, CallState, EndedBy, ErrorCode, PageMessage};
use switchboard::MediaCommand;

fn dial(world: &mut World, page: u64, number: &str) -> sip::Request {
    world.say(
        page,
        PageMessage::Dial {
            number: number.into(),
        },
    );
    world.requests("INVITE").pop().expect("an INVITE")
}

/// The agent dials: the callee rings, answers, and both hear each other.
#[test]
fn a_dialled_call_is_answered() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page, "5550100");
    assert_eq!(invite.uri.to_string(), "sip:5550100@192.0.2.81");
    let from = common::text(invite.headers.get(&sip::HeaderName::FROM));
    assert!(from.contains("sip:1002@192.0.2.81"), "{from}");
    world.respond(&invite, "180 Ringing", None);
    let call = world.call(page);
    assert_eq!(
        (call.direction, call.state),
        (CallDirection::Outbound, CallState::Ringing)
    );
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert_eq!(world.requests("ACK").len(), 1);
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.plan().to_agent && world.plan().to_caller);
    let call = world.call(page).id;
    world.say(
        page,
        PageMessage::Dtmf {
            call: call.clone(),
            digits: "12#".into(),
        },
    );
    assert!(world.media.iter().any(
        |command| matches!(command, MediaCommand::SendDigits { digits, .. } if digits == "12#")
    ));
    world.say(page, PageMessage::Hangup { call });
    let bye = world.requests("BYE").pop().unwrap();
    world.respond(&bye, "200 OK", None);
    world.assert_quiet();
}

/// The desktop knows a call by its CallUUID; for one that the agent dials SIP Server tells it in its first response.
#[test]
fn a_dialled_call_gets_the_key_that_the_desktop_knows_it_by() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page, "5550100");
    assert_eq!(world.call(page).call_uuid, None);
    let uuid = "X-Genesys-CallUUID: TTL7J9EM750GP936CFL0EOACN8000002\r\n";
    world.respond_by("server", &invite, "180 Ringing", uuid, None);
    let known = Some("TTL7J9EM750GP936CFL0EOACN8000002".to_owned());
    assert_eq!(world.call(page).call_uuid, known);
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert_eq!(world.call(page).call_uuid, known, "and keeps it");
}

/// Star and hash codes reach SIP Server as they were dialled.
#[test]
fn star_codes_are_escaped_once() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page, "*21#");
    assert_eq!(invite.uri.to_string(), "sip:*21%23@192.0.2.81");
    world.say(
        page,
        PageMessage::Dial {
            number: "1@evil.example".into(),
        },
    );
    assert_eq!(world.last_error(page), Some(ErrorCode::BadNumber));
}

/// The callee is busy: the agent reads why.
#[test]
fn busy() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page, "5550100");
    world.respond(&invite, "486 Busy Here", None);
    let end = world.call(page).end.unwrap();
    assert_eq!(
        (end.by, end.sip_status, end.reason.as_deref()),
        (EndedBy::Remote, Some(486), Some("Busy Here"))
    );
    world.assert_quiet();
}

/// The agent gives up before the answer.
#[test]
fn cancelled_by_the_agent() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page, "5550100");
    world.respond(&invite, "180 Ringing", None);
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "200 OK", None);
    world.respond(&invite, "487 Request Terminated", None);
    let end = world.call(page).end.unwrap();
    assert_eq!(
        (end.by, end.cause.as_str()),
        (EndedBy::Agent, "agent_cancel")
    );
    world.assert_quiet();
}

/// Dialling holds the call that is up.
#[test]
fn dialling_holds_the_other_call() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.say(
        page,
        PageMessage::Dial {
            number: "5550100".into(),
        },
    );
    let held = world.calls(page)[0].clone();
    assert_eq!(held.state, CallState::Held);
    world.say(
        page,
        PageMessage::Dial {
            number: "5550101".into(),
        },
    );
    assert_eq!(world.last_error(page), Some(ErrorCode::Busy));
    let third = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&third, 1, "INVITE"), [100, 486]);
}

/// Without a media connection the callee would answer to silence: the agent is told at once, and nobody's telephone rings.
#[test]
fn nothing_is_dialled_without_media() {
    let mut world = World::new(&["1002"]);
    world.media_connects = false;
    let page = world.sign_in("1002", None);
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    assert_eq!(world.last_error(page), Some(ErrorCode::MediaNotReady));
    assert!(world.requests("INVITE").is_empty());
}

/// Her own call still rings when another one is answered: the callee's answer comes up held, and she hears one of the two.
#[test]
fn a_dialled_call_makes_way_for_one_that_is_answered() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page, "5550100");
    world.respond(&invite, "180 Ringing", None);
    let mut second = world.invite("1002", Some(OFFER));
    world.notify(&mut second, "talk");
    world.ack(&second, 1, None);
    world.respond(&invite, "200 OK", Some(ANSWER));
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
}
