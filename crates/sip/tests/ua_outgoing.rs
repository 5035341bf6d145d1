//! Calls of ours: answer, refusal, cancellation, forks, and challenges.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::digest::Credentials;
use sip::ua::{Event, Outcome, OutgoingInvite, RegisterDn, SiteHost, Transport};
use sip::{HeaderName, StatusCode};
use support::{
    CALLEE, OFFER, OUR_SDP, STRANGER, World, dial, instants_ms, outgoing, reply, server, udp,
};

/// An agent dials: ringing and answer are told, the ACK goes to the Contact of the answer.
#[test]
fn a_call_is_answered() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, Some(OUR_SDP));
    assert_eq!(invite.request().uri.to_string(), "sip:2000@192.0.2.81");
    assert!(
        invite
            .header(&HeaderName::FROM)
            .unwrap()
            .starts_with("<sip:1002@192.0.2.81>;tag=")
    );
    assert_eq!(
        invite.header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060>"
    );
    assert_eq!(
        invite.header(&HeaderName::ALLOW_EVENTS).unwrap(),
        "talk, hold"
    );
    assert_eq!(invite.header(&HeaderName::other("X-Trace")).unwrap(), "7");
    world.receive(&reply(&invite, "100 Trying", "", "", ""));
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    let events = world.events();
    let [
        Event::Outcome {
            outcome:
                Outcome::Progress {
                    status: StatusCode::RINGING,
                    ..
                },
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    let route = "Contact: <sip:2000@192.0.2.81:5062>\n";
    world.receive(&reply(&invite, "200 OK", "t1", route, OFFER));
    let ack = world.only("ACK");
    assert_eq!(ack.request().uri.to_string(), "sip:2000@192.0.2.81:5062");
    assert_eq!(ack.transmit.to.to_string(), "192.0.2.81:5062");
    assert_eq!(ack.header(&HeaderName::CSEQ).unwrap(), "1 ACK");
    let events = world.events();
    assert!(
        matches!(
            events.as_slice(),
            [Event::Outcome {
                outcome: Outcome::Answered { sdp: Some(_), .. },
                ..
            }]
        ),
        "{events:?}"
    );
    world.receive(&reply(&invite, "200 OK", "t1", route, OFFER));
    assert_eq!(
        world.only("ACK").text(),
        ack.text(),
        "a repeated 200 gets the same ACK"
    );
    assert_eq!(world.told(), [""; 0]);
    world.act(|ua, now| ua.bye(now, dialog, None));
    let bye = world.only("BYE");
    assert_eq!(bye.header(&HeaderName::CSEQ).unwrap(), "2 BYE");
    world.receive(&reply(&bye, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Terminated"]);
    world.assert_quiet();
}

/// An offerless call: the 200 has the offer, our ACK the answer.
#[test]
fn an_offerless_call_is_acknowledged_by_the_application() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, None);
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Answered"]);
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    assert_eq!(
        world.labels(),
        [""; 0],
        "nothing to repeat yet, and no fork"
    );
    world.act(|ua, now| ua.ack_with(now, dialog, OUR_SDP.to_vec()));
    assert_eq!(world.only("ACK").message.body(), OUR_SDP);
}

/// Busy: the ACK has the branch of the INVITE, and is repeated with the response.
#[test]
fn a_refused_call_is_acknowledged_and_told() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    let busy = reply(
        &invite,
        "486 Busy Here",
        "t1",
        "Reason: Q.850;cause=17\n",
        "",
    );
    world.receive(&busy);
    let ack = world.only("ACK");
    assert_eq!(
        ack.header(&HeaderName::VIA),
        invite.header(&HeaderName::VIA)
    );
    assert_eq!(ack.request().uri, invite.request().uri);
    assert_eq!(ack.to_tag(), "t1");
    let events = world.events();
    let [
        Event::Outcome {
            outcome:
                Outcome::Failed {
                    status: Some(status),
                    reason: Some(reason),
                    ..
                },
            ..
        },
        Event::Terminated { .. },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((*status, reason.cause), (StatusCode::BUSY_HERE, Some(17)));
    world.receive(&busy);
    assert_eq!(world.only("ACK").text(), ack.text());
    assert_eq!(world.told(), [""; 0]);
    world.assert_quiet();
}

/// A silent server: INVITE at 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s, failure at 32 s.
#[test]
fn an_unanswered_call_fails_after_64_t1() {
    let mut world = World::new();
    world.act(|ua, now| ua.invite(now, outgoing(Some(OUR_SDP))));
    world.advance(Duration::from_millis(31_999));
    let sent = world.sent();
    assert_eq!(
        instants_ms(&sent, Duration::ZERO),
        [0, 500, 1500, 3500, 7500, 15500, 31500]
    );
    assert_eq!(world.told(), [""; 0]);
    world.advance_ms(1);
    let events = world.events();
    assert!(matches!(
        events.as_slice(),
        [
            Event::Outcome {
                outcome: Outcome::Failed { status: None, .. },
                ..
            },
            Event::Terminated { .. }
        ]
    ));
    world.assert_quiet();
}

/// CANCEL waits for a provisional response (RFC 3261 section 9.1).
#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, Some(OUR_SDP));
    world.act(|ua, now| ua.cancel(now, dialog));
    assert_eq!(world.labels(), [""; 0]);
    world.receive(&reply(&invite, "100 Trying", "", "", ""));
    let cancel = world.only("CANCEL");
    assert_eq!(
        cancel.header(&HeaderName::VIA),
        invite.header(&HeaderName::VIA)
    );
    assert_eq!(cancel.header(&HeaderName::CSEQ).unwrap(), "1 CANCEL");
    world.receive(&reply(&cancel, "200 OK", "t1", "", ""));
    world.receive(&reply(&invite, "487 Request Terminated", "t1", "", ""));
    world.only("ACK");
    assert_eq!(world.told(), ["Failed", "Terminated"]);
    world.assert_quiet();
}

