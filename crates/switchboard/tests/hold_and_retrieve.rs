//! Hold and retrieve, by whoever asks.

mod common;

use common::{ANSWER, BLACK_HOLE, OFFER, World};
use control::{CallState, HeldBy, PageMessage};
use std::time::Duration;
use switchboard::MediaCommand;

fn changed(sdp: &str, attribute: &str) -> String {
    format!("{}a={attribute}\r\n", sdp.replace(" 2 IN IP4", " 3 IN IP4"))
}

/// The desktop's Hold: the customer is told by re-INVITE, and both sides are silent from the click on.
#[test]
fn hold_by_notify() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    world.notify(&mut dialog, "hold");
    assert_eq!(world.statuses(&dialog, 3, "NOTIFY"), [200]);
    let plan = world.plan();
    assert_eq!(
        (plan.to_agent, plan.to_caller, plan.browser),
        (false, false, None)
    );
    let offer = world.answer_reinvite("recvonly");
    assert!(offer.contains("a=sendonly"), "{offer}");
    let call = world.call(page);
    assert_eq!(
        (call.state, call.held_by),
        (CallState::Held, Some(HeldBy::TalkControl))
    );
    world.notify(&mut dialog, "hold");
    assert_eq!(world.requests("INVITE").len(), 1, "held already");
    world.notify(&mut dialog, "talk");
    let offer = world.answer_reinvite("sendrecv");
    assert!(offer.contains("a=sendrecv"), "{offer}");
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.plan().to_agent && world.plan().to_caller);
    assert_eq!(world.requests("ACK").len(), 2);
}

/// Hold and Answer clicked in a hurry: what was clicked last is what the customer gets.
#[test]
fn the_last_wish_counts() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    world.notify(&mut dialog, "hold");
    world.notify(&mut dialog, "talk");
    world.answer_reinvite("recvonly");
    assert!(world.answer_reinvite("sendrecv").contains("a=sendrecv"));
    assert_eq!(world.requests("INVITE").len(), 2);
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// SIP Server refuses the hold: the call goes on as it was, and the page says so.
#[test]
fn a_refused_hold_is_undone() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    assert_eq!(world.call(page).held_by, Some(HeldBy::Agent));
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "488 Not Acceptable Here", None);
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.plan().to_agent);
}

/// SIP Server takes the hold and forgets the description in its 200, or names a codec that nobody offered: a hold needs neither, and the
/// customer is not cut off for it.
#[test]
fn a_hold_that_is_answered_without_a_usable_description_is_taken() {
    let foreign = ANSWER.replace("RTP/AVP 0", "RTP/AVP 18");
    for answer in [None, Some(foreign.as_str())] {
        let (mut world, page) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        world.notify(&mut dialog, "hold");
        let hold = world.requests("INVITE").pop().unwrap();
        world.respond(&hold, "200 OK", answer);
        assert_eq!(world.call(page).state, CallState::Held);
        assert!(!world.plan().to_caller && !world.plan().to_agent);
        world.notify(&mut dialog, "talk");
        let retrieve = world.requests("INVITE").pop().unwrap();
        assert!(String::from_utf8_lossy(&retrieve.body).contains("a=sendrecv"));
        world.respond(&retrieve, "200 OK", None);
        assert_eq!(world.call(page).state, CallState::Talking);
        assert!(world.plan().to_caller && world.plan().to_agent);
        assert!(world.requests("BYE").is_empty());
    }
}

/// A blank behind the word is no reason to let the agent be heard by somebody who believes to hear music.
#[test]
fn a_hold_with_a_blank_behind_it_is_a_hold() {
    for word in ["sendonly ", "inactive\t"] {
        let (mut world, page) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        let cseq = world.reinvite(&mut dialog, Some(&changed(ANSWER, word)));
        world.ack(&dialog, cseq, None);
        assert_eq!(world.call(page).held_by, Some(HeldBy::Remote), "{word:?}");
        assert!(!world.plan().to_caller, "{word:?}");
    }
}

