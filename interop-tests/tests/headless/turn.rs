//! The TURN server by the configuration that is shipped, asked for more than it should give.

use std::net::SocketAddr;

use interop_tests::coturn::SECRET;
use interop_tests::{Coturn, Gateway, Page, Registrar, Site, TurnClient};
use serde_json::json;

/// An agent, or whoever stole her page's credentials, reaches the gateway by them: not this host's own services, not the network behind it, not what an
/// address family or a notation would hide. Credentials that have ended reach nothing.
#[tokio::test]
async fn a_pages_credentials_reach_the_gateway_and_nothing_else() {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let _registrar = registrar.expect("the port is ours");
    let coturn = Coturn::as_shipped(site.proxy(), site.gateway()).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["webrtc"]["turn"] = json!({"urls": [coturn.url()], "secret": SECRET, "ttl_s": 60});
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    let welcome = page.messages("welcome").remove(0);
    let server = &welcome["ice_servers"][0];
    let text = |field: &str| server[field].as_str().unwrap_or_default().to_owned();
    let (username, password) = (text("username"), text("credential"));
    assert!(username.ends_with(":1002"), "{welcome}");

    let (from, at) = (site.browsers(), coturn.address());
    let client = TurnClient::allocate(from, at, &username, &password).await;
    let mut client = client.expect("TURN").expect("a relay");
    let peer = SocketAddr::from((site.gateway(), 40_000));
    assert_eq!(client.permission(peer).await.expect("TURN"), Ok(()));
    assert_eq!(client.channel(peer).await.expect("TURN"), Ok(()));
    let inside = [
        (site.sip_server(), 5060),
        (site.proxy(), 3478),
        (site.browsers(), 80),
    ];
    let foreign = [
        "0.0.0.0:80",
        "127.0.0.1:9090",
        "127.0.0.2:22",
        "10.0.0.1:443",
        "172.16.0.1:443",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "198.51.100.77:5060",
        "224.0.0.1:5353",
        "255.255.255.255:67",
        "[::]:80",
        "[::1]:9090",
        "[::ffff:127.0.0.1]:9090",
        "[::ffff:10.0.0.1]:443",
        "[fd00::1]:443",
        "[fe80::1]:443",
    ];
    let inside = inside.map(SocketAddr::from).into_iter();
    let foreign = foreign.map(|peer| peer.parse().expect("an address"));
    for peer in inside.chain(foreign) {
        for answer in [client.permission(peer).await, client.channel(peer).await] {
            let refused = answer.expect("TURN").expect_err("it is reached");
            assert!((400..500).contains(&refused), "{peer}: {refused}");
        }
    }

    let ended = "1700000000:1002";
    for (username, password) in [(ended, &*password), (&*username, "a password of nobody")] {
        let client = TurnClient::allocate(from, at, username, password).await;
        assert_eq!(client.expect("TURN").err(), Some(401), "{username}");
    }
}
