//! A DN that is registered at two sites.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use interop_tests::attack::{SipPeer, answer};
use interop_tests::{Browser, Gateway, Registrar, Site};
use serde_json::json;

/// One of two sites does not know the DN: the agent sees that she is registered, where she is not, and why, in words for whoever
/// can change it; and when it has been changed.
#[tokio::test]
async fn an_agent_sees_at_which_site_her_dn_is_not_registered() {
    let site = Site::new();
    let _east = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let knows = Arc::new(AtomicBool::new(false));
    let learned = Arc::clone(&knows);
    let west = SipPeer::with_reflex(&site, site.second_server(), 5060, move |request| {
        let status = match learned.load(Ordering::Relaxed) {
            true => "200 OK",
            false => "404 Not Found",
        };
        let register = request.starts_with("REGISTER ");
        register
            .then(|| answer(request, status, ""))
            .into_iter()
            .collect()
    })
    .await;
    let gateway = Gateway::start_with(&site, |config| {
        config["sip"]["servers"] = json!([]);
        config["sip"]["sites"] = json!([
            {"name": "Berlin", "servers": [site.server_sip()]},
            {"name": "Lyon", "servers": [west.local()]},
        ]);
        config["sip"]["register"] = json!({"retry_s": 1});
    })
    .await;
    let browser = Browser::start().await;
    browser.sign_in(gateway.agents(), "1002").await;
    browser
        .reads("#registration", "Registered at 1 of 2 sites")
        .await;
    browser
        .reads("#sites [data-site=Berlin]", "Registered at")
        .await;
    browser
        .reads("#sites [data-site=Lyon]", "Not registered: 404")
        .await;
    browser
        .reads("#sites [data-site=Lyon]", "not configured")
        .await;
    browser.screenshot("agent-sites").await;
    knows.store(true, Ordering::Relaxed);
    browser
        .reads("#sites [data-site=Lyon]", "Registered at")
        .await;
    browser
        .reads("#registration", "Registered at 2 sites")
        .await;
    browser.close().await;
}
