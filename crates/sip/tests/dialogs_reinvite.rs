//! Changes of a session: SIP Server's re-INVITEs and UPDATEs, ours, and both at once.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sip::ua::{Event, Outcome, TransactionId};
use sip::{HeaderName, StatusCode};
use support::{Call, OFFER, OUR_SDP, Sent, World, reply};

const SDP: &str = "application/sdp";

fn reinvite_told(world: &mut World) -> TransactionId {
    let events = world.events();
    let [Event::Reinvite { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    *transaction
}

fn ok_with_sdp(world: &mut World, transaction: TransactionId) -> Sent {
    world.act(|ua, now| {
        ua.respond(
            now,
            transaction,
            StatusCode::OK,
            &[],
            Some((SDP, OUR_SDP.to_vec())),
        );
    });
    world.only("200 INVITE")
}

/// 12 ms after the ACK SIP Server sends an offerless re-INVITE; our 200 has the offer, its ACK the
/// answer.
#[test]
fn an_offerless_reinvite_brings_its_answer_in_the_ack() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    world.advance_ms(12);
    call.request(
        &mut world,
        "INVITE",
        "Session-Expires: 1800;refresher=uac\nSupported: timer\n",
        "",
    );
    let transaction = reinvite_told(&mut world);
    let ok = ok_with_sdp(&mut world, transaction);
    assert_eq!(
        ok.header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060>"
    );
    assert_eq!(
        ok.header(&HeaderName::SESSION_EXPIRES).unwrap(),
        "1800;refresher=uac"
    );
    call.ack(&mut world, 2, OFFER);
    let events = world.events();
    assert!(
        matches!(events.as_slice(), [Event::Ack { sdp: Some(_), .. }]),
        "{events:?}"
    );
}

/// A re-INVITE that comes again before the application has answered gets 100.
#[test]
fn a_repeated_reinvite_is_told_once() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let text = call.request(&mut world, "INVITE", "", OFFER);
    let transaction = reinvite_told(&mut world);
    world.receive(&text);
    world.only("100 INVITE");
    let ok = ok_with_sdp(&mut world, transaction);
    world.advance_ms(500);
    assert_eq!(world.only("200 INVITE").text(), ok.text());
    assert_eq!(world.told(), [""; 0]);
}

/// Two re-INVITEs at once: the second gets 500 with Retry-After (RFC 3261 section 14.2).
#[test]
fn a_reinvite_over_an_unanswered_one_gets_500() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    call.request(&mut world, "INVITE", "", OFFER);
    let first = reinvite_told(&mut world);
    call.request(&mut world, "INVITE", "", OFFER);
    let refused = world.only("500 INVITE");
    let wait: u32 = refused
        .header(&HeaderName::RETRY_AFTER)
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait <= 10);
    assert_eq!(world.told(), ["Refused Glare"]);
    ok_with_sdp(&mut world, first);
    // Before the first final response to the call it is the same.
    let mut world = World::new();
    let mut call = Call::ringing(&mut world, OFFER);
    call.request(&mut world, "INVITE", "", OFFER);
    assert!(
        world
            .only("500 INVITE")
            .header(&HeaderName::RETRY_AFTER)
            .is_some()
    );
}

/// Several re-INVITEs within milliseconds, each answered before the next: all are taken, even when
/// an ACK is late.
#[test]
fn reinvites_in_a_row_are_taken_with_a_late_ack() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    for _ in 0..3 {
        call.request(&mut world, "INVITE", "", OFFER);
        let transaction = reinvite_told(&mut world);
        ok_with_sdp(&mut world, transaction);
        world.advance_ms(3);
    }
    for cseq in 2..=4 {
        call.ack(&mut world, cseq, "");
    }
    assert_eq!(world.told(), ["Ack", "Ack", "Ack"]);
    world.advance_s(40);
    assert_eq!(world.labels(), [""; 0]);
}

/// While our offer in a 200 waits for its answer, another re-INVITE gets 491.
#[test]
fn a_reinvite_over_our_open_offer_gets_491() {
    let mut world = World::new();
    let mut call = Call::answered(&mut world, "");
    call.request(&mut world, "INVITE", "", OFFER);
    world.only("491 INVITE");
    assert_eq!(world.told(), ["Refused Glare"]);
}

