//! The record of a call that is over: one each, complete, and not a moment before its media has been measured for the last time.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{OFFER, World, config};
use control::{AnsweredBy, EndRecord, MediaPath, PageMessage};
use serde_json::json;
use sip::ua::limits::Capacity;
use switchboard::{CallId, DirectionReport, Fact, Input, MediaEvent, MediaReport};

fn records(world: &World) -> Vec<EndRecord> {
    let record = |fact: &Fact| match fact {
        Fact::EndRecord { record } | Fact::CallRefused { record, .. } => {
            Some(record.as_ref().clone())
        }
        _ => None,
    };
    world.facts.iter().filter_map(record).collect()
}

fn measured() -> Box<MediaReport> {
    Box::new(MediaReport {
        to_agent: DirectionReport {
            packets: 980,
            lost: Some(20),
            jitter_ms: Some(2.5),
            far_loss: Some(0.1),
            scored_loss: Some(0.118),
            one_way_ms: Some(70.0),
            r: Some(89.0),
            mos: Some(4.3),
            path: Some(MediaPath::Relay),
            codecs: Some((sdp::Codec::Pcmu, sdp::Codec::Pcma)),
            sent: 980,
            ..DirectionReport::default()
        },
        to_caller: DirectionReport::default(),
    })
}

fn media_closes(world: &mut World, call: &str) {
    let call = CallId::parse(call).expect("a call id of ours");
    world.input(Input::Media(MediaEvent::CallClosed {
        call,
        report: measured(),
    }));
}

/// Rung for 4 s, answered on the desktop, held for 7 of 20 s: that is what the record says, with what the worker measured.
#[test]
fn a_call_is_recorded_whole() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    let call = world.call(page).id;
    world.advance(Duration::from_secs(4));
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    world.advance(Duration::from_secs(10));
    world.notify(&mut dialog, "hold");
    world.answer_reinvite("recvonly");
    world.advance(Duration::from_secs(7));
    world.notify(&mut dialog, "talk");
    world.answer_reinvite("sendrecv");
    world.advance(Duration::from_secs(3));
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(records(&world), [], "its media is not measured yet");
    media_closes(&mut world, &call);
    let records = records(&world);
    let [record] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(record.call, call);
    assert_eq!(record.dn, "1002");
    assert!(record.call_uuid.is_some());
    assert_eq!(
        (record.ring_ms, record.talk_ms, record.held_ms),
        (4_000, Some(20_000), Some(7_000))
    );
    assert_eq!(record.ended_ms - record.created_ms, 24_000);
    assert_eq!(record.answered_ms, Some(record.created_ms + 4_000));
    assert_eq!(record.answered_by, Some(AnsweredBy::Talk));
    assert_eq!(record.end.cause, "remote_hangup");
    assert_eq!(record.remote, None, "numbers are personal data");
    let media = record.media.as_ref().unwrap();
    let heard = &media.to_agent;
    assert_eq!(heard.path, Some(MediaPath::Relay));
    assert_eq!(heard.received.codec.as_deref(), Some("pcmu"));
    assert_eq!(heard.sent.codec.as_deref(), Some("pcma"));
    assert_eq!(
        (heard.received.packets, heard.received.lost),
        (980, Some(20))
    );
    let score = heard.score.as_ref().unwrap();
    assert_eq!((score.mos, score.one_way_ms), (4.3, 70.0));
    assert_eq!((score.loss, score.far_loss), (0.118, Some(0.1)));
    assert_eq!(media.to_caller.score, None, "nobody measured it");
    assert_eq!(media.to_caller.received.lost, None);
    world.assert_quiet();
}

/// The worker may be quicker than SIP Server's answer to our BYE: there is one record all the same.
#[test]
fn media_may_end_before_the_dialog() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call: call.clone() });
    media_closes(&mut world, &call);
    assert_eq!(records(&world), []);
    let bye = world.requests("BYE").pop().unwrap();
    world.respond(&bye, "200 OK", None);
    let records = records(&world);
    assert_eq!(records.len(), 1);
    assert!(records[0].media.is_some());
    world.assert_quiet();
    assert_eq!(self::records(&world).len(), 1);
}

/// A worker that says nothing keeps no record back: it holds what was measured before.
#[test]
fn a_silent_worker_is_not_waited_for() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let call = CallId::parse(&world.call(page).id).unwrap();
    world.input(Input::Media(MediaEvent::Quality {
        call,
        report: measured(),
    }));
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.board.records_owed(), 1);
    world.advance(Duration::from_secs(3));
    let records = records(&world);
    assert_eq!(records.len(), 1);
    assert!(records[0].media.is_some());
    assert_eq!(world.board.records_owed(), 0);
}

/// A call that was refused at the door was a call to whoever made it.
#[test]
fn a_refused_call_is_recorded() {
    let mut world = World::new(&["1002"]);
    let dialog = world.invite("1002", Some(OFFER));
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 480]);
    let records = records(&world);
    let [record] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(record.end.cause, "not_signed_in");
    assert_eq!(record.end.sip_status, Some(480));
    assert_eq!((record.talk_ms, &record.media), (None, &None));
}

