//! What SIP Server changes in a call that is up: where the media is, how it is coded, and whether the change stands.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use interop_tests::attack::{Dialog, Flood, SipPeer, answer, crlf, description, torture};
use interop_tests::customer::Speech;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::sipp::header;
use interop_tests::{Customer, Desk, eventually};
use serde_json::json;
use tempfile::TempDir;

use crate::end_records::records;
use crate::referred::agreed;

const SDP: &str = "Content-Type: application/sdp\n";

/// Offers this description in mid-call and confirms the answer, which it returns.
pub(super) async fn offers(server: &SipPeer, call: &mut Dialog, description: &str) -> String {
    let offer = call.request("INVITE", SDP, description);
    assert_eq!(server.asks(&offer).await, 200);
    let number = format!("CSeq: {} INVITE", call.cseq);
    let answered = |message: &str| message.starts_with("SIP/2.0 200") && message.contains(&number);
    let answer = server.hears("the answer", answered).await;
    server.say(&call.ack(call.cseq)).await;
    answer
}

/// A call of the customer with 1002, in which both hear each other.
async fn in_a_call() -> (Desk, SipPeer, Dialog) {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    (desk, server, call)
}

/// The port and the SSRC of our media stay as they are, whatever is offered.
pub(super) fn port_of(answer: &str) -> &str {
    let media = answer.split("m=audio ").nth(1).unwrap_or_default();
    media.split(' ').next().unwrap_or_default()
}

/// The Media Server takes the call with another codec and other numbers for keys, and gives it back: speech and keys follow.
#[tokio::test]
async fn a_change_of_codec_and_of_payload_types_is_followed() {
    let (desk, server, mut call) = in_a_call().await;
    let press = |digits: &str| {
        let call = desk.page.call()["id"].clone();
        json!({"type": "dtmf", "call": call, "digits": digits})
    };
    assert_eq!(desk.page.request(press("1")).await["type"], "ok");
    eventually("the key is heard", || desk.customer.heard().keys == [1]).await;

    let usual = description(desk.customer.address());
    let other = usual
        .replace("0 8 101", "8 96")
        .replace("rtpmap:101", "rtpmap:96");
    let answer = offers(&server, &mut call, &other).await;
    assert!(answer.contains("RTP/AVP 8 96"), "{answer}");
    eventually("the customer is spoken to in A-law", || {
        desk.customer.heard().codecs.contains(&8)
    })
    .await;
    desk.customer.hears(PAGE_HZ).await;
    assert_eq!(desk.page.request(press("2")).await["type"], "ok");
    eventually("the second key is heard", || {
        desk.customer.heard().keys == [1, 2]
    })
    .await;

    let again = offers(&server, &mut call, &usual).await;
    assert_eq!(port_of(&again), port_of(&answer));
    desk.both_hear().await;
    assert_eq!(desk.page.request(press("3")).await["type"], "ok");
    eventually("the third key is heard", || {
        desk.customer.heard().keys == [1, 2, 3]
    })
    .await;
    {
        let heard = desk.customer.heard();
        assert_eq!(heard.keys_as, [(101, 1), (96, 2), (101, 3)]);
        assert_eq!(heard.ssrcs.len(), 1, "one source all the time");
    }
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// The customer hangs up while the agent presses hold: SIP Server has taken the hold, and its 200 comes behind its BYE. It has an ACK all the same.
#[tokio::test]
async fn a_hold_that_is_answered_after_the_end_is_acknowledged() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    let hold = json!({"type": "hold", "call": desk.page.call()["id"]});
    assert_eq!(desk.page.request(hold).await["type"], "ok");
    let of_ours = |method: &'static str| move |message: &str| message.starts_with(method);
    let hold = server.hears("the hold", of_ours("INVITE ")).await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
    let contact = format!("Contact: <sip:1003@{}>\n", server.local());
    let held = agreed(&hold, &contact, &description(desk.customer.address()));
    server.say(&held).await;
    let ack = server.hears("the ACK", of_ours("ACK ")).await;
    let number = |message: &str| {
        header(message, "CSeq").map(|cseq| cseq.split(' ').next().map(str::to_owned))
    };
    assert_eq!(number(&ack), number(&hold));
}

