//! Browser legs: fresh ones and those that are lost, restarts, and what becomes of the calls on them.

mod common;

use std::time::Duration;

use common::{OFFER, World};
use control::{CallState, GatewayMessage, MediaFailure, MediaState, PageMessage};
use switchboard::{BrowserLegId, BrowserState, CodecPolicy, Fact, Input, MediaCommand, MediaEvent};

/// A page that was loaded anew in mid-call; its fresh connection is not up, and the call goes on over the one before.
fn reloaded_in_a_call() -> (World, u64) {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let secret = world.resume_secret(page);
    world.lose_page(page);
    world.media_connects = false;
    let back = world.sign_in("1002", Some(secret));
    (world, back)
}

/// A reload in mid-call brings a fresh leg; the call moves to it when it is up, and not before.
#[test]
fn a_reload_moves_the_call_to_the_fresh_leg() {
    let (mut world, back) = reloaded_in_a_call();
    assert_eq!(world.legs.len(), 2);
    assert_eq!(
        world.plan().browser,
        Some(world.legs[0]),
        "the old leg goes on until the new one is up"
    );
    world.say(
        back,
        PageMessage::MediaAnswer {
            sdp: "answer".into(),
            offer: None,
        },
    );
    assert_eq!(world.plan().browser, Some(world.legs[1]));
    let closed = MediaCommand::CloseBrowser { leg: world.legs[0] };
    assert!(world.media.contains(&closed));
    assert_eq!(world.call(back).state, CallState::Talking);
}

/// One agent works from home and has Opus, her colleague does not: each browser is offered what its agent's line says, at a restart as well.
#[test]
fn each_agent_has_a_codec_policy_of_her_own() {
    let mut config = common::config(&["1002", "1003"]);
    config.agents[1].codec_policy = CodecPolicy::Opus;
    let mut world = World::with_config(config);
    let pages = ["1002", "1003"].map(|dn| world.sign_in(dn, None));
    world.say(pages[1], PageMessage::MediaRestart);
    let policies: Vec<(CodecPolicy, bool)> = world
        .media
        .iter()
        .filter_map(|command| match command {
            MediaCommand::OfferBrowser {
                policy, restart, ..
            } => Some((*policy, *restart)),
            _ => None,
        })
        .collect();
    let expected = [
        (CodecPolicy::RelayFirst, false),
        (CodecPolicy::Opus, false),
        (CodecPolicy::Opus, true),
    ];
    assert_eq!(policies, expected);
}

/// Answered while the page reloads: the NOTIFY has its 200 at once, the call waits for the browser and is then answered.
#[test]
fn an_answer_waits_for_the_browser() {
    let mut world = World::new(&["1002"]);
    world.media_connects = false;
    let page = world.sign_in("1002", None);
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    assert_eq!(world.statuses(&dialog, 2, "NOTIFY"), [200]);
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180]);
    assert_eq!(world.call(page).state, CallState::Answering);
    world.advance(Duration::from_secs(1));
    world.say(
        page,
        PageMessage::MediaAnswer {
            sdp: "answer".into(),
            offer: None,
        },
    );
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180, 200]);
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// The network changes while the page still asks for the microphone: a second offer is under way when the first is answered. That answer is for a connection
/// that is gone, and must not spoil the one that takes its place.
#[test]
fn an_answer_to_a_former_offer_is_not_taken_for_the_last() {
    let mut world = World::new(&["1002"]);
    world.media_connects = false;
    let page = world.sign_in("1002", None);
    world.say(page, PageMessage::MediaRestart);
    let offers: Vec<Option<u64>> = world.pages[&page]
        .iter()
        .filter_map(|message| match message {
            GatewayMessage::MediaOffer { offer, .. } => Some(*offer),
            _ => None,
        })
        .collect();
    assert_eq!(offers, [Some(1), Some(2)]);
    let answered = |world: &World| -> Vec<BrowserLegId> {
        let answers = world.media.iter().filter_map(|command| match command {
            MediaCommand::AnswerBrowser { leg, .. } => Some(*leg),
            _ => None,
        });
        answers.collect()
    };
    for offer in offers {
        assert_eq!(answered(&world), []);
        let sdp = "answer".into();
        world.say(page, PageMessage::MediaAnswer { sdp, offer });
    }
    assert_eq!(answered(&world), [world.legs[1]]);
}

