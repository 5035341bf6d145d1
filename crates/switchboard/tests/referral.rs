//! REFER from SIP Server: the endpoint is asked to call somebody.

mod common;

use std::time::Duration;

use common::{ANSWER, Dialog, World, config, site, text};
use control::{CallDirection, CallState, PageMessage};
use sip::{HeaderName, Request};
use switchboard::ReferPolicy;

fn header(request: &Request, name: &HeaderName) -> String {
    text(request.headers.get(name))
}

/// The news that SIP Server has got in this dialog: status line and subscription state. Each is answered with `status`.
fn news(world: &mut World, dialog: &Dialog, status: &str) -> Vec<(String, String)> {
    let mut told = vec![];
    // Answering one lets the next one go.
    loop {
        let notifies: Vec<Request> = world
            .requests("NOTIFY")
            .into_iter()
            .filter(|it| header(it, &HeaderName::CALL_ID) == dialog.call_id)
            .collect();
        let Some(notify) = notifies.get(told.len()) else {
            return told;
        };
        let line = String::from_utf8_lossy(&notify.body).trim().to_owned();
        assert!(header(notify, &HeaderName::EVENT).starts_with("refer"));
        assert_eq!(
            header(notify, &HeaderName::CONTENT_TYPE),
            "message/sipfrag;version=2.0"
        );
        told.push((line, header(notify, &HeaderName::SUBSCRIPTION_STATE)));
        world.respond(notify, status, None);
    }
}

fn lines(told: &[(String, String)]) -> Vec<&str> {
    told.iter().map(|(line, _)| line.as_str()).collect()
}

/// The agent dials on the desktop of a DN with `refer-enabled`: the endpoint calls, and SIP Server hears all of it.
#[test]
fn the_desktop_dials_by_refer() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
    assert_eq!(world.statuses(&dialog, 1, "REFER"), [202]);
    let accepted = world.responses(&dialog, 1, "REFER")[0];
    assert!(text(accepted.headers.get(&HeaderName::CONTACT)).contains("sip:1002@192.0.2.10"));
    let sent: Vec<&str> = world.sent.iter().map(|sent| &sent.text[..7]).collect();
    assert_eq!(&sent[sent.len() - 3..], ["SIP/2.0", "NOTIFY ", "INVITE "]);
    let invite = world.requests("INVITE").pop().unwrap();
    assert_eq!(invite.uri.to_string(), "sip:5550100@192.0.2.81");
    assert_eq!(
        lines(&news(&mut world, &dialog, "200 OK")),
        ["SIP/2.0 100 Trying"]
    );
    let call = world.call(page);
    assert_eq!(
        (call.direction, call.remote.number.as_str()),
        (CallDirection::Outbound, "5550100")
    );
    world.respond(&invite, "180 Ringing", None);
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
    let told = news(&mut world, &dialog, "200 OK");
    assert_eq!(
        lines(&told),
        [
            "SIP/2.0 100 Trying",
            "SIP/2.0 180 Ringing",
            "SIP/2.0 200 OK"
        ]
    );
    assert_eq!(told[0].1, "active;expires=360");
    assert_eq!(told[2].1, "terminated;reason=noresource");
    world.say(page, PageMessage::Hangup { call: call.id });
    let bye = world.requests("BYE").pop().unwrap();
    world.respond(&bye, "200 OK", None);
    world.assert_quiet();
}

/// The number is busy: SIP Server reads 486, and the agent why.
#[test]
fn a_busy_number_is_told() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "486 Busy Here", None);
    let told = news(&mut world, &dialog, "200 OK");
    assert_eq!(
        lines(&told),
        ["SIP/2.0 100 Trying", "SIP/2.0 486 Busy Here"]
    );
    assert_eq!(world.call(page).end.unwrap().sip_status, Some(486));
    world.assert_quiet();
}

/// The agent gives up while it rings: SIP Server reads 487.
#[test]
fn a_call_given_up_is_told() {
    let (mut world, page) = World::with_agent("1002");
    let dialog = world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "180 Ringing", None);
    let call = world.call(page).id;
    world.say(page, PageMessage::Hangup { call });
    world.respond(&invite, "487 Request Terminated", None);
    let told = news(&mut world, &dialog, "200 OK");
    assert_eq!(told.last().unwrap().0, "SIP/2.0 487 Request Terminated");
    let cancel = world.requests("CANCEL").pop().unwrap();
    world.respond(&cancel, "200 OK", None);
    world.assert_quiet();
}

