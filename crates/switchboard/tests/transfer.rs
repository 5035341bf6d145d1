//! Transfers that the agent asks for: to a number, and to the other party of a second call.

mod common;

use std::time::Duration;

use common::{Dialog, OFFER, World, text};
use control::{CallState, EndedBy, ErrorCode, PageMessage, TransferState, TransferView};
use sip::{HeaderName, Request};

fn view(world: &World, page: u64, call: &str) -> TransferView {
    let calls = world.calls(page);
    let call = calls.into_iter().find(|known| known.id == call);
    call.expect("a call").transfer.expect("a transfer")
}

fn state(world: &World, page: u64, call: &str) -> CallState {
    let calls = world.calls(page);
    let call = calls.iter().find(|known| known.id == call);
    call.expect("a call").state
}

fn header(request: &Request, name: &HeaderName) -> String {
    text(request.headers.get(name))
}

/// SIP Server's news of the target.
fn news(world: &mut World, dialog: &mut Dialog, status: &str, subscription: &str) -> u16 {
    news_of(world, dialog, "refer", status, subscription)
}

fn news_of(
    world: &mut World,
    dialog: &mut Dialog,
    event: &str,
    status: &str,
    subscription: &str,
) -> u16 {
    let extra = format!(
        "Event: {event}\r\nSubscription-State: {subscription}\r\nContent-Type: message/sipfrag;version=2.0\r\n"
    );
    world.in_dialog_with(dialog, "NOTIFY", &extra, &format!("SIP/2.0 {status}\r\n"));
    *world
        .statuses(dialog, dialog.cseq, "NOTIFY")
        .last()
        .expect("an answer")
}

/// A call that talks, the agent has asked for its transfer to 1005, and the hold before it is settled.
fn referred(world: &mut World, page: u64) -> (Dialog, String, Request) {
    let dialog = world.talking("1002");
    let call = world.call(page).id;
    world.transfer(page, &call, "1005");
    assert!(world.requests("REFER").is_empty(), "the hold comes first");
    let offer = world.answer_reinvite("recvonly");
    assert!(offer.contains("a=sendonly"), "{offer}");
    let refer = world.requests("REFER").pop().expect("a REFER");
    (dialog, call, refer)
}

/// The agent hands the caller to 1005: the caller is held, 1005 rings, answers, and the agent is free again.
#[test]
fn a_call_is_handed_to_a_number() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, refer) = referred(&mut world, page);
    assert_eq!(
        header(&refer, &HeaderName::REFER_TO),
        "<sip:1005@192.0.2.81>"
    );
    assert_eq!(
        header(&refer, &HeaderName::REFERRED_BY),
        "<sip:1002@192.0.2.81>"
    );
    assert_eq!(header(&refer, &HeaderName::CALL_ID), dialog.call_id);
    assert!(header(&refer, &HeaderName::CONTACT).contains("sip:1002@192.0.2.10:5060"));
    assert_eq!(view(&world, page, &call).state, TransferState::Asking);
    world.respond(&refer, "202 Accepted", None);
    assert_eq!(view(&world, page, &call).state, TransferState::Trying);
    assert_eq!(
        news(&mut world, &mut dialog, "100 Trying", "active;expires=60"),
        200
    );
    assert_eq!(view(&world, page, &call).state, TransferState::Trying);
    news(&mut world, &mut dialog, "180 Ringing", "active;expires=59");
    assert_eq!(view(&world, page, &call).state, TransferState::Ringing);
    assert_eq!(state(&world, page, &call), CallState::Held);
    news(
        &mut world,
        &mut dialog,
        "200 OK",
        "terminated;reason=noresource",
    );
    assert_eq!(view(&world, page, &call).state, TransferState::Done);
    assert!(
        world.requests("BYE").is_empty(),
        "SIP Server's own BYE may come"
    );
    world.in_dialog(&mut dialog, "BYE", "", None);
    let end = world.call(page).end.expect("an end");
    assert_eq!(
        (end.by, end.cause.as_str()),
        (EndedBy::Agent, "transferred")
    );
    world.assert_quiet();
}

/// SIP Server tells the success and forgets its BYE: the agent is not left with a silent call.
#[test]
fn we_hang_up_when_sip_server_does_not() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, _, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    news(
        &mut world,
        &mut dialog,
        "200 OK",
        "terminated;reason=noresource",
    );
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(page).end.unwrap().cause, "transferred");
    world.assert_quiet();
}

