//! SIPp as an agent's telephone at the simulated SIP Server: the simulator keeps its own promises.

use interop_tests::{SippOptions, Site, TserverSim};

/// The telephone's SIP port.
const PHONE: u16 = 5071;

async fn register(site: &Site, dn: &str, scenario: &str) {
    SippOptions::calling(site, scenario)
        .to(site.server_sip())
        .from(site.gateway())
        .dn(dn)
        .key("phone_port", PHONE)
        .passes()
        .await;
}

fn phone(site: &Site, scenario: &str) -> interop_tests::Sipp {
    SippOptions::calling(site, scenario)
        .to(site.server_sip())
        .from(site.gateway())
        .from_port(PHONE)
        .start()
}

#[tokio::test]
async fn a_telephone_registers_is_rung_answers_on_talk_and_is_released() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    register(&site, "1002", "uac-endpoint-register").await;
    assert!(sim.registered("1002").await);
    let mut phone = phone(&site, "uas-endpoint-talk");
    let call = sim.customer_calls("0301234567", "1002").await;
    sim.sees("1002", &call, "Ringing").await;
    sim.operate(&call, "Answer").await;
    sim.sees("1002", &call, "Established").await;
    phone.got("ACK ").await;
    interop_tests::eventually("the re-INVITE is over", || {
        phone
            .received()
            .iter()
            .filter(|message| message.starts_with("ACK "))
            .count()
            == 2
    })
    .await;
    sim.operate(&call, "Hangup").await;
    phone.passes().await;
    sim.released("1002", &call).await;
}

#[tokio::test]
async fn a_telephone_without_a_configured_dn_is_404() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    register(&site, "4711", "uac-endpoint-register-unknown").await;
    assert!(!sim.registered("4711").await);
}

#[tokio::test]
async fn a_telephone_that_refuses_is_acknowledged() {
    let site = Site::new();
    let sim = TserverSim::start(&site).await;
    register(&site, "1002", "uac-endpoint-register").await;
    let mut phone = phone(&site, "uas-endpoint-busy");
    let call = sim.customer_calls("0301234567", "1002").await;
    phone.passes().await;
    sim.released("1002", &call).await;
}
