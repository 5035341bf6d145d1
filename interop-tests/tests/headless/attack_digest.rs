//! Attacks on the agents' passwords: whoever asks for a digest is not whoever may have it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use interop_tests::attack::{Dialog, SipPeer, answer, challenge, description, registry};
use interop_tests::sipp::header;
use interop_tests::{Customer, Gateway, Page, Site, eventually};
use serde_json::json;

use crate::referred::agreed;

/// SIP Server's realm, which an attacker knows or guesses.
const REALM: &str = "genesys";

/// SIP Server asks for the password of each DN, an attacker waits elsewhere.
struct Scene {
    page: Page,
    customer: Customer,
    gateway: Gateway,
    server: SipPeer,
    attacker: SipPeer,
    site: Site,
}

impl Scene {
    /// `believed` puts the attacker's host on the list of SIP Servers: the filter is off.
    async fn open(believed: bool) -> Self {
        let site = Site::new();
        let attacker = SipPeer::start(&site, site.stranger(), 5060).await;
        Self::open_at(site, attacker, believed).await
    }

    async fn open_at(site: Site, attacker: SipPeer, believed: bool) -> Self {
        let (server, _) = registry(&site, |asked| match asked.proof {
            None => ("401 Unauthorized".to_owned(), challenge(REALM, "n0")),
            Some(_) => ("200 OK".to_owned(), String::new()),
        })
        .await;
        let gateway = Gateway::start_with(&site, |config| {
            config["agents"] = json!([{"dn": "1002", "password": "secret"}]);
            if believed {
                config["sip"]["servers"] = json!([site.server_sip(), attacker.local()]);
            }
        })
        .await;
        let page = Page::sign_in(&gateway, "1002").await;
        let customer = Customer::start(site.media()).await;
        Self {
            page,
            customer,
            gateway,
            server,
            attacker,
            site,
        }
    }

    fn media(&self) -> SocketAddr {
        self.customer.address()
    }

    async fn challenges_refused(&self, count: u32) {
        let name = "talkbridge_sip_refused_total";
        self.gateway
            .metric_is(name, "challenge", f64::from(count))
            .await;
    }

    /// The request of the gateway that `attacker` waits for.
    async fn lures(&self, method: &str, call: &Dialog) -> String {
        let wanted = |message: &str| message.starts_with(method) && message.contains(&call.call_id);
        self.attacker.hears(method, wanted).await
    }

    fn nothing_leaked(&self) {
        let leaked = self
            .attacker
            .count(|message| message.contains("uthorization:"));
        assert_eq!(leaked, 0, "{:#?}", self.attacker.heard());
    }
}

/// The ways to ask for a digest that have worked elsewhere.
fn lures() -> Vec<(&'static str, &'static str, String)> {
    let proxy = |realm: &str, nonce: &str| challenge(realm, nonce).replace("WWW", "Proxy");
    vec![
        (
            "as published",
            "407 Proxy Authentication Required",
            proxy(REALM, "4XC2"),
        ),
        ("by 401", "401 Unauthorized", challenge(REALM, "4XC2")),
        (
            "in another case",
            "401 Unauthorized",
            challenge("GENESYS", "4XC2"),
        ),
        (
            "two at once, a foreign one first",
            "401 Unauthorized",
            challenge("elsewhere", "1") + &challenge(REALM, "2"),
        ),
        (
            "in one line",
            "407 Proxy Authentication Required",
            format!(
                "Proxy-Authenticate: Digest realm=\"x\",nonce=\"1\", Digest realm=\"{REALM}\",nonce=\"2\"\n"
            ),
        ),
        (
            "as stale",
            "401 Unauthorized",
            challenge(REALM, "4XC2").replace(",algorithm", ",stale=true,algorithm"),
        ),
    ]
}

