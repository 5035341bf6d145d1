//! Calls that are handed to somebody else, by the agent or by SIP Server.

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::sipp::header;
use interop_tests::{Customer, Desk, Registrar, Sipp, SippOptions, eventually, eventually_some};
use serde_json::{Value, json};

/// Hands the newest call to this number.
async fn hand_over(desk: &Desk, number: &str) {
    let request = json!({"type": "transfer", "call": desk.page.call()["id"], "to": number});
    let reply = desk.page.request(request).await;
    assert_eq!(reply["type"], "ok", "{reply}");
}

/// The states of the newest call's transfer, repetitions left out.
fn told(desk: &Desk) -> Vec<String> {
    let mut states: Vec<String> = desk
        .page
        .messages("call")
        .iter()
        .filter_map(|message| message["call"]["transfer"]["state"].as_str())
        .map(str::to_owned)
        .collect();
    states.dedup();
    states
}

/// What the page reads of a transfer that came to nothing.
async fn failed(desk: &Desk) -> Value {
    eventually_some("the transfer fails", || {
        let transfer = desk.page.call()["transfer"].clone();
        (transfer["state"] == "failed").then_some(transfer)
    })
    .await
}

#[tokio::test]
async fn a_caller_is_handed_to_a_number() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-blind").start();
    desk.both_hear().await;
    hand_over(&desk, "1005").await;
    sipp.passes().await;
    desk.ended("transferred").await;
    assert_eq!(told(&desk), ["asking", "trying", "ringing", "done"]);
    desk.gateway
        .metric_is(
            "talkbridge_transfers_total",
            r#"kind="blind",result="done""#,
            1.0,
        )
        .await;
}

#[tokio::test]
async fn a_transfer_without_bye_is_ended_by_us() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-blind-no-bye").start();
    desk.both_hear().await;
    hand_over(&desk, "1005").await;
    sipp.passes().await;
    desk.ended("transferred").await;
}

#[tokio::test]
async fn an_agent_has_the_caller_back_when_the_target_is_busy() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-target-busy").start();
    desk.both_hear().await;
    hand_over(&desk, "1005").await;
    let transfer = failed(&desk).await;
    assert_eq!(
        (&transfer["sip_status"], &transfer["reason"]),
        (&json!(486), &json!("Busy Here"))
    );
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
    desk.ended("remote_hangup").await;
}

#[tokio::test]
async fn an_administrator_may_transfer_and_reads_that_it_was_refused() {
    let desk = Desk::start().await;
    let mut sipp = desk.calling("uac-transfer-refused").start();
    desk.both_hear().await;
    let call = desk.page.call()["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let path = format!("/api/v1/calls/{call}/transfer");
    let answer = desk.gateway.post(&path, &json!({"to": "1005"})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(failed(&desk).await["sip_status"], 603);
    desk.both_hear().await;
    let record = desk
        .gateway
        .get(&format!("/api/v1/calls/{call}"))
        .await
        .json();
    assert_eq!(record["transfer"]["reason"], "Decline", "{record}");
    sipp.cue().await;
    sipp.passes().await;
}

/// An agent whose SIP Server is a SIPp that takes the endpoint's own calls, and the telephone that they reach.
async fn endpoint(scenario: &str) -> (Desk, Sipp, Customer) {
    let Desk {
        page,
        customer,
        gateway,
        registrar,
        site,
    } = Desk::start().await;
    // The port changes hands: the registration is good for half an hour.
    drop(registrar);
    let port = site.server_sip();
    let free = || std::net::UdpSocket::bind(port).is_ok();
    eventually("the registrar's port is free", free).await;
    let callee = Customer::start(site.media()).await;
    let sipp = SippOptions::registrar(&site, scenario)
        .media(callee.address())
        .start();
    eventually("SIPp listens", || !free()).await;
    // Nobody listens here; the place of the one that is gone has to be filled.
    let elsewhere = std::net::SocketAddr::new(site.sip_server(), 0);
    let registrar = Registrar::start(elsewhere).await.expect("any port");
    let desk = Desk {
        page,
        customer,
        gateway,
        registrar,
        site,
    };
    (desk, sipp, callee)
}

#[tokio::test]
async fn the_desktop_dials_by_refer() {
    let (desk, mut sipp, callee) = endpoint("uas-invite-dial").await;
    desk.calling("uac-refer-make-call").passes().await;
    let call = desk.page.call_in("talking").await;
    assert_eq!(
        (&call["direction"], &call["remote"]["number"]),
        (&json!("outbound"), &json!("1003"))
    );
    callee.hears(PAGE_HZ).await;
    desk.page.hears(CUSTOMER_HZ).await;
    desk.page.control("hangup").await;
    sipp.passes().await;
    desk.ended("agent_hangup").await;
}

#[tokio::test]
async fn the_desktop_reads_that_a_number_it_dialled_by_refer_is_busy() {
    let (desk, mut sipp, _) = endpoint("uas-invite-dial-rejected").await;
    desk.calling("uac-refer-target-busy").passes().await;
    sipp.passes().await;
    let call = desk.page.call_in("ended").await;
    assert_eq!(call["end"]["sip_status"], 486, "{call}");
}

/// Where the site has said that it does not dial by REFER, no telephone of an agent dials by itself.
#[tokio::test]
async fn a_site_without_refer_refuses_it() {
    let desk = Desk::start_with(|config| config["sip"]["refer"] = json!("within_calls")).await;
    desk.calling("uac-refer-refused").passes().await;
    assert!(desk.page.call().is_null(), "nothing is dialled");
}

#[tokio::test]
async fn sip_server_moves_a_call_by_refer() {
    let (desk, mut sipp, callee) = endpoint("uas-invite-replaces").await;
    let mut old = desk.calling("uac-refer-within-call").start();
    desk.page.call_in("talking").await;
    desk.page.control("hold").await;
    old.got("ACK").await;
    old.cue().await;
    old.passes().await;
    let call = desk.page.call_in("talking").await;
    assert_eq!(call["remote"]["number"], "1005");
    callee.hears(PAGE_HZ).await;
    desk.page.hears(CUSTOMER_HZ).await;
    desk.page.control("hangup").await;
    sipp.passes().await;
    desk.ended("agent_hangup").await;
    let causes = |cause: &str| format!("cause=\"{cause}\"");
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", &causes("replaced"), 1.0)
        .await;
}

#[tokio::test]
async fn a_call_takes_the_place_of_another() {
    let desk = Desk::start().await;
    let mut old = desk.calling("uac-invite-agent-hangs-up").start();
    desk.both_hear().await;
    old.cue().await;
    let answer = old.got("SIP/2.0 180").await;
    let tag = |name: &str| {
        let value = header(&answer, name).unwrap_or_default();
        value.rsplit("tag=").next().unwrap_or_default().to_owned()
    };
    let mut new = desk
        .calling("uac-invite-replaces")
        .key("old_call", old.call_id())
        .key("old_to_tag", tag("To"))
        .key("old_from_tag", tag("From"))
        .start();
    // Its BYE is what the old call waits for.
    old.passes().await;
    eventually("the new call talks without a click", || {
        let call = desk.page.call();
        call["state"] == "talking" && call["answered_by"] == "auto"
    })
    .await;
    desk.both_hear().await;
    new.cue().await;
    new.passes().await;
    desk.ended("remote_hangup").await;
}
