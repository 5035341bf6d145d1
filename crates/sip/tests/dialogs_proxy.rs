//! Calls by way of a proxy of several hosts under one name, which stays in the dialog: where our requests go when one of the hosts is gone.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::ua::{DialogId, Event, Outcome, RegisterDn, SiteHost, Source, Transport};
use sip::{HeaderName, Method, StatusCode};
use support::registering::{LISTED, challenge, order};
use support::{Call, OFFER, OUR_SDP, Sent, World, invite, reply, tcp, udp};

const FIRST: &str = "192.0.2.81:5060";
const SECOND: &str = "192.0.2.82:5060";
const NAME: &str = "<sip:proxy.example.com;lr>";

/// The hosts of the site, of which these do not answer as far as is known.
fn hosts(world: &mut World, transport: Transport, silent: &[&str]) {
    let host = |address: &str| SiteHost {
        transport,
        address: address.parse().unwrap(),
        answers: !silent.contains(&address),
    };
    let sites = vec![[FIRST, SECOND].map(host).to_vec()];
    world.act(|ua, _| ua.set_sites(sites));
}

/// A call that the first host has brought by this route, and that is up.
fn up(world: &mut World, source: Source, route: &str) -> DialogId {
    world.source = source;
    let silent = [];
    hosts(world, source.transport, &silent);
    let branch = world.branch();
    let from = "sip:1003@192.0.2.81:5060;tag=88170A6B-1";
    let text = invite(&format!("{branch}@x"), from, &branch, OFFER);
    world.receive(&text.replace("Contact:", &format!("Record-Route: {route}\nContact:")));
    let [Event::Invite { dialog, .. }] = world.events()[..] else {
        panic!("no call")
    };
    world.act(|ua, now| ua.answer(now, dialog, OUR_SDP.to_vec()));
    let tag = world.sent().pop().unwrap().to_tag();
    let via = source.transport.as_str();
    world.receive(&format!(
        "ACK sip:1002@192.0.2.10:5060 SIP/2.0\nFrom: {from}\n\
         To: sip:1002@192.0.2.81:5060;tag={tag}\nCall-ID: {branch}@x\nCSeq: 1 ACK\n\
         Via: SIP/2.0/{via} {FIRST};branch={branch}a\nContent-Length: 0\n\n"
    ));
    assert_eq!(world.told(), ["Ack"]);
    dialog
}

fn info(world: &mut World, dialog: DialogId) -> Sent {
    world.act(|ua, now| ua.request(now, dialog, Method::Info, &[], None));
    world.only("INFO")
}

/// The connection of the call is gone.
fn lost(world: &mut World, peer: &str) {
    let peer = peer.parse().unwrap();
    world.act(|ua, now| {
        ua.connection_lost(now, sip::ua::ConnectionId(1), Transport::Tcp, peer);
    });
}

fn to(sent: &Sent) -> String {
    sent.transmit.to.to_string()
}

/// The same request in a new transaction (RFC 3263 section 4.3).
fn assert_same_request(again: &Sent, first: &Sent) {
    let of = |sent: &Sent, name: &HeaderName| sent.header(name).unwrap();
    assert_eq!(of(again, &HeaderName::CSEQ), of(first, &HeaderName::CSEQ));
    assert_eq!(of(again, &HeaderName::ROUTE), of(first, &HeaderName::ROUTE));
    assert_ne!(of(again, &HeaderName::VIA), of(first, &HeaderName::VIA));
    assert_eq!(again.request().body, first.request().body);
}

