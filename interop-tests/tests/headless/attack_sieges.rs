//! Each attack of `cargo xtask attack`, for a moment.

use std::time::Duration;

use interop_tests::attack::sieges;

async fn holds(name: &str) {
    let siege = sieges::ALL.iter().find(|siege| siege.name == name);
    let siege = siege.unwrap_or_else(|| panic!("no attack is named {name}"));
    (siege.run)(Duration::ZERO).await;
}

/// After each torture message and each message of an advisory, by UDP, TCP and TLS, talkbridge answers and the call is heard.
#[tokio::test]
async fn torture_over_udp_tcp_and_tls() {
    holds("torture").await;
}

/// Five thousand broken INVITEs: a good one rings after each group.
#[tokio::test]
async fn broken_invites() {
    holds("protos").await;
}

/// A flood from anywhere: the call is heard, the desktop's clicks arrive, an agent signs in, strangers hear nothing.
#[tokio::test]
async fn a_flood_of_strangers() {
    holds("stranger-flood").await;
}

/// The same under SIP Server's own address, where every request is answered.
#[tokio::test]
async fn a_flood_under_sip_servers_address() {
    holds("server-flood").await;
}

/// Tags guessed by the thousand end, hold and move nothing.
#[tokio::test]
async fn guessed_tags() {
    holds("guess").await;
}

/// A thousand connections that say nothing, or half of something: everybody else is served.
#[tokio::test]
async fn idle_connections() {
    holds("idle").await;
}

/// Hellos that stop halfway take every place for TLS: the call goes on, an agent signs in, and the places are free again in seconds.
#[tokio::test]
async fn handshakes_that_stop_halfway() {
    holds("half-hello").await;
}

/// A thousand INVITEs over TLS on connections that are closed at once: the next connection is served, the call is heard.
#[tokio::test]
async fn connections_closed_in_mid_request() {
    holds("sudden-close").await;
}

/// A hundred connections say that they are the same call: the one that is up is heard.
#[tokio::test]
async fn one_call_from_a_hundred_connections() {
    holds("one-call").await;
}

/// Everything that others can make the process hold, at once, in no more memory than its limits add up to: it asks for none in vain, the call goes on, new calls get 503,
/// and are taken again afterwards.
#[tokio::test]
async fn memory_that_its_limits_add_up_to_is_enough() {
    holds("scarce-memory").await;
}

/// Media from a stranger, also under the caller's own source, on every port that a call can have while an agent talks and another one connects: it reaches
/// the call's ports, not a sample of it is heard, nothing comes back.
#[tokio::test]
async fn sprayed_media_ports() {
    holds("spray").await;
}
