//! What SIP Server's headers tell the desktop about a call.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Dialog, OFFER, World, config};
use control::{CallView, Ring, UserToUserEncoding};
use sip::HeaderName;

/// The page's picture of a call whose INVITE has these headers.
fn shown(headers: &str) -> CallView {
    let (mut world, page) = World::with_agent("1002");
    world.invite_with("1002", Some(OFFER), headers);
    world.call(page)
}

/// The trunk puts the caller's number into P-Asserted-Identity and its own into From: the agent must see the caller's.
#[test]
fn the_asserted_identity_names_the_caller() {
    let call = shown("P-Asserted-Identity: \"Doe, J\" <sip:+493012345@192.0.2.14;user=phone>\r\n");
    assert_eq!(call.remote.number, "+493012345");
    assert_eq!(call.remote.name.as_deref(), Some("Doe, J"));
    let two = shown("P-Asserted-Identity: <tel:+493012345>, \"Doe\" <sip:doe@192.0.2.14>\r\n");
    assert_eq!(two.remote.number, "+493012345");
    assert_eq!(two.remote.name.as_deref(), Some("Doe"));
}

/// Carriers put what a number was ported to, or where it is local, behind it: the agent sees a number, and can dial it.
#[test]
fn the_parameters_of_a_telephone_number_are_no_part_of_it() {
    for (user, number) in [
        ("0301234;phone-context=+49", "0301234"),
        ("+49301234;npdi;rn=+4911", "+49301234"),
        ("%2B49301234;ext=12", "+49301234"),
        ("front;desk=2", "front;desk=2"),
        ("a%3Bb", "a;b"),
    ] {
        let asserted = format!("P-Asserted-Identity: <sip:{user}@ims.example>\r\n");
        assert_eq!(shown(&asserted).remote.number, number);
    }
    let name = "P-Asserted-Identity: <sip:desk;phone-context=h@ims.example;user=phone>\r\n";
    assert_eq!(shown(name).remote.number, "desk");
}

/// A caller who hides her number: the agent must not see what the network knows of her.
#[test]
fn a_caller_who_wants_privacy_is_not_named_by_the_network() {
    for wish in ["id", "header;id", "user; critical"] {
        let headers = format!("P-Asserted-Identity: <tel:+493012345>\r\nPrivacy: {wish}\r\n");
        let call = shown(&headers);
        assert_eq!(call.remote.number, "1003", "From is what she let through");
        assert!(call.remote.privacy, "{wish}");
    }
    let open = shown("P-Asserted-Identity: <tel:+493012345>\r\nPrivacy: none\r\n");
    assert_eq!(open.remote.number, "+493012345");
    assert!(!open.remote.privacy);
}

#[test]
fn an_asserted_identity_that_is_not_trusted_names_nobody() {
    let mut config = config(&["1002"]);
    config.policy.headers.trust_asserted_identity = false;
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    world.invite_with(
        "1002",
        Some(OFFER),
        "P-Asserted-Identity: <tel:+493012345>\r\n",
    );
    assert_eq!(world.call(page).remote.number, "1003");
}

/// The customer dialled the hotline, which went on to this agent: she answers in the hotline's name.
#[test]
fn a_diverted_call_says_whom_the_caller_had_dialled() {
    let twice = shown(
        "Diversion: <sip:4711@192.0.2.81>;reason=no-answer;counter=1\r\n\
         Diversion: \"Hotline\" <sip:0800123@192.0.2.81>;reason=unconditional\r\n",
    );
    let from = twice.details.diverted_from.clone().unwrap();
    assert_eq!(from.number, "0800123");
    assert_eq!(from.name.as_deref(), Some("Hotline"));
    assert_eq!(from.reason.as_deref(), Some("unconditional"));
    let history = shown(
        "History-Info: <sip:0800123@192.0.2.81?Reason=SIP%3Bcause%3D302>;index=1, <sip:1002@192.0.2.81>;index=1.1\r\n",
    );
    let from = history.details.diverted_from.clone().unwrap();
    assert_eq!(
        (from.number.as_str(), from.reason.as_deref()),
        ("0800123", Some("unconditional"))
    );
    let by_target = shown(
        "History-Info: <sip:1002@192.0.2.81;cause=486>;index=1.1;mp=1, <sip:0800123@192.0.2.81>;index=1\r\n",
    );
    let from = by_target.details.diverted_from.clone().unwrap();
    assert_eq!(
        (from.number.as_str(), from.reason.as_deref()),
        ("0800123", Some("user-busy"))
    );
}