/// The host that brought the call dies while the agent presses hold: the other one takes the hold, and everything after it.
#[test]
fn a_hold_that_one_host_does_not_take_goes_to_the_other() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let first = world.only("INVITE");
    assert_eq!(to(&first), FIRST);
    world.advance(Duration::from_millis(31_999));
    assert!(world.sent().iter().all(|sent| to(sent) == FIRST));
    world.advance_ms(1);
    let again = world.only("INVITE");
    assert_eq!(to(&again), SECOND);
    assert_same_request(&again, &first);
    assert_eq!(world.told(), [""; 0]);

    let contact = "Contact: <sip:1003@192.0.2.81:5060>\nRecord-Route: <sip:proxy.example.com;lr>\n";
    world.receive_from(&udp(SECOND), &reply(&again, "200 OK", "", contact, OFFER));
    assert_eq!(world.told(), ["ReinviteAnswered"]);
    assert_eq!(to(&world.only("ACK")), SECOND);
    world.act(|ua, now| ua.bye(now, dialog, None));
    let bye = world.only("BYE");
    assert_eq!(to(&bye), SECOND);
    world.receive_from(&udp(SECOND), &reply(&bye, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Terminated"]);
    world.assert_quiet();
}

/// Over TCP nobody waits: the host refuses the connection, and the other one has the BYE in the same moment. When that one refuses too, it is tried
/// again.
#[test]
fn a_host_that_refuses_the_connection_is_passed_over_at_once() {
    let mut world = World::new();
    let dialog = up(&mut world, tcp("192.0.2.81:40000", 1), NAME);
    lost(&mut world, "192.0.2.81:40000");
    world.act(|ua, now| ua.bye(now, dialog, None));
    let first = world.only("BYE");
    assert_eq!(to(&first), FIRST);
    world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, FIRST.parse().unwrap()));
    let again = world.only("BYE");
    assert_eq!(to(&again), SECOND);
    assert_same_request(&again, &first);
    assert_eq!(world.told(), [""; 0]);
    world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, SECOND.parse().unwrap()));
    assert_eq!(world.labels(), [""; 0], "nobody is left");
    // The last one is tried again until the time of a transaction is over.
    world.advance_s(4);
    let again = world.only("BYE");
    assert_eq!(to(&again), SECOND);
    world.receive_from(&tcp(SECOND, 2), &reply(&again, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Terminated"]);
}

/// The probes have found the host silent: nobody presses hold and waits half a minute for it. The answer may come by either.
#[test]
fn a_host_that_is_known_to_be_silent_is_not_asked() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    hosts(&mut world, Transport::Udp, &[FIRST]);
    let sent = info(&mut world, dialog);
    assert_eq!(to(&sent), SECOND);
    world.receive_from(&udp(SECOND), &reply(&sent, "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Response"]);
    // With nobody left that answers, the one that was heard is as good as any.
    hosts(&mut world, Transport::Udp, &[FIRST, SECOND]);
    assert_eq!(to(&info(&mut world, dialog)), FIRST);
}

/// A host that serves nobody (503) is passed over; the word of the last one counts.
#[test]
fn the_next_host_is_asked_when_one_serves_nobody() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    let first = info(&mut world, dialog);
    world.receive(&reply(&first, "503 Service Unavailable", "", "", ""));
    let again = world.only("INFO");
    assert_eq!(to(&again), SECOND);
    assert_same_request(&again, &first);
    assert_eq!(world.told(), [""; 0]);
    let refusal = reply(&again, "503 Service Unavailable", "", "", "");
    world.receive_from(&udp(SECOND), &refusal);
    assert_eq!(world.labels(), [""; 0]);
    let events = world.events();
    let [
        Event::Outcome {
            outcome: Outcome::Response { response, .. },
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Who has said 100 has taken the request: it is not given to a second host, where it might be done twice.
#[test]
fn a_request_that_was_taken_is_not_given_to_another_host() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    let sent = info(&mut world, dialog);
    world.receive(&reply(&sent, "100 Trying", "", "", ""));
    world.advance_s(33);
    assert!(world.sent().iter().all(|sent| to(sent) == FIRST));
    assert_eq!(world.told(), ["RequestFailed"]);
}

/// An address has no other: a proxy that records its own has to be there itself.
#[test]
fn an_address_has_no_other_host() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), "<sip:192.0.2.81;lr>");
    hosts(&mut world, Transport::Udp, &[FIRST]);
    info(&mut world, dialog);
    world.advance_s(33);
    assert!(world.sent().iter().all(|sent| to(sent) == FIRST));
    assert_eq!(world.told(), ["RequestFailed"]);
}

/// DNS has withdrawn the dead host from the name: who is listed now takes the calls that it had.
#[test]
fn a_host_that_is_no_longer_listed_is_not_asked() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    let second = SiteHost {
        transport: Transport::Udp,
        address: SECOND.parse().unwrap(),
        answers: true,
    };
    let listed = [second.address.ip()];
    world.act(|ua, now| ua.set_allowed(now, &listed));
    world.act(|ua, _| ua.set_sites(vec![vec![second]]));
    world.events();
    let bye = |world: &mut World| {
        world.act(|ua, now| ua.bye(now, dialog, None));
        world.only("BYE")
    };
    let bye = bye(&mut world);
    assert_eq!(to(&bye), SECOND);
}

