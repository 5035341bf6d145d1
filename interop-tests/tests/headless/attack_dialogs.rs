//! Forged requests: whoever is not SIP Server, or does not know the call, changes nothing in it.

use std::net::SocketAddr;
use std::time::Instant;

use interop_tests::attack::{Dialog, SipPeer, crlf, description};
use interop_tests::{Customer, Desk};

/// What a forger would say in a call whose every word he knows; audio is to go to `media`.
pub(super) fn forgeries(call: &Dialog, media: SocketAddr) -> Vec<(&'static str, String)> {
    let mut call = Dialog {
        cseq: call.cseq + 10,
        ..call.clone()
    };
    let moved = description(media);
    let sdp = "Content-Type: application/sdp\n";
    let digits = "Content-Type: application/dtmf-relay\n";
    let refer = format!("Refer-To: <sip:2000@{}>\n", media.ip());
    vec![
        ("talk", call.request("NOTIFY", "Event: talk\n", "")),
        ("hold", call.request("NOTIFY", "Event: hold\n", "")),
        (
            "dtmf",
            call.request("NOTIFY", &format!("Event: dtmf\n{digits}"), "Signal=5\n"),
        ),
        (
            "info",
            call.request("INFO", digits, "Signal=5\nDuration=100\n"),
        ),
        ("update", call.request("UPDATE", sdp, &moved)),
        ("re-INVITE", call.request("INVITE", sdp, &moved)),
        ("refer", call.request("REFER", &refer, "")),
        ("bye", call.request("BYE", "", "")),
        ("cancel", call.cancel()),
        ("ack", call.ack_with_answer(1, media)),
    ]
}

/// A host that is not on the list knows everything of a call, in each of its states: he hears nothing, and nothing changes.
#[tokio::test]
async fn a_stranger_who_knows_the_call_changes_nothing() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let forger = SipPeer::start(&desk.site, desk.site.stranger(), 5060).await;
    let ear = Customer::start(desk.site.stranger()).await;
    let mut forged = 0;
    let mut call = server.rings("1002", "", desk.customer.address()).await;
    for state in ["ringing", "talking", "held"] {
        match state {
            "talking" => {
                let talk = call.request("NOTIFY", "Event: talk\n", "");
                assert_eq!(server.asks(&talk).await, 200);
                server.confirms(&mut call).await;
                desk.both_hear().await;
            }
            "held" => {
                let hold = call.request("NOTIFY", "Event: hold\n", "");
                assert_eq!(server.asks(&hold).await, 200);
            }
            _ => {}
        }
        desk.page.call_in(state).await;
        // Answers would go to the forger: he is in Via and Contact.
        let his = Dialog {
            us: forger.local(),
            ..call.clone()
        };
        for (_, forgery) in forgeries(&his, ear.address()) {
            forger.say(&forgery).await;
            forged += 1;
        }
        let refused = "talkbridge_sip_refused_total";
        desk.gateway
            .metric_is(refused, "\"source\"", f64::from(forged))
            .await;
        assert_eq!(desk.page.call()["state"], state, "{}", desk.page.call());
        if state == "talking" {
            desk.both_hear().await;
        }
    }
    assert_eq!(forger.heard(), [""; 0]);
    assert_eq!(ear.heard().packets, 0);
    let bye = call.request("BYE", "", "");
    assert_eq!(server.asks(&bye).await, 200);
    desk.ended("remote_hangup").await;
}

/// Who sends from SIP Server's address and guesses tags or Call-ID gets 481, in each state, and so does a talk after the end.
#[tokio::test]
async fn a_forger_who_guesses_gets_481_in_every_state() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.rings("1002", "", desk.customer.address()).await;
    for state in ["ringing", "talking", "held", "ended"] {
        match state {
            "talking" => {
                let talk = call.request("NOTIFY", "Event: talk\n", "");
                assert_eq!(server.asks(&talk).await, 200);
                server.confirms(&mut call).await;
            }
            "held" => desk.page.control("hold").await,
            "ended" => {
                let bye = call.request("BYE", "", "");
                assert_eq!(server.asks(&bye).await, 200);
                let talk = call.request("NOTIFY", "Event: talk\n", "");
                assert_eq!(server.asks(&talk).await, 481, "talk after the end");
            }
            _ => {}
        }
        desk.page.call_in(state).await;
        let guess = Some("guessed".to_owned());
        let (from_tag, call_id) = ("guessed".to_owned(), "guessed@x".to_owned());
        let real = || Dialog {
            invite_branch: "z9hG4bKguessed".to_owned(),
            ..call.clone()
        };
        let guesses = [
            (
                "our tag",
                Dialog {
                    to_tag: guess,
                    ..real()
                },
            ),
            ("his tag", Dialog { from_tag, ..real() }),
            ("Call-ID", Dialog { call_id, ..real() }),
        ];
        for (what, guess) in guesses {
            for (how, forgery) in forgeries(&guess, desk.customer.address()) {
                if how == "ack" {
                    server.say(&forgery).await;
                } else {
                    assert_eq!(server.asks(&forgery).await, 481, "{how}, {what}, {state}");
                }
            }
        }
        assert_eq!(desk.page.call()["state"], state, "{}", desk.page.call());
    }
    desk.ended("remote_hangup").await;
}

