//! SIP Servers that are known by name, through the real binary and a DNS server beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use interop_tests::attack::{SipPeer, answer};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::dns::Record;
use interop_tests::gateway::{PAGE_HZ, configuration, talkbridge};
use interop_tests::http;
use interop_tests::{
    Customer, Dns, Gateway, Page, Pki, Registrar, Site, eventually, eventually_async,
};
use serde_json::{Value, json};

/// The domain of every test here.
const DOMAIN: &str = "tserver.example.com";

fn resolver(site: &Site) -> SocketAddr {
    SocketAddr::new(site.telephone(), 5353)
}

async fn dns(site: &Site) -> Dns {
    Dns::start(resolver(site), 1).await.expect("a free address")
}

/// DN 1002 is always registered at the domain; DNS says with what transport unless the test does.
fn by_name(site: &Site, config: &mut Value) {
    config["agents"] = json!([{"dn": "1002", "register": "always"}]);
    config["sip"]["servers"] = json!([format!("sip:{DOMAIN}")]);
    config["sip"]["resolvers"] = json!([resolver(site)]);
    config["sip"]["probe_interval_s"] = json!(1);
}

fn a(host: IpAddr) -> Vec<Record> {
    match host {
        IpAddr::V4(ip) => vec![Record::A(ip)],
        IpAddr::V6(ip) => vec![Record::Aaaa(ip)],
    }
}

fn srv(priority: u16, weight: u16, target: &str) -> Record {
    Record::Srv(priority, weight, 5060, target.to_owned())
}

async fn registered_at(gateway: &Gateway, server: IpAddr) {
    registered_at_port(gateway, SocketAddr::new(server, 5060)).await;
}

async fn registered_at_port(gateway: &Gateway, server: SocketAddr) {
    let server = server.to_string();
    eventually_async(&format!("DN 1002 is registered at {server}"), || async {
        let answer = gateway.get("/api/v1/agents/1002").await;
        let agent: Value = serde_json::from_str(&answer.body).ok()?;
        let shown = &agent["registration"];
        (shown["state"] == "registered" && shown["server"] == server).then_some(())
    })
    .await;
}

async fn registrar(at: IpAddr) -> Registrar {
    let at = SocketAddr::new(at, 5060);
    Registrar::start(at).await.expect("a free address")
}

/// Two servers of one priority, all the weight on one of them, and a third behind them: the DN is registered where SRV says, and goes on to
/// the next target when that one dies.
#[tokio::test]
async fn srv_says_where_and_what_comes_next() {
    let site = Site::new();
    let dns = dns(&site).await;
    dns.set(
        "_sip._udp.tserver.example.com",
        vec![
            srv(20, 100, "third.example.com"),
            srv(10, 0, "backup.example.com"),
            srv(10, 65_535, "primary.example.com"),
        ],
    );
    dns.set("primary.example.com", a(site.sip_server()));
    dns.set("third.example.com", a(site.crowd(1)));
    dns.set("backup.example.com", a(site.second_server()));
    let primary = registrar(site.sip_server()).await;
    let backup = registrar(site.second_server()).await;
    let gateway = Gateway::start_with(&site, |config| {
        by_name(&site, config);
        config["sip"]["transport"] = json!("udp");
    })
    .await;
    registered_at(&gateway, site.sip_server()).await;
    gateway
        .metric_is("talkbridge_sip_servers", "state=\"up\"", 3.0)
        .await;
    assert_eq!(backup.expiry("1002"), None);

    drop(primary);
    registered_at(&gateway, site.second_server()).await;
    gateway
        .metric_is("talkbridge_sip_servers", "state=\"down\"", 1.0)
        .await;
}

/// The record changes while an agent talks: the DN is registered at the new server, and the call with the former one goes on to its
/// end. Then the former one is a stranger.
#[tokio::test]
async fn a_changed_record_moves_the_dn_and_not_its_call() {
    let site = Site::new();
    let dns = dns(&site).await;
    dns.set(DOMAIN, a(site.sip_server()));
    let _former = registrar(site.sip_server()).await;
    let _next = registrar(site.second_server()).await;
    let gateway = Gateway::start_with(&site, |config| by_name(&site, config)).await;
    let page = Page::start(gateway.page("1002"))
        .await
        .expect("it connects");
    registered_at(&gateway, site.sip_server()).await;
    eventually_async("the browser is warm", || async {
        gateway
            .log()
            .contains("browser media connected")
            .then_some(())
    })
    .await;
    let peer = SipPeer::start(&site, site.sip_server(), 5070).await;
    let media = SocketAddr::new(site.media(), 20_000);
    let mut call = peer.talks("1002", media).await;

    dns.set(DOMAIN, a(site.second_server()));
    registered_at(&gateway, site.second_server()).await;
    let options = call.request("OPTIONS", "", "");
    assert_eq!(peer.asks(&options).await, 200, "the call is up");
    let bye = call.request("BYE", "", "");
    assert_eq!(peer.asks(&bye).await, 200);

    gateway.metric_is("talkbridge_calls_active", "", 0.0).await;
    drop(page);
}

