//! What SIP Server says outside of calls: whether the DN lives, that messages wait, a text.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, config, text};
use control::{GatewayMessage, MessageWaiting, PageMessage};
use sip::{HeaderName, Headers, Message, Response};
use switchboard::{MessagePolicy, OptionsPolicy, RegisterPolicy};

/// Sends a request of no dialog for `dn`, and returns what it was answered with.
fn asked(world: &mut World, method: &str, dn: &str, extra: &str, body: &str) -> Response {
    let branch = world.branch();
    let host = "192.0.2.10:5060";
    let uri = if dn.is_empty() {
        host.to_owned()
    } else {
        format!("{dn}@{host}")
    };
    world.receive(&format!(
        "{method} sip:{uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\r\n\
         From: sip:1003@192.0.2.81;tag=t\r\nTo: sip:{uri}\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\n\
         {extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    match &world.sent.last().unwrap().message {
        Message::Response(response) => response.clone(),
        Message::Request(request) => panic!("a request instead of an answer: {request:?}"),
    }
}

fn status(world: &mut World, method: &str, dn: &str, extra: &str, body: &str) -> u16 {
    asked(world, method, dn, extra, body).status.as_u16()
}

/// A DN that is registered all day and at which nobody sits: by default SIP Server keeps it in service, or it does not where the site
/// wants calls to go elsewhere.
#[test]
fn options_says_what_the_site_wants_it_to_say() {
    let mut config = config(&["1002"]);
    config.agents[0].register = RegisterPolicy::Always;
    let mut lenient = World::with_config(config.clone());
    for dn in ["1002", "4711", ""] {
        assert_eq!(status(&mut lenient, "OPTIONS", dn, "", ""), 200, "{dn}");
    }
    config.policy.options = OptionsPolicy::SignedInOnly;
    let mut strict = World::with_config(config);
    assert_eq!(status(&mut strict, "OPTIONS", "1002", "", ""), 480);
    assert_eq!(status(&mut strict, "OPTIONS", "4711", "", ""), 404);
    assert_eq!(
        status(&mut strict, "OPTIONS", "", "", ""),
        200,
        "the gateway itself lives"
    );
    let page = strict.sign_in("1002", None);
    assert_eq!(status(&mut strict, "OPTIONS", "1002", "", ""), 200);
    // Within the grace time a call would ring on: the agent is still hers.
    strict.lose_page(page);
    assert_eq!(status(&mut strict, "OPTIONS", "1002", "", ""), 200);
}

#[test]
fn options_names_what_we_can() {
    let (mut world, _) = World::with_agent("1002");
    let answer = asked(&mut world, "OPTIONS", "1002", "", "");
    let value = |name| text(answer.headers.get(&name));
    assert_eq!(value(HeaderName::ACCEPT), "application/sdp");
    assert!(value(HeaderName::ALLOW).contains("NOTIFY"));
    assert!(
        !value(HeaderName::ALLOW).contains("MESSAGE"),
        "it would be refused"
    );
    assert_eq!(value(HeaderName::ALLOW_EVENTS), "talk, hold");
    assert!(value(HeaderName::SUPPORTED).contains("timer"));
}

/// A click for a call that is not there is told so; an event that nobody here knows is named as such, with those that are known (RFC 6665 section 4.1.3).
#[test]
fn a_notify_of_no_call_is_refused_by_its_event() {
    let (mut world, page) = World::with_agent("1002");
    for event in ["talk", "hold", "dtmf;digits=5", "beep"] {
        let lines = format!("Event: {event}\r\n");
        let answer = asked(&mut world, "NOTIFY", "1002", &lines, "");
        assert_eq!(answer.status.as_u16(), 481, "{event}");
    }
    for lines in ["Event: presence\r\n", "Event: talking\r\n", ""] {
        let answer = asked(&mut world, "NOTIFY", "1002", lines, "");
        assert_eq!(answer.status.as_u16(), 489, "{lines}");
        let known = text(answer.headers.get(&HeaderName::ALLOW_EVENTS));
        assert_eq!(known, "talk, hold");
    }
    assert!(world.calls(page).is_empty());
}

const SUMMARY: &str = "Event: message-summary\r\nSubscription-State: active\r\nContent-Type: application/simple-message-summary\r\n";

fn waiting(world: &World, page: u64) -> Vec<MessageWaiting> {
    world.pages[&page]
        .iter()
        .filter_map(|message| match message {
            GatewayMessage::MessageWaiting(waiting) => Some(*waiting),
            GatewayMessage::Welcome(welcome) => welcome.message_waiting,
            _ => None,
        })
        .collect()
}

/// Voice mail that came while nobody sat at the DN: the agent must see it when she signs in.
#[test]
fn waiting_messages_are_shown_now_and_at_the_next_sign_in() {
    let (mut world, page) = World::with_agent("1002");
    let body = "Messages-Waiting: yes\r\nMessage-Account: sip:1002@192.0.2.81\r\nVoice-Message: 2/8 (0/2)\r\n";
    for _ in 0..2 {
        assert_eq!(status(&mut world, "NOTIFY", "1002", SUMMARY, body), 200);
    }
    let two = MessageWaiting {
        waiting: true,
        new: Some(2),
        old: Some(8),
    };
    assert_eq!(waiting(&world, page), [two], "told once");
    let second = world.sign_in("1002", None);
    assert_eq!(waiting(&world, second), [two]);
    assert_eq!(
        status(
            &mut world,
            "NOTIFY",
            "1002",
            SUMMARY,
            "messages-waiting: NO\r\n"
        ),
        200
    );
    let none = MessageWaiting {
        waiting: false,
        new: None,
        old: None,
    };
    assert_eq!(waiting(&world, second), [two, none]);
}

#[test]
fn a_summary_that_says_nothing_changes_nothing() {
    let (mut world, page) = World::with_agent("1002");
    for body in [
        "",
        "Voice-Message: 2/8\r\n",
        "Messages-Waiting: perhaps\r\n",
        "\u{0}\u{7f}:\r\n",
    ] {
        assert_eq!(status(&mut world, "NOTIFY", "1002", SUMMARY, body), 200);
    }
    assert_eq!(
        status(
            &mut world,
            "NOTIFY",
            "4711",
            SUMMARY,
            "Messages-Waiting: yes\r\n"
        ),
        200
    );
    assert_eq!(waiting(&world, page), []);
    let odd = "Messages-Waiting: yes\r\nVoice-Message: 99999999999/x\r\n";
    assert_eq!(status(&mut world, "NOTIFY", "1002", SUMMARY, odd), 200);
    let uncounted = MessageWaiting {
        waiting: true,
        new: None,
        old: None,
    };
    assert_eq!(waiting(&world, page), [uncounted]);
}

const PLAIN: &str = "Content-Type: text/plain;charset=UTF-8\r\n";

fn texts(world: &World, page: u64) -> Vec<(Option<String>, String, String)> {
    world.pages[&page]
        .iter()
        .filter_map(|message| match message {
            GatewayMessage::InstantMessage { call, from, text } => {
                Some((call.clone(), from.number.clone(), text.clone()))
            }
            _ => None,
        })
        .collect()
}

fn names_message(headers: &Headers) -> bool {
    text(headers.get(&HeaderName::ALLOW)).contains("MESSAGE")
}

/// Who sees in the call what is allowed there sends the text that the page would show, and none that would be refused (RFC 3428 section 9).
#[test]
fn a_call_says_whether_it_takes_texts() {
    for (messages, named) in [(MessagePolicy::Refuse, false), (MessagePolicy::Show, true)] {
        let mut config = config(&["1002"]);
        config.policy.messages = messages;
        let mut world = World::with_config(config);
        let page = world.sign_in("1002", None);
        let dialog = world.talking("1002");
        let opening = world.responses(&dialog, 1, "INVITE");
        for response in opening.iter().filter(|it| it.status.as_u16() > 100) {
            assert_eq!(names_message(&response.headers), named, "{response:?}");
        }
        let call = world.call(page).id;
        world.say(page, PageMessage::Hold { call });
        let hold = world.requests("INVITE").pop().expect("the hold");
        assert_eq!(names_message(&hold.headers), named);
    }
}

#[test]
fn texts_are_refused_unless_the_site_wants_them() {
    let (mut world, page) = World::with_agent("1002");
    let refused = asked(&mut world, "MESSAGE", "1002", PLAIN, "Lunch?");
    assert_eq!(refused.status.as_u16(), 405);
    assert!(!text(refused.headers.get(&HeaderName::ALLOW)).contains("MESSAGE"));
    let mut dialog = world.talking("1002");
    world.in_dialog(&mut dialog, "MESSAGE", PLAIN, None);
    assert_eq!(world.statuses(&dialog, dialog.cseq, "MESSAGE"), [405]);
    assert_eq!(texts(&world, page), []);
}

#[test]
fn a_text_is_shown_to_the_agent_it_is_for() {
    let mut config = config(&["1002"]);
    config.policy.messages = MessagePolicy::Show;
    let mut world = World::with_config(config);
    assert_eq!(
        status(&mut world, "MESSAGE", "1002", PLAIN, "Lunch?"),
        480,
        "nobody reads it"
    );
    let page = world.sign_in("1002", None);
    let options = asked(&mut world, "OPTIONS", "1002", "", "");
    assert!(names_message(&options.headers));
    assert_eq!(
        status(
            &mut world,
            "MESSAGE",
            "1002",
            PLAIN,
            "Lunch?\r\n<b>At noon</b>\u{1b}[2J\r\n"
        ),
        200
    );
    assert_eq!(status(&mut world, "MESSAGE", "4711", PLAIN, "Lunch?"), 404);
    let html = asked(
        &mut world,
        "MESSAGE",
        "1002",
        "Content-Type: text/html\r\n",
        "<p>",
    );
    assert_eq!(html.status.as_u16(), 415);
    assert_eq!(text(html.headers.get(&HeaderName::ACCEPT)), "text/plain");
    let shown = "Lunch?\n<b>At noon</b>[2J".to_owned();
    assert_eq!(texts(&world, page), [(None, "1003".to_owned(), shown)]);
    let novel = "word ".repeat(2_000);
    assert_eq!(status(&mut world, "MESSAGE", "1002", PLAIN, &novel), 200);
    assert!(texts(&world, page)[1].2.chars().count() <= 1_300);
    assert_eq!(
        status(&mut world, "MESSAGE", "1002", PLAIN, &"\n".repeat(500)),
        200
    );
    assert_eq!(texts(&world, page)[2].2, "");
    let mut dialog = world.talking("1002");
    dialog.cseq += 1;
    let branch = world.branch();
    let said = world
        .in_dialog_text(&dialog, "MESSAGE", dialog.cseq, &branch, PLAIN, None)
        .replace("Content-Length: 0", "Content-Length: 2");
    world.receive(&format!("{said}Hi"));
    let call = world.call(page).id;
    assert_eq!(
        texts(&world, page)[3],
        (Some(call), "1003".to_owned(), "Hi".to_owned())
    );
}