/// SIP Server releases the agent as soon as it has agreed: that is a transfer, no caller who hung up.
#[test]
fn a_bye_after_the_202_is_the_transfer() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, _, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.call(page).end.unwrap().cause, "transferred");
    world.assert_quiet();
}

/// The caller hangs up before SIP Server has agreed to anything: nobody was transferred.
#[test]
fn a_caller_who_hangs_up_before_was_not_transferred() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, _, _) = referred(&mut world, page);
    world.in_dialog(&mut dialog, "BYE", "", None);
    assert_eq!(world.call(page).end.unwrap().cause, "remote_hangup");
    world.assert_quiet();
}

/// What fails in each way: the agent has the caller back, off hold, and reads why.
fn the_agent_keeps_the_call(
    world: &mut World,
    page: u64,
    call: &str,
    status: Option<u16>,
    why: &str,
) {
    let failed = view(world, page, call);
    assert_eq!(failed.state, TransferState::Failed);
    assert_eq!(
        (failed.sip_status, failed.reason.as_deref()),
        (status, Some(why))
    );
    let offer = world.answer_reinvite("sendrecv");
    assert!(offer.contains("a=sendrecv"), "retrieved: {offer}");
    assert_eq!(state(world, page, call), CallState::Talking);
    let plan = world.plan();
    assert!(plan.to_agent && plan.to_caller);
}

/// SIP Server refuses the transfer.
#[test]
fn a_refused_refer_leaves_the_call() {
    let (mut world, page) = World::with_agent("1002");
    let (_, call, refer) = referred(&mut world, page);
    world.respond(&refer, "603 Decline", None);
    the_agent_keeps_the_call(&mut world, page, &call, Some(603), "Decline");
}

/// The target is busy.
#[test]
fn a_busy_target_leaves_the_call() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    news(
        &mut world,
        &mut dialog,
        "486 Busy Here",
        "terminated;reason=noresource",
    );
    the_agent_keeps_the_call(&mut world, page, &call, Some(486), "Busy Here");
    // And she may try another one.
    world.transfer(page, &call, "1006");
    world.answer_reinvite("recvonly");
    let refer = world.requests("REFER").pop().unwrap();
    assert_eq!(
        header(&refer, &HeaderName::REFER_TO),
        "<sip:1006@192.0.2.81>"
    );
}

/// The subscription ends and nobody said what became of the target.
#[test]
fn an_end_without_outcome_leaves_the_call() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    news(
        &mut world,
        &mut dialog,
        "180 Ringing",
        "terminated;reason=timeout",
    );
    the_agent_keeps_the_call(&mut world, page, &call, None, "SIP Server told no outcome");
}

/// No news at all.
#[test]
fn silence_leaves_the_call() {
    let (mut world, page) = World::with_agent("1002");
    let (_, call, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    world.advance(Duration::from_secs(119));
    assert_eq!(view(&world, page, &call).state, TransferState::Trying);
    world.advance(Duration::from_secs(1));
    the_agent_keeps_the_call(&mut world, page, &call, None, "no outcome was told in time");
}

/// The target answers after all, when the agent had the call back already: it is the target's.
#[test]
fn a_late_success_is_a_transfer() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    world.advance(Duration::from_secs(120));
    world.answer_reinvite("sendrecv");
    news(
        &mut world,
        &mut dialog,
        "200 OK",
        "terminated;reason=noresource",
    );
    assert_eq!(view(&world, page, &call).state, TransferState::Done);
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    world.assert_quiet();
}

