//! Networks that let no datagram of the agent's browser through to the gateway. Each is a network namespace of its own, whose firewall is
//! the test's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use interop_tests::coturn::{Coturn, SECRET};
use interop_tests::recordings::end_record;
use interop_tests::wait::within;
use interop_tests::{Browser, Lan, Pki, Site, eventually_async, on_hosts};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Office;

/// The pair of candidates that the browser's media goes by: type and protocol of its own, protocol of ours.
const PATH: &str = "
    return window.talkbridge.peerConnection.getStats().then((stats) => {
        const all = [...stats.values()];
        const transport = all.find((one) => one.type === 'transport');
        const pair = stats.get(transport?.selectedCandidatePairId);
        const local = stats.get(pair?.localCandidateId);
        const remote = stats.get(pair?.remoteCandidateId);
        return [local?.candidateType, local?.relayProtocol ?? local?.protocol, remote?.protocol];
    });";

/// The browser's own address of that pair.
const OWN_ADDRESS: &str = "
    return window.talkbridge.peerConnection.getStats().then((stats) => {
        const transport = [...stats.values()].find((one) => one.type === 'transport');
        const pair = stats.get(transport?.selectedCandidatePairId);
        return stats.get(pair?.localCandidateId)?.address ?? null;
    });";

/// A browser names no loopback address, and wants one to speak from.
pub(super) fn browser_host() -> [IpAddr; 1] {
    [[198, 51, 100, 1].into()]
}

/// Where the gateway has its browsers.
fn browsers_port(site: &Site) -> SocketAddr {
    (site.gateway(), 40_000).into()
}

async fn path(office: &Office) -> Value {
    office.browser.eval(PATH, vec![]).await
}

#[test]
fn an_agent_behind_a_firewall_is_heard_by_way_of_turn() {
    on_hosts(Site::new(), &browser_host(), |site, lan| async move {
        let coturn = Coturn::start(site.proxy()).await;
        lan.ours()
            .blocks_udp(browsers_port(&site), Some(site.proxy()));
        let office = Office::open_at(site, |config| {
            config["webrtc"]["turn"] =
                json!({"urls": [coturn.url()], "secret": SECRET, "ttl_s": 60});
        })
        .await;
        office.sign_in().await;
        let call = office.talk().await;
        assert_eq!(path(&office).await, json!(["relay", "udp", "udp"]));
        office.is_held_and_retrieved(&call).await;
        office.release(&call).await;
        drop(coturn);
    });
}

/// A firewall lets nothing of the agent's browser through: she reads why there is no audio and what to look at, and so do the administrators; with the firewall gone
/// she has audio again, and nothing is said any more.
#[test]
fn an_agent_without_a_path_is_told_why_she_has_no_audio() {
    on_hosts(Site::new(), &browser_host(), |site, lan| async move {
        let ours = lan.ours();
        ours.blocks_udp(browsers_port(&site), None);
        let office = Office::open_at(site, |_| {}).await;
        let (browser, gateway) = (&office.browser, &office.gateway);
        browser.sign_in(gateway.agents(), "1002").await;
        // The browser itself tries for a quarter of a minute, and once more.
        let told = within(Duration::from_secs(60), || {
            gateway.log().contains("no_path")
        })
        .await;
        assert!(told, "{}", gateway.log());
        gateway
            .logs(&["\"1002\"", "browser media failed", "no_path"])
            .await;
        let words = "nothing from this browser reaches the gateway";
        browser.reads("#no-audio", words).await;
        let agent = || async { gateway.get("/api/v1/agents/1002").await.json() };
        assert_eq!(agent().await["media_failure"], "no_path");
        let failed = gateway.metric("talkbridge_browser_legs_failed_total", "no_path");
        assert!(failed.await >= 1.0);

        ours.opens();
        office.ready().await;
        browser.sees_no("#no-audio").await;
        assert_eq!(agent().await["media_failure"], Value::Null);
        office.browser.close().await;
    });
}

