//! The TURN server by the configuration that is shipped, asked for more than it should give.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use interop_tests::coturn::SECRET;
use interop_tests::{Coturn, Gateway, Page, Registrar, Site, TurnClient};
use serde_json::json;
use sha1::Sha1;

/// An agent, or whoever stole her page's credentials, reaches the gateway by them: not this host's own services, not the network behind it, not what an
/// address family or a notation would hide.
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
    let inside = inside.map(SocketAddr::from).into_iter();
    let foreign = IPV4_PEERS.map(|peer| peer.parse().expect("an address"));
    for peer in inside.chain(foreign) {
        assert_eq!(refusals(&mut client, peer).await, [FORBIDDEN; 2], "{peer}");
    }
    let ipv6 = IPV6_PEERS.map(|peer| peer.parse().expect("an address"));
    for peer in ipv6 {
        let refusals = refusals(&mut client, peer).await;
        assert_eq!(refusals, [OTHER_FAMILY; 2], "{peer} by a relay of IPv4");
    }
    let client = TurnClient::allocate_by_ipv6(from, at, &username, &password).await;
    let mut client = client.expect("TURN").expect("a relay of IPv6");
    for peer in ipv6 {
        assert_eq!(refusals(&mut client, peer).await, [FORBIDDEN; 2], "{peer}");
    }
}

/// Forbidden: the server relays to no such peer (RFC 8656 section 9.2).
const FORBIDDEN: u16 = 403;

/// Peer Address Family Mismatch.
const OTHER_FAMILY: u16 = 443;

const IPV4_PEERS: [&str; 10] = [
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
];

const IPV6_PEERS: [&str; 6] = [
    "[::]:80",
    "[::1]:9090",
    "[::ffff:127.0.0.1]:9090",
    "[::ffff:10.0.0.1]:443",
    "[fd00::1]:443",
    "[fe80::1]:443",
];

/// How a permission and a channel to a peer are refused; 0 where one is given.
async fn refusals(client: &mut TurnClient, peer: SocketAddr) -> [u16; 2] {
    let permission = client.permission(peer).await.expect("TURN");
    let channel = client.channel(peer).await.expect("TURN");
    [permission, channel].map(|answer| answer.err().unwrap_or(0))
}

/// The password of a user name, as the gateway and coturn make it of their secret.
fn password_of(username: &str) -> String {
    let mut code = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    code.update(username.as_bytes());
    BASE64_STANDARD.encode(code.finalize().into_bytes())
}

/// Credentials are good until the second that their name says and not a moment longer, however right their password is.
#[tokio::test]
async fn credentials_that_have_ended_reach_nothing() {
    let site = Site::new();
    let coturn = Coturn::as_shipped(site.proxy(), site.gateway()).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.expect("it is later than 1970").as_secs();
    let (from, at) = (site.browsers(), coturn.address());
    for (end_s, refusal) in [
        (now_s + 600, None),
        (now_s - 1, Some(401)),
        (1_700_000_000, Some(401)),
    ] {
        let username = format!("{end_s}:1002");
        let password = password_of(&username);
        let client = TurnClient::allocate(from, at, &username, &password).await;
        assert_eq!(client.expect("TURN").err(), refusal, "{username}");
    }
    let username = format!("{}:1002", now_s + 600);
    for password in ["a password of nobody", &password_of("another:1002")] {
        let client = TurnClient::allocate(from, at, &username, password).await;
        assert_eq!(client.expect("TURN").err(), Some(401), "{password}");
    }
}
