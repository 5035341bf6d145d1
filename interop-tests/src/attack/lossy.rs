//! Calls over a wire that loses SIP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gateway::PAGE_HZ;
use crate::{Gateway, Page, Site, TserverSim, on_hosts};

/// Of a hundred SIP datagrams, each way.
const LOST_PERCENT: u32 = 10;

/// Agents who are called all the time, and calls of each at least.
const AGENTS: usize = 8;
const ROUNDS: usize = 12;

/// As long as it is told to: every call rings, is answered, held, retrieved and ended by the desk, heard in between, and nothing is left of any.
///
/// # Panics
/// When one does not come through, or namespaces cannot be made.
pub fn lossy_wire(length: Duration) -> String {
    let site = Site::alone();
    let addresses = [site.gateway(), site.browsers()];
    on_hosts(site, &addresses, move |site, lan| async move {
        let dns: Vec<String> = (0..AGENTS).map(|nth| (1002 + nth).to_string()).collect();
        let host = lan.host(&[site.sip_server(), site.media()]);
        let named: Vec<Value> = dns.iter().map(|dn| json!({"dn": dn})).collect();
        let sim = TserverSim::start_at(&host, &site, |sim| sim["dns"] = json!(named)).await;
        let gateway = Gateway::start_with(&site, |config| {
            config["agents"] = json!(named);
            config["log"]["level"] = json!("info");
        })
        .await;
        let mut pages = Vec::new();
        for dn in &dns {
            pages.push(Page::sign_in(&gateway, dn).await);
        }
        host.loses(LOST_PERCENT, 5060);
        lan.ours().loses(LOST_PERCENT, 5060);
        let until = Instant::now() + length;
        let calls = dns.iter().map(|dn| calls(&sim, dn, until));
        let made: usize = futures_util::future::join_all(calls).await.iter().sum();
        gateway.metric_is("talkbridge_calls_active", "", 0.0).await;
        let ended: usize = pages.iter().map(all_ended).sum();
        assert_eq!(ended, made);
        format!("{made} calls over a wire that lost {LOST_PERCENT} % of SIP each way")
    })
}

/// Calls of one agent, one after the other; how many.
async fn calls(sim: &TserverSim, dn: &str, until: Instant) -> usize {
    let mut made = 0;
    while made < ROUNDS || Instant::now() < until {
        let call = sim.customer_calls("0301234567", dn).await;
        sim.sees(dn, &call, "Ringing").await;
        sim.brings(dn, &call, "Answer", "Established").await;
        sim.customer_hears(&call, PAGE_HZ).await;
        sim.brings(dn, &call, "Hold", "Held").await;
        sim.brings(dn, &call, "Retrieve", "Established").await;
        sim.customer_hears(&call, PAGE_HZ).await;
        sim.operate(&call, "Hangup").await;
        sim.released(dn, &call).await;
        made += 1;
    }
    made
}

/// All calls of the page have ended as the desk wanted; how many.
fn all_ended(page: &Page) -> usize {
    let state = page.state();
    for call in &state.calls {
        // The latter where our own re-INVITE finds the dialog gone before the BYE has come.
        let cause = call["end"]["cause"].as_str().unwrap_or_default();
        assert!(["remote_hangup", "dialog_lost"].contains(&cause), "{call}");
    }
    state.calls.len()
}