/// Their re-INVITE crosses ours: 491 from both; we do not own the Call-ID and come back within 2 s.
#[test]
fn glare_is_refused_and_ours_is_tried_again() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let ours = world.only("INVITE");
    assert_eq!(
        ours.header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060>"
    );
    call.request(&mut world, "INVITE", "", OFFER);
    world.only("491 INVITE");
    assert_eq!(world.told(), ["Refused Glare"]);
    let refused_at = world.now;
    world.receive(&reply(&ours, "491 Request Pending", "", "", ""));
    world.only("ACK");
    let again = world.advance_until("INVITE", Duration::from_secs(2));
    assert!(again.at - (refused_at - world.start) <= Duration::from_secs(2));
    assert_eq!(again.message.body(), OUR_SDP);
    assert_ne!(
        again.header(&HeaderName::CSEQ),
        ours.header(&HeaderName::CSEQ)
    );
    world.receive(&reply(
        &again,
        "200 OK",
        "",
        "Contact: <sip:1003@192.0.2.81:5060>\n",
        OFFER,
    ));
    world.only("ACK");
    let events = world.events();
    assert!(matches!(
        events.as_slice(),
        [Event::Outcome {
            outcome: Outcome::ReinviteAnswered { sdp: Some(_), .. },
            ..
        }]
    ));
}

/// 491 for ever: the application is told after five more tries.
#[test]
fn endless_491_is_given_up() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let mut invite = world.only("INVITE");
    for _ in 0..5 {
        world.receive(&reply(&invite, "491 Request Pending", "", "", ""));
        world.only("ACK");
        invite = world.advance_until("INVITE", Duration::from_secs(2));
    }
    world.receive(&reply(&invite, "491 Request Pending", "", "", ""));
    world.only("ACK");
    let events = world.events();
    let [
        Event::Outcome {
            outcome: Outcome::ReinviteFailed { status, .. },
            ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(*status, Some(StatusCode::REQUEST_PENDING));
}

/// An offer made before the peer changed the session is not sent: its version would be old.
#[test]
fn an_offer_that_waited_over_a_change_is_given_back() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let ours = world.only("INVITE");
    world.receive(&reply(&ours, "491 Request Pending", "", "", ""));
    world.only("ACK");
    call.request(&mut world, "INVITE", "", OFFER);
    let transaction = reinvite_told(&mut world);
    ok_with_sdp(&mut world, transaction);
    call.ack(&mut world, 2, "");
    world.advance_s(3);
    assert_eq!(world.labels(), [""; 0]);
    assert_eq!(world.told(), ["Ack", "ReinviteFailed"]);
}

/// Hold pressed while the ACK is withheld: our re-INVITE waits for it.
#[test]
fn our_reinvite_waits_for_the_ack_of_our_200() {
    let mut world = World::new();
    let call = Call::answered(&mut world, "");
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    world.advance_s(10);
    assert!(world.labels().iter().all(|label| label == "200 INVITE"));
    call.ack(&mut world, 1, OFFER);
    world.only("INVITE");
    assert_eq!(world.told(), ["Ack"]);
}

/// The ACK of the answer was lost, and the peer has gone on since: a hold of the agent does not wait for what never comes again.
#[test]
fn a_later_ack_stands_for_the_one_that_was_lost() {
    let mut world = World::new();
    let mut call = Call::answered(&mut world, OFFER);
    let (dialog, offer) = (call.dialog, OUR_SDP.to_vec());
    call.request(&mut world, "INVITE", "", OFFER);
    let transaction = reinvite_told(&mut world);
    ok_with_sdp(&mut world, transaction);
    world.act(|ua, now| ua.reinvite(now, dialog, Some(offer)));
    assert_eq!(world.labels(), [""; 0], "no 200 is acknowledged yet");
    world.events();
    call.ack(&mut world, 2, "");
    let acks = world.events();
    let acks = acks
        .iter()
        .filter(|event| matches!(event, Event::Ack { .. }));
    assert_eq!(acks.count(), 2, "the one that was lost is told as well");
    world.only("INVITE");
    world.advance_s(33);
    assert!(
        !world.labels().contains(&"200 INVITE".to_owned()),
        "no 200 is repeated any longer"
    );
}

