//! What comes of an INVITE of ours after it was given up.
#![allow(clippy::unwrap_used)]

mod support;

use sip::HeaderName;
use support::{CALLEE, OFFER, OUR_SDP, World, dial, reply};

/// SIP Server hangs for half a minute, the agent is told that nobody answers, and then it goes on and rings the customer: for nobody, unless it
/// is told.
#[test]
fn a_late_ringing_is_cancelled() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    world.advance_s(32);
    assert_eq!(world.told(), ["Failed", "Terminated"]);
    world.labels();
    world.advance_s(20);
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    let cancel = world.only("CANCEL");
    assert_eq!(
        cancel.header(&HeaderName::VIA),
        invite.header(&HeaderName::VIA)
    );
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    assert_eq!(world.labels(), [""; 0], "once is enough");
    world.receive(&reply(&cancel, "200 OK", "t1", "", ""));
    world.receive(&reply(&invite, "487 Request Terminated", "t1", "", ""));
    world.only("ACK");
    assert_eq!(world.told(), [""; 0], "the call was over before");
    world.advance_s(64);
    assert!(world.ua.is_idle());
}

/// The same, and the customer answers at once: the 200 is acknowledged, and the call ended (RFC 3261 section 13.2.2.4).
#[test]
fn a_late_answer_is_ended_by_bye() {
    let mut world = World::new();
    let (_, invite) = dial(&mut world, Some(OUR_SDP));
    world.advance_s(32);
    world.labels();
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "BYE"]);
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    world.only("ACK");
    world.receive(&reply(&sent[1], "200 OK", "", "", ""));
    assert_eq!(world.told(), ["Failed", "Terminated"]);
    world.advance_s(64);
    assert!(world.ua.is_idle());
}

/// Every CANCEL was lost in an outage, and the customer's phone still rings when that is over: one more CANCEL leaves, and a late answer is
/// ended.
#[test]
fn a_ringing_that_outlives_its_cancel_is_cancelled_again() {
    let mut world = World::new();
    let (dialog, invite) = dial(&mut world, Some(OUR_SDP));
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    world.act(|ua, now| ua.cancel(now, dialog));
    world.advance_s(33);
    world.labels();
    world.receive(&reply(&invite, "180 Ringing", "t1", CALLEE, ""));
    world.only("CANCEL");
    world.receive(&reply(&invite, "200 OK", "t1", CALLEE, OFFER));
    let sent = world.sent();
    assert_eq!([sent[0].label(), sent[1].label()], ["ACK", "BYE"]);
}

/// What is waited for is bounded, in time and number: dials that nobody answers take no room from those that somebody does.
#[test]
fn unanswered_dials_are_not_waited_for_in_any_number() {
    let capacity = sip::ua::limits::Capacity {
        transactions: 40,
        ..sip::ua::limits::Capacity::default()
    };
    let mut world = World::new();
    world.ua = sip::ua::UserAgent::new(support::config(), [7; 32]).with_capacity(capacity);
    for _ in 0..20 {
        dial(&mut world, Some(OUR_SDP));
    }
    world.advance_s(32);
    assert_eq!(world.ua.counts().transactions, 5);
    world.advance_s(32);
    assert_eq!(world.ua.counts().transactions, 0);
    assert!(world.ua.is_idle());
}
