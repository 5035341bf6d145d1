//! Calls that come in: rung, answered by the desktop or the page, refused, given up.

use interop_tests::attack::SipPeer;
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::sipp::header;
use interop_tests::wait::eventually_some;
use interop_tests::{Customer, Desk, SippOptions, eventually, eventually_async};
use serde_json::json;

#[tokio::test]
async fn talk_answers_and_both_sides_hear_each_other() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-talk-answer").start();
    let call = desk.page.call_in("talking").await;
    assert_eq!(call["remote"]["number"], "1003");
    assert_eq!(call["call_uuid"], "UIVB8J6JE91C53UIM3VI59VHQ4000015");
    assert_eq!(
        (&call["direction"], &call["answered_by"]),
        (&"inbound".into(), &"talk".into())
    );
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
    assert_eq!(
        desk.page.states().first().map(String::as_str),
        Some("ringing")
    );
    assert_eq!(desk.page.remote_control(), ["talk"]);
    assert_eq!(desk.customer.heard().ssrcs.len(), 1, "one call, one stream");
    assert_eq!(
        ports_offered(&sipp.received()),
        1,
        "the re-INVITE is answered from the same port"
    );
}

/// How many different RTP ports were named to SIP Server.
fn ports_offered(received: &[String]) -> usize {
    let ports: std::collections::BTreeSet<_> = received
        .iter()
        .flat_map(|message| message.lines())
        .filter_map(|line| line.strip_prefix("m=audio ")?.split(' ').next())
        .collect();
    ports.len()
}

/// A firewall on the caller's side: the agent is told that nothing comes from there, instead of saying hello for a minute.
#[tokio::test]
async fn a_caller_who_is_not_heard_is_told_of() {
    let desk = Desk::start().await;
    let nobody = std::net::SocketAddr::new(desk.site.media(), 9);
    let mut sipp = desk.calling("uac-invite-talk-answer").media(nobody).start();
    desk.page.call_in("talking").await;
    let missing = eventually_some("the page is told", || {
        let calls = &desk.page.state().calls;
        let call = calls.iter().find(|call| call["state"] == "talking")?;
        Some(call["audio_missing"].clone()).filter(|missing| !missing.is_null())
    })
    .await;
    assert_eq!(
        missing,
        serde_json::json!({"direction": "to_agent", "reason": "nothing"})
    );
    desk.gateway
        .metric_is(
            "talkbridge_one_way_audio_total",
            "dir=\"to_agent\",reason=\"nothing\"",
            1.0,
        )
        .await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn the_agents_own_click_answers() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-agent-answers").start();
    desk.page.call_in("ringing").await;
    desk.page.control("answer").await;
    let call = desk.page.call_in("talking").await;
    assert_eq!(call["answered_by"], "agent");
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
    assert!(desk.page.remote_control().is_empty());
}

#[tokio::test]
async fn an_agent_may_refuse() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-agent-rejects").start();
    desk.page.call_in("ringing").await;
    desk.page.control("reject").await;
    sipp.passes().await;
    desk.ended("agent_reject").await;
}

#[tokio::test]
async fn an_agent_may_hang_up() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    sipp.cue().await;
    desk.page.control("hangup").await;
    sipp.passes().await;
    desk.ended("agent_hangup").await;
}

#[tokio::test]
async fn a_talk_that_is_repeated_answers_once() {
    let desk = Desk::start().await;
    let sipp = desk.calling("uac-talk-retransmitted").passes().await;
    desk.ended("remote_hangup").await;
    let confirmed = sipp.received().into_iter().filter(|message| {
        message.starts_with("SIP/2.0 200") && header(message, "CSeq") == Some("2 NOTIFY")
    });
    assert_eq!(confirmed.count(), 2, "each talk is confirmed");
    assert_eq!(desk.page.remote_control(), ["talk"]);
}

#[tokio::test]
async fn a_talk_after_the_answer_changes_nothing() {
    let desk = Desk::start().await;
    desk.calling("uac-talk-after-answer").passes().await;
    desk.ended("remote_hangup").await;
    let states = desk.page.states();
    assert_eq!(
        states.iter().filter(|state| *state == "talking").count(),
        1,
        "{states:?}"
    );
}

