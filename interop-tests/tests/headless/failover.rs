//! SIP Servers that die and come back, and two sites at once, through the real binary.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use interop_tests::attack::{Dialog, SipPeer, answer};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::wait::within;
use interop_tests::{
    Customer, Gateway, Page, Registrar, Site, TserverSim, eventually, eventually_async,
};
use serde_json::{Value, json};

use crate::referred::agreed;

async fn registrar(at: SocketAddr) -> Registrar {
    Registrar::start(at).await.expect("a free address")
}

fn second(site: &Site) -> SocketAddr {
    SocketAddr::new(site.second_server(), 5060)
}

/// The DN as the administration interface shows it.
async fn shown(gateway: &Gateway) -> Value {
    let answer = gateway.get("/api/v1/agents/1002").await;
    let agent: Value = serde_json::from_str(&answer.body).expect("JSON");
    agent["registration"].clone()
}

async fn registered_at(gateway: &Gateway, server: SocketAddr) {
    eventually_async(&format!("DN 1002 is registered at {server}"), || async {
        let shown = shown(gateway).await;
        (shown["state"] == "registered" && shown["server"] == server.to_string()).then_some(())
    })
    .await;
}

/// The primary dies without a word, the DN goes to the backup; the primary is back, and so is the DN. The backup's binding is never
/// taken back: SIP Server would take it for the newer one's.
#[tokio::test]
async fn a_dn_goes_to_the_backup_and_back() {
    let site = Site::new();
    let primary = registrar(site.server_sip()).await;
    let backup = registrar(second(&site)).await;
    let gateway = Gateway::start_with(&site, |config| {
        config["agents"] = json!([{"dn": "1002", "register": "always"}]);
        config["sip"]["servers"] = json!([site.server_sip(), second(&site)]);
        config["sip"]["probe_interval_s"] = json!(1);
        config["sip"]["failback_after_s"] = json!(1);
    })
    .await;
    registered_at(&gateway, site.server_sip()).await;
    assert_eq!(backup.expiry("1002"), None);

    drop(primary);
    registered_at(&gateway, second(&site)).await;

    let primary = registrar(site.server_sip()).await;
    registered_at(&gateway, site.server_sip()).await;
    assert!(primary.expiry("1002") > Some(0));
    assert!(backup.expiry("1002") > Some(0), "left to expire");
}

/// Business Continuity, with nothing configured but where the sites are.
async fn of_two_sites(site: &Site) -> Gateway {
    Gateway::start_with(site, |config| {
        config["sip"]["servers"] = json!([]);
        config["sip"]["sites"] = json!([
            {"name": "east", "servers": [site.server_sip()]},
            {"name": "west", "servers": [second(site)]},
        ]);
    })
    .await
}

async fn registered_at_both(gateway: &Gateway) {
    eventually_async("both sites are registered", || async {
        let sites = shown(gateway).await["sites"].clone();
        let states = [("east", 0), ("west", 1)];
        let holds = |(name, at): (&str, usize)| {
            sites[at]["site"] == name && sites[at]["state"] == "registered"
        };
        states.into_iter().all(holds).then_some(())
    })
    .await;
}

/// The DN is registered at both sites at once, and given back at both.
#[tokio::test]
async fn a_dn_is_registered_at_two_sites() {
    let site = Site::new();
    let east = registrar(site.server_sip()).await;
    let west = registrar(second(&site)).await;
    let gateway = of_two_sites(&site).await;
    let page = Page::start(gateway.page("1002"))
        .await
        .expect("it connects");
    registered_at_both(&gateway).await;
    assert!(east.expiry("1002") > Some(0));
    assert!(west.expiry("1002") > Some(0));

    page.sign_out().await;
    eventually("the DN is given back at both", || {
        east.expiry("1002") == Some(0) && west.expiry("1002") == Some(0)
    })
    .await;
}

/// The SIP Server of the western site, as it is after a start: it calls whoever has registered since.
async fn western(site: &Site) -> TserverSim {
    let host = site.second_server();
    TserverSim::start_with(site, |sim| {
        sim["sip"]["listen"] = json!([format!("udp:{host}:5060")]);
        sim["http"]["listen"] = json!(format!("{host}:8090"));
    })
    .await
}

