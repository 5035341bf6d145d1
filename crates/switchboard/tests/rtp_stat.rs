//! `X-RTP-Stat` on BYE and its answer: the last figures of the call's media, and never a moment too late for SIP Server.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Dialog, World, config, text};
use control::PageMessage;
use sip::{HeaderName, Headers};
use switchboard::{CallId, DirectionReport, Input, MediaEvent, MediaReport};

/// What the worker has counted when the call is so many packets old.
fn counted(packets: u64) -> Box<MediaReport> {
    Box::new(MediaReport {
        to_agent: DirectionReport {
            packets,
            octets: packets * 160,
            lost: Some(3),
            jitter_ms: Some(1.6),
            ..DirectionReport::default()
        },
        to_caller: DirectionReport {
            sent: packets + 1,
            sent_octets: Some((packets + 1) * 160),
            ..DirectionReport::default()
        },
    })
}

fn world(wanted: bool) -> (World, u64) {
    let mut config = config(&["1002"]);
    config.policy.rtp_stat = wanted;
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    (world, page)
}

fn measured(world: &mut World, call: &str, packets: u64) {
    let call = CallId::parse(call).unwrap();
    let report = counted(packets);
    world.input(Input::Media(MediaEvent::Quality { call, report }));
}

fn closed(world: &mut World, call: &str, packets: u64) {
    let call = CallId::parse(call).unwrap();
    let report = counted(packets);
    world.input(Input::Media(MediaEvent::CallClosed { call, report }));
}

fn stat(headers: &Headers) -> Option<String> {
    let name = HeaderName::other("X-RTP-Stat");
    headers.get(&name).map(|value| text(Some(value)))
}

/// The answer to SIP Server's BYE; `None` while there is none.
fn answer(world: &World, dialog: &Dialog) -> Option<Option<String>> {
    let answers = world.responses(dialog, dialog.cseq, "BYE");
    assert!(answers.len() <= 1, "one BYE, one answer");
    answers.first().map(|answer| stat(&answer.headers))
}

/// SIP Server hangs up: the answer waits for the last figures, and has them.
#[test]
fn the_answer_to_bye_has_the_last_figures() {
    let (mut world, page) = world(true);
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    measured(&mut world, &call, 250);
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(
        answer(&world, &dialog),
        None,
        "the worker is still counting"
    );
    let state = world.call(page).state;
    assert_eq!(
        state,
        control::CallState::Ending,
        "the agent is told at once"
    );
    world.advance(Duration::from_millis(2));
    closed(&mut world, &call, 314);
    let stat = "PS=315;OS=50400;PR=314;OR=50240;PL=3;JI=2".to_owned();
    assert_eq!(answer(&world, &dialog), Some(Some(stat)));
    assert_eq!(world.causes(), ["remote_hangup"]);
    world.assert_quiet();
}

/// The agent hangs up: the same on our BYE, which leaves as soon as the worker has spoken.
#[test]
fn our_bye_has_the_last_figures() {
    let (mut world, page) = world(true);
    world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call: call.clone() });
    assert!(world.requests("BYE").is_empty());
    closed(&mut world, &call, 50);
    let byes = world.requests("BYE");
    let [bye] = &byes[..] else { panic!("{byes:?}") };
    let stat = stat(&bye.headers);
    assert_eq!(
        stat.as_deref(),
        Some("PS=51;OS=8160;PR=50;OR=8000;PL=3;JI=2")
    );
    world.respond(bye, "200 OK", None);
    assert_eq!(world.causes(), ["agent_hangup"]);
    world.assert_quiet();
}

/// A worker that says nothing keeps no BYE back: before SIP Server would repeat its own, what was told last is said, or nothing.
#[test]
fn a_silent_worker_is_not_waited_for() {
    for known in [true, false] {
        let (mut world, page) = world(true);
        let mut dialog = world.talking("1002");
        let call = world.call(page).id;
        if known {
            measured(&mut world, &call, 250);
        }
        world.in_dialog(&mut dialog, "BYE", "", None);
        world.advance(Duration::from_millis(190));
        assert_eq!(answer(&world, &dialog), None);
        world.advance(Duration::from_millis(20));
        let stat = known.then(|| "PS=251;OS=40160;PR=250;OR=40000;PL=3;JI=2".to_owned());
        assert_eq!(answer(&world, &dialog), Some(stat));
        world.assert_quiet();
    }
}

/// Both hang up at once: SIP Server's BYE is answered, and ours, which still waited, is not needed any more.
#[test]
fn two_ends_that_hang_up_at_once_part_with_one_bye() {
    let (mut world, page) = world(true);
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call: call.clone() });
    world.in_dialog(&mut dialog, "BYE", "", None);
    closed(&mut world, &call, 50);
    assert!(answer(&world, &dialog).unwrap().is_some());
    assert!(world.requests("BYE").is_empty());
    assert_eq!(world.causes(), ["agent_hangup"], "the first cause counts");
    world.assert_quiet();
}

/// BYEs that cross on the wire: ours is on its way with the figures, and so is our answer.
#[test]
fn byes_that_cross_have_the_same_figures() {
    let (mut world, page) = world(true);
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call: call.clone() });
    closed(&mut world, &call, 50);
    let bye = world.requests("BYE").pop().unwrap();
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(answer(&world, &dialog), Some(stat(&bye.headers)));
    world.assert_quiet();
}

/// While its BYE waits, the call is over: whatever else SIP Server asks in it is refused as after the end, and a second BYE is answered.
#[test]
fn a_call_whose_bye_waits_is_over() {
    let (mut world, page) = world(true);
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    world.in_dialog(&mut dialog, "BYE", "", None);
    let bye = dialog.cseq;
    world.notify(&mut dialog, "hold");
    assert_eq!(world.statuses(&dialog, dialog.cseq, "NOTIFY"), [481]);
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.statuses(&dialog, dialog.cseq, "BYE"), [200]);
    assert_eq!(world.statuses(&dialog, bye, "BYE"), [0_u16; 0]);
    closed(&mut world, &call, 50);
    assert_eq!(world.statuses(&dialog, bye, "BYE"), [200]);
    world.assert_quiet();
}

/// A site that did not ask for it waits for nothing and tells nothing; a call that nobody answered has no media to wait for.
#[test]
fn nothing_waits_where_nothing_is_to_be_told() {
    let (mut world, page) = world(false);
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    measured(&mut world, &call, 250);
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(answer(&world, &dialog), Some(None));

    let (mut world, _) = self::world(true);
    let mut dialog = world.invite("1002", Some(common::OFFER));
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(answer(&world, &dialog), Some(None));
    world.assert_quiet();
}

/// SIP Server has gone without a word, and the session timer ends the call: that BYE leaves at once, with what was measured last.
#[test]
fn a_session_that_runs_out_is_ended_with_what_is_known() {
    let (mut world, page) = world(true);
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    let invite = world.requests("INVITE").pop().unwrap();
    let theirs = "Session-Expires: 1800;refresher=uas\r\nRequire: timer\r\n";
    world.respond_by("server", &invite, "200 OK", theirs, Some(common::ANSWER));
    let call = world.call(page).id;
    world.advance(Duration::from_secs(60));
    measured(&mut world, &call, 3_000);
    world.advance(Duration::from_secs(1_800));
    let bye = world.requests("BYE").pop().unwrap();
    let stat = stat(&bye.headers);
    assert_eq!(
        stat.as_deref(),
        Some("PS=3001;OS=480160;PR=3000;OR=480000;PL=3;JI=2")
    );
}