/// A 200 that crosses our CANCEL is acknowledged and ended.
#[test]
fn an_answer_that_crosses_cancel_is_ended_by_bye() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    world.act(|ua, now| ua.cancel(now, dialog));
    world.only("CANCEL");
    world.events();
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "BYE"]);
    assert_eq!(world.told(), [""; 0]);
    world.receive(&reply(&sent[1], "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Terminated"]);
    world.assert_quiet();
}

/// A peer that answers CANCEL but never the INVITE: 64*T1 later the call is over.
#[test]
fn a_cancelled_call_without_a_final_response_ends() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    world.act(|ua, now| ua.cancel(now, dialog));
    let cancel = world.only("CANCEL");
    world.receive(&reply(&cancel, "200 OK", "", "", ""));
    world.events();
    world.advance_s(32);
    assert_eq!(world.told(), ["Failed", "Terminated"]);
    world.assert_quiet();
}

/// Two answers: the second one is acknowledged and ended, the first one talks.
#[test]
fn a_forked_answer_is_ended() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    world.only("ACK");
    world.receive(&reply(
        &invite,
        "200 OK",
        "t2",
        "Contact: <sip:b@192.0.2.82>\n",
        OFFER,
    ));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "BYE"]);
    for fork in &sent {
        assert_eq!(fork.to_tag(), "t2");
        assert_eq!(fork.request().uri.to_string(), "sip:b@192.0.2.82");
    }
    assert_eq!(world.told(), ["Answered"]);
    world.receive(&reply(&sent[1], "200 OK", "", "", ""));
    assert_eq!(world.told(), [""; 0], "the fork has no handle");
    assert_eq!(world.ua.counts().dialogs, 1);
}

/// Responses of strangers, of other branches and after the end change nothing.
#[test]
fn stray_and_spoofed_responses_are_dropped() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    let ok = reply(&invite, "200 OK", "t1", CALLEE, OFFER);
    world.receive_from(&udp(STRANGER), &ok);
    assert_eq!(world.told(), ["Refused ResponseSource"]);
    world.receive(&ok.replace("branch=z9hG4bK", "branch=z9hG4bKx"));
    assert_eq!(world.told(), ["Refused NoTransaction"]);
    world.receive(&ok.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"));
    assert_eq!(world.told(), ["Refused NoTransaction"]);
    assert_eq!(world.labels(), [""; 0]);
    world.receive(&ok);
    assert_eq!(world.told(), ["Answered"]);
}

