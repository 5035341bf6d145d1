//! A DN at SIP Server: registered, refreshed, challenged, refused, taken over, given back.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::HeaderName;
use sip::ua::{ConnectionId, RegistrationState, SiteId, Transport};
use support::registering::{LISTED, challenge, cseq, order, register, registered, status};
use support::{Sent, World, config, reply, server, tcp};

/// The form that SIP Server takes: DN in From, To and Contact, our listening port in Via and
/// Contact.
#[test]
fn a_dn_is_registered_and_refreshed_before_two_thirds() {
    let mut world = World::new();
    let first = registered(&mut world);
    assert_eq!(first.transmit.to, server());
    assert_eq!(first.request().uri.to_string(), "sip:192.0.2.81:5060");
    let from = first.header(&HeaderName::FROM).unwrap();
    assert!(
        from.starts_with("<sip:1002@192.0.2.81:5060>;tag="),
        "{from}"
    );
    assert_eq!(
        first.header(&HeaderName::TO).unwrap(),
        "<sip:1002@192.0.2.81:5060>"
    );
    assert_eq!(
        first.header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060>"
    );
    assert_eq!(first.header(&HeaderName::EXPIRES).unwrap(), "600");
    assert!(
        first
            .header(&HeaderName::VIA)
            .unwrap()
            .starts_with("SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK")
    );

    let refresh = world.advance_until("REGISTER", Duration::from_secs(400));
    assert!(refresh.at >= Duration::from_secs(340), "{:?}", refresh.at);
    assert_eq!(
        refresh.header(&HeaderName::CALL_ID),
        first.header(&HeaderName::CALL_ID)
    );
    assert_eq!(
        refresh.header(&HeaderName::FROM),
        first.header(&HeaderName::FROM)
    );
    assert_eq!(cseq(&refresh), cseq(&first) + 1);
    world.receive(&reply(&refresh, "200 OK", "r", LISTED, ""));
    assert_eq!(world.told(), [""; 0], "nothing has changed");
    world.advance_until("REGISTER", Duration::from_secs(400));
}

/// Digest with and without qop; a known nonce is used again, with a higher count.
#[test]
fn a_challenge_is_answered_and_the_nonce_used_again() {
    for (more, has_count) in [
        ("", false),
        (",qop=\"auth\"", true),
        (",algorithm=SHA-256", false),
    ] {
        let mut world = World::new();
        let first = register(&mut world, Some("secret"));
        assert!(first.header(&HeaderName::AUTHORIZATION).is_none());
        world.receive(&reply(
            &first,
            "401 Unauthorized",
            "r",
            &challenge("n1", more),
            "",
        ));
        let second = world.only("REGISTER");
        let answer = second.header(&HeaderName::AUTHORIZATION).unwrap();
        assert!(
            answer.contains("username=\"1002\"") && answer.contains("uri=\"sip:192.0.2.81:5060\"")
        );
        assert_eq!(answer.contains("nc=00000001"), has_count);
        assert_eq!(cseq(&second), 2);
        world.receive(&reply(&second, "200 OK", "r", LISTED, ""));
        let refresh = world.advance_until("REGISTER", Duration::from_secs(400));
        let answer = refresh.header(&HeaderName::AUTHORIZATION).unwrap();
        assert!(answer.contains("nonce=\"n1\""));
        assert_eq!(answer.contains("nc=00000002"), has_count);
        // The nonce has aged meanwhile: a new one, without and with `stale`.
        world.receive(&reply(
            &refresh,
            "401 Unauthorized",
            "r",
            &challenge("n2", more),
            "",
        ));
        let again = world.only("REGISTER");
        assert!(
            again
                .header(&HeaderName::AUTHORIZATION)
                .unwrap()
                .contains("nonce=\"n2\"")
        );
    }
}