/// One of two sites dies, and comes back without its bindings. Nobody has configured `probe_interval_s`, and registrations are good for half an
/// hour: a customer who calls there reaches the agent at once and not at the next refresh. The other site has noticed nothing.
#[tokio::test]
async fn a_site_that_forgot_its_agents_calls_them_again() {
    let site = Site::new();
    let east = registrar(site.server_sip()).await;
    let west = western(&site).await;
    let gateway = of_two_sites(&site).await;
    let page = Page::sign_in(&gateway, "1002").await;
    registered_at_both(&gateway).await;
    let asked = east.accepted();

    drop(west);
    let lost = second(&site).to_string();
    gateway
        .logs(&["WARN", "SIP Server does not answer", "west", &lost])
        .await;
    assert_eq!(page.registration().as_deref(), Some("registered"));

    let west = western(&site).await;
    eventually_async("the western site knows her again", || async {
        west.registered("1002").await.then_some(())
    })
    .await;
    let call = west.customer_calls("0301234567", "1002").await;
    page.call_in("ringing").await;
    west.operate(&call, "Answer").await;
    west.customer_hears(&call, PAGE_HZ).await;
    page.hears(CUSTOMER_HZ).await;
    west.operate(&call, "Hangup").await;
    page.call_in("ended").await;
    assert_eq!(east.accepted(), asked, "nothing was lost there");
}

/// How long the REGISTERs of the drill take to be heard, all but those of one second of them at their rate.
///
/// A REGISTER may be heard late where the machine is busy, never early: what was sent in a stretch of time is heard in one that is as long, or longer, or that begins with
/// somebody who was late. So of all the stretches that begin within the first second's worth of REGISTERs the longest counts, and whoever reads it allows
/// for a machine that has heard nothing for a while.
fn longest_stretch(arrivals: &[Instant], rate: usize) -> (Duration, Duration) {
    let seconds = arrivals.len() / rate - 1;
    let stretches = arrivals.iter().zip(&arrivals[rate * seconds..]);
    let longest = stretches.map(|(begin, end)| *end - *begin).max();
    let by_the_rate = Duration::from_secs(seconds as u64);
    (longest.expect("more than a second's worth"), by_the_rate)
}

/// The drill: ten thousand DNs, two agents talk, and the primary says nothing any more. All are registered at the backup within a minute, each by one REGISTER, as slowly as
/// configured, and nobody takes a binding back. The calls go on: the backup holds one, and hears how the agent ends it; it ends the other. To the very
/// second the rate is looked at by stories in virtual time.
#[tokio::test]
async fn ten_thousand_dns_move_to_the_backup() {
    const DNS: usize = 10_000;
    const RATE: usize = 500;
    let site = Site::new();
    let primary = registrar(site.server_sip()).await;
    let backup = registrar(second(&site)).await;
    let agents = (0..DNS).map(|dn| json!({"dn": (10_000 + dn).to_string(), "register": "always"}));
    let agents: Vec<Value> = agents.collect();
    let gateway = Gateway::start_with(&site, |config| {
        config["log"]["level"] = json!("warn");
        config["agents"] = json!(agents);
        config["sip"]["servers"] = json!([site.server_sip(), second(&site)]);
        config["sip"]["probe_interval_s"] = json!(1);
        config["sip"]["register"] = json!({"start_rate_per_s": RATE});
    })
    .await;
    let minute = Duration::from_secs(60);
    let all = within(minute, || primary.counts() == (DNS, 0)).await;
    assert!(all, "at the primary: {:?}", primary.counts());
    let mut calls = TwoCalls::up(&site, &gateway).await;

    primary.fall_silent();
    let dead = Instant::now();
    let address = site.server_sip().to_string();
    let silent = ["WARN", "SIP Server does not answer", &address];
    gateway.logs(&silent).await;
    calls.backup_holds_the_first().await;
    let all = within(minute.saturating_sub(dead.elapsed()), || {
        backup.counts() == (DNS, 0)
    });
    assert!(all.await, "at the backup: {:?}", backup.counts());
    println!("{DNS} DNs moved within {:?}", dead.elapsed());
    let (took, by_the_rate) = longest_stretch(&backup.arrivals(), RATE);
    println!("{took:?} for {by_the_rate:?} of them");
    assert!(
        took >= by_the_rate.mul_f64(0.8),
        "{took:?} for {by_the_rate:?}"
    );
    calls.end().await;
    let registered = DNS as f64;
    gateway
        .metric_is("talkbridge_dns_registered", "", registered)
        .await;
    for registrar in [&primary, &backup] {
        let nobody = Vec::<String>::new();
        assert_eq!(registrar.registered_twice(), nobody);
        assert_eq!(registrar.gave_back(), nobody);
    }
}