fn registered(world: &mut World, password: &str) {
    let order = RegisterDn {
        dn: "1002".to_owned(),
        site: sip::ua::SiteId::default(),
        server: server(),
        transport: Transport::Udp,
        domain: "192.0.2.81".to_owned(),
        credentials: Some(Credentials::new("1002", password)),
    };
    world.act(|ua, now| ua.register(now, order));
    let register = world.only("REGISTER");
    world.receive(&reply(
        &register,
        "401 Unauthorized",
        "r",
        &challenge("genesys", "n0", ""),
        "",
    ));
    let register = world.only("REGISTER");
    let lists = "Contact: <sip:1002@192.0.2.10:5060>;expires=600\n";
    world.receive(&reply(&register, "200 OK", "r", lists, ""));
    world.events();
}

fn challenge(realm: &str, nonce: &str, more: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"{realm}\",nonce=\"{nonce}\",algorithm=MD5{more}\n")
}

/// SIP Server may challenge INVITE as it challenged REGISTER: the same realm is answered, once.
#[test]
fn our_own_server_is_answered_in_the_realm_of_its_registrar() {
    let mut world = World::new();
    registered(&mut world, "secret");
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reply(
        &invite,
        "401 Unauthorized",
        "t",
        &challenge("genesys", "n1", ""),
        "",
    ));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "INVITE"]);
    let again = &sent[1];
    assert!(
        again
            .header(&HeaderName::AUTHORIZATION)
            .unwrap()
            .contains("nonce=\"n1\"")
    );
    assert_eq!(again.header(&HeaderName::CSEQ).unwrap(), "2 INVITE");
    assert_eq!(
        again.header(&HeaderName::CALL_ID),
        invite.header(&HeaderName::CALL_ID)
    );
    world.receive(&reply(again, "200 OK", "t1", CALLEE, OFFER));
    assert!(
        world
            .only("ACK")
            .header(&HeaderName::AUTHORIZATION)
            .is_some()
    );
    assert_eq!(world.told(), ["Answered"]);
}

/// The DN is registered at the first host, which has no time for a call; the other one of the pair challenges it as the first would have. A host of another site
/// gets nothing.
#[test]
fn the_other_host_of_the_site_is_answered_too() {
    for (sites, answered) in [
        (&[&["192.0.2.81:5060", "192.0.2.82:5060"][..]][..], true),
        (&[&["192.0.2.81:5060"], &["192.0.2.82:5060"]], false),
    ] {
        let mut world = World::new();
        registered(&mut world, "secret");
        let host = |address: &&str| SiteHost {
            transport: Transport::Udp,
            address: address.parse().unwrap(),
            answers: true,
        };
        let sites = sites
            .iter()
            .map(|site| site.iter().map(host).collect())
            .collect();
        world.act(|ua, _| ua.set_sites(sites));
        let order = OutgoingInvite {
            to: "192.0.2.82:5060".parse().unwrap(),
            ..outgoing(Some(OUR_SDP))
        };
        world.act(|ua, now| ua.invite(now, order));
        let invite = world.only("INVITE");
        let ask = challenge("genesys", "n1", "");
        let text = reply(&invite, "401 Unauthorized", "t", &ask, "");
        world.receive_from(&udp("192.0.2.82:5060"), &text);
        let again = world.sent().pop().unwrap();
        assert_eq!(again.label() == "INVITE", answered, "{}", again.label());
        let digest = again.header(&HeaderName::AUTHORIZATION);
        assert_eq!(digest.is_some(), answered);
    }
}