/// Two of our own run one after the other.
#[test]
fn our_reinvites_queue() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| {
        ua.reinvite(now, dialog, Some(OUR_SDP.to_vec()));
        ua.reinvite(now, dialog, None);
    });
    let first = world.only("INVITE");
    world.receive(&reply(&first, "200 OK", "", "", OFFER));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "INVITE"]);
    assert!(sent[1].message.body().is_empty());
    world.receive(&reply(&sent[1], "200 OK", "", "", OFFER));
    assert_eq!(world.labels(), [""; 0], "the answer is the application's");
    assert_eq!(world.told(), ["ReinviteAnswered", "ReinviteAnswered"]);
    world.receive(&reply(&sent[1], "200 OK", "", "", OFFER));
    assert_eq!(world.labels(), [""; 0]);
    world.act(|ua, now| ua.ack_with(now, dialog, OUR_SDP.to_vec()));
    let ack = world.only("ACK");
    assert_eq!(ack.message.body(), OUR_SDP);
    assert_eq!(ack.header(&HeaderName::CSEQ).unwrap(), "2 ACK");
    world.receive(&reply(&sent[1], "200 OK", "", "", OFFER));
    assert_eq!(
        world.only("ACK").text(),
        ack.text(),
        "a repeated 200 gets the same ACK"
    );
    assert_eq!(world.told(), [""; 0]);
}

/// A re-INVITE the peer refuses leaves the call as it was; 481 ends it.
#[test]
fn a_refused_reinvite_ends_the_call_only_when_the_peer_has_forgotten_it() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    let invite = world.only("INVITE");
    world.receive(&reply(&invite, "488 Not Acceptable Here", "", "", ""));
    assert_eq!(world.told(), ["ReinviteFailed"]);
    world.sent();
    world.act(|ua, now| ua.reinvite(now, dialog, None));
    let invite = world.only("INVITE");
    world.receive(&reply(
        &invite,
        "481 Call/Transaction Does Not Exist",
        "",
        "",
        "",
    ));
    assert_eq!(world.told(), ["ReinviteFailed"]);
    // The peer may know the dialog all the same: BYE makes sure, when there was time for one of the peer's own.
    assert_eq!(world.labels(), ["ACK"]);
    let bye = world.advance_until("BYE", Duration::from_secs(2));
    world.receive(&reply(
        &bye,
        "481 Call/Transaction Does Not Exist",
        "",
        "",
        "",
    ));
    assert_eq!(world.told(), ["Terminated"]);
}

/// UPDATE is answered with and without an offer, and collides like a re-INVITE.
#[test]
fn update_changes_the_session_and_collides_with_open_offers() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    call.request(&mut world, "UPDATE", "", "");
    let events = world.events();
    let [Event::Update { transaction, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    let transaction = *transaction;
    world.act(|ua, now| ua.respond(now, transaction, StatusCode::OK, &[], None));
    let ok = world.only("200 UPDATE");
    assert_eq!(
        ok.header(&HeaderName::CONTACT).unwrap(),
        "<sip:1002@192.0.2.10:5060>"
    );

    call.request(&mut world, "UPDATE", "", OFFER);
    assert_eq!(world.told(), ["Update"]);
    call.request(&mut world, "UPDATE", "", OFFER);
    assert!(
        world
            .only("500 UPDATE")
            .header(&HeaderName::RETRY_AFTER)
            .is_some()
    );

    let mut world = World::new();
    let mut call = Call::answered(&mut world, "");
    call.request(&mut world, "UPDATE", "", OFFER);
    world.only("491 UPDATE");
}

/// A new Contact in a re-INVITE is where our next request goes; a stranger's address is not.
#[test]
fn the_remote_target_moves_but_not_to_strangers() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    for (contact, to) in [
        ("sip:1003@192.0.2.82:5070", "192.0.2.82:5070"),
        ("sip:1003@203.0.113.66:5060", "192.0.2.81:5060"),
        ("sip:1003@siphost.example:5060", "192.0.2.81:5060"),
    ] {
        call.cseq += 1;
        let text = call.request_text(&mut world, call.cseq, "UPDATE", "", "");
        world.receive(&text.replace("sip:1003@192.0.2.81:5060>", &format!("{contact}>")));
        let dialog = call.dialog;
        world.events();
        world.act(|ua, now| ua.request(now, dialog, sip::Method::Info, &[], None));
        let info = world.only("INFO");
        assert_eq!(info.request().uri.to_string(), contact);
        assert_eq!(info.transmit.to.to_string(), to);
    }
}