/// What a customer says after the move, so that what was heard of him before counts for nothing.
const LATER_HZ: u32 = 880;

async fn both_hear(page: &Page, customer: &Customer) {
    customer.hears(PAGE_HZ).await;
    page.hears(CUSTOMER_HZ).await;
}

/// Two agents who talk, and what the two SIP Servers say and hear in their calls.
struct TwoCalls {
    primary: SipPeer,
    backup: SipPeer,
    calls: Vec<(Page, Dialog, Customer)>,
}

impl TwoCalls {
    /// The primary has brought both calls, by a route whose name both servers have.
    async fn up(site: &Site, gateway: &Gateway) -> Self {
        let first = Customer::start(site.media()).await;
        let second = Customer::start(site.media()).await;
        let contact = format!("Contact: <sip:1003@{}>\n", site.server_sip());
        // The backup describes media in the first call only: it holds that one.
        let description = interop_tests::attack::description(first.address());
        let primary = SipPeer::start(site, site.sip_server(), 5070).await;
        let reflex = move |request: &str| match request.split(' ').next() {
            Some("INVITE") => vec![agreed(request, &contact, &description)],
            Some("BYE") => vec![answer(request, "200 OK", "")],
            _ => Vec::new(),
        };
        let backup = SipPeer::with_reflex(site, site.second_server(), 5070, reflex).await;
        let mut calls = Vec::new();
        for (dn, customer) in [("10000", first), ("19999", second)] {
            let page = Page::sign_in(gateway, dn).await;
            let recorded = "Record-Route: <sip:proxy.example.com;lr>\n";
            let mut call = primary.rings(dn, recorded, customer.address()).await;
            let talk = call.request("NOTIFY", "Event: talk\n", "");
            assert_eq!(primary.asks(&talk).await, 200);
            primary.say(&call.ack(1)).await;
            page.call_in("talking").await;
            calls.push((page, call, customer));
        }
        let calls = Self {
            primary,
            backup,
            calls,
        };
        for (page, _, customer) in &calls.calls {
            both_hear(page, customer).await;
        }
        calls
    }

    /// The desktop's Hold, by way of the backup.
    async fn backup_holds_the_first(&mut self) {
        for (page, call, customer) in &mut self.calls {
            call.us = self.backup.local();
            both_hear(page, customer).await;
        }
        let (page, call, customer) = &mut self.calls[0];
        let hold = call.request("NOTIFY", "Event: hold\n", "");
        assert_eq!(self.backup.asks(&hold).await, 200);
        let held = |message: &str| message.contains("a=sendonly");
        self.backup.hears("the hold", held).await;
        page.call_in("held").await;
        customer.hears_nothing().await;
        assert_eq!(self.primary.count(held), 0);
    }

    /// One by the agent, one by the backup.
    async fn end(&mut self) {
        let [(first, _, _), (second, call, customer)] = self.calls.as_mut_slice() else {
            panic!("two calls");
        };
        first.control("hangup").await;
        let ends = |message: &str| message.starts_with("BYE ");
        self.backup.hears("BYE", ends).await;
        first.call_in("ended").await;
        assert_eq!(self.primary.count(ends), 0);
        assert_eq!(second.call()["state"], "talking");
        customer.says(LATER_HZ);
        second.hears(LATER_HZ).await;
        customer.hears(PAGE_HZ).await;
        let bye = call.request("BYE", "", "");
        assert_eq!(self.backup.asks(&bye).await, 200);
        second.call_in("ended").await;
    }
}
