//! Calls that the agent dials in the page.

use interop_tests::customer::{ANNOUNCEMENT_HZ, CUSTOMER_HZ};
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Customer, Gateway, Page, Registrar, Sipp, SippOptions, Site, eventually};
use serde_json::{Value, json};

/// An agent of the page, and SIPp as the SIP Server that she dials through.
struct Office {
    page: Page,
    customer: Customer,
    gateway: Gateway,
    site: Site,
}

impl Office {
    async fn open() -> Self {
        Self::open_with(|_, _| {}).await
    }

    /// SIPp is SIP Server later, so the DN is registered by a registrar on the same port.
    async fn open_with(change: impl FnOnce(&Site, &mut Value)) -> Self {
        Self::open_at(Site::new(), change).await
    }

    async fn open_at(site: Site, change: impl FnOnce(&Site, &mut Value)) -> Self {
        let registrar = Registrar::start(site.server_sip()).await.expect("free");
        let gateway = Gateway::start_with(&site, |config| change(&site, config)).await;
        let page = Page::sign_in(&gateway, "1002").await;
        let customer = Customer::start(site.media()).await;
        // The port changes hands: the registration is good for half an hour.
        drop(registrar);
        eventually("the registrar's port is free", || {
            std::net::UdpSocket::bind(site.server_sip()).is_ok()
        })
        .await;
        Self {
            page,
            customer,
            gateway,
            site,
        }
    }

    fn callee(&self, scenario: &str) -> SippOptions {
        SippOptions::registrar(&self.site, scenario).media(self.customer.address())
    }

    /// Starts SIP Server's part and dials.
    async fn dials(&self, callee: SippOptions) -> Sipp {
        let sipp = callee.start();
        let listens = self.site.server_sip();
        eventually("SIPp listens", || {
            std::net::UdpSocket::bind(listens).is_err()
        })
        .await;
        let number = json!({"type": "dial", "number": "1003"});
        let reply = self.page.request(number).await;
        assert_eq!(reply["type"], "ok", "{reply}");
        sipp
    }

    async fn both_hear(&self) {
        self.customer.hears(PAGE_HZ).await;
        self.page.hears(CUSTOMER_HZ).await;
    }

    /// The call's end as the page sees it.
    async fn ended(&self) -> Value {
        let call = self.page.call_in("ended").await;
        let gone = self.gateway.metric_is("talkbridge_calls_active", "", 0.0);
        gone.await;
        call["end"].clone()
    }
}