#[tokio::test]
async fn a_talk_with_other_tags_answers_nothing() {
    let desk = Desk::start().await;
    desk.calling("uac-talk-wrong-tags").passes().await;
    desk.ended("remote_cancel").await;
    assert!(desk.page.remote_control().is_empty());
    assert!(!desk.page.states().contains(&"talking".to_owned()));
}

#[tokio::test]
async fn a_talk_from_a_stranger_is_forbidden() {
    stranger("forbidden", "uac-talk-stranger-forbidden").await;
}

#[tokio::test]
async fn a_talk_from_a_stranger_is_met_with_silence() {
    stranger("silent", "uac-talk-stranger-silent").await;
}

/// The forger knows all of the call that rings, but is not SIP Server.
async fn stranger(refuse: &str, scenario: &str) {
    let desk = Desk::start_with(|config| config["sip"]["refuse"] = refuse.into()).await;
    let mut rings = desk.calling("uac-invite-rings").start();
    let ringing = rings.got("SIP/2.0 180").await;
    let tag = |name| {
        let value = header(&ringing, name).and_then(|value| value.split("tag=").nth(1));
        value.expect("both have a tag").to_owned()
    };
    SippOptions::calling(&desk.site, scenario)
        .from(desk.site.stranger())
        .call_id(rings.call_id())
        .key("server_ip", desk.site.sip_server())
        .key("to_tag", tag("To"))
        .key("from_tag", tag("From"))
        .passes()
        .await;
    desk.gateway
        .metric_is("talkbridge_sip_refused_total", "source", 1.0)
        .await;
    assert_eq!(desk.page.call()["state"], "ringing");
    rings.cue().await;
    rings.passes().await;
    desk.ended("remote_cancel").await;
    assert!(desk.page.remote_control().is_empty());
}

#[tokio::test]
async fn a_talk_outside_a_dialog_is_refused() {
    let desk = Desk::start().await;
    desk.calling("uac-talk-outside-dialog").passes().await;
    assert!(desk.page.call().is_null());
}

#[tokio::test]
async fn a_caller_may_give_up() {
    let desk = Desk::start().await;
    desk.calling("uac-cancel-ringing").passes().await;
    desk.ended("remote_cancel").await;
}

#[tokio::test]
async fn a_cancel_that_crosses_the_answer_ends_nothing() {
    let desk = Desk::start().await;
    desk.calling("uac-cancel-after-answer").passes().await;
    desk.ended("remote_hangup").await;
    assert!(desk.page.states().contains(&"talking".to_owned()));
}

#[tokio::test]
async fn an_unknown_dn_is_404() {
    let desk = Desk::start().await;
    desk.calling("uac-invite-unknown-dn")
        .dn("4711")
        .passes()
        .await;
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", "unknown_dn", 1.0)
        .await;
}

#[tokio::test]
async fn a_dn_whose_agent_is_not_signed_in_is_480() {
    let desk = Desk::start().await;
    desk.calling("uac-invite-signed-out")
        .dn("1003")
        .passes()
        .await;
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", "not_signed_in", 1.0)
        .await;
}

#[tokio::test]
async fn a_call_without_a_common_codec_is_488() {
    let desk = Desk::start().await;
    desk.calling("uac-invite-no-common-codec").passes().await;
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", "no_common_codec", 1.0)
        .await;
    assert!(
        desk.page.call().is_null(),
        "what cannot be heard must not ring"
    );
}

/// Each way to mark a call that desktops and SIP Servers know.
#[tokio::test]
async fn a_marked_call_is_answered_by_itself() {
    let desk = Desk::start().await;
    for mark in [
        "Alert-Info: <http://192.0.2.81>;info=alert-autoanswer",
        "Alert-Info: ring answer",
        "Answer-Mode: Auto",
        "Call-Info: <sip:192.0.2.81>;answer-after=0",
        "Call-Info: <sip:192.0.2.81>;answer-after=1",
    ] {
        let customer = Customer::start(desk.site.media()).await;
        let marked = desk.calling("uac-invite-auto-answer").key("mark", mark);
        let mut sipp = marked.media(customer.address()).start();
        let call = desk.page.call_in("talking").await;
        assert_eq!(call["answered_by"], "auto", "{mark}");
        customer.hears(PAGE_HZ).await;
        desk.page.hears(CUSTOMER_HZ).await;
        sipp.cue().await;
        sipp.passes().await;
        desk.ended("remote_hangup").await;
    }
}

