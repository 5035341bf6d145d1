//! The page: sign-in, loss and return, reload, take-over, and what becomes of the calls.

mod common;

use std::time::Duration;

use common::{OFFER, World};
use control::{
    CallState, CloseCode, ErrorCode, GatewayMessage, MicrophoneState, MicrophoneView, PageMessage,
    RegistrationState,
};
use switchboard::{BrowserState, Input, MediaCommand, MediaEvent};

/// Sign-in registers the DN, welcomes the page and offers media; `bye` undoes all of it.
#[test]
fn sign_in_and_out() {
    let (mut world, page) = World::with_agent("1002");
    let register = world.requests("REGISTER").pop().expect("a REGISTER");
    assert_eq!(
        common::text(register.headers.get(&sip::HeaderName::CONTACT)),
        "<sip:1002@192.0.2.10:5060>"
    );
    let kinds: Vec<&str> = world.pages[&page]
        .iter()
        .map(|message| match message {
            GatewayMessage::Ok { .. } => "ok",
            GatewayMessage::Welcome(_) => "welcome",
            GatewayMessage::MediaOffer { .. } => "media_offer",
            GatewayMessage::MediaState { .. } => "media_state",
            GatewayMessage::Registration(_) => "registration",
            _ => "other",
        })
        .collect();
    assert_eq!(&kinds[..2], ["ok", "welcome"]);
    assert!(kinds.contains(&"media_offer") && kinds.contains(&"media_state"));
    let registered = world.pages[&page].iter().any(|message| {
        matches!(
            message,
            GatewayMessage::Registration(view) if view.state == RegistrationState::Registered
        )
    });
    assert!(registered);
    assert_eq!(world.board.gauges().dns_registered, 1);
    world.say(page, PageMessage::Bye);
    let last = world.requests("REGISTER").pop().unwrap();
    assert_eq!(
        common::text(last.headers.get(&sip::HeaderName::EXPIRES)),
        "0"
    );
    assert_eq!(world.closed[&page], CloseCode::Normal);
    assert!(
        world
            .media
            .iter()
            .any(|command| matches!(command, MediaCommand::CloseBrowser { .. }))
    );
    world.assert_quiet();
}

/// A DN that is not configured is nobody's.
#[test]
fn an_unknown_dn_is_refused() {
    let mut world = World::new(&["1002"]);
    let page = world.sign_in("9999", None);
    assert_eq!(world.last_error(page), Some(ErrorCode::UnknownDn));
    assert_eq!(world.closed[&page], CloseCode::NotAllowed);
}

/// The socket drops in mid-call and comes back: same call, same media, nothing said to SIP Server.
#[test]
fn a_lost_socket_keeps_the_call() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let sent = world.sent.len();
    let secret = world.resume_secret(page);
    world.lose_page(page);
    world.advance(Duration::from_secs(20));
    let back = world.sign_in_with("1002", Some(secret), true);
    assert_eq!(world.sent.len(), sent, "SIP Server noticed nothing");
    assert_eq!(world.call(back).state, CallState::Talking);
    assert_eq!(world.legs.len(), 1, "media that flows is left alone");
    assert!(world.plan().to_agent);
}

/// Nobody comes back: the customer is not left with silence for ever.
#[test]
fn the_grace_time_ends() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let ringing = world.invite("1002", Some(OFFER));
    world.lose_page(page);
    world.advance(Duration::from_secs(29));
    assert!(world.requests("BYE").is_empty());
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.statuses(&ringing, 1, "INVITE").last(), Some(&480));
    world.ack_refusal(&ringing);
    assert_eq!(world.causes(), ["browser_gone", "browser_gone"]);
    let last = world.requests("REGISTER").pop().unwrap();
    assert_eq!(
        common::text(last.headers.get(&sip::HeaderName::EXPIRES)),
        "0"
    );
    world.assert_quiet();
}

/// A second page takes over, calls included; a stale secret of the first is worth nothing.
#[test]
fn a_second_page_takes_over() {
    let (mut world, first) = World::with_agent("1002");
    world.talking("1002");
    let second = world.sign_in("1002", None);
    assert!(world.pages[&first].contains(&GatewayMessage::Replaced));
    assert_eq!(world.closed[&first], CloseCode::Replaced);
    assert_eq!(world.call(second).state, CallState::Talking);
    world.lose_page(first);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.call(second).state, CallState::Talking);
    let call = world.call(second).id;
    world.say(second, PageMessage::Hangup { call });
    assert_eq!(world.requests("BYE").len(), 1);
}