/// One host serves nobody for the moment, and the other says nothing at all: what was said counts, and the call goes on at the host that lives.
#[test]
fn silence_of_the_last_host_does_not_end_a_call_that_another_refused_to_hold() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let first = world.only("INVITE");
    world.receive(&reply(&first, "503 Service Unavailable", "", "", ""));
    let sent = world.sent();
    assert_eq!(to(sent.last().unwrap()), SECOND);
    world.advance_s(33);
    assert!(
        world.labels().iter().all(|label| label == "INVITE"),
        "no BYE"
    );
    let events = world.events();
    assert!(
        matches!(
            events.as_slice(),
            [Event::Outcome {
                outcome: Outcome::ReinviteFailed {
                    status: Some(StatusCode::SERVICE_UNAVAILABLE),
                    ..
                },
                ..
            }]
        ),
        "{events:?}"
    );
    assert_eq!(to(&info(&mut world, dialog)), FIRST);
}

/// One host takes no connection, the other one takes the hold and says nothing, or the other way round: SIP Server may hold the caller, so nobody
/// is told that the hold never left.
#[test]
fn a_hold_that_one_of_two_hosts_may_have_read_is_not_taken_for_one_that_never_left() {
    for reads in [FIRST, SECOND] {
        let mut world = World::new();
        let dialog = up(&mut world, tcp("192.0.2.81:40000", 1), NAME);
        lost(&mut world, "192.0.2.81:40000");
        world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
        let refuses = if reads == FIRST { SECOND } else { FIRST };
        for _ in 0..80 {
            world.act(|ua, now| ua.transmit_failed(now, Transport::Tcp, refuses.parse().unwrap()));
            world.advance_s(1);
        }
        let events = world.events();
        assert!(
            matches!(
                events.as_slice(),
                [
                    Event::Outcome {
                        outcome: Outcome::ReinviteFailed { status: None },
                        ..
                    },
                    ..
                ]
            ),
            "{reads} reads: {events:?}"
        );
    }
}

/// She asked for a transfer, thought better of it and hung up: no other host is asked to transfer the caller.
#[test]
fn what_was_asked_before_hanging_up_is_asked_of_nobody_else() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    let refer_to = [(HeaderName::REFER_TO, b"<sip:1005@192.0.2.81>".to_vec())];
    world.act(|ua, now| ua.request(now, dialog, Method::Refer, &refer_to, None));
    world.only("REFER");
    world.advance_s(5);
    world.act(|ua, now| ua.bye(now, dialog, None));
    world.advance_s(40);
    let sent = world.sent();
    let second: Vec<String> = sent
        .iter()
        .filter(|sent| to(sent) == SECOND)
        .map(Sent::label)
        .collect();
    assert!(second.contains(&"BYE".to_owned()), "{second:?}");
    assert!(!second.contains(&"REFER".to_owned()), "{second:?}");
}

/// The last call of a host that is no SIP Server any more has moved to another one: it is not heard until that call is over.
#[test]
fn a_former_host_is_forgotten_when_its_last_call_has_moved() {
    let mut world = World::new();
    let dialog = up(&mut world, udp(FIRST), NAME);
    // Its INVITE is long forgotten.
    world.advance_s(60);
    let second: std::net::SocketAddr = SECOND.parse().unwrap();
    world.act(|ua, now| ua.set_allowed(now, &[second.ip()]));
    world.events();
    let sent = info(&mut world, dialog);
    world.receive(&reply(&sent, "503 Service Unavailable", "", "", ""));
    let again = world.only("INFO");
    world.receive_from(&udp(SECOND), &reply(&again, "200 OK", "", "", ""));
    world.events();
    world.advance_s(90);
    let events = world.events();
    assert!(
        matches!(events.as_slice(), [Event::Peers { hosts }] if *hosts == [second.ip()]),
        "{events:?}"
    );
}

