//! A DN that is given back to SIP Server, or is not: who signs out ends no binding but her own.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::HeaderName;
use sip::ua::{RegistrationFault, RegistrationState, SiteId};
use support::registering::{LISTED, challenge, order, register, registered, status};
use support::{Sent, World, reply};

/// The registrar can tell a late copy of the farewell from what came after it (RFC 3261 section 10.3, step 7).
fn goes_on_counting(farewell: &Sent, after: &Sent) {
    assert_eq!(
        after.header(&HeaderName::CALL_ID),
        farewell.header(&HeaderName::CALL_ID)
    );
    assert_eq!(farewell.header(&HeaderName::CSEQ).unwrap(), "2 REGISTER");
    assert_eq!(after.header(&HeaderName::CSEQ).unwrap(), "3 REGISTER");
}

/// The 200 lists somebody else: the DN is not ours, and we must not remove their binding.
#[test]
fn a_dn_taken_over_is_never_given_back() {
    let mut world = World::new();
    let sent = register(&mut world, None);
    let theirs = "Contact: <sip:1002@198.51.100.3:5060>;expires=600\n";
    world.receive(&reply(&sent, "200 OK", "r", theirs, ""));
    let status = status(&mut world);
    assert_eq!(status.state, RegistrationState::Failed);
    assert!(status.reason.contains("198.51.100.3"), "{}", status.reason);
    world.act(|ua, now| ua.unregister(now, "1002"));
    assert_eq!(
        world.labels(),
        [""; 0],
        "Expires: 0 would remove the newer binding"
    );
    assert_eq!(world.told(), ["Registration Unregistered"]);
    assert_eq!(world.ua.counts().registrations, 0);
}

/// What stands between us and SIP Server spells our Contact in its own way: nobody has taken the DN over.
#[test]
fn a_contact_of_ours_that_is_spelt_otherwise_is_ours() {
    for ours in [
        "sip:1002@192.0.2.10",
        "sip:1002@192.0.2.10:5060;TRANSPORT=UDP",
        "sip:%31002@192.0.2.10:5060",
    ] {
        let mut world = World::new();
        let sent = register(&mut world, None);
        let listed = format!("Contact: <{ours}>;expires=\"600\"\n");
        world.receive(&reply(&sent, "200 OK", "r", &listed, ""));
        let status = status(&mut world);
        assert_eq!(status.state, RegistrationState::Registered, "{ours}");
        assert_eq!(status.expires_s, Some(600), "{ours}");
    }
    for theirs in [
        "sip:1002@192.0.2.10:5080",
        "sip:1003@192.0.2.10",
        "sip:1002@192.0.2.11",
    ] {
        let mut world = World::new();
        let sent = register(&mut world, None);
        let listed = format!("Contact: <{theirs}>;expires=600\n");
        world.receive(&reply(&sent, "200 OK", "r", &listed, ""));
        assert_eq!(
            status(&mut world).fault,
            Some(RegistrationFault::TakenOver),
            "{theirs}"
        );
    }
}

/// A 200 that lists nobody at all is no registration, and nobody else has the DN either.
#[test]
fn a_registration_that_is_accepted_and_not_kept_is_said_so() {
    let mut world = World::new();
    let sent = register(&mut world, None);
    world.receive(&reply(&sent, "200 OK", "r", "", ""));
    let status = status(&mut world);
    assert_eq!(status.fault, Some(RegistrationFault::Refused));
    assert!(status.reason.contains("not kept"), "{}", status.reason);
}

/// Sign-out gives the DN back, and answers a challenge to do so.
#[test]
fn a_dn_is_given_back() {
    let mut world = World::new();
    let first = register(&mut world, Some("secret"));
    world.receive(&reply(&first, "200 OK", "r", LISTED, ""));
    world.events();
    world.act(|ua, now| ua.unregister(now, "1002"));
    let farewell = world.only("REGISTER");
    assert_eq!(farewell.header(&HeaderName::EXPIRES).unwrap(), "0");
    assert_eq!(
        farewell.header(&HeaderName::CALL_ID),
        first.header(&HeaderName::CALL_ID)
    );
    world.receive(&reply(
        &farewell,
        "401 Unauthorized",
        "r",
        &challenge("n", ""),
        "",
    ));
    let farewell = world.only("REGISTER");
    assert_eq!(farewell.header(&HeaderName::EXPIRES).unwrap(), "0");
    assert!(farewell.header(&HeaderName::AUTHORIZATION).is_some());
    let gone = "Expires: 0\nContact: <sip:1002@192.0.2.10:5060>;expires=0\n";
    world.receive(&reply(&farewell, "200 OK", "r", gone, ""));
    assert_eq!(world.told(), ["Registration Unregistered"]);
    assert_eq!(world.ua.registration("1002", SiteId(0)), None);
    world.advance_s(1000);
    assert_eq!(world.labels(), [""; 0]);
}

