//! Session timers (RFC 4028): who asks, who refreshes, and what becomes of a call whose peer has gone.
#![allow(clippy::unwrap_used)]

mod support;

use sip::HeaderName;
use sip::ua::{DialogId, Event};
use support::{CALLEE, Call, OFFER, OUR_SDP, Sent, World, dial, invite, reply};

const OURS: &str = "Session-Expires: 1800;refresher=uac\nRequire: timer\n";
const THEIRS: &str = "Session-Expires: 1800;refresher=uas\nRequire: timer\n";

/// Our call is up under these terms.
fn up(world: &mut World, terms: &str) -> DialogId {
    let (dialog, invite) = dial(world, Some(OUR_SDP));
    let lines = format!("{CALLEE}{terms}");
    world.receive(&reply(&invite, "200 OK", "t1", &lines, OFFER));
    world.only("ACK");
    assert_eq!(world.told(), ["Answered"]);
    dialog
}

fn terms(sent: &Sent) -> (String, String) {
    let value = |name| sent.header(name).unwrap();
    (
        value(&HeaderName::SESSION_EXPIRES),
        value(&HeaderName::MIN_SE),
    )
}

/// Our own call asks for a timer, and leaves to the other side who refreshes.
#[test]
fn our_call_asks_for_a_session_timer() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    assert_eq!(terms(&invite), ("1800".to_owned(), "90".to_owned()));
    let mut config = support::config();
    config.session_expires_s = None;
    let mut world = World::with(config);
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    assert_eq!(invite.header(&HeaderName::SESSION_EXPIRES), None);
}

/// The other side wants a longer interval: the call is tried again with it, and goes through.
#[test]
fn a_longer_interval_is_granted() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reply(
        &invite,
        "422 Session Interval Too Small",
        "t",
        "Min-SE: 3600\n",
        "",
    ));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "INVITE"]);
    let again = &sent[1];
    assert_eq!(terms(again), ("3600".to_owned(), "3600".to_owned()));
    assert_eq!(again.header(&HeaderName::CSEQ).unwrap(), "2 INVITE");
    assert_eq!(again.message.body(), OUR_SDP);
    let lines = format!("{CALLEE}Session-Expires: 3600;refresher=uac\n");
    world.receive(&reply(again, "200 OK", "t1", &lines, OFFER));
    world.only("ACK");
    assert_eq!(world.told(), ["Answered"]);
    world.advance_s(1800);
    let refresh = world.only("INVITE");
    assert_eq!(
        terms(&refresh),
        ("3600;refresher=uac".to_owned(), "3600".to_owned())
    );
}

/// A server that wants more each time, or what nobody would wait for, is not asked for ever.
#[test]
fn ever_longer_intervals_are_given_up() {
    let mut world = World::new();
    let (_, mut invite) = dial(&mut world, Some(OUR_SDP));
    for least in [2_000, 3_000] {
        let lines = format!("Min-SE: {least}\n");
        world.receive(&reply(
            &invite,
            "422 Session Interval Too Small",
            "t",
            &lines,
            "",
        ));
        invite = world.sent().pop().unwrap();
        assert_eq!(invite.label(), "INVITE");
    }
    world.receive(&reply(
        &invite,
        "422 Session Interval Too Small",
        "t",
        "Min-SE: 4000\n",
        "",
    ));
    world.only("ACK");
    assert_eq!(world.told(), ["Failed", "Terminated"]);
    for line in ["", "Min-SE: 1800\n", "Min-SE: 90000\n", "Min-SE: soon\n"] {
        let mut world = World::new();
        let (_, invite) = dial(&mut world, Some(OUR_SDP));
        world.receive(&reply(
            &invite,
            "422 Session Interval Too Small",
            "t",
            line,
            "",
        ));
        world.only("ACK");
        assert_eq!(world.told(), ["Failed", "Terminated"], "{line}");
    }
}

/// We were made the refresher: at half time the last description goes out again, and the agent notices nothing.
#[test]
fn our_refresh_by_re_invite_changes_nothing() {
    let mut world = World::new();
    up(&mut world, OURS);
    world.advance_s(899);
    assert_eq!(world.labels(), [""; 0]);
    world.advance_s(1);
    let refresh = world.only("INVITE");
    assert_eq!(refresh.message.body(), OUR_SDP);
    world.receive(&reply(
        &refresh,
        "200 OK",
        "",
        &format!("{CALLEE}{OURS}"),
        OFFER,
    ));
    world.only("ACK");
    assert_eq!(world.told(), ["Refreshed"]);
    world.advance_s(900);
    world.only("INVITE");
}