/// A far end whose reports may come sooner (RFC 4585) is answered by its own profile, in which nothing else differs.
#[tokio::test]
async fn a_far_end_with_feedback_is_heard() {
    let (desk, server, mut call) = in_a_call().await;
    let feedback = description(desk.customer.address()).replace("RTP/AVP ", "RTP/AVPF ");
    let answer = offers(&server, &mut call, &feedback).await;
    assert!(answer.contains("RTP/AVPF 0 "), "{answer}");
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// A description in which the customer speaks these payload types, named by these lines.
fn speaking(customer: &Customer, types: &str, lines: &str) -> String {
    description(customer.address())
        .replace("0 8 101", types)
        .replace("a=rtpmap:101 telephone-event/8000\n", lines)
}

/// The call goes from G.711 to G.722 to Opus and back, and to packets of 40 ms: speech and keys follow, each in the ticks of its clock (RFC 7587 section 7 for
/// those of Opus), and the source that the customer hears stays one.
#[tokio::test]
async fn a_change_to_wide_codecs_and_to_longer_packets_is_followed() {
    let desk = Desk::start_with(|config| {
        config["media"]["codecs"] = json!(["pcmu", "pcma", "g722", "opus"]);
    })
    .await;
    let customer = &desk.customer;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", customer.address()).await;
    desk.both_hear().await;
    let g722 = "a=rtpmap:101 telephone-event/8000\n";
    let opus = "a=rtpmap:120 opus/48000/2\na=rtpmap:101 telephone-event/48000\n";
    let long = "a=rtpmap:101 telephone-event/8000\na=ptime:40\n";
    let changes = [
        ("9 101", g722, Speech::G722, 9, 160, 800),
        ("120 101", opus, Speech::Opus, 120, 960, 4_800),
        ("9 101", long, Speech::G722, 9, 320, 800),
        ("0 101", g722, Speech::Pcmu, 0, 160, 800),
    ];
    for (types, lines, speech, payload_type, step, key_ticks) in changes {
        let answer = offers(&server, &mut call, &speaking(customer, types, lines)).await;
        let agreed = format!("RTP/AVP {types}");
        assert!(answer.contains(&agreed), "{answer}");
        customer.speaks(speech);
        let before = {
            let mut heard = customer.heard();
            heard.codecs.clear();
            heard.key_ticks.clear();
            heard.packets
        };
        // What was under way before the answer, and what waits to be played, is over.
        eventually("it is spoken to otherwise", || {
            customer.heard().packets > before + 15
        })
        .await;
        {
            let mut heard = customer.heard();
            heard.codecs.clear();
            heard.steps.clear();
        }
        desk.both_hear().await;
        let until = customer.heard().packets + 10;
        eventually("some more packets", || customer.heard().packets > until).await;
        let steps = {
            let heard = customer.heard();
            assert_eq!(heard.codecs, [payload_type].into(), "{answer}");
            // A machine that stood still for more than three packets leaves a gap in the timestamps.
            let steps = heard.steps.iter().filter(|ticks| **ticks <= 3 * step);
            steps.copied().collect::<Vec<u32>>()
        };
        assert_eq!(steps, [step], "{answer}");
        let keys = customer.heard().keys.len();
        let id = desk.page.call()["id"].clone();
        let key = json!({"type": "dtmf", "call": id, "digits": "5"});
        assert_eq!(desk.page.request(key).await["type"], "ok");
        eventually("the key is heard", || customer.heard().keys.len() > keys).await;
        let ended = |ticks: &[u16]| ticks.last() == Some(&key_ticks);
        assert!(ended(&customer.heard().key_ticks), "{customer:?}");
    }
    assert_eq!(customer.heard().ssrcs.len(), 1, "one source all the time");
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// The telephone speaks from another port than its description names, as behind a NAT that nobody has told of: the agent, who hears nothing, is told why.
#[tokio::test]
async fn audio_from_another_port_is_told_and_not_heard() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    // It listens where it says, and says nothing there.
    let named = UdpSocket::bind((desk.site.media(), 0)).expect("a free port");
    let named_at = named.local_addr().expect("it is bound");
    let mut call = server.talks("1002", named_at).await;
    let answered = |message: &str| {
        message.starts_with("SIP/2.0 200") && header(message, "CSeq") == Some("1 INVITE")
    };
    let answer = server.hears("the answer", answered).await;
    let port = port_of(&answer).parse().expect("a port");
    let gateway = SocketAddr::new(desk.site.gateway(), port);
    let other = SocketAddr::new(desk.site.media(), 0);
    let began = Instant::now();
    let ssrc = desk.customer.ssrc();
    let speech = Flood::start(gateway, [other], 50, move |_, nth| {
        torture::injected(ssrc, began.elapsed(), nth)
    });
    desk.page.misses_audio("to_agent", "other_address").await;
    desk.gateway
        .metric_is("talkbridge_one_way_audio_total", "other_address", 1.0)
        .await;
    assert!(desk.page.state().ear.heard_tones_only());
    assert_eq!(
        speech.came_back(),
        0,
        "audio goes where the description says"
    );
    drop((speech, named));
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// The telephone speaks in a format that nobody agreed on, and then in the one that was: the agent, who hears nothing, is told why, and that all is well when it is.
#[tokio::test]
async fn audio_in_another_format_is_told_until_it_is_heard() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let from = SocketAddr::new(desk.site.media(), 20_000);
    let mut call = server.talks("1002", from).await;
    let answered = |message: &str| {
        message.starts_with("SIP/2.0 200") && header(message, "CSeq") == Some("1 INVITE")
    };
    let answer = server.hears("the answer", answered).await;
    let port = port_of(&answer).parse().expect("a port");
    let gateway = SocketAddr::new(desk.site.gateway(), port);
    let payload_type = Arc::new(AtomicU8::new(97));
    let spoken = Arc::clone(&payload_type);
    let speech = Flood::start(gateway, [from], 50, move |_, nth| {
        let mut packet = vec![0x80, spoken.load(Ordering::Relaxed)];
        packet.extend((nth as u16).to_be_bytes());
        packet.extend((nth as u32).wrapping_mul(160).to_be_bytes());
        packet.extend(77_u32.to_be_bytes());
        packet.resize(12 + 160, 0);
        packet
    });
    desk.page.misses_audio("to_agent", "other_format").await;
    payload_type.store(0, Ordering::Relaxed);
    eventually("the page is told that it is heard", || {
        desk.page.call()["audio_missing"].is_null()
    })
    .await;
    drop(speech);
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// The telephone answers our offer with a number of its own for keys: it is sent that one, and sends the one that it was offered (RFC 3264 section 6.1).
#[tokio::test]
async fn keys_pass_both_ways_although_each_side_numbers_them_otherwise() {
    let (desk, server, mut call) = in_a_call().await;
    let offer = call.request("INVITE", "", "");
    assert_eq!(server.asks(&offer).await, 200);
    let number = format!("CSeq: {} INVITE", call.cseq);
    let offers = |message: &str| message.starts_with("SIP/2.0 200") && message.contains(&number);
    let offer = server.hears("our offer", offers).await;
    assert!(offer.contains("rtpmap:101 telephone-event"), "{offer}");
    let answer = description(desk.customer.address())
        .replace("0 8 101", "0 96")
        .replace("rtpmap:101", "rtpmap:96");
    server.say(&call.ack_with(call.cseq, &answer)).await;

    eventually("the customer's keys are shown", || {
        desk.customer.press(&[5]);
        !desk.page.messages("dtmf_received").is_empty()
    })
    .await;
    let id = desk.page.call()["id"].clone();
    let key = json!({"type": "dtmf", "call": id, "digits": "7"});
    assert_eq!(desk.page.request(key).await["type"], "ok");
    eventually("the agent's key is heard", || {
        desk.customer.heard().keys_as == [(96, 7)]
    })
    .await;
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// A conference that comes to nothing: the agent is led to the Media Server and back, and the customer has her again.
#[tokio::test]
async fn a_conference_that_is_rolled_back_gives_the_customer_back() {
    let (desk, server, mut call) = in_a_call().await;
    let media_server = Customer::announcement(desk.site.media()).await;
    let there = offers(&server, &mut call, &description(media_server.address())).await;
    media_server.hears(PAGE_HZ).await;
    desk.customer.hears_nothing().await;
    let back = offers(&server, &mut call, &description(desk.customer.address())).await;
    desk.both_hear().await;
    media_server.hears_nothing().await;
    assert_eq!(port_of(&there), port_of(&back));
    assert_eq!(desk.page.call()["state"], "talking");
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

/// A session that would have to be refreshed every half minute is refused, with the least that is taken (RFC 4028 section 9).
#[tokio::test]
async fn a_session_interval_that_is_too_short_is_refused() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let lines = "Supported: timer\nSession-Expires: 30\n";
    let refused = server.tries("1002", lines, desk.customer.address()).await;
    assert_eq!(refused.err(), Some(422));
    let refusal = server
        .hears("422", |message| message.starts_with("SIP/2.0 422"))
        .await;
    assert_eq!(header(&refusal, "Min-SE"), Some("90"));
    assert!(desk.page.call().is_null(), "it never rang");
}

/// SIP Server was to refresh the session and has died: its agent is not kept in a call that nobody is in, and reads that it was lost. The caller, who is
/// still heard, does not prolong it: a refresh is the only sign that SIP Server knows the call.
#[tokio::test]
async fn a_call_that_nobody_refreshes_is_ended() {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("cdr.jsonl");
    let desk = Desk::start_with(|config| config["cdr"] = json!({"file": file})).await;
    let calling = desk.calling("uac-session-never-refreshed");
    let mut sipp = calling.gives_up_after(110).start();
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.passes().await;
    desk.ended("dialog_lost").await;
    let record = records(&file, 1).await.remove(0);
    assert_eq!(record["end"]["cause"], "dialog_lost", "{record}");
    assert_eq!(record["end"]["by"], desk.page.call()["end"]["by"]);
    let mut next = desk.calling("uac-invite-rings").start();
    desk.page.call_in("ringing").await;
    next.cue().await;
    next.passes().await;
}

/// What a telephone answers to a request of ours, with a description.
fn agrees(server: &SipPeer, request: &str, description: &str) -> String {
    let lines = format!("Contact: <sip:1003@{}>\n{SDP}", server.local());
    let head = answer(request, "200 OK", &lines);
    let length = format!("Content-Length: {}", crlf(description).len());
    format!(
        "{}{description}",
        head.replace("Content-Length: 0", &length)
    )
}

/// The agent joins two callers, and the second cannot take the first over: she still talks to the second, and still has the first on hold.
#[tokio::test]
async fn callers_who_cannot_be_joined_stay_with_the_agent() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut first = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    let first_on_page = desk.page.call()["id"].clone();
    let colleague = Customer::start(desk.site.media()).await;
    let mut second = server.rings("1002", "", colleague.address()).await;
    let talk = second.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(server.asks(&talk).await, 200);
    server.confirms(&mut second).await;
    let of_first = |method: &'static str| {
        let call_id = first.call_id.clone();
        move |message: &str| message.starts_with(method) && message.contains(&call_id)
    };
    let hold = server
        .hears("the first is put on hold", of_first("INVITE "))
        .await;
    let waits = description(desk.customer.address()).replace("sendrecv", "recvonly");
    server.say(&agrees(&server, &hold, &waits)).await;
    server
        .hears("the hold is confirmed", of_first("ACK "))
        .await;
    colleague.hears(PAGE_HZ).await;

    let second_on_page = desk.page.call()["id"].clone();
    let join = json!({"type": "transfer", "call": first_on_page, "to_call": second_on_page});
    let reply = desk.page.request(join).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    let refer = server
        .hears("REFER", |message| message.starts_with("REFER "))
        .await;
    let target = header(&refer, "Refer-To").unwrap_or_default();
    assert!(target.contains("Replaces="), "{target}");
    server
        .say(&answer(
            &refer,
            "202 Accepted",
            &format!("Contact: <sip:1003@{}>\n", server.local()),
        ))
        .await;
    let referred = if refer.contains(&first.call_id) {
        &mut first
    } else {
        &mut second
    };
    let lines = "Event: refer\nSubscription-State: terminated;reason=noresource\nContent-Type: message/sipfrag\n";
    let outcome = referred.request("NOTIFY", lines, "SIP/2.0 486 Busy Here\n");
    assert_eq!(server.asks(&outcome).await, 200);

    let kept = desk.page.call_with_id_in(&first_on_page, "held").await;
    eventually("the page reads why", || {
        let calls = desk.page.state().calls.clone();
        calls
            .iter()
            .any(|call| call["transfer"]["sip_status"] == 486)
    })
    .await;
    assert_eq!(kept["end"], json!(null));
    let talking = desk.page.call_with_id_in(&second_on_page, "talking").await;
    assert_eq!(talking["end"], json!(null));
    colleague.hears(PAGE_HZ).await;
    desk.customer.hears_nothing().await;
    for call in [&mut first, &mut second] {
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    }
    desk.ended("remote_hangup").await;
}
