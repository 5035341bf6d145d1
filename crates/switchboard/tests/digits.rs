//! Digits: what the agent and her desktop press reaches the far end, and what the far end presses reaches her.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Dialog, OFFER, World, config};
use control::{CallState, ErrorCode, GatewayMessage, PageMessage};
use switchboard::{CallId, DtmfFallback, Fact, Input, MediaCommand, MediaEvent};

/// An offer of a far end that knows no telephone events.
fn without_events() -> String {
    OFFER.replace(" 101\r\n", "\r\n").replace(
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        "",
    )
}

fn call_without_events(fallback: DtmfFallback) -> (World, u64, Dialog) {
    let mut config = config(&["1002"]);
    config.policy.dtmf_fallback = fallback;
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    let mut dialog = world.invite("1002", Some(&without_events()));
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    (world, page, dialog)
}

fn press(world: &mut World, page: u64, digits: &str) {
    let call = world.call(page).id;
    world.say(
        page,
        PageMessage::Dtmf {
            call,
            digits: digits.into(),
        },
    );
}

/// What the media workers were told to send: digits, and milliseconds where somebody asked for them.
fn sent(world: &World) -> Vec<(String, Option<u128>)> {
    world
        .media
        .iter()
        .filter_map(|command| match command {
            MediaCommand::SendDigits { digits, tone, .. } => {
                Some((digits.clone(), tone.map(|tone| tone.as_millis())))
            }
            _ => None,
        })
        .collect()
}

fn infos(world: &World) -> Vec<String> {
    world
        .requests("INFO")
        .iter()
        .map(|info| String::from_utf8_lossy(&info.body).into_owned())
        .collect()
}

fn shown(world: &World, page: u64) -> String {
    world.pages[&page]
        .iter()
        .filter_map(|message| match message {
            GatewayMessage::DtmfReceived { digit, .. } => Some(digit.as_str()),
            _ => None,
        })
        .collect()
}

/// Nobody knows which body SIP Server writes: whichever it is, the far end must hear the keys that the agent clicked.
#[test]
fn every_form_of_notify_is_understood() {
    let relay = "Content-Type: application/dtmf-relay\r\n";
    for (event, content_type, body, expected) in [
        (
            "dtmf",
            relay,
            &b"Signal=5\r\nDuration=160"[..],
            vec![("5", Some(160))],
        ),
        (
            "dtmf",
            relay,
            b"Signal= 1\r\nDuration = 250\r\nSignal=23, 4\r\nDuration=250\r\nsignal=10\r\nSignal=d\r\n",
            vec![("1234", Some(250)), ("*D", None)],
        ),
        (
            "dtmf",
            "Content-Type: application/dtmf; charset=utf-8\r\n",
            b"12#\r\n",
            vec![("12#", None)],
        ),
        (
            "dtmf",
            "Content-Type: application/dtmf\r\n",
            b"Signal=9\r\nDuration=80",
            vec![("9", Some(80))],
        ),
        (
            "dtmf",
            "Content-Type: text/plain\r\n",
            b" a0 1,2",
            vec![("A012", None)],
        ),
        (
            "dtmf",
            "Content-Type: audio/telephone-event\r\n",
            &[11, 0x8a, 3, 0x20],
            vec![("#", Some(100))],
        ),
        (
            "dtmf",
            "Content-Type: Telephone-Event\r\n",
            &[3, 0x8a, 0, 0],
            vec![("3", None)],
        ),
        ("DTMF;digits=\"4*\"", "", b"", vec![("4*", None)]),
        (
            "dtmf;signal=7;Duration=300",
            "",
            b"",
            vec![("7", Some(300))],
        ),
    ] {
        let (mut world, page) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        notify_with(&mut world, &mut dialog, event, content_type, body);
        let expected: Vec<(String, Option<u128>)> = expected
            .into_iter()
            .map(|(digits, ms)| (digits.to_owned(), ms))
            .collect();
        assert_eq!(sent(&world), expected, "{event} {content_type}");
        assert_eq!(world.statuses(&dialog, dialog.cseq, "NOTIFY"), [200]);
        assert!(
            shown(&world, page).is_empty(),
            "they are hers, not the caller's"
        );
    }
}

