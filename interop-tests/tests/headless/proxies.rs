//! SIP Proxy in front of SIP Server: several hosts of one name, and any of them may carry the next message of a call.

use interop_tests::attack::{SipPeer, answer};
use interop_tests::sipp::header;
use interop_tests::{Desk, Site};
use serde_json::json;

use crate::referred::agreed;

/// The name of both hosts, which stays in every dialog.
const RECORDED: &str = "<sip:proxy.example.com;lr>";

/// A host of the proxy, which hands everything to SIP Server and its answers back.
async fn instance(desk: &Desk, at: std::net::IpAddr) -> SipPeer {
    listening(desk, at, 5070).await
}

async fn listening(desk: &Desk, at: std::net::IpAddr, port: u16) -> SipPeer {
    let media = interop_tests::attack::description(desk.customer.address());
    let contact = format!("Contact: <sip:1003@{}>\n", desk.site.server_sip());
    SipPeer::with_reflex(&desk.site, at, port, move |request| {
        match request.split(' ').next() {
            Some("INVITE") => vec![agreed(request, &contact, &media)],
            Some("BYE" | "REGISTER" | "OPTIONS") => vec![answer(request, "200 OK", "")],
            _ => Vec::new(),
        }
    })
    .await
}

fn both(site: &Site) -> [String; 2] {
    [site.sip_server(), site.second_server()].map(|host| format!("{host}:5060"))
}

/// A call that one host of the proxy brings is answered, held, retrieved and ended by way of whichever host speaks next: each gets the
/// answers to what it has sent, and our own requests go by the recorded name to the one that was heard last.
#[tokio::test]
async fn the_hosts_of_a_proxy_take_turns_in_a_call() {
    let site = Site::new();
    let registrar = interop_tests::Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("the port is ours");
    let desk = Desk::start_at(site, registrar, |site, config| {
        config["sip"]["servers"] = json!(both(site));
    })
    .await;
    let first = instance(&desk, desk.site.sip_server()).await;
    let second = instance(&desk, desk.site.second_server()).await;

    let recorded = format!("Record-Route: {RECORDED}\n");
    let mut call = first
        .rings("1002", &recorded, desk.customer.address())
        .await;
    call.us = second.local();
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(second.asks(&talk).await, 200);
    let answered = |message: &str| {
        message.starts_with("SIP/2.0 200") && header(message, "CSeq") == Some("1 INVITE")
    };
    let answer = first.hears("200 to INVITE", answered).await;
    assert_eq!(header(&answer, "Record-Route"), Some(RECORDED));
    second.say(&call.ack(1)).await;
    desk.both_hear().await;

    call.us = first.local();
    let hold = call.request("NOTIFY", "Event: hold\n", "");
    assert_eq!(first.asks(&hold).await, 200);
    let held = |message: &str| message.contains("a=sendonly");
    let offer = first.hears("the hold", held).await;
    assert_eq!(header(&offer, "Route"), Some(RECORDED), "{offer}");
    desk.page.call_in("held").await;
    assert_eq!(second.count(held), 0);

    call.us = second.local();
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(second.asks(&talk).await, 200);
    let retrieved =
        |message: &str| message.starts_with("INVITE ") && message.contains("a=sendrecv");
    let offer = second.hears("the retrieval", retrieved).await;
    assert_eq!(header(&offer, "Route"), Some(RECORDED), "{offer}");
    desk.page.call_in("talking").await;
    desk.both_hear().await;
    assert_eq!(first.count(retrieved), 0);

    desk.page.control("hangup").await;
    let bye = second
        .hears("BYE", |message| message.starts_with("BYE "))
        .await;
    assert_eq!(header(&bye, "Route"), Some(RECORDED), "{bye}");
    desk.ended("agent_hangup").await;
}

/// The host of the proxy that has brought the call dies. The agent's hold goes to the other one at once, and so does her BYE: she does not wait half a
/// minute for each, and her caller is not left in a dead call.
#[tokio::test]
async fn a_call_goes_on_by_the_other_host_when_one_dies() {
    let site = Site::new();
    let registrar = interop_tests::Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("the port is ours");
    let desk = Desk::start_at(site, registrar, |site, config| {
        config["sip"]["servers"] = json!(both(site));
        config["sip"]["probe_interval_s"] = json!(1);
    })
    .await;
    let first = instance(&desk, desk.site.sip_server()).await;
    let second = listening(&desk, desk.site.second_server(), 5060).await;
    let recorded = format!("Record-Route: {RECORDED}\n");
    let mut call = first
        .rings("1002", &recorded, desk.customer.address())
        .await;
    let talk = call.request("NOTIFY", "Event: talk\n", "");
    assert_eq!(first.asks(&talk).await, 200);
    first.say(&call.ack(1)).await;
    desk.both_hear().await;

    desk.registrar.fall_silent();
    let dead = desk.site.server_sip().to_string();
    let silent = ["WARN", "SIP Server does not answer", &dead];
    desk.gateway.logs(&silent).await;
    desk.page.control("hold").await;
    let held = |message: &str| message.contains("a=sendonly");
    let offer = second.hears("the hold", held).await;
    assert_eq!(header(&offer, "Route"), Some(RECORDED), "{offer}");
    desk.page.call_in("held").await;
    desk.page.control("hangup").await;
    let ends = |message: &str| message.starts_with("BYE ");
    let bye = second.hears("BYE", ends).await;
    assert_eq!(header(&bye, "Route"), Some(RECORDED), "{bye}");
    desk.ended("agent_hangup").await;
    assert_eq!(first.count(|message| held(message) || ends(message)), 0);
}
