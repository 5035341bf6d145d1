//! The desktop's Answer: NOTIFY talk answers a ringing call, once.

mod common;

use common::{OFFER, World};
use control::{AnsweredBy, CallState, GatewayMessage, PageMessage, RemoteEvent};
use sip::Message;
use switchboard::{Fact, MediaCommand, TalkResult};

/// The agent's page rings and SIP Server hears 180 in the turn in which the INVITE is read.
#[test]
fn a_call_rings_at_once() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180]);
    let ringing = world.responses(&dialog, 1, "INVITE")[1];
    assert_eq!(
        common::text(ringing.headers.get(&sip::HeaderName::other("Allow-Events"))),
        "talk, hold"
    );
    assert_eq!(
        common::text(ringing.headers.get(&sip::HeaderName::CONTACT)),
        "<sip:1002@192.0.2.10:5060>"
    );
    let call = world.call(page);
    assert_eq!(
        (call.state, call.remote.number.as_str()),
        (CallState::Ringing, "1003")
    );
    assert_eq!(
        call.call_uuid.as_deref(),
        Some("TTL7J9EM750GP936CFL0EOACN8000001")
    );
}

/// The click on Answer in the desktop is heard by SIP Server as two 200s, the NOTIFY's first, in one turn; media is open with it.
#[test]
fn talk_answers_in_one_turn() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    let before = world.sent.len();
    world.notify(&mut dialog, "talk");
    let answers: Vec<String> = world.sent[before..]
        .iter()
        .map(|sent| match &sent.message {
            Message::Response(response) => {
                format!(
                    "{} {}",
                    response.status.as_u16(),
                    common::text(response.headers.get(&sip::HeaderName::CSEQ))
                )
            }
            Message::Request(request) => request.method.as_str().to_owned(),
        })
        .collect();
    assert_eq!(answers, ["200 2 NOTIFY", "200 1 INVITE"]);
    let plan = world.plan();
    assert_eq!(plan.sip.remote, Some("192.0.2.82:8006".parse().unwrap()));
    assert_eq!((plan.to_agent, plan.to_caller), (true, true));
    assert_eq!(plan.browser, Some(world.legs[0]));
    let call = world.call(page);
    assert_eq!(
        (call.state, call.answered_by),
        (CallState::Talking, Some(AnsweredBy::Talk))
    );
    assert!(world.pages[&page].iter().any(|message| matches!(
        message,
        GatewayMessage::RemoteControl {
            event: RemoteEvent::Talk,
            ..
        }
    )));
    world.ack(&dialog, 1, None);
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.causes(), ["remote_hangup"]);
    world.assert_quiet();
}

/// SIP Server repeats talk when our 200 is lost: the agent keeps one call, answered once.
#[test]
fn talk_repeated_is_absorbed() {
    let (mut world, _) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    let notify = world.notify(&mut dialog, "talk");
    world.receive(&notify);
    world.receive(&notify);
    assert_eq!(world.statuses(&dialog, 2, "NOTIFY"), [200, 200, 200]);
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 200]);
    let talks = world
        .facts
        .iter()
        .filter(|fact| matches!(fact, Fact::RemoteControl { .. }))
        .count();
    assert_eq!(talks, 1);
}

/// A second click on Answer is a new NOTIFY: it is answered and changes nothing.
#[test]
fn talk_on_a_talking_call_does_nothing() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let shown = world.pages[&page]
        .iter()
        .filter(|message| matches!(message, GatewayMessage::Call { .. }))
        .count();
    let commands = world.media.len();
    world.notify(&mut dialog, "talk");
    assert_eq!(world.statuses(&dialog, 3, "NOTIFY"), [200]);
    assert_eq!(world.media.len(), commands);
    assert_eq!(
        world.pages[&page]
            .iter()
            .filter(|message| matches!(message, GatewayMessage::Call { .. }))
            .count(),
        shown
    );
    assert!(world.facts.iter().any(|fact| matches!(
        fact,
        Fact::RemoteControl {
            result: TalkResult::NoOp,
            ..
        }
    )));
    assert!(world.requests("INVITE").is_empty());
}