/// Two re-INVITEs cross: ours waits and comes again.
#[test]
fn glare_backs_off_and_comes_again() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "491 Request Pending", None);
    assert_eq!(world.requests("INVITE").len(), 1);
    world.advance(Duration::from_secs(4));
    // The second try is a request of its own; repetitions of a request share its CSeq.
    let tries: std::collections::BTreeSet<_> = world
        .requests("INVITE")
        .iter()
        .map(|invite| common::text(invite.headers.get(&sip::HeaderName::CSEQ)))
        .collect();
    assert_eq!(tries.len(), 2);
    world.answer_reinvite("recvonly");
    assert_eq!(world.call(page).state, CallState::Held);
}

/// After a merge SIP Server's active re-INVITE crosses the hold it has just asked for. It knows nothing of the hold: the wish stands,
/// nobody hears anything meanwhile, and a fresh offer tells SIP Server.
#[test]
fn an_offer_that_crosses_our_hold_does_not_end_it() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    world.notify(&mut dialog, "hold");
    let ours = world.requests("INVITE").pop().unwrap();
    world.respond(&ours, "491 Request Pending", None);
    let cseq = world.reinvite(&mut dialog, Some(&changed(ANSWER, "sendrecv")));
    assert!(world.our_sdp(&dialog, cseq).contains("a=sendrecv"));
    world.ack(&dialog, cseq, None);
    world.advance(Duration::from_secs(4));
    assert!(!world.plan().to_agent && !world.plan().to_caller);
    let offer = world.answer_reinvite("recvonly");
    assert!(offer.contains("a=sendonly"), "{offer}");
    assert_eq!(world.call(page).held_by, Some(HeldBy::TalkControl));
}

/// SIP Server's own hold in all its spellings stops the agent's audio, and its retrieve brings it back.
#[test]
fn hold_by_reinvite() {
    for held in [
        BLACK_HOLE.to_owned(),
        changed(ANSWER, "sendonly"),
        changed(ANSWER, "inactive"),
    ] {
        let (mut world, page) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        let cseq = world.reinvite(&mut dialog, Some(&held));
        assert_eq!(world.statuses(&dialog, cseq, "INVITE").last(), Some(&200));
        world.ack(&dialog, cseq, None);
        let call = world.call(page);
        assert_eq!(
            (call.state, call.held_by),
            (CallState::Held, Some(HeldBy::Remote)),
            "{held}"
        );
        assert!(!world.plan().to_caller);
        let cseq = world.reinvite(&mut dialog, None);
        let offer = world.our_sdp(&dialog, cseq);
        assert!(
            offer.contains("a=sendrecv") && offer.contains("RTP/AVP 0 8 101"),
            "{offer}"
        );
        world.ack(&dialog, cseq, Some(ANSWER));
        assert_eq!(world.call(page).state, CallState::Talking);
        assert!(world.plan().to_caller && world.plan().to_agent);
    }
}

/// 12 ms after the ACK an offerless re-INVITE comes, several in a row: audio never stops.
#[test]
fn offerless_reinvites_in_a_row() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let port = world
        .our_sdp(&dialog, 1)
        .lines()
        .find(|line| line.starts_with("m="))
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .to_owned();
    for _ in 0..3 {
        let cseq = world.reinvite(&mut dialog, None);
        assert!(
            world
                .our_sdp(&dialog, cseq)
                .contains(&format!("m=audio {port} "))
        );
        world.ack(&dialog, cseq, Some(ANSWER));
    }
    assert_eq!(world.call(page).state, CallState::Talking);
    assert_eq!(
        world.legs.len(),
        1,
        "the browser's connection is never touched"
    );
}

/// On UDP the re-INVITE of 12 ms after may overtake the ACK before it. That ACK answers nothing; the offer is answered by its own.
#[test]
fn an_ack_that_is_overtaken_does_not_answer_the_offer() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    let cseq = world.reinvite(&mut dialog, None);
    world.ack(&dialog, 1, None);
    let moved = ANSWER.replace("m=audio 8006", "m=audio 9008");
    world.ack(&dialog, cseq, Some(&moved));
    assert_eq!(world.call(page).state, CallState::Talking);
    assert_eq!(world.plan().sip.remote.unwrap().port(), 9008);
}