/// A peer that says it takes UPDATE gets one, without a body.
#[test]
fn our_refresh_by_update_has_no_body() {
    let mut world = World::new();
    up(
        &mut world,
        &format!("{OURS}Allow: INVITE, ACK, BYE, UPDATE\n"),
    );
    world.advance_s(900);
    let refresh = world.only("UPDATE");
    assert!(refresh.message.body().is_empty());
    world.receive(&reply(&refresh, "200 OK", "", OURS, ""));
    assert_eq!(world.told(), [""; 0]);
    world.advance_s(900);
    world.only("UPDATE");
}

/// A peer that says it takes UPDATE and does not is refreshed by re-INVITE.
#[test]
fn a_refused_update_becomes_a_re_invite() {
    let mut world = World::new();
    up(&mut world, &format!("{OURS}Allow: UPDATE\n"));
    world.advance_s(900);
    let refresh = world.only("UPDATE");
    world.receive(&reply(&refresh, "405 Method Not Allowed", "", "", ""));
    let again = world.only("INVITE");
    world.receive(&reply(&again, "200 OK", "", OURS, OFFER));
    world.only("ACK");
    assert_eq!(world.told(), ["Refreshed"]);
}

/// A peer that is busy for a moment is asked again, by whichever method.
#[test]
fn a_refresh_that_is_refused_for_the_moment_is_tried_again() {
    for (allow, label) in [("", "INVITE"), ("Allow: UPDATE\n", "UPDATE")] {
        for status in ["500 Server Internal Error", "503 Service Unavailable"] {
            let mut world = World::new();
            up(&mut world, &format!("{OURS}{allow}"));
            world.advance_s(900);
            let refresh = world.only(label);
            world.receive(&reply(&refresh, status, "", "", ""));
            world.sent();
            let again = world.advance_until(label, std::time::Duration::from_secs(10));
            world.receive(&reply(
                &again,
                "200 OK",
                "",
                OURS,
                if allow.is_empty() { OFFER } else { "" },
            ));
            assert!(
                !world.told().contains(&"SessionExpired".to_owned()),
                "{label} {status}"
            );
        }
    }
}

/// The refresh meets a change by the other side: it backs off and comes again, or is not needed any more.
#[test]
fn a_refresh_that_meets_a_change_backs_off() {
    let mut world = World::new();
    up(&mut world, OURS);
    world.advance_s(900);
    let refresh = world.only("INVITE");
    world.receive(&reply(&refresh, "491 Request Pending", "", "", ""));
    world.only("ACK");
    let again = world.advance_until("INVITE", std::time::Duration::from_secs(4));
    world.receive(&reply(&again, "200 OK", "", OURS, OFFER));
    world.only("ACK");
    assert_eq!(world.told(), ["Refreshed"]);
}

/// The other side has forgotten the call, or is gone: the agent sees the end at once, and the other side gets BYE.
#[test]
fn a_refresh_that_finds_nobody_ends_the_call() {
    for allow in ["", "Allow: UPDATE\n"] {
        for status in ["481 Call/Transaction Does Not Exist", "408 Request Timeout"] {
            let mut world = World::new();
            up(&mut world, &format!("{OURS}{allow}"));
            world.advance_s(900);
            let refresh = world.sent().pop().unwrap();
            world.receive(&reply(&refresh, status, "", "", ""));
            assert_eq!(world.told(), ["SessionExpired"], "{allow} {status}");
            let bye = world.sent().pop().unwrap();
            assert_eq!(bye.label(), "BYE");
            world.receive(&reply(&bye, "200 OK", "", "", ""));
            assert_eq!(world.told(), ["Terminated"]);
            world.assert_quiet();
        }
        let mut world = World::new();
        up(&mut world, &format!("{OURS}{allow}"));
        world.advance_s(933);
        assert_eq!(world.told(), ["SessionExpired"], "nobody answers: {allow}");
        assert_eq!(world.sent().pop().unwrap().label(), "BYE");
    }
}