/// Sign-out while the REGISTER is on its way: its answer decides.
#[test]
fn giving_back_waits_for_the_answer() {
    let mut world = World::new();
    let sent = register(&mut world, None);
    world.act(|ua, now| ua.unregister(now, "1002"));
    assert_eq!(world.labels(), [""; 0], "one REGISTER at a time");
    world.receive(&reply(&sent, "200 OK", "r", LISTED, ""));
    assert_eq!(
        world.only("REGISTER").header(&HeaderName::EXPIRES).unwrap(),
        "0"
    );

    let mut world = World::new();
    let sent = register(&mut world, None);
    world.act(|ua, now| ua.unregister(now, "1002"));
    world.receive(&reply(&sent, "404 Not Found", "r", "", ""));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Registration Unregistered"]);
}

/// Sign-out before the first REGISTER was even challenged: nothing of ours is there, and whoever else has the DN keeps it.
#[test]
fn signing_out_before_the_challenge_leaves_the_binding_of_another_alone() {
    let mut world = World::new();
    let sent = register(&mut world, Some("secret"));
    world.act(|ua, now| ua.unregister(now, "1002"));
    let ask = challenge("n1", "");
    world.receive(&reply(&sent, "401 Unauthorized", "r", &ask, ""));
    assert_eq!(world.labels(), [""; 0], "no Expires: 0");
    assert_eq!(world.told(), ["Registration Unregistered"]);

    // A refresh that is challenged at sign-out has something to give back.
    let mut world = World::new();
    let sent = register(&mut world, Some("secret"));
    world.receive(&reply(&sent, "200 OK", "r", LISTED, ""));
    let refresh = world.advance_until("REGISTER", Duration::from_secs(400));
    world.act(|ua, now| ua.unregister(now, "1002"));
    world.receive(&reply(&refresh, "401 Unauthorized", "r", &ask, ""));
    let farewell = world.only("REGISTER");
    assert_eq!(farewell.header(&HeaderName::EXPIRES).unwrap(), "0");
}

/// Behind a proxy whose one host keeps the farewell back: the agent who has signed in again by the other one stays registered when it is delivered, since
/// the registrar can tell which is the later word.
#[test]
fn a_farewell_that_a_slow_host_delivers_late_is_known_to_be_old() {
    let mut world = World::new();
    registered(&mut world);
    world.act(|ua, now| ua.unregister(now, "1002"));
    let farewell = world.only("REGISTER");
    let mut by_another = order("1002", None);
    by_another.server = "192.0.2.82:5060".parse().unwrap();
    world.act(|ua, now| ua.register(now, by_another.clone()));
    world.advance_ms(20);
    let again = world.only("REGISTER");
    assert_eq!(again.transmit.to, by_another.server);
    goes_on_counting(&farewell, &again);

    // Another domain is another registrar, which has never heard of that.
    by_another.domain = "192.0.2.82".to_owned();
    world.act(|ua, now| ua.register(now, by_another));
    world.advance_ms(20);
    let elsewhere = world.only("REGISTER");
    assert_eq!(elsewhere.header(&HeaderName::CSEQ).unwrap(), "1 REGISTER");
}