/// SIP Server holds by NOTIFY and resumes by a re-INVITE of its own.
#[test]
fn an_active_reinvite_ends_our_hold() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    world.notify(&mut dialog, "hold");
    world.answer_reinvite("recvonly");
    let cseq = world.reinvite(&mut dialog, Some(&changed(ANSWER, "sendrecv")));
    world.ack(&dialog, cseq, None);
    assert!(world.our_sdp(&dialog, cseq).contains("a=sendrecv"));
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.plan().to_agent);
}

/// A session refresh on a held call must not open the agent's microphone.
#[test]
fn a_refresh_keeps_our_hold() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    world.notify(&mut dialog, "hold");
    world.answer_reinvite("recvonly");
    let same = format!("{ANSWER}a=recvonly\r\n");
    for offer in [Some(same.as_str()), None] {
        let cseq = world.reinvite(&mut dialog, offer);
        assert!(world.our_sdp(&dialog, cseq).contains("a=sendonly"));
        world.ack(&dialog, cseq, offer.is_none().then_some(same.as_str()));
        assert_eq!(world.call(page).held_by, Some(HeldBy::TalkControl));
        assert!(!world.plan().to_agent && !world.plan().to_caller);
    }
}

/// SIP Server answers a hold by NOTIFY with `inactive` or a black hole, as it does by default (`sip-hold-rfc3264`). That is no hold of its own: a re-INVITE
/// without SDP behind the hold leaves her microphone shut, and the desktop's Retrieve is obeyed.
#[test]
fn a_hold_that_is_answered_by_silence_is_hers_alone() {
    let black_hole = ANSWER.replace("192.0.2.82", "0.0.0.0");
    assert_ne!(black_hole, ANSWER);
    for answer in [format!("{ANSWER}a=inactive\r\n"), black_hole] {
        let (mut world, page) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        world.notify(&mut dialog, "hold");
        let hold = world.requests("INVITE").pop().expect("a re-INVITE");
        world.respond(&hold, "200 OK", Some(&answer));
        let cseq = world.reinvite(&mut dialog, None);
        assert!(world.our_sdp(&dialog, cseq).contains("a=sendonly"));
        // A recorder that is joined behind the hold takes what it is given.
        world.ack(&dialog, cseq, Some(&format!("{ANSWER}a=recvonly\r\n")));
        assert_eq!(world.call(page).held_by, Some(HeldBy::TalkControl));
        assert!(!world.plan().to_agent && !world.plan().to_caller);

        world.notify(&mut dialog, "talk");
        let offer = world.answer_reinvite("sendrecv");
        assert!(offer.contains("a=sendrecv"), "{offer}");
        assert_eq!(world.call(page).state, CallState::Talking);
        assert!(world.plan().to_agent && world.plan().to_caller);
    }
}

/// An agent has one voice: answering a second call holds the first, and retrieving the first holds the second.
#[test]
fn two_calls_one_voice() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let first = world.call(page).id;
    let second = world.talking("1002");
    world.answer_reinvite("recvonly");
    let states = |world: &World| -> Vec<CallState> {
        world.calls(page).iter().map(|call| call.state).collect()
    };
    assert_eq!(states(&world), [CallState::Held, CallState::Talking]);
    world.say(page, PageMessage::Retrieve { call: first });
    let mut pending: Vec<_> = world.requests("INVITE");
    for invite in pending.split_off(1) {
        let direction = if String::from_utf8_lossy(&invite.body).contains("sendonly") {
            "recvonly"
        } else {
            "sendrecv"
        };
        world.respond(
            &invite,
            "200 OK",
            Some(&format!("{ANSWER}a={direction}\r\n")),
        );
    }
    assert_eq!(states(&world), [CallState::Talking, CallState::Held]);
    let third = world.invite("1002", Some(common::OFFER));
    assert_eq!(world.statuses(&third, 1, "INVITE"), [100, 486]);
    drop(second);
}