/// News is told one at a time, so that no network puts it into another order, and of what piles up only the newest.
#[test]
fn news_waits_for_the_news_before() {
    let (mut world, _) = World::with_agent("1002");
    let dialog = world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
    let invite = world.requests("INVITE").pop().unwrap();
    world.respond(&invite, "180 Ringing", None);
    world.respond(&invite, "183 Session Progress", Some(ANSWER));
    assert_eq!(world.requests("NOTIFY").len(), 1);
    world.respond(&invite, "200 OK", Some(ANSWER));
    let told = news(&mut world, &dialog, "200 OK");
    assert_eq!(lines(&told), ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]);
}

/// SIP Server does not want the news it asked for: the call goes on, and nothing is left of the subscription.
#[test]
fn a_referrer_who_is_gone_costs_no_call() {
    for refusal in [Some("481 Subscription Does Not Exist"), None] {
        let (mut world, page) = World::with_agent("1002");
        let dialog = world.refer("1002", "Refer-To: <sip:5550100@192.0.2.81>\r\n");
        let invite = world.requests("INVITE").pop().unwrap();
        match refusal {
            Some(status) => {
                news(&mut world, &dialog, "200 OK");
                world.respond(&invite, "180 Ringing", None);
                let notify = world.requests("NOTIFY").pop().unwrap();
                world.respond(&notify, status, None);
            }
            None => {
                world.respond(&invite, "180 Ringing", None);
                world.advance(Duration::from_secs(33));
            }
        }
        world.respond(&invite, "200 OK", Some(ANSWER));
        assert_eq!(world.call(page).state, CallState::Talking);
        assert!(
            world.requests("BYE").is_empty(),
            "a subscription has no BYE"
        );
        let call = world.call(page).id;
        world.say(page, PageMessage::Hangup { call });
        let bye = world.requests("BYE").pop().unwrap();
        world.respond(&bye, "200 OK", None);
        world.assert_quiet();
    }
}

/// A call that must not be seen anywhere else: whatever host the REFER names, the INVITE goes to SIP Server and to the number alone.
#[test]
fn a_foreign_host_gets_nothing() {
    let (mut world, _) = World::with_agent("1002");
    let dialog = world.refer(
        "1002",
        "Refer-To: <sip:5550100:secret@203.0.113.66:5070;maddr=203.0.113.66?Route=%3Csip:203.0.113.66%3E&Call-Info=x>\r\n",
    );
    assert_eq!(world.statuses(&dialog, 1, "REFER"), [202]);
    let invite = world.requests("INVITE").pop().unwrap();
    assert_eq!(invite.uri.to_string(), "sip:5550100@192.0.2.81");
    assert!(!invite.headers.contains(&HeaderName::ROUTE));
    assert!(!invite.headers.contains(&HeaderName::other("Call-Info")));
    let to = |sent: &common::Sent| sent.to == common::SIP_SERVER.parse().unwrap();
    assert!(world.sent.iter().all(to));
}

/// A site that uses neither kind of REFER wants none of them to make an agent's telephone dial.
#[test]
fn a_site_may_refuse_to_call_by_refer() {
    for (policy, outside, within) in [
        (ReferPolicy::All, 202, 202),
        (ReferPolicy::WithinCalls, 603, 202),
        (ReferPolicy::None, 603, 603),
    ] {
        let refer_to = "Refer-To: <sip:5550100@192.0.2.81>\r\n";
        let with_policy = || {
            let mut config = config(&["1002"]);
            config.policy.refer = policy;
            let mut world = World::with_config(config);
            world.sign_in("1002", None);
            world
        };
        let mut world = with_policy();
        let dialog = world.refer("1002", refer_to);
        assert_eq!(world.statuses(&dialog, 1, "REFER"), [outside], "{policy:?}");
        assert_eq!(world.requests("INVITE").len(), usize::from(outside == 202));

        let mut world = with_policy();
        let mut dialog = world.talking("1002");
        world.in_dialog(&mut dialog, "REFER", refer_to, None);
        assert_eq!(
            world.statuses(&dialog, dialog.cseq, "REFER"),
            [within],
            "{policy:?}"
        );
        let called = |invite: &&Request| invite.uri.to_string().contains("5550100");
        let called = world.requests("INVITE").iter().filter(called).count();
        assert_eq!(called, usize::from(within == 202));
    }
}