/// SIP and its media over IPv6: the name has addresses of both families, and the one of `advertise` counts (AAAA). The DN is registered, called and heard.
#[tokio::test]
async fn a_sip_server_of_ipv6_is_found_and_calls() {
    let site = Site::new();
    let dns = dns(&site).await;
    let here = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0);
    let bound = || std::net::UdpSocket::bind(here).expect("loopback has IPv6");
    let (server, peer, ours) = (bound(), bound(), bound());
    let address = |socket: &std::net::UdpSocket| socket.local_addr().expect("it is bound");
    let (server_at, gateway_at) = (address(&server), address(&ours));
    let nobody = Ipv4Addr::new(192, 0, 2, 81);
    dns.set(
        DOMAIN,
        vec![Record::A(nobody), Record::Aaaa(Ipv6Addr::LOCALHOST)],
    );
    let registrar = Registrar::on(server).expect("the runtime takes it");
    // The gateway takes the port over.
    drop(ours);
    let gateway = Gateway::start_with(&site, |config| {
        by_name(&site, config);
        config["sip"]["servers"] = json!([format!("sip:{DOMAIN}:{}", server_at.port())]);
        config["sip"]["listen"] = json!([format!("udp:{gateway_at}")]);
        config["sip"]["advertise"] = json!("::1");
        config["media"]["address"] = json!("::1");
    })
    .await;
    registered_at_port(&gateway, server_at).await;
    assert!(registrar.expiry("1002") > Some(0));
    let page = Page::sign_in(&gateway, "1002").await;
    let customer = Customer::start(Ipv6Addr::LOCALHOST.into()).await;
    let peer = SipPeer::on(&site, peer, |_| Vec::new()).towards(gateway_at);
    let call = peer.talks("1002", customer.address()).await;
    customer.hears(PAGE_HZ).await;
    page.hears(CUSTOMER_HZ).await;
    let contact = format!("sip:1002@[::1]:{}", gateway_at.port());
    let answers = |message: &str| {
        message.starts_with("SIP/2.0 200")
            && message.contains(&contact)
            && message.contains("c=IN IP6 ::1")
    };
    peer.hears("an answer with our Contact and address", answers)
        .await;
    page.control("hangup").await;
    let bye = peer
        .hears("BYE", |message| message.starts_with("BYE "))
        .await;
    assert!(
        bye.starts_with(&format!("BYE sip:1003@{} ", call.us)),
        "{bye}"
    );
    peer.say(&answer(&bye, "200 OK", "")).await;
    page.call_in("ended").await;
}

/// DNS is dead when the gateway starts: the log and `/readyz` say so, and once it answers the DN is registered without a hand.
#[tokio::test]
async fn dns_that_is_dead_at_the_start_is_asked_again() {
    let site = Site::new();
    let _registrar = registrar(site.sip_server()).await;
    let gateway = Gateway::start_unready(&site, |config| by_name(&site, config));
    eventually("the log says what is missing", || {
        let log = gateway.log();
        log.contains("WARN") && log.contains("name of a SIP Server not looked up")
    })
    .await;
    let ready = gateway.get("/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("sip_server_names"), "{}", ready.body);
    assert!(ready.body.contains(DOMAIN), "{}", ready.body);
    let agent = gateway.get("/api/v1/agents/1002").await.json();
    assert_eq!(agent["registration"]["state"], "failed", "{agent}");
    let reason = agent["registration"]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("no SIP Server is known for DN 1002") && reason.contains(DOMAIN),
        "{reason}"
    );
    let fault = "fault=\"no_server\"";
    gateway
        .metric_is("talkbridge_registration_failures_total", fault, 1.0)
        .await;
    gateway.logs(&["no_server"]).await;

    let dns = dns(&site).await;
    dns.set(DOMAIN, a(site.sip_server()));
    registered_at(&gateway, site.sip_server()).await;
    gateway.ready().await;

    // And a DNS that dies later takes nothing away.
    drop(dns);
    eventually_async("the name is not answered for", || async {
        gateway
            .get("/readyz")
            .await
            .body
            .contains("does not answer")
            .then_some(())
    })
    .await;
    assert_eq!(gateway.get("/readyz").await.status, 200);
    registered_at(&gateway, site.sip_server()).await;
}