/// What is no wish for an answer is none: the call rings.
#[tokio::test]
async fn a_call_that_is_not_marked_rings() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    for lines in [
        "Answer-Mode: Manual\n",
        "Alert-Info: <http://192.0.2.81>;info=alert-external\n",
        "Call-Info: <sip:192.0.2.81>;answer-after=60000\n",
    ] {
        let media = desk.customer.address();
        let call = server.rings("1002", lines, media).await;
        desk.page.call_in("ringing").await;
        // What is asked later is answered later: by then the call would have been.
        server.finds_it_alive(lines).await;
        server.gives_up(&call).await;
        desk.ended("remote_cancel").await;
        assert!(
            !desk.page.states().contains(&"talking".to_owned()),
            "{lines}"
        );
    }
}

/// SIP Server changes a call that still rings: it is asked to come again later (RFC 3261 section 14.2), and the call goes on ringing.
#[tokio::test]
async fn a_reinvite_before_the_answer_is_asked_to_wait() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.rings("1002", "", desk.customer.address()).await;
    let early = call.request("INVITE", "", "");
    assert_eq!(server.asks(&early).await, 500);
    let refused = |message: &str| message.starts_with("SIP/2.0 500");
    let refusal = server.hears("500", refused).await;
    let after = header(&refusal, "Retry-After").and_then(|value| value.parse::<u32>().ok());
    assert!(after.is_some_and(|after| after <= 10), "{refusal}");
    assert_eq!(
        server
            .asks(&call.request("NOTIFY", "Event: talk\n", ""))
            .await,
        200
    );
    server.confirms(&mut call).await;
    desk.both_hear().await;
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn an_offer_in_a_multipart_body_is_found() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-multipart").start();
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
}

