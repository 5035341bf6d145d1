//! Media under a browser's own address that no key fits, and what it costs.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Flood, SipPeer, torture};
use crate::load::vitals;
use crate::{Desk, Registrar, Site, eventually, on_hosts};

/// Forged packets a second: two hundred times what a browser sends.
const FORGED_PER_S: u64 = 10_000;

/// Packets of the call during which processor time is measured, twice: four seconds each.
const MEASURED: u64 = 200;

/// As long as it is told to: bad SRTP from another host under the browser's own address while an agent talks. Every packet is refused, the call is heard, and
/// what the flood costs is told.
///
/// # Panics
/// When the call is not heard, or namespaces cannot be made.
pub fn bad_srtp(length: Duration) -> String {
    let site = Site::alone();
    let mut addresses = site.our_side().to_vec();
    addresses.push(site.sip_server());
    on_hosts(site, &addresses, move |site, lan| async move {
        let stranger = lan.host(&[site.stranger()]);
        let registrar = Registrar::start(site.server_sip()).await;
        let registrar = registrar.expect("a host of our own");
        let mut desk = Desk::start_at(site, registrar, |_, config| {
            config["log"]["level"] = "info".into();
        })
        .await;
        let server = SipPeer::start(&desk.site, desk.site.sip_server(), 5070).await;
        let mut call = server.talks("1002", desk.customer.address()).await;
        desk.both_hear().await;
        let quiet = busy(&mut desk, MEASURED).await;

        let browser = desk.page.state().media_at.expect("it has a socket");
        let worker = SocketAddr::new(desk.site.gateway(), 40_000);
        stranger.takes(browser.ip());
        let forged = stranger.at(|| {
            Flood::start(worker, [browser], FORGED_PER_S, |_, nth| {
                torture::forged_speech(nth)
            })
        });
        let before = refused(&desk).await;
        let packets = MEASURED.max(length.as_millis() as u64 / 20);
        let flooded = busy(&mut desk, packets).await;
        let refused = refused(&desk).await - before;
        let sent = forged.sent();
        desk.both_hear().await;
        drop(forged);
        assert!(refused > 5_000.0, "{refused} of {sent} came to be refused");
        assert!(desk.page.state().ear.heard_tones_only());
        assert!(desk.customer.heard().ear.heard_tones_only());
        assert_eq!(server.asks(&call.request("BYE", "", "")).await, 200);
        desk.ended("remote_hangup").await;
        let each_us = (flooded - quiet) * packets as f64 * 0.02 / refused * 1e6;
        format!(
            "{sent} packets under the browser's address, {refused} of them refused; processor time {:.1} % without and {:.1} % with them, {each_us:.1} us each",
            quiet * 100.0,
            flooded * 100.0,
        )
    })
}

async fn refused(desk: &Desk) -> f64 {
    let name = "talkbridge_srtp_auth_fail_total";
    desk.gateway.metric(name, "").await
}

/// The share of a processor that the gateway takes while the agent is sent so many packets of 20 ms.
async fn busy(desk: &mut Desk, packets: u64) -> f64 {
    let pid = desk.gateway.process().pid().expect("it runs");
    let mut before = vitals::cpu(pid).expect("it runs");
    let mut spent_s = 0.0;
    let mut left = packets;
    while left > 0 {
        // No wait is longer than its deadline.
        let part = left.min(MEASURED);
        let until = desk.page.state().packets + part;
        eventually("the call goes on", || desk.page.state().packets >= until).await;
        let now = vitals::cpu(pid).expect("it runs");
        spent_s += now.since(&before).total_s();
        (before, left) = (now, left - part);
    }
    spent_s / (packets as f64 * 0.02)
}