/// The published sequence against a host that is believed to be SIP Server: call, wait for the BYE, challenge it.
#[tokio::test]
async fn a_caller_who_challenges_our_bye_gets_no_digest() {
    let scene = Scene::open(true).await;
    let mut asked = 0;
    for (how, status, lines) in lures() {
        let call = scene.attacker.talks("1002", scene.media()).await;
        scene.page.call_in("talking").await;
        scene.page.control("hangup").await;
        let bye = scene.lures("BYE", &call).await;
        asked += 1;
        scene.attacker.say(&answer(&bye, status, &lines)).await;
        scene.challenges_refused(asked).await;
        scene.page.call_in("ended").await;
        let byes = scene
            .attacker
            .count(|message| message.starts_with("BYE") && message.contains(&call.call_id));
        assert_eq!(byes, 1, "{how}");
        scene.nothing_leaked();
    }
    scene.gateway.logs(&["sip message refused"]).await;
    scene
        .gateway
        .metric_is("talkbridge_calls_active", "", 0.0)
        .await;
}

/// What the attacker challenges at the moment; everything else he takes as SIP Server would.
type Lure = Arc<Mutex<&'static str>>;

/// An attacker who is a telephone and a SIP Server to whatever he does not challenge.
async fn luring(site: &Site, media: SocketAddr, lure: &Lure) -> SipPeer {
    let contact = format!("Contact: <sip:1003@{}:5060>\n", site.stranger());
    let lure = Arc::clone(lure);
    SipPeer::with_reflex(site, site.stranger(), 5060, move |message| {
        let method = message.split(' ').next().unwrap_or_default();
        if method == *lure.lock().expect("no panic while held") {
            let asks = challenge(REALM, "4XC2");
            return vec![answer(message, "401 Unauthorized", &asks)];
        }
        match method {
            "INVITE" => vec![agreed(message, &contact, &description(media))],
            "REFER" => vec![answer(message, "202 Accepted", "")],
            "ACK" | "CANCEL" => Vec::new(),
            _ if message.starts_with("SIP/2.0") => Vec::new(),
            _ => vec![answer(message, "200 OK", "")],
        }
    })
    .await
}

/// The same with every other request that he can make us send within a call: a re-INVITE by hold, an INFO by a key, a REFER by a transfer, the NOTIFY of a
/// REFER of his own.
#[tokio::test]
async fn a_caller_who_challenges_our_other_requests_gets_no_digest() {
    let site = Site::new();
    let telephone = Customer::start(site.media()).await;
    let lure = Lure::default();
    let attacker = luring(&site, telephone.address(), &lure).await;
    let scene = Scene::open_at(site, attacker, true).await;
    // The news of his REFER comes last: the call that it asks for is not answered.
    for (asked, method) in (1..).zip(["INVITE", "INFO", "REFER", "NOTIFY"]) {
        let mut call = scene.attacker.talks("1002", telephone.address()).await;
        let shown = scene.page.call_in("talking").await["id"].clone();
        // A telephone that takes no events: keys go to it by INFO.
        let deaf =
            description(telephone.address()).replace(" 101\na=rtpmap:101 telephone-event/8000", "");
        let offer = call.request("INVITE", "Content-Type: application/sdp\n", &deaf);
        assert_eq!(scene.attacker.asks(&offer).await, 200);
        scene.attacker.say(&call.ack(call.cseq)).await;
        *lure.lock().expect("no panic while held") = method;
        let key = json!({"type": "dtmf", "call": shown, "digits": "5"});
        let away = json!({"type": "transfer", "call": shown, "to": "1005"});
        match method {
            "INVITE" => scene.page.control("hold").await,
            "INFO" => drop(scene.page.request(key).await),
            "REFER" => drop(scene.page.request(away).await),
            _ => {
                let to = format!("Refer-To: <sip:1005@{}>\n", scene.site.sip_server());
                let refer = call.request("REFER", &to, "");
                assert_eq!(scene.attacker.asks(&refer).await, 202);
            }
        }
        scene.lures(method, &call).await;
        scene.challenges_refused(asked).await;
        *lure.lock().expect("no panic while held") = "";
        // What is said again is the same request; one with a digest would have a number of its own (RFC 3261 section 22.2).
        let mut numbers: Vec<String> = scene.attacker.heard();
        numbers.retain(|it| it.starts_with(method) && it.contains(&call.call_id));
        let numbers: BTreeSet<_> = numbers.iter().map(|it| header(it, "CSeq")).collect();
        assert_eq!(numbers.len(), 1, "{method}: {numbers:?}");
        scene.nothing_leaked();
        let bye = call.request("BYE", "", "");
        assert_eq!(scene.attacker.asks(&bye).await, 200);
        scene.page.call_with_id_in(&shown, "ended").await;
    }
}

