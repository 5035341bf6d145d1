//! Networks that let no datagram of the agent's browser through to the gateway, and such as come and go. Each is a network namespace of its own, whose
//! firewall is the test's.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use interop_tests::coturn::{Coturn, SECRET};
use interop_tests::recordings::end_record;
use interop_tests::wait::within;
use interop_tests::{Browser, Engine, Lan, Pki, Site, World, eventually_async};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Office;
use super::both::{browser_host, in_both, media_host, office, office_of, turn_host};

in_both! {
    an_agent_behind_a_firewall_is_heard_by_way_of_turn,
    an_agent_without_a_path_is_told_why_she_has_no_audio,
    an_agent_without_udp_is_heard_by_way_of_turn_over_tcp,
    an_agent_without_udp_is_heard_by_way_of_turn_over_tls,
    an_agent_whose_browser_does_not_trust_the_turn_server_has_no_audio,
    an_agent_without_udp_is_heard_by_way_of_tcp,
    an_agent_who_changes_networks_keeps_her_call,
    an_agent_who_gets_a_second_network_first_misses_seconds_only,
    an_agent_whose_router_changes_its_address_misses_seconds_only,
    an_agent_by_ipv6_is_heard_and_hears,
}

/// The pair of candidates that the browser's media goes by: type and protocol of its own, protocol of ours, its own address.
const PATH: &str = "
    return window.talkbridge.peerConnection.getStats().then((stats) => {
        const all = [...stats.values()];
        const transport = all.find((one) => one.type === 'transport');
        const pair = stats.get(transport?.selectedCandidatePairId);
        const local = stats.get(pair?.localCandidateId);
        const remote = stats.get(pair?.remoteCandidateId);
        return [local?.candidateType, local?.relayProtocol ?? local?.protocol, remote?.protocol, local?.address];
    });";

/// Where the gateway has its browsers.
fn browsers_port() -> SocketAddr {
    (media_host(), 40_000).into()
}

/// The type of the browser's own candidate, its protocol, and the protocol of ours.
async fn path(office: &Office) -> Value {
    let mut path = office.browser.eval(PATH, vec![]).await;
    path.as_array_mut().expect("a path").truncate(3);
    path
}

async fn own_address(office: &Office) -> Value {
    office.browser.eval(PATH, vec![]).await[3].take()
}

/// The agents' pages are given these ways to the TURN server.
fn by_turn(urls: &[String]) -> impl FnOnce(&mut Value) {
    let turn = json!({"urls": urls, "secret": SECRET, "ttl_s": 60});
    |config| config["webrtc"]["turn"] = turn
}

async fn an_agent_behind_a_firewall_is_heard_by_way_of_turn(engine: Engine, site: Site, lan: Lan) {
    let coturn = Coturn::start(turn_host()).await;
    lan.ours().blocks_udp(browsers_port(), Some(turn_host()));
    let office = office(engine, site, by_turn(&[coturn.url()])).await;
    office.sign_in().await;
    let call = office.talk().await;
    assert_eq!(path(&office).await, json!(["relay", "udp", "udp"]));
    office.is_held_and_retrieved(&call).await;
    office.release(&call).await;
}

/// A firewall lets nothing of the agent's browser through: she reads why there is no audio and what to look at, and so do the administrators; with the firewall gone
/// she has audio again, and nothing is said any more.
async fn an_agent_without_a_path_is_told_why_she_has_no_audio(
    engine: Engine,
    site: Site,
    lan: Lan,
) {
    lan.ours().blocks_udp(browsers_port(), None);
    let office = office(engine, site, |_| {}).await;
    has_no_path(&office).await;
    let agent = || async { office.gateway.get("/api/v1/agents/1002").await.json() };
    assert_eq!(agent().await["media_failure"], "no_path");

    lan.ours().opens();
    office.ready().await;
    office.browser.sees_no("#no-audio").await;
    assert_eq!(agent().await["media_failure"], Value::Null);
    office.browser.close().await;
}

/// The agent who signs in has no audio: she and the administrators read why.
async fn has_no_path(office: &Office) {
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
    let failed = gateway.metric("talkbridge_browser_legs_failed_total", "no_path");
    assert!(failed.await >= 1.0);
}

/// The agent's network lets no UDP out at all, not even to the TURN server.
fn lets_no_udp_out(lan: &Lan, coturn: &Coturn) {
    let ours = lan.ours();
    ours.blocks_udp(browsers_port(), Some(turn_host()));
    ours.blocks_udp(coturn.address(), None);
    ours.connects_to(turn_host(), browser_host());
}

