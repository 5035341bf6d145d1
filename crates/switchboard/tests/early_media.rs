//! What an agent hears of her own call before it is answered.

mod common;

use common::{ANSWER, BLACK_HOLE, OFFER, World};
use control::{CallState, PageMessage};
use switchboard::{Fact, MediaCommand};

fn dial(world: &mut World, page: u64) -> sip::Request {
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    world.requests("INVITE").pop().expect("an INVITE")
}

/// The same description from another address.
fn elsewhere(port: u16) -> String {
    ANSWER.replace("8006", &port.to_string())
}

fn is_close(command: &MediaCommand) -> bool {
    matches!(command, MediaCommand::CloseCall { .. })
}

fn remote_port(world: &World) -> Option<u16> {
    world.plan().sip.remote.map(|remote| remote.port())
}

/// The exchange's announcement is heard at once, and the page keeps its own ring-back tone to itself.
#[test]
fn an_announcement_is_heard_before_the_answer() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "183 Session Progress", Some(ANSWER));
    let call = world.call(page);
    assert_eq!((call.state, call.early_media), (CallState::Ringing, true));
    assert!(world.plan().to_agent && world.plan().to_caller);
    assert!(world.plan().browser.is_some());
    world.respond(&invite, "200 OK", Some(ANSWER));
    let call = world.call(page);
    assert_eq!((call.state, call.early_media), (CallState::Talking, false));
    assert!(world.plan().to_agent && world.plan().to_caller);
}

/// Nothing is heard from a callee that only rings: her page plays the ring-back tone itself.
#[test]
fn plain_ringing_is_no_early_media() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "180 Ringing", None);
    assert!(!world.call(page).early_media);
    world.respond(&invite, "183 Session Progress", Some(BLACK_HOLE));
    assert!(!world.call(page).early_media, "nothing comes from 0.0.0.0");
    world.respond(&invite, "183 Session Progress", Some("v=0\r\nnonsense"));
    assert!(!world.call(page).early_media);
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// An announcement that only speaks is not spoken to.
#[test]
fn a_one_way_announcement_gets_nothing_from_the_agent() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    let one_way = format!("{ANSWER}a=sendonly\r\n");
    world.respond(&invite, "183 Session Progress", Some(&one_way));
    assert!(world.plan().to_agent && !world.plan().to_caller);
    assert!(world.call(page).early_media);
}

/// After the announcement it rings: a 180 without a description does not cut her off.
#[test]
fn ringing_after_an_announcement_keeps_it() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "183 Session Progress", Some(ANSWER));
    world.respond(&invite, "180 Ringing", None);
    assert!(world.call(page).early_media);
    assert!(world.plan().to_agent);
}

/// An answer without a description of its own stands by the one that came before.
#[test]
fn the_answer_may_leave_its_description_to_the_early_one() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "183 Session Progress", Some(ANSWER));
    world.respond(&invite, "200 OK", None);
    assert_eq!(world.call(page).state, CallState::Talking);
    assert_eq!(remote_port(&world), Some(8006));
}

/// The media moves from the announcement's server to the person who answers.
#[test]
fn the_answer_may_bring_another_description() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "183 Session Progress", Some(&elsewhere(9000)));
    assert_eq!(remote_port(&world), Some(9000));
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert_eq!(remote_port(&world), Some(8006));
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// Two telephones ring, both with a tone of their own: she hears the newest, and then whoever answers.
#[test]
fn of_a_forked_call_the_newest_branch_is_heard_and_the_one_that_answers() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond_by(
        "one",
        &invite,
        "183 Session Progress",
        "",
        Some(&elsewhere(9000)),
    );
    world.respond_by(
        "two",
        &invite,
        "183 Session Progress",
        "",
        Some(&elsewhere(9002)),
    );
    assert_eq!(remote_port(&world), Some(9002));
    world.respond_by("three", &invite, "180 Ringing", "", None);
    assert_eq!(
        remote_port(&world),
        Some(9002),
        "a branch that only rings is not heard"
    );
    world.respond_by("one", &invite, "200 OK", "", Some(&elsewhere(9000)));
    assert_eq!(remote_port(&world), Some(9000));
    world.respond_by(
        "two",
        &invite,
        "183 Session Progress",
        "",
        Some(&elsewhere(9002)),
    );
    assert_eq!(remote_port(&world), Some(9000), "too late");
    world.respond_by("two", &invite, "200 OK", "", Some(&elsewhere(9002)));
    assert_eq!(remote_port(&world), Some(9000));
    assert_eq!(world.requests("ACK").len(), 2);
    assert_eq!(
        world.requests("BYE").len(),
        1,
        "the second answer is hung up"
    );
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// The branch that answers without a description is not the one that was heard: there is nothing to talk by.
#[test]
fn an_answer_does_not_borrow_the_description_of_another_branch() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond_by("one", &invite, "183 Session Progress", "", Some(ANSWER));
    world.respond_by("two", &invite, "200 OK", "", None);
    assert_eq!(world.requests("BYE").len(), 1);
    assert!(world.media.iter().any(is_close));
}

