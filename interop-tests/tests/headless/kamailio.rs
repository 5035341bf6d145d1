//! Kamailio between talkbridge and the world: as registrar, and as a proxy that stays on the path of every dialog.

use interop_tests::baresip::{BARESIP_HZ, Manner};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::{Baresip, Gateway, Kamailio, Page, Pki, Site, TserverSim};
use serde_json::{Value, json};

/// No blanks: they would end it in an account of baresip.
const PASSWORD: &str = "a-password-that-Kamailio-knows";

/// The number of the telephone.
const CUSTOMER: &str = "4711";

/// Registered at Kamailio, with a telephone that calls through it.
struct Registered {
    page: Page,
    telephone: Baresip,
    gateway: Gateway,
    kamailio: Kamailio,
    _site: Site,
}

async fn registered(transport: &str, manner: Manner) -> Registered {
    registered_with(
        |config, _| config["sip"]["transport"] = json!(transport),
        manner,
        None,
    )
    .await
}

async fn registered_with(
    change: impl FnOnce(&mut Value, &Site),
    manner: Manner,
    pki: Option<&Pki>,
) -> Registered {
    let site = Site::new();
    let kamailio = Kamailio::registrar(&site, PASSWORD, pki).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([kamailio.address()]);
        config["agents"] = json!([{"dn": "1002", "password": PASSWORD}]);
        change(config, &site);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    let at = kamailio.address().ip();
    let telephone = Baresip::registered(&site, CUSTOMER, manner, at, PASSWORD).await;
    Registered {
        page,
        telephone,
        gateway,
        kamailio,
        _site: site,
    }
}

impl Registered {
    async fn rings(&self) {
        let kamailio = self.kamailio.address().ip();
        self.telephone.dial(&format!("sip:1002@{kamailio}")).await;
        self.page.call_in("ringing").await;
        self.telephone.tells("180 Ringing").await;
    }

    async fn both_hear(&self) {
        self.page.hears(BARESIP_HZ).await;
        self.telephone.hears(PAGE_HZ).await;
    }

    async fn over(&self) {
        self.page.call_in("ended").await;
        self.gateway
            .metric_is("talkbridge_calls_active", "", 0.0)
            .await;
    }
}

#[tokio::test]
async fn a_telephone_calls_a_dn_that_is_registered_at_kamailio_and_hangs_up() {
    let all = registered("udp", Manner::Rings).await;
    all.rings().await;
    all.page.control("answer").await;
    all.both_hear().await;
    all.telephone.hang_up().await;
    all.over().await;
}

#[tokio::test]
async fn an_agent_ends_a_call_through_kamailio_over_tcp() {
    let all = registered("tcp", Manner::Rings).await;
    all.rings().await;
    all.page.control("answer").await;
    all.both_hear().await;
    all.page.control("hangup").await;
    all.telephone.tells("session closed").await;
    all.over().await;
}

/// The telephone calls by UDP, and the call reaches the DN on the connection of its registration, or on one that Kamailio opens.
#[tokio::test]
async fn a_dn_is_registered_at_kamailio_by_tls_and_called() {
    let pki = Pki::new();
    let tls = |config: &mut Value, site: &Site| by_tls(config, site, &pki, 2040);
    let all = registered_with(tls, Manner::Rings, Some(&pki)).await;
    all.rings().await;
    all.page.control("answer").await;
    all.both_hear().await;
    all.telephone.hang_up().await;
    all.over().await;
}

#[tokio::test]
async fn the_page_calls_a_telephone_at_kamailio() {
    let all = registered("udp", Manner::Answers).await;
    let dial = json!({"type": "dial", "number": CUSTOMER});
    let reply = all.page.request(dial).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    all.page.call_in("talking").await;
    all.both_hear().await;
    all.telephone.hang_up().await;
    all.over().await;
}

#[tokio::test]
async fn an_agent_who_signs_out_is_gone_at_kamailio() {
    let all = registered("udp", Manner::Rings).await;
    all.page.sign_out().await;
    all.gateway
        .metric_is("talkbridge_dns_registered", "", 0.0)
        .await;
    let kamailio = all.kamailio.address().ip();
    all.telephone.dial(&format!("sip:1002@{kamailio}")).await;
    all.telephone.tells("404 Not Found").await;
}

/// SIP Server behind a SIP Proxy, which is Kamailio.
struct Behind {
    page: Page,
    sim: TserverSim,
    gateway: Gateway,
    kamailio: Kamailio,
    site: Site,
}

async fn behind(change: impl FnOnce(&mut Value, &Site), pki: Option<&Pki>) -> Behind {
    let site = Site::new();
    let kamailio = Kamailio::proxy(&site, pki).await;
    let sim = TserverSim::start_with(&site, |sim| {
        sim["sip"]["outbound_proxy"] = json!(kamailio.address());
    })
    .await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([kamailio.address()]);
        config["sip"]["domain"] = json!(site.sip_server());
        change(config, &site);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    assert!(sim.registered("1002").await, "through the proxy");
    Behind {
        page,
        sim,
        gateway,
        kamailio,
        site,
    }
}

impl Behind {
    async fn both_hear(&self, call: &str) {
        self.sim.customer_hears(call, PAGE_HZ).await;
        self.page.hears(CUSTOMER_HZ).await;
    }