/// The OPTIONS by which every SIP Server of the list is asked whether it lives belong to no DN: a challenge to them is an answer, and gets none.
#[tokio::test]
async fn a_server_that_challenges_our_options_gets_no_digest() {
    let site = Site::new();
    let telephone = Customer::start(site.media()).await;
    let lure = Lure::new(Mutex::new("OPTIONS"));
    let attacker = luring(&site, telephone.address(), &lure).await;
    let server = SipPeer::with_reflex(&site, site.sip_server(), 5060, |message| {
        let proven = header(message, "Authorization").is_some();
        match message.split(' ').next() {
            Some("REGISTER") if !proven => {
                vec![answer(message, "401 Unauthorized", &challenge(REALM, "n0"))]
            }
            Some("REGISTER" | "OPTIONS") => vec![answer(message, "200 OK", "")],
            _ => Vec::new(),
        }
    })
    .await;
    let gateway = Gateway::start_with(&site, |config| {
        config["agents"] = json!([{"dn": "1002", "password": "secret"}]);
        config["sip"]["servers"] = json!([site.server_sip(), attacker.local()]);
        config["sip"]["probe_interval_s"] = json!(1);
    })
    .await;
    let page = Page::sign_in(&gateway, "1002").await;
    let probes = |peer: &SipPeer| {
        let heard = peer.heard();
        let probes = heard.iter().filter(|it| it.starts_with("OPTIONS"));
        let probes = probes.filter_map(|it| header(it, "Call-ID").map(str::to_owned));
        probes.collect::<BTreeSet<_>>().len()
    };
    eventually("both have been asked again and again", || {
        probes(&server) > 1 && probes(&attacker) > 1
    })
    .await;
    let proofs = |peer: &SipPeer| peer.count(|message| message.contains("uthorization:"));
    assert_eq!(proofs(&attacker), 0, "{:#?}", attacker.heard());
    assert!(proofs(&server) > 0, "the registrar's challenge is answered");
    drop(page);
}

