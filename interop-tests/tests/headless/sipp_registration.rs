//! Registration: SIPp is SIP Server's registrar, the page is what makes talkbridge register.

use std::time::{Duration, Instant};

use interop_tests::sipp::header;
use interop_tests::{Gateway, Page, Sipp, SippOptions, Site};
use serde_json::{Value, json};

const PASSWORD: &str = "a password of DN 1002";

struct Registering {
    page: Page,
    sipp: Sipp,
    gateway: Gateway,
    _site: Site,
}

/// SIPp as registrar, and a page that has signed in.
async fn registering(scenario: &str) -> Registering {
    registering_with(scenario, "60", |_| {}).await
}

async fn registering_with(
    scenario: &str,
    granted: &str,
    change: impl FnOnce(&mut Value),
) -> Registering {
    let site = Site::new();
    let sipp = SippOptions::registrar(&site, scenario)
        .key("password", PASSWORD)
        .key("granted", granted)
        .start();
    let gateway = Gateway::start_with(&site, |config| {
        config["agents"] = json!([{"dn": "1002", "password": PASSWORD}]);
        change(config);
    })
    .await;
    let page = Page::start(gateway.page("1002"))
        .await
        .expect("the page connects");
    Registering {
        page,
        sipp,
        gateway,
        _site: site,
    }
}

impl Registering {
    async fn registered(&mut self) {
        self.is("registered").await;
        self.sipp.passes().await;
    }

    async fn is(&self, state: &str) {
        interop_tests::eventually(&format!("the DN is {state}"), || {
            self.page.registration().as_deref() == Some(state)
        })
        .await;
    }

    /// The registration has failed, and whoever looks reads why in an administrator's words: on the page, at the administration interface, in
    /// the log; `fault` is what the metric calls it. SIPp is content.
    async fn refused(&mut self, status: u16, words: &str, fault: &str) {
        self.is("failed").await;
        let told = self.told();
        assert_eq!(told["sip_status"], status, "{told}");
        let agent = self.gateway.get("/api/v1/agents/1002").await.body;
        let agent: Value = serde_json::from_str(&agent).expect("JSON");
        for shown in [&told, &agent["registration"]] {
            let reason = shown["reason"].as_str().unwrap_or_default();
            assert!(reason.contains(words), "{shown}");
        }
        self.gateway.logs(&["WARN", words]).await;
        let failures = "talkbridge_registration_failures_total";
        self.gateway.metric_is(failures, fault, 1.0).await;
        self.sipp.passes().await;
    }

    /// What the page was told last.
    fn told(&self) -> Value {
        self.page.messages("registration").pop().unwrap_or_default()
    }
}

#[tokio::test]
async fn signing_in_registers() {
    let mut all = registering("uas-register").await;
    all.registered().await;
    assert_eq!(
        all.gateway.metric("talkbridge_dns_registered", "").await,
        1.0
    );
    assert_eq!(
        all.gateway.metric("talkbridge_register_total", "200").await,
        1.0
    );
}

#[tokio::test]
async fn signing_out_unregisters() {
    let mut all = registering("uas-register-unregister").await;
    all.is("registered").await;
    all.page.sign_out().await;
    all.sipp.passes().await;
    all.gateway
        .metric_is("talkbridge_dns_registered", "", 0.0)
        .await;
    let ids: std::collections::BTreeSet<_> = all
        .sipp
        .received()
        .iter()
        .filter_map(|message| header(message, "Call-ID").map(str::to_owned))
        .collect();
    assert_eq!(
        ids.len(),
        1,
        "one registration, one Call-ID (RFC 3261 section 10.2.4)"
    );
}

#[tokio::test]
async fn a_registration_is_refreshed_before_it_expires() {
    let mut all = registering_with("uas-register-refresh", "15", |_| {}).await;
    let since = Instant::now();
    all.registered().await;
    assert!(
        since.elapsed() < Duration::from_secs(15),
        "it had expired: {:?}",
        since.elapsed()
    );
    let numbers: Vec<u32> = all
        .sipp
        .received()
        .iter()
        .filter_map(|message| header(message, "CSeq")?.split(' ').next()?.parse().ok())
        .collect();
    assert!(
        numbers.is_sorted() && numbers.first() < numbers.last(),
        "{numbers:?}"
    );
}

#[tokio::test]
async fn a_password_is_proven_by_md5() {
    let mut all = registering("uas-register-401-md5").await;
    all.registered().await;
    assert!(!all.sipp.messages().contains(PASSWORD));
}

#[tokio::test]
async fn a_password_is_proven_without_qop() {
    registering("uas-register-401-no-qop")
        .await
        .registered()
        .await;
}

#[tokio::test]
async fn a_password_is_proven_by_sha_256() {
    let mut all = registering("uas-register-401-sha256").await;
    all.registered().await;
    let answer = all.sipp.received().pop().expect("the second REGISTER");
    let line = header(&answer, "Authorization").expect("credentials");
    let field = |name: &str| {
        let start = line.find(&format!("{name}=")).expect(name) + name.len() + 1;
        line[start..]
            .trim_start_matches('"')
            .split(['"', ','])
            .next()
            .expect(name)
            .to_owned()
    };
    let a1 = sha256(&format!("1002:genesys:{PASSWORD}"));
    let a2 = sha256(&format!("REGISTER:{}", field("uri")));
    let expected = sha256(&format!(
        "{a1}:{}:{}:{}:auth:{a2}",
        field("nonce"),
        field("nc"),
        field("cnonce")
    ));
    assert_eq!(field("response"), expected, "{line}");
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes())
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect()
}

#[tokio::test]
async fn a_stale_nonce_costs_one_more_round() {
    registering("uas-register-stale-nonce")
        .await
        .registered()
        .await;
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_for_ever() {
    let words = "does not accept the password of DN 1002 (401)";
    let mut all = registering("uas-register-401-for-ever").await;
    all.refused(401, words, "wrong_password").await;
}

#[tokio::test]
async fn an_unknown_dn_is_told_in_words() {
    let words = "DN 1002 is not configured or disabled in SIP Server";
    let mut all = registering("uas-register-404").await;
    all.refused(404, words, "not_configured").await;
}

#[tokio::test]
async fn a_forbidden_dn_is_told_in_words() {
    let words = "forbids the registration of DN 1002 (403)";
    let mut all = registering("uas-register-403").await;
    all.refused(403, words, "forbidden").await;
}

#[tokio::test]
async fn a_registrar_may_want_a_longer_registration() {
    registering("uas-register-423").await.registered().await;
}

#[tokio::test]
async fn retry_after_is_respected() {
    // Left to itself it would come back within a second.
    let soon = |config: &mut Value| config["sip"]["register"] = json!({"retry_s": 1});
    registering_with("uas-register-503-retry-after", "60", soon)
        .await
        .registered()
        .await;
}

#[tokio::test]
async fn a_silent_registrar_is_found_again() {
    let site = Site::new();
    // Nobody listens at SIP Server's address yet.
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["timers"] = json!({"t1_ms": 50, "t2_ms": 400, "t4_ms": 500});
        config["sip"]["register"] = json!({"retry_s": 1, "retry_max_s": 2});
    })
    .await;
    let page = Page::start(gateway.page("1002"))
        .await
        .expect("the page connects");
    interop_tests::eventually("the page is told", || {
        page.registration().as_deref() == Some("failed")
    })
    .await;
    let mut sipp = SippOptions::registrar(&site, "uas-register").start();
    interop_tests::eventually("the DN is registered", || {
        page.registration().as_deref() == Some("registered")
    })
    .await;
    sipp.passes().await;
}