/// The agent has gone from her laptop to a desk, and the laptop wakes up in mid-call: it comes back by itself, and has neither the call nor the
/// microphone.
#[test]
fn a_page_that_wakes_up_takes_nothing_away() {
    let (mut world, laptop) = World::with_agent("1002");
    let stale = world.resume_secret(laptop);
    let desk = world.sign_in("1002", None);
    world.talking("1002");
    let woken = world.sign_in_with("1002", Some(stale.clone()), false);
    assert_eq!(world.last_error(woken), Some(ErrorCode::NotAllowed));
    let told: Vec<_> = world.pages[&woken].iter().skip(1).collect();
    assert_eq!(told, [&GatewayMessage::Replaced]);
    assert_eq!(world.closed[&woken], CloseCode::Replaced);
    assert!(!world.closed.contains_key(&desk));
    assert_eq!(world.call(desk).state, CallState::Talking);
    // Somebody signs in there by hand: without the secret that page has the DN.
    let laptop = world.sign_in("1002", None);
    assert_eq!(world.closed[&desk], CloseCode::Replaced);
    assert_eq!(world.call(laptop).state, CallState::Talking);
}

/// Nobody else is there: a secret of a session that is over begins one, as after a restart of the gateway.
#[test]
fn a_stale_secret_serves_where_nobody_is() {
    let (mut world, first) = World::with_agent("1002");
    let stale = world.resume_secret(first);
    let second = world.sign_in("1002", None);
    world.lose_page(second);
    let back = world.sign_in("1002", Some(stale));
    assert!(world.calls(back).is_empty());
    assert!(!world.closed.contains_key(&back));
}

/// A token is good for an hour and a shift lasts eight: a socket that drops in mid-call costs nothing, as long as the session is there. It begins none.
#[test]
fn an_expired_token_comes_back_to_its_session_and_begins_none() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let secret = world.resume_secret(page);
    world.lose_page(page);
    for resume in [None, Some("a guess".to_owned())] {
        let stranger = world.sign_in_late("1002", resume);
        assert_eq!(world.last_error(stranger), Some(ErrorCode::NotAllowed));
        assert_eq!(world.closed[&stranger], CloseCode::NotAllowed);
    }
    let back = world.sign_in_late("1002", Some(secret));
    assert_eq!(world.call(back).state, CallState::Talking);
    let secret = world.resume_secret(back);
    world.lose_page(back);
    world.advance(Duration::from_secs(31));
    let late = world.sign_in_late("1002", Some(secret));
    assert_eq!(world.last_error(late), Some(ErrorCode::NotAllowed));
    assert_eq!(world.closed[&late], CloseCode::NotAllowed);
}

/// Somebody has an old token and the secret of a session that is over, as a log or a profile of the browser keeps them; the agent's page, with a token of today,
/// has come with the same secret. It opens nothing and puts nobody out.
#[test]
fn a_secret_of_another_session_proves_nothing() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.resume_secret(page);
    world.say(page, PageMessage::Bye);
    for _ in 0..2 {
        let agent = world.sign_in("1002", Some(old.clone()));
        let thief = world.sign_in_late("1002", Some(old.clone()));
        assert_eq!(world.last_error(thief), Some(ErrorCode::NotAllowed));
        assert_eq!(world.closed[&thief], CloseCode::NotAllowed);
        assert!(!world.closed.contains_key(&agent));
    }
    // The secret of her own session, also the one before a `welcome` that was lost.
    let (mut world, page) = World::with_agent("1002");
    let known = world.resume_secret(page);
    for _ in 0..2 {
        world.lose_page(page);
        let back = world.sign_in_late("1002", Some(known.clone()));
        assert!(!world.closed.contains_key(&back));
    }
}

/// A `welcome` is lost with its socket, and the gateway has not noticed yet: the page comes back with what it knows, any number of times, also in a
/// session that its stale secret began.
#[test]
fn a_lost_welcome_locks_nobody_out() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let known = world.resume_secret(page);
    world.lose_page(page);
    for _ in 0..3 {
        let back = world.sign_in_with("1002", Some(known.clone()), true);
        assert_eq!(world.call(back).state, CallState::Talking);
        assert!(!world.closed.contains_key(&back));
    }
    let mut restarted = World::new(&["1002"]);
    for _ in 0..3 {
        let back = restarted.sign_in("1002", Some(known.clone()));
        assert!(!restarted.closed.contains_key(&back));
    }
}

