//! What another host says under a browser's own address, and what it costs: media that no key fits, and handshakes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Flood, SipPeer, torture};
use crate::load::vitals;
use crate::page::PageOptions;
use crate::{Desk, Gateway, Page, Registrar, Site, eventually, eventually_async, on_hosts};

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
    let addresses = site.with_sip_server();
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

/// The port that the browsers of [`forged_hellos`] speak from.
const BROWSERS_PORT: u16 = 45_000;

/// ClientHellos a second: one in each few milliseconds of a handshake.
const HELLOS_PER_S: u64 = 200;

/// Agents that sign in beside them, at least.
const SIGN_INS: usize = 3;

/// As long as it is told to: agents sign in one after the other while another host says ClientHellos under their browsers' own address, each of which could be theirs. Each
/// leg comes up at the first try.
///
/// # Panics
/// When one does not, or namespaces cannot be made.
pub fn forged_hellos(length: Duration) -> String {
    let site = Site::alone();
    let addresses = site.with_sip_server();
    on_hosts(site, &addresses, move |site, lan| async move {
        let stranger = lan.host(&[site.stranger()]);
        let registrar = Registrar::start(site.server_sip()).await;
        let _registrar = registrar.expect("a host of our own");
        let gateway = Gateway::start(&site).await;
        let browsers = site.browsers();
        stranger.takes(browsers);
        let from = SocketAddr::new(browsers, BROWSERS_PORT);
        let worker = SocketAddr::new(site.gateway(), 40_000);
        let hello = |_, nth| torture::plausible_hello(nth);
        let hellos = stranger.at(|| Flood::start(worker, [from], HELLOS_PER_S, hello));
        more_hellos_come(&gateway, "before anybody signs in").await;
        let began = Instant::now();
        let (mut tried, mut up) = (0, 0);
        while tried < SIGN_INS || began.elapsed() < length {
            let options = PageOptions {
                port: BROWSERS_PORT,
                // As browsers do, and every third time as other stacks may.
                active: tried % 3 != 2,
                ..gateway.page("1002")
            };
            let page = Page::start(options).await.expect("the page connects");
            let failed = || {
                let told = page.messages("media_state");
                told.iter().any(|told| told["state"] == "failed")
            };
            eventually("the leg is up, or fails", || page.connected() || failed()).await;
            tried += 1;
            up += usize::from(!failed());
            more_hellos_come(&gateway, "beside a leg").await;
            page.sign_out().await;
        }
        let sent = hellos.sent();
        drop(hellos);
        assert_eq!(up, tried, "legs that came up at the first try");
        format!(
            "{up} of {tried} legs came up at the first try beside {sent} ClientHellos under the browser's address, {HELLOS_PER_S} a second"
        )
    })
}

/// Waits until further ClientHellos have been refused, which nobody but the forger says by then.
async fn more_hellos_come(gateway: &Gateway, when: &str) {
    let name = "talkbridge_dtls_unvalidated_source_total";
    let before = gateway.metric(name, "").await;
    eventually_async(&format!("forged ClientHellos come {when}"), || async {
        (gateway.metric(name, "").await >= before + 10.0).then_some(())
    })
    .await;
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