#[tokio::test]
async fn an_agent_may_dial_in_the_page() {
    let office = Office::open().await;
    let mut sipp = office.dials(office.callee("uas-invite-dial")).await;
    let call = office.page.call_in("talking").await;
    assert_eq!(
        (&call["direction"], &call["remote"]["number"]),
        (&json!("outbound"), &json!("1003"))
    );
    assert_eq!(call["call_uuid"], "TTL7J9EM750GP936CFL0EOACN8000002");
    office.both_hear().await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

#[tokio::test]
async fn a_busy_number_is_told() {
    let office = Office::open().await;
    let mut sipp = office
        .dials(office.callee("uas-invite-dial-rejected"))
        .await;
    let end = office.ended().await;
    assert_eq!(
        (&end["sip_status"], &end["by"]),
        (&json!(486), &json!("remote"))
    );
    sipp.passes().await;
}

#[tokio::test]
async fn an_announcement_is_heard_before_the_answer() {
    let office = Office::open().await;
    let announcement = Customer::announcement(office.site.media()).await;
    let at = announcement.address();
    let callee = office
        .callee("uas-invite-early-media")
        .key("announcement_host", at.ip())
        .key("announcement_port", at.port());
    let mut sipp = office.dials(callee).await;
    let call = office.page.call_in("ringing").await;
    assert_eq!(call["early_media"], true, "{call}");
    office.page.hears(ANNOUNCEMENT_HZ).await;
    assert_eq!(office.page.call()["state"], "ringing");
    sipp.cue_called().await;
    let call = office.page.call_in("talking").await;
    assert_eq!(call.get("early_media"), None, "{call}");
    office.both_hear().await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

/// The telephone that played something before the answer is not the one that answered: the agent hears whoever did, and is heard by nobody else.
#[tokio::test]
async fn of_two_telephones_the_first_to_answer_is_the_call() {
    let office = Office::open().await;
    let other = Customer::announcement(office.site.media()).await;
    let at = other.address();
    let callee = office
        .callee("uas-invite-fork")
        .key("announcement_host", at.ip())
        .key("announcement_port", at.port());
    let mut sipp = office.dials(callee).await;
    office.page.call_in("talking").await;
    office.both_hear().await;
    other.hears_nothing().await;
    sipp.cue_called().await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

#[tokio::test]
async fn ringing_that_wants_to_be_acknowledged_is() {
    let office = Office::open().await;
    let mut sipp = office.dials(office.callee("uas-invite-100rel")).await;
    office.page.call_in("talking").await;
    office.both_hear().await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

#[tokio::test]
async fn a_longer_session_interval_is_granted() {
    let office = Office::open().await;
    let mut sipp = office.dials(office.callee("uas-invite-422")).await;
    office.page.call_in("talking").await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

#[tokio::test]
async fn a_refresh_that_finds_nobody_ends_the_call() {
    let office = Office::open().await;
    let mut sipp = office.dials(office.callee("uas-invite-refresh")).await;
    office.page.call_in("talking").await;
    sipp.passes().await;
    assert_eq!(office.ended().await["cause"], "dialog_lost");
}

/// The agent talks on for as long as she likes although the gateway has to keep the call alive.
async fn a_refresh_goes_unnoticed(scenario: &str, refresh: &str, times: usize) {
    let office = Office::open().await;
    let mut sipp = office.dials(office.callee(scenario)).await;
    office.page.call_in("talking").await;
    office.both_hear().await;
    let refreshes = || {
        let of_dialog = |message: &String| message.contains(";tag=88170A6B-");
        let ours = sipp.received().into_iter().filter(of_dialog);
        ours.filter(|message| message.starts_with(refresh)).count()
    };
    eventually("the call is refreshed", || refreshes() == times).await;
    office.both_hear().await;
    assert_eq!(office.page.call()["state"], "talking");
    office.page.control("hangup").await;
    sipp.passes().await;
    assert_eq!(office.ended().await["cause"], "agent_hangup");
}

#[tokio::test]
async fn a_call_is_refreshed_by_update() {
    a_refresh_goes_unnoticed("uas-invite-refresh-update", "UPDATE ", 2).await;
}

#[tokio::test]
async fn a_call_is_refreshed_by_re_invite() {
    a_refresh_goes_unnoticed("uas-invite-refresh-reinvite", "INVITE ", 1).await;
}

#[tokio::test]
async fn a_redirection_to_a_stranger_is_a_refusal() {
    let office = Office::open().await;
    let stranger = std::net::UdpSocket::bind((office.site.stranger(), 5060)).expect("free");
    stranger.set_nonblocking(true).expect("it is a socket");
    let callee = office
        .callee("uas-invite-302-foreign")
        .key("stranger_host", office.site.stranger());
    let mut sipp = office.dials(callee).await;
    let end = office.ended().await;
    assert_eq!(
        (&end["sip_status"], &end["reason"]),
        (&json!(302), &json!("Moved Temporarily"))
    );
    sipp.passes().await;
    let heard = stranger.recv(&mut [0; 4096]).map_err(|error| error.kind());
    assert_eq!(heard, Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn a_redirection_to_the_other_sip_server_is_followed() {
    let office = Office::open_with(|site, config| {
        let servers = [site.server_sip().to_string(), peer(site).to_string()];
        config["sip"]["servers"] = json!(servers);
    })
    .await;
    let at = peer(&office.site);
    let mut other = office.callee("uas-invite-dial").from(at.ip()).start();
    eventually("the other SIPp listens", || {
        std::net::UdpSocket::bind(at).is_err()
    })
    .await;
    let callee = office
        .callee("uas-invite-302-peer")
        .key("peer_host", at.ip());
    let mut sipp = office.dials(callee).await;
    sipp.passes().await;
    office.page.call_in("talking").await;
    office.both_hear().await;
    office.page.control("hangup").await;
    other.passes().await;
    office.ended().await;
}

/// Business Continuity: the first site shuts down, and the agent talks by way of the other one.
#[tokio::test]
async fn a_site_that_shuts_down_leaves_the_call_to_the_other() {
    the_other_site_takes_the_call("uas-invite-603-shutdown").await;
}

/// The same when the first site has no room for another call (RFC 3263 section 4.3).
#[tokio::test]
async fn a_site_that_is_overloaded_leaves_the_call_to_the_other() {
    the_other_site_takes_the_call("uas-invite-503-overload").await;
}

async fn the_other_site_takes_the_call(refusal: &str) {
    let site = Site::new();
    let at = peer(&site);
    let registrar = Registrar::start(at).await.expect("free");
    let office = Office::open_at(site, |site, config| {
        config["sip"]["servers"] = json!([]);
        config["sip"]["sites"] = json!([
            {"name": "east", "servers": [site.server_sip()]},
            {"name": "west", "servers": [at]},
        ]);
    })
    .await;
    eventually("the DN is registered at the other site", || {
        registrar.expiry("1002").is_some()
    })
    .await;
    drop(registrar);
    eventually("its port is free", || std::net::UdpSocket::bind(at).is_ok()).await;
    let mut west = office.callee("uas-invite-dial").from(at.ip()).start();
    eventually("the other SIPp listens", || {
        std::net::UdpSocket::bind(at).is_err()
    })
    .await;
    let east = office.callee(refusal);
    let mut east = office.dials(east).await;
    east.passes().await;
    office.page.call_in("talking").await;
    office.both_hear().await;
    office.page.control("hangup").await;
    west.passes().await;
    office.ended().await;
}

/// The second SIP Server of a site.
fn peer(site: &Site) -> std::net::SocketAddr {
    (site.media(), 5060).into()
}

fn password(config: &mut Value) {
    for agent in config["agents"].as_array_mut().into_iter().flatten() {
        agent["password"] = json!("wonderland");
    }
}

#[tokio::test]
async fn a_challenge_to_a_call_is_answered_in_the_configured_realm() {
    let office = Office::open_with(|_, config| {
        config["sip"]["realm"] = json!("genesys.example");
        password(config);
    })
    .await;
    let mut sipp = office.dials(office.callee("uas-invite-401")).await;
    office.page.call_in("talking").await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

#[tokio::test]
async fn a_proxys_challenge_to_a_call_is_answered_too() {
    let office = Office::open_with(|_, config| {
        config["sip"]["realm"] = json!("genesys.example");
        password(config);
    })
    .await;
    let mut sipp = office.dials(office.callee("uas-invite-407")).await;
    office.page.call_in("talking").await;
    office.page.control("hangup").await;
    sipp.passes().await;
    office.ended().await;
}

#[tokio::test]
async fn a_challenge_in_another_realm_gets_no_digest() {
    let office = Office::open_with(|_, config| {
        config["sip"]["realm"] = json!("genesys.example");
        password(config);
    })
    .await;
    let mut sipp = office
        .dials(office.callee("uas-invite-401-foreign-realm"))
        .await;
    let end = office.ended().await;
    assert_eq!(end["sip_status"], 401, "{end}");
    sipp.passes().await;
    assert!(!sipp.received().concat().contains("Authorization"));
}

#[tokio::test]
async fn hanging_up_before_a_word_was_said_waits_for_one() {
    let office = Office::open().await;
    let mut sipp = office.dials(office.callee("uas-invite-cancel")).await;
    sipp.got("INVITE").await;
    office.page.control("hangup").await;
    office.page.call_in("ending").await;
    sipp.cue_called().await;
    assert_eq!(office.ended().await["cause"], "agent_cancel");
    sipp.passes().await;
}

#[tokio::test]
async fn an_answer_that_crosses_the_hanging_up_is_hung_up() {
    let office = Office::open().await;
    let mut sipp = office
        .dials(office.callee("uas-invite-cancel-crosses-200"))
        .await;
    office.page.call_in("ringing").await;
    office.page.control("hangup").await;
    assert_eq!(office.ended().await["cause"], "agent_cancel");
    sipp.passes().await;
}

/// An office whose SIP Server is given up after 1.28 s.
async fn impatient() -> Office {
    Office::open_with(|_, config| {
        config["sip"]["timers"] = json!({"t1_ms": 20, "t2_ms": 160, "t4_ms": 200});
    })
    .await
}

#[tokio::test]
async fn a_sip_server_that_rings_too_late_is_told_that_nobody_waits() {
    let office = impatient().await;
    let mut sipp = office.dials(office.callee("uas-invite-late-ringing")).await;
    assert_eq!(office.ended().await["cause"], "no_response");
    sipp.passes().await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_hung_up() {
    let office = impatient().await;
    let mut sipp = office.dials(office.callee("uas-invite-late-answer")).await;
    assert_eq!(office.ended().await["cause"], "no_response");
    sipp.passes().await;
}

#[tokio::test]
async fn the_reason_of_a_failure_is_told_in_words() {
    let office = Office::open().await;
    let callee = office.callee("uas-invite-failed");
    let mut sipp = office.dials(callee).await;
    let end = office.ended().await;
    assert_eq!(
        (&end["sip_status"], &end["reason"]),
        (&json!(480), &json!("Not logged in"))
    );
    sipp.passes().await;
}

#[tokio::test]
async fn nothing_is_dialled_from_a_dn_that_is_not_registered() {
    let site = Site::new();
    let gateway = Gateway::start(&site).await;
    let page = Page::start(gateway.page("1002")).await.expect("signed in");
    eventually("the media is up", || page.connected()).await;
    let number = json!({"type": "dial", "number": "1003"});
    let reply = page.request(number).await;
    assert_eq!(reply["code"], "not_registered", "{reply}");
}