    async fn over(&self, call: &str) {
        self.sim.released("1002", call).await;
        self.page.call_in("ended").await;
        self.gateway
            .metric_is("talkbridge_calls_active", "", 0.0)
            .await;
    }

    async fn hold_and_retrieve(&self, call: &str) {
        self.sim.operate(call, "Hold").await;
        self.sim.sees("1002", call, "Held").await;
        assert_eq!(self.page.call_in("held").await["held_by"], "talk_control");
        self.sim.customer_hears_nothing(call).await;
        self.sim.operate(call, "Retrieve").await;
        self.sim.sees("1002", call, "Established").await;
        self.both_hear(call).await;
    }

    /// Answered, held and retrieved at the desk, ended by the page.
    async fn whole_call(&self) {
        let call = self.sim.customer_calls("0301234567", "1002").await;
        self.page.call_in("ringing").await;
        self.sim.operate(&call, "Answer").await;
        self.sim.sees("1002", &call, "Established").await;
        self.both_hear(&call).await;
        self.hold_and_retrieve(&call).await;
        self.page.control("hangup").await;
        self.over(&call).await;
        self.nobody_strays().await;
    }

    /// Whatever SIP Server saw came from the proxy, and talkbridge refused nothing.
    async fn nobody_strays(&self) {
        let trace = self.sim.get("/sim/trace").await.json();
        let proxy = self.kamailio.address().ip().to_string();
        let messages = trace["messages"].as_array().cloned().unwrap_or_default();
        assert!(!messages.is_empty(), "{trace}");
        for message in &messages {
            let peer = message["peer"].as_str().unwrap_or_default();
            assert!(peer.starts_with(&proxy), "past the proxy: {message}");
        }
        let refused = self
            .gateway
            .metric("talkbridge_sip_refused_total", "")
            .await;
        assert_eq!(refused, 0.0);
    }
}

#[tokio::test]
async fn a_call_passes_a_record_routing_proxy_by_udp() {
    behind(|_, _| {}, None).await.whole_call().await;
}

#[tokio::test]
async fn a_call_passes_a_record_routing_proxy_by_tcp() {
    let all = behind(|config, _| config["sip"]["transport"] = json!("tcp"), None).await;
    all.whole_call().await;
}

/// TLS to Kamailio, with a certificate that ends with `year`.
fn by_tls(config: &mut Value, site: &Site, pki: &Pki, year: i32) {
    let pair = pki.issue_until(site.gateway(), year);
    let pair = pair.expect("a certificate");
    let sip = &mut config["sip"];
    sip["listen"] = json!([format!("tls:{}:5061", site.gateway())]);
    sip["servers"] = json!([format!("{}:5061", site.proxy())]);
    sip["transport"] = json!("tls");
    sip["tls"] = json!({
        "certificate_file": pair.certificate,
        "key_file": pair.key,
        "ca_file": pki.authority(),
        "require_client_certificate": true,
    });
}

/// Behind the proxy by TLS.
async fn behind_tls(pki: &Pki, year: i32) -> Behind {
    behind(|config, site| by_tls(config, site, pki, year), Some(pki)).await
}

#[tokio::test]
async fn a_call_passes_a_record_routing_proxy_by_tls_with_certificates_on_both_sides() {
    behind_tls(&Pki::new(), 2040).await.whole_call().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_while_a_call_talks() {
    let pki = Pki::new();
    let all = behind_tls(&pki, 2040).await;
    let call = all.sim.customer_calls("0301234567", "1002").await;
    all.page.call_in("ringing").await;
    all.sim.operate(&call, "Answer").await;
    all.both_hear(&call).await;
    let ends = "talkbridge_certificate_not_after_seconds";
    let before = all.gateway.metric(ends, "sip").await;

    let pair = pki.issue_until(all.site.gateway(), 2041);
    pair.expect("a certificate in the place of the first");
    all.gateway.reload().await;
    let after = all.gateway.metric(ends, "sip").await;
    assert!(after > before && before > 0.0, "{before} {after}");

    all.both_hear(&call).await;
    all.hold_and_retrieve(&call).await;
    all.sim.operate(&call, "Hangup").await;
    all.over(&call).await;
}

#[tokio::test]
async fn the_page_dials_through_the_proxy_and_the_desk_hangs_up() {
    let all = behind(|_, _| {}, None).await;
    let dial = json!({"type": "dial", "number": "0309876543"});
    let reply = all.page.request(dial).await;
    assert_eq!(reply["type"], "ok", "{reply}");
    all.page.call_in("talking").await;
    all.page.hears(CUSTOMER_HZ).await;
    let calls = all.sim.get("/api/v2/me/calls?dn=1002").await.json();
    let call = calls["calls"][0]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    all.both_hear(&call).await;
    all.sim.operate(&call, "Hangup").await;
    all.over(&call).await;
    all.nobody_strays().await;
}

#[tokio::test]
async fn a_caller_gives_up_behind_the_proxy() {
    let all = behind(|_, _| {}, None).await;
    let call = all.sim.customer_calls("0301234567", "1002").await;
    all.page.call_in("ringing").await;
    let hang_up = json!({"operationName": "Hangup"});
    let path = format!("/sim/calls/{call}");
    assert_eq!(all.sim.post(&path, &hang_up).await.status, 200);
    all.over(&call).await;
    all.nobody_strays().await;
}
