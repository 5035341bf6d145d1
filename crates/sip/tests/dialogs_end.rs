//! The ends of a call: CANCEL, BYE, their races, and a peer that silently goes.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::ua::{Event, UserAgent};
use sip::{HeaderName, Method, StatusCode};
use support::{Call, OFFER, OUR_SDP, Sent, World, config, instants_ms, invite, reply};

/// The caller gives up while the phone rings: 200, 487, and no call is left.
#[test]
fn cancel_ends_a_ringing_call() {
    let mut world = World::new();
    let call = Call::ringing(&mut world, OFFER);
    call.cancel(&mut world);
    let sent = world.sent();
    assert_eq!(
        [sent[0].label(), sent[1].label()],
        ["200 CANCEL", "487 INVITE"]
    );
    assert_eq!(sent[0].to_tag(), call.to_tag);
    assert_eq!(sent[1].to_tag(), call.to_tag);
    assert_eq!(world.told(), ["Cancelled", "Terminated"]);
    call.cancel(&mut world);
    world.only("200 CANCEL");
    call.ack_failure(&mut world, &call.to_tag);
    assert_eq!(world.told(), [""; 0]);
    let dialog = call.dialog;
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    assert_eq!(world.labels(), [""; 0], "the handle is dead");
    world.assert_quiet();
}

/// CANCEL crosses our 200: it gets 200 and has no effect.
#[test]
fn cancel_after_the_answer_has_no_effect() {
    let mut world = World::new();
    let call = Call::answered(&mut world, OFFER);
    call.cancel(&mut world);
    world.only("200 CANCEL");
    assert_eq!(world.told(), [""; 0]);
    call.ack(&mut world, 1, "");
    assert_eq!(world.told(), ["Ack"]);
}

/// CANCEL of nothing.
#[test]
fn cancel_without_an_invite_gets_481() {
    let mut world = World::new();
    let mut call = Call::ringing(&mut world, OFFER);
    call.invite_branch.push('0');
    call.cancel(&mut world);
    world.only("481 CANCEL");
    assert_eq!(world.told(), ["Refused NoTransaction"]);
}

/// A refusal is repeated until its ACK (timers G, H, I), and the ACK has the branch of the INVITE.
#[test]
fn a_refusal_is_repeated_until_its_ack() {
    let mut world = World::new();
    let call = Call::ringing(&mut world, OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reject(now, dialog, StatusCode::BUSY_HERE, &[]));
    assert_eq!(world.told(), ["Terminated"]);
    world.advance_s(8);
    let sent = world.sent();
    assert!(sent.iter().all(|sent| sent.label() == "486 INVITE"));
    assert_eq!(
        instants_ms(&sent, Duration::ZERO),
        [0, 500, 1500, 3500, 7500]
    );
    call.ack_failure(&mut world, &call.to_tag);
    world.advance_s(40);
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), [""; 0]);
    world.assert_quiet();
}

/// SIP Server hangs up and says why.
#[test]
fn bye_is_answered_and_its_reason_is_told() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let bye = call.request(
        &mut world,
        "BYE",
        "Reason: SIP;cause=403;text=\"Forbidden\"\n",
        "",
    );
    world.only("200 BYE");
    let events = world.events();
    let [
        Event::Bye {
            reason: Some(reason),
            ..
        },
        Event::Terminated { .. },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(reason.cause, Some(403));
    world.receive(&bye);
    world.only("200 BYE");
    assert_eq!(world.told(), [""; 0]);
    world.assert_quiet();
}

/// BYE while our 200 waits for its ACK: the 200 is no longer repeated.
#[test]
fn bye_instead_of_the_ack_ends_the_repetition() {
    let mut world = World::new();
    let mut call = Call::answered(&mut world, OFFER);
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    assert_eq!(world.told(), ["Bye", "Terminated"]);
    world.advance_s(10);
    assert_eq!(world.labels(), [""; 0]);
}

/// A caller may end the early dialog by BYE; its INVITE gets 487.
#[test]
fn bye_in_the_early_dialog_ends_the_call() {
    let mut world = World::new();
    let mut call = Call::ringing(&mut world, OFFER);
    call.request(&mut world, "BYE", "", "");
    assert_eq!(world.labels(), ["200 BYE", "487 INVITE"]);
    assert_eq!(world.told(), ["Bye", "Terminated"]);
}

/// Both hang up at once: both BYEs are answered, one end is told.
#[test]
fn byes_that_cross_are_both_answered() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    let ours = world.only("BYE");
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    assert_eq!(world.told(), ["Terminated"]);
    world.receive(&reply(
        &ours,
        "481 Call/Transaction Does Not Exist",
        "",
        "",
        "",
    ));
    assert_eq!(world.told(), [""; 0]);
    world.assert_quiet();
}

