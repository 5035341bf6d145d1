//! Every end of a call: what SIP Server hears and what the page is told.

mod common;

use std::time::Duration;

use common::{OFFER, World, config};
use control::{CallState, CloseCode, EndedBy, ErrorCode, PageMessage};
use switchboard::{BrowserState, CallId, Fact, Input, MediaCommand, MediaEvent, TalkResult};

/// The caller gives up while it rings.
#[test]
fn cancel() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.invite("1002", Some(OFFER));
    world.cancel(&dialog);
    assert_eq!(world.statuses(&dialog, 1, "CANCEL"), [200]);
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 487]);
    let end = world.call(page).end.unwrap();
    assert_eq!(
        (end.by, end.cause.as_str()),
        (EndedBy::Remote, "remote_cancel")
    );
    world.assert_quiet();
}

/// The caller gives up in the moment in which the agent answers: our 200 stands, SIP Server sends BYE.
#[test]
fn cancel_after_answer_changes_nothing() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    world.cancel(&dialog);
    assert_eq!(world.statuses(&dialog, 1, "CANCEL"), [200]);
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 200]);
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// The agent hangs up on the page.
#[test]
fn hang_up() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
    assert_eq!(world.call(page).state, CallState::Ending);
    let bye = world.requests("BYE").pop().unwrap();
    world.respond(&bye, "200 OK", None);
    let end = world.call(page).end.unwrap();
    assert_eq!(
        (end.by, end.cause.as_str()),
        (EndedBy::Agent, "agent_hangup")
    );
    world.assert_quiet();
}

/// Both hang up at the same moment.
#[test]
fn bye_meets_bye() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
    world.in_dialog(&mut dialog, "BYE", "", None);
    let bye = world.requests("BYE").pop().unwrap();
    world.respond(&bye, "481 Call/Transaction Does Not Exist", None);
    assert_eq!(world.call(page).state, CallState::Ended);
    assert_eq!(world.causes(), ["agent_hangup"]);
    world.assert_quiet();
}

/// The agent does not want the call.
#[test]
fn reject() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.invite("1002", Some(OFFER));
    let call = world.call(page).id;
    world.say(page, PageMessage::Reject { call });
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 603]);
    world.ack_refusal(&dialog);
    assert_eq!(world.call(page).end.unwrap().cause, "agent_reject");
    world.assert_quiet();
}

/// Calls that cannot be taken are refused in the same turn, each with its own status.
#[test]
fn refusals() {
    let mut world = World::new(&["1002", "1003"]);
    world.sign_in("1002", None);
    let unusable = OFFER.replace("RTP/AVP 0 8 9 102 103 104 18 120 101", "RTP/AVP 18");
    let cases = [
        ("5003", OFFER, 404, "unknown_dn"),
        ("1003", OFFER, 480, "not_signed_in"),
        ("1002", unusable.as_str(), 488, "no_common_codec"),
        ("1002", "v=0\r\nthis is no description", 488, "bad_sdp"),
    ];
    for (dn, offer, status, cause) in cases {
        let dialog = world.invite(dn, Some(offer));
        assert_eq!(
            world.statuses(&dialog, 1, "INVITE"),
            [100, status],
            "{cause}"
        );
        world.ack_refusal(&dialog);
        assert_eq!(world.causes().pop(), Some(cause));
    }
    assert_eq!(world.board.gauges().ports_in_use, 0);
    world.input(Input::Drain);
    let dialog = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 503]);
    let refusal = world.responses(&dialog, 1, "INVITE")[1];
    assert_eq!(
        common::text(refusal.headers.get(&sip::HeaderName::RETRY_AFTER)),
        "30"
    );
    world.ack_refusal(&dialog);
    world.assert_quiet();
}

/// While draining the agent cannot dial out either, and calls that are up go on.
#[test]
fn draining_shuts_outgoing_calls_too() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.input(Input::Drain);
    world.say(
        page,
        PageMessage::Dial {
            number: "5550100".into(),
        },
    );
    assert_eq!(world.last_error(page), Some(ErrorCode::Draining));
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(
        world
            .facts
            .iter()
            .any(|fact| matches!(fact, Fact::Draining { calls: 1 }))
    );
}

/// An agent cannot touch another agent's call.
#[test]
fn a_foreign_call_is_unknown() {
    let mut world = World::new(&["1002", "1003"]);
    let page = world.sign_in("1002", None);
    let other = world.sign_in("1003", None);
    let dialog = world.invite("1002", Some(OFFER));
    let call = world.call(page).id;
    world.say(other, PageMessage::Answer { call });
    assert_eq!(world.last_error(other), Some(ErrorCode::UnknownCall));
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180]);
}

/// A port that somebody else took is replaced while the call still rings.
#[test]
fn a_taken_port_is_replaced() {
    let mut world = World::with_config(config(&["1002"]));
    let page = world.sign_in("1002", None);
    world.ports_taken = 2;
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    assert_eq!(world.call(page).state, CallState::Talking);
    assert_eq!(world.board.gauges().ports_in_use, 1);
    world.ports_taken = 100;
    let dialog = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&dialog, 1, "INVITE").last(), Some(&503));
    world.ack_refusal(&dialog);
    assert_eq!(world.causes(), ["no_port"]);
}