fn notify_with(
    world: &mut World,
    dialog: &mut Dialog,
    event: &str,
    content_type: &str,
    body: &[u8],
) {
    dialog.cseq += 1;
    let branch = world.branch();
    let extra = format!("Event: {event}\r\nSubscription-State: active\r\n{content_type}");
    let text = world
        .in_dialog_text(dialog, "NOTIFY", dialog.cseq, &branch, &extra, None)
        .replace(
            "Content-Length: 0",
            &format!("Content-Length: {}", body.len()),
        );
    world.receive_bytes(&[text.as_bytes(), body].concat());
}

/// Gateways that relay keys tell of each one twice, when it goes down and when it goes up, and in between when it is held for long:
/// a customer number with every digit doubled is nobody's.
#[test]
fn a_key_that_is_told_of_twice_is_pressed_once() {
    const DOWN: [u8; 3] = [0x0a, 0x07, 0xd0];
    const UP: [u8; 3] = [0x8a, 0x03, 0x20];
    const LONGER: [u8; 3] = [0x0a, 0x0f, 0xa0];
    // Which key, what of it, after how many milliseconds.
    type Told = (u8, [u8; 3], u64);
    let cases: [(&str, &[Told], &str); 8] = [
        ("down and up", &[(1, DOWN, 0), (1, UP, 100)], "1"),
        (
            "the same key again",
            &[(5, DOWN, 0), (5, UP, 90), (5, DOWN, 90), (5, UP, 90)],
            "55",
        ),
        (
            "only downs",
            &[(5, DOWN, 0), (5, DOWN, 200), (6, DOWN, 200)],
            "556",
        ),
        ("only ups", &[(5, UP, 0), (5, UP, 200), (6, UP, 200)], "556"),
        (
            "held, and told to last longer",
            &[(7, DOWN, 0), (7, LONGER, 2_000), (7, UP, 900)],
            "7",
        ),
        (
            "held, and told again as it was",
            &[
                (1, DOWN, 0),
                (1, UP, 90),
                (7, DOWN, 90),
                (7, DOWN, 2_000),
                (7, UP, 900),
            ],
            "17",
        ),
        ("an up of another key", &[(1, DOWN, 0), (2, UP, 100)], "12"),
        (
            "an up that never came",
            &[(1, DOWN, 0), (1, UP, 5_000)],
            "11",
        ),
    ];
    for (case, told, expected) in cases {
        let (mut world, _) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        for (key, what, after_ms) in told {
            world.advance(Duration::from_millis(*after_ms));
            let body = [&[*key][..], what].concat();
            let kind = "Content-Type: audio/telephone-event\r\n";
            notify_with(
                &mut world,
                &mut dialog,
                "telephone-event;rate=1000",
                kind,
                &body,
            );
            assert_eq!(
                world.statuses(&dialog, dialog.cseq, "NOTIFY"),
                [200],
                "{case}"
            );
        }
        let pressed: String = sent(&world).into_iter().map(|(digits, _)| digits).collect();
        assert_eq!(pressed, expected, "{case}");
    }
}

/// A key sounds as long as it was held, by whichever clock that is told.
#[test]
fn the_clock_of_a_relayed_key_is_kept() {
    let (mut world, _) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let kind = "Content-Type: audio/telephone-event\r\n";
    let held = [4, 0x8a, 1, 0x2c];
    notify_with(
        &mut world,
        &mut dialog,
        "telephone-event;rate=1000",
        kind,
        &held,
    );
    notify_with(&mut world, &mut dialog, "dtmf", kind, &[4, 0x8a, 9, 0x60]);
    let told = ("4".to_owned(), Some(300));
    assert_eq!(sent(&world), [told.clone(), told]);
}