/// NAPTR prefers TCP, though UDP would do: the DN is registered over TCP.
#[tokio::test]
async fn naptr_picks_tcp_over_udp() {
    let site = Site::new();
    let dns = dns(&site).await;
    let rule = |preference, service, replacement: &str| {
        Record::Naptr(50, preference, service, replacement.to_owned())
    };
    dns.set(
        DOMAIN,
        vec![
            rule(90, "SIP+D2U", "_sip._udp.tserver.example.com"),
            rule(10, "SIPS+D2T", "_sips._tcp.tserver.example.com"),
            rule(50, "SIP+D2T", "_sip._tcp.tserver.example.com"),
        ],
    );
    for service in ["_sip._udp", "_sip._tcp", "_sips._tcp"] {
        let records = vec![srv(0, 0, "host.example.com")];
        dns.set(&format!("{service}.{DOMAIN}"), records);
    }
    dns.set("host.example.com", a(site.sip_server()));
    let at = SocketAddr::new(site.sip_server(), 5060);
    let udp = Registrar::start(at).await.expect("a free address");
    let tcp = Registrar::start_tcp(at).await.expect("a free address");
    let gateway = Gateway::start_with(&site, |config| by_name(&site, config)).await;
    registered_at(&gateway, site.sip_server()).await;
    assert!(tcp.expiry("1002") > Some(0), "we do not listen for TLS");
    assert_eq!(udp.expiry("1002"), None);
}

/// `talkbridge check` shows what a name means, and takes a name that nobody knows for no fault of the file.
#[tokio::test]
async fn check_shows_what_names_mean() {
    let site = Site::new();
    let dns = dns(&site).await;
    dns.set(
        "host.example.com",
        vec![Record::A(Ipv4Addr::new(192, 0, 2, 81))],
    );
    let mut config = configuration(&site);
    by_name(&site, &mut config);
    config["sip"]["servers"] = json!(["host.example.com:5070", "nobody.example.com"]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("talkbridge.toml");
    let text = toml::to_string(&config).expect("TOML");
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let (code, output) = talkbridge(&["check", "--config", file], dir.path())
        .await
        .expect("it runs");
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("host.example.com is udp 192.0.2.81:5070"),
        "{output}"
    );
    assert!(
        output.contains("nobody.example.com: DNS knows no SIP Server of this name (warning)"),
        "{output}"
    );
}

/// TLS to a server that was found by the name of the configuration: its certificate must be for that name (RFC 5922 section 4), whatever
/// names DNS came by on the way. Whoever can forge DNS gets no registration.
#[tokio::test]
async fn the_certificate_is_for_the_name_of_the_configuration() {
    let site = Site::new();
    let pki = Pki::new();
    let dns = dns(&site).await;
    let target = "host.example.net";
    let service = Record::Srv(0, 0, 5061, target.to_owned());
    dns.set(&format!("_sips._tcp.{DOMAIN}"), vec![service]);
    dns.set(target, a(site.sip_server()));
    let at = SocketAddr::new(site.sip_server(), 5061);
    let pair = |name: &str| pki.issue_for_name(name).expect("a certificate");
    let wrong = Registrar::start_tls(at, &pair(target)).await;
    let wrong = wrong.expect("a free address");
    let own = pki.issue(site.gateway()).expect("a certificate");
    let gateway = Gateway::start_unready(&site, |config| {
        by_name(&site, config);
        let sip = &mut config["sip"];
        sip["listen"] = json!([format!("tls:{}:5061", site.gateway())]);
        sip["transport"] = json!("tls");
        sip["tls"] = json!({
            "certificate_file": own.certificate,
            "key_file": own.key,
            "ca_file": pki.authority(),
        });
        sip["register"] = json!({"retry_s": 1});
    });
    eventually_async("the certificate is refused", || async {
        let agent = http::get(gateway.admin(), "/api/v1/agents/1002")
            .await
            .ok()?;
        let agent: Value = serde_json::from_str(&agent.body).ok()?;
        let shown = &agent["registration"];
        let why = shown["reason"].as_str()?.contains("TLS refuses");
        (shown["state"] == "failed" && why).then_some(())
    })
    .await;
    assert_eq!(wrong.expiry("1002"), None);

    drop(wrong);
    let right = eventually_async("the port is free", || async {
        Registrar::start_tls(at, &pair(DOMAIN)).await.ok()
    })
    .await;
    eventually("the DN is registered", || right.expiry("1002") > Some(0)).await;
}