/// The browser never gets its media up: SIP Server hears 480 instead of nothing.
#[test]
fn an_answer_does_not_wait_for_ever() {
    let mut world = World::new(&["1002"]);
    world.media_connects = false;
    let page = world.sign_in("1002", None);
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "talk");
    world.advance(Duration::from_secs(6));
    assert_eq!(
        world.statuses(&dialog, 1, "INVITE")[..4],
        [100, 180, 180, 480]
    );
    world.ack_refusal(&dialog);
    assert_eq!(world.call(page).end.unwrap().cause, "browser_media");
    world.assert_quiet();
}

/// The browser's network fails in mid-call and does not come back.
#[test]
fn a_lost_leg_ends_the_call_in_the_end() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.media_connects = false;
    let leg = world.legs[0];
    world.input(Input::Media(MediaEvent::BrowserState {
        leg,
        state: BrowserState::Disconnected,
    }));
    world.input(Input::Media(MediaEvent::BrowserState {
        leg,
        state: BrowserState::Failed(MediaFailure::ConsentLost),
    }));
    assert_eq!(world.legs.len(), 2, "a fresh leg is offered");
    world.advance(Duration::from_secs(31));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(page).end.unwrap().cause, "browser_media");
}

/// A leg fails in mid-call: the page, the log's line and the administrators have the cause, the line has the call; and none of it outlives the next connection.
#[test]
fn a_failed_leg_says_why() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.media_connects = false;
    let leg = world.legs[0];
    let failure = MediaFailure::ConsentLost;
    let state = BrowserState::Failed(failure);
    world.input(Input::Media(MediaEvent::BrowserState { leg, state }));
    let told = world.pages[&page]
        .iter()
        .rev()
        .find(|message| matches!(message, GatewayMessage::MediaState { .. }));
    let expected = GatewayMessage::MediaState {
        state: MediaState::Failed,
        cause: Some(failure),
    };
    assert_eq!(told, Some(&expected));
    let failed = |fact: &Fact| match fact {
        Fact::BrowserLegFailed { dn, call, failure } => {
            let uuid = call.as_ref().and_then(|call| call.call_uuid.clone());
            Some((dn.clone(), uuid, *failure))
        }
        _ => None,
    };
    let facts: Vec<_> = world.facts.iter().filter_map(failed).collect();
    let uuid = world.call(page).call_uuid;
    assert!(uuid.is_some());
    assert_eq!(facts, [("1002".to_owned(), uuid, failure)]);
    let shown = |world: &World| {
        let agent = world.board.agent("1002").expect("configured");
        (agent.media, agent.media_failure)
    };
    assert_eq!(shown(&world), (None, Some(failure)));
    let fresh = *world.legs.last().expect("a fresh leg is offered");
    world.connect(fresh);
    assert_eq!(shown(&world), (Some(MediaState::Connected), None));
}

/// The legs that were told to restart, `true`, or are offered for the first time.
fn offered(world: &World) -> Vec<(BrowserLegId, bool)> {
    let offers = world.media.iter().filter_map(|command| match command {
        MediaCommand::OfferBrowser { leg, restart, .. } => Some((*leg, *restart)),
        _ => None,
    });
    offers.collect()
}

/// The number of the last offer that the page got.
fn last_offer(world: &World, page: u64) -> Option<u64> {
    let mut numbers = world.pages[&page]
        .iter()
        .filter_map(|message| match message {
            GatewayMessage::MediaOffer { offer, .. } => Some(*offer),
            _ => None,
        });
    numbers.next_back().flatten()
}