/// A server with a new nonce in each challenge is given up after one answer, and one more when it
/// says stale.
#[test]
fn endless_challenges_are_given_up() {
    for (more, answers) in [("", 1), (",stale=true", 2)] {
        let mut world = World::new();
        registered(&mut world, "secret");
        let (_, mut invite) = dial(&mut world, Some(OUR_SDP));
        for nonce in 0..answers {
            let ask = challenge("genesys", &format!("x{nonce}"), more);
            world.receive(&reply(&invite, "401 Unauthorized", "t", &ask, ""));
            invite = world.sent().pop().unwrap();
            assert_eq!(invite.label(), "INVITE");
        }
        let ask = challenge("genesys", "last", more);
        world.receive(&reply(&invite, "401 Unauthorized", "t", &ask, ""));
        world.only("ACK");
        assert_eq!(world.told(), ["Refused Challenge", "Failed", "Terminated"]);
    }
}

/// Whoever asks for a digest in another realm, or was never asked by its registrar, gets none.
#[test]
fn no_digest_leaves_for_other_realms() {
    for realm in ["Genesys", "other"] {
        let mut world = World::new();
        registered(&mut world, "secret");
        let (_, invite) = dial(&mut world, Some(OUR_SDP));
        let ask = challenge(realm, "n1", "");
        world.receive(&reply(
            &invite,
            "407 Proxy Authentication Required",
            "t",
            &ask,
            "",
        ));
        world.only("ACK");
        assert_eq!(world.told(), ["Refused Challenge", "Failed", "Terminated"]);
    }
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reply(
        &invite,
        "401 Unauthorized",
        "t",
        &challenge("genesys", "n", ""),
        "",
    ));
    world.only("ACK");
    assert_eq!(world.told(), ["Refused Challenge", "Failed", "Terminated"]);
}

/// The published digest leak: a caller that is no registrar of ours challenges our BYE.
#[test]
fn no_digest_leaves_for_another_peer_that_challenges_our_bye() {
    let mut world = World::new();
    registered(&mut world, "secret");
    world.source = udp("192.0.2.82:5060");
    let call = support::Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.bye(now, dialog, None));
    let bye = world.only("BYE");
    let ask = "Proxy-Authenticate: Digest realm=\"genesys\",nonce=\"4XC2\",algorithm=MD5\n";
    world.receive(&reply(
        &bye,
        "407 Proxy Authentication Required",
        "",
        ask,
        "",
    ));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Refused Challenge", "Terminated"]);
    world.assert_quiet();
}

/// A full user agent refuses at once instead of hanging; here it has no address to call from.
#[test]
fn a_call_that_cannot_start_fails_at_once() {
    let mut config = support::config();
    config.listen.clear();
    let mut world = World::with(config);
    world.act(|ua, now| ua.invite(now, outgoing(None)));
    assert_eq!(world.told(), ["Failed", "Terminated"]);
}

/// A peer that answers with ever new tags makes us hold and send only so much.
#[test]
fn forks_are_bounded() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    for tag in 0..50 {
        world.receive(&reply(
            &invite,
            "180 Ringing",
            &format!("early{tag}"),
            CALLEE,
            "",
        ));
    }
    for tag in 0..50 {
        world.receive(&reply(&invite, "200 OK", &format!("t{tag}"), CALLEE, OFFER));
    }
    let acks = world
        .labels()
        .iter()
        .filter(|label| *label == "ACK")
        .count();
    assert_eq!(acks, sip::ua::limits::FORKS_MAX);
    assert_eq!(world.ua.counts().dialogs, sip::ua::limits::FORKS_MAX);
    // The first answer is the call, and it is found by its tag in spite of the flood.
    let headers = invite.message.headers();
    world.events();
    world.receive(&format!(
        "BYE sip:1002@192.0.2.10 SIP/2.0\nFrom: sip:2000@192.0.2.81;tag=t0\nTo: {}\n\
         Call-ID: {}\nCSeq: 1 BYE\nVia: SIP/2.0/UDP 192.0.2.81;branch=z9hG4bKb\n\
         Content-Length: 0\n\n",
        invite.header(&HeaderName::FROM).unwrap(),
        headers.call_id().unwrap(),
    ));
    world.only("200 BYE");
    assert_eq!(world.told(), ["Bye", "Terminated"]);
}