/// An announcement asks for a digit before anybody answers.
#[test]
fn digits_reach_an_announcement() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "183 Session Progress", Some(ANSWER));
    let call = world.call(page).id;
    let digits = "1".to_owned();
    world.say(page, PageMessage::Dtmf { call, digits });
    assert!(world.media.iter().any(
        |command| matches!(command, MediaCommand::SendDigits { digits, .. } if digits == "1")
    ));
}

/// She answers another call while hers still announces something: she hears one of the two.
#[test]
fn an_announcement_makes_way_for_a_call_that_is_answered() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "183 Session Progress", Some(&elsewhere(9000)));
    let mut second = world.invite("1002", Some(OFFER));
    world.notify(&mut second, "talk");
    world.ack(&second, 1, None);
    assert_eq!(remote_port(&world), Some(8006));
    assert!(world.plan().to_agent);
    world.respond(&invite, "200 OK", Some(&elsewhere(9000)));
    let states: Vec<CallState> = world.calls(page).iter().map(|call| call.state).collect();
    assert_eq!(states, [CallState::Held, CallState::Talking]);
}

/// She hangs up in the middle of an announcement: silence at once, and the call is cancelled.
#[test]
fn hanging_up_ends_the_announcement() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "183 Session Progress", Some(ANSWER));
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
    assert!(world.media.iter().any(is_close));
    assert!(!world.call(page).early_media);
    let cancel = world.requests("CANCEL").pop().expect("a CANCEL");
    world.respond(&cancel, "200 OK", None);
    world.respond(&invite, "487 Request Terminated", None);
    world.assert_quiet();
}

/// The time from INVITE to ringing is told apart by who called: a slow callee is no slow gateway.
#[test]
fn ringing_of_her_own_call_is_told_as_such() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    world.respond(&invite, "180 Ringing", None);
    world.respond(&invite, "183 Session Progress", Some(ANSWER));
    let told: Vec<bool> = world
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::CallRinging { outbound, .. } => Some(*outbound),
            _ => None,
        })
        .collect();
    assert_eq!(told, [true]);
}

/// The announcement moves to another server before anybody answers (UPDATE in the early dialog), and the answer stands by that.
#[test]
fn an_announcement_may_move() {
    let (mut world, page) = World::with_agent("1002");
    let invite = dial(&mut world, page);
    let reliable = "Require: 100rel\r\nRSeq: 1\r\n";
    world.respond_by(
        "one",
        &invite,
        "183 Session Progress",
        reliable,
        Some(&elsewhere(9000)),
    );
    assert_eq!(world.requests("PRACK").len(), 1);
    world.update_by("one", &invite, 1, &elsewhere(9100));
    assert_eq!(remote_port(&world), Some(9100));
    world.update_by("two", &invite, 1, &elsewhere(9200));
    assert_eq!(
        remote_port(&world),
        Some(9100),
        "a branch that is not heard"
    );
    world.respond_by("one", &invite, "200 OK", "", Some(&elsewhere(9000)));
    assert_eq!(
        remote_port(&world),
        Some(9100),
        "the answer only repeats what was answered"
    );
    assert_eq!(world.call(page).state, CallState::Talking);
}