/// Shutdown says goodbye to everybody.
#[test]
fn shutdown_ends_everything() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let ringing = world.invite("1002", Some(OFFER));
    world.input(Input::Shutdown);
    assert_eq!(world.statuses(&ringing, 1, "INVITE").last(), Some(&503));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    world.ack_refusal(&ringing);
    let last = world.requests("REGISTER").pop().unwrap();
    assert_eq!(
        common::text(last.headers.get(&sip::HeaderName::EXPIRES)),
        "0"
    );
    assert!(world.closed.contains_key(&page));
    world.assert_quiet();
}

/// A large site goes down: the callers hear it first, and the goodbyes leave by and by, not all in one moment that no socket takes; none is left out.
#[test]
fn a_large_site_leaves_by_and_by() {
    let dns: Vec<String> = (0..500)
        .map(|number| format!("{}", 2_000 + number))
        .collect();
    let dns: Vec<&str> = dns.iter().map(String::as_str).collect();
    let mut world = World::new(&dns);
    for dn in &dns {
        world.sign_in(dn, None);
        world.advance(Duration::from_millis(20));
    }
    world.advance(Duration::from_secs(5));
    assert_eq!(world.board.gauges().dns_registered, 500);
    world.talking(dns[499]);
    let before = world.sent.len();
    world.input(Input::Shutdown);
    assert_eq!(world.requests("BYE").len(), 1);
    let at_once = world.sent.len() - before;
    assert!((50..=100).contains(&at_once), "{at_once} messages at once");
    assert!(!world.board.has_ended());
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.board.gauges().dns_registered, 0);
    assert_eq!(world.closed.len(), 500);
    // The record of the call has waited for its worker.
    world.advance(Duration::from_secs(2));
    assert!(world.board.has_ended());
}

/// A page that comes back while we go down is sent away: registered again, its DN would stay bound to a process that is gone.
#[test]
fn nobody_signs_in_during_the_shutdown() {
    let (mut world, _) = World::with_agent("1002");
    world.input(Input::Shutdown);
    let registers = world.requests("REGISTER").len();
    let page = world.sign_in("1002", None);
    assert_eq!(world.last_error(page), Some(ErrorCode::Draining));
    assert_eq!(world.closed[&page], CloseCode::GoingAway);
    assert_eq!(world.requests("REGISTER").len(), registers);
    world.assert_quiet();
}

/// The report about a port that was replaced comes twice: the call keeps the port that it has now.
#[test]
fn a_late_report_about_another_port_changes_nothing() {
    let mut world = World::new(&["1002"]);
    let page = world.sign_in("1002", None);
    world.ports_taken = 1;
    world.invite("1002", Some(OFFER));
    let ports = |world: &World| -> Vec<(CallId, u16)> {
        let opened = world.media.iter().filter_map(|command| match command {
            MediaCommand::OpenPort { call, port } => Some((*call, *port)),
            _ => None,
        });
        opened.collect()
    };
    let (call, port) = ports(&world)[0];
    assert_eq!(ports(&world).len(), 2);
    world.input(Input::Media(MediaEvent::PortFailed {
        call,
        port,
        taken: true,
    }));
    assert_eq!(ports(&world).len(), 2);
    assert_eq!(world.call(page).state, CallState::Ringing);
}

/// The process has no descriptor left: the caller hears 503 at once, and no port is said to be another program's or rests for it.
#[test]
fn no_socket_is_not_asked_for_again() {
    let mut world = World::new(&["1002"]);
    world.sign_in("1002", None);
    let dialog = world.invite("1002", Some(OFFER));
    let opened = |command: &MediaCommand| match command {
        MediaCommand::OpenPort { call, port } => Some((*call, *port)),
        _ => None,
    };
    let (call, port) = world.media.iter().find_map(opened).unwrap();
    let taken = false;
    world.input(Input::Media(MediaEvent::PortFailed { call, port, taken }));
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 503]);
    assert_eq!(world.media.iter().filter_map(opened).count(), 1);
    let is_taken = |fact: &Fact| matches!(fact, Fact::PortTaken { .. });
    assert!(!world.facts.iter().any(is_taken));
}

/// A gateway to the public network gives the cause of its own protocol: that is no SIP status, and the agent reads its words.
#[test]
fn causes_of_other_protocols_are_no_statuses() {
    for (lines, status, words) in [
        (
            "Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n",
            None,
            "Normal call clearing",
        ),
        (
            "Reason: Q.850;cause=16, SIP;cause=480;text=\"Gone\"\r\n",
            Some(480),
            "Gone",
        ),
    ] {
        let (mut world, page) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        world.in_dialog(&mut dialog, "BYE", lines, None);
        let end = world.call(page).end.unwrap();
        assert_eq!(
            (end.sip_status, end.reason.as_deref()),
            (status, Some(words))
        );
    }
}

/// A click on Answer that leads to nothing, since the agent's browser has no connection: counted as what it is.
#[test]
fn an_answer_that_comes_to_nothing_is_counted() {
    let (mut world, _) = World::with_agent("1002");
    world.media_connects = false;
    let leg = world.legs[0];
    let state = BrowserState::Failed(control::MediaFailure::ConsentLost);
    world.input(Input::Media(MediaEvent::BrowserState { leg, state }));
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    world.advance(Duration::from_secs(10));
    let results: Vec<TalkResult> = world
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::RemoteControl { result, .. } => Some(*result),
            _ => None,
        })
        .collect();
    assert_eq!(results, [TalkResult::Waiting, TalkResult::Failed]);
}
