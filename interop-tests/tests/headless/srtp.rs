//! SRTP on the SIP side, with a telephone whose SRTP other people wrote.

use interop_tests::baresip::Manner;
use interop_tests::desk::Desk;
use interop_tests::{Baresip, Gateway, Kamailio, Page, Registrar, Site, eventually_async};
use serde_json::{Value, json};

/// What baresip says when both sides have each other's key.
const SECURED: &str = "SRTP is Enabled";

/// No blanks: they would end it in an account of baresip.
const PASSWORD: &str = "a-password-that-Kamailio-knows";

/// The number of the telephone.
const CUSTOMER: &str = "4711";

struct Peers {
    page: Page,
    telephone: Baresip,
    gateway: Gateway,
    site: Site,
    _registrar: Option<Registrar>,
    _kamailio: Option<Kamailio>,
}

fn secured(config: &mut Value, srtp: &str, suites: &[&str]) {
    config["media"]["srtp"] = json!(srtp);
    if !suites.is_empty() {
        config["media"]["srtp_suites"] = json!(suites);
    }
    // Everything is logged, so that what must not be would be found.
    config["log"]["level"] = json!("trace");
}

/// The telephone calls.
async fn caller(encryption: &str, srtp: &str) -> Peers {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let telephone = Baresip::securing(&site, "customer", Manner::Rings, encryption).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([site.server_sip(), telephone.address()]);
        secured(config, srtp, &[]);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    Peers {
        page,
        telephone,
        gateway,
        site,
        _registrar: Some(registrar),
        _kamailio: None,
    }
}

/// The telephone is called, through Kamailio.
async fn callee(encryption: &str, srtp: &str, suites: &[&str]) -> Peers {
    let site = Site::new();
    let kamailio = Kamailio::registrar(&site, PASSWORD, None).await;
    let at = kamailio.address();
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([at]);
        config["agents"] = json!([{"dn": "1002", "password": PASSWORD}]);
        secured(config, srtp, suites);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    let account = (at.ip(), PASSWORD);
    let manner = Manner::Answers;
    let telephone =
        Baresip::registered_securing(&site, CUSTOMER, manner, account, encryption).await;
    Peers {
        page,
        telephone,
        gateway,
        site,
        _registrar: None,
        _kamailio: Some(kamailio),
    }
}

impl Peers {
    async fn rings(&self) {
        let gateway = self.site.gateway_sip();
        self.telephone.dial(&format!("sip:1002@{gateway}")).await;
    }

    async fn dials(&self) {
        let dial = json!({"type": "dial", "number": CUSTOMER});
        let reply = self.page.request(dial).await;
        assert_eq!(reply["type"], "ok", "{reply}");
    }

    /// The administrators see how the call is secured.
    async fn shown_as(&self, suite: &str) {
        let calls = self.gateway.get("/api/v1/calls").await.body;
        let calls: Value = serde_json::from_str(&calls).expect("JSON");
        assert!(
            calls.to_string().contains(&format!("\"srtp\":\"{suite}\"")),
            "{calls}"
        );
    }

    async fn refused(&self) -> f64 {
        let name = "talkbridge_srtp_auth_fail_total";
        self.gateway.metric(name, "").await
    }

    /// The call ends, hardly anything was refused on the way, and no key is in the log.
    async fn over(&self) {
        self.telephone.hang_up().await;
        self.page.call_in("ended").await;
        // baresip counts its reports anew after each re-INVITE, although the key is the old one: such a one is a replay.
        assert!(self.refused().await < 5.0);
        let log = self.gateway.log();
        assert!(log.contains("a=crypto:"), "messages are traced");
        for (at, word) in log.match_indices("inline:") {
            let key = &log[at + word.len()..][..3];
            assert_eq!(key, "...", "a key stands in the log");
        }
    }
}

/// A telephone that takes nothing but SRTP calls, is held and retrieved, and is heard and hears.
async fn a_secured_caller(encryption: &str, srtp: &str) {
    let all = caller(encryption, srtp).await;
    all.rings().await;
    all.page.call_in("ringing").await;
    all.page.control("answer").await;
    all.telephone.tells(SECURED).await;
    all.shown_as("AES_CM_128_HMAC_SHA1_80").await;
    all.telephone.is_held_and_retrieved(&all.page).await;
    all.over().await;
}

