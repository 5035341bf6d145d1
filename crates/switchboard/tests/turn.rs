//! Credentials for the site's TURN server: an agent behind a firewall keeps her sound over a long shift.

mod common;

use std::time::Duration;

use common::{World, config};
use control::{GatewayMessage, IceServer};
use switchboard::TurnConfig;

const HOUR: Duration = Duration::from_secs(3_600);

/// 1,700,000,000 s, where these worlds begin.
const BORN_S: u64 = 1_700_000_000;

fn world() -> World {
    let mut config = config(&["1002"]);
    config.turn = Some(TurnConfig {
        urls: vec!["turn:turn.example.com".to_owned()],
        secret: "a shared secret".into(),
        life: HOUR,
    });
    World::with_config(config)
}

/// Every list of helpers that the page was given.
fn given(world: &World, page: u64) -> Vec<Vec<IceServer>> {
    let servers = |message: &GatewayMessage| match message {
        GatewayMessage::Welcome(welcome) => Some(welcome.ice_servers.clone()),
        GatewayMessage::IceServers { ice_servers } => Some(ice_servers.clone()),
        _ => None,
    };
    world.pages[&page].iter().filter_map(servers).collect()
}

fn ends_s(servers: &[IceServer]) -> u64 {
    let name = servers.last().and_then(|server| server.username.as_deref());
    let (ends, dn) = name.and_then(|name| name.split_once(':')).expect("a name");
    assert_eq!(dn, "1002");
    ends.parse().expect("a time")
}

/// The network of the agent changes after hours: the credentials that her page has then are not those of the morning.
#[test]
fn credentials_are_renewed_before_they_end() {
    let mut world = world();
    let page = world.sign_in("1002", None);
    assert_eq!(ends_s(&given(&world, page)[0]), BORN_S + 3_600);
    world.advance(HOUR * 4 - Duration::from_secs(1));
    let all = given(&world, page);
    assert_eq!(all.len(), 8, "every half of their life");
    for (halves, servers) in (0..).zip(&all) {
        assert_eq!(ends_s(servers), BORN_S + 1_800 * halves + 3_600);
    }
}

/// A page that was away comes back with fresh ones, and nobody writes to a page that is not there.
#[test]
fn a_page_that_comes_back_gets_fresh_ones() {
    let mut world = world();
    let page = world.sign_in("1002", None);
    let secret = world.resume_secret(page);
    world.advance(HOUR / 2 - Duration::from_secs(10));
    world.lose_page(page);
    world.advance(Duration::from_secs(20));
    assert_eq!(given(&world, page).len(), 1);
    let back = world.sign_in("1002", Some(secret));
    assert_eq!(ends_s(&given(&world, back)[0]), BORN_S + 1_810 + 3_600);
    world.advance(HOUR / 2);
    assert_eq!(given(&world, back).len(), 2);
}

/// Without a TURN server nothing of it is heard.
#[test]
fn nobody_is_written_to_without_a_turn_server() {
    let (mut world, page) = World::with_agent("1002");
    world.advance(HOUR * 24);
    assert_eq!(given(&world, page), [[]]);
}