/// What cannot be obeyed is refused with its reason.
#[test]
fn what_cannot_be_obeyed_is_refused() {
    let cases = [
        ("", 400),
        (
            "Refer-To: <sip:1@192.0.2.81>\r\nRefer-To: <sip:2@192.0.2.81>\r\n",
            400,
        ),
        ("Refer-To: nonsense\r\n", 400),
        ("Refer-To: <sip:192.0.2.81>\r\n", 400),
        ("Refer-To: <sip:1%0D%0AX@192.0.2.81>\r\n", 400),
        ("Refer-To: <http://192.0.2.81/>\r\n", 416),
        ("Refer-To: <sip:1@192.0.2.81;method=BYE>\r\n", 603),
        ("Refer-To: <sip:1@192.0.2.81?Replaces=x>\r\n", 400),
        (
            "Refer-To: <sip:1@192.0.2.81?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc&Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>\r\n",
            400,
        ),
    ];
    let (mut world, page) = World::with_agent("1002");
    for (lines, status) in cases {
        let dialog = world.refer("1002", lines);
        assert_eq!(world.statuses(&dialog, 1, "REFER"), [status], "{lines}");
    }
    let dialog = world.refer("9999", "Refer-To: <sip:1@192.0.2.81>\r\n");
    assert_eq!(world.statuses(&dialog, 1, "REFER"), [404]);
    assert!(world.calls(page).is_empty() && world.requests("INVITE").is_empty());
    world.lose_page(page);
    let mut world = World::new(&["1002"]);
    let dialog = world.refer("1002", "Refer-To: <sip:1@192.0.2.81>\r\n");
    assert_eq!(world.statuses(&dialog, 1, "REFER"), [480]);
}

/// The desktop clicks on and on: the agent has no more calls than she may have.
#[test]
fn refers_are_bounded() {
    let (mut world, page) = World::with_agent("1002");
    let statuses: Vec<Vec<u16>> = (0..4)
        .map(|_| {
            let dialog = world.refer("1002", "Refer-To: <sip:1@192.0.2.81>\r\n");
            world.statuses(&dialog, 1, "REFER")
        })
        .collect();
    assert_eq!(statuses, [[202], [202], [486], [486]]);
    assert_eq!(world.calls(page).len(), 2);
}

/// Within a call nobody wants to hear of it (`Refer-Sub: false`): the call is made and nothing is told.
#[test]
fn no_news_where_none_is_wanted() {
    let (mut world, page) = World::with_agent("1002");
    let mut dialog = world.talking("1002");
    let lines = "Refer-To: <sip:5550100@192.0.2.81>\r\nRefer-Sub: false\r\n";
    world.in_dialog(&mut dialog, "REFER", lines, None);
    let accepted = world.responses(&dialog, dialog.cseq, "REFER")[0];
    assert_eq!(accepted.status.as_u16(), 202);
    let refer_sub = HeaderName::other("Refer-Sub");
    assert_eq!(text(accepted.headers.get(&refer_sub)), "false");
    let mut invites = world.requests("INVITE").into_iter();
    let invite = invites
        .find(|it| it.uri.to_string().contains("5550100"))
        .unwrap();
    world.respond(&invite, "200 OK", Some(ANSWER));
    assert_eq!(world.call(page).state, CallState::Talking);
    assert!(world.requests("NOTIFY").is_empty());
}

const CONSULT: &str = "Refer-To: <sip:1005@192.0.2.81?Replaces=12%40192.0.2.81%3Bto-tag%3Dt1%3Bfrom-tag%3Df1>\r\n\
                       Referred-By: <sip:1003@192.0.2.81>\r\n";