/// History-Info of a call that went straight to the agent has one entry, the agent: nobody has diverted anything.
#[test]
fn a_call_that_was_not_diverted_says_nothing_of_it() {
    let call = shown("History-Info: <sip:1002@192.0.2.81>;index=1\r\n");
    assert_eq!(*call.details, control::CallDetails::default());
}

#[test]
fn user_to_user_information_is_shown_as_data_and_as_text() {
    let uui = |headers: &str| shown(headers).details.user_to_user.clone().unwrap();
    let isdn = uui("User-to-User: 0441636374;encoding=hex\r\n");
    assert_eq!(
        (isdn.data.as_str(), isdn.encoding),
        ("0441636374", UserToUserEncoding::Hex)
    );
    assert_eq!(isdn.text.as_deref(), Some("Acct"));
    let binary = uui("User-to-User: 00FF80FE;purpose=isdn-uui;content=isdn-uui\r\n");
    assert_eq!((binary.data.as_str(), binary.text), ("00ff80fe", None));
    let text = uui("User-to-User: \"account \\\"7\\\"; 42\";encoding=ascii\r\n");
    assert_eq!(
        (text.data.as_str(), text.encoding),
        ("account \"7\"; 42", UserToUserEncoding::Text)
    );
    assert_eq!(
        uui("User-to-User: odd;encoding=hex\r\n").encoding,
        UserToUserEncoding::Text
    );
    for nothing in ["User-to-User: \"\r\n", "User-to-User: ;encoding=hex\r\n"] {
        assert_eq!(shown(nothing).details.user_to_user, None, "{nothing}");
    }
}