/// A re-INVITE we cannot answer leaves the call as it was.
#[test]
fn an_impossible_offer_changes_nothing() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let video = "v=0\r\no=- 1 1 IN IP4 192.0.2.81\r\ns=-\r\nc=IN IP4 192.0.2.82\r\nt=0 0\r\nm=audio 8006 RTP/AVP 18\r\n";
    let cseq = world.reinvite(&mut dialog, Some(video));
    assert_eq!(world.statuses(&dialog, cseq, "INVITE").last(), Some(&488));
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.plan().to_agent && world.plan().to_caller);
}

/// SIP Server does not know the call any more when we hold it: BYE makes sure, and the agent is free.
#[test]
fn a_call_that_is_unknown_ends() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "481 Call/Transaction Does Not Exist", None);
    assert!(!world.plan().to_agent);
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "481 Call/Transaction Does Not Exist", None);
    assert_eq!(world.call(page).end.unwrap().cause, "dialog_lost");
    world.assert_quiet();
}

/// The caller hangs up, the BYE is lost, and the agent's hold finds no call any more: she reads that the caller has hung up, not that
/// the call was lost.
#[test]
fn a_caller_whose_bye_was_lost_has_hung_up() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "481 Call/Transaction Does Not Exist", None);
    assert_eq!(world.call(page).state, CallState::Ending);
    assert!(!world.plan().to_agent);
    world.advance(Duration::from_millis(500));
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.statuses(&dialog, dialog.cseq, "BYE"), [200]);
    assert_eq!(world.call(page).end.unwrap().cause, "remote_hangup");
    assert!(world.requests("BYE").is_empty());
    world.assert_quiet();
}

/// Keys pressed while the customer is on hold do not sound in her ear, nor come after the retrieve.
#[test]
fn a_held_call_takes_no_digits() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call: call.clone() });
    world.answer_reinvite("recvonly");
    world.say(
        page,
        PageMessage::Dtmf {
            call,
            digits: "5".into(),
        },
    );
    assert_eq!(world.last_error(page), Some(control::ErrorCode::WrongState));
    world.in_dialog(&mut dialog, "NOTIFY", "Event: dtmf;digits=5\r\n", None);
    let digits = |command: &&MediaCommand| matches!(command, MediaCommand::SendDigits { .. });
    assert_eq!(world.media.iter().find(digits), None);
    world.in_dialog(&mut dialog, "BYE", "", None);
    world.assert_quiet();
}

/// The page holds while SIP Server's offerless re-INVITE is under way: our 200 says so, and a re-INVITE says it again, because
/// only that makes the desktop show the hold. It is said once.
#[test]
fn a_hold_that_only_a_200_stated_is_announced() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    let cseq = world.reinvite(&mut dialog, None);
    assert!(world.our_sdp(&dialog, cseq).contains("a=sendonly"));
    world.ack(&dialog, 1, None);
    assert!(world.requests("INVITE").is_empty());
    let answer = format!("{ANSWER}a=recvonly\r\n");
    world.ack(&dialog, cseq, Some(&answer));
    assert!(world.answer_reinvite("recvonly").contains("a=sendonly"));
    let cseq = world.reinvite(&mut dialog, None);
    world.ack(&dialog, cseq, Some(&answer));
    world.advance(Duration::from_secs(10));
    assert_eq!(world.requests("INVITE").len(), 1);
    assert_eq!(world.call(page).held_by, Some(HeldBy::Agent));
    world.in_dialog(&mut dialog, "BYE", "", None);
    world.assert_quiet();
}

/// SIP Server refuses the retrieve: the page goes on showing the hold that is there.
#[test]
fn a_refused_retrieve_is_undone() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call: call.clone() });
    world.answer_reinvite("recvonly");
    world.say(page, PageMessage::Retrieve { call });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "488 Not Acceptable Here", None);
    assert_eq!(world.call(page).held_by, Some(HeldBy::Agent));
}

