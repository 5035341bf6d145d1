//! Everything that can become of a dialled call but a conversation.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{ANSWER, OFFER, World, config, site};
use control::{CallState, CallView, EndedBy, ErrorCode, PageMessage};
use sip::ua::Transport;
use sip::ua::limits::Capacity;
use switchboard::{AdminCommand, AdminId, AdminRefusal, Input, Server};

const PEER: &str = "192.0.2.82:5060";

fn dial(world: &mut World, page: u64) -> sip::Request {
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    world.requests("INVITE").pop().expect("an INVITE")
}

fn hang_up(world: &mut World, page: u64) {
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
}

fn end(call: &CallView) -> (EndedBy, Option<u16>, &str, &str) {
    let end = call.end.as_ref().expect("the call has ended");
    let reason = end.reason.as_deref().unwrap_or_default();
    (end.by, end.sip_status, reason, end.cause.as_str())
}

/// A site of two SIP Servers.
fn with_peer() -> (World, u64) {
    with_peer_named("192.0.2.82")
}

fn with_peer_named(domain: &str) -> (World, u64) {
    let mut config = config(&["1002"]);
    config.sites[0].servers.push(Server {
        transport: Transport::Udp,
        address: PEER.parse().unwrap(),
        domain: domain.into(),
    });
    config.sip.allowed.push("192.0.2.82".parse().unwrap());
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    (world, page)
}

/// Where the last INVITE went.
fn last_invite(world: &World) -> String {
    let sent = world.sent.iter().rev();
    let mut invites = sent.filter(|sent| sent.text.starts_with("INVITE "));
    invites.next().expect("an INVITE").to.to_string()
}

/// Whatever the refusal, she reads it in words.
#[test]
fn every_refusal_is_told_in_words() {
    for (status, words) in [
        ("404 Not Found", "Not Found"),
        ("408 Request Timeout", "Request Timeout"),
        ("480 Temporarily Unavailable", "Temporarily Unavailable"),
        ("484 Whatever It Says", "Address Incomplete"),
        ("486 Busy Here", "Busy Here"),
        ("503 Service Unavailable", "Service Unavailable"),
        ("600 Busy Everywhere", "Busy Everywhere"),
        ("603 Decline", "Decline"),
    ] {
        let (mut world, page) = World::with_agent("1002");
        let invite = dial(&mut world, page);
        world.respond(&invite, status, None);
        let code = status[..3].parse().ok();
        let call = world.call(page);
        assert_eq!(
            end(&call),
            (EndedBy::Remote, code, words, "remote_rejected")
        );
        world.assert_quiet();
    }
}

/// SIP Server hangs until she was told that nobody answers. When it goes on and rings her callee, it is told that nobody waits: he would
/// answer to silence.
#[test]
fn a_callee_does_not_ring_for_nobody() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.advance(Duration::from_secs(33));
    assert_eq!(end(&world.call(page)).3, "no_response");
    world.respond(&invite, "180 Ringing", None);
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "200 OK", None);
    world.respond(&invite, "487 Request Terminated", None);
    assert_eq!(world.calls(page).len(), 1, "the one that has ended");
    world.assert_quiet();
}

/// The Reason header knows better than the status.
#[test]
fn a_reason_header_is_what_she_reads() {
    for (line, words) in [
        (
            "Reason: SIP;cause=486;text=\"On another call\"\r\n",
            "On another call",
        ),
        ("Reason: Q.850;cause=17\r\n", "Q.850 17"),
        ("Reason: \r\n", "Busy Here"),
    ] {
        let (mut world, page) = World::with_agent("1002");
        let invite = dial(&mut world, page);
        world.respond_by("x", &invite, "486 Busy Here", line, None);
        assert_eq!(end(&world.call(page)).2, words);
    }
}

/// The gateway's tables of SIP are full when she dials: she is told, and the caller she talks with is not put on hold for a call that
/// never was.
#[test]
fn a_full_gateway_leaves_the_call_that_is_up() {
    let (mut world, page) = World::with_agent("1002");
    world.board = world.board.with_sip_capacity(Capacity {
        dialogs: 1,
        ..Capacity::default()
    });
    world.talking("1002");
    let before = world.sent.len();
    world.say(
        page,
        PageMessage::Dial {
            number: "1003".into(),
        },
    );
    assert_eq!(world.last_error(page), Some(ErrorCode::Overload));
    assert_eq!(world.sent.len(), before, "no INVITE of any kind");
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.plan().to_agent && world.plan().to_caller);
    assert_eq!(world.calls(page).len(), 1);
}

/// SIP Server says nothing at all: half a minute later she knows.
#[test]
fn no_answer_at_all() {
    let (mut world, page) = World::with_agent("1002");
    dial(&mut world, page);
    world.advance(Duration::from_secs(33));
    let call = world.call(page);
    assert_eq!(end(&call), (EndedBy::Gateway, None, "", "no_response"));
    world.assert_quiet();
}