fn str_of(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// Without a place on the list the first step fails already: his call is not heard at all.
#[tokio::test]
async fn a_stranger_does_not_get_as_far_as_a_challenge() {
    let scene = Scene::open(false).await;
    let mut call = Dialog::new(&scene.attacker, "1002");
    scene.attacker.say(&call.invite("", scene.media())).await;
    scene
        .gateway
        .metric_is("talkbridge_sip_refused_total", "\"source\"", 1.0)
        .await;
    assert!(scene.page.call().is_null());
    assert_eq!(scene.attacker.heard(), [""; 0]);
}

/// A spoofed response: right branch, wrong sender. Whoever reads our requests to SIP Server still gets no digest by asking first.
#[tokio::test]
async fn a_challenge_that_overtakes_sip_servers_answer_is_dropped() {
    let scene = Scene::open(false).await;
    let call = scene.server.talks("1002", scene.media()).await;
    scene.page.call_in("talking").await;
    scene.page.control("hangup").await;
    let wanted = |message: &str| message.starts_with("BYE") && message.contains(&call.call_id);
    let bye = scene.server.hears("BYE", wanted).await;
    let asks = challenge(REALM, "4XC2");
    scene
        .attacker
        .say(&answer(&bye, "401 Unauthorized", &asks))
        .await;
    scene
        .gateway
        .metric_is("talkbridge_sip_refused_total", "response_source", 1.0)
        .await;
    scene.nothing_leaked();
    // SIP Server's own answer is the one that counts: the same challenge, answered in its realm.
    scene
        .server
        .say(&answer(&bye, "401 Unauthorized", &asks))
        .await;
    let proven = |message: &str| message.starts_with("BYE") && message.contains("nonce=\"4XC2\"");
    let again = scene.server.hears("BYE with a digest", proven).await;
    scene.server.say(&answer(&again, "200 OK", "")).await;
    scene.page.call_in("ended").await;
    assert_eq!(scene.attacker.heard(), [""; 0]);
}

/// A new nonce in every challenge of our INVITE: the agent hears of it after one answer, and SIP Server is not flooded.
#[tokio::test]
async fn a_server_that_challenges_for_ever_ends_the_call() {
    let scene = Scene::open(false).await;
    for (calls, (stale, most)) in [(false, 2), (true, 3)].into_iter().enumerate() {
        let before = scene.server.count(|message| message.starts_with("INVITE"));
        let dial = scene
            .page
            .request(json!({"type": "dial", "number": "2000"}))
            .await;
        assert_eq!(dial["type"], "ok", "{dial}");
        eventually("the page shows the call", || {
            scene.page.state().calls.len() == calls + 1
        })
        .await;
        let mut invites = 0;
        while scene.page.call()["state"] != "ended" {
            let all: Vec<String> = scene
                .server
                .heard()
                .into_iter()
                .filter(|message| message.starts_with("INVITE"))
                .skip(before)
                .collect();
            if let Some(invite) = all.get(invites) {
                let nonce = format!("x{invites}");
                let mut asks = challenge(REALM, &nonce);
                if stale {
                    asks = asks.replace(",algorithm", ",stale=true,algorithm");
                }
                scene
                    .server
                    .say(&answer(invite, "401 Unauthorized", &asks))
                    .await;
                invites += 1;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            assert!(invites <= most, "{invites} INVITEs");
        }
        assert_eq!(invites, most, "stale: {stale}");
    }
}

/// DN, challenge, and what the `Authorization` holds; `None` when there is none.
fn odd_challenges() -> Vec<(&'static str, String, Option<&'static str>)> {
    let long = "n".repeat(4 * 1024);
    let too_long = "n".repeat(4 * 1024 + 1);
    let digest = |rest: &str| format!("WWW-Authenticate: Digest realm=\"{REALM}\",{rest}\n");
    let md5 = digest("nonce=\"m\",algorithm=MD5,qop=\"auth\"");
    let sha = digest("nonce=\"s\",algorithm=SHA-256,qop=\"auth\"");
    vec![
        ("2001", format!("{md5}{sha}"), Some("algorithm=SHA-256")),
        ("2002", format!("{sha}{md5}"), Some("algorithm=SHA-256")),
        (
            "2003",
            digest("nonce=\"a\\\"b\\\\c\""),
            Some("nonce=\"a\\\"b\\\\c\""),
        ),
        (
            "2004",
            digest(&format!("nonce=\"{long}\"")),
            Some("nonce=\"nnn"),
        ),
        ("2005", digest(&format!("nonce=\"{too_long}\"")), None),
        ("2006", digest("nonce=\"x\",algorithm=MD4"), None),
        ("2007", digest("nonce=\"x\",qop=\"auth-int\""), None),
        ("2008", digest("algorithm=MD5"), None),
        (
            "2009",
            "WWW-Authenticate: Basic realm=\"genesys\"\n".to_owned(),
            None,
        ),
        (
            "2010",
            digest("nonce=\"s\",stale=true"),
            Some("nonce=\"s\""),
        ),
    ]
}

/// Registrars with odd challenges, a DN each: what is answered, and by which algorithm.
#[tokio::test]
async fn odd_challenges_are_answered_by_the_strongest_or_not_at_all() {
    let cases = odd_challenges();
    let site = Site::new();
    let asked: std::collections::BTreeMap<_, _> = cases
        .iter()
        .map(|(dn, asks, _)| ((*dn).to_owned(), asks.clone()))
        .collect();
    let (_server, book) = registry(&site, move |register| {
        (
            "401 Unauthorized".to_owned(),
            asked.get(register.dn).cloned().unwrap_or_default(),
        )
    })
    .await;
    let agents: Vec<_> = cases
        .iter()
        .map(|(dn, ..)| json!({"dn": dn, "password": "secret", "register": "always"}))
        .collect();
    let gateway = Gateway::start_with(&site, |config| config["agents"] = json!(agents)).await;
    eventually("every DN has failed", || {
        let log = gateway.log();
        log.lines()
            .filter(|line| line.contains("not registered"))
            .count()
            >= cases.len()
    })
    .await;
    for (dn, _, proof) in &cases {
        // One REGISTER without a proof; with one, at most two more when the server says stale.
        let most = match (*dn, proof) {
            (_, None) => 1,
            ("2010", _) => 3,
            _ => 2,
        };
        let seen = book.lock().expect("held by nobody")[*dn].clone();
        assert_eq!(seen.len(), most, "{dn}: {seen:?}");
        assert_eq!(seen[0], None, "{dn}");
        if let Some(part) = proof {
            let given = seen[1].as_deref().unwrap_or_default();
            assert!(given.contains(part), "{dn}: {given}");
        }
    }
    assert!(!gateway.log().contains("secret"));
}

/// Forged or broken answers to REGISTER: no storm. The gateway's own OPTIONS, which leave every 4 s, are the clock: no DN registers oftener than they come, whatever
/// life it was granted.
#[tokio::test]
async fn odd_expiries_make_no_storm() {
    let site = Site::new();
    let cases = ["0", "1", "4294967295", "2147483648", "-1", "x"];
    let dn_of = |message: &str| {
        let to = header(message, "To").unwrap_or_default();
        let user = to.split("sip:").nth(1).and_then(|at| at.split('@').next());
        user.and_then(|dn| dn.parse::<usize>().ok()).unwrap_or(0)
    };
    let server = SipPeer::with_reflex(&site, site.sip_server(), 5060, move |message| match message
        .split(' ')
        .next()
    {
        Some("REGISTER") => {
            let expires = cases[dn_of(message) % 10];
            let contact = header(message, "Contact").unwrap_or_default();
            let others: String = (0..20)
                .map(|nth| format!("Contact: <sip:{nth}@192.0.2.1>;expires={expires}\n"))
                .collect();
            let lines =
                format!("Expires: {expires}\n{others}Contact: {contact};expires={expires}\n");
            vec![answer(message, "200 OK", &lines)]
        }
        Some("OPTIONS") => vec![answer(message, "200 OK", "")],
        _ => Vec::new(),
    })
    .await;
    let agents: Vec<_> = (0..cases.len())
        .map(|nth| json!({"dn": format!("300{nth}"), "register": "always"}))
        .collect();
    let _gateway = Gateway::start_with(&site, |config| {
        config["agents"] = json!(agents);
        config["sip"]["probe_interval_s"] = json!(1);
    })
    .await;
    // Each request once: one that is said again has the same number and Call-ID.
    let asked = |method: &str, which: &dyn Fn(&str) -> bool| {
        let heard = server.heard();
        let these = heard
            .iter()
            .filter(|it| it.starts_with(method) && which(it));
        let these = these.map(|it| [header(it, "Call-ID"), header(it, "CSeq")].map(str_of));
        these.collect::<BTreeSet<_>>().len()
    };
    let of_dn = |nth: usize| asked("REGISTER", &|message| dn_of(message) == 3000 + nth);
    eventually("every DN has sent a REGISTER", || {
        (0..cases.len()).all(|nth| of_dn(nth) > 0)
    })
    .await;
    eventually("seconds have passed", || asked("OPTIONS", &|_| true) > 2).await;
    let clock = asked("OPTIONS", &|_| true);
    for (nth, case) in cases.iter().enumerate() {
        assert!(of_dn(nth) <= clock, "expires={case}: {}", of_dn(nth));
    }
}

/// The line that tells an operator names the sender, and no line holds the password or a digest.
#[tokio::test]
async fn a_refused_challenge_is_logged_without_secrets() {
    let scene = Scene::open(true).await;
    let call = scene.attacker.talks("1002", scene.media()).await;
    scene.page.call_in("talking").await;
    scene.page.control("hangup").await;
    let bye = scene.lures("BYE", &call).await;
    let asks = challenge(REALM, "4XC2");
    scene
        .attacker
        .say(&answer(&bye, "401 Unauthorized", &asks))
        .await;
    scene.challenges_refused(1).await;
    let words = ["sip message refused", "challenge"];
    let line = scene.gateway.logs(&words).await;
    assert!(line.contains(&scene.site.stranger().to_string()), "{line}");
    assert!(line.contains("WARN"), "{line}");
    let log = scene.gateway.log();
    assert!(!log.contains("secret") && !log.contains("response="));
    assert!(header(&bye, "Authorization").is_none());
}
