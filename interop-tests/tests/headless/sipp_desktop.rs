//! What the desktop is told of a call, and what it may ask for inside one.

use interop_tests::attack::{SipPeer, crlf};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::sipp::header;
use interop_tests::{Customer, Desk, Page, eventually};
use serde_json::json;

#[tokio::test]
async fn the_page_is_told_what_sip_server_knows_of_a_call() {
    let desk = Desk::start_with(|config| config["sip"]["pass_headers"] = json!(["X-Site"])).await;
    let mut sipp = desk.calling("uac-invite-headers").start();
    let call = desk.page.call_in("ringing").await;
    let name = "Zoe <img src=x onerror=alert(1)>";
    assert_eq!(
        call["remote"],
        json!({"number": "+493012345", "name": name})
    );
    let dialled = json!({"number": "0800123", "name": "Hotline", "reason": "no-answer"});
    assert_eq!(call["diverted_from"], dialled);
    let user = json!({"data": "0441636374", "encoding": "hex", "text": "Acct"});
    assert_eq!(call["user_to_user"], user);
    let more = json!([{"data": "ticket, 42", "encoding": "text", "purpose": "tickets"}]);
    assert_eq!(call["more_user_to_user"], more);
    assert_eq!(call["ring"], "external");
    assert_eq!(
        call["attached"],
        json!({"Segment": "<b onclick=\"alert(2)\">gold</b>"})
    );
    assert_eq!(
        call["headers"],
        json!({"X-Site": "Berlin"}),
        "and no other header"
    );
    let record = desk.gateway.get("/api/v1/calls").await.json();
    assert!(record.to_string().contains("0800123"), "{record}");
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_cancel").await;
}

#[tokio::test]
async fn the_page_is_told_where_a_call_went_before() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-history-info").start();
    let call = desk.page.call_in("ringing").await;
    let dialled = json!({"number": "0800123", "name": "Hotline", "reason": "no-answer"});
    assert_eq!(call["diverted_from"], dialled, "{call}");
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_cancel").await;
}

