//! An agent has one voice: which of her calls has it, whatever meets what.

mod common;

use std::time::Duration;

use common::{ANSWER, BLACK_HOLE, OFFER, World};
use control::{CallState, ErrorCode, HeldBy, PageMessage};

const BY_ITSELF: &str = "Alert-Info: ring answer\r\n";

/// The description that takes nothing away: audio flows both ways, from another port than before.
fn active(port: u16) -> String {
    ANSWER.replace("8006", &port.to_string())
}

/// One datagram under SIP Server's address asks her endpoint to call somebody: the caller whom she talks to notices nothing.
#[test]
fn a_refer_that_nobody_sent_puts_no_caller_on_hold() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
    assert_eq!(world.requests("INVITE").len(), 1, "the new call's only");
    let notify = world.requests("NOTIFY").pop().expect("news");
    world.respond(&notify, "481 Subscription Does Not Exist", None);
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Talking, CallState::Ending]);
    assert_eq!(world.requests("INVITE").len(), 1);
}

/// SIP Server takes the news of its REFER: the caller makes way before anybody is heard in the new call.
#[test]
fn a_refer_of_sip_server_makes_the_caller_wait() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
    let notify = world.requests("NOTIFY").pop().expect("news");
    world.respond(&notify, "200 OK", None);
    let hold = world.answer_reinvite("recvonly");
    assert!(hold.contains("a=sendonly"), "{hold}");
    assert_eq!(world.calls(page)[0].state, CallState::Held);
}

/// A SIP Server that says nothing at all of the news leaves her heard: the answer of the call opens her microphone, and the caller makes way then.
#[test]
fn a_refer_whose_news_nobody_answers_is_heard_all_the_same() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
    let invite = world.requests("INVITE").pop().expect("an INVITE");
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert!(world.plan().to_caller);
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
}

/// Her transfer is tried and her caller waits for it; SIP Server puts another party in his place. Nobody has pressed Hold, so she hears the new one.
#[test]
fn a_call_taken_over_in_mid_transfer_talks() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.talking("1002");
    let call = world.call(page).id;
    world.transfer(page, &call, "1005");
    world.answer_reinvite("recvonly");
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    world.ack(&new, 1, None);
    assert_eq!(world.calls(page)[1].state, CallState::Talking);
    assert!(world.plan().to_caller);
}

/// The page reloads when another party comes in the place of hers, and she presses Hold on the desktop before it is back: the new one comes up on hold. What counts
/// is the moment of the answer.
#[test]
fn a_call_taken_over_later_has_the_hold_of_that_moment() {
    let (mut world, page) = World::with_agent("1002");
    let mut old = world.talking("1002");
    world.media_goes();
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    world.notify(&mut old, "hold");
    world.answer_reinvite("recvonly");
    let leg = *world.legs.last().expect("a leg");
    world.connect(leg);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180, 200]);
    assert!(!world.plan().to_caller, "nobody opened the microphone");
    world.ack(&new, 1, None);
    world.answer_reinvite("recvonly");
    assert_eq!(world.calls(page)[1].held_by, Some(HeldBy::TalkControl));
}

/// A forged call has answered itself when her transfer fails: it is no reason to leave her caller on hold.
#[test]
fn a_forged_call_keeps_no_caller_on_hold() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.transfer(page, &call, "1005");
    world.answer_reinvite("recvonly");
    let refer = world.requests("REFER").pop().expect("a REFER");
    world.invite_with("1002", Some(OFFER), BY_ITSELF);
    world.respond(&refer, "603 Decline", None);
    let retrieve = world.answer_reinvite("sendrecv");
    assert!(retrieve.contains("a=sendrecv"), "{retrieve}");
    assert_eq!(world.calls(page)[0].state, CallState::Talking);
}