/// The peer has hung up and its BYE was lost, so that our re-INVITE gets 481: the BYE that comes again says why the call is over.
#[test]
fn a_lost_bye_is_waited_for() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let invite = world.only("INVITE");
    world.receive(&reply(
        &invite,
        "481 Call/Transaction Does Not Exist",
        "",
        "",
        "",
    ));
    world.only("ACK");
    assert_eq!(world.told(), ["ReinviteFailed"]);
    world.advance_ms(500);
    call.request(
        &mut world,
        "BYE",
        "Reason: SIP;cause=603;text=\"Decline\"\n",
        "",
    );
    world.only("200 BYE");
    let events = world.events();
    let [Event::Bye { reason, .. }, Event::Terminated { .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(reason.as_ref().unwrap().cause, Some(603));
    world.assert_quiet();
}

/// A re-INVITE that crosses our BYE finds no dialog any more.
#[test]
fn a_reinvite_that_crosses_our_bye_gets_481() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    world.only("BYE");
    call.request(&mut world, "INVITE", "", OFFER);
    world.only("481 INVITE");
}

/// Their BYE crosses our re-INVITE, which they have taken: their 200 is acknowledged as often as it comes, or they would repeat it for half a minute.
#[test]
fn a_200_that_comes_after_the_bye_is_acknowledged() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let hold = world.only("INVITE");
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    world.events();
    for _ in 0..2 {
        let contact = "Contact: <sip:1003@192.0.2.81:5060>\n";
        world.receive(&reply(&hold, "200 OK", "", contact, OFFER));
        let ack = world.only("ACK");
        let of = |sent: &Sent, name: HeaderName| sent.header(&name).unwrap();
        for name in [HeaderName::TO, HeaderName::FROM, HeaderName::CALL_ID] {
            assert_eq!(of(&ack, name.clone()), of(&hold, name));
        }
        assert_eq!(
            of(&ack, HeaderName::CSEQ),
            of(&hold, HeaderName::CSEQ).replace("INVITE", "ACK")
        );
        assert_ne!(of(&ack, HeaderName::VIA), of(&hold, HeaderName::VIA));
    }
    assert_eq!(world.told(), [""; 0]);
}

/// BYE while their re-INVITE waits for the application: it is answered first.
#[test]
fn our_bye_answers_what_is_pending() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    call.request(&mut world, "INVITE", "", OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    assert_eq!(world.labels(), ["487 INVITE", "BYE"]);
}