/// A page that was reloaded in mid-call changes its network before its connection is up: it knows nothing of the old one, and an ICE restart of that one would
/// never be answered.
#[test]
fn a_restart_while_a_fresh_leg_is_pending_offers_another() {
    let (mut world, back) = reloaded_in_a_call();
    world.say(back, PageMessage::MediaRestart);
    let legs = world.legs.clone();
    let fresh: Vec<_> = legs.iter().map(|leg| (*leg, false)).collect();
    assert_eq!((offered(&world), legs.len()), (fresh, 3));
    assert!(
        world
            .media
            .contains(&MediaCommand::CloseBrowser { leg: legs[1] })
    );
    assert_eq!(world.plan().browser, Some(legs[0]));
    let offer = last_offer(&world, back);
    world.say(
        back,
        PageMessage::MediaAnswer {
            sdp: "answer".into(),
            offer,
        },
    );
    assert_eq!(world.plan().browser, Some(legs[2]));
}

/// A page is offered a fresh leg, never sees the offer, and comes back with the connection that it had: the restarts that it asks for are of that one, and so
/// are its answers.
#[test]
fn an_offer_that_got_lost_does_not_take_the_answers() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.media_connects = false;
    let secret = world.resume_secret(page);
    world.lose_page(page);
    let lost = world.sign_in("1002", Some(secret));
    let secret = world.resume_secret(lost);
    world.lose_page(lost);
    let back = world.sign_in_with("1002", Some(secret), true);
    let (kept, unseen) = (world.legs[0], world.legs[1]);
    assert!(
        world
            .media
            .contains(&MediaCommand::CloseBrowser { leg: unseen })
    );
    world.say(back, PageMessage::MediaRestart);
    assert_eq!(offered(&world).last(), Some(&(kept, true)));
    let (sdp, offer) = ("answer".to_owned(), last_offer(&world, back));
    world.say(back, PageMessage::MediaAnswer { sdp, offer });
    assert!(
        world.media.iter().any(
            |command| matches!(command, MediaCommand::AnswerBrowser { leg, .. } if *leg == kept)
        )
    );
}

/// An ICE restart is under way when the page's answer to it crosses an offer of a fresh leg: the answer is for the leg whose number it has.
#[test]
fn an_answer_is_for_the_leg_whose_number_it_has() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.media_connects = false;
    world.say(page, PageMessage::MediaRestart);
    let restart = last_offer(&world, page);
    let secret = world.resume_secret(page);
    world.lose_page(page);
    let back = world.sign_in("1002", Some(secret));
    let fresh = last_offer(&world, back);
    assert_ne!(restart, fresh);
    let before = world.media.len();
    for offer in [restart, fresh] {
        let sdp = "answer".into();
        world.say(back, PageMessage::MediaAnswer { sdp, offer });
    }
    let answered: Vec<BrowserLegId> = world.media[before..]
        .iter()
        .filter_map(|command| match command {
            MediaCommand::AnswerBrowser { leg, .. } => Some(*leg),
            _ => None,
        })
        .collect();
    assert_eq!(answered, [world.legs[0], *world.legs.last().unwrap()]);
}

/// How the page's media stands, as it was told since `since`.
fn media_told(world: &World, page: u64, since: usize) -> Vec<(MediaState, Option<MediaFailure>)> {
    let messages = world.pages[&page][since..].iter();
    let told = messages.filter_map(|message| match message {
        GatewayMessage::MediaState { state, cause } => Some((*state, *cause)),
        _ => None,
    });
    told.collect()
}

