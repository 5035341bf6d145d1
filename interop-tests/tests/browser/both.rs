//! What an agent may rely on in every browser: the same tests in Chromium and in Firefox, each on a host of its own, since Firefox speaks to no loopback
//! address.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::wait::eventually_async;
use interop_tests::{
    Browser, Customer, Engine, Gateway, Lan, Registrar, SippOptions, Site, eventually, on_hosts,
};
use serde_json::{Value, json};

use super::{Office, customer_talks};

/// What the browsers of these tests speak from.
pub(super) fn browser_host() -> IpAddr {
    [198, 51, 100, 1].into()
}

/// Where they find the gateway's media.
pub(super) fn media_host() -> IpAddr {
    [198, 51, 100, 9].into()
}

/// Where they find a TURN server.
pub(super) fn turn_host() -> IpAddr {
    [198, 51, 100, 8].into()
}

/// As it is written in the configuration.
fn media_port() -> Value {
    json!({"listen": SocketAddr::new(media_host(), 40_000)})
}

/// A test for each of the two browsers.
macro_rules! in_both {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        mod chromium {
            $($(#[$doc])* #[test] fn $name() {
                crate::both::in_a(interop_tests::Engine::Chromium, super::$name);
            })*
        }
        mod firefox {
            $($(#[$doc])* #[test] fn $name() {
                crate::both::in_a(interop_tests::Engine::Firefox, super::$name);
            })*
        }
    };
}

pub(super) use in_both;

in_both! {
    an_agent_answers_at_the_desk_and_is_heard,
    an_agent_whose_browser_speaks_opus_is_heard_and_hears,
    a_reload_in_mid_call_returns_to_the_call,
    a_laptop_that_slept_comes_back_to_its_call,
    keys_go_both_ways_between_page_and_caller,
    a_page_of_which_a_part_is_lost_says_so,
    a_browser_that_speaks_opus_is_not_sent_silence,
}

pub(super) fn in_a<R>(engine: Engine, test: fn(Engine, Site, Lan) -> R)
where
    R: Future<Output = ()> + 'static,
{
    on_hosts(
        Site::new(),
        &[browser_host()],
        move |site, lan| async move {
            let ours = lan.ours();
            for service in [media_host(), turn_host()] {
                ours.serves_at(service);
            }
            ours.leads_out();
            test(engine, site, lan).await;
        },
    );
}

/// The office of these tests.
pub(super) async fn office(engine: Engine, site: Site, change: impl FnOnce(&mut Value)) -> Office {
    office_of(Browser::start_of(engine).await, site, change).await
}

/// The same with a browser that is there already.
pub(super) async fn office_of(
    browser: Browser,
    site: Site,
    change: impl FnOnce(&mut Value),
) -> Office {
    let office = Office::open_for(browser, site, |config| {
        config["webrtc"] = media_port();
        change(config);
    });
    office.await
}

async fn an_agent_answers_at_the_desk_and_is_heard(engine: Engine, site: Site, _lan: Lan) {
    let office = office(engine, site, |_| {}).await;
    office.sign_in().await;
    let call = office.talk().await;
    office.is_held_and_retrieved(&call).await;
    office.release(&call).await;
}

/// What the browser sends and what it receives.
const CODECS: &str = "
    return window.talkbridge.peerConnection.getStats().then((stats) => {
        const codec = (type) => {
            const found = [...stats.values()].find((one) => one.type === type && one.kind === 'audio');
            return stats.get(found?.codecId)?.mimeType;
        };
        return [codec('outbound-rtp'), codec('inbound-rtp')];
    });";

/// An agent on a bad network speaks Opus; her caller's G.711 is decoded and encoded again, and neither hears a difference.
async fn an_agent_whose_browser_speaks_opus_is_heard_and_hears(
    engine: Engine,
    site: Site,
    _lan: Lan,
) {
    let opus = |config: &mut Value| config["webrtc"]["codec_policy"] = json!("opus");
    let office = office(engine, site, opus).await;
    office.sign_in().await;
    let call = office.talk().await;
    let codecs = office.browser.eval(CODECS, vec![]).await;
    assert_eq!(codecs, json!(["audio/opus", "audio/opus"]));
    office.is_held_and_retrieved(&call).await;
    office.release(&call).await;
}

