//! `talkbridge doctor` beside a SIP Server that is set up wrongly: does an administrator read what to change?

use std::net::{IpAddr, SocketAddr, UdpSocket};

use interop_tests::dns::Record;
use interop_tests::gateway::{configuration, talkbridge};
use interop_tests::{Dns, Gateway, Kamailio, Page, Pki, SippOptions, Site, TserverSim};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the doctor said.
struct Visit {
    code: Option<i32>,
    text: String,
}

impl Visit {
    /// The line that begins so.
    fn line(&self, start: &str) -> &str {
        let found = self.text.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no line {start:?} in\n{}", self.text))
    }
}

/// The configuration of a site whose limits fit its ports, so that only what a test changes is amiss.
fn sound(site: &Site) -> Value {
    let mut config = configuration(site);
    config["limits"] = json!({"calls": 50, "web_sockets": 50});
    // Eight times T1 is what the doctor waits.
    config["sip"]["timers"] = json!({"t1_ms": 100, "t2_ms": 400, "t4_ms": 500});
    config
}

async fn visit(config: &Value, more: &[&str]) -> Visit {
    let dir = TempDir::new().expect("a folder");
    let file = dir.path().join("talkbridge.toml");
    std::fs::write(&file, toml::to_string(config).expect("TOML")).expect("written");
    let file = file.to_string_lossy();
    let arguments = [&["doctor", "--config", &*file], more].concat();
    let (code, text) = talkbridge(&arguments, dir.path()).await.expect("it runs");
    Visit { code, text }
}

#[tokio::test]
async fn each_dn_that_cannot_register_is_named_with_the_option_to_change() {
    let site = Site::new();
    let server = site.server_sip();
    let _sim = TserverSim::start_with(&site, |sim| {
        sim["dns"] = json!([
            {"dn": "1002"},
            {"dn": "1003", "password": "right", "authenticate": ["register"]},
            {"dn": "1004", "password": "right", "authenticate": ["register"]},
            {"dn": "1005", "password": "right", "authenticate": ["register"]},
        ]);
    })
    .await;
    let mut config = sound(&site);
    config["agents"] = json!([
        {"dn": "1002"},
        {"dn": "1003", "password": "right"},
        {"dn": "1004", "password": "wrong"},
        {"dn": "1005"},
        {"dn": "5003"},
    ]);
    let told = visit(&config, &[]).await;
    assert_eq!(told.code, Some(2), "{}", told.text);
    told.line(&format!(
        "ok   SIP Server {server}: answers OPTIONS over UDP with 200 OK, asked from our SIP port"
    ));
    for dn in ["1002", "1003"] {
        told.line(&format!(
            "ok   DN {dn}: known to SIP Server {server}, not registered now"
        ));
    }
    let wrong = told.line(&format!(
        "FAIL DN 1004: SIP Server {server} does not accept the password (403)"
    ));
    assert!(
        wrong.contains("compare [[agents]] password with option password of DN 1004"),
        "{wrong}"
    );
    let none = told.line(&format!(
        "FAIL DN 1005: SIP Server {server} asks for a password (401) and none is configured here"
    ));
    assert!(
        none.contains("password and authenticate-requests of DN 1005"),
        "{none}"
    );
    let unknown = told.line("FAIL DN 5003");
    assert!(
        unknown.contains(&format!(
            "is not configured or disabled in SIP Server {server} (404)"
        )),
        "{unknown}"
    );
    assert!(unknown.contains("contact = *"), "{unknown}");
    assert!(
        !told.text.contains("right") && !told.text.contains("wrong"),
        "no secret is printed"
    );

    let json = visit(&config, &["--json", "--dn", "5003"]).await;
    let report: Value = serde_json::from_str(&json.text).expect("JSON and nothing else");
    assert_eq!(report["fail"], 1, "{report}");
    assert!(report["clock_ahead_s"].is_null(), "not measured");
    let findings = report["findings"].as_array().expect("a list");
    let dn: Vec<&Value> = findings.iter().filter(|one| one["area"] == "dn").collect();
    assert_eq!(dn.len(), 1, "{report}");
    assert_eq!(
        (&dn[0]["dn"], &dn[0]["verdict"]),
        (&json!("5003"), &json!("fail"))
    );
}

#[tokio::test]
async fn a_visit_beside_the_running_gateway_takes_no_registration_away() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    let config = sound(&site);
    let gateway = Gateway::start_with(&site, |running| *running = config.clone()).await;
    let page = Page::sign_in(&gateway, "1002").await;
    let before = sim.get("/sim/registrations").await.json();
    let told = visit(&config, &[]).await;
    let server = site.server_sip();
    told.line(&format!(
        "ok   [sip] listen udp:{}: held by the running talkbridge",
        site.gateway_sip()
    ));
    told.line(&format!(
        "ok   DN 1002: known to SIP Server {server}, registered by this gateway"
    ));
    told.line(&format!(
        "ok   DN 1003: known to SIP Server {server}, not registered now"
    ));
    assert_eq!(told.code, Some(0), "{}", told.text);
    let after = sim.get("/sim/registrations").await.json();
    let contacts = |all: &Value| -> Vec<Value> {
        let all = all["registrations"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["contact"].clone()).collect()
    };
    assert_eq!(contacts(&before), contacts(&after));
    assert_eq!(page.registration().as_deref(), Some("registered"));
}

