//! Headers that hide, and headers that a page would like to add.

use interop_tests::attack::{SipPeer, registry};
use interop_tests::{Desk, Gateway, Page, Site};
use serde_json::{Value, json};

/// Spaces before the colon, folding, repetition: the page and the log see the same value, and no value splits a line.
#[tokio::test]
async fn a_header_has_one_reading_only() {
    let desk = Desk::start().await;
    let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
    for (lines, uuid) in [
        ("X-Genesys-CallUUID : HIDDEN1\n", "HIDDEN1"),
        ("x-genesys-calluuid\t:\tHIDDEN2\n", "HIDDEN2"),
        ("X-Genesys-CallUUID:\n  FOLDED3\n", "FOLDED3"),
        (
            "X-Genesys-CallUUID: TWICE4\nX-Genesys-CallUUID: OTHER4\n",
            "TWICE4",
        ),
        ("X-Bypass-me : lol\nX-Genesys-CallUUID: PLAIN5\n", "PLAIN5"),
    ] {
        let mut call = server.rings("1002", lines, desk.customer.address()).await;
        let shown = desk.page.call_in("ringing").await;
        assert_eq!(shown["call_uuid"], uuid, "{lines:?}");
        server.say(&call.cancel()).await;
        desk.page.call_in("ended").await;
        server.say(&call.ack_refusal()).await;
        let named = format!("call_uuid=\"{uuid}\"");
        desk.gateway.logs(&[&named]).await;
        call.cseq = 0;
    }
}

/// What a page may write into a number: none of it becomes a header, a parameter, another host or another line of our INVITE.
#[tokio::test]
async fn a_number_of_the_page_smuggles_nothing() {
    let site = Site::new();
    let (server, _) = registry(&site, |_| ("200 OK".to_owned(), String::new())).await;
    let gateway = Gateway::start(&site).await;
    let page = Page::sign_in(&gateway, "1002").await;
    for number in [
        "2000\r\nX-Injected: 1",
        "2000\nX-Injected: 1",
        "2000\rX-Injected: 1",
        "2000\u{0}X-Injected",
        "2000@evil.invalid",
        "2000;X-Injected=1",
        "2000?X-Injected=1",
        "2000>X-Injected",
        "<sip:2000@evil.invalid>",
        "sip:2000@evil.invalid?X-Injected=1",
        "2000%0d%0aX-Injected:%201",
        "2000\" X-Injected",
        "2000\u{85}X-Injected",
        "2000\u{2028}X-Injected",
    ] {
        let reply: Value = page
            .request(json!({"type": "dial", "number": number}))
            .await;
        assert_eq!(reply["type"], "error", "{number:?}: {reply}");
        let reply: Value = page
            .request(json!({"type": "transfer", "call": "c-1", "to": number}))
            .await;
        assert_eq!(reply["code"], "bad_number", "{number:?}: {reply}");
        let reply: Value = page
            .request(json!({"type": "dtmf", "call": "c-1", "digits": number}))
            .await;
        assert_eq!(reply["code"], "bad_number", "{number:?}: {reply}");
    }
    server.finds_it_alive("the numbers").await;
    let sent =
        server.count(|message| message.contains("Injected") || message.starts_with("INVITE"));
    assert_eq!(sent, 0, "{:#?}", server.heard());
}