/// It rings and rings, and neither an answer nor a refusal ever comes: her line is free again after five minutes.
#[test]
fn a_callee_that_rings_for_ever_is_given_up() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "180 Ringing", None);
    world.advance(Duration::from_secs(299));
    assert_eq!(world.call(page).state, CallState::Ringing);
    world.advance(Duration::from_secs(1));
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "200 OK", None);
    world.respond(&invite, "487 Request Terminated", None);
    assert_eq!(end(&world.call(page)).3, "no_answer");
    world.assert_quiet();
}

/// She hangs up before anybody has said anything: CANCEL has to wait (RFC 3261 section 9.1), she has not.
#[test]
fn hanging_up_before_a_word_was_said() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    hang_up(&mut world, page);
    assert_eq!(world.call(page).state, CallState::Ending);
    assert!(world.requests("CANCEL").is_empty());
    world.respond(&invite, "100 Trying", None);
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "200 OK", None);
    world.respond(&invite, "487 Request Terminated", None);
    assert_eq!(end(&world.call(page)).3, "agent_cancel");
    world.assert_quiet();
}

/// She hangs up on a SIP Server that is gone: the call ends all the same.
#[test]
fn hanging_up_on_nobody() {
    let (mut world, page) = World::with_agent("1002");
    dial(&mut world, page);
    hang_up(&mut world, page);
    world.advance(Duration::from_secs(33));
    assert!(world.requests("CANCEL").is_empty());
    assert_eq!(end(&world.call(page)).3, "agent_cancel");
    world.assert_quiet();
}

/// The callee answers in the moment in which she hangs up: he is not left on a silent line.
#[test]
fn an_answer_that_crosses_her_hanging_up() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "180 Ringing", None);
    hang_up(&mut world, page);
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert_eq!(world.requests("ACK").len(), 1);
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(end(&world.call(page)).3, "agent_cancel");
    assert!(!world.states(page).contains(&CallState::Talking));
    world.assert_quiet();
}

/// The refusal crosses her hanging up: one end, hers.
#[test]
fn a_refusal_that_crosses_her_hanging_up() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "180 Ringing", None);
    hang_up(&mut world, page);
    world.respond(&invite, "486 Busy Here", None);
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "481 Call/Transaction Does Not Exist", None);
    assert_eq!(end(&world.call(page)).3, "agent_cancel");
    world.assert_quiet();
}

/// A call rings at her while she dials: both are there, and the one that she answers is the one that she hears.
#[test]
fn dialling_while_a_call_rings() {
    let (mut world, page) = World::with_agent("1002");
    let mut ringing = world.invite("1002", Some(OFFER));
    let invite = dial(&mut world, page);
    world.respond(&invite, "200 OK", Some(ANSWER));
    let states = |world: &World| -> Vec<CallState> {
        let calls = world.calls(page);
        calls.iter().map(|call| call.state).collect()
    };
    assert_eq!(states(&world), [CallState::Ringing, CallState::Talking]);
    world.notify(&mut ringing, "talk");
    assert_eq!(states(&world), [CallState::Talking, CallState::Held]);
}

/// Two clicks on Dial: two calls, of which one is heard; a third is refused.
#[test]
fn dialling_twice_at_once() {
    let (mut world, page) = World::with_agent("1002");
    let first = dial(&mut world, page);
    let second = dial(&mut world, page);
    world.respond(&second, "200 OK", Some(ANSWER));
    world.respond(&first, "200 OK", Some(&ANSWER.replace("8006", "9000")));
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
    dial(&mut world, page);
    assert_eq!(world.last_error(page), Some(ErrorCode::Busy));
}

/// A DN that SIP Server does not know dials nothing: she is told at once instead of after a refusal that nobody understands.
#[test]
fn nothing_is_dialled_from_a_dn_that_is_not_registered() {
    let mut world = World::new(&["1002"]);
    world.registers = false;
    let page = world.sign_in("1002", None);
    let number = "5550100".to_owned();
    world.say(
        page,
        PageMessage::Dial {
            number: number.clone(),
        },
    );
    assert_eq!(world.last_error(page), Some(ErrorCode::NotRegistered));
    world.input(Input::Admin {
        request: AdminId(1),
        command: AdminCommand::Dial {
            dn: "1002".into(),
            number,
        },
    });
    assert_eq!(world.admin.pop(), Some(Err(AdminRefusal::NotRegistered)));
    assert!(world.requests("INVITE").is_empty());
}