/// SIP Server asks the agent's endpoint, within a call, to call 1005 in place of somebody (`transfer-complete-by-refer`): the new
/// call carries `Replaces`, and the old one ends when it is up.
#[test]
fn a_call_moves_to_where_sip_server_wants_it() {
    let (mut world, page) = World::with_agent("1002");
    let mut old = world.talking("1002");
    world.in_dialog(&mut old, "REFER", CONSULT, None);
    assert_eq!(world.statuses(&old, old.cseq, "REFER"), [202]);
    let invites = world.requests("INVITE");
    let invite = invites
        .iter()
        .find(|it| it.uri.to_string().contains("1005"));
    let invite = invite.expect("an INVITE").clone();
    assert_eq!(
        header(&invite, &HeaderName::REPLACES),
        "12@192.0.2.81;to-tag=t1;from-tag=f1"
    );
    assert_eq!(header(&invite, &HeaderName::REQUIRE), "replaces");
    assert_eq!(
        header(&invite, &HeaderName::REFERRED_BY),
        "<sip:1003@192.0.2.81>"
    );
    world.respond(&invite, "200 OK", Some(ANSWER));
    let told = news(&mut world, &old, "200 OK");
    assert_eq!(lines(&told), ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]);
    let event = header(&world.requests("NOTIFY")[0], &HeaderName::EVENT);
    assert_eq!(event, format!("refer;id={}", old.cseq));
    assert_eq!(world.call(page).state, CallState::Talking);
    world.in_dialog(&mut old, "BYE", "", None);
    assert_eq!(world.causes(), ["replaced"]);
    assert_eq!(world.call(page).state, CallState::Talking);
}

/// SIP Server forgets its BYE for the call that was moved: ours ends it.
#[test]
fn the_old_call_ends_by_itself() {
    let (mut world, _) = World::with_agent("1002");
    let mut old = world.talking("1002");
    world.in_dialog(&mut old, "REFER", CONSULT, None);
    // The hold of the old call, and the new one.
    for invite in world.requests("INVITE") {
        world.respond(&invite, "200 OK", Some(ANSWER));
    }
    drop(news(&mut world, &old, "200 OK"));
    world.advance(Duration::from_secs(2));
    let bye = world.requests("BYE").pop().expect("a BYE");
    assert_eq!(header(&bye, &HeaderName::CALL_ID), old.call_id);
    world.respond(&bye, "200 OK", None);
    assert_eq!(world.causes(), ["replaced"]);
}

/// SIP Server asks for a call in place of this one, which waits for it on hold. The INVITE of the new one.
fn moves(world: &mut World, old: &mut Dialog) -> Request {
    world.in_dialog(old, "REFER", CONSULT, None);
    let invites = world.requests("INVITE");
    let (mut new, hold): (Vec<_>, Vec<_>) = invites
        .into_iter()
        .partition(|it| it.uri.to_string().contains("1005"));
    world.respond(&hold[0], "200 OK", Some(&format!("{ANSWER}a=recvonly\r\n")));
    new.remove(0)
}

/// Nobody answers at the new place: the agent keeps the call that she had, off hold again.
#[test]
fn a_call_that_cannot_move_stays() {
    let (mut world, page) = World::with_agent("1002");
    let mut old = world.talking("1002");
    let new = moves(&mut world, &mut old);
    world.respond(&new, "408 Request Timeout", None);
    let told = news(&mut world, &old, "200 OK");
    assert_eq!(told.last().unwrap().0, "SIP/2.0 408 Request Timeout");
    let offer = world.answer_reinvite("sendrecv");
    assert!(offer.contains("a=sendrecv"), "{offer}");
    assert_eq!(world.calls(page)[0].state, CallState::Talking);
    assert!(world.requests("BYE").is_empty());
}

/// She wants her caller back while the new place rings, and SIP Server refuses that. Nobody has asked for the hold that is left: when the new place
/// declines, caller and agent hear each other, and not silence.
#[test]
fn a_caller_whose_retrieval_was_refused_comes_back_when_the_new_call_fails() {
    let (mut world, page) = World::with_agent("1002");
    let mut old = world.talking("1002");
    let call = world.call(page).id;
    let new = moves(&mut world, &mut old);
    world.respond(&new, "180 Ringing", None);
    world.say(page, PageMessage::Retrieve { call });
    let retrieve = world.requests("INVITE").pop().unwrap();
    assert!(String::from_utf8_lossy(&retrieve.body).contains("a=sendrecv"));
    world.respond(&retrieve, "488 Not Acceptable Here", None);
    assert_eq!(world.calls(page)[0].state, CallState::Held);

    let asked = world.requests("INVITE").len();
    world.respond(&new, "486 Busy Here", None);
    assert_eq!(world.requests("INVITE").len(), asked + 1);
    let offer = world.answer_reinvite("sendrecv");
    assert!(offer.contains("a=sendrecv"), "{offer}");
    assert_eq!(world.calls(page)[0].state, CallState::Talking);
    assert!(world.plan().to_agent && world.plan().to_caller);
}