/// A world whose configuration names the realm, as REGISTER is not challenged there.
fn with_realm() -> (World, OutgoingInvite) {
    let mut config = support::config();
    config.realm = Some("genesys".to_owned());
    let call = OutgoingInvite {
        credentials: Some(Credentials::new("1002", "secret")),
        ..outgoing(Some(OUR_SDP))
    };
    (World::with(config), call)
}

/// A SIP Server that challenges calls and not registrations: the realm of the configuration is answered.
#[test]
fn the_configured_realm_is_answered() {
    let (mut world, call) = with_realm();
    world.act(|ua, now| ua.invite(now, call));
    let invite = world.only("INVITE");
    let ask = challenge("genesys", "n1", "");
    world.receive(&reply(&invite, "401 Unauthorized", "t", &ask, ""));
    let again = world.sent().pop().unwrap();
    let answer = again.header(&HeaderName::AUTHORIZATION).unwrap();
    assert!(answer.contains("nonce=\"n1\""), "{answer}");
    let ask = challenge("genesys", "n2", "");
    world.receive(&reply(&again, "401 Unauthorized", "t", &ask, ""));
    world.only("ACK");
    assert_eq!(world.told(), ["Refused Challenge", "Failed", "Terminated"]);
}

/// The configured realm opens no door: other realms, other servers and calls of theirs get no digest.
#[test]
fn the_configured_realm_is_answered_to_the_called_server_only() {
    let (mut world, call) = with_realm();
    world.act(|ua, now| ua.invite(now, call.clone()));
    let invite = world.only("INVITE");
    let ask = challenge("Genesys", "n1", "");
    world.receive(&reply(&invite, "401 Unauthorized", "t", &ask, ""));
    world.only("ACK");
    assert_eq!(world.told(), ["Refused Challenge", "Failed", "Terminated"]);

    // The call goes on at another server of the list, which is not the one that was called.
    let (mut world, call) = with_realm();
    let dialog = world.act(|ua, now| ua.invite(now, call));
    let invite = world.only("INVITE");
    let elsewhere = "Contact: <sip:2000@192.0.2.82:5060>\n";
    world.receive(&reply(&invite, "200 OK", "t1", elsewhere, OFFER));
    world.sent();
    world.events();
    world.act(|ua, now| ua.bye(now, dialog, None));
    let bye = world.only("BYE");
    world.source = udp("192.0.2.82:5060");
    let ask = challenge("genesys", "n1", "");
    world.receive(&reply(&bye, "401 Unauthorized", "", &ask, ""));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Refused Challenge", "Terminated"]);

    let mut config = support::config();
    config.realm = Some("genesys".to_owned());
    let mut world = World::with(config);
    let call = support::Call::up(&mut world);
    world.act(|ua, now| ua.bye(now, call.dialog, None));
    let bye = world.only("BYE");
    world.receive(&reply(&bye, "401 Unauthorized", "", &ask, ""));
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Refused Challenge", "Terminated"]);
}

/// The branch that rang has counted its requests to 7; another one answers without having rung, and counts from 1.
#[test]
fn the_branch_that_answers_counts_for_itself() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    let ask = |world: &mut World, tag: &str, number: u32| {
        let branch = world.branch();
        let of = |name: &HeaderName| invite.header(name).unwrap();
        world.receive(&format!(
            "INFO sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {};tag={tag}\nTo: {}\nCall-ID: {}\nCSeq: {number} INFO\n\
             Via: SIP/2.0/UDP 192.0.2.81:5060;branch={branch}\nMax-Forwards: 70\nContent-Length: 0\n\n",
            of(&HeaderName::TO),
            of(&HeaderName::FROM),
            of(&HeaderName::CALL_ID),
        ));
        world.told()
    };
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    assert_eq!(world.told(), ["Progress"]);
    assert_eq!(ask(&mut world, "t1", 7), ["Request"]);
    assert_eq!(ask(&mut world, "t1", 6), ["Refused Sequence"]);
    world.receive(&reply(&invite, "200 OK", "t2", CALLEE, OFFER));
    assert_eq!(world.told(), ["Answered"]);
    assert_eq!(ask(&mut world, "t2", 1), ["Request"]);
    assert_eq!(ask(&mut world, "t2", 0), ["Refused Sequence"]);
}