/// A page that was reloaded in mid-call does not get its fresh connection up, while the gateway still believes in the one before: the page, which has no other, is told why and
/// offered another, and the call goes on over it. What becomes of the old one is no news to the page.
#[test]
fn a_fresh_leg_that_fails_is_told_and_offered_anew() {
    let (mut world, back) = reloaded_in_a_call();
    let (old, fresh) = (world.legs[0], world.legs[1]);
    let failure = MediaFailure::NoPath;
    let fails = |leg, failure| {
        let state = BrowserState::Failed(failure);
        Input::Media(MediaEvent::BrowserState { leg, state })
    };
    world.input(fails(fresh, failure));
    assert_eq!(
        media_told(&world, back, 0),
        [(MediaState::Failed, Some(failure))]
    );
    assert_eq!(world.legs.len(), 3, "another one is offered");
    assert_eq!(world.plan().browser, Some(old));
    // Her network is another one by now: of the old connection she knows nothing.
    world.say(back, PageMessage::MediaRestart);
    let last = *world.legs.last().unwrap();
    assert_eq!(offered(&world).last(), Some(&(last, false)));
    let since = world.pages[&back].len();
    let state = BrowserState::Disconnected;
    world.input(Input::Media(MediaEvent::BrowserState { leg: old, state }));
    world.input(fails(old, MediaFailure::ConsentLost));
    assert_eq!(media_told(&world, back, since), []);
    world.connect(last);
    let told = media_told(&world, back, since);
    assert_eq!(told.last(), Some(&(MediaState::Connected, None)));
    assert_eq!(world.plan().browser, Some(last));
    assert_eq!(world.call(back).state, CallState::Talking);
}

/// The same where her answers cannot be used: after a few nothing is offered unasked, and what she asks for is a connection of its own.
#[test]
fn a_page_that_is_offered_nothing_more_may_ask() {
    let (mut world, back) = reloaded_in_a_call();
    let mut before = 0;
    while world.legs.len() > before {
        before = world.legs.len();
        let leg = *world.legs.last().unwrap();
        let reason = "no answer".to_owned();
        world.input(Input::Media(MediaEvent::BrowserRefused { leg, reason }));
        world.advance(Duration::from_secs(8));
    }
    let told = media_told(&world, back, 0);
    assert_eq!(told.len(), before - 1, "one for each");
    world.say(back, PageMessage::MediaRestart);
    let last = *world.legs.last().unwrap();
    assert_eq!(world.legs.len(), before + 1);
    assert_eq!(offered(&world).last(), Some(&(last, false)));
    world.connect(last);
    assert_eq!(world.plan().browser, Some(last));
}

/// What cannot be had fails within milliseconds, and is not offered as fast: after the first failure at once, then with growing pauses. A page that asks does not
/// wait for them, and a leg that held for a while is followed by another at once.
#[test]
fn legs_that_fail_soon_are_offered_with_pauses() {
    let (mut world, page) = World::with_agent("1002");
    world.media_connects = false;
    let fails = |world: &mut World| {
        let leg = *world.legs.last().unwrap();
        let state = BrowserState::Failed(MediaFailure::NoPath);
        world.input(Input::Media(MediaEvent::BrowserState { leg, state }));
    };
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let (lost_at, before) = (world.now, world.legs.len());
        fails(&mut world);
        while world.legs.len() == before {
            world.advance(Duration::from_millis(500));
        }
        pauses.push((world.now - lost_at).as_secs());
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 8, 8]);
    let before = world.legs.len();
    fails(&mut world);
    assert_eq!(world.legs.len(), before, "not yet");
    world.say(page, PageMessage::MediaRestart);
    assert_eq!(world.legs.len(), before + 1, "she asked for it");
    world.advance(Duration::from_secs(8));
    assert_eq!(world.legs.len(), before + 1, "one is enough");
    for after in 2..4 {
        fails(&mut world);
        assert_eq!(world.legs.len(), before + after, "as if nothing had been");
    }
}