/// She has answered another call, and SIP Server would not be told that the first one waits (488). When it then moves that one's media she is not thrown into it.
#[test]
fn an_offer_of_who_knows_of_no_hold_does_not_end_it() {
    let (mut world, page) = World::with_agent("1002");
    let mut first = world.talking("1002");
    world.talking("1002");
    let hold = world.requests("INVITE").pop().expect("a hold");
    world.respond(&hold, "488 Not Acceptable Here", None);
    let cseq = world.reinvite(&mut first, Some(&active(8010)));
    world.ack(&first, cseq, None);
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
    assert_eq!(world.requests("INVITE").len(), 1, "nobody else is held");
}

/// SIP Server takes its own hold off, without a description, in the moment in which she presses Hold: hers was last.
#[test]
fn an_offerless_retrieve_that_crosses_our_hold_does_not_end_it() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let cseq = world.reinvite(&mut dialog, Some(BLACK_HOLE));
    world.ack(&dialog, cseq, None);
    assert_eq!(world.call(page).held_by, Some(HeldBy::Remote));
    let call = world.call(page).id;
    world.say(page, PageMessage::Hold { call });
    let ours = world.requests("INVITE").pop().expect("a hold");
    world.respond(&ours, "491 Request Pending", None);
    let cseq = world.reinvite(&mut dialog, None);
    let taken = format!("{ANSWER}a=recvonly\r\n");
    world.ack(&dialog, cseq, Some(&taken));
    assert!(!world.plan().to_caller, "the microphone stays shut");
    assert_eq!(world.call(page).state, CallState::Held);
}

/// SIP Server's talk for a call that answers itself comes while her page reloads: it shows that the call is no forgery, and nobody waits for the ACK to hear her.
#[test]
fn a_click_while_the_page_reloads_proves_the_call() {
    let (mut world, page) = World::with_agent("1002");
    world.media_goes();
    let mut dialog = world.invite_with("1002", Some(OFFER), BY_ITSELF);
    assert_eq!(world.call(page).state, CallState::Answering);
    world.notify(&mut dialog, "talk");
    let leg = *world.legs.last().expect("a leg");
    world.connect(leg);
    assert_eq!(world.statuses(&dialog, 1, "INVITE").pop(), Some(200));
    assert!(world.plan().to_caller);
}

/// She dials while a call that has answered itself waits for its ACK: hers has her voice, and the other one comes up on hold.
#[test]
fn a_late_ack_takes_no_voice_from_the_call_that_she_turned_to() {
    let (mut world, page) = World::with_agent("1002");
    let late = world.invite_with("1002", Some(OFFER), BY_ITSELF);
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    let invite = world.requests("INVITE").pop().expect("an INVITE");
    world.respond(&invite, "200 OK", Some(ANSWER));
    world.ack(&late, 1, None);
    let offer = world.answer_reinvite("recvonly");
    assert!(offer.contains("a=sendonly"), "{offer}");
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
}

/// A customer is asked for once: a call that is being joined with another one, or that SIP Server is taking elsewhere, is not transferred beside that.
#[test]
fn a_call_on_its_way_is_not_transferred_once_more() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.talking("1002");
    world.answer_reinvite("recvonly");
    let ids: Vec<String> = world
        .calls(page)
        .iter()
        .map(|call| call.id.clone())
        .collect();
    world.transfer(page, &ids[0], &format!("call {}", ids[1]));
    world.transfer(page, &ids[1], "4711");
    assert_eq!(world.last_error(page), Some(ErrorCode::WrongState));
    assert_eq!(world.requests("REFER").len(), 1);

    let (mut world, page) = World::with_agent("1002");
    let mut old = world.talking("1002");
    let consult = "Refer-To: <sip:5550100@192.0.2.81>\r\n";
    world.in_dialog(&mut old, "REFER", consult, None);
    assert_eq!(world.statuses(&old, old.cseq, "REFER"), [202]);
    let call = world.calls(page)[0].id.clone();
    world.transfer(page, &call, "1005");
    assert!(world.last_error(page).is_some());
    world.advance(Duration::from_millis(10));
    assert!(world.requests("REFER").is_empty());
}