#[tokio::test]
async fn a_telephone_that_requires_srtp_calls_and_is_held() {
    a_secured_caller("srtp-mand", "optional").await;
}

#[tokio::test]
async fn a_telephone_that_offers_srtp_beside_plain_rtp_is_secured() {
    a_secured_caller("srtp", "required").await;
}

/// The agent calls a telephone that takes this suite only because it is offered no other.
async fn a_secured_callee(encryption: &str, srtp: &str, suites: &[&str]) {
    let all = callee(encryption, srtp, suites).await;
    all.dials().await;
    all.page.call_in("talking").await;
    all.telephone.tells(SECURED).await;
    if let [suite] = suites {
        all.telephone.tells(&format!("cryptosuite={suite}")).await;
        all.shown_as(suite).await;
    }
    all.telephone.talks_with(&all.page).await;
    all.over().await;
}

#[tokio::test]
async fn a_telephone_that_requires_srtp_is_called() {
    a_secured_callee("srtp-mand", "required", &[]).await;
}

#[tokio::test]
async fn a_telephone_that_may_is_called_and_secured() {
    a_secured_callee("srtp", "optional", &[]).await;
}

#[tokio::test]
async fn a_telephone_with_a_short_tag_is_called() {
    a_secured_callee("srtp-mand", "required", &["AES_CM_128_HMAC_SHA1_32"]).await;
}

#[tokio::test]
async fn a_telephone_with_gcm_is_called() {
    a_secured_callee("srtp-mand", "required", &["AEAD_AES_256_GCM"]).await;
}

/// ES2025-01, ES2021-09: audio in the clear on a secured call, from the right address. It is counted and not heard, and the call stays.
#[tokio::test]
async fn what_is_not_secured_is_not_heard() {
    let desk = Desk::start_with(|config| config["media"]["srtp"] = json!("optional")).await;
    let mut sipp = desk.calling("uac-srtp-bad-media").start();
    desk.page.call_in("talking").await;
    let name = "talkbridge_srtp_auth_fail_total";
    eventually_async("it was tried often", || async {
        (desk.gateway.metric(name, "").await > 100.0).then_some(())
    })
    .await;
    desk.page.hears_nothing().await;
    desk.page.misses_audio("to_agent", "other_key").await;
    assert_eq!(desk.page.call()["state"], "talking");
    desk.gateway
        .metric_is("talkbridge_one_way_audio_total", "other_key", 1.0)
        .await;
    sipp.cue().await;
    sipp.passes().await;
}

/// Where SRTP is optional, a telephone without it is heard all the same.
#[tokio::test]
async fn a_plain_telephone_calls_a_gateway_that_may_secure() {
    let desk = Desk::start_with(|config| config["media"]["srtp"] = json!("optional")).await;
    let mut sipp = desk.calling("uac-invite-auto-answer").start();
    desk.both_hear().await;
    sipp.cue().await;
    sipp.passes().await;
}

async fn refused(srtp: &str, scenario: &str) {
    let desk = Desk::start_with(|config| config["media"]["srtp"] = json!(srtp)).await;
    desk.calling(scenario).passes().await;
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", "srtp_mismatch", 1.0)
        .await;
    assert!(desk.page.call().is_null(), "it must not ring");
}

#[tokio::test]
async fn plain_rtp_is_refused_where_srtp_is_required() {
    refused("required", "uac-invite-plain-refused").await;
}

/// One of several sites requires it, whatever the others do.
#[tokio::test]
async fn plain_rtp_is_refused_where_the_site_requires_srtp() {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("the port is ours");
    let desk = Desk::start_at(site, registrar, |site, config| {
        let north = json!({"name": "north", "servers": [site.server_sip()], "srtp": "required"});
        config["sip"]["sites"] = json!([north]);
        config["sip"]
            .as_object_mut()
            .expect("a table")
            .remove("servers");
        config["media"]["srtp"] = json!("off");
    })
    .await;
    desk.calling("uac-invite-plain-refused").passes().await;
    desk.gateway
        .metric_is("talkbridge_calls_ended_total", "srtp_mismatch", 1.0)
        .await;
}

#[tokio::test]
async fn srtp_is_refused_where_it_is_off() {
    refused("off", "uac-invite-srtp-refused").await;
}