/// The other side was to refresh and does not: the call ends 32 s before its time.
#[test]
fn a_peer_that_does_not_refresh_is_hung_up() {
    let mut world = World::new();
    up(&mut world, THEIRS);
    world.advance_s(1_767);
    assert_eq!(world.labels(), [""; 0]);
    world.advance_s(1);
    world.only("BYE");
    assert_eq!(world.told(), ["SessionExpired"]);
}

/// Without a word about timers in the answer there is none.
#[test]
fn an_answer_without_an_interval_starts_no_timer() {
    let mut world = World::new();
    up(&mut world, "");
    world.advance_s(100_000);
    assert_eq!(world.labels(), [""; 0]);
}

/// A caller that knows session timers and asks for none gets one of ours, so that a dead call ends.
#[test]
fn we_ask_for_a_timer_where_the_caller_does_not() {
    for (least, interval) in [("Min-SE: 90\n", "1800"), ("Min-SE: 2400\n", "2400")] {
        let mut world = World::new();
        let text = invite("a@b", "sip:1003@192.0.2.81;tag=1", "z9hG4bK-1", OFFER);
        let text = text
            .replace("Session-Expires: 1800;refresher=uac\n", "")
            .replace("Min-SE: 90\n", least);
        world.receive(&text);
        let events = world.events();
        let [Event::Invite { dialog, .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        let dialog = *dialog;
        world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
        let ok = world.sent().pop().unwrap();
        assert_eq!(
            ok.header(&HeaderName::SESSION_EXPIRES).unwrap(),
            format!("{interval};refresher=uas")
        );
    }
}

/// A caller that does not know session timers is left alone.
#[test]
fn a_caller_without_session_timers_gets_none() {
    let mut world = World::new();
    let text = invite("a@b", "sip:1003@192.0.2.81;tag=1", "z9hG4bK-1", OFFER);
    let text = text
        .replace("Session-Expires: 1800;refresher=uac\n", "")
        .replace("uui,100rel,timer", "uui");
    world.receive(&text);
    let events = world.events();
    let [Event::Invite { dialog, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let dialog = *dialog;
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    let ok = world.sent().pop().unwrap();
    assert_eq!(ok.header(&HeaderName::SESSION_EXPIRES), None);
}

/// The peer's refresh moves the end of a call that we called, too.
#[test]
fn a_refresh_of_the_peer_is_answered_with_its_terms() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    world.advance_s(900);
    let lines = "Session-Expires: 1800;refresher=uac\nSupported: timer\n";
    let ok = updated(&mut world, &mut call, lines);
    let granted = ok.header(&HeaderName::SESSION_EXPIRES).unwrap();
    assert_eq!(granted, "1800;refresher=uac");
    world.advance_s(1_767);
    assert_eq!(world.labels(), [""; 0]);
    world.advance_s(1);
    world.only("BYE");
}

/// The answer to an UPDATE of the peer.
fn updated(world: &mut World, call: &mut Call, lines: &str) -> Sent {
    call.request(world, "UPDATE", lines, "");
    let events = world.events();
    let [Event::Update { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let transaction = *transaction;
    world.act(|ua, now| ua.respond(now, transaction, sip::StatusCode::OK, &[], None));
    world.only("200 UPDATE")
}

/// An UPDATE about something else says nothing of the session: its timer goes on, and whoever refreshed still does.
#[test]
fn a_change_that_names_no_interval_does_not_end_the_timer() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    world.advance_s(900);
    let ok = updated(&mut world, &mut call, "Supported: timer\n");
    let value = |name| ok.header(name).unwrap();
    let granted = value(&HeaderName::SESSION_EXPIRES);
    assert_eq!(granted, "1800;refresher=uac");
    assert_eq!(value(&HeaderName::REQUIRE), "timer");
    world.advance_s(1_767);
    assert_eq!(world.labels(), [""; 0]);
    world.advance_s(1);
    world.only("BYE");
}

/// The same from a party that knows no session timers, as a transfer may bring in: nobody there would refresh, so we do.
#[test]
fn for_a_party_without_session_timers_we_refresh() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let ok = updated(&mut world, &mut call, "");
    let granted = ok.header(&HeaderName::SESSION_EXPIRES).unwrap();
    assert_eq!(granted, "1800;refresher=uas");
    assert_eq!(ok.header(&HeaderName::REQUIRE), None);
    world.advance_s(900);
    world.only("UPDATE");
}