/// A customer's call that SIP Server's own message cost, or a flood of others, is found in the records: whose it was, and what was wrong.
#[test]
fn a_call_that_the_user_agent_refuses_is_recorded() {
    let contact = "Contact: <sip:1003@192.0.2.81:5060>\r\n";
    for (from, to, cause, status, reason) in [
        (
            "Max-Forwards: 70",
            "Max-Forwards: 70\r\nRequire: teleport",
            "bad_extension",
            420,
            "Require: teleport",
        ),
        (contact, "", "bad_request", 400, "Contact is missing"),
        (
            "Max-Forwards: 70",
            "Max-Forwards: many",
            "bad_request",
            400,
            "Max-Forwards is malformed",
        ),
        (
            "5060 SIP/2.0\r\n",
            "5060 SIP/3.0\r\n",
            "bad_request",
            505,
            "version is not SIP/2.0",
        ),
    ] {
        let (mut world, _) = World::with_agent("1002");
        let mut dialog = world.invite("1002", Some(OFFER));
        world.in_dialog(&mut dialog, "BYE", "", None);
        let before = records(&world).len();
        dialog.call_id = "another".to_owned();
        dialog.invite_branch = "z9hG4bK-another".to_owned();
        let text = world.invite_text(&dialog, Some(OFFER), "");
        assert!(text.contains(from), "{text}");
        world.receive(&text.replacen(from, to, 1));
        assert_eq!(world.statuses(&dialog, 1, "INVITE"), [status], "{cause}");
        let records = &records(&world)[before..];
        let [record] = records else {
            panic!("{cause}: {records:?}")
        };
        assert_eq!(record.dn, "1002");
        assert!(record.call_uuid.is_some(), "{cause}");
        assert_eq!(record.end.cause, cause);
        assert_eq!(record.end.sip_status, Some(status));
        assert_eq!(record.end.reason.as_deref(), Some(reason));
    }
}

/// The tables are full: callers who are turned away are found, each with one record.
#[test]
fn a_call_that_finds_the_tables_full_is_recorded() {
    let mut config = config(&["1002"]);
    config.policy.calls_per_agent = 8;
    let mut world = World::with_config(config);
    world.board = world.board.with_sip_capacity(Capacity {
        dialogs: 2,
        ..Capacity::default()
    });
    world.sign_in("1002", None);
    let dialogs = [(); 3].map(|()| world.invite("1002", Some(OFFER)));
    assert_eq!(world.statuses(&dialogs[1], 1, "INVITE"), [100, 180]);
    assert_eq!(world.statuses(&dialogs[2], 1, "INVITE"), [503]);
    let causes: Vec<String> = records(&world)
        .into_iter()
        .map(|record| record.end.cause)
        .collect();
    assert_eq!(causes, ["tables_full"]);
}

/// A copy of an INVITE, and one that is to come again with another session timer, are no calls that were lost.
#[test]
fn what_costs_no_call_has_no_record() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    dialog.invite_branch = "z9hG4bK-other-way".to_owned();
    world.receive(&world.invite_text(&dialog, Some(OFFER), ""));
    dialog.call_id = "short".to_owned();
    dialog.invite_branch = "z9hG4bK-short".to_owned();
    let short = world.invite_text(&dialog, Some(OFFER), "");
    let short = short.replace("Session-Expires: 1800", "Session-Expires: 30");
    world.receive(&short);
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [422]);
    assert_eq!(records(&world), []);
    assert_eq!(world.call(page).state, control::CallState::Ringing);
}

/// Who called is in the records of a site that wants it there, and of no other.
#[test]
fn numbers_are_recorded_where_they_are_wanted() {
    for wanted in [false, true] {
        let mut config = config(&["1002"]);
        config.policy.record_numbers = wanted;
        let mut world = World::with_config(config);
        let page = world.sign_in("1002", None);
        let mut dialog = world.talking("1002");
        let call = world.call(page);
        world.in_dialog(&mut dialog, "BYE", "", None);
        media_closes(&mut world, &call.id);
        let remote = records(&world)[0].remote.clone();
        assert_eq!(remote, wanted.then_some(call.remote));
    }
}

/// What the browser measured stands beside what we did, and counts from the call on, not from the sign-in.
#[test]
fn the_browsers_own_view_is_joined() {
    let (mut world, page) = World::with_agent("1002");
    let report = |packets: u64, concealed: u64| {
        json!({"rtt_ms": 12, "received": {
            "packets": packets, "samples": packets * 960, "concealed_samples": concealed,
        }})
    };
    let first = PageMessage::Stats {
        report: report(5_000, 480_000),
    };
    world.say(page, first);
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    let second = PageMessage::Stats {
        report: report(5_500, 484_800),
    };
    world.say(page, second);
    let id = CallId::parse(&call).unwrap();
    world.input(Input::Media(MediaEvent::Quality {
        call: id,
        report: measured(),
    }));
    let quality = world.board.call(id).unwrap().quality.unwrap();
    assert_eq!(quality.browser.unwrap().received.packets, Some(500));
    world.in_dialog(&mut dialog, "BYE", "", None);
    media_closes(&mut world, &call);
    let media = records(&world).remove(0).media.unwrap();
    let browser = media.browser.unwrap();
    assert_eq!(browser.rtt_ms, Some(12.0));
    assert_eq!(browser.received.packets, Some(500));
    assert_eq!(browser.received.concealed, Some(0.01));
}