/// Two applications on the way have each added their data: the desktop gets both, and may tell them apart.
#[test]
fn every_user_to_user_header_is_shown() {
    let details = shown(
        "User-to-User: 0441636374;encoding=hex, \"ticket, 42\";encoding=ascii;purpose=tickets;content=text\r\n\
         User-to-User: \"\"\r\nUser-to-User: 99ff;purpose=crm\r\n",
    )
    .details;
    assert_eq!(details.user_to_user.clone().unwrap().data, "0441636374");
    let more: Vec<_> = details
        .more_user_to_user
        .iter()
        .map(|uui| {
            (
                uui.data.as_str(),
                uui.purpose.as_deref(),
                uui.content.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("ticket, 42", Some("tickets"), Some("text")),
        ("99ff", Some("crm"), None),
    ];
    assert_eq!(more, expected);
    let many = shown(&"User-to-User: 0041\r\n".repeat(100)).details;
    assert_eq!(many.more_user_to_user.len(), 7);
}

#[test]
fn a_call_says_how_it_wants_to_ring() {
    for (header, ring) in [
        (
            "Alert-Info: <http://www.notused.com>;info=alert-internal;x-line-id=0",
            Some(Ring::Internal),
        ),
        (
            "Alert-Info: <urn:alert:source:external>",
            Some(Ring::External),
        ),
        (
            "Alert-Info: <http://127.0.0.1/Bellcore-dr2>",
            Some(Ring::External),
        ),
        (
            "Alert-Info: <urn:alert:priority:high>",
            Some(Ring::Priority),
        ),
        ("Alert-Info: <urn:alert:priority:low>", None),
        (
            "Alert-Info: <urn:alert:priority:normal>, <urn:alert:source:internal>",
            Some(Ring::Internal),
        ),
        ("Priority: emergency", Some(Ring::Priority)),
        ("Priority: normal", None),
        ("Alert-Info: <http://192.0.2.81/tune.wav>", None),
    ] {
        assert_eq!(
            shown(&format!("{header}\r\n")).details.ring,
            ring,
            "{header}"
        );
    }
}

/// A merge gives the agent's call another key at SIP Server: whatever request has it, the page and the log know the call by the last one.
#[test]
fn the_key_of_a_call_is_the_last_that_sip_server_gave() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let requests = [
        ("NOTIFY", "Event: talk\r\nSubscription-State: active\r\n"),
        ("INFO", ""),
        ("MESSAGE", ""),
        ("UPDATE", ""),
        ("INVITE", ""),
    ];
    for (number, (method, extra)) in requests.into_iter().enumerate() {
        let key = format!("TTL7J9EM750GP936CFL0EOACN800000{number}");
        let extra = format!("{extra}X-Genesys-CallUUID: {key}\r\n");
        world.in_dialog(&mut dialog, method, &extra, None);
        assert_eq!(world.call(page).call_uuid, Some(key), "{method}");
    }
}

/// The desktop's screen pop reads attached data; the CallUUID is no data of the call.
#[test]
fn attached_data_reaches_the_page_and_other_headers_do_not() {
    let mut config = config(&["1002"]);
    config.policy.headers.pass = vec![HeaderName::other("X-Site")];
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    world.invite_with(
        "1002",
        Some(OFFER),
        "X-Genesys-Segment: gold\r\nx-genesys-customer: <b>7</b>\r\nx-site: Berlin\r\nX-Secret: 1\r\n\
         X-Genesys-Segment: silver\r\n",
    );
    let details = world.call(page).details;
    let attached: Vec<_> = details
        .attached
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(attached, [("Segment", "gold"), ("customer", "<b>7</b>")]);
    let headers: Vec<_> = details
        .headers
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(headers, [("X-Site", "Berlin")]);
}

/// A caller who attaches a novel costs the page no more than its bound, and bytes that are no UTF-8 are still text.
#[test]
fn attached_data_is_bounded_and_always_text() {
    let mut headers = String::new();
    for n in 0..60 {
        headers += &format!("X-Genesys-Key{n}: {}\r\n", "x".repeat(700));
    }
    let attached = shown(&headers).details.attached.clone();
    let size: usize = attached
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    assert!(
        attached.len() < 33 && size <= 8_192 && size > 7_000,
        "{size}"
    );
    assert!(attached.values().all(|value| value.len() == 512));
    let many: String = (0..60).map(|n| format!("X-Genesys-K{n}: 1\r\n")).collect();
    assert_eq!(shown(&many).details.attached.len(), 32);

    let (mut world, page) = World::with_agent("1002");
    let dialog = world.invite("1002", Some(OFFER));
    // Another call, whose city is Köln in Latin-1.
    let text = world
        .invite_text(&dialog, Some(OFFER), "X-Genesys-City: K~ln\r\n")
        .replace("D6F9763C", "E6F9763C")
        .replace("F9D1A146", "E9D1A146");
    let mut bytes = text.into_bytes();
    for byte in bytes.iter_mut().filter(|byte| **byte == b'~') {
        *byte = 0xf6;
    }
    world.receive_bytes(&bytes);
    assert_eq!(
        world
            .call(page)
            .details
            .attached
            .get("City")
            .map(String::as_str),
        Some("Köln")
    );
}

const NAMES: [&str; 9] = [
    "P-Asserted-Identity",
    "Privacy",
    "Diversion",
    "History-Info",
    "User-to-User",
    "Alert-Info",
    "Call-Info",
    "X-Genesys-Noise",
    "Priority",
];
// Pieces that the readers of these headers look for, and octets that none of them expects.
const PIECES: [&[u8]; 24] = [
    b"<sip:",
    b">",
    b"\"",
    b"\\",
    b";",
    b"=",
    b",",
    b"?",
    b"%",
    b"index=",
    b"1.1",
    b"encoding=hex",
    b"cause=",
    b"Reason=",
    b"id",
    b"tel:+49",
    b"@h",
    b"a",
    b" ",
    b"\xff",
    b"\xc3\xbc",
    b"\xe2\x80\xae",
    b"04",
    b":",
];

/// Whatever stands in the headers, the call rings, and what the page is shown of them is bounded text.
#[test]
fn headers_full_of_noise_cost_no_call() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..400 {
        let (mut world, page) = World::with_agent("1002");
        let dialog = Dialog {
            call_id: format!("noise-{round}@192.0.2.81"),
            dn: "1002".into(),
            from_tag: "noise".into(),
            cseq: 1,
            invite_branch: world.branch(),
        };
        let mut noise = Vec::new();
        for name in NAMES {
            noise.extend_from_slice(format!("{name}: ").as_bytes());
            for _ in 0..random(40) {
                noise.extend_from_slice(PIECES[random(PIECES.len())]);
            }
            noise.extend_from_slice(b"\r\n");
        }
        let text = world.invite_text(&dialog, Some(OFFER), "HERE");
        let (head, tail) = text.split_once("HERE").unwrap();
        world.receive_bytes(&[head.as_bytes(), &noise, tail.as_bytes()].concat());
        let call = world.call(page);
        assert_eq!(call.state, control::CallState::Ringing);
        let shown = serde_json::to_string(&call).unwrap();
        assert!(shown.len() < 16_384);
        assert!(
            !shown.contains('\u{202e}'),
            "nothing turns the text around: {shown}"
        );
    }
}