/// A site that shuts down names its peer: the call goes there, and the agent notices nothing.
#[test]
fn a_redirection_to_the_other_server_is_followed() {
    let (mut world, page) = with_peer();
    let invite = dial(&mut world, page);
    let moved = "Contact: <sip:5550100@192.0.2.82:5060>\r\n";
    world.redirect(&invite, "302 Moved Temporarily", moved);
    assert_eq!(last_invite(&world), PEER);
    let again = world.requests("INVITE").pop().expect("an INVITE");
    assert_eq!(again.uri.to_string(), "sip:5550100@192.0.2.82");
    assert_ne!(
        again.headers.get(&sip::HeaderName::CALL_ID),
        invite.headers.get(&sip::HeaderName::CALL_ID)
    );
    world.respond(&again, "200 OK", Some(ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
    assert_eq!(world.calls(page).len(), 1, "it is one call");
    hang_up(&mut world, page);
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    world.assert_quiet();
}

/// The same by the name that the peer has in the configuration; the name of somebody else names nobody.
#[test]
fn a_redirection_may_name_the_other_server() {
    for (contact, followed) in [
        ("Contact: <sip:5550100@West.example.com>\r\n", true),
        ("Contact: <sip:5550100@east.example.com>\r\n", false),
    ] {
        let (mut world, page) = with_peer_named("west.example.com:5060");
        let invite = dial(&mut world, page);
        world.redirect(&invite, "302 Moved Temporarily", contact);
        assert_eq!(world.requests("INVITE").len() == 2, followed, "{contact}");
    }
}

/// A redirection anywhere else is a refusal: nobody makes us call a stranger, whatever the Contact looks like.
#[test]
fn a_redirection_to_a_stranger_ends_the_call() {
    for contact in [
        "Contact: <sip:5550100@203.0.113.66:5060>\r\n",
        "Contact: <sip:5550100@elsewhere.example>\r\n",
        "Contact: <sip:192.0.2.82@203.0.113.66>\r\n",
        "Contact: <sip:5550100@203.0.113.66;maddr=192.0.2.82>\r\n",
        "Contact: <tel:5550100>\r\n",
        "Contact: *\r\n",
        "",
    ] {
        let (mut world, page) = with_peer();
        let invite = dial(&mut world, page);
        world.redirect(&invite, "302 Moved Temporarily", contact);
        assert_eq!(world.requests("INVITE").len(), 1, "{contact}");
        let call = world.call(page);
        let told = end(&call);
        assert_eq!((told.1, told.2), (Some(302), "Moved Temporarily"));
        world.assert_quiet();
    }
}

/// Two servers that send us to each other end after one try each.
#[test]
fn redirections_do_not_go_round() {
    let (mut world, page) = with_peer();
    let invite = dial(&mut world, page);
    let both = "Contact: <sip:1@192.0.2.81>, <sip:1@192.0.2.82>\r\n";
    world.redirect(&invite, "302 Moved Temporarily", both);
    let again = world.requests("INVITE").pop().expect("an INVITE");
    world.redirect(&again, "302 Moved Temporarily", both);
    assert_eq!(world.requests("INVITE").len(), 2);
    assert_eq!(end(&world.call(page)).1, Some(302));
    world.assert_quiet();
}

/// A site that shuts down refuses by 603 before anything rings; a callee who declines lets it ring first, and is not called twice.
#[test]
fn a_decline_moves_the_call_only_before_it_rings() {
    for (rings, invites) in [(false, 2), (true, 1)] {
        for status in ["603 Decline", "503 Service Unavailable"] {
            let (mut world, page) = with_peer();
            let invite = dial(&mut world, page);
            if rings {
                world.respond(&invite, "180 Ringing", None);
            }
            world.respond(&invite, status, None);
            assert_eq!(world.requests("INVITE").len(), invites, "{status} {rings}");
        }
    }
}

/// She hangs up while the call is on its way to the other server.
#[test]
fn hanging_up_after_the_call_has_moved() {
    let (mut world, page) = with_peer();
    let invite = dial(&mut world, page);
    world.respond(&invite, "503 Service Unavailable", None);
    let again = world.requests("INVITE").pop().expect("an INVITE");
    world.respond(&again, "180 Ringing", None);
    hang_up(&mut world, page);
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "200 OK", None);
    world.respond(&again, "487 Request Terminated", None);
    assert_eq!(end(&world.call(page)).3, "agent_cancel");
    world.assert_quiet();
}

/// Another site holds the DN as well, but SIP Server has named whom to ask: that one is asked.
#[test]
fn a_redirection_goes_where_it_says() {
    let mut config = config(&["1002"]);
    config.sites = vec![
        site(Some("a"), &["192.0.2.81", "192.0.2.83"]),
        site(Some("b"), &["192.0.2.82"]),
    ];
    for server in ["192.0.2.82", "192.0.2.83"] {
        config.sip.allowed.push(server.parse().unwrap());
    }
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    // Both sites have the DN.
    world.advance(Duration::from_secs(1));
    let invite = dial(&mut world, page);
    let contact = "Contact: <sip:192.0.2.83>\r\n";
    world.redirect(&invite, "302 Moved Temporarily", contact);
    assert_eq!(last_invite(&world), "192.0.2.83:5060");
}

/// The gateway has all the calls that it may have, and she has none: she is told that it is the gateway.
#[test]
fn a_full_gateway_is_no_busy_agent() {
    let mut config = config(&["1002", "1003"]);
    config.policy.calls = 1;
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    world.sign_in("1003", None);
    world.talking("1003");
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    assert_eq!(world.last_error(page), Some(ErrorCode::Overload));
}