/// The agent clicks on the page and the desktop's talk follows: one answer.
#[test]
fn page_and_talk_meet_on_one_path() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    let call = world.call(page).id;
    world.say(page, PageMessage::Answer { call: call.clone() });
    world.notify(&mut dialog, "talk");
    world.say(page, PageMessage::Answer { call });
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 200]);
    assert_eq!(world.last_error(page), None);
    assert_eq!(world.call(page).answered_by, Some(AnsweredBy::Agent));
}

/// A NOTIFY talk that names no dialog of ours must never open a microphone.
#[test]
fn talk_outside_a_dialog_is_refused() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.invite("1002", Some(OFFER));
    let mut forged = dialog.clone();
    forged.from_tag = "another".into();
    let text = world.in_dialog_text(
        &forged,
        "NOTIFY",
        2,
        "z9hG4bK-forged",
        "Event: talk\r\nSubscription-State: active\r\n",
        None,
    );
    world.receive(&text);
    assert_eq!(world.statuses(&dialog, 2, "NOTIFY"), [481]);
    assert_eq!(world.call(page).state, CallState::Ringing);
}

/// The right NOTIFY from a host that is not SIP Server is not even answered.
#[test]
fn talk_from_a_stranger_is_ignored() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.invite("1002", Some(OFFER));
    let text = world.in_dialog_text(
        &dialog,
        "NOTIFY",
        2,
        "z9hG4bK-forged",
        "Event: talk\r\nSubscription-State: active\r\n",
        None,
    );
    let before = world.sent.len();
    world.receive_from("203.0.113.66:5060", &text);
    assert_eq!(world.sent.len(), before);
    assert_eq!(world.call(page).state, CallState::Ringing);
    assert!(
        world
            .facts
            .iter()
            .any(|fact| matches!(fact, Fact::SipRefused { .. }))
    );
}

/// Events we do not know get 489, inside a dialog too.
#[test]
fn an_unknown_event_is_refused() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "presence");
    assert_eq!(world.statuses(&dialog, 2, "NOTIFY"), [489]);
    assert_eq!(world.call(page).state, CallState::Ringing);
}

/// What two readers of one request would take for two clicks is none; a click whose parameters cannot be read is one.
#[test]
fn an_event_is_read_in_one_way() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk\r\nEvent: hold");
    assert_eq!(world.statuses(&dialog, 2, "NOTIFY"), [489]);
    assert_eq!(world.call(page).state, CallState::Ringing);
    world.notify(&mut dialog, "talk;id=a b");
    assert_eq!(world.statuses(&dialog, 3, "NOTIFY"), [200]);
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 200]);
}

/// SIP Server asks for digits, by NOTIFY or, without `dtmf` in `sip-cti-control`, by INFO: they go into the media as events.
#[test]
fn dtmf_by_notify_or_info_sends_digits() {
    for (method, lines) in [
        ("NOTIFY", "Event: dtmf\r\nSubscription-State: active\r\n"),
        ("INFO", ""),
    ] {
        let (mut world, _) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        dialog.cseq += 1;
        let body = "Signal=5\r\nDuration=160\r\n";
        let branch = "z9hG4bK-dtmf";
        let head = world.in_dialog_text(&dialog, method, dialog.cseq, branch, lines, None);
        let typed = format!(
            "Content-Type: application/dtmf-relay\r\nContent-Length: {}",
            body.len()
        );
        world.receive(&(head.replace("Content-Length: 0", &typed) + body));
        assert_eq!(world.statuses(&dialog, 3, method), [200]);
        let sent = |command: &MediaCommand| matches!(command, MediaCommand::SendDigits { digits, .. } if digits == "5");
        assert_eq!(
            world.media.iter().filter(|command| sent(command)).count(),
            1,
            "{method}"
        );
    }
}

/// A DN that a URI must escape is found by what it means, not by how it is spelt.
#[test]
fn an_escaped_dn_is_found() {
    let (mut world, page) = World::with_agent("#21");
    world.invite("%2321", Some(OFFER));
    assert_eq!(world.call(page).state, CallState::Ringing);
}

/// The agent clicks Answer while the desktop's talk waits for her browser: what she asked for is under way, and no error is shown.
#[test]
fn answer_agrees_with_a_talk_that_waits() {
    let mut world = World::new(&["1002"]);
    world.media_connects = false;
    let page = world.sign_in("1002", None);
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    let call = world.call(page).id;
    world.say(page, PageMessage::Answer { call });
    assert_eq!(world.last_error(page), None);
    assert_eq!(world.call(page).state, CallState::Answering);
}