/// She reaches the TURN server by TCP, and it reaches the gateway by UDP.
async fn an_agent_without_udp_is_heard_by_way_of_turn_over_tcp(
    engine: Engine,
    site: Site,
    lan: Lan,
) {
    let coturn = Coturn::start(turn_host()).await;
    lets_no_udp_out(&lan, &coturn);
    let urls = [coturn.url(), coturn.url_by_tcp()];
    let office = office(engine, site, by_turn(&urls)).await;
    is_heard_by_turn(office, "tcp").await;
}

/// A call of an agent who reaches the TURN server by `protocol`.
async fn is_heard_by_turn(office: Office, protocol: &str) {
    office.sign_in().await;
    let call = office.talk().await;
    assert_eq!(path(&office).await, json!(["relay", protocol, "udp"]));
    office.is_held_and_retrieved(&call).await;
    office.release(&call).await;
}

/// The TURN server's name.
const TURN: &str = "turn.example.com";

/// A TURN server that speaks TLS too, whose certificate is of this authority.
async fn coturn_of(pki: &Pki) -> Coturn {
    let pair = pki.issue_for_name(TURN).expect("a certificate");
    Coturn::with_tls(turn_host(), &pair).await
}

/// Only TLS gets out, and her browser trusts who signed the TURN server's certificate.
async fn an_agent_without_udp_is_heard_by_way_of_turn_over_tls(
    engine: Engine,
    site: Site,
    lan: Lan,
) {
    let pki = Pki::new();
    let coturn = coturn_of(&pki).await;
    lets_no_udp_out(&lan, &coturn);
    let urls = [coturn.url(), coturn.url_by_tls(TURN)];
    let world = World {
        authority: Some(pki.authority()),
        host: Some((TURN, turn_host())),
    };
    let browser = Browser::start_in(engine, &world).await;
    let office = office_of(browser, site, by_turn(&urls)).await;
    is_heard_by_turn(office, "tls").await;
}

/// Her browser knows nothing of who signed it: it speaks to no such TURN server, and she is told that she has no path.
async fn an_agent_whose_browser_does_not_trust_the_turn_server_has_no_audio(
    engine: Engine,
    site: Site,
    lan: Lan,
) {
    let coturn = coturn_of(&Pki::new()).await;
    lets_no_udp_out(&lan, &coturn);
    let world = World {
        authority: None,
        host: Some((TURN, turn_host())),
    };
    let browser = Browser::start_in(engine, &world).await;
    let office = office_of(browser, site, by_turn(&[coturn.url_by_tls(TURN)])).await;
    has_no_path(&office).await;
    office.browser.close().await;
}