/// BYE of an unanswered call refuses it.
#[test]
fn bye_before_the_answer_is_a_refusal() {
    let mut world = World::new();
    let call = Call::ringing(&mut world, OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    world.only("480 INVITE");
    assert_eq!(world.told(), ["Terminated"]);
}

/// A peer that silently goes: without a refresh the session ends 32 s before its time.
#[test]
fn an_unrefreshed_session_is_ended() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    world.advance_s(900);
    call.request(
        &mut world,
        "INVITE",
        "Session-Expires: 1800;refresher=uac\nSupported: timer\n",
        "",
    );
    let events = world.events();
    let [Event::Reinvite { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let transaction = *transaction;
    let body = Some(("application/sdp", OUR_SDP.to_vec()));
    world.act(|ua, now| ua.respond(now, transaction, StatusCode::OK, &[], body));
    call.ack(&mut world, 2, OFFER);
    world.sent();
    world.events();
    world.advance_s(1767);
    assert_eq!(world.labels(), [""; 0], "the refresh has moved the end");
    world.advance_s(1);
    let bye = world.only("BYE");
    assert!(
        bye.header(&HeaderName::REASON)
            .unwrap()
            .contains("cause=408")
    );
    assert_eq!(world.told(), ["SessionExpired"]);
    world.advance_s(32);
    assert_eq!(world.told(), ["Terminated"]);
}

/// A session timer below 90 s is refused with the minimum (RFC 4028 section 9).
#[test]
fn a_short_session_timer_gets_422() {
    let mut world = World::new();
    let text = invite("a@b", "sip:1003@192.0.2.81;tag=1", "z9hG4bK-short", OFFER);
    world.receive(&text.replace("Session-Expires: 1800", "Session-Expires: 60"));
    let refused = world.only("422 INVITE");
    assert_eq!(refused.header(&HeaderName::MIN_SE).unwrap(), "90");
    assert_eq!(world.told(), ["Refused SessionInterval"]);
    assert_eq!(world.ua.counts().dialogs, 0);
}

/// A peer that wants us to refresh gets an UPDATE at half time.
#[test]
fn we_refresh_when_we_are_asked_to() {
    let mut world = World::new();
    let text = invite("a@b", "sip:1003@192.0.2.81;tag=1", "z9hG4bK-uas", OFFER);
    world.receive(&text.replace("refresher=uac", "refresher=uas"));
    let events = world.events();
    let [Event::Invite { dialog, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let dialog = *dialog;
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    let ok = world.sent().pop().unwrap();
    assert_eq!(
        ok.header(&HeaderName::SESSION_EXPIRES).unwrap(),
        "1800;refresher=uas"
    );
    world.receive(&format!(
        "ACK sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: sip:1003@192.0.2.81;tag=1\n\
         To: sip:1002@192.0.2.81:5060;tag={}\nCall-ID: a@b\nCSeq: 1 ACK\n\
         Via: SIP/2.0/UDP 192.0.2.81:5060;branch=z9hG4bK-ack\nContent-Length: 0\n\n",
        ok.to_tag()
    ));
    world.advance_s(900);
    let update = world.only("UPDATE");
    assert_eq!(
        update.header(&HeaderName::SESSION_EXPIRES).unwrap(),
        "1800;refresher=uac"
    );
    let granted = "Session-Expires: 1800;refresher=uac\nRequire: timer\n";
    world.receive(&reply(&update, "200 OK", "", granted, ""));
    assert_eq!(world.told(), ["Ack"]);
    world.advance_s(900);
    world.only("UPDATE");
}

/// A world whose application answers BYE itself.
fn leaving_byes() -> World {
    let mut world = World::new();
    world.ua = UserAgent::new(config(), [9; 32]).leaving_byes();
    world
}

/// BYE waits for the application's answer, however often it comes meanwhile; for everything else the dialog is over.
#[test]
fn a_bye_that_is_left_to_the_application_is_answered_once_it_says() {
    let mut world = leaving_byes();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    let bye = call.request(&mut world, "BYE", "", "");
    assert_eq!(
        (world.labels(), world.told()),
        (vec![], vec!["Bye".to_owned()])
    );
    world.advance_ms(500);
    world.receive(&bye);
    assert_eq!(
        world.labels(),
        [""; 0],
        "the same BYE waits for the same answer"
    );
    call.request(&mut world, "NOTIFY", "Event: talk\n", "");
    world.only("481 NOTIFY");
    assert_eq!(world.told(), ["Refused NoDialog"]);
    call.request(&mut world, "BYE", "", "");
    world.only("200 BYE");
    assert_eq!(
        world.told(),
        [""; 0],
        "a second one tells nothing and ends nothing"
    );
    world.act(|ua, now| ua.bye(now, dialog, None));
    assert_eq!(world.labels(), [""; 0], "ours is not needed any more");
    let stat = (HeaderName::other("X-RTP-Stat"), b"PS=1".to_vec());
    world.act(|ua, _| ua.set_bye_headers(dialog, vec![stat.clone()]));
    world.act(|ua, now| ua.answer_bye(now, dialog));
    let answer = world.only("200 BYE");
    assert_eq!(answer.header(&stat.0).as_deref(), Some("PS=1"));
    assert_eq!(world.told(), ["Terminated"]);
    world.receive(&bye);
    world.only("200 BYE");
    world.act(|ua, now| ua.answer_bye(now, dialog));
    assert_eq!((world.labels(), world.told()), (vec![], vec![]));
    world.assert_quiet();
}

/// A caller who hangs up while it rings, or instead of his ACK, is treated alike: nothing is waited for before the answer, and our 200 is repeated no longer.
#[test]
fn a_bye_before_the_answer_is_left_to_nobody() {
    let mut world = leaving_byes();
    let mut call = Call::ringing(&mut world, OFFER);
    call.request(&mut world, "BYE", "", "");
    assert_eq!(world.labels(), ["200 BYE", "487 INVITE"]);
    assert_eq!(world.told(), ["Bye", "Terminated"]);

    let mut world = leaving_byes();
    let mut call = Call::answered(&mut world, OFFER);
    let dialog = call.dialog;
    call.request(&mut world, "BYE", "", "");
    assert_eq!(world.labels(), [""; 0]);
    world.act(|ua, now| ua.answer_bye(now, dialog));
    world.only("200 BYE");
    assert_eq!(world.told(), ["Bye", "Terminated"]);
    world.assert_quiet();
}

/// The peer forgets the dialog before it has acknowledged our 200: our BYE waits for the ACK, or for its time, and the process does not spin meanwhile.
#[test]
fn a_dialog_that_is_lost_before_its_ack_ends_in_time() {
    let mut world = World::new();
    let call = Call::answered(&mut world, OFFER);
    let dialog = call.dialog;
    world.act(|ua, now| ua.request(now, dialog, Method::Info, &[], None));
    let info = world.only("INFO");
    let status = "481 Call/Transaction Does Not Exist";
    world.receive(&reply(&info, status, "", "", ""));
    for _ in 0..20 {
        let Some(at) = world.ua.poll_timeout() else {
            break;
        };
        assert!(at >= world.now, "what is over wakes nobody");
        let wait = at - world.now;
        world.advance(wait);
        assert!(
            world.ua.poll_timeout() > Some(world.now),
            "nor again and again"
        );
    }
    world.advance_s(32);
    assert!(world.labels().contains(&"BYE".to_owned()));
}