async fn a_reload_in_mid_call_returns_to_the_call(engine: Engine, site: Site, _lan: Lan) {
    let office = office(engine, site, |_| {}).await;
    office.sign_in().await;
    let call = office.talk().await;
    office.browser.reload().await;
    office.ready().await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// The agent's laptop sleeps in mid-call for longer than consent lasts (RFC 7675), and wakes up: her call is there and is heard again.
async fn a_laptop_that_slept_comes_back_to_its_call(engine: Engine, site: Site, _lan: Lan) {
    let office = office(engine, site, |_| {}).await;
    office.sign_in().await;
    let call = office.talk().await;
    office.browser.sleeps();
    eventually("consent is lost", || {
        office.gateway.log().contains("browser media disconnected")
    })
    .await;
    office.sim.customer_hears_nothing(&call).await;
    office.browser.wakes();
    office.ready().await;
    office.both_hear(&call).await;
    office.release(&call).await;
}

/// A browser that is signed in at a gateway, with a registrar for SIP Server and a customer with a telephone.
pub(super) struct Booth {
    pub(super) browser: Browser,
    pub(super) customer: Customer,
    gateway: Gateway,
    _registrar: Registrar,
    pub(super) site: Site,
}

impl Booth {
    pub(super) async fn open(engine: Engine, site: Site, change: impl FnOnce(&mut Value)) -> Self {
        Self::prepared(engine, site, change, "").await
    }

    /// The page runs this script before the agent signs in.
    pub(super) async fn prepared(
        engine: Engine,
        site: Site,
        change: impl FnOnce(&mut Value),
        script: &str,
    ) -> Self {
        let registrar = Registrar::start(site.server_sip()).await;
        let registrar = registrar.expect("the port is ours");
        let gateway = Gateway::start_with(&site, |config| {
            config["webrtc"] = media_port();
            change(config);
        })
        .await;
        let browser = Browser::start_of(engine).await;
        browser.open_agent(gateway.agents()).await;
        browser.eval(script, vec![]).await;
        browser.enter("1002").await;
        browser.reads("#registration", "Registered").await;
        browser.reads("#media-state", "Audio ready").await;
        Self {
            browser,
            customer: Customer::start(site.media()).await,
            gateway,
            _registrar: registrar,
            site,
        }
    }

    fn sipp(&self, scenario: &str) -> SippOptions {
        SippOptions::calling(&self.site, scenario).media(self.customer.address())
    }
}

/// The page's keypad reaches the far end, and the page shows what the far end presses and that messages wait.
async fn keys_go_both_ways_between_page_and_caller(engine: Engine, site: Site, _lan: Lan) {
    let booth = Booth::open(engine, site, |_| {}).await;
    let Booth {
        browser, customer, ..
    } = &booth;
    booth.sipp("uac-notify-message-summary").passes().await;
    browser
        .reads("#message-waiting", "New voice messages: 2")
        .await;
    let mut call = booth.sipp("uac-invite-agent-hangs-up").start();
    browser.hears(CUSTOMER_HZ).await;
    customer.hears(PAGE_HZ).await;
    browser.click("#calls [data-action=keypad]").await;
    for digit in ["4", "2", "#"] {
        browser
            .click(&format!("#calls [data-digit='{digit}']"))
            .await;
    }
    eventually("the far end hears the keys", || {
        customer.heard().keys == [4, 2, 11]
    })
    .await;
    customer.press(&[5, 5, 10]);
    browser
        .reads("[data-testid=pressed]", "The other side pressed 55*")
        .await;
    if engine == Engine::Chromium {
        browser.screenshot("agent-keys").await;
    }
    call.cue().await;
    browser.click("#calls [data-action=hangup]").await;
    call.passes().await;
    booth.browser.close().await;
}

/// A file is lost on its way, as where the network changes while the page loads: the page says so instead of showing a form that does nothing, and the token of
/// the link is still there when it is loaded again.
async fn a_page_of_which_a_part_is_lost_says_so(engine: Engine, site: Site, _lan: Lan) {
    let office = office(engine, site, |_| {}).await;
    let browser = &office.browser;
    let cable = office.cable().await;
    cable.loses(Some("/sdk/ringer.js"));
    let token = Gateway::token("1002");
    let link = format!("http://{}/agent#token={token}", cable.address());
    browser.open(&link).await;
    browser.reads("#incomplete", "reload it").await;
    browser.sees_no("#sign-in-form").await;
    if engine == Engine::Chromium {
        browser.screenshot("agent-incomplete").await;
    }
    cable.loses(None);
    browser.reload().await;
    office.ready().await;
    browser.sees_no("#incomplete").await;
    office.browser.close().await;
}

/// What the browser has received: packets, samples that were played, samples that were guessed.
async fn received(browser: &Browser) -> [f64; 3] {
    let script = "
        return window.talkbridge.peerConnection.getStats().then((stats) => {
            const all = [...stats.values()];
            const heard = all.find((one) => one.type === 'inbound-rtp' && one.kind === 'audio');
            return [heard.packetsReceived, heard.totalSamplesReceived, heard.concealedSamples];
        });";
    let told = browser.eval(script, vec![]).await;
    let number = |at: usize| told.get(at).and_then(Value::as_f64);
    [0, 1, 2].map(|at| number(at).unwrap_or_else(|| panic!("three numbers: {told}")))
}

/// Her customer says nothing for a while: the browser of an agent on a bad network is sent next to nothing, takes it for background and not for losses,
/// and hears the next word.
async fn a_browser_that_speaks_opus_is_not_sent_silence(engine: Engine, site: Site, _lan: Lan) {
    let opus = |config: &mut Value| config["webrtc"]["codec_policy"] = json!("opus");
    let booth = Booth::open(engine, site, opus).await;
    let browser = &booth.browser;
    let (customer, mut sipp) = customer_talks(&booth.site, browser, (0, "PCMU/8000")).await;

    customer.says(0);
    let said = || async {
        let name = "talkbridge_rtp_packets_total";
        booth.gateway.metric(name, "leg=\"sip\",dir=\"in\"").await
    };
    // Silence is believed after 200 ms.
    let mut until = said().await + 25.0;
    eventually_async("silence", || async {
        (said().await >= until).then_some(())
    })
    .await;
    let before = received(browser).await;
    until = said().await + 200.0;
    eventually_async("four seconds of it", || async {
        (said().await >= until).then_some(())
    })
    .await;
    let after = received(browser).await;
    let [packets, samples, concealed] = [0, 1, 2].map(|at| after[at] - before[at]);
    assert!((4.0..60.0).contains(&packets), "{packets} of 200");
    assert!(concealed < samples * 0.05, "{concealed} of {samples}");

    customer.says(CUSTOMER_HZ);
    browser.hears(CUSTOMER_HZ).await;
    customer.hears(PAGE_HZ).await;
    sipp.cue().await;
    sipp.passes().await;
    booth.browser.close().await;
}