/// The agent's network lets no UDP out, and there is no TURN server: media goes by a connection.
async fn an_agent_without_udp_is_heard_by_way_of_tcp(engine: Engine, site: Site, lan: Lan) {
    lan.ours().blocks_udp(browsers_port(), None);
    lan.ours().connects_to(media_host(), browser_host());
    let office = office(engine, site, |config| {
        let listen = SocketAddr::new(media_host(), 4_443);
        config["webrtc"]["tcp_listen"] = json!(listen);
        config["media"]["workers"] = json!(2);
    })
    .await;
    let open = || office.gateway.metric("talkbridge_ice_tcp_connections", "");
    office.sign_in().await;
    let call = office.talk().await;
    assert_eq!(
        path(&office).await.as_array().map(|path| &path[1..]),
        Some(&[json!("tcp"), json!("tcp")][..])
    );
    assert!(open().await >= 1.0);
    office.is_held_and_retrieved(&call).await;

    // A reload in mid-call is a connection of its own.
    office.browser.reload().await;
    office.ready().await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// The agent goes from one network to another in mid-call: her old address is gone, she has another one, and the call is heard again
/// without her doing.
async fn an_agent_who_changes_networks_keeps_her_call(engine: Engine, site: Site, lan: Lan) {
    let former = browser_host();
    let next = IpAddr::from([198, 51, 100, 2]);
    let office = office(engine, site, |_| {}).await;
    office.sign_in().await;
    let call = office.talk().await;
    assert_eq!(own_address(&office).await, json!(former));
    let ours = lan.ours();
    ours.gives_up(former);
    ours.takes(next);
    // The way out went with the address.
    ours.leads_out();
    eventually_async("the media goes by the new address", || async {
        (own_address(&office).await == json!(next)).then_some(())
    })
    .await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// The new network is there before the old one goes (make before break), and the browser has tried its path: what is lost of the call, either way, is the time
/// that the browser takes to see that the old path is silent.
async fn an_agent_who_gets_a_second_network_first_misses_seconds_only(
    engine: Engine,
    site: Site,
    lan: Lan,
) {
    /// 6 s of speech; without the second path the call takes longer to come back.
    const LOST_MAX: u64 = 300;
    let former = browser_host();
    // Another prefix: to a browser that is another network.
    let next = IpAddr::from([203, 0, 113, 2]);
    let records = TempDir::new().expect("a temporary directory");
    let cdr = records.path().join("cdr.jsonl");
    let office = office(engine, site, |config| config["cdr"] = json!({"file": cdr})).await;
    office.sign_in().await;
    let call = office.talk().await;
    assert_eq!(own_address(&office).await, json!(former));
    lan.ours().takes(next);
    // What the page asks for when the browser tells it of another network; until then the browser does not know of it. Firefox tells of none, and looks for
    // one when the path has gone.
    let tells = engine == Engine::Chromium;
    eventually_async("the browser has a path over each network", || async {
        if !tells {
            return Some(());
        }
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
    ends_with_little_lost(office, &call, &cdr, LOST_MAX).await;
}

/// The call ends, and neither side has missed more packets than that.
async fn ends_with_little_lost(office: Office, call: &str, cdr: &Path, lost_max: u64) {
    let few = |lost: u64| lost <= lost_max;
    let lost = office.browser.eval(LOST, vec![]).await;
    assert!(
        lost.as_u64().is_some_and(few),
        "the agent missed {lost} packets"
    );
    office.sim.operate(call, "Hangup").await;
    let record = end_record(cdr).await;
    let way = &record["media"]["to_caller"]["received"];
    assert!(way["packets"].as_u64() > Some(25), "{record}");
    assert!(way["lost"].as_u64().is_some_and(few), "{record}");
    office.over(call).await;
}

/// Her home's router gets another address from its provider, as many do every night: what her browser sends comes from elsewhere, and neither the browser nor the
/// page knows of it. The browser's next check tells the gateway.
async fn an_agent_whose_router_changes_its_address_misses_seconds_only(
    engine: Engine,
    site: Site,
    lan: Lan,
) {
    /// 8 s of speech: Firefox checks every 6 s at the latest.
    const LOST_MAX: u64 = 400;
    let routers = [3, 4].map(|last| IpAddr::from([192, 0, 2, last]));
    let records = TempDir::new().expect("a temporary directory");
    let cdr = records.path().join("cdr.jsonl");
    lan.ours().is_behind(routers[0], browsers_port());
    let office = office(engine, site, |config| config["cdr"] = json!({"file": cdr})).await;
    office.sign_in().await;
    let call = office.talk().await;
    office.both_hear(&call).await;

    lan.ours().is_behind(routers[1], browsers_port());
    let before = heard_packets(&office).await;
    eventually_async("the agent hears the caller again", || async {
        (heard_packets(&office).await >= before + 50).then_some(())
    })
    .await;
    office.both_hear(&call).await;
    ends_with_little_lost(office, &call, &cdr, LOST_MAX).await;
}

/// How many packets have come to the browser.
async fn heard_packets(office: &Office) -> u64 {
    let heard = office.browser.eval(HEARD, vec![]).await;
    heard.as_u64().expect("a count")
}

/// The packets that came to the browser.
const HEARD: &str = "
    return window.talkbridge.peerConnection.getStats().then((stats) =>
        [...stats.values()].find((one) => one.type === 'inbound-rtp').packetsReceived);";

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
async fn an_agent_by_ipv6_is_heard_and_hears(engine: Engine, site: Site, lan: Lan) {
    let network = |host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]);
    let ours = lan.ours();
    ours.gives_up(browser_host());
    ours.takes(network(1));
    ours.serves_at(network(9));
    // A browser that has no way into the world by IPv6 does not use it.
    ours.leads_out_by_ipv6();
    let office = office(engine, site, |config| {
        // A page may use the microphone at loopback without TLS.
        config["http"]["listen"] = json!("[::1]:8080");
        config["webrtc"] = json!({"listen": SocketAddr::new(network(9), 40_000)});
    })
    .await;
    office.sign_in().await;
    let call = office.talk().await;
    assert_eq!(own_address(&office).await, json!(network(1)));
    office.is_held_and_retrieved(&call).await;
    office.release(&call).await;
}