/// Page and media are lost in mid-call at a site with a long grace time, which is the page's: while it is away it can bring no other leg, and once back it has
/// the time that every page has for that.
#[test]
fn a_call_lives_as_long_as_its_page_may_be_away() {
    let mut config = common::config(&["1002"]);
    config.policy.resume_grace = Duration::from_secs(120);
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    world.talking("1002");
    let secret = world.resume_secret(page);
    let leg = world.legs[0];
    let state = BrowserState::Disconnected;
    world.input(Input::Media(MediaEvent::BrowserState { leg, state }));
    world.lose_page(page);
    world.advance(Duration::from_secs(100));
    world.media_connects = false;
    let back = world.sign_in("1002", Some(secret));
    assert_eq!(world.call(back).state, CallState::Talking);
    world.advance(Duration::from_secs(29));
    assert_eq!(world.call(back).state, CallState::Talking);
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.call(back).end.unwrap().cause, "browser_media");
}

/// An auto-answer header answers without a click, after the time it names.
#[test]
fn auto_answer_by_headers() {
    let cases = [
        ("Alert-Info: <http://x>;info=alert-autoanswer\r\n", 0),
        ("Alert-Info: ring answer\r\n", 0),
        ("Answer-Mode: Auto\r\n", 0),
        (
            "Call-Info: <sip:x@y>;answer-after=3\r\nAlert-Info: ring answer\r\n",
            3,
        ),
    ];
    for (header, after_s) in cases {
        let (mut world, page) = World::with_agent("1002");
        let dialog = world.invite_with("1002", Some(OFFER), header);
        if after_s > 0 {
            assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180], "{header}");
            world.advance(Duration::from_secs(after_s));
        }
        let last = world.statuses(&dialog, 1, "INVITE").pop();
        assert_eq!(last, Some(200), "{header}");
        assert_eq!(
            world.call(page).answered_by,
            Some(control::AnsweredBy::Auto)
        );
    }
    let (mut world, _) = World::with_agent("1002");
    let dialog = world.invite_with(
        "1002",
        Some(OFFER),
        "Alert-Info: <http://x>;info=external\r\n",
    );
    assert_eq!(world.statuses(&dialog, 1, "INVITE"), [100, 180]);
}

/// The page's `bye` is answered before its connection closes, or its promise would never end.
#[test]
fn bye_is_answered_before_the_door_shuts() {
    let (mut world, page) = World::with_agent("1002");
    world.say(page, PageMessage::Bye);
    let last = world.pages[&page].last();
    assert!(
        matches!(last, Some(GatewayMessage::Ok { id: Some(id) }) if id == "r"),
        "{last:?}"
    );
    assert_eq!(world.closed.get(&page), Some(&CloseCode::Normal));
    world.assert_quiet();
}

/// A page that was only out of the network for a moment is muted as before; one that was reloaded has its microphone open, and the
/// administration does not call it muted.
#[test]
fn an_agent_who_reloads_her_page_is_not_shown_as_muted() {
    let (mut world, page) = World::with_agent("1002");
    let muted = |world: &World| world.board.agent("1002").expect("configured").muted;
    world.say(page, PageMessage::Mute { muted: true });
    let secret = world.resume_secret(page);
    world.lose_page(page);
    let page = world.sign_in_with("1002", Some(secret), true);
    assert!(muted(&world));
    let secret = world.resume_secret(page);
    world.lose_page(page);
    world.sign_in_with("1002", Some(secret), false);
    assert!(!muted(&world));
}

/// The administration knows whose microphone is silent, as far as her page has said; a page that was loaded anew has said nothing yet. The name of a device is cleaned
/// as every text from outside is.
#[test]
fn what_the_page_says_of_its_microphone_is_shown() {
    let (mut world, page) = World::with_agent("1002");
    let shown = |world: &World| world.board.agent("1002").expect("configured").microphone;
    assert_eq!(shown(&world), None);
    let muted = |label: &str| MicrophoneView {
        state: MicrophoneState::Muted,
        label: Some(label.to_owned()),
    };
    let said = PageMessage::Microphone(muted("Head\u{202e}set\n(USB)"));
    world.say(page, said);
    assert_eq!(shown(&world), Some(muted("Headset(USB)")));
    let secret = world.resume_secret(page);
    world.lose_page(page);
    let page = world.sign_in_with("1002", Some(secret), true);
    assert!(shown(&world).is_some());
    let secret = world.resume_secret(page);
    world.lose_page(page);
    world.sign_in_with("1002", Some(secret), false);
    assert_eq!(shown(&world), None);
}

/// A resume secret serves once: each welcome brings a new one.
#[test]
fn a_resume_secret_serves_once() {
    let (mut world, page) = World::with_agent("1002");
    let secret = world.resume_secret(page);
    world.lose_page(page);
    let again = world.sign_in("1002", Some(secret.clone()));
    assert_ne!(world.resume_secret(again), secret);
}