/// The caller hangs up while the new call rings: it goes on, and nobody is told who is not there.
#[test]
fn the_old_call_may_end_first() {
    let (mut world, page) = World::with_agent("1002");
    let mut old = world.talking("1002");
    world.in_dialog(&mut old, "REFER", CONSULT, None);
    let invites = world.requests("INVITE");
    let new = invites
        .into_iter()
        .find(|it| it.uri.to_string().contains("1005"));
    world.in_dialog(&mut old, "BYE", "", None);
    assert_eq!(world.causes(), ["remote_hangup"]);
    world.respond(&new.unwrap(), "200 OK", Some(ANSWER));
    let call = world.call(page);
    assert_eq!(call.state, CallState::Talking);
    world.say(page, PageMessage::Hangup { call: call.id });
    let bye = world.requests("BYE").pop().unwrap();
    world.respond(&bye, "200 OK", None);
    world.assert_quiet();
}

/// A second REFER within the call while the first is being obeyed, and one while the agent herself transfers it.
#[test]
fn one_refer_at_a_time() {
    let (mut world, page) = World::with_agent("1002");
    let mut old = world.talking("1002");
    world.in_dialog(&mut old, "REFER", CONSULT, None);
    world.in_dialog(&mut old, "REFER", CONSULT, None);
    assert_eq!(world.statuses(&old, old.cseq, "REFER"), [491]);
    let (mut world, page) = (World::with_agent("1002").0, page);
    let mut old = world.talking("1002");
    let call = world.call(page).id;
    let (to, to_call) = (Some("1006".into()), None);
    world.say(page, PageMessage::Transfer { call, to, to_call });
    world.in_dialog(&mut old, "REFER", CONSULT, None);
    assert_eq!(world.statuses(&old, old.cseq, "REFER"), [491]);
}

/// Nobody but SIP Server may move a call.
#[test]
fn a_stranger_moves_no_call() {
    let (mut world, page) = World::with_agent("1002");
    let old = world.talking("1002");
    let branch = world.branch();
    let text = world.in_dialog_text(&old, "REFER", 9, &branch, CONSULT, None);
    let sent = world.sent.len();
    world.receive_from("203.0.113.66:5060", &text);
    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.calls(page).len(), 1);
}

/// Two sites, and the desktop works at the second: the call is made there, where SIP Server knows of it, and not at the preferred site.
#[test]
fn a_call_is_made_at_the_site_that_asks_for_it() {
    let mut config = config(&["1002"]);
    config.sites = vec![
        site(Some("east"), &["192.0.2.81"]),
        site(Some("west"), &["192.0.2.82"]),
    ];
    config
        .sip
        .allowed
        .push("192.0.2.82".parse().expect("an address"));
    let mut world = World::with_config(config);
    world.sign_in("1002", None);
    world.advance(Duration::from_secs(1));
    let invites = |world: &World| -> Vec<(String, String)> {
        let sent = world.sent.iter();
        let invites = sent.filter(|sent| sent.text.starts_with("INVITE "));
        let line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        invites
            .map(|sent| (sent.to.to_string(), line(&sent.text)))
            .collect()
    };
    world.refer_by(
        "192.0.2.82",
        "1002",
        "Refer-To: <sip:5550100@192.0.2.82>\r\n",
    );
    world.refer_by(
        "192.0.2.81",
        "1002",
        "Refer-To: <sip:5550101@192.0.2.81>\r\n",
    );
    assert_eq!(
        invites(&world),
        [
            (
                "192.0.2.82:5060".to_owned(),
                "INVITE sip:5550100@192.0.2.82 SIP/2.0".to_owned()
            ),
            (
                "192.0.2.81:5060".to_owned(),
                "INVITE sip:5550101@192.0.2.81 SIP/2.0".to_owned()
            ),
        ]
    );
}