/// A re-INVITE cancelled before the application answered it.
#[test]
fn a_cancelled_reinvite_leaves_the_call_up() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let text = call.request(&mut world, "INVITE", "", OFFER);
    let transaction = reinvite_told(&mut world);
    world.receive(
        &text
            .replace("INVITE sip:", "CANCEL sip:")
            .replace("2 INVITE", "2 CANCEL"),
    );
    assert_eq!(world.labels(), ["200 CANCEL", "487 INVITE"]);
    assert_eq!(world.told(), ["ReinviteCancelled"]);
    world.act(|ua, now| ua.respond(now, transaction, StatusCode::OK, &[], None));
    assert_eq!(world.labels(), [""; 0], "too late to answer");
    assert_eq!(world.ua.counts().dialogs, 1);
}

/// The back-off ends while the peer's own re-INVITE still waits for its ACK: ours waits on, asleep.
#[test]
fn a_back_off_that_ends_too_early_waits_without_spinning() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, None));
    let ours = world.only("INVITE");
    world.receive(&reply(&ours, "491 Request Pending", "", "", ""));
    call.request(&mut world, "INVITE", "", OFFER);
    let transaction = reinvite_told(&mut world);
    world.sent();
    ok_with_sdp(&mut world, transaction);
    world.advance_s(5);
    assert!(world.labels().iter().all(|label| label == "200 INVITE"));
    call.ack(&mut world, 2, "");
    world.only("INVITE");
}

/// Our own UPDATE with an offer collides with theirs until it is answered.
#[test]
fn an_update_over_our_open_update_gets_491() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    let body = Some((SDP, OUR_SDP.to_vec()));
    world.act(|ua, now| ua.request(now, dialog, sip::Method::Update, &[], body));
    let ours = world.only("UPDATE");
    call.request(&mut world, "UPDATE", "", OFFER);
    world.only("491 UPDATE");
    world.receive(&reply(&ours, "491 Request Pending", "", "", ""));
    assert_eq!(world.told(), ["Refused Glare", "Response"]);
    call.request(&mut world, "UPDATE", "", OFFER);
    assert_eq!(world.told(), ["Update"]);
}

/// While the application owes the answer to their offer, nobody starts another change.
#[test]
fn an_owed_answer_blocks_further_changes() {
    let mut world = World::new();
    let mut call = Call::up(&mut world);
    let dialog = call.dialog;
    world.act(|ua, now| ua.reinvite(now, dialog, None));
    let first = world.only("INVITE");
    world.receive(&reply(&first, "200 OK", "", "", OFFER));
    world.act(|ua, now| ua.reinvite(now, dialog, Some(OUR_SDP.to_vec())));
    assert_eq!(world.labels(), [""; 0]);
    call.request(&mut world, "INVITE", "", OFFER);
    world.only("491 INVITE");
    world.act(|ua, now| ua.ack_with(now, dialog, OUR_SDP.to_vec()));
    assert_eq!(world.labels(), ["ACK", "INVITE"]);
}

/// SIP Server goes down after the 100 to our hold: the call is ended, not kept in a hold that never comes. A server that is
/// only slow says so every minute.
#[test]
fn a_reinvite_that_is_only_ever_under_way_is_given_up() {
    let mut world = World::new();
    let call = Call::up(&mut world);
    world.act(|ua, now| ua.reinvite(now, call.dialog, Some(OUR_SDP.to_vec())));
    let invite = world.only("INVITE");
    world.receive(&reply(&invite, "183 Session Progress", "", "", ""));
    world.advance_ms(80_000);
    world.receive(&reply(&invite, "183 Session Progress", "", "", ""));
    world.advance_ms(89_000);
    assert_eq!(world.told(), [""; 0]);
    world.advance_ms(2_000);
    let sent = world.sent();
    assert!(sent.iter().all(|sent| sent.label() == "BYE") && !sent.is_empty());
    assert_eq!(world.told(), ["ReinviteFailed"]);
}