/// A wrong password is tried once, a stale nonce once more; no loop, whatever the server does.
#[test]
fn challenges_without_end_are_given_up() {
    for (more, tries) in [("", 2), (",stale=true", 3)] {
        let mut world = World::new();
        let mut sent = register(&mut world, Some("wrong"));
        for nonce in 1..tries {
            let ask = challenge(&format!("n{nonce}"), more);
            world.receive(&reply(&sent, "401 Unauthorized", "r", &ask, ""));
            sent = world.only("REGISTER");
        }
        let ask = challenge("last", more);
        world.receive(&reply(&sent, "401 Unauthorized", "r", &ask, ""));
        assert_eq!(world.labels(), [""; 0]);
        let status = status(&mut world);
        assert_eq!(status.state, RegistrationState::Failed);
        assert!(
            status
                .reason
                .contains("does not accept the password of DN 1002"),
            "{}",
            status.reason
        );
        // The next try begins without the nonce that did not help.
        let next = world.advance_until("REGISTER", Duration::from_secs(10));
        assert!(next.header(&HeaderName::AUTHORIZATION).is_none());
    }
}

/// Without a password a challenge is a mistake of the configuration, and says so.
#[test]
fn a_challenge_without_a_password_says_what_to_do() {
    let mut world = World::new();
    let sent = register(&mut world, None);
    world.receive(&reply(
        &sent,
        "401 Unauthorized",
        "r",
        &challenge("n", ""),
        "",
    ));
    let status = status(&mut world);
    assert!(
        status.reason.contains("none is configured here"),
        "{}",
        status.reason
    );
    assert_eq!(status.sip_status.unwrap().as_u16(), 401);
}

/// 404 carries `Contact;expires=3600` all the same: the DN is not registered, and the reason is
/// kept in the administrator's words. The waits double up to their maximum.
#[test]
fn an_unknown_dn_is_tried_again_ever_more_seldom() {
    let mut world = World::new();
    let mut sent = register(&mut world, None);
    let mut waits_s = Vec::new();
    for _ in 0..8 {
        let lines = "Expires: 3600\nContact: <sip:1002@192.0.2.10:5060>;expires=3600\n";
        world.receive(&reply(&sent, "404 Not Found", "r", lines, ""));
        let failed_at = world.now - world.start;
        sent = world.advance_until("REGISTER", Duration::from_secs(300));
        waits_s.push((sent.at - failed_at).as_secs_f64());
    }
    for (wait_s, longest_s) in waits_s
        .iter()
        .zip([10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0])
    {
        assert!(
            (longest_s / 2.0..=longest_s).contains(wait_s),
            "{waits_s:?}"
        );
    }
    let status = world.ua.registration("1002", SiteId(0)).unwrap();
    assert_eq!(status.state, RegistrationState::Failed);
    assert_eq!(
        status.reason,
        "DN 1002 is not configured or disabled in SIP Server 192.0.2.81:5060 (404)"
    );
    // One success forgets the failures.
    world.receive(&reply(&sent, "200 OK", "r", LISTED, ""));
    assert_eq!(world.ua.registration("1002", SiteId(0)).unwrap().reason, "");
}

/// 503 with Retry-After is honoured, to a bound.
#[test]
fn retry_after_is_honoured() {
    for (value, least_s, most_s) in [("120", 120, 132), ("99999999", 3600, 3960), ("soon", 5, 10)] {
        let mut world = World::new();
        let sent = register(&mut world, None);
        let lines = format!("Retry-After: {value}\n");
        world.receive(&reply(&sent, "503 Service Unavailable", "r", &lines, ""));
        assert!(
            status(&mut world)
                .reason
                .contains("overloaded or shutting down")
        );
        let next = world.advance_until("REGISTER", Duration::from_secs(4000));
        let waited = next.at.as_secs();
        assert!((least_s..=most_s).contains(&waited), "{value}: {waited}");
    }
}

