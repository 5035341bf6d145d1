//! Responses that nobody asked for, came too late, twice, or from elsewhere.

use interop_tests::attack::{Dialog, SipPeer, answer, crlf, description, registry};
use interop_tests::sipp::header;
use interop_tests::{Customer, Gateway, Page, Site, eventually};
use serde_json::json;

struct Scene {
    page: Page,
    customer: Customer,
    gateway: Gateway,
    server: SipPeer,
    stranger: SipPeer,
}

impl Scene {
    async fn open() -> Self {
        let site = Site::new();
        let (server, _) = registry(&site, |_| ("200 OK".to_owned(), String::new())).await;
        let stranger = SipPeer::start(&site, site.stranger(), 5060).await;
        let gateway = Gateway::start(&site).await;
        let page = Page::sign_in(&gateway, "1002").await;
        let customer = Customer::start(site.media()).await;
        Self {
            page,
            customer,
            gateway,
            server,
            stranger,
        }
    }

    /// The page dials; returns the INVITE that reaches SIP Server.
    async fn dials(&self, number: &str) -> String {
        let dial = self
            .page
            .request(json!({"type": "dial", "number": number}))
            .await;
        assert_eq!(dial["type"], "ok", "{dial}");
        let to_it = format!("INVITE sip:{number}@");
        self.server
            .hears("INVITE", |message| message.starts_with(&to_it))
            .await
    }

    /// 200 to `invite` under a To tag.
    fn accepts(&self, invite: &str, tag: &str) -> String {
        let contact = format!("Contact: <sip:2000@{}>\n", self.server.local());
        let lines = format!("{contact}Content-Type: application/sdp\n");
        let body = description(self.customer.address());
        let head = answer(invite, "200 OK", &lines).replace("tag=5e7", &format!("tag={tag}"));
        let length = format!("Content-Length: {}", crlf(&body).len());
        head.replace("Content-Length: 0", &length) + &body
    }

    fn acks(&self, tag: &str) -> usize {
        self.server
            .count(|message| message.starts_with("ACK") && message.contains(tag))
    }

    async fn refused(&self, reason: &str, count: u32) {
        let name = "talkbridge_sip_refused_total";
        let label = format!("\"{reason}\"");
        self.gateway.metric_is(name, &label, f64::from(count)).await;
    }
}

/// Who answers our INVITE from elsewhere, or without its branch, is not heard; the true answer makes the call; the same again is
/// acknowledged again; a second one is ended.
#[tokio::test]
async fn only_the_answer_to_our_own_request_counts() {
    let scene = Scene::open().await;
    let invite = scene.dials("2000").await;
    scene
        .stranger
        .say(&scene.accepts(&invite, "stranger"))
        .await;
    scene.refused("response_source", 1).await;
    let other = invite.replace("branch=z9hG4bK", "branch=z9hG4bKx");
    scene.server.say(&scene.accepts(&other, "branch")).await;
    scene
        .server
        .say(&answer(&other, "180 Ringing", "Contact: <sip:x@y>\n"))
        .await;
    let swapped = invite.replace(" INVITE", " BYE");
    scene.server.say(&scene.accepts(&swapped, "method")).await;
    scene.refused("no_transaction", 3).await;
    assert_eq!(scene.page.states(), ["offered"]);

    let accepted = scene.accepts(&invite, "true");
    scene.server.say(&accepted).await;
    scene.page.call_in("talking").await;
    eventually("it is acknowledged", || scene.acks("tag=true") == 1).await;
    scene.server.say(&accepted).await;
    eventually("and again", || scene.acks("tag=true") == 2).await;
    scene.server.say(&scene.accepts(&invite, "forked")).await;
    let ended = |message: &str| message.starts_with("BYE") && message.contains("tag=forked");
    let bye = scene.server.hears("BYE", ended).await;
    scene.server.say(&answer(&bye, "200 OK", "")).await;
    assert_eq!(scene.acks("tag=forked"), 1);
    assert_eq!(scene.page.call()["state"], "talking");
    scene.customer.hears(interop_tests::gateway::PAGE_HZ).await;
    assert_eq!(scene.stranger.heard(), [""; 0]);
}

/// The 200 crosses our CANCEL: it is acknowledged and ended, and the agent is free.
#[tokio::test]
async fn a_200_that_crosses_our_cancel_is_ended() {
    let scene = Scene::open().await;
    let invite = scene.dials("2000").await;
    let ringing = format!("Contact: <sip:2000@{}>\n", scene.server.local());
    scene
        .server
        .say(&answer(&invite, "180 Ringing", &ringing))
        .await;
    scene.page.call_in("ringing").await;
    scene.page.control("hangup").await;
    let cancel = scene
        .server
        .hears("CANCEL", |message| message.starts_with("CANCEL"))
        .await;
    scene.server.say(&scene.accepts(&invite, "late")).await;
    scene.server.say(&answer(&cancel, "200 OK", "")).await;
    let bye = scene
        .server
        .hears("BYE", |message| message.starts_with("BYE"))
        .await;
    assert!(header(&bye, "To").is_some_and(|to| to.contains("tag=late")));
    scene.server.say(&answer(&bye, "200 OK", "")).await;
    assert_eq!(scene.acks("tag=late"), 1);
    scene.page.call_in("ended").await;
    scene
        .gateway
        .metric_is("talkbridge_calls_active", "", 0.0)
        .await;
}

/// A redirection to a foreign host: our INVITE, and with it whatever answers a challenge, goes to SIP Server or nowhere.
#[tokio::test]
async fn a_redirection_to_a_foreign_host_is_not_followed() {
    let scene = Scene::open().await;
    let invite = scene.dials("2000").await;
    let away = format!("Contact: <sip:2000@{}>\n", scene.stranger.local());
    scene
        .server
        .say(&answer(&invite, "302 Moved Temporarily", &away))
        .await;
    scene.page.call_in("ended").await;
    scene.server.finds_it_alive("the redirection").await;
    assert_eq!(scene.stranger.heard(), [""; 0]);
}

/// A REFER whose Refer-To names a foreign host makes at most a call by way of SIP Server.
#[tokio::test]
async fn a_refer_to_a_foreign_host_reaches_nobody_else() {
    let scene = Scene::open().await;
    let away = format!("Refer-To: <sip:2000@{}>\n", scene.stranger.local());
    let mut dialog = Dialog::new(&scene.server, "1002");
    let refer = dialog.request("REFER", &away, "");
    let status = scene.server.asks(&refer).await;
    if status == 202 {
        let invite = |message: &str| message.starts_with("INVITE ");
        let invite = scene.server.hears("INVITE", invite).await;
        assert!(invite.starts_with("INVITE sip:2000@"), "{invite}");
        let host = scene.stranger.local().ip().to_string();
        assert!(
            !invite.lines().next().unwrap_or_default().contains(&host),
            "{invite}"
        );
    }
    scene.server.finds_it_alive("the REFER").await;
    assert_eq!(scene.stranger.heard(), [""; 0]);
}