#[tokio::test]
async fn compact_headers_make_a_call_too() {
    let desk = Desk::start().await;
    desk.calling("uac-invite-compact-headers").passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn the_reason_of_a_bye_is_shown() {
    let desk = Desk::start().await;
    desk.calling("uac-bye-with-reason").passes().await;
    let call = desk.page.call_in("ended").await;
    assert_eq!(call["end"]["by"], "remote");
    assert!(
        call["end"]["reason"]
            .as_str()
            .is_some_and(|text| text.contains("Busy Here")),
        "{call}"
    );
}

#[tokio::test]
async fn a_lost_ack_is_waited_for() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-lost-ack").start();
    repeated_answer(&sipp, 3).await;
    sipp.cue().await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

/// Waits until the 200 of the INVITE has come `times` times.
async fn repeated_answer(sipp: &interop_tests::Sipp, times: usize) {
    eventually("the answer is repeated", || {
        let answers = sipp.received().into_iter().filter(|message| {
            message.starts_with("SIP/2.0 200") && header(message, "CSeq") == Some("1 INVITE")
        });
        answers.count() >= times
    })
    .await;
}

#[tokio::test]
async fn a_second_call_rings_and_a_third_hears_busy() {
    let desk = Desk::start_with(|config| config["limits"]["calls_per_agent"] = 2.into()).await;
    let mut first = desk.calling("uac-second-call").start();
    desk.page.call_in("talking").await;
    // A customer of its own: what the first one hears says nothing about the second call.
    let other = Customer::start(desk.site.media()).await;
    let second = desk.calling("uac-invite-agent-answers");
    let mut second = second.media(other.address()).start();
    desk.page.call_in("ringing").await;
    desk.calling("uac-invite-busy").passes().await;
    desk.page.control("answer").await;
    desk.page.call_in("talking").await;
    eventually("the first call is held", || {
        desk.page.state().calls[0]["state"] == "held"
    })
    .await;
    other.hears(PAGE_HZ).await;
    desk.customer.hears_nothing().await;
    desk.page.hears(CUSTOMER_HZ).await;
    second.cue().await;
    second.passes().await;
    first.cue().await;
    first.passes().await;
    desk.gateway
        .metric_is("talkbridge_calls_active", "", 0.0)
        .await;
}

#[tokio::test]
async fn a_challenge_from_elsewhere_gets_no_credentials() {
    let desk = Desk::start_with(|config| {
        config["agents"] = serde_json::json!([{"dn": "1002", "password": "secret"}]);
    })
    .await;
    let mut sipp = desk.calling("uac-bye-challenged").start();
    desk.both_hear().await;
    desk.page.control("hangup").await;
    sipp.passes().await;
    desk.ended("agent_hangup").await;
    let answered = sipp
        .received()
        .iter()
        .any(|message| message.contains("uthorization:"));
    assert!(!answered, "{:#?}", sipp.received());
}

/// Ports for one call, and two customers: the second is sent elsewhere, the first notices nothing. When her ports have rested calls are taken again.
#[tokio::test]
async fn a_call_without_a_port_is_sent_elsewhere() {
    let desk = Desk::start_with(|config| config["media"]["ports"] = "16384-16385".into()).await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let media = desk.customer.address();
    let mut first = server.talks("1002", media).await;
    desk.both_hear().await;
    let second = server.tries("1002", "", media).await;
    assert_eq!(second.err(), Some(503));
    let ended = "talkbridge_calls_ended_total";
    let no_port = "cause=\"no_port\"";
    desk.gateway.metric_is(ended, no_port, 1.0).await;
    desk.both_hear().await;
    assert_eq!(server.asks(&first.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
    let rings = eventually_async("the ports have rested", || async {
        server.tries("1002", "", media).await.ok()
    })
    .await;
    server.gives_up(&rings).await;
    desk.ended("remote_cancel").await;
}

#[tokio::test]
async fn a_draining_gateway_takes_no_new_call_and_keeps_the_old() {
    let desk = Desk::start().await;
    let mut call = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    let answer = desk
        .gateway
        .post("/api/v1/drain", &serde_json::json!({}))
        .await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    desk.calling("uac-invite-draining").passes().await;
    let dial = json!({"type": "dial", "number": "2000"});
    let refused = desk.page.request(dial).await;
    assert_eq!(refused["code"], "draining", "{refused}");
    let number = json!({"number": "2000"});
    let path = "/api/v1/agents/1002/dial";
    let refused = desk.gateway.post(path, &number).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (503, &json!("draining"))
    );
    assert_eq!(desk.page.state().calls.len(), 1, "nothing was dialled");
    desk.both_hear().await;
    call.cue().await;
    desk.page.control("hangup").await;
    call.passes().await;
}

#[tokio::test]
async fn a_caller_may_insist_on_acknowledging_the_ringing() {
    let desk = Desk::start().await;
    desk.calling("uac-invite-100rel").passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn the_way_back_leads_over_the_proxies_that_were_recorded() {
    hung_up_over("uac-record-route").await;
}

#[tokio::test]
async fn a_proxy_of_the_old_kind_is_on_the_way_back_too() {
    hung_up_over("uac-record-route-strict").await;
}

async fn hung_up_over(scenario: &str) {
    let desk = Desk::start().await;
    let mut sipp = desk.calling(scenario).start();
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    sipp.cue().await;
    sipp.got("INFO").await;
    desk.page.control("hangup").await;
    sipp.passes().await;
    desk.ended("agent_hangup").await;
}

#[tokio::test]
async fn a_late_repetition_of_an_invite_rings_nobody() {
    // The scenario waits for 64*T1.
    let desk = Desk::start_with(|config| {
        config["sip"]["timers"] = json!({"t1_ms": 20, "t2_ms": 160, "t4_ms": 200});
    })
    .await;
    desk.calling("uac-invite-again").passes().await;
    desk.ended("remote_hangup").await;
    let merged = r#"reason="merged""#;
    desk.gateway
        .metric_is("talkbridge_sip_refused_total", merged, 2.0)
        .await;
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", "", 1.0)
        .await;
}