/// Seven forms of one wish: the far end hears each key once and in its order, and a call's page is told what was pressed.
#[tokio::test]
async fn digits_of_the_desktop_reach_the_far_end() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-dtmf-notify").start();
    desk.both_hear().await;
    sipp.cue().await;
    eventually("the far end hears the keys", || {
        desk.customer.heard().keys == [5, 11, 1, 2, 0, 1, 3, 4, 6, 0, 7, 8, 9]
    })
    .await;
    let asked: String = desk
        .page
        .messages("remote_control")
        .iter()
        .filter_map(|message| message["digits"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(asked, "5#12013460789");
    sipp.cue().await;
    sipp.passes().await;
    // The last two are in a form that nobody knows: the operator reads which, and not what it held.
    let words = ["WARN", "digits in a form that is not known"];
    let line = desk.gateway.logs(&words).await;
    assert!(
        line.contains("NOTIFY") && line.contains("application/dtmf-relay"),
        "{line}"
    );
    assert!(!desk.gateway.log().contains("Signal="));
}

/// Keys by NOTIFY in four octets, told of when they go down and when they go up: the far end hears each once.
#[tokio::test]
async fn a_key_told_down_and_up_is_heard_once() {
    const KEYS: [[u8; 4]; 5] = [
        [4, 0x0a, 7, 0xd0],
        [4, 0x8a, 0, 0x90],
        [2, 0x0a, 7, 0xd0],
        [2, 0x0a, 0x0f, 0xa0],
        [2, 0x8a, 0x13, 0x88],
    ];
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    let mut call = server.talks("1002", desk.customer.address()).await;
    desk.both_hear().await;
    for octets in KEYS {
        let lines = "Event: telephone-event;rate=1000\nContent-Type: audio/telephone-event\n";
        let head = call.request("NOTIFY", lines, "");
        let head = head.replace("Content-Length: 0", "Content-Length: 4");
        server
            .send(&[crlf(&head).as_bytes(), &octets].concat())
            .await;
        let answered = format!("CSeq: {} NOTIFY", call.cseq);
        let answered = server
            .hears("an answer", |message| message.contains(&answered))
            .await;
        assert!(answered.starts_with("SIP/2.0 200"), "{answered}");
    }
    assert_eq!(
        server
            .asks(&call.request("NOTIFY", "Event: dtmf;digits=9\n", ""))
            .await,
        200
    );
    eventually("the last key is heard", || {
        desk.customer.heard().keys.contains(&9)
    })
    .await;
    assert_eq!(desk.customer.heard().keys, [4, 2, 9]);
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn keys_go_by_info_where_the_far_end_knows_no_events() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-dtmf-by-info").start();
    desk.both_hear().await;
    sipp.cue().await;
    let call = desk.page.call()["id"].clone();
    let pressed = json!({"type": "dtmf", "call": call, "digits": "1#2"});
    assert_eq!(desk.page.request(pressed).await["type"], "ok");
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

/// The caller's bank reads keys from the sound, and the agent sees what the caller presses.
#[tokio::test]
async fn keys_go_in_band_where_the_site_wants_it() {
    let desk = Desk::start_with(|config| config["media"]["dtmf_fallback"] = json!("inband")).await;
    let mut sipp = desk.calling("uac-dtmf-inband").start();
    desk.both_hear().await;
    sipp.cue().await;
    eventually("the page sees the caller's key", || {
        desk.page.messages("dtmf_received").len() == 1
    })
    .await;
    let call = desk.page.call()["id"].clone();
    assert_eq!(
        desk.page.messages("dtmf_received"),
        [json!({"type": "dtmf_received", "call": call, "digit": "7"})],
    );
    let pressed = json!({"type": "dtmf", "call": call, "digits": "5555555555"});
    assert_eq!(desk.page.request(pressed).await["type"], "ok");
    eventually("the far end hears key 5", || {
        desk.customer.heard().ear.hears_key(770, 1_336)
    })
    .await;
    desk.both_hear().await;
    assert_eq!(desk.customer.heard().ssrcs.len(), 1, "one stream");
    sipp.cue().await;
    sipp.passes().await;
}

#[tokio::test]
async fn keys_that_cannot_be_sent_are_refused() {
    let desk = Desk::start_with(|config| config["media"]["dtmf_fallback"] = json!("none")).await;
    let mut sipp = desk.calling("uac-dtmf-inband").start();
    desk.both_hear().await;
    sipp.cue().await;
    let call = desk.page.call()["id"].clone();
    let pressed = json!({"type": "dtmf", "call": call, "digits": "5"});
    let reply = desk.page.request(pressed).await;
    assert_eq!(
        (&reply["type"], &reply["code"]),
        (&json!("error"), &json!("not_supported"))
    );
    let id = call.as_str().unwrap_or_default();
    let path = format!("/api/v1/calls/{id}/dtmf");
    let refused = desk.gateway.post(&path, &json!({"digits": "5"})).await;
    assert_eq!(refused.status, 409);
    eventually("the page sees the caller's key", || {
        desk.page.messages("dtmf_received").len() == 1
    })
    .await;
    sipp.cue().await;
    sipp.passes().await;
}

/// The far end presses keys in its media: the page shows each once.
#[tokio::test]
async fn the_page_sees_what_the_caller_presses() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    desk.customer.press(&[5, 5, 11]);
    eventually("the page sees the keys", || {
        let seen = desk.page.messages("dtmf_received");
        let keys: Vec<&str> = seen
            .iter()
            .filter_map(|key| key["digit"].as_str())
            .collect();
        keys == ["5", "5", "#"]
    })
    .await;
    sipp.cue().await;
    desk.page.control("hangup").await;
    sipp.passes().await;
    assert!(
        !desk.gateway.log().contains("\"digit\""),
        "no log holds a key"
    );
}

#[tokio::test]
async fn a_beep_is_heard_by_the_agent() {
    const BEEP_HZ: u32 = 1_400;
    let desk = Desk::start().await;
    desk.page.state().ear.await_tone(BEEP_HZ);
    let mut sipp = desk.calling("uac-notify-beep").start();
    desk.both_hear().await;
    assert!(!desk.page.state().ear.noticed(BEEP_HZ));
    sipp.cue().await;
    eventually("the agent hears the beep", || {
        desk.page.state().ear.noticed(BEEP_HZ)
    })
    .await;
    desk.page.hears(CUSTOMER_HZ).await;
    assert!(desk.page.remote_control().contains(&"beep".to_owned()));
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

/// An INVITE that answers itself, while the agent is talking: the call that is up goes on hold, and nobody hears the other.
#[tokio::test]
async fn a_call_that_answers_itself_puts_the_other_on_hold() {
    let desk = Desk::start().await;
    let mut first = desk.calling("uac-second-call").start();
    desk.both_hear().await;
    let other = Customer::start(desk.site.media()).await;
    let second = desk.calling("uac-invite-auto-answer");
    let mut second = second.media(other.address()).start();
    eventually("the second call is answered", || {
        let state = desk.page.state();
        state.calls.len() == 2 && state.calls[1]["state"] == "talking"
    })
    .await;
    assert_eq!(desk.page.state().calls[1]["answered_by"], "auto");
    assert_eq!(desk.page.state().calls[0]["held_by"], "agent");
    other.hears(interop_tests::gateway::PAGE_HZ).await;
    desk.customer.hears_nothing().await;
    second.cue().await;
    second.passes().await;
    first.cue().await;
    first.passes().await;
}

#[tokio::test]
async fn waiting_messages_are_shown() {
    let desk = Desk::start().await;
    desk.calling("uac-notify-message-summary").passes().await;
    let shown = json!({"type": "message_waiting", "waiting": true, "new": 2, "old": 8});
    eventually("the page is told", || {
        desk.page.messages("message_waiting") == [shown.clone()]
    })
    .await;
    let again = Page::sign_in(&desk.gateway, "1002").await;
    assert_eq!(again.messages("welcome")[0]["message_waiting"]["new"], 2);
}

#[tokio::test]
async fn an_instant_message_is_refused_or_shown_as_the_site_wants() {
    let desk = Desk::start().await;
    desk.calling("uac-message-refused").passes().await;
    assert!(desk.page.messages("instant_message").is_empty());
    let desk = Desk::start_with(|config| config["sip"]["messages"] = json!("show")).await;
    desk.calling("uac-message-shown").passes().await;
    let from = json!({"number": "1003"});
    let shown = json!({"type": "instant_message", "from": from, "text": "Lunch at <b>noon</b>?"});
    eventually("the page is told", || {
        desk.page.messages("instant_message") == [shown.clone()]
    })
    .await;
    let mut call = desk.calling("uac-cancel-ringing").start();
    let ringing = call.got("SIP/2.0 180").await;
    let allowed = header(&ringing, "Allow").unwrap_or_default();
    assert!(allowed.contains("MESSAGE"), "{ringing}");
    call.passes().await;
}

/// Nobody is signed in at 1003: SIP Server is told so, and routes its calls elsewhere.
#[tokio::test]
async fn options_tells_whether_somebody_is_signed_in() {
    let change =
        |config: &mut serde_json::Value| config["sip"]["options"] = json!("signed_in_only");
    let desk = Desk::start_with(change).await;
    desk.calling("uac-options").passes().await;
    desk.calling("uac-options-signed-out")
        .dn("1003")
        .passes()
        .await;
}