/// The agent's network lets no UDP out at all, not even to the TURN server: she reaches that by TCP, and it reaches the gateway by UDP.
#[test]
fn an_agent_without_udp_is_heard_by_way_of_turn_over_tcp() {
    on_hosts(Site::new(), &browser_host(), |site, lan| async move {
        let coturn = Coturn::start(site.proxy()).await;
        let browser = Browser::start().await;
        let urls = [coturn.url(), coturn.url_by_tcp()];
        without_udp(browser, site, &lan, &coturn, &urls, "tcp").await;
    });
}

/// The same where only TLS gets out. Whether the certificate is to be trusted is the browser's to say; here it takes any.
#[test]
fn an_agent_without_udp_is_heard_by_way_of_turn_over_tls() {
    on_hosts(Site::new(), &browser_host(), |site, lan| async move {
        let pki = Pki::new();
        let pair = pki.issue(site.proxy()).expect("a certificate");
        let coturn = Coturn::with_tls(site.proxy(), &pair).await;
        let browser = Browser::trusting_everybody().await;
        let urls = [coturn.url(), coturn.url_by_tls()];
        without_udp(browser, site, &lan, &coturn, &urls, "tls").await;
    });
}

/// A call of an agent who has these ways to the TURN server, and takes that by `protocol`.
async fn without_udp(
    browser: Browser,
    site: Site,
    lan: &Lan,
    coturn: &Coturn,
    urls: &[String],
    protocol: &str,
) {
    let ours = lan.ours();
    ours.blocks_udp(browsers_port(&site), Some(site.proxy()));
    ours.blocks_udp(coturn.address(), None);
    let office = Office::open_for(browser, site, |config| {
        config["webrtc"]["turn"] = json!({"urls": urls, "secret": SECRET, "ttl_s": 60});
    })
    .await;
    office.sign_in().await;
    let call = office.talk().await;
    assert_eq!(path(&office).await, json!(["relay", protocol, "udp"]));
    office.is_held_and_retrieved(&call).await;
    office.release(&call).await;
}

/// The agent's network lets no UDP out, and there is no TURN server: media goes by a connection.
#[test]
fn an_agent_without_udp_is_heard_by_way_of_tcp() {
    on_hosts(Site::new(), &browser_host(), |site, lan| async move {
        lan.ours().blocks_udp(browsers_port(&site), None);
        let office = Office::open_at(site, |config| {
            let host = config["webrtc"]["advertise"][0].clone();
            let host = host.as_str().expect("an address");
            config["webrtc"]["tcp_listen"] = json!(format!("{host}:4443"));
            config["media"]["workers"] = json!(2);
        })
        .await;
        let open = || office.gateway.metric("talkbridge_ice_tcp_connections", "");
        office.sign_in().await;
        let call = office.talk().await;
        assert_eq!(path(&office).await, json!(["prflx", "tcp", "tcp"]));
        assert!(open().await >= 1.0);
        office.is_held_and_retrieved(&call).await;

        // A reload in mid-call is a connection of its own.
        office.browser.reload().await;
        office.ready().await;
        office.both_hear(&call).await;
        office.release(&call).await;
    });
}

/// The agent goes from one network to another in mid-call: her old address is gone, she has another one, and the call is heard again
/// without her doing.
#[test]
fn an_agent_who_changes_networks_keeps_her_call() {
    on_hosts(Site::new(), &browser_host(), |site, lan| async move {
        let [former] = browser_host();
        let next = IpAddr::from([198, 51, 100, 2]);
        let office = Office::open_at(site, |_| {}).await;
        office.sign_in().await;
        let call = office.talk().await;
        assert_eq!(own_address(&office).await, json!(former));
        lan.ours().gives_up(former);
        lan.ours().takes(next);
        eventually_async("the media goes by the new address", || async {
            (own_address(&office).await == json!(next)).then_some(())
        })
        .await;
        office.both_hear(&call).await;
        office.release(&call).await;
    });
}