#[test]
fn what_cannot_be_read_is_refused_and_sends_nothing() {
    let long = "1".repeat(65);
    for (content_type, body) in [
        (
            "Content-Type: application/dtmf-relay\r\n",
            &b"Signal=x\r\n"[..],
        ),
        ("Content-Type: application/dtmf-relay\r\n", b"Signal=12\r\n"),
        ("Content-Type: application/dtmf\r\n", long.as_bytes()),
        ("Content-Type: text/plain\r\n", b"call me"),
        ("Content-Type: text/plain\r\n", &[0xff, 0xfe]),
        ("Content-Type: audio/telephone-event\r\n", &[16, 0, 0, 0]),
        ("Content-Type: audio/telephone-event\r\n", &[1, 0, 0]),
        ("Content-Type: application/sdp\r\n", b"v=0\r\n"),
        ("", b""),
    ] {
        let (mut world, _) = World::with_agent("1002");
        let mut dialog = world.talking("1002");
        notify_with(&mut world, &mut dialog, "dtmf", content_type, body);
        assert_eq!(
            world.statuses(&dialog, dialog.cseq, "NOTIFY"),
            [415],
            "{content_type}"
        );
        assert!(sent(&world).is_empty());
    }
}

/// A site whose digits come in another form: its operator reads which, and in no line what was pressed.
#[test]
fn the_form_of_what_cannot_be_read_is_told_and_not_what_it_holds() {
    let (mut world, _) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let lines = "Event: dtmf;keys=4711\r\nContent-Type: application/vnd.site+xml;keys=4711\r\n";
    world.in_dialog_with(&mut dialog, "NOTIFY", lines, "<keys>4711</keys>");
    assert_eq!(world.statuses(&dialog, dialog.cseq, "NOTIFY"), [415]);
    let lines = "Content-Type: application/dtmf-relay\r\n";
    world.in_dialog_with(&mut dialog, "INFO", lines, "Key=4711\r\n");
    assert_eq!(world.statuses(&dialog, dialog.cseq, "INFO"), [415]);
    let unreadable = |fact: &&Fact| matches!(fact, Fact::DigitsUnreadable { .. });
    let told: Vec<&Fact> = world.facts.iter().filter(unreadable).collect();
    let [
        Fact::DigitsUnreadable {
            event: Some(event),
            content_type: Some(of_notify),
            body_bytes: 17,
            ..
        },
        Fact::DigitsUnreadable {
            event: None,
            content_type: Some(of_info),
            body_bytes: 10,
            ..
        },
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    assert_eq!(event, "dtmf");
    assert_eq!(of_notify, "application/vnd.site+xml");
    assert_eq!(of_info, "application/dtmf-relay");
    assert!(!format!("{told:?}").contains("4711"));
}

/// By UDP one INFO may overtake another: the bank would read 21 where the agent pressed 12.
#[test]
fn digits_by_info_keep_their_order() {
    let (mut world, page, _) = call_without_events(DtmfFallback::Info);
    press(&mut world, page, "12");
    press(&mut world, page, "3");
    assert_eq!(infos(&world), ["Signal=1\r\nDuration=160\r\n"]);
    for (n, digit) in [(1, '2'), (2, '3')] {
        let info = world.requests("INFO").pop().unwrap();
        world.respond(&info, "200 OK", None);
        assert_eq!(infos(&world).len(), n + 1);
        assert_eq!(
            infos(&world)[n],
            format!("Signal={digit}\r\nDuration=160\r\n")
        );
    }
    let info = world.requests("INFO").pop().unwrap();
    world.respond(&info, "200 OK", None);
    assert_eq!(infos(&world).len(), 3, "each once");
    assert!(sent(&world).is_empty());
}

/// An announcement speaks before the answer of a call that she dials, and takes keys by INFO only.
fn announcement_without_events() -> (World, u64, sip::Request) {
    let mut config = config(&["1002"]);
    config.policy.dtmf_fallback = DtmfFallback::Info;
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    let number = "5550100".into();
    world.say(page, PageMessage::Dial { number });
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond_by(
        "first",
        &invite,
        "183 Session Progress",
        "",
        Some(&without_events()),
    );
    (world, page, invite)
}

/// The rest of her PIN waits when another announcement takes the place of the first: no digit of it goes there.
#[test]
fn digits_that_wait_are_not_keyed_into_another_announcement() {
    let (mut world, page, invite) = announcement_without_events();
    press(&mut world, page, "47");
    let info = world.requests("INFO").pop().unwrap();
    let other = without_events().replace("8006", "8020");
    world.respond_by("second", &invite, "183 Session Progress", "", Some(&other));
    world.respond(&info, "200 OK", None);
    assert_eq!(world.requests("INFO").len(), 1);
}

/// She presses a key while an announcement speaks before the answer; SIP Server has forgotten the call, and then says nothing more. Her call ends like any other that nobody answers, and
/// the gateway goes on.
#[test]
fn a_key_into_a_forgotten_call_that_is_not_answered_holds_nothing_up() {
    let (mut world, page, _) = announcement_without_events();
    press(&mut world, page, "1");
    let info = world.requests("INFO").pop().unwrap();
    world.respond(&info, "481 Call/Transaction Does Not Exist", None);
    assert_eq!(world.requests("CANCEL").len(), 1);
    world.advance(Duration::from_secs(40));
    assert_eq!(world.causes().len(), 1);
    world.assert_quiet();
}

/// SIP Server has ended the call, and its BYE was lost: the first key tells so. The agent is not left with a line that seems to talk, and nobody hears her.
#[test]
fn a_key_into_a_call_that_is_over_falls_silent_at_once() {
    let (mut world, page, _) = call_without_events(DtmfFallback::Info);
    press(&mut world, page, "1");
    let info = world.requests("INFO").pop().unwrap();
    world.respond(&info, "481 Call/Transaction Does Not Exist", None);
    assert_eq!(world.call(page).state, CallState::Ending);
    assert!(world.is_media_closed(world.plan().call));
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.causes(), ["dialog_lost"]);
    world.assert_quiet();
}