/// Flow 1 waits for the answer in the ACK, up to 32 s: an ACK of a stranger would lead the agent's audio to him.
#[tokio::test]
async fn a_forged_ack_does_not_lead_the_audio_away() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let forger = SipPeer::start(&desk.site, desk.site.stranger(), 5060).await;
    let ear = Customer::start(desk.site.stranger()).await;
    let mut call = Dialog::new(&server, "1002");
    server.say(&call.invite_without_offer("")).await;
    let ringing = server
        .hears("180", |message| message.starts_with("SIP/2.0 180"))
        .await;
    call.heard_tag(&ringing);
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(server.asks(&talk).await, 200);
    server
        .hears("200", |message| {
            message.contains("CSeq: 1 INVITE") && message.contains("m=audio")
        })
        .await;
    forger.say(&call.ack_with_answer(1, ear.address())).await;
    let refused = "talkbridge_sip_refused_total";
    desk.gateway.metric_is(refused, "\"source\"", 1.0).await;
    server
        .say(&call.ack_with_answer(1, desk.customer.address()))
        .await;
    desk.both_hear().await;
    assert_eq!(ear.heard().packets, 0);
}

/// A switch-over between two hosts of the list: the other one answers, holds and releases the call that the first began.
#[tokio::test]
async fn the_other_server_of_the_list_carries_the_call_on() {
    let desk = Desk::start_with(|config| {
        let first = config["sip"]["servers"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        config["sip"]["servers"] = serde_json::json!([first, first.replace(".2:", ".4:")]);
    })
    .await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let other = desk.site.second_server();
    let other = SipPeer::start(&desk.site, other, 5070).await;
    let mut call = server.rings("1002", "", desk.customer.address()).await;
    call.us = other.local();
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(other.asks(&talk).await, 200);
    let answered =
        |message: &str| message.contains("CSeq: 1 INVITE") && message.contains("m=audio");
    server.hears("200", answered).await;
    other.say(&call.ack(1)).await;
    desk.both_hear().await;
    let bye = call.request("BYE", "", "");
    assert_eq!(other.asks(&bye).await, 200);
    desk.ended("remote_hangup").await;
}

/// Who looks for DNs from a host that is no SIP Server hears the same of one with an agent, one without, and one that is not there.
#[tokio::test]
async fn a_stranger_cannot_tell_dns_apart() {
    let desk = Desk::start_with(|config| config["sip"]["refuse"] = "forbidden".into()).await;
    let scanner = SipPeer::start(&desk.site, desk.site.stranger(), 5060).await;
    for (method, lines) in [
        ("INVITE", "Content-Type: application/sdp\n"),
        ("REGISTER", "Expires: 60\n"),
        ("OPTIONS", ""),
        ("NOTIFY", "Event: talk\n"),
    ] {
        let mut answers = Vec::new();
        for dn in ["1002", "1003", "9999"] {
            let mut dialog = Dialog::new(&scanner, dn);
            let request = dialog.request(method, lines, "");
            assert_eq!(scanner.asks(&request).await, 403, "{method} {dn}");
            let heard = scanner.heard().pop().unwrap_or_default();
            let names: Vec<String> = heard
                .lines()
                .map(|line| line.split(':').next().unwrap_or_default().to_owned())
                .collect();
            answers.push(names);
        }
        assert!(
            answers.windows(2).all(|two| two[0] == two[1]),
            "{answers:?}"
        );
    }
    assert!(desk.page.call().is_null());
}

/// How often each DN is asked for where time is measured, in turn with the others: what else the machine does then falls on all of them.
const TURNS: usize = 400;

/// Nor does he learn it from the time that a refusal takes: a DN with an agent who could be called is refused as fast as one that nobody has heard of.
#[tokio::test]
async fn a_stranger_cannot_time_dns_apart() {
    let desk = Desk::start_with(|config| {
        config["sip"]["refuse"] = "forbidden".into();
        config["log"]["level"] = "info".into();
    })
    .await;
    let scanner = SocketAddr::new(desk.site.stranger(), 5060);
    let gateway = desk.site.gateway_sip();
    let media = desk.customer.address();
    let took = tokio::task::spawn_blocking(move || {
        let socket = std::net::UdpSocket::bind(scanner).expect("the port is ours");
        let patience = socket.set_read_timeout(Some(interop_tests::wait::DEADLINE));
        patience.expect("a socket may wait");
        let mut took = [const { Vec::new() }; 3];
        for _ in 0..TURNS {
            for (dn, took) in ["1002", "1003", "9999"].iter().zip(&mut took) {
                let invite = crlf(&Dialog::between(scanner, gateway, dn).invite("", media));
                let asked = Instant::now();
                let sent = socket.send_to(invite.as_bytes(), gateway);
                sent.expect("loopback takes it");
                let mut answer = [0; 2048];
                let length = socket.recv(&mut answer).expect("an answer");
                took.push(asked.elapsed());
                assert!(answer[..length].starts_with(b"SIP/2.0 403"), "{dn}");
            }
        }
        took
    });
    let took = took.await.expect("every request was answered");
    let medians = took.map(|mut took| {
        took.sort();
        took[TURNS / 2]
    });
    let (least, most) = (medians.iter().min(), medians.iter().max());
    let (least, most) = (least.expect("three"), most.expect("three"));
    assert!(*most < *least * 3 / 2, "medians of {medians:?}");
    assert!(desk.page.call().is_null());
}

/// An INVITE that answers itself, from SIP Server's address: the agent is heard where its description says with the ACK only, and nobody who forged the address
/// can write one.
#[tokio::test]
async fn a_call_that_answers_itself_is_heard_after_its_ack() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = Dialog::new(&server, "1002");
    let invite = call.invite("Alert-Info: ring answer\n", desk.customer.address());
    server.say(&invite).await;
    let own = call.call_id.clone();
    let is_answer = |it: &str| it.starts_with("SIP/2.0 200") && it.contains(&own);
    let answer = server.hears("the answer", is_answer).await;
    desk.page.call_in("talking").await;
    desk.customer.hears_nothing().await;
    assert_eq!(desk.customer.heard().packets, 0);

    call.heard_tag(&answer);
    server.say(&call.ack(1)).await;
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}
