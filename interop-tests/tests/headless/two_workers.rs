//! Calls on a second media worker, as every machine with more than two cores has it: each agent is on one of them, with a port of its own, and notices nothing.

use std::collections::BTreeSet;

use interop_tests::attack::{Dialog, SipPeer, answer};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::page::PageOptions;
use interop_tests::{Customer, Gateway, Page, Registrar, Site, eventually};
use serde_json::{Value, json};

use crate::live_tap::Consumer;

/// Agents that sign in one after the other: each comes to the worker with the fewest, so that the second has one of them.
const DNS: [&str; 3] = ["1002", "1003", "1004"];

/// What the agents and their callers say, each something else. The ear tells them apart.
const AGENTS_HZ: [u32; 3] = [700, 820, 940];
const CALLERS_HZ: [u32; 3] = [1_200, 1_450, 1_700];

/// Where the browsers of the first worker are, and those of the second.
const PORTS: [u16; 2] = [40_000, 40_001];

struct Office {
    gateway: Gateway,
    server: SipPeer,
    site: Site,
    _registrar: Registrar,
}

async fn office() -> Office {
    let site = Site::new();
    let registrar = Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["media"]["workers"] = json!(2);
        config["webrtc"]["tcp_listen"] = json!(format!("{}:4443", site.gateway()));
        config["agents"] = DNS.iter().map(|dn| json!({"dn": dn})).collect();
    })
    .await;
    let server = SipPeer::with_reflex(&site, site.sip_server(), 5070, |message| {
        let bye = message.starts_with("BYE ");
        bye.then(|| answer(message, "200 OK", ""))
            .into_iter()
            .collect()
    });
    Office {
        gateway,
        server: server.await,
        site,
        _registrar: registrar,
    }
}

/// The UDP port that the latest offer of media names.
fn port_of(page: &Page) -> u16 {
    let offers = page.messages("media_offer");
    let sdp = offers.last().and_then(|offer| offer["sdp"].as_str());
    let sdp = sdp.expect("an offer").to_lowercase();
    let candidates = sdp.lines().filter(|line| line.contains("candidate:"));
    let ports: BTreeSet<u16> = candidates
        .filter(|candidate| candidate.contains(" udp "))
        .filter_map(|candidate| candidate.split(' ').nth(5)?.parse().ok())
        .collect();
    let port = ports.first().copied();
    assert_eq!(ports.len(), 1, "one port for UDP: {sdp}");
    port.expect("it was counted")
}

impl Office {
    /// Agents of both workers: the first is on the first one, the second on the second.
    async fn sign_in(&self, options: impl Fn(usize, PageOptions) -> PageOptions) -> Vec<Page> {
        let mut pages = Vec::new();
        for (nth, dn) in DNS.iter().enumerate() {
            let page = Page::start(options(nth, self.gateway.page(dn))).await;
            let page = page.expect("the page connects");
            page.ready().await;
            pages.push(page);
        }
        assert_eq!([port_of(&pages[0]), port_of(&pages[1])], PORTS);
        pages
    }

    /// Puts another page in the place of the second agent's.
    async fn comes_back(&self, pages: &mut Vec<Page>, options: PageOptions) {
        let page = Page::start(options).await.expect("the page connects");
        page.ready().await;
        assert_eq!(port_of(&page), PORTS[1], "her call is where it was");
        assert_eq!(page.call()["state"], "talking");
        drop(pages.splice(1..2, [page]));
    }

    async fn all_gone(&self, pages: Vec<Page>) {
        let gateway = &self.gateway;
        gateway.metric_is("talkbridge_calls_active", "", 0.0).await;
        for page in pages {
            page.sign_out().await;
        }
        for gauge in [
            "talkbridge_ws_connections",
            "talkbridge_ports_in_use",
            "talkbridge_ice_tcp_connections",
            "talkbridge_live_taps",
            "talkbridge_dns_registered",
        ] {
            gateway.metric_is(gauge, "", 0.0).await;
        }
        for table in ["calls", "legs", "pages", "sessions", "taps"] {
            let table = format!("table=\"{table}\"");
            let entries = "talkbridge_table_entries";
            gateway.metric_is(entries, &table, 0.0).await;
        }
        let lost = "talkbridge_media_messages_dropped_total";
        gateway.metric_is(lost, "", 0.0).await;
    }

    async fn hangs_up(&self, call: &mut Dialog) {
        assert_eq!(self.server.asks(&call.request("BYE", "", "")).await, 200);
    }
}