#[test]
fn a_far_end_that_refuses_a_digit_by_info_gets_no_more() {
    let (mut world, page, _) = call_without_events(DtmfFallback::Info);
    press(&mut world, page, "123");
    let info = world.requests("INFO").pop().unwrap();
    world.respond(&info, "415 Unsupported Media Type", None);
    assert_eq!(infos(&world).len(), 1);
    // The next press is a new attempt.
    press(&mut world, page, "4");
    assert_eq!(infos(&world).len(), 2);
}

/// Pressed, then put on hold: what was not sent by then is not sent into a retrieved call later.
#[test]
fn hold_forgets_the_digits_that_wait() {
    let (mut world, page, mut dialog) = call_without_events(DtmfFallback::Info);
    press(&mut world, page, "12");
    world.notify(&mut dialog, "hold");
    let info = world.requests("INFO").pop().unwrap();
    world.respond(&info, "200 OK", None);
    answers(&mut world, "recvonly");
    world.notify(&mut dialog, "talk");
    answers(&mut world, "sendrecv");
    assert_eq!(infos(&world).len(), 1);
    press(&mut world, page, "9");
    assert_eq!(infos(&world)[1], "Signal=9\r\nDuration=160\r\n");
}

#[test]
fn digits_are_sound_where_the_site_wants_it() {
    let (mut world, page, mut dialog) = call_without_events(DtmfFallback::Inband);
    press(&mut world, page, "12#");
    assert_eq!(sent(&world), [("12#".to_owned(), None)]);
    notify_with(
        &mut world,
        &mut dialog,
        "dtmf",
        "Content-Type: application/dtmf-relay\r\n",
        b"Signal=5\r\nDuration=400\r\n",
    );
    assert_eq!(sent(&world).last(), Some(&("5".to_owned(), Some(400))));
    assert!(infos(&world).is_empty());
}

#[test]
fn digits_that_cannot_go_anywhere_are_refused() {
    let (mut world, page, _) = call_without_events(DtmfFallback::None);
    press(&mut world, page, "1");
    assert_eq!(world.last_error(page), Some(ErrorCode::NotSupported));
    assert!(sent(&world).is_empty() && infos(&world).is_empty());
}

/// The caller types her customer number: the agent sees it, each key once, and the log does not.
#[test]
fn the_caller_s_keys_are_shown() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let call = CallId::parse(&world.call(page).id).unwrap();
    for digit in ['4', '7', '#'] {
        world.input(Input::Media(MediaEvent::Digit { call, digit }));
    }
    assert_eq!(shown(&world, page), "47#");
    let told = world
        .facts
        .iter()
        .filter(|fact| matches!(fact, Fact::DigitReceived { .. }));
    assert_eq!(told.count(), 3);
    world.input(Input::Media(MediaEvent::Digit {
        call: CallId(9),
        digit: '1',
    }));
    assert_eq!(shown(&world, page), "47#", "a call that is over");
}