/// Fewer agents than there are may talk at once, as the site has written: monitoring is not told that this may be a mistake.
#[tokio::test]
async fn fewer_calls_than_agents_are_no_fault_where_they_are_set() {
    let site = Site::new();
    let _sim = TserverSim::start(&site).await;
    let mut config = sound(&site);
    config["limits"]["calls"] = json!(1);
    let told = visit(&config, &[]).await;
    told.line("ok   configuration");
    assert!(config["agents"].as_array().is_some_and(|all| all.len() > 1));
    assert_eq!(told.code, Some(0), "{}", told.text);
}

#[tokio::test]
async fn a_dn_that_another_telephone_holds_is_told_and_not_taken() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    SippOptions::calling(&site, "uac-endpoint-register")
        .to(site.server_sip())
        .from(site.telephone())
        .dn("1002")
        .key("phone_port", 5071)
        .passes()
        .await;
    let told = visit(&sound(&site), &[]).await;
    assert_eq!(told.code, Some(1), "{}", told.text);
    let line = told.line("warn DN 1002");
    let telephone = site.telephone();
    assert!(
        line.contains(&format!(
            "registered by another endpoint at sip:1002@{telephone}:5071"
        )),
        "{line}"
    );
    assert!(sim.registered("1002").await);
}

#[tokio::test]
async fn a_silent_sip_server_is_told_apart_from_a_closed_port() {
    let site = Site::new();
    let server = site.server_sip();
    let closed = visit(&sound(&site), &[]).await;
    let line = closed.line(&format!(
        "FAIL SIP Server {server}: no UDP connection: nobody listens there"
    ));
    assert!(
        line.contains("option sip-port of the SIP Server application"),
        "{line}"
    );

    let _deaf = UdpSocket::bind(server).expect("the port is ours");
    let mut config = sound(&site);
    let many: Vec<Value> = (0..40)
        .map(|n| json!({"dn": format!("20{n:02}")}))
        .collect();
    config["agents"] = json!(many);
    let silent = visit(&config, &[]).await;
    let line = silent.line(&format!(
        "FAIL SIP Server {server}: does not answer OPTIONS over UDP"
    ));
    assert!(line.contains("firewalls"), "{line}");
    let rest = silent.line(&format!(
        "?    SIP Server {server}: 24 more DNs are not asked for"
    ));
    assert!(rest.contains("does not answer"), "{rest}");
    assert_eq!((closed.code, silent.code), (Some(2), Some(2)));
}

#[tokio::test]
async fn a_refused_stream_names_the_port_option() {
    let site = Site::new();
    let server = site.server_sip();
    let mut config = sound(&site);
    config["sip"]["transport"] = json!("tcp");
    let told = visit(&config, &[]).await;
    let line = told.line(&format!(
        "FAIL SIP Server {server}: no TCP connection: nobody listens there"
    ));
    assert!(line.contains("option sip-port"), "{line}");
    assert_eq!(told.code, Some(2));

    let sim = TserverSim::start(&site).await;
    let told = visit(&config, &[]).await;
    told.line(&format!(
        "ok   SIP Server {server}: answers OPTIONS over TCP with 200 OK"
    ));
    told.line("ok   DN 1002");
    assert!(
        !sim.registered("1002").await,
        "the question registers nobody"
    );
    assert_eq!(told.code, Some(0), "{}", told.text);
}

#[tokio::test]
async fn a_refusal_for_all_names_the_trunk_that_steals_our_address() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    let refuse = json!({"register": {"refuse": {"status": 403}}});
    assert_eq!(sim.post("/sim/faults", &refuse).await.status, 200);
    let told = visit(&sound(&site), &["--dn", "1002", "--dn", "4711"]).await;
    let line = told.line("FAIL DN 1002");
    assert!(
        line.contains("forbids the registration") && line.contains("no Trunk"),
        "{line}"
    );
    told.line("FAIL DN 4711: no [[agents]] here");
    assert_eq!(told.code, Some(2));
}