/// The host that is asked in another one's place wants a password first, and then serves nobody: the one that refused before is not asked again.
#[test]
fn a_challenge_on_the_way_does_not_forget_who_was_asked() {
    let mut world = World::new();
    let second = RegisterDn {
        server: SECOND.parse().unwrap(),
        ..order("1002", Some("secret"))
    };
    world.act(|ua, now| ua.register(now, second));
    let plain = world.only("REGISTER");
    let ask = reply(&plain, "401 Unauthorized", "r", &challenge("n1", ""), "");
    world.receive_from(&udp(SECOND), &ask);
    let register = world.only("REGISTER");
    world.receive_from(&udp(SECOND), &reply(&register, "200 OK", "r", LISTED, ""));
    world.events();

    let dialog = up(&mut world, udp(FIRST), NAME);
    let first = info(&mut world, dialog);
    world.receive(&reply(&first, "503 Service Unavailable", "", "", ""));
    let plain = world.only("INFO");
    let ask = reply(&plain, "401 Unauthorized", "", &challenge("n2", ""), "");
    world.receive_from(&udp(SECOND), &ask);
    let again = world.only("INFO");
    assert_eq!(to(&again), SECOND);
    let refusal = reply(&again, "503 Service Unavailable", "", "", "");
    world.receive_from(&udp(SECOND), &refusal);
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Response"]);
}

/// The same request as the next host brings it.
fn by_second(text: &str) -> String {
    let via = |host: &str, branch: &str| format!("{host};branch={branch}");
    text.replace(&via(FIRST, ""), &via(SECOND, "z9hG4bK-next-"))
}

fn assert_answered_by_second(answer: &Sent) {
    assert_eq!(to(answer), SECOND);
    let via = answer.header(&HeaderName::VIA).unwrap();
    assert!(via.contains("branch=z9hG4bK-next-"), "{via}");
}

/// A host of the proxy dies with our answers, and SIP Server gives the same requests to the next one: an announcement is not heard twice, the call
/// does not end in a 500, and what was answered is said where somebody hears it.
#[test]
fn what_the_next_host_brings_again_is_done_once() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let talk = call.talk(&mut world);
    let events = world.events();
    let [Event::Request { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    // Before it is answered, and after.
    world.receive_from(&udp(SECOND), &by_second(&talk));
    assert_eq!(world.labels(), [""; 0]);
    let transaction = *transaction;
    world.act(|ua, now| ua.respond(now, transaction, StatusCode::OK, &[], None));
    assert_answered_by_second(&world.only("200 NOTIFY"));
    world.receive(&talk);
    assert_eq!(to(&world.only("200 NOTIFY")), FIRST);
    world.receive_from(&udp(SECOND), &by_second(&talk));
    assert_answered_by_second(&world.only("200 NOTIFY"));

    let bye = call.request(&mut world, "BYE", "", "");
    assert_eq!(to(&world.only("200 BYE")), FIRST);
    assert_eq!(world.told(), ["Bye", "Terminated"]);
    world.receive_from(&udp(SECOND), &by_second(&bye));
    assert_answered_by_second(&world.only("200 BYE"));
    assert_eq!(world.told(), [""; 0]);
    world.assert_quiet();
}

/// A hold by re-INVITE: the 200 goes where the INVITE came from last, and is repeated there until its ACK.
#[test]
fn a_reinvite_of_the_next_host_has_its_answer_there() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let text = call.request(&mut world, "INVITE", "", OFFER);
    let events = world.events();
    let [Event::Reinvite { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let body = Some(("application/sdp", OUR_SDP.to_vec()));
    world.act(|ua, now| ua.respond(now, *transaction, StatusCode::OK, &[], body));
    assert_eq!(to(&world.only("200 INVITE")), FIRST);
    world.receive_from(&udp(SECOND), &by_second(&text));
    assert_answered_by_second(&world.only("200 INVITE"));
    world.advance(Duration::from_millis(1_500));
    let repeated = world.sent();
    assert!(!repeated.is_empty());
    repeated.iter().for_each(assert_answered_by_second);
    assert_eq!(world.told(), [""; 0]);
    let ack = call.request_text(&mut world, call.cseq, "ACK", "", "");
    world.receive_from(&udp(SECOND), &by_second(&ack));
    assert_eq!(world.told(), ["Ack"]);
    // The dialog goes on there.
    world.act(|ua, now| ua.bye(now, call.dialog, None));
    assert_eq!(world.labels(), ["BYE"]);
}
