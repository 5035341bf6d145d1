//! INVITE with `Replaces`: a call takes the place of another one.

mod common;

use common::{OFFER, World, text};
use control::{AnsweredBy, CallState, HeldBy, PageMessage};
use switchboard::MediaCommand;

/// A transfer is completed towards the agent: she talks to the new party at once, without a click, and the old call is over.
#[test]
fn a_call_takes_the_place_of_another() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.talking("1002");
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180, 200]);
    let bye = world.requests("BYE").pop().expect("a BYE for the old call");
    assert_eq!(
        text(bye.headers.get(&sip::HeaderName::CALL_ID)),
        old.call_id
    );
    assert_eq!(
        world.requests("INVITE").len(),
        0,
        "nobody is put on hold for it"
    );
    world.ack(&new, 1, None);
    world.respond(&bye, "200 OK", None);
    let call = world.call(page);
    assert_eq!(
        (call.state, call.answered_by),
        (CallState::Talking, Some(AnsweredBy::Auto))
    );
    assert_eq!(world.causes(), ["replaced"]);
    let plan = world.plan();
    assert!(plan.to_agent && plan.to_caller && plan.call.to_string() == call.id);
}

/// It is one call in place of another, not one more: an agent with all the calls that she may have, or who drains, keeps hers.
#[test]
fn it_is_no_further_call() {
    let (mut world, _) = World::with_agent("1002");
    let old = world.talking("1002");
    world.talking("1002");
    world.input(switchboard::Input::Drain);
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180, 200]);
}

/// The agent had the old call on hold and talks to somebody else: the new one is on hold too, and SIP Server is told.
#[test]
fn a_call_on_hold_stays_on_hold() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.talking("1002");
    world.talking("1002");
    world.answer_reinvite("recvonly");
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    world.ack(&new, 1, None);
    let offer = world.answer_reinvite("recvonly");
    assert!(offer.contains("a=sendonly"), "{offer}");
    let calls = world.calls(page);
    assert_eq!(calls[1].state, CallState::Talking);
    assert_eq!(
        (calls[2].state, calls[2].held_by),
        (CallState::Held, Some(HeldBy::Agent))
    );
}

/// The page is reloading: the old call is kept until the new one can be answered.
#[test]
fn the_old_call_is_kept_until_the_new_one_is_answered() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.talking("1002");
    world.media_goes();
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180]);
    assert!(world.requests("BYE").is_empty());
    let leg = *world.legs.last().unwrap();
    world.connect(leg);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180, 200]);
    assert_eq!(world.requests("BYE").len(), 1);
    assert_eq!(world.calls(page).len(), 2);
}

/// The agent's own call is not answered yet: the one that replaces it is answered, and hers is cancelled.
#[test]
fn a_dialled_call_is_replaced_before_its_answer() {
    let (mut world, page) = World::with_agent("1002");
    world.say(
        page,
        PageMessage::Dial {
            number: "1005".into(),
        },
    );
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "180 Ringing", None);
    let call_id = text(invite.headers.get(&sip::HeaderName::CALL_ID));
    let from = invite.headers.from().unwrap().tag().unwrap();
    let header = format!("Replaces: {call_id};to-tag={from};from-tag=server;early-only\r\n");
    let new = world.invite_with("1002", Some(OFFER), &header);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180, 200]);
    assert_eq!(world.requests("CANCEL").len(), 1);
}

/// What cannot be replaced is refused, and no call suffers (RFC 3891 section 3).
#[test]
fn what_cannot_be_replaced_is_refused() {
    let mut world = World::new(&["1002", "1003"]);
    let page = world.sign_in("1002", None);
    world.sign_in("1003", None);
    let old = world.talking("1002");
    let good = world.replaces(&old, "");
    let cases = [
        (
            "1002",
            world.replaces(&old, ";early-only"),
            486,
            "replaces_answered",
        ),
        ("1003", good.clone(), 481, "replaces_unknown"),
        (
            "1002",
            good.replace("to-tag=", "to-tag=x"),
            481,
            "replaces_unknown",
        ),
        (
            "1002",
            good.replace("from-tag=", "from-tag=x"),
            481,
            "replaces_unknown",
        ),
        (
            "1002",
            "Replaces: nothing;to-tag=a;from-tag=b\r\n".to_owned(),
            481,
            "replaces_unknown",
        ),
        (
            "1002",
            "Replaces: nothing\r\n".to_owned(),
            400,
            "replaces_unreadable",
        ),
        ("1002", format!("{good}{good}"), 400, "replaces_unreadable"),
    ];
    for (dn, header, status, cause) in cases {
        let new = world.invite_with(dn, Some(OFFER), &header);
        let statuses = world.statuses(&new, 1, "INVITE");
        assert_eq!(statuses.last(), Some(&status), "{header}");
        assert_eq!(world.causes().last(), Some(&cause), "{header}");
    }
    assert_eq!(world.call(page).state, CallState::Talking);
    // A call that only rings, and one that we have hung up.
    let ringing = world.invite("1002", Some(OFFER));
    let header = world.replaces(&ringing, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 481]);
    let call = world.calls(page)[0].id.clone();
    world.say(page, PageMessage::Hangup { call });
    let new = world.invite_with("1002", Some(OFFER), &good);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 603]);
    assert_eq!(world.causes().last(), Some(&"replaces_ended"));
}

/// A 200 cannot be taken back: the port that it names is ours before it leaves, and the agent notices nothing of the one that was taken.
#[test]
fn a_taken_port_ends_neither_the_old_call_nor_the_new_one() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.talking("1002");
    world.ports_taken = 1;
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180, 200]);
    let answer = world.our_sdp(&new, 1);
    let opened = world.media.iter().rev().find_map(|command| match command {
        MediaCommand::OpenPort { port, .. } => Some(*port),
        _ => None,
    });
    let port = opened.expect("a port was asked for");
    assert!(answer.contains(&format!("m=audio {port} ")), "{answer}");
    world.ack(&new, 1, None);
    let bye = world.requests("BYE").pop().expect("a BYE for the old call");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(page).state, CallState::Talking);
    assert_eq!(world.causes(), ["replaced"]);
}

/// No port at all is left: the call that the agent has is worth more than the one that would have taken its place.
#[test]
fn without_a_port_the_old_call_goes_on() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.talking("1002");
    world.ports_taken = 100;
    let header = world.replaces(&old, "");
    let new = world.invite_with("1002", Some(OFFER), &header);
    assert_eq!(world.statuses(&new, 1, "INVITE"), [100, 180, 503]);
    assert_eq!(world.requests("BYE").len(), 0);
    assert_eq!(world.calls(page)[0].state, CallState::Talking);
}