#[tokio::test]
async fn what_is_wrong_on_our_side_is_told_without_any_sip_server() {
    let site = Site::new();
    let pki = Pki::new();
    let expired = pki.issue_expired(site.gateway()).expect("a certificate");
    let mut config = sound(&site);
    config["http"]["certificate_file"] = json!(expired.certificate);
    config["http"]["key_file"] = json!(expired.key);
    config["webrtc"]["advertise"] = json!(["198.51.100.7"]);
    let _squatter = std::net::TcpListener::bind((site.gateway(), 9090)).expect("free");
    let told = visit(&config, &[]).await;
    let line = told.line("FAIL [http] certificate ");
    assert!(
        line.contains("expired") && line.contains("renew it, then send SIGHUP"),
        "{line}"
    );
    let port = told.line(&format!("FAIL [admin] listen {}:9090", site.gateway()));
    assert!(
        port.contains("another program holds TCP port 9090") && port.contains("ss -ltnp"),
        "{port}"
    );
    told.line("warn [webrtc] advertise 198.51.100.7: no address of this machine");
    told.line("ok   token key 1 of 1 (HS256): a token made with it is good");

    let mut broken = sound(&site);
    broken["sip"]["lissen"] = json!(1);
    let told = visit(&broken, &[]).await;
    assert!(
        told.line("FAIL ").contains("talkbridge.toml:"),
        "{}",
        told.text
    );
    assert_eq!(told.code, Some(2));
}

#[tokio::test]
async fn a_registrar_that_tells_the_time_has_its_clock_compared() {
    let site = Site::new();
    let kamailio = Kamailio::registrar(&site, "right", None).await;
    let mut config = sound(&site);
    config["sip"]["servers"] = json!([kamailio.address()]);
    config["agents"] =
        json!([{"dn": "1002", "password": "right"}, {"dn": "1003", "password": "wrong"}]);
    let told = visit(&config, &[]).await;
    let clock = told.line("ok   clock: ");
    assert!(
        clock.ends_with(&format!("that of SIP Server {}", kamailio.address())),
        "{clock}"
    );
    told.line(&format!(
        "ok   DN 1002: known to SIP Server {}",
        kamailio.address()
    ));
    told.line("FAIL DN 1003: ");
    assert_eq!(told.code, Some(2));
    let json = visit(&config, &["--json", "--dn", "1002"]).await;
    let report: Value = serde_json::from_str(&json.text).expect("JSON and nothing else");
    assert!(
        report["clock_ahead_s"]
            .as_i64()
            .is_some_and(|s| s.abs() <= 30),
        "{report}"
    );
    assert_eq!(json.code, Some(0), "{report}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_told_and_a_good_one_carries_the_questions() {
    let site = Site::new();
    let (pki, other) = (Pki::new(), Pki::new());
    let _sim = TserverSim::start(&site).await;
    let _kamailio = Kamailio::proxy(&site, Some(&pki)).await;
    let pair = pki.issue(site.gateway()).expect("a certificate");
    let proxy = format!("{}:5061", site.proxy());
    let mut config = sound(&site);
    let sip = &mut config["sip"];
    sip["listen"] = json!([format!("tls:{}:5061", site.gateway())]);
    sip["servers"] = json!([proxy]);
    sip["domain"] = json!(site.sip_server());
    sip["transport"] = json!("tls");
    sip["tls"] = json!({
        "certificate_file": pair.certificate,
        "key_file": pair.key,
        "ca_file": pki.authority(),
    });
    let good = visit(&config, &[]).await;
    good.line(&format!(
        "ok   SIP Server {proxy}: answers OPTIONS over TLS with 200 OK"
    ));
    good.line(&format!(
        "ok   [sip.tls] certificate: names {}",
        site.gateway()
    ));
    good.line("ok   DN 1002");
    assert_eq!(good.code, Some(0), "{}", good.text);

    config["sip"]["tls"]["ca_file"] = json!(other.authority());
    let bad = visit(&config, &[]).await;
    let line = bad.line(&format!(
        "FAIL SIP Server {proxy}: no TLS connection: TLS: "
    ));
    assert!(line.contains("ca_file must hold the authority"), "{line}");
    assert_eq!(bad.code, Some(2));
}

#[tokio::test]
async fn names_are_looked_up_and_one_that_nobody_knows_is_told() {
    let site = Site::new();
    let resolver = SocketAddr::new(site.telephone(), 5353);
    let dns = Dns::start(resolver, 1).await.expect("a free address");
    let service = Record::Srv(0, 0, 5060, "host.example.com".to_owned());
    dns.set("_sip._udp.tserver.example.com", vec![service]);
    let IpAddr::V4(host) = site.sip_server() else {
        panic!("the tests' hosts are IPv4")
    };
    dns.set("host.example.com", vec![Record::A(host)]);
    let _sim = TserverSim::start(&site).await;
    let mut config = sound(&site);
    config["sip"]["servers"] = json!(["sip:tserver.example.com", "sip:typo.example.com"]);
    config["sip"]["resolvers"] = json!([resolver]);
    let told = visit(&config, &[]).await;
    let server = site.server_sip();
    told.line(&format!("ok   name tserver.example.com is udp {server}"));
    let typo = told.line("FAIL name typo.example.com: DNS knows no SIP Server of this name");
    assert!(typo.contains("_sip._udp"), "{typo}");
    told.line(&format!("ok   DN 1002: known to SIP Server {server}"));
    assert_eq!(told.code, Some(2), "{}", told.text);

    drop(dns);
    let told = visit(&config, &[]).await;
    told.line("FAIL name tserver.example.com: DNS does not answer");
}