/// The first target rang for too long and was given up; she hands the caller to another. What becomes of the first then says nothing about the second
/// (RFC 3515 section 2.4.6).
#[test]
fn late_news_of_a_former_target_moves_no_later_transfer() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, former) = referred(&mut world, page);
    world.respond(&former, "202 Accepted", None);
    world.advance(Duration::from_secs(120));
    world.answer_reinvite("sendrecv");
    world.transfer(page, &call, "1006");
    world.answer_reinvite("recvonly");
    let latter = world.requests("REFER").pop().expect("another REFER");
    world.respond(&latter, "202 Accepted", None);
    let number = |refer: &Request| refer.headers.cseq().expect("a CSeq").number;
    let told = |world: &mut World, dialog: &mut Dialog, refer: &Request, status: &str| {
        let of = format!("refer;id={}", number(refer));
        let status = news_of(world, dialog, &of, status, "terminated;reason=noresource");
        assert_eq!(status, 200);
    };
    for outcome in ["487 Request Terminated", "200 OK"] {
        told(&mut world, &mut dialog, &former, outcome);
        assert_eq!(view(&world, page, &call).state, TransferState::Trying);
        assert_eq!(state(&world, page, &call), CallState::Held);
    }
    told(&mut world, &mut dialog, &latter, "200 OK");
    assert_eq!(view(&world, page, &call).state, TransferState::Done);
}

/// SIP Server does not answer the REFER: neither the agent nor the caller waits longer than a transaction lasts.
#[test]
fn an_unanswered_refer_leaves_the_call() {
    let (mut world, page) = World::with_agent("1002");
    let (_, call, _) = referred(&mut world, page);
    world.advance(Duration::from_secs(32));
    the_agent_keeps_the_call(&mut world, page, &call, None, "SIP Server did not answer");
}

/// SIP Server does not know the call any more: it is over, not retrieved.
#[test]
fn a_refer_without_its_dialog_ends_the_call() {
    let (mut world, page) = World::with_agent("1002");
    let (_, _, refer) = referred(&mut world, page);
    world.respond(&refer, "481 Call/Transaction Does Not Exist", None);
    // There is time for a BYE of the caller that was lost.
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "481 Call/Transaction Does Not Exist", None);
    assert_eq!(world.call(page).end.unwrap().cause, "dialog_lost");
    world.assert_quiet();
}

/// News overtakes the 202: it is believed.
#[test]
fn a_notify_may_come_before_the_202() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, refer) = referred(&mut world, page);
    assert_eq!(
        news(&mut world, &mut dialog, "180 Ringing", "active;expires=60"),
        200
    );
    assert_eq!(view(&world, page, &call).state, TransferState::Ringing);
    world.respond(&refer, "202 Accepted", None);
    assert_eq!(view(&world, page, &call).state, TransferState::Ringing);
    news(
        &mut world,
        &mut dialog,
        "200 OK",
        "terminated;reason=noresource",
    );
    assert_eq!(view(&world, page, &call).state, TransferState::Done);
}

/// News of a transfer that nobody asked for changes nothing.
#[test]
fn news_of_no_transfer_is_refused() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let status = news(
        &mut world,
        &mut dialog,
        "200 OK",
        "terminated;reason=noresource",
    );
    assert_eq!(status, 481);
    assert_eq!(world.call(page).state, CallState::Talking);
    world.advance(Duration::from_secs(3));
    assert!(world.requests("BYE").is_empty());
}

/// A click too many transfers once; a transfer elsewhere in the middle of one is refused in words.
#[test]
fn a_second_click_changes_nothing() {
    let (mut world, page) = World::with_agent("1002");
    let (_, call, refer) = referred(&mut world, page);
    world.transfer(page, &call, "1005");
    assert_eq!(world.last_error(page), None);
    world.respond(&refer, "202 Accepted", None);
    world.transfer(page, &call, "1005");
    assert_eq!(world.requests("REFER").len(), 1);
    world.transfer(page, &call, "1006");
    assert_eq!(world.last_error(page), Some(ErrorCode::WrongState));
    assert_eq!(world.requests("REFER").len(), 1);
}

/// A call that rings, one that is over, a number that cannot be dialled, a call of somebody else.
#[test]
fn what_cannot_be_transferred_is_refused() {
    let mut world = World::new(&["1002", "1003"]);
    let page = world.sign_in("1002", None);
    let other = world.sign_in("1003", None);
    let mut dialog = world.invite("1002", Some(common::OFFER));
    let call = world.call(page).id;
    world.transfer(page, &call, "1005");
    assert_eq!(world.last_error(page), Some(ErrorCode::WrongState));
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    world.transfer(page, &call, "1@evil.example");
    assert_eq!(world.last_error(page), Some(ErrorCode::BadNumber));
    world.transfer(other, &call, "1005");
    assert_eq!(world.last_error(other), Some(ErrorCode::UnknownCall));
    let own = format!("call {call}");
    world.transfer(page, &call, &own);
    assert_eq!(world.last_error(page), Some(ErrorCode::WrongState));
    world.transfer(page, &call, "call c-nothing");
    assert_eq!(world.last_error(page), Some(ErrorCode::UnknownCall));
    assert!(world.requests("REFER").is_empty());
}

