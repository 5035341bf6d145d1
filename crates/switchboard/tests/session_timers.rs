//! Session timers as an agent notices them: not at all, unless the other side is gone.

mod common;

use std::time::Duration;

use common::{ANSWER, World};
use control::{CallState, PageMessage};

const OURS: &str = "Session-Expires: 1800;refresher=uac\r\nRequire: timer\r\n";

/// A dialled call that is up, with us as the refresher.
fn talking(world: &mut World, page: u64) -> String {
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    let invite = world.requests("INVITE").pop().expect("an INVITE");
    world.respond_by("server", &invite, "200 OK", OURS, Some(ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
    world.call(page).id
}

fn refresh(world: &mut World, status: &str, sdp: Option<&str>) -> String {
    let before = world.requests("INVITE").len();
    world.advance(Duration::from_secs(900));
    let mut sent = world.requests("INVITE");
    assert_eq!(sent.len(), before + 1, "a refresh");
    let refresh = sent.pop().expect("counted above");
    let offer = String::from_utf8_lossy(&refresh.body).into_owned();
    world.respond_by("server", &refresh, status, OURS, sdp);
    offer
}

/// She holds the call; the refresh in the middle of it neither retrieves it nor makes a sound.
#[test]
fn a_refresh_keeps_the_hold() {
    let (mut world, page) = World::with_agent("1002");
    let call = talking(&mut world, page);
    world.say(page, PageMessage::Hold { call });
    let held = format!("{ANSWER}a=recvonly\r\n");
    let hold = world.requests("INVITE").pop().expect("a re-INVITE");
    world.respond_by("server", &hold, "200 OK", OURS, Some(&held));
    assert_eq!(world.call(page).state, CallState::Held);
    let before = (world.media.len(), world.states(page).len());
    let offer = refresh(&mut world, "200 OK", Some(&held));
    assert!(offer.contains("a=sendonly"), "{offer}");
    assert_eq!((world.media.len(), world.states(page).len()), before);
    assert_eq!(world.requests("ACK").len(), 3);
}

/// The other side takes the refresh as the occasion to move its media: she goes on hearing it.
#[test]
fn a_refresh_may_move_the_media() {
    let (mut world, page) = World::with_agent("1002");
    talking(&mut world, page);
    refresh(&mut world, "200 OK", Some(&ANSWER.replace("8006", "9000")));
    let remote = world.plan().sip.remote.expect("an address");
    assert_eq!(remote.port(), 9000);
    assert_eq!(world.call(page).state, CallState::Talking);
    refresh(&mut world, "200 OK", Some("v=0\r\nnonsense"));
    assert_eq!(
        world.plan().sip.remote.map(|remote| remote.port()),
        Some(9000)
    );
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// The other side has forgotten the call: she sees its end at once and not half an hour later.
#[test]
fn a_refresh_that_finds_nobody_ends_the_call() {
    let (mut world, page) = World::with_agent("1002");
    talking(&mut world, page);
    refresh(&mut world, "481 Call/Transaction Does Not Exist", None);
    assert_ne!(world.call(page).state, CallState::Talking);
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.causes(), ["dialog_lost"]);
    world.assert_quiet();
}

/// SIP Server is slow to answer her hold, and the refresh falls due meanwhile: it says what the hold said, and does not take it back.
#[test]
fn a_refresh_that_waits_for_a_hold_does_not_undo_it() {
    let (mut world, page) = World::with_agent("1002");
    let call = talking(&mut world, page);
    world.advance(Duration::from_secs(890));
    world.say(page, PageMessage::Hold { call });
    let hold = world.requests("INVITE").pop().expect("a re-INVITE");
    world.advance(Duration::from_secs(20));
    let held = format!("{ANSWER}a=recvonly\r\n");
    world.respond_by("server", &hold, "200 OK", OURS, Some(&held));
    let refresh = world.requests("INVITE").pop().expect("a refresh");
    assert_ne!(refresh.headers, hold.headers, "it was due");
    let offer = String::from_utf8_lossy(&refresh.body);
    assert!(offer.contains("a=sendonly"), "{offer}");
    world.respond_by("server", &refresh, "200 OK", OURS, Some(&held));
    assert_eq!(world.call(page).state, CallState::Held);
}

/// Her hold and the refresh want to leave at the same moment: one after the other, and the hold stands.
#[test]
fn a_hold_while_a_refresh_is_under_way_waits_its_turn() {
    let (mut world, page) = World::with_agent("1002");
    let call = talking(&mut world, page);
    world.advance(Duration::from_secs(900));
    let refresh = world.requests("INVITE").pop().expect("a refresh");
    let sent = world.requests("INVITE").len();
    world.say(page, PageMessage::Hold { call });
    assert_eq!(world.requests("INVITE").len(), sent, "one at a time");
    world.respond_by("server", &refresh, "200 OK", OURS, Some(ANSWER));
    assert_eq!(world.requests("INVITE").len(), sent + 1);
    let offer = world.answer_reinvite("recvonly");
    assert!(offer.contains("a=sendonly"), "{offer}");
    assert_eq!(world.call(page).state, CallState::Held);
}
