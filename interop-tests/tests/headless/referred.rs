//! SIP Server moves a call by REFER, and the number that it names does not take it.

use interop_tests::attack::{Dialog, SipPeer, answer, crlf, description};
use interop_tests::sipp::header;
use interop_tests::{Customer, Gateway, Page, Site, eventually};

/// SIP Server at its own address: it registers the DN, agrees to what is offered within a call, hears the news, and refuses every new call.
async fn refusing(site: &Site, customer: &Customer, refusal: &'static str) -> SipPeer {
    let media = description(customer.address());
    let contact = format!("Contact: <sip:1003@{}>\n", site.server_sip());
    SipPeer::with_reflex(
        site,
        site.sip_server(),
        site.server_sip().port(),
        move |request| {
            let within = header(request, "To").is_some_and(|to| to.contains("tag="));
            let method = request.split(' ').next().unwrap_or_default();
            match (method, within) {
                ("INVITE", true) => vec![agreed(request, &contact, &media)],
                ("INVITE", false) => vec![answer(request, refusal, "")],
                ("REGISTER" | "OPTIONS" | "NOTIFY", _) => vec![answer(request, "200 OK", "")],
                _ => Vec::new(),
            }
        },
    )
    .await
}

/// The answer of a telephone to whichever direction it is offered.
pub(super) fn agreed(offer: &str, contact: &str, media: &str) -> String {
    let direction = match offer.contains("a=sendonly") {
        true => "recvonly",
        false => "sendrecv",
    };
    let body = media.replace("sendrecv", direction);
    let lines = format!("{contact}Content-Type: application/sdp\n");
    let head = answer(offer, "200 OK", &lines);
    let length = format!("Content-Length: {}", crlf(&body).len());
    head.replace("Content-Length: 0", &length) + &body
}

/// The status lines of the news that SIP Server has read in this call, each with the state of the subscription.
fn news(server: &SipPeer, call: &Dialog) -> Vec<(String, String)> {
    let heard = server.heard();
    let of_call = |message: &&String| {
        message.starts_with("NOTIFY ") && header(message, "Call-ID") == Some(&call.call_id)
    };
    let mut news: Vec<(String, String)> = heard
        .iter()
        .filter(of_call)
        .map(|message| {
            let body = message.split("\r\n\r\n").nth(1).unwrap_or_default();
            let state = header(message, "Subscription-State").unwrap_or_default();
            (body.trim().to_owned(), state.to_owned())
        })
        .collect();
    news.dedup();
    news
}

/// REFER to `target` in a call that is up; the number refuses, and everything is as it was.
async fn a_call_stays(target: &str, refusal: &'static str) {
    let site = Site::new();
    let customer = Customer::start(site.media()).await;
    let server = refusing(&site, &customer, refusal).await;
    let gateway = Gateway::start(&site).await;
    let page = Page::sign_in(&gateway, "1002").await;
    let mut call = server.talks("1002", customer.address()).await;
    customer.hears(interop_tests::gateway::PAGE_HZ).await;
    let kept = page.call()["id"].clone();

    let target = target.replace("HOST", &site.sip_server().to_string());
    let refer = call.request("REFER", &format!("Refer-To: <{target}>\n"), "");
    assert_eq!(server.asks(&refer).await, 202);
    let number = call.cseq;
    eventually("SIP Server reads the refusal", || {
        let last = news(&server, &call).pop();
        last.is_some_and(|(line, _)| line == format!("SIP/2.0 {refusal}"))
    })
    .await;
    let told = news(&server, &call);
    let (last, before) = told.split_last().expect("there is the refusal");
    assert!(
        last.1.starts_with("terminated;reason=noresource"),
        "{last:?}"
    );
    assert!(
        before
            .iter()
            .all(|(line, state)| line.starts_with("SIP/2.0 1") && state.starts_with("active")),
        "{told:?}"
    );
    let notify = server
        .hears("NOTIFY", |message| message.starts_with("NOTIFY "))
        .await;
    let event = format!("refer;id={number}");
    assert_eq!(header(&notify, "Event"), Some(event.as_str()));

    let invites = server.heard();
    let new = invites
        .iter()
        .find(|message| message.starts_with("INVITE sip:1005@"))
        .expect("the number was called");
    let replaces = target.split("Replaces=").nth(1);
    assert_eq!(
        header(new, "Replaces").is_some(),
        replaces.is_some(),
        "{new}"
    );

    page.call_with_id_in(&kept, "talking").await;
    let held = |message: &str| message.contains("a=sendonly");
    assert!(
        server.count(held) > 0,
        "the caller waited on hold meanwhile"
    );
    customer.hears(interop_tests::gateway::PAGE_HZ).await;
    page.hears(interop_tests::customer::CUSTOMER_HZ).await;
    assert_eq!(server.count(|message| message.starts_with("BYE ")), 0);
    assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
    let all_over = || {
        page.state()
            .calls
            .iter()
            .all(|call| call["state"] == "ended")
    };
    eventually("both calls are over", all_over).await;
    gateway.metric_is("talkbridge_calls_active", "", 0.0).await;
}

/// The agent has her caller back, off hold, when the number that SIP Server sends her to declines.
#[tokio::test]
async fn a_caller_is_kept_when_the_number_declines() {
    a_call_stays("sip:1005@HOST", "603 Decline").await;
}

/// The same when the call was to take another's place (`transfer-complete-by-refer`), and that one is busy.
#[tokio::test]
async fn a_caller_is_kept_when_the_call_to_be_replaced_is_busy() {
    let replaces = "Replaces=consult-1%40sip-server%3Bto-tag%3Dtheirs%3Bfrom-tag%3Dours";
    a_call_stays(&format!("sip:1005@HOST?{replaces}"), "486 Busy Here").await;
}