/// A DN goes to the other SIP Server of a list, which refuses it, and is back at the first one while its farewell is on its way there: that comes late, and is known to
/// be old.
#[test]
fn a_farewell_that_a_dn_overtakes_by_another_server_is_known_to_be_old() {
    let mut world = World::new();
    registered(&mut world);
    world.act(|ua, now| ua.unregister(now, "1002"));
    let farewell = world.only("REGISTER");
    let mut at_the_other = order("1002", None);
    at_the_other.server = "192.0.2.82:5060".parse().unwrap();
    at_the_other.domain = "192.0.2.82".to_owned();
    world.act(|ua, now| ua.register(now, at_the_other));
    world.advance_ms(20);
    let refused = world.only("REGISTER");
    world.receive(&reply(&refused, "503 Service Unavailable", "r", "", ""));
    world.act(|ua, now| ua.register(now, order("1002", None)));
    world.advance_ms(20);
    let back = world.only("REGISTER");
    goes_on_counting(&farewell, &back);
}

/// A binding that has run out is not ours to remove.
#[test]
fn an_expired_binding_is_not_given_back() {
    let mut world = World::new();
    registered(&mut world);
    world.advance_s(601);
    world.sent();
    world.events();
    world.act(|ua, now| ua.unregister(now, "1002"));
    assert!(world.labels().is_empty());
}

/// Another node takes the DN: we forget it without a word.
#[test]
fn an_abandoned_dn_is_silent() {
    let mut world = World::new();
    registered(&mut world);
    world.act(|ua, _| ua.abandon("1002", SiteId(0)));
    world.advance_s(3600);
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.ua.counts().registrations, 0);
}

/// The page comes back while its farewell is on its way: the answer is awaited, since a REGISTER
/// that an `Expires: 0` overtakes would leave the DN without a binding.
#[test]
fn a_dn_that_is_wanted_again_waits_for_its_farewell() {
    let mut world = World::new();
    let first = registered(&mut world);
    world.act(|ua, now| ua.unregister(now, "1002"));
    let farewell = world.only("REGISTER");
    world.act(|ua, now| ua.register(now, order("1002", None)));
    assert_eq!(world.labels(), [""; 0]);
    let gone = "Expires: 0\nContact: <sip:1002@192.0.2.10:5060>;expires=0\n";
    world.receive(&reply(&farewell, "200 OK", "r", gone, ""));
    world.advance_ms(20);
    let again = world.only("REGISTER");
    assert_eq!(again.header(&HeaderName::EXPIRES).unwrap(), "600");
    assert_eq!(
        again.header(&HeaderName::CALL_ID),
        first.header(&HeaderName::CALL_ID)
    );
    world.receive(&reply(&again, "200 OK", "r", LISTED, ""));
    assert_eq!(
        world.told(),
        ["Registration Registering", "Registration Registered"]
    );
}

/// Signed out and in again: the registrar can tell a late copy of the farewell from what came after it (RFC 3261 section 10.3, step 7).
#[test]
fn the_next_registration_goes_on_counting_where_the_last_one_ended() {
    let mut world = World::new();
    registered(&mut world);
    world.act(|ua, now| ua.unregister(now, "1002"));
    let farewell = world.only("REGISTER");
    let gone = "Expires: 0\nContact: <sip:1002@192.0.2.10:5060>;expires=0\n";
    world.receive(&reply(&farewell, "200 OK", "r", gone, ""));
    assert_eq!(world.ua.registration("1002", SiteId(0)), None);
    world.advance_s(60);
    world.act(|ua, now| ua.register(now, order("1002", None)));
    world.advance_ms(20);
    let again = world.only("REGISTER");
    goes_on_counting(&farewell, &again);
}

/// Abandoning ends the repetitions of a REGISTER on its way.
#[test]
fn abandoning_ends_repetitions() {
    let mut world = World::new();
    register(&mut world, None);
    world.act(|ua, _| ua.abandon("1002", SiteId(0)));
    world.advance_s(40);
    assert_eq!(world.labels(), [""; 0]);
    world.assert_quiet();
}

/// Somebody takes the DN over between two refreshes: what the last 200 lists counts, not the first.
#[test]
fn a_dn_taken_over_later_is_not_given_back_either() {
    let mut world = World::new();
    registered(&mut world);
    let refresh = world.advance_until("REGISTER", Duration::from_secs(400));
    let theirs = "Contact: <sip:1002@198.51.100.3:5060>;expires=600\n";
    world.receive(&reply(&refresh, "200 OK", "r", theirs, ""));
    assert_eq!(world.told(), ["Registration Failed"]);
    world.act(|ua, now| ua.unregister(now, "1002"));
    assert_eq!(world.labels(), [""; 0]);
}
