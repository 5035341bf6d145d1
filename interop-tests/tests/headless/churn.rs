//! Agents come, speak and go, many times: nothing of them is left.

use interop_tests::{Customer, Gateway, Page, Registrar, SippOptions, Site};

/// Rounds, each with a sign-in, a call and a sign-out of two agents at once.
const ROUNDS: usize = 8;

/// What one page and one call hold at most when they are gone: caches, not leaks.
const GROWTH_KIB_MAX: u64 = 6 * 1024;

#[tokio::test]
async fn nothing_is_left_after_many_calls() {
    let site = Site::new();
    let _registrar = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let mut gateway = Gateway::start(&site).await;
    let customer = Customer::start(site.media()).await;
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        let pages = [
            Page::sign_in(&gateway, "1002").await,
            Page::sign_in(&gateway, "1003").await,
        ];
        let mut calls = Vec::new();
        for (page, dn) in pages.iter().zip(["1002", "1003"]) {
            let call = SippOptions::calling(&site, "uac-churn")
                .dn(dn)
                .media(customer.address());
            calls.push(call.start());
            page.call_in("talking").await;
            // Every other round ends its calls by the agents' going away.
            if round % 2 == 0 {
                page.control("hangup").await;
            }
        }
        for page in pages {
            page.sign_out().await;
        }
        for mut call in calls {
            call.passes().await;
        }
        all_gone(&gateway).await;
        resident.push(resident_kib(gateway.process().pid()));
    }
    let (early, late) = (resident[ROUNDS / 2], resident[ROUNDS - 1]);
    assert!(
        late < early + GROWTH_KIB_MAX,
        "memory grows with calls: {resident:?} KiB"
    );
}

async fn all_gone(gateway: &Gateway) {
    for metric in [
        "talkbridge_calls_active",
        "talkbridge_ws_connections",
        "talkbridge_ports_in_use",
        "talkbridge_dns_registered",
    ] {
        gateway.metric_is(metric, "", 0.0).await;
    }
}

/// Memory of a process that is in RAM, by `/proc`.
fn resident_kib(pid: Option<u32>) -> u64 {
    let pid = pid.expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("a number of KiB")
}