/// 423 names the shortest registration; asked for once.
#[test]
fn interval_too_brief_is_asked_for_longer() {
    let mut world = World::new();
    let sent = register(&mut world, None);
    world.receive(&reply(
        &sent,
        "423 Interval Too Brief",
        "r",
        "Min-Expires: 1800\n",
        "",
    ));
    let longer = world.only("REGISTER");
    assert_eq!(longer.header(&HeaderName::EXPIRES).unwrap(), "1800");
    world.receive(&reply(
        &longer,
        "423 Interval Too Brief",
        "r",
        "Min-Expires: 3600\n",
        "",
    ));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(status(&mut world).state, RegistrationState::Failed);
}

/// A silent server: the REGISTER is repeated like any request, then the DN waits and tries again.
#[test]
fn a_silent_server_is_asked_again() {
    let mut world = World::new();
    register(&mut world, None);
    world.advance_s(32);
    let repeated = world.sent();
    assert_eq!(repeated.len(), 10, "0.5, 1.5, 3.5, then every 4 s to 31.5");
    let status = status(&mut world);
    assert_eq!(status.sip_status, None);
    assert!(status.reason.contains("does not answer"));
    let next = world.advance_until("REGISTER", Duration::from_secs(10));
    assert_eq!(cseq(&next), 2);
}

/// Forged or odd expiries make no storm and no sleep.
#[test]
fn granted_expiries_are_clamped() {
    for (granted, earliest_s, latest_s) in [
        ("1", 5, 6),
        ("10", 5, 6),
        ("30", 17, 20),
        ("60", 34, 40),
        ("300", 170, 200),
        ("4294967296", 340, 400),
        ("x", 5, 10),
    ] {
        let mut world = World::new();
        let sent = register(&mut world, None);
        let lines = format!("Contact: <sip:1002@192.0.2.10:5060>;expires={granted}\n");
        world.receive(&reply(&sent, "200 OK", "r", &lines, ""));
        let next = world
            .advance_until("REGISTER", Duration::from_secs(500))
            .at
            .as_secs();
        assert!((earliest_s..=latest_s).contains(&next), "{granted}: {next}");
    }
}

/// Fail-over to the next server: a registration of its own; a late answer of the old one is stray.
#[test]
fn another_server_is_another_registration() {
    let mut world = World::new();
    let old = register(&mut world, None);
    let mut second = order("1002", None);
    second.server = "192.0.2.82:5060".parse().unwrap();
    second.domain = "192.0.2.82:5060".to_owned();
    world.act(|ua, now| ua.register(now, second));
    let new = world.advance_until("REGISTER", Duration::from_millis(100));
    assert_eq!(new.transmit.to.to_string(), "192.0.2.82:5060");
    assert_ne!(
        new.header(&HeaderName::CALL_ID),
        old.header(&HeaderName::CALL_ID)
    );
    world.events();
    world.receive(&reply(&old, "404 Not Found", "r", "", ""));
    assert_eq!(world.told(), ["Refused NoTransaction"]);
}

/// The same order again changes nothing.
#[test]
fn registering_twice_is_registering_once() {
    let mut world = World::new();
    registered(&mut world);
    world.act(|ua, now| ua.register(now, order("1002", None)));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), [""; 0]);
}

/// An address translated on the way is noted: calls may not arrive.
#[test]
fn a_translated_address_is_noted() {
    let mut world = World::new();
    let sent = register(&mut world, None);
    let answer = reply(&sent, "200 OK", "r", LISTED, "");
    let branch = sent
        .message
        .headers()
        .top_via()
        .unwrap()
        .branch
        .unwrap()
        .to_string();
    let translated = answer.replace(&branch, &format!("{branch};received=198.51.100.77"));
    world.receive(&translated);
    let status = status(&mut world);
    assert_eq!(status.state, RegistrationState::Registered);
    assert!(status.note.unwrap().contains("198.51.100.77"));
    let mut world = World::new();
    let sent = register(&mut world, None);
    world.receive(&answer_with_received(&sent, "192.0.2.10"));
    assert_eq!(self::status(&mut world).note, None);
}