/// The new network is there before the old one goes (make before break), and the browser has tried its path: what is lost of the call, either way, is the time
/// that the browser takes to see that the old path is silent.
#[test]
fn an_agent_who_gets_a_second_network_first_misses_seconds_only() {
    /// 6 s of speech; without the second path the call takes longer to come back.
    const LOST_MAX: u64 = 300;
    on_hosts(Site::new(), &browser_host(), |site, lan| async move {
        let [former] = browser_host();
        // Another prefix: to a browser that is another network.
        let next = IpAddr::from([203, 0, 113, 2]);
        let records = TempDir::new().expect("a temporary directory");
        let cdr = records.path().join("cdr.jsonl");
        let office = Office::open_at(site, |config| config["cdr"] = json!({"file": cdr})).await;
        office.sign_in().await;
        let call = office.talk().await;
        assert_eq!(own_address(&office).await, json!(former));
        lan.ours().takes(next);
        // What the page asks for when the browser tells it of another network; until then the browser does not know of it.
        eventually_async("the browser has a path over each network", || async {
            office.browser.eval(RESTART, vec![]).await;
            let paths = office.browser.eval(PATHS, vec![]).await;
            let paths = paths.as_array()?;
            [former, next]
                .iter()
                .all(|own| paths.contains(&json!(own)))
                .then_some(())
        })
        .await;
        office.both_hear(&call).await;
        lan.ours().gives_up(former);
        eventually_async("the media goes by the new address", || async {
            (own_address(&office).await == json!(next)).then_some(())
        })
        .await;
        office.both_hear(&call).await;
        let lost = office.browser.eval(LOST, vec![]).await;
        assert!(
            lost.as_u64() <= Some(LOST_MAX),
            "the agent missed {lost} packets"
        );
        office.sim.operate(&call, "Hangup").await;
        let record = end_record(&cdr).await;
        let way = &record["media"]["to_caller"]["received"];
        assert!(way["packets"].as_u64() > Some(100), "{record}");
        assert!(way["lost"].as_u64() <= Some(LOST_MAX), "{record}");
        office.over(&call).await;
    });
}

/// Asks for a restart, as the page does when the network changes, and again after a while.
const RESTART: &str = "
    const now = performance.now();
    if (now - (window.restartedAt ?? -Infinity) < 3000) return null;
    window.restartedAt = now;
    return window.talkbridge.restartMedia().then(() => null);";

/// The browser's own addresses of pairs that work.
const PATHS: &str = "
    return window.talkbridge.peerConnection.getStats().then((stats) =>
        [...stats.values()].filter((one) => one.type === 'candidate-pair' && one.state === 'succeeded')
            .map((pair) => stats.get(pair.localCandidateId)?.address));";

/// The packets that never came to the browser.
const LOST: &str = "
    return window.talkbridge.peerConnection.getStats().then((stats) =>
        [...stats.values()].find((one) => one.type === 'inbound-rtp').packetsLost);";

/// An agent whose network has IPv6 only: the page, the signalling and the media.
#[test]
fn an_agent_by_ipv6_is_heard_and_hears() {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    on_hosts(Site::new(), &[v6], move |site, lan| async move {
        // A browser that has no way into the world by IPv6 does not use it.
        lan.ours().leads_out_by_ipv6();
        let office = Office::open_at(site, |config| {
            // A page may use the microphone at loopback without TLS.
            config["http"]["listen"] = json!("[::1]:8080");
            config["webrtc"] = json!({"listen": "[::1]:40000", "advertise": ["::1"]});
        })
        .await;
        office.sign_in().await;
        let call = office.talk().await;
        assert_eq!(own_address(&office).await, json!(v6));
        office.is_held_and_retrieved(&call).await;
        office.release(&call).await;
    });
}

async fn own_address(office: &Office) -> Value {
    office.browser.eval(OWN_ADDRESS, vec![]).await
}