/// Two calls of one agent: the caller on hold, the colleague on the line.
fn consulted(world: &mut World, page: u64) -> ((Dialog, String), (Dialog, String)) {
    let first = world.talking("1002");
    let caller = world.call(page).id;
    let second = world.talking("1002");
    world.answer_reinvite("recvonly");
    let colleague = world.call(page).id;
    assert_eq!(state(world, page, &caller), CallState::Held);
    ((first, caller), (second, colleague))
}

/// The agent joins caller and colleague: both of her calls end as transferred, whoever sends the BYEs.
#[test]
fn two_calls_are_joined() {
    let (mut world, page) = World::with_agent("1002");
    let ((mut first, caller), (mut second, colleague)) = consulted(&mut world, page);
    world.transfer(page, &caller, &format!("call {colleague}"));
    let refer = world
        .requests("REFER")
        .pop()
        .expect("a REFER at once: the call is held already");
    assert_eq!(header(&refer, &HeaderName::CALL_ID), first.call_id);
    let refer_to = refer.headers.refer_to().unwrap().expect("a Refer-To");
    let replaces = sip::wire::Replaces::parse(&refer_to.uri.header("Replaces").unwrap()).unwrap();
    assert_eq!(refer_to.uri.host().unwrap().to_string(), "192.0.2.81");
    assert_eq!(replaces.call_id.to_string(), second.call_id);
    assert_eq!(
        replaces.to_tag.to_string(),
        second.from_tag,
        "SIP Server's own tag"
    );
    assert_eq!(replaces.from_tag.to_string(), world.our_tag(&second));
    world.respond(&refer, "202 Accepted", None);
    assert_eq!(
        view(&world, page, &caller).to_call.as_deref(),
        Some(&*colleague)
    );
    news(
        &mut world,
        &mut first,
        "200 OK",
        "terminated;reason=noresource",
    );
    world.in_dialog(&mut second, "BYE", "", None);
    world.advance(Duration::from_secs(2));
    let bye = world
        .requests("BYE")
        .pop()
        .expect("a BYE for the caller's dialog");
    assert_eq!(header(&bye, &HeaderName::CALL_ID), first.call_id);
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.causes(), ["transferred", "transferred"]);
    world.assert_quiet();
}

/// SIP Server ends both calls before it tells the outcome.
#[test]
fn joined_calls_may_end_before_the_news() {
    let (mut world, page) = World::with_agent("1002");
    let ((mut first, caller), (mut second, colleague)) = consulted(&mut world, page);
    world.transfer(page, &caller, &format!("call {colleague}"));
    let refer = world.requests("REFER").pop().unwrap();
    world.respond(&refer, "202 Accepted", None);
    world.in_dialog(&mut first, "BYE", "", None);
    assert!(
        world.requests("BYE").is_empty(),
        "the colleague's call is not ended by us"
    );
    world.in_dialog(&mut second, "BYE", "", None);
    assert_eq!(world.causes(), ["transferred", "transferred"]);
    world.assert_quiet();
}

/// The calls cannot be joined: the caller stays on hold, and the agent goes on with the colleague.
#[test]
fn calls_that_cannot_be_joined_stay_as_they_are() {
    let (mut world, page) = World::with_agent("1002");
    let ((_, caller), (_, colleague)) = consulted(&mut world, page);
    world.transfer(page, &caller, &format!("call {colleague}"));
    let refer = world.requests("REFER").pop().unwrap();
    world.respond(&refer, "403 Forbidden", None);
    assert_eq!(view(&world, page, &caller).sip_status, Some(403));
    assert_eq!(state(&world, page, &caller), CallState::Held);
    assert_eq!(state(&world, page, &colleague), CallState::Talking);
}