fn answer_with_received(sent: &Sent, received: &str) -> String {
    let branch = sent
        .message
        .headers()
        .top_via()
        .unwrap()
        .branch
        .unwrap()
        .to_string();
    let answer = reply(sent, "200 OK", "r", LISTED, "");
    answer.replace(&branch, &format!("{branch};received={received}"))
}

/// Over TCP the Contact says so, nothing is repeated, and a lost connection is made good soon.
#[test]
fn a_stream_is_named_and_replaced() {
    let mut world = World::new();
    let mut by_tcp = order("1002", None);
    by_tcp.transport = Transport::Tcp;
    world.act(|ua, now| ua.register(now, by_tcp));
    let sent = world.only("REGISTER");
    assert_eq!(
        sent.header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060;transport=tcp>"
    );
    assert!(
        sent.header(&HeaderName::VIA)
            .unwrap()
            .starts_with("SIP/2.0/TCP ")
    );
    world.advance_s(20);
    assert_eq!(world.labels(), [""; 0]);
    let listed = LISTED.replace(":5060>", ":5060;transport=tcp>");
    world.receive_from(
        &tcp("192.0.2.81:5060", 3),
        &reply(&sent, "200 OK", "r", &listed, ""),
    );
    world.events();
    world.act(|ua, now| ua.connection_lost(now, ConnectionId(3), Transport::Tcp, server()));
    let again = world.advance_until("REGISTER", Duration::from_secs(10));
    assert_eq!(again.transmit.connection, None);
}

/// A start-up of 10,000 DNs: never more than the rate in any second, and all get their turn; the
/// refreshes are spread by chance as well.
#[test]
fn ten_thousand_dns_start_at_the_rate() {
    let mut config = config();
    config.registration.start_rate_per_s = 100;
    let mut world = World::with(config);
    for dn in 0..10_000 {
        world.act(|ua, now| ua.register(now, order(&format!("{dn}"), None)));
    }
    let mut starts: Vec<Duration> = Vec::new();
    while starts.len() < 10_000 {
        for sent in world.sent() {
            starts.push(sent.at);
            let dn = sent
                .request()
                .headers
                .to()
                .unwrap()
                .uri
                .user()
                .unwrap()
                .to_vec();
            let dn = String::from_utf8(dn).unwrap();
            let lists = format!("Contact: <sip:{dn}@192.0.2.10:5060>;expires=600\n");
            world.receive(&reply(&sent, "200 OK", "r", &lists, ""));
        }
        let next = world.ua.poll_timeout().unwrap();
        world.advance(next - world.now);
    }
    for window in starts.windows(101) {
        assert!(window[100] - window[0] >= Duration::from_secs(1));
    }
    // Those of 20 ms leave together, at the end of these.
    assert_eq!(starts[9_999], Duration::from_secs(100));
    assert_eq!(world.ua.counts().registrations, 10_000);
}

/// A DN that makes no address is refused at once.
#[test]
fn an_impossible_order_fails() {
    let mut world = World::new();
    let mut bad = order("1002", None);
    bad.domain = "not a host".to_owned();
    world.act(|ua, now| ua.register(now, bad));
    assert_eq!(world.told(), ["Registration Failed"]);
    assert_eq!(world.ua.registration("1002", SiteId(0)), None);
}

/// A success ends the doubling of the waits.
#[test]
fn a_success_forgets_the_failures() {
    let mut world = World::new();
    let mut sent = register(&mut world, None);
    for _ in 0..4 {
        world.receive(&reply(&sent, "404 Not Found", "r", "", ""));
        sent = world.advance_until("REGISTER", Duration::from_secs(300));
    }
    world.receive(&reply(&sent, "200 OK", "r", LISTED, ""));
    let refresh = world.advance_until("REGISTER", Duration::from_secs(400));
    world.receive(&reply(&refresh, "404 Not Found", "r", "", ""));
    world.advance_until("REGISTER", Duration::from_secs(10));
}