/// Everybody hears the one who is at the other end, and nobody else: all of them at the same time.
async fn each_hears_the_other(pages: &[Page], callers: &[Customer]) {
    eventually("each hears whom it talks with", || {
        let agents = pages.iter().zip(CALLERS_HZ);
        let mut agents = agents.map(|(page, hz)| page.state().ear.hears(hz));
        let said = callers.iter().zip(AGENTS_HZ);
        let mut said = said.map(|(caller, hz)| caller.heard().ear.hears(hz));
        agents.all(|hears| hears) && said.all(|hears| hears)
    })
    .await;
    for (page, caller) in pages.iter().zip(callers) {
        assert!(page.state().ear.heard_tones_only());
        let heard = caller.heard();
        assert_eq!((heard.ssrcs.len(), heard.sources.len()), (1, 1));
    }
}

/// Three agents on two workers talk at the same time, one of them takes her call to another page, and each ends it in a way of its own: nobody hears
/// a stranger, and nothing is left on either worker.
#[tokio::test]
async fn calls_on_both_are_heard_and_not_mixed() {
    let office = office().await;
    let speaks = |nth: usize, page| PageOptions {
        tone_hz: AGENTS_HZ[nth],
        ..page
    };
    let mut pages = office.sign_in(speaks).await;
    let (mut callers, mut calls) = (Vec::new(), Vec::new());
    for (dn, hz) in DNS.iter().zip(CALLERS_HZ) {
        let caller = Customer::start(office.site.media()).await;
        caller.says(hz);
        calls.push(office.server.talks(dn, caller.address()).await);
        callers.push(caller);
    }
    each_hears_the_other(&pages, &callers).await;

    let second = speaks(1, office.gateway.page(DNS[1]));
    office.comes_back(&mut pages, second).await;
    each_hears_the_other(&pages, &callers).await;

    pages[1].control("hangup").await;
    office.hangs_up(&mut calls[0]).await;
    office.hangs_up(&mut calls[2]).await;
    office.all_gone(pages).await;
}

/// An agent of the second worker whose network lets no UDP out is heard, loads her page anew in mid-call and is heard again: the port for TCP is one for both
/// workers.
#[tokio::test]
async fn an_agent_without_udp_is_heard_on_the_second() {
    let office = office().await;
    let port = (office.site.gateway(), 4_443).into();
    let by_tcp = |nth, page| PageOptions {
        by_tcp: (nth == 1).then_some(port),
        ..page
    };
    let mut pages = office.sign_in(by_tcp).await;
    let open = "talkbridge_ice_tcp_connections";
    office.gateway.metric_is(open, "", 1.0).await;
    let caller = Customer::start(office.site.media()).await;
    let mut call = office.server.talks(DNS[1], caller.address()).await;
    caller.hears(PAGE_HZ).await;
    pages[1].hears(CUSTOMER_HZ).await;

    let options = PageOptions {
        resume: Some(pages.remove(1).vanish().await),
        ..by_tcp(1, office.gateway.page(DNS[1]))
    };
    caller.hears_nothing().await;
    pages.insert(1, Page::start(options).await.expect("it connects"));
    pages[1].ready().await;
    assert_eq!(port_of(&pages[1]), PORTS[1]);
    caller.hears(PAGE_HZ).await;
    pages[1].hears(CUSTOMER_HZ).await;
    office.hangs_up(&mut call).await;
    office.all_gone(pages).await;
}

/// A call on the second worker is listened to by a consumer, while the agent loads her page anew: it hears her again, as the caller does.
#[tokio::test]
async fn a_call_on_the_second_is_tapped_through_a_reload() {
    let office = office().await;
    let mut pages = office.sign_in(|_, page| page).await;
    let caller = Customer::start(office.site.media()).await;
    let mut call = office.server.talks(DNS[1], caller.address()).await;
    caller.hears(PAGE_HZ).await;
    let id = pages[1].call()["id"].clone();
    let id = id.as_str().expect("an id");
    let path = format!("/api/v1/calls/{id}/tap?rate_hz=8000");
    let tap = Consumer::connect(&office.gateway, &path, "").await;
    let mut tap = tap.expect("a place");
    let both = |tap: &Consumer| tap.ears[0].hears(CUSTOMER_HZ) && tap.ears[1].hears(PAGE_HZ);
    assert!(tap.until(both).await);

    let resume = pages.remove(1).vanish().await;
    let caller_alone = |tap: &Consumer| tap.ears[0].hears(CUSTOMER_HZ) && tap.ears[1].silent();
    assert!(tap.until(caller_alone).await);
    let options = PageOptions {
        resume: Some(resume),
        ..office.gateway.page(DNS[1])
    };
    let page = Page::start(options).await.expect("it connects");
    page.ready().await;
    assert_eq!(port_of(&page), PORTS[1]);
    assert_eq!(page.call()["id"], Value::from(id));
    pages.insert(1, page);
    assert!(tap.until(both).await);
    caller.hears(PAGE_HZ).await;
    pages[1].hears(CUSTOMER_HZ).await;

    office.hangs_up(&mut call).await;
    assert!(!tap.until(|_| false).await, "the connection ends");
    office.all_gone(pages).await;
}