/// A second call is answered: the first is silent in the same turn, before any ACK; a refused hold is not asked for again.
#[test]
fn a_call_that_makes_way_is_silent_at_once_and_asks_once() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let mut second = world.invite("1002", Some(OFFER));
    world.notify(&mut second, "talk");
    assert_eq!(world.calls(page)[0].held_by, Some(HeldBy::Agent));
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "488 Not Acceptable Here", None);
    world.ack(&second, 1, None);
    assert_eq!(world.requests("INVITE").len(), 1);
    assert_eq!(world.calls(page)[0].held_by, Some(HeldBy::Agent));
}

/// SIP Server cannot take the hold just now (a switch-over, no room): a caller who waits in silence is told a little later that he is
/// on hold, and gets his music.
#[test]
fn a_call_that_makes_way_is_held_as_soon_as_sip_server_can() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.talking("1002");
    for asked in 1..=2 {
        assert_eq!(world.requests("INVITE").len(), asked);
        let invite = world.requests("INVITE").pop().unwrap();
        world.respond(&invite, "503 Service Unavailable", None);
        assert_eq!(world.calls(page)[0].held_by, Some(HeldBy::Agent));
        world.advance(Duration::from_secs(10));
    }
    assert!(world.answer_reinvite("recvonly").contains("a=sendonly"));
    world.advance(Duration::from_secs(60));
    assert_eq!(world.requests("INVITE").len(), 3);
    assert_eq!(world.calls(page)[0].held_by, Some(HeldBy::Agent));
}

/// SIP Server's own re-INVITE was lost with its connection, and it refuses every other one for the 32 s that it waits for the answer: the
/// caller is told afterwards that he is on hold.
#[test]
fn a_call_that_makes_way_is_held_when_sip_server_has_given_its_own_change_up() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.talking("1002");
    let mut refused = std::collections::BTreeSet::new();
    loop {
        let invite = world.requests("INVITE").pop().unwrap();
        if !refused.insert(common::text(invite.headers.get(&sip::HeaderName::CSEQ))) {
            break;
        }
        world.respond(&invite, "491 Request Pending", None);
        world.advance(Duration::from_secs(4));
    }
    assert_eq!(refused.len(), 24, "told until it gives up");
    assert_eq!(world.calls(page)[0].held_by, Some(HeldBy::Agent));
    world.advance(Duration::from_secs(10));
    assert!(world.answer_reinvite("recvonly").contains("a=sendonly"));
    world.advance(Duration::from_secs(60));
    let last = world.requests("INVITE").pop().unwrap();
    let told = common::text(last.headers.get(&sip::HeaderName::CSEQ));
    assert!(!refused.contains(&told), "{told}: the last one was taken");
    assert_eq!(world.calls(page)[0].held_by, Some(HeldBy::Agent));
}

/// The agent and SIP Server both hold: the desktop's retrieve, a re-INVITE without SDP, brings the customer back.
#[test]
fn an_offerless_retrieve_ends_both_holds() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let cseq = world.reinvite(&mut dialog, Some(BLACK_HOLE));
    world.ack(&dialog, cseq, None);
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "200 OK", Some(BLACK_HOLE));
    let cseq = world.reinvite(&mut dialog, None);
    world.ack(&dialog, cseq, Some(ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// SIP Server left the offer to us, and Hold on the desktop overtakes its ACK: the caller is on hold as soon as the ACK is there.
#[test]
fn a_hold_that_overtakes_the_ack_is_kept() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.invite("1002", None);
    world.notify(&mut dialog, "talk");
    world.notify(&mut dialog, "hold");
    assert!(world.requests("INVITE").is_empty());
    world.ack(&dialog, 1, Some(ANSWER));
    let hold = world.answer_reinvite("recvonly");
    assert!(hold.contains("a=sendonly"), "{hold}");
    assert_eq!(world.call(page).held_by, Some(HeldBy::TalkControl));
}