/// A transfer was completed behind the agent's back: the page must show whom she talks to now.
#[test]
fn a_merge_shows_the_new_party() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    assert_eq!(world.call(page).remote.number, "1003");
    world.in_dialog(
        &mut dialog,
        "INVITE",
        "P-Asserted-Identity: \"Eve\" <sip:1777@192.0.2.81>\r\n",
        Some(OFFER),
    );
    let remote = world.call(page).remote;
    assert_eq!(
        (remote.number.as_str(), remote.name.as_deref()),
        ("1777", Some("Eve"))
    );
    world.ack(&dialog, dialog.cseq, None);
    // A refresh names nobody anew: the From is the one of the first INVITE.
    world.reinvite(&mut dialog, Some(OFFER));
    world.ack(&dialog, dialog.cseq, None);
    assert_eq!(world.call(page).remote.number, "1777");
    // RFC 4916: the From itself has changed.
    dialog.cseq += 1;
    let branch = world.branch();
    let text = world
        .in_dialog_text(&dialog, "UPDATE", dialog.cseq, &branch, "", None)
        .replace("From: sip:1003@", "From: sip:1888@");
    world.receive(&text);
    assert_eq!(world.statuses(&dialog, dialog.cseq, "UPDATE"), [200]);
    assert_eq!(world.call(page).remote.number, "1888");
    // And back: the consultation is over.
    world.reinvite(&mut dialog, Some(OFFER));
    world.ack(&dialog, dialog.cseq, None);
    assert_eq!(world.call(page).remote.number, "1003");
}

/// She asked not to be named, once, with the INVITE: what SIP Server sends in the call repeats her From and not her wish.
#[test]
fn the_wish_not_to_be_named_holds_for_the_whole_call() {
    let (mut world, page) = World::with_agent("1002");
    let hidden = "P-Asserted-Identity: <tel:+493012345>\r\nPrivacy: id\r\n";
    let mut dialog = world.invite_with("1002", Some(OFFER), hidden);
    world.notify(&mut dialog, "talk");
    world.ack(&dialog, 1, None);
    assert!(world.call(page).remote.privacy);
    let asserted = "P-Asserted-Identity: <tel:+493012345>\r\n";
    let event = "Event: beep\r\nSubscription-State: active\r\n";
    world.in_dialog(&mut dialog, "NOTIFY", &format!("{event}{asserted}"), None);
    let remote = world.call(page).remote;
    assert_eq!((remote.number.as_str(), remote.privacy), ("1003", true));
    // Who lets herself be named after all says so.
    let open = format!("{event}{asserted}Privacy: none\r\n");
    world.in_dialog(&mut dialog, "NOTIFY", &open, None);
    let remote = world.call(page).remote;
    assert_eq!(
        (remote.number.as_str(), remote.privacy),
        ("+493012345", false)
    );
}