/// The colleague hangs up while the hold before the REFER is still under way: nothing is left to join with.
#[test]
fn a_colleague_who_hangs_up_ends_the_transfer_only() {
    let (mut world, page) = World::with_agent("1002");
    let ((_, caller), (mut second, colleague)) = consulted(&mut world, page);
    // The agent goes back to the caller, so that the transfer has to hold her again.
    world.say(
        page,
        PageMessage::Retrieve {
            call: caller.clone(),
        },
    );
    let reinvites = world.requests("INVITE");
    for reinvite in &reinvites[reinvites.len() - 2..] {
        world.respond(reinvite, "200 OK", Some(common::ANSWER));
    }
    world.transfer(page, &caller, &format!("call {colleague}"));
    world.in_dialog(&mut second, "BYE", "", None);
    world.answer_reinvite("recvonly");
    assert!(world.requests("REFER").is_empty());
    the_agent_keeps_the_call(&mut world, page, &caller, None, "the other call is over");
}

/// SIP Server refuses the hold: the caller is transferred all the same.
#[test]
fn a_refused_hold_is_no_obstacle() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = world.call(page).id;
    world.transfer(page, &call, "1005");
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "488 Not Acceptable Here", None);
    assert_eq!(world.requests("REFER").len(), 1);
}

/// A page that comes back in the middle of a transfer sees how far it is.
#[test]
fn a_page_that_comes_back_sees_the_transfer() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    let secret = world.resume_secret(page);
    world.lose_page(page);
    news(&mut world, &mut dialog, "180 Ringing", "active;expires=60");
    let page = world.sign_in("1002", Some(secret));
    assert_eq!(view(&world, page, &call).state, TransferState::Ringing);
}

/// The REFER was challenged and its copy with the password has the next CSeq; some SIP Servers number the news otherwise altogether. It is the news of
/// the only transfer there is.
#[test]
fn news_under_another_number_is_heard() {
    for id in [1, 77] {
        let (mut world, page) = World::with_agent("1002");
        let (mut dialog, call, refer) = referred(&mut world, page);
        world.respond(&refer, "202 Accepted", None);
        let event = format!("refer;id={id}");
        let over = "terminated;reason=noresource";
        news_of(&mut world, &mut dialog, &event, "486 Busy Here", over);
        let view = view(&world, page, &call);
        assert_eq!(
            (view.state, view.sip_status),
            (TransferState::Failed, Some(486))
        );
    }
}

/// She presses Hold while the target is tried, on the page or on the desktop: when it fails she is not heard by a caller whom she has put on hold.
#[test]
fn a_hold_that_is_asked_for_meanwhile_outlives_a_failed_transfer() {
    for on_the_desktop in [false, true] {
        let (mut world, page) = World::with_agent("1002");
        let (mut dialog, call, refer) = referred(&mut world, page);
        world.respond(&refer, "202 Accepted", None);
        if on_the_desktop {
            world.notify(&mut dialog, "hold");
        } else {
            let call = call.clone();
            world.say(page, PageMessage::Hold { call });
        }
        let sent = world.requests("INVITE").len();
        let over = "terminated;reason=noresource";
        news(&mut world, &mut dialog, "486 Busy Here", over);
        assert_eq!(view(&world, page, &call).state, TransferState::Failed);
        assert_eq!(state(&world, page, &call), CallState::Held);
        assert_eq!(world.requests("INVITE").len(), sent);
        assert!(!world.plan().to_caller);
    }
}

/// The transfer failed while the agent talked to another caller: the call just stays on hold, as if she had clicked. What is tried with it afterwards and
/// fails does not bring the caller back into her ear.
#[test]
fn a_call_that_stayed_on_hold_for_another_one_is_not_retrieved_by_a_later_failure() {
    let (mut world, page) = World::with_agent("1002");
    let (mut dialog, call, refer) = referred(&mut world, page);
    world.respond(&refer, "202 Accepted", None);
    let mut other = world.talking("1002");
    let over = "terminated;reason=noresource";
    news(&mut world, &mut dialog, "486 Busy Here", over);
    assert_eq!(state(&world, page, &call), CallState::Held);

    world.in_dialog(&mut other, "BYE", "", None);
    let header = world.replaces(&dialog, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    world.ack(&new, 1, None);
    let calls = world.calls(page);
    let new = calls.last().expect("the call in its place");
    assert_eq!(new.state, CallState::Held);
    assert!(!world.plan().to_caller);
}