/// INFO with a digit: from a far end without telephone events it is the caller's key, shown once however often it is repeated; beside
/// telephone events it is SIP Server's wish to send one.
#[test]
fn a_digit_by_info_is_the_caller_s_where_her_media_cannot_carry_it() {
    let body = "Signal=7\r\nDuration=160\r\n";
    let extra = "Content-Type: application/dtmf-relay\r\n";
    let info = |world: &mut World, dialog: &mut Dialog| {
        dialog.cseq += 1;
        let branch = world.branch();
        let text = world
            .in_dialog_text(dialog, "INFO", dialog.cseq, &branch, extra, None)
            .replace(
                "Content-Length: 0",
                &format!("Content-Length: {}", body.len()),
            );
        for _ in 0..2 {
            world.receive(&format!("{text}{body}"));
        }
    };
    let (mut world, page, mut dialog) = call_without_events(DtmfFallback::Info);
    info(&mut world, &mut dialog);
    assert_eq!(shown(&world, page), "7");
    assert!(infos(&world).is_empty() && sent(&world).is_empty());

    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    info(&mut world, &mut dialog);
    assert_eq!(shown(&world, page), "");
    assert_eq!(sent(&world), [("7".to_owned(), Some(160))]);
}

/// A beep for a call on hold would reach nobody, or the wrong call.
#[test]
fn a_beep_is_for_a_call_that_is_heard() {
    let beeps = |world: &World| {
        let beep = |command: &&MediaCommand| matches!(command, MediaCommand::Beep { .. });
        world.media.iter().filter(beep).count()
    };
    let (mut world, _) = World::with_agent("1002");
    let mut dialog = world.invite("1002", Some(OFFER));
    world.notify(&mut dialog, "beep");
    assert_eq!(
        (
            world.statuses(&dialog, dialog.cseq, "NOTIFY"),
            beeps(&world)
        ),
        (vec![200], 0)
    );
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    world.notify(&mut dialog, "beep");
    assert_eq!(beeps(&world), 1);
    world.notify(&mut dialog, "hold");
    world.notify(&mut dialog, "beep");
    assert_eq!(beeps(&world), 1);
    world.advance(Duration::from_secs(1));
}

/// An answer to our re-INVITE of a far end without events.
fn answers(world: &mut World, direction: &str) {
    let invite = world.requests("INVITE").pop().unwrap();
    let answer = format!("{}a={direction}\r\n", without_events());
    let answer = answer.replace(" 8 9 102 103 104 18 120", "");
    world.respond(&invite, "200 OK", Some(&answer));
}

/// The first digit is answered only when the call is back from hold: what waited behind it was for before.
#[test]
fn digits_that_wait_do_not_outlive_a_hold() {
    let (mut world, page, mut dialog) = call_without_events(DtmfFallback::Info);
    press(&mut world, page, "12");
    let info = world.requests("INFO").pop().unwrap();
    world.notify(&mut dialog, "hold");
    answers(&mut world, "recvonly");
    world.notify(&mut dialog, "talk");
    answers(&mut world, "sendrecv");
    world.respond(&info, "200 OK", None);
    assert_eq!(infos(&world).len(), 1);
}

/// A card number is being pressed, and SIP Server leads the call to somebody else: he gets none of it.
#[test]
fn digits_that_wait_are_not_pressed_into_another_party() {
    let (mut world, page, mut dialog) = call_without_events(DtmfFallback::Info);
    press(&mut world, page, "4111111111111111");
    let info = world.requests("INFO").pop().unwrap();
    let elsewhere = without_events().replace("c=IN IP4 192.0.2.82", "c=IN IP4 192.0.2.90");
    let cseq = world.reinvite(&mut dialog, Some(&elsewhere));
    world.ack(&dialog, cseq, None);
    world.respond(&info, "200 OK", None);
    assert_eq!(infos(&world).len(), 1);
    press(&mut world, page, "9");
    assert_eq!(infos(&world)[1], "Signal=9\r\nDuration=160\r\n");
}
