//! Every suite of SRTP on the SIP side, by a telephone whose SRTP is `rtc`'s and shares no code with the gateway's, and what is sent again.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use interop_tests::attack::{Dialog, SipPeer, description};
use interop_tests::customer::CUSTOMER_HZ;
use interop_tests::gateway::PAGE_HZ;
use interop_tests::page::Begin;
use interop_tests::recordings::end_record;
use interop_tests::{Customer, Gateway, Page, Registrar, Site, eventually, scale};
use rtc::crypto::default_provider;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile as Profile;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::line::{Line, Manner};

const REFUSED: &str = "talkbridge_srtp_auth_fail_total";

/// A suite by both its names.
#[derive(Clone, Copy)]
struct Suite(&'static str, Profile);

const AES_256_80: Suite = Suite("AES_256_CM_HMAC_SHA1_80", Profile::Aes256CmHmacSha1_80);
const AES_256_32: Suite = Suite("AES_256_CM_HMAC_SHA1_32", Profile::Aes256CmHmacSha1_32);
const GCM_128: Suite = Suite("AEAD_AES_128_GCM", Profile::AeadAes128Gcm);

impl Suite {
    /// What is keyed by a master key with its salt behind it.
    fn context(self, key: &[u8]) -> Context {
        let crypto = default_provider().expect("a provider");
        let (key, salt) = key.split_at(self.1.key_len());
        let context = Context::new(key, salt, self.1, None, None, crypto.crypto());
        context.expect("a key of its length")
    }

    fn key_len(self) -> usize {
        self.1.key_len() + self.1.salt_len()
    }
}

/// A secured call of a customer with 1002.
struct Secured {
    customer: Customer,
    line: Line,
    call: Dialog,
}

/// The customer calls, offers this suite alone (`RTP/SAVP`), and is answered.
async fn calls(server: &SipPeer, site: &Site, suite: Suite) -> Secured {
    let customer = Customer::start(site.media()).await;
    let line = Line::of(&customer, site.media(), Manner::Secured).await;
    let ours: Vec<u8> = (0..suite.key_len() as u8)
        .map(|at| at.wrapping_mul(7))
        .collect();
    let offer = description(line.address()).replace("RTP/AVP", "RTP/SAVP");
    let Suite(name, _) = suite;
    let offer = format!(
        "{offer}a=crypto:1 {name} inline:{}\n",
        BASE64_STANDARD.encode(&ours)
    );
    let (call, answer) = server.talks_by("1002", &offer).await;
    assert!(answer.contains(" RTP/SAVP "), "{answer}");
    let named = answer.split(&format!("a=crypto:1 {name} inline:")).nth(1);
    let theirs = named.and_then(|rest| rest.split_whitespace().next());
    let theirs = BASE64_STANDARD.decode(theirs.expect("a key for this suite"));
    let theirs = theirs.expect("base64");
    line.secures(suite.context(&ours), suite.context(&theirs));
    Secured {
        customer,
        line,
        call,
    }
}

struct Desk {
    page: Page,
    gateway: Gateway,
    server: SipPeer,
    site: Site,
    dir: TempDir,
    _registrar: Registrar,
}

async fn desk(change: impl FnOnce(&mut Value)) -> Desk {
    let site = Site::new();
    let dir = TempDir::new().expect("a temporary directory");
    let registrar = Registrar::start(site.server_sip()).await;
    let registrar = registrar.expect("the port is ours");
    let gateway = Gateway::start_with(&site, |config| {
        config["cdr"] = json!({"file": dir.path().join("cdr.jsonl")});
        change(config);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    let server = SipPeer::start(&site, site.sip_server(), 5070).await;
    Desk {
        page,
        gateway,
        server,
        site,
        dir,
        _registrar: registrar,
    }
}

impl Desk {
    async fn both_hear(&self, secured: &Secured) {
        secured.customer.hears(PAGE_HZ).await;
        self.page.hears(CUSTOMER_HZ).await;
    }

    async fn ends(&self, call: &mut Dialog) {
        assert_eq!(self.server.asks(&call.request("BYE", "", "")).await, 200);
        self.page.call_in("ended").await;
    }

    async fn end_record(&self) -> Value {
        end_record(&self.dir.path().join("cdr.jsonl")).await
    }
}

/// A telephone that knows this suite only calls where SRTP is required: both hear each other, by this suite, and no packet of either is refused.
async fn a_call_by(suite: Suite) {
    let desk = desk(|config| config["media"]["srtp"] = json!("required")).await;
    let mut secured = calls(&desk.server, &desk.site, suite).await;
    desk.both_hear(&secured).await;
    assert_eq!(secured.line.passed().unsound, 0);
    desk.ends(&mut secured.call).await;
    assert_eq!(desk.end_record().await["srtp"], suite.0);
    desk.gateway.metric_is(REFUSED, "", 0.0).await;
}

#[tokio::test]
async fn aes_256_with_a_long_tag() {
    a_call_by(AES_256_80).await;
}

#[tokio::test]
async fn aes_256_with_a_short_tag() {
    a_call_by(AES_256_32).await;
}

#[tokio::test]
async fn gcm_with_a_short_key() {
    a_call_by(GCM_128).await;
}

/// One site requires SRTP, another may have it, and elsewhere it is off: a secured call comes from each of the two.
#[tokio::test]
async fn each_site_has_secured_calls_by_its_own_wish() {
    let site = Site::new();
    let (north, south) = (site.sip_server(), site.second_server());
    let mut registrars = Vec::new();
    for server in [north, south] {
        let registrar = Registrar::start((server, 5_060).into()).await;
        registrars.push(registrar.expect("the port is ours"));
    }
    let gateway = Gateway::start_with(&site, |config| {
        let place = |name: &str, server, srtp: &str| json!({"name": name, "servers": [format!("{server}:5060")], "srtp": srtp});
        config["sip"]["sites"] = json!([
            place("north", north, "required"),
            place("south", south, "optional")
        ]);
        let sip = config["sip"].as_object_mut().expect("a table");
        sip.remove("servers");
        config["media"]["srtp"] = json!("off");
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    for (host, suite) in [(north, GCM_128), (south, AES_256_80)] {
        let server = SipPeer::start(&site, host, 5_070).await;
        let mut secured = calls(&server, &site, suite).await;
        secured.customer.hears(PAGE_HZ).await;
        page.hears(CUSTOMER_HZ).await;
        let told = gateway.get("/api/v1/calls").await.body;
        let shown = format!("\"srtp\":\"{}\"", suite.0);
        assert!(told.replace(' ', "").contains(&shown), "{told}");
        let bye = secured.call.request("BYE", "", "");
        assert_eq!(server.asks(&bye).await, 200);
        page.call_in("ended").await;
    }
    gateway.metric_is(REFUSED, "", 0.0).await;
}

/// Waits until a second more has come: a [scale](scale) that began when this did is over by then, and is kept by whoever keeps three seconds.
async fn goes_on(packets: impl Fn() -> u64) {
    let until = packets() + 50;
    eventually("the call goes on", || packets() >= until).await;
}

/// The whole scale was heard in `said`, and nothing of it in `again`. To be asked when nobody waits: listening takes long.
fn heard_once(said: &[i16], again: &[i16]) {
    let whole: Vec<usize> = (0..scale::STEPS).collect();
    assert_eq!(scale::heard(said), whole);
    assert_eq!(scale::heard(again), Vec::<usize>::new());
}

/// Somebody has kept the packets of a secured telephone and sends them again, under its address: each is refused and counted, the agent does not hear what was
/// said before, and the call goes on.
#[tokio::test]
async fn what_a_telephone_said_is_not_heard_again() {
    let desk = desk(|config| config["media"]["srtp"] = json!("required")).await;
    let mut secured = calls(&desk.server, &desk.site, GCM_128).await;
    desk.both_hear(&secured).await;
    desk.page.state().ear.keep();
    secured.customer.says_scale();
    goes_on(|| desk.page.state().packets).await;
    let said = desk.page.state().ear.kept().to_vec();

    desk.page.state().ear.keep();
    let repeated = secured.line.repeats().await as f64;
    assert!(repeated > 50.0, "{repeated}");
    desk.gateway.metric_is(REFUSED, "", repeated).await;
    goes_on(|| desk.page.state().packets).await;
    let again = desk.page.state().ear.kept().to_vec();
    desk.both_hear(&secured).await;

    desk.ends(&mut secured.call).await;
    let received = &desk.end_record().await["media"]["to_agent"]["received"];
    let counted = [
        &received["duplicates"],
        &received["late"],
        &received["lost"],
    ];
    assert_eq!(counted, [0, 0, 0], "{received}");
    heard_once(&said, &again);
    desk.gateway.metric_is(REFUSED, "", repeated).await;
}

/// The same with what a browser said, which is heard by the caller.
#[tokio::test]
async fn what_a_browser_said_is_not_heard_again() {
    let desk = desk(|_| {}).await;
    let customer = Customer::start(desk.site.media()).await;
    let mut call = desk.server.talks("1002", customer.address()).await;
    customer.hears(PAGE_HZ).await;
    customer.heard().ear.keep();
    desk.page.says_scale(Begin::Now);
    goes_on(|| customer.heard().packets).await;
    let said = customer.heard().ear.kept().to_vec();

    customer.heard().ear.keep();
    let repeated = desk.page.repeats().await as f64;
    assert!(repeated > 50.0, "{repeated}");
    desk.gateway.metric_is(REFUSED, "", repeated).await;
    goes_on(|| customer.heard().packets).await;
    let again = customer.heard().ear.kept().to_vec();
    customer.hears(PAGE_HZ).await;
    desk.page.hears(CUSTOMER_HZ).await;
    assert!(desk.page.connected());

    desk.ends(&mut call).await;
    let received = &desk.end_record().await["media"]["to_caller"]["received"];
    let counted = [
        &received["duplicates"],
        &received["late"],
        &received["lost"],
    ];
    assert_eq!(counted, [0, 0, 0], "{received}");
    heard_once(&said, &again);
}