/// The browser's network changes: the page asks for an ICE restart on the leg it has.
#[test]
fn media_restart_keeps_the_leg() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.say(page, PageMessage::MediaRestart);
    let leg = world.legs[0];
    assert!(world.media.contains(&MediaCommand::OfferBrowser {
        leg,
        restart: true,
        policy: CodecPolicy::RelayFirst,
    }));
    assert!(world.plan().to_agent);
}

/// The browser is lost for good while the callee's phone rings: the call that is answered then does not stay silent for ever.
#[test]
fn a_dialled_call_does_not_wait_for_ever_for_a_browser() {
    let (mut world, page) = World::with_agent("1002");
    let number = "5550100".to_owned();
    world.say(page, PageMessage::Dial { number });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "180 Ringing", None);
    world.media_connects = false;
    let leg = world.legs[0];
    world.input(Input::Media(MediaEvent::BrowserState {
        leg,
        state: BrowserState::Failed(MediaFailure::ConsentLost),
    }));
    world.advance(Duration::from_secs(40));
    world.respond(&invite, "200 OK", Some(common::ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
    world.advance(Duration::from_secs(31));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(page).end.unwrap().cause, "browser_media");
    world.assert_quiet();
}

/// A leg that is not connected is replaced: the call's media does not stay on the one that is gone.
#[test]
fn a_call_is_not_left_on_an_unused_leg() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let old = world.legs[0];
    world.media_connects = false;
    world.input(Input::Media(MediaEvent::BrowserState {
        leg: old,
        state: BrowserState::Disconnected,
    }));
    let secret = world.resume_secret(page);
    world.lose_page(page);
    world.sign_in("1002", Some(secret));
    assert!(
        world
            .media
            .contains(&MediaCommand::CloseBrowser { leg: old })
    );
    assert_eq!(world.plan().browser, world.legs.last().copied());
    world.in_dialog(&mut dialog, "BYE", "", None);
}

/// A leg that came back in time starts no clock that ends the call later.
#[test]
fn a_leg_that_came_back_is_trusted_again() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let leg = world.legs[0];
    let state = |state| Input::Media(MediaEvent::BrowserState { leg, state });
    world.input(state(BrowserState::Disconnected));
    world.advance(Duration::from_secs(10));
    world.connect(leg);
    world.advance(Duration::from_secs(15));
    world.input(state(BrowserState::Disconnected));
    world.advance(Duration::from_secs(10));
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// The page believes that its media outlived the socket, and is wrong: it is offered a fresh leg.
#[test]
fn media_that_was_not_kept_is_offered_again() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let leg = world.legs[0];
    let state = BrowserState::Disconnected;
    world.input(Input::Media(MediaEvent::BrowserState { leg, state }));
    let secret = world.resume_secret(page);
    world.lose_page(page);
    world.sign_in_with("1002", Some(secret), true);
    assert_eq!(world.legs.len(), 2);
}

/// The network is bad: the leg falters, the socket drops, and only the leg recovers while the page is away. It is told so when it comes back, and does not go on showing
/// that its audio is interrupted.
#[test]
fn a_page_that_comes_back_is_told_how_its_media_is() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let leg = world.legs[0];
    let state = BrowserState::Disconnected;
    world.input(Input::Media(MediaEvent::BrowserState { leg, state }));
    let secret = world.resume_secret(page);
    world.lose_page(page);
    world.connect(leg);
    let back = world.sign_in_with("1002", Some(secret), true);
    assert_eq!(world.legs.len(), 1);
    assert_eq!(media_told(&world, back, 0), [(MediaState::Connected, None)]);
}

/// Page and leg are lost: the call's media is parked, not left on a leg that is gone.
#[test]
fn media_is_parked_when_page_and_leg_are_gone() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    world.lose_page(page);
    let leg = world.legs[0];
    let state = BrowserState::Failed(MediaFailure::ConsentLost);
    world.input(Input::Media(MediaEvent::BrowserState { leg, state }));
    assert_eq!(world.plan().browser, None);
}
