//! SIP Servers that die and come back, and two sites at once, through the real binary.

use std::net::SocketAddr;
use std::time::Instant;

use interop_tests::{Gateway, Page, Registrar, Site, eventually, eventually_async};
use serde_json::{Value, json};

async fn registrar(at: SocketAddr) -> Registrar {
    Registrar::start(at).await.expect("a free address")
}

fn second(site: &Site) -> SocketAddr {
    SocketAddr::new(site.second_server(), 5060)
}

/// The DN as the administration interface shows it.
async fn shown(gateway: &Gateway) -> Value {
    let answer = gateway.get("/api/v1/agents/1002").await;
    let agent: Value = serde_json::from_str(&answer.body).expect("JSON");
    agent["registration"].clone()
}

async fn registered_at(gateway: &Gateway, server: SocketAddr) {
    eventually_async(&format!("DN 1002 is registered at {server}"), || async {
        let shown = shown(gateway).await;
        (shown["state"] == "registered" && shown["server"] == server.to_string()).then_some(())
    })
    .await;
}

/// The primary dies without a word, the DN goes to the backup; the primary is back, and so is the DN. The backup's binding is never
/// taken back: SIP Server would take it for the newer one's.
#[tokio::test]
async fn a_dn_goes_to_the_backup_and_back() {
    let site = Site::new();
    let primary = registrar(site.server_sip()).await;
    let backup = registrar(second(&site)).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["agents"] = json!([{"dn": "1002", "register": "always"}]);
        config["sip"]["servers"] = json!([site.server_sip(), second(&site)]);
        config["sip"]["probe_interval_s"] = json!(1);
        config["sip"]["failback_after_s"] = json!(1);
    })
    .await;
    registered_at(&gateway, site.server_sip()).await;
    assert_eq!(backup.expiry("1002"), None);

    drop(primary);
    registered_at(&gateway, second(&site)).await;

    let primary = registrar(site.server_sip()).await;
    registered_at(&gateway, site.server_sip()).await;
    assert!(primary.expiry("1002") > Some(0));
    assert!(backup.expiry("1002") > Some(0), "left to expire");
}

/// Business Continuity: the DN is registered at both sites at once, and given back at both.
#[tokio::test]
async fn a_dn_is_registered_at_two_sites() {
    let site = Site::new();
    let east = registrar(site.server_sip()).await;
    let west = registrar(second(&site)).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([]);
        config["sip"]["sites"] = json!([
            {"name": "east", "servers": [site.server_sip()]},
            {"name": "west", "servers": [second(&site)]},
        ]);
    })
    .await;
    let page = Page::start(gateway.page("1002"))
        .await
        .expect("it connects");
    eventually_async("both sites are registered", || async {
        let sites = shown(&gateway).await["sites"].clone();
        let states = [("east", 0), ("west", 1)];
        let holds = |(name, at): (&str, usize)| {
            sites[at]["site"] == name && sites[at]["state"] == "registered"
        };
        states.into_iter().all(holds).then_some(())
    })
    .await;
    assert!(east.expiry("1002") > Some(0));
    assert!(west.expiry("1002") > Some(0));

    page.sign_out().await;
    eventually("the DN is given back at both", || {
        east.expiry("1002") == Some(0) && west.expiry("1002") == Some(0)
    })
    .await;
}

/// The drill: two thousand DNs, and the primary is gone without a word. The figures are printed; how fast they may be is a matter of
/// the configured rate, which stories in virtual time hold it to.
#[tokio::test]
async fn two_thousand_dns_move_to_the_backup() {
    const DNS: usize = 2_000;
    let site = Site::new();
    let primary = registrar(site.server_sip()).await;
    let backup = registrar(second(&site)).await;
    let agents = (0..DNS).map(|dn| json!({"dn": (10_000 + dn).to_string(), "register": "always"}));
    let agents: Vec<Value> = agents.collect();
    let gateway = Gateway::start_with(&site, |config| {
        config["log"]["level"] = json!("warn");
        config["agents"] = json!(agents);
        config["sip"]["servers"] = json!([site.server_sip(), second(&site)]);
        config["sip"]["probe_interval_s"] = json!(1);
        config["sip"]["register"] = json!({"start_rate_per_s": 1_000});
    })
    .await;
    eventually("all are registered at the primary", || {
        primary.counts() == (DNS, 0)
    })
    .await;
    drop(primary);
    let dead = Instant::now();
    eventually("all are registered at the backup", || {
        backup.counts() == (DNS, 0)
    })
    .await;
    println!("{DNS} DNs moved within {:?}", dead.elapsed());
    let registered = DNS as f64;
    gateway
        .metric_is("talkbridge_dns_registered", "", registered)
        .await;
}
